"""How parts on the same machine say how far they are, and are told to stop: lines over a socket on loopback.

Processes, threads and a cluster's workers have nothing else in common. A worker on another machine has no line:
its parts count as they end.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from cryptolake.progress import Step

if TYPE_CHECKING:
    from types import TracebackType

_PAUSE = 0.2
"""Seconds between two steps that a part sends, at least."""

_SECONDS = 5.0
_LONGEST = 4096


class Address(NamedTuple):
    """Where the call listens: the name of its machine, a port on loopback, and what shows that a line is its own."""

    host: str
    port: int
    token: str


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
        self.address = Address(socket.gethostname(), port, secrets.token_hex(16))
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
                    done, total, pieces, all_pieces, unit = json.loads(text)
                    self.steps[number] = Step(done, total, pieces, all_pieces, str(unit))
            finally:
                with self._lock:
                    self._lines.pop(line, None)


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

    def close(self) -> None:
        """End the line."""
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
