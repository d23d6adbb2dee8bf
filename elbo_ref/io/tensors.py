"""Tensors of a file as arrays: views of its storages.

A tensor is a storage, an offset, and for each dimension a size and a stride. It must stay inside
the storage, and no two of its elements may be in one place: so it is no larger than the file, and
takes no memory of its own.

Source: `torch._utils._rebuild_tensor_v2`, `_rebuild_parameter` and `torch.storage` of PyTorch 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref.io.errors import DataError, short

MOST_DIMENSIONS = 32


class Kind(NamedTuple):
    """An element type: PyTorch's name of it, and how NumPy reads it.

    NumPy has no bfloat16: the upper half of a float32, read as an integer.
    """

    name: str
    dtype: str


STORAGES = {
    "torch.DoubleStorage": Kind("float64", "f8"),
    "torch.FloatStorage": Kind("float32", "f4"),
    "torch.HalfStorage": Kind("float16", "f2"),
    "torch.BFloat16Storage": Kind("bfloat16", "u2"),
    "torch.LongStorage": Kind("int64", "i8"),
    "torch.IntStorage": Kind("int32", "i4"),
    "torch.ShortStorage": Kind("int16", "i2"),
    "torch.CharStorage": Kind("int8", "i1"),
    "torch.ByteStorage": Kind("uint8", "u1"),
}


class Storage(NamedTuple):
    """A flat array, its element type, and the name of its member."""

    elements: NDArray[Any]
    kind: str
    name: str


class Tensor(NamedTuple):
    """A view of a storage, and its element type."""

    array: NDArray[Any]
    kind: str

    @property
    def elements(self) -> NDArray[Any]:
        """The elements in their own type; bfloat16 as float32.

        Examples
        --------
        >>> Tensor(np.array([0x3FC0], np.uint16), "bfloat16").elements
        array([1.5], dtype=float32)
        """
        if self.kind != "bfloat16":
            return self.array
        return (self.array.astype(np.uint32) << np.uint32(16)).view(np.float32)


class Tensors:
    """The storages of one file, and the tensors made of them."""

    def __init__(self, members: Mapping[str, bytes], byteorder: str) -> None:
        self._members, self._order = members, byteorder
        self._loaded: dict[str, Storage] = {}

    def load(self, key: tuple[object, ...]) -> Storage:
        """Load the storage of a persistent id: ("storage", type, name, device, size)."""
        match key:
            case ("storage", Kind(kind, dtype), str(name), str(), int(size)):
                pass
            case _:
                raise DataError("a persistent id is none of a storage")
        data = self._members.get(f"data/{name}")
        if data is None:
            raise DataError(f"the storage {short(name)} is not in the archive")
        element = np.dtype(f"{self._order}{dtype}")
        if len(data) != size * element.itemsize:
            need = f"{short(size)} elements of {kind}"
            raise DataError(f"the storage {short(name)} has {len(data)} bytes for {need}")
        before = self._loaded.setdefault(name, Storage(np.ndarray(size, element, data), kind, name))
        if before.kind != kind:
            raise DataError(f"the storage {short(name)} is read as {before.kind} and as {kind}")
        return before

    def rebuild(self, arguments: tuple[object, ...]) -> Tensor:
        """Make the tensor that `torch._utils._rebuild_tensor_v2` makes of its arguments."""
        match arguments:
            case (Storage() as storage, int(offset), tuple(size), tuple(stride), bool(), dict()):
                elements, kind, name = storage
            case _:
                raise DataError("a tensor is rebuilt from something else than a storage and sizes")
        sizes, strides = _whole(size), _whole(stride)
        what = f"a tensor of storage {short(name)}"
        if len(sizes) != len(strides):
            raise DataError(f"{what} has {len(sizes)} sizes and {len(strides)} strides")
        if 0 in sizes:
            raise DataError(f"{what} holds no number")
        reach = 0
        for step, length in sorted(zip(strides, sizes, strict=True)):
            if length > 1 and step <= reach:
                rule = f"of sizes {short(sizes)} and strides {short(strides)} puts several elements"
                raise DataError(f"{what} {rule} in one place (clone it before it is saved)")
            reach += (length - 1) * step
        if not 0 <= offset < elements.size - reach:
            rule = f"offset {short(offset)}, sizes {short(sizes)} and strides {short(strides)}"
            raise DataError(f"{what} with {rule} leaves its {elements.size} elements")
        width = elements.itemsize
        steps = [
            step * width if length > 1 else width
            for step, length in zip(strides, sizes, strict=True)
        ]
        return Tensor(np.ndarray(sizes, elements.dtype, elements, offset * width, steps), kind)


def parameter(arguments: tuple[object, ...]) -> Tensor:
    """Return the tensor of a `torch._utils._rebuild_parameter`, without its gradient's flags."""
    match arguments:
        case (Tensor() as tensor, bool(), dict()):
            return tensor
    raise DataError("a parameter is rebuilt from something else than a tensor")


def with_attributes(makers: tuple[object, ...], arguments: tuple[object, ...]) -> object:
    """Return the tensor of a `torch._tensor._rebuild_from_type_v2`, without its attributes.

    Those that ``pyro.subsample`` leaves on a tensor, for one; `makers` are all that may make it.
    """
    match arguments:
        case (make, _, tuple(inner), dict()) if make in makers and callable(make):
            return make(inner)
    raise DataError("a tensor with attributes is rebuilt from something else than a tensor")


def _whole(values: tuple[object, ...]) -> tuple[int, ...]:
    """Check that sizes or strides are whole numbers, no more than a tensor has."""
    if len(values) > MOST_DIMENSIONS:
        raise DataError(f"a tensor has {len(values)} dimensions, more than {MOST_DIMENSIONS}")
    whole = tuple(value for value in values if type(value) is int and value >= 0)
    if len(whole) != len(values):
        raise DataError("a tensor has sizes or strides that are no counts")
    return whole
