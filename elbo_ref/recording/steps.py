"""The steps of a run as both recorders note them, and the recording made of all steps.

A site's values, of any shape, are kept flat, the particles apart: those of a latent site (P, n),
the arguments of a distribution (n,) or (1,) where all elements share one, in the order of the
elements of the site. An observed row belongs to a latent if its probability *is* that latent's
draw: this is looked up at the draws of the step, not taken from shapes or names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.extras import command
from elbo_ref.recording.notes import Recording

Array = NDArray[Any]
_Form: TypeAlias = tuple[Any, dict[tuple[str, str], tuple[int, ...]]]

_NO_ARRAYS = {"losses", "sites"}
"""Entries of a step that are no groups of arrays."""
_NEAR = 64
"""Roundings, in units of eps, that turn a logit back into its probability."""


class Draws(NamedTuple):
    """A latent site's values in one run of a program, (P, n), and the shape of its n elements."""

    values: Array
    shape: tuple[int, ...]


class Link(NamedTuple):
    """The latent that rows have their probability of, and which element of it each row has."""

    latent: str
    complement: bool
    element: NDArray[np.int64]


class Observed(NamedTuple):
    """Values of a Binomial, Bernoulli or BetaBinomial site, and the elements of its batch.

    Attributes
    ----------
    value, total_count : array, (1,) or (n,)
        Of several outcomes the total is that of the values, as it is in their probability.
    shape : tuple of int
        Of the site, without particles.
    elements : int
        Number of different entries of the value as it was given, before it was broadcast.
    probability : array or None, (P, n)
    is_logit : bool
        Whether that is the logit.
    coefficient_total : array or None, (1,) or (n,)
        The total whose factorial stands in the coefficient, where it is another one.
    """

    value: Array
    total_count: Array
    shape: tuple[int, ...]
    elements: int
    probability: Array | None = None
    is_logit: bool = False
    coefficient_total: Array | None = None


class SiteNotes:
    """The sites of the model and the guide in one step.

    Attributes
    ----------
    draws : dict of names to lists of arrays
        The draws of a site in each run of the programs.
    arguments, gradients, observed : dict of names to arrays
        Arguments of the sites' distributions, the loss's gradients for them, and observed rows.
    sites : dict of (program, name) to descriptions
    plates : dict of names to sizes
        Plates with minibatches.
    """

    def __init__(self, links: dict[str, Link] | None = None) -> None:
        self.draws: dict[str, list[Array]] = {}
        self.arguments: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.observed: dict[str, Array] = {}
        self.sites: dict[tuple[str, str], dict[str, Any]] = {}
        self.plates: dict[str, int] = {}
        self.links = {} if links is None else links
        self._latest: dict[str, Draws] = {}

    def add_draws(self, name: str, draws: Draws) -> None:
        """Note the draws of a latent site in one run."""
        self.draws.setdefault(name, []).append(draws.values)
        self._latest[name] = draws

    def add_site(
        self, program: str, name: str, arguments: Mapping[str, Array], **described: Any
    ) -> None:
        """Note a site and the arguments of its distribution."""
        self.sites[program, name] = {"program": program, "name": name, **described}
        self.arguments |= {f"{program}.{name}.{key}": x for key, x in arguments.items()}

    def add_rows(self, name: str, rows: Observed) -> dict[str, Any]:
        """Note the rows of a site; return the description of where their probability is from."""
        size = math.prod(rows.shape)
        self.observed |= {f"{name}.value": rows.value, f"{name}.total_count": rows.total_count}
        other = rows.coefficient_total
        if other is not None and np.any(other != rows.total_count):
            self.observed[f"{name}.coefficient_total"] = other
        described: dict[str, Any] = {"rows": size, "elements": rows.elements}
        if rows.probability is None:
            return described
        link = find_link(rows, self._latest, self.links.get(name))
        if link is None:
            return described
        self.links[name] = link
        self.observed[f"{name}.index"] = link.element
        return described | {"latent": link.latent, "complement": link.complement}

    def add_gradient(self, name: str, gradient: Array) -> None:
        """Add to the gradient of the loss for an argument."""
        before = self.gradients.get(name)
        self.gradients[name] = gradient if before is None else before + gradient

    def add_batch(self, plate: str, index: Array, size: int) -> None:
        """Note the rows of a minibatch."""
        self.observed[f"{plate}.rows"] = index
        self.plates[plate] = int(size)

    def groups(self) -> dict[str, dict[str, Array]]:
        """Collect the arrays of the step."""
        return {
            "draws": {name: np.concatenate(runs) for name, runs in self.draws.items()},
            "arguments": self.arguments,
            "argument_gradients": self.gradients,
            "observed": self.observed,
        }


