"""`record`: what ``svi.step`` of Pyro does, noted while it does it.

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

_ARGUMENTS = {
    "Beta": ("concentration1", "concentration0"),
    "Normal": ("loc", "scale"),
    "Binomial": ("total_count",),
}
"""What of a site's distribution is noted, by its class."""

_PARTICLES = "num_particles_vectorized"
"""The plate of Pyro's ELBOs."""

_MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


class Recorder:
    """What has been noted so far."""

    def __init__(self, header: dict[str, Any]) -> None:
        self._header = header
        self._steps: list[dict[str, Any]] = []
        self._moments: dict[str, NDArray[Any]] = {}

    @property
    def num_steps(self) -> int:
        """How many steps have been noted."""
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
        groups: dict[str, Any] = {}
        for group in self._steps[0]:
            rows = [step[group] for step in self._steps]
            if group == "losses":
                groups[group] = np.array(rows, dtype=np.float64)
                continue
            for i, row in enumerate(rows):
                for name in row.keys() ^ rows[0].keys():
                    raise ValueError(f"{group}: {name!r} is not in all steps: see step {i}")
            groups[group] = {name: _stacked(group, name, rows) for name in rows[0]}
        for name, array in groups["observed"].items():
            if (array == array[:1]).all():
                groups["observed"][name] = array[:1]
        return Recording(header=self._header, moments=self._moments, **groups)


