"""`elbo_ref.io.parameters` and `numbers`: mappings, JSON and npz, and numbers one a line.

What is in a file of `torch.save` is tested in io/test_torch_store.py.
"""

import io
import json
import sys
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from elbo_ref.io.counts_file import DataError
from elbo_ref.io.losses import read_numbers
from elbo_ref.io.parameters import Parameters, parse, read_parameters


def saved(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(values):
    file = io.BytesIO()
    np.save(file, np.array(values))
    return file.getvalue()


class Array:
    """Anything with ``__array__``, as JAX arrays are."""

    def __init__(self, values, dtype="float32"):
        self.values = np.array(values, dtype)

    def __array__(self, dtype=None, copy=None):
        return self.values


class Tensor:
    """What the reader uses of a PyTorch tensor; NumPy itself is refused, as under a gradient."""

    def __init__(self, values, dtype="float32", on_processor=False, detached=False):
        self.array, self.dtype = np.array(values), f"torch.{dtype}"
        self.state = on_processor, detached

    def detach(self):
        return Tensor(self.array, self.dtype[6:], self.state[0], True)

    def cpu(self):
        return Tensor(self.array, self.dtype[6:], True, self.state[1])

    def float(self):
        return Tensor(self.array, "float32", *self.state)

    def numpy(self):
        if self.state != (True, True) or self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16\nand more")
        return self.array.astype(self.dtype[6:])

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


class Store:
    """A parameter store: not a `Mapping`."""

    def __init__(self, **items):
        self._items = items

    def items(self):
        yield from self._items.items()


# -- mappings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted", "dtype"),
    [
        (2.5, 2.5, None),
        (3, 3.0, None),
        (2**200, 2.0**200, None),
        ([1, 2.5], [1.0, 2.5], None),
        (((1, 2), (3, 4)), [[1.0, 2.0], [3.0, 4.0]], None),
        (float("nan"), np.nan, None),
        ([float("inf"), -float("inf")], [np.inf, -np.inf], None),
        (np.float32(0.1), float(np.float32(0.1)), "float32"),
        (np.float64(0.1), 0.1, "float64"),
        (np.array([1, 2], np.int32), [1.0, 2.0], "int32"),
        (np.array([1, 2], ">f8"), [1.0, 2.0], "float64"),
        (np.array([1, 2], np.float16), [1.0, 2.0], "float16"),
        (np.arange(6.0).reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]], "float64"),
        (np.arange(6, dtype=np.uint8)[::2], [0, 2, 4], "uint8"),
        (np.array(0x7FA00000, np.uint32).view(np.float32), np.nan, "float32"),
        (Array([1.5, 2.5]), [1.5, 2.5], "float32"),
        (Array(3, "int64"), 3.0, "int64"),
        (Tensor([1.5, np.nan]), [1.5, np.nan], "float32"),
        (Tensor(0.1, "float64"), 0.1, "float64"),
        (Tensor([1.5, -2.0], "bfloat16"), [1.5, -2.0], "bfloat16"),
        ([Tensor(1.5), Tensor(2.5)], [1.5, 2.5], "float32"),
        ([Array([1, 2]), Array([3, 4])], [[1, 2], [3, 4]], "float32"),
        ([np.float64(1.0), 2.0], [1.0, 2.0], None),
        ([[Tensor(1.0)], [Tensor(2.0)]], [[1.0], [2.0]], "float32"),
    ],
)
def test_values(value, wanted, dtype):
    found = read_parameters({"a": value})
    values = found.values["a"]
    assert np.array_equal(values, wanted, equal_nan=True)
    assert values.shape == np.shape(wanted)
    assert values.dtype == np.float64
    assert values.dtype.isnative
    assert values.flags.c_contiguous
    assert found.dtypes == {"a": dtype}
    assert (found.skipped, found.notes) == ((), ())


