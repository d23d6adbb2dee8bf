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
from elbo_ref.guides import GUIDES, Guide, find
from elbo_ref.objectives.base import Step, Task
from elbo_ref.special import log_binomial


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
    """The evidence lower bound of any guide that is a distribution, exactly (E3).

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
    """Derivatives of `elbo` with respect to the prior's concentrations and the guide's parameters.

    Returns
    -------
    ElboGradient
        ``.prior`` and ``.guide``, a `Gradient` with the shape of its argument or, of a LogitNormal,
        a `LogitNormalGradient`.

    Notes
    -----
    This is the gradient that the SVI loop follows: plain differences of digamma values (prior) and
    trigamma values (guide), exact to about 1e-15 of their largest term. Per unit of the logarithm
    of a concentration that is about 1e-15 times the concentration or the counts. At the posterior
    the part of the prior is the gradient of the evidence; `log_evidence_gradient` has all its
    digits.

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
    by_prior, by_own = task.guide.collect(*_source_and_logs(task, p, q), p, q)
    return ElboGradient(
        prior=_gradient(task.weights * by_prior, prior),
        guide=_gradient(task.weights * by_own, guide),
    )


@underflow_is_zero
def elbo_variance(guide: Beta | LogitNormal, prior: Beta, counts: Counts) -> float:
    """Variance of the one-particle Monte Carlo estimate of `elbo` (E5).

    Divide by the number of particles for that of their average. Exactly zero at the posterior.

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
    """What an empty guide maximises, E_prior[log lik] - H(prior) (E7): not an ELBO, no maximum.

    Examples
    --------
    >>> round(empty_guide_objective(Beta(2.0, 3.0), Counts(3, 10)), 6)
    -2.310935
    """
    check_model(counts, prior=prior)
    return objective_value(Task(GUIDES["empty"], counts), prior, np.zeros((0, len(counts))))


@underflow_is_zero
def empty_guide_objective_gradient(prior: Beta, counts: Counts) -> Gradient:
    """Derivatives of `empty_guide_objective` with respect to the prior's concentrations.

    Examples
    --------
    >>> gradient = empty_guide_objective_gradient(Beta(2.0, 3.0), Counts(3, 10))
    >>> round(2.0 * gradient.concentration1, 6), round(3.0 * gradient.concentration0, 6)
    (-0.594924, 2.031625)
    """
    check_model(counts, prior=prior)
    task, p = Task(GUIDES["empty"], counts), columns(prior, len(counts))
    source, _ = _source_and_logs(task, p, p)
    gradient: Gradient = _gradient(task.weights * source, prior)
    return gradient


def one_particle_variance(task: Task, prior: Beta, own: FloatArray) -> float:
    """Variance of one particle's estimate of the objective of any guide (E5)."""
    return float(np.sum(task.weights * latent_variances(task, prior, own)))


def latent_variances(task: Task, prior: Beta, own: FloatArray) -> FloatArray:
    """The same for one latent of each entry, (G,)."""
    guide, p = task.guide, column(prior)
    tilt, x = guide.tilt(p, own, task.outcomes), guide.source_parameters(p, own)
    variances = guide.source.variance(tilt, x, guide.source_weight)
    return np.broadcast_to(variances, task.weights.shape)


def objective_value(task: Task, prior: Beta, own: FloatArray) -> float:
    """The objective of any guide at one set of parameters, `own` being (k, G)."""
    return float(_value(task, prior, own))


def latent_values(task: Task, prior: Beta, own: FloatArray) -> FloatArray:
    """The objective of one latent of each entry, (..., G), at one set of parameters or at rows."""
    guide, counts, p = task.guide, task.counts, column(prior)
    center = guide.source.center(guide.source_parameters(p, own))
    successes, failures = counts.successes, counts.failures
    difference = center.difference(successes, failures)
    likelihood = log_binomial(successes, counts.total_count, center.pair, difference)
    at_mean = likelihood + counts.log_split + guide.counted_at_center(p, center)
    outcomes = np.expand_dims(task.outcomes, tuple(range(1, own.ndim - 1)))
    tilt1, tilt0 = guide.tilt(p, own, outcomes)
    gap1, gap0 = center.log_gaps
    values: FloatArray = at_mean - tilt1 * gap1 - tilt0 * gap0
    return values


class Exact:
    """``loss="exact"``: the closed-form objective and its gradient; particles play no part."""

    name = "exact"
    random = False

    def adapted(self, guide: Guide) -> Guide:
        return guide

    def prepare(self, task: Task, num_particles: int) -> None:
        pass

    def step(
        self,
        task: Task,
        prior: FloatArray,
        own: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        source, logs = _source_and_logs(task, prior, own)
        return Step(*task.gradient(source, logs, prior, own), 0.0)

    def rest(self, task: Task, priors: Beta, owns: FloatArray) -> FloatArray:
        return _value(task, priors, owns)

    def variance(self, task: Task, prior: Beta, own: FloatArray) -> float | None:
        """What it would be if it were drawn."""
        return one_particle_variance(task, prior, own)

    def gradient_variance(
        self, task: Task, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray] | None:
        return np.zeros(2), np.zeros((len(task.guide.parameter_names), own.shape[1]))


def _value(task: Task, prior: Beta, own: FloatArray) -> FloatArray:
    """The objective, for one set of parameters or for rows of them."""
    totals: FloatArray = np.sum(task.weights * latent_values(task, prior, own), axis=-1)
    return totals


def _source_and_logs(
    task: Task, prior: FloatArray, own: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The source gradient and the expected logarithms, for one latent of each entry."""
    guide = task.guide
    tilt = guide.tilt(prior, own, task.outcomes)
    x = guide.source_parameters(prior, own)
    return guide.source.pull_back(tilt, x), guide.source.expected_logs(x)


def _gradient(rows: FloatArray, of: Beta | LogitNormal) -> Any:
    """Rows (2, G) as a gradient of the shape of `of`."""
    kind = Gradient if isinstance(of, Beta) else LogitNormalGradient
    if of.shape:
        return kind(rows[0], rows[1])
    return kind(float(rows[0].sum()), float(rows[1].sum()))


def column(value: Beta | LogitNormal) -> FloatArray:
    """Its two parameters as rows, (2, 1) or (2, G)."""
    return np.stack([np.atleast_1d(x) for x in value.arrays()])


def columns(value: Beta | LogitNormal, size: int) -> FloatArray:
    """The same with a column for each entry."""
    return np.broadcast_to(column(value), (2, size))


def check_model(counts: Counts, **values: Beta | LogitNormal) -> None:
    """Raise unless they are of their kinds, and each fits the counts."""
    check_type("counts", counts, Counts)
    for name, value in values.items():
        check_type(name, value, *((Beta,) if name == "prior" else (Beta, LogitNormal)))
        check_fits(name, value.shape, len(counts))
