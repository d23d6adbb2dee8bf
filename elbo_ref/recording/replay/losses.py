"""Are these the losses of these draws? If not, of what?

A loss follows from its step's draws but for rounding: 4 eps of the sum of all that its terms are
made of, without signs, and in float64 1e-10 of the terms themselves, the log densities of the
sites. So a mistake is recognised by a rival formula that reproduces *every* step within that: one
without a free number (another sign, concentrations exchanged, no guide), one with a number that is
the same in all steps (a factor, a constant, a scale of the likelihood), or one with two (other
total counts: the sum of log(1 - c) times how many more trials, and a constant).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.replay.comparison import Comparison
from elbo_ref.recording.replay.program import Columns, bare
from elbo_ref.recording.replay.trace import PLAYED, Tape

_FITTED = (
    "normalised_loss",
    "unexplained_constant",
    "subsample_unscaled",
    "subsample_scaled_twice",
    "wrong_total_count",
)
"""What takes more than one loss to see."""

_COUNTED = ("Binomial", "Bernoulli", "Delta", "Unit")
"""What may be observed: the data, what is computed, and a factor, which is a site as well."""

RULED_OUT = (
    "wrong_sign",
    "swapped_concentrations",
    "latent_not_in_guide",
    "missing_coefficients",
    *_FITTED,
    "loss_mismatch",
)


def blind(tape: Tape) -> tuple[str, ...]:
    """What these losses could not have shown."""
    names = () if np.any(tape.log_coefficient) else ("missing_coefficients",)
    return names + (_FITTED if tape.recording.num_steps == 1 else ())


class Sums(NamedTuple):
    """The terms of the loss of each step, (T,), averaged over particles, summed over latents."""

    likelihood: FloatArray
    coefficients: FloatArray
    prior: FloatArray
    own: FloatArray
    whole: FloatArray
    """The sum of the log densities of all sites without their signs."""
    size: FloatArray
    """The same of all that they are made of."""
    rest: FloatArray
    """The sum of log(1 - c)."""
    excess: FloatArray
    """What a bound is above the mean of the particles."""

    @classmethod
    def of(cls, tape: Tape) -> Sums:
        """What Pyro computes of the draws of a tape."""

        def look(columns: Columns) -> FloatArray:
            terms = tape.program.terms(columns)
            rest = np.log1p(-columns.c.astype(np.float64))
            values = [term.value for term in terms]
            whole = np.abs(values[0] + values[1]) + np.abs(values[2]) + np.abs(values[3])
            rows = columns.mean(np.array([*values, whole, terms.size, rest]))
            return np.concatenate((rows, np.broadcast_to(columns.excess, (1, rows.shape[1]))))

        return cls(*(tape.scale * tape.over_steps(look).sum(axis=-1)))

    def allowance(self, dtype: str) -> FloatArray:
        """How far a loss may be from ours."""
        rounding = 4 * np.finfo(dtype).eps * self.size
        return np.asarray(rounding if dtype == "float32" else rounding + 1e-10 * self.whole)

    def loss(self, likelihood: float = 1.0) -> FloatArray:
        """As ``svi.step`` returns it, the likelihood scaled."""
        data = likelihood * (self.likelihood + self.coefficients)
        return self.own - self.prior - data - self.excess


class Rival(NamedTuple):
    """A formula for the losses that may be theirs."""

    name: str
    reason: str
    losses: FloatArray
    sums: Sums
    tape: Tape
    likelihood: float = 1.0
    factor: float = 1.0

    @property
    def allowance(self) -> FloatArray:
        """How far theirs may be from them."""
        times = max(1.0, abs(self.factor), self.likelihood)
        return times * self.sums.allowance(self.tape.program.dtype)


class Judged(NamedTuple):
    """What became of the losses, and what the gradients are then to be compared with."""

    findings: tuple[Finding, ...]
    tape: Tape
    likelihood: float = 1.0
    factor: float = 1.0
    explained: bool = True


def judge_losses(tape: Tape) -> Judged:
    """Compare every loss, and name the mistake if they are others."""
    if tape.loss not in PLAYED:
        reason = f"loss {tape.loss} does not follow from the draws by a formula known here"
        return Judged((_untested(reason),), tape, explained=False)
    strange = [
        f"{site['name']!r} from a {site['class']}"
        for site in tape.recording.sites("model", observed=True)
        if site["class"] not in _COUNTED
    ]
    if strange:
        reason = f"the model observes {', '.join(strange)} too"
        return Judged((_untested(reason),), tape, explained=False)
    tried = []
    for form in _forms(tape):
        tried.append((form, Sums.of(form)))
        found = _compared(*tried[-1])
        if found.agree:
            (worst,) = found.farthest()
            words = f"all {tape.recording.num_steps} losses, the farthest at step {worst}:"
            finding = found.finding("losses", words, (worst,), "rounding of the terms", "agrees")
            return Judged((finding,), form)
    found = _compared(*tried[0])
    where = found.first()
    words = f"loss at step {where[0]}"
    for form, sums in tried:
        for rival in _rivals(form, sums):
            if Comparison(found.theirs, rival.losses, rival.allowance).agree:
                finding = found.finding(rival.name, words, where, rival.reason, "mistake")
                explained = rival.name != "latent_not_in_guide"
                return Judged((finding,), rival.tape, rival.likelihood, rival.factor, explained)
    if len(tried) > 1 and "vector" in tape.recording.header:
        reason = (
            f"{tape.recording.header['vector']} is in no plate: Pyro takes all of its density "
            "from the weight of each latent, which is no bound of theirs"
        )
        return Judged((_untested(reason),), tape, explained=False)
    count = int(found.off.sum())
    reason = f"{count} of {found.theirs.size} losses depart, and no known mistake gives them"
    finding = found.finding("loss_mismatch", words, where, reason, "mistake")
    return Judged((finding,), tape, explained=count < found.theirs.size)


def _forms(tape: Tape) -> Iterator[Tape]:
    """The ways in which a Renyi bound may have been taken; of other losses there is one."""
    yield tape
    if tape.bound is not None and tape.num_latents > 1:
        yield replace(tape, bound=tape.bound._replace(together=True))


def _compared(tape: Tape, sums: Sums) -> Comparison:
    return Comparison(tape.recording.losses, sums.loss(), sums.allowance(tape.program.dtype))


def _untested(reason: str) -> Finding:
    return Finding("losses", "the losses", None, None, None, reason, "untested")


def _rivals(tape: Tape, sums: Sums) -> Iterator[Rival]:
    """Simplest first."""
    theirs, ours = tape.recording.losses, sums.loss()
    yield Rival("wrong_sign", "minus these are the losses", -ours, sums, tape, factor=-1.0)
    if tape.batch is not None:
        for name, power, what in (
            ("subsample_unscaled", 0, "not scaled by"),
            ("subsample_scaled_twice", 2, "scaled twice by"),
        ):
            other = replace(tape, power=power)
            reason = f"they are those of minibatches that are {what} {number(tape.batch.scale)}"
            of_other = Sums.of(other)
            yield Rival(name, reason, of_other.loss(), of_other, other)
    if np.any(sums.coefficients):
        yield Rival(
            "missing_coefficients",
            f"they lack the log coefficients, {number(sums.coefficients[0])} in all",
            ours + sums.coefficients,
            sums,
            tape,
        )
        written = replace(tape, program=replace(tape.program, likelihood=bare))
        by_hand = Sums.of(written)
        yield Rival(
            "missing_coefficients",
            "they are those of k log c + (n - k) log(1 - c), where no draw is clamped",
            by_hand.loss() + sums.coefficients,
            by_hand,
            written,
        )
    yield from _swaps(tape)
    if np.any(sums.own):
        yield Rival(
            "latent_not_in_guide",
            "the guide's density is not subtracted in them",
            ours - sums.own,
            sums,
            tape,
        )
    if theirs.size > 1:
        yield from _fitted(tape, sums)


def _swaps(tape: Tape) -> Iterator[Rival]:
    own = tape.guide.name in ("beta", "beta_shared")
    for prior, guide in ((True, False), (False, True), (True, True)):
        if guide and not own:
            continue
        whose = "both" if prior and guide else "the prior" if prior else "the guide"
        other = tape.swapped(prior, guide)
        sums = Sums.of(other)
        yield Rival(
            "swapped_concentrations",
            f"they are those with concentration1 and concentration0 of {whose} exchanged",
            sums.loss(),
            sums,
            other,
        )


def _fitted(tape: Tape, sums: Sums) -> Iterator[Rival]:
    """With numbers that all steps share, by least squares."""
    theirs, ours = tape.recording.losses, sums.loss()
    if not np.all(np.isfinite(theirs)):
        return
    factor = float(theirs @ ours / (ours @ ours))
    if factor:
        reason = f"they are ours times {number(factor)}, divided by {number(1 / factor)}"
        yield Rival("normalised_loss", reason, factor * ours, sums, tape, factor=factor)
    data = sums.likelihood + sums.coefficients
    scale = float((theirs - sums.loss(0.0)) @ -data / (data @ data))
    if scale > 0:
        name = "subsample_unscaled" if scale < 1 else "subsample_scaled_twice"
        reason = f"they have the likelihood times {number(scale)}"
        yield Rival(name, reason, sums.loss(scale), sums, tape, likelihood=scale)
    constant = float(np.median(theirs - ours))
    reason = f"they are ours plus {number(constant)}"
    yield Rival("unexplained_constant", reason, ours + constant, sums, tape)
    if theirs.size > 3:
        basis = np.array((sums.rest, np.ones_like(ours))).T
        (slope, shift), *_ = np.linalg.lstsq(basis, theirs - ours, rcond=None)
        reason = f"they have {number(-slope)} more trials for each latent"
        more = replace(tape, outcomes=tape.outcomes - [[[0.0]], [[slope]]])
        yield Rival("wrong_total_count", reason, ours + basis @ (slope, shift), sums, more)
