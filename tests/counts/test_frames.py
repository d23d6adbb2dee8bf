"""`elbo_ref.counts.frames`: one call, every kind of frame, the same counts or the same refusal."""

import datetime
import math
import warnings
from collections import Counter
from decimal import Decimal

import numpy as np
import pytest

import elbo_ref as er
from engines import EACH, of_pandas, of_pyarrow

pytest.importorskip("narwhals")

BIG = 2**62 + 1
MISSING = {"NULL": None, "NaN": math.nan}
NULLABLE = ("of_nullable_pandas", "of_pandas_arrow", "of_dask", "of_dask_cluster")
NAMES = ("successes", "total_count", "multiplicity", "log_split")


def assert_identical(got, wanted):
    """The same bits, types and labels."""
    for name in NAMES:
        assert getattr(got, name).dtype == getattr(wanted, name).dtype
        assert getattr(got, name).tobytes() == getattr(wanted, name).tobytes(), (name, got, wanted)
    assert got.labels == wanted.labels
    assert list(map(type, got.labels or ())) == list(map(type, wanted.labels or ()))


def slow_counts(k, n, w, labels=None):
    """A twin, row by row."""
    times = Counter()
    for row in zip(labels or [0] * len(k), n, k, w, strict=True):
        times[row[:3]] += row[3]
    rows = sorted(times)
    found, n, k = (list(column) for column in zip(*rows, strict=True))
    counts = er.Counts(k, n, [times[row] for row in rows])
    return counts if labels is None else counts.pooled(found)


def table(seed, size=60):
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 5, size)
    k = rng.binomial(n, 0.4)
    columns = {
        "k": k,
        "n": n,
        "f": n - k,
        "y": rng.integers(0, 2, size),
        "w": rng.integers(0, 4, size),
        "ward": np.array(["north", "süd", "a b", "Z"])[rng.integers(0, 4, size)],
        "site": rng.integers(-3, 3, size),
    }
    return {name: column.tolist() for name, column in columns.items()}


LAYOUTS = {
    "trials": {"successes": "k", "total_count": "n"},
    "failures": {"successes": "k", "failures": "f"},
    "failures of trials": {"failures": "f", "total_count": "n"},
    "all three": {"successes": "k", "failures": "f", "total_count": "n"},
    "outcome": {"outcome": "y"},
}
GROUPS = {
    "rows": {},
    "text": {"group": "ward"},
    "numbers": {"group": "site"},
    "weighted": {"multiplicity": "w"},
    "both": {"group": "ward", "multiplicity": "w"},
}


CASES = [
    *((layout, GROUPS["rows"]) for layout in LAYOUTS.values()),
    *((LAYOUTS["outcome"], group) for group in GROUPS.values()),
    (LAYOUTS["failures"], GROUPS["both"]),
]


@EACH
def test_every_layout_gives_the_counts_of_a_loop(engine):
    for seed, (layout, group) in enumerate(CASES):
        columns = table(seed)
        k, n = columns["k"], columns["n"]
        if "outcome" in layout:
            k, n = columns["y"], [1] * len(k)
        labels = columns[group["group"]] if "group" in group else None
        w = columns["w"] if "multiplicity" in group else [1] * len(k)
        got = er.Counts.from_frame(engine(columns), **layout, **group)
        assert_identical(got, slow_counts(k, n, w, labels))


@EACH
@pytest.mark.parametrize("change", [float, np.float32, np.int16, np.uint8, Decimal, bool])
def test_whole_numbers_of_any_type(engine, change):
    """A float, a decimal, a narrow integer; a truth value for an outcome."""
    columns = {name: list(map(change, table(3)[name])) for name in ("k", "n", "y")}
    if change is Decimal and engine.__name__ in ("of_dask", "of_dask_cluster"):
        pytest.skip("Dask makes text of them")
    if isinstance(change(1), np.generic):
        columns = {name: np.array(column) for name, column in columns.items()}
        if engine.__name__ == "of_spark":
            columns = {name: column.tolist() for name, column in columns.items()}
    plain = table(3)
    if change is not bool:
        got = er.Counts.from_frame(engine(columns), successes="k", total_count="n")
        assert_identical(got, slow_counts(plain["k"], plain["n"], [1] * 60))
    got = er.Counts.from_frame(engine(columns), outcome="y")
    assert_identical(got, slow_counts(plain["y"], [1] * 60, [1] * 60))


