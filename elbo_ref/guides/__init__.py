"""The guides: `protocol` says what one is, `find` turns a name into one."""

from __future__ import annotations

from elbo_ref.beta import Beta
from elbo_ref.guides.beta import BetaGuide
from elbo_ref.guides.from_prior import EmptyGuide, TiedGuide
from elbo_ref.guides.none import NoLatent, Parameter
from elbo_ref.guides.protocol import Guide

__all__ = ["GUIDES", "Guide", "Parameter", "find"]

GUIDES: dict[str, Guide] = {
    guide.name: guide for guide in (BetaGuide(), EmptyGuide(), TiedGuide(), NoLatent())
}


def find(guide: str | Beta | Parameter) -> Guide:
    """The guide that a name, or a value to start from, stands for."""
    if isinstance(guide, Beta):
        return GUIDES["beta"]
    if isinstance(guide, Parameter):
        return GUIDES["none"]
    if not isinstance(guide, str):
        raise TypeError(f"guide must be a name, a Beta or a Parameter, not {type(guide).__name__}")
    if guide not in GUIDES:
        raise ValueError(f"guide = {guide!r} is not one of {', '.join(map(repr, GUIDES))}")
    return GUIDES[guide]
