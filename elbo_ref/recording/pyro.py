"""`record`: the steps of Pyro's SVI, noted while ``svi.step`` makes them.

``SVI.step`` looks up two things on the instance, ``loss_and_grads`` and ``optim``, and both are
replaced for the time of the context.

* Around the first stands a messenger, outside of all handlers of the ELBO, so that it sees every
  site as it is settled, draws nothing and changes nothing. Pyro's own trial run, by which it
  guesses the depth of plates, is hidden from it as from everybody.
* Around the second, parameters and their gradients are copied before and after the optimizer has
  them; Pyro sets the gradients to zero afterwards.

Nothing is ever drawn, and no tensor of the run is written to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref.recording.notes import Recording
from elbo_ref.recording.steps import (
    SiteNotes,
    base_distribution,
    import_framework,
    make_recording,
)

_PARTICLES = "num_particles_vectorized"
"""The plate of Pyro's ELBOs."""

_MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


@contextmanager
def record(svi: Any) -> Iterator[Recorder]:
    """Note every ``svi.step`` inside the context; see `Recording` for what.

    Parameters
    ----------
    svi : pyro.infer.SVI
        With a loss whose steps return one number.

    Yields
    ------
    Recorder
        ``recorder.recording`` is what has been noted, during the context and after it.

    Raises
    ------
    ModuleNotFoundError
        If Pyro is not installed.
    TypeError, ValueError
        If `svi` is something else, or does what cannot be recorded: a compiled loss, one that
        returns several numbers, a masked site, a parameter outside the parameter store.

    See Also
    --------
    record_numpyro : The same for NumPyro.
    elbo_ref.replay : Recompute what has been recorded.

    Examples
    --------
    ::

        with er.recording.record(svi) as recorder:
            for _ in range(100):
                svi.step()
        recorder.recording.save("run.npz")
    """
    pyro, torch = import_framework("pyro", "torch", function="record", package="pyro-ppl")
    if not isinstance(svi, pyro.infer.SVI):
        raise TypeError(f"svi must be a pyro.infer.SVI, not {type(svi).__name__}")
    recorder = Recorder(
        svi,
        {
            "framework": "pyro",
            "versions": {"pyro": pyro.__version__, "torch": torch.__version__},
            "loss": _described_loss(svi),
        },
    )
    originals = svi.loss_and_grads, svi.optim
    svi.loss_and_grads = recorder._loss_and_grads
    svi.optim = _Optimizer(svi.optim, recorder._update)
    try:
        yield recorder
    finally:
        svi.loss_and_grads, svi.optim = originals


def _described_loss(svi: Any) -> dict[str, Any]:
    """Describe the loss for the header.

    Raises
    ------
    ValueError
        If it is compiled.
    """
    from pyro.infer import ELBO, RenyiELBO

    elbo = getattr(svi.loss_and_grads, "__self__", None)
    if not isinstance(elbo, ELBO):
        return {"class": None}
    kind = type(elbo).__name__
    if kind.startswith("Jit"):
        raise ValueError(f"{kind} is compiled and cannot be recorded: use {kind[3:]}")
    loss = {
        "class": kind,
        "bases": [base.__name__ for base in type(elbo).__mro__[1:]],
        "num_particles": int(elbo.num_particles),
        "vectorize_particles": bool(elbo.vectorize_particles),
    }
    return loss | ({"alpha": float(elbo.alpha)} if isinstance(elbo, RenyiELBO) else {})


