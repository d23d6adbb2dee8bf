"""Account on a page of how it was made."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence

import numpy as np
import scipy

from elbo_ref import __version__
from elbo_ref._format.table import printable
from elbo_ref.cli.options import Input


def made_by(command: str, arguments: Sequence[str], data: Input | None = None) -> dict[str, str]:
    """Tell the command, the data and the versions that a page was made with.

    Examples
    --------
    >>> made_by("fit", ["a b.csv"])["command"]
    "elbo-ref fit 'a b.csv'"
    """
    made = {"command": shlex.join(["elbo-ref", command, *arguments])}
    if data is not None:
        source = data.source
        made["data"] = f"{source['name']}, {source['rows']} rows"
        if source.get("sha256"):
            made["SHA-256 of the data"] = str(source["sha256"])
    versions = {"elbo_ref": __version__, "numpy": np.__version__, "scipy": scipy.__version__}
    made["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    made["versions"] += f", Python {platform.python_version()}"
    return {name: printable(text) for name, text in made.items()}
