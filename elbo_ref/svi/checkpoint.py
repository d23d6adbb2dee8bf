"""Runs saved and taken up again: every number that the next step needs, in a plain npz.

A file holds one or several runs. Of each it keeps the settings, the parameters, Adam's moments, the
generator's state, the losses and rows so far, and the steps that still wait for their losses
(`elbo_ref.svi.loop`); so a run that was stopped at any moment, saved or killed, ends with the bytes
of one that was not. What is not an array is JSON text in the member ``runs``. Nothing is pickled,
and loading runs no code from the file.
"""

from __future__ import annotations

import io
import json
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import (
    FloatArray,
    check_type,
    file_path,
    require,
    underflow_is_zero,
)
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.io.archive import check_all_taken, read_arrays, take
from elbo_ref.io.atomic import write
from elbo_ref.io.fields import parse
from elbo_ref.objectives import Renyi, ScoreFunction
from elbo_ref.svi.checkpoint_fields import (
    DOCUMENT,
    GENERATORS,
    SCHEMA,
    generator_from_plain,
    generator_to_plain,
)
from elbo_ref.svi.config import Config, checked_config
from elbo_ref.svi.loop import Rows, State, Waiting, joined
from elbo_ref.svi.optimizers import Adam, AdamState, ClippedAdam, ExponentialLR
from elbo_ref.svi.result import Run, run_at

_OPTIMIZERS = (Adam, ClippedAdam, ExponentialLR)
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in _OPTIMIZERS}
_KINDS |= {kind.name: kind for kind in (Renyi, ScoreFunction)}
_SECONDS, _SHARE = 1.0, 20
"""A file is written at most once a second, and in no more than a twentieth of the time."""

_PLAIN = ("learn_prior", "num_particles", "constraint", "subsample_size")
_ARRAYS = ("own", "vector", "losses", "priors", "owns", "rows", "values")
_ADAM = ("first_moment", "second_moment", "largest")

_ADVICE = "use the copy before it, or start the run anew (elbo_ref.save_run writes such files)"
_WORDS = {
    "learn_prior": "whether the prior is learned",
    "guide_start": "where the guide starts",
}


class CheckpointError(ValueError):
    """A file that is not a checkpoint; the message says what is wrong."""


