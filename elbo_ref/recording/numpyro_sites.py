"""The sites of one step of a NumPyro run, noted from the traces of its programs.

A site whose distribution is transformed, as
AutoNormal makes them, is noted twice: as it is, and as the normal draw that it was made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref.recording.distribution_kinds import (
    OF_COUNTS,
    PAIRS,
    ROWS,
    WRAPPERS,
    known_class,
    unwrapped,
)
from elbo_ref.recording.numpyro_distributions import arguments_of, mask_of, probability_of
from elbo_ref.recording.steps import Draws, Link, Observed, SiteNotes

Traces = dict[str, Mapping[str, Any]]
"""The sites of both programs in one particle, the guide's first."""

Values = dict[tuple[str, str], Any]
"""By program and name, the values of a site."""

_ON_LOGIT = "_unconstrained"


class Form(NamedTuple):
    """All of a site that is the same in each particle and step.

    Attributes
    ----------
    program, name, kind : str
    shape : tuple of int
        Of the site's elements.
    description : dict
        For the header.
    observed : bool
    shifted : dict of names to arrays
        Zeros for the arguments for which the loss can be differentiated.
    owner : str
        The name of the site in the program.
    """

    program: str
    name: str
    kind: str
    shape: tuple[int, ...]
    description: dict[str, Any]
    observed: bool
    shifted: dict[str, NDArray[Any]]
    owner: str


