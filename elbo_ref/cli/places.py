"""The files that a command is to write, refused before anything is done if they could not be."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from elbo_ref._validation.extras import command
from elbo_ref.cli.console import CANNOT_WRITE, CommandError, check_output
from elbo_ref.cli.delivery import in_words
from elbo_ref.io import atomic

_ENDINGS = {
    "output": (".json", ".csv"),
    "plot": (".png", ".svg", ".pdf"),
    "report": (".html",),
    "checkpoint": (),
}
"""The options that name a file, and how the file's name may end."""


def check_places(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse files that could not be written in the end.

    Raises
    ------
    SystemExit
        By way of `parser`, if names are none that can be, or a picture cannot be drawn.
    CommandError
        If a file is there already, or its folder cannot be written to.
    """
    paths = {name: getattr(options, name, None) for name in _ENDINGS}
    files: dict[str, Path] = {name: path for name, path in paths.items() if path is not None}
    for name, path in files.items():
        endings = _ENDINGS[name]
        if endings and path.suffix not in endings:
            parser.error(f"--{name} {path} must end in {' or '.join(endings)}")
    for name, package in (("plot", "matplotlib"), ("report", "jinja2")):
        if name in files and find_spec(package) is None:
            parser.error(f"--{name} needs {package}: {command(package)}")
    targets = [_target(path) for path in files.values()]
    if len(set(targets)) < len(targets):
        names = [f"--{name}" for name in _ENDINGS if hasattr(options, name)]
        parser.error(f"{', '.join(names[:-1])} and {names[-1]} must be different files")
    for name, path in files.items():
        overwrite = options.force or (name == "checkpoint" and options.resume)
        try:
            atomic.check_free(path, overwrite)
        except OSError as error:
            raise CommandError(in_words(str(path), error), CANNOT_WRITE) from None
    if "output" not in files:
        check_output()


def _target(path: Path) -> str:
    """Follow all links; a path from a folder that is gone leads nowhere."""
    try:
        return os.path.realpath(path)
    except OSError as error:
        raise CommandError(in_words(str(path), error), CANNOT_WRITE) from None
