"""Tests and fitted counts around the evidence maximum.

The tests ask for more variation between latents than a binomial with one c has. With p = sum K/
sum N and q = 1 - p, the derivative of the log evidence at the binomial limit (E10) is half of

    S = sum (K - N p)^2/(p q) - sum N,

and S/sqrt(2 sum N (N - 1)) is Tarone's Z, standard normal under the binomial (his score test). The
likelihood-ratio statistic is twice the height of the evidence's supremum over the binomial's; the
binomial lies on the boundary of the Beta-Binomials, so that it is distributed as a half-and-half
mixture of 0 and chi-square with one degree of freedom.

Sources: Tarone, Biometrika 66 (1979) 585, equation (3) for Z; Self & Liang, J. Am. Stat. Assoc. 82
(1987) 605, case 5, for the mixture; Cochran, Biometrics 10 (1954) 417, for joining cells of small
expectation before a Pearson chi-square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from scipy import special as sc

from elbo_ref._format.numbers import number
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import (
    FloatArray,
    IntArray,
    check_type,
    scalar,
    underflow_is_zero,
)
from elbo_ref.counts import Counts
from elbo_ref.evidence import log_evidence_terms
from elbo_ref.mle.binomial import BinomialLimit, ordered_pairs, pooled_log_likelihood, totals
from elbo_ref.mle.result import EvidenceMaximum, maximize_evidence
from elbo_ref.special import log_binomial

_ONE_PRIOR = "one prior for all groups", "one for each group"
MOST_CELLS = 1_000_000
"""The most cells that `expected_counts` makes."""


Distribution = Literal["normal", "chi-square", "half chi-square"]


def tail(distribution: Distribution, dof: int, statistic: Any) -> FloatArray:
    """Compute the probability of a statistic as high or higher under the null.

    Parameters
    ----------
    distribution : {"normal", "chi-square", "half chi-square"}
        The last is 0 half of the time.
    dof : int
        Degrees of freedom of the chi-square; with 0 the statistic is 0.
    statistic : float or float64 ndarray

    Examples
    --------
    >>> float(tail("normal", 0, 0.0)), float(tail("half chi-square", 1, 0.0))
    (0.5, 1.0)
    """
    x = np.asarray(statistic, np.float64)
    if distribution == "normal":
        return np.asarray(sc.ndtr(-x))
    if dof == 0:
        return np.ones(x.shape)
    share = sc.chdtrc(dof, np.maximum(x, 0.0))
    return np.asarray(share if distribution == "chi-square" else np.where(x > 0, share / 2, 1.0))


@dataclass(frozen=True)
class TestResult(Tabular):
    """A test of a hypothesis about the prior, such as the binomial with one c for all latents.

    Attributes
    ----------
    statistic, pvalue : float
    null, alternative : str
        The two hypotheses, in words.
    distribution : {"normal", "chi-square", "half chi-square"}
        That of the statistic under the null, as of `tail`.
    dof : int
        Its degrees of freedom; 0 for the normal.
    """

    __test__ = False

    statistic: float
    null: str
    alternative: str
    distribution: Distribution
    dof: int = 0

    @property
    def pvalue(self) -> float:
        """The probability of a statistic as high or higher under the null."""
        return float(tail(self.distribution, self.dof, self.statistic))

    def table(self) -> Table:
        """Lay out the hypotheses and the numbers in one row."""
        names = ("null", "alternative", "statistic", "pvalue", "distribution", "dof")
        return Table([Column([getattr(self, name)], name, name) for name in names])

    def blocks(self) -> Sequence[Block]:
        """Return the hypotheses and the numbers."""
        return [
            {
                "null": self.null,
                "alternative": self.alternative,
                "statistic": number(self.statistic),
                "p": number(self.pvalue),
            }
        ]

    def to_dict(self) -> dict[str, Any]:
        """Turn the test into plain values."""
        names = ("statistic", "pvalue", "null", "alternative", "distribution", "dof")
        return {name: getattr(self, name) for name in names}


@underflow_is_zero
def tarone_test(counts: Counts) -> TestResult:
    """Test for more variation than a binomial's by Tarone's score test; one-sided.

    Parameters
    ----------
    counts : Counts

    Returns
    -------
    TestResult
        ``statistic`` is Z, standard normal under the binomial.

    Raises
    ------
    ValueError
        If all trials end alike, or no latent has two: Z is then 0/0.

    See Also
    --------
    likelihood_ratio_test : the same question, by the height of the maximum.

    References
    ----------
    Tarone, R. E. (1979). Biometrika 66, 585.

    Examples
    --------
    >>> test = tarone_test(Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]))
    >>> round(test.statistic, 6), test.pvalue < 1e-6
    (5.438923, True)
    """
    check_type("counts", counts, Counts)
    k, f = totals(counts)
    pairs = ordered_pairs(counts.total_count, counts.multiplicity)
    if not (k and f):
        raise ValueError("Tarone's test needs a success and a failure: all trials end alike")
    if not pairs:
        raise ValueError("Tarone's test needs a latent with two trials or more")
    slope = BinomialLimit.of(counts, Fraction(k, k + f)).slope
    z = 2 * float(slope) / float(np.sqrt(2.0 * pairs))
    return TestResult(z, "binomial", "more variation than a binomial's", "normal")


@underflow_is_zero
def likelihood_ratio_test(counts: Counts) -> TestResult:
    """Test the binomial within the Beta-Binomials by the likelihood ratio.

    Parameters
    ----------
    counts : Counts

    Returns
    -------
    TestResult
        ``statistic`` is 2 (supremum of the log evidence - log evidence of the binomial at sum K/
        sum N) >= 0; under the binomial it is 0 half of the time and chi-square(1) otherwise, so
        that ``pvalue`` is half a chi-square tail, and 1.0 where the statistic is 0.

    See Also
    --------
    tarone_test : the same question, by the slope at the binomial.

    References
    ----------
    Self, S. G., Liang, K.-Y. (1987). J. Am. Stat. Assoc. 82, 605.

    Examples
    --------
    >>> test = likelihood_ratio_test(Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]))
    >>> round(test.statistic, 6), test.pvalue < 1e-6
    (30.839696, True)
    >>> likelihood_ratio_test(Counts([5, 5, 5], 10)).pvalue
    1.0
    """
    check_type("counts", counts, Counts)
    maximum = maximize_evidence(counts)
    statistic = 0.0
    if maximum.kind in ("interior", "all_or_none"):
        statistic = max(2 * (maximum.log_evidence - pooled_log_likelihood(counts)), 0.0)
    return TestResult(statistic, "binomial", "beta-binomial", "half chi-square", 1)


def same_prior_test(together: EvidenceMaximum, groups: Sequence[EvidenceMaximum]) -> TestResult:
    """Test one prior for all groups of latents by the likelihood ratio.

    Parameters
    ----------
    together : EvidenceMaximum
        That of all latents.
    groups : sequence of EvidenceMaximum
        That of each group, the same parameter held.

    Returns
    -------
    TestResult
        ``statistic`` is 2 (sum of the highest log evidences of the groups - that of all together);
        asymptotically chi-square with as many degrees of freedom as there are free parameters, two
        or one, for each group with trials but one.

    References
    ----------
    Wilks, S. S. (1938). Annals of Mathematical Statistics 9, 60.

    Examples
    --------
    >>> groups = [maximize_evidence(Counts(k, 10)) for k in ([1, 2, 0, 3], [7, 9, 6, 8])]
    >>> test = same_prior_test(maximize_evidence(Counts([1, 2, 0, 3, 7, 9, 6, 8], 10)), groups)
    >>> round(test.pvalue, 5)
    0.00116
    """
    some = sum(bool((group.counts.total_count > 0).any()) for group in groups)
    height = sum(group.log_evidence for group in groups)
    statistic = max(2 * (height - together.log_evidence), 0.0)
    dof = together.num_parameters * max(some - 1, 0)
    return TestResult(statistic, *_ONE_PRIOR, "chi-square", dof)


@dataclass(frozen=True, eq=False)
class ExpectedCounts(Tabular):
    """Observed and expected numbers of latents for each outcome; from `expected_counts`.

    Attributes
    ----------
    total_count, successes : int64 ndarray, shape (C,)
        A cell: the latents with this N and this K.
    observed : int64 ndarray, shape (C,)
    expected : float64 ndarray, shape (C,)
    statistic : float
        Pearson's sum of (observed - expected)^2/expected over cells joined, within each N, with
        their neighbours until each expects at least `least`.
    cells : int
        The number of joined cells.
    dof : int
        The degrees of freedom: joined cells, less one for each N, less the number of parameters
        that were fitted.
    pvalue : float or None
        The chi-square tail; None where no degree of freedom is left.
    """

    total_count: IntArray
    successes: IntArray
    observed: IntArray
    expected: FloatArray = field(repr=False)
    least: float
    statistic: float
    cells: int
    dof: int
    pvalue: float | None

    def blocks(self) -> Sequence[Block]:
        """Return the table, and Pearson's fit."""
        tail = "no degree of freedom" if self.pvalue is None else f"p = {number(self.pvalue)}"
        return [
            self.table(),
            f"Pearson {number(self.statistic)} in {self.cells} cells of at least {self.least:g}, "
            f"degrees {self.dof}, {tail}",
        ]

    def table(self) -> Table:
        """Lay out the cells; ``found[n, k]`` is that of k successes of n."""
        return Table(
            [
                Column(self.total_count, "total_count", "of"),
                Column(self.successes, "successes", "successes"),
                Column(self.observed, "observed", "observed"),
                Column(self.expected, "expected", "expected"),
            ],
            key=2,
        )

    def to_dict(self) -> dict[str, Any]:
        """Turn the table into plain values."""
        columns = ("total_count", "successes", "observed", "expected")
        plain = {name: getattr(self, name).tolist() for name in columns}
        rest = ("least", "statistic", "cells", "dof", "pvalue")
        return {**plain, **{name: getattr(self, name) for name in rest}}


