"""Recordings of the first form, brought into the present one.

There the sites did not say which latent a row belongs to, what an argument was computed from, or
the gradient for it. A parameter that equals an argument in every step is taken for its source, and
the gradient for that parameter for its gradient; rows belong to the latents in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref.guides.constraints import CONSTRAINTS

_ROWS = ("Binomial", "Bernoulli")
_UNIT_SLOPE = ("real",)


def from_first_form(groups: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the groups of arrays and the header in the present form.

    Raises
    ------
    ValueError
        If the file does not say which sites there were.
    """
    if "sites" not in header:
        raise ValueError("it does not say which sites there were")
    made: dict[str, Any] = {name: dict(arrays) for name, arrays in groups.items()}
    sites = [dict(site) for site in header["sites"]]
    _add_points(made, sites)
    sources, gradients = _sources(made, sites, header.get("constraints", {}))
    for name, array in list(made["observed"].items()):
        if name.endswith(".index"):
            made["observed"][f"{name.removesuffix('.index')}.rows"] = array
            del made["observed"][name]
    plates = header.get("plates", {})
    batches = [
        size / max(1, made["observed"][f"{name}.rows"].shape[1])
        for name, size in plates.items()
        if f"{name}.rows" in made["observed"]
    ]
    planned = float(np.prod(batches)) if batches else 1.0
    for site, (latent, index) in zip(sites, _links(made, sites), strict=True):
        site["sources"] = sources.get((site["program"], site["name"]), {})
        scale = float(site.get("scale", 1.0))
        site["planned_scale"] = planned if scale != 1 else 1.0
        if latent is not None:
            made["observed"][f"{site['name']}.index"] = index[None]
            site |= {"rows": int(index.size), "elements": int(index.size), "latent": latent}
            made["observed"].setdefault(f"{site['name']}.total_count", np.ones((1, 1)))
    header = {**header, "sites": sites, "first_form": True}
    return {**made, "argument_gradients": gradients, "header": header}


def _add_points(made: dict[str, Any], sites: list[dict[str, Any]]) -> None:
    """Add the values of Delta sites as their argument."""
    for site in sites:
        name = site["name"]
        if site["class"] == "Delta" and name in made["draws"] and site["program"] == "guide":
            made["arguments"][f"guide.{name}.v"] = made["draws"][name][:, 0]


class _Use(NamedTuple):
    """An argument that equals a parameter, or a column of one."""

    full: str
    key: str
    column: int | None


def _sources(
    made: Mapping[str, Any], sites: list[dict[str, Any]], constraints: Mapping[str, str]
) -> tuple[dict[tuple[str, str], dict[str, list[str]]], dict[str, NDArray[Any]]]:
    """Find the parameters that arguments equal in all steps, and the gradients for these.

    Where several sites have one parameter, the first has its gradient and the others none of it.
    """
    sources: dict[tuple[str, str], dict[str, list[str]]] = {}
    uses: dict[str, list[_Use]] = {}
    for site in sites:
        for key, full, values in _arguments(made, site):
            found = [
                (name, column)
                for name, parameter in made["constrained"].items()
                for column in _places(values, parameter.reshape(len(parameter), -1))
            ]
            if found:
                named = sources.setdefault((site["program"], site["name"]), {})
                named[key] = [name for name, _ in found]
            if len(found) == 1:
                uses.setdefault(found[0][0], []).append(_Use(full, key, found[0][1]))
    gradients: dict[str, NDArray[Any]] = {}
    for name, each in uses.items():
        parameter = made["constrained"][name]
        flat = parameter.reshape(len(parameter), -1)
        slope = _slope(constraints.get(name, "positive"), flat)
        if slope is None or len({use.key for use in each}) > 1:
            continue
        whole = made["gradients"][name].reshape(flat.shape).astype(np.float64) / slope
        given: set[int | None] = set()
        for use in each:
            gradient = whole if use.column is None else whole[:, use.column : use.column + 1]
            gradients[use.full] = np.zeros_like(gradient) if use.column in given else gradient
            given.add(use.column)
    return sources, gradients


def _places(values: NDArray[Any], flat: NDArray[Any]) -> list[int | None]:
    """List where a parameter has these values: all of it, as None, or columns of it."""
    if flat.shape[1] in (1, values.shape[1]):
        return [None] if np.all(flat == values) else []
    if values.shape[1] > 1:
        return []
    return [int(i) for i in np.flatnonzero(np.all(flat == values, axis=0))]


def _arguments(
    made: Mapping[str, Any], site: Mapping[str, Any]
) -> Iterator[tuple[str, str, NDArray[Any]]]:
    start = f"{site['program']}.{site['name']}."
    for full, values in made["arguments"].items():
        if full.startswith(start) and "." not in full[len(start) :]:
            yield full[len(start) :], full, values


def _slope(kind: str, x: NDArray[Any]) -> NDArray[Any] | None:
    """Differentiate a parameter by its unconstrained one; None where that is not known."""
    x = x.astype(np.float64)
    if kind in CONSTRAINTS:
        return np.asarray(CONSTRAINTS[kind].slope(x))
    if kind == "unit_interval":
        return np.asarray(x * (1 - x))
    return np.ones_like(x) if kind in _UNIT_SLOPE else None


def _links(
    made: Mapping[str, Any], sites: list[dict[str, Any]]
) -> Iterator[tuple[str | None, NDArray[np.int64]]]:
    """Yield for each site the latent that its rows belong to, and which of its elements."""
    model = [site for site in sites if site["program"] == "model"]
    latents = [x["name"] for x in model if not x["observed"] and x["name"] in made["draws"]]
    rows = [x["name"] for x in model if x["observed"] and x["class"] in _ROWS]
    for site in sites:
        if site["program"] != "model" or site["name"] not in rows or not latents:
            yield None, np.zeros(0, dtype=np.int64)
            continue
        apart = len(latents) == len(rows) > 1
        latent = latents[rows.index(site["name"])] if apart else latents[0]
        names = (f"{site['name']}.value", f"{site['name']}.total_count")
        known = [made["observed"][name].shape[1] for name in names if name in made["observed"]]
        size = max([1, *known])
        width = made["draws"][latent].shape[2]
        yield latent, np.arange(size) if width == size else np.zeros(size, dtype=np.int64)