def find_link(rows: Observed, latents: Mapping[str, Draws], last: Link | None) -> Link | None:
    """Find the latent whose draws are the rows' probabilities, the last one first.

    Examples
    --------
    >>> draws = {"c": Draws(np.array([[0.25, 0.5]]), (2,))}
    >>> rows = Observed(np.ones(3), np.ones(3), (3,), 3, np.array([[0.5, 0.5, 0.25]]))
    >>> find_link(rows, draws, None).element
    array([1, 1, 0])
    """
    assert rows.probability is not None
    if (
        last is not None
        and last.latent in latents
        and last.element.size == rows.probability.shape[1]
    ):
        seen = latents[last.latent].values
        if last.element.max(initial=-1) < seen.shape[1] and _same(rows, seen, last):
            return last
    for name, (values, shape) in latents.items():
        for complement in (False, True):
            for index in _indices(rows, values, shape, complement):
                link = Link(name, complement, index)
                if _same(rows, values, link):
                    return link
    return None


def _indices(
    rows: Observed, values: Array, shape: tuple[int, ...], complement: bool
) -> list[NDArray[np.int64]]:
    """List which element each row may have: by the shapes, then by its value."""
    found = []
    elements = np.arange(values.shape[1]).reshape(shape)
    with suppress(ValueError):
        found.append(np.broadcast_to(elements, rows.shape).ravel())
    assert rows.probability is not None
    first = _probability(rows.probability[0], rows.is_logit)
    c = 1 - values[0] if complement else values[0]
    order = np.argsort(c)
    if c.size and np.all(np.diff(c[order]) > 0):
        right = np.clip(np.searchsorted(c[order], first), 1, c.size - 1)
        left = right - 1
        nearer = np.abs(c[order][left] - first) < np.abs(c[order][right] - first)
        found.append(order[np.where(nearer, left, right)])
    return found


def _probability(x: Array, is_logit: bool) -> Array:
    if not is_logit:
        return x
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


def _same(rows: Observed, values: Array, link: Link) -> bool:
    """Tell whether all rows, of all particles, have the probability that a link says."""
    assert rows.probability is not None
    seen = rows.probability
    if values.dtype.kind != "f" or seen.dtype.kind != "f" or seen.shape[0] not in (1, len(values)):
        return False
    wanted = values[:, link.element]
    wanted = 1 - wanted if link.complement else wanted
    eps = float(max(np.finfo(x.dtype).eps for x in (values, seen)))
    if not rows.is_logit:
        return bool(np.all(np.abs(seen - wanted) <= 4 * eps * wanted))
    room = _NEAR * eps * np.maximum(wanted, eps) * (1 + np.abs(seen))
    return bool(np.all(np.abs(_probability(seen, True) - wanted) <= room))


def make_recording(
    steps: list[dict[str, Any]],
    header: Mapping[str, Any],
    moments: Mapping[str, Array] | None = None,
) -> Recording:
    """Stack the arrays of all steps; those that are the same in all of them are kept once.

    Of names, shapes and scales of sites the most usual are kept; steps of others, as of the last
    batch of a data set, are left out. The header says how many, and how many come before the first.
    """
    forms, of_step = list[_Form](), list[int]()
    for form in map(_form, steps):
        if form not in forms:
            forms.append(form)
        of_step.append(forms.index(form))
    usual = max(range(len(forms)), key=of_step.count)
    alike = [step for step, form in zip(steps, of_step, strict=True) if form == usual]
    if len(alike) < len(steps):
        leading = next(i for i, form in enumerate(of_step) if form != usual)
        header = {**header, "left_out": len(steps) - len(alike), "leading": leading}
    first = steps[0]["sites"]  # where all is noted; the others have what may be another
    sites = [{**first.get(place, {}), **site} for place, site in alike[0]["sites"].items()]
    header = {**header, "sites": sites}
    groups: dict[str, Any] = {"losses": np.array([x["losses"] for x in alike], dtype=np.float64)}
    for group in alike[0].keys() - _NO_ARRAYS:
        names = alike[0][group]
        groups[group] = {name: np.stack([x[group][name] for x in alike]) for name in names}
    for name, array in groups["observed"].items():
        if (array == array[:1]).all():
            groups["observed"][name] = array[:1]
    return Recording(header=header, moments=moments or {}, **groups)


def _form(step: Mapping[str, Any]) -> _Form:
    """Scales of the sites, and the shape of each array."""
    arrays = {group: step[group] for group in step.keys() - _NO_ARRAYS}
    shapes = {(group, name): x.shape for group, of in arrays.items() for name, x in of.items()}
    return {place: site.get("scale") for place, site in step["sites"].items()}, shapes


def import_framework(*modules: str, function: str, package: str) -> tuple[Any, ...]:
    """Import modules for a function; the error for one that is not installed says what to do."""
    try:
        return tuple(import_module(name) for name in modules)
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        raise ModuleNotFoundError(
            f"{function} needs {error.name}: {command(package)}", name=error.name
        ) from None