class Site(NamedTuple):
    """A sample site of a program, or the normal draw that it was made of."""

    program: str
    name: str
    owner: str
    fn: Any
    value: Any
    message: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the elements."""
        kind, shapes = unwrapped(self.fn)[1], (tuple(self.fn.shape()), np.shape(self.value))
        return np.broadcast_shapes(*(x[:-1] if kind in PAIRS else x for x in shapes))


def sites_of(traces: Traces) -> list[Site]:
    """List the sample sites of both programs."""
    found = []
    for program, trace in traces.items():
        for name, site in trace.items():
            if site["type"] != "sample":
                continue
            fn = site["fn"]
            found.append(Site(program, name, name, fn, site["value"], site))
            if site["intermediates"] and type(fn).__name__ == "TransformedDistribution":
                logits = site["intermediates"][0][0]
                found.append(Site(program, name + _ON_LOGIT, name, fn.base_dist, logits, site))
    return found


def site_values(site: Site) -> dict[str, Any]:
    """Collect what may differ between particles or steps: draws, arguments, rows and masks."""
    import jax.numpy as jnp

    base, kind = unwrapped(site.fn)
    values = {f"argument {key}": x for key, x in arguments_of(base, kind).items()}
    scale = site.message["scale"]
    if scale is not None and np.size(scale) > 1:
        values["scale"] = jnp.broadcast_to(scale, site.shape)
    mask = mask_of(site.fn)
    if mask is not None:
        values["mask"] = jnp.broadcast_to(mask, site.shape)
    value = site.value
    if kind in OF_COUNTS:  # whose coefficient alone may have another total than the row
        values["total_count"] = jnp.asarray(value).sum(axis=-1)
        if kind == "Multinomial":
            values["coefficient_total"] = base.total_count
    elif kind in ROWS:
        values["total_count"] = getattr(base, "total_count", 1)
    if kind == "Unit":
        values["factor"] = base.log_factor
    if kind in PAIRS:
        value = value[..., 0]
    if kind == "Categorical":
        value = 1 - value
    if kind in ROWS:
        probability, _ = probability_of(base, kind)
        if probability is not None:
            values["probability"] = jnp.broadcast_to(probability, site.shape)
    values["value"] = value
    return {key: jnp.asarray(x) for key, x in values.items()}


def form_of(site: Site, sizes: Mapping[str, int], replayed: bool) -> Form:
    """Describe a site, given the full sizes of plates and whether its value was drawn elsewhere.

    Raises
    ------
    ValueError
        If it has no scale that is one number.
    """
    base, kind = unwrapped(site.fn)
    frames = site.message["cond_indep_stack"]
    scale = site.message["scale"]
    scale = 1.0 if scale is None or np.size(scale) > 1 else float(np.reshape(scale, ()))
    if not math.isfinite(scale):
        raise ValueError(f"the site {site.owner!r} has the scale {scale}")
    name = known_class(base)
    described: dict[str, Any] = {
        "class": name,
        "observed": bool(site.message["is_observed"]),
        "scale": scale,
        "planned_scale": math.prod(sizes.get(x.name, x.size) / x.size for x in frames),
        "plates": [frame.name for frame in frames],
        "reparameterized": bool(site.fn.has_rsample),
    }
    if name == "TransformedDistribution":
        described["transforms"] = [type(x).__name__ for x in base.transforms]
    if kind in ROWS:
        described["logits"] = probability_of(base, kind)[1]
    shape = tuple(site.fn.shape())[: -1 if kind in PAIRS else None]
    whole = replayed or described["observed"] or _drawn_by_element(site.fn)
    done = site.message.get("_control_flow_done", False)
    arguments = arguments_of(base, kind) if whole and not done else {}
    return Form(
        program=site.program,
        name=site.name,
        kind=kind,
        shape=site.shape,
        description=described,
        observed=described["observed"],
        shifted={key: np.zeros(shape, x.dtype) for key, x in arguments.items()},
        owner=site.owner,
    )


def forms_of(traces: Traces) -> list[Form]:
    """Describe all sites of both programs."""
    sizes, drawn = sizes_of(traces), traces["guide"]
    return [
        form_of(site, sizes, site.program == "model" and site.owner in drawn)
        for site in sites_of(traces)
    ]


def sizes_of(traces: Traces) -> dict[str, int]:
    """List the full sizes of plates."""
    return {
        name: site["args"][0]
        for trace in traces.values()
        for name, site in trace.items()
        if site["type"] == "plate"
    }


def note_sites(
    forms: list[Form],
    values: Values,
    gradients: Mapping[str, Mapping[str, Mapping[str, NDArray[Any]]]],
    links: dict[str, Link],
) -> SiteNotes:
    """Note the sites of a step from the values of all particles and the gradients."""
    notes = SiteNotes(links)
    of_guide = {form.name for form in forms if form.program == "guide"}
    for form in forms:
        arrays = values[form.program, form.name]
        drawn = not form.observed and (form.program == "guide" or form.name not in of_guide)
        described = dict(form.description)
        if form.kind in ROWS:
            described |= _note_rows(notes, form, arrays)
        elif form.kind == "Unit":
            notes.observed[f"{form.name}.factor"] = arrays["factor"][0].ravel()
        elif drawn:
            draws = _flat(arrays["value"], form.shape)
            notes.add_draws(form.name, Draws(draws, form.shape))
        if "scale" in arrays:
            notes.observed[f"{form.program}.{form.name}.scale"] = arrays["scale"][0].ravel()
        if "mask" in arrays and not arrays["mask"][0].all():
            notes.observed[f"{form.program}.{form.name}.mask"] = arrays["mask"][0].ravel()
        arguments, varying = {}, []
        for key, array in arrays.items():
            if key.startswith("argument "):
                name = key.removeprefix("argument ")
                arguments[name] = _argument(array, form.shape)
                varying += [name] if (array != array[:1]).any() else []
        notes.add_site(form.program, form.name, arguments, **described, varying=varying)
        for key, gradient in gradients.get(form.program, {}).get(form.owner, {}).items():
            total = gradient.ravel() if gradient.shape == form.shape else gradient.sum()[None]
            notes.add_gradient(f"{form.program}.{form.name}.{key}", total.astype(np.float64))
    return notes


def _note_rows(notes: SiteNotes, form: Form, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Note observed or drawn counts, and describe them."""
    probability, other = arrays.get("probability"), arrays.get("coefficient_total")
    rows = Observed(
        value=_argument(arrays["value"], form.shape),
        total_count=_argument(arrays["total_count"], form.shape),
        shape=form.shape,
        elements=arrays["value"][0].size,
        probability=None if probability is None else _flat(probability, form.shape),
        is_logit=form.description["logits"],
        coefficient_total=None if other is None else _argument(other, form.shape),
    )
    return notes.add_rows(form.name, rows)


def _flat(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Arrange values of all particles as (P, n)."""
    wide = [np.broadcast_to(x, shape).ravel() for x in array]
    return np.array(wide).reshape(len(array), -1)


def _argument(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Arrange the first particle's values as (n,), or as (1,) where elements share one."""
    first = array[0]
    return first.reshape(1) if first.size == 1 else np.broadcast_to(first, shape).ravel()


def _drawn_by_element(fn: Any) -> bool:
    """Tell whether a distribution with all its arguments expanded draws the same."""
    while type(fn).__name__ in (*WRAPPERS, "TransformedDistribution"):
        if getattr(fn, "_interstitial_sizes", None) and math.prod(fn.base_dist.batch_shape) > 1:
            return False
        fn = fn.base_dist
    return True
