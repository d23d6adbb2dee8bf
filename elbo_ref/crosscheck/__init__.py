"""Somebody's run against what it should have been: findings, and a verdict."""

from elbo_ref.crosscheck.check import cross_check
from elbo_ref.crosscheck.findings import Finding, Verdict

__all__ = ["Finding", "Verdict", "cross_check"]
