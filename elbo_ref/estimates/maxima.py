"""`EvidenceMaxima`: one maximum-likelihood prior for each group of latents, and one for all."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

from elbo_ref._format.documents import Document, Documented, document
from elbo_ref._format.progress import tracked
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.table import Column, Table, wrapped
from elbo_ref.counts import Counts, levels
from elbo_ref.counts.levels import By
from elbo_ref.estimates.parameters import MOST_PRIORS, PriorParameters, columns_of, of_maximum
from elbo_ref.mle.result import EvidenceMaximum, maximize_evidence
from elbo_ref.mle.tests import TestResult, same_prior_test

LEVEL = 0.95
"""The coverage of the profile intervals."""


@dataclass(frozen=True, eq=False)
class EvidenceMaxima(Documented, Tabular):
    """The evidence maximum of each group of latents; made by `maxima_by`.

    Attributes
    ----------
    together : EvidenceMaximum
        That of all latents.
    groups : dict
        That of each group, by its name.
    test : TestResult
        Of one prior for all groups.
    progress : bool or None
        Whether a bar shows the groups, where the work is long.
    """

    together: EvidenceMaximum
    groups: dict[Hashable, EvidenceMaximum]
    test: TestResult
    progress: bool | None = field(default=None, repr=False)

    @cached_property
    def parameters(self) -> dict[Hashable, PriorParameters]:
        """Parameters of the prior of each group, with 95 % profile intervals."""
        return {name: self._parameters(i) for i, name in enumerate(self.groups)}

    @cached_property
    def _parameters(self) -> Callable[[int], PriorParameters]:
        maxima = list(self.groups.values())
        return cache(lambda i: of_maximum(maxima[i], LEVEL))

    def table(self) -> Table:
        """Lay out the groups, a row for each; an interval is computed when it is asked for."""
        maxima = list(self.groups.values())
        columns = [Column(list(self.groups), "group", "group", left=True)]
        columns.append(Column([x.counts.num_latents for x in maxima], "latents", "latents"))
        columns.append(Column([x.kind for x in maxima], "kind", "kind", left=True))
        columns.append(Column([x.log_evidence for x in maxima], "log_evidence", "log evidence"))
        columns += columns_of(len(maxima), self._parameters, ("mean", "rho"), LEVEL)
        for name in ("concentration1", "concentration0"):
            known = [x.prior and getattr(x.prior, name) for x in maxima]
            columns.append(Column(known, name, name))
        held = "".join(f", {name} held at {x:g}" for name, x in self.together.fixed.items())
        one = f"one prior for all: {self.together.sentence}"
        caption = wrapped(f"{self.together.counts.summary()}{held}; {one}")
        return Table(columns, caption, most=MOST_PRIORS)

    def blocks(self) -> Sequence[Block]:
        """Return the table, and the test; of many groups only those are computed that are shown."""
        table = self.table()
        for place in tracked(table.shown, self.progress, "group"):
            self._parameters(place)
        return [table, *self.test.blocks()]

    def to_dict(self) -> Document:
        """Turn the maxima and the test into a document of plain values; see docs/results.md."""
        groups = [{"group": str(x), "maximum": y.to_dict()} for x, y in self.groups.items()]
        body: Document = {**document("evidence_maxima"), "groups": groups}
        return {**body, "together": self.together.to_dict(), "test": self.test.to_dict()}


def maxima_by(
    counts: Counts,
    by: By | None = None,
    fixed: Mapping[str, float] | None = None,
    *,
    progress: bool | None = None,
) -> EvidenceMaxima:
    """Find the evidence maximum of each group of latents, and test one prior for all.

    Parameters
    ----------
    counts : Counts
    by : str, mapping or G labels, optional
        The group of each entry of the counts, as of `estimate`; by default the counts' own levels.
    fixed : mapping, optional
        The parameter to hold in all of them, as of `maximize_evidence`.
    progress : bool, optional
        Whether a bar shows the groups; by default on a terminal and in a notebook, if
        the work is long.

    Returns
    -------
    EvidenceMaxima

    Raises
    ------
    TypeError, ValueError
        As `maximize_evidence`, and if there is not one label for each entry.

    Examples
    --------
    >>> maxima = maxima_by(Counts([1, 2, 0, 3, 7, 9, 6, 8], 10), [*"aaaabbbb"])
    >>> [round(maximum.mean, 3) for maximum in maxima.groups.values()]
    [0.15, 0.75]
    >>> print(maxima.test)
    null: one prior for all groups
    alternative: one for each group
    statistic: 13.519
    p: 0.0011596
    """
    names, place = levels(counts, by)
    columns = counts.successes, counts.total_count, counts.multiplicity, counts.log_split
    groups = {}
    for i, name in enumerate(tracked(names, progress, "group")):
        some = (column[place == i] for column in columns)
        groups[name] = maximize_evidence(Counts.from_columns(*some), fixed)
    together = maximize_evidence(counts, fixed)
    test = same_prior_test(together, list(groups.values()))
    return EvidenceMaxima(together, groups, test, progress)
