"""`elbo_ref.io.json_table`: the shapes of a table in JSON."""

import io
import json

import pytest
from tables import assert_same

import elbo_ref as er

NAMES = {"successes": "k", "total_count": "n"}
WANTED = er.Counts([3, 0], [10, 4])
SHAPES = {
    "columns": {"k": [3, 0], "n": [10, 4]},
    "within counts": {"counts": {"k": [3, 0], "n": [10, 4]}},
    "records": [{"k": 3, "n": 10}, {"n": 4, "k": 0}],
    "columns with an index": {"k": {"a": 3, "b": 0}, "n": {"a": 10, "b": 4}},
    "records with an index": {"a": {"k": 3, "n": 10}, "b": {"k": 0, "n": 4}},
    "split": {"columns": ["k", "n"], "index": [1, 2], "data": [[3, 10], [0, 4]]},
    "split without an index": {"columns": ["k", "n"], "data": [[3, 10], [0, 4]]},
    "table": {"schema": {"fields": []}, "data": [{"k": 3, "n": 10}, {"k": 0, "n": 4}]},
}


def read(document, **names):
    return er.read_counts(io.StringIO(json.dumps(document)), **(names or NAMES))


@pytest.mark.parametrize("document", SHAPES.values(), ids=SHAPES)
def test_each_shape_gives_the_same_counts(document):
    assert_same(read(document), WANTED)


@pytest.mark.parametrize("document", SHAPES.values(), ids=SHAPES)
def test_columns_are_known_by_their_names(document):
    with pytest.warns(UserWarning, match="known by their names"):
        assert_same(er.read_counts(io.StringIO(json.dumps(document))), WANTED)


def test_each_orientation_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"k": [3, 0], "n": [10, 4]}, index=["b", "a"])
    for orient in ("columns", "records", "index", "split", "table"):
        got = er.read_counts(io.StringIO(frame.to_json(orient=orient)), **NAMES)
        assert_same(got, WANTED)
    with pytest.raises(ValueError, match="write columns of one length, or records"):
        er.read_counts(io.StringIO(frame.to_json(orient="values")), **NAMES)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"k": {"a": 3}, "n": {"b": 10}}, "the column k is not a list: .*; write columns of one"),
        ({"k": 3, "n": [10]}, "the column k is not a list: 3; write columns of one length"),
        ([[3, 10]], r"record 0 is not an object: .*; write columns of one length, or records"),
        ([{"k": 3, "n": 10}, 4], "record 1 is not an object: 4; write columns"),
        ({"columns": ["k", "n"], "data": [[3, 10], [0]]}, r"data\[1\] has 1 cells where col"),
        ({"columns": ["k", "k"], "data": [[3, 10]]}, "the file repeats the column 'k'"),
        ({"columns": [["k", "x"], ["n", "x"]], "data": [[3, 10]]}, "columns is not a list"),
        ({"data": [[3, 10]]}, "columns is not a list of names: None; write columns of one"),
        ({"columns": ["k", "n"], "data": [[3, None]]}, r"n\[0\] = None is not a whole number"),
        ({"columns": [], "data": [[]]}, 'no column "k" of successes; its columns are none'),
    ],
)  # fmt: skip
def test_what_is_no_table(document, said):
    with pytest.raises(ValueError, match=said):
        read(document)


def test_columns_that_are_called_as_the_parts_of_another_shape():
    """A column data of counts is one, beside a column named columns."""
    document = {"columns": [3, 0], "data": [10, 4]}
    assert_same(read(document, successes="columns", total_count="data"), WANTED)
