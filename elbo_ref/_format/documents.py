"""Results as JSON documents: one schema, every digit, and the same bytes on every rerun.

A document is made of dicts with string keys, lists, strings, whole numbers, floats and booleans.
Keys are sorted, floats are written so that they read back to the same bits, and there is no NaN and
no Infinity: a number that does not exist is null, and the key beside it, ``<name>_reason``, says
why (`put`). There is no time and no machine in it. `docs/results.md` describes the documents,
``elbo_ref/schema.json`` holds them to it (JSON Schema, draft 2020-12).
"""

from __future__ import annotations

import json
import math
import platform
from typing import Any, TypeAlias

import numpy as np
import scipy

from elbo_ref import __version__

SCHEMA_VERSIONS = {
    "confidence_region": 2,
    "crosscheck": 3,
    "diagnosis": 2,
    "estimates": 1,
    "evidence_maxima": 1,
    "evidence_maximum": 1,
    "fit": 2,
    "latents": 1,
    "run": 1,
    "verdict": 3,
}
"""The version of each kind; a key or a value of an enumeration that changes raises it."""

Document: TypeAlias = dict[str, Any]


def document(kind: str) -> Document:
    """Begin a document: its schema, and the versions that made it.

    Examples
    --------
    >>> document("run")["schema"]
    'elbo_ref/run/1'
    """
    return {
        "schema": f"elbo_ref/{kind}/{SCHEMA_VERSIONS[kind]}",
        "versions": {
            "elbo_ref": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "scipy": scipy.__version__,
        },
    }


def put(target: Document, name: str, value: Any, reason: str) -> None:
    """Set ``target[name]``; a value that is None or not finite becomes null with its reason.

    Examples
    --------
    >>> target = {}
    >>> put(target, "gap", None, "the objective is not an ELBO")
    >>> put(target, "objective", 2.5, "")
    >>> target
    {'gap': None, 'gap_reason': 'the objective is not an ELBO', 'objective': 2.5}
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        target[name], target[f"{name}_reason"] = None, reason
    else:
        target[name] = value


class Documented:
    """A result that has a document."""

    def to_dict(self) -> Document:
        """Return the document, as plain values."""
        raise NotImplementedError

    def to_json(self) -> str:
        """Return the document as JSON text."""
        return to_json(self.to_dict())


def to_json(document: Document) -> str:
    """Write the document as ASCII text: sorted keys, one line for each of the first level.

    Raises
    ------
    ValueError
        If a number is not finite.

    Examples
    --------
    >>> print(to_json({"b": [1.5, 0.1], "a": "one"}), end="")
    {"a": "one",
     "b": [1.5, 0.1]}
    """
    encoder = json.JSONEncoder(sort_keys=True, allow_nan=False)

    def line(key: str) -> str:  # in pieces: an interrupt comes through between two
        return f"{json.dumps(key)}: {''.join(encoder.iterencode(document[key]))}"

    return "{" + ",\n ".join(map(line, sorted(document))) + "}\n"
