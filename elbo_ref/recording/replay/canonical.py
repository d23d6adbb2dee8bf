"""One canonical form for recordings that mean the same, and for those that are damaged.

Steps from the first on in which a number is not finite are left out, and constrained parameters
that are the unconstrained ones are constrained: both are findings.

A latent site for each row, as a Python loop makes them, is seen as the one site of a plate: `c_0`,
`c_1`, ... with one prior become `c_*`, with an axis of latents in the order in which the model has
them; and the parameters that the guide keeps for each of them, `a_0`, `a_1`, ..., become `a_*`.
Which belong together follows from what the sites were distributed by, not from their names.

The vector of all logits that AutoDiagonalNormal and AutoLaplaceApproximation draw is seen as the
logits of the latent, as AutoNormal has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref.crosscheck.findings import Finding
from elbo_ref.guides.constraints import CONSTRAINTS
from elbo_ref.recording import Recording
from elbo_ref.svi.parameters import NAMES

_BY_STEP = ("draws", "before", "constrained", "after", "gradients", "lr", "arguments", "observed")

_SITE_FORMS = ("", "_unconstrained")
"""Endings of a latent's name: itself, and its logit where the guide draws that."""

_ARGUMENTS = (*NAMES, "loc", "scale")


def finite_part(recording: Recording) -> tuple[Recording | None, list[Finding]]:
    """Keep the steps before the first with a number that is not finite; a note says which."""
    good = np.isfinite(recording.losses)
    for group in ("draws", "before", "constrained", "gradients"):
        for array in getattr(recording, group).values():
            good &= np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if good.all():
        return recording, []
    stop = int(np.argmin(good))
    words = f"step {stop} holds what is no finite number; the steps before it are replayed"
    findings = [Finding("finite", words, status="note")]
    if not stop:
        return None, findings
    groups = {
        group: {name: array[:stop] for name, array in getattr(recording, group).items()}
        for group in _BY_STEP
    }
    return replace(recording, losses=recording.losses[:stop], **groups), findings


def constrain_parameters(recording: Recording) -> tuple[Recording, list[Finding]]:
    """Constrain the parameters that equal the unconstrained ones; findings say which."""
    findings, constrained = [], dict(recording.constrained)
    for name, kind in recording.header.get("constraints", {}).items():
        if kind not in CONSTRAINTS or name not in constrained:
            continue
        free = recording.before[name]
        right = CONSTRAINTS[kind].constrain(free.astype(np.float64)).astype(free.dtype)
        same = np.array_equal(constrained[name], free)
        if same and not np.allclose(right, free, rtol=1e-6, atol=0.0):
            numbers = float(free.ravel()[0]), float(right.ravel()[0]), None
            words, reason = f"{name} at step 0", "it equals the unconstrained one"
            finding = Finding("unconstrained_values", words, *numbers, reason, "mistake")
            findings.append(finding)
            constrained[name] = right
    return replace(recording, constrained=constrained), findings


def one_site(recording: Recording) -> Recording:
    """Make one latent site of those that are alike; else return the recording as it is."""
    return _name_logits(_join_latents(recording))


def _name_logits(recording: Recording) -> Recording:
    """Take the vector of an automatic guide for the logits of the one latent site."""
    vectors = [
        site["name"]
        for site in recording.sites("guide", observed=False)
        if site["name"].lower().startswith("_auto") and site["name"].endswith("_latent")
    ]
    latents = _latents(recording)
    if len(vectors) != 1 or len(latents) != 1:
        return recording
    (vector,), (latent,) = vectors, latents
    draws, arguments = dict(recording.draws), dict(recording.arguments)
    if vector not in draws or draws[vector].shape != draws.get(latent, draws[vector]).shape:
        return recording
    logits = f"{latent}_unconstrained"
    _join(draws, [vector], logits)
    for key in _ARGUMENTS:
        _join(arguments, [f"guide.{vector}.{key}"], f"guide.{logits}.{key}")
    sites = [
        {**site, "name": logits} if site["name"] == vector else site
        for site in recording.header["sites"]
    ]
    header = {**recording.header, "sites": sites, "vector": vector}
    return replace(recording, draws=draws, arguments=arguments, header=header)


def _latents(recording: Recording) -> list[str]:
    return [site["name"] for site in recording.sites("model", observed=False)]