@pytest.mark.parametrize("kind", [dict, MappingProxyType, lambda items: Store(**items)])
def test_mappings(kind):
    """Names with `$$$` are written with a dot, and baselines left out, whatever they hold."""
    items = {"guide$$$c.weight": 1.0, "__baseline_c": "anything", "b_unconstrained": [0.0]}
    found = read_parameters(kind(items))
    assert list(found.values) == ["guide.c.weight", "b_unconstrained"]
    assert found.skipped == ("__baseline_c",)
    assert found.notes == (
        "__baseline_c: left out (a baseline of the score function)",
        "b_unconstrained: left unconstrained, as its constraint is not known here",
    )


def test_what_is_found_does_not_change():
    array = np.array([1.0, 2.0])
    found = read_parameters({"a": array})
    array[0] = 3.0
    assert found.values["a"].tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        found.values["a"][0] = 3.0
    with pytest.raises(TypeError):
        found.values["b"] = array
    with pytest.raises(AttributeError):
        found.values = {}
    assert isinstance(found, Parameters)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (True, TypeError, "a must be real numbers, not a bool of dtype bool"),
        ([1.0, True], TypeError, "a[1] must be real numbers, not a bool of dtype bool"),
        (np.array([True]), TypeError, "a must be real numbers, not dtype bool"),
        ("1.5", TypeError, "a must be real numbers, not a str of dtype <U3"),
        (None, TypeError, "a must be real numbers, not a NoneType of dtype object"),
        (1j, TypeError, "a must be real numbers, not a complex of dtype complex128"),
        (np.array([1.0, None]), TypeError, "a must be real numbers, not dtype object"),
        (np.array(["x"]), TypeError, "a must be real numbers, not dtype <U1"),
        (np.array("2020", "M8[s]"), TypeError, "a must be real numbers, not dtype datetime64[s]"),
        (np.ma.array([1.0], mask=[True]), TypeError, "a must be real numbers, not a masked array"),
        (Tensor([True], "bool"), TypeError, "a must be real numbers, not a Tensor of dtype bool"),
        (Tensor([1j], "complex64"), TypeError, "a must be real numbers, not a Tensor of dtype com"),
        ({"b": 1.0}, TypeError, "a is a mapping where numbers are needed (of a get_state(), hand"),
        (object(), TypeError, "a must be real numbers, not a object of dtype object"),
        (10**400, ValueError, "a holds an integer beyond float64"),
        ([1, 10**400], ValueError, "a holds an integer beyond float64"),
        ([], ValueError, "a holds no number"),
        ([[], []], ValueError, "a holds no number"),
        (np.zeros((3, 0)), ValueError, "a holds no number"),
        ([[1.0, 2.0], [3.0]], ValueError, "a[1] has shape (1,) where a[0] has (2,)"),
        ([1.0, [2.0]], ValueError, "a[1] has shape (1,) where a[0] has ()"),
    ],
)
def test_a_bad_value(value, error, message):
    with pytest.raises(error) as caught:
        read_parameters({"fine": 1.0, "a": value})
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_an_array_that_fails():
    class Meta(Tensor):
        def detach(self):
            raise RuntimeError("Cannot copy out of meta tensor; no data!\nmore")

    with pytest.raises(TypeError) as caught:
        read_parameters({"a": Meta([1.0])})
    message = "a cannot be read as an array: Cannot copy out of meta tensor; no data!"
    assert str(caught.value) == message


def test_a_bad_mapping():
    for source in ({}, Store(), {"__baseline_c": 1.0}):
        with pytest.raises(ValueError, match="the mapping holds no parameter"):
            read_parameters(source)
    for name in (1, None, b"a", ("a",)):
        with pytest.raises(TypeError, match="the name of a parameter must be a str, not"):
            read_parameters({name: 1.0})
    with pytest.raises(ValueError, match=r"two parameters are called 'a\.b'"):
        read_parameters({"a$$$b": 1.0, "a.b": 2.0})
    for source in (None, 3.5, [1.0], np.zeros(3), b"params.pt"):
        with pytest.raises(TypeError, match="parameters must be a path, a mapping or a parameter"):
            read_parameters(source)
    deep = 1.0
    for _ in range(50):
        deep = [deep]
    with pytest.raises(ValueError, match="nested more than 32 deep"):
        read_parameters({"a": deep})
    with pytest.raises(TypeError) as caught:
        read_parameters({"x" * 500 + "\n": "text"})
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


