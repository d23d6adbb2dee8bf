"""Results to text, JSON, tables and pictures."""

from __future__ import annotations

from elbo_ref.report.comparison import Comparison
from elbo_ref.report.dispatch import plot
from elbo_ref.report.pictures import save_figure

__all__ = ["Comparison", "plot", "save_figure"]
