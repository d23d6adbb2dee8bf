"""The objectives in closed form: values, gradients and one-particle variances.

A particle's estimate of a latent's objective is f = A log c + D log(1 - c) + const, with a guide's
tilt (A, D) (`elbo_ref.guides.base`), and its expectation is taken at the mean m of what c is
drawn from, with Jensen gaps g1 and g0 (`elbo_ref.distributions.beta`):

    E f = f(m) - A g1 - D g0,      f(m) = log lik(m) + (the counted log densities at m),

where log lik(m) is a binomial probability in deviance form. For a Beta guide this is the ELBO,
E_q[log lik] - KL(q || prior) (E3), for an empty one E_prior[log lik] - H(prior) (E7), for a tied
one E_prior[log lik] (E8). Summed over latents, w equal ones count w times.

This module never asks the oracle: that the ELBO is the evidence less KL(guide || posterior) is a
fact for the tests.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray, check_fits, check_type, underflow_is_zero
from elbo_ref._validation.values import by_value
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta, Gradient
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.guides import GUIDES, find
from elbo_ref.objectives.base import Objective, Step, Task
from elbo_ref.special import binomial_deviance


@by_value
class LogitNormalGradient(NamedTuple):
    """Derivatives with respect to the two parameters of a `LogitNormal`."""

    loc: float | FloatArray
    scale: float | FloatArray


@by_value
class ElboGradient(NamedTuple):
    """Derivatives of an ELBO, for the prior's concentrations and the guide's parameters."""

    prior: Gradient
    guide: Gradient | LogitNormalGradient


@underflow_is_zero
def elbo(guide: Beta | LogitNormal, prior: Beta, counts: Counts) -> float:
    """Compute the evidence lower bound of a guide that is a distribution, exactly (E3).

    Parameters
    ----------
    guide : Beta or LogitNormal, shape () or (G,)
        One guide distribution for all latents, or one for each. A Beta in closed form, a
        LogitNormal to 1e-12 by quadrature.
    prior : Beta, shape () or (G,)
    counts : Counts, G entries

    Returns
    -------
    float
        In nats, binomial coefficients included, summed over latents.

    Raises
    ------
    TypeError, ValueError
        If a guide or prior is of another kind or does not fit the counts.

    See Also
    --------
    log_evidence : its upper bound, by KL(guide || posterior).

    Notes
    -----
    E_q[log lik] - KL(q || prior), evaluated in the deviance form of the module's opening.

    Examples
    --------
    >>> counts, prior = Counts(3, 10), Beta(1.0, 1.0)
    >>> round(elbo(Beta(2.0, 2.0), prior, counts), 12)
    -3.670934393113
    >>> round(elbo(Beta(4.0, 8.0), prior, counts), 12)   # the posterior: the evidence, log(1/11)
    -2.397895272798
    """
    check_model(counts, guide=guide, prior=prior)
    return objective_value(Task(find(guide), counts), prior, column(guide))


@underflow_is_zero
def elbo_gradient(guide: Beta | LogitNormal, prior: Beta, counts: Counts) -> ElboGradient:
    """Differentiate `elbo` by the prior's concentrations and the guide's parameters.

    Parameters
    ----------
    guide : Beta or LogitNormal, shape () or (G,)
    prior : Beta, shape () or (G,)
    counts : Counts, G entries

    Returns
    -------
    ElboGradient
        ``.prior`` and ``.guide``, a `Gradient` with the shape of its argument or, of a LogitNormal,
        a `LogitNormalGradient`. Summed over latents for an argument of shape ().

    Raises
    ------
    TypeError, ValueError
        If a guide or prior is of another kind or does not fit the counts.

    See Also
    --------
    log_evidence_gradient : at the posterior the part of the prior is the gradient of the evidence,
        here with all its digits.

    Notes
    -----
    This is the gradient that the SVI loop follows: plain differences of digamma values (prior) and
    trigamma values (guide), exact to about 1e-15 of their largest term. Per unit of the logarithm
    of a concentration that is about 1e-15 times the concentration or the counts.

    Examples
    --------
    >>> at_posterior = elbo_gradient(Beta(4.0, 8.0), Beta(1.0, 1.0), Counts(3, 10))
    >>> at_posterior.guide
    Gradient(concentration1=0.0, concentration0=0.0)
    >>> round(at_posterior.prior.concentration1, 12)    # there it is that of the evidence
    -0.186544011544
    """
    check_model(counts, guide=guide, prior=prior)
    size = len(counts)
    p, q = (columns(x, size) for x in (prior, guide))
    task = Task(find(guide), counts)
    by_prior, by_params = _latent_gradients(task, p, q)
    return ElboGradient(
        prior=_gradient(task.weights * by_prior, prior),
        guide=_gradient(task.weights * by_params, guide),
    )


@underflow_is_zero
def elbo_variance(guide: Beta | LogitNormal, prior: Beta, counts: Counts) -> float:
    """Variance of the one-particle Monte Carlo estimate of `elbo` (E5).

    Divide by the number of particles for that of their average.

    Parameters
    ----------
    guide : Beta or LogitNormal, shape () or (G,)
    prior : Beta, shape () or (G,)
    counts : Counts, G entries

    Returns
    -------
    float
        Summed over latents; exactly zero at the posterior.

    Raises
    ------
    TypeError, ValueError
        If a guide or prior is of another kind or does not fit the counts.

    See Also
    --------
    gradient_variance : the variance of its gradient, for each estimator.

    Examples
    --------
    >>> elbo_variance(Beta(4.0, 8.0), Beta(1.0, 1.0), Counts(3, 10))
    0.0
    >>> round(elbo_variance(Beta(2.0, 2.0), Beta(1.0, 1.0), Counts(3, 10)), 12)
    7.632693506754
    """
    check_model(counts, guide=guide, prior=prior)
    return one_particle_variance(Task(find(guide), counts), prior, column(guide))


@underflow_is_zero
def empty_guide_objective(prior: Beta, counts: Counts) -> float:
    """Compute E_prior[log lik] - H(prior), which SVI maximises under an empty guide (E7).

    Not an ELBO, and without a maximum.

    Parameters
    ----------
    prior : Beta, shape () or (G,)
    counts : Counts, G entries

    Returns
    -------
    float
        In nats, binomial coefficients included, summed over latents.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, or the prior does not fit the counts.

    Examples
    --------
    >>> round(empty_guide_objective(Beta(2.0, 3.0), Counts(3, 10)), 6)
    -2.310935
    """
    check_model(counts, prior=prior)
    return objective_value(Task(GUIDES["empty"], counts), prior, np.zeros((0, len(counts))))


@underflow_is_zero
def empty_guide_objective_gradient(prior: Beta, counts: Counts) -> Gradient:
    """Differentiate `empty_guide_objective` by the prior's concentrations.

    Parameters
    ----------
    prior : Beta, shape () or (G,)
    counts : Counts, G entries

    Returns
    -------
    Gradient
        With the shape of the prior, summed over latents where that is ().

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, or the prior does not fit the counts.

    Examples
    --------
    >>> gradient = empty_guide_objective_gradient(Beta(2.0, 3.0), Counts(3, 10))
    >>> round(2.0 * gradient.concentration1, 6), round(3.0 * gradient.concentration0, 6)
    (-0.594924, 2.031625)
    """
    check_model(counts, prior=prior)
    task, p = Task(GUIDES["empty"], counts), columns(prior, len(counts))
    by_prior, _ = _latent_gradients(task, p, p[:0])
    gradient: Gradient = _gradient(task.weights * by_prior, prior)
    return gradient


def one_particle_variance(task: Task, prior: Beta, params: FloatArray) -> float:
    """Variance of one particle's estimate of the objective of any guide (E5)."""
    return float(np.sum(task.weights * latent_variances(task, prior, params)))


