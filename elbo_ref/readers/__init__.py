"""Files to counts."""

from __future__ import annotations

from elbo_ref.readers.table import DataError, read_counts

__all__ = ["DataError", "read_counts"]
