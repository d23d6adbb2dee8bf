"""Files of `torch.save`, without PyTorch and without trust: Pyro's parameter stores, state_dicts.

Such a file is a zip that compresses nothing: a pickle `data.pkl`, a member `data/<key>` for each
storage, and `byteorder`, all in one folder. The pickle is run by `pickle_machine`, which knows the
names below and no others. Pyro's `param_store.save` writes {"params": unconstrained tensors,
"constraints": objects of constraint classes}.

Source: PyTorch's notes on serialization semantics (the file format of `torch.save` since 1.6);
`torch.serialization`; `pyro.params.param_store` of Pyro 1.9.2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from elbo_ref.io import pickle_machine
from elbo_ref.io.archive import read_stored
from elbo_ref.io.constraints import CLASSES
from elbo_ref.io.errors import DataError, short
from elbo_ref.io.pickle_machine import Call, Instance
from elbo_ref.io.tensors import STORAGES, Tensor, Tensors, parameter, with_attributes

PROGRAM = "data.pkl"
_MOST_PROGRAM = 2**24
_MOST_DEPTH = 32
_BYTEORDERS = {b"little": "<", b"big": ">"}


class Store(NamedTuple):
    """The values of a file by name, and their constraints if it is one of Pyro's stores.

    A value is a `Tensor`, a number, a text, a truth value, None, or lists, tuples and mappings of
    these. They hold no more values than the file has bytes, and are
    nested no more than 32 deep.
    """

    values: dict[str, object]
    constraints: dict[str, Instance] | None


def read_store(data: bytes) -> Store:
    """Read the mapping in a file that `torch.save` wrote, given its bytes.

    Raises
    ------
    DataError
        If the file is damaged, is none that `torch.save` writes, or holds anything but a mapping
        of plain values.
    """
    members = _members(read_stored(data))
    program = members[PROGRAM]
    if len(program) > _MOST_PROGRAM:
        raise DataError(f"{PROGRAM} has {len(program)} bytes, more than {_MOST_PROGRAM}")
    order = _BYTEORDERS.get(members.get("byteorder", b"little"))
    if order is None:
        raise DataError(f"the byte order {short(members['byteorder'])} is neither little nor big")
    tensors = Tensors(members, order)
    makers = tensors.rebuild, parameter
    known: dict[str, object] = {
        **STORAGES,
        "torch._utils._rebuild_tensor_v2": tensors.rebuild,
        "torch._utils._rebuild_parameter": parameter,
        "torch._tensor._rebuild_from_type_v2": partial(with_attributes, makers),
        "torch.Tensor": _maker("a tensor", dict),
        "torch.nn.parameter.Parameter": _maker("a parameter", dict),
        "collections.OrderedDict": _maker("an OrderedDict", dict),
        **{name: _maker(f"a constraint {name}", partial(Instance, name)) for name in CLASSES},
    }
    values = pickle_machine.run(program, known, tensors.load)
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise DataError(f"the file holds one {kind} where a mapping of parameters is needed")
    if set(values) != {"params", "constraints"}:
        _check_size(values, len(data))
        return Store(values, None)
    params, constraints = values["params"], values["constraints"]
    if not isinstance(params, dict) or not isinstance(constraints, dict):
        raise DataError("the params or the constraints of the store are no mapping")
    _check_size(params, len(data))
    for name in params:
        if not isinstance(constraints.get(name), Instance):
            raise DataError(f"the parameter {short(name)} has no constraint")
    return Store(params, constraints)


def _members(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Name the members by their place in the folder that holds all of them."""
    folders = {name.partition("/")[0] for name in contents}
    if len(folders) != 1:
        raise DataError(f"the archive has {len(folders)} folders where torch.save writes one")
    members = {name.partition("/")[2]: content for name, content in contents.items()}
    if PROGRAM not in members:
        raise DataError(f"the archive has no member {PROGRAM}, as torch.save writes it")
    return members


def _maker(what: str, make: Callable[[], object]) -> Call:
    """Call for a class whose objects are made without arguments."""

    def called(arguments: tuple[object, ...]) -> object:
        if arguments:
            raise DataError(f"{what} is made of something else than nothing")
        return make()

    return called


def _check_size(mapping: dict[str, object], most: int) -> None:
    """Refuse values that are not plain, and a file that repeats one value beyond its size."""
    values: list[tuple[object, int]] = [(mapping, 0)]
    count = 0
    while values:
        value, depth = values.pop()
        inner: list[object] = []
        if isinstance(value, Tensor):
            count += value.array.size
        elif isinstance(value, dict):
            inner = list(value.values())
        elif type(value) in (list, tuple):
            inner = list(value)  # type: ignore[call-overload]
        elif not isinstance(value, float | int | str | None):
            raise DataError(f"the file holds one {type(value).__name__} where a number is needed")
        count += len(inner)
        if count > most:
            raise DataError(f"the file unfolds to more values than it has bytes, {most}")
        if inner and depth == _MOST_DEPTH:
            raise DataError(f"the values are nested more than {_MOST_DEPTH} deep")
        values.extend((each, depth + 1) for each in inner)
