"""Arrays out of an npz file that is not trusted, and members out of a zip that is not.

Nothing is unpickled and nothing is evaluated: of what NumPy can write, only plain arrays of
numbers, truth values and text are read. The header of each member is read first, and what it
promises must be what the archive holds, and no more than a limit, before the rest is: what is read
takes a small multiple of the file's size.

A zip whose members are only stored, as `torch.save` writes it, is read whole: it takes no more
memory than the file. The checksums of both are compared.
"""

from __future__ import annotations

import io
import math
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MOST_TIMES = 16
"""An archive whose members take more than so many times its own size, unpacked, is refused."""

_LEAST_PACKED, _PACKED_TIMES, _MOST_PACKED = 2**26, 64, 2**29

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '([^']*)', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}(?:, [0-9]{1,18}){0,31},?)?)\), \} *\n"
)
_PLAIN = re.compile(rb"[<>|](?:b1|[iu][1248]|f[248]|U[1-9][0-9]{0,8})")
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
"""What `zipfile` raises for a file that is damaged, or of a kind that it does not read."""


class ArchiveError(ValueError):
    """A file that is not an npz of plain arrays; the message says why, in one line."""


def read_arrays(
    file: str | Path | BinaryIO, most_bytes: int | None = None
) -> dict[str, NDArray[Any]]:
    """All members of an npz, by name.

    Parameters
    ----------
    file : str, Path or binary file
    most_bytes : int, optional
        How much they may take unpacked; `MOST_TIMES` the file's size unless said.

    Raises
    ------
    ArchiveError
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
            raise ArchiveError(f"the archive unpacks to {total} bytes, more than {most}: {rule}")
        arrays: dict[str, NDArray[Any]] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ArchiveError(f"the archive holds {name!r:.60} twice")
            arrays[name] = _read(archive, member, most)
        return arrays


def take(members: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """One of the arrays, which is then not among them any more; ArchiveError if it is not there."""
    if name not in members:
        raise ArchiveError(f"the member {name!r} is missing")
    return members.pop(name)


def check_all_taken(members: dict[str, NDArray[Any]]) -> None:
    """Raise ArchiveError if an array is left."""
    if members:
        raise ArchiveError(f"the member {min(members)!r:.60} belongs to nothing")


def member_names(data: bytes) -> list[str]:
    """The names of all members of a zip, given its bytes.

    Raises
    ------
    ArchiveError
        If it is none.
    """
    with _opened(io.BytesIO(data)) as archive:
        return archive.namelist()


def read_stored(data: bytes) -> dict[str, bytes]:
    """All members of a zip that does not compress them, by name, given its bytes.

    Raises
    ------
    ArchiveError
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
            raise ArchiveError(f"the archive unpacks to {total} bytes, more than the file has")
        contents: dict[str, bytes] = {}
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED:
                raise ArchiveError(f"the member {member.filename!r:.60} is compressed")
            if member.filename in contents:
                raise ArchiveError(f"the archive holds {member.filename!r:.60} twice")
            contents[member.filename] = archive.read(member)
        return contents


def most_unpacked(size: int) -> int:
    """How much an archive of so many bytes may take where it may be compressed.

    Examples
    --------
    >>> most_unpacked(5_000) == 2**26, most_unpacked(2**21) == 2**27
    (True, True)
    """
    return min(_MOST_PACKED, max(_LEAST_PACKED, _PACKED_TIMES * size))


@contextmanager
def _opened(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """The archive; what is wrong with it, also later, is an `ArchiveError`."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except ArchiveError:
        raise
    except _UNSOUND as error:
        raise ArchiveError(f"the archive is damaged: {error!s:.120}") from None


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> NDArray[Any]:
    name = f"{member.filename!r:.60}"
    if member.compress_type not in _PACKED:
        raise ArchiveError(f"the member {name} is packed in a way that NumPy does not use")
    with archive.open(member) as stream:
        start = stream.read(10)
        length = int.from_bytes(start[8:], "little")
        match = _HEADER.fullmatch(stream.read(length))
        if start[:8] != _MAGIC or match is None:
            raise ArchiveError(f"the member {name} is not a plain array")
        descr = match[1].decode("latin-1")
        if not _PLAIN.fullmatch(match[1]):
            what = "Python objects" if b"O" in match[1] else f"the type {descr!r:.60}"
            raise ArchiveError(f"the member {name} holds {what}, not plain numbers or text")
        dtype = np.dtype(descr)
        shape = [int(side) for side in re.findall(rb"[0-9]+", match[3])]
        size = math.prod(shape) * dtype.itemsize
        if size != member.file_size - 10 - length:
            raise ArchiveError(f"the member {name} does not have the size that its header says")
        if math.prod(max(side, 1) for side in shape) * dtype.itemsize > most:
            raise ArchiveError(f"the member {name} is empty, of a shape or type beyond the file")
        content = stream.read(size)
    if dtype.kind == "U" and (np.frombuffer(content, f"{descr[0]}u4") > sys.maxunicode).any():
        raise ArchiveError(f"the member {name} holds characters that do not exist")
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape, order="F" if match[2] == b"True" else "C").copy()
