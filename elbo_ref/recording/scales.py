"""The factors that plates and scales give to the terms of a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elbo_ref._format.numbers import number, some_of
from elbo_ref._validation.arguments import IntArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.guide_sites import OutsideError, Sites
from elbo_ref.recording.rows import Data, latents_of


def scales_of(
    sites: Sites, rows: Sequence[Mapping[str, Any]], data: Data | None
) -> tuple[float, float, list[Finding]]:
    """Return the scale of all terms, the weight of the likelihood, and what is wrong with them."""
    latents = sites.described("model")
    sampled = [x for x in sites.described("guide") if x["class"] != "Delta"]
    scales, of_guide, of_rows = (
        sorted({(x.get("scale", 1.0), x.get("planned_scale", 1.0)) for x in some}, reverse=True)
        for some in (latents, sampled, rows)
    )
    scale, planned = scales[0]
    weight, meant = of_rows[0] if of_rows else (scale, planned)
    weight, meant = weight / scale, meant / planned
    changing = data is not None and not data.constant
    findings = []

    def mistake(name: str, words: str, theirs: float, ours: float) -> None:
        findings.append(Finding(name, words, theirs, ours, None, "as the sites have it", "mistake"))

    parts = ("model", latents), ("guide", sampled), ("data", rows)
    if len({x for x, _ in [*scales, *of_guide]}) > 1:
        return scale, weight, [_unlike("loss_mismatch", parts)]
    if len({x for x, _ in of_rows}) > 1:
        return scale, weight, [_unlike("likelihood_weight", parts)]
    extra, further = scale / planned, weight / meant
    if planned != 1 and np.isclose(extra, planned):
        mistake("subsample_scaled_twice", "the scale of a minibatch", scale, planned)
    elif planned != 1 and np.isclose(extra * planned, 1):
        mistake("subsample_unscaled", "the scale of a minibatch", scale, planned)
    elif not np.isclose(extra, 1) and changing:
        words = f"each batch counts {number(extra)} times, as it should if the data are so many"
        findings.append(Finding("scale", words, status="note"))
    elif not np.isclose(extra, 1) and np.isclose(further, 1):
        mistake("normalised_loss", "the factor of all terms of the loss", extra, 1.0)
    if meant != 1 and np.isclose(further, meant):
        mistake("subsample_scaled_twice", "the scale of a batch of rows is", weight, meant)
    elif meant != 1 and np.isclose(further * meant, 1):
        mistake("subsample_unscaled", "the scale of a batch of rows is", weight, meant)
    elif not np.isclose(further, 1) and not (changing and sites.size == 1):
        words = f"the weight of the likelihood: latents count {number(scale)} times, and rows"
        mistake("likelihood_weight", f"{words} {number(scale * weight)} times", weight, meant)
    return scale, weight, findings


def multiplicity_of(
    sites: Sites, rows: Sequence[Mapping[str, Any]]
) -> tuple[IntArray | None, list[Finding]]:
    """Return the numbers by which elements of all sites are scaled, (L,); None if these are alike.

    Raises
    ------
    OutsideError
        If they count no latents, or change from step to step.
    """
    noted, own = sites.recording.observed, np.ones(sites.size)
    scales = {x: array for x, array in noted.items() if x.endswith(".scale")}
    if not scales:
        return None, []
    if any(len(array) > 1 for array in scales.values()):
        raise OutsideError("the scales of elements change from step to step")
    for name, place in sites.places.items():
        own[place.offset : place.offset + place.size] = scales.get(f"model.{name}.scale", 1.0)
    parts = [(f"model.{x['name']}", latents_of(sites.recording, x, sites.places)) for x in rows]
    for name, place in sites.places.items():
        at = np.arange(place.offset, place.offset + place.size)
        drawn = [x["name"] for x in sites.described("guide") if x["name"].startswith(name)]
        parts += [(f"guide.{x}", at) for x in drawn]
    unlike = [x for x, at in parts if np.any(scales.get(f"{x}.scale", 1.0) != own[at])]
    findings = []
    if unlike:
        words = f"the elements of {some_of(unlike)} are scaled otherwise than those of the latents"
        reason = "a scale that one of them has and another has not"
        findings.append(Finding("loss_mismatch", words, reason=reason, status="mistake"))
    own = own[sites.kept]
    if np.any((own != np.floor(own)) | (own < 1)):
        raise OutsideError(f"the elements of {sites.name!r} are weighted by what counts no latents")
    return (None if np.all(own == own[0]) else own.astype(np.int64)), findings


def _unlike(name: str, parts: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> Finding:
    """Say how often each part of the loss counts, where that is no one factor."""
    counted = []
    for part, sites in parts:
        scales = {site["name"]: number(site.get("scale", 1.0)) for site in sites}
        if len(set(scales.values())) > 1:
            counted += [f"{part} {site} {scale} times" for site, scale in scales.items()]
        elif scales:
            counted.append(f"{part} {next(iter(scales.values()))} times")
    words = f"the sites count differently: {some_of(counted)}"
    reason = "a plate's size, or a scale, that one of them has and another has not"
    return Finding(name, words, reason=reason, status="mistake")
