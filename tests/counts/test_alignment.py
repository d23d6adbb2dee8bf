"""Labelled arrays beside counts: paired by their labels, refused, and never by position."""

import numpy as np
import pytest

import elbo_ref as er
from engines import library

K, N = [3, 0, 1], [10, 4, 5]
GROUPS = ["x", "y", "x"]


@pytest.fixture
def series():
    pd = library("pandas")
    return lambda values, index="abc": pd.Series(values, index=list(index))


def assert_refused(call, *words):
    with pytest.raises(ValueError) as caught:
        call()
    assert all(word in str(caught.value) for word in ("by position", *words)), caught.value


PAIRS = {
    "Counts": lambda a, b: er.Counts(a(K), b(N)),
    "multiplicity": lambda a, b: er.Counts(K, a(N), b([1, 2, 3])),
    "shared": lambda a, b: er.Counts.shared(a(K), b(N)),
    "grouped": lambda a, b: er.Counts.grouped(a(K), N, b(GROUPS)),
    "pooled": lambda a, b: er.Counts(a(K), a(N)).pooled(b(GROUPS)),
    "pooled, trials": lambda a, b: er.Counts(K, a(N)).pooled(b(GROUPS)),
    "labels": lambda a, b: er.Counts.from_columns(a(K), a(N), labels=b([*"uvw"])),
    "log_split": lambda a, b: er.Counts.from_columns(a(K), a(N), log_split=b([0.0] * 3)),
    "by": lambda a, b: er.estimate(er.Counts(a(K), a(N)), by=b(GROUPS)),
    "Beta": lambda a, b: er.Beta(a([1.0, 2.0, 3.0]), b([2.0] * 3)),
    "LogitNormal": lambda a, b: er.LogitNormal(a([1.0, 2.0, 3.0]), b([2.0] * 3)),
    "conjugate_update": lambda a, b: er.Beta(1.0, 1.0).conjugate_update(a(K), b(N)),
    "logit": lambda a, b: er.pathwise_gradient(a([0.1, 0.2, 0.3]), b([2.0] * 3), 1.0),
    "draw": lambda a, b: er.pathwise_gradient_of_draw(0.5, a([0.1, 0.2, 0.3]), b([2.0] * 3)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_series_with_other_indexes_are_refused_wherever_two_are_paired(pair, series):
    PAIRS[pair](series, series)
    PAIRS[pair](series, list)
    for index in ("bca", "abd"):
        assert_refused(lambda other=index: PAIRS[pair](series, lambda x: series(x, other)))


@pytest.mark.parametrize("pair", PAIRS)
def test_arrays_of_xarray_are_refused_too(pair):
    xarray = library("xarray")

    def along(dim, labels=None):
        coords = None if labels is None else {dim: list(labels)}
        return lambda values: xarray.DataArray(np.array(values), dims=dim, coords=coords)

    PAIRS[pair](along("p"), along("p"))
    PAIRS[pair](along("p", "abc"), along("p", "abc"))
    assert_refused(lambda: PAIRS[pair](along("p", "abc"), along("p", "bca")))
    assert_refused(lambda: PAIRS[pair](along("p", "abc"), along("q", "abc")))


def test_dimensions_without_labels_are_dimensions():
    xarray = library("xarray")
    k, n = (xarray.DataArray([1, 2], dims=dim) for dim in "pq")
    assert_refused(lambda: er.Counts(k, n), "successes and total_count", "'p' and 'q'")
    rows = xarray.DataArray(np.ones((2, 2)), dims=["p", "q"])
    assert_refused(lambda: er.Beta(rows, rows.transpose("q", "p")), "'p', 'q' and 'q', 'p'")


def test_frames_of_concentrations_have_their_columns_in_one_order():
    pd = library("pandas")
    frame = pd.DataFrame([[1.0, 2.0]], columns=["u", "v"])
    assert er.Beta(frame, frame).shape == (1, 2)
    assert_refused(lambda: er.Beta(frame, frame[["v", "u"]]))


def test_groups_of_a_series_are_those_of_its_labels(series):
    """Where counts have labels, an index of these says which entry a value is for."""
    counts = er.Counts.grouped(K, N, ["b", "a", "c"])
    got = counts.pooled(series(["y", "x", "x"]))
    assert (got.labels, got.successes.tolist()) == (("x", "y"), [4, 0])
    assert got.total_count.tolist() == [15, 4]
    found = er.estimate(counts, by=series(["y", "x", "x"]))
    assert found.posteriors.names == ("x", "y")
    assert_refused(lambda: counts.pooled(series(["y", "x", "x"], "abd")), "groups")
    library("narwhals")
    frame = library("pandas").DataFrame({"k": K, "n": N, "g": ["b", "a", "c"]})
    of_frame = er.Counts.from_frame(frame, successes="k", total_count="n", group="g")
    assert of_frame.pooled(series(["y", "x", "x"])).successes.tolist() == [0, 4]
    assert_refused(lambda: of_frame.pooled(frame.g), "group=COLUMN")
    assert of_frame.pooled([label > "a" for label in of_frame.labels]).successes.tolist() == [0, 4]


def test_numbers_of_rows_are_not_taken_for_labels():
    """Labels that are numbers, in another order than a plain index: it may mean either."""
    pd = library("pandas")
    plain = pd.Series(["x", "y", "z"])
    assert_refused(lambda: er.Counts.grouped(K, N, [2, 0, 1]).pooled(plain))
    assert er.Counts.grouped(K, N, [0, 1, 2]).pooled(plain).successes.tolist() == K
    assert er.Counts.grouped(K, N, [*"uvw"]).pooled(plain).successes.tolist() == K
    assert er.Counts(K, N).pooled(plain).successes.tolist() == K
