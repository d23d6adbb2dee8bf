"""What is known of each latent once the prior is chosen: its posterior, in a table.

With prior Beta(a0, b0), mean m0, and K successes of N trials the posterior (E2) has the mean

    (a0 + K)/(a0 + b0 + N) = s m0 + (1 - s) K/N,        s = (a0 + b0)/(a0 + b0 + N),

a compromise between the prior's mean and the latent's own rate; s, the weight of the prior, is its
*shrinkage*: 0 where the counts speak alone, 1 where there are none.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elbo_ref._format.documents import Document
from elbo_ref._format.numbers import describe, number
from elbo_ref._validation.arguments import FloatArray, check_fits, check_type, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta

KIND = "equal-tailed"
"""The kind of the intervals: as much probability below as above."""

_MOST_LINES = 40


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class PosteriorTable:
    """One row per entry of the counts; made by `posterior_table`.

    Attributes
    ----------
    prior : Beta
    counts : Counts
    prob : float
        The probability of the intervals, which are equal-tailed.
    mean, lower, upper, shrinkage : ndarray, shape (G,)
    """

    prior: Beta
    counts: Counts
    prob: float
    mean: FloatArray = field(repr=False)
    lower: FloatArray = field(repr=False)
    upper: FloatArray = field(repr=False)
    shrinkage: FloatArray = field(repr=False)

    @property
    def labels(self) -> tuple[Any, ...]:
        """The groups of the counts, or the number of the entry, from 0."""
        return self.counts.labels or tuple(range(len(self.counts)))

    def columns(self) -> dict[str, Sequence[Any]]:
        """The table as lists, by name."""
        arrays = {
            "successes": self.counts.successes,
            "total_count": self.counts.total_count,
            "multiplicity": self.counts.multiplicity,
            "mean": self.mean,
            "lower": self.lower,
            "upper": self.upper,
            "shrinkage": self.shrinkage,
        }
        lists = {name: array.tolist() for name, array in arrays.items()}
        return {"label": [str(label) for label in self.labels], **lists}

    def summary(self) -> str:
        """The table as text, the middle of a long one left out."""
        rows = [["latent", "successes", "of", "mean", *self._ends(), "shrinkage"]]
        size = len(self.counts)
        shown = list(range(size))
        if size > _MOST_LINES:
            shown = [*shown[: _MOST_LINES // 2], *shown[-_MOST_LINES // 2 :]]
        rows += [self._cells(i) for i in shown]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        if size > len(shown):
            lines.insert(1 + _MOST_LINES // 2, f"... {size - len(shown)} more ...")
        return "\n".join([f"posterior of each latent under {self._origin()}", *lines])

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        heads = ["latent", "successes", "of", "mean", *self._ends(), "shrinkage"]
        size = len(self.counts)
        rows = [self._cells(i) for i in range(min(size, _MOST_LINES))]
        lines = ["<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) for row in rows]
        if size > len(rows):
            lines.append(f"<tr><td colspan={len(heads)}>... {size - len(rows)} more ...</td>")
        head = "".join(f"<th>{html.escape(h)}</th>" for h in heads)
        caption = html.escape(f"posterior of each latent under {self._origin()}")
        return f"<table><caption>{caption}</caption><tr>{head}{''.join(lines)}</table>"

    def to_dict(self) -> Document:
        """The table as lists, with what its intervals are."""
        return {"interval": {"kind": KIND, "prob": self.prob}, **self.columns()}

    def rows(self) -> list[tuple[Any, ...]]:
        """The table as a header and rows, the interval's probability and kind in each."""
        columns, size = self.columns(), len(self.counts)
        intervals = {"interval_prob": [self.prob] * size, "interval_kind": [KIND] * size}
        return [(*columns, *intervals), *zip(*columns.values(), *intervals.values(), strict=True)]

    def to_csv(self) -> str:
        """The table as comma-separated text, every digit."""
        return csv_text(self.rows())

    def _ends(self) -> list[str]:
        return [f"{100 * self.prob:g}% from", "to"]

    def _origin(self) -> str:
        prior = describe(self.prior) if self.prior.shape == () else "its prior"
        return f"{prior}, {KIND} intervals"

    def _cells(self, i: int) -> list[str]:
        counts = self.counts
        values = (self.mean, self.lower, self.upper, self.shrinkage)
        label = str(self.labels[i])
        if counts.multiplicity[i] != 1:
            label += f" (x {counts.multiplicity[i]})"
        counted = [str(counts.successes[i]), str(counts.total_count[i])]
        return [label, *counted, *(number(value[i]) for value in values)]


@underflow_is_zero
def posterior_table(prior: Beta, counts: Counts, prob: float = 0.95) -> PosteriorTable:
    """The posterior of each latent: mean, interval, and shrinkage toward the prior's mean.

    Parameters
    ----------
    prior : Beta, shape () or (G,)
    counts : Counts, G entries
    prob : float
        The probability of the equal-tailed intervals, strictly between 0 and 1.

    Returns
    -------
    PosteriorTable

    Raises
    ------
    TypeError, ValueError
        For an argument that does not fit.

    Examples
    --------
    >>> counts = Counts.grouped([3, 0], [10, 40], ["north", "south"])
    >>> print(posterior_table(Beta(2.0, 8.0), counts))
    posterior of each latent under Beta(2, 8), equal-tailed intervals
    latent  successes  of  mean   95% from       to  shrinkage
     north          3  10  0.25   0.091466  0.45565        0.5
     south          0  40  0.04  0.0049818  0.10854        0.2
    """
    check_type("prior", prior, Beta)
    check_type("counts", counts, Counts)
    check_fits("prior", prior.shape, len(counts))
    after = prior.conjugate_update(counts.successes, counts.failures)
    pairs, place = np.unique(1j * after.concentration0 + after.concentration1, return_inverse=True)
    lower, upper = (
        np.asarray(x)[place.ravel()] for x in Beta(pairs.real, pairs.imag).interval(prob)
    )
    concentration = np.add(*prior.arrays())
    shrinkage = concentration / (concentration + counts.total_count)
    return PosteriorTable(prior, counts, prob, np.asarray(after.mean), lower, upper, shrinkage)


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as comma-separated text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
