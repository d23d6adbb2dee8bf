"""Results to text."""

from __future__ import annotations

from elbo_ref.report.text import comparison

__all__ = ["comparison"]
