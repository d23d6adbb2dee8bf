"""`elbo_ref.counts.rows`: labelled arrays are not paired by position."""

import numpy as np
import pytest

import elbo_ref as er

LEFT, RIGHT = ["a", "b", "c"], ["c", "b", "a"]


def series(values, index):
    return pytest.importorskip("pandas").Series(values, index=index)


def data_array(values, index):
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(values, dims="ward", coords={"ward": index})


KINDS = pytest.mark.parametrize(
    "labelled", [series, pytest.param(data_array, marks=pytest.mark.thorough)]
)


@KINDS
def test_different_indexes_are_refused_by_name(labelled):
    k, n = labelled([1, 2, 3], LEFT), labelled([4, 5, 6], RIGHT)
    with pytest.raises(ValueError, match="successes and total_count have different indexes"):
        er.Counts(k, n)
    with pytest.raises(ValueError, match="successes and multiplicity have different indexes"):
        er.Counts(k, 9, multiplicity=n)
    with pytest.raises(ValueError, match="total_count and groups have different indexes"):
        er.Counts.grouped(k, labelled([4, 5, 6], LEFT), n)


@KINDS
def test_equal_indexes_and_plain_arrays_are_paired(labelled):
    k, n = labelled([1, 2, 3], LEFT), labelled([4, 5, 6], LEFT)
    wanted = er.Counts([1, 2, 3], [4, 5, 6])
    for total_count in (n, [4, 5, 6], np.array([4, 5, 6]), (4, 5, 6)):
        assert er.Counts(k, total_count) == wanted
    assert er.Counts(k, labelled([4, 5, 6], RIGHT).to_numpy()) == wanted
