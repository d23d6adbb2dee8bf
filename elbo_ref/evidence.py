"""The oracle: what the data say about a prior, exactly.

A latent with K successes and F failures, N = K + F, under the prior Beta(a, b) has the evidence

    log p = log B(a + K, b + F) - log B(a, b) + logC                                          (E1)

and the posterior Beta(a + K, b + F) (E2). To add the log-gammas would subtract numbers that are
alike; so, with s = a + b and T = s + N, the x log x parts are collected into the deviance of the
table ((a, b), (K, F)) from independence,

    log p = -D - log[(1 + K/a)(1 + F/b)/(1 + N/s)] + remainders,      D >= 0,
    D = d(a, s (a+K)/T) + d(b, s (b+F)/T) + d(K, N (a+K)/T) + d(F, N (b+F)/T),

in which all four observed-minus-expected are plus or minus (a F - b K)/T, formed exactly. Where
K = 0 it is the ratio of rising factorials (b)_N / (a + b)_N, which may be as near to 1 as it
likes; K = N is its mirror image.

The first two derivatives with respect to a and b are differences of digamma and trigamma values:

    d/da = [psi(a + K) - psi(a)] - [psi(s + N) - psi(s)],   d/db with F and b,

the first of which is taken as what b takes away and what F takes away, each without cancellation,

    d/da = {[psi(a + K) - psi(a)] - [psi(s + K) - psi(s)]} - [psi(s + N) - psi(s + K)].

Sources: Skellam, J. R. Stat. Soc. B 10 (1948) 257, for the distribution; Loader (2000) for the idea
of the deviance. `scipy.stats.betabinom` subtracts two betaln values and is wrong in its first digit
at a + b = 1e15.
"""

from __future__ import annotations

import numpy as np

from elbo_ref._validation.arguments import (
    FloatArray,
    IntArray,
    check_fits,
    check_type,
    underflow_is_zero,
)
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta, Gradient
from elbo_ref.special import (
    cross_difference,
    deviance,
    digamma_difference,
    digamma_second_difference,
    log_choose_remainder,
    log_rising_ratio,
    trigamma_difference,
)


@underflow_is_zero
def log_evidence(prior: Beta, counts: Counts) -> float:
    """Log marginal likelihood of the counts, summed over latents (E1).

    Parameters
    ----------
    prior : Beta, shape () or (G,)
        One prior for all latents, or one for each.
    counts : Counts, G entries

    Returns
    -------
    float
        In nats, binomial coefficients included; within 1e-12 (relative above one nat, absolute
        below) for concentrations in [1e-10, 1e15] and total counts up to 1e18.

    Raises
    ------
    ValueError
        If the shape of the prior does not fit the counts.

    Examples
    --------
    >>> round(log_evidence(Beta(1.0, 1.0), Counts(3, 10)), 12)   # every count is equally probable
    -2.397895272798

    See Also
    --------
    maximize_evidence : The prior at which it is highest.
    elbo : Its lower bound for a guide.

    References
    ----------
    J. G. Skellam, J. R. Stat. Soc. B 10 (1948) 257; C. Loader, "Fast and Accurate Computation of
    Binomial Probabilities" (2000).
    """
    terms = log_evidence_terms(prior, counts)
    return float(np.sum(counts.multiplicity * terms))


def log_evidence_terms(prior: Beta, counts: Counts) -> FloatArray:
    """Return (E1) of each entry of the counts, shape (G,), whatever its multiplicity."""
    return latent_log_evidence(*concentrations(prior, counts), counts)


@underflow_is_zero
def log_evidence_gradient(prior: Beta, counts: Counts) -> Gradient:
    """Differentiate `log_evidence` with respect to the prior's concentrations.

    Parameters
    ----------
    prior : Beta, shape () or (G,)
    counts : Counts, G entries

    Returns
    -------
    Gradient
        Two floats, or two arrays of shape (G,) where the prior has that shape. Each latent adds a
        positive number, none without its successes (or failures), and a negative one, none without
        the others; each of these two is right to 1e-13 of itself.

    Examples
    --------
    >>> gradient = log_evidence_gradient(Beta(1.0, 1.0), Counts(3, 10))
    >>> round(gradient.concentration1, 12), round(gradient.concentration0, 12)
    (-0.186544011544, 0.57297979798)
    """
    a, b = concentrations(prior, counts)
    k, f, _ = _outcomes(counts)
    by_a = digamma_second_difference(a, b, k) - digamma_difference(a + b + k, f)
    by_b = digamma_second_difference(b, a, f) - digamma_difference(a + b + f, k)
    return Gradient(_total(by_a, prior, counts), _total(by_b, prior, counts))


