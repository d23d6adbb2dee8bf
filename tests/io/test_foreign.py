"""`elbo_ref.io.foreign`: what is no file of counts is named, with what to do."""

import bz2
import gzip
import io
import lzma
import pickle
import zipfile

import numpy as np
import pytest

import elbo_ref as er


def sheet():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


def array():
    file = io.BytesIO()
    np.save(file, np.ones((2, 2)))
    return file.getvalue()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("counts.csv", TEXT)
    return file.getvalue()


TEXT = b"k,n\n3,10\n"
FILES = {
    "spreadsheet": (sheet(), "is a spreadsheet: save it as CSV or Parquet"),
    "pickle": (pickle.dumps({"k": [3]}), "is a pickle, which is not opened: save it as CSV"),
    "array": (array(), "is a single array: save named columns by numpy.savez"),
    "bzip2": (bz2.compress(TEXT), "is packed by bzip2: unpack it first"),
    "xz": (lzma.compress(TEXT), "is packed by xz: unpack it first"),
    "utf-16": (TEXT.decode().encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
    "latin-1": ("k,n,ort\n3,10,Köln\n".encode("latin-1"), "not UTF-8 text; save it as UTF-8"),
    "zip": (zipped(), "is a zip archive: unpack it first"),
    "R object": (gzip.compress(b"X\n\0\0\0\3"), "is an R object: save it by write.csv"),
    "R workspace": (gzip.compress(b"RDX3\nX\n"), "is an R workspace: save it by write.csv"),
    "ORC": (b"ORC\n\0", "is an ORC file: save it as CSV"),
    "avro": (b"Obj\x01\x04", "is an Avro file: save it as CSV"),
    "stata": (b"<stata_dta><header>", "is a file of Stata: save it as CSV"),
    "old stata": (b"\x72\x02\x01\0", "is a file of Stata: save it as CSV"),
    "spss": (b"$FL2@(#) SPSS DATA FILE\0", "is a file of SPSS: save it as CSV"),
    "sas": (bytes(12) + b"\xc2\xea\x81\x60\xb3", "is a file of SAS: save it as CSV"),
    "stream of Arrow": (b"\xff\xff\xff\xff\0\1\0\0", "is a stream of Arrow: save it as CSV"),
    "encrypted": (b"PARE\0\1", "is an encrypted Parquet file: save it as CSV or Parquet"),
    "html": (b"<table><tr>", "is a page of HTML or XML: save it as CSV or Parquet"),
    "lz4": (b"\x04\x22\x4d\x18", "is packed by lz4: unpack it first, or pack it by gzip"),
    "tar": (bytes(257) + b"ustar", "is a tar archive: unpack it first"),
    "sqlite": (b"SQLite format 3\0" + bytes(84), "is an SQLite database: save it as CSV"),
}


@pytest.mark.parametrize(("content", "said"), FILES.values(), ids=FILES)
def test_a_file_of_another_format(content, said):
    with pytest.raises(ValueError) as caught:
        er.read_counts(io.BytesIO(content))
    assert said in str(caught.value)


def test_a_database_of_duckdb_is_named(tmp_path):
    """The call in the message, with the file and the table put in, gives the counts."""
    duckdb = pytest.importorskip("duckdb")
    path = str(tmp_path / "shop.db")
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE shop AS SELECT 3 AS k, 10 AS n")
    with pytest.raises(ValueError, match="is a DuckDB database: hand over a table") as caught:
        er.read_counts(path)
    call = str(caught.value).partition("of it, ")[2]
    call = call.replace("FILE", "path").replace("NAME", "'shop'")
    with pytest.warns(UserWarning, match="known by their names"):
        got = eval(call, {"Counts": er.Counts, "duckdb": duckdb, "path": path})
    assert got == er.Counts(3, 10)


def test_arrow_files_are_named():
    feather = pytest.importorskip("pyarrow.feather")
    import pyarrow as pa

    file = io.BytesIO()
    feather.write_feather(pa.table({"k": [3], "n": [10]}), file)
    with pytest.raises(ValueError, match="is an Arrow file: save it as CSV or Parquet"):
        er.read_counts(io.BytesIO(file.getvalue()))


def test_a_frame_is_no_file():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match=r"not a data frame: call Counts\.from_frame"):
        er.read_counts(pandas.DataFrame({"k": [3], "n": [10]}))


@pytest.mark.parametrize("name", ["ORCHARD", "FEA1", "PARE", "$FL"])
def test_a_header_that_begins_as_another_format_does(name):
    text = f"{name},k,n\n4,3,10\n".encode()
    got = er.read_counts(io.BytesIO(text), successes="k", total_count="n")
    assert got == er.Counts(3, 10)


def test_separators_of_thousands():
    for cell in ('"1,234"', "1_234", '"1 234"'):
        with pytest.raises(ValueError, match="write it without separators of thousands"):
            er.read_counts(io.StringIO(f"k,n\n{cell},5000\n"), successes="k", total_count="n")
