"""Somebody's run against what it should have been: findings, and a verdict."""

from elbo_ref.crosscheck.findings import Finding, Verdict
from elbo_ref.crosscheck.numbers import cross_check
from elbo_ref.crosscheck.replaying.verdict import replay

__all__ = ["Finding", "Verdict", "cross_check", "replay"]
