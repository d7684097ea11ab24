"""The availability matrix as a frame that shows itself as a grid."""

from __future__ import annotations

from typing import Any

import polars as pl

from cryptolake.archive.matrix import load_matrix


class MatrixTable(pl.DataFrame):
    """A polars DataFrame of the whole matrix; a part of it is shown as any other frame."""

    @property
    def _is_whole(self) -> bool:
        return self.height == len(load_matrix().rows) and {"market", "notes"} <= set(self.columns)

    def _repr_html_(self, **how: Any) -> str:
        from cryptolake.render import matrix_html

        return matrix_html(load_matrix()) if self._is_whole else super()._repr_html_(**how)

    def __repr__(self) -> str:
        from cryptolake.render import matrix_text

        return matrix_text(load_matrix()) if self._is_whole else super().__repr__()

    def __str__(self) -> str:
        return repr(self) if self._is_whole else super().__str__()
