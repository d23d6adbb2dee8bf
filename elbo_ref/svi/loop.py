"""The loop of an SVI run, a step at a time, and everything it takes to go on from any step.

A step evaluates the objective and its gradient at the parameters, hands the loss's gradient to the
optimizer, and moves. Losses and rows are worked out in blocks of steps, because exact values cost
least many at once. Blocks begin at fixed steps, and a value can depend in its last bit on what
shares its block; so the steps of the block under way are kept as they are, and a run that is taken
up again ends with the bytes of one that never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref._validation.values import by_value
from elbo_ref.distributions.beta import Beta
from elbo_ref.optim import AdamState
from elbo_ref.svi.config import Setup

GUIDE_HISTORY_BYTES = 64 * 2**20
"""The guide's history is thinned so that it takes no more than this, ends excepted."""

_BLOCK_NUMBERS = 2**16


class Moment(NamedTuple):
    """Where a run stands between two steps: all that the next one needs."""

    steps: int
    vector: FloatArray
    adam: AdamState
    generator: Mapping[str, Any]


class Block(NamedTuple):
    """Steps from `first` on: losses (R,), priors (2, R), and guides (k, kept, G) of those steps
    that are multiples of `stride`."""

    first: int
    losses: FloatArray
    priors: FloatArray
    owns: FloatArray
    stride: int

    def thinned(self, stride: int) -> Block:
        """With fewer guides."""
        kept = np.arange(-(-self.first // self.stride), -(-self.end // self.stride)) * self.stride
        return self._replace(owns=self.owns[:, kept % stride == 0].copy(), stride=stride)

    def fitting(self) -> int:
        """The stride at which the guides of all steps so far take no more than they may."""
        stride, numbers = self.stride, self.owns.shape[0] * self.owns.shape[2]
        while stride < self.end and 8 * numbers * -(-self.end // stride) > GUIDE_HISTORY_BYTES:
            stride *= 2
        return stride

    @property
    def end(self) -> int:
        return self.first + len(self.losses)


@by_value
class Snapshot(NamedTuple):
    """A run between two steps: `Climb` goes on from it as if nothing had happened.

    `rows` are the vectors (R, P) of the block under way and `values` what their steps said;
    `ended` is the reason if there is no going on.
    """

    setup: Setup
    now: Moment
    settled: Block
    rows: FloatArray
    values: FloatArray
    ended: str | None


class Trail(NamedTuple):
    """What a run has left behind: losses (R,), priors (2, R + 1), and guides at `kept` steps."""

    losses: FloatArray
    priors: FloatArray
    owns: FloatArray
    kept: IntArray
    last: FloatArray
    ended: str | None


class Climb:
    """A run under way; `start` or `Climb(snapshot)` makes one.

    Whatever interrupts `advance`, the climb stands between two steps afterwards.
    """

    def __init__(self, snapshot: Snapshot, rng: np.random.Generator | None = None) -> None:
        setup, now, settled, rows, values, self.ended = snapshot
        self.setup, self.now = setup, now
        self.space, self._objective = setup.space(), setup.objective()
        size = max(self.space.start.size, len(setup.counts))
        self._size = max(1, _BLOCK_NUMBERS // size)
        self._blocks = [settled]
        self._pending = list(zip(range(settled.end, now.steps), rows, values, strict=True))
        self._rng = rng or _generator(now.generator)

    @classmethod
    def start(cls, setup: Setup, rng: np.random.Generator) -> Climb:
        """Before the first step; draws are taken from `rng` itself."""
        space = setup.space()
        vector, own = space.start, space.split(space.start)[1]
        k, size = own.shape
        nothing = Block(0, np.zeros(0), np.zeros((2, 0)), np.zeros((k, 0, size)), 1)
        now = Moment(0, vector, setup.optimizer.init(vector), rng.bit_generator.state)
        rows = np.zeros((0, vector.size))
        return cls(Snapshot(setup, now, nothing, rows, np.zeros(0), None), rng)

    def advance(self) -> None:
        """One step; sets `ended` to the reason if the run cannot go on."""
        steps, vector, adam, generator = self.now
        space, objective, setup = self.space, self._objective, self.setup
        gradient, value = space.gradient(objective, vector, setup.num_particles, self._rng)
        moved, adam = setup.optimizer.update(adam, vector, -gradient)
        outside = space.outside(moved)
        if outside is not None:
            self.ended = f"{space.name(outside)} left {space.range(outside)}"
            return
        if objective.random:
            generator = self._rng.bit_generator.state
        self._pending.append((steps, vector, value))
        self.now = Moment(steps + 1, moved, adam, generator)
        self._settle_if_full()

    def climb(self, num_steps: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Advance until `num_steps` are made, the run has ended, or `stop` says so after a step."""
        with np.errstate(all="ignore"):
            try:
                self._settle_if_full()  # an interrupt may have come before that
                while self.now.steps < num_steps and self.ended is None:
                    self.advance()
                    if stop():
                        break
            except BaseException:
                self._tidy()
                raise

    def snapshot(self) -> Snapshot:
        """Everything, as it stands."""
        settled = self._joined()
        rows = np.array([row for _, row, _ in self._pending]).reshape(-1, self.now.vector.size)
        values = np.array([value for _, _, value in self._pending], dtype=np.float64)
        return Snapshot(self.setup, self.now, settled, rows, values, self.ended)

    def trail(self) -> Trail:
        """Losses and parameters of all steps, up to the last finite one."""
        blocks, last, ended = [self._joined()], self.now.vector, self.ended
        if self._pending:
            block, bad = self._worked_out()
            blocks.append(block)
            if bad is not None:
                last, ended = bad, _LEFT_FLOAT64
        settled = _join(blocks)
        settled = settled.thinned(settled.fitting())
        prior, own = self.space.split_rows(last[None])
        kept = np.append(np.arange(0, settled.end, settled.stride), settled.end)
        priors = np.concatenate([settled.priors, prior[:, :, 0]], axis=1)
        owns = np.concatenate([settled.owns, own], axis=1)
        return Trail(settled.losses, priors, owns, kept, last, ended)

    def _settle_if_full(self) -> None:
        if len(self._pending) >= self._size:
            self._settle()

    def _settle(self) -> None:
        """Turn the block under way into losses and rows; end where a value is not finite."""
        block, bad = self._worked_out()
        stride = block.fitting()
        if stride != block.stride:
            self._blocks[:] = [b.thinned(stride) for b in self._blocks]
        self._blocks.append(block.thinned(stride))
        if bad is not None:
            self.ended = _LEFT_FLOAT64
            self.now = self.now._replace(steps=block.end, vector=bad)
        self._pending = []

    def _worked_out(self) -> tuple[Block, FloatArray | None]:
        """The block under way up to its first value that is not finite, and the vector there."""
        vectors = np.array([vector for _, vector, _ in self._pending])
        estimates = np.array([value for _, _, value in self._pending])
        priors, owns = self.space.split_rows(vectors)
        with np.errstate(all="ignore"):
            values = self._objective.settle(self.space.task, estimates, Beta(*priors), owns)
        finite = np.isfinite(values)
        good = values.size if finite.all() else int(np.argmin(finite))
        first, stride = self._pending[0][0], self._blocks[-1].stride
        block = Block(first, -values[:good], priors[:, :good, 0], owns[:, :good], 1)
        return block.thinned(stride), None if good == values.size else vectors[good]

    def _joined(self) -> Block:
        self._blocks[:] = [_join(self._blocks)]
        return self._blocks[0]

    def _tidy(self) -> None:
        """Drop what an interrupt has left half done."""
        end, steps = self._blocks[-1].end, self.now.steps
        self._pending = [row for row in self._pending if end <= row[0] < steps]
        self._rng.bit_generator.state = self.now.generator


_LEFT_FLOAT64 = "the objective left float64"


def _join(blocks: list[Block]) -> Block:
    stride = max(block.stride for block in blocks)
    thinned = [block.thinned(stride) for block in blocks]
    losses, priors, owns = (
        np.concatenate([getattr(block, name) for block in thinned], axis=axis)
        for name, axis in (("losses", 0), ("priors", 1), ("owns", 1))
    )
    return Block(blocks[0].first, losses, priors, owns, stride)


def _generator(state: Mapping[str, Any]) -> np.random.Generator:
    """A generator of its own, in the given state."""
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)
