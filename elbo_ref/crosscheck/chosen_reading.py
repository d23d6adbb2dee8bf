"""Choice of the reading that losses fit, where there are several.

The first one that they do not reject is taken; else the likeliest, one without a mistake first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property

import numpy as np

from elbo_ref._validation.arguments import FloatArray, Rng, generator
from elbo_ref.crosscheck.alignment import AlignedLosses, align
from elbo_ref.crosscheck.claims import UnknownRoleError
from elbo_ref.crosscheck.distribution import expected_losses
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.fitted_variants import fitted_particles
from elbo_ref.crosscheck.loss_findings import Explained, explain
from elbo_ref.crosscheck.model_test import LEVEL, ModelTest
from elbo_ref.crosscheck.names import guess_letters
from elbo_ref.crosscheck.readings import HandedIn, Reading, readings_of, with_note
from elbo_ref.crosscheck.repeated_evaluations import are_repeated
from elbo_ref.crosscheck.variants import Fit
from elbo_ref.svi.optimizers import Adam, ClippedAdam
from elbo_ref.svi.parameters import NAMES

_OF_NUMBER = 3.0
"""Log-likelihood penalty of a number of particles, or of data evaluated, that nobody said."""
_FEWEST = 5
"""Losses whose spread says how many particles they are the mean of."""


class Candidate:
    """A reading beside the losses; what is costly is computed once, when it is asked for.

    Attributes
    ----------
    reading : Reading
    """

    def __init__(
        self,
        reading: Reading,
        handed: HandedIn,
        optimizer: Adam | ClippedAdam | None,
        rng: Rng,
        price: float = 0.0,
        evaluated_whole: bool = False,
    ) -> None:
        self.reading, self._price = reading, price
        self._beside = handed, optimizer, rng
        self._evaluated_whole = evaluated_whole

    @cached_property
    def aligned(self) -> AlignedLosses | None:
        """The losses that belong to parameters that are known; None if there are none."""
        handed, _, _ = self._beside
        return self._align(handed.evaluations[: 1 if self.is_repeated else None])

    def _align(self, evaluations: FloatArray) -> AlignedLosses | None:
        """Pair the losses; those of all data are compared without the minibatches' own."""
        handed, optimizer, _ = self._beside
        model, losses = self.reading.model, handed.losses
        if self._evaluated_whole:
            model, losses = model._replace(batch=None, batch_scale=1.0), losses[:0]
        return align(model, losses, evaluations, optimizer)

    @cached_property
    def is_repeated(self) -> bool:
        """True if all evaluations are one of the same draws, and of no mistake without noise."""
        handed, _, rng = self._beside
        if not are_repeated(self.reading.model, handed.evaluations):
            return False
        every = self._align(handed.evaluations)
        return every is None or explain(every, rng).report.certain is None

    @cached_property
    def explained(self) -> Explained | None:
        """What the losses are most likely; None if there are none."""
        return None if self.aligned is None else explain(self.aligned, self._beside[-1])

    @cached_property
    def of_run(self) -> list[Finding]:
        """Mistakes of the run's own last loss, where the evaluations are of all the data."""
        handed, optimizer, rng = self._beside
        if not self._evaluated_whole:
            return []
        aligned = align(self.reading.model, handed.losses, handed.evaluations[:0], optimizer)
        found = [] if aligned is None else explain(aligned, rng).findings
        return [x for x in found if x.status == "mistake"]

    @cached_property
    def _test(self) -> ModelTest:
        assert self.aligned is not None
        return ModelTest(self.aligned.model, self.aligned.losses, generator(self._beside[-1]))

    @property
    def fits(self) -> bool:
        """True if the losses do not reject it."""
        return self._test.p_any >= LEVEL

    @property
    def is_stale(self) -> bool:
        """True if its history was kept without copies."""
        return any(x.name == "stale_history" for x in self.reading.findings)

    @property
    def is_mistaken(self) -> bool:
        """True if losses are certainly those of a mistake beside which no number is likely."""
        best = None if self.explained is None else self.explained.report.certain
        return best is not None and best.hypothesis.name not in ("", "wrong_num_particles")

    @property
    def cost(self) -> tuple[bool, float]:
        """Whether there is a mistake, and minus the log likelihood of the best explanation."""
        assert self.explained is not None
        mistaken = any(x.status == "mistake" for x in self.explained.findings)
        return mistaken, self._price - self.explained.report.score

    def noted(self, name: str, words: str) -> Candidate:
        """Return it with a note on its reading."""
        other = copy(self)
        other.reading = with_note(self.reading, name, words)
        return other

    def of_particles(self, number: int, price: float = 0.0) -> Candidate:
        """Read losses as means of a number of particles that nobody said."""
        words = f"{number}, taken from the spread of the losses, as none was given"
        model = self.reading.model._replace(num_particles=number)
        reading = with_note(self.reading._replace(model=model), "num_particles", words, str(number))
        price += self._price
        return type(self)(reading, *self._beside, price, self._evaluated_whole)

    def of_all_data(self) -> Candidate:
        """Read the evaluations of a run on minibatches as losses on all the data."""
        words = "they are taken to be of all the data, not of minibatches: so they fit better"
        reading = with_note(self.reading, "evaluations", words)
        return type(self)(reading, *self._beside, _OF_NUMBER, evaluated_whole=True)

    def numbers_of_particles(self) -> tuple[list[int], list[int]]:
        """List those that the spread of losses has, about their model's mean and about their own.

        The likeliest comes first.
        """
        assert self.aligned is not None
        values, distribution = self.aligned.losses.values, self._test.distribution
        mean, variance = distribution.mean, distribution.variance
        spread = np.maximum(variance + self._test.allowance**2, 1e-24 * (1 + mean**2))
        fit = Fit(values, distribution, spread, expected_losses)
        own = fit._replace(losses=values - fit.constant()[0])
        first, second = (
            [x.model.num_particles for x in fitted_particles(self.aligned.model, each)]
            for each in (fit, own)
        )
        return first, second


