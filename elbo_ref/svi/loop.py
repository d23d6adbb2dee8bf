"""The loop of an SVI run: a pure function from one state to the next, and the rows that it leaves.

A step evaluates the gradient at the parameters, hands that of the loss to the optimizer, and moves.
With its gradient an objective gives the part of its value that was drawn. The rest, log gammas in
deviance form, takes 3 to 25 times as long as a step where latents are few, and hardly twice as long
for a thousand steps as for one. So the losses of a run are worked out for many steps at once, and
the state holds the steps that still wait for theirs.

A value can depend in its last bit on what it is worked out with. As that is always the same steps,
a run that is taken up again from any state ends with the bytes of one that never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from elbo_ref._format.progress import Add
from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GuideValue
from elbo_ref.svi.config import Config
from elbo_ref.svi.optimizers import AdamState

GUIDE_HISTORY_BYTES = 64 * 2**20
"""The guide's history is thinned so that it takes no more than this, ends excepted."""

_NUMBERS_AT_ONCE = 2**16
"""Steps wait for their losses until they have about so many parameters, or latents."""

_KEPT = 31 * 2**17
"""Once 31 MB are allocated and freed, though never touched, glibc keeps what is freed up to that
size, where it else gives it back to the system after each step and asks for it at the next."""

Ended: TypeAlias = int | Literal["objective"] | None
"""What left its range: a parameter, by its place in the vector, or the objective left float64."""


