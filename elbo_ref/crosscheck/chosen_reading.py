"""Choice of the reading that losses fit, where there are several.

The first one that they do not reject is taken; else the likeliest, one without a mistake first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from elbo_ref._validation.arguments import Rng, generator
from elbo_ref.crosscheck.alignment import AlignedLosses, align
from elbo_ref.crosscheck.claims import UnknownRoleError
from elbo_ref.crosscheck.distribution import expected_losses
from elbo_ref.crosscheck.fitted_variants import fitted_particles
from elbo_ref.crosscheck.loss_findings import Explained, explain
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


class _Candidate:
    """A reading beside the losses; what is costly is computed once, when it is asked for."""

    def __init__(
        self, reading: Reading, aligned: AlignedLosses, rng: Rng, price: float = 0.0
    ) -> None:
        self.reading, self._aligned, self._rng, self._price = reading, aligned, rng, price
        self.is_stale = any(x.name == "stale_history" for x in reading.findings)

    @cached_property
    def _test(self) -> ModelTest:
        return ModelTest(self._aligned.model, self._aligned.losses, generator(self._rng))

    @cached_property
    def _explained(self) -> Explained:
        return explain(self._aligned, self._rng)

    @property
    def fits(self) -> bool:
        """True if the losses do not reject it."""
        return self._test.p_any >= LEVEL

    @property
    def is_mistaken(self) -> bool:
        """True if losses are certainly those of a mistake beside which no number is likely."""
        best = self._explained.report.certain
        return best is not None and best.hypothesis.name not in ("", "wrong_num_particles")

    @property
    def cost(self) -> tuple[bool, float]:
        """Whether there is a mistake, and minus the log likelihood of the best explanation."""
        mistaken = any(x.status == "mistake" for x in self._explained.findings)
        return mistaken, self._price - self._explained.report.score

    def numbers_of_particles(self) -> tuple[list[int], list[int]]:
        """List those that the spread of losses has, about their model's mean and about their own.

        The likeliest comes first.
        """
        values, distribution = self._aligned.losses.values, self._test.distribution
        mean, variance = distribution.mean, distribution.variance
        spread = np.maximum(variance + self._test.allowance**2, 1e-24 * (1 + mean**2))
        fit = Fit(values, distribution, spread, expected_losses)
        own = fit._replace(losses=values - fit.constant()[0])
        first, second = (
            [x.model.num_particles for x in fitted_particles(self._aligned.model, each)]
            for each in (fit, own)
        )
        return first, second


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

    def candidate(reading: Reading, price: float = 0.0) -> _Candidate | None:
        aligned = align(reading.model, handed.losses, handed.evaluations, optimizer)
        return None if aligned is None else _Candidate(reading, aligned, rng, price)

    rejected, others = list[_Candidate](), list[_Candidate]()
    for reading in readings:
        made = candidate(reading)
        if made is None:
            return readings[0]
        if made.is_stale and rejected and rejected[-1].is_mistaken:
            continue
        if made.fits:
            return reading
        rejected.append(made)
    for one in rejected if open_number else ():
        of_mean, of_own_mean = one.numbers_of_particles()
        for number in of_mean:
            other = candidate(_of_particles(one.reading, number))
            if other is not None and other.fits:
                return one.reading if one.is_mistaken else other.reading
        for number in of_own_mean[:1]:
            other = candidate(_of_particles(one.reading, number), _OF_NUMBER)
            others += [other] if other is not None else []
    possible = [*rejected, *others]
    best = possible[0] if len(possible) == 1 else min(possible, key=lambda x: x.cost)
    return best.reading


def _of_particles(reading: Reading, number: int) -> Reading:
    """Read losses as means of a number of particles that nobody said."""
    words = f"{number}, taken from the spread of the losses, as none was given"
    model = reading.model._replace(num_particles=number)
    return with_note(reading._replace(model=model), "num_particles", words, str(number))


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
        if _Candidate(reading, aligned, rng).fits:
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