def latent_variances(task: Task, prior: Beta, params: FloatArray) -> FloatArray:
    """Variance of one particle's estimate for one latent of each entry, (G,)."""
    guide, p = task.guide, column(prior)
    tilt, x = guide.tilt(p, params, task.outcomes), guide.source_parameters(p, params)
    variances = guide.source.variance(tilt, x, guide.source_weight)
    return np.broadcast_to(variances, task.weights.shape)


def objective_value(task: Task, prior: Beta, params: FloatArray) -> float:
    """Evaluate the objective of any guide at one set of parameters, `params` being (k, G)."""
    return float(_values(task, prior, params))


def objective_gradient(
    task: Task, prior: FloatArray, params: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Differentiate the objective of any guide by the prior, (2,), and the guide, (k, G).

    At constrained parameters (2, 1) and (k, G).
    """
    return task.summed(*_latent_gradients(task, prior, params))


def latent_values(task: Task, prior: Beta, params: FloatArray) -> FloatArray:
    """Evaluate the objective of one latent of each entry, (..., G), at (rows of) parameters."""
    whole, pool = task, task.pooled(column(prior), params)
    task, (p, params) = pool.task, pool.columns
    guide, counts = task.guide, task.counts
    center = guide.source.center(guide.source_parameters(p, params))
    successes, failures = counts.successes, counts.failures
    difference = center.difference(successes, failures)
    away = binomial_deviance(successes, counts.total_count, center.pair, difference)
    at_mean = task.choose_remainder - away + guide.counted_at_center(p, center)
    outcomes = np.expand_dims(task.outcomes, tuple(range(1, params.ndim - 1)))
    tilt1, tilt0 = guide.tilt(p, params, outcomes)
    gap1, gap0 = center.log_gaps
    values: FloatArray = pool.spread(at_mean - tilt1 * gap1 - tilt0 * gap0)
    return values + whole.counts.log_split


class Exact(Objective):
    """``loss="exact"``: the closed-form objective and its gradient; particles play no part."""

    name = "exact"
    random = False

    def step(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        _num_particles: int,
        _rng: np.random.Generator,
    ) -> Step:
        """Evaluate the exact gradient; all of the value is left to `rest`."""
        return Step(*objective_gradient(task, prior, params), 0.0)

    def rest(self, task: Task, priors: Beta, param_rows: FloatArray) -> FloatArray:
        """Evaluate the exact objective at rows of parameters."""
        return _values(task, priors, param_rows)

    def variance(self, task: Task, prior: Beta, params: FloatArray) -> float | None:
        """Variance of one particle's estimate under ``loss="trace"``."""
        return one_particle_variance(task, prior, params)

    def gradient_variance(
        self, task: Task, _prior: FloatArray, params: FloatArray
    ) -> tuple[FloatArray, FloatArray] | None:
        """Zeros, as nothing is drawn."""
        return np.zeros(2), np.zeros((len(task.guide.parameter_names), params.shape[1]))


def _values(task: Task, prior: Beta, params: FloatArray) -> FloatArray:
    """Evaluate the objective at one set of parameters or at rows of them."""
    totals: FloatArray = np.sum(task.weights * latent_values(task, prior, params), axis=-1)
    return totals


def _latent_gradients(
    task: Task, prior: FloatArray, params: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Differentiate the objective of one latent of each entry, (2, G) and (k, G)."""
    pool = task.pooled(prior, params)
    task, (prior, params) = pool.task, pool.columns
    guide = task.guide
    tilt = guide.tilt(prior, params, task.outcomes)
    x = guide.source_parameters(prior, params)
    by_prior, by_params = guide.collect(*guide.source.pull_back(tilt, x), prior, params)
    return pool.spread(by_prior), pool.spread(by_params)


def _gradient(rows: FloatArray, of: Beta | LogitNormal) -> Any:
    """Rows (2, G) as a gradient of the shape of `of`."""
    kind = Gradient if isinstance(of, Beta) else LogitNormalGradient
    return kind(*in_shape(rows, of))


def in_shape(
    rows: FloatArray, of: Beta | LogitNormal
) -> tuple[float | FloatArray, float | FloatArray]:
    """Give two rows (2, G) the shape of `of`: summed where that is ()."""
    if of.shape:
        return rows[0], rows[1]
    return float(rows[0].sum()), float(rows[1].sum())


def column(value: Beta | LogitNormal) -> FloatArray:
    """Stack the two parameters of a value as rows, (2, 1) or (2, G)."""
    return np.stack([np.atleast_1d(x) for x in value.arrays()])


def columns(value: Beta | LogitNormal, size: int) -> FloatArray:
    """Stack them with a column for each entry, (2, G)."""
    return np.broadcast_to(column(value), (2, size))


def checked_task(
    guide: Beta | LogitNormal, prior: Beta, counts: Counts
) -> tuple[Task, FloatArray, FloatArray]:
    """Check a guide, one prior and counts; return the task, and both as rows (2, 1) and (2, G)."""
    check_model(counts, guide=guide, prior=prior)
    check_fits("prior", prior.shape, 1)
    return Task(find(guide), counts), column(prior), columns(guide, len(counts))


def check_model(counts: Counts, **values: Beta | LogitNormal) -> None:
    """Raise unless they are of their kinds, and each fits the counts."""
    check_type("counts", counts, Counts)
    for name, value in values.items():
        check_type(name, value, *((Beta,) if name == "prior" else (Beta, LogitNormal)))
        check_fits(name, value.shape, len(counts))
