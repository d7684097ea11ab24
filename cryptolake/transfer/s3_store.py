"""A lake in a bucket: its S3 client, and the store that uploads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from cryptolake.archive.keys import CHECKSUM
from cryptolake.storage import layout
from cryptolake.storage.errors import SKEWED, clock_off
from cryptolake.storage.s3_config import S3Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cryptolake.archive.source import Archive
    from cryptolake.storage.files import S3Storage
    from cryptolake.transfer.options import TransferOptions

TROUBLES: tuple[type[Exception], ...] = (OSError, Boto3Error, BotoCoreError, ClientError)
"""The errors that S3 clients and the network raise."""

MIB = 2**20

LARGEST_COPY = 5 * 1024 * MIB
"""Bytes that one CopyObject can copy; larger objects go by multipart copy."""

COPY_PART = 256 * MIB
"""Bytes of one part of a multipart copy."""

_AGAIN = 0.2
"""Seconds before a request is signed anew after S3 found its signature too old."""


def archive_client(archive: Archive, options: TransferOptions) -> Any:
    """Return a boto3 client for the archive, unsigned where it is public."""
    config = S3Config.of_archive(archive.endpoint, archive.region, anonymous=archive.anonymous)
    # Its name has dots, which fit no wildcard certificate in a host.
    return replace(config, style="path").boto3(**_settings(options))


def lake_client(config: S3Config, options: TransferOptions, *, accelerated: bool = False) -> Any:
    """Return a boto3 client for the lake's bucket, with the lake's own credentials.

    ``accelerated``: by S3's Transfer Acceleration, for bytes that this machine sends or reads.
    """
    made = config.boto3(accelerated=accelerated, **_settings(options))
    made.meta.events.register("needs-retry.s3", _signs_anew(options.retries))
    return made


class S3Store:
    """Bronze and quarantine in a bucket. An object that is put appears whole or not at all.

    ``client`` is for what stays inside S3 or is small: copies, listings, deletions. ``carrier`` is for the
    files' bytes, and uses the accelerated endpoint if the options ask for it: that one does not copy from
    one region to another.
    """

    def __init__(self, storage: S3Storage, options: TransferOptions) -> None:
        self.client = lake_client(storage.config, options)
        self.carrier = self.client
        if options.acceleration:
            self.carrier = lake_client(storage.config, options, accelerated=True)
        self.bucket, self.config = storage.bucket, storage.config
        self.extra = {"StorageClass": options.storage_class} if options.storage_class else {}
        self._storage = storage
        self._part = max(8, min(options.part_size, 64)) * MIB

    def key(self, path: str = "") -> str:
        """Return the object key of a path in the lake, or of its root."""
        return self._storage.key(path)

    def stored(self, keys: Iterable[str]) -> dict[str, Path]:  # noqa: ARG002 - nothing is on this disk
        """Return nothing: the lake is not on this disk."""
        return {}

    def quarantined(self, key: str) -> Path | None:  # noqa: ARG002
        """Return None: the lake is not on this disk."""
        return None

    def place(self, key: str, zip_path: Path, sidecar: Path | None) -> None:
        """Upload both: the sidecar first, as on a disk."""
        self._upload(layout.bronze_path(key), zip_path, sidecar)

    def quarantine(self, key: str, zip_path: Path, sidecar: Path | None) -> str:
        """Upload both into quarantine."""
        self._upload(layout.quarantine_path(key), zip_path, sidecar)
        return layout.quarantine_path(key)

    def put(self, path: str, data: bytes) -> None:
        """Put a small object."""
        self.carrier.put_object(Bucket=self.bucket, Key=self.key(path), Body=data, **self.extra)

    def get(self, path: str) -> Any:
        """Request an object; its bytes come as the answer's ``Body`` is read."""
        return self.carrier.get_object(Bucket=self.bucket, Key=self.key(path))

    def sidecar(self, path: str) -> bytes | None:
        """Return a CHECKSUM's bytes, at most 4096 of them; None where there is none."""
        try:
            body: bytes = self.get(path)["Body"].read(4096)
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        return body

    def length(self, path: str) -> int:
        """Return an object's size."""
        return int(self.client.head_object(Bucket=self.bucket, Key=self.key(path))["ContentLength"])

    def copy(self, bucket: str, key: str, path: str, etag: str | None = None) -> None:
        """Copy an object into the lake inside S3: in one request, or in parts where it is too large for that.

        With an ETag, only while the source has it: all parts are then of one version.
        """
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(multipart_threshold=LARGEST_COPY, multipart_chunksize=COPY_PART)
        extra = dict(self.extra) | ({"CopySourceIfMatch": f'"{etag}"'} if etag else {})
        source = {"Bucket": bucket, "Key": key}
        self.client.copy(source, self.bucket, self.key(path), extra or None, Config=config)

    def move_to_quarantine(self, key: str, *, sidecar: bool) -> None:
        """Move a file from its final name into quarantine, inside S3."""
        self._move(layout.bronze_path, layout.quarantine_path, key, sidecar=sidecar)

    def move_from_quarantine(self, key: str, *, sidecar: bool) -> None:
        """Move a file from quarantine to its final name, inside S3."""
        self._move(layout.quarantine_path, layout.bronze_path, key, sidecar=sidecar)

    def _move(
        self, source: Callable[[str], str], target: Callable[[str], str], key: str, *, sidecar: bool
    ) -> None:
        # A zip is never there without its sidecar, which is copied first and deleted last.
        names = [key + CHECKSUM, key] if sidecar else [key]
        for name in names:
            self.copy(self.bucket, self.key(source(name)), target(name))
        for name in reversed(names):
            self.client.delete_object(Bucket=self.bucket, Key=self.key(source(name)))

    def clock_offset(self) -> float | None:
        """Ask S3 for its time; return by how many seconds this clock is ahead of it, None where unknown."""
        try:
            self.client.head_bucket(Bucket=self.bucket)
        except TROUBLES as error:
            return clock_off(error)
        return 0.0

    def remove(self, key: str) -> None:
        """Remove a file that failed its check, and its sidecar."""
        for name in (key, key + CHECKSUM):
            self.client.delete_object(Bucket=self.bucket, Key=self.key(layout.bronze_path(name)))

    def _upload(self, path: str, zip_path: Path, sidecar: Path | None) -> None:
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(
            multipart_threshold=self._part, multipart_chunksize=self._part, use_threads=False
        )
        # A published file has its own checksum; a second one would only cost time.
        for name, source in ((path + CHECKSUM, sidecar), (path, zip_path)):
            if source is not None:
                extra = dict(self.extra) or None
                self.carrier.upload_file(
                    str(source), self.bucket, self.key(name), extra, None, config
                )
        for source in (sidecar, zip_path):
            if source is not None:
                source.unlink(missing_ok=True)


def is_absent(error: ClientError) -> bool:
    """Return whether S3 answered that there is no such object."""
    return error.response["Error"]["Code"] in {"NoSuchKey", "404"}


def _signs_anew(retries: int) -> Any:
    """Return a botocore handler that repeats a request that S3 found signed too long ago, or too early.

    Botocore gives up at once. s5cmd does not: a request may have waited long in a queue, and the clock may
    have been corrected meanwhile.
    """

    def wait(response: Any = None, attempts: int = 1, **_: Any) -> float | None:
        code = response[1].get("Error", {}).get("Code") if response else None
        return _AGAIN if code == SKEWED and attempts <= retries else None

    return wait


def _settings(options: TransferOptions) -> dict[str, Any]:
    return {
        "retries": {"mode": "standard", "total_max_attempts": options.retries + 1},
        "connect_timeout": min(20.0, options.stall_timeout),
        "read_timeout": options.stall_timeout,
        "max_pool_connections": max(10, options.workers),
    }
