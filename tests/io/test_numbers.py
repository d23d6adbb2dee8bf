"""`elbo_ref.io.numbers` and the bounds of the readers: each from both sides."""

import io
import json
import zipfile

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.io import stream, torch_store
from elbo_ref.io.archive import MOST_TIMES, most_unpacked, read_array, read_arrays
from elbo_ref.io.counts_file import DataError, read_counts
from elbo_ref.io.errors import bare, short
from elbo_ref.io.fields import parse, plain, record, text, whole as whole_field
from elbo_ref.io.losses import read_numbers
from elbo_ref.io.numbers import flaw, flaw_of_proportion, proportion, whole
from elbo_ref.io.totals import LARGEST_SUM


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0),
        ("+12", 12),
        ("  12.0  ", 12),
        ("12.000", 12),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("9" * 19, None),
        ("0" * 40 + "7", 7),
        ("1" * 20, None),
        ("12.", None),
        (".0", None),
        ("12.5", None),
        ("-1", None),
        ("--1", None),
        ("1e3", None),
        ("1\t", None),
        ("\u0661", None),
        ("", None),
        (" ", None),
    ],
)
def test_a_count_as_text(written, value):
    assert whole(written) == value


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("9223372036854775808", "is not below 2**63"),
        ("-3", "is negative"),
        ("-3.0", "is negative"),
        ("-3.5", "is not a whole number"),
        ("1,234", "is not a whole number; write it without separators of thousands"),
        ("1'234'567", "is not a whole number; write it without separators of thousands"),
        ("12,34", "is not a whole number"),
        ("1234,567", "is not a whole number"),
        ("0.25", "is not a whole number"),
        (".5", "is not a whole number"),
        ("1.25", "is not a whole number"),
        ("x", "is not a whole number"),
        ("", "is blank"),
    ],
)  # fmt: skip
def test_why_a_text_is_no_count(written, said):
    assert whole(written) is None
    assert flaw(written) == said


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        (" +0.25 ", 0.25),
        ("-0", 0.0),
        ("5e-05", 5e-05),
        ("0.5E+0", 0.5),
        ("1.0000000000000002", None),
        ("-1e-9", None),
        (".", None),
        ("", None),
        ("e1", None),
        ("1e", None),
        ("0x1", None),
        ("1e-99999", None),
        ("0,5", None),
        ("nan", None),
        ("\u0661", None),
        ("0_1", None),
    ],
)
def test_a_proportion_as_text(written, value):
    assert proportion(written) == value
    assert value is not None or flaw_of_proportion(written).startswith("is ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\n1\n", "line 1 is not UTF-8 text"),
        (b"\n\xff", "line 2 is not UTF-8 text"),
        (b"1\n2\n\xff\n\n", "line 3 is not UTF-8 text"),
        ('1\n2"\n', "line 2: '2\"' is not a number"),
        ('1\n"2\n', "line 2: '\"2' is not a number"),
        ('1\n"\n', "line 2: '\"' is not a number"),
        ('1\n""\n2\n', "line 2 is blank"),
        ("#1\n", "the file holds no number"),
        ("-loss\n1\n", "line 1: '-loss' is not a number"),
        ("step,epoch\n1,2\n", "the columns are 'step', 'epoch': one of them must be called loss"),
        ("loss,losses\n1,2\n", "the columns are 'loss', 'losses': one of them must be called loss"),
        ("loss,step\n1,2\n3\n", "line 3 has 1 columns, the header 2"),
        ("[1.5, null]", "number 1 of the list is 'None'"),
        ("[" + "1" * 400 + "]", "the list holds an integer too large for a float"),
    ],
)
def test_lines_that_are_no_numbers(write, content, message):
    path = write(content)
    with pytest.raises(DataError) as caught:
        read_numbers(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(("size", "more"), [(8, ""), (9, ", ...")])
def test_names_of_columns_are_listed_up_to_eight(write, size, more):
    path = write(",".join(f"c{i}" for i in range(size)) + "\n")
    with pytest.raises(DataError) as caught:
        read_numbers(path)
    listed = ", ".join(f"'c{i}'" for i in range(8))
    rule = "one of them must be called loss, or all others step, epoch or time"
    said = f'{rule}; to say which, add column="c0"'
    assert str(caught.value) == f"{path}: the columns are {listed}{more}: {said}"


@pytest.mark.parametrize("name", ["loss", "LOSSES", "Evaluation", "train_loss", "elbo_loss"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_column_is_known_by_its_name(write, name, mark):
    """Also beside others, and without any header where both cells are numbers it is no table."""
    lines = [("x", name, "y"), ("7", "1.5", "8"), ("9", "-2", "10")]
    path = write("\r\n".join(mark.join(row) for row in lines))
    assert read_numbers(path).tolist() == [1.5, -2.0]
    for index in ("", "step", "iter", "Epoch", "unnamed: 0", "wall time", "T"):
        path = write(f"{index}{mark}some name\n7{mark}1.5\n9{mark}-2\n")
        assert read_numbers(path).tolist() == [1.5, -2.0]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (3,), (3, 1), (1, 3, 1)])
def test_arrays_with_one_long_axis(write, shape):
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape) + 0.5
    file = io.BytesIO()
    np.save(file, values)
    assert read_numbers(write(file.getvalue())).tolist() == values.ravel().tolist()


