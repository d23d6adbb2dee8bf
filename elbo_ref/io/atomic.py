"""Files that are either as before or complete, whatever happens while they are written.

The bytes go to a new file in the same folder, reach the disk, and take the name in one operation.
Without `overwrite` that operation fails if the name is taken, so nothing is ever lost to a race.
A writer that is killed leaves its new file behind; the next writer of the same file removes it.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

_TOKEN_BYTES = 4
_KEPT = 50
"""Characters of a name that its new file's name begins with: that may be no longer than any."""

_PART = 2**22
"""Bytes written at once: an interrupt comes through between two parts."""

_ROOM = 2**12
"""Bytes that there must be room for in advance."""


def check_free(path: str | Path, overwrite: bool) -> None:
    """Raise the errors that `write` would raise now, so that no work is done in vain.

    Raises
    ------
    FileExistsError
        If there is such a file, and it is not to be overwritten.
    OSError
        If the folder is not there, is full or cannot be written to, or the path is not a plain
        file's.
    """
    target = _target(path)
    if target.exists() and not overwrite:
        raise FileExistsError(None, "the file exists", str(path))
    with _beside(target) as (file, _):
        put(file, bytes(_ROOM))


def write(path: str | Path, content: bytes, overwrite: bool = False) -> None:
    """Write a file whole or not at all; its mode is what the umask says.

    Parameters
    ----------
    path : str or Path
        A link is followed.
    content : bytes
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If the file exists and is not to be overwritten.
    OSError
        If it cannot be written; an existing file is then as it was.
    """
    target = _target(path)
    _sweep(target)
    with _beside(target) as (file, temporary):
        put(file, content)
        if sys.platform == "win32":  # where a file that is open cannot be renamed
            file.close()
        if overwrite:
            os.replace(temporary, target)
        else:
            _claim(temporary, target)


def _target(path: str | Path) -> Path:
    """Follow links to the end of a path, where a plain file is or could be."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():  # links that lead anywhere have been followed
        raise OSError(errno.ELOOP, "a loop of links", str(path))
    if target.exists() and not target.is_file():
        raise OSError(None, "not a plain file", str(path))
    return target


@contextmanager
def _beside(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Make a new file in the same folder, with the mode of any new file; gone afterwards."""
    held = False
    while not held:
        token = secrets.token_hex(_TOKEN_BYTES)
        temporary = target.with_name(f".{target.name[:_KEPT]}.{token}.partial")
        try:
            with open(temporary, "xb") as file:
                with suppress(OSError):  # not every file system has locks
                    _hold(file)
                held = temporary.exists()
                if held:  # else it was swept away meanwhile
                    yield file, temporary
        finally:
            temporary.unlink(missing_ok=True)


def put(file: BinaryIO, content: bytes) -> None:
    """Write, and wait until it is on the disk."""
    for first in range(0, len(content), _PART):
        file.write(content[first : first + _PART])
    file.flush()
    os.fsync(file.fileno())


def _claim(temporary: Path, target: Path) -> None:
    """Give the file its name, unless that is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # not every file system has links: reserve the name, then replace
        target.touch(exist_ok=False)
        try:
            os.replace(temporary, target)
        except BaseException:
            target.unlink()
            raise


def _sweep(target: Path) -> None:
    """Remove the new files that killed writers of this file left: nobody holds them."""
    token = "[0-9a-f]" * (2 * _TOKEN_BYTES)
    for partial in target.parent.glob(f".{glob.escape(target.name[:_KEPT])}.{token}.partial"):
        with suppress(OSError), open(partial, "r+b") as file:
            _hold(file, wait=False)
            partial.unlink()


def _hold(file: BinaryIO, wait: bool = True) -> None:
    """Keep others from sweeping the file away until it is closed; OSError if that cannot be had.

    Windows does so by itself, and leaves such files for good.
    """
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
