"""Keeping a lake whole and fresh: the part of the Lake that judges and mends what is already there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from cryptolake.errors import InvalidQuery

if TYPE_CHECKING:
    from typing import TypeAlias

    import polars as pl

    from cryptolake.bronze.verify import Policy as ChecksumPolicy
    from cryptolake.listing.listing import Listing
    from cryptolake.maintenance.update import Update
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Progress
    from cryptolake.query import Query
    from cryptolake.report import Report
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta
    from cryptolake.transfer.options import TransferOptions

    Options: TypeAlias = TransferOptions | Mapping[str, Any] | str | None

Mode = Literal["auto", "download", "direct", "relay", "traditional"]


class Care(ABC):
    """Status, freshness, update, verification, quality and healing of a lake.

    :class:`cryptolake.lake.Lake` is the one that users hold; these methods are split off for reading.
    """

    storage: Storage
    _fresh: tuple[pl.DataFrame, datetime] | None

    @property
    @abstractmethod
    def meta(self) -> Meta:
        """The lake's own tables."""

    @property
    @abstractmethod
    def listing(self) -> Listing:
        """What the archive's S3 listing says exists."""

    @abstractmethod
    def transfer(
        self,
        plan: Plan,
        *,
        mode: Mode = "auto",
        progress: Progress = True,
        checksum_policy: ChecksumPolicy = "quarantine",
        options: Options = None,
    ) -> Report:
        """Move a plan's files into Bronze."""

    @abstractmethod
    def _build(self, rows: pl.DataFrame, **how: Any) -> Report:
        """Build the Silver months that Bronze files lie in."""

    def status(self) -> pl.DataFrame:
        """Return per dataset what is here, how new it is, and what was set aside. Asks only the lake."""
        from cryptolake.maintenance.status import status

        return status(self.meta)

    def freshness(self, *, refresh: bool = False) -> pl.DataFrame:
        """Return, per dataset held, how many days the archive and the lake are behind. Asks the archive.

        Raises
        ------
        ListingError
            The archive does not answer and no cached listing can stand in.
        """
        from cryptolake.quality.freshness import freshness

        found = freshness(self.meta, self.listing, refresh=refresh)
        self._fresh = found, datetime.now(UTC)
        return found

    def update(
        self,
        query: Query | None = None,
        *,
        mode: Mode = "auto",
        progress: Progress = True,
        checksum_policy: ChecksumPolicy = "quarantine",
        options: Options = None,
    ) -> Update:
        """Bring what the lake holds to the newest published day; done twice, the second does nothing.

        Parameters
        ----------
        query
            Only what it means of the lake; everything when left out.
        mode, checksum_policy, options
            As :meth:`transfer` takes them.
        progress
            Show a bar where a person is watching, or a callable that is told each step.

        Raises
        ------
        ListingError
            The archive does not answer.
        """
        from cryptolake.maintenance.update import update
        from cryptolake.transfer.options import TransferOptions

        chosen = TransferOptions.of(options)  # a wrong one is said before anything is asked
        return update(
            self.storage,
            self.meta,
            self.listing,
            transfer=lambda plan: self.transfer(
                plan, mode=mode, progress=progress, checksum_policy=checksum_policy, options=chosen
            ),
            build=lambda rows: self._build(
                rows, progress=progress, checksum_policy=checksum_policy
            ),
            query=query,
        )

    def verify(
        self, query: Query | None = None, *, against: str | None = None, repair: bool = False
    ) -> pl.DataFrame:
        """Hash Bronze again and compare with the ledger; or rebuild klines from another dataset.

        Parameters
        ----------
        query
            What to look at; the whole of Bronze when left out.
        against
            ``"trades"``, ``"aggTrades"`` or ``"klines"`` (finer ones): rebuild the query's klines from
            that and return the bars that differ, with both values.
        repair
            Take damaged files out of Bronze, so that the next pull fetches them again.

        Raises
        ------
        InvalidQuery
            ``against`` needs a query of klines.
        """
        if against is None:
            from cryptolake.maintenance.audit import audit

            return audit(self.storage, self.meta, query, repair=repair)
        if query is None:
            message = f"verify(against={against!r}) rebuilds klines: say which, verify(query, against={against!r})."
            raise InvalidQuery(message, what="query")
        from cryptolake.quality.crosscheck import crosscheck

        return crosscheck(query, self.storage, self.meta, against=against)

    def quality(self, query: Query, *, refresh: bool = False) -> pl.DataFrame:
        """Return one row per symbol-month: rows, expected, gaps, duplicates, rejects, coverage."""
        from cryptolake.quality.report import quality

        return quality(query, self.storage, self.meta, self.listing, refresh=refresh)

    def gaps(self, query: Query, *, refresh: bool = False) -> pl.DataFrame:
        """Return one row per gap of a query's klines, with its cause and the evidence for it."""
        from cryptolake.quality.report import gaps

        return gaps(query, self.storage, self.meta, self.listing, refresh=refresh)

    def ids(self, query: Query) -> pl.DataFrame:
        """Check trade and aggregate ids, inside and across files; return each hole and each repeat."""
        from cryptolake.quality.trade_ids import ids

        return ids(query, self.storage, self.meta)

    def heal(
        self,
        query: Query,
        *,
        mode: Mode = "auto",
        progress: Progress = True,
        refresh: bool = False,
        checksum_policy: ChecksumPolicy = "quarantine",
        options: Options = None,
    ) -> pl.DataFrame:
        """Fill a query's gaps from the sibling files that have the rows; return what each gap came to.

        Parameters
        ----------
        query
            Which klines.
        mode, checksum_policy, options
            As :meth:`transfer` takes them.
        progress
            Show a bar where a person is watching, or a callable that is told each step.
        refresh
            Ask the archive again even where the cached listing is fresh.
        """
        from cryptolake.quality.repair import heal
        from cryptolake.transfer.options import TransferOptions

        chosen = TransferOptions.of(options)
        return heal(
            query,
            self.storage,
            self.meta,
            self.listing,
            transfer=lambda plan: self.transfer(
                plan, mode=mode, progress=progress, checksum_policy=checksum_policy, options=chosen
            ),
            build=lambda rows: self._build(
                rows, progress=progress, checksum_policy=checksum_policy
            ),
            refresh=refresh,
        )

    def fill(self, query: Query, *, against: str) -> pl.DataFrame:
        """Make missing klines from trades or finer klines, on request only; kept in Gold, marked."""
        from cryptolake.quality.fill import fill

        return fill(query, self.storage, self.meta, against=against)
