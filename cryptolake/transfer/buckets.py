"""A lake in a bucket: its S3 client, the credentials for s5cmd, and the vault that uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cryptolake.errors import InvalidQuery
from cryptolake.keys import CHECKSUM
from cryptolake.transfer.vaults import QUARANTINE

if TYPE_CHECKING:
    from pathlib import Path

    from cryptolake.archive import Archive
    from cryptolake.storage import S3Storage
    from cryptolake.transfer.options import TransferOptions

TROUBLES: tuple[type[Exception], ...] = (OSError, BotoCoreError, ClientError)
"""What S3 and the network raise."""

MIB = 2**20


def archive_client(archive: Archive, options: TransferOptions) -> Any:
    """Return a boto3 client for the archive, unsigned where it is public."""
    import boto3
    from botocore import UNSIGNED

    extra = {"signature_version": UNSIGNED} if archive.anonymous else {}
    return boto3.session.Session().client(
        "s3",
        endpoint_url=archive.endpoint,
        region_name=archive.region,
        config=_config(options, s3={"addressing_style": "path"}, **extra),
    )


def lake_client(storage: S3Storage, options: TransferOptions) -> Any:
    """Return a boto3 client for the lake's bucket, with the lake's own credentials.

    Raises
    ------
    InvalidQuery
        Acceleration was asked for, and the bucket is not at AWS.
    """
    import boto3
    from botocore import UNSIGNED

    given = storage.options
    client = dict(given.get("client_kwargs") or {})
    client.pop("endpoint_url", None)
    client.pop("region_name", None)
    endpoint = storage.endpoint_url
    if options.acceleration and endpoint is not None:
        message = f"acceleration is a service of AWS, and the lake is at {endpoint}; leave it out."
        raise InvalidQuery(message, what="acceleration", given=True)
    style: dict[str, Any] = {"addressing_style": "path"} if endpoint else {}
    if options.acceleration:
        style = {"use_accelerate_endpoint": True}
    extra = {"signature_version": UNSIGNED} if given.get("anon") else {}
    return boto3.session.Session(
        aws_access_key_id=given.get("key"),
        aws_secret_access_key=given.get("secret"),
        aws_session_token=given.get("token"),
        region_name=storage.region or "us-east-1",
        profile_name=given.get("profile"),
    ).client("s3", endpoint_url=endpoint, config=_config(options, s3=style, **extra), **client)


def lake_secrets(storage: S3Storage) -> dict[str, str]:
    """Return the environment that gives s5cmd the lake's credentials; empty where the usual chain counts."""
    names = {
        "AWS_ACCESS_KEY_ID": storage.options.get("key"),
        "AWS_SECRET_ACCESS_KEY": storage.options.get("secret"),
        "AWS_SESSION_TOKEN": storage.options.get("token"),
        "AWS_PROFILE": storage.options.get("profile"),
    }
    return {name: str(value) for name, value in names.items() if value}


class BucketVault:
    """Bronze and quarantine in a bucket. A put shows an object whole or not at all."""

    def __init__(self, storage: S3Storage, options: TransferOptions) -> None:
        self.client = lake_client(storage, options)
        self.bucket = storage.bucket
        self.extra = {"StorageClass": options.storage_class} if options.storage_class else {}
        self._storage = storage
        self._part = max(8, min(options.part_size, 64)) * MIB

    def key(self, path: str) -> str:
        """Return the object key of a path in the lake."""
        return self._storage.key(path)

    def here(self, key: str) -> Path | None:  # noqa: ARG002 - nothing of a bucket is on this disk
        """Return None: the lake is not on this disk."""
        return None

    def held(self, key: str) -> Path | None:  # noqa: ARG002
        """Return None: the lake is not on this disk."""
        return None

    def store(self, key: str, zip_path: Path, sidecar: Path | None) -> None:
        """Upload both: the sidecar first, as on a disk."""
        self._upload(f"bronze/{key}", zip_path, sidecar)

    def hold(self, key: str, zip_path: Path, sidecar: Path | None) -> str:
        """Upload both into quarantine."""
        self._upload(QUARANTINE + key, zip_path, sidecar)
        return QUARANTINE + key

    def put(self, path: str, data: bytes) -> None:
        """Put a small object."""
        self.client.put_object(Bucket=self.bucket, Key=self.key(path), Body=data, **self.extra)

    def set_aside(self, key: str) -> str:
        """Move what stands at the final name into quarantine, inside S3."""
        for name in (key, key + CHECKSUM):
            source = {"Bucket": self.bucket, "Key": self.key(f"bronze/{name}")}
            self.client.copy(source, self.bucket, self.key(QUARANTINE + name))
            self.client.delete_object(**source)
        return QUARANTINE + key

    def remove(self, key: str) -> None:
        """Remove a file that proved wrong, and its sidecar."""
        for name in (key, key + CHECKSUM):
            self.client.delete_object(Bucket=self.bucket, Key=self.key(f"bronze/{name}"))

    def _upload(self, path: str, zip_path: Path, sidecar: Path | None) -> None:
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(
            multipart_threshold=self._part, multipart_chunksize=self._part, use_threads=False
        )
        # A file as it is published carries its own checksum; a second one would only cost time.
        for name, source in ((path + CHECKSUM, sidecar), (path, zip_path)):
            if source is not None:
                extra = dict(self.extra) or None
                self.client.upload_file(
                    str(source), self.bucket, self.key(name), extra, None, config
                )
        for source in (sidecar, zip_path):
            if source is not None:
                source.unlink(missing_ok=True)


def _config(options: TransferOptions, **more: Any) -> Any:
    from botocore.config import Config

    return Config(
        retries={"mode": "standard", "total_max_attempts": options.retries + 1},
        connect_timeout=min(20.0, options.stall_timeout),
        read_timeout=options.stall_timeout,
        max_pool_connections=max(10, options.workers),
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **more,
    )
