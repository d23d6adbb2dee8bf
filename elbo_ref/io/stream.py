"""A file or standard input as blocks of bytes, hashed on the way, and watched for changes."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from elbo_ref.io.errors import DataError

_BLOCK_BYTES = 2**20
_MOST_BYTES = 2**28


class Stream:
    """Blocks of equal size, however the bytes arrive: a pipe gives what a file does."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file, self._hash = file, hashlib.sha256()
        self._before = self._stamp()

    def read_block(self) -> bytes:
        """Read the next block; shorter only at the end."""
        block: bytes | None = self._file.read(_BLOCK_BYTES)
        if block is None:  # a pipe that does not wait
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self._hash.update(block)
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

    def digest(self) -> str:
        """Return the SHA-256 of the bytes read, in hexadecimal."""
        return self._hash.hexdigest()

    def _stamp(self) -> tuple[int, int] | None:
        """Return size and time of a file; for a pipe they mean nothing."""
        status = os.fstat(self._file.fileno())
        regular = stat.S_ISREG(status.st_mode)
        return (status.st_size, status.st_mtime_ns) if regular else None


@contextmanager
def reading(path: str | Path) -> Iterator[Stream]:
    """Open a file, or standard input for ``"-"``; a `DataError` inside will name it.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    with _opened(path) as stream:
        try:
            yield stream
        except DataError as error:
            raise type(error)(f"{stream.name}: {error}") from None


@contextmanager
def _opened(path: str | Path) -> Iterator[Stream]:
    if str(path) != "-":
        with open(path, "rb") as file:
            yield Stream(file, str(path))
    elif sys.stdin is None:
        raise OSError(errno.EBADF, "standard input is closed")
    else:
        yield Stream(sys.stdin.buffer, "standard input")


def is_zip(data: bytes) -> bool:
    """Return True if the first bytes are those of a zip, as npz and `torch.save` write it."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def is_json_object(data: bytes) -> bool:
    """Return True if the first bytes are those of a JSON object."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
