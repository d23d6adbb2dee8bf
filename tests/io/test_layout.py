"""`elbo_ref.io.layout`: the columns of a file, named, known by their names, or contradicting."""

import gzip
import io
import json
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
from tables import HEADER, assert_same, npz, refusal

import elbo_ref as er
from elbo_ref.cli import fit
from elbo_ref.io.counts_file import Layout, read, read_counts


def test_settings_that_contradict_each_other(write):
    path = write(HEADER + "1,2\n")
    for options, words in (
        ({"shared": True, "group": "successes"}, "shared.*group"),
        ({"successes": "x", "total_count": "x"}, "are both"),
        ({"outcome": "x", "total_count": "y"}, "do not go together"),
        ({"columns": ("a", "b")}, "the table does not say which column is successes"),
        ({"columns": ("successes", "total_count", "successes")}, "repeats the column"),
    ):
        with pytest.raises(ValueError, match=words):
            read_counts(path, **options)


COLUMNS = {"k": [3, 0, 3, 1], "f": [7, 4, 7, 0], "n": [10, 4, 10, 1], "y": [1, 0, 1, 1]}
COLUMNS["p"] = [0.3, 0.0, 0.3, 1.0]
COLUMNS["ward"] = ["a", "b", "a", "b"]


def of_text(columns, separator=","):
    rows = [columns, *zip(*columns.values(), strict=True)]
    return "\n".join(separator.join(map(str, row)) for row in rows).encode()


