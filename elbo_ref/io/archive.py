"""Arrays out of an npz file that is not trusted, and members out of a zip that is not.

Nothing is unpickled and nothing is run: of the types that NumPy can write, only plain arrays of
numbers, truth values and text are read. The header of each member is read first
(`numpy.lib.format`), and the size that it promises must be that of the member, and no more than a
limit, before the rest is: reading takes a small multiple of the file's size.

A zip whose members are only stored, as `torch.save` writes it, is read whole: it takes no more
memory than the file. The checksums of both are compared.
"""

from __future__ import annotations

import io
import math
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from elbo_ref.io.errors import DataError

MOST_TIMES = 16
"""An archive whose members take more than so many times its own size, unpacked, is refused."""

_LEAST_PACKED, _PACKED_TIMES, _MOST_PACKED = 2**26, 64, 2**29
_MOST_HEADER = 2**10
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNSOUND = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,  # a place before the beginning of the file
    OverflowError,  # a place beyond 2**63
    ValueError,
    RuntimeError,  # also NotImplementedError
)
"""The errors of `zipfile` for a file that is damaged, or of a kind that it does not read."""


def read_arrays(
    file: str | Path | BinaryIO, most_bytes: int | None = None
) -> dict[str, NDArray[Any]]:
    """Read all members of an npz, by name.

    Parameters
    ----------
    file : str, Path or binary file
    most_bytes : int, optional
        How much they may take unpacked; `MOST_TIMES` the file's size by default.

    Raises
    ------
    DataError
        If it is none, holds anything but plain arrays, or is too large.
    OSError
        If it cannot be opened.
    """
    if isinstance(file, str | Path):
        with open(file, "rb") as opened:
            return read_arrays(opened, most_bytes)
    with _opened(file) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        most = MOST_TIMES * file.seek(0, io.SEEK_END) if most_bytes is None else most_bytes
        if total > most:
            rule = "write it with np.savez, which packs nothing"
            raise DataError(f"the archive unpacks to {total} bytes, more than {most}: {rule}")
        arrays: dict[str, NDArray[Any]] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise DataError(f"the archive holds {name!r:.60} twice")
            arrays[name] = _read(archive, member, most)
        return arrays


def take(members: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """Remove one of the arrays and return it; DataError if it is not there."""
    if name not in members:
        raise DataError(f"the member {name!r} is missing")
    return members.pop(name)


def check_all_taken(members: dict[str, NDArray[Any]]) -> None:
    """Raise DataError if an array is left."""
    if members:
        raise DataError(f"the member {min(members)!r:.60} belongs to nothing")


def member_names(data: bytes) -> list[str]:
    """List the names of all members of a zip, given its bytes; DataError if it is none."""
    with _opened(io.BytesIO(data)) as archive:
        return archive.namelist()


def read_stored(data: bytes) -> dict[str, bytes]:
    """Read all members of a zip that does not compress them, by name, given its bytes.

    Raises
    ------
    DataError
        If it is none, or damaged; if a member is compressed, or there twice, or together they are
        larger than the file.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> with zipfile.ZipFile(file, "w") as archive:
    ...     archive.writestr("a", b"12")
    >>> read_stored(file.getvalue())
    {'a': b'12'}
    """
    with _opened(io.BytesIO(data)) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > len(data):
            raise DataError(f"the archive unpacks to {total} bytes, more than the file has")
        contents: dict[str, bytes] = {}
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED:
                raise DataError(f"the member {member.filename!r:.60} is compressed")
            if member.filename in contents:
                raise DataError(f"the archive holds {member.filename!r:.60} twice")
            contents[member.filename] = archive.read(member)
        return contents


def most_unpacked(size: int) -> int:
    """Return the most bytes that an archive of `size` bytes may unpack to.

    Examples
    --------
    >>> most_unpacked(5_000) == 2**26, most_unpacked(2**21) == 2**27
    (True, True)
    """
    return min(_MOST_PACKED, max(_LEAST_PACKED, _PACKED_TIMES * size))


@contextmanager
def _opened(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open an archive; its flaws, also those found later, are a `DataError`."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except DataError:
        raise
    except _UNSOUND as error:
        raise DataError(f"the archive is damaged: {error!s:.120}") from None


def is_npy(data: bytes) -> bool:
    """Return True if the first bytes are those of an array that NumPy saved."""
    return data.startswith(b"\x93NUMPY")


def read_array(data: bytes) -> NDArray[Any]:
    """Read the array in an npy file, given its bytes.

    Raises
    ------
    DataError
        If it is damaged, or of anything but plain numbers or text.
    """
    try:
        return _array(io.BytesIO(data), len(data), "the file", most_unpacked(len(data)))
    except (ValueError, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the file is damaged: {error!s:.120}") from None


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> NDArray[Any]:
    name = f"the member {member.filename!r:.60}"
    if member.compress_type not in _PACKED:
        raise DataError(f"{name} is packed in a way that NumPy does not use")
    with archive.open(member) as stream:
        return _array(stream, member.file_size, name, most)


def _array(stream: IO[bytes], total: int, name: str, most: int) -> NDArray[Any]:
    """Read an array of a stream of so many bytes."""
    shape, fortran, dtype = _header(stream, name)
    size = math.prod(shape) * dtype.itemsize
    if size != total - stream.tell():
        raise DataError(f"{name} does not have the size that its header says")
    if math.prod(max(side, 1) for side in shape) * dtype.itemsize > most:
        raise DataError(f"{name} is empty, of a shape or type beyond the file")
    content = stream.read(size)
    if dtype.kind == "U":
        letters = np.frombuffer(content, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if (letters > sys.maxunicode).any():
            raise DataError(f"{name} holds characters that do not exist")
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape, order="F" if fortran else "C").copy()


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order and type of a plain array."""
    start = stream.read(10)
    header = _parsed(start + stream.read(int.from_bytes(start[8:], "little")))
    if header is None:
        raise DataError(f"{name} is not a plain array")
    shape, fortran, dtype = header
    if dtype.fields or not all(type(side) is int and 0 <= side < 2**63 for side in shape):
        raise DataError(f"{name} is not a plain array")
    if dtype.hasobject:
        raise DataError(f"{name} holds Python objects, not plain numbers or text")
    number = dtype.kind in "biuf" and dtype.itemsize <= 8
    if not number and not (dtype.kind == "U" and dtype.itemsize):
        raise DataError(f"{name} holds the type {dtype.str!r:.60}, not plain numbers or text")
    return shape, fortran, dtype


def _parsed(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]] | None:
    """Read a header of version 1.0 by NumPy; None if it refuses."""
    stream = io.BytesIO(header)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of headers that only Python 2 wrote
            if npy.read_magic(stream) != (1, 0):
                return None
            return npy.read_array_header_1_0(stream, _MOST_HEADER)
    except Exception:  # whatever the parser of Python's literals, or a type's, raises
        return None
