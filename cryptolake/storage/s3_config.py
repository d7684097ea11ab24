"""One S3 configuration for every client of a bucket.

``storage_options``, the AWS environment and the AWS configuration files are read once. Each client then
gets the same keys, region, endpoint, certificates, proxies, checksum policy, addressing style, encryption
and payer under its own names: the listing's HTTP client, boto3, s3fs, Polars, s5cmd and DuckDB's httpfs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from cryptolake.archive.source import checked_endpoint
from cryptolake.errors import InvalidQuery
from cryptolake.storage.aws_settings import (
    AwsSettings,
    ChainCredentials,
    Checksums,
    GivenCredentials,
    archive_certificates,
    environment_proxy,
    one_of,
    trust_in_process,
)

Style = Literal["auto", "path", "virtual"]
"""Where the bucket's name goes: into the path or the host. ``auto``: as the endpoint is known to take it."""

_SIGNING = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
)

_KEYS = ("key", "secret", "token", "username", "password")

_REGION = "us-east-1"
"""The region where none is given."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

_COPY_FLAGS = {
    "ServerSideEncryption": "--sse",
    "SSEKMSKeyId": "--sse-kms-key-id",
    "StorageClass": "--storage-class",
    "ACL": "--acl",
}
"""What s5cmd calls the request parameters that it can send with a copy."""


class Http(NamedTuple):
    """What the listing's HTTP client needs for one URL. The proxy may hold a password."""

    proxy: str | None
    verify: bool
    certificates: str | None
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Http(verify={self.verify}, certificates={self.certificates!r})"


class S5cmd(NamedTuple):
    """What s5cmd needs: global flags, and its whole environment, where the keys are."""

    flags: list[str]
    environment: dict[str, str]

    def __repr__(self) -> str:
        return f"S5cmd({self.flags})"


class Httpfs(NamedTuple):
    """What DuckDB's httpfs needs: the parameters of an S3 secret, and global settings."""

    secret: dict[str, str]
    settings: dict[str, str]

    def __repr__(self) -> str:
        return f"Httpfs({sorted(self.secret)}, {self.settings})"


