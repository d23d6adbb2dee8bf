"""Whole verdicts beside those that were looked at once and kept in `reference/verdicts.json`.

Words are compared letter by letter but for the numbers in them, numbers to a relative 1e-6, printed
ones to the digits that they have. `reference/make_verdicts.py` writes the file anew; what it then
differs in is what a change does to users, to be read before it is committed.
"""

from __future__ import annotations

import functools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

VERDICTS = Path(__file__).parent / "reference" / "verdicts.json"
_NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")
_PRINTED, _COMPUTED, _NOTHING = 2e-4, 1e-6, 1e-9
_SEARCHED = 1e-3, 0.25
"""Relative, of what a search or draws have found, and of a probability that depends on it."""


def plain(verdict: Any) -> dict[str, Any]:
    """What a verdict says, without what it repeats; findings as lists of what is not empty."""
    document = verdict.to_dict()
    kept = {
        name: document[name]
        for name in ("subject", "outcome", "exit_code", "answer", "exact", "ruled_out", "advice")
    }
    kept["findings"] = [_of_finding(found) for found in document["findings"]]
    if verdict.losses is not None:
        shown = verdict.losses
        columns = (shown.values, shown.mean, shown.std, shown.mistaken_mean)
        means = [None if x is None else float(np.mean(x)) for x in columns]
        kept["losses"] = [shown.mistake, len(shown.labels), shown.labels[-1], *means]
    return kept


def _of_finding(found: dict[str, Any]) -> dict[str, Any]:
    """The parts that it has; which step is the farthest off by rounding depends on the machine."""
    keys = ("name", "of", "status", "quantity", "reason", "theirs", "ours", "allowance", "rivals")
    if "farthest" in found["quantity"]:
        keys = keys[:5]
        found = {**found, "quantity": _NUMBER.sub("#", found["quantity"])}
    return {key: found[key] for key in keys if found[key] not in ("", None, [])}


def differences(found: Any, wanted: Any, room: float = _COMPUTED, place: str = "") -> list[str]:
    """The places in which two documents differ, and how."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = sorted({*found, *wanted})
        return [
            x
            for key in keys
            for x in differences(
                found.get(key),
                wanted.get(key),
                _SEARCHED[1] if key == "probability" else room,
                f"{place}.{key}",
            )
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(found, wanted, strict=True))
        return [x for i, pair in pairs for x in differences(*pair, room, f"{place}[{i}]")]
    same = found == wanted
    if isinstance(wanted, str) and isinstance(found, str):
        numbers = [list(map(float, _NUMBER.findall(x))) for x in (found, wanted)]
        same = _NUMBER.sub("#", found) == _NUMBER.sub("#", wanted)
        same = same and all(map(_printed_alike, *numbers))
    elif isinstance(wanted, float) and isinstance(found, int | float):
        same = math.isclose(found, wanted, rel_tol=room, abs_tol=_NOTHING)
    return [] if same else [f"{place}: {found!r}, was {wanted!r}"]


def _printed_alike(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_PRINTED, abs_tol=_NOTHING)


@functools.cache
def _kept() -> dict[str, Any]:
    return json.loads(VERDICTS.read_text("utf-8"))


def check(name: str, document: Any, *, searched: bool = False) -> None:
    """Hold a document against the one that is kept under a name."""
    room = _SEARCHED[0] if searched else _COMPUTED
    found = differences(json.loads(json.dumps(document)), _kept()[name], room)
    assert not found, "\n".join([f"{name} (see tests/golden.py):", *found])
