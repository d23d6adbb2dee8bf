"""`Estimates`: the estimate of each latent, and what is asked of it next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._format.numbers import describe
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.estimates.fit import Fit


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class Estimates:
    """One row per entry of the counts; made by `estimate`.

    Attributes
    ----------
    counts : Counts
    level : float
        The probability of the equal-tailed intervals.
    mean, lower, upper, shrinkage : float64 ndarray, shape (G,)
        Posterior mean and interval of each latent, and the (posterior mean of the) weight that its
        prior has beside its counts.
    """

    counts: Counts
    level: float
    _fits: tuple[Fit, ...] = field(repr=False)
    _entry: NDArray[np.intp] = field(repr=False)
    mean: FloatArray = field(repr=False)
    lower: FloatArray = field(repr=False)
    upper: FloatArray = field(repr=False)
    shrinkage: FloatArray = field(repr=False)

    @property
    def labels(self) -> tuple[Any, ...]:
        """The groups of the counts, or the number of the entry, from 0."""
        return self.counts.labels or tuple(range(len(self.counts)))

    @property
    def raw(self) -> FloatArray:
        """K/N of each latent; nan without trials."""
        n = self.counts.total_count
        return np.where(n > 0, self.counts.successes / np.maximum(n, 1), np.nan)

    def table(self) -> Table:
        """Lay out the estimates, to be read or written.

        Returns
        -------
        Table
            With ``to_text()``, ``to_html()`` and ``to_csv()``.
        """
        counts, labels = self.counts, self.labels
        return Table(
            [
                Column(labels, "label", "latent"),
                Column(counts.successes, "successes", "successes"),
                Column(counts.total_count, "total_count", "of"),
                Column(counts.multiplicity, "multiplicity"),
                Column(self.raw, "raw", "raw"),
                Column(self.mean, "mean", "mean"),
                Column(self.lower, "lower", f"{100 * self.level:g}% from"),
                Column(self.upper, "upper", "to"),
                Column(self.shrinkage, "shrinkage", "shrinkage"),
            ],
            self._caption(),
        )

    def _caption(self) -> str:
        fit = self._fits[0]
        if fit.grid is not None:
            origin = "averaged over the prior"
        elif fit.nodes is None:
            assert fit.maximum is not None
            origin = f"in the limit: {fit.maximum.sentence}"
        else:
            a, b = (float(x[0]) for x in fit.nodes.concentrations)
            known = "the maximum-likelihood prior" if fit.maximum else "the prior"
            origin = f"under {known} {describe(Beta(a, b))}"
        return f"{self.counts.summary()}, {origin}"

    def summary(self) -> str:
        """Format the estimates as text, the middle of a long table left out."""
        return self.table().to_text()

    __str__ = summary

    def _repr_html_(self) -> str:
        return self.table().to_html()