@EACH
def test_counts_above_2_to_the_53_keep_every_digit(engine):
    columns = {"k": [BIG, 3, None], "n": [BIG + 1, 5, None]}
    if engine.__name__ in ("of_pandas", "of_xarray", *NULLABLE):
        columns = {"k": [BIG, 3], "n": [BIG + 1, 5]}  # None would make floats of them
    got = er.Counts.from_frame(engine(columns), successes="k", total_count="n", na="drop")
    assert_identical(got, er.Counts([3, BIG], [5, BIG + 1]))


@pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]"])
def test_nullable_numbers_of_pandas_keep_every_digit(dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    frame = of_pandas({"k": [BIG, 3], "n": [BIG + 1, 5]}).astype(dtype).reindex([0, 1, 2])
    got = er.Counts.from_frame(frame, successes="k", total_count="n", na="drop")
    assert_identical(got, er.Counts([3, BIG], [5, BIG + 1]))


@EACH
def test_every_row_keeps_its_level(engine):
    columns = table(8)
    how = {"successes": "k", "total_count": "n", "by": "ward"}
    got = er.Counts.from_frame(engine(columns), **how)
    found = Counter(
        dict(
            zip(
                zip(got.by.levels, got.total_count, got.successes, strict=True),
                got.multiplicity,
                strict=True,
            )
        )
    )
    assert found == Counter(zip(columns["ward"], columns["n"], columns["k"], strict=True))


LABELS = {
    "text": ["b", "a", "b"],
    "int": [10, 9, 10],
    "bool": [True, False, True],
    "float": [2.5, -1.0, 2.5],
    "date": [datetime.date(2026, 1, 2), datetime.date(2025, 1, 2), datetime.date(2026, 1, 2)],
}


@EACH
@pytest.mark.parametrize("kind", LABELS)
def test_labels_keep_their_type(engine, kind):
    if kind == "date" and "dask" in engine.__name__:
        pytest.skip("Dask makes text of them")
    labels = LABELS[kind]
    frame = engine({"k": [1, 0, 2], "n": [3, 3, 3], "site": labels})
    got = er.Counts.from_frame(frame, successes="k", total_count="n", group="site")
    assert_identical(got, slow_counts([1, 0, 2], [3, 3, 3], [1, 1, 1], labels))


@EACH
@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("place", ["k", "n", "w"])
def test_what_is_missing_is_refused_or_dropped(engine, kind, place):
    columns = {"k": [1.0, 2.0, 1.0], "n": [3.0, 3.0, 3.0], "w": [2.0, 1.0, 1.0]}
    columns = {**columns, place: [*columns[place][:2], MISSING[kind]]}
    names = {"successes": "k", "total_count": "n", "multiplicity": "w"}
    with pytest.raises(ValueError) as caught:
        er.Counts.from_frame(engine(columns), **names)
    assert str(caught.value) == f'column "{place}" has no value in 1 of 3 rows; add na="drop"'
    got = er.Counts.from_frame(engine(columns), **names, na="drop")
    assert_identical(got, er.Counts([1, 2], [3, 3], [2, 1]))
    assert got.dropped == 1 and "latents 3, 1 row without a value left out" in str(got.table())


@EACH
def test_a_missing_label_is_refused_or_dropped(engine):
    frame = engine({"k": [1, 2, 1], "n": [3, 3, 3], "ward": ["a", None, "b"]})
    names = {"successes": "k", "total_count": "n", "group": "ward"}
    with pytest.raises(
        ValueError, match='column "ward" has no value in 1 of 3 rows; add na="drop"'
    ):
        er.Counts.from_frame(frame, **names)
    assert er.Counts.from_frame(frame, **names, na="drop").labels == ("a", "b")


TRIALS, FAILURES = LAYOUTS["trials"], LAYOUTS["failures"]
REFUSED = {
    "not whole": (
        {"k": [2.5, 1.0, 2.5, 7.25], "n": [9] * 4},
        TRIALS,
        'column "k" is not a whole number in 3 of 4 rows: 2.5; mend or leave out such rows first',
    ),
    "proportion": (
        {"k": [0.5, 1.0, 0.25], "n": [4] * 3},
        TRIALS,
        'column "k" is not a whole number in 2 of 3 rows: 0.25; if it is one of the trials, '
        'add proportion="k"',
    ),
    "infinite": (
        {"k": [1.0, math.inf], "n": [4] * 2},
        TRIALS,
        'column "k" is not a whole number in 1 of 2 rows: inf; mend or leave out such rows first',
    ),
    "decimal": (
        {"k": [Decimal("2.50"), Decimal("1.00")], "n": [4] * 2},
        TRIALS,
        'column "k" is not a whole number in 1 of 2 rows: 2.5; mend or leave out such rows first',
    ),
    "negative": (
        {"k": [-1, 2, -3], "n": [4] * 3},
        TRIALS,
        'column "k" is negative in 2 of 3 rows: -3; mend or leave out such rows first',
    ),
    "negative trials": (
        {"k": [1, 2], "n": [-4.0, 4.0]},
        TRIALS,
        'column "n" is negative in 1 of 2 rows: -4; mend or leave out such rows first',
    ),
    "text": (
        {"k": ["3", "x"], "n": [4] * 2},
        TRIALS,
        'column "k" is text in 2 of 2 rows: "3"; make it a column of numbers first',
    ),
    "truth": (
        {"k": [True, False], "n": [4] * 2},
        TRIALS,
        'column "k" is a truth value in 2 of 2 rows: False; if a row is one trial, add outcome="k"',
    ),
    "dates": (
        {"k": [datetime.date(2026, 1, 2)], "n": [4]},
        TRIALS,
        'column "k" is no number in 1 of 1 rows: 2026-01-02; make it a column of numbers first',
    ),
    "too many": (
        {"k": [5, 3, 7, 4], "n": [4] * 4},
        TRIALS,
        'column "k" exceeds "n" in 2 of 4 rows: 5 of 4; if "n" are failures, add failures="n"',
    ),
    "too many failures": (
        {"f": [5, 3], "n": [4] * 2},
        LAYOUTS["failures of trials"],
        'column "f" exceeds "n" in 1 of 2 rows: 5 of 4; if "n" are successes, add successes="n"',
    ),
    "rounded": (
        {"k": [1.0, 2.0**54], "n": [2.0**54] * 2},
        TRIALS,
        'column "k" is a float that may have been rounded in 1 of 2 rows: 18014398509481984; '
        "keep it as integers",
    ),
    "sum": (
        {"k": [2**62, 1], "f": [2**62, 1]},
        FAILURES,
        'column "f" makes trials that are not below 2**63',
    ),
    "multiplicity": (
        {"k": [1, 1], "n": [2, 2], "multiplicity": [BIG, BIG]},
        TRIALS,
        'column "multiplicity" has a sum that does not fit into 63 bits',
    ),
    "no flag": (
        {"y": [0, 1, 2, 3, 2]},
        LAYOUTS["outcome"],
        'column "y" is neither 0 nor 1 in 3 of 5 rows: 2; if these are counts, add '
        'successes="y", total_count="COLUMN"',
    ),
    "no column": (
        {"hits": [1], "n": [2]},
        TRIALS,
        'the frame has no column "k" of successes; its columns are "hits", "n"',
    ),
    "no guess": (
        {"a": [1], "b": [2]},
        {},
        "the frame does not say which column is successes and which total_count, or the outcome "
        "of one trial; its columns are "
        '"a", "b"; add successes="COLUMN", total_count="COLUMN"',
    ),
    "two guesses": (
        {"k": [1], "n": [2], "hits": [1], "at_bats": [2]},
        {},
        'the frame has several columns that may be the counts: successes="k", total_count="n" or '
        'successes="hits", total_count="at_bats"; add successes="k", total_count="n"',
    ),
    "one trial": (
        {"ward": ["a"], "hit": [1]},
        {},
        "the frame does not say which column is successes and which total_count, or the outcome "
        'of one trial; its columns are "ward", "hit"; if a row is one trial, add outcome="hit"',
    ),
    "three that disagree": (
        {"hits": [1, 2, 1], "misses": [2, 2, 2], "at_bats": [3, 5, 4]},
        {"successes": "hits", "failures": "misses", "total_count": "at_bats"},
        'column "hits" and "misses" are not "at_bats" together in 2 of 3 rows: 1 and 2 of 4; '
        'if "at_bats" are something else, add successes="hits", failures="misses"',
    ),
    "no rows": (
        {"k": [None, None], "n": [1, 1]},
        {**TRIALS, "na": "drop"},
        "the frame has no row of counts: 2 without a value are dropped",
    ),
}


@EACH
@pytest.mark.parametrize("kind", REFUSED)
def test_each_refusal_is_the_same_for_every_frame(engine, kind):
    columns, names, message = REFUSED[kind]
    if kind in ("decimal", "dates") and "dask" in engine.__name__:
        pytest.skip("Dask makes text of them")
    if kind == "dates" and engine.__name__ == "of_xarray":
        pytest.skip("it holds objects or times with nanoseconds")
    if kind == "no rows" and engine.__name__ == "of_spark":
        pytest.skip("it takes no column without a value")
    if kind == "rounded" and engine.__name__ in NULLABLE:
        pytest.skip("they make whole numbers of them")
    with pytest.raises(ValueError) as caught:
        er.Counts.from_frame(engine(columns), **names)
    assert str(caught.value).replace('columns are "index", ', "columns are ") == message  # xarray's


@EACH
def test_an_empty_frame_is_refused(engine):
    if engine.__name__ == "of_spark":
        pytest.skip("it takes no table without rows")
    columns = {"k": np.zeros(0, np.int64), "n": np.zeros(0, np.int64)}
    with pytest.raises(ValueError, match="the frame has no row of counts"):
        er.Counts.from_frame(engine(columns), successes="k", total_count="n")


@pytest.mark.parametrize(
    ("proportions", "trials", "wanted"),
    [
        ([0.3, 0.0, 1.0, 0.5], [10, 7, 5, 2], [3, 0, 5, 1]),
        ([0.346, 0.298, 0.222], [26, 47, 45], [9, 14, 10]),
        ([1 / 3, 2 / 3, 1 / 7, 0.5], [3, 9, 7, 1000], [1, 6, 1, 500]),
        ([0, 1], [5, 5], [0, 5]),
        ([Decimal("0.40"), Decimal("1")], [5, 5], [2, 5]),
        (np.array([0.346, 0.298], np.float32), [26, 47], [9, 14]),
    ],
)
def test_proportions_are_those_of_the_trials(proportions, trials, wanted):
    """Rounded or not: 9 of 26 is 0.346."""
    frame = of_pyarrow({"p": proportions, "n": trials})
    got = er.Counts.from_frame(frame, proportion="p", total_count="n")
    assert_identical(got, slow_counts(wanted, trials, [1] * len(trials)))


@pytest.mark.parametrize(
    ("proportion", "trials", "flaw"),
    [
        (0.31, 10, "0.31 of 10 would be 3.1 successes"),
        (0.5, 7, "0.5 of 7 would be 3.5 successes"),
        (0.35, 1000, "0.35 of 1000 has too few decimals to tell the successes"),
    ],
)
def test_other_proportions_are_refused(proportion, trials, flaw):
    frame = of_pyarrow({"p": [proportion, 0.0], "n": [trials, 1]})
    with pytest.raises(ValueError) as caught:
        er.Counts.from_frame(frame, proportion="p", total_count="n")
    rule = "hand in the successes themselves, or more decimals"
    assert str(caught.value) == f'column "p" is no proportion of its trials: {flaw}; {rule}'


@pytest.mark.parametrize(
    ("values", "flaw"),
    [
        (
            [1.5, 0.5, -0.5],
            "is not in [0, 1] in 2 of 3 rows: -0.5; mend or leave out such rows first",
        ),
        (
            [math.inf, 0.5],
            "is not in [0, 1] in 1 of 2 rows: inf; mend or leave out such rows first",
        ),
        (["50%"], 'is text in 1 of 1 rows: "50%"; make it a column of numbers first'),
        ([True], "is a truth value in 1 of 1 rows: True; make it a column of numbers first"),
    ],
)
def test_what_is_no_proportion_is_refused(values, flaw):
    frame = of_pyarrow({"p": values, "n": [10] * len(values)})
    with pytest.raises(ValueError) as caught:
        er.Counts.from_frame(frame, proportion="p", total_count="n")
    assert str(caught.value) == f'column "p" {flaw}'


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("k", "n"), 'successes="k", total_count="n"'),
        (("At Bats", "Hits"), 'successes="Hits", total_count="At Bats"'),
        (("successes", "trials"), 'successes="successes", total_count="trials"'),
        (("conversions", "visitors"), 'successes="conversions", total_count="visitors"'),
        (("y", "n"), 'successes="y", total_count="n"'),
        (("wins", "losses"), 'successes="wins", failures="losses"'),
        (
            ("hits", "misses", "at_bats"),
            'successes="hits", total_count="at_bats", failures="misses"',
        ),
        (
            ("successes", "failures", "n"),
            'successes="successes", failures="failures", total_count="n"',
        ),
    ],
)
def test_names_are_guessed_and_said(names, said):
    columns = {"ward": ["a", "b"], **{name: [1, 1] for name in names}}
    if len(names) == 3:
        columns[names[2]] = [2, 2]
    with pytest.warns(UserWarning, match="columns known by their names") as caught:
        counts = er.Counts.from_frame(of_pyarrow(columns))
    assert str(caught[0].message).endswith(f": {said}")
    assert caught[0].filename == __file__
    assert counts.num_latents == 2