class Rows(NamedTuple):
    """Losses (R,), priors (2, R) and guides (k, kept, G) of R steps, the first being `first`.

    Guides are kept of the steps that are multiples of `stride`.
    """

    first: int
    losses: FloatArray
    priors: FloatArray
    guides: FloatArray
    stride: int

    @property
    def end(self) -> int:
        """The step after the last."""
        return self.first + len(self.losses)

    @property
    def size(self) -> int:
        """The number of numbers."""
        return self.losses.size + self.priors.size + self.guides.size

    @property
    def kept(self) -> IntArray:
        """The steps whose guides are kept."""
        start, stop = (-(-step // self.stride) for step in (self.first, self.end))
        return np.arange(start, stop) * self.stride

    def thinned(self, stride: int) -> Rows:
        """Keep the guides of a multiple of the stride only."""
        if stride == self.stride:
            return self
        guides = self.guides[:, self.kept % stride == 0].copy()
        return self._replace(guides=guides, stride=stride)


@dataclass(frozen=True, eq=False)
class History:
    """The parameters of a run, row by row; row i belongs to ``losses[i]``.

    Attributes
    ----------
    prior : Beta, shape (rows,)
        One more row than there are losses: the last is where the run ended.
    guide : Beta, LogitNormal, Delta or Parameter of shape (len(guide_steps), G), or None
        The guide at the rows `guide_steps`: every row, unless that took more than 64 MiB, else
        every second, fourth, ..., and always the last.
    guide_steps : int64 ndarray
    """

    prior: Beta
    guide: GuideValue | None
    guide_steps: IntArray

    def __len__(self) -> int:
        return self.prior.shape[0]


class Waiting(NamedTuple):
    """Steps that wait for their losses: the first `size` items of a list.

    An item is the vector of a step and the drawn part of its value. The list grows at its end only,
    so that whoever holds fewer items still has them.
    """

    items: list[tuple[FloatArray, float]]
    size: int

    @classmethod
    def of(cls, vectors: FloatArray, values: FloatArray) -> Waiting:
        """Take them from what `arrays` gives."""
        items = list(zip(vectors, values.tolist(), strict=True))
        return cls(items, len(items))

    def added(self, vector: FloatArray, value: float) -> Waiting:
        """Return these and one more."""
        items = self.items if len(self.items) == self.size else self.items[: self.size]
        items.append((vector, value))
        return Waiting(items, self.size + 1)

    def arrays(self, num_parameters: int) -> tuple[FloatArray, FloatArray]:
        """Stack them as vectors (size, P) and values (size,)."""
        items = self.items[: self.size]
        vectors = np.array([vector for vector, _ in items]).reshape(-1, num_parameters)
        return vectors, np.array([value for _, value in items], dtype=np.float64)


class State(NamedTuple):
    """A run between two steps: all that the next one needs, and what the earlier ones have left.

    `ended` says what left its range, if there is no going on. Like a run a state is equal only to
    itself.
    """

    step: int
    vector: FloatArray
    optimizer: AdamState
    generator: Mapping[str, Any]
    rows: tuple[Rows, ...]
    waiting: Waiting
    ended: Ended

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)


def initial_state(config: Config, rng: np.random.Generator) -> State:
    """Return the state before the first step."""
    vector = config.parameters.start
    k, size = config.parameters.split(vector)[1].shape
    nothing = Rows(0, np.zeros(0), np.zeros((2, 0)), np.zeros((k, 0, size)), 1)
    optimizer, generator = config.optimizer.init(vector), rng.bit_generator.state
    return State(0, vector, optimizer, generator, (nothing,), Waiting([], 0), None)


def generator_of(state: State) -> np.random.Generator:
    """Make a new generator that stands where the state's does."""
    bits = getattr(np.random, state.generator["bit_generator"])()
    bits.state = state.generator
    return np.random.Generator(bits)


def advance(config: Config, state: State, rng: np.random.Generator) -> State:
    """Make one step from a state that has not ended.

    `rng` stands where the state's generator does, and moves on; nothing else is changed.
    """
    parameters, objective = config.parameters, config.objective
    gradient, value = parameters.gradient(objective, state.vector, config.num_particles, rng)
    vector, optimizer = config.update(state.optimizer, state.vector, -gradient)
    outside = parameters.outside(vector)
    if outside is not None:
        return state._replace(ended=outside)
    generator = rng.bit_generator.state if objective.random else state.generator
    waiting = state.waiting.added(state.vector, value)
    state = State(state.step + 1, vector, optimizer, generator, state.rows, waiting, None)
    full = (waiting.size + 1) * config.row_size > _NUMBERS_AT_ONCE
    return with_losses(config, state) if full else state


def advance_to(
    config: Config,
    state: State,
    rng: np.random.Generator,
    num_steps: int,
    stop: Callable[[State], bool] | None = None,
    add: Add | None = None,
) -> State:
    """Advance until `num_steps` are made, the run has ended, or `stop` says so after a step.

    `add` takes note of each step. A KeyboardInterrupt ends it between two steps.
    """
    np.empty(_KEPT)
    with np.errstate(all="ignore"):
        try:
            while state.step < num_steps and state.ended is None:
                state = advance(config, state, rng)
                if add:
                    add(1)
                if stop and stop(state):
                    break
        except KeyboardInterrupt:
            rng.bit_generator.state = state.generator
    return state


def with_losses(config: Config, state: State) -> State:
    """Move all steps of a state to its rows; end it at the first value that is not finite."""
    if not state.waiting.size:
        return state
    parameters = config.parameters
    vectors, values = state.waiting.arrays(state.vector.size)
    priors, guides = parameters.split_rows(vectors)
    with np.errstate(all="ignore"):
        values = values + config.objective.rest(parameters.task, Beta(*priors), guides)
    finite = np.isfinite(values)
    good = values.size if finite.all() else int(np.argmin(finite))
    first = state.step - values.size
    new = Rows(first, -values[:good], priors[:, :good, 0], guides[:, :good], 1)
    state = state._replace(rows=_appended(state.rows, new), waiting=Waiting([], 0))
    if good == values.size:
        return state
    return state._replace(step=first + good, vector=vectors[good], ended="objective")


def joined(rows: tuple[Rows, ...]) -> Rows:
    """Join rows that follow each other, all of one stride."""
    losses, priors, guides = (
        np.concatenate([getattr(part, name) for part in rows], axis=axis)
        for name, axis in (("losses", 0), ("priors", 1), ("guides", 1))
    )
    return Rows(rows[0].first, losses, priors, guides, rows[0].stride)


def _appended(rows: tuple[Rows, ...], new: Rows) -> tuple[Rows, ...]:
    """Append rows; all then keep no more guides than fit into `GUIDE_HISTORY_BYTES`.

    Parts are joined with shorter ones only, and up to a size, so that a row is copied a few times.
    """
    stride, bytes_each = rows[-1].stride, 8 * new.guides.shape[0] * new.guides.shape[2]
    while stride < new.end and bytes_each * -(-new.end // stride) > GUIDE_HISTORY_BYTES:
        stride *= 2
    *parts, last = (part.thinned(stride) for part in (*rows, new))
    while parts and len(parts[-1].losses) <= len(last.losses):
        if parts[-1].size + last.size > _NUMBERS_AT_ONCE:
            break
        last = joined((parts.pop(), last))
    return (*parts, last)
