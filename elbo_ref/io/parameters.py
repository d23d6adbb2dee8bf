"""Pyro or NumPyro parameters, in whatever form somebody has them, as named float64 arrays.

In memory a mapping of numbers, arrays or tensors: `pyro.get_param_store()` itself, NumPyro's
`svi_result.params`, a history of either. In a file JSON, npz, or what `torch.save` and Pyro's
`param_store.save` write; which of them, its first bytes say. The values are those that a model
sees: a saved store is brought to them by its constraints. In a history the first axis is the steps.

Pyro names a parameter of a module `module$$$parameter`; here it is `module.parameter`. Baselines of
the score function (`__baseline_...`) are no parameters of a model or guide, and left out.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.io.archive import member_names, most_unpacked, read_arrays
from elbo_ref.io.constraints import constrain
from elbo_ref.io.errors import DataError, bare, short
from elbo_ref.io.fields import read_object
from elbo_ref.io.pickle_machine import Instance
from elbo_ref.io.stream import is_json_object, is_zip, reading
from elbo_ref.io.tensors import Tensor
from elbo_ref.io.torch_store import PROGRAM, Store, read_store

_BASELINE = "__baseline_"
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_AGAIN = "load it where it was written and write it with torch.save (PyTorch 1.6 or newer), "
_MOST_DEPTH = 32


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters as a model sees them.

    Attributes
    ----------
    values : mapping of str to float64 array
        Read-only, in C order; NaN and infinities are kept.
    dtypes : mapping of str to str or None
        The type that each had, as ``"float32"``; None for plain numbers, which do not say, and
        where a list holds several.
    skipped : tuple of str
        Names that were there and are left out.
    notes : tuple of str
        The steps from the file to the values, in sentences.
    """

    values: Mapping[str, FloatArray]
    dtypes: Mapping[str, str | None]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


def read_parameters(source: object) -> Parameters:
    """Read parameters from a file, a mapping, or a live parameter store.

    Parameters
    ----------
    source : str, Path, mapping, or anything with ``.items()``
        A path (``"-"`` is standard input), or names with numbers, nested lists of them, arrays or
        tensors.

    Returns
    -------
    Parameters
        Under the names that they have, `$$$` written as a dot.

    Raises
    ------
    DataError
        If a file is none of those, damaged, or holds anything but real numbers.
    OSError
        If it cannot be opened.
    TypeError, ValueError
        If a mapping holds anything but text and real numbers, or nothing.

    Examples
    --------
    >>> found = read_parameters({"prior$$$concentration1": [2.0, 2.5], "__baseline_c": 0.1})
    >>> dict(found.values), found.skipped
    ({'prior.concentration1': array([2. , 2.5])}, ('__baseline_c',))
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "params.json")
    ...     _ = path.write_text('{"a": 1.5, "b": [2, 3]}')
    ...     read_parameters(path).values["b"]
    array([2., 3.])
    """
    if isinstance(source, str | Path):
        with reading(source) as stream:
            return parse(stream.rest(stream.read_block()))
    items = getattr(source, "items", None)
    if items is None:
        kind = type(source).__name__
        raise TypeError(f"parameters must be a path, a mapping or a parameter store, not {kind}")
    return _collect(items(), "the mapping")


def parse(data: bytes) -> Parameters:
    """Read the parameters in a file, given its bytes.

    Raises
    ------
    DataError
        If there are none; its message does not name the file.
    """
    try:
        if not is_zip(data):
            return _collect(_json(data).items(), "the file")
        names = member_names(data)
        if any(name.endswith(f"/{PROGRAM}") for name in names):
            return _of_store(read_store(data))
        if not any(name.endswith(".npy") for name in names):
            raise DataError("the archive is neither an npz nor one that torch.save wrote")
        return _collect(read_arrays(io.BytesIO(data), most_unpacked(len(data))).items(), "the file")
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        raise DataError(str(error)) from None


class _Collected:
    """Parameters so far."""

    def __init__(self) -> None:
        self._values: dict[str, FloatArray] = {}
        self._dtypes: dict[str, str | None] = {}
        self._skipped: list[str] = []
        self._notes: list[str] = []

    def add(self, name: object, value: object) -> None:
        """Take a parameter in, or leave it out."""
        if not isinstance(name, str):
            raise TypeError(f"the name of a parameter must be a str, not {short(name)}")
        if self._leave_out(name):
            return
        if isinstance(value, Mapping):
            rule = "numbers are needed (of a get_state(), hand in the parameter store itself)"
            raise TypeError(f"{bare(name)} is a mapping where {rule}")
        self._keep(name, *numbers_of(name, value))

    def add_saved(self, name: str, value: object, constraint: Instance) -> None:
        """Take in a parameter of a store, from its unconstrained value."""
        if self._leave_out(name):
            return
        if not isinstance(value, Tensor):
            raise DataError(f"{bare(name)} is no tensor")
        try:
            values, note = constrain(value, constraint)
        except DataError as error:
            raise DataError(f"{bare(name)}: {error}") from None
        if note:
            self._notes.append(f"{bare(_dotted(name))}: {note}")
        if values is None:
            self._skipped.append(_dotted(name))
        else:
            self._keep(name, values, value.kind)

    def _leave_out(self, name: str) -> bool:
        baseline = name.startswith(_BASELINE)
        if baseline:
            self._skipped.append(name)
            self._notes.append(f"{bare(name)}: left out (a baseline of the score function)")
        return baseline

    def _keep(self, name: str, values: FloatArray, dtype: str | None) -> None:
        dotted = _dotted(name)
        if dotted in self._values:
            raise ValueError(f"two parameters are called {short(dotted)}")
        if dotted.endswith("_unconstrained"):
            rule = "left unconstrained, as its constraint is not known here"
            self._notes.append(f"{bare(dotted)}: {rule}")
        values.flags.writeable = False
        self._values[dotted], self._dtypes[dotted] = values, dtype

    def finish(self, place: str) -> Parameters:
        """All of them; there must be one."""
        if not self._values:
            reason = "".join(f"; {note}" for note in self._notes[:1])
            raise ValueError(f"{place} holds no parameter{reason}")
        values, dtypes = MappingProxyType(self._values), MappingProxyType(self._dtypes)
        return Parameters(values, dtypes, tuple(self._skipped), tuple(self._notes))


