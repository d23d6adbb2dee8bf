"""`elbo_ref.counts`: the sufficient statistics of (E1), and its logC.

Sums are held against a dictionary of Python integers, coefficients against mpmath log-gammas at 60
digits, both also for counts near 10**17, and every refusal against its exact message.
"""

import copy
import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence
from elbo_ref.special import log_choose
from kinds import one_row

mp = mpmath.mp.clone()
mp.dps = 60

FIELDS = ("successes", "total_count", "multiplicity", "log_split")
ROW = one_row(st.integers(0, 20) | st.integers(0, 10**6) | st.integers(0, 10**17))
ROWS = st.lists(st.tuples(ROW, st.sampled_from("abc")), min_size=1, max_size=12)


def log_choose_slow(k, n):
    return mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)


def grouped_slow(rows):
    """{label: (K, N, logC)} in the order of first appearance."""
    table = {}
    for (k, n), label in rows:
        successes, total, log_c = table.get(label, (0, 0, mp.mpf(0)))
        table[label] = successes + k, total + n, log_c + log_choose_slow(k, n)
    return table


def columns(rows):
    k, n = zip(*[row for row, _ in rows], strict=True)
    return list(k), list(n), [label for _, label in rows]


# -- values ------------------------------------------------------------------------------------


def test_one_latent_per_entry():
    counts = Counts([3, 0, 7], 10)
    assert [counts.successes.tolist(), counts.failures.tolist()] == [[3, 0, 7], [7, 10, 3]]
    assert counts.total_count.tolist() == [10, 10, 10]
    assert counts.multiplicity.tolist() == [1, 1, 1]
    assert (counts.log_split == 0).all()
    assert (len(counts), counts.num_latents, counts.labels) == (3, 3, None)
    assert [getattr(counts, name).dtype for name in FIELDS] == [np.int64] * 3 + [np.float64]


def test_scalars_broadcast():
    assert len(Counts(3, 10)) == 1
    assert Counts(3, [10, 5]).successes.tolist() == [3, 3]
    assert Counts([1, 2], 3, multiplicity=4).multiplicity.tolist() == [4, 4]
    assert Counts([1, 2], 3, multiplicity=[0, 4]).num_latents == 4


@pytest.mark.parametrize(
    "values",
    [
        [True, False],
        np.array([1, 0], np.int8),
        np.array([1, 0], np.uint64),
        [1.0, 0.0],
        np.array([1, 0], object),
        (1, 0),
        np.array([1, 0], np.float32),
    ],
)
def test_whole_numbers_of_every_type(values):
    counts = Counts(values, values)
    assert counts.successes.tolist() == counts.total_count.tolist() == [1, 0]
    assert counts.successes.dtype == np.int64


def test_the_largest_integers_are_exact():
    top = 2**63 - 1
    assert Counts(top - 1, top).failures.tolist() == [1]
    assert Counts(np.array([top], np.uint64), [top]).successes.tolist() == [top]
    assert Counts(2.0**53, 2.0**53).successes.tolist() == [2**53]


def test_grouped_keeps_the_order_of_first_appearance():
    counts = Counts.grouped([1, 0, 2], [1, 1, 2], ["b", "a", "b"])
    assert counts.labels == ("b", "a")
    assert counts.successes.tolist() == [3, 0]
    assert counts.total_count.tolist() == [3, 1]
    assert Counts.grouped([1, 0], [1, 1], np.array([7, 7])).labels == (7,)


def test_labels_of_different_types_stay_apart():
    labels = [1, "1", ("b", 1), ("b", 2)]
    assert Counts.grouped([1, 0, 1, 1], 1, labels).labels == tuple(labels)
    with pytest.raises(ValueError, match=r"groups\[0\] = \['a'\] is not a label"):
        Counts.grouped([1, 0], 1, [["a"], ["b"]])


