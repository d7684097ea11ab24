"""What a configuration says in words: what is wrong in it, what it lacks, and which keys have no plain effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from cryptolake.archive.enums import parse_data_type, parse_market
from cryptolake.errors import InvalidQuery, nearest

if TYPE_CHECKING:
    from cryptolake.archive.enums import DataType, Market
    from cryptolake.archive.matrix import Matrix
    from cryptolake.archive.periods import Days


def keys_of(model: type[BaseModel], head: str = "") -> list[str]:
    """Return the keys of a model, those of objects within it by their whole name.

    Examples
    --------
    >>> from cryptolake.workflows.config import S3Settings
    >>> keys_of(S3Settings, "s3_config.")
    ['s3_config.storage_class', 's3_config.use_accelerated_endpoint']
    """
    found: list[str] = []
    for name, field in model.model_fields.items():
        found.append(head + name)
        for part in get_args(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found += keys_of(part, f"{head}{name}.")
    return found


# ---------------------------------------------------------------- what is wrong

_TYPES = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "mapping_type": "an object",
}


def wrong(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one sentence everything that is wrong: what was given, what is allowed, and the nearest valid choice."""
    problems: dict[str, str] = {}
    for problem in error.errors():
        # Of a value that may be of several types, pydantic names each that it is not; the first one is enough.
        place = problem["loc"][:1] if problem["loc"][:1] in _UNIONS else problem["loc"]
        name = ".".join(str(part) for part in place)
        problems.setdefault(name, _problem(name, dict(problem), model))
    text = "; ".join(problems.values())
    return text if text.endswith("?") else f"{text.removesuffix('.')}."


_UNIONS = {("symbols",): 0, ("logging",): 0, ("s5cmd_extra_args",): 0}
_UNION_TYPES = {
    "symbols": 'a list of names (["BTCUSDT", "ETH*"]) or an object of lists by market',
    "logging": "an object, a text, true or false",
    "s5cmd_extra_args": 'a list of flags, such as ["--retry-count=5"]',
}


