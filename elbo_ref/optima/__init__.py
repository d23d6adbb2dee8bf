"""optima."""