def of_records(columns):
    return json.dumps(
        [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    )


def of_lines(columns):
    rows = zip(*columns.values(), strict=True)
    return "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows)


def of_r(columns, separator=" ", quote='"'):
    """What `write.table` of R makes of them."""
    header = separator.join(f"{quote}{name}{quote}" for name in columns)
    texts = [
        [f"{quote}{x}{quote}" if isinstance(x, str) else str(x) for x in (str(i), *row)]
        for i, row in enumerate(zip(*columns.values(), strict=True), 1)
    ]
    return "\n".join([header, *map(separator.join, texts)]) + "\n"


def of_csv_of_r(columns):
    """What `write.csv` makes: the names of rows have a blank header."""
    return '"",' + of_r(columns, ",")


OUTCOMES = "write 0 or 1, false or true"


def zst(data):
    """Pack by zstd."""
    pyarrow = pytest.importorskip("pyarrow")
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(data)
    return sink.getvalue().to_pybytes()


FORMATS = {
    "comma": of_text,
    "tab": lambda columns: of_text(columns, "\t"),
    "spaces": lambda columns: of_text(columns, " "),
    "records": of_records,
    "lines": of_lines,
    "columns": json.dumps,
    "npz": lambda columns: npz(**columns),
    "write.table": of_r,
    "write.table, tabs": lambda columns: of_r(columns, "\t"),
    "write.table, bare": lambda columns: of_r(columns, " ", ""),
    "write.csv": of_csv_of_r,
}
LAYOUTS = (
    {"successes": "k", "total_count": "n"},
    {"successes": "k", "failures": "f"},
    {"failures": "f", "total_count": "n"},
    {"proportion": "p", "total_count": "n"},
    {"outcome": "y"},
)


@pytest.mark.parametrize("made", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("packed", [bytes, gzip.compress, zst], ids=["bare", "gzip", "zst"])
def test_every_format_has_every_layout(write, made, packed):
    data = made(COLUMNS)
    path = write(packed(data.encode() if isinstance(data, str) else data))
    for names in LAYOUTS:
        k, n = (COLUMNS["y"], [1] * 4) if "outcome" in names else (COLUMNS["k"], COLUMNS["n"])
        wanted = er.Counts.grouped(k, n, COLUMNS["ward"])
        assert_same(read_counts(path, **names, group="ward"), wanted)
        assert read_counts(path, **names, shared=True).total_count.tolist() == [sum(n)]
        rows = read_counts(path, **names, in_order=True)
        assert_same(rows, er.Counts(k, n))


@pytest.mark.parametrize("made", FORMATS.values(), ids=FORMATS)
def test_names_are_guessed_and_said(write, made):
    columns = {"ward": ["a", "b"], "Hits": [3, 0], "at_bats": [10, 4]}
    path = write(made(columns))
    with pytest.warns(UserWarning, match='names: successes="Hits", total_count="at_bats"$') as said:
        assert_same(read_counts(path), er.Counts([3, 0], [10, 4]))
    assert said[0].filename == __file__


@pytest.mark.thorough
def test_the_command_says_what_it_guessed(write, capsys):
    path = write("hits,at_bats\n3,10\n0,4\n")
    assert fit.main([str(path), "--exact"]) == 0
    assert capsys.readouterr().out.startswith(f"{path} (--successes hits --total-count at_bats)\n")
    path = write("a,b\n3,10\n")
    assert fit.main([str(path), "--exact"]) == 65
    assert capsys.readouterr().err.endswith("add --successes COLUMN --total-count COLUMN\n")
    assert fit.main([str(path), "--exact", "--successes", "a", "--failures", "b"]) == 0
    assert "3 of 13 trials" in capsys.readouterr().out
    path = write("k,n\n3,10\n,4\n")
    assert fit.main([str(path), "--exact"]) == 65
    assert capsys.readouterr().err.endswith("is blank; add --na drop\n")


@pytest.mark.parametrize("made", [of_text, of_records, lambda columns: npz(**columns)])
def test_a_file_that_is_open_already(write, made, tmp_path):
    data = made(COLUMNS)
    data = data.encode() if isinstance(data, str) else data
    names = LAYOUTS[0]
    wanted = read_counts(write(data), **names)
    assert read_counts(io.BytesIO(data), **names) == wanted
    path = write(data)
    with open(path, "rb") as file:
        got = read(file, Layout(**names))
        assert got.counts == wanted
        assert got.source == read(path, Layout(**names)).source
        assert not file.closed
    if made is of_text:
        with open(path) as text:
            assert read_counts(text, **names) == wanted
        assert read_counts(io.StringIO(data.decode()), **names) == wanted


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,TRUE\n", f"line 2, column y: 'maybe' is not a whole number; {OUTCOMES}"),
        ("2,x\n", "line 3, column y: 2 is neither 0 nor 1"),
    ],
)
def test_an_outcome_is_0_or_1_or_a_truth_value(write, rows, message):
    text = "y,z\nTRUE,1\nF,1\n0,1\n1,1\ntrue,0\n"
    assert_same(read_counts(write(text), outcome="y"), er.Counts([1, 0], 1, [3, 2]))
    bad = {"m": "y,z\nmaybe,1\n", "2": "y,z\n1,1\n2,1\n"}["m" if "maybe" in message else "2"]
    assert refusal(write(bad), outcome="y") == message


def test_failures_that_do_not_fit(write):
    path = write(f"k,f\n1,{2**63 - 1}\n")
    message = f"line 2, column k: 1 and f = {2**63 - 1} are not below 2**63 together"
    assert refusal(path, successes="k", failures="f") == message
    path = write("f,n\n5,4\n")
    assert refusal(path, failures="f", total_count="n") == "line 2, column f: 5 exceeds n = 4"
    path = write('{"k": [2, 5], "n": [4, 4]}')
    message = "k[1] = 5 exceeds n[1] = 4"
    assert refusal(path, successes="k", total_count="n") == message


def test_trailing_separators_are_not_names_of_rows(write):
    path = write("successes,total_count,year\n3,10,2020,\n")
    assert "has 4 cells where the header has 3" in refusal(path)