def _join_latents(recording: Recording) -> Recording:
    """Join Beta sites with one prior."""
    latents = _latents(recording)
    kinds = {site["class"] for site in recording.sites("model", observed=False)}
    widths = {recording.draws[name].shape[2] if name in recording.draws else 0 for name in latents}
    alike = kinds == {"Beta"} and len(widths) == 1 and 0 not in widths
    if len(latents) < 2 or not alike or not _have_one_prior(recording, latents):
        return recording
    sites = recording.sites("guide", observed=False)
    families = {site["class"] for site in sites if site["name"] in latents}
    if len(families) > 1:
        listed = ", ".join(sorted(families))
        raise ValueError(f"the guide's sites are of several families: {listed}")
    joint = _common(latents)
    draws, arguments = dict(recording.draws), dict(recording.arguments)
    for form in _SITE_FORMS:
        _join(draws, [name + form for name in latents], joint + form)
        for key in _ARGUMENTS:
            for program in ("model", "guide"):
                name = f"{program}.{joint}{form}.{key}"
                _join(arguments, [f"{program}.{x}{form}.{key}" for x in latents], name)
                if name in arguments and arguments[name].shape[1] == len(latents):
                    arguments[name] = arguments[name].repeat(max(widths), axis=1)
    for key in NAMES:
        arguments[f"model.{joint}.{key}"] = arguments[f"model.{joint}.{key}"][:, :1]
    header = {**recording.header, "sites": list(_joint_sites(recording, latents, joint))}
    joined = replace(recording, draws=draws, arguments=arguments, header=header)
    return _join_parameters(joined, latents, joint)


def _have_one_prior(recording: Recording, latents: list[str]) -> bool:
    """Tell whether all sites were distributed alike in the model."""
    for key in NAMES:
        arrays = [recording.arguments.get(f"model.{name}.{key}") for name in latents]
        if any(x is None or x.shape[1] != 1 or (x != arrays[0]).any() for x in arrays):
            return False
    return True


def _common(names: list[str]) -> str:
    """Join the beginning and the end that names have in common by a star.

    Examples
    --------
    >>> _common(["c_0", "c_1", "c_10"]), _common(["q.0.a", "q.1.a"])
    ('c_*', 'q.*.a')
    """
    start = _beginning(names)
    rest = [name[len(start) :][::-1] for name in names]
    return f"{start}*{_beginning(rest)[::-1]}"


def _beginning(names: list[str]) -> str:
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)


def _join(arrays: dict[str, NDArray[Any]], names: list[str], joint: str) -> None:
    """Put arrays side by side under one name, if all are there."""
    if all(name in arrays for name in names):
        arrays[joint] = np.concatenate([arrays.pop(name) for name in names], axis=-1)


def _joint_sites(
    recording: Recording, latents: list[str], joint: str
) -> Iterator[Mapping[str, Any]]:
    """Yield the header's sites, one in the place of those that a program has alike."""
    sites = list(recording.header["sites"])
    for program in ("model", "guide"):
        for form in _SITE_FORMS:
            names = [name + form for name in latents]
            alike = [x for x in sites if x["program"] == program and x["name"] in names]
            if len(alike) == len(names) and len({site["class"] for site in alike}) == 1:
                sites = [site for site in sites if site not in alike]
                yield {**alike[0], "name": joint + form}
    yield from sites


def _join_parameters(recording: Recording, latents: list[str], joint: str) -> Recording:
    """Join parameters that each latent has one of; cut arguments that all share to one value."""
    arguments = dict(recording.arguments)
    of_guide = {name: x for name, x in arguments.items() if name.startswith(f"guide.{joint}")}
    endings = [latent[len(_beginning(latents)) :] for latent in latents]
    for argument, columns in {**of_guide, "points": recording.draws[joint][:, 0]}.items():
        names: list[str] = []
        for ending, block in zip(endings, np.split(columns, len(latents), axis=1), strict=True):
            fitting = [
                name
                for name, array in recording.constrained.items()
                if name not in names and array[0].size == block[0].size
                if (array.reshape(block.shape) == block).all()
            ]
            names += _best_named(fitting, ending)
        if len(names) == len(latents):
            recording = _with_joint_parameter(recording, names)
        elif argument in of_guide and (columns == columns[:, :1]).all():
            arguments[argument] = columns[:, :1]
    return replace(recording, arguments=arguments)


def _best_named(names: list[str], ending: str) -> list[str]:
    """Choose the first name, preferably with the numbers of an ending, or with the ending."""
    numbers = re.findall("[0-9]+", ending)
    named = [x for x in names if numbers and re.findall("[0-9]+", x)[-len(numbers) :] == numbers]
    return (named or [x for x in names if x.endswith(ending)] or names)[:1]


def _with_joint_parameter(recording: Recording, names: list[str]) -> Recording:
    """Put parameters side by side as one, whose learning rate is the first one's."""
    constraints = dict(recording.header.get("constraints", {}))
    kinds = {constraints.pop(name, None) for name in names}
    if len(kinds) > 1:
        return recording
    joint = _common(names)
    while joint in recording.before:
        joint += "*"
    groups: dict[str, Any] = {}
    for group in ("before", "constrained", "after", "gradients"):
        groups[group] = {
            name: x.reshape(len(x), -1) if name in names else x
            for name, x in getattr(recording, group).items()
        }
        _join(groups[group], names, joint)
    groups["lr"] = {name: x for name, x in recording.lr.items() if name not in names}
    if names[0] in recording.lr:
        groups["lr"][joint] = recording.lr[names[0]]
    if None not in kinds:
        constraints[joint] = kinds.pop()
    header = {**recording.header, "constraints": constraints}
    return replace(recording, moments={}, header=header, **groups)