@pytest.mark.thorough
@settings(max_examples=80)
@given(ROWS)
@example([((5 * 10**16, 10**17), "a")] * 12)
@example([((10**17, 10**17), "a"), ((0, 10**17), "a"), ((1, 3), "a")])
@example([((0, 0), "a"), ((1, 10**17), "a"), ((0, 0), "a")])
def test_grouped_against_a_dictionary(rows):
    counts = Counts.grouped(*columns(rows))
    wanted = grouped_slow(rows)
    assert counts.labels == tuple(wanted)
    for i, (successes, total, log_c) in enumerate(wanted.values()):
        assert (counts.successes[i], counts.total_count[i]) == (successes, total)
        together = log_choose_slow(successes, total)
        for got, value, size in (
            (counts.log_coefficient[i], log_c, together),
            (counts.log_split[i], log_c - together, 0),
        ):
            error = abs(got - value)
            allowed = 1e-12 * max(1, abs(value)) + 1e-15 * size
            assert error <= allowed, f"{rows}: got {got}, wanted {float(value)}, error {error}"


@settings(max_examples=80)
@given(ROWS)
def test_shared_is_one_group(rows):
    k, n, _ = columns(rows)
    shared, grouped = Counts.shared(k, n), Counts.grouped(k, n, [0] * len(k))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(shared, name), getattr(grouped, name))
    assert shared.labels is None


@settings(max_examples=80)
@given(ROW)
@example((1, 10**18))
@example((10**18 - 1, 10**18))
@example((1, 10**15))
@example((5 * 10**17, 10**18))
@example((0, 0))
def test_log_choose(row):
    k, n = row
    got, wanted = log_choose(np.array([k]), np.array([n]))[0], log_choose_slow(k, n)
    error = abs(got - wanted)
    assert error <= 1e-14 * max(1, abs(wanted)), f"{row}: {got}, wanted {wanted}, error {error}"


