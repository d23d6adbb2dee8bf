"""_validation."""
