"""`record_numpyro`: steps of NumPyro's SVI, with all that happened in them.

Each step is made by ``svi.update`` itself, so that the state is that of ``svi.update``, bit for
bit. The gradients are seen on their way to the optimizer; draws, arguments of the sites and the
gradients for these come from runs of the guide and the model with the same key
(`elbo_ref.recording.numpyro_programs`). A program that is another each time it is run, because it
draws from elsewhere than from NumPyro's key, has another loss there and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import count
from elbo_ref.recording.notes import Recording
from elbo_ref.recording.numpyro_optimizers import as_arrays, describe
from elbo_ref.recording.numpyro_programs import Programs, shifts_of
from elbo_ref.recording.numpyro_sites import Traces, forms_of, note_sites, sizes_of
from elbo_ref.recording.steps import Link, import_framework, make_recording

_CONSTRAINTS = {
    "ExpTransform": "positive",
    "SoftplusTransform": "softplus_positive",
    "SigmoidTransform": "unit_interval",
    "IdentityTransform": "real",
}

_FEW = 30
"""Steps that are so few that compiling the gradient does not pay."""

_NEAR = 1e-3
"""Relative difference of losses that are still of the same draws."""

_ROUNDINGS = 1000
"""The same in units of eps, of the number of all trials."""


def record_numpyro(
    svi: Any, state: Any, num_steps: int, *args: Any, **kwargs: Any
) -> tuple[Any, Recording]:
    """Make so many steps of NumPyro's SVI, and note them.

    Parameters
    ----------
    svi : numpyro.infer.SVI
    state : SVIState
        From ``svi.init`` or an earlier step.
    num_steps : int
    *args, **kwargs
        Further arguments of ``svi.update``.

    Returns
    -------
    state : SVIState
        As after so many calls of ``svi.update``.
    recording : Recording

    Raises
    ------
    ModuleNotFoundError
        If NumPyro is not installed.
    TypeError, ValueError
        If `svi` is something else, or does what cannot be recorded: a guide of several samples, an
        optimizer that is handed no gradient, a program that is another each time it is run.

    See Also
    --------
    record : The same for Pyro.
    elbo_ref.replay : Recompute what has been recorded.

    Examples
    --------
    ::

        state, recording = er.recording.record_numpyro(svi, svi.init(key), 100)
        recording.save("run.npz")
    """
    import_framework("jax", "numpyro", function="record_numpyro", package="numpyro")
    _check(svi, state)
    steps = count("num_steps", num_steps, 1)
    recorder = _Recorder(svi, state, args, kwargs, compiled=steps > _FEW)
    for _ in range(steps):
        state = recorder.step(state)
    return state, recorder.recording()


def _check(svi: Any, state: Any) -> None:
    """Check the arguments of `record_numpyro`."""
    import numpyro

    if not isinstance(svi, numpyro.infer.SVI):
        raise TypeError(f"svi must be a numpyro.infer.SVI, not {type(svi).__name__}")
    if not hasattr(state, "optim_state"):
        raise TypeError(
            f"state must be an SVIState, of svi.init, svi.update or svi.run(...).state, "
            f"not {type(state).__name__}"
        )
    if svi.constrain_fn is None:
        raise ValueError("svi has not been initialised: call svi.init, on this very object")
    if getattr(svi.loss, "multi_sample_guide", False):
        raise ValueError("a guide of several samples cannot be recorded")


class _Recorder:
    """The steps of an SVI that have been noted so far."""

    def __init__(
        self, svi: Any, state: Any, args: Any, kwargs: Mapping[str, Any], *, compiled: bool
    ) -> None:
        import jax
        import numpyro

        self._svi, self._args, self._kwargs = svi, args, kwargs
        self._programs = Programs(svi, args, kwargs)
        self._optimizer = describe(svi.optim)
        self._start = int(state.optim_state[0])
        self._links: dict[str, Link] = {}
        self._steps: list[dict[str, Any]] = []
        free = svi.optim.get_params(state.optim_state)
        key, data = jax.random.split(state.rng_key)[1], _data(svi, state)
        traces = self._programs.traces(key, data)
        self._forms, self._plates = forms_of(traces), sizes_of(traces)
        self._sources = self._programs.sources(key, free, lambda x: _data(svi, state, x))
        self._shifts = shifts_of(self._forms, self._sources)
        self._gradient = jax.value_and_grad(self._programs.loss, argnums=2)
        if compiled:
            self._gradient = _compiled(self._gradient)
        self._header: dict[str, Any] = {
            "framework": "numpyro",
            "versions": {"numpyro": numpyro.__version__, "jax": jax.__version__},
            "loss": _described_loss(svi.loss),
            **_constraints(svi, traces, free),
            **_statements(traces, list(as_arrays(free))),
        }
        self._moments: dict[str, NDArray[Any]] = {}
        if self._start and self._optimizer.moments is not None:
            first, second = map(as_arrays, self._optimizer.moments(state.optim_state[1]))
            self._moments = {x: np.stack((first[x], second[x], second[x])) for x in first}
        self._header["earlier_steps"] = dict.fromkeys(self._moments, self._start)

    def step(self, state: Any) -> Any:
        """Make a step and note it."""
        import jax

        svi, key = self._svi, jax.random.split(state.rng_key)[1]
        data, number = _data(svi, state), int(state.optim_state[0])
        step: dict[str, Any] = {
            "before": as_arrays(svi.optim.get_params(state.optim_state)),
            "constrained": as_arrays(svi.get_params(state)),
        }
        values, batches = jax.device_get(self._programs.values(key, data))
        again, gradients = jax.device_get(self._gradient(key, data, self._shifts))
        with _seen_gradients(svi.optim) as seen:
            state, loss = svi.update(state, *self._args, **self._kwargs)
        if len(seen) != 1:
            kind = type(svi.optim).__name__
            raise ValueError(f"{kind} is not handed one gradient a step, and cannot be recorded")
        _check_repeats(float(loss), float(again), values)
        notes = note_sites(self._forms, values, gradients, self._links)
        for name, index in batches.items():
            if index[0].size < self._plates[name]:
                notes.add_batch(name, index[0], self._plates[name])
        step |= {
            **notes.groups(),
            "losses": float(loss),
            "gradients": as_arrays(seen[0]),
            "after": as_arrays(svi.optim.get_params(state.optim_state)),
        }
        if self._optimizer.rate is not None:
            step["lr"] = dict.fromkeys(step["before"], np.asarray(self._optimizer.rate(number)))
        if not self._steps:
            for place, site in notes.sites.items():
                site["sources"] = self._sources.get(place, {})
            self._header |= {"plates": notes.plates}
        step["sites"] = notes.sites
        self._steps.append(step)
        return state

    def recording(self) -> Recording:
        """Make the recording of all steps."""
        gradients = [step["gradients"] for step in self._steps]
        described = self._optimizer.header(list(gradients[0]), self._start, gradients)
        header = {**self._header, "optimizer": described}
        return make_recording(self._steps, header, self._moments)


def _data(svi: Any, state: Any, free: Any = None) -> dict[str, Any]:
    """Collect the values that the programs are run with: parameters, and the mutable state."""
    if free is None:
        free = svi.optim.get_params(state.optim_state)
    return {**svi.constrain_fn(free), **(state.mutable_state or {})}


def _compiled(gradient: Any) -> Any:
    """Compile a gradient; where the programs need to know values, leave it as it is."""
    import jax

    fast = jax.jit(gradient)

    def evaluate(*args: Any) -> Any:
        nonlocal fast
        try:
            return fast(*args)
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
            if fast is gradient:
                raise
            fast = gradient
            return gradient(*args)

    return evaluate


def _check_repeats(loss: float, again: float, values: Mapping[str, Any]) -> None:
    """Check that programs run again have the loss that they had in the step.

    Raises
    ------
    ValueError
        If they have not.
    """
    trials = sum(
        float(np.abs(x["total_count"]).sum()) * x["value"][0].size / x["total_count"].size
        for x in values.values()
        if "total_count" in x
    )
    room = _NEAR * (1 + abs(loss)) + _ROUNDINGS * float(np.finfo(np.float32).eps) * trials
    if np.isfinite(loss) and np.isfinite(again) and abs(loss - again) > room:
        raise ValueError(
            f"the loss is {loss:.6g} in a step, and {again:.6g} when its programs are run again "
            "with its key: they draw, or take their data, from elsewhere, and cannot be recorded; "
            "use numpyro.prng_key, or hand minibatches to svi.update"
        )


def _described_loss(loss: Any) -> dict[str, Any]:
    """Describe the loss for the header."""
    from numpyro.infer import RenyiELBO

    described: dict[str, Any] = {
        "class": type(loss).__name__,
        "bases": [base.__name__ for base in type(loss).__mro__[1:]],
        "num_particles": int(loss.num_particles),
    }
    if isinstance(loss, RenyiELBO):  # whose particles see one minibatch
        described |= {"alpha": float(loss.alpha), "vectorize_particles": True}
    return described


def _statements(traces: Traces, names: list[str]) -> dict[str, Any]:
    """Find the programs that state each parameter, and those with other initial values."""
    import jax.numpy as jnp

    programs: dict[str, list[str]] = {}
    initial: dict[str, NDArray[Any]] = {}
    conflicts: set[str] = set()
    for program, trace in sorted(traces.items()):
        for name, site in trace.items():
            if site["type"] != "param":
                continue
            inside = [x for x in names if x == name or x.startswith(f"{name}.")]
            for parameter in inside:
                programs.setdefault(parameter, []).append(program)
            if inside == [name] and site["args"] and site["args"][0] is not None:
                value = np.asarray(jnp.asarray(site["args"][0]))
                if not np.array_equal(initial.setdefault(name, value), value):
                    conflicts.add(name)
    return {"programs": programs, "conflicts": sorted(conflicts)}


def _constraints(svi: Any, traces: Traces, free: Mapping[str, Any]) -> dict[str, Any]:
    """Name the constraint of each parameter, ``positive``, ``unit_interval``, and its ends."""
    kinds, ends = {}, {}
    for name in as_arrays(free):
        whole = next(x for x in free if name == x or name.startswith(f"{x}."))
        transform = svi.constrain_fn.args[0].get(whole)
        while type(transform).__name__ == "IndependentTransform":
            transform = transform.base_transform
        stated = [trace[whole] for trace in traces.values() if whole in trace]
        constraint = stated[0]["kwargs"].get("constraint") if stated else None
        constraint = getattr(constraint, "base_constraint", constraint)
        kind = type(transform).__name__
        if kind not in _CONSTRAINTS and constraint is not None:
            words = type(constraint).__name__
            kind = "".join(f"_{x.lower()}" if x.isupper() else x for x in words).strip("_")
        kinds[name] = _CONSTRAINTS.get(kind, kind)
        bounds = {"low": "lower_bound", "high": "upper_bound"}
        values = {key: getattr(constraint, x, None) for key, x in bounds.items()}
        known = {key: x for key, x in values.items() if x is not None and np.size(x) == 1}
        finite = {key: float(np.reshape(x, ())) for key, x in known.items()}
        ends[name] = {key: x for key, x in finite.items() if np.isfinite(x)}
    return {"constraints": kinds, "ends": ends}


@contextmanager
def _seen_gradients(optim: Any) -> Iterator[list[Any]]:
    """Collect the gradients that the optimizer is given."""
    seen: list[Any] = []
    original = optim.update

    def update(gradients: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(gradients)
        return original(gradients, *args, **kwargs)

    optim.update = update
    try:
        yield seen
    finally:
        del optim.update
