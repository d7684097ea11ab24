"""What the AWS environment and configuration files say: settings, credentials, certificates, proxies.

botocore is loaded where a setting or a key is asked for, and not before.
"""

from __future__ import annotations

import atexit
import os
import ssl
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from cryptolake.errors import StorageError, unknown_word

Checksums = Literal["when_required", "when_supported"]
"""When boto3 and s3fs compute, or compare, S3's own checksums. Some stores refuse the headers.

Polars and the listing only read, and s5cmd copies without a body: they never send any.
"""

_RENEWED = 60
"""Seconds after which Polars asks again for keys that expire; botocore renews them minutes before."""


_TRUST = threading.Lock()

_trusted: dict[str, str] = {}
"""Files of certificates that this process was made to trust, and the file that came of each."""


class ChainCredentials:
    """The keys of the usual AWS chain: environment, profile, or machine. Pickles without them.

    Polars calls it for ``credential_provider``.

    Parameters
    ----------
    profile
        The profile of the AWS configuration files to take them from; by default the environment's.
    """

    def __init__(self, profile: str | None = None) -> None:
        self.profile = profile
        self._found: Any = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ChainCredentials, (self.profile,)

    def __repr__(self) -> str:
        return f"ChainCredentials({self.profile!r})"

    def find(self) -> Any:
        """Return botocore's credentials, which renew themselves.

        Raises
        ------
        StorageError
            There are none.
        """
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        with self._lock:
            if self._found is None:
                try:
                    self._found = Session(profile=self.profile).get_credentials()
                except BotoCoreError as error:
                    message = f"the credentials for the bucket cannot be read: {error}"
                    raise StorageError(message, profile=self.profile) from error
            if self._found is None:
                message = "the bucket needs credentials, and there are none in the AWS environment or a profile"
                raise StorageError(message, profile=self.profile)
            return self._found

    def __call__(self) -> tuple[dict[str, str], int | None]:
        """Return the keys under Polars' names, and when it has to ask again (seconds since 1970)."""
        from botocore.credentials import RefreshableCredentials

        found = self.find()
        keys = found.get_frozen_credentials()
        given = GivenCredentials(keys.access_key, keys.secret_key, keys.token)
        expires = isinstance(found, RefreshableCredentials)
        return given()[0], int(time.time()) + _RENEWED if expires else None


@dataclass(frozen=True)
class GivenCredentials:
    """Keys that were given. Polars calls it for ``credential_provider``; its pickle holds them."""

    key: str
    secret: str | None = field(repr=False)
    token: str | None = field(repr=False)

    def __call__(self) -> tuple[dict[str, str], int | None]:
        """Return the keys under Polars' names, and that they do not expire."""
        named = {
            "aws_access_key_id": self.key,
            "aws_secret_access_key": self.secret,
            "aws_session_token": self.token,
        }
        return {name: value for name, value in named.items() if value}, None


class AwsSettings:
    """What the AWS environment and configuration files say of S3."""

    def __init__(self, profile: str | None) -> None:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        self._session: Any = Session(profile=profile)
        try:
            self._file: dict[str, Any] = self._session.get_scoped_config()
        except BotoCoreError as error:
            message = f"the AWS configuration cannot be used: {error}."
            raise StorageError(message, profile=profile) from error

    def endpoint(self) -> str | None:
        """Return the endpoint for S3, by botocore's order."""
        if self._session.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        services = self._session.full_config.get("services", {}).get(self._file.get("services"), {})
        return (
            os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
            or services.get("s3", {}).get("endpoint_url")
            or self._file.get("endpoint_url")
        )

    def region(self) -> str | None:
        """Return the region."""
        value = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return value or self._file.get("region")

    def certificates(self) -> str | None:
        """Return the file of certificates to trust."""
        value = self._session.get_config_variable("ca_bundle")
        return value or os.environ.get("REQUESTS_CA_BUNDLE") or None

    def style(self) -> str | None:
        """Return the addressing style."""
        s3 = self._file.get("s3")
        return s3.get("addressing_style") if isinstance(s3, dict) else None

    def checksums(self, config: dict[str, Any], name: str) -> Any:
        """Take a checksum policy out of the options, else from the environment or a file."""
        value = config.pop(name, None) or os.environ.get(f"AWS_{name.upper()}")
        found = str(value or self._file.get(name) or "when_required").lower()
        return one_of("checksum policy", found, get_args(Checksums))


def archive_certificates() -> str | None:
    """Return the certificates to trust; botocore is loaded only where a configuration file names some."""
    if value := os.environ.get("AWS_CA_BUNDLE"):
        return value
    file = Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    try:
        in_file = "ca_bundle" in file.read_text("utf-8", errors="replace")
    except OSError:
        in_file = False
    if in_file:
        return AwsSettings(None).certificates()
    return os.environ.get("REQUESTS_CA_BUNDLE") or None


def environment_proxy(url: str) -> str | None:
    """Return the proxy that the environment has for a URL, by botocore's rules."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def login(proxy: str) -> str | None:
    """Return ``user:password`` of a proxy's URL; None without them.

    Examples
    --------
    >>> login("http://me:p%40ss@proxy:1")
    'me:p@ss'
    """
    parts = urlsplit(proxy)
    if not parts.username or parts.password is None:
        return None
    return f"{unquote(parts.username)}:{unquote(parts.password)}"


def one_of(what: str, given: str, choices: tuple[str, ...]) -> Any:
    """Return the given word.

    Raises
    ------
    InvalidQuery
        It is none of the choices.
    """
    if given not in choices:
        raise unknown_word(what, given, choices)
    return given


def trust_in_process(certificates: str) -> None:
    """Have Polars trust certificates besides the system's, where the environment does not say whom.

    Raises
    ------
    StorageError
        The file of certificates cannot be read.
    """
    with _TRUST:
        value = os.environ.get("SSL_CERT_FILE")
        ours = value in _trusted.values()
        if (value and not ours) or (ours and certificates in _trusted):
            return
        paths = ssl.get_default_verify_paths()  # its file is the environment's, so far
        try:
            texts = [Path(n).read_text("utf-8") for n in (certificates, paths.cafile) if n]
        except (OSError, UnicodeDecodeError) as error:
            message = f"the file of certificates {certificates!r} cannot be read: {error}."
            raise StorageError(message, certificates=certificates) from error
        descriptor, together = tempfile.mkstemp(prefix="cryptolake-", suffix=".pem")
        os.close(descriptor)
        Path(together).write_text("\n".join(texts), "utf-8")
        atexit.register(Path(together).unlink, missing_ok=True)
        _trusted[certificates] = os.environ["SSL_CERT_FILE"] = together
        if paths.capath:  # OpenSSL's default; Polars would not read it beside a file
            os.environ.setdefault("SSL_CERT_DIR", paths.capath)