@underflow_is_zero
def log_evidence_hessian(prior: Beta, counts: Counts) -> FloatArray:
    """Differentiate `log_evidence` twice with respect to the prior's concentrations.

    Parameters
    ----------
    prior : Beta, shape () or (G,)
    counts : Counts, G entries

    Returns
    -------
    ndarray, shape (2, 2)
        Rows and columns in the order (concentration1, concentration0); shape (G, 2, 2) where the
        prior has shape (G,).

    Examples
    --------
    >>> log_evidence_hessian(Beta(1.0, 1.0), Counts(1, 1)).round(12)
    array([[-0.75,  0.25],
           [ 0.25,  0.25]])
    """
    a, b = concentrations(prior, counts)
    k, f, n = _outcomes(counts)
    together = trigamma_difference(a + b, n)
    mixed = _total(together, prior, counts)
    first = _total(together - trigamma_difference(a, k), prior, counts)
    second = _total(together - trigamma_difference(b, f), prior, counts)
    return np.stack([first, mixed, mixed, second], axis=-1).reshape(*prior.shape, 2, 2)


def posterior(prior: Beta, counts: Counts) -> Beta:
    """Return the exact posterior of each latent, Beta(a + K, b + N - K) (E2).

    Parameters
    ----------
    prior : Beta, shape () or (G,)
    counts : Counts, G entries

    Returns
    -------
    Beta, shape (G,)

    Raises
    ------
    ValueError
        If the shape of the prior does not fit the counts.

    Examples
    --------
    >>> posterior(Beta(10.0, 10.0), Counts([6, 0], [10, 3]))
    Beta(concentration1=array([16., 10.]), concentration0=array([14., 13.]))

    See Also
    --------
    posterior_table : Means and intervals of each latent, with labels.
    """
    concentrations(prior, counts)
    return prior.conjugate_update(counts.successes, counts.failures)


def latent_log_evidence(a: FloatArray, b: FloatArray, counts: Counts) -> FloatArray:
    """Return (E1) of each entry of the counts, broadcast against arrays of concentrations."""
    k, f = counts.successes, counts.failures
    values = np.empty(np.broadcast_shapes(a.shape, b.shape, k.shape))
    for chosen, formula in (
        ((k > 0) & (f > 0), mixed_log_evidence),
        (k == 0, lambda a, b, _, f: log_rising_ratio(b, a, f.astype(np.float64))),
        ((f == 0) & (k > 0), lambda a, b, k, _: log_rising_ratio(a, b, k.astype(np.float64))),
    ):
        if chosen.any():
            p, q = (x[..., chosen] if x.shape[-1:] == k.shape else x for x in (a, b))
            values[..., chosen] = formula(p, q, k[chosen], f[chosen])
    return values + counts.log_split


def mixed_log_evidence(
    a: FloatArray,
    b: FloatArray,
    successes: IntArray,
    failures: IntArray,
    beyond: tuple[FloatArray, FloatArray] | None = None,
) -> FloatArray:
    """Return (E1) in deviances, for entries with successes and failures.

    `beyond` is what is added to many successes and failures, less than 1.
    """
    k, f = successes.astype(np.float64), failures.astype(np.float64)
    n, s = (successes + failures).astype(np.float64), a + b
    cross = cross_difference(a, failures, b, successes)
    if beyond is not None:
        k, f, n = k + beyond[0], f + beyond[1], n + (beyond[0] + beyond[1])
        cross = cross + (a * beyond[1] - b * beyond[0])
    total = s + n
    up, down = (a + k) / total, (b + f) / total
    cross = cross / total
    dependence = (
        deviance(a, s * up, cross)
        + deviance(b, s * down, -cross)
        + deviance(k, n * up, -cross)
        + deviance(f, n * down, cross)
    )
    rows = np.array(np.broadcast_arrays(a, b, s, k, f, n))
    ups, downs, both = log_choose_remainder(rows[:3], rows[3:])
    remainders: FloatArray = ups + downs - both
    near: FloatArray = np.log1p(k / a) + np.log1p(f / b) - np.log1p(n / s)
    return remainders - dependence - near


def concentrations(prior: Beta, counts: Counts) -> tuple[FloatArray, FloatArray]:
    """Return the prior's two concentrations; raise unless its shape fits the counts."""
    check_type("prior", prior, Beta)
    check_type("counts", counts, Counts)
    check_fits("prior", prior.shape, len(counts))
    return prior.arrays()


def _outcomes(counts: Counts) -> tuple[FloatArray, FloatArray, FloatArray]:
    arrays = counts.successes, counts.failures, counts.total_count
    k, f, n = (array.astype(np.float64) for array in arrays)
    return k, f, n


def _total(values: FloatArray, prior: Beta, counts: Counts) -> float | FloatArray:
    weighted = counts.multiplicity * values
    return weighted if prior.shape else float(weighted.sum())