# -- JSON and npz ------------------------------------------------------------------------------


def test_json(write, monkeypatch):
    content = '\ufeff{"a": 1.5, "b": [[1, 2], [3, 4e-1]], "__baseline_x": [], "m$$$c": -3}'
    for source in (write(content), str(write(content, "x.txt"))):
        found = read_parameters(source)
        assert found.values["b"].tolist() == [[1.0, 2.0], [3.0, 0.4]]
        assert dict(found.dtypes) == {"a": None, "b": None, "m.c": None}
        assert found.skipped == ("__baseline_x",)
    with open(write(content)) as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert read_parameters("-").values["m.c"] == -3.0


def test_npz(write):
    arrays = {"a": np.float32(0.5), "b": np.arange(6).reshape(2, 3).T, "c": [np.nan, np.inf]}
    found = read_parameters(write(saved(**arrays)))
    assert dict(found.dtypes) == {"a": "float32", "b": "int64", "c": "float64"}
    for name, array in arrays.items():
        assert np.array_equal(found.values[name], array, equal_nan=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is no JSON object, no npz and no file that torch.save wrote"),
        (b"[1.5]", "it is no JSON object, no npz and no file that torch.save wrote"),
        (b"\x93NUMPY\x01\x00", "it is no JSON object, no npz and no file that torch.save wrote"),
        (b"\x80\x04}.", "it is a pickle, which may run commands: load it where it was written"),
        (b"{}", "the file holds no parameter"),
        (b"{", "line 1, character 2 is not JSON: Expecting property name enclosed in double"),
        (b'{"a": \xff}', "the file is not UTF-8 text"),
        (b'{"a": 1, "a": 2}', "the file repeats the key 'a'"),
        (b'{"a": NaN}', "the number 'NaN' is not finite"),
        (b'{"a": [1, -Infinity]}', "the number '-Infinity' is not finite"),
        (b'{"a": 1e999}', "the number '1e999' is not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "the number '99999"),
        (b'{"a": true}', "a must be real numbers, not a bool of dtype bool"),
        (b'{"a": null}', "a must be real numbers, not a NoneType of dtype object"),
        (b'{"a": "1"}', "a must be real numbers, not a str of dtype <U1"),
        (b'{"a": {"b": 1}}', "a is a mapping where numbers are needed"),
        (b'{"a": [1, [2]]}', "a[1] has shape (1,) where a[0] has ()"),
        (b'{"a": []}', "a holds no number"),
        (b'{"a": ' + b"[" * 99 + b"1" + b"]" * 99 + b"}", "a"),
        (b'{"a": ' + b"[" * 10**6, "the file nests its JSON too deeply"),
        (saved(), "the archive is neither an npz nor one that torch.save wrote"),
        (saved(a=[True]), "a must be real numbers, not dtype bool"),
        (saved(a=["x"]), "a must be real numbers, not dtype <U1"),
        (saved(a=[1j]), "the member 'a.npy' holds the type '<c16', not plain numbers or text"),
        (saved(a=np.array([None])), "the member 'a.npy' holds Python objects, not plain numbers"),
        (saved(a=[]), "a holds no number"),
        (saved(a=[1.0])[:-1], "the archive is damaged: "),
    ],
)
def test_a_bad_file(write, content, message):
    path = write(content)
    with pytest.raises(DataError) as caught:
        read_parameters(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {message}")
    assert text.isprintable()
    assert len(text) < 300
    assert caught.value.__cause__ is None


@pytest.mark.thorough
def test_an_npz_that_unpacks_to_too_much(write):
    file = io.BytesIO()
    np.savez_compressed(file, a=np.zeros(2**27 + 8, np.uint8))
    assert len(file.getvalue()) < 10**6
    with pytest.raises(DataError, match=r"the archive unpacks to [0-9]+ bytes, more than "):
        parse(file.getvalue())


def test_a_file_that_is_not_there(tmp_path):
    for read in (read_parameters, read_numbers):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "missing")
        with pytest.raises(OSError):
            read(tmp_path)