def likeliest(candidates: Sequence[Candidate], handed: HandedIn) -> Candidate:
    """Return the first reading that losses do not reject, or the likeliest without a mistake.

    A history whose rows are equal is one that was kept without copies unless its losses are
    certainly those of another mistake. A number of particles that nobody said is the one that the
    losses' spread has, unless one particle and a mistake are the better account. A run on
    minibatches may have been evaluated on all of the data, unless a mistake is certain otherwise.
    """
    evaluated = candidates if handed.evaluations.size else ()
    of_all = [x.of_all_data() for x in evaluated if x.reading.model.batch is not None]
    enough = handed.losses.size + handed.evaluations.size >= _FEWEST
    open_number = enough and handed.num_particles is None and handed.order_said
    open_number = open_number and handed.loss.name != "renyi"
    if len(candidates) == 1 and not (of_all or open_number):
        return candidates[0]
    rejected, others = list[Candidate](), list[Candidate]()
    for one in candidates:
        if one.aligned is None:
            return candidates[0]
        if one.is_stale and rejected and rejected[-1].is_mistaken:
            continue
        if one.fits:
            return one
        rejected.append(one)
    for one in of_all:
        if one.fits:
            return one
    if of_all and not any(one.is_mistaken for one in rejected):
        rejected += of_all
    for one in rejected if open_number else ():
        of_mean, of_own_mean = one.numbers_of_particles()
        for number in of_mean:
            other = one.of_particles(number)
            if other.fits:
                return one if one.is_mistaken else other
        others += [one.of_particles(number, _OF_NUMBER) for number in of_own_mean[:1]]
    possible = [*rejected, *others]
    return possible[0] if len(possible) == 1 else min(possible, key=lambda x: x.cost)


def reading_by_letters(
    handed: HandedIn,
    unknown: UnknownRoleError,
    optimizer: Adam | ClippedAdam | None,
    rng: Rng,
    *,
    fitting: bool,
) -> Candidate | None:
    """Take a and b for concentrations, in the order that the losses fit; None if neither is it.

    Unless it must be `fitting`, the order is taken in which a mistake explains the losses best.
    """
    found = []
    for reading, listed in _by_letters(handed, unknown, rng):
        one, words = Candidate(reading, handed, optimizer, rng), f"{listed} were taken"
        if one.aligned is None:
            return None
        if one.fits:
            return one.noted("names", f"{words}: the losses fit so")
        found.append(one.noted("names", f"{words}, as no order fits the losses better"))
    return None if fitting or not found else likeliest(found, handed)


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
