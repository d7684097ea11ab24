"""One HTTP GET: through the proxy and by the certificates that the environment names, patiently.

It is urllib3's work, which botocore builds upon. Listing a public bucket needs no more of botocore, and
loading that and making its client costs a new process as much as a small transfer takes.
"""

from __future__ import annotations

import importlib
import os
import ssl
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import PoolManager, ProxyManager, Retry, Timeout, exceptions, make_headers

from cryptolake.listing.answers import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse

ATTEMPTS = 4
"""How often something is asked for before that counts as a failure."""

_LONGEST = 20
"""Seconds that a server may make us wait before the next attempt."""

_TIMEOUT = Timeout(connect=10, read=60)


class Answer(NamedTuple):
    """What came: the status, the headers (their names in any case), and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Patience(Retry):
    """Attempts, further and further apart, or as the server asks: but not for hours."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            said = super().get_retry_after(response)
        except exceptions.InvalidHeader:
            return None
        return None if said is None else min(said, _LONGEST)


_RETRIES = _Patience(
    total=ATTEMPTS - 1,
    status_forcelist={429, 500, 502, 503, 504},
    backoff_factor=0.25,
    backoff_jitter=0.5,
    raise_on_status=False,  # the last answer says more than that it was the last
)


class Web:
    """Connections to one endpoint, shared by any number of threads.

    Parameters
    ----------
    url
        The endpoint.
    connections
        How many are kept open.

    Raises
    ------
    NoAnswer
        The environment names a proxy or certificates that there cannot be.
    """

    def __init__(self, url: str, *, connections: int) -> None:
        try:
            self._pools = _pools(url, connections)
        except (exceptions.HTTPError, OSError, ValueError) as error:
            # Not the proxy's URL: it may hold a password.
            why = (
                f"no connection can be made as the environment says (proxy, certificates): {error}"
            )
            raise NoAnswer(why) from None

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Ask for a URL. A redirect is an answer: nothing that is listed lies behind one.

        Raises
        ------
        NoAnswer
            Nothing answers, or not in time.
        """
        try:
            answer = self._pools.urlopen(
                "GET",
                url,
                headers=headers,
                retries=_RETRIES,
                timeout=_TIMEOUT,
                redirect=False,
            )
        except exceptions.HTTPError as error:
            raise NoAnswer(_silence(error)) from error
        return Answer(answer.status, answer.headers, answer.data)


def _pools(url: str, connections: int) -> PoolManager:
    proxy = _proxy(url)
    secure = any(address.startswith("https:") for address in (url, proxy or ""))
    trusted = _trusted() if secure else None  # read once: every connection would do it anew
    if proxy is None:
        return PoolManager(maxsize=connections, ssl_context=trusted)
    return ProxyManager(
        proxy,
        maxsize=connections,
        ssl_context=trusted,
        proxy_ssl_context=trusted,
        proxy_headers=_login(proxy),
    )


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment (or the system) has for a URL, by the rules of botocore."""
    parts = urlsplit(url)
    said = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    if not said or said.startswith(("http:", "https:")):
        return said or None
    return f"http://{said.removeprefix('//')}"


def _login(proxy: str) -> Mapping[str, str]:
    parts = urlsplit(proxy)
    if not parts.username or parts.password is None:
        return {}
    return make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password)}")


def _trusted() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file = certificates()
    if file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(file)
    return context


def certificates() -> str | None:
    """Return the file of certificates to trust: as for botocore, the environment's, certifi's, or its own."""
    said = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    if said:
        return said
    with suppress(ImportError):
        return str(importlib.import_module("certifi").where())
    found = find_spec("botocore")  # finds it without loading it
    file = Path(found.origin).with_name("cacert.pem") if found and found.origin else None
    return str(file) if file and file.is_file() else None


def _silence(error: exceptions.HTTPError) -> str:
    """Say in words why there was no answer."""
    reason = error.reason if isinstance(error, exceptions.MaxRetryError) else error
    if isinstance(reason, exceptions.ProxyError):
        return (
            f"the proxy that the environment names does not let us through: {reason.original_error}"
        )
    if isinstance(reason, exceptions.NewConnectionError):
        return "nothing answers there (connection refused, or the name is not known)"
    if isinstance(reason, exceptions.TimeoutError):
        return "it did not answer in time"
    if isinstance(reason, exceptions.SSLError):
        return f"its certificate is not trusted (AWS_CA_BUNDLE names a file of others): {reason}"
    if isinstance(reason, exceptions.ProtocolError):
        return f"the connection broke off, again and again: {reason.args[-1]}"
    return str(reason)
