"""The guides: a catalogue of records, and the constraints of their parameters."""

from __future__ import annotations

from elbo_ref.guides.base import Guide, GuideValue
from elbo_ref.guides.catalogue import GUIDES, GuideName, find

__all__ = ["GUIDES", "Guide", "GuideName", "GuideValue", "find"]
