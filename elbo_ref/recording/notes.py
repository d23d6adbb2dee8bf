"""`Recording`: what happened in every step of somebody's SVI, as plain arrays, and its file.

A step draws, evaluates a loss and its gradients, and moves the parameters. All of that is kept in
the precision in which it happened; what is not an array is the header, a tree of plain values.

The file is an npz of plain arrays, the header being JSON text in the member ``header``. The other
members are ``losses`` and, of each group below, ``<group>/<i>`` for the i-th of the names that the
header lists for the group: a name can be anything. Nothing is pickled, and reading runs no code
from the file.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray, check_type, file_path
from elbo_ref.io import fields
from elbo_ref.io.archive import check_all_taken, read_arrays, take
from elbo_ref.io.atomic import write
from elbo_ref.recording.former import from_first_form
from elbo_ref.recording.header import DOCUMENT, FORMER, GROUPS, HEADER, SCHEMA

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

_LIKE_BEFORE = ("after", "gradients")
"""Groups that have the parameters of `before`, with their shapes."""

_AXES = {"draws": 3, "arguments": 2, "argument_gradients": 2, "observed": 2, "lr": 1}
"""The number of axes of an array; of the other groups any."""

_NOT_EMPTY = ("draws", "arguments", "observed")

_ADVICE = "record the run again and save it with Recording.save"


class RecordingError(ValueError):
    """A file that is not a recording, or arrays that do not make one; the message says why."""


@dataclass(frozen=True, eq=False)
class Recording:
    """T steps of an SVI; made by `elbo_ref.recording.record`.

    Attributes
    ----------
    losses : array, (T,)
        As ``svi.step`` returns them: evaluated before the step's update.
    draws : mapping of site names to arrays (T, particles, latents)
    before, after : mapping of parameter names to arrays (T, ...)
        Unconstrained parameters around each update.
    constrained : mapping of parameter names to arrays (T, ...)
        The constrained ones before the update.
    gradients : mapping of parameter names to arrays (T, ...)
        Gradients of the loss for the unconstrained parameters, as the optimizer was handed them.
    lr : mapping of parameter names to arrays (T,)
        The learning rate that each update used, where it is known.
    moments : mapping of parameter names to arrays (3, ...)
        Adam's first, second and largest second moment before the first step here, where there was
        an earlier one.
    arguments : mapping of names to arrays (T, 1 or latents)
        Arguments of the sites' distributions, as ``guide.c.concentration1``.
    argument_gradients : mapping of names to arrays (T, 1 or latents)
        Gradients of the loss for these arguments, where one reaches them.
    observed : mapping of names to arrays (1 or T, 1 or rows)
        Of an observed site ``obs.value``, ``obs.total_count`` and ``obs.index``, the latent's
        element that each row has; ``obs.coefficient_total`` where the coefficients are of another
        total; masks; one row if all steps have it.
    header : mapping
        All that is no array: versions, sites, the classes of loss and optimizer, settings; see
        `elbo_ref.recording.header`.

    Raises
    ------
    RecordingError
        If the arrays do not belong together, or the header holds what it cannot.

    See Also
    --------
    elbo_ref.recording.record, elbo_ref.recording.record_numpyro : Make one of a run.
    elbo_ref.replay : Recompute its steps.

    Examples
    --------
    >>> recording = Recording(losses=np.array([2.5, 2.0]), draws={"c": np.full((2, 1, 1), 0.5)})
    >>> recording.num_steps
    2
    >>> recording
    Recording(2 steps; draws of c; parameters none)
    """

    losses: FloatArray
    draws: Arrays = field(default_factory=dict)
    before: Arrays = field(default_factory=dict)
    constrained: Arrays = field(default_factory=dict)
    after: Arrays = field(default_factory=dict)
    gradients: Arrays = field(default_factory=dict)
    lr: Arrays = field(default_factory=dict)
    moments: Arrays = field(default_factory=dict)
    arguments: Arrays = field(default_factory=dict)
    argument_gradients: Arrays = field(default_factory=dict)
    observed: Arrays = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        losses = _numbers("losses", self.losses).astype(np.float64)
        object.__setattr__(self, "losses", losses)
        for group in GROUPS:
            arrays = {
                name: _numbers(f"{group} {name!r}", array)
                for name, array in getattr(self, group).items()
            }
            object.__setattr__(self, group, MappingProxyType(arrays))
        faults = _faults_of_arrays(self), _faults_of_header(self), _faults_of_sites(self)
        for fault in chain.from_iterable(faults):
            raise RecordingError(fault)
        object.__setattr__(self, "header", MappingProxyType(dict(self.header)))

    def sites(self, program: str) -> list[Mapping[str, Any]]:
        """List the header's sites of the ``"model"`` or the ``"guide"``."""
        return [x for x in self.header.get("sites", []) if x["program"] == program]

    def with_observed(self, more: Arrays) -> Recording:
        """Add observed arrays."""
        return replace(self, observed={**self.observed, **more})

    def __repr__(self) -> str:
        draws, parameters = (", ".join(x) or "none" for x in (self.draws, self.before))
        return f"Recording({self.num_steps} steps; draws of {draws}; parameters {parameters})"

    @property
    def num_steps(self) -> int:
        """The number of steps, T."""
        return int(self.losses.size)

    @property
    def dtype(self) -> str:
        """Precision of the run: ``"float32"`` if any draw or parameter is one, or ``"float64"``.

        Where there is neither, that of the arguments and of the data.
        """
        parts = (*self.draws.values(), *self.before.values())
        parts = parts or (*self.arguments.values(), *self.observed.values())
        return "float32" if any(x.dtype == np.float32 for x in parts) else "float64"

    def save(self, path: str | Path, *, overwrite: bool = True) -> None:
        """Write the recording whole or not at all, as a plain npz.

        Parameters
        ----------
        path : str or Path
        overwrite : bool
            Whether a file that exists is replaced, as NumPy's and PyTorch's are.

        Raises
        ------
        OSError
            If the file cannot be written, or exists and is not to be overwritten.

        Examples
        --------
        >>> import tempfile
        >>> recording = Recording(losses=np.array([2.5, 2.0]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recording.save(Path(folder, "run.npz"))
        ...     Recording.load(Path(folder, "run.npz")).losses
        array([2.5, 2. ])
        """
        file = file_path("path", path)
        check_type("overwrite", overwrite, bool)
        names = {group: list(getattr(self, group)) for group in GROUPS}
        document = {"schema": SCHEMA, "names": names, "header": dict(self.header)}
        members = {
            f"{group}/{i}": array
            for group in GROUPS
            for i, array in enumerate(getattr(self, group).values())
        }
        text = json.dumps(document, sort_keys=True, allow_nan=False)
        packed = io.BytesIO()
        np.savez(packed, header=np.array(text), losses=self.losses, **members)
        write(file, packed.getvalue(), overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a recording that `save` has written.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Recording

        Raises
        ------
        RecordingError
            If the file is not one.
        OSError
            If it cannot be read.
        """
        file = file_path("path", path)
        try:
            return cls(**_unpacked(read_arrays(file)))
        except ValueError as error:
            reason = f"not a recording of elbo_ref: {error}; {_ADVICE}"
            raise RecordingError(f"{file}: {reason}") from None


def _unpacked(members: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Make the arguments of `Recording` of the members of a file; ValueError if it is none."""
    document = fields.parse(str(take(members, "header")))
    DOCUMENT("", document)
    groups: dict[str, Any] = {}
    for group in GROUPS:
        names = document["names"].get(group, [])
        if len(set(names)) != len(names):
            raise ValueError(f"a name in {group} stands twice")
        groups[group] = {name: take(members, f"{group}/{i}") for i, name in enumerate(names)}
    losses, header = take(members, "losses"), document["header"]
    check_all_taken(members)
    if document["schema"] == FORMER:
        Recording(losses=losses, header=header, **groups)  # refuses arrays that are none
        return {"losses": losses, **from_first_form(groups, header)}
    return {"losses": losses, "header": header, **groups}


def _faults_of_arrays(recording: Recording) -> Iterator[str]:
    """Yield in words how the arrays do not belong together."""
    losses, before = recording.losses, recording.before
    if losses.ndim != 1 or not losses.size:
        yield f"losses of shape {losses.shape} are not one for each step"
    lengths = {"moments": (3,), "observed": (1, losses.size)}
    for group in GROUPS:
        for name, array in getattr(recording, group).items():
            shape = f"{group} {name!r} has shape {array.shape}"
            wanted = lengths.get(group, (losses.size,))
            if array.ndim == 0 or len(array) not in wanted:
                yield f"{shape} where the first is {' or '.join(map(str, wanted))}"
            if group in _NOT_EMPTY and not array.size:
                yield f"{shape}: it is empty"
            if array.ndim != _AXES.get(group, array.ndim):
                yield f"{shape}, not {_AXES[group]}-d"
    free = {name: bool(array.size) for name, array in before.items()}
    if free != {name: bool(array.size) for name, array in recording.constrained.items()}:
        yield "constrained and before are not the same parameters"
    for group in _LIKE_BEFORE:
        shapes = {name: array.shape for name, array in getattr(recording, group).items()}
        if shapes != {name: array.shape for name, array in before.items()}:
            yield f"{group} and before are not the same parameters"
    for name in recording.lr:
        if name not in before:
            yield f"lr {name!r} does not fit that parameter"
    for name, array in recording.moments.items():
        if name not in before or array.shape[1:] != before[name].shape[1:]:
            yield f"moments {name!r} does not fit that parameter"


def _faults_of_header(recording: Recording) -> Iterator[str]:
    """Yield in words what the header cannot hold, or lacks."""
    try:
        HEADER("header", recording.header)
    except ValueError as error:
        yield str(error)
    sites = Counter((site["program"], site["name"]) for site in recording.header.get("sites", ()))
    for (program, name), times in sites.items():
        if times > 1:
            yield f"header.sites: the {program} has {name!r} {times} times"
    for name in recording.moments:
        if name not in recording.header.get("earlier_steps", {}):
            yield f"moments {name!r}: header.earlier_steps does not say of how many steps"


def _faults_of_sites(recording: Recording) -> Iterator[str]:
    """Yield in words how the arrays of a site do not have its elements, or are missing."""
    draws, observed = recording.draws, recording.observed
    for site in recording.header.get("sites", ()):
        name, rows, latent = site["name"], site.get("rows"), site.get("latent")
        size = draws[name].shape[2] if name in draws else rows
        start = f"{site['program']}.{name}"
        parts = [
            (full, array, size)
            for group in (recording.arguments, recording.argument_gradients, observed)
            for full, array in group.items()
            if full.rpartition(".")[0] == start
        ]
        linked = ("value", "total_count", *(["index"] if latent in draws else []))
        for full in [f"{name}.{key}" for key in linked] if rows is not None else ():
            if full not in observed:
                yield f"observed {full!r} is missing"
                return
            parts.append((full, observed[full], rows))
        other = f"{name}.coefficient_total"
        if other in observed:
            parts.append((other, observed[other], rows))
        for full, array, wanted in parts:
            if wanted is not None and array.shape[1] not in (1, wanted):
                yield f"{full!r} has {array.shape[1]} values for the {wanted} elements of {name!r}"
        if rows is not None and latent in draws:
            index = observed[f"{name}.index"]
            if not np.all((index >= 0) & (index < draws[latent].shape[2])):
                yield f"observed '{name}.index' is not a number of one of the elements of a latent"


def _numbers(what: str, value: Any) -> NDArray[Any]:
    """Keep real numbers in their precision, read-only."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise RecordingError(f"{what} is not made of real numbers but of {array.dtype}")
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    array = array.view()
    array.setflags(write=False)
    return array
