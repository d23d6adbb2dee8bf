"""`elbo_ref.mle.solve`: kinds and heights against 50-digit answers, and proofs that hold.

The reference rows are every local maximum of constructed data sets, from mpmath alone
(`tests/reference/make_maxima.py`): two and three interior maxima, interior maxima behind a negative
slope at the binomial limit, slopes of exactly 0, near ties, and the far ends of the range.
"""

import json

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

import elbo_ref as er
from places import REFERENCE
from tiers import few

ROWS = json.loads((REFERENCE / "maxima.json").read_text("utf-8"))
LARGE = 10**4


def counts_of(row):
    return er.Counts(row["successes"], row["total_count"], multiplicity=row["multiplicity"])


def width_allowed(height):
    return max(1e-9, 1e-14 * abs(height))


# -- the reference rows ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", few(sorted(ROWS, key=lambda name: "largest" in name), 40))
def test_reference(name):
    """Truth lies in the proof; the kind is right, or the proof says that it cannot tell."""
    row = ROWS[name]
    maximum = er.maximize_evidence(counts_of(row))
    proof, truth = maximum.proof, mpmath.mpf(row["log_evidence"])
    assert proof.lower <= truth <= proof.upper, (proof, row["log_evidence"])
    if max(row["total_count"]) <= LARGE:
        assert proof.width <= width_allowed(float(truth)), proof
    true_kinds = {row["kind"]} if proof.decided else {c.kind for c in proof.candidates}
    assert (maximum.kind in true_kinds) and (row["kind"] in true_kinds), (maximum, row)
    if not (proof.decided and row["kind"] == "interior"):
        return
    got = maximum.prior.concentration1, maximum.prior.concentration0
    wanted = [float(row[side]) for side in ("concentration1", "concentration0")]
    error = np.abs(np.array(got) / wanted - 1).max()
    assert error <= max(1e-10, maximum.relative_error), (maximum, wanted)
    assert error <= maximum.relative_error, (maximum, wanted)


@pytest.mark.parametrize("name", few([n for n in ROWS if max(ROWS[n]["total_count"]) <= LARGE], 20))
def test_undecided_only_where_maxima_are_too_close_to_tell(name):
    """Apart by more than 2e-14 of their height, they are told apart."""
    row = ROWS[name]
    proof = er.maximize_evidence(counts_of(row)).proof
    if not proof.decided:
        gap = abs(float(row["gap"] or 0))
        assert gap <= 2e-14 * abs(float(row["log_evidence"])), (proof, row["gap"])
        assert proof.undecided in er.maximize_evidence(counts_of(row)).summary()


def test_the_reference_rows_reach_every_kind_and_every_difficulty():
    kinds = [row["kind"] for row in ROWS.values()]
    assert min(kinds.count(kind) for kind in set(kinds)) >= 1
    assert len(set(kinds)) == 6
    inner = [len(row["local_maxima"]) for row in ROWS.values()]
    assert max(inner) >= 3
    behind = [r for r in ROWS.values() if r["kind"] == "interior" and r["slope"][:1] == "-"]
    assert len(behind) >= 3


def test_two_that_cannot_be_told_apart_are_both_listed():
    """Heights that differ by 3e-10 in 1e8: both maxima are named, and the summary says so."""
    row = ROWS["pair_by_3e-10"]
    maximum = er.maximize_evidence(counts_of(row))
    proof = maximum.proof
    assert not proof.decided
    assert len(proof.candidates) == 2
    known = sorted(float(m[0]) for m in row["local_maxima"])
    found = sorted(float(c.prior.concentration1) for c in proof.candidates)
    assert all(min(abs(np.array(known) / x - 1)) < 1e-9 for x in found)
    assert "undecided" in maximum.summary()


# -- brute force -----------------------------------------------------------------------------------

LOGIT = np.concatenate([np.linspace(-6, 6, 241), [-20, -15, -11, -8, 8, 11, 15, 20]])
SIZES = np.exp(np.linspace(np.log(1e-5), np.log(1e6), 127))


def small_data(rng, most):
    """Up to five latents, unequal N, multiplicities; mixtures that reach every kind."""
    entries = rng.integers(1, 6)
    n = rng.integers(rng.integers(2), rng.choice([1, 2, most, most, most, most]) + 1, entries)
    style = rng.integers(5)
    if style == 0:
        c = np.full(entries, rng.uniform())
    elif style == 1:
        c = rng.integers(0, 2, entries).astype(float)
    else:
        c = rng.beta(*rng.uniform(0.1, 4, 2), entries)
    k = rng.binomial(n, c)
    w = rng.integers(0, 30, entries) if rng.uniform() < 0.5 else np.ones(entries, int)
    return k, n, w


