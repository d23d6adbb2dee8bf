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
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.io.archive import member_names, most_unpacked, read_arrays
from elbo_ref.io.constraints import class_name, constrain, ends_of, innermost
from elbo_ref.io.errors import DataError, bare, short
from elbo_ref.io.fields import read_json
from elbo_ref.io.pickle_machine import Instance
from elbo_ref.io.stream import is_json_object, is_zip, reading
from elbo_ref.io.tensors import Tensor
from elbo_ref.io.torch_store import PROGRAM, read_store

_OF_MODEL = re.compile("state_dict|param|model")
"""The names under which checkpoints keep parameters."""
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
    constraints : mapping of str to str
        The constraint of each parameter of which a store says it, as ``"real"`` or
        ``"greater_than"``.
    ends : mapping of str to (float, float)
        The ends of the intervals among them.
    """

    values: Mapping[str, FloatArray]
    dtypes: Mapping[str, str | None]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    constraints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ends: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))


def read_parameters(source: object) -> Parameters:
    """Read parameters from a file, a mapping, or a live parameter store.

    Parameters
    ----------
    source : str, Path, mapping, or anything with ``.items()``
        A path (``"-"`` is standard input), or names with numbers, nested lists of them, arrays or
        tensors.

    Returns
    -------
    elbo_ref.io.parameters.Parameters
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
    >>> parameters = read_parameters({"prior$$$concentration1": [2.0, 2.5], "__baseline_c": 0.1})
    >>> dict(parameters.values), parameters.skipped
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
    found = _plain("the mapping", dict(items()))
    constraints = _of_live_store(source, found.values)
    kinds = {name: type(constraint) for name, constraint in constraints.items()}
    named = {x: class_name(f"{kind.__module__}.{kind.__name__}") for x, kind in kinds.items()}
    return replace(
        found, constraints=MappingProxyType(named), ends=MappingProxyType(_ends(constraints))
    )


def _ends(constraints: Mapping[str, object]) -> dict[str, tuple[float, float]]:
    ends = {name: ends_of(constraint) for name, constraint in constraints.items()}
    return {name: pair for name, pair in ends.items() if pair is not None}


def _of_live_store(source: object, names: Collection[str]) -> dict[str, object]:
    """Constraints in a parameter store of Pyro's, where it is one."""
    get_state = getattr(source, "get_state", None)
    state = get_state() if callable(get_state) else None
    constraints = state.get("constraints") if isinstance(state, Mapping) else None
    if not isinstance(constraints, Mapping):
        return {}
    inside = {
        name.replace("$$$", "."): getattr(constraint, "base_constraint", constraint)
        for name, constraint in constraints.items()
    }
    return {name: inside[name] for name in names if name in inside}


def parse(data: bytes) -> Parameters:
    """Read the parameters in a file, given its bytes.

    Raises
    ------
    DataError
        If there are none; its message does not name the file.
    """
    try:
        if not is_zip(data):
            return _plain("the file", _json(data))
        names = member_names(data)
        if any(name.endswith(f"/{PROGRAM}") for name in names):
            values, constraints = read_store(data)
            if constraints is None:
                return _plain("the file", values)
            return _collected("the store", ((x, values[x], constraints[x]) for x in values))
        if not any(name.endswith(".npy") for name in names):
            raise DataError("the archive is neither an npz nor one that torch.save wrote")
        return _plain("the file", read_arrays(io.BytesIO(data), most_unpacked(len(data))))
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        raise DataError(str(error)) from None


def _plain(place: str, values: Mapping[str, object]) -> Parameters:
    inner = _of_checkpoint(values)
    taken = values if inner is None else values[inner]
    assert isinstance(taken, Mapping)
    found = _collected(place, ((name, value, None) for name, value in taken.items()))
    if inner is None:
        return found
    note = f"{bare(inner)}: taken for the parameters of a checkpoint"
    return replace(found, notes=(note, *found.notes))


def _of_checkpoint(values: Mapping[str, object]) -> str | None:
    """Name the one mapping of numbers in a checkpoint, beside what no parameter can be.

    That is an optimizer's state, a mapping of mappings, and plain numbers, text and lists. Where
    constraints stand beside them, the parameters are unconstrained and those of a `get_state()`.
    """
    mappings = {name: x for name, x in values.items() if isinstance(x, Mapping)}
    flat = [
        name
        for name, x in mappings.items()
        if _OF_MODEL.search(str(name)) and not any(isinstance(y, Mapping) for y in x.values())
    ]
    plain = (bool, int, float, str, list, type(None))
    others = (x for name, x in values.items() if name not in mappings)
    alone = len(flat) == 1 and "constraints" not in mappings
    return flat[0] if alone and all(isinstance(x, plain) for x in others) else None


