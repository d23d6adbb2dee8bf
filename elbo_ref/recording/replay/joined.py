"""Sites that are told otherwise than by a plate and a guide of that plate, and mean the same.

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

from elbo_ref.recording import Recording
from elbo_ref.svi.parameters import NAMES

_FORMS = ("", "_unconstrained")
"""Of a latent: itself, and its logit where the guide draws that."""
_ARGUMENTS = (*NAMES, "loc", "scale")


def one_site(recording: Recording) -> Recording:
    """The recording with one latent site, if its latent sites are alike; else as it is."""
    return _with_logits(_join_latents(recording))


def _with_logits(recording: Recording) -> Recording:
    """With the vector of an automatic guide as the logits of the one latent site."""
    vectors = [
        site["name"]
        for site in recording.sites("guide", observed=False)
        if site["name"].lower().startswith("_auto") and site["name"].endswith("_latent")
    ]
    latents = [site["name"] for site in recording.sites("model", observed=False)]
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


def _join_latents(recording: Recording) -> Recording:
    latents = [site["name"] for site in recording.sites("model", observed=False)]
    kinds = {site["class"] for site in recording.sites("model", observed=False)}
    widths = {recording.draws[name].shape[2] if name in recording.draws else 0 for name in latents}
    alike = kinds == {"Beta"} and len(widths) == 1 and 0 not in widths
    if len(latents) < 2 or not alike or not _one_prior(recording, latents):
        return recording
    families = {
        site["class"]
        for site in recording.sites("guide", observed=False)
        if site["name"] in latents
    }
    if len(families) > 1:
        raise ValueError(
            f"the guide's sites are of several families: {', '.join(sorted(families))}"
        )
    whole = _common(latents)
    draws, arguments = dict(recording.draws), dict(recording.arguments)
    for form in _FORMS:
        _join(draws, [name + form for name in latents], whole + form)
        for key in _ARGUMENTS:
            for program in ("model", "guide"):
                places = [f"{program}.{name}{form}.{key}" for name in latents]
                place = f"{program}.{whole}{form}.{key}"
                _join(arguments, places, place)
                if place in arguments and arguments[place].shape[1] == len(latents):
                    arguments[place] = arguments[place].repeat(max(widths), axis=1)
    for key in NAMES:
        place = f"model.{whole}.{key}"
        arguments[place] = arguments[place][:, :1]
    header = dict(recording.header)
    header["sites"] = list(_sites(recording, latents, whole))
    joined = replace(recording, draws=draws, arguments=arguments, header=header)
    return _join_parameters(joined, latents, whole)


def _one_prior(recording: Recording, latents: list[str]) -> bool:
    """Whether all sites were distributed alike in the model."""
    for key in NAMES:
        found = [recording.arguments.get(f"model.{name}.{key}") for name in latents]
        if any(x is None or x.shape[1] != 1 or (x != found[0]).any() for x in found):
            return False
    return True


def _common(names: list[str]) -> str:
    """What names begin and end with, with a star between.

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


def _join(arrays: dict[str, NDArray[Any]], names: list[str], whole: str) -> None:
    """Arrays side by side under one name, if all are there."""
    if all(name in arrays for name in names):
        arrays[whole] = np.concatenate([arrays.pop(name) for name in names], axis=-1)


def _sites(recording: Recording, latents: list[str], whole: str) -> Iterator[Mapping[str, Any]]:
    """The header's sites, in which each program has one in the place of those it has alike."""
    told = list(recording.header["sites"])
    for program in ("model", "guide"):
        for form in _FORMS:
            names = [name + form for name in latents]
            alike = [x for x in told if x["program"] == program and x["name"] in names]
            if len(alike) == len(names) and len({site["class"] for site in alike}) == 1:
                told = [site for site in told if site not in alike]
                yield {**alike[0], "name": whole + form}
    yield from told


def _join_parameters(recording: Recording, latents: list[str], whole: str) -> Recording:
    """With one parameter for what each latent has one for, and one value for what all share."""
    arguments = dict(recording.arguments)
    guides = {place: x for place, x in arguments.items() if place.startswith(f"guide.{whole}")}
    endings = [latent[len(_beginning(latents)) :] for latent in latents]
    for place, columns in {**guides, "points": recording.draws[whole][:, 0]}.items():
        names: list[str] = []
        for ending, block in zip(endings, np.split(columns, len(latents), axis=1), strict=True):
            fitting = [
                name
                for name, array in recording.constrained.items()
                if name not in names and array[0].size == block[0].size
                if (array.reshape(block.shape) == block).all()
            ]
            numbers = re.findall("[0-9]+", ending)
            named = [name for name in fitting if numbers and _numbers(name, numbers) == numbers]
            named = named or [name for name in fitting if name.endswith(ending)]
            names += (named or fitting)[:1]
        if len(names) == len(latents):
            recording = _with_one(recording, names)
        elif place in guides and (columns == columns[:, :1]).all():
            arguments[place] = columns[:, :1]
    return replace(recording, arguments=arguments)


def _numbers(name: str, like: list[str]) -> list[str]:
    """The last numbers in a name, as many as in another."""
    return re.findall("[0-9]+", name)[-len(like) :]


def _with_one(recording: Recording, names: list[str]) -> Recording:
    """Parameters side by side as one; the optimizer's own notes are the first one's."""
    constraints = dict(recording.header.get("constraints", {}))
    kinds = {constraints.pop(name, None) for name in names}
    if len(kinds) > 1:
        return recording
    whole = _common(names)
    while whole in recording.before:
        whole += "*"
    groups: dict[str, Any] = {}
    for group in ("before", "constrained", "after", "gradients"):
        arrays = {
            name: x.reshape(len(x), -1) if name in names else x
            for name, x in getattr(recording, group).items()
        }
        _join(arrays, names, whole)
        groups[group] = arrays
    lr = {name: x for name, x in recording.lr.items() if name not in names}
    if names[0] in recording.lr:
        lr[whole] = recording.lr[names[0]]
    header = {**recording.header, "constraints": constraints | {whole: kinds.pop()}}
    return replace(recording, lr=lr, moments={}, header=header, **groups)
