"""Arrays out of an npz file that is not trusted.

Nothing is unpickled. The header of each member is read first, and what it promises must be what the
archive holds and no more than a limit, before any of it is read into memory.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 2**31
"""An archive whose arrays take more, unpacked, is refused."""

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class ArchiveError(ValueError):
    """A file that is not an npz of plain arrays; the message says why."""


def read_arrays(file: str | Path | BinaryIO) -> dict[str, NDArray[Any]]:
    """All members of an npz, by name.

    Raises
    ------
    ArchiveError
        If it is none, holds anything but plain arrays, or is too large.
    OSError
        If it cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            total = sum(_check(archive, member) for member in members)
            if total > MOST_BYTES:
                raise ArchiveError(f"its arrays take {total} bytes, more than {MOST_BYTES}")
            names = [member.filename.removesuffix(".npy") for member in members]
            if len(set(names)) != len(names):
                raise ArchiveError("a name occurs twice")
            return {
                name: _read(archive, member) for name, member in zip(names, members, strict=True)
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"it is not a sound npz file: {error}") from None


def _check(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """The size of a member's array, if it holds one and nothing else."""
    name = member.filename
    if not name.endswith(".npy"):
        raise ArchiveError(f"{name!r} is not an array")
    with archive.open(member) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            shape, _, dtype = _HEADERS[version](stream)
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"{name!r} is not an array: {error}") from None
        if dtype.hasobject:
            raise ArchiveError(f"{name!r} holds Python objects, which are never read")
        size = math.prod(shape) * dtype.itemsize
        if size != member.file_size - stream.tell():
            raise ArchiveError(f"{name!r} has not the size that it says")
    return size


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