def _problem(name: str, problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind, given, context = problem["type"], problem.get("input"), problem.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(name, model)
    if kind == "missing":
        return f"{name} is missing"
    if name in _UNION_TYPES:
        return f"{name} is {_UNION_TYPES[name]}, not {_shown(given)}"
    if kind == "value_error":
        why = problem["msg"].removeprefix("Value error, ").removesuffix(".")
        if not name:
            return str(why)
        return f"{name} is {why}" if why.startswith("a list") else f"{name}: {why}"
    if kind == "literal_error":
        return _unknown_word(name, given, context["expected"])
    if kind in _TYPES:
        return f"{name} is {_TYPES[kind]}, not {_shown(given)}"
    limits = {"greater_than_equal": "ge", "less_than_equal": "le", "greater_than": "gt"}
    if kind in limits:
        return f"{name} is {_range(name, model)}, not {_shown(given)}"
    return f"{name}: {problem['msg']}, not {_shown(given)}"


def _unknown_key(name: str, model: type[BaseModel]) -> str:
    known = keys_of(model)
    head, _, last = name.rpartition(".")
    siblings = [key for key in known if key.rpartition(".")[0] == head]
    siblings = siblings or list(model.model_fields)  # a key that has a dot itself
    tails = {key.rpartition(".")[2]: key for key in reversed(known)}
    # A key within an object may be meant for the top, and one at the top for an object.
    near = nearest(name, siblings) or tails.get(nearest(last, tails) or "")
    allowed = f"choose from {', '.join(siblings)}"
    return f"there is no configuration key {name!r}; " + (
        f"did you mean {near!r}?" if near else allowed
    )


def _unknown_word(name: str, given: object, expected: str) -> str:
    choices = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
    near = nearest(given, choices) if isinstance(given, str) else None
    hint = f"; did you mean {near!r}?" if near else ""
    if len(choices) == 1:
        return f"{name} is {choices[0]!r}, not {_shown(given)}"
    return f"{name} is one of {', '.join(choices)}, not {_shown(given)}{hint}"


def _range(name: str, model: type[BaseModel]) -> str:
    limits: dict[str, Any] = {}
    for part in model.model_fields[name].metadata:
        for word in ("ge", "gt", "le"):
            if getattr(part, word, None) is not None:
                limits[word] = getattr(part, word)
    low = f"{limits['ge']}" if "ge" in limits else f"more than {limits['gt']}"
    return f"{low} to {limits['le']}"


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def lacking(missing: Iterable[str]) -> str:
    """Say in one sentence what keeps a configuration from running by itself."""
    names = list(missing)
    last = names.pop()
    listed = f"{', '.join(names)} and {last} are" if names else f"{last} is"
    return (
        f"the configuration does not say which files to collect: {listed} missing; name them, or merge it onto a "
        "configuration that does: WorkflowConfig('selection.json', 'this.json')."
    )


def absence(matrix: Matrix, market: Market, data_type: DataType, days: Days | None) -> str | None:
    """Say why the archive has nothing of a market and data type in these days; None where it may have."""
    try:
        row = matrix.row(market, data_type)
    except InvalidQuery as error:
        return str(error).removesuffix(".")
    if row.status == "never_observed":
        return "the archive was never seen to have a file of it"
    if days and days.last < row.first_date:
        return f"it begins on {row.first_date}, after {days.last}"
    if days and row.last_date and days.first > row.last_date:
        return f"it ended on {row.last_date}, before {days.first}"
    return None


# ---------------------------------------------------------------- what has no plain effect


def notes(config: Any, matrix: Matrix | None, shipped: Matrix) -> Iterator[str]:
    """Yield a sentence for each key that has no effect, or another one than its name says."""
    yield from _of_selection(config, matrix, shipped)
    yield from _of_place(config)
    yield from _of_moving(config)
    for key, why in _WITHOUT_EFFECT.items():
        if getattr(config, key) is not None:
            yield f"{key} has no effect: {why}"


_WITHOUT_EFFECT = {
    "environment": "a configuration means the same everywhere; use another root",
    "enable_monitoring": "every run is recorded, in the lake's meta.runs and meta.transfers; nothing is sent elsewhere",
    "logging": "the program that runs the workflow sets up Python's logging; cryptolake logs to 'cryptolake'",
    "local_data_dir": "what passes through this machine on its way to a bucket has a temporary folder",
}


def _of_selection(config: Any, matrix: Matrix | None, shipped: Matrix) -> Iterator[str]:
    if config.matrix_path is not None and matrix is None:
        yield (
            f"matrix_path: {config.matrix_path!r} is absent or no matrix of cryptolake's form; the one that comes "
            f"with it counts, of {len(shipped.rows)} rows"
        )
    if matrix is not None:
        yield f"matrix_path: {len(matrix.rows)} rows, of the archive s3://{matrix.bucket}"
    if config.missing:
        return
    if config.date_range is None:
        yield "date_range is left out: the newest published day of each market and data type is collected"
    markets = {parse_market(word) for word in config.markets}
    if isinstance(config.symbols, dict):
        unused = [word for word in config.symbols if parse_market(word) not in markets]
        if unused:
            yield f"symbols of {', '.join(unused)} have no effect: markets does not name it"
    types = {parse_data_type(word) for word in config.data_types}
    unused = [word for word in config.intervals or () if parse_data_type(word) not in types]
    if unused:
        yield f"intervals of {', '.join(unused)} have no effect: data_types does not name it"
    underlying = config.underlyings()
    if underlying:
        listed = ", ".join(f"{name} is taken for {name}*" for name in underlying)
        yield f"symbols: in the options market {listed}, all symbols of that underlying"


def _of_place(config: Any) -> Iterator[str]:
    if not config.names_root:
        yield f"no key says where the lake is: it is at {config.root}"
    in_bucket = config.root.startswith("s3://")
    if not in_bucket and (config.operation_mode or "auto") != "auto":
        yield f"operation_mode {config.operation_mode!r} is for a lake in a bucket; this one is on a disk: auto"
    if not in_bucket and config.enable_s3_direct_sync is not None:
        yield "enable_s3_direct_sync has no effect: the lake is on a disk"
    s3 = config.s3_config
    if s3 is None:
        return
    if s3.storage_class and not in_bucket:
        yield "s3_config.storage_class has no effect: the lake is on a disk"
    if s3.use_accelerated_endpoint and not in_bucket:
        yield "s3_config.use_accelerated_endpoint has no effect: the lake is on a disk"
    elif s3.use_accelerated_endpoint and config.mode == "direct":
        yield "s3_config.use_accelerated_endpoint has no effect: copies inside S3 go by the bucket's own endpoint"


def _of_moving(config: Any) -> Iterator[str]:
    if config.timeout_seconds is not None:
        yield (
            f"timeout_seconds: after {config.timeout_seconds:g} seconds without a byte the files in flight are tried "
            "again; it does not limit a whole run"
        )
    if config.download_checksum is False:
        yield (
            "download_checksum false leaves out the CHECKSUM files of copies inside S3; every file is verified all "
            "the same"
        )
    if config.enable_resume is False:
        yield "enable_resume false has no effect: a verified file is never fetched twice (force_redownload is)"
    if config.enable_batch_mode is False:
        yield "enable_batch_mode false: batches of one file" + (
            f", not of {config.batch_size}" if config.batch_size else ""
        )
    if config.force_redownload:
        yield "force_redownload: files that are here are fetched again beside them and compared; one that differs is replaced"
    words = {word.partition("=")[0] for word in config.s5cmd_extra_args or ()}
    if "--no-verify-ssl" in words:
        yield "s5cmd_extra_args --no-verify-ssl: s5cmd takes any server for the one that it asked for"
    if "--request-payer" in words:
        yield "s5cmd_extra_args --request-payer: whose credentials are used pays for the requests and the bytes"
    if "--no-sign-request" in (config.s5cmd_extra_args or ()):
        yield "s5cmd_extra_args --no-sign-request has no effect: requests to the public archive are never signed"