def grid_of(most):
    """SciPy's log probability of every (k, n), over mean and concentration."""
    mean = 1 / (1 + np.exp(-LOGIT))[:, None]
    a, b = mean * SIZES, (1 - mean) * SIZES
    pairs = [(k, n) for n in range(most + 1) for k in range(n + 1)]
    table = np.array([stats.betabinom.logpmf(k, n, a, b).ravel() for k, n in pairs])
    return {pair: i for i, pair in enumerate(pairs)}, table


def check_against_grid(counts, k, n, w, index, table):
    maximum = er.maximize_evidence(counts)
    proof = maximum.proof
    rows = [index[pair] for pair in zip(k.tolist(), n.tolist(), strict=True)]
    heights = w @ table[rows]
    highest = float(heights.max())
    inputs = (
        f"k={k.tolist()}, n={n.tolist()}, w={w.tolist()}: {maximum.kind}, {proof}, grid {highest!r}"
    )
    assert highest <= proof.upper + 1e-8 * w.sum() + 1e-8, inputs
    assert highest >= proof.lower - 0.03 * max(w.sum(), 1), inputs
    assert proof.width <= width_allowed(maximum.log_evidence), inputs
    assert proof.decided, inputs
    assert highest <= maximum.log_evidence + 1e-8 * w.sum() + 1e-8, inputs
    if maximum.kind == "binomial":
        assert maximum.mean == pytest.approx((w @ k) / (w @ n), rel=1e-14), inputs
    if maximum.kind == "interior":
        edges = heights.reshape(LOGIT.size, SIZES.size)
        pooled = (w @ k) / (w @ n)
        limit = sum(
            x * stats.binom.logpmf(i, j, pooled) for i, j, x in zip(k, n, w, strict=True) if x
        )
        assert maximum.log_evidence > max(edges[:, 0].max(), limit) - 1e-11 * w.sum(), inputs
    return maximum.kind


def brute_force(times, seed):
    most = 9
    index, table = grid_of(most)
    rng, kinds = np.random.default_rng(seed), {}
    for _ in range(times):
        k, n, w = small_data(rng, most)
        kind = check_against_grid(er.Counts(k, n, w), k, n, w, index, table)
        kinds[kind] = kinds.get(kind, 0) + 1
    assert len(kinds) == 6, kinds
    assert min(kinds["binomial"], kinds["interior"]) > times / 10, kinds


@pytest.mark.thorough
def test_a_dense_grid_finds_nothing_above_the_proof():
    brute_force(300, 1)


@pytest.mark.slow
def test_a_dense_grid_finds_nothing_above_the_proof_on_thousands():
    brute_force(5000, 2)


@pytest.mark.thorough
@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 9000), st.integers(0, 9000), st.integers(1, 10**6)),
        min_size=1, max_size=6,
    ),
    log_s=st.floats(-12, 14),
    logit=st.floats(-9, 9),
)  # fmt: skip
def test_no_prior_is_above_the_proof(rows, log_s, logit):
    """Any prior at all, by (E1) at 30 digits; N to 18,000, multiplicities to a million."""
    k, f, w = (np.array(column) for column in zip(*rows, strict=True))
    maximum = er.maximize_evidence(er.Counts(k, k + f, w))
    assert maximum.proof.width <= width_allowed(maximum.log_evidence) or (k + f).max() > LARGE
    s, m = np.exp(log_s), 1 / (1 + np.exp(-logit))
    prior = er.Beta(s * m, s * (1 - m))
    with mpmath.workdps(30):
        a, b = mpmath.mpf(prior.concentration1), mpmath.mpf(prior.concentration0)
        height = mpmath.mpf(0)
        for i, j, x in zip(k.tolist(), f.tolist(), w.tolist(), strict=True):
            ratio = mpmath.beta(a + i, b + j) / mpmath.beta(a, b)
            height += x * mpmath.log(mpmath.binomial(i + j, i) * ratio)
    assert height <= maximum.proof.upper


# -- exactness at the binomial limit ---------------------------------------------------------------


@pytest.mark.parametrize("w", [1, 10**3, 10**9, 4 * 10**17])
def test_the_sign_of_the_slope_is_exact(w):
    """N = 2: (w, 2w, w) has slope 0 and is binomial; a single latent of 2w tips it."""
    kinds = [
        er.maximize_evidence(er.Counts([0, 1, 2], 2, multiplicity=[w, 2 * w + d, w])).kind
        for d in (-1, 0, 1)
    ]
    assert kinds == ["interior", "binomial", "binomial"]


@pytest.mark.parametrize("w", [10, 10**4, 10**8, 10**12])
def test_maximisers_far_out_keep_their_digits(w):
    """(E11) with (w, 2w - 1, w): a + b = 4w - 2 exactly, whatever the size."""
    prior = er.maximize_evidence(er.Counts([0, 1, 2], 2, multiplicity=[w, 2 * w - 1, w])).prior
    np.testing.assert_allclose(prior.arrays(), 2 * w - 1, rtol=1e-14)


