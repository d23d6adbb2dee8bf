"""Runs saved and taken up again: every number that the next step needs, in a plain npz.

A file holds one or several runs. Of each it keeps what was asked for, the parameters, Adam's
moments, the generator's state, the losses and rows so far, and the steps whose losses are not
worked out yet (`elbo_ref.svi.loop`); so a run that was stopped at any moment, saved or killed, ends
with the bytes of one that was not. What is not an array is JSON text in the member ``runs``.
Nothing is pickled, and loading runs no code from the file.
"""

from __future__ import annotations

import io
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from elbo_ref._validation.arguments import (
    FloatArray,
    check_type,
    file_path,
    require,
    underflow_is_zero,
)
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.io import fields
from elbo_ref.io.archive import check_all_taken, read_arrays, take
from elbo_ref.io.atomic import write
from elbo_ref.objectives import LossValue, Renyi, ScoreFunction
from elbo_ref.optim import Adam, AdamState, ClippedAdam, ExponentialLR, Optimizer
from elbo_ref.svi import generators
from elbo_ref.svi.checkpoint_fields import DOCUMENT, SCHEMA
from elbo_ref.svi.config import Setup
from elbo_ref.svi.loop import Block, Climb, Moment, Snapshot
from elbo_ref.svi.maximize import begin
from elbo_ref.svi.result import Run

_OPTIMIZERS: dict[str, Any] = {kind.__name__: kind for kind in (Adam, ClippedAdam, ExponentialLR)}
_SECONDS, _SHARE = 1.0, 20
"""A file is written at most once a second, and in no more than a twentieth of the time."""

_ARRAYS = ("own", "vector", "losses", "priors", "owns", "rows", "values")
_ADAM = ("first_moment", "second_moment", "largest")
_LOSSES: dict[str, Any] = {value.name: value for value in (Renyi, ScoreFunction)}

_ADVICE = "use the copy before it, or start the run anew (elbo_ref.save_run writes such files)"
_WORDS = {"learn_prior": "whether the prior is learned", "own": "where the guide starts"}


class CheckpointError(ValueError):
    """A file that is not a checkpoint; the message says what is wrong."""


def save_run(run: Run, path: str | Path, overwrite: bool = False) -> None:
    """Save a run, so that `load_run` gives it back and it can be resumed.

    Parameters
    ----------
    run : Run
    path : str or Path
        The file appears whole or not at all.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    TypeError
        If an argument is of another kind, the optimizer none of this package, or the generator not
        one of NumPy's.
    OSError
        If the file cannot be written, or exists and is not to be overwritten.

    Examples
    --------
    >>> import tempfile
    >>> from elbo_ref.svi.maximize import maximize_elbo
    >>> half = maximize_elbo(Counts(3, 10), num_steps=50)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_run(half, Path(folder, "run.npz"))
    ...     whole = load_run(Path(folder, "run.npz")).resume(num_steps=50)
    >>> whole.prior == maximize_elbo(Counts(3, 10), num_steps=100).prior
    True
    """
    check_type("run", run, Run)
    check_type("overwrite", overwrite, bool)
    write(file_path("path", path), pack([(run.snapshot, run.num_steps)]), overwrite)


@underflow_is_zero
def load_run(path: str | Path) -> Run:
    """A run from `save_run`.

    Raises
    ------
    CheckpointError
        If the file is not one.
    OSError
        If it cannot be read.
    """
    climbs = load(file_path("path", path))
    if len(climbs) != 1:
        raise CheckpointError(f"{path}: it holds {len(climbs)} runs, not one")
    return Run.of(*climbs[0])


