"""Counts of every kind of supremum that the evidence has, and the guides that tests run on them."""

import elbo_ref as er

OVERDISPERSED = er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50])
KINDS = {
    "no_information": er.Counts([0, 3], [0, 5], multiplicity=[2, 0]),
    "degenerate": er.Counts([0, 0], [4, 7]),
    "unidentified": er.Counts([1, 0, 1], 1),
    "all_or_none": er.Counts([0, 2, 5], [2, 2, 5]),
    "binomial": er.Counts([3, 4, 3], 10),
    "interior": OVERDISPERSED,
}
GUIDES = ("beta", "empty", "tied", "none")
