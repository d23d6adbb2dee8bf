"""`estimate`: what counts say about each latent, with intervals that hold."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

import numpy as np

from elbo_ref._format.progress import progress_of
from elbo_ref._validation.arguments import check_type, probability, underflow_is_zero
from elbo_ref.counts import Counts, distinct, levels
from elbo_ref.counts.levels import By
from elbo_ref.distributions.beta import Beta
from elbo_ref.estimates.fit import Columns, Fit
from elbo_ref.estimates.groups import Posteriors
from elbo_ref.estimates.hyperprior import Hyperprior
from elbo_ref.estimates.result import Estimates

_PRIORS = "'averaged', 'mle' or a Beta"


@underflow_is_zero
def estimate(
    counts: Counts,
    prior: Literal["averaged", "mle"] | Beta = "averaged",
    *,
    hyperprior: Hyperprior | None = None,
    level: float = 0.95,
    by: By | Literal[False] | None = None,
    above: float | None = None,
    progress: bool | None = None,
) -> Estimates:
    """Estimate the success probability of each latent, with intervals.

    Parameters
    ----------
    counts : Counts
    prior : {"averaged", "mle"} or Beta
        The prior that the latents are drawn from: averaged over everything that the counts allow;
        that of the highest evidence, taken as known; or a given one.
    hyperprior : Hyperprior, optional
        The distribution that ``"averaged"`` starts from; `Hyperprior()` by default. Other priors
        take none.
    level : float
        The probability of the equal-tailed intervals; in (0, 1).
    by : str, mapping, G labels or False, optional
        The group of each entry of the counts, such as its treatment: one prior for each group. By
        default the levels that the counts have from ``Counts.from_frame(..., by="treatment")``, if
        they have some; the name of these says the same. A mapping gives the group of each label;
        labels in a sequence are those of the entries in their order, which counts of a frame
        have not. With False one prior for all, whatever levels the counts have.
    above : float, optional
        A threshold in (0, 1): the table then has a column of `Estimates.probability_above`.
    progress : bool, optional
        Whether a bar shows the latents and the groups; by default on a terminal and in a
        notebook, if the work is long.

    Returns
    -------
    Estimates
        With arrays ``mean``, ``lower``, ``upper`` and ``shrinkage``. At a limit that no prior
        attains, ``"mle"`` gives the estimates of the limit, and the caption says so.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else; for an improper hyperprior that the counts leave improper.

    See Also
    --------
    Estimates.difference, Estimates.predict, Estimates.probability_above : what is asked next.
    elbo_ref.maximize_evidence : the maximum-likelihood prior, with proof.
    elbo_ref.posterior_table : latents under a given prior, or one for each.

    Notes
    -----
    Averaged, p(c | data) is the integral of Beta(c; a + K, b + N - K) p(a, b | data) (E14), by
    quadrature. Intervals at the maximum leave out what is uncertain about the prior, and are too
    narrow with few latents. docs/estimates.md has the hyperprior, and the coverage of both.

    References
    ----------
    Gelman, A. et al. (2013). Bayesian Data Analysis, 3rd edition, section 5.3.
    Christiansen, C. L., Morris, C. N. (1997). J. Am. Stat. Assoc. 92, 618.

    Examples
    --------
    >>> print(estimate(Counts([3, 4, 9], 10)))
    16 of 30 trials succeed, latents 3; averaged over the prior
    latent  successes  of  raw     mean  95% from       to  shrinkage
         0          3  10  0.3  0.37086   0.12411   0.6437      0.301
         1          4  10  0.4  0.44076   0.18408  0.70447      0.301
         2          9  10  0.9  0.79026   0.50311  0.97758      0.301
    prior, mean: 0.536 (0.25549 to 0.7982)
    prior, concentration: 3.4459 (0.63239 to 37.665)
    prior, rho: 0.22493 (0.025863 to 0.6126)
    """
    check_type("counts", counts, Counts)
    if hyperprior is not None:
        check_type("hyperprior", hyperprior, Hyperprior)
    level = probability("level", level)
    above = None if above is None else probability("above", above)
    check_prior(prior)
    if hyperprior is not None:
        _check_averaged(prior)
    names: tuple[Hashable, ...] = (None,)
    group = np.zeros(len(counts), np.intp)
    if by is False:
        by, apart = None, False
    else:
        apart = by is not None or counts.by is not None
    if apart:
        names, group = levels(counts, by)
    entry, columns = np.empty(len(counts), np.intp), np.empty((4, len(counts)))
    groups, fits = [], []
    for i in range(len(names)):
        chosen = group == i if apart else slice(None)
        some = (x[chosen] for x in (counts.successes, counts.total_count, counts.multiplicity))
        fewer, entry[chosen] = distinct(Counts(*some))
        groups.append((chosen, fewer))
    with progress_of(progress, sum(2 * len(fewer) for _, fewer in groups), "bound") as add:
        known: dict[Counts, tuple[Fit, Columns]] = {}  # equal groups are estimated once
        for chosen, fewer in groups:
            if fewer not in known:
                fit = Fit.of(fewer, prior, hyperprior or Hyperprior())
                known[fewer] = fit, fit.columns(level, add)
            fit, found = known[fewer]
            fits.append(fit)
            columns[:, chosen] = np.take(found, entry[chosen], axis=1)
    posteriors = Posteriors(names, tuple(fits), group, entry)
    counts.summary()  # kept, so that to print the estimates takes no time
    mean, lower, upper, shrinkage = columns
    return Estimates(counts, level, posteriors, mean, lower, upper, shrinkage, above, progress)


def _check_averaged(prior: str | Beta) -> None:
    """Raise ValueError for a prior that has no hyperprior."""
    if prior != "averaged":
        named = repr(prior) if isinstance(prior, str) else "a Beta"
        rule = "is what the 'averaged' prior starts from"
        raise ValueError(f"hyperprior {rule}, and prior is {named}: leave one of the two out")


def check_prior(prior: object) -> None:
    """Raise TypeError or ValueError for what is no `prior` of `estimate`."""
    if isinstance(prior, Beta):
        if prior.shape:
            raise ValueError(f"prior must be one Beta, not an array of shape {prior.shape}")
    elif not isinstance(prior, str):
        made = ", as Beta(2.0, 8.0) or the `prior` of maximize_evidence(counts)"
        raise TypeError(f"prior must be {_PRIORS}{made}, not {type(prior).__name__}")
    elif prior not in ("averaged", "mle"):
        raise ValueError(f"prior = {prior!r} must be {_PRIORS}")
