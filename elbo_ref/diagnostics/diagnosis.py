"""What a run amounts to, seen by the oracle.

A run knows its own objective. Beside it stand the evidence of the prior it reached, the gap

    KL(guide || posterior) = evidence - ELBO                                                  (E4)

where its objective is an ELBO, the highest evidence that any prior has (`elbo_ref.mle.result`), and
the supremum of the run's own objective: for a Beta guide the evidence's; for a tied guide the
pooled binomial likelihood (E8); without a latent each row's own likelihood; for an empty guide
infinity (E7). From these follow the words.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from elbo_ref._format.documents import Document, document, put, to_json
from elbo_ref._format.numbers import number, pair
from elbo_ref._validation.arguments import check_type, underflow_is_zero
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.distributions.posterior_table import PosteriorTable
from elbo_ref.evidence import log_evidence, posterior
from elbo_ref.mle.result import EvidenceMaximum, maximize_evidence
from elbo_ref.mle.solve import as_totals, pooled_mean
from elbo_ref.objectives.exact import elbo
from elbo_ref.optima.by_objective import destination_under
from elbo_ref.optima.prior import Destination
from elbo_ref.svi.convergence import ARRIVED
from elbo_ref.svi.loop import Climb
from elbo_ref.svi.maximize import maximize_elbo
from elbo_ref.svi.parameters import NAMES
from elbo_ref.svi.result import Run

Case = Literal["converged", "climbing", "drifting", "unbounded", "noise floor"]

_PATIENCE = (500, 10_000)
_MOST_WORK = 500_000
"""Steps times latents that `Diagnosis.steps_needed` may take: some seconds."""


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The oracle's view of a run; made by `diagnose`.

    Attributes
    ----------
    run : Run
    supremum : EvidenceMaximum
        The highest evidence that any prior has, and where.
    log_evidence : float or None
        Of the prior reached; None where the model has no prior (``guide="none"``).
    gap : float or None
        KL(guide || posterior), in nats, summed over latents; None where the objective is not an
        ELBO.
    objective : float
        The run's own objective at the parameters reached, exactly.
    objective_supremum : float
        Its supremum over what the run may change; inf for an empty guide.
    passes_at : int or None
        For an empty guide: the step at which its exact path, from the same start with the same
        optimizer, is first above the supremum of the evidence; None if that takes more than
        10,000 steps.
    lead : Destination
        Where the objective is highest over what the run may change, or what it tends to.
    """

    run: Run = field(repr=False)
    supremum: EvidenceMaximum
    log_evidence: float | None
    gap: float | None
    objective: float
    objective_supremum: float
    passes_at: int | None
    lead: Destination

    @property
    def distance(self) -> float | None:
        """How far the evidence of the prior reached is below the highest, in nats."""
        return None if self.log_evidence is None else self.supremum.log_evidence - self.log_evidence

    @property
    def shortfall(self) -> float:
        """How far the objective is below its supremum, in nats."""
        return self.objective_supremum - self.objective

    @property
    def arrived(self) -> bool:
        """Whether the run is at a maximum of its objective, or within 1e-3 nats of the supremum."""
        return self.run.stopped == "converged" or bool(self.shortfall <= ARRIVED)

    @property
    def case(self) -> Case:
        """Which it is.

        ``"converged"``: at a maximum of its own exact objective, or within 1e-3 nats of the
        highest; ``"unbounded"``: there is none; ``"drifting"``: to a supremum that is not attained;
        ``"noise floor"``: as near its maximum as its learning rate and number of particles let it
        come (`Run.noise_floor`); ``"climbing"``: still on its way.
        """
        if np.isposinf(self.objective_supremum):
            return "unbounded"
        if self.run.stationarity.holds:
            return "converged"
        if not self.lead.attained and not np.isnan(self.objective_supremum):
            return "drifting"
        if self.shortfall <= ARRIVED:
            return "converged"
        floor = None if self.run.stopped == "unbounded" else self.run.floor
        return "noise floor" if floor and floor.allows(self.shortfall) else "climbing"

    @cached_property
    def steps_needed(self) -> int | None:
        """How many steps more a run that is still climbing would need.

        With the same optimizer, started anew, on the exact gradient: until it is within 1e-3 nats
        of its maximum, or at its noise floor. None in any other case, or if it takes more than
        10,000 steps, fewer for more than 50 latents.
        """
        if self.case != "climbing" or np.isnan(self.objective_supremum):
            return None
        run, setup = self.run, self.run.snapshot.setup
        vector = run.snapshot.now.vector
        own = vector[vector.size - setup.own.size :].reshape(setup.own.shape)
        path = Climb.start(
            setup._replace(loss="exact", prior=run.prior, own=own, subsample_size=None),
            np.random.default_rng(0),
        )
        near = self.objective_supremum - max(ARRIVED, run.noise_floor or 0.0)
        most = min(_PATIENCE[-1], _MOST_WORK // len(run.counts))
        for num_steps in (most // 20, most):
            path.climb(num_steps)
            above = np.flatnonzero(-path.trail().losses >= near)
            if above.size:
                return int(above[0])
        return None

    @property
    def sentence(self) -> str:
        """What the run maximises, where that leads, and how far it has come."""
        run, best = self.run, number(self.objective_supremum)
        if run.guide_name == "empty" and np.isinf(self.objective_supremum):
            height = f"the evidence's {height_in_words(self.supremum)}"
            passing = f"passes {height} at step {self.passes_at}"
            if self.passes_at is None:
                passing = f"does not pass {height} in up to {_PATIENCE[-1]} steps"
                if self.objective > self.supremum.log_evidence:
                    passing += ", but this run has"
            return (
                "maximises E_prior[log lik] - H(prior), not an ELBO and unbounded: its exact path "
                f"{passing}{self._early()}"
            )
        if np.isnan(self.objective_supremum):
            what = f"the expected loss of {run.loss_name} with guide {run.guide_name}"
            return f"maximises {what}, {self.lead.reason}; {run.message}"
        held = run.learn_prior is not True
        match run.guide_name:
            case "tied" if not held:
                what = "E_prior[log lik] (an ELBO, the prior its guide)"
                pooled = pooled_mean(run.counts)
                mle = "any c" if np.isnan(pooled) else f"c = {number(pooled)}"
                where = (
                    f"the pooled likelihood's supremum {best} (the classical MLE, {mle}, "
                    "in the limit)"
                )
            case "none":
                what = "the likelihood"
                where = f"its supremum {best} (the classical MLE, c = K/N)"
            case "beta" | "conjugate" | "conjugate_detached" if run.learn_prior:
                what = "an ELBO"
                where = f"the evidence's {height_in_words(self.supremum)} ({self.supremum.place})"
            case "beta" | "conjugate" | "conjugate_detached":
                what = "an ELBO under a fixed prior"
                where = f"its maximum {best}, the log evidence (at the posterior)"
            case _:
                what = {
                    "beta_shared": "an ELBO with one guide for all latents",
                    "normal": "the ELBO of a normal on the logit",
                    "delta": "the joint density of data and c",
                    "laplace": "the joint density of data and logit c",
                    "tied": "E_prior[log lik] (an ELBO, the prior its guide)",
                    "empty": "E_prior[log lik] - H(prior)",
                }[run.guide_name]
                if run.loss_name == "trace_mean_field" and run.guide_name in ("normal", "laplace"):
                    what += " without its Jacobian"
                if np.isinf(self.objective_supremum):
                    return f"maximises {what}: {self.lead.reason}{self._early()}"
                word = "maximum" if self.lead.attained else "supremum"
                where = f"its {word} {best} ({self.lead.place}): {self.lead.reason}"
        rounding = 1e-9 * max(1.0, abs(self.objective))
        below = f"{number(self.shortfall)} nats below" if self.shortfall > rounding else "at"
        return f"maximises {what}, {self._state()}: {below} {where}{self._early()}"

    def _early(self) -> str:
        ended = self.run.stopped in ("unbounded", "interrupted")
        return f"; {self.run.message}" if ended else ""

    def _state(self) -> str:
        if self.case == "noise floor":
            return "at its noise floor"
        if self.run.stationarity.holds:
            return "converged"
        if self.shortfall <= ARRIVED:
            return "practically there"
        return "far from converged" if self.shortfall > 1 else "not converged"

    @cached_property
    def posterior(self) -> PosteriorTable | None:
        """The exact posterior of each latent under the prior reached; None without a prior."""
        return None if self.log_evidence is None else self.run.posterior_table()

    def body(self) -> Document:
        """The part of `to_dict` that is about this run alone."""
        no_prior = "the model has no prior under this guide"
        supremum: Document = {
            "kind": self.supremum.kind,
            "attained": self.supremum.attained,
            "log_evidence": self.supremum.log_evidence,
        }
        prior = self.supremum.prior
        put(supremum, "mean", self.supremum.mean, "any prior")
        put(supremum, "prior", prior and pair(prior), "no single prior attains it")
        unbounded = "the objective has no upper bound, or none that is known"
        never = f"not within {_PATIENCE[-1]} steps"
        if self.run.guide_name != "empty":
            never = "a question for an empty guide only"
        body: Document = {
            "arrived": self.arrived,
            "case": self.case,
            "evidence_supremum": supremum,
            "run": self.run.body(),
            "sentence": self.sentence,
        }
        put(body, "objective", self.objective, "it leaves float64")
        put(body, "log_evidence", self.log_evidence, no_prior)
        put(body, "distance", self.distance, no_prior)
        put(body, "gap", self.gap, "the objective is not an ELBO")
        put(body, "objective_supremum", self.objective_supremum, unbounded)
        put(body, "shortfall", self.shortfall, unbounded)
        no_floor = "not known for this loss" if self.lead.attained else "there is no maximum"
        put(body, "noise_floor", self.run.noise_floor, no_floor)
        put(body, "passes_at", self.passes_at, never)
        table = self.posterior
        put(body, "posterior", None if table is None else table.to_dict(), no_prior)
        return body

    def to_dict(self) -> Document:
        """The diagnosis as a document of plain values; see docs/results.md."""
        return {**document("diagnosis"), "counts": self.run.counts.to_dict(), **self.body()}

    def to_json(self) -> str:
        """The same as text."""
        return to_json(self.to_dict())

    def summary(self) -> str:
        """The run in a few lines of text."""
        lines = [
            f"guide {self.run.guide_name}: {self.sentence}.",
            f"  run: {self.run.message}",
            f"  case: {self._case_in_words()}",
            f"  prior reached: {self.run.prior}",
            f"  objective: {self.objective:.9g}",
        ]
        if self.log_evidence is not None:
            lines.append(f"  log evidence there: {self.log_evidence:.9g}")
        if self.gap is not None:
            lines.append(f"  gap KL(guide || posterior): {self.gap:.6g}")
            elbo = (self.log_evidence or 0.0) - self.gap
            if self.run.guide_name == "normal" and self.run.loss_name == "trace_mean_field":
                above = number(self.objective - elbo)
                lines.append(f"  ELBO there: {elbo:.9g}; the objective is {above} above it")
        return "\n".join(lines)

    def _case_in_words(self) -> str:
        floor, needed = self.run.noise_floor, self.steps_needed
        noise = f" (noise floor {number(floor)} nats)" if floor else ""
        if self.case == "climbing" and needed is not None:
            return f"climbing, about {needed} exact steps from its maximum{noise}"
        return self.case + noise

    def _repr_html_(self) -> str:
        name, sentence = self.run.guide_name, html.escape(self.sentence)
        return f"<p><b>guide {name}</b>: {sentence}.</p>{self.run._repr_html_()}"


@underflow_is_zero
def diagnose(run: Run) -> Diagnosis:
    """Say what a run amounts to.

    Parameters
    ----------
    run : Run
        From `elbo_ref.maximize_elbo`.

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError
        If it is something else.

    Examples
    --------
    >>> from elbo_ref.optim import Adam
    >>> from elbo_ref.counts import Counts
    >>> counts = Counts([0, 1, 2], 2, multiplicity=[40, 30, 50])
    >>> run = maximize_elbo(counts, loss="exact", optimizer=Adam(lr=0.1), num_steps=50)
    >>> print(diagnose(run).sentence)  # doctest: +NORMALIZE_WHITESPACE
    maximises an ELBO, not converged: 0.10541 nats below the evidence's maximum -129.31
    (Beta(0.5493, 0.46479))
    """
    check_type("run", run, Run)
    held: dict[str, float] = {}
    learnable = "both" if run.learn_prior is True else run.learn_prior or "nothing"
    for name, value in zip(NAMES, run.start.arrays(), strict=True):
        if learnable in NAMES and name != learnable:
            held[name] = float(value)
    supremum = maximize_evidence(run.counts, held or None)
    evidence = None if run.guide_name == "none" else log_evidence(run.prior, run.counts)
    lead = destination_under(run.loss, run.guide_name, run.counts, run.start, learnable)
    unbounded = run.guide_name == "empty" and np.isinf(lead.value)
    return Diagnosis(
        run=run,
        supremum=supremum,
        log_evidence=evidence,
        gap=_gap(run, evidence),
        objective=run.objective,
        objective_supremum=lead.value,
        passes_at=_passes_at(run, supremum.log_evidence) if unbounded else None,
        lead=lead,
    )


def height_in_words(supremum: EvidenceMaximum) -> str:
    """``maximum -156.57`` or ``supremum 0``."""
    word = "maximum" if supremum.attained else "supremum"
    return f"{word} {number(supremum.log_evidence)}"


def _gap(run: Run, evidence: float | None) -> float | None:
    """KL(guide || posterior), where what is reached is a distribution of the latents."""
    weights = run.counts.multiplicity
    if isinstance(run.guide, Beta):
        return float(np.sum(weights * run.guide.kl(posterior(run.prior, run.counts))))
    if isinstance(run.guide, LogitNormal) and evidence is not None:
        return max(evidence - elbo(run.guide, run.prior, run.counts), 0.0)
    return None


def _passes_at(run: Run, height: float) -> int | None:
    """The step at which the exact path of an empty guide is above `height`.

    Its objective (E7) knows the counts through their totals only.
    """
    if run.loss_name == "exact" and (-run.losses > height).any():
        return int(np.argmax(-run.losses > height))
    pooled, offset = as_totals(run.counts)
    for num_steps in _PATIENCE:
        path = maximize_elbo(
            pooled,
            guide="empty",
            loss="exact",
            prior=run.start,
            learn_prior=run.learn_prior,
            optimizer=run.optimizer,
            num_steps=num_steps,
            constraint=run.constraint,
        )
        if path.stopped == "interrupted":
            raise KeyboardInterrupt
        above = np.flatnonzero(offset - path.losses > height)
        if above.size:
            return int(above[0])
    return None
