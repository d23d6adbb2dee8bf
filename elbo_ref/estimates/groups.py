"""The priors of the groups of latents, and tests of whether they differ.

That two groups have one prior is asked of mean and concentration together, by `same_prior_test`;
that their priors have one mean, whatever the concentration of each, by `same_mean_test`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._format.progress import tracked
from elbo_ref.counts import Counts
from elbo_ref.estimates.fit import Fit
from elbo_ref.estimates.parameters import PriorParameter, PriorParameters, Priors
from elbo_ref.mle.mean_test import same_mean_test
from elbo_ref.mle.result import EvidenceMaximum, maximize_evidence
from elbo_ref.mle.tests import TestResult, same_prior_test


class Posteriors(NamedTuple):
    """The fits behind some estimates.

    Attributes
    ----------
    names : tuple
        The groups that have a prior of their own; (None,) for one prior.
    fits : tuple of Fit
        One for each.
    group, entry : int ndarray, shape (G,)
        For each entry of the counts its group, and its place among the distinct counts of that.
    """

    names: tuple[Hashable, ...]
    fits: tuple[Fit, ...]
    group: NDArray[np.intp]
    entry: NDArray[np.intp]

    def of(self, group: Hashable) -> Fit:
        """Return the fit of a group, or of None where there are none.

        Raises
        ------
        ValueError
            If the group is not known.
        """
        if group in self.names:
            return self.fits[self.names.index(group)]
        if self.names == (None,):
            raise ValueError(f"group = {group!r}, and there are no groups: give by= to estimate")
        if group is None:
            raise ValueError(f"a new latent is of one of the groups {[*self.names]}: give group=")
        raise ValueError(f"group = {group!r} is not one of the groups {[*self.names]}")


class GroupPriors:
    """Estimates, asked for their priors."""

    level: float
    posteriors: Posteriors
    progress: bool | None

    @cached_property
    def prior_parameters(self) -> Priors[PriorParameters]:
        """The parameters of each group's prior, with intervals; of the group None if there is one.

        Examples
        --------
        >>> from elbo_ref import Counts, estimate
        >>> found = estimate(Counts([3, 4, 9], 10)).prior_parameters[None].concentration
        >>> [round(x, 3) for x in (found.value, found.lower, found.upper)]
        [3.446, 0.632, 37.665]
        """
        names = self.posteriors.names
        parameters = map(self._parameters, tracked(range(len(names)), self.progress, "group"))
        return Priors(dict(zip(names, parameters, strict=True)))

    @cached_property
    def _parameters(self) -> Callable[[int], PriorParameters]:
        return cache(lambda i: self.posteriors.fits[i].parameters(self.level))

    @property
    def prior_mean(self) -> PriorParameter | Priors[PriorParameter]:
        """The mean of the prior, a/(a + b), with an interval; by group where there are groups."""
        return self._of_prior(lambda parameters: parameters.mean)

    @property
    def prior_concentration(self) -> PriorParameter | Priors[PriorParameter]:
        """The concentration a + b of the prior, with an interval."""
        return self._of_prior(lambda parameters: parameters.concentration)

    @property
    def rho(self) -> PriorParameter | Priors[PriorParameter]:
        """The correlation of two trials of one latent, 1/(1 + a + b), with an interval."""
        return self._of_prior(lambda parameters: parameters.rho)

    def _of_prior(
        self, part: Callable[[PriorParameters], PriorParameter]
    ) -> PriorParameter | Priors[PriorParameter]:
        parts = {name: part(x) for name, x in self.prior_parameters.groups.items()}
        return parts[None] if tuple(parts) == (None,) else Priors(parts)

    @cached_property
    def test(self) -> TestResult | None:
        """The likelihood-ratio test of one prior for all groups; None without groups.

        See Also
        --------
        same_prior_test : The same of some groups.
        same_mean_test : Of the means of the priors alone.

        Examples
        --------
        >>> from elbo_ref import Counts, estimate
        >>> counts = Counts([1, 2, 0, 3, 7, 9, 6, 8], 10)
        >>> round(estimate(counts, by=[*"aaaabbbb"]).test.pvalue, 5)
        0.00116
        """
        names = self.posteriors.names
        return None if names == (None,) else _same_prior_test(self._maxima(names))

    def same_prior_test(self, *groups: Hashable) -> TestResult:
        """Test one prior for some groups, at the maxima of their evidence.

        Parameters
        ----------
        *groups
            Two or more of the groups; all by default.

        Returns
        -------
        TestResult
            By the likelihood ratio; asymptotically chi-square with two degrees of freedom for each
            group but one.

        Raises
        ------
        ValueError
            If a group is not known, or there are not two.

        Examples
        --------
        >>> from elbo_ref import Counts, estimate
        >>> found = estimate(Counts([1, 2, 0, 7, 9, 6, 1, 0, 1], 10), by=[*"aaabbbccc"])
        >>> round(found.same_prior_test("a", "c").pvalue, 2)
        0.9
        """
        return _same_prior_test(self._maxima(self._asked(groups)))

    def same_mean_test(self, *groups: Hashable) -> TestResult:
        """Test one mean of the priors of some groups, each with a concentration of its own.

        Parameters
        ----------
        *groups
            Two or more of the groups; all by default.

        Returns
        -------
        TestResult
            By the likelihood ratio; asymptotically chi-square with a degree of freedom for each
            group but one.

        Raises
        ------
        ValueError
            If a group is not known, or there are not two.

        See Also
        --------
        Estimates.difference : ``difference(..., groups=True)``, how far two means are apart.

        Examples
        --------
        >>> from elbo_ref import Counts, estimate
        >>> found = estimate(Counts([3, 4, 4, 3, 1, 9, 2, 6], 10), by=[*"aaaabbbb"])
        >>> round(found.same_mean_test().pvalue, 2)
        0.51
        """
        return same_mean_test(self._maxima(self._asked(groups)))

    def _asked(self, groups: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
        """Return two groups or more, each once."""
        names = self.posteriors.names
        unknown = [group for group in groups if group not in names]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not one of the groups {list(names)}")
        asked = tuple(dict.fromkeys(groups or names))
        if len(asked) < 2:
            has = "there are no groups: give by= to estimate" if names == (None,) else "name two"
            raise ValueError(f"a test needs two groups; {has}")
        return asked

    def _maxima(self, groups: tuple[Hashable, ...]) -> list[EvidenceMaximum]:
        """Find the evidence maximum of each of some groups."""
        names, fits, *_ = self.posteriors
        chosen = [fits[names.index(group)] for group in groups]
        return [
            maximize_evidence(fit.counts) if fit.maximum is None else fit.maximum
            for fit in tracked(chosen, self.progress, "group")
        ]


def _same_prior_test(maxima: list[EvidenceMaximum]) -> TestResult:
    """Join the counts of the groups, for the maximum of all together."""
    columns = zip(*(_columns(maximum.counts) for maximum in maxima), strict=True)
    together = Counts(*(np.concatenate(column) for column in columns))
    return same_prior_test(maximize_evidence(together), maxima)


def _columns(counts: Counts) -> tuple[NDArray[np.int64], ...]:
    return counts.successes, counts.total_count, counts.multiplicity
