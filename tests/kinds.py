"""Counts that tests of several packages share, and the guides that they run on them.

`KINDS` has every kind of supremum of the evidence; `SINGLE` and `SEVERAL` are five latents, once
each and so many times. `one_row` draws counts of one latent.
"""

from hypothesis import strategies as st

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
ROWS = [3, 0, 7, 12, 1], [10, 4, 7, 40, 20]
SINGLE, SEVERAL = er.Counts(*ROWS), er.Counts(*ROWS, multiplicity=[1, 2, 0, 3, 1])
GUIDES = ("beta", "empty", "tied", "none")


def one_row(totals):
    """Successes and trials of a latent, the ends of their range drawn more often."""
    return st.tuples(totals, st.integers(0, 2**63) | st.sampled_from([0, -1])).map(
        lambda x: (x[1] % (x[0] + 1), x[0])
    )


def entries(counts):
    """(K, N, w) of each entry, as Python's whole numbers."""
    columns = (counts.successes, counts.total_count, counts.multiplicity)
    return list(zip(*(x.tolist() for x in columns), strict=True))