@pytest.mark.parametrize(("kind", "packed"), [("gzip", gzip.compress), ("zst", zst)])
def test_a_damaged_archive(write, kind, packed):
    """Cut anywhere it is refused, and not read as far as it goes."""
    data = packed(of_text(COLUMNS) * 1000)
    rng = np.random.default_rng(0)
    for cut in (*rng.integers(11, len(data), 20), len(data) - 1):
        assert f"the {kind} is damaged: " in refusal(write(data[:cut]), **LAYOUTS[0])
    assert f"the {kind} is damaged: " in refusal(write(data + b"more"), **LAYOUTS[0])


def test_parts_that_zstd_has_packed_one_by_one(write):
    data = zst(b"k,n\n3,10\n") + zst(b"0,4\n")
    assert_same(read_counts(write(data), **LAYOUTS[0]), er.Counts([3, 0], [10, 4]))


def test_without_pyarrow_the_error_names_it(write, monkeypatch):
    path = write(zst(b"k,n\n3,10\n"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        ImportError, match="a zst needs pyarrow: pip install pyarrow, or in a clone"
    ):
        read_counts(path, **LAYOUTS[0])


RATES = {"rate": [0.346, 0.298, 0.222, 0, 0.346], "n": [26, 47, 45, 9, 26], "w": [1, 2, 1, 3, 1]}
RATES["ward"] = ["a", "b", "a", "b", "a"]
OF_RATES = {"proportion": "rate", "total_count": "n"}


@pytest.mark.parametrize("made", FORMATS.values(), ids=FORMATS)
def test_proportions_are_those_of_a_frame(write, made):
    """The decimals of all rows tell how many there are: 0 is 0.000, and 9 of 26 is 0.346."""
    pandas = pytest.importorskip("pandas")
    path, frame = write(made(RATES)), pandas.DataFrame(RATES)
    k = [9, 14, 10, 0, 9]
    rows = [np.repeat(x, RATES["w"]).tolist() for x in (k, RATES["n"], RATES["ward"])]
    grouped = er.Counts.grouped(*rows)
    assert_same(read_counts(path, **OF_RATES, multiplicity="w", group="ward"), grouped)
    assert_same(er.Counts.from_frame(frame, **OF_RATES, multiplicity="w", group="ward"), grouped)
    assert_same(read_counts(path, **OF_RATES, in_order=True), er.Counts(k, RATES["n"]))
    with pytest.warns(UserWarning, match='known by their names: proportion="rate", total_count="n'):
        shared = read_counts(path, multiplicity="w", shared=True)
    assert shared.successes.tolist() == [sum(x * w for x, w in zip(k, RATES["w"], strict=True))]


@pytest.mark.parametrize("made", [of_text, of_records, json.dumps, lambda x: npz(**x)])
@pytest.mark.parametrize(
    ("rates", "flaw"),
    [
        ([0.31, 0.5], "0.31 of 10 would be 3.1 successes"),
        ([0.3, 0.005], "0.005 of 10 would be 0.05 successes"),
    ],
)
def test_what_is_no_proportion_of_its_trials(write, made, rates, flaw):
    message = refusal(write(made({"rate": rates, "n": [10, 10]})), **OF_RATES)
    rule = "hand in the successes themselves, or more decimals"
    assert message == f'column "rate" is no proportion of its trials: {flaw}; {rule}'


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("35", "is not in [0, 1]; divide per cents by 100"),
        ("1.01", "is not in [0, 1]; divide per cents by 100"),
        ("101", "is not in [0, 1]"),
        ("-0.5", "is not in [0, 1]"),
        ("35%", "is not in [0, 1]; divide per cents by 100"),
        ("x", "is not a number"),
        ("nan", 'is not a number; add na="drop"'),
        ("", 'is blank; add na="drop"'),
    ],
)
def test_a_cell_that_is_no_proportion(write, cell, why):
    path = write(f"rate;n\n0.3;10\n{cell};10\n")
    assert refusal(path, **OF_RATES) == f"line 3, column rate: {cell!r} {why}"
    value = cell if cell in ("35", "1.01", "101", "-0.5") else "null" if not cell else f'"{cell}"'
    path = write(f'{{"rate": [0.3, {value}], "n": [10, 10]}}')
    message = refusal(path, **OF_RATES)
    if value == cell:
        assert message == f"rate[1] = {cell} {why}"
        path = write(npz(rate=[0.3, float(cell)], n=[10, 10]))
        assert refusal(path, **OF_RATES) == f"rate[1] = {float(cell)} {why}"
    else:
        assert message.startswith("rate[1] = ") and "is not a number" in message
        assert message.endswith('; add na="drop"') == (value in ("null", '"nan"'))