# -- how much a file may be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "most"),
    [
        (0, 2**26),
        (2**20, 2**26),
        (2**20 + 1, 2**26 + 64),
        (2**23, 2**29),
        (2**23 - 1, 2**29 - 64),
        (2**30, 2**29),
    ],
)
def test_what_an_archive_may_unpack_to(size, most):
    """64 times its size; between 64 and 512 MiB."""
    assert most_unpacked(size) == most


def test_an_npz_may_unpack_to_16_times_its_size():
    def packed(**arrays):
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file

    file = packed(x=np.zeros(600))
    size, total = len(file.getvalue()), 600 * 8 + 128
    assert total > MOST_TIMES * size
    with pytest.raises(DataError, match=f"unpacks to {total} bytes, more than {16 * size}:"):
        read_arrays(file)
    for most, good in ((total, True), (total - 1, False)):
        if good:
            assert read_arrays(file, most)["x"].size == 600
        else:
            with pytest.raises(DataError, match="unpacks to"):
                read_arrays(file, most)


@pytest.mark.parametrize("size", [2**24, 2**24 + 1])
def test_a_pickle_may_have_16_mebibytes(size):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", bytes(size))
    with pytest.raises(DataError) as caught:
        torch_store.read_store(file.getvalue())
    words = f"data.pkl has {size} bytes, more than {2**24}"
    assert (str(caught.value) == words) == (size > 2**24)


@pytest.mark.parametrize("header", [1024, 1025])
def test_a_header_may_have_1024_bytes(header):
    head = "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }"
    head = head.ljust(header - 1).encode() + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(8)
    if header > 1024:
        with pytest.raises(DataError, match="is not a plain array"):
            read_array(data)
    else:
        assert read_array(data).tolist() == [0]


def test_a_side_beyond_the_file_beside_a_side_of_zero():
    """(0, 2**62) takes nothing, and is refused."""
    head = f"{{'descr': '<i8', 'fortran_order': False, 'shape': (0, {2**62}), }}\n".encode()
    data = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
    with pytest.raises(DataError, match="is empty, of a shape or type beyond the file"):
        read_array(data)


@pytest.mark.parametrize(("size", "good"), [(3, True), (4, False)])
def test_what_is_read_at_once_has_a_bound(write, monkeypatch, size, good):
    monkeypatch.setattr(stream, "_BLOCK_BYTES", 2)
    monkeypatch.setattr(stream, "_MOST_BYTES", 3)
    path = write("1" * size)
    if good:
        assert read_numbers(path).tolist() == [111.0]
    else:
        with pytest.raises(DataError, match="larger than 3 bytes; only a table of counts may be"):
            read_numbers(path)


def test_blocks_are_a_mebibyte_and_a_file_read_at_once_256():
    assert (stream._BLOCK_BYTES, stream._MOST_BYTES) == (2**20, 2**28)


# -- fields, and how values are shown --------------------------------------------------------------


@pytest.mark.parametrize(("size", "shown"), [(59, "a" * 59), (60, "'" + "a" * 60 + "'")])
def test_a_name_of_60_letters_is_quoted(size, shown):
    with pytest.raises(ValueError) as caught:
        record({})("x", {"a" * size: 1})
    said = str(caught.value)
    if size == 59:
        assert said == f"x.{shown} is no field of it"
    else:
        assert said.startswith("x.'aaaa") and "..." in said


def test_a_name_that_is_none_of_pythons_is_quoted():
    for name, shown in (("a_b", "a_b"), ("a b", "'a b'"), ("1", "'1'")):
        with pytest.raises(ValueError, match=f"^{shown} is no field of it$"):
            record({})("", {name: 1})


@pytest.mark.parametrize(("depth", "good"), [(33, True), (34, False)])
def test_plain_values_32_deep(depth, good):
    value = 1
    for i in range(depth - 1):
        value = [value] if i % 2 else {"a": value}
    if good:
        plain("x", value)
    else:
        with pytest.raises(ValueError, match="is nested more than 32 deep"):
            plain("x", value)


