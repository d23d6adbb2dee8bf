"""`maximize_elbo`: stochastic variational inference without a framework.

The loop is Pyro's: evaluate the objective and its gradient at the parameters, hand the loss's
gradient to the optimizer, go on. What it maximises depends on the guide (`elbo_ref.guides`) and how
it is evaluated on the loss (`elbo_ref.objectives`). Positive parameters are exponentials of
unconstrained ones, as under Pyro's ``constraints.positive``; probabilities are sigmoids.

A run knows only what it saw: its own parameters, its losses, its own objective. What the evidence
says of it is `elbo_ref.diagnosis`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from elbo_ref import guides, objectives
from elbo_ref.adam import Adam, Optimizer
from elbo_ref.arguments import FloatArray, IntArray, Rng, check_type, count, generator
from elbo_ref.beta import Beta
from elbo_ref.coordinates import Coordinates
from elbo_ref.counts import Counts
from elbo_ref.guides import Parameter
from elbo_ref.objectives.exact import Exact, objective_value, one_particle_variance
from elbo_ref.objectives.protocol import Objective, Task
from elbo_ref.objectives.stationarity import Stationarity

GUIDE_HISTORY_BYTES = 64 * 2**20
"""The guide's history is thinned so that it takes no more than this, ends excepted."""

_BLOCK_NUMBERS = 2**16

Stopped = Literal["completed", "converged", "unbounded", "interrupted"]


@dataclass(frozen=True, eq=False)
class History:
    """The parameters of a run, row by row; row i belongs to ``losses[i]``.

    Attributes
    ----------
    prior : Beta, shape (rows,)
        One more row than there are losses: the last is where the run ended.
    guide : Beta or Parameter of shape (len(guide_steps), G), or None
        The guide at the rows `guide_steps`: every row, unless that took more than 64 MiB, else
        every second, third, ..., and always the last.
    guide_steps : int64 ndarray
    """

    prior: Beta
    guide: Beta | Parameter | None
    guide_steps: IntArray
    _own: FloatArray = field(repr=False)

    def __len__(self) -> int:
        return self.prior.shape[0]


@dataclass(frozen=True, eq=False)
class Run:
    """The result of `maximize_elbo`.

    Attributes
    ----------
    prior : Beta
        The model-side concentrations reached (the ones given, where they are not learned).
    guide : Beta, Parameter or None
        The guide reached; the prior itself for ``"tied"``, None for ``"empty"``.
    losses : ndarray, shape (steps,)
        What ``svi.step`` returns: minus the objective at the parameters before each update.
    history : History
        The parameters of every step, ``steps + 1`` rows.
    stopped : str
        ``"completed"``; ``"converged"``: completed, and a maximum of the run's own exact objective;
        ``"unbounded"``: ended early because a concentration left [1e-12, 1e15] or the objective
        left float64; ``"interrupted"``: ended early by Ctrl-C.
    message : str
        The same in a sentence.
    counts, guide_name, loss_name, learn_prior, optimizer, num_steps, num_particles, start
        What was asked for; `start` is the prior at the first step, and `learn_prior` is False where
        the model has no prior.
    stationarity : Stationarity
        How far the end is from a maximum of the run's own exact objective.
    objective : float
        That objective there.
    step_std : float
        Standard deviation of one Monte Carlo loss there, averaged over `num_particles` (E5).
    """

    prior: Beta
    guide: Beta | Parameter | None
    losses: FloatArray = field(repr=False)
    history: History = field(repr=False)
    counts: Counts = field(repr=False)
    guide_name: str
    loss_name: str
    learn_prior: bool
    optimizer: Optimizer
    num_steps: int
    num_particles: int
    _space: Coordinates = field(repr=False)
    _end: FloatArray = field(repr=False)
    _ended_early: tuple[Stopped, str] | None = field(repr=False)

    @cached_property
    def stationarity(self) -> Stationarity:
        """How far the end is from a maximum of the run's own exact objective."""
        return self._space.stationarity(self._end)

    @property
    def stopped(self) -> Stopped:
        """How the run ended, in one word."""
        if self._ended_early:
            return self._ended_early[0]
        return "converged" if self.stationarity.holds else "completed"

    @property
    def message(self) -> str:
        """How the run ended, in a sentence."""
        if self._ended_early is None:
            return f"{self.stopped} at step {len(self.losses)}: {self.stationarity.sentence()}"
        return f"ended early, at step {len(self.losses)}: {self._ended_early[1]}"

    @cached_property
    def objective(self) -> float:
        """The run's own objective at the parameters reached, exactly."""
        return objective_value(self._space.task, self.prior, self._space.split(self._end)[1])

    @cached_property
    def step_std(self) -> float:
        """Standard deviation of one Monte Carlo loss there, `num_particles` averaged (E5)."""
        own = self._space.split(self._end)[1]
        variance = one_particle_variance(self._space.task, self.prior, own)
        return float(np.sqrt(variance / self.num_particles))

    @cached_property
    def objectives(self) -> FloatArray:
        """The run's own objective at the rows ``history.guide_steps``, exactly."""
        a, b = self.history.prior.arrays()
        kept = self.history.guide_steps
        priors = Beta(a[kept, None], b[kept, None])
        return Exact().settle(self._space.task, np.empty(kept.size), priors, self.history._own)

    @property
    def start(self) -> Beta:
        """The prior at the first step."""
        a, b = self.history.prior.arrays()
        return Beta(a[0], b[0])


