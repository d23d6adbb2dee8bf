"""Results to files, to standard output, and where either fails to a rescue file.

No result is lost to a disk that has filled up or a folder that has gone meanwhile: each is handed
over whatever happened to the others, and one that has no place is kept in the folder of the
checkpoint or in the temporary one.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from elbo_ref._format.terminal import abandon
from elbo_ref.cli.console import say
from elbo_ref.io import atomic


class Delivery:
    """Hands over the results of a command; `failed` says whether any went elsewhere.

    Parameters
    ----------
    checkpoint : Path, optional
        Rescue files are made beside it, if they can be.
    """

    def __init__(self, checkpoint: Path | None = None) -> None:
        self.failed = False
        self._checkpoint = checkpoint
        self._written: list[Path] = []

    def write(self, path: Path, content: bytes, overwrite: bool) -> None:
        """Write a file, or say why not and where its content is kept."""
        try:
            atomic.write(path, content, overwrite)
            self._written.append(path)
        except OSError as error:
            self.rescue(str(path), error, content, path.suffix)

    def print(self, text: str, suffix: str) -> None:
        """Write to standard output; no rescue is needed if a document of the same was written."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            abandon(sys.stdout)
        except OSError as error:
            abandon(sys.stdout)
            if any(path.suffix == ".json" for path in self._written):
                self.failed = True
                say(f"standard output: {error.strerror or error}")
            else:
                self.rescue("standard output", error, text.encode(errors="replace"), suffix)

    def rescue(self, what: str, error: OSError, content: bytes, suffix: str) -> None:
        """Keep content that could not be written, and say where."""
        self.failed = True
        place = self._kept(content, suffix)
        kept = f"is kept in {place}" if place else "could not be kept elsewhere either"
        say(f"{in_words(what, error)}; what it should hold {kept}")

    def _kept(self, content: bytes, suffix: str) -> str | None:
        """Make a new file that only this user can read; None if there is no place for one."""
        folders = [self._checkpoint.parent] if self._checkpoint is not None else []
        with suppress(OSError):
            folders.append(Path(tempfile.gettempdir()))
        for folder in folders:
            with suppress(OSError):
                descriptor, place = tempfile.mkstemp(suffix, "elbo_ref-", folder)
                try:
                    with open(descriptor, "wb") as file:
                        atomic.put(file, content)
                except BaseException:
                    os.unlink(place)
                    raise
                return place
        return None


def in_words(what: str, error: OSError) -> str:
    """Say which file could not be written, and why."""
    hint = "; --force overwrites it" if isinstance(error, FileExistsError) else ""
    return f"{what}: {error.strerror or error}{hint}"