def test_numbers_of_4300_digits_and_texts_of_200_letters():
    assert parse("9" * 4300) == int("9" * 4300)
    with pytest.raises(ValueError, match="a number of 4301 digits"):
        parse("1" + "0" * 4300)
    text()("x", "a" * 200)
    with pytest.raises(ValueError, match="must be a short plain text"):
        text()("x", "a" * 201)
    with pytest.raises(ValueError, match=r"must be one of 'b'$"):
        text("b")("x", "a")


def test_whole_numbers_of_a_field():
    for low, high, value, good in (
        (0, 3, 0, True), (0, 3, 3, True), (0, 3, -1, False), (0, 3, 4, False),
        (1, None, 10**30, True), (1, None, 0, False), (0, 1, True, False), (0, 1, 1.0, False),
    ):  # fmt: skip
        if good:
            whole_field(low, high)("x", value)
        else:
            with pytest.raises(ValueError, match="must be a whole number of"):
                whole_field(low, high)("x", value)


def test_a_repeated_name_is_named():
    with pytest.raises(ValueError, match=r"^the JSON repeats the name 'b'$"):
        parse('{"a": 1, "b": 2, "c": 3, "b": 4}')


def test_values_are_shown_in_60_letters():
    assert bare("a" * 60) == "a" * 60
    assert bare("a" * 61) != "a" * 61 and bare("a\n") == r"'a\n'"
    assert short("a" * 58) == repr("a" * 58)
    assert len(short("a" * 500)) <= 63 and "..." in short("a" * 500)
    assert short(list(range(20))) == f"{str(list(range(20)))[:60]}..."


# -- sums ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("over", "good"), [(0, True), (1, False)])
@pytest.mark.parametrize("options", [{"group": "w"}, {"shared": True}])
def test_sums_of_trials_up_to_the_largest(write, over, good, options):
    """2**63 - 2**34; sums are held against it as floats, whose steps are 1024 there."""
    half = LARGEST_SUM // 2
    rows = f"0,{half},a\n0,{half + 4096 * over},a\n"
    path = write(f"successes,total_count,w\n{rows}")
    if good:
        assert read_counts(path, **options).total_count.tolist() == [LARGEST_SUM]
    else:
        with pytest.raises(DataError, match=r"the sum of total_count.* does not fit into 63 bits"):
            read_counts(path, **options)


@pytest.mark.parametrize(("over", "good"), [(0, True), (1, False)])
def test_sums_of_multiplicities_up_to_the_largest(write, over, good):
    half = LARGEST_SUM // 2
    text = f"successes,total_count,multiplicity\n0,1,{half}\n1,1,{half + over}\n"
    path = write(text)
    if good:
        assert read_counts(path).num_latents == LARGEST_SUM
    else:
        with pytest.raises(DataError, match="the sum of multiplicity does not fit into 63 bits"):
            read_counts(path)


def test_whole_numbers_of_arrays(write):
    """Floats up to 2**53, integers below 2**63."""

    def counts_of(n):
        file = io.BytesIO()
        np.savez(file, successes=np.zeros(2, np.int64), total_count=n)
        return read_counts(write(file.getvalue()))

    assert counts_of(np.array([2.0**53, 1.0])).total_count.tolist() == [2**53, 1]
    assert counts_of(np.array([2**62, 1], np.uint64)).total_count.tolist() == [2**62, 1]
    for n, rule in (
        (np.array([1.0, 2.0**53 + 2]), r"total_count\[1\] = .* is a float above 2\*\*53"),
        (np.array([1, 2**63], np.uint64), r"total_count\[1\] = .* is not below 2\*\*63"),
        (np.array([-1.0, 1.0]), r"total_count\[0\] = -1.0 is negative"),
        (np.array([0.5, 1.0]), r"total_count\[0\] = 0.5 is not a whole number"),
        (np.array([np.nan, 1.0]), r"total_count\[0\] = nan is not a whole number"),
    ):
        with pytest.raises(DataError, match=rule):
            counts_of(n)


def test_records_a_line_columns_and_one_record(write):
    """All of JSON's forms, of the same two rows, and of one."""
    wanted = er.Counts([3, 0], [10, 4])
    rows = [{"successes": 3, "total_count": 10}, {"successes": 0, "total_count": 4}]
    columns = {"successes": [3, 0], "total_count": [10, 4]}
    indexed = {name: {"a": x[0], "b": x[1]} for name, x in columns.items()}
    lines = "\n".join(map(json.dumps, rows))
    for document in (rows, columns, indexed, {"counts": columns}):
        assert read_counts(write(json.dumps(document))) == wanted
    assert read_counts(write(lines)) == wanted == read_counts(write(f"{lines}\n\n"))
    assert read_counts(write(json.dumps(rows[0]))) == er.Counts(3, 10)