class _Optimizer:
    """A ``PyroOptim`` that is watched; everything but the call is the original's."""

    def __init__(self, original: Any, update: Callable[..., None]) -> None:
        self._original, self._update = original, update

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._update(params, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class Recorder:
    """The steps of an SVI that have been noted so far; `record` makes one."""

    def __init__(self, svi: Any, header: dict[str, Any]) -> None:
        self._original, self._optimizer = svi.loss_and_grads, svi.optim
        self._header, loss = header, header["loss"]
        self._particles = int(loss["num_particles"]) if loss.get("vectorize_particles") else 1
        self._step: dict[str, Any] = {}
        self._steps: list[dict[str, Any]] = []
        self._moments: dict[str, NDArray[Any]] = {}

    @property
    def num_steps(self) -> int:
        """The number of steps noted."""
        return len(self._steps)

    @property
    def recording(self) -> Recording:
        """All steps so far.

        Raises
        ------
        ValueError
            If there is none, or if the sites, the parameters or their shapes were not the same in
            all of them.
        """
        if not self._steps:
            raise ValueError("no step has been recorded: call svi.step inside the context")
        return make_recording(self._steps, self._header, self._moments)

    def _loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the loss, and note the sites: the first half of a step."""
        notes = _Listener()
        with notes.messenger():
            programs = notes.within("model", model), notes.within("guide", guide)
            loss = self._original(*programs, *args, **kwargs)
        if isinstance(loss, tuple):
            raise TypeError(f"a loss of {len(loss)} numbers cannot be recorded")
        self._step = {"losses": float(loss), **notes.groups(self._particles)}
        self._header.setdefault("sites", list(notes.sites.values()))
        self._header.setdefault("plates", notes.plates)
        return loss

    def _update(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Call the optimizer, and note the parameters: the second half of a step."""
        import pyro

        store = pyro.get_param_store()
        pairs = [(store.param_name(p), p) for p in params]
        if any(name is None for name, _ in pairs):
            raise ValueError("a parameter outside Pyro's parameter store cannot be recorded")
        named: dict[str, Any] = dict(sorted(pairs, key=lambda pair: pair[0]))
        if not self.num_steps:
            self._note_start(named, store)
        step = self._step
        step["before"] = {name: _array(p) for name, p in named.items()}
        step["constrained"] = {name: _array(store[name]) for name in named}
        step["gradients"] = {
            name: np.zeros_like(step["before"][name]) if p.grad is None else _array(p.grad)
            for name, p in named.items()
        }
        self._optimizer(params, *args, **kwargs)
        step["after"] = {name: _array(p) for name, p in named.items()}
        groups = {name: self._torch_optimizer(p).param_groups[0] for name, p in named.items()}
        step["lr"] = {name: np.float64(group["lr"]) for name, group in groups.items()}
        if not self.num_steps:
            self._note_settings(groups, named)
        self._steps.append(step)

    def _note_start(self, named: dict[str, Any], store: Any) -> None:
        """Note constraints, and the optimizer's memory of steps before this one."""
        steps = {}
        for name, p in named.items():
            held = p in self._optimizer.optim_objs
            state = self._torch_optimizer(p).state.get(p, {}) if held else {}
            if "exp_avg" in state:
                moments = [_array(state.get(key, state["exp_avg_sq"])) for key in _MOMENTS]
                self._moments[name] = np.stack(moments)
                steps[name] = int(state["step"])
        constraints = {name: _constraint(store._constraints[name]) for name in named}
        self._header |= {"constraints": constraints, "earlier_steps": steps}

    def _note_settings(self, groups: dict[str, Any], named: dict[str, Any]) -> None:
        kinds = (bool, int, float, str, type(None))
        settings = {}
        for name, group in groups.items():
            plain: dict[str, Any] = {
                key: value for key, value in group.items() if isinstance(value, kinds)
            }
            plain["lr"] = float(self._torch_optimizer(named[name]).defaults["lr"])
            if "betas" in group:
                plain["betas"] = [float(x) for x in group["betas"]]
            settings[name] = plain
        first = next(iter(named.values()), None)
        held = None if first is None else self._optimizer.optim_objs[first]
        clip = self._optimizer.pt_clip_args
        self._header["optimizer"] = {
            "class": None if first is None else type(self._torch_optimizer(first)).__name__,
            "scheduler": type(held).__name__ if hasattr(held, "optimizer") else None,
            "clip": "a function" if callable(clip) else dict(clip),
            "settings": settings,
        }

    def _torch_optimizer(self, p: Any) -> Any:
        held = self._optimizer.optim_objs[p]
        return getattr(held, "optimizer", held)


class _Listener(SiteNotes):
    """The sites of one step, noted from Pyro's messages."""

    program = ""

    def within(self, program: str, function: Any) -> Callable[..., Any]:
        """Wrap the model or the guide to say which of them it is while it runs."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            outer, self.program = self.program, program
            try:
                return function(*args, **kwargs)
            finally:
                self.program = outer

        return wrapped

    def messenger(self) -> Any:
        """Make the context in which Pyro's sites are noted."""
        import torch
        from pyro.poutine.messenger import Messenger

        note = torch.no_grad()(self._note)

        class Listener(Messenger):  # type: ignore[misc]
            def _pyro_post_sample(self, msg: Any) -> None:
                note(msg)

        return Listener()

    def _note(self, msg: Any) -> None:
        name, fn, program = msg["name"], base_distribution(msg["fn"]), self.program
        if type(msg["fn"]).__name__ == "_Subsample":
            if msg["value"].numel() < msg["fn"].size:
                self.add_batch(name, _array(msg["value"]).ravel(), msg["fn"].size)
            return
        if msg["mask"] is not None:
            raise ValueError(f"the site {name!r} is masked, which cannot be recorded")
        observed, scale = bool(msg["is_observed"]), float(msg["scale"])
        if not observed and (program == "guide" or ("guide", name) not in self.sites):
            self.draws.setdefault(name, []).append(_array(msg["value"]))
        if (program, name) in self.sites:
            return
        if not math.isfinite(scale):
            raise ValueError(f"the site {name!r} has the scale {scale}")
        frames = msg["cond_indep_stack"]
        particles = [frame.dim for frame in frames if frame.name == _PARTICLES]
        self.add_site(
            program,
            name,
            type(fn).__name__,
            fn,
            value=msg["value"],
            observed=observed,
            flat=lambda tensor: _distinct(tensor, particles),
            reparameterized=bool(getattr(msg["fn"], "has_rsample", False)),
            scale=scale,
        )


def _distinct(tensor: Any, particles: list[int]) -> NDArray[Any]:
    """Flatten a tensor, cutting to one every axis along which it is expanded, or copied.

    A Binomial of integer total counts copies them for each particle.
    """
    cut = [slice(0, 1) if step == 0 else slice(None) for step in tensor.stride()]
    for axis in particles:
        if -axis <= tensor.ndim and bool((tensor == tensor.narrow(axis, 0, 1)).all()):
            cut[axis] = slice(0, 1)
    return _array(tensor[tuple(cut)]).ravel()


def _array(tensor: Any) -> NDArray[Any]:
    return np.array(tensor.detach().cpu().numpy())


def _constraint(constraint: Any) -> str:
    """Name a constraint as PyTorch and Pyro do: ``positive``, ``unit_interval``."""
    from torch.distributions import constraints

    constraint = getattr(constraint, "base_constraint", constraint)
    for name in ("positive", "unit_interval", "real"):
        if constraint is getattr(constraints, name):
            return name
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(constraint).__name__)
    return words.strip("_")