def save_run(run: Run, path: str | Path, *, overwrite: bool = False) -> None:
    """Save a run, so that `load_run` gives it back and it can be resumed.

    Parameters
    ----------
    run : Run
    path : str or Path
        The file appears whole or not at all.
    overwrite : bool
        Replace an existing file.

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
    write(file_path("path", path), pack([(run.config, run.state, run.num_steps)]), overwrite)


@underflow_is_zero
def load_run(path: str | Path) -> Run:
    """Load a run that `save_run` has saved.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Run

    Raises
    ------
    CheckpointError
        If the file is not one.
    OSError
        If it cannot be read.
    """
    runs = load(file_path("path", path))
    if len(runs) != 1:
        raise CheckpointError(f"{path}: it holds {len(runs)} runs, not one")
    return run_at(*runs[0])


class Checkpoint:
    """Runs that go on under one file, each under its guide's name; without a path, no file.

    Parameters
    ----------
    path : Path or None
    configs : dict
        The settings of each run.
    states : dict
        The state of each run; whoever advances one puts its new state here.
    num_steps : int
        The number of steps that each is to make.
    """

    def __init__(
        self,
        path: Path | None,
        configs: dict[str, Config],
        states: dict[str, State],
        num_steps: int,
    ) -> None:
        self.path, self.configs, self.states, self.num_steps = path, configs, states, num_steps
        self.error: OSError | None = None
        """The error when the file was last written."""
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
        for config, state, _ in load(self.path):
            guide = config.guide
            if guide not in self.configs:
                raise ValueError(f"{self.path} holds a run with guide {guide}, not asked for")
            for name in (field.name for field in fields(Config)):
                old, new = getattr(config, name), getattr(self.configs[guide], name)
                if not np.array_equal(old, new) if isinstance(old, np.ndarray) else old != new:
                    what = _WORDS.get(name, name)
                    raise ValueError(f"{self.path} holds a run that differs in {what}")
            if state.step > self.num_steps:
                raise ValueError(f"{self.path} holds a run of {state.step} steps already")
            self.states[guide] = state

    def save(self) -> None:
        """Write the file; if that fails, leave it as it was and keep the `error`."""
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
        """Return the bytes of the file, as the runs stand."""
        runs = [
            (self.configs[guide], state, self.num_steps) for guide, state in self.states.items()
        ]
        return pack(runs)

    def save_now_and_then(self) -> None:
        """Write it if that was not done lately."""
        if self.path is not None and time.monotonic() >= self._next:
            self.save()


def pack(runs: list[tuple[Config, State, int]]) -> bytes:
    """Put runs, each with its number of steps, into the bytes of a file."""
    arrays: dict[str, Any] = {}
    notes = []
    for i, (config, state, num_steps) in enumerate(runs):
        name, generator = type(config.optimizer).__name__, state.generator["bit_generator"]
        if type(config.optimizer) not in _OPTIMIZERS:
            raise TypeError(f"a run with the optimizer {name} cannot be saved")
        if generator not in GENERATORS:
            raise TypeError(f"a run with the generator {generator} cannot be saved")
        rows = joined(state.rows)
        notes.append(
            {
                "counts": config.counts.to_dict(),
                "guide": config.guide,
                "loss": _note(config.loss),
                "prior": [x.tolist() for x in config.prior.arrays()],
                "optimizer": _note(config.optimizer),
                **{name: getattr(config, name) for name in _PLAIN},
                "num_steps": num_steps,
                "seed": config.seed,
                "generator": generator_to_plain(state.generator),
                "adam_step": state.optimizer.step,
                "steps": state.step,
                "stride": rows.stride,
                "ended": state.ended,
            }
        )
        waiting = state.waiting.arrays(state.vector.size)
        parts = [config.guide_start, state.vector, *rows[1:4], *waiting]
        arrays |= {f"{i}/{key}": part for key, part in zip(_ARRAYS, parts, strict=True)}
        arrays |= {f"{i}/{key}": getattr(state.optimizer, key) for key in _ADAM}
    text = json.dumps({"schema": SCHEMA, "runs": notes}, sort_keys=True, allow_nan=False)
    file = io.BytesIO()
    np.savez(file, runs=np.array(text), **arrays)
    return file.getvalue()


def load(path: str | Path) -> list[tuple[Config, State, int]]:
    """Read the runs of a file, each with its number of steps."""
    try:
        with np.errstate(all="ignore"):
            return _unpack(read_arrays(path))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of elbo_ref: {error}; {_ADVICE}") from None


def _unpack(members: dict[str, Any]) -> list[tuple[Config, State, int]]:
    """Read the runs from the members of a file.

    Raises
    ------
    ValueError, TypeError
        If there is anything in them that no run can have left.
    """
    document = parse(str(take(members, "runs")))
    DOCUMENT("", document)
    runs = [_run(note, members, i) for i, note in enumerate(document["runs"])]
    check_all_taken(members)
    return runs


def _run(note: dict[str, Any], members: dict[str, Any], i: int) -> tuple[Config, State, int]:
    arrays = {name: take(members, f"{i}/{name}") for name in (*_ARRAYS, *_ADAM)}
    config = _config(note, arrays["own"])
    if arrays["losses"].ndim != 1:
        shape = arrays["losses"].shape
        raise ValueError(f"losses has shape {shape}, not one number for each step")
    _check_shapes(arrays, config, note)
    rows = Rows(0, arrays["losses"], arrays["priors"], arrays["owns"], note["stride"])
    values = arrays["values"] if config.objective.random else np.zeros_like(arrays["values"])
    state = State(
        step=note["steps"],
        vector=arrays["vector"],
        optimizer=AdamState(note["adam_step"], *(arrays[name] for name in _ADAM)),
        generator=generator_from_plain(note["generator"]),
        rows=(rows,),
        waiting=Waiting.of(arrays["rows"], values),
        ended=note["ended"],
    )
    _check_values(config, state)
    run_at(config, state, note["num_steps"])  # what no run can be made of is refused here
    return config, state, note["num_steps"]


def _config(note: dict[str, Any], guide_start: FloatArray) -> Config:
    """Check the settings by the door that they came in by."""
    config = checked_config(
        Counts.from_columns(**note["counts"]),
        note["guide"],
        loss=_value(note["loss"]),
        prior=Beta(*note["prior"]),
        optimizer=_value(note["optimizer"]),
        rng=0,
        **{name: note[name] for name in _PLAIN},
    )
    _check_array("own", guide_start, config.guide_start.shape)
    return replace(config, guide_start=guide_start, seed=note["seed"])


def _check_shapes(arrays: dict[str, Any], config: Config, note: dict[str, Any]) -> None:
    """Refuse arrays that do not fit together."""
    start = config.parameters.start
    k, size = config.parameters.split(start)[1].shape
    done = len(arrays["losses"])
    waiting = note["steps"] - done
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("vector", *_ADAM), start.shape)
    shapes |= {"owns": (k, -(-done // note["stride"]), size)}
    shapes |= {"losses": (done,), "priors": (2, done)}
    shapes |= {"rows": (waiting, *start.shape), "values": (waiting,)}
    for name, shape in shapes.items():
        _check_array(name, arrays[name], shape)


def _check_array(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape, or not of float64."""
    if array.shape != shape or array.dtype != np.float64:
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, not {shape}")


def _check_values(config: Config, state: State) -> None:
    """Refuse numbers that no run reaches."""
    adam_step, first, second, largest = state.optimizer
    if adam_step < state.step or (adam_step > state.step and state.ended is None):
        raise ValueError(f"adam_step = {adam_step} is not the number of steps, {state.step}")
    if isinstance(state.ended, int) and state.ended >= state.vector.size:
        raise ValueError(f"ended = {state.ended} is none of {state.vector.size} parameters")
    parameters, losses = config.parameters, state.rows[0].losses
    for vector in (parameters.start, state.vector, *(row for row, _ in state.waiting.items)):
        outside = parameters.outside(vector)
        if outside is not None:
            raise ValueError(f"{parameters.name(outside)} is not in {parameters.range(outside)}")
    for name, array, good, rule in (
        ("losses", losses, np.isfinite(losses), "is not finite"),
        ("first_moment", first, np.isfinite(first), "is not finite"),
        ("second_moment", second, second >= 0, "is not at least 0"),
        ("largest", largest, largest >= second, "is less than the second moment"),
    ):
        require(name, array, good, rule)


def _note(value: Any) -> Any:
    """Turn the settings of an optimizer or a loss into plain values; a name is one."""
    if isinstance(value, str):
        return value
    return {"name": getattr(value, "name", type(value).__name__), **asdict(value)}


def _value(note: Any) -> Any:
    """Make the optimizer or loss of a note."""
    if isinstance(note, str):
        return note
    settings = {key: value for key, value in note.items() if key != "name"}
    if "optimizer" in settings:
        settings["optimizer"] = Adam(**settings["optimizer"])
    return _KINDS[note["name"]](**settings)
