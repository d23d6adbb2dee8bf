"""Labelled arrays, of pandas or xarray, which are paired by their labels and never by position."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

_RULE = (
    "and would be paired by position: put both into one frame and call Counts.from_frame, or pass "
    ".to_numpy() of each"
)
_PLAIN = (bool, int, float, str, list, tuple, np.ndarray, np.generic)


class Axes(NamedTuple):
    """The labels along each dimension of an array.

    Attributes
    ----------
    dims : tuple
        Names of the dimensions; empty for pandas, which has none.
    indexes : tuple
        An index for each dimension, None where there is none.
    """

    dims: tuple[Hashable, ...]
    indexes: tuple[Any, ...]


def check_same_index(**arrays: object) -> Any:
    """Refuse labelled arrays, of pandas or xarray, that would be paired by position.

    Returns
    -------
    pandas.Index or None
        The one that they have in common.

    Raises
    ------
    ValueError
        If two of them have different indexes, or lie along different dimensions.
    """
    found = {name: axes for name, x in arrays.items() if (axes := axes_of(x)) is not None}
    for (name, axes), (other, its) in pairwise(found.items()):
        if axes.dims and its.dims and axes.dims != its.dims:
            along = " and ".join(", ".join(map(repr, dims)) for dims in (axes.dims, its.dims))
            raise ValueError(f"{name} and {other} lie along different dimensions, {along}, {_RULE}")
        pairs = zip(axes.indexes, its.indexes, strict=False)
        if any(one is not None and two is not None and not one.equals(two) for one, two in pairs):
            raise ValueError(f"{name} and {other} have different indexes, {_RULE}")
    indexes = (axes.indexes[0] for axes in found.values() if len(axes.indexes) == 1)
    return next((index for index in indexes if index is not None), None)


def index_of(value: object) -> Any:
    """Return the index of a Series of pandas, or of an array of xarray with one dimension."""
    axes = axes_of(value)
    return axes.indexes[0] if axes is not None and len(axes.indexes) == 1 else None


def axes_of(value: object) -> Axes | None:
    """Return the axes of a labelled array; None of anything else, and of one number."""
    if value is None or isinstance(value, _PLAIN):
        return None
    dims: tuple[Hashable, ...] = getattr(value, "dims", ())
    if isinstance(dims, tuple) and dims and hasattr(value, "indexes"):
        return Axes(dims, tuple(value.indexes.get(dim) for dim in dims))
    axes = getattr(value, "axes", None)
    if not isinstance(axes, list) or not all(hasattr(index, "equals") for index in axes):
        return None
    return Axes((), tuple(axes))