class Checkpoint:
    """Climbs that go on under one file, each under its guide's name; without a path, no file.

    Parameters
    ----------
    path : Path or None
    climbs : dict
        What was asked for, each before its first step.
    num_steps : int
        How many steps each is to make.
    """

    def __init__(self, path: Path | None, climbs: dict[str, Climb], num_steps: int) -> None:
        self.path, self.climbs, self.num_steps = path, climbs, num_steps
        self.error: OSError | None = None
        """What was wrong when the file was last written."""
        self._next = 0.0

    def take_up(self) -> None:
        """Go on from the file, if it is there.

        Raises
        ------
        ValueError
            If it is one of other runs; `CheckpointError` if it is no checkpoint.
        OSError
            If it cannot be read.
        """
        assert self.path is not None
        if not self.path.exists():
            return
        for climb, _ in load(self.path):
            guide, steps = climb.setup.guide, climb.now.steps
            if guide not in self.climbs:
                raise ValueError(f"{self.path} holds a run with guide {guide}, not asked for")
            asked = self.climbs[guide].setup
            for name, old, new in zip(Setup._fields, climb.setup, asked, strict=True):
                if _differs(old, new):
                    what = _WORDS.get(name, name)
                    raise ValueError(f"{self.path} holds a run that differs in {what}")
            if steps > self.num_steps:
                raise ValueError(f"{self.path} holds a run of {steps} steps already")
            self.climbs[guide] = climb

    def save(self) -> None:
        """Write the file; if that fails, it is as it was, and `error` says why."""
        if self.path is not None:
            begun = time.monotonic()
            try:
                write(self.path, self.content(), overwrite=True)
                self.error = None
            except OSError as error:
                self.error = error
            now = time.monotonic()
            self._next = now + max(_SECONDS, _SHARE * (now - begun))

    def content(self) -> bytes:
        """The bytes of the file, as the climbs stand."""
        return pack([(climb.snapshot(), self.num_steps) for climb in self.climbs.values()])

    def save_now_and_then(self) -> None:
        """Write it if that was not done lately."""
        if self.path is not None and time.monotonic() >= self._next:
            self.save()


def pack(runs: list[tuple[Snapshot, int]]) -> bytes:
    """Snapshots, each with its number of steps, as the bytes of a file."""
    arrays: dict[str, Any] = {}
    notes = []
    for i, (snapshot, num_steps) in enumerate(runs):
        setup, now, settled = snapshot.setup, snapshot.now, snapshot.settled
        name = type(setup.optimizer).__name__
        if type(setup.optimizer) not in _OPTIMIZERS.values():
            raise TypeError(f"a run with the optimizer {name} cannot be saved")
        if now.generator["bit_generator"] not in generators.NAMES:
            generator = now.generator["bit_generator"]
            raise TypeError(f"a run with the generator {generator} cannot be saved")
        notes.append(
            {
                "counts": setup.counts.to_dict(),
                "guide": setup.guide,
                "loss": _loss(setup.loss),
                "prior": [x.tolist() for x in setup.prior.arrays()],
                "learn_prior": setup.learn_prior,
                "optimizer": {"name": name, **asdict(setup.optimizer)},  # type: ignore[call-overload]
                "num_particles": setup.num_particles,
                "constraint": setup.constraint,
                "subsample_size": setup.subsample_size,
                "num_steps": num_steps,
                "seed": setup.seed,
                "generator": generators.to_plain(now.generator),
                "adam_step": now.adam.step,
                "steps": now.steps,
                "stride": settled.stride,
                "ended": snapshot.ended,
            }
        )
        parts = [setup.own, now.vector, *settled[1:4], snapshot.rows, snapshot.values]
        arrays |= {f"{i}/{key}": part for key, part in zip(_ARRAYS, parts, strict=True)}
        arrays |= {f"{i}/{key}": getattr(now.adam, key) for key in _ADAM}
    text = json.dumps({"schema": SCHEMA, "runs": notes}, sort_keys=True, allow_nan=False)
    file = io.BytesIO()
    np.savez(file, runs=np.array(text), **arrays)
    return file.getvalue()


def load(path: str | Path) -> list[tuple[Climb, int]]:
    """The runs of a file as climbs, each with its number of steps."""
    try:
        with np.errstate(all="ignore"):
            return _unpack(read_arrays(path))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of elbo_ref: {error}; {_ADVICE}") from None


def _unpack(members: dict[str, Any]) -> list[tuple[Climb, int]]:
    """The runs in the members of a file.

    Raises
    ------
    ValueError, TypeError
        If there is anything in them that no run can have left.
    """
    document = fields.parse(str(take(members, "runs")))
    DOCUMENT("", document)
    climbs = [_climb(note, members, i) for i, note in enumerate(document["runs"])]
    check_all_taken(members)
    return climbs


