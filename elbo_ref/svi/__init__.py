"""Stochastic variational inference: the settings, the loop, its result, and how it converged."""
