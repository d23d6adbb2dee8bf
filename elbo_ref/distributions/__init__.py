"""Distributions of a success probability, as values and as sources: Beta, logit-normal, a point.

`base` says what the guides and objectives need of one; `pathwise` moves Beta draws.
"""
