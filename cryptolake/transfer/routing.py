"""The route of a transfer: which modes move the files, by where the lake and the archive are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast, get_args

from cryptolake.archive.source import server_of
from cryptolake.errors import InvalidQuery, unknown_word
from cryptolake.planning.plan import ROUTE_NOTE
from cryptolake.render.html import plural
from cryptolake.storage.files import S3Storage
from cryptolake.transfer.options import Mode
from cryptolake.transfer.s5cmd import global_flags

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive
    from cryptolake.planning.plan import Counted
    from cryptolake.storage.files import Storage

WORDS = ("auto", *get_args(Mode))


class Route(NamedTuple):
    """The modes to try, in order, and why the first one comes first."""

    modes: tuple[Mode, ...]
    reason: str

    def requests(self, plan: Counted) -> int:
        """Return about how many requests the first mode makes for a plan when nothing fails."""
        if self.modes[0] in {"direct", "relay"}:  # a copy; a GET and a PUT
            return plan.objects * (1 if self.modes[0] == "direct" else 2)
        puts = plan.objects if self.modes[0] == "traditional" else 0
        return plan.request_count + puts

    def note(self, plan: Counted) -> str:
        """Return the line that a plan shows of its route."""
        return f"{ROUTE_NOTE}{self}; about {plural(self.requests(plan), 'request')}"

    def __str__(self) -> str:
        then = f", else {', else '.join(self.modes[1:])}" if self.modes[1:] else ""
        return f"mode {self.modes[0]}{then}: {self.reason}"


def route(mode: str, archive: Archive, storage: Storage) -> Route:
    """Choose the modes for an archive and a lake.

    Raises
    ------
    InvalidQuery
        A mode that does not exist, or that cannot work between these two.

    Examples
    --------
    >>> from cryptolake.archive.source import Archive
    >>> from cryptolake.storage.files import open_storage
    >>> print(route("auto", Archive(), open_storage("/data/lake")))
    mode download: the lake is on a disk
    """
    if mode not in WORDS:
        raise unknown_word("transfer mode", mode, WORDS)
    if not isinstance(storage, S3Storage):
        if mode in {"auto", "download"}:
            return Route(("download",), "the lake is on a disk")
        raise _unfit(mode, storage, "on a disk", "auto or download")
    if mode == "download":
        raise _unfit(mode, storage, "in a bucket", "auto, direct, relay or traditional")
    lake = storage.config
    same = server_of(archive.endpoint) == server_of(lake.endpoint)
    if mode == "direct" and not same:
        message = (
            f"mode 'direct' copies inside one S3, and the archive ({archive.endpoint or 'AWS'}) and the "
            f"lake ({lake.endpoint or 'AWS'}) are at different ones; use auto, relay or traditional."
        )
        raise InvalidQuery(message, what="mode", given=mode, root=storage.root)
    limit = lake.s5cmd_limit(global_flags) if same and mode in {"auto", "direct"} else None
    if mode == "direct" and limit:
        raise InvalidQuery(limit, what="mode", given=mode, root=storage.root)
    if mode == "auto" and limit:
        return Route(("relay", "traditional"), f"not direct: {limit}")
    if mode == "auto" and same:
        reason = "lake and archive are at the same endpoint, so S3 copies by itself"
        return Route(("direct", "relay", "traditional"), reason)
    if mode == "auto":
        return Route(("relay", "traditional"), "the lake is at another endpoint than the archive")
    return Route((cast("Mode", mode),), "as asked")


def check_acceleration(storage: Storage) -> None:
    """Refuse S3's Transfer Acceleration where there is none: it is a service of AWS, for names without dots.

    Raises
    ------
    InvalidQuery
        The lake is on a disk, at an endpoint of its own, or in a bucket whose name has dots.

    Examples
    --------
    >>> from cryptolake.storage.files import open_storage
    >>> check_acceleration(open_storage("s3://my.lake"))
    Traceback (most recent call last):
    cryptolake.errors.InvalidQuery: acceleration needs a bucket whose name has no dots, and the lake is in 'my.lake'; leave it out.
    """
    if not isinstance(storage, S3Storage):
        why = f"is for lakes in a bucket, and this one is on a disk ({storage.root})"
    elif storage.config.endpoint:
        why = f"is a service of AWS, with an endpoint of its own, and the lake is at {storage.config.endpoint}"
    elif "." in storage.bucket:
        why = f"needs a bucket whose name has no dots, and the lake is in {storage.bucket!r}"
    else:
        return
    message = f"acceleration {why}; leave it out."
    raise InvalidQuery(message, what="acceleration", given=True, root=storage.root)


def _unfit(mode: str, storage: Storage, kind: str, allowed: str) -> InvalidQuery:
    message = f"mode {mode!r} does not fit a lake {kind} ({storage.root}); use {allowed}."
    return InvalidQuery(message, what="mode", given=mode, root=storage.root)
