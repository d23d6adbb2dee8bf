"""`diagnose`: the oracle's view of a run, as numbers, a sentence and a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from elbo_ref._format.documents import Document, Documented, document, put
from elbo_ref._format.numbers import number, pair
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.sentences import diagnosis as sentences
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray, check_type, underflow_is_zero
from elbo_ref.diagnostics.point import PointDiagnosis
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.posterior_table import PosteriorTable
from elbo_ref.guides.constraints import find_constraint
from elbo_ref.mle.binomial import as_totals
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact
from elbo_ref.svi.convergence import ARRIVED, NoiseFloor
from elbo_ref.svi.optimizers import Optimizer
from elbo_ref.svi.parameters import ParameterVector
from elbo_ref.svi.result import Run

_MOST_WORK = 500_000
"""Steps times latents that `Diagnosis.steps_needed` may take: some seconds."""
_TOGETHER = 250
"""Steps whose values are worked out at once."""


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class Diagnosis(PointDiagnosis, Documented, Tabular):
    """The oracle's view of a run; made by `diagnose`.

    Beside what `PointDiagnosis` has there are the run and the steps of its exact path.

    Attributes
    ----------
    point : Run
        The run; also `run`.
    """

    point: Run
    most_steps: ClassVar[int] = 10_000
    """Steps of an exact path after which nothing is waited for."""

    @property
    def run(self) -> Run:
        """The run that is diagnosed."""
        return self.point

    @property
    def floor(self) -> NoiseFloor | None:
        """The noise floor that the run may be at; None if it was thrown out of range."""
        return None if self.run.stopped == "unbounded" else self.run.floor

    @property
    def arrived(self) -> bool:
        """True if the run is at a maximum of its objective, or within 1e-3 nats of the supremum."""
        return self.run.stopped == "converged" or bool(self.shortfall <= ARRIVED)

    @cached_property
    def passes_at(self) -> int | None:
        """The step at which the exact path of an unbounded empty guide passes the evidence.

        From the run's start with its optimizer; None if it is not above the evidence's supremum
        within 10,000 steps.
        """
        if self.optimum.maximised != "expected_log_likelihood_less_entropy":
            return None
        if not np.isinf(self.optimum.value):
            return None
        run = self.run
        pooled, offset = as_totals(run.counts)  # all that the objective knows of the counts (E7)
        task, nothing = Task(self.family, pooled), np.zeros((0, len(pooled)))
        positive = find_constraint(run.config.constraint)
        path = ParameterVector(task, run.start, run.learn_prior, nothing, positive)
        height = self.supremum.log_evidence - offset
        return _steps_until_above(path, path.start, run.config.optimizer, height, self.most_steps)

    @cached_property
    def steps_needed(self) -> int | None:
        """The number of steps more that a run which has not converged would need.

        With the same optimizer, started anew, on the exact gradient: until it is within 1e-3 nats
        of its maximum, or at its noise floor. None in any other case, for a run that is within its
        floor and cannot go on, or if it takes more than 10,000 steps, fewer for more than 50
        latents.
        """
        if self.case != "not_converged":
            return None
        run = self.run
        near = self.optimum.value - max(ARRIVED, run.noise_floor or 0.0)
        most = min(self.most_steps, _MOST_WORK // len(run.counts))
        at = run.state.vector
        steps = _steps_until_above(run.config.parameters, at, run.config.optimizer, near, most)
        return steps or None

    @cached_property
    def posterior(self) -> PosteriorTable | None:
        """The exact posterior of each latent under the prior reached; None without a prior."""
        return None if self.log_evidence is None else self.run.posterior_table()

    @cached_property
    def sentence(self) -> str:
        """The run's objective, its optimum, and how far the run has come, in English."""
        return sentences.diagnosis(self)

    def body(self) -> Document:
        """Return the part of `to_dict` that is about this run alone."""
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
        empty = self.family.origin == "prior" and not self.family.is_elbo
        late = f"not within {self.most_steps} steps"
        never = late if empty else "a question for an empty guide only"
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
        put(body, "objective_supremum", self.optimum.value, unbounded)
        put(body, "shortfall", self.shortfall, unbounded)
        no_floor = "not known for this loss" if self.optimum.attained else "there is no maximum"
        put(body, "noise_floor", self.run.noise_floor, no_floor)
        put(body, "passes_at", self.passes_at, never)
        table = self.posterior
        put(body, "posterior", None if table is None else table.to_dict(), no_prior)
        return body

    def to_dict(self) -> Document:
        """Return the diagnosis as a document of plain values; see docs/results.md."""
        return {**document("diagnosis"), "counts": self.run.counts.to_dict(), **self.body()}

    def summary(self) -> str:
        """Format the run in a few lines of text."""
        lines = [
            f"guide {self.run.guide_name}: {self.sentence}.",
            f"  run: {self.run.message}",
            f"  case: {self.case.replace('_', ' ')}{sentences.remaining(self)}",
            f"  prior reached: {self.run.prior}",
            f"  objective: {self.objective:.9g}",
        ]
        if self.log_evidence is not None:
            lines.append(f"  log evidence there: {self.log_evidence:.9g}")
        if self.gap is not None:
            lines.append(f"  gap KL(guide || posterior): {self.gap:.6g}")
        if self.elbo is not None and self.optimum.maximised == "elbo_normal_without_jacobian":
            above = number(self.objective - self.elbo)
            lines.append(f"  ELBO there: {self.elbo:.9g}; the objective is {above} above it")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"Diagnosis(log_evidence={self.log_evidence!r}, gap={self.gap!r}, "
            f"objective={self.objective!r}, optimum={self.optimum.value!r}, case={self.case!r})"
        )

    def table(self) -> Table:
        """Lay out the exact numbers at the end of the run, nats, by name."""
        names = ("objective", "elbo", "gap", "log_evidence", "distance", "shortfall", "noise_floor")
        values = [getattr(self.run if x == "noise_floor" else self, x) for x in names]
        return Table([Column(names, "quantity", "quantity"), Column(values, "value", "value")])

    def blocks(self) -> Sequence[Block]:
        """Return what the summary says, and what the run shows."""
        return [self.summary(), *self.run.blocks()]