def _dotted(name: str) -> str:
    return name.replace("$$$", ".")


def _collect(values: Iterable[tuple[object, object]], place: str) -> Parameters:
    collected = _Collected()
    for name, value in values:
        collected.add(name, value)
    return collected.finish(place)


def _of_store(store: Store) -> Parameters:
    if store.constraints is None:
        return _collect(store.values.items(), "the file")
    collected = _Collected()
    for name, value in store.values.items():
        collected.add_saved(name, value, store.constraints[name])
    return collected.finish("the store")


def _json(data: bytes) -> dict[str, object]:
    """The object that a JSON text holds."""
    if data.startswith(_LEGACY):
        rule = "torch.save wrote it in the format from before PyTorch 1.6"
        raise DataError(f"{rule}, which is a pickle: {_AGAIN}which can be read safely")
    if data.startswith(b"\x80"):
        raise DataError(f"it is a pickle, which may run commands: {_AGAIN}or as npz or JSON")
    if not is_json_object(data):
        raise DataError("it is no JSON object, no npz and no file that torch.save wrote")
    return read_object(data, _finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise DataError(f"the number {short(text)} is not finite")
    return number


class Numbers(NamedTuple):
    """Values in C order, and the type that they had: None where Python's numbers do not say."""

    values: FloatArray
    dtype: str | None


def numbers_of(name: str, value: object) -> Numbers:
    """The numbers in the value of the parameter `name`.

    A tensor has ``.detach()``, and goes by way of the processor's memory; anything else but lists
    is converted by `numpy.asarray`. NaN and infinities stay.

    Raises
    ------
    TypeError
        If they are no real numbers; truth values, text and objects are not.
    ValueError
        If there are none, rows differ in length, or a number is beyond float64.

    Examples
    --------
    >>> numbers_of("a", np.float32(0.5))
    Numbers(values=array(0.5), dtype='float32')
    >>> numbers_of("a", [[1, 2.5], [3, float("nan")]])
    Numbers(values=array([[1. , 2.5],
           [3. , nan]]), dtype=None)
    """
    found = _numbers(bare(name), value, 0)
    if not found.values.size:
        raise ValueError(f"{bare(name)} holds no number")
    return found


def _numbers(name: str, value: object, depth: int) -> Numbers:
    if isinstance(value, Tensor):
        return Numbers(_widened(value.elements), value.kind)
    if isinstance(value, list | tuple):
        return _stacked(name, value, depth)
    if type(value) in (int, float):
        return Numbers(_plain(name, value), None)
    array, kind = _array(name, value)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        found = "" if isinstance(value, np.ndarray) else f"a {type(value).__name__} of "
        raise TypeError(f"{name} must be real numbers, not {found}dtype {array.dtype}")
    return Numbers(_widened(array), kind)


def _stacked(name: str, values: list[Any] | tuple[Any, ...], depth: int) -> Numbers:
    """The values of a list along a new first axis."""
    if depth == _MOST_DEPTH:
        raise ValueError(f"{name} is nested more than {_MOST_DEPTH} deep")
    if set(map(type, values)) <= {int, float}:
        return Numbers(_plain(name, values), None)
    parts = [_numbers(f"{name}[{i}]", each, depth + 1) for i, each in enumerate(values)]
    for i, part in enumerate(parts):
        if part.values.shape != parts[0].values.shape:
            first, shape = parts[0].values.shape, part.values.shape
            raise ValueError(f"{name}[{i}] has shape {shape} where {name}[0] has {first}")
    kinds = {part.dtype for part in parts}
    kind = kinds.pop() if len(kinds) == 1 else None
    return Numbers(np.stack([part.values for part in parts]), kind)


def _widened(array: NDArray[Any]) -> FloatArray:
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        return np.array(array, np.float64, order="C")


def _plain(name: str, numbers: object) -> FloatArray:
    try:
        return np.array(numbers, np.float64)
    except OverflowError:
        raise ValueError(f"{name} holds an integer beyond float64") from None


def _array(name: str, value: Any) -> tuple[NDArray[Any], str]:
    """A value as NumPy converts it, and the name of the type that it had."""
    if np.ma.isMaskedArray(value):
        raise TypeError(f"{name} must be real numbers, not a masked array")
    try:
        if not hasattr(value, "detach"):
            array = np.asarray(value)
            return array, array.dtype.name
        tensor, kind = value.detach().cpu(), str(value.dtype).removeprefix("torch.")
        return (tensor.float() if kind == "bfloat16" else tensor).numpy(), kind
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{name} cannot be read as an array: {reason:.120}") from None
