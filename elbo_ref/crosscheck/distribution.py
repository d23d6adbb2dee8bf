"""Distribution of the losses of a run, given its parameters at each step.

By their cumulants (`elbo_ref.crosscheck.cumulants`); losses with a log-mean-exp (`Renyi`) and
minibatches are sampled, unless their particles are so many that three cumulants determine the
distribution of their mean. Those of minibatches are exact. Those of a log-mean-exp are of M draws
of one particle: the difference of a mean of P from that of the draws has variance
kappa_2 (1/P + 1/M) and third cumulant kappa_3 (1/P^2 - 1/M^2), so that a loss is compared as
exactly as the simulation allows, no more.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.clamping import needs_nodes
from elbo_ref.crosscheck.cumulants import (
    Cumulants,
    Sum,
    loss_cumulants,
)
from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.moments import (
    DrawCumulants,
    cumulants_of_batches,
    first_cumulants,
    minibatch_cumulants,
)
from elbo_ref.crosscheck.saddlepoint import (
    LossDistribution,
    SaddlepointDistribution,
    SampledDistribution,
)
from elbo_ref.crosscheck.sampling import (
    MOST_DRAWS,
    drawn_outcomes,
    draws_of_particle,
    same_at_all_steps,
    sample_losses,
)

_ENOUGH = 200
"""Particles, or drawn latents, whose mean is determined by three cumulants."""
_FEWEST, _COSTLY = 200, 20_000_000
"""Samples of a loss; draws of c that are too many."""
_VERY_FEW = 50
"""Samples of a loss in a rough distribution."""
_SIMULATED = 4000
"""Simulated draws of each latent whose successes are not observed."""
_MOST_BATCHES = 400
"""Minibatches that a density is a mixture of."""
_ROUGHLY = 100_000
"""Draws of c in a rough distribution."""
_PLENTY = 20_000
"""Samples of one distribution beyond which its tail is known."""


def loss_distribution(
    model: LossModel, rng: np.random.Generator
) -> tuple[LossDistribution, FloatArray]:
    """Give the distribution of a model's losses, and the nats that rounding may add to each."""
    if not model.loss.random:
        return rough_distribution(model, rng)
    form, rounding, law = _form_and_rounding(model)
    if _is_sampled(model) and not _many_particles(form):
        if model.batch is None or model.renyi or not model.observed or model.added is not None:
            return sampled_distribution(model, rng, _draws_that_do(form)), rounding
        return _minibatch_distribution(form, rng), rounding
    cumulants = _cumulants(form, rng)
    if model.added is not None:
        other, more, _ = _form_and_rounding(model.added)
        cumulants = Sum((cumulants, loss_cumulants(other)))
        rounding = rounding + more
    if isinstance(cumulants, GammaCumulants):
        return cumulants, rounding
    return SaddlepointDistribution(cumulants, law), rounding


def rough_distribution(
    model: LossModel, rng: np.random.Generator, draws: DrawCumulants | None = None
) -> tuple[GammaCumulants, FloatArray]:
    """Give the distribution by three cumulants alone, at a hundredth of the cost, and the rounding.

    Models whose draws are alike are quick to compare with the same `draws`.
    """
    few, columns = _distinct(model)
    forms = _forms(few)
    rounding = np.sum([_rounding(form) for form in forms], axis=0)
    found = GammaCumulants(*(x[columns] for x in _summed(forms, rng, draws)))
    return found, rounding[columns]


def rough_cumulants(
    model: LossModel, rng: np.random.Generator, draws: DrawCumulants | None = None
) -> GammaCumulants:
    """Give the first three cumulants of a model's losses."""
    return _summed(_forms(model), rng, draws)


def _forms(model: LossModel) -> list[LinearForm]:
    """Forms of a model and of the one that is added to it."""
    return [LinearForm.of(x) for x in (model, model.added) if x is not None]


