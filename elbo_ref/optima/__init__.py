"""Optima of the exact objective of each guide, or the suprema that it only tends to.

`find.OPTIMA` is the table of kinds of guides and of the functions that find their optima, in
`posterior`, `from_prior`, `normal` and `point`; `renyi` has those of a Renyi bound.
"""
