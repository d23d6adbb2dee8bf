"""The level of each latent, such as its treatment: which prior it is drawn from.

Entries of counts are paired with levels by position only where both are in the order in which they
were given. Counts of a data frame are merged and sorted, so that they carry their levels with them,
or are given these by label.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.advice import AdvisedError, quoted
from elbo_ref._validation.arguments import label_list
from elbo_ref._validation.indexes import index_of

if TYPE_CHECKING:
    from elbo_ref.counts.statistics import Counts

SORTED = "sorted"
"""The order of entries that are not in that of any rows."""

By: TypeAlias = "str | Mapping[Hashable, Hashable] | Iterable[Hashable]"


class Levels(NamedTuple):
    """Levels of latents.

    Attributes
    ----------
    name : str
        That of their column.
    levels : tuple
        That of each entry of the counts.
    """

    name: str
    levels: tuple[Hashable, ...]


def apart(pairs: Iterable[Any], name: str) -> tuple[tuple[Hashable, ...], tuple[Hashable, ...]]:
    """Take the levels out of labels that are pairs of a group and its level.

    Raises
    ------
    AdvisedError
        If a group has two levels.
    """
    level: dict[Hashable, Hashable] = {}
    for label, its in pairs:
        if label in level:
            rows = f"the group {label!r} has rows of two levels of {quoted(name)}"
            both = f"{level[label]!r} and {its!r}"
            raise AdvisedError(f"{rows}: {both}; a latent has one, so make a column of both")
        level[label] = its
    return tuple(level), tuple(level.values())


def levelled(counts: Counts, by: str | None, levels: Iterable[Hashable] | None = None) -> Counts:
    """Give sorted entries their levels; by default the second part of each label, then a pair."""
    labels, its = counts.labels, None
    if by is not None:
        if levels is None:
            labels, levels = apart(counts.labels or (), by)
        its = Levels(by, tuple(levels))
    changed = copy(counts)
    changed.__setstate__({"labels": labels, "by": its, "order": SORTED})
    return changed


def left_out(counts: Counts, dropped: int) -> Counts:
    """Note the number of rows without a value that the counts are without."""
    changed = copy(counts)
    changed.__setstate__({"dropped": dropped})
    return changed


def levels(counts: Counts, by: By | None) -> tuple[tuple[Hashable, ...], NDArray[np.intp]]:
    """Return the distinct levels, in the order of first appearance, and that of each entry.

    Raises
    ------
    TypeError, ValueError
        If there is not one for each entry, or it cannot be known which.
    """
    found = _levels(counts, by)
    number: dict[Hashable, int] = {}
    for level in found:
        number.setdefault(level, len(number))
    return tuple(number), np.array([number[level] for level in found], np.intp)


def _levels(counts: Counts, by: By | None) -> list[Hashable]:
    if by is None or isinstance(by, str):
        own = counts.by
        if own is None or by not in (None, own.name):
            name = "COLUMN" if by is None else by
            has = "no levels" if own is None else f"the levels {quoted(own.name)}"
            call = f"make them by Counts.from_frame(frame, ..., by={quoted(name)})"
            raise ValueError(f"by: these counts have {has}; {call}, or give a level for each")
        return list(own.levels)
    if isinstance(by, Mapping):
        return label_list("by", _mapped(counts, by))
    if isinstance(counts.order, str) and index_of(by) is None:
        raise ValueError(_refused("by"))
    return aligned("by", counts, by)


def aligned(name: str, counts: Counts, values: Iterable[Hashable]) -> list[Hashable]:
    """Return a label for each entry of counts, of a sequence in their order or a Series.

    Raises
    ------
    TypeError, ValueError
        If there is not one for each, or those of a Series would be paired with other entries by
        position.
    """
    index, found = index_of(values), label_list(name, values)
    if index is not None:
        at_label = _at_label(counts, index)
        if at_label is None:
            raise ValueError(_refused(name))
        if at_label:
            by_label = dict(zip(index, found, strict=True))
            return [by_label[label] for label in counts.labels or ()]
    if len(found) != len(counts):
        raise ValueError(f"{name} has {len(found)} labels for {len(counts)} entries of counts")
    return found


def _at_label(counts: Counts, index: Any) -> bool | None:
    """Tell whether an index is one of labels of the counts; None if it is of other entries."""
    order, labels = counts.order, counts.labels
    if hasattr(order, "equals"):
        named = None not in (order.name, index.name)
        return None if not order.equals(index) or (named and order.name != index.name) else False
    counted = type(index).__name__ == "RangeIndex" and index.name is None
    if labels is not None:
        covers = bool(index.is_unique) and set(labels) <= set(index)
        if not counted or (covers and tuple(index) == labels):
            return True if covers else None
        if covers:  # numbers of entries, or their labels
            return None
    return None if isinstance(order, str) else False


def _refused(name: str) -> str:
    role = "by" if name == "by" else "group"
    return (
        f"{name} would be paired by position with counts that are in another order (those of a "
        f"frame are merged and sorted): name the column, Counts.from_frame(frame, ..., "
        f"{role}=COLUMN), or pass {_OTHERWISE[role]}"
    )


_OTHERWISE = {
    "by": "a mapping from each label of the counts to its level, "
    "dict(zip(frame[GROUP], frame[COLUMN]))",
    "group": ".to_numpy() of it in the order of the entries",
}


def _mapped(counts: Counts, by: Mapping[Hashable, Hashable]) -> list[Hashable]:
    """Look up the level of each label."""
    if counts.labels is None:
        raise ValueError("by is a mapping, and these counts have no labels: give them a group")
    for label in counts.labels:
        if label not in by:
            raise ValueError(f"by has no level of the label {label!r}")
    return [by[label] for label in counts.labels]
