"""A file too big to hold, as pieces of whole lines, in bounded memory whatever its lines are."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, TypeVar

from cryptolake.bronze.zips import inflate_chunks
from cryptolake.silver.parse import Piece

if TYPE_CHECKING:
    from cryptolake.bronze.sniff import Layout
    from cryptolake.silver.assembly import Work

T = TypeVar("T")


def pieces(file: IO[bytes], number: int, work: Work, *, chunk: int) -> Iterator[Piece]:
    """Yield an open zip's rows as pieces of about ``chunk`` bytes that end with a line end.

    A file whose columns do not fit yields nothing, and its lines are counted as rejected.

    Raises
    ------
    CorruptArchive
        The zip is damaged; what was yielded of it is not to be kept.
    """
    key = work.files[number].key
    layout: Layout | None = None
    line = 0
    texts = gathered(inflate_chunks(file, key, work.limits, chunk=chunk), chunk)
    for block in blocks(texts, 2 * work.limits.max_line):
        text = block
        if line == 0:
            layout = work.layout(number, text)
            if layout is not None:
                line, text = layout.first_line, text[layout.skip :]
        if layout is None:
            line = 1
            work.refuse(number, text)
            continue
        if not text:
            continue
        if not text.endswith((b"\n", b"\r")):
            work.accounts[number].warn("no_final_line_end")
        piece = Piece(number, text if text.endswith(b"\n") else text + b"\n", line, layout)
        line += piece.lines
        yield piece


def gathered(texts: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Join text that comes in small pieces into ones of at least ``size`` bytes.

    Examples
    --------
    >>> list(gathered(iter([b"ab", b"c", b"d", b"e"]), 3))
    [b'abc', b'de']
    """
    waiting: list[bytes] = []
    count = 0
    for text in texts:
        waiting.append(text)
        count += len(text)
        if count >= size:
            yield b"".join(waiting)
            waiting, count = [], 0
    if waiting:
        yield b"".join(waiting)


def blocks(texts: Iterator[bytes], longest: int) -> Iterator[bytes]:
    r"""Cut text that comes in any pieces into blocks of whole lines.

    A line longer than ``longest`` is cut down to that, which is still too long to be a row, so that it is
    rejected as one line and never held whole.

    Examples
    --------
    >>> list(blocks(iter([b"a\nb", b"c\nd"]), 10))
    [b'a\n', b'bc\n', b'd']
    >>> list(blocks(iter([b"a" * 8, b"a" * 8, b"a\nb\n"]), 4))
    [b'aaaa\nb\n']
    """
    begun: list[bytes] = []
    size = 0
    for text in texts:
        end = text.rfind(b"\n") + 1
        if not end:  # perhaps lines end with \r alone; a \r at the very end may be half of \r\n
            end = text[:-1].rfind(b"\r") + 1
        if not end:
            begun.append(text[: max(0, longest - size)])
            size += len(begun[-1])
            continue
        rest = text[:end]
        if size >= longest:  # the line that was cut down ends here
            first = min(place for place in (rest.find(b"\n"), rest.find(b"\r")) if place >= 0)
            rest = rest[first:]
        yield b"".join([*begun, rest])
        begun, size = [text[end:]], len(text) - end
    left = b"".join(begun)
    if left:
        yield left


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items, the next one being made meanwhile in another thread."""
    nothing = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        future = pool.submit(next, items, nothing)
        while True:
            item = future.result()
            if item is nothing:
                return
            future = pool.submit(next, items, nothing)
            yield item  # type: ignore[misc]