def test_decimals_with_a_comma_and_arrays_of_text(write):
    message = refusal(write("rate;n\n0,35;20\n"), **OF_RATES)
    assert message == ("line 2, column rate: '0,35' is not a number; write decimals with a point")
    message = refusal(write(npz(rate=["0.35"], n=[20])), **OF_RATES)
    assert message == "rate holds <U4, not numbers"


@pytest.mark.parametrize("made", [of_text, of_records, lambda x: npz(**x)])
def test_a_fraction_among_successes_says_what_to_add(write, made):
    path = write(made({"k": [0.35, 1.0], "n": [20, 4]}))
    message = refusal(path, successes="k", total_count="n")
    assert message.endswith('; if it is one of the trials, add proportion="k"')
    got = read_counts(path, proportion="k", total_count="n", in_order=True)
    assert got == er.Counts([7, 4], [20, 4])
    assert "add" not in refusal(path, failures="k", total_count="n")


def test_a_rate_beside_counts_is_passed_over(write):
    with pytest.warns(UserWarning, match='successes="k", total_count="n"$'):
        got = read_counts(write("rate,k,n\n0.3,3,10\n"))
    assert got == er.Counts(3, 10)


@pytest.mark.thorough
def test_the_command_takes_proportions(write, capsys):
    path = write("rate,trials\n0.35,20\n0.5,4\n")
    assert fit.main([str(path), "--exact", "--successes", "rate", "--total-count", "trials"]) == 65
    assert capsys.readouterr().err.endswith("if it is one of the trials, add --proportion rate\n")
    assert fit.main([str(path), "--exact", "--proportion", "rate", "--total-count", "trials"]) == 0
    assert "9 of 24 trials succeed" in capsys.readouterr().out
    assert fit.main([str(path), "--exact"]) == 0
    assert capsys.readouterr().out.startswith(f"{path} (--proportion rate --total-count trials)")


@pytest.mark.parametrize("kind", ["text", "json", "npz"])
def test_three_columns_have_to_agree(write, kind):
    """Successes, failures and trials: all are looked at, and the first row that is off is named."""
    how = {"successes": "hits", "failures": "misses", "total_count": "at_bats"}

    def file(*at_bats):
        rows = {"hits": [1, 2, 1], "misses": [2, 2, 2], "at_bats": [*at_bats]}
        if kind == "npz":
            return write(npz(**rows))
        text = "\n".join(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))
        return write(json.dumps(rows) if kind == "json" else f"{','.join(rows)}\n{text}\n")

    wanted = Counter(zip([1, 2, 1], [3, 4, 3], strict=True))
    for names in ({}, how):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = er.read_counts(file(3, 4, 3), **names)
        found = Counter()
        for k, n, w in zip(got.successes, got.total_count, got.multiplicity, strict=True):
            found[int(k), int(n)] += int(w)
        assert found == wanted
    row = {
        "text": "line 3, column hits: 2 and misses = 2 are not at_bats = 9 together",
        "json": "hits[1] = 2 and misses[1] = 2 are not at_bats[1] = 9 together",
        "npz": "hits[1] = 2 and misses[1] = 2 are not at_bats[1] = 9 together",
    }[kind]
    rest = '; if at_bats are something else, add successes="hits", failures="misses"'
    assert refusal(file(3, 9, 9), **how) == row + rest