@pytest.mark.thorough
@settings(max_examples=100)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.floats(allow_nan=False, allow_infinity=False)
        | st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
        min_size=1,
    )
)
def test_json_and_memory_say_the_same(values):
    def outcome(read, source):
        try:
            found = read(source)
        except ValueError:
            return None
        return {name: array.tolist() for name, array in found.values.items()}, found.skipped

    wanted = outcome(read_parameters, values)
    assert outcome(parse, json.dumps(values).encode()) == wanted


# -- numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1.5\n-2e3\n.5\n+7.\n",
        "1.5\n-2e3\n.5\n+7.",
        "1.5\n-2e3\n.5\n+7.\n\n  \n\n",
        "loss\n1.5\n-2e3\n.5\n+7.\n",
        "Verlust je Schritt\n1.5\n-2e3\n.5\n+7.\n",
        "# loss\n1.5\n-2E+03\n.5\n+7.\n",
        '"loss"\n"1.5"\n"-2e3"\n.5\n+7.\n',
        "_\n  1.5\t\n-2e3 \n.5\n+7.\n",
        "\ufeffloss\r\n1.5\r\n-2e3\r\n.5\r\n+7.\r\n",
        "\ufeff1.5\n-2e3\r\n.5\n+7.\r\n",
    ],
)
def test_numbers(write, text):
    path = write(text)
    for source in (path, str(path)):
        found = read_numbers(source)
        assert found.dtype == np.float64
        assert found.tolist() == [1.5, -2000.0, 0.5, 7.0]


@pytest.mark.parametrize(
    "content",
    [
        "step,loss\n0,1.5\n1,-2e3\n2,.5\n3,+7.\n",
        "step\tloss\ttime\n0\t1.5\t9\n1\t-2e3\t9\n2\t.5\t9\n3\t+7.\t9\n",
        "Wall time,Step,Value\n9,0,1.5\n9,1,-2e3\n9,2,.5\n9,3,7\n",
        ",0\n0,1.5\n1,-2e3\n2,.5\n3,+7.\n",
        '"";"ELBO"\n0;1.5\n1;-2e3\n2;.5\n3;7\n',
        "[1.5, -2e3, 0.5, 7]",
        " [1.5,\n -2000, 0.5, 7]\n",
        '{"losses": [1.5, -2e3, 0.5, 7]}',
        ' {"lr": 0.1, "guide": "beta", "elbo": [1.5, -2e3, 0.5, 7]}',
        npy([1.5, -2000, 0.5, 7]),
        npy([[1.5], [-2000], [0.5], [7]]),
        npy(np.array([1.5, -2000, 0.5, 7], "float32")),
        saved(losses=[1.5, -2000, 0.5, 7]),
    ],
)
def test_numbers_in_other_forms(write, content):
    assert read_numbers(write(content)).tolist() == [1.5, -2000.0, 0.5, 7.0]


def test_numbers_of_a_run_that_diverged(write):
    text = "loss\nnan\nNaN\n-nan\ninf\n-Infinity\n+INF\n1e-400\n1.7976931348623157e308\n"
    wanted = [np.nan, np.nan, np.nan, np.inf, -np.inf, np.inf, 0.0, sys.float_info.max]
    assert np.array_equal(read_numbers(write(text)), wanted, equal_nan=True)
    assert np.isnan(read_numbers(write("nan\n1\n"))).tolist() == [True, False]


