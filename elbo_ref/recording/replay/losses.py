"""The losses of a run beside those of its draws, and the mistake that explains a difference.

A loss follows from its step's draws but for rounding: 4 eps of the sum of all that its terms are
made of, without signs, and in float64 1e-10 of the terms themselves, the log densities of the
sites. So a mistake is recognised by a hypothesis that reproduces *every* step within that: one
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
from elbo_ref.recording.replay.program import Columns, unclamped
from elbo_ref.recording.replay.trace import LOSSES, ReplayTrace
from elbo_ref.svi.parameters import NAMES

_FITTED = (
    "normalised_loss",
    "unexplained_constant",
    "subsample_unscaled",
    "subsample_scaled_twice",
    "wrong_total_count",
)
"""Mistakes that take more than one loss to see."""

RULED_OUT = (
    "wrong_sign",
    "swapped_concentrations",
    "latent_not_in_guide",
    *_FITTED,
    "loss_mismatch",
)


def invisible(trace: ReplayTrace) -> tuple[str, ...]:
    """List mistakes that these losses could not have shown."""
    return _FITTED if trace.recording.num_steps == 1 else ()


class Sums(NamedTuple):
    """The terms of the loss of each step, (T,), averaged over particles, summed over latents.

    Attributes
    ----------
    likelihood, coefficients, prior, guide : array, (T,)
    density_magnitude : array, (T,)
        The sum of the log densities of all sites without their signs.
    magnitude : array, (T,)
        The same of all that they are made of.
    log_failure : array, (T,)
        The sum of log(1 - c).
    excess : array, (T,)
        A Renyi bound less the mean of the particles.
    """

    likelihood: FloatArray
    coefficients: FloatArray
    prior: FloatArray
    guide: FloatArray
    density_magnitude: FloatArray
    magnitude: FloatArray
    log_failure: FloatArray
    excess: FloatArray

    @classmethod
    def of(cls, trace: ReplayTrace) -> Sums:
        """Compute them as Pyro does from the draws of a trace."""

        def evaluate(columns: Columns) -> FloatArray:
            terms = trace.program.terms(columns)
            log_failure = np.log1p(-columns.c.astype(np.float64))
            values = [term.value for term in terms]
            densities = np.abs(values[0] + values[1]) + np.abs(values[2]) + np.abs(values[3])
            rows = columns.mean(np.array([*values, densities, terms.magnitude, log_failure]))
            return np.concatenate((rows, np.broadcast_to(columns.excess, (1, rows.shape[1]))))

        return cls(*(trace.scale * trace.over_steps(evaluate).sum(axis=-1)))

    def loss(self, likelihood: float = 1.0) -> FloatArray:
        """Add them up to the losses that ``svi.step`` returns, the likelihood scaled."""
        data = likelihood * (self.likelihood + self.coefficients)
        return self.guide - self.prior - data - self.excess

    def allowance(self, dtype: str) -> FloatArray:
        """Bound the rounding of the losses."""
        rounding = 4 * np.finfo(dtype).eps * self.magnitude
        return np.asarray(
            rounding if dtype == "float32" else rounding + 1e-10 * self.density_magnitude
        )


class Explanation(NamedTuple):
    """Findings about the losses, and what the gradients are then to be compared with."""

    findings: tuple[Finding, ...]
    trace: ReplayTrace
    likelihood: float = 1.0
    factor: float = 1.0
    explained: bool = True


class Hypothesis(NamedTuple):
    """A formula for the losses that may be theirs, and the mistake that it comes from."""

    name: str
    reason: str
    losses: FloatArray
    sums: Sums
    trace: ReplayTrace
    likelihood: float = 1.0
    factor: float = 1.0

    def agrees(self, theirs: FloatArray) -> bool:
        """Tell whether it gives every loss to within rounding."""
        times = max(1.0, abs(self.factor), self.likelihood)
        allowance = times * self.sums.allowance(self.trace.program.dtype)
        return Comparison(theirs, self.losses, allowance).agree


def explain_losses(trace: ReplayTrace) -> Explanation:
    """Compare every loss, and name the mistake if they are others."""
    recording = trace.recording
    if trace.loss not in LOSSES.values():
        reason = f"loss {trace.loss} does not follow from the draws by a formula known here"
        return _untested(trace, reason)
    forms, comparisons = [], []
    for form in _forms(trace):
        sums = Sums.of(form)
        compared = Comparison(recording.losses, sums.loss(), sums.allowance(form.program.dtype))
        if compared.agree:
            (worst,) = compared.farthest()
            words = f"all {recording.num_steps} losses, the farthest at step {worst}:"
            reason = "rounding of the terms"
            finding = compared.finding("losses", words, (worst,), reason, "agrees")
            return Explanation((finding,), form)
        forms.append((form, sums))
        comparisons.append(compared)
    compared = comparisons[0]
    where = compared.first()
    words = f"loss at step {where[0]}"
    for form, sums in forms:
        bare = _without_coefficients(form, sums)
        if bare is not None:
            return bare
        for its in _hypotheses(form, sums):
            if its.agrees(recording.losses):
                finding = compared.finding(its.name, words, where, its.reason, "mistake")
                explained = its.name != "latent_not_in_guide"
                return Explanation((finding,), its.trace, its.likelihood, its.factor, explained)
    vectors = [x["name"] for x in recording.sites("guide") if x["name"].startswith("_")]
    if len(forms) > 1 and vectors:
        reason = (
            f"{vectors[0]} is in no plate: Pyro takes all of its density from the weight of each "
            "latent, which is no bound of theirs"
        )
        return _untested(trace, reason)
    count = int(compared.off.sum())
    reason = f"{count} of {compared.theirs.size} losses depart, and no known mistake gives them"
    finding = compared.finding("loss_mismatch", words, where, reason, "mistake")
    return Explanation((finding,), trace, explained=count < compared.theirs.size)


def _untested(trace: ReplayTrace, reason: str) -> Explanation:
    finding = Finding("losses", "the losses", reason=reason, status="untested")
    return Explanation((finding,), trace, explained=False)


def _forms(trace: ReplayTrace) -> Iterator[ReplayTrace]:
    """Yield the ways in which a Renyi bound may have been taken; other losses have one."""
    yield trace
    if trace.bound is not None and trace.num_latents > 1:
        yield replace(trace, bound=trace.bound._replace(together=True))


def _hypotheses(trace: ReplayTrace, sums: Sums) -> Iterator[Hypothesis]:
    """Yield the hypotheses, simplest first."""
    theirs, ours = trace.recording.losses, sums.loss()
    yield Hypothesis("wrong_sign", "minus these are the losses", -ours, sums, trace, factor=-1.0)
    for reason, variant in _swapped(trace):
        of_variant = Sums.of(variant)
        name = "swapped_concentrations"
        yield Hypothesis(name, reason, of_variant.loss(), of_variant, variant)
    if np.any(sums.guide):
        reason = "the guide's density is not subtracted in them"
        yield Hypothesis("latent_not_in_guide", reason, ours - sums.guide, sums, trace)
    if theirs.size > 1 and np.all(np.isfinite(theirs)):
        yield from _fitted(trace, sums)


def _without_coefficients(trace: ReplayTrace, sums: Sums) -> Explanation | None:
    """Explain losses that lack the log binomial coefficients, which no parameter feels."""
    theirs = trace.recording.losses
    for likelihood in (trace.program.likelihood, unclamped) if np.any(sums.coefficients) else ():
        other = replace(trace, program=replace(trace.program, likelihood=likelihood))
        its = sums if other.program == trace.program else Sums.of(other)
        allowance = its.allowance(trace.program.dtype)
        compared = Comparison(theirs, its.loss() + its.coefficients, allowance)
        if compared.agree:
            (worst,) = compared.farthest()
            words = f"all {theirs.size} losses, the farthest at step {worst}:"
            missing = number(its.coefficients[0])
            note = f"the losses lack the log binomial coefficients, {missing}: single trials do"
            return Explanation(
                (
                    compared.finding("losses", words, (worst,), "rounding of the terms", "agrees"),
                    Finding("coefficients", note, status="note"),
                ),
                other,
            )
    return None


def _swapped(trace: ReplayTrace) -> Iterator[tuple[str, ReplayTrace]]:
    """Yield traces with concentrations exchanged, and in words which."""
    swaps = {"the prior": ("prior",), "the guide": ("guide",), "both": ("prior", "guide")}
    for whose, owners in swaps.items():
        if "guide" not in owners or trace.guide.parameter_names == NAMES:
            reason = f"they are those with concentration1 and concentration0 of {whose} exchanged"
            yield reason, trace.swapped(*owners)


def _fitted(trace: ReplayTrace, sums: Sums) -> Iterator[Hypothesis]:
    """Yield hypotheses with numbers that all steps share, by least squares."""
    theirs, ours = trace.recording.losses, sums.loss()
    factor = float(theirs @ ours / (ours @ ours))
    if factor:
        reason = f"they are ours times {number(factor)}, divided by {number(1 / factor)}"
        yield Hypothesis("normalised_loss", reason, factor * ours, sums, trace, factor=factor)
    data = sums.likelihood + sums.coefficients
    scale = float((theirs - sums.loss(0.0)) @ -data / (data @ data))
    if scale > 0:
        name = "subsample_unscaled" if scale < 1 else "subsample_scaled_twice"
        reason = f"they have the likelihood times {number(scale)}"
        yield Hypothesis(name, reason, sums.loss(scale), sums, trace, likelihood=scale)
    constant = float(np.median(theirs - ours))
    reason = f"they are ours plus {number(constant)}"
    yield Hypothesis("unexplained_constant", reason, ours + constant, sums, trace)
    if theirs.size > 3:
        basis = np.array((sums.log_failure, np.ones_like(ours))).T
        slope = float(np.round(np.linalg.lstsq(basis, theirs - ours, rcond=None)[0][0]))
        shift = float(np.median(theirs - ours - slope * sums.log_failure))
        reason = f"they have {number(-slope)} more trials for each latent"
        rows = trace.data
        more = replace(trace, data=rows._replace(total_count=rows.total_count - slope))
        fitted = ours + basis @ (slope, shift)
        yield Hypothesis("wrong_total_count", reason, fitted, sums, more)
