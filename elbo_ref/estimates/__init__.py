"""Estimates of each latent with intervals that contain what is uncertain about the prior."""