def _climb(note: dict[str, Any], members: dict[str, Any], i: int) -> tuple[Climb, int]:
    arrays = {name: take(members, f"{i}/{name}") for name in (*_ARRAYS, *_ADAM)}
    setup = _setup(note, arrays["own"])
    adam = AdamState(note["adam_step"], *(arrays[name] for name in _ADAM))
    now = Moment(note["steps"], arrays["vector"], adam, generators.from_plain(note["generator"]))
    settled = Block(0, arrays["losses"], arrays["priors"], arrays["owns"], note["stride"])
    snapshot = Snapshot(setup, now, settled, arrays["rows"], arrays["values"], note["ended"])
    if settled.losses.ndim != 1:
        raise ValueError(f"losses has shape {settled.losses.shape}, not one number for each step")
    _check_shapes(arrays, snapshot)
    _check_values(snapshot)
    climb = Climb(snapshot)
    Run.of(climb, note["num_steps"])  # what no run can be made of is refused here
    return climb, note["num_steps"]


def _setup(note: dict[str, Any], own: FloatArray) -> Setup:
    """What was asked for, through the door that it came in by."""
    setup = begin(
        counts=Counts.from_columns(**note["counts"]),
        guide=note["guide"],
        loss=_from_loss(note["loss"]),
        prior=Beta(*note["prior"]),
        learn_prior=note["learn_prior"],
        optimizer=_from_optimizer(note["optimizer"]),
        num_particles=note["num_particles"],
        rng=0,
        constraint=note["constraint"],
        subsample_size=note["subsample_size"],
    ).setup
    if own.shape != setup.own.shape or own.dtype != np.float64:
        raise ValueError(f"own is {own.dtype} of shape {own.shape}, not {setup.own.shape}")
    return setup._replace(own=own, seed=note["seed"])


def _check_shapes(arrays: dict[str, Any], snapshot: Snapshot) -> None:
    """Refuse arrays that do not fit together."""
    settled, space = snapshot.settled, snapshot.setup.space()
    parameters = space.start.shape
    k, size = space.split(space.start)[1].shape
    done, pending = settled.end, snapshot.now.steps - settled.end
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("vector", *_ADAM), parameters)
    shapes |= {"owns": (k, -(-done // settled.stride), size)}
    shapes |= {"losses": (done,), "priors": (2, done)}
    shapes |= {"rows": (pending, *parameters), "values": (pending,)}
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float64:
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, not {shape}")


def _check_values(snapshot: Snapshot) -> None:
    """Refuse numbers that no run reaches."""
    now, settled, space = snapshot.now, snapshot.settled, snapshot.setup.space()
    if now.adam.step < now.steps or (now.adam.step > now.steps and snapshot.ended is None):
        raise ValueError(f"adam_step = {now.adam.step} is not the number of steps, {now.steps}")
    for vector in (space.start, now.vector, *snapshot.rows):
        outside = space.outside(vector)
        if outside is not None:
            raise ValueError(f"{space.name(outside)} is not in {space.range(outside)}")
    _, first, second, largest = now.adam
    for name, array, good, rule in (
        ("losses", settled.losses, np.isfinite(settled.losses), "is not finite"),
        ("first_moment", first, np.isfinite(first), "is not finite"),
        ("second_moment", second, second >= 0, "is not at least 0"),
        ("largest", largest, largest >= second, "is less than the second moment"),
    ):
        require(name, array, good, rule)


def _differs(old: Any, new: Any) -> bool:
    return not np.array_equal(old, new) if isinstance(old, np.ndarray) else bool(old != new)


def _loss(loss: str | LossValue) -> Any:
    return loss if isinstance(loss, str) else {"name": loss.name, **asdict(loss)}


def _from_loss(note: Any) -> str | LossValue:
    if isinstance(note, str):
        return note
    value: LossValue = _LOSSES[note["name"]](**_without_name(note))
    return value


def _from_optimizer(note: Any) -> Optimizer:
    settings = _without_name(note)
    if "optimizer" in settings:
        settings["optimizer"] = Adam(**settings["optimizer"])
    optimizer: Optimizer = _OPTIMIZERS[note["name"]](**settings)
    return optimizer


def _without_name(note: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in note.items() if key != "name"}
