"""Loss models that a mistake makes of a given one, each a hypothesis of how losses came about.

Those here leave nothing open. `elbo_ref.crosscheck.data_variants` has those of other data, and
`elbo_ref.crosscheck.fitted_variants` those in which a number is fitted, at a price.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.coordinates import mean_and_total
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.saddlepoint import LossDistribution
from elbo_ref.guides import GUIDES
from elbo_ref.guides.constraints import LARGEST, SOFTPLUS
from elbo_ref.mle.binomial import log_coefficient
from elbo_ref.objectives import OBJECTIVES, RenyiBound
from elbo_ref.svi.parameters import NAMES

_RARE, _OFTEN = 2.0, 4.0
"""Log-likelihood penalty of what hardly anybody does, and gain of what is done most often."""
_WEIGHTS = (10.0, 5.0, 4.0, 3.0, 2.0, 0.5, 0.3, 0.25, 0.2, 0.1, 0.05, 0.01, 0.001)
"""Weights of the likelihood, or of the guide's divergence from the prior, that are common."""


class Hypothesis(NamedTuple):
    """A loss model that a mistake makes.

    Attributes
    ----------
    variant : str
        The way in which the mistake was made, in words.
    model : LossModel
    number : str
        The field of the model, ``"factor"`` or ``"constant"``, whose value is all that differs; or
        ``"prior"`` if that was read off the guide, which is not precise enough to rule it out.
    price : float
        Log-likelihood penalty: each mistake counts once, so that its variants share, and a number
        that was fitted costs its range over its precision.
    fitted : bool
        Whether that number was fitted; one that has a reason is preferred.
    name : str
        The mistake; empty for another meaning of the given model, which is none.
    reasoned : bool
        False for a number that has no reason but that losses of one set of parameters fit so, which
        other models than the Beta-Binomial have as well, and for two coincidences at once: it is
        possible, and never certain.
    """

    variant: str
    model: LossModel
    number: str = ""
    price: float = 0.0
    fitted: bool = False
    name: str = ""
    reasoned: bool = True


class Fit(NamedTuple):
    """Losses to which a number is fitted.

    Attributes
    ----------
    losses : ndarray of shape (T,)
    distribution : LossDistribution
        Theirs under the given model.
    variance : ndarray of shape (T,)
        By which they may vary.
    expected : callable
        The expected losses of another model; at given draws, its losses.
    """

    losses: FloatArray
    distribution: LossDistribution
    variance: FloatArray
    expected: Callable[[LossModel], FloatArray]

    @property
    def noisy(self) -> bool:
        """True if the losses have a distribution, not a value each."""
        return bool(self.distribution.variance.min() > 0)

    def weighted_sum(self, x: FloatArray, y: FloatArray) -> float:
        """Sum x y, weighted by precision."""
        return float(np.sum(x * y / self.variance))

    def constant(self) -> tuple[float, float]:
        """Return the constant that fits best, nats, and its standard error."""
        weights = 1 / self.variance
        shift = weights @ (self.losses - self.distribution.mean) / weights.sum()
        return float(shift), float(1 / np.sqrt(weights.sum()))


def has_pair(model: LossModel) -> bool:
    """Return True if the guide's parameters are two concentrations."""
    return model.guide.parameter_names == NAMES


def single_trials(counts: Counts) -> bool:
    """Return True if the rows of the first latent can only have been single trials."""
    coefficient, split = float(counts.log_coefficient[0]), float(counts.log_split[0])
    return abs(coefficient) <= 1e-9 * abs(split)


def swapped(given: LossModel) -> Iterator[Hypothesis]:
    """Exchange the concentrations of the prior, the guide, or both."""
    prior, params = given.prior[::-1], given.guide_parameters[::-1]
    if given.guide.has_prior:
        yield Hypothesis("the prior's", given._replace(prior=prior))
    if has_pair(given):
        yield Hypothesis("the guide's", given._replace(guide_parameters=params))
        both = given._replace(prior=prior, guide_parameters=params)
        words = "the prior's and the guide's, which is the same as successes and failures"
        yield Hypothesis(words, both)


def mixed_roles(given: LossModel) -> Iterator[Hypothesis]:
    """Take concentrations for a mean and a total, for one and their total, or the reverse."""
    owners = {"prior": given.prior} if given.guide.has_prior else {}
    if has_pair(given):
        owners["guide"] = given.guide_parameters
    ways = _by_mean_and_total(owners, given.by_mean), _by_one_and_total(owners, given.by_mean)
    for changed, words in ways:
        yield from _with_owners(given, changed, words)


Changed: TypeAlias = tuple[dict[str, FloatArray], dict[str, str]]


def _by_mean_and_total(owners: Mapping[str, FloatArray], by_mean: Collection[str]) -> Changed:
    changed, words = {}, {}
    for owner, x in owners.items():
        if owner in by_mean:
            changed[owner] = mean_and_total(x)
            words[owner] = f"the {owner}'s mean and total are passed as concentrations"
        elif (x[0] < 1).all():
            changed[owner] = np.array((x[0] * x[1], (1 - x[0]) * x[1]))
            words[owner] = f"the {owner}'s concentrations are a mean and a total"
    return changed, words


