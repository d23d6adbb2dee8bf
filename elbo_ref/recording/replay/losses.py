"""The losses of a run beside those of its draws, and the mistake that explains a difference.

A loss follows from its step's draws but for rounding (`elbo_ref.crosscheck.given_draws`). So a
mistake is recognised by a loss model that gives *every* step within that: one of those which the
mistakes of `elbo_ref.crosscheck.mistakes` make of the run's own, without a number that is open, or
with one that is the same in all steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.alignment import evenly
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants
from elbo_ref.crosscheck.given_draws import Draws, losses_given
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.mistakes import MISTAKES, closed_form_hypotheses, fitted_hypotheses
from elbo_ref.crosscheck.variants import Fit, Hypothesis, other_meanings
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.objectives import OBJECTIVES
from elbo_ref.recording.replay.comparison import Comparison
from elbo_ref.recording.replay.trace import LOSSES, ReplayTrace

_FITTED = (
    "normalised_loss",
    "unexplained_constant",
    "subsample_unscaled",
    "subsample_scaled_twice",
    "likelihood_weight",
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

_SCREENED = 8
"""Losses that a hypothesis is tried on before all others."""
_FEWEST, _MOST = 4, 20_000
"""Losses that a number is fitted to, and their draws."""


def invisible(trace: ReplayTrace) -> tuple[str, ...]:
    """List mistakes that these losses could not have shown."""
    return _FITTED if trace.recording.num_steps == 1 else ()


class Explanation(NamedTuple):
    """Findings about the losses, and what the gradients are then to be compared with."""

    findings: tuple[Finding, ...]
    trace: ReplayTrace
    explained: bool = True


def explain_losses(trace: ReplayTrace) -> Explanation:
    """Compare every loss, and name the mistake if they are others."""
    if trace.loss not in LOSSES.values():
        reason = f"loss {trace.loss} does not follow from the draws by a formula known here"
        return _untested(trace, reason)
    given = _compared(trace, trace.model)
    if given.agree:
        return Explanation((_agreement(given),), trace)
    for meant in _meanings(trace.model):
        compared = _compared(trace, meant)
        if compared.agree:
            notes = _notes(trace.model, meant)
            return Explanation((_agreement(compared), *notes), trace.under(meant))
    where = given.first()
    words = f"loss at step {where[0]}"
    for x in _mistakes(trace):
        if _compared(trace, x.model).agree:
            reason = f"{MISTAKES[x.name].meaning}, in all steps: {x.variant}"
            finding = given.finding(x.name, words, where, reason, "mistake")
            explained = x.name != "latent_not_in_guide"
            if not explained and trace.recording.sites("guide"):
                lacking = (
                    "they lack the density of the guide, which samples the latent: is it masked?"
                )
                finding = finding._replace(name="loss_mismatch", reason=lacking)
            return Explanation((finding,), trace.under(x.model), explained)
    vectors = [x["name"] for x in trace.recording.sites("guide") if x["name"].startswith("_")]
    if trace.model.renyi and trace.num_latents > 1 and vectors:
        reason = (
            f"{vectors[0]} is in no plate: Pyro takes all of its density from the weight of each "
            "latent, which is no bound of theirs"
        )
        return _untested(trace, reason)
    count = int(given.off.sum())
    reason = f"{count} of {given.theirs.size} losses depart, and no known mistake gives them"
    finding = given.finding("loss_mismatch", words, where, reason, "mistake")
    return Explanation((finding,), trace, explained=count < given.theirs.size)


def _untested(trace: ReplayTrace, reason: str) -> Explanation:
    finding = Finding("losses", "the losses", reason=reason, status="untested")
    return Explanation((finding,), trace, explained=False)


def _compared(trace: ReplayTrace, model: LossModel) -> Comparison:
    """Compare the losses with those of a model at the draws; a few of them first."""
    theirs = trace.recording.losses
    some = evenly(theirs.size, _SCREENED)
    if model is not trace.model and some.size < theirs.size:
        few = Comparison(theirs[some], *losses_given(model.at(some), trace.draws.at(some)))
        if not few.agree:
            return few
    return Comparison(theirs, *losses_given(model, trace.draws))


def _agreement(compared: Comparison) -> Finding:
    (worst,) = compared.farthest()
    words = f"all {compared.theirs.size} losses, the farthest at step {worst}:"
    return compared.finding("losses", words, (worst,), "rounding of the terms", "agrees")


def _meanings(given: LossModel) -> list[LossModel]:
    """List the other meanings of a model, and all of them without the binomial coefficients.

    Where a framework knows no divergence of a guide's class from the prior's, as of a Beta from an
    AffineBeta, TraceMeanField_ELBO takes the difference of the log densities at the draws.
    """
    meant = [given, *(x.model for x in other_meanings(given) if x.model.coefficients)]
    if given.loss.name == "trace_mean_field" and given.guide.source is BETA:
        meant.append(given._replace(loss=OBJECTIVES["trace"]))
    bare = [model._replace(coefficients=False) for model in meant]
    by_hand = [model._replace(likelihood="by_hand") for model in bare]
    return [*meant[1:], *bare, *by_hand]


def _notes(given: LossModel, meant: LossModel) -> tuple[Finding, ...]:
    """Note coefficients that are missing."""
    if meant.coefficients:
        return ()
    missing = number(float(np.sum(given.term_scale * given.rows.log_coefficient[0])))
    words = f"the losses lack the log binomial coefficients, {missing}: single trials do"
    return (Finding("coefficients", words, status="note"),)


def _mistakes(trace: ReplayTrace) -> Iterator[Hypothesis]:
    """Yield the hypotheses that these draws can be held against, those without a number first."""
    model, draws, theirs = trace.model, trace.draws, trace.recording.losses

    def comparable(x: Hypothesis) -> bool:
        other = x.model
        same = (other.batch, other.added) == (model.batch, model.added) and other.observed
        return same and len(other.counts) == trace.num_latents

    yield from filter(comparable, closed_form_hypotheses(model))
    if theirs.size > 1 and np.all(np.isfinite(theirs)):
        some = evenly(theirs.size, max(_FEWEST, _MOST // draws.c[0].size))
        few = model.at(some)
        for x in filter(
            comparable, fitted_hypotheses(few, _fit(few, draws.at(some), theirs[some]))
        ):
            of_all = x.model._replace(
                prior=model.prior,
                guide_parameters=model.guide_parameters,
                seen=x.model.seen and model.seen,
            )
            yield x._replace(model=of_all)


def _fit(model: LossModel, draws: Draws, theirs: FloatArray) -> Fit:
    """Losses to which numbers are fitted, beside those of a model at their draws."""
    values, allowance = losses_given(model, draws)
    none = np.zeros_like(values)
    exactly = GammaCumulants(values, none, none)
    variance = np.maximum(allowance, 1e-300) ** 2
    return Fit(theirs, exactly, variance, lambda other: losses_given(other, draws).values)
