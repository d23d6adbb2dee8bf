"""Results to text, JSON, tables and pictures."""

from __future__ import annotations

from elbo_ref.report.document import fit_document, posteriors_csv
from elbo_ref.report.pictures import save_figure
from elbo_ref.report.text import comparison

__all__ = ["comparison", "fit_document", "posteriors_csv", "save_figure"]
