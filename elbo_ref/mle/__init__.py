"""The maximum-likelihood prior of some counts, with proof, and what people expect around it.

`factorial_sums` writes the evidence in a few terms; `profile` and `lines` follow it along one
coordinate, with bounds on intervals; `branch_and_bound` finds all maxima of a profile that may be
the highest, and `newton` their last digits; `solve` compares them with the limit in `binomial` and
gives the `candidates`. `result` is the answer, with standard errors and the regions of `intervals`
that `profile_likelihood` finds with `boundary`; `tests` has tests and fits around it.
"""