@pytest.mark.thorough
@settings(max_examples=80)
@given(ROWS)
def test_splitting_an_observation_changes_only_the_coefficient(rows):
    k, n, labels = columns(rows)
    whole = Counts.grouped(k, n, labels)
    first = [x // 2 for x in k], [x // 2 + (m - x) // 3 for x, m in zip(k, n, strict=True)]
    rest = (np.array(whole, object) - part for whole, part in zip((k, n), first, strict=True))
    split = Counts.grouped(*map(np.append, first, rest), labels * 2)
    assert split.labels == whole.labels
    assert (split.successes == whole.successes).all()
    assert (split.total_count == whole.total_count).all()
    assert (split.log_split <= whole.log_split + 1e-12 * (1 + abs(whole.log_split))).all()
    prior = Beta(0.7, 2.0)
    before, after = log_evidence(prior, whole), log_evidence(prior, split)
    wanted = before + (split.log_split - whole.log_split).sum()
    assert after == pytest.approx(wanted, rel=1e-13, abs=1e-11)


def test_bernoulli_rows_have_no_coefficient():
    counts = Counts.shared([1, 0, 1, 1], 1)
    assert counts.log_split[0] == pytest.approx(-np.log(4), rel=1e-15)
    assert counts.log_coefficient[0] == pytest.approx(0.0, abs=1e-15)


# -- the door ----------------------------------------------------------------------------------

WHOLE = "must hold whole numbers"
MISSING = "is not a whole number; leave rows without a value out"
QUOTED = "write numbers without quotes, or convert a column of texts first"
FITS = "must lie in [0, 2**63)"


def masked(values):
    return np.ma.masked_array(values, mask=[True] + [False] * (len(values) - 1))


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (([3, 12], [10, 10]), ValueError, "successes[1] = 12 exceeds total_count[1] = 10"),
        ((12, 10), ValueError, "successes[0] = 12 exceeds total_count[0] = 10"),
        (
            (10**18 + 1, 10**18),
            ValueError,
            "successes[0] = 1000000000000000001 exceeds total_count[0] = 1000000000000000000",
        ),
        (([1, -1], 10), ValueError, f"successes[1] = -1 {FITS}"),
        ((1, -10.0), ValueError, f"total_count = -10.0 {FITS}"),
        (([0, 1.5], 10), ValueError, "successes[1] = 1.5 is not a whole number"),
        ((np.nan, 10), ValueError, f"successes = nan {MISSING}"),
        ((1, [10, np.inf]), ValueError, "total_count[1] = inf is not a whole number"),
        ((1, 2.0**54), ValueError, f"total_count = {2.0**54} is a float above 2**53: pass an int"),
        ((1, np.array([2**63], np.uint64)), ValueError, f"total_count[0] = {2**63} {FITS}"),
        ((1, 2**64), ValueError, f"total_count = {2**64} {FITS}"),
        ((1, np.array([-1], object)), ValueError, f"total_count[0] = -1 {FITS}"),
        (("3", 10), TypeError, f"successes {WHOLE}, not dtype <U1; {QUOTED}"),
        ((None, 10), TypeError, f"successes {WHOLE}, not None (NoneType)"),
        ((1, [10, None]), TypeError, f"total_count {WHOLE}, not None (NoneType)"),
        ((1 + 0j, 10), TypeError, f"successes {WHOLE}, not dtype complex128"),
        ((masked([1, 2]), 10), TypeError, "successes must not be a masked array"),
        (([], []), ValueError, "successes is empty: at least one row is needed"),
        ((1, []), ValueError, "total_count is empty: at least one row is needed"),
        (([], [1, 2]), ValueError, "successes is empty: at least one row is needed"),
        (
            (1, [[1, 2]]),
            ValueError,
            "total_count of shape (1, 2) must have at most one dimension",
        ),
        (
            ([[1, 2]], 10),
            ValueError,
            "successes of shape (1, 2) must have at most one dimension",
        ),
        (([1, 2], [1, 2, 3]), ValueError, "successes has 2 entries where 3 are needed"),
        (([1, 2], 3, [1, 2, 3]), ValueError, "multiplicity has 3 entries where 2 are needed"),
        (([1, 2], 3, -1), ValueError, f"multiplicity = -1 {FITS}"),
        (([1, 2], 3, [1, 0.5]), ValueError, "multiplicity[1] = 0.5 is not a whole number"),
        (
            ([1, 2], 3, 2**62),
            ValueError,
            "the sum of multiplicity does not fit into 63 bits",
        ),
    ],
)
def test_errors(args, error, message):
    with pytest.raises(error) as caught:
        Counts(*args)
    assert str(caught.value) == message


def test_sums_that_do_not_fit():
    message = "^the sum of total_count does not fit into 63 bits$"
    with pytest.raises(ValueError, match=message):
        Counts.shared([0, 0], 2**62)
    with pytest.raises(ValueError, match=message):
        Counts.grouped([0, 0], [2**62, 2**62], ["a", "a"])


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (["a"], ValueError, "groups has 1 labels for 2 entries of counts"),
        (np.array([1, 2, 3]), ValueError, "groups has 3 labels for 2 entries of counts"),
        (["a", None], ValueError, "groups[1] = None is not a label"),
        (np.array([np.nan, 1.0]), ValueError, "groups[0] = nan is not a label"),
        (masked([1, 2]), TypeError, "groups must not be a masked array"),
    ],
)
def test_group_errors(groups, error, message):
    with pytest.raises(error) as caught:
        Counts.grouped([1, 1], [2, 2], groups)
    assert str(caught.value) == message


# -- the value ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trip", [lambda x: x, lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy]
)
def test_immutable_also_after_a_round_trip(trip):
    original = Counts.grouped([1, 0, 2], [1, 1, 4], ["b", "a", "b"])
    back = trip(original)
    assert back.labels == original.labels
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(back, name), getattr(original, name))
        assert not getattr(back, name).flags.writeable
        with pytest.raises(AttributeError):
            setattr(back, name, None)