def _by_one_and_total(owners: Mapping[str, FloatArray], by_mean: Collection[str]) -> Changed:
    changed, words = {}, {}
    for owner, x in owners.items():
        if owner not in by_mean and (x[1] > x[0]).all():
            changed[owner] = np.array((x[0], x[1] - x[0]))
            words[owner] = f"the {owner}'s concentration0 is the total of both"
    return changed, words


def _with_owners(
    given: LossModel, changed: Mapping[str, FloatArray], words: Mapping[str, str]
) -> Iterator[Hypothesis]:
    """Change the parameters of one owner, or of both."""
    for chosen in [*([owner] for owner in changed), *([list(changed)] * (len(changed) > 1))]:
        model = given._replace(
            prior=changed["prior"] if "prior" in chosen else given.prior,
            guide_parameters=changed["guide"] if "guide" in chosen else given.guide_parameters,
        )
        yield Hypothesis("; ".join(words[owner] for owner in chosen), model, price=_RARE)


def other_measures(given: LossModel) -> Iterator[Hypothesis]:
    """Take a normal guide's scale for a variance or a precision, or its location for a median."""
    if given.guide.parameter_names != ("loc", "scale"):
        return
    loc, scale = given.guide_parameters
    meant = {
        "the guide's scale is a variance": (loc, np.sqrt(scale)),
        "the guide's scale is a precision": (loc, scale**-0.5),
    }
    if ((loc > 0) & (loc < 1)).all():
        meant["the guide's location is the median of c"] = (sc.logit(loc), scale)
    for words, params in meant.items():
        yield Hypothesis(words, given._replace(guide_parameters=np.array(params)), price=_RARE)


def not_in_guide(given: LossModel) -> Iterator[Hypothesis]:
    """Draw c in the model, and perhaps something else in the guide."""
    guide, params = given.guide, given.guide_parameters
    counts_log_prior = guide.origin == "prior" and guide.source_weight == 0
    if not guide.has_prior or counts_log_prior or given.loss.name == "trace_mean_field":
        return
    in_model = given._replace(
        guide=GUIDES["empty"], guide_parameters=np.zeros((0, *params.shape[1:]))
    )
    yield Hypothesis("c is drawn in the model", in_model)
    if has_pair(given) and given.batch is None and given.renyi is None:
        nothing = np.zeros_like(given.counts.successes)
        counts = Counts(nothing, nothing, given.counts.multiplicity)
        apart = given.of_counts(counts)._replace(prior=np.ones_like(given.prior))
        words = "c is drawn in the model, the guide samples under another name"
        yield Hypothesis(words, in_model._replace(added=apart))


def negated(given: LossModel) -> Iterator[Hypothesis]:
    """Take ELBOs for losses."""
    yield Hypothesis("times -1", given._replace(factor=-given.factor), price=-_OFTEN)


def divided(given: LossModel) -> Iterator[Hypothesis]:
    """Divide or multiply the losses by a number that has a reason."""
    latents = given.counts.num_latents
    trials = int(given.counts.multiplicity @ given.counts.total_count)
    numbers = {
        f"the {latents} latents": (latents, 0.0),
        f"the {trials} trials": (trials, 0.0),
        f"the {given.num_particles} particles": (given.num_particles, 0.0),
        "ln 2, as bits are": (np.log(2), 2 * _RARE),
        "ln 10, as decimal logarithms are": (np.log(10), 2 * _RARE),
    }
    for what, (number, price) in numbers.items():
        factors = {"divided": given.factor / number, "multiplied": given.factor * number}
        for how, factor in factors.items() if number != 1 else ():
            model = given._replace(factor=factor)
            yield Hypothesis(f"{how} by {what}", model, "factor", price)
    if given.batch is not None:
        each = given._replace(factor=given.factor / given.batch)
        yield Hypothesis(f"divided by the {given.batch} of a minibatch", each, "factor", _RARE)


def has_divergence(given: LossModel) -> bool:
    """Return True if a loss has more than the likelihood, whose weight divides it otherwise."""
    guide = given.guide
    tied = guide.origin == "prior" and guide.prior_weight == guide.source_weight
    return guide.has_prior and not tied


def weighted(given: LossModel) -> Iterator[Hypothesis]:
    """Weigh the likelihood, or all but it, by a common number; a divergence is seldom raised."""
    if not has_divergence(given):
        return
    size = float(given.counts.num_latents)
    weights = {*_WEIGHTS, -1.0, size, 1 / size} - {1.0}
    for weight in sorted(weights):
        model = given._replace(likelihood_weight=given.likelihood_weight * weight)
        yield Hypothesis(f"the log likelihood times {weight:g}", model)
        if weight < 0:
            continue
        words = f"the divergence from the prior times {1 / weight:g}"
        of_all = model._replace(factor=given.factor / weight)
        yield Hypothesis(words, of_all, price=_RARE if weight < 1 else 0.0)


