"""`elbo_ref.mle.interval_arithmetic`: results of any operands lie inside, by exact fractions."""

import operator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from elbo_ref.mle.interval_arithmetic import Enclosure
from tiers import few

NUMBER = st.floats(-1e30, 1e30).filter(lambda x: x == 0 or abs(x) > 1e-30)
PAIR = st.tuples(NUMBER, NUMBER).map(sorted)
SHARE = st.fractions(0, 1, max_denominator=8)


def enclosure(ends):
    return Enclosure(np.array([ends[0]]), np.array([ends[1]]))


def inside(ends, share):
    low, high = map(Fraction, ends)
    return low + share * (high - low)


def holds(found, truth):
    return Fraction(float(found.low[0])) <= truth <= Fraction(float(found.high[0]))


@pytest.mark.parametrize("operation", few([operator.mul, operator.add, operator.sub]))
@settings(max_examples=60)
@given(PAIR, PAIR, SHARE, SHARE)
def test_operations_contain_every_result(operation, one, other, first, second):
    found = operation(enclosure(one), enclosure(other))
    assert holds(found, operation(inside(one, first), inside(other, second)))


@settings(max_examples=60)
@given(PAIR, NUMBER, SHARE)
def test_with_floats_squares_and_quotients(ends, number, share):
    x = inside(ends, share)
    assert holds(enclosure(ends) * number, x * Fraction(number))
    assert holds(enclosure(ends) + number, x + Fraction(number))
    assert holds(number - enclosure(ends), Fraction(number) - x)
    assert holds(enclosure(ends).square(), x * x)
    positive = [abs(end) + 1 for end in sorted(ends, key=abs)]
    assert holds(enclosure(ends) / enclosure(positive), x / inside(positive, share))


@settings(max_examples=30)
@given(st.lists(st.tuples(PAIR, st.integers(0, 10**6)), min_size=1, max_size=20), SHARE)
def test_sums_contain_every_result(rows, share):
    low, high = (np.array([ends[i] for ends, _ in rows]) for i in (0, 1))
    found = Enclosure(low, high).total(np.array([float(w) for _, w in rows]))
    truth = sum(w * inside(ends, share) for ends, w in rows)
    assert Fraction(float(found.low)) <= truth <= Fraction(float(found.high))


def test_without_room_for_rounding_a_result_is_missed():
    """Negative control: the product of two floats, rounded, is not the product."""
    x = np.array([1 / 3])
    assert not holds(Enclosure(x * x, x * x), Fraction(1 / 3) ** 2)
    assert holds(Enclosure.exact(x) * Enclosure.exact(x), Fraction(1 / 3) ** 2)


def test_middle_radius_and_size():
    one = Enclosure(np.array([-3.0, 1.0]), np.array([1.0, 4.0]))
    np.testing.assert_array_equal(one.middle, [-1.0, 2.5])
    np.testing.assert_allclose(one.radius, [2.0, 1.5], rtol=1e-15)
    assert (one.radius >= [2.0, 1.5]).all()
    np.testing.assert_array_equal(one.size, [3.0, 4.0])
    assert one.meet(Enclosure.exact(np.array([0.5, 2.0]))).radius.tolist() == [0.0, 0.0]
    assert not one.positive
    assert Enclosure(np.zeros(1), np.ones(1)).positive


def test_a_function_has_room_for_its_rounding():
    """Eight units in the last place to either side."""
    for found in (
        Enclosure.exact(np.ones(1)).falling(lambda x: 1 / x),
        Enclosure.exact(np.ones(1)).rising(np.sqrt),
    ):
        assert (found.high - found.low)[0] == pytest.approx(2 * 2.0**-49, rel=0.1, abs=0)


SIGNS = [(-3.0, -2.0), (-3.0, 5.0), (2.0, 7.0), (0.0, 4.0), (-4.0, 0.0), (0.0, 0.0)]


@pytest.mark.parametrize("one", SIGNS)
@pytest.mark.parametrize("other", SIGNS)
def test_products_are_no_wider_than_they_have_to_be(one, other):
    """The least and the greatest of the four products of ends, and a unit in the last place."""
    ends = [x * y for x in one for y in other]
    found = enclosure(one) * enclosure(other)
    ulp = 2.0**-52
    assert found.low[0] == pytest.approx(min(ends), rel=2 * ulp, abs=0)
    assert found.high[0] == pytest.approx(max(ends), rel=2 * ulp, abs=0)
    assert found.low[0] <= min(ends) - ulp / 2 * abs(min(ends))
    assert found.high[0] >= max(ends) + ulp / 2 * abs(max(ends))


@pytest.mark.parametrize("ends", SIGNS)
def test_squares_sums_and_products_with_a_number(ends):
    """As wide as the values that are taken, each end with a unit in the last place."""
    x, ulp = enclosure(ends), 2.0**-52
    taken = [y * y for y in (*ends, *([0.0] if ends[0] <= 0 <= ends[1] else []))]
    for found, low, high in (
        (x.square(), min(taken), max(taken)),
        (x + 10.0, ends[0] + 10, ends[1] + 10),
        (x * -3.0, -3 * ends[1], -3 * ends[0]),
        (x + enclosure((1.0, 2.0)), ends[0] + 1, ends[1] + 2),
        (x - enclosure((1.0, 2.0)), ends[0] - 2, ends[1] - 1),
        (1.0 - x, 1 - ends[1], 1 - ends[0]),
    ):
        assert found.low[0] == pytest.approx(low, rel=2 * ulp, abs=0)
        assert found.high[0] == pytest.approx(high, rel=2 * ulp, abs=0)
        assert found.low[0] <= low - ulp / 2 * abs(low)
        assert found.high[0] >= high + ulp / 2 * abs(high)


def test_a_sum_has_room_for_the_rounding_of_its_terms():
    """2^-46 of the sum of their sizes, to either side."""
    x = Enclosure(np.array([1.0, -5.0]), np.array([2.0, 3.0]))
    found, weight = x.total(np.array([2.0, 4.0])), 2.0**-46 * (4 + 20)
    assert (found.low, found.high) == (-18.0 - weight, 16.0 + weight)
    rows = Enclosure(np.ones((3, 2)), np.ones((3, 2))).total(np.array([1.0, 2.0]))
    assert rows.low.shape == (3,)


def test_positive_is_of_all_numbers():
    two = Enclosure(np.array([0.0, -1e-300]), np.array([1.0, 1.0]))
    assert not two.positive and Enclosure(np.array([0.0, 2.0]), np.array([1.0, 2.0])).positive
    assert not Enclosure(np.zeros(0), np.zeros(0)).positive
    mixed = two * Enclosure(np.array([2.0, 3.0]), np.array([4.0, 5.0]))
    np.testing.assert_allclose([mixed.low, mixed.high], [[0.0, -5e-300], [4.0, 5.0]], rtol=1e-15)
