"""Optima of the exact objective of each guide, or the suprema that it only tends to.

`find_optimum` asks the file for the guide's kind: `posterior`, `from_prior`, `normal`, `point`; and
`renyi` where the loss is a Renyi bound.
"""
