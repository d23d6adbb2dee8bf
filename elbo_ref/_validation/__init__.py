"""Argument checks, and the bases of frozen values."""
