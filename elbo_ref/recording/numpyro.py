"""`record_numpyro`: steps of NumPyro's SVI, with the draws made in them.

Nothing is hidden in NumPyro: the draws of a step follow from the key in the state. Before each
``svi.update`` the guide and the model are run once more with the keys that the update will split
off, in the order in which it does; the gradients are seen on their way to the optimizer. The state
is that of ``svi.update``, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import count
from elbo_ref.recording.notes import Recording
from elbo_ref.recording.steps import (
    SiteNotes,
    base_distribution,
    import_framework,
    make_recording,
)

_CONSTRAINTS = {
    "ExpTransform": "positive",
    "SoftplusTransform": "softplus_positive",
    "SigmoidTransform": "unit_interval",
    "IdentityTransform": "real",
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
        If `svi` is something else, or does what cannot be recorded.

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
    jax, numpyro = import_framework("jax", "numpyro", function="record_numpyro", package="numpyro")
    if not isinstance(svi, numpyro.infer.SVI):
        raise TypeError(f"svi must be a numpyro.infer.SVI, not {type(svi).__name__}")
    if getattr(svi.loss, "multi_sample_guide", False):
        raise ValueError("a guide of several samples cannot be recorded")
    steps = []
    for _ in range(count("num_steps", num_steps, 1)):
        before, constrained = svi.optim.get_params(state.optim_state), svi.get_params(state)
        notes = _next_sites(svi, state, constrained, args, kwargs)
        with _seen_gradients(svi.optim) as gradients:
            state, loss = svi.update(state, *args, **kwargs)
        step = {
            **notes.groups(particles=1),
            "losses": float(loss),
            "before": _arrays(before),
            "constrained": _arrays(constrained),
            "gradients": _arrays(gradients[0]),
            "after": _arrays(svi.optim.get_params(state.optim_state)),
        }
        steps.append(step)
    described: dict[str, Any] = {
        "class": type(svi.loss).__name__,
        "num_particles": int(svi.loss.num_particles),
    }
    if isinstance(svi.loss, numpyro.infer.RenyiELBO):  # whose particles see one minibatch
        described |= {"alpha": float(svi.loss.alpha), "vectorize_particles": True}
    transforms = svi.constrain_fn.args[0]
    header: dict[str, Any] = {
        "framework": "numpyro",
        "versions": {"numpyro": numpyro.__version__, "jax": jax.__version__},
        "loss": described,
        "optimizer": {"class": f"numpyro {type(svi.optim).__name__}"},
        "constraints": {name: _constraint(transforms[name]) for name in sorted(before)},
        "sites": list(notes.sites.values()),
        "plates": notes.plates,
    }
    return state, make_recording(steps, header)


def _next_sites(svi: Any, state: Any, constrained: Any, args: Any, kwargs: Any) -> SiteNotes:
    """Draw the sites of the step that comes next."""
    from jax import random
    from numpyro.handlers import replay, seed, substitute, trace
    from numpyro.infer import RenyiELBO

    key = random.split(state.rng_key)[1]
    particles = int(svi.loss.num_particles)
    programs: tuple[Any, ...] = (svi.model, svi.guide)
    if isinstance(svi.loss, RenyiELBO):
        plates, key = random.split(key)
        hidden = ["sample", "prng_key", "control_flow"]
        programs = tuple(seed(program, plates, hide_types=hidden) for program in programs)
        keys = random.split(key, particles)
    else:
        keys = [key] if particles == 1 else random.split(key, particles)
    notes, now = SiteNotes(), {**kwargs, **svi.static_kwargs}
    for i, each in enumerate(keys):
        model_seed, guide_seed = random.split(each)
        guide = substitute(seed(programs[1], guide_seed), data=constrained)
        by_guide = trace(guide).get_trace(*args, **now)
        model = substitute(replay(seed(programs[0], model_seed), by_guide), data=constrained)
        by_model = trace(model).get_trace(*args, **now)
        for name, site in (by_model | by_guide).items():
            if site["type"] == "sample" and not site["is_observed"]:
                notes.draws.setdefault(name, []).append(_flat(site["value"]))
                if _on_logit(site):
                    logits = _flat(site["intermediates"][0][0])
                    notes.draws.setdefault(f"{name}_unconstrained", []).append(logits)
        for program, sites in (("guide", by_guide), ("model", by_model)) if i == 0 else ():
            for name, site in sites.items():
                _note(notes, program, name, site)
    return notes


def _note(notes: SiteNotes, program: str, name: str, site: Any) -> None:
    if site["type"] == "plate" and site["value"].size < site["args"][0]:
        notes.add_batch(name, _flat(site["value"]), site["args"][0])
    if site["type"] != "sample":
        return
    if _on_logit(site):
        on_logit = {**site, "fn": site["fn"].base_dist, "intermediates": []}
        _note(notes, program, f"{name}_unconstrained", on_logit)
    fn = base_distribution(site["fn"])
    kind = type(fn).__name__.removesuffix("Probs").removesuffix("Logits")
    if kind == "MaskedDistribution":
        raise ValueError("a masked site cannot be recorded")
    notes.add_site(
        program,
        name,
        kind,
        fn,
        value=site["value"],
        observed=bool(site["is_observed"]),
        flat=_flat,
        scale=1.0 if site["scale"] is None else float(site["scale"]),
    )


def _on_logit(site: Any) -> bool:
    """Tell whether a site is that of NumPyro's AutoNormal."""
    return bool(site["intermediates"]) and type(site["fn"]).__name__ == "TransformedDistribution"


def _flat(value: Any) -> NDArray[Any]:
    return np.asarray(value).ravel()


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


def _arrays(tree: Any) -> dict[str, NDArray[Any]]:
    return {name: np.array(tree[name]) for name in sorted(tree)}


def _constraint(transform: Any) -> str:
    name = type(transform).__name__
    return _CONSTRAINTS.get(name, name)
