"""The posterior of each latent under a chosen prior, in a table.

With prior Beta(a0, b0), mean m0, and K successes of N trials the posterior (E2) has the mean

    (a0 + K)/(a0 + b0 + N) = s m0 + (1 - s) K/N,        s = (a0 + b0)/(a0 + b0 + N),

a compromise between the prior's mean and the latent's own rate; s, the weight of the prior, is its
*shrinkage*: 0 where the counts speak alone, 1 where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elbo_ref._format.arviz import data_tree
from elbo_ref._format.documents import Document
from elbo_ref._format.numbers import describe
from elbo_ref._format.result import Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import (
    FloatArray,
    Rng,
    check_fits,
    check_type,
    count,
    generator,
    underflow_is_zero,
)
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.beta_source import BETA

KIND = "equal-tailed"
"""The kind of the intervals: as much probability below as above."""


class LatentRows:
    """Columns of a table with a row, and in it an interval, for each entry of counts."""

    counts: Counts
    mean: FloatArray
    lower: FloatArray
    upper: FloatArray
    shrinkage: FloatArray

    @property
    def labels(self) -> Sequence[Any]:
        """The groups of the counts, or the numbers of the entries, from 0."""
        return range(len(self.counts)) if self.counts.labels is None else self.counts.labels

    def _counted(self) -> tuple[Column, list[Column]]:
        """Make the column of labels, and those of the counts."""
        counts, labels = self.counts, self.labels

        def latent(i: int) -> str:
            times = counts.multiplicity[i]
            return str(labels[i]) if times == 1 else f"{labels[i]} (x {times})"

        return Column(labels, "label", "latent", text=latent), [
            Column(counts.successes, "successes", "successes"),
            Column(counts.total_count, "total_count", "of"),
            Column(counts.multiplicity, "multiplicity"),
        ]

    def _estimated(self, level: float) -> list[Column]:
        """Make the columns of means, of intervals of that probability, and of shrinkage."""
        return [
            Column(self.mean, "mean", "mean"),
            Column(self.lower, "lower", f"{100 * level:g}% from"),
            Column(self.upper, "upper", "to"),
            Column(self.shrinkage, "shrinkage", "shrinkage"),
        ]


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class PosteriorTable(LatentRows, Tabular):
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

    def columns(self) -> dict[str, list[Any]]:
        """Return the columns as lists, by name."""
        columns = [x for x in self.table().columns if not x.name.startswith("interval")]
        return {x.name: np.asarray(x.values, object).tolist() for x in columns}

    def table(self) -> Table:
        """Lay out the table, to be read or written.

        Returns
        -------
        Table
            With ``to_text()``, ``to_html()``, ``to_csv()``, ``to_pandas()``, ...
        """
        (label, counted), size = self._counted(), len(self.counts)
        origin = describe(self.prior) if self.prior.shape == () else "its prior"
        return Table(
            [
                label,
                *counted,
                *self._estimated(self.prob),
                Column(np.broadcast_to(self.prob, size), "interval_prob"),
                Column(np.broadcast_to(KIND, size), "interval_kind"),
            ],
            f"posterior of each latent under {origin}, {KIND} intervals",
        )

    def to_dict(self) -> Document:
        """Return the columns as lists, labels as text, and what the intervals are."""
        texts = list(map(str, self.labels))
        return {"interval": {"kind": KIND, "prob": self.prob}, **self.columns(), "label": texts}

    def to_arviz(self, *, draws: int = 1000, chains: int = 4, rng: Rng = 0) -> Any:
        """Draw from posterior and prior, for ArviZ.

        Parameters
        ----------
        draws, chains : int
            Independent draws of each chain, and chains.
        rng : int, SeedSequence or Generator

        Returns
        -------
        xarray.DataTree
            Groups ``posterior`` and ``prior`` with ``c`` along the coordinate ``latent``, the
            labels; ``observed_data``, ``constant_data`` and ``log_likelihood``. An entry of the
            counts is one latent, whatever its multiplicity.

        Raises
        ------
        ImportError
            Without ``arviz-base``.
        """
        shape = count("chains", chains, 1), count("draws", draws, 1), len(self.counts)
        source, counts = generator(rng), self.counts
        after = self.prior.conjugate_update(counts.successes, counts.failures)
        pairs = [np.reshape(each.arrays(), (2, -1)) for each in (after, self.prior)]
        posterior, prior = (BETA.sample_logits(each, shape, source) for each in pairs)
        seen = counts.successes, counts.total_count, counts.log_coefficient
        return data_tree(posterior, prior, *seen, self.labels)


@underflow_is_zero
def posterior_table(prior: Beta, counts: Counts, *, prob: float = 0.95) -> PosteriorTable:
    """Tabulate the posterior of each latent: mean, interval, and shrinkage toward the prior's mean.

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

    See Also
    --------
    elbo_ref.posterior : The distributions themselves.
    elbo_ref.estimate : The same without a chosen prior.

    Notes
    -----
    The posterior is Beta(a0 + K, b0 + N - K) (E2); the shrinkage is (a0 + b0)/(a0 + b0 + N).

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
