"""`elbo_ref.io.counts_file`: counts from JSON and npz, where they came from, and the command."""

import hashlib
import io
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tables import (
    BIG,
    DAMAGE,
    HEADER,
    PLAIN,
    assert_same,
    damaged,
    npz,
    refusal,
)

import elbo_ref as er
from elbo_ref.cli import fit
from elbo_ref.io import counts_file
from elbo_ref.io.counts_file import DataError, Layout, read, read_counts


def test_where_counts_came_from(write):
    path = write("successes,total_count\n1,2\n1,2\n,2\n")
    source = read(path, Layout(na="drop")).source
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert source == (str(path), "table", digest, 2, 1)


def test_the_command_refuses_and_writes_nothing(write, tmp_path, capsys):
    path, output = write(f"{HEADER}12,10\n"), tmp_path / "fit.json"
    assert fit.main([str(path), "--output", str(output)]) == 65
    out, err = capsys.readouterr()
    advice = "if total_count are failures, add --failures total_count"
    rule = f"line 2, column successes: 12 exceeds total_count = 10; {advice}"
    assert (out, err) == ("", f"elbo_ref: {path}: {rule}\n")
    assert not output.exists()


def test_the_recipes_work(tmp_path, monkeypatch):
    """The lines of the module's documentation, as they stand there."""
    monkeypatch.chdir(tmp_path)
    recipes = re.findall(r"(?:^    .*\n)+", counts_file.__doc__, re.MULTILINE)
    assert len(recipes) == 2
    for recipe, name in zip(recipes, ("counts.json", "counts.npz"), strict=True):
        lines = [line[4:] for line in recipe.splitlines()]
        assert len(lines) == 3
        exec("\n".join(lines), {})
        assert_same(read_counts(name), er.Counts([3, 0], [10, 4]))


@pytest.mark.parametrize(
    "counts",
    [
        er.Counts([3, 0, 3], [10, 4, 10], [5, 0, 1]),
        er.Counts.shared([3, 1], [10, 10**15]),
        er.Counts.grouped([3, 0, 3, 2], [10, 4, 10, 2], ["b", "ä,;", "b", ""]),
        er.Counts.grouped([3, 0, 3, 2], [10, 4, 10, 2], [1, 2.5, 1, -1e20]),
        er.Counts.from_columns([1, 2], [2, 3], log_split=[-1e-17, -1.0625], labels=[True, "True"]),
        er.Counts(2**63 - 1, 2**63 - 1),
    ],
)
def test_counts_read_back(write, counts):
    """`Counts.to_dict` in JSON and in npz, every bit."""
    document = counts.to_dict()
    path = write("\ufeff\n" + json.dumps(document, indent=1))
    assert read_counts(path) == counts
    assert read(path, Layout()).source[1:2] + read(path, Layout()).source[3:] == (
        "json",
        len(counts),
        0,
    )
    if len({type(label) for label in counts.labels or ()}) > 1:
        return
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **document)
        path = write(file.getvalue())
        assert read_counts(path) == counts
        assert read(path, Layout()).source.format == "npz"


@pytest.mark.parametrize("name", ["rat_tumors", "forum", "saxony"])
def test_a_result_reads_back(name, write, capsys):
    arguments = ["--example", name, "--num-steps", "2", "--loss", "exact", "--json"]
    assert fit.main(arguments) == 0
    path = write(capsys.readouterr().out)
    assert read_counts(path) == er.datasets.load(name)


def test_json_pooled_and_renamed(write):
    columns = {"k": [3, 0, 1], "n": [10, 4.0, 5], "ward": ["a", "b", "a"], "w": [1, 2, 1]}
    path = write(json.dumps(columns))
    names = {"successes": "k", "total_count": "n"}
    assert_same(read_counts(path, **names), er.Counts([3, 0, 1], [10, 4, 5]))
    grouped = er.Counts([3, 0, 1], [10, 4, 5], [1, 2, 1]).pooled(["a", "b", "a"])
    assert_same(read_counts(path, **names, group="ward", multiplicity="w"), grouped)
    assert_same(read_counts(path, **names, shared=True), er.Counts.shared([3, 0, 1], [10, 4, 5]))
    assert "names its columns itself" in refusal(path, columns=("successes", "total_count"))


def test_json_rows_with_null_are_dropped_if_asked(write):
    columns = {"successes": [None, 1, 2], "total_count": [1, 2, 3], "ward": ["a", None, "c"]}
    path = write(json.dumps(columns))
    assert refusal(path) == 'successes[0] = None is not a whole number; add na="drop"'
    got = read(path, Layout(na="drop"))
    assert_same(got.counts, er.Counts([1, 2], [2, 3]))
    assert got.source[3:] == (2, 1)
    got = read(path, Layout(na="drop", group="ward"))
    assert_same(got.counts, er.Counts.grouped([2], [3], ["c"]))
    assert got.source[3:] == (1, 2)
    columns["successes"][2] = 4
    message = "successes[2] = 4 exceeds total_count[2] = 3"
    assert refusal(write(json.dumps(columns)), na="drop") == message