def held_prior(given: LossModel) -> Iterator[Hypothesis]:
    """Hold another prior that is common."""
    if not given.prior_held:
        return
    for both in (1.0, 0.5, 2.0):
        prior = np.full_like(given.prior, both)
        yield Hypothesis(f"Beta({both:g}, {both:g})", given._replace(prior=prior))


def _shifted(given: LossModel, variant: str, constant: float) -> Iterator[Hypothesis]:
    if abs(constant) > 1e-9:
        model = given._replace(constant=given.constant + constant)
        yield Hypothesis(variant, model, "constant")


def other_objective(given: LossModel) -> Iterator[Hypothesis]:
    """Compute another ELBO than the one that is claimed."""
    if given.loss.name == "trace" and given.num_particles > 1 and given.batch is None:
        bound = RenyiBound(0.0, given.num_particles)
        words = f"those of renyi, alpha 0, of {given.num_particles} samples"
        model = given._replace(loss=bound, num_particles=1)
        yield Hypothesis(words, model, price=_RARE, reasoned=not given.still)
    names = ("trace", "trace_mean_field")
    pair = given.loss.name in names and not given.guide.is_point and given.guide.origin == "own"
    for name in names if pair else ():
        bare = given.guide.name == "normal" and name == "trace_mean_field"
        if given.batch is not None and not bare:
            continue
        words = f"those of {name}" + ", without the Jacobian of the sigmoid" * bare
        yield Hypothesis(words, given._replace(loss=OBJECTIVES[name]))


def other_meanings(given: LossModel) -> Iterator[Hypothesis]:
    """Take the given model in the other ways that it may be meant, none of them a mistake.

    These are constants that no parameter feels, and the ways in which a bound is computed.
    """
    if given.coefficients and np.any(given.rows.log_coefficient):
        words = "those of single trials, or of a likelihood without its binomial coefficients"
        yield Hypothesis(words, given._replace(coefficients=False), "constant")
    split = float(given.counts.multiplicity @ given.counts.log_split)
    yield from _shifted(given, "those of the totals, not of the rows", split)
    for model, which in given.other_bounds():
        yield Hypothesis(which, model)
    if has_pair(given) and given.batch is None and np.any(given.counts.multiplicity > 1):
        words = "those of one draw for all latents of an entry, whose terms are scaled"
        yield Hypothesis(words, given._replace(one_draw=True))
    if given.guide.name == "empty":
        outcomes = np.array((given.counts.successes, given.counts.failures), np.float64)
        shape = (2, given.prior.shape[1], len(given.counts))
        rows = np.broadcast_to(outcomes[:, None], shape)
        marginal = given._replace(guide=GUIDES["conjugate"], guide_parameters=rows)
        words = "those of the marginal likelihood, BetaBinomial, without a latent"
        yield Hypothesis(words, marginal)


def other_coefficients(given: LossModel) -> Iterator[Hypothesis]:
    """Count the log coefficients twice."""
    coefficients = log_coefficient(given.counts)
    for x in _shifted(given, "the log coefficients counted twice", -coefficients):
        yield x._replace(price=_RARE)


def unconstrained(given: LossModel) -> Iterator[Hypothesis]:
    """Take the parameters for unconstrained ones, but for those that are known not to be.

    All of them, the prior's alone, or the guide's.
    """
    has = {"prior": given.guide.has_prior, "guide": has_pair(given)}
    unconstrained = [owner for owner in has if has[owner] and owner not in given.constrained]
    yield from _constrained(given, unconstrained, "still to be applied to")


def _constrained(
    given: LossModel, owners: Sequence[str], words: str, price: float = 0.0
) -> Iterator[Hypothesis]:
    """Apply a constraint to the parameters of all of the owners, and of each."""
    params = given.guide_parameters
    ways = (("exp", np.exp, 0.0), ("softplus", SOFTPLUS.constrain, _RARE))
    for what, constrain, rare in ways:
        with np.errstate(over="ignore"):
            prior = constrain(given.prior) if "prior" in owners else given.prior
            held = constrain(params) if "guide" in owners else params
        whose = {"all": (prior, held)}
        if len(owners) > 1:
            whose |= {"the prior's": (prior, params), "the guide's": (given.prior, held)}
        for owner, (first, second) in whose.items():
            if max(first.max(), second.max(initial=0.0)) < LARGEST:
                model = given._replace(prior=first, guide_parameters=second)
                yield Hypothesis(f"{what} is {words} {owner}", model, price=price + rare)


def constrained_again(given: LossModel) -> Iterator[Hypothesis]:
    """Constrain concentrations that a store holds positive already, as a program may."""
    of_two = has_pair(given) and given.guide.has_prior and not given.by_mean
    if of_two and {*given.constrained} >= {"prior", "guide"}:
        yield from _constrained(given, ("prior", "guide"), "applied once more to", _RARE)


def batch_scaled(given: LossModel, *, twice: bool) -> Iterator[Hypothesis]:
    """Scale the terms of a minibatch twice, or not at all."""
    if given.batch is not None:
        scale = given.batch_scale
        words = f"scaled by {scale:g} squared" if twice else "scaled by 1"
        yield Hypothesis(words, given._replace(batch_scale=scale**2 if twice else 1.0))