def _stacked(group: str, name: str, rows: list[dict[str, NDArray[Any]]]) -> NDArray[Any]:
    shapes = {row[name].shape for row in rows}
    if len(shapes) > 1:
        raise ValueError(f"{group}: {name!r} has the shapes {sorted(shapes)} in different steps")
    return np.stack([row[name] for row in rows])


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

    Examples
    --------
    ::

        with er.recording.record(svi) as recorder:
            for _ in range(100):
                svi.step()
        recorder.recording.save("run.npz")
    """
    try:
        import pyro
        import torch
    except ModuleNotFoundError as error:
        if error.name not in ("pyro", "torch"):
            raise
        raise ModuleNotFoundError(
            f"record needs {error.name}: pip install pyro-ppl", name=error.name
        ) from None
    if not isinstance(svi, pyro.infer.SVI):
        raise TypeError(f"svi must be a pyro.infer.SVI, not {type(svi).__name__}")
    elbo = getattr(svi.loss_and_grads, "__self__", None)
    kind = type(elbo).__name__ if isinstance(elbo, pyro.infer.ELBO) else None
    if kind is not None and kind.startswith("Jit"):
        raise ValueError(f"{kind} is compiled and cannot be recorded: use {kind[3:]}")
    loss: dict[str, Any] = {"class": kind}
    if elbo is not None and kind is not None:
        loss["bases"] = [base.__name__ for base in type(elbo).__mro__[1:]]
        loss["num_particles"] = int(elbo.num_particles)
        loss["vectorize_particles"] = bool(elbo.vectorize_particles)
        if isinstance(elbo, pyro.infer.RenyiELBO):
            loss["alpha"] = float(elbo.alpha)
    recorder = Recorder(
        {
            "framework": "pyro",
            "versions": {"pyro": pyro.__version__, "torch": torch.__version__},
            "loss": loss,
        }
    )
    watch = _Watch(recorder, svi.loss_and_grads, svi.optim, _particles(loss))
    svi.loss_and_grads, svi.optim = watch.loss_and_grads, _Optimizer(svi.optim, watch.update)
    try:
        yield recorder
    finally:
        svi.loss_and_grads, svi.optim = watch.original, watch.optimizer


def _particles(loss: dict[str, Any]) -> int:
    """How many particles one run of the model holds."""
    return int(loss["num_particles"]) if loss.get("vectorize_particles") else 1


class _Optimizer:
    """A ``PyroOptim`` that is watched; everything but the call is the original's."""

    def __init__(self, original: Any, update: Callable[..., None]) -> None:
        self._original, self._update = original, update

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._update(params, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class _Watch:
    """The two halves of a step: what the loss saw, then what the optimizer did."""

    def __init__(self, recorder: Recorder, original: Any, optimizer: Any, particles: int) -> None:
        self.recorder, self.original, self.optimizer = recorder, original, optimizer
        self.particles = particles
        self.step: dict[str, Any] = {}

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        ears = _Ears()
        with ears.listener():
            loss = self.original(
                ears.within("model", model), ears.within("guide", guide), *args, **kwargs
            )
        if isinstance(loss, tuple):
            raise TypeError(f"a loss of {len(loss)} numbers cannot be recorded")
        draws = {
            name: np.concatenate([run.reshape(self.particles, -1) for run in runs])
            for name, runs in ears.draws.items()
        }
        self.step = {
            "losses": float(loss),
            "draws": draws,
            "arguments": ears.arguments,
            "observed": ears.observed,
        }
        self.recorder._header.setdefault("sites", list(ears.sites.values()))
        self.recorder._header.setdefault("plates", ears.plates)
        return loss

    def update(self, params: Any, *args: Any, **kwargs: Any) -> None:
        import pyro

        store = pyro.get_param_store()
        found = [(store.param_name(p), p) for p in params]
        if any(name is None for name, _ in found):
            raise ValueError("a parameter outside Pyro's parameter store cannot be recorded")
        named: dict[str, Any] = dict(sorted(found, key=lambda pair: pair[0]))
        if not self.recorder.num_steps:
            self._note_start(named, store)
        step = self.step
        step["before"] = {name: _array(p) for name, p in named.items()}
        step["constrained"] = {name: _array(store[name]) for name in named}
        step["gradients"] = {
            name: np.zeros_like(step["before"][name]) if p.grad is None else _array(p.grad)
            for name, p in named.items()
        }
        self.optimizer(params, *args, **kwargs)
        step["after"] = {name: _array(p) for name, p in named.items()}
        groups = {name: self._torch_optimizer(p).param_groups[0] for name, p in named.items()}
        step["lr"] = {name: np.float64(group["lr"]) for name, group in groups.items()}
        if not self.recorder.num_steps:
            self._note_settings(groups, named)
        self.recorder._steps.append(step)

    def _note_start(self, named: dict[str, Any], store: Any) -> None:
        """Constraints, and what the optimizer remembers of steps before this one."""
        header, steps = self.recorder._header, {}
        header["constraints"] = {name: _name(store._constraints[name]) for name in named}
        for name, p in named.items():
            if p not in self.optimizer.optim_objs:
                continue
            state = self._torch_optimizer(p).state.get(p, {})
            if "exp_avg" in state:
                moments = [_array(state.get(key, state["exp_avg_sq"])) for key in _MOMENTS]
                self.recorder._moments[name] = np.stack(moments)
                steps[name] = int(state["step"])
        header["earlier_steps"] = steps

    def _note_settings(self, groups: dict[str, Any], named: dict[str, Any]) -> None:
        kinds = (bool, int, float, str, type(None))
        settings = {}
        for name, group in groups.items():
            plain = {key: value for key, value in group.items() if isinstance(value, kinds)}
            first = {"lr": float(self._torch_optimizer(named[name]).defaults["lr"])}
            betas = {"betas": [float(x) for x in group["betas"]]} if "betas" in group else {}
            settings[name] = plain | first | betas
        some = next(iter(named.values()), None)
        held = None if some is None else self.optimizer.optim_objs[some]
        clip = self.optimizer.pt_clip_args
        self.recorder._header["optimizer"] = {
            "class": None if some is None else type(self._torch_optimizer(some)).__name__,
            "scheduler": type(held).__name__ if hasattr(held, "optimizer") else None,
            "clip": "a function" if callable(clip) else dict(clip),
            "settings": settings,
        }

    def _torch_optimizer(self, p: Any) -> Any:
        held = self.optimizer.optim_objs[p]
        return getattr(held, "optimizer", held)


class _Ears:
    """What is heard of the sites of one step."""

    def __init__(self) -> None:
        self.program = ""
        self.draws: dict[str, list[NDArray[Any]]] = {}
        self.arguments: dict[str, NDArray[Any]] = {}
        self.observed: dict[str, NDArray[Any]] = {}
        self.sites: dict[tuple[str, str], dict[str, Any]] = {}
        self.plates: dict[str, int] = {}

    def within(self, program: str, function: Any) -> Callable[..., Any]:
        """The model or the guide, saying which of them it is while it runs."""

        def told(*args: Any, **kwargs: Any) -> Any:
            outer, self.program = self.program, program
            try:
                return function(*args, **kwargs)
            finally:
                self.program = outer

        return told

    def listener(self) -> Any:
        from pyro.poutine.messenger import Messenger

        ears = self

        class Listener(Messenger):  # type: ignore[misc]
            def _pyro_post_sample(self, msg: Any) -> None:
                ears.hear(msg)

        return Listener()

    def hear(self, msg: Any) -> None:
        import torch

        with torch.no_grad():
            if type(msg["fn"]).__name__ == "_Subsample":
                if msg["value"].numel() < msg["fn"].size:
                    self.observed[f"{msg['name']}.index"] = _array(msg["value"]).ravel()
                    self.plates[msg["name"]] = int(msg["fn"].size)
            elif msg["mask"] is not None:
                raise ValueError(f"the site {msg['name']!r} is masked, which cannot be recorded")
            else:
                self._hear_site(msg["name"], msg)

    def _hear_site(self, name: str, msg: Any) -> None:
        fn, observed = _unwrapped(msg["fn"]), bool(msg["is_observed"])
        if not observed and (self.program == "guide" or ("guide", name) not in self.sites):
            self.draws.setdefault(name, []).append(_array(msg["value"]))
        if (self.program, name) in self.sites:
            return
        kind = type(fn).__name__
        scale = float(msg["scale"])
        if not math.isfinite(scale):
            raise ValueError(f"the site {name!r} has the scale {scale}")
        self.sites[self.program, name] = {
            "program": self.program,
            "name": name,
            "class": kind,
            "observed": observed,
            "reparameterized": bool(getattr(msg["fn"], "has_rsample", False)),
            "scale": scale,
        }
        frames = msg["cond_indep_stack"]
        particles = [frame.dim for frame in frames if frame.name == _PARTICLES]
        arguments = {
            key: _distinct(getattr(fn, key), particles) for key in _ARGUMENTS.get(kind, ())
        }
        if observed:
            self.observed[f"{name}.value"] = _distinct(msg["value"], particles)
            self.observed |= {f"{name}.{key}": value for key, value in arguments.items()}
        else:
            place = f"{self.program}.{name}"
            self.arguments |= {f"{place}.{key}": value for key, value in arguments.items()}


def _unwrapped(fn: Any) -> Any:
    while type(fn).__name__ in ("Independent", "ExpandedDistribution"):
        fn = fn.base_dist
    return fn


def _distinct(tensor: Any, particles: list[int]) -> NDArray[Any]:
    """A tensor flat, with every axis along which it is expanded, or copied, cut to one.

    A Binomial of integer total counts copies them for each particle.
    """
    cut = [slice(0, 1) if step == 0 else slice(None) for step in tensor.stride()]
    for axis in particles:
        if -axis <= tensor.ndim and bool((tensor == tensor.narrow(axis, 0, 1)).all()):
            cut[axis] = slice(0, 1)
    return _array(tensor[tuple(cut)]).ravel()


def _array(tensor: Any) -> NDArray[Any]:
    return np.array(tensor.detach().cpu().numpy())


def _name(constraint: Any) -> str:
    """``positive`` or ``unit_interval``, as the constraints are called in PyTorch and Pyro."""
    from torch.distributions import constraints

    constraint = getattr(constraint, "base_constraint", constraint)
    for name in ("positive", "unit_interval", "real"):
        if constraint is getattr(constraints, name):
            return name
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(constraint).__name__)
    return words.strip("_")
