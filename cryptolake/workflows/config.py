"""The configuration of a collection: which files, where to, and how; one frozen model of JSON's own types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    ValidationError,
    model_validator,
)

from cryptolake.archive.enums import Interval, Market, parse_data_type, parse_market
from cryptolake.archive.matrix import Matrix, Row, load_matrix, using_matrix
from cryptolake.archive.periods import Days, parse_days
from cryptolake.archive.source import BUCKET_NAME, Archive, has_login
from cryptolake.errors import InvalidQuery
from cryptolake.query import Query
from cryptolake.transfer.options import StorageClass, TransferOptions
from cryptolake.workflows import config_messages
from cryptolake.workflows.matrices import own_matrix
from cryptolake.workflows.merging import WHAT, flags, flags_for_s5cmd, merged

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cryptolake.transfer.options import AskedMode as Mode

DEFAULT_ROOT = "~/cryptolake"

_QUOTED = ("USDT", "USDC", "USD")
"""How the names of options end that are a whole symbol, and no underlying."""


class Skipped(NamedTuple):
    """A market and data type that the configuration names and that are not collected, and why."""

    market: str
    data_type: str
    reason: str


def _names(given: object) -> object:
    """Take one name for a list of it; refuse a list of other things."""
    if isinstance(given, str):
        return (given,)
    fits = isinstance(given, list | tuple) and given and all(isinstance(one, str) for one in given)
    if not fits:
        message = f'a list of names, such as ["BTCUSDT", "ETHUSDT"], not {given!r}'
        raise ValueError(message)
    return tuple(given)  # type: ignore[arg-type]


def _day(given: object) -> object:
    return given if given is None or isinstance(given, str) else str(given)


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Number = Annotated[int, Field(strict=True)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CollectedDays(_Settings):
    """The UTC days, both ends in."""

    start: Annotated[str, BeforeValidator(_day)] = Field(description="the first day, or month")
    end: Annotated[str | None, BeforeValidator(_day)] = Field(
        None, description="the last day; left out: the newest published one"
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        parse_days(self.start, self.end)
        return self


class Performance(_Settings):
    """Other spellings of three keys; the merge writes them as those."""

    max_concurrent: Number | None = Field(None, description="max_parallel_downloads")
    batch_size: Number | None = Field(None, description="batch_size")
    part_size_mb: Number | None = Field(None, description="part_size_mb")


class S3Settings(_Settings):
    """How objects are written to a lake in a bucket."""

    storage_class: StorageClass | None = Field(None, description="their storage class")
    use_accelerated_endpoint: StrictBool = Field(False, description="S3's Transfer Acceleration")  # noqa: FBT003


class WorkflowConfig(BaseModel):
    """A collection, told by JSON: which files, where to, and how they move.

    Parameters
    ----------
    *mappings_or_paths
        Mappings, JSON files, or other configurations. They are merged left to right, objects deep: where two name a
        setting, the later one counts.
    **more
        Further keys, merged last.

    Raises
    ------
    InvalidQuery
        A key that does not exist, a value of the wrong type or out of its range, keys that do not agree, or a file
        that cannot be read. The message says what was given, what is allowed, and the nearest valid choice.

    Notes
    -----
    A configuration that says only how files move is merged onto one that says which; alone it says what is missing
    when it is asked for its queries. :meth:`notes` tells of every key that has no effect, or another than its name
    says. ``WorkflowConfig.model_json_schema()`` is the JSON schema of the files, and
    ``notebooks/guide/configurations.md`` explains each key.

    Examples
    --------
    >>> import cryptolake as cl
    >>> which = {"markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["trades"]}
    >>> config = cl.WorkflowConfig(which, {"batch_size": 20}, output_directory="data")
    >>> config.options().batch_size, config.root, config.mode
    (20, 'data', 'auto')
    >>> print(*config.queries())
    cl.query().markets('spot').data_types('trades').symbols('BTCUSDT').last('1d')
    >>> cl.WorkflowConfig(batch_sise=20)
    Traceback (most recent call last):
    cryptolake.errors.InvalidQuery: there is no configuration key 'batch_sise'; did you mean 'batch_size'?
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # ---------------------------------------------------------------- which
    markets: Names | None = Field(None, description="One query a market and data type.")
    data_types: Names | None = Field(
        None, description="As above; a pair that the matrix lacks is skipped and listed."
    )
    symbols: Names | dict[str, Names] | None = Field(
        None,
        description="Names or globs, for all markets, or by market; an options underlying `BTC` is `BTC*`.",
    )
    intervals: dict[str, Names] | None = Field(
        None, description="By data type; left out: all that the matrix has."
    )
    date_range: CollectedDays | None = Field(
        None, description="UTC days, both ends in; left out: the newest published day."
    )
    matrix_path: str | None = Field(
        None, description="A matrix of your own, where the file is one of this project's form."
    )
    # ---------------------------------------------------------------- where to
    output_directory: str | None = Field(None, description="The lake's root: a folder, or s3://….")
    destination_bucket: str | None = Field(None, description="The lake's bucket.")
    destination_prefix: str | None = Field(None, description="The lake's prefix in the bucket.")
    local_data_dir: str | None = Field(
        None, description="None: what passes through this machine has a temporary folder."
    )
    # ---------------------------------------------------------------- how
    enable_s3_direct_sync: StrictBool | None = Field(
        None, description="true: mode `auto`, which copies inside S3 first; false: `traditional`."
    )
    operation_mode: Literal["auto", "direct_sync", "traditional"] | None = Field(
        None, description="Mode `auto`, `direct` or `traditional`; `auto` for a lake on a disk."
    )
    batch_size: Number | None = Field(None, ge=1, le=500, description="Option `batch_size`.")
    max_parallel_downloads: Number | None = Field(
        None, ge=1, le=1024, description="Option `workers`."
    )
    part_size_mb: Number | None = Field(None, ge=5, le=5120, description="Option `part_size`.")
    timeout_seconds: Annotated[float, Field(strict=True)] | None = Field(
        None,
        gt=0,
        le=3600,
        description="Option `stall_timeout`: seconds without a byte, not of a whole run.",
    )
    performance_optimization: Performance | None = Field(
        None, description="Other spellings of three keys."
    )
    s3_config: S3Settings | None = Field(None, description="How objects are written to a bucket.")
    s5cmd_extra_args: Names | tuple[()] | None = Field(
        None,
        description="`--retry-count`, `--numworkers`, `--part-size` are options; others go to s5cmd.",
    )
    download_checksum: StrictBool | None = Field(
        None, description="false: option `sidecars=False`; verification goes on."
    )
    enable_resume: StrictBool | None = Field(
        None, description="None: a verified file is never fetched twice."
    )
    enable_batch_mode: StrictBool | None = Field(None, description="false: `batch_size` is 1.")
    force_redownload: StrictBool | None = Field(
        None, description="true: files that are here are fetched again and compared."
    )
    # ---------------------------------------------------------------- the rest
    workflow_type: Literal["archive_collection"] = Field(
        "archive_collection", description="The one type there is."
    )
    environment: str | None = Field(None, description="None.")
    enable_monitoring: StrictBool | None = Field(
        None, description="None: runs are recorded always."
    )
    logging: dict[str, Any] | str | StrictBool | None = Field(None, description="None.")

    _matrix: Matrix | None = PrivateAttr(None)

    def __init__(self, *mappings_or_paths: object, **more: Any) -> None:
        given = merged([*mappings_or_paths, more], _dumped)
        try:
            super().__init__(**given)
        except ValidationError as error:
            wrong = config_messages.wrong(error, type(self))
        else:
            return
        # Outside of the block above, whose error tells of every value: one of them may hold a password.
        raise InvalidQuery(wrong, what=WHAT, given=sorted(given))

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for problem in self._conflicts():
            raise ValueError(problem)
        self._matrix = own_matrix(self.matrix_path) if self.matrix_path else None
        self._transfer_options()
        with self.using_matrix():
            for market in [*(self.markets or ()), *self._symbols_by_market()]:
                parse_market(market)
            for data_type in [*(self.data_types or ()), *(self.intervals or ())]:
                parse_data_type(data_type)
        return self

    def _conflicts(self) -> Iterator[str]:
        places = {
            "output_directory": self.output_directory,
            "destination_bucket": self.destination_bucket,
            "destination_prefix": self.destination_prefix and f"s3:///{self.destination_prefix}",
            "matrix_path": self.matrix_path,
        }
        for key, place in places.items():
            if has_login(place or ""):
                yield f"{key} holds credentials, and a configuration does not: use the AWS environment"
        if self.output_directory is not None and self.destination_bucket is not None:
            yield (
                f"output_directory ({self.output_directory!r}) and destination_bucket "
                f"({self.destination_bucket!r}) both say where the lake is: give one of them"
            )
        if self.destination_prefix is not None and self.destination_bucket is None:
            yield f"destination_prefix ({self.destination_prefix!r}) needs destination_bucket"
        if self.destination_bucket is not None and not BUCKET_NAME.fullmatch(
            self.destination_bucket
        ):
            yield (
                "destination_bucket is 3 to 63 lower-case letters, digits, dots and hyphens, not "
                f"{self.destination_bucket!r}"
            )
        if self.enable_s3_direct_sync is not None and self.operation_mode is not None:
            wrong = "direct_sync" if not self.enable_s3_direct_sync else "traditional"
            if self.operation_mode == wrong:
                yield (
                    f"enable_s3_direct_sync is {str(self.enable_s3_direct_sync).lower()} and operation_mode is "
                    f"{wrong!r}, and they do not agree: leave one of them out"
                )

    # ---------------------------------------------------------------- what it means

    @property
    def missing(self) -> tuple[str, ...]:
        """The keys that say which files, and that the configuration lacks."""
        return tuple(key for key in ("markets", "symbols", "data_types") if not getattr(self, key))

    @property
    def root(self) -> str:
        """The lake's root: a folder, or ``s3://bucket/prefix``; the default one where no key names it."""
        if self.destination_bucket is not None:
            prefix = (self.destination_prefix or "").strip("/")
            return f"s3://{self.destination_bucket}" + (f"/{prefix}" if prefix else "")
        return self.output_directory or DEFAULT_ROOT

    @property
    def names_root(self) -> bool:
        """Whether a key says where the lake is."""
        return self.destination_bucket is not None or self.output_directory is not None

    @property
    def archive(self) -> Archive:
        """The archive: the public one, or the bucket that a matrix of one's own names."""
        if self._matrix is None:
            return Archive()
        return Archive(bucket=self._matrix.bucket, region=self._matrix.region)

    @property
    def mode(self) -> Mode:
        """How files move, as ``lake.pull(mode=...)`` takes it."""
        asked = self._asked_mode
        return asked if self._in_bucket else "auto"

    @property
    def _asked_mode(self) -> Mode:
        if self.operation_mode == "direct_sync":
            return "direct"
        if self.operation_mode == "traditional" or self.enable_s3_direct_sync is False:
            return "traditional"
        return "auto"

    @property
    def _in_bucket(self) -> bool:
        return self.root.startswith("s3://")

    def options(self) -> TransferOptions:
        """Return how files move, as ``lake.pull(options=...)`` takes it.

        Returns
        -------
        TransferOptions
            The options that the configuration's keys mean.

        Raises
        ------
        InvalidQuery
            A value out of its range, or a flag that s5cmd does not take here.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.WorkflowConfig(max_parallel_downloads=20, enable_batch_mode=False).options()
        TransferOptions(batch_size=1, workers=20, ...)
        """
        return self._transfer_options()

    def _transfer_options(self) -> TransferOptions:
        s3 = self.s3_config or S3Settings()
        extra = [(*flag,) for flag in flags(self.s5cmd_extra_args or ())]
        retries = [value for flag, value, _ in extra if flag == "--retry-count"]
        found: dict[str, Any] = {
            "batch_size": 1 if self.enable_batch_mode is False else self.batch_size,
            "workers": self.max_parallel_downloads,
            "part_size": self.part_size_mb,
            "stall_timeout": self.timeout_seconds,
            "storage_class": s3.storage_class if self._in_bucket else None,
            "acceleration": (
                s3.use_accelerated_endpoint and self._in_bucket and self.mode != "direct"
            ),
            "sidecars": self.download_checksum,
            "retries": retries[-1] if retries else None,
            "s5cmd_args": flags_for_s5cmd(extra),
        }
        return TransferOptions(**{name: one for name, one in found.items() if one is not None})

    def using_matrix(self) -> AbstractContextManager[None]:
        """Return a block in which the matrix of ``matrix_path`` counts, in the whole process; else nothing changes.

        A lake that was filled with a matrix of one's own is read in such a block too.

        Returns
        -------
        context manager
            Gives nothing.

        Examples
        --------
        >>> import cryptolake as cl
        >>> with cl.WorkflowConfig().using_matrix():
        ...     "spot_klines" in cl.matrix()["dataset"]
        True
        """
        return using_matrix(self._matrix)

    # ---------------------------------------------------------------- which files

    def queries(self) -> tuple[Query, ...]:
        """Return one complete query a market and data type that the archive can have.

        Returns
        -------
        tuple of Query
            In the order of markets and data types; :meth:`skipped` has the pairs that are left out.

        Raises
        ------
        InvalidQuery
            The configuration does not say which files; nothing of what it names exists; or words do not agree, such
            as an interval of a data type that has none.

        Examples
        --------
        >>> import cryptolake as cl
        >>> which = {"markets": ["spot", "options"], "symbols": ["BTC*"], "data_types": ["trades"]}
        >>> cl.WorkflowConfig(which).queries()
        (cl.query().markets('spot').data_types('trades').symbols('BTC*').last('1d'),)
        """
        if self.missing:
            raise InvalidQuery(
                config_messages.lacking(self.missing), what=WHAT, missing=self.missing
            )
        with self.using_matrix():
            found = tuple(query.check() for query in self._parts(lambda *_: None))
        if not found:
            why = "; ".join(f"{one.market} {one.data_type}: {one.reason}" for one in self.skipped())
            message = f"nothing that the configuration names is in the archive: {why}."
            raise InvalidQuery(message, what=WHAT, skipped=self.skipped())
        return found

    def skipped(self) -> tuple[Skipped, ...]:
        """Return the pairs of market and data type that are named and not collected, and why.

        Returns
        -------
        tuple of Skipped
            ``market``, ``data_type`` and ``reason`` of each.

        Examples
        --------
        >>> import cryptolake as cl
        >>> which = {"markets": ["spot", "options"], "symbols": ["BTC*"], "data_types": ["trades"]}
        >>> [(one.market, one.data_type) for one in cl.WorkflowConfig(which).skipped()]
        [('options', 'trades')]
        """
        found: list[Skipped] = []
        if not self.missing:
            with self.using_matrix():
                for _ in self._parts(lambda *why: found.append(Skipped(*why))):
                    pass
        return tuple(found)

    def _parts(self, skip: Any) -> Iterator[Query]:
        """Yield a query a pair; call ``skip`` with market, data type and reason for those that cannot be."""
        matrix = load_matrix()
        for market in dict.fromkeys(map(parse_market, self.markets or ())):
            symbols = self._symbols_of(market)
            for data_type in dict.fromkeys(map(parse_data_type, self.data_types or ())):
                why = config_messages.absence(matrix, market, data_type, self._days)
                intervals = () if why else self._intervals_of(matrix.row(market, data_type))
                if why or intervals is None:
                    why = why or "it has none of the intervals asked for"
                    skip(market.value, data_type.value, why)
                    continue
                yield self._dated(
                    Query().markets(market).data_types(data_type).symbols(*symbols)
                ).intervals(*intervals)

    def _symbols_by_market(self) -> Mapping[str, tuple[str, ...]]:
        return self.symbols if isinstance(self.symbols, dict) else {}

    def _symbols_of(self, market: Market) -> list[str]:
        if isinstance(self.symbols, dict):
            found = {parse_market(word): names for word, names in self.symbols.items()}
            if market not in found:
                message = (
                    f"symbols names none for {market.value}, which markets names; it has "
                    f"{', '.join(found)}"
                )
                raise InvalidQuery(message, what="symbols", given=market.value)
            names = found[market]
        else:
            names = self.symbols or ()
        return [f"{name}*" if self._is_underlying(market, name) else name for name in names]

    def underlyings(self) -> tuple[str, ...]:
        """Return the symbols of the options market that are underlyings, and stand for all symbols of them.

        Returns
        -------
        tuple of str
            As the configuration names them: ``BTC`` stands for ``BTC*``.

        Examples
        --------
        >>> import cryptolake as cl
        >>> which = {
        ...     "markets": "options",
        ...     "symbols": ["BTC", "BTCBVOLUSDT"],
        ...     "data_types": "BVOLIndex",
        ... }
        >>> cl.WorkflowConfig(which).underlyings()
        ('BTC',)
        """
        named = {parse_market(word) for word in self.markets or ()}
        by_market = {parse_market(word): names for word, names in self._symbols_by_market().items()}
        names = by_market.get(Market.OPTIONS, ()) if by_market else self.symbols or ()
        found = (name for name in names if self._is_underlying(Market.OPTIONS, name))
        return tuple(found) if Market.OPTIONS in named else ()

    @staticmethod
    def _is_underlying(market: Market, name: str) -> bool:
        whole = name.upper().endswith(_QUOTED) or set(name) & set("*?[]")
        return market is Market.OPTIONS and not whole

    def _intervals_of(self, row: Row) -> tuple[Interval, ...] | None:
        """Return the intervals of a row; none where it has no such level; None where it lacks all that are asked for."""
        named = {parse_data_type(word): names for word, names in (self.intervals or {}).items()}
        asked = named.get(row.data_type)
        if asked is None:
            return row.all_intervals
        wanted = Query().intervals(*asked).selection.intervals
        if not row.has_interval:
            message = f"{row.data_type.value} has no interval, and intervals names {', '.join(asked)} for it: leave it out"
            raise InvalidQuery(message, what="intervals", given=asked)
        return tuple(one for one in wanted if one in row.all_intervals) or None

    @property
    def _days(self) -> Days | None:
        """The days; None where they go to the newest published one."""
        dates = self.date_range
        if dates is None or dates.end in {None, "latest"}:
            return None
        return parse_days(dates.start, dates.end)

    def _dated(self, query: Query) -> Query:
        dates = self.date_range
        if dates is None:
            return query.last("1d")
        return query.between(dates.start, dates.end or "latest")

    # ---------------------------------------------------------------- what to know

    def notes(self) -> tuple[str, ...]:
        """Return a sentence for each key that has no effect, or another one than its name says.

        Returns
        -------
        tuple of str
            Sentences; none where every key means what its name says.

        Examples
        --------
        >>> import cryptolake as cl
        >>> print(*cl.WorkflowConfig(output_directory="data", environment="production").notes())
        environment has no effect: a configuration means the same everywhere; use another root
        """
        return tuple(config_messages.notes(self, self._matrix, load_matrix()))

    def to_dict(self) -> dict[str, Any]:
        """Return the merged configuration as JSON's own types: ``WorkflowConfig(config.to_dict()) == config``.

        Returns
        -------
        dict
            The keys that were given, in the forms of the files.

        Examples
        --------
        >>> import cryptolake as cl
        >>> config = cl.WorkflowConfig({"markets": "spot"}, {"batch_size": 20})
        >>> config.to_dict(), cl.WorkflowConfig(config.to_dict()) == config
        ({'markets': ['spot'], 'batch_size': 20}, True)
        """
        return self.model_dump(mode="json", exclude_unset=True)


def _dumped(given: object) -> dict[str, Any] | None:
    return given.to_dict() if isinstance(given, WorkflowConfig) else None