def _collected(place: str, entries: Iterable[tuple[object, object, Instance | None]]) -> Parameters:
    """Collect names, values, and the constraints of those that are unconstrained."""
    values: dict[str, FloatArray] = {}
    dtypes: dict[str, str | None] = {}
    constraints: dict[str, Instance] = {}
    skipped, notes = [], []
    for name, value, constraint in entries:
        if not isinstance(name, str):
            raise TypeError(f"the name of a parameter must be a str, not {short(name)}")
        if name.startswith(_BASELINE):
            skipped.append(name)
            notes.append(f"{bare(name)}: left out (a baseline of the score function)")
            continue
        dotted = name.replace("$$$", ".")
        array: FloatArray | None
        if constraint is None:
            (array, dtype), note = numbers_of(name, value), ""
        else:
            array, dtype, note = _constrained(name, value, constraint)
        if note:
            notes.append(f"{bare(dotted)}: {note}")
        if array is None:
            skipped.append(dotted)
            continue
        if dotted in values:
            raise ValueError(f"two parameters are called {short(dotted)}")
        if dotted.endswith("_unconstrained"):
            rule = "left unconstrained, as its constraint is not known here"
            notes.append(f"{bare(dotted)}: {rule}")
        array.flags.writeable = False
        values[dotted], dtypes[dotted] = array, dtype
        if constraint is not None:
            constraints[dotted] = innermost(constraint)
    if not values:
        reason = "".join(f"; {note}" for note in notes[:1])
        raise ValueError(f"{place} holds no parameter{reason}")
    return Parameters(
        MappingProxyType(values),
        MappingProxyType(dtypes),
        tuple(skipped),
        tuple(notes),
        MappingProxyType({name: class_name(x.name) for name, x in constraints.items()}),
        MappingProxyType(_ends(constraints)),
    )


def _constrained(
    name: str, value: object, constraint: Instance
) -> tuple[FloatArray | None, str, str]:
    """Compute value, type and note of a parameter of a store, from its unconstrained tensor."""
    if not isinstance(value, Tensor):
        raise DataError(f"{bare(name)} is no tensor")
    try:
        values, note = constrain(value, constraint)
    except DataError as error:
        raise DataError(f"{bare(name)}: {error}") from None
    return values, value.kind, note


def _json(data: bytes) -> dict[str, object]:
    """Read a JSON object of finite numbers."""
    if data.startswith(_LEGACY):
        rule = "torch.save wrote it in the format from before PyTorch 1.6"
        raise DataError(f"{rule}, which is a pickle: {_AGAIN}which can be read safely")
    if data.startswith(b"\x80"):
        raise DataError(f"it is a pickle, which may run commands: {_AGAIN}or as npz or JSON")
    if not is_json_object(data):
        raise DataError("it is no JSON object, no npz and no file that torch.save wrote")
    document: dict[str, Any] = read_json(data, _finite)
    return document


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
    """Convert the value of the parameter `name` to float64; NaN and infinities stay.

    Raises
    ------
    TypeError
        If it is no real number, nor nested lists, an array or a tensor of some; truth values, text
        and objects are none.
    ValueError
        If it is empty, rows differ in length, or a number is beyond float64.

    Examples
    --------
    >>> numbers_of("a", np.float32(0.5))
    Numbers(values=array(0.5), dtype='float32')
    >>> numbers_of("a", [[1, 2.5], [3, float("nan")]])
    Numbers(values=array([[1. , 2.5],
           [3. , nan]]), dtype=None)
    """
    if isinstance(value, Mapping):
        rule = (
            "numbers are needed (of a get_state(), hand in the parameter store itself, of a "
            "checkpoint the mapping of its parameters alone)"
        )
        raise TypeError(f"{bare(name)} is a mapping where {rule}")
    numbers = _numbers(bare(name), value, 0)
    if not numbers.values.size:
        raise ValueError(f"{bare(name)} holds no number")
    return numbers


def _numbers(name: str, value: object, depth: int) -> Numbers:
    if isinstance(value, Tensor):
        return Numbers(_widened(value.elements), value.kind)
    if isinstance(value, list | tuple):
        return _stacked(name, value, depth)
    if type(value) in (int, float):
        return Numbers(_of_python(name, value), None)
    array, kind = _array(name, value)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        kind = "" if isinstance(value, np.ndarray) else f"a {type(value).__name__} of "
        raise TypeError(f"{name} must be real numbers, not {kind}dtype {array.dtype}")
    return Numbers(_widened(array), kind)


def _stacked(name: str, values: Sequence[object], depth: int) -> Numbers:
    """Stack the values of a list along a new first axis."""
    if depth == _MOST_DEPTH:
        raise ValueError(f"{name} is nested more than {_MOST_DEPTH} deep")
    if set(map(type, values)) <= {int, float}:
        return Numbers(_of_python(name, values), None)
    parts = [_numbers(f"{name}[{i}]", each, depth + 1) for i, each in enumerate(values)]
    first = parts[0].values.shape
    for i, part in enumerate(parts):
        if part.values.shape != first:
            shape = part.values.shape
            raise ValueError(f"{name}[{i}] has shape {shape} where {name}[0] has {first}")
    kinds = {part.dtype for part in parts}
    kind = kinds.pop() if len(kinds) == 1 else None
    return Numbers(np.stack([part.values for part in parts]), kind)


def _of_python(name: str, numbers: object) -> FloatArray:
    try:
        return np.array(numbers, np.float64)
    except OverflowError:
        raise ValueError(f"{name} holds an integer beyond float64") from None


def _widened(array: NDArray[Any]) -> FloatArray:
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        return np.array(array, np.float64, order="C")


def _array(name: str, value: Any) -> tuple[NDArray[Any], str]:
    """Convert a value by NumPy; also return the name of the type that it had.

    A tensor of PyTorch has ``.detach()``, and goes by way of the processor's memory.
    """
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
