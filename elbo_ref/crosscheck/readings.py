"""Readings of what somebody handed in: a loss model for each way in which it can be meant.

Numbers do not say everything: not from which framework they come, where Pyro and NumPyro mean
different losses by one name, nor the order of a Renyi bound. Each way is a reading; the first one
that the losses do not reject is taken, in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray, Rng, generator
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.alignment import computed_in
from elbo_ref.crosscheck.assignment import Assignment, assignments, note
from elbo_ref.crosscheck.coordinates import Coordinates
from elbo_ref.crosscheck.distribution import expected_losses
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.label_order import described, in_order, sorted_orders
from elbo_ref.crosscheck.loss_model import LossModel, minibatch_fields
from elbo_ref.crosscheck.model_test import LEVEL
from elbo_ref.crosscheck.names import from_numpyro, from_pyro
from elbo_ref.crosscheck.parameters import learned_of
from elbo_ref.crosscheck.prior_alone import MARGINAL, can_tell, height_of, settled
from elbo_ref.crosscheck.renyi_order import Order, possible_orders
from elbo_ref.crosscheck.stale_history import stale_history
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.guides import GUIDES, Guide
from elbo_ref.io.parameters import Parameters
from elbo_ref.objectives import OBJECTIVES, Objective, RenyiBound

Framework = Literal["pyro", "numpyro"]
_NO_ORDER = "(no --alpha was given)"
_WITHOUT_GUIDE = {
    "empty": ("latent_not_in_guide", "in the model"),
    "tied": ("shared_parameter", "drawn from the prior in the guide too"),
}
"""Guides without parameters: the mistake that each is, and where c is drawn."""


class HandedIn(NamedTuple):
    """All that somebody handed in, as `elbo_ref.cross_check` takes it, each checked by itself.

    Attributes
    ----------
    counts : Counts
    given : Parameters
    guide : Guide
    loss : Objective
    order_said : bool
        False for a Renyi bound of which only the name was said.
    num_particles : int or None
    losses, evaluations : ndarray of shape (T,), (E,)
    names : mapping of str to str, or None
    prior : Beta or None
    dtype : str or None
    subsample_size : int or None
    framework : {"pyro", "numpyro"}, or None
    of_adam : bool
        False if the run had another optimizer.
    """

    counts: Counts
    given: Parameters
    guide: Guide
    loss: Objective
    order_said: bool
    num_particles: int | None
    losses: FloatArray
    evaluations: FloatArray
    names: Mapping[str, str] | None
    prior: Beta | None
    dtype: str | None
    subsample_size: int | None
    framework: Framework | None
    of_adam: bool = True

    @property
    def of_framework(self) -> Framework | None:
        """The framework that was said, or that a store or the names in it can only be of."""
        if self.framework is not None:
            return self.framework
        if self.given.constraints or from_pyro(self.given.values):
            return "pyro"
        return "numpyro" if from_numpyro(self.given.values) else None

    def assignments(self, guide: Guide) -> list[Assignment]:
        """List the ways in which the parameters can be those of a guide."""
        return assignments(self.counts, self.given, guide, self.names, self.prior, self.losses.size)

    def model(self, assigned: Assignment, loss: Objective) -> LossModel:
        """Model of losses that parameters in their roles make."""
        return LossModel(
            counts=assigned.counts,
            guide=assigned.guide,
            loss=loss,
            num_particles=self.num_particles or 1,
            prior=assigned.roles.prior,
            guide_parameters=assigned.roles.guide_parameters,
            dtype=self.dtype or computed_in(self.given, self.losses, self.evaluations),
            constrained=assigned.constrained,
            prior_held=not learned_of(assigned.roles.names),
            by_mean=assigned.roles.coordinates.by_mean,
            **minibatch_fields(assigned.counts, self.subsample_size),
        )


class Reading(NamedTuple):
    """A loss model, and what was assumed.

    Attributes
    ----------
    model : LossModel
    names : mapping of str to str
        The expression that was taken for each role.
    findings : tuple of Finding
    what : str
        The guide in words.
    coordinates : Coordinates
        The parameters, as the optimizer moves them.
    """

    model: LossModel
    names: Mapping[str, str]
    findings: tuple[Finding, ...]
    what: str
    coordinates: Coordinates


def readings_of(handed: HandedIn, rng: Rng) -> list[Reading]:
    """List the readings of what somebody handed in, the likeliest first.

    Raises
    ------
    ValueError
        If a role has no parameter, or values that it cannot have.
    """
    found, framework = [], handed.of_framework
    for assigned in handed.assignments(handed.guide):
        ways = objectives_of(handed.loss, assigned.guide, framework)
        for loss, words in ways:
            notes = assigned.findings + (note("framework", words),) * bool(words)
            reading = _reading(handed, assigned._replace(findings=notes), loss)
            found += [x for each in _by_label(reading) for x in _ended(each, handed.losses)]
    if handed.guide.name == "empty" and can_tell(handed.losses, handed.evaluations, 2):
        found = [*_marginal(handed), *found]
    if handed.order_said:
        return found
    return with_orders(found, handed.num_particles, handed.evaluations, rng)


def with_note(reading: Reading, name: str, words: str, of: str = "") -> Reading:
    """Add a note to a reading."""
    return reading._replace(findings=(*reading.findings, note(name, words)._replace(of=of)))


def reading_without_guide(handed: HandedIn, rng: Rng) -> Reading | None:
    """Find what fits losses of a store that has nothing of a guide; None if nothing does."""
    possible = _marginal(handed)
    for name, (mistake, whose) in _WITHOUT_GUIDE.items():
        for assigned in handed.assignments(GUIDES[name]):
            words = f"the store has no guide's parameters, and the losses are those of c {whose}"
            reason = "from the names and the losses"
            finding = Finding(mistake, words, reason=reason, status="mistake")
            findings = (*assigned.findings, finding)
            possible.append(_reading(handed, assigned._replace(findings=findings), handed.loss))
    fitting, evaluations = [], settled(handed.losses, handed.evaluations)
    for reading in possible:
        steps, height = reading.model.prior.shape[1], None
        if can_tell(handed.losses, evaluations, steps):
            height = height_of(reading.model, handed.losses, evaluations, rng)
        if height is not None:
            fitting.append((height, reading))
    if not fitting:
        return None
    highest, best = max(fitting, key=itemgetter(0))
    *others, last = best.findings
    beside = (x.findings[-1].name for height, x in fitting if height > highest + np.log(LEVEL))
    rivals = tuple(name for name in beside if name != last.name)
    return best._replace(findings=(*others, last._replace(rivals=rivals)))


def _marginal(handed: HandedIn) -> list[Reading]:
    """Read the losses as minus the log evidence, of a likelihood that is a BetaBinomial."""
    found = []
    for assigned in handed.assignments(GUIDES["conjugate"]):
        words = "the losses are minus the log evidence: no latent is drawn (BetaBinomial)"
        findings = (*assigned.findings, note("marginal", words))
        reading = _reading(handed, assigned._replace(findings=findings), OBJECTIVES["trace"])
        found.append(reading._replace(what=MARGINAL))
    return found


def _reading(handed: HandedIn, assigned: Assignment, loss: Objective) -> Reading:
    model, what = handed.model(assigned, loss), f"{assigned.guide.name} guide"
    roles = assigned.roles
    return Reading(model, roles.names, assigned.findings, what, roles.coordinates)


def _by_label(reading: Reading) -> list[Reading]:
    """Read the latents also in the sorted order of their labels; the nearest guide comes first."""
    model, counts = reading.model, reading.model.counts
    own = model.guide_parameters.shape[-1] == len(counts) > 1 and bool(model.guide.parameter_names)
    orders = sorted_orders(counts.labels) if own else []
    if not orders:
        return [reading]
    ways = [(counts, "first"), *((in_order(counts, order), "sorted") for order in orders)]
    found = []
    for each, how in ways:
        words = note("labels", described(each, how))
        read = reading._replace(model=model.of_counts(each), findings=(*reading.findings, words))
        whole = read.model.last._replace(batch=None, batch_scale=1.0)
        found.append((float(expected_losses(whole)[0]), read))
    return [read for _, read in sorted(found, key=itemgetter(0))]


def _ended(reading: Reading, losses: FloatArray) -> list[Reading]:
    """Read a history that does not change, while its losses do, also as one set of parameters."""
    stale = stale_history(reading.model, losses)
    if stale is None:
        return [reading]
    return [
        reading,
        reading._replace(model=reading.model.last, findings=(*reading.findings, stale)),
    ]


def objectives_of(
    loss: Objective, guide: Guide, framework: Framework | None
) -> tuple[tuple[Objective, str], ...]:
    """List what an objective's name can mean for a guide, with a note on each.

    NumPyro's ``TraceMeanField_ELBO`` of a normal guide counts the Jacobian that Pyro's drops.
    """
    if loss.name != "trace_mean_field" or guide.source is not LOGIT_NORMAL:
        return ((loss, ""),)
    words = "trace_mean_field as {}, which {} the Jacobian of a normal guide"
    pyros = (loss, words.format("Pyro's", "drops"))
    numpyros = (OBJECTIVES["trace"], words.format("NumPyro's", "counts"))
    ways = {"pyro": (pyros,), "numpyro": (numpyros,)}
    return ways[framework] if framework else (pyros, numpyros)


def with_orders(
    readings: Sequence[Reading],
    num_particles: int | None,
    evaluations: FloatArray,
    rng: Rng,
) -> list[Reading]:
    """Read a Renyi bound of which nobody said the order, or the number of samples.

    As Pyro and NumPyro have it, `num_particles` is the number of samples, 2 if nobody says it;
    `elbo_ref.maximize_elbo` averages so many bounds of two samples.
    """
    found = []
    for reading in readings:
        samples = 2 if num_particles is None else num_particles
        orders = possible_orders(reading.model, samples, evaluations, generator(rng))
        for order in orders:
            words = f"alpha = {order.alpha:g} of {samples} samples {_NO_ORDER}"
            found.append(_of_order(reading, RenyiBound(order.alpha, samples), 1, words, order))
        if num_particles is not None:
            words = f"alpha = 0 of 2 samples, averaged over {num_particles} {_NO_ORDER}"
            found.append(_of_order(reading, RenyiBound(), num_particles, words, Order(0.0)))
    return found


def _of_order(
    reading: Reading, loss: RenyiBound, num_particles: int, words: str, order: Order
) -> Reading:
    bound: Literal["together", "each"] = "together" if order.together else "each"
    model = reading.model._replace(
        loss=loss, num_particles=num_particles, bound=bound, constant=order.constant
    )
    if order.together:
        words += ", all latents together, as Pyro takes it outside of a plate"
    if order.constant:
        words += ", of single trials or without the binomial coefficients"
    return reading._replace(model=model, findings=(*reading.findings, note("bound", words)))