def maximize_elbo(
    counts: Counts,
    guide: str | Beta | Parameter = "beta",
    loss: str = "trace",
    prior: Beta = Beta(1.0, 1.0),  # noqa: B008 (a frozen value)
    learn_prior: bool = True,
    optimizer: Optimizer = Adam(lr=0.01),  # noqa: B008
    num_steps: int = 1000,
    num_particles: int = 1,
    rng: Rng = 0,
) -> Run:
    """Maximise an objective over the guide's and the model's parameters, as Pyro's SVI does.

    Parameters
    ----------
    counts : Counts
    guide : str or value
        ``"beta"``: a Beta guide, one pair of parameters per entry of the counts, from (1, 1);
        ``"empty"``: no guide, so not an ELBO (E7); ``"tied"``: the prior is the guide (E8);
        ``"none"``: no latent, c is a parameter, from 0.5. A `Beta` or a `Parameter` says where a
        guide of its family starts; ``run.guide`` can be handed back in.
    loss : str
        ``"trace"``: Monte Carlo with pathwise gradients, as ``Trace_ELBO``; ``"exact"``: the closed
        form.
    prior : Beta, shape ()
        Where the model's concentrations start, or what they are.
    learn_prior : bool
        Whether the concentrations are learned, under exp.
    optimizer : Adam or ClippedAdam
    num_steps, num_particles : int
        Positive; particles are for ``"trace"``.
    rng : int, SeedSequence or Generator
        The same seed gives the same run.

    Returns
    -------
    Run

    Raises
    ------
    TypeError, ValueError
        For an argument that does not fit, or when nothing is left to learn.

    Examples
    --------
    >>> run = maximize_elbo(Counts(3, 10), guide="beta", loss="exact", prior=Beta(1.0, 1.0),
    ...                     learn_prior=False, optimizer=Adam(lr=0.1), num_steps=600)
    >>> run.stopped
    'converged'
    >>> run.guide.concentration1.round(6), run.guide.concentration0.round(6)
    (array([4.]), array([8.]))
    """
    check_type("counts", counts, Counts)
    if not isinstance(prior, Beta) or prior.shape != ():
        raise TypeError(f"prior must be one Beta, not {prior!r}")
    if isinstance(optimizer, type) or not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an Adam or a ClippedAdam, not {optimizer!r}")
    if not isinstance(learn_prior, bool):
        raise TypeError(f"learn_prior must be True or False, not {learn_prior!r}")
    objective = objectives.find(loss)
    task = Task(guides.find(guide), counts)
    num_steps = count("num_steps", num_steps, 1)
    num_particles = count("num_particles", num_particles, 1)
    learned = learn_prior and task.guide.has_prior
    if not learned and not task.guide.parameter_names:
        raise ValueError(f"guide={task.guide.name!r} with learn_prior=False has nothing to learn")
    objective.prepare(task, num_particles)
    space = Coordinates(task, prior, learned, task.guide.start(guide, len(counts)))
    index = space.outside(space.start)
    if index is not None:
        raise ValueError(f"{space.name(index)} must start in {space.range(index)}")
    record = _Record(space, objective, num_steps)
    ended_early = _climb(
        space, objective, optimizer, num_steps, num_particles, generator(rng), record
    )
    record.losses.setflags(write=False)
    at_end, own = space.split(record.last)
    reached = Beta(float(at_end[0, 0]), float(at_end[1, 0]))
    return Run(
        prior=reached,
        guide=task.guide.value(reached, own),
        losses=record.losses,
        history=record.history(),
        counts=counts,
        guide_name=task.guide.name,
        loss_name=objective.name,
        learn_prior=learned,
        optimizer=optimizer,
        num_steps=num_steps,
        num_particles=num_particles,
        _space=space,
        _end=record.last,
        _ended_early=ended_early,
    )