@dataclass(frozen=True)
class S3Config:
    """How a bucket is reached. No text of it shows a credential.

    Made by :meth:`of` for a lake and by :meth:`of_archive` for an archive.

    Examples
    --------
    >>> S3Config(endpoint="http://127.0.0.1:9000", key="k", secret="hidden").polars("lakes")[
    ...     "storage_options"
    ... ]["aws_endpoint_url"]
    'http://127.0.0.1:9000'
    """

    endpoint: str | None = None
    region: str | None = None
    anonymous: bool = False
    profile: str | None = None
    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    verify: bool = True
    certificates: str | None = None
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    """Proxies by scheme; None for those of the environment."""
    style: Style = "auto"
    request_checksums: Checksums = "when_required"
    response_checksums: Checksums = "when_required"
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Parameters of every request that has them, by S3's names: ``ServerSideEncryption`` and others."""
    requester_pays: bool = False
    client: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Further arguments of botocore's client."""
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Further options of botocore's Config: timeouts, retries."""
    filesystem: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Further arguments of s3fs alone."""
    chain: ChainCredentials = field(default_factory=ChainCredentials, repr=False, compare=False)

    @classmethod
    def of(cls, options: Mapping[str, Any] | None = None) -> S3Config:
        """Read ``storage_options`` as s3fs takes them, then the AWS environment and configuration files.

        Raises
        ------
        InvalidQuery
            An option that not every client can follow, or a value that it cannot have.
        StorageError
            The AWS configuration cannot be read, or has no such profile.
        """
        given = dict(options or {})
        client = dict(given.pop("client_kwargs", None) or {})
        parameters = dict(given.pop("s3_additional_kwargs", None) or {})
        _refuse(given, client, parameters)
        profile = given.pop("profile", None)
        settings = AwsSettings(profile)
        configured = _of_config(given.pop("config_kwargs", None) or {}, settings)
        endpoints = given.pop("endpoint_url", None), client.pop("endpoint_url", None)
        verify, region = client.pop("verify", None), configured.pop("region")
        payer = parameters.pop("RequestPayer", None)
        return cls(
            endpoint=_endpoint(endpoints[0] or endpoints[1] or settings.endpoint()),
            region=client.pop("region_name", None) or region or settings.region(),
            anonymous=bool(given.pop("anon", False)),
            profile=profile,
            key=_key(given, client, "key", "username", "aws_access_key_id"),
            secret=_key(given, client, "secret", "password", "aws_secret_access_key"),
            token=_key(given, client, "token", "", "aws_session_token"),
            verify=verify is not False,
            certificates=settings.certificates() if verify in (None, True, False) else str(verify),
            **configured,
            parameters=parameters,
            requester_pays=bool(given.pop("requester_pays", False) or payer),
            client=client,
            filesystem=given,
            chain=ChainCredentials(profile),
        )

    @classmethod
    def of_archive(cls, endpoint: str | None, region: str, *, anonymous: bool) -> S3Config:
        """Return the configuration of an archive: of the environment, only what leads to its endpoint.

        A public one is reached without loading botocore.
        """
        return cls(
            endpoint=endpoint,
            region=region,
            anonymous=anonymous,
            certificates=archive_certificates(),
        )

    # ------------------------------------------------------------------ one method for each client

    def http(self, url: str) -> Http:
        """Return what the listing's HTTP client needs to ask for a URL."""
        headers = {"x-amz-request-payer": "requester"} if self.requester_pays else {}
        return Http(self._proxy(url), self.verify, self.certificates, headers)

    def bucket_url(self, bucket: str, region: str | None = None) -> str:
        """Return the URL of a bucket, for the listing: the name is in the path unless asked otherwise.

        A name with dots fits no wildcard certificate in the host.

        Examples
        --------
        >>> S3Config(endpoint="http://s3.test:1", style="virtual").bucket_url("b")
        'http://b.s3.test:1'
        """
        endpoint = self.endpoint or _aws(region or self.region)
        return _hosted(endpoint, bucket) if self.style == "virtual" else f"{endpoint}/{bucket}"

    def credentials(self) -> Any:
        """Return botocore's credentials for signing: the given keys, else those of the AWS chain.

        Raises
        ------
        StorageError
            There are none.
        """
        if not self.key:
            return self.chain.find()
        from botocore.credentials import Credentials

        return Credentials(self.key, self.secret or "", self.token)

    def boto3(self, *, accelerated: bool = False, **settings: Any) -> Any:
        """Return a boto3 client.

        Parameters
        ----------
        accelerated
            Go by S3's Transfer Acceleration.
        **settings
            Options of botocore's Config that count more than those of ``storage_options``.
        """
        import boto3
        from botocore.config import Config

        config = self._botocore() | settings
        if accelerated:
            config["s3"] = {"use_accelerate_endpoint": True}
        if self.anonymous:
            from botocore import UNSIGNED

            config["signature_version"] = UNSIGNED
        client = boto3.session.Session(
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            aws_session_token=self.token,
            region_name=self.region or _REGION,
            profile_name=self.profile,
        ).client(
            "s3",
            endpoint_url=self.endpoint,
            verify=self._verify(),
            config=Config(**config),
            **self.client,
        )
        client.meta.events.register("before-parameter-build.s3", self._add_parameters)
        return client

    def s3fs(self) -> dict[str, Any]:
        """Return the arguments of s3fs's filesystem. Listings are not cached: others write too."""
        client = {
            "endpoint_url": self.endpoint,
            "region_name": self.region,
            "verify": self._verify(),
        }
        own = {"key": self.key, "secret": self.secret, "token": self.token, "profile": self.profile}
        return {
            "use_listings_cache": False,
            "skip_instance_cache": True,
            **self.filesystem,
            **_without_none(own),
            "anon": self.anonymous,
            "requester_pays": self.requester_pays,
            "s3_additional_kwargs": dict(self.parameters),
            "config_kwargs": self._botocore(),
            "client_kwargs": {**self.client, **_without_none(client)},
        }

    def polars(self, bucket: str) -> dict[str, Any]:
        """Return ``storage_options`` and ``credential_provider`` for Polars' readers.

        Polars takes certificates from ``SSL_CERT_FILE`` alone. Where that is not set, it is set for this
        process: to a file of what the system trusts and the configured certificates.
        """
        endpoint = self.endpoint
        virtual = self.style == "virtual"
        if endpoint and virtual:
            endpoint = _hosted(endpoint, bucket)  # object_store wants it with the bucket in it
        if self.certificates and self.verify:
            trust_in_process(self.certificates)
        proxy = self._polars_proxy(endpoint or "https://amazonaws.com")
        options = {
            "aws_region": self.region,
            "aws_endpoint_url": endpoint,
            "aws_skip_signature": "true" if self.anonymous else None,
            "aws_virtual_hosted_style_request": "true" if virtual else None,
            "aws_request_payer": "true" if self.requester_pays else None,
            "allow_http": "true" if (endpoint or "").startswith("http://") else None,
            "allow_invalid_certificates": None if self.verify else "true",
            "proxy_url": proxy,
        }
        # Keys go by a provider: where they were options, object_store would add a token of the environment.
        given = GivenCredentials(self.key, self.secret, self.token) if self.key else self.chain
        provider = None if self.anonymous else given
        return {"storage_options": _without_none(options), "credential_provider": provider}

    def s5cmd(self, known: Callable[[], Collection[str]] = tuple) -> S5cmd:
        """Return s5cmd's flags and environment. Credentials are in the environment alone.

        Parameters
        ----------
        known
            Tells the global flags that the binary has; called only where that matters.

        Raises
        ------
        InvalidQuery
            s5cmd cannot do what is configured.
        StorageError
            There are no credentials.
        """
        if limit := self.s5cmd_limit(known):
            raise InvalidQuery(limit, what="storage_options")
        flags = ["--no-sign-request"] if self.anonymous else []
        endpoint = self.endpoint
        if endpoint is None and self.style == "path":
            endpoint = _aws(self.region)  # with an endpoint of its own, s5cmd writes paths
        if endpoint:
            flags += ["--endpoint-url", endpoint]
        if self.endpoint and self.style == "virtual":
            flags += ["--addressing-style", "virtual"]
        if not self.verify:
            flags.append("--no-verify-ssl")
        if self.requester_pays:
            flags += ["--request-payer", "requester"]
        return S5cmd(flags, self._s5cmd_environment())

    def s5cmd_copy(self) -> dict[str, str]:
        """Return the flags of s5cmd's ``cp`` into the bucket, and their values."""
        return {
            flag: str(self.parameters[name])
            for name, flag in _COPY_FLAGS.items()
            if name in self.parameters
        }

    def s5cmd_limit(self, known: Callable[[], Collection[str]] = tuple) -> str | None:
        """Say in a sentence what s5cmd cannot do of what is configured; None where it can do all.

        Examples
        --------
        >>> S3Config(parameters={"BucketKeyEnabled": True}).s5cmd_limit()
        's5cmd cannot send BucketKeyEnabled (s3_additional_kwargs) with a copy; use mode relay.'
        """
        if self.endpoint and self.style == "virtual" and "--addressing-style" not in known():
            return (
                f"s5cmd writes the bucket into the path at {self.endpoint}, and this version has no flag "
                "for addressing style 'virtual'; use mode relay."
            )
        if others := sorted(set(self.parameters) - set(_COPY_FLAGS)):
            return f"s5cmd cannot send {', '.join(others)} (s3_additional_kwargs) with a copy; use mode relay."
        return None

    def httpfs(self, bucket: str) -> Httpfs | None:
        """Return what DuckDB's httpfs needs; None where s3fs has to read in its place.

        It does so without keys of its own, since a secret cannot renew those of a chain, and behind a
        proxy with a password, which ``duckdb_secrets()`` would show.
        """
        proxy = urlsplit(self._proxy(self.endpoint or _aws(self.region)) or "")
        if self.anonymous or not self.key or proxy.username:
            return None
        scheme, _, host = (self.endpoint or "").partition("://")
        path = self.style == "path" or (self.style == "auto" and (host or "." in bucket))
        secret = {
            "KEY_ID": self.key,
            "SECRET": self.secret,
            "SESSION_TOKEN": self.token,
            "REGION": self.region,
            "ENDPOINT": host,
            "URL_STYLE": "path" if path else "vhost",
            "USE_SSL": {"http": "false", "https": "true"}.get(scheme),
            "VERIFY_SSL": None if self.verify else "false",
            "KMS_KEY_ID": self.parameters.get("SSEKMSKeyId"),
            "REQUESTER_PAYS": "true" if self.requester_pays else None,
            "HTTP_PROXY": proxy.netloc,
        }
        settings = {"ca_cert_file": self.certificates if self.verify else None}
        return Httpfs(_without_none(secret), _without_none(settings))

    # ------------------------------------------------------------------ parts of them

    def _polars_proxy(self, url: str) -> str | None:
        """Return the configured proxy; None where Polars is to find the environment's by itself."""
        if self.proxies is None:
            return None
        proxy = self._proxy(url)
        if proxy is None and environment_proxy(url):
            message = (
                "storage_options say to use no proxy (config_kwargs, proxies), and Polars uses the "
                f"environment's all the same; put {urlsplit(url).hostname} into NO_PROXY."
            )
            raise InvalidQuery(message, what="storage_options")
        return proxy

    def _verify(self) -> str | bool | None:
        return self.certificates if self.verify else False

    def _botocore(self) -> dict[str, Any]:
        """Return the options of botocore's Config that boto3 and s3fs share."""
        from botocore.config import Config

        # Path style at an endpoint of one's own is what botocore makes of "auto" as well.
        style = "path" if self.endpoint and self.style == "auto" else self.style
        wanted: dict[str, Any] = {
            **self.config,
            "s3": {**self.config.get("s3", {}), "addressing_style": style},
            "ignore_configured_endpoint_urls": True,  # they are in ``endpoint``, or do not count
        }
        if self.proxies is not None:
            wanted["proxies"] = dict(self.proxies)
        checksums = {
            "request_checksum_calculation": self.request_checksums,
            "response_checksum_validation": self.response_checksums,
        }
        # Before 1.36 botocore has no such option, and sends no such header.
        return wanted | {k: v for k, v in checksums.items() if k in Config.OPTION_DEFAULTS}

    def _add_parameters(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Add the configured parameters to a request of boto3 that has them, as s3fs does by itself."""
        payer = {"RequestPayer": "requester"} if self.requester_pays else {}
        members = model.input_shape.members if model.input_shape else {}
        for name, value in {**payer, **self.parameters}.items():
            if name in members:
                params.setdefault(name, value)

    def _s5cmd_environment(self) -> dict[str, str]:
        left_out = {"S3_ENDPOINT_URL", "S3_ADDRESSING_STYLE", *_SIGNING}
        if self.proxies is not None:
            left_out |= {*_PROXIES, *(name.lower() for name in _PROXIES)}
        environment = {k: v for k, v in os.environ.items() if k not in left_out}
        # A profile or a metadata service must not delay, fail or change a run: what counts is set here.
        environment |= {"AWS_SDK_LOAD_CONFIG": "0", "AWS_EC2_METADATA_DISABLED": "true"}
        if not self.anonymous:
            keys = self.credentials().get_frozen_credentials()
            signing = dict(
                zip(_SIGNING, (keys.access_key, keys.secret_key, keys.token), strict=False)
            )
            environment |= _without_none(signing)
        if self.certificates and self.verify:
            environment["AWS_CA_BUNDLE"] = self.certificates
        for scheme, proxy in (self.proxies or {}).items():
            environment[f"{scheme.upper()}_PROXY"] = proxy
        # Without a region s5cmd would ask for it, with a request more.
        return environment | {"AWS_REGION": self.region or _REGION}

    def _proxy(self, url: str) -> str | None:
        """Return the proxy for a URL: the configured one, else the environment's, by botocore's rules."""
        parts = urlsplit(url)
        if self.proxies is not None:
            proxy = self.proxies.get(parts.scheme)
        else:
            proxy = environment_proxy(url)
        if not proxy or proxy.startswith(("http:", "https:")):
            return proxy or None
        return f"http://{proxy.removeprefix('//')}"


def _of_config(given: Mapping[str, Any], settings: AwsSettings) -> dict[str, Any]:
    """Return what ``config_kwargs`` say, by the names of :class:`S3Config`."""
    config = dict(given)
    s3 = dict(config.pop("s3", None) or {})
    style = s3.pop("addressing_style", None) or settings.style() or "auto"
    return {
        "region": config.pop("region_name", None),
        "proxies": config.pop("proxies", None),
        "style": one_of("addressing style", style, get_args(Style)),
        "request_checksums": settings.checksums(config, "request_checksum_calculation"),
        "response_checksums": settings.checksums(config, "response_checksum_validation"),
        "config": config | ({"s3": s3} if s3 else {}),
    }


def _refuse(
    given: Mapping[str, Any], client: Mapping[str, Any], parameters: Mapping[str, Any]
) -> None:
    """Refuse options that only one of the clients could follow."""
    why = None
    if given.get("session") is not None:
        why = "session: it reaches s3fs alone; name a profile, or give key, secret and token"
    elif not {**given, **client}.get("use_ssl", True):
        why = "use_ssl=False: write it as the endpoint, endpoint_url='http://...'"
    elif any(name.startswith(("SSECustomer", "CopySourceSSECustomer")) for name in parameters):
        why = "encryption with keys of your own (SSE-C): use ServerSideEncryption 'AES256' or 'aws:kms'"
    if why:
        message = f"storage_options cannot have {why}."
        raise InvalidQuery(message, what="storage_options")


def _key(
    given: dict[str, Any], client: dict[str, Any], name: str, other: str, botocores: str
) -> str | None:
    """Take a key out of the options, under each name that s3fs knows it by."""
    values = [given.pop(name, None), given.pop(other, None), client.pop(botocores, None)]
    return next((str(value) for value in values if value), None)


def keys_among(options: Mapping[str, Any]) -> list[str]:
    """Return the names of the options that are keys, or hold some.

    Examples
    --------
    >>> keys_among({"key": "k", "secret": "s", "anon": False, "client_kwargs": {"verify": True}})
    ['key', 'secret']
    """
    client = options.get("client_kwargs") or {}
    proxies = (options.get("config_kwargs") or {}).get("proxies") or {}
    names = [name for name in _KEYS if options.get(name)]
    names += [name for name in client if name.startswith("aws_")]
    return names + ["proxies"] * any("@" in str(proxy) for proxy in proxies.values())


def _endpoint(url: str | None) -> str | None:
    if not url:
        return None
    try:
        return checked_endpoint(str(url))
    except ValueError as error:
        why = str(error)
    # Outside of the block above, whose error may tell of the URL, and that of a password in it.
    message = f"the lake's endpoint_url is wrong: {why}."
    raise InvalidQuery(message, what="endpoint_url")


def _without_none(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, "")}


def _aws(region: str | None) -> str:
    china = ".cn" if (region or "").startswith("cn-") else ""
    return f"https://s3.{region or _REGION}.amazonaws.com{china}"


def _hosted(endpoint: str, bucket: str) -> str:
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{bucket}.{host}"
