"""The guides: a catalogue of records, and the constraints of their parameters."""

from __future__ import annotations

from elbo_ref.guides.catalogue import GUIDES, Guide, GuideName, GuideValue, find

__all__ = ["GUIDES", "Guide", "GuideName", "GuideValue", "find"]
