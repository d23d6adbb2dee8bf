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