@pytest.mark.parametrize("w", [10**3, 10**6, 10**12, 10**15, 10**18])
def test_maximisers_close_to_all_or_none_keep_theirs(w):
    """(E11) with (w, 1, w): rho = 1 - 2/(2w + 1), so a + b = 2/(2w - 1)."""
    prior = er.maximize_evidence(er.Counts([0, 1, 2], 2, multiplicity=[w, 1, w])).prior
    np.testing.assert_allclose(prior.arrays(), 1 / (2 * w - 1), rtol=1e-13)


# -- something held fixed --------------------------------------------------------------------------


FIXED = [
    ({"mean": 0.25}, lambda m: (m.mean, 0.25)),
    ({"concentration": 3.5}, lambda m: (m.concentration, 3.5)),
    ({"concentration1": 0.8}, lambda m: (m.prior.concentration1, 0.8)),
    ({"concentration0": 4.2}, lambda m: (m.prior.concentration0, 4.2)),
]


def pair_at(fixed, x):
    """The prior with one thing held, and e^x (or the logistic of x) for what is left."""
    (name, value), = fixed.items()  # fmt: skip
    e = np.exp(x)
    if name == "mean":
        return er.Beta(value * e, (1 - value) * e)
    if name == "concentration":
        return er.Beta(value * e / (1 + e), value / (1 + e))
    return er.Beta(value, e) if name == "concentration1" else er.Beta(e, value)


@pytest.mark.thorough
@pytest.mark.parametrize(("fixed", "held"), few(FIXED))
@pytest.mark.parametrize(
    "counts",
    [er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12]), er.Counts([0, 1, 2], 2, [40, 30, 50])],
)
def test_fixed_maxima_beat_a_fine_line(counts, fixed, held):
    maximum = er.maximize_evidence(counts, fixed=fixed)
    assert maximum.kind == "interior"
    got, wanted = held(maximum)
    np.testing.assert_allclose(got, wanted, rtol=1e-15)
    line = [er.log_evidence(pair_at(fixed, x), counts) for x in np.linspace(-12, 12, 1201)]
    assert max(line) <= maximum.proof.upper
    assert max(line) >= maximum.log_evidence - 1e-3 * counts.num_latents
    assert maximum.log_evidence <= er.maximize_evidence(counts).proof.upper
    assert er.log_evidence(maximum.prior, counts) == pytest.approx(maximum.log_evidence, rel=1e-14)


@pytest.mark.parametrize(
    ("fixed", "k", "n", "kind", "height", "mean", "concentration"),
    [
        ({"mean": 0.3}, [0, 5, 5], [4, 5, 5], "all_or_none", np.log(0.7 * 0.09), 0.3, 0.0),
        ({"mean": 0.3}, [0, 0], [4, 5], "all_or_none", 2 * np.log(0.7), 0.3, 0.0),
        ({"mean": 0.3}, [0, 1], [1, 1], "unidentified", np.log(0.21), 0.3, None),
        ({"mean": 0.5}, [5, 5, 5], [10] * 3, "binomial", 3 * np.log(252 / 1024), 0.5, np.inf),
        ({"concentration": 2.0}, [0, 0], [4, 5], "degenerate", 0.0, 0.0, 2.0),
        ({"concentration0": 2.0}, [0, 0], [4, 5], "degenerate", 0.0, 0.0, 2.0),
        ({"concentration0": 2.0}, [4, 5], [4, 5], "degenerate", 0.0, 1.0, np.inf),
        ({"concentration1": 2.0}, [4, 5], [4, 5], "degenerate", 0.0, 1.0, 2.0),
        ({"concentration1": 2.0}, [0, 0], [4, 5], "degenerate", 0.0, 0.0, np.inf),
        ({"concentration": 2.0}, [0, 1, 1], [1, 1, 1], "interior", np.log(4 / 27), 2 / 3, 2.0),
        ({"concentration0": 2.0}, [0, 1, 1], [1, 1, 1], "interior", np.log(4 / 27), 2 / 3, 6.0),
        ({"mean": 0.3}, [0], [0], "no_information", 0.0, 0.3, None),
    ],
)
def test_fixed_kinds(fixed, k, n, kind, height, mean, concentration):
    """A supremum may become a maximum, or another one."""
    found = er.maximize_evidence(er.Counts(k, n), fixed=fixed)
    assert found.kind == kind, found
    np.testing.assert_allclose(found.log_evidence, height, rtol=1e-13, atol=1e-15)
    for got, wanted in ((found.mean, mean), (found.concentration, concentration)):
        assert (got is None) == (wanted is None)
        if wanted is not None:
            np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.thorough
