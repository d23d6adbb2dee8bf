"""Runs saved and taken up again: every number that the next step needs, in a plain npz.

A file holds one or several runs. Of each it keeps what was asked for, the parameters, Adam's
moments, the generator's state, the losses and rows so far, and the steps whose losses are not
worked out yet (`elbo_ref.climb`); so a run that was stopped at any moment, saved or killed, ends
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

from elbo_ref.adam import Adam, AdamState, ClippedAdam
from elbo_ref.archive import read_arrays
from elbo_ref.arguments import FloatArray
from elbo_ref.atomic import sweep, write
from elbo_ref.beta import Beta
from elbo_ref.climb import Block, Climb, Moment, Setup, Snapshot
from elbo_ref.counts import Counts
from elbo_ref.guides import GUIDES
from elbo_ref.run import Run

_SCHEMA = "elbo_ref/checkpoint/1"
_OPTIMIZERS = {"Adam": Adam, "ClippedAdam": ClippedAdam}
_SECONDS, _SHARE = 1.0, 20
"""A file is written at most once a second, and in no more than a twentieth of the time."""

_ADAM = ("first_moment", "second_moment", "largest")


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
        If the optimizer is not an Adam or a ClippedAdam.
    OSError
        If the file cannot be written, or exists and is not to be overwritten.

    Examples
    --------
    >>> import tempfile
    >>> from elbo_ref.svi import maximize_elbo
    >>> half = maximize_elbo(Counts(3, 10), num_steps=50)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_run(half, Path(folder, "run.npz"))
    ...     whole = load_run(Path(folder, "run.npz")).resume(num_steps=50)
    >>> whole.prior == maximize_elbo(Counts(3, 10), num_steps=100).prior
    True
    """
    write(path, pack([(run.snapshot, run.num_steps)]), overwrite)


def load_run(path: str | Path) -> Run:
    """A run from `save_run`.

    Raises
    ------
    CheckpointError
        If the file is not one.
    OSError
        If it cannot be read.
    """
    snapshots = load(path)
    if len(snapshots) != 1:
        raise CheckpointError(f"{path}: it holds {len(snapshots)} runs, not one")
    snapshot, num_steps = snapshots[0]
    return Run.of(Climb(snapshot), num_steps)


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
        self._next = 0.0

    def take_up(self) -> None:
        """Go on from the file, if it is there.

        Raises
        ------
        ValueError
            If it is no checkpoint, or one of other runs.
        """
        assert self.path is not None
        sweep(self.path)
        if not self.path.exists():
            return
        for snapshot, _ in load(self.path):
            guide, steps = snapshot.setup.guide, snapshot.now.steps
            if guide not in self.climbs:
                raise ValueError(f"{self.path} holds a run with guide {guide}, not asked for")
            asked = self.climbs[guide].setup
            for name, old, new in zip(Setup._fields, snapshot.setup, asked, strict=True):
                if _differs(old, new):
                    raise ValueError(f"{self.path} holds a run with another {name}")
            if steps > self.num_steps:
                raise ValueError(f"{self.path} holds a run of {steps} steps already")
            self.climbs[guide] = Climb(snapshot)

    def save(self) -> None:
        """Write the file.

        Raises
        ------
        OSError
            If that fails; the file is then as it was.
        """
        if self.path is not None:
            begun = time.monotonic()
            climbs = self.climbs.values()
            write(self.path, pack([(c.snapshot(), self.num_steps) for c in climbs]), overwrite=True)
            now = time.monotonic()
            self._next = now + max(_SECONDS, _SHARE * (now - begun))

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
        notes.append(
            {
                "counts": setup.counts.to_dict(),
                "guide": setup.guide,
                "loss": setup.loss,
                "prior": [x.tolist() for x in setup.prior.arrays()],
                "learn_prior": setup.learn_prior,
                "optimizer": {"name": name, **asdict(setup.optimizer)},  # type: ignore[call-overload]
                "num_particles": setup.num_particles,
                "num_steps": num_steps,
                "seed": setup.seed,
                "generator": _plain(now.generator),
                "adam_step": now.adam.step,
                "steps": now.steps,
                "stride": settled.stride,
                "ended": snapshot.ended,
            }
        )
        own = {"own": setup.own, "vector": now.vector, "rows": snapshot.rows}
        moments = {name: getattr(now.adam, name) for name in _ADAM}
        past = {name: getattr(settled, name) for name in ("losses", "priors", "owns")}
        for key, array in {**own, **moments, **past, "values": snapshot.values}.items():
            arrays[f"{i}/{key}"] = array
    text = json.dumps({"schema": _SCHEMA, "runs": notes}, sort_keys=True)
    file = io.BytesIO()
    np.savez(file, runs=np.array(text), **arrays)
    return file.getvalue()


def load(path: str | Path) -> list[tuple[Snapshot, int]]:
    """The snapshots of a file, each with its number of steps."""
    try:
        members = read_arrays(path)
        document = json.loads(str(members.pop("runs")))
        if document["schema"] != _SCHEMA:
            raise CheckpointError(f"{path}: schema {document['schema']!r} is not {_SCHEMA!r}")
        return [_snapshot(note, members, f"{i}/") for i, note in enumerate(document["runs"])]
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of elbo_ref: {error}") from None


def _snapshot(
    note: dict[str, Any], members: dict[str, FloatArray], place: str
) -> tuple[Snapshot, int]:
    own, vector, rows, values = (members[place + x] for x in ("own", "vector", "rows", "values"))
    losses, priors, owns = (members[place + x] for x in ("losses", "priors", "owns"))
    settings = dict(note["optimizer"])
    optimizer = _OPTIMIZERS[settings.pop("name")]
    adam = AdamState(note["adam_step"], *(members[place + name] for name in _ADAM))
    setup = Setup(
        counts=Counts.from_columns(**note["counts"]),
        guide=GUIDES[note["guide"]].name,
        loss=note["loss"],
        prior=Beta(*note["prior"]),
        learn_prior=note["learn_prior"],
        own=own,
        optimizer=optimizer(**settings),
        num_particles=note["num_particles"],
        seed=note["seed"],
    )
    now = Moment(note["steps"], vector, adam, _from_plain(note["generator"]))
    settled = Block(0, losses, priors, owns, note["stride"])
    sizes = {
        "steps": settled.end + len(rows),
        "rows": len(values),
        "vector": setup.space().start.size,
    }
    found = {"steps": now.steps, "rows": len(rows), "vector": vector.size}
    if sizes != found or rows.shape[1:] != vector.shape:
        raise ValueError(f"its parts have sizes {found} where {sizes} are needed")
    return Snapshot(setup, now, settled, rows, values, note["ended"]), note["num_steps"]


def _differs(old: Any, new: Any) -> bool:
    return not np.array_equal(old, new) if isinstance(old, np.ndarray) else bool(old != new)


def _plain(value: Any) -> Any:
    """A generator's state with its arrays as lists, marked by their type."""
    if isinstance(value, dict):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.name, "items": value.tolist()}
    return value if isinstance(value, str) else int(value)


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"dtype", "items"}:
        return np.array(value["items"], value["dtype"])
    if isinstance(value, dict):
        return {key: _from_plain(x) for key, x in value.items()}
    return value