UNKNOWN = "the file does not say which column is "
BOTH = "successes and which total_count, or the outcome of one trial"

NUMBERS = {
    "1e1": "1e1 is not a whole number",
    "10E0": "10E0 is not a whole number",
    "NaN": 'NaN is not a whole number; add na="drop"',
    "Infinity": "Infinity is not a whole number",
    "true": "True is not a whole number",
    "null": 'None is not a whole number; add na="drop"',
    '"3"': "'3' is not a whole number",
    "[3]": "[3] is not a whole number",
    "{}": "{} is not a whole number",
    "1.5": "1.5 is not a whole number",
    "2.9999999999999996": "2.9999999999999996 is not a whole number",
    "-1": "-1 is negative",
    "-0": "-0 is negative",
    "12": "12 exceeds total_count[1] = 10",
    f"{2**63}": f"{2**63} is not below 2**63",
}


@pytest.mark.parametrize("text", NUMBERS)
def test_a_json_cell_that_is_no_count(write, text):
    path = write(f'{{"successes": [0, {text}], "total_count": [1, 10]}}')
    assert refusal(path) == f"successes[1] = {NUMBERS[text]}"


NESTED = "[" * 985 + "]" * 985

ONE_ROW = '{"successes": [1], "total_count": [2], '

JSON_FILES = {
    "{": "line 1, character 2 is not JSON: Expecting property name enclosed in double quotes",
    '{"successes": [1],\n "total_count": [2]': "line 2, character 20 is not JSON: Expecting ',' ",
    '{"successes": [1]} x': "line 1, character 20 is not JSON: Extra data",
    '{"successes": [01], "total_count": [2]}': "line 1, character 17 is not JSON: Expecting ',' ",
    '{"a": ' + "[" * 10**5: "the file nests its JSON too deeply",
    '{"a": ' * 10**5: "the file nests its JSON too deeply",
    '{"successes": [' + NESTED + '], "total_count": [2]}': "",
    '{"successes": ' + NESTED + ', "total_count": [2]}': "",
    "{}": f"{UNKNOWN}{BOTH}; its columns are none",
    '{"counts": {"successes": [1]}}': UNKNOWN + 'total_count; its columns are "successes"',
    '{"counts": 3}': "the column counts is not a list: 3",
    '{"successes": 1, "total_count": [2]}': "the column successes is not a list: 1",
    '{"successes": [], "total_count": []}': "the file has no row of counts",
    '{"successes": [1, 2], "total_count": [2]}': "total_count has 1 rows where successes has 2",
    '{"successes": [' + "9" * 5000 + '], "total_count": [2]}': "successes[0] = 999999",
    ONE_ROW + '"x": []}': "x has 0 rows where successes has 1",
    ONE_ROW + '"successes": [1]}': "the file repeats the key 'successes'",
    ONE_ROW + '"x": [{"a": 1, "b": 2, "a": 2}]}': "the file repeats the key 'a'",
    ONE_ROW + '"labels": [null]}': "labels[0] = None is not a label",
    ONE_ROW + '"labels": [[1]]}': "labels[0] = [1] is not a label",
    ONE_ROW + '"labels": [NaN]}': "labels[0] = NaN is not a label",
    ONE_ROW + '"labels": [1e999]}': "labels[0] = 1e999 is not a label",
    ONE_ROW + '"labels": ["\\ud800"]}': "labels[0] = '\\ud800' is not a label",
    ONE_ROW + '"log_split": ["0"]}': "log_split[0] = '0' is not a number",
    ONE_ROW + '"log_split": [NaN]}': "log_split[0] = nan must lie in [-log C(N, K), 0]",
    ONE_ROW + '"log_split": [0.5]}': "log_split[0] = 0.5 must lie in [-log C(N, K), 0]",
    '{"successes": [1, 1], "total_count": [2, 2], "labels": ["a", "a"]}': (
        "labels holds 'a' twice, and is not named as the group"
    ),
    f'{{"successes": [1, 1], "total_count": [2, 2], "multiplicity": [{BIG}, {BIG}]}}': (
        "the sum of multiplicity does not fit into 63 bits"
    ),
}


@pytest.mark.parametrize("text", JSON_FILES, ids=lambda text: text[:60])
def test_a_bad_json(write, text):
    assert refusal(write(text)).startswith(JSON_FILES[text])


def test_json_that_is_not_utf8(write):
    said = "the file is not UTF-8 text; save it as UTF-8"
    assert refusal(write(b'{"successes": ["\xff"]}')) == said


