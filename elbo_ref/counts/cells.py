"""Cells of a histogram as they came back from an engine: counts, or refused.

The rows of a histogram come in any order, and a value in whichever type the engine has for it.
Counts and refusals depend on neither: a message names the least of the values that are wrong, and
in how many rows of the table there are such.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.advice import AdvisedError, quoted
from elbo_ref._validation.arguments import IntArray

MOST = 2**63 - 1
"""The largest count."""

OF_TRIALS = "if it is one of the trials"
"""The condition under which a fraction is a proportion."""
_TRUTH, _TEXT, _OTHER = "is a truth value", "is text", "is no number"
_FRACTION, _NEGATIVE = "is not a whole number", "is negative"
_FLOAT, _LARGE = "is a float that may have been rounded", "is not below 2**63"
_FLAG, _OUTSIDE = "is neither 0 nor 1", "is not in [0, 1]"
_RANK = (_OTHER, _TEXT, _TRUTH, _FRACTION, _NEGATIVE, _FLOAT, _LARGE, _FLAG, _OUTSIDE)
"""The flaws of a value, in the order in which they are named."""
_NUMBERS, _ROWS = "make it a column of numbers first", "mend or leave out such rows first"
_OUTCOMES = "make it a column of 0 and 1, or of truth values, first"
_RULES = {_TEXT: _NUMBERS, _OTHER: _NUMBERS, _TRUTH: _NUMBERS, _FLOAT: "keep it as integers"}
"""What to do before, by the flaw; about the rest, `_ROWS`."""


class Cells(NamedTuple):
    """A column of a histogram, without missing values.

    Attributes
    ----------
    role, name : str
        The argument that names the column, and the column.
    values : ndarray
        Numbers or objects.
    times : int64 ndarray
        The number of rows of the table in which there is each value.
    """

    role: str
    name: str
    values: NDArray[Any]
    times: IntArray

    def whole(self) -> IntArray:
        """Return the values as counts.

        Raises
        ------
        AdvisedError
            Unless they are whole numbers of [0, 2**63), of whatever type.
        """
        values, kind = self.values, self.values.dtype.kind
        most = 2 ** (np.finfo(values.dtype).nmant + 1 if kind == "f" else 53)
        if kind in "iu":
            good = (values >= 0) & (values <= MOST)
        elif kind == "f":
            good = (values >= 0) & (values <= most) & (values == np.floor(values))
        else:
            good = np.array([not _flaw(value, most) for value in values.tolist()], np.bool_)
        self._require(good, lambda value: _flaw(value, most))
        return values.astype(np.int64)

    def flags(self) -> IntArray:
        """Return the values as 0 and 1, of numbers or of truth values.

        Raises
        ------
        AdvisedError
            If there is another value.
        """
        values = self.values
        if values.dtype.kind not in "iuf":
            plain = [int(x) if isinstance(x, bool) else x for x in values.tolist()]
            values = _objects(plain)
        flags = self._replace(values=values).whole()
        self._require(flags <= 1, lambda _: _FLAG)
        return flags

    def proportions(self) -> list[Decimal]:
        """Return the values as decimals, the shortest that are the same floats.

        Raises
        ------
        AdvisedError
            Unless they are numbers of [0, 1].
        """
        good = [not _flaw_of_proportion(value) for value in self.values.tolist()]
        self._require(np.array(good, np.bool_), _flaw_of_proportion)
        return [Decimal(str(value)) for value in self.values]

    def _require(self, good: NDArray[np.bool_], flaw: Callable[[Any], str]) -> None:
        """Refuse the first flaw in the order of `_RANK`, by the least value that has it."""
        if good.all():
            return
        bad = self.values[~good].tolist()
        flaws = [flaw(value) for value in bad]
        first = min(flaws, key=_RANK.index)
        same = [value for value, other in zip(bad, flaws, strict=True) if other == first]
        least = min(same, key=_order)
        rows = sum(
            times
            for times, other in zip(self.times[~good].tolist(), flaws, strict=True)
            if other == first
        )
        text = f"{first} in {rows} of {self.times.sum()} rows: {shown(least)}"
        remedy = self._remedy(first, least)
        if not remedy:
            per_cent = first == _OUTSIDE and 1 < least <= 100
            rule = "divide per cents by 100" if per_cent else _RULES.get(first, _ROWS)
            rule = _OUTCOMES if self.role == "outcome" and rule == _NUMBERS else rule
            raise self.error(f"{text}; {rule}")
        raise self.error(text, **remedy)

    def _remedy(self, flaw: str, value: Any) -> dict[str, str]:
        """Choose other arguments, under which such a value would be right."""
        if self.role == "successes" and flaw == _TRUTH:
            return {"when": "if a row is one trial", "outcome": self.name}
        if self.role == "successes" and flaw == _FRACTION and 0 < value < 1:
            return {"when": OF_TRIALS, "proportion": self.name}
        if self.role == "outcome" and flaw == _FLAG:
            return {"when": "if these are counts", "successes": self.name, "total_count": "COLUMN"}
        return {}

    def error(self, text: str, **options: Any) -> AdvisedError:
        """Make the error that begins with the column; `options` as those of `AdvisedError`."""
        return AdvisedError(f"column {quoted(self.name)} {text}", **options)


def successes_of(proportions: Cells, total_count: IntArray) -> IntArray:
    """Find the successes K of N trials by their proportions K/N.

    These may be rounded, to as many decimals as the longest of them has: K/N is the proportion to
    half a unit of the last, for one K and no other.

    Raises
    ------
    AdvisedError
        If for a row there is no such K, or are several.
    """
    exact = proportions.proportions()
    last = min(int(x.normalize().as_tuple().exponent) for x in exact)
    floating = proportions.values.dtype.kind == "f"
    digits = np.finfo(proportions.values.dtype).precision if floating else -last
    half = Decimal(5).scaleb(max(min(last, 0), -digits) - 1)
    found, flaws = [], []
    for p, n in zip(exact, total_count.tolist(), strict=True):
        found.append(round(p * n))
        if abs(p * n - found[-1]) > n * half:
            flaws.append((p, n, f"would be {float(p * n):g} successes"))
        elif 2 * n * half > 1 and 0 < p < 1:
            flaws.append((p, n, "has too few decimals to tell the successes"))
    if flaws:
        p, n, flaw = min(flaws)
        rule = "hand in the successes themselves, or more decimals"
        raise proportions.error(f"is no proportion of its trials: {shown(p)} of {n} {flaw}; {rule}")
    return np.array(found, np.int64)


def _flaw(value: Any, most: int) -> str:
    """Say why a value is no count; empty if it is one. Floats are exact up to `most`."""
    if flaw := _flaw_of_kind(value):
        return flaw
    if not math.isfinite(value) or value != math.floor(value):
        return _FRACTION
    if value < 0:
        return _NEGATIVE
    if isinstance(value, float) and value > most:
        return _FLOAT
    return _LARGE if value > MOST else ""


def _flaw_of_proportion(value: Any) -> str:
    if flaw := _flaw_of_kind(value):
        return flaw
    return "" if math.isfinite(value) and 0 <= value <= 1 else _OUTSIDE


def _flaw_of_kind(value: Any) -> str:
    if isinstance(value, bool):
        return _TRUTH
    if isinstance(value, str):
        return _TEXT
    return "" if isinstance(value, int | float | Decimal) else _OTHER


def shown(value: Any) -> str:
    """Write a value in the same way whichever type an engine has for it."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if math.isfinite(value) and value == math.floor(value):
            return str(int(value))
        return repr(float(value))
    return quoted(value) if isinstance(value, str) else quoted(str(value))[1:-1]


def _order(value: Any) -> tuple[str, Any]:
    """Order values of any types."""
    if isinstance(value, int | float | Decimal):
        return "", (math.isnan(value), float(value))
    return type(value).__name__, str(value)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """Put values into an array as they are."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
