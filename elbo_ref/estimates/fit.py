"""One prior for some latents, as it is known: averaged, at the evidence maximum, or given.

Each is a mixture of Beta priors, of one for a given prior. At a limit that no prior attains the
latents' posteriors are those of the limit: where all trials end alike, points at that outcome;
with s -> infinity, points at the pooled mean; with s -> 0, points at each latent's own 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._format.numbers import describe
from elbo_ref._format.progress import Add
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.estimates.density import LogDensity
from elbo_ref.estimates.hyperprior import Hyperprior
from elbo_ref.estimates.mixture import LatentMixture, Mixture, linear_moments
from elbo_ref.estimates.parameters import PriorParameters, averaged, given, of_maximum
from elbo_ref.estimates.quadrature import Grid, Nodes
from elbo_ref.estimates.reduction import for_pairs, reduced
from elbo_ref.mle.binomial import totals
from elbo_ref.mle.factorial_sums import mixed_latents
from elbo_ref.mle.result import EvidenceMaximum, maximize_evidence


class Columns(NamedTuple):
    """Posterior mean, interval and shrinkage of each latent."""

    mean: FloatArray
    lower: FloatArray
    upper: FloatArray
    shrinkage: FloatArray


@dataclass(frozen=True, eq=False)
class Fit:
    """The prior of some distinct latents.

    Attributes
    ----------
    counts : Counts
        Distinct pairs with multiplicities.
    nodes : Nodes or None
        The priors that are averaged; None at a limit.
    grid : Grid or None
        The quadrature over the hyperprior, where there is one; with the outcomes exchanged if
        `mirrored`.
    maximum : EvidenceMaximum or None
        Where the prior is the maximum-likelihood one.
    """

    counts: Counts
    nodes: Nodes | None
    grid: Grid | None = None
    mirrored: bool = False
    maximum: EvidenceMaximum | None = None

    @classmethod
    def of(cls, counts: Counts, prior: str | Beta, hyperprior: Hyperprior) -> Fit:
        """Make the fit that a `prior` argument asks for."""
        if isinstance(prior, Beta):
            return cls(counts, _one(prior))
        return cls.averaged(counts, hyperprior) if prior == "averaged" else cls.at_maximum(counts)

    @classmethod
    def averaged(cls, counts: Counts, hyperprior: Hyperprior) -> Fit:
        """Average over a hyperprior (E14)."""
        says = (counts.total_count > 0) & (counts.multiplicity > 0)
        columns = counts.successes, counts.total_count, counts.multiplicity
        some = Counts(*(x[says] for x in columns)) if says.any() else Counts(0, 0)
        k, f = totals(some)
        if mirrored := k > f:
            some, hyperprior = some.mirrored, hyperprior.mirrored
        if not hyperprior.weight[1] + mixed_latents(some) > 0:
            q, mixed = hyperprior.weight[1], mixed_latents(some)
            least = math.floor(-q) + 1
            needed = f"{least} latent{'s' * (least > 1)} with both successes and failures"
            raise ValueError(
                f"hyperprior: with weight[1] = {q:g} the posterior is finite from {needed} on, "
                f"and there are {mixed}: take a weight[1] above 0, as Hyperprior() has"
            )
        grid = Grid.of(LogDensity.of(some, hyperprior))
        nodes = reduced(grid)
        return cls(counts, nodes.mirrored if mirrored else nodes, grid, mirrored)

    @classmethod
    def at_maximum(cls, counts: Counts) -> Fit:
        """Take the maximum-likelihood prior, or the limit."""
        maximum = maximize_evidence(counts)
        nodes = None if maximum.prior is None else _one(maximum.prior)
        return cls(counts, nodes, maximum=maximum)

    @cached_property
    def mixture(self) -> Mixture:
        """The posterior of each latent that has a density."""
        assert self.nodes is not None
        a, b = self.nodes.concentrations
        return Mixture(a, b, self.nodes.weight, self.counts.successes, self.counts.failures)

    @cached_property
    def for_pairs(self) -> Nodes | None:
        """The priors that are averaged, for two latents that have them in common."""
        if self.grid is None:
            return self.nodes
        nodes = for_pairs(self.grid)
        return nodes.mirrored if self.mirrored else nodes

    def latent(self, i: int, nodes: Nodes | None = None) -> LatentMixture:
        """Return the posterior of one latent that has a density, by nodes of its own prior."""
        a, b, weight, k, f = self.mixture
        if nodes is not None:
            (a, b), weight = nodes.concentrations, nodes.weight
        return LatentMixture(a + k[i], b + f[i], weight)

    def parameters(self, level: float) -> PriorParameters:
        """Return the prior's own parameters with intervals."""
        if self.grid is not None:
            return averaged(self.grid, self.mirrored, level)
        if self.maximum is not None:
            return of_maximum(self.maximum, level)
        a, b, _, _, _ = self.mixture
        return given(float(a[0]), float(b[0]))

    def above(self, c: float) -> FloatArray:
        """Compute the probability of each latent above c."""
        if self.nodes is not None:
            return self.mixture.above(c)
        mean = self._at_limit().mean
        return np.where(np.isnan(mean), np.nan, mean > c)

    def columns(self, level: float, add: Add | None = None) -> Columns:
        """Compute the table of the latents; `add` takes note of the bounds of intervals."""
        if self.nodes is None:
            return self._at_limit()
        mixture, tail = self.mixture, (1 - level) / 2
        lower = sc.expit(mixture.lower_quantile(tail, add))
        upper = sc.expit(-mixture.mirrored.lower_quantile(tail, add))
        mean, shrinkage = linear_moments(self._all_nodes, self.counts)
        return Columns(mean, lower, upper, shrinkage)

    def origin(self, group: Hashable) -> str:
        """Say which prior it is, of a group or of all."""
        each = "" if group is None else " of each group"
        if self.grid is not None:
            return f"averaged over the prior{each}"
        if self.nodes is None:
            assert self.maximum is not None
            of = "" if group is None else f"{group} "
            return f"{of}in the limit: {self.maximum.sentence}"
        if self.maximum is not None and each:
            return f"under the maximum-likelihood prior{each}"
        a, b = (float(x[0]) for x in self.nodes.concentrations)
        known = "the maximum-likelihood prior" if self.maximum is not None else "the prior"
        return f"under {known} {describe(Beta(a, b))}"

    @property
    def _all_nodes(self) -> Nodes:
        """The nodes before any were left out."""
        if self.grid is None:
            assert self.nodes is not None
            return self.nodes
        nodes = self.grid.nodes()
        return nodes.mirrored if self.mirrored else nodes

    def _at_limit(self) -> Columns:
        """Lay out the estimates of a limit."""
        assert self.maximum is not None
        kind, counts, size = self.maximum.kind, self.counts, len(self.counts)
        pooled = np.nan if self.maximum.mean is None else self.maximum.mean
        mean, shrinkage = np.full(size, pooled), np.ones(size)
        lower, upper = mean, mean
        if kind in ("no_information", "unidentified"):
            lower, upper = np.zeros(size), np.ones(size)
            shrinkage = np.where(counts.total_count > 0, np.nan, 1.0)
        elif kind == "all_or_none":
            empty = counts.total_count == 0
            mean = np.where(empty, pooled, counts.successes > 0)
            lower, upper = np.where(empty, 0.0, mean), np.where(empty, 1.0, mean)
            shrinkage = np.where(empty, 1.0, 0.0)
        return Columns(mean, lower, upper, shrinkage)


def _one(prior: Beta) -> Nodes:
    """Make the single node of a prior."""
    a, b = prior.arrays()
    return Nodes(np.log(a / b).reshape(1), np.log(a + b).reshape(1), np.ones(1))
