"""The steps of a run as both recorders note them, and the recording made of all steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref.recording.notes import Recording

_ARGUMENTS = {
    "Beta": ("concentration1", "concentration0"),
    "Normal": ("loc", "scale"),
    "Binomial": ("total_count",),
}
"""The arguments of a site's distribution that are noted, by its class."""


class SiteNotes:
    """The sites of the model and the guide in one step.

    Attributes
    ----------
    draws : dict of names to lists of arrays
        A draw of a site in each run of the programs.
    arguments, observed : dict of names to arrays
    sites : dict of (program, name) to descriptions
    plates : dict of names to sizes
        Plates with minibatches.
    """

    def __init__(self) -> None:
        self.draws: dict[str, list[NDArray[Any]]] = {}
        self.arguments: dict[str, NDArray[Any]] = {}
        self.observed: dict[str, NDArray[Any]] = {}
        self.sites: dict[tuple[str, str], dict[str, Any]] = {}
        self.plates: dict[str, int] = {}

    def add_site(
        self,
        program: str,
        name: str,
        kind: str,
        fn: Any,
        *,
        value: Any,
        observed: bool,
        flat: Callable[[Any], NDArray[Any]],
        **described: Any,
    ) -> None:
        """Note a site of that class and distribution; `flat` makes arrays of tensors."""
        site = {"program": program, "name": name, "class": kind, "observed": observed}
        self.sites[program, name] = site | described
        arguments = {key: flat(getattr(fn, key)) for key in _ARGUMENTS.get(kind, ())}
        if observed:
            arguments = {
                f"{name}.{key}": x for key, x in {"value": flat(value), **arguments}.items()
            }
            self.observed |= arguments
        else:
            self.arguments |= {f"{program}.{name}.{key}": x for key, x in arguments.items()}

    def add_batch(self, plate: str, index: NDArray[Any], size: int) -> None:
        """Note the rows of a minibatch."""
        self.observed[f"{plate}.index"] = index
        self.plates[plate] = int(size)

    def groups(self, particles: int) -> dict[str, dict[str, NDArray[Any]]]:
        """Collect the arrays, the programs running with so many particles at once."""
        draws = {
            name: np.concatenate([run.reshape(particles, -1) for run in runs])
            for name, runs in self.draws.items()
        }
        return {"draws": draws, "arguments": self.arguments, "observed": self.observed}


def make_recording(
    steps: list[dict[str, Any]],
    header: Mapping[str, Any],
    moments: Mapping[str, NDArray[Any]] | None = None,
) -> Recording:
    """Stack the arrays of all steps; those that are observed in all of them are kept once.

    Raises
    ------
    ValueError
        If names or shapes are not the same in all steps.
    """
    groups: dict[str, Any] = {}
    for group in steps[0]:
        rows = [step[group] for step in steps]
        if group == "losses":
            groups[group] = np.array(rows, dtype=np.float64)
            continue
        for i, row in enumerate(rows):
            for name in row.keys() ^ rows[0].keys():
                raise ValueError(f"{group}: {name!r} is not in all steps: see step {i}")
        groups[group] = {}
        for name in rows[0]:
            shapes = {row[name].shape for row in rows}
            if len(shapes) > 1:
                listed = sorted(shapes)
                raise ValueError(f"{group}: {name!r} has the shapes {listed} in different steps")
            groups[group][name] = np.stack([row[name] for row in rows])
    for name, array in groups["observed"].items():
        if (array == array[:1]).all():
            groups["observed"][name] = array[:1]
    return Recording(header=header, moments=moments or {}, **groups)


def base_distribution(fn: Any) -> Any:
    """Unwrap a distribution that is expanded, or whose axes are declared an event."""
    while type(fn).__name__ in ("Independent", "ExpandedDistribution"):
        fn = fn.base_dist
    return fn


def import_framework(*modules: str, function: str, package: str) -> tuple[Any, ...]:
    """Import modules for a function; the error for one that is not installed says what to do."""
    try:
        return tuple(import_module(name) for name in modules)
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        raise ModuleNotFoundError(
            f"{function} needs {error.name}: pip install {package}", name=error.name
        ) from None