@underflow_is_zero
def diagnose(run: Run) -> Diagnosis:
    """Hold a run against the evidence and against the optimum of its own objective.

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

    See Also
    --------
    elbo_ref.cross_check : the same for somebody's parameters.

    Notes
    -----
    Numbers are worked out when they are first asked for. The gap is KL(guide || posterior), the
    evidence less the ELBO (E4).

    Examples
    --------
    >>> from elbo_ref import Adam, Counts, maximize_elbo
    >>> counts = Counts([0, 1, 2], 2, multiplicity=[40, 30, 50])
    >>> run = maximize_elbo(counts, loss="exact", optimizer=Adam(lr=0.1), num_steps=50)
    >>> diagnose(run).case
    'not_converged'
    >>> print(diagnose(run).sentence)  # doctest: +NORMALIZE_WHITESPACE
    maximises an ELBO, not converged: 0.10541 nats below the evidence's maximum -129.31
    (Beta(0.5493, 0.46479))
    """
    check_type("run", run, Run)
    return Diagnosis(run)


def _steps_until_above(
    parameters: ParameterVector, start: FloatArray, optimizer: Optimizer, height: float, most: int
) -> int | None:
    """Count the steps from a vector of parameters, along exact gradients, to above a height.

    None if that takes `most` steps, or if a parameter leaves its range before.
    """
    vector, state = start, optimizer.init(start)
    with np.errstate(all="ignore"):
        for first in range(0, most, _TOGETHER):
            vectors: list[FloatArray] = []
            while (
                len(vectors) < min(_TOGETHER, most - first) and parameters.outside(vector) is None
            ):
                vectors.append(vector)
                gradient = parameters.exact_gradient(vector)
                vector, state = optimizer.update(state, vector, -gradient)
            if not vectors:
                return None
            priors, param_rows = parameters.split_rows(np.array(vectors))
            values = Exact().rest(parameters.task, Beta(*priors), param_rows)
            above = np.flatnonzero(values > height)
            if above.size:
                return first + int(above[0])
    return None
