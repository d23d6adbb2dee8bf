"""Runs and parameters seen by the oracle, and all estimates of one data set side by side."""