def test_numbers_from_standard_input(write, monkeypatch):
    with open(write("loss\n1\n2\n")) as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert read_numbers("-").tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file holds no number"),
        ("\n\n", "the file holds no number"),
        ("loss\n", "the file holds no number"),
        ("1\n\n2\n", "line 2 is blank"),
        ("\n1\n", "line 1 is blank"),
        ("1\nx\n", "line 2: 'x' is not a number"),
        ("loss\nmore\n1\n", "line 2: 'more' is not a number"),
        ("a,b\n1,2.5\n", "the columns are 'a', 'b': one of them must be called loss"),
        (
            "step,a,b\n1,2,3\n",
            "the columns are 'step', 'a', 'b': one of them must be called loss, or",
        ),
        ("step,loss\n1\n", "line 2 has 1 columns, the header 2"),
        ("step,loss\n1,x\n", "line 2: 'x' is not a number"),
        ("[1, [2]]", "number 1 of the list is '[2]'"),
        ("[1, true]", "number 1 of the list is 'True'"),
        ("[]", "the file holds no number"),
        ("[1,", "the file is no JSON list"),
        ('{"loss": 1.5}', "the JSON object has 0 lists where one is needed: none"),
        ('{"a": [1.5], "b": [2]}', "the JSON object has 2 lists where one is needed: 'a', 'b'"),
        (",".join(f"c{i}" for i in range(999)) + "\n", "the columns are 'c0', 'c1',"),
        ("[" * 10**5, "the file is no JSON list"),
        (saved(a=[1.0], b=[2.0]), "the archive holds 2 arrays where one is needed: a, b"),
        (saved(a=np.ones((2, 2))), "the file has shape (2, 2): one number for each step"),
        (saved(a=["x"]), "the file holds dtype <U1, not real numbers"),
        (npy([1.0])[:-1], "the file does not have the size that its header says"),
        (npy(["x"]), "the file holds dtype <U1, not real numbers"),
        (b"\x93NUMPY", "the file is not a plain array"),
        ("1,5\n", "line 1: '1,5' is not a number"),
        ("-1.3O\n1\n", "line 1: '-1.3O' is not a number"),
        ("1_000\n", "line 1: '1_000' is not a number"),
        ("1\n0x10\n", "line 2: '0x10' is not a number"),
        ("1\n\u0661\n", "line 2: '\u0661' is not a number"),
        ("1\n1 2\n", "line 2: '1 2' is not a number"),
        ("1\n1\r2\n", "line 2: '1\\r2' is not a number"),
        ("1\ntensor(2.)\n", "line 2: 'tensor(2.)' is not a number"),
        ("1\n1e999\n", "line 2: '1e999' is too large for a float"),
        ("1\n-1e999\n", "line 2: '-1e999' is too large for a float"),
        ("1\n\0\n", "line 2: '\\x00' is not a number"),
        (b"1\n2\n\xff\n", "line 3 is not UTF-8 text"),
        ("1\n" + "9" * 5000 + "x", "line 2: '99999"),
        ("1\n" + "9" * 5000, "line 2: '99999"),
    ],
)
def test_bad_numbers(write, content, message):
    path = write(content)
    with pytest.raises(DataError) as caught:
        read_numbers(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {message}")
    assert text.isprintable()
    assert len(text) < 300


@settings(max_examples=100)
@given(st.lists(st.floats(), min_size=1), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_numbers_as_python_writes_them(tmp_path_factory, numbers, end, header):
    path = tmp_path_factory.getbasetemp() / "numbers.txt"
    lines = ["loss"] * header + [repr(number) for number in numbers]
    path.write_bytes(end.join(lines).encode())
    assert np.array_equal(read_numbers(path), numbers, equal_nan=True)
