"""The optimizer of a NumPyro run, as far as it shows its settings.

NumPyro's optimizers wrap functions of JAX or optax that keep their settings in closures, which can
be read: JAX's Adam has ``b1``, ``b2``, ``eps`` and a schedule of step sizes, and its state holds
the moments of each parameter; the same goes for optax's ``scale_by_adam`` with a learning rate
after it. NumPyro's ClippedAdam is JAX's Adam after gradients are clipped by value, unlike Pyro's
class of that name. Of other optimizers the names are noted, and a learning rate if there is one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_NAMES = {"adam": "Adam", "sgd": "SGD", "momentum": "Momentum", "adagrad": "Adagrad"}
_NAMES |= {"rmsprop": "RMSProp", "rmsprop_momentum": "RMSPropMomentum", "sm3": "SM3"}
_OF_JAX = "jax.example_libraries.optimizers"


class Optimizer(NamedTuple):
    """The optimizer of a run.

    Attributes
    ----------
    kind : str
    settings : dict
        Without the learning rate.
    rate : callable or None
        The learning rate of the step of a number.
    scheduler : str or None
        The function that gives the learning rate.
    clip : dict
        Clipping of the gradients, as Pyro names it.
    global_norm : float or None
        The norm of all gradients together that is clipped to.
    moments : callable or None
        The first and second moments, trees like that of the parameters, in a state.
    """

    kind: str
    settings: dict[str, Any]
    rate: Callable[[Any], Any] | None = None
    scheduler: str | None = None
    clip: dict[str, float] = {}  # noqa: RUF012
    global_norm: float | None = None
    moments: Callable[[Any], tuple[Any, Any]] | None = None

    def header(
        self, names: list[str], start: int, gradients: list[dict[str, NDArray[Any]]]
    ) -> dict[str, Any]:
        """Describe it for the header; gradients that a norm clips make it another class."""
        settings = dict(self.settings)
        if self.rate is not None:
            settings["lr"] = float(self.rate(start))
        kind = self.kind
        if self.global_norm is not None:
            norms = [np.sqrt(sum((x * x).sum() for x in step.values())) for step in gradients]
            if not max(norms) < self.global_norm:
                kind = f"optax clip_by_global_norm, {kind}"
        return {
            "class": kind,
            "scheduler": self.scheduler,
            "clip": dict(self.clip),
            "settings": dict.fromkeys(names, settings) if settings else {},
        }


def describe(optim: Any) -> Optimizer:
    """Read the settings of an optimizer of NumPyro's."""
    from numpyro.optim import Adam, ClippedAdam

    found = _of_jax(optim.update_fn) or _of_optax(optim.update_fn)
    if found is not None and type(optim).update is Adam.update:
        return found
    if found is not None and type(optim) is ClippedAdam:
        return found._replace(clip={"clip_value": float(optim.clip_norm)})
    return Optimizer(f"numpyro {type(optim).__name__}", {})


def _of_jax(update: Any) -> Optimizer | None:
    """Read an optimizer of JAX's example libraries."""
    inner: Any = _closure(update).get("update")
    kind = _NAMES.get(_maker(inner))
    if kind is None or any(x.__globals__["__name__"] != _OF_JAX for x in (update, inner)):
        return None
    seen = _closure(inner)
    rate = seen.get("step_size")
    constant = _maker(rate) == "constant"
    moments = None
    settings: dict[str, Any] = {}
    if kind == "Adam":
        settings = {"betas": [float(seen["b1"]), float(seen["b2"])], "eps": float(seen["eps"])}
        moments = _jax_moments
    elif "mass" in seen:
        settings = {"momentum": float(seen["mass"])}
    scheduler = None if constant or rate is None else _maker(rate)
    return Optimizer(kind, settings, rate, scheduler, moments=moments)


def _jax_moments(state: Any) -> tuple[Any, Any]:
    import jax

    packed, tree, subtrees = state
    states = [jax.tree.unflatten(x, leaves) for x, leaves in zip(subtrees, packed, strict=True)]
    first, second = (jax.tree.unflatten(tree, [x[i] for x in states]) for i in (1, 2))
    return first, second


def _of_optax(update: Any) -> Optimizer | None:
    """Read a chain of optax's transformations."""
    transformation = _closure(update).get("transformation")
    if transformation is None:
        return None
    parts = list(_parts(transformation.update))
    kind = f"optax {', '.join(_maker(x) for x in parts)}"
    found = Optimizer(kind, {})
    makers = [_maker(part) for part in parts]
    clips = [x for x in makers if x in ("clip", "clip_by_global_norm")]
    rest = makers[len(clips) :]
    if makers[: len(clips)] != clips or len(clips) > 1:
        return found
    if len(rest) != 2 or rest[0] != "scale_by_adam" or rest[1] not in _RATES:
        return found
    adam, scale = (_closure(part) for part in parts[-2:])
    if adam.get("nesterov") or adam.get("eps_root") or adam.get("mu_dtype") is not None:
        return found
    settings = {"betas": [float(adam["b1"]), float(adam["b2"])], "eps": float(adam["eps"])}
    rate, scheduler = _RATES[rest[1]](scale)
    found = Optimizer("Adam", settings, rate, scheduler, moments=_optax_moments)
    if clips == ["clip"]:
        found = found._replace(clip={"clip_value": float(_closure(parts[0])["max_delta"])})
    elif clips:
        found = found._replace(global_norm=float(_closure(parts[0])["max_norm"]))
    return found


def _parts(update: Any) -> Any:
    """Yield the update functions of a chain of transformations, chains within it taken apart."""
    seen = _closure(update)
    if "update_fns" in seen:
        for part in seen["update_fns"]:
            yield from _parts(part)
    elif _maker(update) == "with_extra_args_support":
        yield from _parts(seen["tx"].update)
    elif _maker(update) != "identity":
        yield update


def _constant_rate(seen: Mapping[str, Any]) -> tuple[Callable[[Any], Any], str | None]:
    rate = -float(seen["step_size"])
    return lambda _: rate, None


def _scheduled_rate(seen: Mapping[str, Any]) -> tuple[Callable[[Any], Any], str | None]:
    import jax.numpy as jnp

    step_size = seen["step_size_fn"]
    schedule = _closure(step_size).get("learning_rate")
    # of a 32-bit count, as optax has it, most schedules are in single precision
    return lambda i: -step_size(jnp.int32(i)), _maker(schedule) or "a function"


_RATES = {"scale": _constant_rate, "scale_by_schedule": _scheduled_rate}


def _optax_moments(state: Any) -> tuple[Any, Any]:
    import jax

    found = [x for x in jax.tree.leaves(state[1], is_leaf=_has_moments) if _has_moments(x)]
    return found[0].mu, found[0].nu


def _has_moments(state: Any) -> bool:
    return hasattr(state, "mu") and hasattr(state, "nu")


def _closure(function: Any) -> Mapping[str, Any]:
    """Read the variables of a function's closure."""
    return inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}


def _maker(function: Any) -> str:
    """Name the function that made a function."""
    name = getattr(function, "__qualname__", "")
    return str(name).split(".<locals>")[0]


def as_arrays(tree: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Name the arrays of a tree of parameters by their path, in the order of their names."""
    import jax

    leaves = jax.tree_util.tree_flatten_with_path(dict(tree))[0]
    named = {".".join(_key(x) for x in path): np.array(leaf) for path, leaf in leaves}
    return {name: named[name] for name in sorted(named)}


def _key(entry: Any) -> str:
    for field in ("key", "idx", "name"):
        if hasattr(entry, field):
            return str(getattr(entry, field))
    return str(entry)