def _summed(
    forms: list[LinearForm], rng: np.random.Generator, draws: DrawCumulants | None
) -> GammaCumulants:
    """Add up the first three cumulants of independent terms."""
    each = [_rough_cumulants(form, rng, draws or DrawCumulants()) for form in forms]
    return GammaCumulants(*(np.sum(x, axis=0) for x in zip(*each, strict=True)))


def quick_distribution(
    model: LossModel, rng: np.random.Generator, draws: DrawCumulants
) -> tuple[LossDistribution, FloatArray]:
    """Give the distribution where it is a closed form, else the rough one, and the rounding."""
    parts = (model,) if model.added is None else (model, model.added)
    if any(_is_sampled(x) or needs_nodes(LinearForm.of(x)).any() for x in parts):
        return rough_distribution(model, rng, draws)
    return loss_distribution(model, rng)


def _is_sampled(model: LossModel) -> bool:
    """Return True if losses have no cumulants but by sampling or the law of total cumulance."""
    return model.batch is not None or bool(model.renyi) or not model.observed


def _distinct(model: LossModel) -> tuple[LossModel, NDArray[np.intp]]:
    """Model of the columns that differ from those before them, and the column of each loss."""
    size = model.prior.shape[1]
    first = np.zeros(size, bool)
    first[:1] = True
    parts = (model,) if model.added is None else (model, model.added)
    for part in parts:
        for x in (part.prior, part.guide_parameters):
            first[1:] |= (x[:, 1:] != x[:, :-1]).any(axis=(0, 2))
    columns = np.cumsum(first) - 1
    return (model, columns) if first.all() else (model.at(np.flatnonzero(first)), columns)


def _form_and_rounding(model: LossModel) -> tuple[LinearForm, FloatArray, NDArray[np.intp]]:
    """Forms of all losses, each different one computed once, the rounding and number of each."""
    few, columns = _distinct(model)
    form = LinearForm.of(few)
    rounding = _rounding(form)[columns]
    if few is model:
        return form, rounding, columns
    every = form._replace(
        model=model,
        parameters=form.parameters[:, columns],
        tilt=form.tilt[:, columns],
        constants=form.constants[columns],
    )
    return every, rounding, columns


def _rough_cumulants(
    form: LinearForm, rng: np.random.Generator, draws: DrawCumulants
) -> GammaCumulants:
    model = form.model
    if not model.observed:
        return _unobserved_cumulants(form, rng, _VERY_FEW)
    if model.renyi:
        return GammaCumulants(*_moments(sample_losses(form, _seed(rng), _ROUGHLY)))
    if model.batch is not None:
        return minibatch_cumulants(form, draws)
    found = first_cumulants(form, draws)
    if model.loss.random:
        return found
    none = np.zeros_like(found.mean)
    return GammaCumulants(found.mean, none, none)


