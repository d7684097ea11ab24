"""How parts on the same machine say how far they are and what they log, and are told to stop: lines over a loopback socket.

Processes, threads and a cluster's workers have nothing else in common. A worker on another machine has no line:
its parts count as they end.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cryptolake.progress import Step
from cryptolake.telemetry import LOG

if TYPE_CHECKING:
    from types import TracebackType

_PAUSE = 0.2
"""Seconds between two steps that a part sends, at least."""

_SECONDS = 5.0
_LONGEST = 4096
_TOLD = 600
"""Characters of a logged line that are sent."""


class Address(NamedTuple):
    """Where the call listens: the name of its machine, a port on loopback, and what shows that a line is its own.

    ``pid`` is its process, and ``level`` the one from which on its log takes lines.
    """

    host: str
    port: int
    token: str
    pid: int = 0
    level: int = logging.CRITICAL


class Channel:
    """The call's end: which parts have begun, how far they are, and the order to stop."""

    def __init__(self) -> None:
        self.steps: dict[int, Step] = {}
        self.begun: set[int] = set()
        self._lines: dict[socket.socket, int] = {}
        self._stopped = False
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        port: int = self._listener.getsockname()[1]
        where = (socket.gethostname(), port, secrets.token_hex(16))
        self.address = Address(*where, os.getpid(), LOG.getEffectiveLevel())
        threading.Thread(target=self._accept, daemon=True, name="parts").start()

    def stop(self) -> None:
        """Tell every part that has begun, or begins later, to end in order."""
        with self._lock:
            self._stopped = True
            lines = list(self._lines)
        for line in lines:
            _say_stop(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the socket; parts that still run end in order."""
        # On Linux closing alone leaves a thread in accept(), and the port open, for ever.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._follow, args=(line,), daemon=True, name="part").start()

    def _follow(self, line: socket.socket) -> None:
        """Take what one part says, until it ends."""
        with suppress(OSError, ValueError, TypeError, KeyError), line, line.makefile("r") as file:
            line.settimeout(_SECONDS)
            first = json.loads(file.readline(_LONGEST))
            line.settimeout(None)
            if not secrets.compare_digest(str(first["token"]), self.address.token):
                return
            number = int(first["part"])
            with self._lock:
                self.begun.add(number)
                self._lines[line] = number
                stopped = self._stopped
            if stopped:
                _say_stop(line)
            try:
                while text := file.readline(_LONGEST):
                    self._take(number, json.loads(text))
            finally:
                with self._lock:
                    self._lines.pop(line, None)

    def _take(self, number: int, said: Any) -> None:
        """Keep a part's step, or log what it logged."""
        if isinstance(said, dict):
            LOG.log(int(said["level"]), "%s part=%d pid=%d", said["text"], number, said["pid"])
            return
        done, total, pieces, all_pieces, unit = said
        self.steps[number] = Step(done, total, pieces, all_pieces, str(unit))


def _say_stop(line: socket.socket) -> None:
    with suppress(OSError):
        line.sendall(b"stop\n")


class Line:
    """A part's end: a progress callable that sends each step, and stops the work where the call says so.

    Parameters
    ----------
    address
        Where the call listens.
    part
        The part's number.
    """

    def __init__(self, address: Address, part: int) -> None:
        self._stop = threading.Event()
        self._sent = 0.0
        self._socket: socket.socket | None = None
        if address.host != socket.gethostname():
            return
        with suppress(OSError):
            line = socket.create_connection(("127.0.0.1", address.port), timeout=_SECONDS)
            line.settimeout(None)
            line.sendall(_line({"token": address.token, "part": part}))
            self._socket = line
            _LOGGED.add(self, address)
            threading.Thread(target=self._listen, args=(line,), daemon=True, name="call").start()

    def __call__(self, step: Step) -> None:
        """Send a step.

        Raises
        ------
        KeyboardInterrupt
            The call stops, or its process is gone.
        """
        if self._stop.is_set():
            raise KeyboardInterrupt
        now = time.monotonic()
        if self._socket is None or (now - self._sent < _PAUSE and step.done < step.total):
            return
        self._sent = now
        with suppress(OSError):
            self._socket.sendall(_line(list(step)))

    def log(self, record: logging.LogRecord) -> None:
        """Send what was logged in this process."""
        line, text = self._socket, record.getMessage()[:_TOLD]
        if line is not None:
            with suppress(OSError):
                line.sendall(_line({"level": record.levelno, "text": text, "pid": record.process}))

    def close(self) -> None:
        """End the line."""
        _LOGGED.remove(self)
        line, self._socket = self._socket, None
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _listen(self, line: socket.socket) -> None:
        with suppress(OSError):
            line.recv(16)
        self._stop.set()


def _line(value: object) -> bytes:
    return f"{json.dumps(value)}\n".encode()


class _Logged(logging.Handler):
    """Sends what a worker's process logs to the call; once, however many parts it has, and not of two calls."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[Line, str] = {}
        self._level = logging.NOTSET
        self._guard = threading.Lock()

    def add(self, line: Line, address: Address) -> None:
        """Begin with a part's line, unless the process logs by itself: that of the call, a fork of it, one set up so."""
        if address.pid == os.getpid() or address.level >= logging.CRITICAL:
            return
        with self._guard:
            if not self._lines and _writes(LOG):
                return
            if not self._lines:
                self._level = LOG.level
                LOG.addHandler(self)
                LOG.setLevel(min(LOG.getEffectiveLevel(), address.level))
            self.setLevel(address.level)
            self._lines[line] = address.token

    def remove(self, line: Line) -> None:
        """End with a part's line."""
        with self._guard:
            if self._lines.pop(line, None) is not None and not self._lines:
                LOG.removeHandler(self)
                LOG.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record on the first line."""
        lines = dict(self._lines)
        if len(set(lines.values())) == 1:
            next(iter(lines)).log(record)


def _writes(log: logging.Logger | None) -> bool:
    """Say whether a logger, or one above it, has a handler that writes."""
    while log is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in log.handlers):
            return True
        log = log.parent if log.propagate else None
    return False


_LOGGED = _Logged()