@underflow_is_zero
def expected_counts(maximum: EvidenceMaximum, *, least: float = 5.0) -> ExpectedCounts:
    """Compute the numbers of latents that the fitted distribution expects, and Pearson's fit.

    Parameters
    ----------
    maximum : EvidenceMaximum
        From `elbo_ref.maximize_evidence`; a limit counts as the distribution it tends to.
    least : float
        Cells are joined until they expect this many; positive.

    Returns
    -------
    ExpectedCounts
        One cell for each K of each N.

    Raises
    ------
    ValueError
        If there would be more than `MOST_CELLS` cells, or no trials.

    References
    ----------
    Cochran, W. G. (1954). Biometrics 10, 417, for joining cells of small expectation.

    Examples
    --------
    >>> counts = Counts([0, 1, 2, 3], 3, multiplicity=[20, 30, 35, 25])
    >>> print(expected_counts(maximize_evidence(counts)))
    of  successes  observed  expected
     3          0        20    19.614
     3          1        30    31.236
     3          2        35    33.788
     3          3        25    25.363
    Pearson 0.10514 in 4 cells of at least 5, degrees 1, p = 0.74575
    """
    check_type("maximum", maximum, EvidenceMaximum)
    least = scalar("least", least, lambda x: x > 0, "must be positive")
    counts = maximum.counts
    says = (counts.total_count > 0) & (counts.multiplicity > 0)
    if not says.any():
        raise ValueError("counts hold no trials: there is nothing to expect")
    sizes, place = np.unique(counts.total_count[says], return_inverse=True)
    if float((sizes + 1.0).sum()) > MOST_CELLS:
        raise ValueError(f"more than {MOST_CELLS} cells would be needed")
    n = np.repeat(sizes, sizes + 1)
    start = np.cumsum(sizes + 1) - (sizes + 1)
    k = np.arange(n.size) - np.repeat(start, sizes + 1)
    w = counts.multiplicity[says]
    observed: IntArray = np.zeros(n.size, dtype=np.int64)
    np.add.at(observed, start[place] + counts.successes[says], w)
    latents = np.zeros(sizes.size, np.int64)
    np.add.at(latents, place, w)
    each = np.repeat(latents, sizes + 1).astype(np.float64)
    expected: FloatArray = each * np.exp(_log_prob(maximum, k, n))
    statistic, cells = 0.0, 0
    for i, size in enumerate(sizes):
        cut = slice(start[i], start[i] + size + 1)
        o, e = _joined(observed[cut], expected[cut], least)
        statistic += float(((o - e) ** 2 / e).sum())
        cells += o.size
    dof = max(cells - sizes.size - maximum.num_parameters, 0)
    pvalue = float(sc.chdtrc(dof, statistic)) if dof else None
    return ExpectedCounts(n, k, observed, expected, least, statistic, cells, dof, pvalue)


def _joined(
    observed: IntArray, expected: FloatArray, least: float
) -> tuple[FloatArray, FloatArray]:
    """Neighbouring cells joined from below until each expects enough; the rest joins the last."""
    o, e = [0.0], [0.0]
    for seen, wanted in zip(observed.tolist(), expected.tolist(), strict=True):
        if e[-1] >= least:
            o.append(0.0)
            e.append(0.0)
        o[-1] += seen
        e[-1] += wanted
    if len(e) > 1 and e[-1] < least:
        seen, wanted = o.pop(), e.pop()
        o[-1] += seen
        e[-1] += wanted
    return np.array(o), np.array(e)


def _log_prob(maximum: EvidenceMaximum, k: IntArray, n: IntArray) -> FloatArray:
    """Log probability of k successes of n, n > 0, at the maximum or in the limit."""
    cells = Counts(k, n)
    if maximum.prior is not None:
        return log_evidence_terms(maximum.prior, cells)
    m = np.asarray(maximum.mean)
    if maximum.kind == "binomial":
        return log_binomial(k, n, (m, 1 - m), k * (1 - m) - (n - k) * m)
    with np.errstate(divide="ignore"):
        return np.where(k == 0, np.log1p(-m), np.where(k == n, np.log(m), -np.inf))