GOOD_JSON = json.dumps(
    {
        "successes": [3, 0, 7],
        "total_count": [10, 4, 7],
        "labels": ["a", 1, 2.5],
        "log_split": [-1, 0, 0],
    }
).encode()


@pytest.mark.thorough
@settings(settings(max_examples=150), max_examples=400)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=3))
def test_a_damaged_json(one_file, damages):
    """Whole numbers of a document that Python reads too, by names that are said; or one line."""
    data = damaged(GOOD_JSON, damages)
    one_file.write_bytes(data)
    try:
        counts, _, guess, _ = read(one_file, Layout())
    except DataError:
        refusal(one_file)
        return
    document = json.loads(data)
    assert "failures" not in guess
    for name in ("successes", "total_count"):
        assert getattr(counts, name).tolist() == document[guess.get(name, name)]


@pytest.mark.parametrize(
    "dtype", ["<i8", ">i8", "<u8", "<i4", ">u2", "<i2", "|i1", "|u1", "<f8", ">f4", "<f2"]
)
def test_npz_of_every_type(write, dtype):
    k, n = np.array([3, 0, 7], dtype), np.array([10, 4, 7], dtype)
    assert_same(read_counts(write(npz(successes=k, total_count=n))), PLAIN)


def test_npz_pooled_and_renamed(write):
    data = npz(
        k=[3, 0, 1], n=[10, 4, 5], ward=["a", "bä", "a"], w=[1, 2, 1], x=[0.5, np.nan, np.inf]
    )
    path = write(data)
    names = {"successes": "k", "total_count": "n"}
    assert_same(read_counts(path, **names), er.Counts([3, 0, 1], [10, 4, 5]))
    grouped = er.Counts([3, 0, 1], [10, 4, 5], [1, 2, 1]).pooled(["a", "bä", "a"])
    assert_same(read_counts(path, **names, group="ward", multiplicity="w"), grouped)
    assert_same(read_counts(path, **names, shared=True), er.Counts.shared([3, 0, 1], [10, 4, 5]))
    assert "names its columns itself" in refusal(path, columns=("successes", "total_count"))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([3, -1], "successes[1] = -1 is negative"),
        ([3, 12], "successes[1] = 12 exceeds total_count[1] = 10"),
        (np.array([3, 2**63], "u8"), f"successes[1] = {2**63} is not below 2**63"),
        ([3.0, 2.5], "successes[1] = 2.5 is not a whole number"),
        ([3.0, 2.9999999999999996], "successes[1] = 2.9999999999999996 is not a whole number"),
        ([3.0, np.nan], "successes[1] = nan is not a whole number"),
        ([3.0, -np.inf], "successes[1] = -inf is negative"),
        ([3.0, 2.0**53 + 2], "successes[1] = 9007199254740994.0 is a float above 2**53"),
        ([True, False], "successes holds bool, not whole numbers"),
        (["3", "0"], "successes holds <U1, not whole numbers"),
        ([[3], [0]], "successes has 2 dimensions where one is needed"),
        (3, "successes has 0 dimensions where one is needed"),
        ([3, 0, 1], "total_count has 2 rows where successes has 3"),
        ([b"3", b"0"], "the member 'successes.npy' holds the type '|S1', not plain numbers or"),
        ([3j, 0], "the member 'successes.npy' holds the type '<c16', not plain numbers or text"),
        (np.array([3, 0], "M8[s]"), "the member 'successes.npy' holds the type '<M8[s]', not pla"),
        (np.zeros(2, "i4,i4"), "the member 'successes.npy' is not a plain array"),
    ],
)
def test_a_bad_npz_column(write, column, message):
    assert refusal(write(npz(successes=column, total_count=[10, 10]))).startswith(message)


def test_bad_npz_files(write):
    assert refusal(write(npz(successes=[], total_count=[]))) == "the file has no row of counts"
    message = f"{UNKNOWN}{BOTH}; its columns are none; add successes"
    assert refusal(write(npz())).startswith(message)
    message = UNKNOWN + 'total_count; its columns are "successes"; add total_count="COLUMN"'
    assert refusal(write(npz(successes=[1]))) == message
    path = write(npz(successes=[1], total_count=[2], labels=[np.nan]))
    assert refusal(path) == "labels[0] = nan is not a label"
    path = write(npz(successes=[1], total_count=[2], log_split=["x"]))
    assert "log_split must be real numbers" in refusal(path)
    bad = np.array([0x110000], "<u4").view("<U1")
    path = write(npz(successes=[1], total_count=[2], labels=bad))
    assert refusal(path) == "the member 'labels.npy' holds characters that do not exist"


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_record_a_line_of_any_number_of_lines(tmp_path, times, end):
    path = tmp_path / "counts.json"
    path.write_text("\n".join(['{"k": 3, "n": 10}'] * times) + end)
    assert er.read_counts(path, successes="k", total_count="n").num_latents == times
