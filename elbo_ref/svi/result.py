"""`Run`: what an SVI run reached, how, and everything to go on from there.

A run knows only what it saw: its own parameters, its losses, its own objective. What the evidence
says of it is `elbo_ref.diagnostics.diagnosis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from elbo_ref._format.documents import Document, Documented, document, put
from elbo_ref._format.numbers import describe, number, pair
from elbo_ref._format.progress import progress_of
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.sentences import run as sentences
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray, count, scalar, underflow_is_zero
from elbo_ref._validation.values import by_value
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.distributions.point import Delta, Parameter
from elbo_ref.distributions.posterior_table import PosteriorTable, posterior_table
from elbo_ref.guides import GuideValue
from elbo_ref.objectives import Objective, find as find_objective
from elbo_ref.objectives.exact import Exact
from elbo_ref.svi.config import Config
from elbo_ref.svi.convergence import NoiseFloor, find_floor
from elbo_ref.svi.loop import Ended, History, State, advance_to, generator_of, joined, with_losses
from elbo_ref.svi.optimizers import rate_after
from elbo_ref.svi.parameters import NAMES, Learned
from elbo_ref.svi.stationarity import Stationarity, stationarity

Ending = Literal["completed", "unbounded", "interrupted"]
Stopped = Literal["completed", "converged", "unbounded", "interrupted"]


@by_value
class Average(NamedTuple):
    """An average of a run's rows: the prior, and a guide of the run's kind."""

    prior: Beta
    guide: GuideValue | None


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class Run(Documented, Tabular):
    """The result of `elbo_ref.maximize_elbo`.

    Attributes
    ----------
    prior : Beta
        The model-side concentrations reached (the ones given, where they are not learned).
    guide : Beta, LogitNormal, Delta, Parameter or None
        The guide reached; the prior itself for ``"tied"``, None for ``"empty"``.
    losses : ndarray, shape (steps,)
        As ``svi.step`` returns them: minus the objective at the parameters before each update.
    history : History
        The parameters of every step, ``steps + 1`` rows.
    num_steps : int
        The number of steps asked for.
    config : Config
        The settings: `learn_prior`, `optimizer`, `num_particles`, `subsample_size`, `constraint`,
        `seed` (None where a generator was given), ...
    state : State
        The state of the loop, for `resume` and `elbo_ref.svi.checkpoint`.
    vector : ndarray, shape (P,)
        The unconstrained parameters reached.
    guide_parameters : ndarray, shape (k, rows, G)
        The guide's constrained parameters at the rows ``history.guide_steps``.
    ended : int, "objective" or None
        What left its range, if the run ended early by itself: a parameter, by its place in
        `vector`, or the objective.
    """

    prior: Beta
    guide: GuideValue | None
    losses: FloatArray = field(repr=False)
    history: History = field(repr=False)
    num_steps: int
    config: Config = field(repr=False)
    state: State = field(repr=False)
    vector: FloatArray = field(repr=False)
    guide_parameters: FloatArray = field(repr=False)
    ended: Ended = field(repr=False)

    @property
    def counts(self) -> Counts:
        """The counts that were fitted."""
        return self.config.counts

    @property
    def guide_name(self) -> str:
        """The name of the guide, as ``guide=`` takes it."""
        return self.config.guide

    @property
    def loss_name(self) -> str:
        """The name of the objective, as ``loss=`` takes it."""
        return self.loss.name

    @property
    def loss(self) -> Objective:
        """The objective, on all of the data."""
        return find_objective(self.config.loss)

    @property
    def learn_prior(self) -> Learned:
        """The part of the prior that was learned; False where the model has none."""
        return self.config.learn_prior

    @property
    def has_prior(self) -> bool:
        """False where c is a parameter and the model has no prior (``guide="none"``)."""
        return self.config.parameters.task.guide.has_prior

    @property
    def start(self) -> Beta:
        """The prior at the first step."""
        a, b = self.history.prior.arrays()
        return Beta(a[0], b[0])

    @cached_property
    def stationarity(self) -> Stationarity:
        """The distance of the end from a maximum of the run's own exact objective."""
        return stationarity(self.config.parameters, self.vector)

    @property
    def ending(self) -> Ending:
        """The end of the loop, whether or not that is a maximum."""
        if self.ended is not None:
            return "unbounded"
        return "interrupted" if len(self.losses) < self.num_steps else "completed"

    @property
    def stopped(self) -> Stopped:
        """The end of the run, in one word.

        ``"completed"``; ``"converged"``: completed, and a maximum of the run's own exact objective;
        ``"unbounded"``: ended early because a concentration left [1e-12, 1e15] or the objective
        left float64; ``"interrupted"``: ended early from outside.
        """
        ending = self.ending
        return "converged" if ending == "completed" and self.stationarity.holds else ending

    @property
    def converged(self) -> bool:
        """True if all steps were made, to a maximum of the run's own exact objective."""
        return self.stopped == "converged"

    @property
    def early_end(self) -> str | None:
        """The reason if the run ended early by itself, in words."""
        return sentences.early_end(self)

    @property
    def message(self) -> str:
        """The end of the run, in a sentence."""
        return sentences.message(self)

    @cached_property
    def objective(self) -> float:
        """The expectation of one loss at the parameters reached, its sign turned, exactly.

        Of a Renyi bound it is that for one sample: the ELBO.
        """
        return self.config.parameters.value(self.vector)

    @cached_property
    def objectives(self) -> FloatArray:
        """The run's own objective at the rows ``history.guide_steps``, exactly."""
        a, b = self.history.prior.arrays()
        kept = self.history.guide_steps
        priors = Beta(a[kept, None], b[kept, None])
        return Exact().rest(self.config.parameters.task, priors, self.guide_parameters)

    @cached_property
    def step_std(self) -> float | None:
        """Standard deviation of one Monte Carlo loss there, `num_particles` averaged (E5).

        For ``loss="exact"`` that under ``"trace"``; None for a Renyi bound of more than two
        samples, where it is not known.
        """
        parameters = self.config.parameters
        params = parameters.split(self.vector)[1]
        variance = self.config.objective.variance(parameters.task, self.prior, params)
        return None if variance is None else float(np.sqrt(variance / self.config.num_particles))

    @property
    def noise_floor(self) -> float | None:
        """The nats below its maximum at which its noise keeps the run in the mean.

        lr/4 times the sum of the standard deviations of its gradients *at the maximum* of its own
        exact objective that is uphill of where it stands, by the learning rate of its last step
        (`svi.convergence` derives it). 0 for ``loss="exact"``; None where there is no maximum,
        and for a Renyi bound of more than one sample and a leave-one-out baseline, whose variance
        is not known.
        """
        return None if self.floor is None else self.floor.nats

    @cached_property
    def floor(self) -> NoiseFloor | None:
        """The noise floor, with the shortfall that it allows."""
        config, vector = self.config, self.vector
        rate = rate_after(config.optimizer, len(self.losses))
        particles = config.num_particles
        return find_floor(config.parameters, config.objective, vector, particles, rate)

    def resume(self, num_steps: int | None = None, *, progress: bool | None = None) -> Run:
        """Go on from where the run stands, as if it had never stopped.

        Parameters
        ----------
        num_steps : int, optional
            The number of steps more; without it, those that an interrupted run still lacks.
        progress : bool, optional
            As of `maximize_elbo`.

        Returns
        -------
        Run
            The whole run from its first step, to the last bit the one that asks for all the steps
            at once.

        Raises
        ------
        ValueError
            If the run cannot go on, or nothing is left to do.

        Examples
        --------
        >>> from elbo_ref.svi.maximize import maximize_elbo
        >>> counts = Counts(3, 10)
        >>> half, whole = (maximize_elbo(counts, num_steps=n) for n in (50, 100))
        >>> half.resume(num_steps=50).prior == whole.prior
        True
        """
        steps = len(self.losses)
        if num_steps is None and steps >= self.num_steps:
            raise ValueError("the run is complete: say how many steps more with num_steps")
        if self.ended is not None:
            raise ValueError(f"the run cannot go on: {self.message}")
        more = self.num_steps - steps if num_steps is None else count("num_steps", num_steps, 1)
        state, wanted = self.state, steps + more
        with progress_of(progress, more, "step") as add:
            state = advance_to(self.config, state, generator_of(state), wanted, add=add)
        return run_at(self.config, state, wanted)

    def average(self, last: float = 0.5) -> Average:
        """Average the parameters over the last part of the run, against its noise.

        Parameters
        ----------
        last : float
            The share of the rows, in (0, 1].

        Returns
        -------
        Average
            Of unconstrained parameters, so that concentrations under exp are averaged
            geometrically; of the guide, over the rows that `history.guide_steps` keeps.

        References
        ----------
        B. T. Polyak & A. B. Juditsky, SIAM Journal on Control and Optimization 30 (1992) 838.

        Examples
        --------
        >>> from elbo_ref.svi.maximize import maximize_elbo
        >>> run = maximize_elbo(Counts(3, 10), guide="beta", num_steps=50)
        >>> round(run.average(last=0.5).prior.mean, 3), round(run.prior.mean, 3)
        (0.499, 0.484)
        """
        last = scalar("last", last, lambda x: 0 < x <= 1, "must lie in (0, 1]")
        first = min(int(len(self.history) * (1 - last)), len(self.history) - 1)
        positive, rows = self.config.parameters.positive, np.array(self.history.prior.arrays())
        mean = positive.constrain(positive.unconstrain(rows[:, first:]).mean(axis=1))
        prior = Beta(*mean) if self.learn_prior else self.prior
        family, kept = self.config.parameters.task.guide, self.history.guide_steps >= first
        params = family.constrain(family.unconstrain(self.guide_parameters[:, kept]).mean(axis=1))
        return Average(prior, family.value(prior, params))

    def posterior_table(self, prob: float = 0.95) -> PosteriorTable:
        """Tabulate the exact posterior of each latent under the prior reached."""
        return posterior_table(self.prior, self.counts, prob=prob)

    def summary(self) -> str:
        """Describe the run in a few lines of text.

        Examples
        --------
        >>> from elbo_ref.svi.maximize import maximize_elbo
        >>> run = maximize_elbo(Counts(3, 10), loss="exact", num_steps=20)
        >>> print(run.summary())  # doctest: +ELLIPSIS
        guide beta, loss exact: completed at step 20: not at a maximum of its own objective ...
        counts: 3 of 10 trials succeed, latents 1
        settings: prior from Beta(1, 1), Adam lr 0.01, steps 20, loss exact
        prior reached: Beta(0.83828, 1.1963)
        objective: -4.31337345
        """
        return "\n".join(f"{name}: {text}" for name, text in self._facts().items())

    def table(self) -> Table:
        """Lay out the loss of each step and the prior before it; the last row is the run's end."""
        losses = [*self.losses.tolist(), None]
        columns = [Column(np.arange(len(losses)), "step", "step"), Column(losses, "loss", "loss")]
        priors = zip(NAMES, self.history.prior.arrays(), strict=True)
        columns += [Column(x, name, name) for name, x in priors if self.has_prior]
        return Table(columns)

    def blocks(self) -> Sequence[Block]:
        """Return what the summary says, and the posterior of each latent."""
        return [self._facts(), *([self.posterior_table().table()] if self.has_prior else [])]

    def _facts(self) -> dict[str, str]:
        run = f"guide {self.guide_name}, loss {self.loss_name}"
        facts = {run: self.message, "counts": self.counts.summary(), "settings": self.settings()}
        if self.has_prior:
            facts["prior reached"] = describe(self.prior)
        facts["objective"] = f"{self.objective:.9g}"
        if self.loss_name != "exact" and self.step_std is not None:
            facts["standard deviation of one loss"] = number(self.step_std)
        return facts

    def settings(self) -> str:
        """Describe on one line how the run was made."""
        return sentences.settings(self.config, self.num_steps)

    def body(self) -> Document:
        """Return the part of `to_dict` that is about this run alone."""
        body = self.record()
        body |= {"message": self.message, "stopped": self.stopped}
        put(body, "objective", self.objective, "it leaves float64")
        put(body, "step_std", self.step_std, "it leaves float64, or is not known for this loss")
        unknown = "the objective is too flat there to tell, or curves upwards"
        for name, value in self.stationarity._asdict().items():
            put(body.setdefault("stationarity", {}), name, value, unknown)
        return body

    def record(self) -> Document:
        """Return the part of `body` that the run has noted, so that nothing is computed."""
        body: Document = {
            "losses": self.losses.tolist(),
            "settings": self.config.document(self.num_steps),
        }
        no_prior = "the model has no prior under this guide"
        for name, prior in (("prior", self.prior), ("history", self.history.prior)):
            put(body, name, pair(prior) if self.has_prior else None, no_prior)
        put(body, "guide", _guide(self.guide), "the guide is empty")
        return body

    def to_dict(self) -> Document:
        """Return the run as a document of plain values; see docs/results.md."""
        return {**document("run"), "counts": self.counts.to_dict(), **self.body()}