def _climb(
    space: Coordinates,
    objective: Objective,
    optimizer: Optimizer,
    num_steps: int,
    num_particles: int,
    rng: np.random.Generator,
    record: _Record,
) -> tuple[Stopped, str] | None:
    """The loop; fills the record, and says how it ended if that was early."""
    vector, state = space.start, optimizer.init(space.start)
    ended_early: tuple[Stopped, str] | None = None
    try:
        with np.errstate(all="ignore"):
            for _ in range(num_steps):
                gradient, value = space.gradient(objective, vector, num_particles, rng)
                moved, state = optimizer.update(state, vector, -gradient)
                outside = space.outside(moved)
                if outside is not None:
                    left = f"{space.name(outside)} left {space.range(outside)}"
                    ended_early = "unbounded", left
                    break
                record.add(vector, value, moved)
                vector = moved
                if record.left_float64:
                    break
        record.settle()
    except KeyboardInterrupt:
        ended_early = "interrupted", f"interrupted, {num_steps} steps were asked for"
        record.settle()
    return ("unbounded", "the objective left float64") if record.left_float64 else ended_early


class _Record:
    """Losses and rows of a run, settled in blocks: exact values cost least many at once."""

    def __init__(self, space: Coordinates, objective: Objective, num_steps: int) -> None:
        self._space, self._objective = space, objective
        size = max(space.start.size, len(space.task.counts))
        self._block = max(1, _BLOCK_NUMBERS // size)
        self._stride = -(-8 * space.start.size * (num_steps + 1) // GUIDE_HISTORY_BYTES)
        self._pending: list[tuple[FloatArray, float, FloatArray]] = []
        self._priors: list[FloatArray] = []
        self._owns: list[FloatArray] = []
        self.losses = np.zeros(0)
        self.last = space.start
        self.left_float64 = False

    def add(self, vector: FloatArray, value: float, moved: FloatArray) -> None:
        """One step: its parameters, its value to settle, and where the update led."""
        self._pending.append((vector, value, moved))
        if len(self._pending) >= self._block:
            self.settle()

    def settle(self) -> None:
        """Turn pending steps into losses and rows, up to the first value that is not finite."""
        if not self._pending:
            return
        vectors = np.array([vector for vector, _, _ in self._pending])
        estimates = np.array([value for _, value, _ in self._pending])
        priors, owns = self._space.split_rows(vectors)
        with np.errstate(all="ignore"):
            values = self._objective.settle(self._space.task, estimates, Beta(*priors), owns)
        finite = np.isfinite(values)
        self.left_float64 = not finite.all()
        good = int(np.argmin(finite)) if self.left_float64 else values.size
        self.last = vectors[good] if self.left_float64 else self._pending[-1][2]
        first = -len(self.losses) % self._stride
        self.losses = np.concatenate([self.losses, -values[:good]])
        self._priors.append(priors[:, :good, 0])
        self._owns.append(owns[:, first : good : self._stride].copy())
        self._pending.clear()

    def history(self) -> History:
        """All rows, the last one being where the run ended."""
        steps = len(self.losses)
        prior, own = self._space.split_rows(self.last[None])
        priors = np.concatenate([*self._priors, prior[:, :, 0]], axis=1)
        owns = np.concatenate([*self._owns, own], axis=1)
        kept = np.append(np.arange(0, steps, self._stride), steps)
        kept.setflags(write=False)
        at_kept = Beta(priors[0, kept], priors[1, kept])
        guide = self._space.task.guide.value(at_kept, owns)
        return History(Beta(priors[0], priors[1]), guide, kept, owns)
