"""Rows without a value, as each program writes them: refused with advice, or left out."""

import io
import json
import math

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.io.counts_file import read
from elbo_ref.io.layout import Layout

HOW = {"successes": "k", "total_count": "n"}
WANTED = er.Counts([3, 1], [10, 5])


def packed(**columns):
    file = io.BytesIO()
    np.savez(file, **columns)
    return file.getvalue()


FILES = {
    "Polars": b"k,n\n3.0,10\nNaN,4\n1.0,5\n",
    "Python's csv": b"k,n\r\n3.0,10\r\nnan,4\r\n1.0,5\r\n",
    "R": b'"k","n"\n3,10\nNA,4\n1,5\n',
    "pandas": b"k,n\n3.0,10\n,4\n1.0,5\n",
    "json of Python": json.dumps({"k": [3.0, math.nan, 1.0], "n": [10, 4, 5]}).encode(),
    "records": json.dumps([{"k": 3, "n": 10}, {"k": math.nan, "n": 4}, {"k": 1, "n": 5}]).encode(),
    "jsonlite": b'[{"k":3,"n":10},{"k":"NA","n":4},{"k":1,"n":5}]',
    "jsonlite, NaN": b'[{"k":3,"n":10},{"k":"NaN","n":4},{"k":1,"n":5}]',
    "pandas, json": b'{"k":[3,null,1],"n":[10,4,5]}',
    "npz": packed(k=np.array([3, np.nan, 1]), n=np.array([10, 4, 5])),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_a_count_without_a_value_is_refused_with_advice_or_dropped(data):
    with pytest.raises(er.io.counts_file.DataError, match=r'; add na="drop"$'):
        er.read_counts(io.BytesIO(data), **HOW)
    found = read(io.BytesIO(data), Layout(**HOW, na="drop"))
    assert found.counts == WANTED
    assert (found.source.rows, found.source.dropped) == (2, 1)
    counts = er.read_counts(io.BytesIO(data), **HOW, na="drop")
    assert counts.dropped == 1 and "1 row without a value left out" in str(er.estimate(counts))


@pytest.mark.parametrize(
    "data",
    [
        b'{"y": [1, NaN, 0]}',
        b'{"y": [true, "NA", false]}',
        b"y\n1\nNaN\n0\n",
        packed(y=np.array([1.0, np.nan, 0.0])),
    ],
)
def test_an_outcome_without_a_value(data):
    with pytest.raises(ValueError, match=r'add na="drop"$'):
        er.read_counts(io.BytesIO(data), outcome="y")
    assert er.read_counts(io.BytesIO(data), outcome="y", na="drop").num_latents == 2


@pytest.mark.parametrize(
    "data",
    [
        b'{"p": [0.5, NaN], "n": [2, 4]}',
        b"p,n\n0.5,2\nnan,4\n",
        packed(p=np.array([0.5, np.nan]), n=np.array([2, 4])),
    ],
)
def test_a_proportion_without_a_value(data):
    how = {"proportion": "p", "total_count": "n"}
    with pytest.raises(ValueError, match=r'add na="drop"$'):
        er.read_counts(io.BytesIO(data), **how)
    assert er.read_counts(io.BytesIO(data), **how, na="drop") == er.Counts(1, 2)


def test_a_label_may_read_as_a_number_that_is_none():
    """In a text and in JSON a group may be called nan; NaN itself is no label."""
    how = {**HOW, "group": "g"}
    for data in (b"g,k,n\nnan,3,10\nb,1,5\n", b'{"g": ["nan", "b"], "k": [3, 1], "n": [10, 5]}'):
        got = er.read_counts(io.BytesIO(data), **how, na="drop")
        assert got.labels == ("nan", "b")
    bare = b'{"g": [NaN, 2], "k": [3, 1], "n": [10, 5]}'
    for data in (bare, packed(g=np.array([np.nan, 2]), k=np.array([3, 1]), n=np.array([10, 5]))):
        with pytest.raises(ValueError, match=r'g\[0\] = [Nn]a[Nn] is not a label; add na="drop"'):
            er.read_counts(io.BytesIO(data), **how)
        assert er.read_counts(io.BytesIO(data), **how, na="drop").labels == (2,)