@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=5),
    name=st.sampled_from(["mean", "concentration", "concentration1", "concentration0"]),
    value=st.floats(0.02, 0.98),
)
def test_swapping_outcomes_swaps_what_is_fixed(rows, name, value):
    k, f = (np.array(column) for column in zip(*rows, strict=True))
    other = {"concentration1": "concentration0", "concentration0": "concentration1"}.get(name, name)
    one = er.maximize_evidence(er.Counts(k, k + f), fixed={name: value})
    two = er.maximize_evidence(
        er.Counts(f, k + f), fixed={other: 1 - value if name == "mean" else value}
    )
    assert one.kind == two.kind
    np.testing.assert_allclose(one.log_evidence, two.log_evidence, rtol=1e-12, atol=1e-12)
    if one.prior is not None:
        a, b = one.prior.arrays()
        np.testing.assert_allclose(two.prior.arrays(), (b, a), rtol=1e-7)


@pytest.mark.parametrize("w", [10**3, 10**6, 10**9, 10**15])
def test_a_held_concentration_beside_many_latents_that_end_alike(w):
    """w times 0 of 5 and once 1 of 5, a = 1 held: b is near 5 w + 4, and terms nearly cancel."""
    counts = er.Counts([0, 1], 5, multiplicity=[w, 1])
    maximum = er.maximize_evidence(counts, fixed={"concentration1": 1.0})
    assert maximum.proof.decided
    assert maximum.proof.width < 1e-9
    b, (n0, n1) = mpmath.mpf(5 * w), (w, 1)
    with mpmath.workdps(40):

        def slope(b):
            both = (n0 + n1) * mpmath.fsum(1 / (1 + b + j) for j in range(5))
            down = n0 * mpmath.fsum(1 / (b + j) for j in range(5))
            return down + n1 * mpmath.fsum(1 / (b + j) for j in range(4)) - both

        wanted = mpmath.findroot(slope, (b, b + 8), solver="secant", tol=1e-60, verify=False)
    assert maximum.prior.concentration0 == pytest.approx(float(wanted), rel=1e-13)


def test_held_close_to_an_end():
    maximum = er.maximize_evidence(er.Counts(3, 5), fixed={"concentration0": 1e-9})
    assert maximum.proof.decided
    assert "+-" in maximum.summary()
    many = er.Counts([10**9, 10**9], [10**9 + 1, 10**9], [1, 10**9])
    assert er.maximize_evidence(many, fixed={"concentration0": 1e-6}).kind == "interior"
    far = er.Counts([0, 3 * 10**15], 10**16, [10**6, 1])
    assert er.maximize_evidence(far).proof.decided


@pytest.mark.parametrize(
    ("fixed", "error", "text"),
    [
        (3.0, TypeError, "fixed must be a mapping, as .*, not float"),
        ({}, ValueError, "fixed must hold one thing, not 0"),
        ({"mean": 0.3, "concentration": 2.0}, ValueError, "fixed must hold one thing, not 2"),
        ({"total": 2.0}, ValueError, "fixed: 'total' must be one of"),
        ({"mean": 1.0}, ValueError, "mean = 1.0 must lie strictly between 0 and 1"),
        ({"concentration": 0.0}, ValueError, r"concentration = 0.0 must lie in \[1e-12, 1e15\]"),
        ({"concentration1": np.inf}, ValueError, "concentration1 = inf"),
        ({"concentration0": "2"}, TypeError, "concentration0 must be real numbers"),
    ],
)
def test_what_cannot_be_held(fixed, error, text):
    with pytest.raises(error, match=text):
        er.maximize_evidence(er.Counts(3, 10), fixed=fixed)


def test_counts_are_counts():
    with pytest.raises(TypeError, match="counts must be"):
        er.maximize_evidence([3, 10])


# -- size ------------------------------------------------------------------------------------------


def test_a_hundred_thousand_rows():
    rng = np.random.default_rng(8)
    n = rng.integers(1, 200, 10**5)
    k = rng.binomial(n, rng.beta(2, 5, n.size))
    maximum = er.maximize_evidence(er.Counts(k, n))
    assert maximum.kind == "interior"
    assert maximum.proof.decided
    assert maximum.proof.width <= width_allowed(maximum.log_evidence)
    np.testing.assert_allclose(maximum.prior.arrays(), (2, 5), rtol=0.05)


@pytest.mark.parametrize(
    "k", [[3 * 10**17, 6 * 10**17], [1, 10**6], [3, 3, 3], [10**18 - 2, 10**18, 10**18 - 30]]
)
def test_counts_of_1e18(k):
    """No arrays of length N, and where the rarer outcome is rare the proof is as narrow as ever."""
    maximum = er.maximize_evidence(er.Counts(k, 10**18))
    assert maximum.proof.decided
    assert maximum.proof.width < 1e-9