def test_inputs_are_not_aliased():
    k, n, w = (np.array([value]) for value in (1, 2, 3))
    counts = Counts(k, n, w)
    for array in (k, n, w):
        array[0] = 99
    assert [int(getattr(counts, name)[0]) for name in FIELDS[:3]] == [1, 2, 3]


def test_repr():
    assert repr(Counts([3, 0], 10)) == "Counts(successes=[3 0], total_count=[10 10])"
    assert repr(Counts(3, 10, 2)) == "Counts(successes=[3], total_count=[10], multiplicity=[2])"


def test_labels_in_a_document():
    """Numbers stay numbers, whatever type holds them; the rest is text."""
    labels = [np.int64(3), "3", 2.5, np.float32(0.5), True, float("inf"), ("a", 1)]
    counts = Counts.grouped([1] * 7, [2] * 7, labels)
    assert counts.to_dict()["labels"] == [3, "3", 2.5, 0.5, True, "inf", "('a', 1)"]
    assert Counts.from_columns(**counts.to_dict()).to_dict() == counts.to_dict()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"log_split": [0.5]}, "log_split"),
        ({"log_split": [np.nan]}, "log_split"),
        ({"log_split": [0.0, 0.0]}, "log_split"),
        ({"labels": ["a", "b"]}, "labels"),
    ],
)
def test_columns_that_do_not_fit(columns, message):
    with pytest.raises(ValueError, match=message):
        Counts.from_columns([1], [2], **columns)


def test_pooled_takes_multiplicities_as_rows():
    rows = Counts([0, 1, 3], [1, 2, 5], multiplicity=[4, 3, 2])
    pooled = rows.pooled(["a", "b", "a"])
    slow = Counts.grouped(
        [0] * 4 + [1] * 3 + [3] * 2, [1] * 4 + [2] * 3 + [5] * 2, list("aaaabbbaa")
    )
    assert pooled.labels == slow.labels
    assert pooled.successes.tolist() == slow.successes.tolist()
    assert pooled.log_split == pytest.approx(slow.log_split, rel=1e-13)
    again = pooled.pooled()
    assert again.log_split == pytest.approx(rows.pooled().log_split, rel=1e-13)


def test_mirrored():
    """Everything but the outcomes stays, and twice is nothing."""
    counts = Counts.grouped([1, 2, 0], [2, 4, 3], ["a", "a", "b"])
    mirrored = counts.mirrored
    assert mirrored.successes.tolist() == counts.failures.tolist()
    assert (mirrored.labels, mirrored.log_split.tolist()) == (
        counts.labels,
        counts.log_split.tolist(),
    )
    assert mirrored.mirrored == counts


class _Frame:
    """Something that NumPy takes for an array."""

    def __array__(self, dtype=None, copy=None):
        return np.array([1, 2], dtype)


