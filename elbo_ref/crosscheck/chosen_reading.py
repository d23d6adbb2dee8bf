"""Choice of the reading that losses fit, where there are several.

The first one that they do not reject is taken; else the likeliest, one without a mistake first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from elbo_ref._validation.arguments import Rng, generator
from elbo_ref.crosscheck.alignment import AlignedLosses, align
from elbo_ref.crosscheck.claims import UnknownRoleError
from elbo_ref.crosscheck.distribution import expected_losses
from elbo_ref.crosscheck.fitted_variants import fitted_particles
from elbo_ref.crosscheck.loss_findings import explain
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.model_test import LEVEL, ModelTest
from elbo_ref.crosscheck.names import guess_letters
from elbo_ref.crosscheck.readings import HandedIn, Reading, readings_of, with_note
from elbo_ref.crosscheck.variants import Fit
from elbo_ref.svi.optimizers import Adam, ClippedAdam
from elbo_ref.svi.parameters import NAMES

_OF_NUMBER = 3.0
"""Log-likelihood penalty of a number of particles that nobody said."""
_FEWEST = 5
"""Losses whose spread says how many particles they are the mean of."""


def likeliest(
    readings: Sequence[Reading],
    handed: HandedIn,
    optimizer: Adam | ClippedAdam | None,
    rng: Rng,
) -> Reading:
    """Return the first reading that losses do not reject, or the likeliest without a mistake.

    A history whose rows are equal is one that was kept without copies unless its losses are
    certainly those of another mistake. A number of particles that nobody said is the one that the
    losses' spread has, unless one particle and a mistake are the better account.
    """
    enough = handed.losses.size + handed.evaluations.size >= _FEWEST
    open_number = enough and handed.num_particles is None and handed.order_said
    open_number = open_number and handed.loss.name != "renyi"
    if len(readings) == 1 and not open_number:
        return readings[0]

    def aligned_with(model: LossModel) -> AlignedLosses | None:
        return align(model, handed.losses, handed.evaluations, optimizer)

    rejected: list[tuple[Reading, AlignedLosses, ModelTest]] = []
    for reading in readings:
        aligned = aligned_with(reading.model)
        if aligned is None:
            return readings[0]
        stale = any(x.name == "stale_history" for x in reading.findings)
        if stale and rejected and _another_mistake(rejected[-1][1], rng):
            continue
        test = ModelTest(aligned.model, aligned.losses, generator(rng))
        if test.p_any >= LEVEL:
            return reading
        rejected.append((reading, aligned, test))
    others = list[tuple[Reading, AlignedLosses]]()
    for reading, aligned, test in rejected if open_number else ():
        fit = _fit_of_spread(aligned, test)
        for x in fitted_particles(aligned.model, fit):
            other = _of_particles(reading, x.model.num_particles)
            of_number = aligned_with(other.model)
            if of_number is not None and _fits(of_number, rng):
                return reading if _another_mistake(aligned, rng) else other
        about_own_mean = fit._replace(losses=fit.losses - fit.constant()[0])
        for x in [*fitted_particles(aligned.model, about_own_mean)][:1]:
            other = _of_particles(reading, x.model.num_particles)
            of_number = aligned_with(other.model)
            others += [(other, of_number)] if of_number is not None else []
    possible = [*((reading, aligned) for reading, aligned, _ in rejected), *others]
    if len(possible) == 1:
        return readings[0]
    explained = [explain(aligned, rng) for _, aligned in possible]
    mistaken = [any(x.status == "mistake" for x in found.findings) for found in explained]
    scores = [found.report.score for found in explained]
    scores[len(rejected) :] = [x - _OF_NUMBER for x in scores[len(rejected) :]]
    best = min(range(len(possible)), key=lambda i: (mistaken[i], -scores[i]))
    return possible[best][0]


def _of_particles(reading: Reading, number: int) -> Reading:
    """Read losses as means of a number of particles that nobody said."""
    words = f"{number}, taken from the spread of the losses, as none was given"
    model = reading.model._replace(num_particles=number)
    return with_note(reading._replace(model=model), "num_particles", words, str(number))


def _fits(aligned: AlignedLosses, rng: Rng) -> bool:
    return ModelTest(aligned.model, aligned.losses, generator(rng)).p_any >= LEVEL


def _another_mistake(aligned: AlignedLosses, rng: Rng) -> bool:
    """Return True if losses are certainly those of a mistake, beside which no number is likely."""
    best = explain(aligned, rng).report.certain
    return best is not None and best.hypothesis.name not in ("", "wrong_num_particles")


def _fit_of_spread(aligned: AlignedLosses, test: ModelTest) -> Fit:
    """Losses beside their distribution, whose spread tells the number of particles."""
    mean, variance = test.distribution.mean, test.distribution.variance
    spread = np.maximum(variance + test.allowance**2, 1e-24 * (1 + mean**2))
    return Fit(aligned.losses.values, test.distribution, spread, expected_losses)


def reading_by_letters(
    handed: HandedIn,
    unknown: UnknownRoleError,
    optimizer: Adam | ClippedAdam | None,
    rng: Rng,
    *,
    fitting: bool,
) -> Reading | None:
    """Take a and b for concentrations, in the order that the losses fit; None if neither is it.

    Unless it must be `fitting`, the order is taken in which a mistake explains the losses best.
    """
    found = []
    for reading, listed in _by_letters(handed, unknown, rng):
        aligned = align(reading.model, handed.losses, handed.evaluations, optimizer)
        if aligned is None:
            return None
        words = f"{listed} were taken"
        if _fits(aligned, rng):
            return with_note(reading, "names", f"{words}: the losses fit so")
        found.append(with_note(reading, "names", f"{words}, as no order fits the losses better"))
    return None if fitting or not found else likeliest(found, handed, optimizer, rng)


def _by_letters(
    handed: HandedIn, unknown: UnknownRoleError, rng: Rng
) -> Iterator[tuple[Reading, str]]:
    """Yield readings of a and b as concentrations, in either order, with the order in words."""
    guessed = guess_letters(unknown.left, unknown.owners, len(handed.counts))
    roles = [f"{owner}.{name}" for owner in unknown.owners for name in NAMES]
    others = [f"{owner}.{name}" for owner in unknown.owners for name in NAMES[::-1]]
    if not guessed or not (handed.losses.size or handed.evaluations.size):
        return
    for order in (roles, others):
        names = {role: guessed[x] for role, x in zip(roles, order, strict=True)}
        listed = ", ".join(f"{name} for {role}" for role, name in names.items())
        for reading in readings_of(handed._replace(names={**(handed.names or {}), **names}), rng):
            yield reading, listed
