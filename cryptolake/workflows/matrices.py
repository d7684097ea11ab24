"""A matrix of the user's own, read from the file that ``matrix_path`` names."""

from __future__ import annotations

import json

from pydantic import ValidationError

from cryptolake.archive.matrix import Matrix
from cryptolake.errors import InvalidQuery
from cryptolake.user_files import user_path

_FORM = frozenset({"archive", "bucket", "rows"})
"""The keys by which a file is known as a matrix of this project's form."""


def own_matrix(path: str) -> Matrix | None:
    """Read a matrix; None where there is no such file, or it is of another form.

    Raises
    ------
    InvalidQuery
        The file has the form of a matrix and is none: the message names what is wrong in it.
    """
    try:
        found = json.loads(user_path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not set(found) >= _FORM:
        return None
    try:
        return Matrix.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        why = first["msg"].removeprefix("Value error, ")
        message = f"matrix_path: {path!r} is no matrix: {where}: {why}."
        raise InvalidQuery(message, what="matrix_path", given=path) from None