KINDS = {
    **{kind: np.array([1, 2], kind) for kind in ("b", "B", "h", "H", "i", "I", "q", "Q")},
    **{kind: np.array([1, 2], kind) for kind in ("e", "f", "d", "g", "O", ">i4", ">f8", ">f2")},
    "read-only": np.frombuffer(np.array([1, 2], np.int16).tobytes(), np.int16),
    "strided": np.asfortranarray(np.array([[1, 9], [2, 9]], np.float16))[:, 0],
    "array protocol": _Frame(),
    "tuple": (1, 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_of_any_type(kind):
    for columns in ((KINDS[kind], 3), ([0, 1], KINDS[kind]), ([0, 1], 3, KINDS[kind])):
        with np.errstate(all="raise"):
            counts = Counts(*columns)
        wanted = Counts(*([1, 2] if x is KINDS[kind] else x for x in columns))
        assert counts == wanted
        assert counts.successes.dtype == counts.multiplicity.dtype == np.int64


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            np.float16(3000),
            ValueError,
            f"successes = {np.float16(3000)!s} is a float above 2**11: ",
        ),
        (np.float16(np.inf), ValueError, "successes = inf is not a whole number"),
        (np.float16(-1), ValueError, f"successes = -1.0 {FITS}"),
        (
            np.float32(2**25),
            ValueError,
            f"successes = {np.float32(2**25)!s} is a float above 2**24: ",
        ),
        (-1e300, ValueError, "successes = -1e+300 must lie in"),
        (np.longdouble(2) ** 63, ValueError, "successes = 9.223372036854775808e+18 "),
        (np.longdouble("nan"), ValueError, f"successes = nan {MISSING}"),
        (np.array([1, 2**63], np.uint64), ValueError, f"successes[1] = {2**63} {FITS}"),
        (np.int8(-1), ValueError, f"successes = -1 {FITS}"),
        (np.array([1, 2**70], object), ValueError, f"successes[1] = {2**70} {FITS}"),
        (np.array([1, 2.0], object), TypeError, f"successes {WHOLE}"),
        (np.complex64(1), TypeError, f"successes {WHOLE}, not dtype complex64"),
        (np.datetime64("2020"), TypeError, f"successes {WHOLE}, not dtype datetime64[Y]"),
        (np.timedelta64(3, "s"), TypeError, f"successes {WHOLE}, not dtype timedelta64"),
        (np.void(b"abc"), TypeError, f"successes {WHOLE}, not dtype |V3"),
        (np.array(["1"]), TypeError, f"successes {WHOLE}, not dtype <U1; {QUOTED}"),
        ([1, [2, 3]], ValueError, "successes is not an array: "),
        (np.zeros((2, 2)), ValueError, "successes of shape (2, 2) must have at most one dimension"),
    ],
)
def test_numbers_of_a_type_that_cannot_hold_them(value, error, message):
    with np.errstate(all="raise"), pytest.raises(error) as caught:
        Counts(value, 10)
    assert str(caught.value).startswith(message)


def test_the_largest_whole_numbers_of_a_type():
    for kind, largest in (("e", 2**11), ("f", 2**24), ("d", 2**53), ("b", 127), ("B", 255)):
        assert Counts(1, np.array([largest], kind)).total_count == largest
    for kind in ("q", "Q"):
        assert Counts(1, np.array([2**63 - 1], kind)).total_count == 2**63 - 1


def test_a_matrix_has_two_dimensions():
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([1, 2])
    with pytest.raises(ValueError, match="must have at most one dimension"):
        Counts(matrix, 10)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (3, TypeError, "labels must be a sequence of labels, not int"),
        ([["a"], "b"], ValueError, "labels[0] = ['a'] is not a label"),
        ([("a", []), "b"], ValueError, "labels[0] = ('a', []) is not a label"),
        (np.array(3), TypeError, "labels must be a sequence of labels, not array(3)"),
    ],
)
def test_labels_that_are_none(labels, error, message):
    with pytest.raises(error) as caught:
        Counts.from_columns([1, 2], 3, labels=labels)
    assert str(caught.value) == message
    with pytest.raises(error) as caught:
        Counts.grouped([1, 2], 3, labels)
    assert str(caught.value) == message.replace("labels[", "groups[").replace(
        "labels m", "groups m"
    )


@pytest.mark.parametrize("power", [10, 31, 40, 61])
def test_totals_in_words_are_exact_beyond_int64(power):
    counts = Counts([2**power, 3], [2**power + 1, 7], multiplicity=[2 ** min(power, 60), 5])
    w = [int(x) for x in counts.multiplicity]
    k, n = (
        sum(a * int(b) for a, b in zip(w, x, strict=True))
        for x in (counts.successes, counts.total_count)
    )
    assert counts.summary() == f"{k} of {n} trials succeed, latents {sum(w)}"
