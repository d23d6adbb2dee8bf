"""The guides: `protocol` says what one is, `find` turns a name into one."""

from __future__ import annotations

from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.guides.beta import BetaGuide, SharedBetaGuide
from elbo_ref.guides.conjugate import ConjugateGuide, DetachedConjugateGuide
from elbo_ref.guides.delta import Delta, DeltaGuide
from elbo_ref.guides.from_prior import EmptyGuide, TiedGuide
from elbo_ref.guides.none import NoLatent, Parameter
from elbo_ref.guides.normal import LaplaceGuide, NormalGuide
from elbo_ref.guides.protocol import Guide

__all__ = ["GUIDES", "Delta", "Guide", "GuideValue", "Parameter", "find"]

GuideValue = Beta | LogitNormal | Parameter
"""What a guide reached, or one to start from, is; a `Delta` is a `Parameter`."""

GUIDES: dict[str, Guide] = {
    guide.name: guide
    for guide in (
        BetaGuide(),
        EmptyGuide(),
        TiedGuide(),
        NoLatent(),
        SharedBetaGuide(),
        ConjugateGuide(),
        DetachedConjugateGuide(),
        DeltaGuide(),
        NormalGuide(),
        LaplaceGuide(),
    )
}

_FAMILIES = {Beta: "beta", LogitNormal: "normal", Delta: "delta", Parameter: "none"}


def find(guide: str | GuideValue) -> Guide:
    """The guide that a name, or a value to start from, stands for."""
    if type(guide) in _FAMILIES:
        return GUIDES[_FAMILIES[type(guide)]]
    if not isinstance(guide, str):
        values = ", ".join(family.__name__ for family in _FAMILIES)
        raise TypeError(f"guide must be a name or one of {values}, not {type(guide).__name__}")
    if guide not in GUIDES:
        raise ValueError(f"guide = {guide!r} is not one of {', '.join(map(repr, GUIDES))}")
    return GUIDES[guide]
