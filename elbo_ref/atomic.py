"""Files that are either as before or complete, whatever happens while they are written.

The bytes go to a new file in the same folder, reach the disk, and take the name in one operation.
Without `overwrite` that operation fails if the name is taken, so nothing is ever lost to a race.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path


def check_free(path: str | Path, overwrite: bool) -> None:
    """Raise what `write` would raise for the path as it is now, so that no work is done in vain.

    Raises
    ------
    FileExistsError
        If there is such a file, and it is not to be overwritten.
    OSError
        If the folder is not there or cannot be written to, or the path is not a plain file's.
    """
    target = Path(os.path.realpath(path))
    if target.exists():
        if not target.is_file():
            raise OSError(None, "not a plain file", str(path))
        if not overwrite:
            raise FileExistsError(None, "the file exists", str(path))
    temporary, descriptor = _open_beside(target)
    os.close(descriptor)
    temporary.unlink()


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
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(None, "not a plain file", str(path))
    temporary, descriptor = _open_beside(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, target)
        else:
            os.link(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(path: str | Path) -> None:
    """Remove what writers of this file have left behind that were killed."""
    target = Path(os.path.realpath(path))
    for partial in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        partial.unlink(missing_ok=True)


def _open_beside(target: Path) -> tuple[Path, int]:
    """A new file in the same folder, with the mode that any new file has."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    return temporary, os.open(temporary, flags, 0o666)