def _moments(draws: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean and second and third central moments, by rows."""
    mean = draws.mean(axis=1)
    away = draws - mean[:, None]
    second, third = (np.mean(away**n, axis=1) for n in (2, 3))
    return mean, second, third


def _rounding(form: LinearForm) -> FloatArray:
    eps = np.finfo(form.model.dtype).eps
    return np.asarray(4 * eps * abs(form.model.factor) * form.magnitude())


def _many_particles(form: LinearForm) -> bool:
    """Return True if a step has so many particles that its loss need not be sampled."""
    particles, drawn = form.model.num_particles, math.prod(draws_of_particle(form))
    if not form.model.observed:
        return particles * drawn >= _ENOUGH
    costly = form.num_losses * _FEWEST * particles * drawn > _COSTLY
    return particles >= _ENOUGH or (costly and particles > 1 and particles * drawn >= _ENOUGH)


def _cumulants(form: LinearForm, rng: np.random.Generator) -> Cumulants:
    """All cumulants, or the first three of a mean of many particles."""
    model = form.model
    if not model.observed:
        return _unobserved_cumulants(form, rng)
    if not model.renyi:
        return (
            loss_cumulants(form)
            if model.batch is None
            else minibatch_cumulants(form, DrawCumulants())
        )
    draws = sample_losses(form._replace(model=model._replace(num_particles=1)), _seed(rng))
    one, other = 1 / model.num_particles, 1 / draws.shape[1]
    mean, second, third = _moments(draws)
    return GammaCumulants(mean, second * (one + other), third * (one**2 - other**2))


def _unobserved_cumulants(
    form: LinearForm, rng: np.random.Generator, fewest: int = _FEWEST
) -> GammaCumulants:
    """First three cumulants of losses whose successes are drawn in the model, by simulation."""
    model, counts = form.model, form.task.counts
    steps, latents = 1 if same_at_all_steps(form) else form.num_losses, len(counts)
    draws = int(np.clip(_ROUGHLY // (steps * latents), fewest, _SIMULATED))
    moments = np.empty((3, steps))
    entry = np.broadcast_to(np.arange(latents), (draws, latents))
    for t in range(steps):
        x = form.parameters[:, t]
        logit = form.source.sample_logits(x, entry.shape, rng)
        outcomes, coefficients = drawn_outcomes(form, entry, logit, rng)
        tilt, likelihood = (y[:, None] + outcomes for y in (form.tilt[:, t], form.likelihood[:, 0]))
        values = form.at_draws(logit, tilt, likelihood, x[:, None]) + form.constants[t]
        values += coefficients
        moments[:, t] = np.array(_moments(values.T)) @ form.task.weights
    one, other = 1 / model.num_particles, 1 / draws
    signs = (-model.factor) ** np.arange(1, 4)[:, None]
    mean, second, third = np.broadcast_to(moments, (3, form.num_losses)) * signs
    spread, skew = second * (one + other), third * (one**2 - other**2)
    return GammaCumulants(mean + model.constant, spread, skew)


def expected_losses(model: LossModel) -> FloatArray:
    """Compute expected losses, (T,), of a model without minibatches; nothing is clamped."""
    few, columns = _distinct(model)
    form = LinearForm.of(few)
    return np.asarray(model.constant + expected_by_latent(form) @ form.task.weights)[columns]


def expected_by_latent(form: LinearForm) -> FloatArray:
    """Contribution of one latent of each entry to the expected losses, (T, G)."""
    tilted = (form.tilt * form.expected_logs()).sum(axis=0)
    return np.asarray(-form.model.factor * (tilted + form.constants))


def sampled_distribution(
    model: LossModel, rng: np.random.Generator, most: int = MOST_DRAWS, fewest: int = _FEWEST
) -> SampledDistribution:
    """Distribution of losses drawn as the run draws them.

    There are at most so many draws of c, and at least so many of each loss.
    """
    return SampledDistribution(*_drawn(model, rng, most, fewest))


def _minibatch_distribution(form: LinearForm, rng: np.random.Generator) -> SampledDistribution:
    """Distribution of losses of minibatches: drawn, and its density by that for given batches."""
    drawn = form.model.num_particles * form.task.num_latents
    number = int(np.clip(_ROUGHLY // drawn, _FEWEST, _MOST_BATCHES))
    batches = cumulants_of_batches(form, DrawCumulants(), rng, number)
    return SampledDistribution(*_drawn(form.model, rng, _draws_that_do(form), _FEWEST), batches)


def _draws_that_do(form: LinearForm) -> int:
    """Count draws of c in all, of which no distribution has more samples than tell its tail."""
    steps = 1 if same_at_all_steps(form) else form.num_losses
    each = form.model.num_particles * math.prod(draws_of_particle(form))
    return min(MOST_DRAWS, _PLENTY * steps * each)


def _drawn(
    model: LossModel, rng: np.random.Generator, most: int, fewest: int
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Draw losses, (U, M), those of one distribution once, and the row of each loss."""
    few, columns = _distinct(model)
    draws = sample_losses(LinearForm.of(few), _seed(rng), most, fewest)
    if few.added is not None:
        more = sample_losses(LinearForm.of(few.added), _seed(rng), most, fewest)
        both = min(draws.shape[1], more.shape[1])
        draws = draws[:, :both] + more[:, :both]
    return draws, columns


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**63))