@pytest.mark.parametrize("names", [("successes", "total_count"), ("successes", "failures")])
def test_names_of_the_arguments_need_no_word(names):
    columns = {**{name: [1, 1] for name in names}, "k": [9, 9], "made": [9, 9]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(er.Counts.from_frame(of_pyarrow(columns))) == 1


def test_trials_are_not_passed_over():
    """Three columns that agree are the counts, and three that do not are refused."""
    frame = of_pyarrow({"successes": [1, 0], "failures": [2, 5], "n": [3, 5]})
    with pytest.warns(UserWarning, match='total_count="n"$'):
        assert er.Counts.from_frame(frame) == er.Counts([1, 0], [3, 5])
    frame = of_pyarrow({"successes": [1, 0], "failures": [2, 5], "n": [9, 5]})
    said = r'are not "n" together in 1 of 2 rows: 1 and 2 of 9; if'
    with pytest.warns(UserWarning, match="known by"), pytest.raises(ValueError, match=said):
        er.Counts.from_frame(frame)
    chosen = {"successes": "successes", "failures": "failures"}
    assert er.Counts.from_frame(frame, **chosen) == er.Counts([1, 0], [3, 5])
    three = {name: [2, 2] for name in ("successes", "failures")} | {"total_count": [4, 4]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert er.Counts.from_frame(of_pyarrow(three)) == er.Counts(2, 4, 2)


def test_half_a_layout_is_completed():
    frame = of_pyarrow({"good": [1, 2], "trials": [3, 3]})
    with pytest.warns(UserWarning, match='names: total_count="trials"$'):
        assert_identical(er.Counts.from_frame(frame, successes="good"), er.Counts([1, 2], 3))


@pytest.mark.parametrize(
    "names",
    [
        {"successes": "k", "outcome": "y"},
        {"proportion": "k", "failures": "f", "total_count": "n"},
        {"successes": "k", "total_count": "k"},
        {"successes": 3},
        {"group": ["ward"]},
        {"successes": "k", "total_count": "n", "na": "skip"},
    ],
    ids=str,
)
def test_wrong_arguments_are_named(names):
    with pytest.raises((TypeError, ValueError)) as caught:
        er.Counts.from_frame(of_pyarrow(table(0)), **names)
    assert any(name in str(caught.value) for name in names)


@pytest.mark.parametrize("value", [None, 3, "counts.csv", [[1, 2]], {"k": [1]}, np.ones((2, 2))])
def test_what_is_no_frame_is_named(value):
    with pytest.raises(TypeError, match=r"frame must be a data frame of pandas, Polars, .*, not "):
        er.Counts.from_frame(value, successes="k", total_count="n")


def test_equal_rows_of_different_types_are_one_entry():
    frame = of_pandas({"k": np.array([1, 1.0, Decimal(1), True + 0], object), "n": [2] * 4})
    got = er.Counts.from_frame(frame, successes="k", total_count="n")
    assert_identical(got, er.Counts(1, 2, 4))


@pytest.mark.parametrize("values", [[1, True, 3.0], [True, 2, False], [True, None, 1]])
def test_truth_values_among_objects_are_no_counts(values):
    frame = of_pandas({"k": np.array(values, object), "n": [4] * 3})
    with pytest.raises(ValueError, match=r'column "k" is a truth value in .*add outcome="k"$'):
        er.Counts.from_frame(frame, successes="k", total_count="n", na="drop")


def test_categories_are_labels():
    frame = of_pandas({"k": [1, 0], "n": [2, 2], "ward": ["b", "a"]}).astype({"ward": "category"})
    got = er.Counts.from_frame(frame, successes="k", total_count="n", group="ward")
    assert got.labels == ("a", "b")


def refusal(frame, **how):
    with pytest.raises(ValueError) as found:
        er.Counts.from_frame(frame, **how)
    return str(found.value)


@EACH
@pytest.mark.parametrize(("role", "words"), [("k", "is no number in 2 of 2"), ("g", "no label")])
def test_lists_are_refused_alike(engine, role, words):
    if "dask" in engine.__name__ or engine.__name__ == "of_xarray":
        pytest.skip("Dask makes text of them, and xarray has none")
    columns = {"g": ["a", "b"], "k": [1, 2], "n": [3, 4]}
    columns[role] = [[1], [2]]
    how = {"successes": "k", "total_count": "n"} | ({"group": "g"} if role == "g" else {})
    assert words in refusal(engine(columns), **how)


def test_columns_of_one_name_are_refused():
    import pandas as pd

    for names in (["k", "k", "n"], ["k", "n", "n"]):
        said = refusal(pd.DataFrame([[1, 2, 3]], columns=names), successes="k", total_count="n")
        assert said.startswith("the frame repeats the column ")


def test_a_level_of_the_index_is_no_column():
    frame = of_pandas({"k": [1, 2], "n": [3, 4], "ward": ["a", "b"]})
    how = {"successes": "k", "total_count": "n", "group": "ward"}
    for name in ("ward", "k"):
        said = refusal(frame.set_index(name), **how)
        assert f'"{name}" is a level of the index' in said and "reset_index()" in said
        assert_identical(
            er.Counts.from_frame(frame.set_index(name).reset_index(), **how),
            er.Counts.from_frame(frame, **how),
        )


def test_an_index_may_have_the_name_of_a_column():
    frame = of_pandas({"k": [1, 2], "n": [3, 4]})
    named = frame.rename_axis("k")
    how = {"successes": "k", "total_count": "n"}
    assert er.Counts.from_frame(named, **how) == er.Counts.from_frame(frame, **how)
    found = er.with_posterior(named, er.Beta(2.0, 3.0), **how)
    assert found.index.name == "k" and found.k.tolist() == [1, 2]


def test_sparse_columns_of_pandas():
    import pandas as pd

    sparse = pd.arrays.SparseArray
    frame = pd.DataFrame({"k": sparse([1, 0, 0]), "n": [3, 4, 4]})
    got = er.Counts.from_frame(frame, successes="k", total_count="n")
    assert_identical(got, er.Counts([1, 0], [3, 4], [1, 2]))


def test_tables_that_speak_arrow():
    """A record batch, a reader of them, and the tables of this package."""
    pa = pytest.importorskip("pyarrow")
    batch, want = pa.record_batch({"k": [1, 0], "n": [3, 4]}), er.Counts([1, 0], [3, 4])
    how = {"successes": "k", "total_count": "n"}
    table = pa.Table.from_batches([batch])
    for frame in (batch, table.to_reader(), er.estimate(want)):
        names = {} if isinstance(frame, er.Estimates) else how
        assert_identical(er.Counts.from_frame(frame, **names), want)
    assert er.with_posterior(batch, er.Beta(2.0, 3.0), **how)["mean"].to_pylist() == [3 / 8, 2 / 9]


def test_refusals_say_what_to_do():
    import pandas as pd

    frame = pd.DataFrame({"p": [25.0, 50.0], "n": [4, 4]})
    said = refusal(frame, proportion="p", total_count="n")
    assert said == 'column "p" is not in [0, 1] in 2 of 2 rows: 25; divide per cents by 100'
    numbered = pd.DataFrame([[1, 2], [3, 4]])
    assert "its columns are 0, 1; add" in refusal(numbered)
    for frame in (pd.Series([1, 2]), numbered.groupby(0), [1], {"k": [1]}):
        with pytest.raises(TypeError, match=r"not \w+; Counts\(successes, total_count\) takes arr"):
            er.Counts.from_frame(frame)
    with pytest.raises(TypeError, match="not str; read_counts reads a file"):
        er.Counts.from_frame("counts.csv")
    with pytest.raises(TypeError, match="a str, not int: rename it first"):
        er.Counts.from_frame(numbered, successes=0, total_count=1)
    with pytest.raises(TypeError, match="not list: make one column of several first"):
        er.Counts.from_frame(numbered, group=["a", "b"])


def test_a_type_that_the_engine_does_not_group_by():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"k": np.array([3, 2], "f2"), "n": [5, 5]})
    with pytest.raises(
        ValueError, match=r"does not group by such columns \(float16 .*labels text, fir"
    ):
        er.Counts.from_frame(frame, successes="k", total_count="n")
