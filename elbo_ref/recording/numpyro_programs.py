"""The programs of a NumPyro run, run again with the keys of a step.

Nothing is hidden in NumPyro: a step is a function of its key, so that the guide and the model can
be run again with the keys that the step will split off, in the order in which it does. For the
gradients, each program is run with its distributions' arguments plus a shift, and the loss is
differentiated for the shifts at zero. Sites that are drawn in another order once their arguments
have the shape of all elements, as ``(G, 1)`` in two plates, have no gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from elbo_ref.recording.distribution_kinds import unwrapped
from elbo_ref.recording.numpyro_distributions import arguments_of, shift
from elbo_ref.recording.numpyro_optimizers import as_arrays
from elbo_ref.recording.numpyro_sites import Form, Traces, Values, site_values, sites_of

Sources = dict[tuple[str, str], dict[str, list[str]]]
"""By program and name, the parameters that each argument of a site is computed from."""

_TRIALS = 2
"""Directions in which a derivative is taken."""


class Programs:
    """The model and the guide of an SVI with their arguments, run again with the keys of a step."""

    def __init__(self, svi: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.svi, self.args = svi, args
        options = {k: v for k, v in kwargs.items() if k != "forward_mode_differentiation"}
        self.kwargs = {**options, **svi.static_kwargs}

    def traces(self, key: Any, data: Mapping[str, Any]) -> Traces:
        """Run both programs for the first particle of a step."""
        plates, keys = self._keys(key)
        return self._particle(plates, keys[0], data)

    def values(self, key: Any, data: Mapping[str, Any]) -> tuple[Values, dict[str, Any]]:
        """Run all particles; arrange the values of each site, and the rows of plates, (P, ...)."""
        import jax

        plates, keys = self._keys(key)

        def values(each: Any) -> Any:
            traces = self._particle(plates, each, data)
            rows = {
                name: site["value"]
                for trace in traces.values()
                for name, site in trace.items()
                if site["type"] == "plate"
            }
            return {(s.program, s.name): site_values(s) for s in sites_of(traces)}, rows

        if len(keys) > 1:
            return tuple(jax.vmap(values)(keys))
        return tuple(jax.tree.map(lambda x: x[None], values(keys[0])))

    def sources(self, key: Any, free: Any, data: Callable[[Any], Any]) -> Sources:
        """Find the parameters that an argument has a derivative for, in the first particle."""
        import jax

        def arguments(free: Any) -> dict[tuple[str, str, str], Any]:
            traces = self.traces(key, data(free))
            return {
                (site.program, site.name, name): x
                for site in sites_of(traces)
                for name, x in arguments_of(*unwrapped(site.fn)).items()
            }

        values, pull = jax.vjp(arguments, free)
        sources: Sources = {}
        rng = np.random.default_rng(0)
        for place in values:
            names: set[str] = set()
            for _ in range(_TRIALS):
                cotangents = {x: np.zeros(value.shape, value.dtype) for x, value in values.items()}
                random = rng.normal(size=values[place].shape)
                cotangents[place] = np.asarray(random, values[place].dtype)
                (slopes,) = pull(cotangents)
                names |= {name for name, x in as_arrays(slopes).items() if np.any(x != 0)}
            sources.setdefault(place[:2], {})[place[2]] = sorted(names)
        return sources

    def loss(self, key: Any, data: Mapping[str, Any], shifts: Mapping[str, Any]) -> Any:
        """Evaluate the loss of a step with the arguments of the sites shifted."""
        svi = self.svi
        programs = (
            _shifted(svi.model, shifts.get("model", {})),
            _shifted(svi.guide, shifts.get("guide", {})),
        )
        return svi.loss.loss(key, dict(data), *programs, *self.args, **self.kwargs)

    def _keys(self, key: Any) -> tuple[Any, Any]:
        """Split the key of a step into that of the plates, if they have one, and the particles'."""
        from jax import random
        from numpyro.infer import RenyiELBO

        particles, plates = int(self.svi.loss.num_particles), None
        if isinstance(self.svi.loss, RenyiELBO):
            plates, key = random.split(key)
        elif particles == 1:
            return None, key[None]
        return plates, random.split(key, particles)

    def _particle(self, plates: Any, key: Any, data: Mapping[str, Any]) -> Traces:
        from jax import random
        from numpyro.handlers import replay, seed, substitute, trace

        model, guide = self.svi.model, self.svi.guide
        if plates is not None:
            hidden = ["sample", "prng_key", "control_flow"]
            model, guide = (seed(x, plates, hide_types=hidden) for x in (model, guide))
        model_seed, guide_seed = random.split(key)
        guide = substitute(seed(guide, guide_seed), data=data)
        by_guide = trace(guide).get_trace(*self.args, **self.kwargs)
        model = substitute(replay(seed(model, model_seed), by_guide), data=data)
        return {"guide": by_guide, "model": trace(model).get_trace(*self.args, **self.kwargs)}


def shifts_of(forms: list[Form], sources: Sources) -> dict[str, dict[str, Any]]:
    """Make shifts of zero, by program and site, for the arguments that are not constants."""
    shifts: dict[str, dict[str, Any]] = {"model": {}, "guide": {}}
    for form in forms:
        for name, zeros in form.shifted.items():
            if sources[form.program, form.name].get(name):
                shifts[form.program].setdefault(form.owner, {})[name] = zeros
    return shifts


def _shifted(program: Any, shifts: Mapping[str, Mapping[str, Any]]) -> Callable[..., Any]:
    """Wrap a program so that the arguments of its sites are shifted."""
    from numpyro.primitives import Messenger

    class Shift(Messenger):  # type: ignore[misc]
        def process_message(self, msg: Any) -> None:
            if msg["type"] == "sample" and msg["name"] in shifts:
                msg["fn"] = shift(msg["fn"], shifts[msg["name"]])

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with Shift():
            return program(*args, **kwargs)

    return wrapped
