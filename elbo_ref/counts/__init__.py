"""Counts, the sufficient statistics of the data, and the ways to them: rows and data frames."""

from elbo_ref.counts.levels import Levels, levels
from elbo_ref.counts.pairs import distinct
from elbo_ref.counts.rows import pool
from elbo_ref.counts.statistics import Counts

__all__ = ["Counts", "Levels", "distinct", "levels", "pool"]
