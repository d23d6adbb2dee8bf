"""`estimate`: what counts say about each latent, with intervals that hold."""

from __future__ import annotations

from typing import Literal

from elbo_ref._validation.arguments import check_type, probability, underflow_is_zero
from elbo_ref.counts import Counts, distinct
from elbo_ref.distributions.beta import Beta
from elbo_ref.estimates.fit import Fit
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
) -> Estimates:
    """Estimate the success probability of each latent, with intervals.

    Parameters
    ----------
    counts : Counts
    prior : {"averaged", "mle"} or Beta
        The prior that the latents are drawn from: averaged over everything that the counts allow;
        that of the highest evidence, taken as known; or a given one.
    hyperprior : Hyperprior, optional
        The distribution that ``"averaged"`` starts from; `Hyperprior()` by default.
    level : float
        The probability of the equal-tailed intervals; in (0, 1).

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
    16 of 30 trials succeed, latents 3, averaged over the prior
    latent  successes  of  raw     mean  95% from       to  shrinkage
         0          3  10  0.3  0.39905   0.14425   0.6588    0.42108
         1          4  10  0.4  0.45695   0.20279   0.7059    0.42108
         2          9  10  0.9  0.74641   0.46026  0.96609    0.42108
    """
    check_type("counts", counts, Counts)
    hyperprior = Hyperprior() if hyperprior is None else hyperprior
    check_type("hyperprior", hyperprior, Hyperprior)
    level = probability("level", level)
    if not isinstance(prior, Beta) and (
        not isinstance(prior, str) or prior not in ("averaged", "mle")
    ):
        raise ValueError(f"prior = {prior!r} must be {_PRIORS}")
    if isinstance(prior, Beta) and prior.shape:
        raise ValueError(f"prior must be one Beta, not an array of shape {prior.shape}")
    fewer, entry = distinct(counts)
    if isinstance(prior, Beta):
        fit = Fit.given(fewer, prior)
    elif prior == "mle":
        fit = Fit.at_maximum(fewer)
    else:
        fit = Fit.averaged(fewer, hyperprior)
    columns = (x[entry] for x in fit.columns(level))
    return Estimates(counts, level, (fit,), entry, *columns)
