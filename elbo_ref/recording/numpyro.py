"""`record_numpyro`: steps of NumPyro's SVI, with what it drew in them.

Nothing is hidden in NumPyro: the draws of a step follow from the key in the state. Before each
``svi.update`` the guide and the model are run once more with the keys that the update will split
off, in the order in which it does; the gradients are seen on their way to the optimizer. The state
is that of ``svi.update``, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import count
from elbo_ref.recording.notes import Recording

_CONSTRAINTS = {
    "ExpTransform": "positive",
    "SoftplusTransform": "softplus_positive",
    "SigmoidTransform": "unit_interval",
    "IdentityTransform": "real",
}
_ARGUMENTS = {
    "Beta": ("concentration1", "concentration0"),
    "Normal": ("loc", "scale"),
    "Binomial": ("total_count",),
}


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
        What ``svi.update`` is given besides the state.

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
        If `svi` is something else, or does what cannot be recorded.
    """
    try:
        import jax
        import numpyro
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "numpyro"):
            raise
        raise ModuleNotFoundError(
            f"record_numpyro needs {error.name}: pip install numpyro", name=error.name
        ) from None
    if not isinstance(svi, numpyro.infer.SVI):
        raise TypeError(f"svi must be a numpyro.infer.SVI, not {type(svi).__name__}")
    if getattr(svi.loss, "multi_sample_guide", False):
        raise ValueError("a guide of several samples cannot be recorded")
    steps = []
    for _ in range(count("num_steps", num_steps, 1)):
        free = svi.optim.get_params(state.optim_state)
        constrained = svi.get_params(state)
        step, noted = _heard(svi, state, constrained, args, kwargs)
        with _seen_gradients(svi.optim) as gradients:
            state, value = svi.update(state, *args, **kwargs)
        moved = svi.optim.get_params(state.optim_state)
        step |= {
            "losses": float(value),
            "before": _arrays(free),
            "constrained": _arrays(constrained),
            "gradients": _arrays(gradients[0]),
            "after": _arrays(moved),
        }
        steps.append(step)
    loss = {"class": type(svi.loss).__name__, "num_particles": int(svi.loss.num_particles)}
    if isinstance(svi.loss, numpyro.infer.RenyiELBO):  # whose particles see one minibatch
        loss |= {"alpha": float(svi.loss.alpha), "vectorize_particles": True}
    transforms = svi.constrain_fn.args[0]
    header = {
        "framework": "numpyro",
        "versions": {"numpyro": numpyro.__version__, "jax": jax.__version__},
        "loss": loss,
        "optimizer": {"class": f"numpyro {type(svi.optim).__name__}"},
        "constraints": {name: _constraint(transforms[name]) for name in steps[0]["before"]},
        "sites": noted.sites,
        "plates": noted.plates,
    }
    groups: dict[str, Any] = {
        group: {name: np.stack([step[group][name] for step in steps]) for name in steps[0][group]}
        for group in steps[0]
        if group != "losses"
    }
    for name, array in groups["observed"].items():
        if (array == array[:1]).all():
            groups["observed"][name] = array[:1]
    losses = np.array([step["losses"] for step in steps])
    return state, Recording(losses=losses, header=header, **groups)


def _heard(
    svi: Any, state: Any, constrained: Any, args: Any, kwargs: Any
) -> tuple[dict[str, Any], _Sites]:
    """Draws, arguments and observations of the step that comes next, and its sites."""
    from jax import random
    from numpyro.handlers import replay, seed, substitute, trace
    from numpyro.infer import RenyiELBO

    key = random.split(state.rng_key)[1]
    particles = int(svi.loss.num_particles)
    runs, programs = [], (svi.model, svi.guide)
    if isinstance(svi.loss, RenyiELBO):
        plates, key = random.split(key)
        hidden = ["sample", "prng_key", "control_flow"]
        programs = tuple(seed(program, plates, hide_types=hidden) for program in programs)
        keys = random.split(key, particles)
    else:
        keys = [key] if particles == 1 else random.split(key, particles)
    for each in keys:
        model_seed, guide_seed = random.split(each)
        now = {**kwargs, **svi.static_kwargs}
        guide = substitute(seed(programs[1], guide_seed), data=constrained)
        by_guide = trace(guide).get_trace(*args, **now)
        model = substitute(replay(seed(programs[0], model_seed), by_guide), data=constrained)
        runs.append((by_guide, trace(model).get_trace(*args, **now)))
    draws: dict[str, list[NDArray[Any]]] = {}
    for by_guide, by_model in runs:
        for name, site in (by_model | by_guide).items():
            if site["type"] == "sample" and not site["is_observed"]:
                draws.setdefault(name, []).append(_flat(site["value"]))
                if _on_logit(site):
                    logits = _flat(site["intermediates"][0][0])
                    draws.setdefault(f"{name}_unconstrained", []).append(logits)
    noted = _Sites({}, {}, [], {})
    for program, sampled in zip(("guide", "model"), runs[0], strict=True):
        for name, site in sampled.items():
            noted.add(program, name, site)
    step = {"draws": {name: np.stack(values) for name, values in draws.items()}}
    return step | {"arguments": noted.arguments, "observed": noted.observed}, noted


class _Sites(NamedTuple):
    """What a trace says of its sites, beside the draws."""

    arguments: dict[str, NDArray[Any]]
    observed: dict[str, NDArray[Any]]
    sites: list[dict[str, Any]]
    plates: dict[str, int]

    def add(self, program: str, name: str, site: Any) -> None:
        if site["type"] == "plate" and site["value"].size < site["args"][0]:
            self.observed[f"{name}.index"] = _flat(site["value"])
            self.plates[name] = int(site["args"][0])
        if site["type"] != "sample":
            return
        if _on_logit(site):
            on_logit = {**site, "fn": site["fn"].base_dist, "intermediates": []}
            self.add(program, f"{name}_unconstrained", on_logit)
        fn = _unwrapped(site["fn"])
        kind = type(fn).__name__.removesuffix("Probs").removesuffix("Logits")
        seen = bool(site["is_observed"])
        scale = 1.0 if site["scale"] is None else float(site["scale"])
        described = {"program": program, "name": name, "class": kind, "observed": seen}
        self.sites.append({**described, "scale": scale})
        place, target = name, self.observed
        if seen:
            target[f"{name}.value"] = _flat(site["value"])
        else:
            place, target = f"{program}.{name}", self.arguments
        target.update(
            {f"{place}.{key}": _flat(getattr(fn, key)) for key in _ARGUMENTS.get(kind, ())}
        )


def _on_logit(site: Any) -> bool:
    """Whether a site is that of NumPyro's AutoNormal."""
    return bool(site["intermediates"]) and type(site["fn"]).__name__ == "TransformedDistribution"


def _flat(value: Any) -> NDArray[Any]:
    return np.asarray(value).ravel()


def _unwrapped(fn: Any) -> Any:
    while type(fn).__name__ in ("Independent", "ExpandedDistribution"):
        fn = fn.base_dist
    if type(fn).__name__ == "MaskedDistribution":
        raise ValueError("a masked site cannot be recorded")
    return fn


@contextmanager
def _seen_gradients(optim: Any) -> Iterator[list[Any]]:
    """The gradients that the optimizer is given."""
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


def _arrays(tree: Any) -> dict[str, NDArray[Any]]:
    return {name: np.array(tree[name]) for name in sorted(tree)}


def _constraint(transform: Any) -> str:
    name = type(transform).__name__
    return _CONSTRAINTS.get(name, name)
