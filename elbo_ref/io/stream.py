"""A file or standard input as blocks of bytes, hashed on the way, and watched for changes."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import re
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from elbo_ref._format.progress import Add, progress_of
from elbo_ref._validation.extras import need
from elbo_ref.io.errors import DataError

_BLOCK_BYTES = 2**20
_MOST_BYTES = 2**28
_RECORDS = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*[\[{\]]")


class Stream:
    """Blocks of equal size, however the bytes arrive: a pipe gives what a file does."""

    def __init__(self, file: Any, name: str, add: Add | None = None) -> None:
        self.name, self._add = name, add
        self._file, self._hash = file, hashlib.sha256()
        self._before = self._stamp()

    def read_block(self) -> bytes:
        """Read the next block; shorter only at the end."""
        block: bytes | None = self._file.read(_BLOCK_BYTES)
        if block is None:  # a pipe that does not wait
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self._hash.update(block)
        if self._add:
            self._add(len(block))
        return block

    def blocks(self, first: bytes) -> Iterator[bytes]:
        """Yield a block that was read, and all that follow; refuse a file that changed since."""
        block = first
        while block:
            yield block
            block = self.read_block()
        if self._stamp() != self._before:
            raise DataError("the file changed while it was read")

    def rest(self, first: bytes) -> bytes:
        """Read all of it at once, for the formats that need that."""
        parts, size = [], 0
        for block in self.blocks(first):
            parts.append(block)
            size += len(block)
            if size > _MOST_BYTES:
                rule = "only a table of counts may be"
                raise DataError(f"the file is larger than {_MOST_BYTES} bytes; {rule}")
        return b"".join(parts)

    def unpacked(self, first: bytes) -> Stream:
        """Return the stream of what a gzip or a zst holds, of which a block was read."""
        packed = io.BufferedReader(_Packed(self.blocks(first)))
        if is_gzip(first):
            return _Unpacked(gzip.GzipFile(fileobj=packed), self.name, "gzip")
        arrow = need("pyarrow", "a zst")
        return _Unpacked(arrow.CompressedInputStream(packed, "zstd"), self.name, "zst")

    def digest(self) -> str:
        """Return the SHA-256 of the bytes read, in hexadecimal."""
        return self._hash.hexdigest()

    def _stamp(self) -> tuple[int, int] | None:
        """Return size and time of a file; for a pipe they mean nothing."""
        try:
            status = os.fstat(self._file.fileno())
        except (AttributeError, OSError):  # bytes in memory
            return None
        regular = stat.S_ISREG(status.st_mode)
        return (status.st_size, status.st_mtime_ns) if regular else None


class _Packed(io.RawIOBase):
    """A file of the blocks of a stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the block goes."""
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


class _Unpacked(Stream):
    """Blocks of what a gzip or a zst holds."""

    def __init__(self, file: Any, name: str, kind: str) -> None:
        super().__init__(file, name)
        self._kind = kind

    def read_block(self) -> bytes:
        """Read the next block; shorter only at the end."""
        try:
            return super().read_block()
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"the {self._kind} is damaged: {error}") from None

    def _stamp(self) -> None:
        """Leave it to the stream of the packed file."""


@contextmanager
def reading(path: str | Path | IO[Any], progress: bool | None = False) -> Iterator[Stream]:
    """Open a file, or standard input for ``"-"``; a `DataError` inside will name it.

    A file that is open already is read from where it is, and stays open. A bar may show the bytes.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    with progress_of(progress, _size(path), "B") as add, _opened(path, add) as stream:
        try:
            yield stream
        except DataError as error:
            raise error.within(stream.name) from None


@contextmanager
def _opened(path: str | Path | IO[Any], add: Add | None) -> Iterator[Stream]:
    if not isinstance(path, str | Path):
        yield Stream(_Encoded(path), str(getattr(path, "name", "the file")), add)
    elif str(path) != "-":
        with open(path, "rb") as file:
            yield Stream(file, str(path), add)
    elif sys.stdin is None:
        raise OSError(errno.EBADF, "standard input is closed")
    else:
        yield Stream(sys.stdin.buffer, "standard input", add)


def _size(path: str | Path | IO[Any]) -> int | None:
    """Return the size of a file in bytes, if it has one."""
    regular = isinstance(path, str | Path) and os.path.isfile(path)
    return os.path.getsize(path) if regular else None  # type: ignore[arg-type]


class _Encoded:
    """An open file, of bytes or of text, as one of bytes."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file

    def fileno(self) -> int:
        """Return its descriptor, if it has one."""
        return self._file.fileno()

    def read(self, size: int) -> bytes | None:
        """Read so many bytes, or characters."""
        data: str | bytes | None = self._file.read(size)
        return data.encode(errors="surrogatepass") if isinstance(data, str) else data


def is_gzip(data: bytes) -> bool:
    """Return True if the first bytes are those of a gzip."""
    return data.startswith(b"\x1f\x8b")


def is_packed(data: bytes) -> bool:
    """Return True if the first bytes are those of a gzip or a zst."""
    return is_gzip(data) or data.startswith(b"\x28\xb5\x2f\xfd")


def is_zip(data: bytes) -> bool:
    """Return True if the first bytes are those of a zip, as npz and `torch.save` write it."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def is_json_object(data: bytes) -> bool:
    """Return True if the first bytes are those of a JSON object."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def is_json(data: bytes) -> bool:
    """Return True if the first bytes are those of a JSON object, or of a list of them."""
    return is_json_object(data) or bool(_RECORDS.match(data))
