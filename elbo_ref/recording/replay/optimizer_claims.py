"""A claim about the optimizer of a recorded run, beside what the recording says of it.

A claim is a class, settings, or both; what it leaves out is not compared. Only classes that have a
setting in common are compared by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from elbo_ref._format.numbers import number, some_of
from elbo_ref.crosscheck.class_names import OPTIMIZER_CLASSES, optimizer_name
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.notes import Recording
from elbo_ref.svi.optimizers import Adam, ClippedAdam

KINDS: dict[str | None, type[Adam | ClippedAdam]] = {"Adam": Adam, "ClippedAdam": ClippedAdam}

_CLASSES = {name: kind for kind, name in OPTIMIZER_CLASSES.items()}
_SETTINGS = frozenset((*Adam.__dataclass_fields__, *ClippedAdam.__dataclass_fields__)) - {"_"}
_OF_ONE_CLASS = ("amsgrad", "clip_norm", "lrd")
_ALIKE = 1e-6
"""Relative difference of settings that are the same, as of a rate that JAX keeps in float32."""


class OptimizerClaim(NamedTuple):
    """What is said of an optimizer.

    Attributes
    ----------
    kind : str or None
        Its class, as ``"Adam"``; None where that is not said.
    settings : mapping of str to number, pair or bool
        Those that are said.
    """

    kind: str | None
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, said: object) -> OptimizerClaim:
        """Take an optimizer, the name of a class, or a mapping of ``"class"`` and settings.

        Raises
        ------
        TypeError, ValueError
            If it is none of these.

        Examples
        --------
        >>> OptimizerClaim.of("sgd")
        OptimizerClaim(kind='SGD', settings={})
        >>> OptimizerClaim.of({"class": "Adam", "lr": 0.1})
        OptimizerClaim(kind='Adam', settings={'lr': 0.1})
        """
        if isinstance(said, Adam | ClippedAdam):
            return cls(type(said).__name__, asdict(said))
        if isinstance(said, str):
            said = {"class": said}
        if not isinstance(said, Mapping):
            rule = 'an Adam, a ClippedAdam, a class such as "SGD", or a mapping such as {"lr": 0.1}'
            raise TypeError(f"optimizer must be {rule}, not {type(said).__name__}")
        unknown = [name for name in said if name not in {*_SETTINGS, "class"}]
        if unknown:
            listed = ", ".join(("class", *sorted(_SETTINGS)))
            raise ValueError(f"optimizer: {unknown[0]!r} is none of {listed}")
        kind = said.get("class")
        name = "other" if kind is None else optimizer_name(kind)
        settings = {key: x for key, x in said.items() if key != "class"}
        return cls(None if name == "other" else _CLASSES[name], settings)

    def optimizer(self) -> Adam | ClippedAdam | None:
        """Make the optimizer; None where its class is not known here, or no rate is said."""
        kind = KINDS.get(self.kind or "Adam")
        if kind is None or "lr" not in self.settings:
            return None
        fields = kind.__dataclass_fields__
        return kind(**{key: x for key, x in self.settings.items() if key in fields and key != "_"})


def compare_optimizer(recording: Recording, claim: OptimizerClaim) -> list[Finding]:
    """Find what the recording says otherwise; nothing where it does not say it."""
    noted = recording.header.get("optimizer") or {}
    kind, found = _class_of(recording, noted), []
    another = None not in (kind, claim.kind) and kind != claim.kind
    if another:
        found += _lowered(noted, claim)
        words = f"the optimizer is {kind}, said to be {claim.kind}"
        found.append(Finding("optimizer_settings", words, status="mistake"))
    unlike: dict[tuple[str, Any, Any], list[str]] = {}
    for name, settings in noted.get("settings", {}).items():
        for key, theirs, ours in _unlike(settings, claim.settings, noted, another=another):
            unlike.setdefault((key, theirs, ours), []).append(name)
    for (key, theirs, ours), names in unlike.items():
        words = f"{key} of {some_of(names, 4)} is {theirs}, said to be {ours}"
        one = not isinstance(theirs, tuple) and not isinstance(ours, tuple)
        yours, should_be = (float(theirs), float(ours)) if one else (None, None)
        found.append(Finding("optimizer_settings", words, yours, should_be, status="mistake"))
    return found or _falling(recording, noted, claim)


def _class_of(recording: Recording, noted: Mapping[str, Any]) -> str | None:
    """Name the class, where NumPyro's ClippedAdam is an Adam of clipped gradients."""
    words = str(noted.get("class") or "").split()
    if not words:
        return None
    clip = noted.get("clip")
    clipped = isinstance(clip, Mapping) and clip.get("clip_value") is not None
    numpyro = recording.header.get("framework") == "numpyro"
    return "ClippedAdam" if words[-1] == "Adam" and clipped and numpyro else words[-1]


def _unlike(
    settings: Mapping[str, Any], said: Mapping[str, Any], noted: Mapping[str, Any], *, another: bool
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the settings of a parameter that are others than those said: name, value, claim."""
    for key, ours in said.items():
        theirs = settings.get(key, 1.0 if key == "lrd" and not noted.get("scheduler") else None)
        if theirs is None or (another and key in _OF_ONE_CLASS):
            continue
        if not np.allclose(np.ravel(theirs), np.ravel(ours), rtol=_ALIKE, atol=0.0):
            plain, said_to_be = (tuple(x) if isinstance(x, list) else x for x in (theirs, ours))
            yield key, plain, said_to_be


def _lowered(noted: Mapping[str, Any], claim: OptimizerClaim) -> list[Finding]:
    """Find a rate that the optimizer itself lowers where one of a class that cannot is said."""
    for name, settings in noted.get("settings", {}).items() if "lr" in claim.settings else ():
        lrd = settings.get("lrd", 1.0)
        if lrd < 1.0 and "lrd" not in claim.settings:
            words = f"learning rate of {name} falls by a factor in every step"
            reason = "lrd of the optimizer"
            return [Finding("learning_rate_decay", words, lrd, 1.0, None, reason, "mistake")]
    return []


def _falling(
    recording: Recording, noted: Mapping[str, Any], claim: OptimizerClaim
) -> list[Finding]:
    """Find a rate that a scheduler lowers where a constant one is said."""
    if "lr" not in claim.settings or claim.settings.get("lrd", 1.0) != 1.0:
        return []
    for name, rates in recording.lr.items() if noted.get("scheduler") else ():
        first, last = float(rates[0]), float(rates[-1])
        if last < first * (1 - _ALIKE):
            words = f"learning rate of {name} at step {len(rates) - 1}"
            reason = f"{noted['scheduler']} lowers it from {number(first)}"
            said = float(claim.settings["lr"])
            return [Finding("learning_rate_decay", words, last, said, None, reason, "mistake")]
    return []
