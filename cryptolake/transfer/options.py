"""The options of a transfer: batches, workers, retries, timeouts. One frozen model, five presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cryptolake.errors import InvalidQuery, nearest, unknown_word

Mode = Literal["download", "direct", "relay", "traditional"]
"""How files move: see :func:`cryptolake.transfer.engine.transfer`."""

AskedMode = Literal["auto", "download", "direct", "relay", "traditional"]
"""How files are asked to move: ``auto`` chooses."""

StorageClass = Literal[
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "GLACIER_IR",
    "DEEP_ARCHIVE",
]

S5CMD_FLAGS = {
    "--no-verify-ssl": False,
    "--use-list-objects-v1": False,
    "--request-payer": True,
    "--stat": False,
}
"""Global flags of s5cmd 2.3 that a user may add, and whether each takes a value. The others are set here
(``--json``, ``--numworkers``, ``--endpoint-url`` …) or would change what a run is (``--dry-run``)."""


class TransferOptions(BaseModel):
    """The options of a transfer.

    Sizes are MiB, times are seconds. ``TransferOptions.preset("network_resilient")`` gives a named set.

    Raises
    ------
    InvalidQuery
        An option that does not exist or a value out of its range; the message names each.

    Examples
    --------
    >>> import cryptolake as cl
    >>> cl.TransferOptions(workers=8).batch_size
    100
    >>> cl.TransferOptions.preset("high_performance", workers=8).batch_size
    500
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(100, ge=1, le=500)
    """Files (each with its sidecar) handed to s5cmd at a time."""

    workers: int = Field(64, ge=1, le=1024)
    """Objects in flight at once. The engine's own retry uses a quarter of them."""

    retries: int = Field(5, ge=0, le=100)
    """How often s5cmd repeats a request, with growing pauses."""

    engine_retries: int = Field(1, ge=0, le=20)
    """How often the engine retries a failed file after s5cmd gave up on it."""

    backoff: float = Field(1.0, ge=0, le=300)
    """The pause before the engine's first retry after a fault of the network; it doubles each time."""

    stall_timeout: float = Field(60.0, gt=0, le=3600)
    """When no byte arrives for so long, s5cmd is ended and its files are retried."""

    part_size: int = Field(50, ge=5, le=5120)
    """Size of the parts in which s5cmd and relay move a large object."""

    concurrency: int = Field(5, ge=1, le=64)
    """Parts of one object in flight at once."""

    verify_threads: int = Field(1, ge=1, le=32)
    """Threads that hash and check files while others still arrive."""

    verify: Literal["fast", "full"] = "fast"
    """``full``: after a copy inside S3 also read each file and check its sha256."""

    sidecars: bool = True
    """Mode ``direct`` copies the CHECKSUM files too. Without them a file costs one request and not two, and
    its sha256 is checked all the same when Silver first reads it (or at once, with ``verify="full"``): what
    a CHECKSUM says follows from its ETag in the archive's listing. The other modes store them always."""

    storage_class: StorageClass | None = None
    """Storage class of the objects written to an S3 lake."""

    acceleration: bool = False
    """Send what passes through this machine by S3's Transfer Acceleration: modes ``relay`` and
    ``traditional``, to a bucket at AWS without dots in its name. Copies inside S3 (``direct``) pass no bytes
    here and go by the bucket's own endpoint, as the accelerated one does not copy between regions."""

    s5cmd_args: tuple[str, ...] = ()
    """Further global flags for s5cmd, from :data:`S5CMD_FLAGS`."""

    @field_validator("s5cmd_args")
    @classmethod
    def _known_flags(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        words = iter(given)
        for word in words:
            flag, has_value, _ = word.partition("=")
            if flag not in S5CMD_FLAGS:
                near = nearest(flag, S5CMD_FLAGS)
                hint = f"; did you mean {near}?" if near else ""
                message = (
                    f"s5cmd has no flag {flag!r} that may be added here{hint} "
                    f"(allowed: {', '.join(S5CMD_FLAGS)})"
                )
                raise ValueError(message)
            if S5CMD_FLAGS[flag] and not has_value and next(words, None) is None:
                message = f"{flag} needs a value"
                raise ValueError(message)
        return given

    if not TYPE_CHECKING:  # type checkers take the arguments from the fields

        def __init__(self, **given: Any) -> None:
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise InvalidQuery(_message_of(error), given=given) from None

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Return a named set of options, with some of them changed.

        Parameters
        ----------
        name
            ``default``, ``high_performance``, ``cost_optimized``, ``memory_optimized`` or
            ``network_resilient``.
        **changes
            Options that replace those of the set.

        Returns
        -------
        TransferOptions
            Options, frozen.

        Raises
        ------
        InvalidQuery
            There is no preset or option of that name, or a value is out of its range.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.TransferOptions.preset("cost_optimized", storage_class=None).part_size
        512
        """
        if name not in PRESETS:
            raise unknown_word("transfer preset", name, PRESETS)
        return cls(**PRESETS[name] | changes)

    @classmethod
    def of(cls, given: TransferOptions | Mapping[str, Any] | str | None) -> TransferOptions:
        """Return options from what a user may give: options, a mapping, a preset's name, or nothing.

        Parameters
        ----------
        given
            As ``options`` of ``lake.pull``.

        Returns
        -------
        TransferOptions
            Options, frozen; the default ones for None.

        Raises
        ------
        InvalidQuery
            An option that does not exist or a value out of its range; the message names each.

        Examples
        --------
        >>> import cryptolake as cl
        >>> (
        ...     cl.TransferOptions.of({"workers": 8}).workers,
        ...     cl.TransferOptions.of("memory_optimized").workers,
        ... )
        (8, 16)
        >>> cl.TransferOptions.of({"wrokers": 8})
        Traceback (most recent call last):
        ...
        cryptolake.errors.InvalidQuery: there is no transfer option 'wrokers'; did you mean 'workers'?
        """
        if given is None:
            return cls()
        if isinstance(given, TransferOptions):
            return given
        if isinstance(given, str):
            return cls.preset(given)
        return cls(**given)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "high_performance": {
        "batch_size": 500,
        "workers": 256,
        "concurrency": 16,
        "verify_threads": 4,
    },
    "cost_optimized": {
        "batch_size": 500,
        "workers": 32,
        "retries": 3,
        "part_size": 512,
        "sidecars": False,
        "storage_class": "INTELLIGENT_TIERING",
    },
    "memory_optimized": {
        "batch_size": 50,
        "workers": 16,
        "part_size": 8,
        "concurrency": 2,
        "verify_threads": 1,
    },
    "network_resilient": {
        "batch_size": 50,
        "workers": 16,
        "retries": 10,
        "engine_retries": 6,
        "backoff": 2.0,
        "stall_timeout": 120.0,
        "part_size": 8,
    },
}
"""The named sets of options."""


def _message_of(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = nearest(name, TransferOptions.model_fields)
            known = f"choose from {', '.join(TransferOptions.model_fields)}"
            hint = f"did you mean {near!r}?" if near else known
            problems.append(f"there is no transfer option {name!r}; {hint}")
        elif problem["type"] == "value_error":  # raised by this module: it names what was given
            why = problem["msg"].removeprefix("Value error, ")
            problems.append(
                f"{name}: {why}" if name else why
            )  # nameless: options that do not agree
        else:
            problems.append(f"{name}: {problem['msg']}, not {problem['input']!r}")
    text = "; ".join(problems)
    return text if text.endswith("?") else f"{text}."
