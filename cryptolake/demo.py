"""A lake to try things on: empty, its archive a sample on loopback."""

from __future__ import annotations

import atexit
import html
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptolake.archive.source import Archive
from cryptolake.lake import Lake
from cryptolake.sample.archive import sample_archive
from cryptolake.sample.presets import parts_of, write_parts
from cryptolake.sample.server import REGION, require_moto, serve_archive

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from cryptolake.sample.archive import SampleSummary


class SampleLake(Lake):
    """An empty lake and the archive it reads from, for a ``with`` block or until the process ends.

    Made by :func:`cryptolake.sample_lake`. It shows itself without its temporary folder and its port, so that
    what a notebook shows is the same each time.

    Attributes
    ----------
    served
        The archive's endpoint; ``served.folder`` is the folder of its files.

    Examples
    --------
    >>> import cryptolake as cl
    >>> with cl.sample_lake() as lake:
    ...     lake
    Lake('a temporary folder', archive="the sample 'default', served on loopback")
    """

    def __init__(self, preset: str, bucket: str | None) -> None:
        parts = parts_of(preset)
        require_moto()
        self._preset = preset
        with ExitStack() as opened:
            scratch = tempfile.TemporaryDirectory(prefix="cryptolake-sample-")
            folder = Path(opened.enter_context(scratch))
            write_parts(folder / "archive", parts)
            lakes = [bucket] if bucket else []
            self.served = opened.enter_context(serve_archive(folder / "archive", lakes=lakes))
            root, options = self._place(folder, bucket)
            super().__init__(
                root, source=Archive(endpoint_url=self.served.endpoint), storage_options=options
            )
            self._opened = opened.pop_all()
        atexit.register(self.close)

    def _place(self, folder: Path, bucket: str | None) -> tuple[str, dict[str, Any] | None]:
        """Return the lake's root and its storage options; makes the bucket where it is in one."""
        if bucket is None:
            return str(folder / "lake"), None
        import boto3

        key, url = "sample", self.served.endpoint
        signed = {"aws_access_key_id": key, "aws_secret_access_key": key}
        made_by: Any = boto3.client
        client = made_by("s3", endpoint_url=url, region_name=REGION, **signed)
        client.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        return f"s3://{bucket}/lake", {"key": key, "secret": key, "endpoint_url": url}

    def publish(self, **files: Any) -> SampleSummary:
        """Add files to the archive, as :func:`cryptolake.sample_archive` takes them, and serve what is there now.

        Parameters
        ----------
        **files
            ``datasets``, ``symbols``, ``intervals``, ``days``, ``partitions``, ``defects``, ``seed``.

        Returns
        -------
        SampleSummary
            Counts of what was written.

        Examples
        --------
        >>> import cryptolake as cl
        >>> with cl.sample_lake("nightly") as lake:
        ...     day = {"datasets": ["spot_klines"], "symbols": ["BTCUSDT"], "intervals": ["1h"]}
        ...     lake.publish(**day, partitions=["daily"], days="2025-02-04").files
        1
        """
        written = sample_archive(self.served.folder, **files)
        self.served.refresh()
        return written

    def close(self) -> None:
        """Stop the endpoint, and remove the archive and the lake.

        Examples
        --------
        >>> import cryptolake as cl
        >>> lake = cl.sample_lake("nightly")
        >>> lake.close()
        """
        atexit.unregister(self.close)
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain lake: only this process closes it."""
        opened, (_, *rest) = super().__reduce__()
        return opened, (Lake, *rest)

    def __repr__(self) -> str:
        return f"Lake({self._shown_root!r}, archive={self._archive!r})"

    def _repr_html_(self) -> str:
        return super()._repr_html_().replace(html.escape(self.root), self._shown_root)

    @property
    def _shown_root(self) -> str:
        return "a temporary folder" if self.storage.is_local else self.root

    @property
    def _archive(self) -> str:
        return f"the sample {self._preset!r}, served on loopback"


def sample_lake(preset: str = "default", *, bucket: str | None = None) -> SampleLake:
    """Open an empty lake whose archive is a sample, made here and served on loopback.

    ``with cl.sample_lake() as lake:`` closes it when the block ends, ``lake = cl.sample_lake()`` when the
    process does. The archive, its server and the lake live in a temporary folder, which is then removed.
    Making the archive takes some seconds.

    Parameters
    ----------
    preset
        What the archive has:

        - ``"default"``: BTCUSDT and ETHUSDT in spot and futures_um; klines of 1m, 1h and 1d, trades, fundingRate
          and metrics from 2024-12-01 to 2025-03-03 (fundingRate, which is monthly, to 2025-02-28)
        - ``"bars"``, made in a second or two: klines of 1h and 1d of six symbols in spot and futures_um, and
          fundingRate, from 2024-11-01 to 2025-03-03
        - ``"datasets"``: a day, or a month, of every dataset of which files were ever seen
        - ``"nightly"``: daily files of 1h klines, 2025-01-29 to 2025-02-03, one with a CHECKSUM that does not fit
        - ``"research"``: 30 perpetuals and their spot pairs, klines of 1h and 1d and fundingRate from
          2023-11-01 to 2024-04-02; 1m, trades, metrics, mark, index and premium prices of the largest from
          2024-01-01 on, bookTicker beside trades in March; a listing, a delisting, a settled contract,
          funding that changes its interval, a halt of spot (:mod:`cryptolake.sample.research`)
    bucket
        Put the lake in a bucket of this name, on the same endpoint, instead of in a folder.

    Returns
    -------
    Lake
        It is its own context manager. ``lake.served`` is its archive's endpoint, and
        ``lake.publish(days="2025-03-04")`` adds files to it, named as in :func:`cryptolake.sample_archive`.

    Raises
    ------
    InvalidQuery
        There is no such preset.
    MissingTool
        moto, the ``demo`` extra, is not installed.

    Examples
    --------
    >>> import cryptolake as cl
    >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
    >>> with cl.sample_lake() as lake:
    ...     lake.frame(query).height
    744
    """
    return SampleLake(preset, bucket)
