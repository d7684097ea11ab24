"""What tests' own HTTP servers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler


def body_of(handler: BaseHTTPRequestHandler) -> bytes:
    """Read the body of a request, chunked or of a stated length."""
    if "chunked" not in handler.headers.get("Transfer-Encoding", ""):
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    data = b""
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        data += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return data
