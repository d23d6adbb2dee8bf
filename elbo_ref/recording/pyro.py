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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref.recording.notes import Recording
from elbo_ref.recording.pyro_sites import SiteListener, as_array
from elbo_ref.recording.steps import Link, import_framework, make_recording

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
        If `svi` is something else, or its loss is compiled. A step that does what cannot be
        recorded (a loss of several numbers, say) is made all the same, and
        ``recorder.recording`` says what it was.

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
        instead = (
            ": record SVI(model, guide, pyro.optim.Adam({'lr': ...}), Trace_ELBO()) of its model "
            "and guide, or hand its losses and its state_dict to the crosscheck command"
        )
        kind, module = type(svi).__name__, isinstance(svi, torch.nn.Module | pyro.infer.ELBO)
        raise TypeError(f"svi must be a pyro.infer.SVI, not {kind}{instead if module else ''}")
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
        self._header = header
        self._links: dict[str, Link] = {}
        self._step: dict[str, Any] = {}
        self._steps: list[dict[str, Any]] = []
        self._moments: dict[str, NDArray[Any]] = {}
        self._parameters: dict[str, tuple[Any, Any]] = {}
        self._refused = ""

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
            If there is none, or if a step did what cannot be recorded; the message says what.
        """
        if self._refused:
            raise ValueError(self._refused)
        if not self._steps:
            raise ValueError("no step has been recorded: call svi.step inside the context")
        return make_recording(self._steps, self._header, self._moments)

    def _loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the loss, and note the sites: the first half of a step."""
        notes = SiteListener(self._links, first=not self._steps)
        try:
            with notes.messenger():
                programs = notes.within("model", model), notes.within("guide", guide)
                loss = self._original(*programs, *args, **kwargs)
        finally:
            notes.release()
        self._refused = self._refused or notes.refused
        if isinstance(loss, tuple):
            self._refused = f"a loss of {len(loss)} numbers cannot be recorded"
            return loss
        self._parameters = notes.parameters
        self._step = {"losses": float(loss), "sites": notes.sites, **notes.groups()}
        if not self._steps:
            self._header |= {
                "plates": notes.plates,
                "programs": {name: sorted(x) for name, x in notes.programs.items()},
                "conflicts": sorted(notes.conflicts),
            }
        return loss

    def _update(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Call the optimizer, and note the parameters: the second half of a step."""
        names = {id(leaf): name for name, (leaf, _) in self._parameters.items()}
        if any(id(p) not in names for p in params):
            self._refused = self._refused or "a parameter that no program states is optimised"
        if self._refused:
            self._optimizer(params, *args, **kwargs)
            return
        named = dict(sorted((names[id(p)], p) for p in params))
        if not self.num_steps:
            self._note_start(named)
        step = self._step
        step["before"] = {name: as_array(p) for name, p in named.items()}
        step["constrained"] = {name: as_array(self._parameters[name][1]) for name in named}
        step["gradients"] = {
            name: np.zeros_like(step["before"][name]) if p.grad is None else as_array(p.grad)
            for name, p in named.items()
        }
        self._optimizer(params, *args, **kwargs)
        step["after"] = {name: as_array(p) for name, p in named.items()}
        groups = {name: self._torch_optimizer(p).param_groups[0] for name, p in named.items()}
        rates = {name: group.get("lr") for name, group in groups.items()}
        step["lr"] = {name: np.float64(x) for name, x in rates.items() if x is not None}
        self._note_settings(groups, named)
        self._steps.append(step)

    def _note_start(self, named: dict[str, Any]) -> None:
        """Note constraints, and the optimizer's memory of steps before this one."""
        import pyro

        steps = {}
        for name, p in named.items():
            held = p in self._optimizer.optim_objs
            state = self._torch_optimizer(p).state.get(p, {}) if held else {}
            if state.keys() >= {"exp_avg", "exp_avg_sq"}:
                moments = [as_array(state.get(key, state["exp_avg_sq"])) for key in _MOMENTS]
                self._moments[name] = np.stack(moments)
                steps[name] = int(state["step"])
        stored = pyro.get_param_store()._constraints
        kinds = {name: stored[name] for name in named if name in stored}
        self._header |= {
            "constraints": {name: _constraint(kind) for name, kind in kinds.items()},
            "ends": {name: _ends(kind) for name, kind in kinds.items()},
            "earlier_steps": steps,
        }

    def _note_settings(self, groups: dict[str, Any], named: dict[str, Any]) -> None:
        """Note the optimizer in the first step, and later which settings but the rate change."""
        settings = {name: _plain(group) for name, group in groups.items()}
        if self.num_steps:
            noted = self._header["optimizer"]
            both = [(now, noted["settings"].get(name, now)) for name, now in settings.items()]
            new = {x for now, first in both for x in now if x != "lr" and now[x] != first.get(x)}
            noted["changing"] = sorted({*noted["changing"], *new})
            return
        for name, p in named.items():
            if "lr" in self._torch_optimizer(p).defaults:
                settings[name]["lr"] = float(self._torch_optimizer(p).defaults["lr"])
        first = next(iter(named.values()), None)
        held = None if first is None else self._optimizer.optim_objs[first]
        clip = self._optimizer.pt_clip_args
        self._header["optimizer"] = {
            "class": None if first is None else type(self._torch_optimizer(first)).__name__,
            "scheduler": type(held).__name__ if hasattr(held, "optimizer") else None,
            "clip": "a function" if callable(clip) else dict(clip),
            "settings": settings,
            "changing": [],
        }

    def _torch_optimizer(self, p: Any) -> Any:
        held = self._optimizer.optim_objs[p]
        return getattr(held, "optimizer", held)


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    """Take the settings of a parameter group that are plain values."""
    kinds = (bool, int, float, str, type(None))
    plain: dict[str, Any] = {key: x for key, x in group.items() if isinstance(x, kinds)}
    if "betas" in group:
        plain["betas"] = [float(x) for x in group["betas"]]
    return plain


def _ends(constraint: Any) -> dict[str, float]:
    """Return the finite ends of a constraint that is an interval."""
    constraint = getattr(constraint, "base_constraint", constraint)
    ends = {"low": "lower_bound", "high": "upper_bound"}
    values = {key: getattr(constraint, name, None) for key, name in ends.items()}
    known = {key: float(x) for key, x in values.items() if x is not None and _is_one(x)}
    return {key: x for key, x in known.items() if math.isfinite(x)}


def _is_one(value: Any) -> bool:
    return isinstance(value, int | float) or getattr(value, "numel", lambda: 0)() == 1


def _constraint(constraint: Any) -> str:
    """Name a constraint as PyTorch and Pyro do: ``positive``, ``unit_interval``."""
    from torch.distributions import constraints

    constraint = getattr(constraint, "base_constraint", constraint)
    for name in ("positive", "unit_interval", "real"):
        if constraint is getattr(constraints, name):
            return name
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(constraint).__name__)
    return words.strip("_")