def run_at(config: Config, state: State, num_steps: int) -> Run:
    """Make the run that stands at a state, of which so many steps were wanted."""
    end = with_losses(config, state)
    parameters, last = config.parameters, end.rows[-1]
    prior, params = parameters.split(end.vector)
    final = last._replace(losses=np.zeros(0), priors=prior, guides=params[:, None])
    rows, guide = joined((*end.rows, final)), parameters.task.guide
    priors, guides, kept = rows.priors, rows.guides, np.append(rows.kept, rows.end)
    for array in (rows.losses, kept):
        array.setflags(write=False)
    reached = Beta(float(prior[0, 0]), float(prior[1, 0]))
    return Run(
        prior=reached,
        guide=guide.value(reached, params),
        losses=rows.losses,
        history=History(Beta(*priors), guide.value(Beta(*priors[:, kept]), guides), kept),
        num_steps=num_steps,
        config=config,
        state=state,
        vector=end.vector,
        guide_parameters=guides,
        ended=end.ended,
    )


def _guide(value: GuideValue | None) -> Document | None:
    if isinstance(value, Beta):
        return {"family": "Beta", **pair(value)}
    if isinstance(value, LogitNormal):
        loc, scale = (x.tolist() for x in value.arrays())
        return {"family": "LogitNormal", "loc": loc, "scale": scale}
    if isinstance(value, Parameter):
        family = "Delta" if isinstance(value, Delta) else "Parameter"
        return {"family": family, "logits": np.asarray(value.logits).tolist()}
    return None
