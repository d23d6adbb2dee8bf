"""`Estimates`: the estimate of each latent, and what is asked of it next."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from elbo_ref._format.arviz import data_tree
from elbo_ref._format.documents import Document, Documented, document
from elbo_ref._format.numbers import number
from elbo_ref._format.progress import tracked
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.table import Column, Computed, Table, wrapped
from elbo_ref._validation.arguments import (
    FloatArray,
    Rng,
    count,
    generator,
    probability,
    underflow_is_zero,
)
from elbo_ref.counts import Counts
from elbo_ref.distributions.posterior_table import LatentRows
from elbo_ref.estimates.difference import Difference, Side, difference
from elbo_ref.estimates.draws import draws_of
from elbo_ref.estimates.groups import GroupPriors, Posteriors
from elbo_ref.estimates.mean_difference import mean_difference, places
from elbo_ref.estimates.mixture import LatentMixture
from elbo_ref.estimates.parameters import NAMES, priors_table
from elbo_ref.estimates.prediction import MOST_TRIALS, Prediction, predicted
from elbo_ref.estimates.sides import Averaged, Betas

_MOST_PAIRS = 20_000
"""Distinct pairs of counts whose profile intervals are printed unasked."""
_MOST_LABELS = 5
"""Labels that an error names."""
_LIGHT = 1e-7
"""The weight of the nodes that a comparison leaves out."""


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class Estimates(GroupPriors, Documented, LatentRows, Tabular):
    """One row per entry of the counts; made by `estimate`.

    Attributes
    ----------
    counts : Counts
    level : float
        The probability of the equal-tailed intervals.
    posteriors : Posteriors
        What they are computed from.
    mean, lower, upper : float64 ndarray, shape (G,)
        Posterior mean and interval of each latent.
    shrinkage : float64 ndarray, shape (G,)
        The posterior mean of s/(s + N), the weight of the prior beside the counts.
    above : float or None
        The threshold of a column of the table.
    progress : bool or None
        Whether a bar shows the groups, where the work is long.
    """

    counts: Counts
    level: float
    posteriors: Posteriors = field(repr=False)
    mean: FloatArray = field(repr=False)
    lower: FloatArray = field(repr=False)
    upper: FloatArray = field(repr=False)
    shrinkage: FloatArray = field(repr=False)
    above: float | None = None
    progress: bool | None = field(default=None, repr=False)

    @property
    def raw(self) -> FloatArray:
        """K/N of each latent; nan without trials."""
        n = self.counts.total_count
        return np.where(n > 0, self.counts.successes / np.maximum(n, 1), np.nan)

    def _raw_of(self, i: int) -> float:
        """Compute K/N of one latent, for a table that shows few."""
        n = self.counts.total_count[i]
        return float(self.counts.successes[i] / n) if n else np.nan

    @cached_property
    def _index(self) -> dict[Hashable, int]:
        return {label: i for i, label in enumerate(self.labels)}

    # -- questions -------------------------------------------------------------------------------

    def probability_above(self, c: float) -> FloatArray:
        """Compute the posterior probability of each latent above a threshold.

        Parameters
        ----------
        c : float
            In (0, 1).

        Returns
        -------
        float64 ndarray, shape (G,)

        Raises
        ------
        ValueError
            If c is outside (0, 1).

        Examples
        --------
        >>> from elbo_ref import Counts, estimate
        >>> estimate(Counts([3, 4, 9], 10)).probability_above(0.5).round(4)
        array([0.1816, 0.3365, 0.9762])
        """
        c = probability("c", c)
        names, fits, group, entry = self.posteriors
        above = np.empty(entry.size)
        for i in range(len(names)):
            chosen = group == i
            above[chosen] = fits[i].above(c)[entry[chosen]]
        return above

    def difference(self, label1: Hashable, label2: Hashable, *, groups: bool = False) -> Difference:
        """Compare two latents by the posterior of c1 - c2, the prior that they share averaged over.

        Parameters
        ----------
        label1, label2 : Hashable
            Of `labels`, or of the groups.
        groups : bool
            Whether the means of the priors of two groups are compared. At the evidence maximum the
            interval is joined from the two profile intervals, and the probability is nan.

        Returns
        -------
        Difference
            Posterior mean, interval and P(c1 > c2), the last two to about 1e-6; those of the two in
            the other order are minus these, and 1 - P(c1 > c2).

        Raises
        ------
        ValueError
            If a label is not known, or both are the same.

        Examples
        --------
        >>> from elbo_ref import Counts, estimate
        >>> counts = Counts.grouped([3, 4, 9], [10, 10, 10], ["north", "south", "east"])
        >>> found = estimate(counts).difference("east", "north")
        >>> [round(x, 2) for x in (found.mean, found.lower, found.upper, found.probability)]
        [0.42, 0.03, 0.77, 0.98]

        >>> apart = estimate(Counts([1, 2, 0, 3, 7, 9, 6, 8], 10), by=[*"aaaabbbb"])
        >>> found = apart.difference("b", "a", groups=True)
        >>> [round(x, 2) for x in (found.mean, found.lower, found.upper, found.probability)]
        [0.5, 0.19, 0.73, 1.0]
        """
        if groups:
            return self._difference_of_groups(label1, label2)
        i, j = self._find("label1", label1), self._find("label2", label2)
        if i == j:
            raise ValueError(f"label1 and label2 are both {label1!r}")
        mean = float(self.mean[i] - self.mean[j])
        if self._latent(i) is None or self._latent(j) is None:
            ends = float(self.lower[i] - self.upper[j]), float(self.upper[i] - self.lower[j])
            known = ends[0] == ends[1]
            share = float(mean > 0) if known else np.nan
            return Difference(label1, label2, mean, *ends, share, self.level)
        shared = self.posteriors.group[i] == self.posteriors.group[j]
        one, other = (self._side(k, shared) for k in (i, j))
        found = difference(one, other, mean, self.level)
        return Difference(label1, label2, mean, *found, self.level)

    def _side(self, i: int, shared: bool) -> Side:
        """Return a latent to be compared: with the nodes of a common prior, or averaged."""
        _, fits, group, entry = self.posteriors
        fit, place = fits[group[i]], int(entry[i])
        if shared:
            return Betas(fit.latent(place, fit.for_pairs))
        return Averaged.of(fit.latent(place).kept(_LIGHT))

    def _difference_of_groups(self, label1: Hashable, label2: Hashable) -> Difference:
        names, fits, *_ = self.posteriors
        one, other = (fits[place] for place in places(names, label1, label2))
        found = mean_difference(one, other, self.level)
        return Difference(label1, label2, *found, self.level, True)

    def predict(
        self, total_count: int, label: Hashable = None, *, group: Hashable = None
    ) -> Prediction:
        """Predict the successes in new trials of a latent.

        Parameters
        ----------
        total_count : int
            The number of new trials, from 1 to 100,000.
        label : optional
            One of `labels`; a new latent by default.
        group : optional
            The group of a new latent, where there are groups.

        Returns
        -------
        Prediction
            The probability of each number of successes: a mixture of Beta-Binomials.

        Raises
        ------
        TypeError, ValueError
            If the number, the label or the group is none of these.

        Examples
        --------
        >>> from elbo_ref import Counts, estimate
        >>> found = estimate(Counts([3, 4, 9], 10)).predict(10, 2)
        >>> round(found.mean, 3), found.lower, found.upper
        (7.903, 4, 10)
        """
        n = count("total_count", total_count, 1, MOST_TRIALS)
        if label is not None and group is not None:
            raise ValueError("group is that of a new latent: leave label or group out")
        if label is not None:
            i = self._find("label", label)
            latent, point = self._latent(i), float(self.mean[i])
        else:
            fit = self.posteriors.of(group)
            latent = None if fit.nodes is None else LatentMixture(*fit.mixture[:3])
            limit = None if fit.maximum is None else fit.maximum.mean
            point = np.nan if limit is None else limit
        found = predicted(point if latent is None else latent, n, self.level)
        return replace(found, label=label, group=group)

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
            As that of `PosteriorTable.to_arviz`; the own uncertainty of the prior is in the draws.
            Those named ``prior`` are of another latent, after the counts were seen.

        Raises
        ------
        ImportError
            Without ``arviz-base``.
        """
        _, fits, group, entry = self.posteriors
        shape = count("chains", chains, 1), count("draws", draws, 1)
        posterior, prior = draws_of(fits, group, entry, shape, generator(rng))
        seen = self.counts.successes, self.counts.total_count, self.counts.log_coefficient
        return data_tree(posterior, prior, *seen, self.labels)

    @cached_property
    def _above(self) -> FloatArray:
        """P(c > above), once for all uses of the table."""
        assert self.above is not None
        return self.probability_above(self.above)

    def _find(self, name: str, label: Hashable) -> int:
        try:
            return self._index[label]
        except (KeyError, TypeError):
            first = ", ".join(map(repr, self.labels[:_MOST_LABELS]))
            more = ", ..." if len(self.labels) > _MOST_LABELS else ""
            rule = f"is not a label of these estimates, which are {first}{more}"
            raise ValueError(f"{name} = {label!r} {rule}") from None

    def _latent(self, i: int) -> LatentMixture | None:
        _, fits, group, entry = self.posteriors
        fit = fits[group[i]]
        return None if fit.nodes is None else fit.latent(int(entry[i]))

    # -- text ------------------------------------------------------------------------------------

    def table(self) -> Table:
        """Lay out the estimates, to be read or written.

        Returns
        -------
        Table
            With ``to_text()``, ``to_html()``, ``to_csv()``, ``to_pandas()``, ...
        """
        (label, counted), names = self._counted(), self.posteriors.names
        groups = []
        if names != (None,):
            groups = [Column(self._group_of_each(), "group", "group", left=True)]
        raw = Computed(len(self.counts), self._raw_of, lambda: self.raw)
        shown = *groups, *counted, Column(raw, "raw", "raw")
        columns = [label, *shown, *self._estimated(self.level)]
        if self.above is not None:
            heading = f"P(c > {self.above:g})"
            columns.append(Column(self._above, "probability_above", heading))
        return Table(columns, self._caption())

    def _group_of_each(self) -> Computed:
        names, _, group, _ = self.posteriors
        return Computed(len(group), lambda i: names[group[i]])

    def _caption(self) -> str:
        names, fits, *_ = self.posteriors
        origins = (fit.origin(name) for name, fit in zip(names, fits, strict=True))
        return wrapped("; ".join([self.counts.summary(), *dict.fromkeys(origins)]))

    def blocks(self) -> list[Block]:
        """Return the table, the parameters of the prior or of each group's, and the test.

        Of many groups only those are computed that are shown, and a test is shown if it was made.
        """
        names = self.posteriors.names
        if names == (None,):
            return [self.table(), self._facts()]
        priors = priors_table(names, self._parameters, self.level)
        for place in tracked(priors.shown, self.progress, "group"):
            self._parameters(place)
        found: list[Block] = [self.table(), priors]
        made = len(names) <= priors.most or "test" in vars(self)
        if made and self.test is not None:
            found.append({self.test.null: f"p = {number(self.test.pvalue)}"})
        return found

    def _facts(self) -> dict[str, str]:
        """Write the prior's parameters; profile intervals of many pairs only once they are made."""
        maximum = self.posteriors.fits[0].maximum
        few = maximum is None or len(maximum.counts) <= _MOST_PAIRS
        if few or "prior_parameters" in vars(self):
            return self.prior_parameters.groups[None].facts("prior, ")
        values = {name: getattr(maximum, name) for name in NAMES}
        facts = {f"prior, {x}": "any" if y is None else number(y) for x, y in values.items()}
        return {**facts, "their intervals": "take a while, and are prior_parameters"}

    def to_dict(self) -> Document:
        """Turn the estimates into a document of plain values; see docs/results.md."""
        table = self.table()
        columns = {x.name: x.whole for x in table.columns if x.name}
        body: Document = {**document("latents"), "what": table.caption}
        body["columns"] = {name: _plain(values) for name, values in columns.items()}
        if self.above is not None:
            body["above"] = self.above
        if self.test is not None:
            body["test"] = self.test.to_dict()
        return body


def _plain(values: Any) -> list[object]:
    """Return values that JSON has; a rate of no trials is null."""

    def plain(value: object) -> object:
        if isinstance(value, float) and not np.isfinite(value):
            return None
        return value if isinstance(value, int | float | str | None) else str(value)

    return [plain(x) for x in (values.tolist() if isinstance(values, np.ndarray) else values)]
