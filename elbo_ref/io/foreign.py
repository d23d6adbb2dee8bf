"""Files of other formats, known by their first bytes: which they are, and what to do with them."""

from __future__ import annotations

import re

_FRAME = "save it as CSV or Parquet, or read it into a frame for Counts.from_frame"
_R = "save it by write.csv"
_TEXT, _PACKED = "save it as UTF-8", "unpack it first, or pack it by gzip"

_KINDS = (
    (b"PARE", "an encrypted Parquet file", _FRAME),
    (b"ARROW1", "an Arrow file", _FRAME),
    (b"FEA1", "an Arrow file", _FRAME),
    (b"\xff\xff\xff\xff", "a stream of Arrow", _FRAME),
    (b"\x89HDF\r\n", "an HDF5 file", _FRAME),
    (b"SQLite format 3\0", "an SQLite database", _FRAME),
    (b"\xd0\xcf\x11\xe0", "an Excel sheet", _FRAME),
    (b"ORC", "an ORC file", _FRAME),
    (b"Obj\x01", "an Avro file", _FRAME),
    (b"<stata_dta>", "a file of Stata", _FRAME),
    *(
        (bytes([version, order, 1]), "a file of Stata", _FRAME)
        for version in (113, 114, 115)
        for order in (1, 2)
    ),
    (b"$FL", "a file of SPSS", _FRAME),
    (bytes(12) + b"\xc2\xea\x81\x60", "a file of SAS", _FRAME),
    (b"HEADER RECORD***", "a file of SAS", _FRAME),
    *((sign, "a page of HTML or XML", _FRAME) for sign in (b"<!", b"<?xml", b"<html", b"<table")),
    (b"RDX", "an R workspace", _R),
    (b"X\n\0\0", "an R object", _R),
    (b"\x93NUMPY", "a single array", "save named columns by numpy.savez"),
    (b"\x80\x03", "a pickle, which is not opened", _FRAME),
    (b"\x80\x04", "a pickle, which is not opened", _FRAME),
    (b"\x80\x05", "a pickle, which is not opened", _FRAME),
    (b"\x04\x22\x4d\x18", "packed by lz4", _PACKED),
    (b"7z\xbc\xaf\x27\x1c", "packed by 7-Zip", _PACKED),
    (b"BZh", "packed by bzip2", _PACKED),
    (b"\xfd7zXZ\0", "packed by xz", _PACKED),
    (b"\xff\xfe", "UTF-16 text", _TEXT),
    (b"\xfe\xff", "UTF-16 text", _TEXT),
)
_WORDS = (b"PARE", b"FEA1", b"ORC", b"$FL")
"""These may be the beginning of a name in a text, too."""
_IN_TEXT = tuple(known for known in _KINDS if known[0] not in _WORDS)
_CONTROL = re.compile(rb"[\0-\x08]")
PARAMETER_STORE = (
    "a parameter store, or what else torch.save wrote, which the cross-check takes as --params"
)
"""What a file of PyTorch's is, and where it belongs."""
_PROGRAM = b"/data.pkl"
_SHEET = (b"[Content_Types].xml", b"mimetypeapplication/vnd.oasis")


def is_parameter_store(first: bytes) -> bool:
    """Return True if the first bytes are those of a zip that `torch.save` wrote."""
    return first.startswith(b"PK") and _PROGRAM in first[:1024]


def is_binary(first: bytes) -> bool:
    """Return True if the first bytes are not of a text."""
    return bool(_CONTROL.search(first[:512]))


def refusal(first: bytes) -> str:
    """Say what a file is whose first bytes these are, and what to do; empty if it may be counts.

    Examples
    --------
    >>> refusal(b"BZh91AY")
    'the file is packed by bzip2: unpack it first, or pack it by gzip'
    >>> refusal(b"k,n")
    ''
    """
    if first.startswith(b"PK") and any(sign in first[:4096] for sign in _SHEET):
        return f"the file is a spreadsheet: {_FRAME}"
    if is_parameter_store(first):
        return f"the file is {PARAMETER_STORE}; counts are a table of successes and total_count"
    if first[257:262] == b"ustar":
        return f"the file is a tar archive: {_PACKED}"
    if first[8:12] == b"DUCK":
        rule = "hand over a table of it, Counts.from_frame(duckdb.connect(FILE).table(NAME))"
        return f"the file is a DuckDB database: {rule}"
    if first.startswith(b"PK\3\4") and not _name_in(first).endswith(b".npy"):
        return f"the file is a zip archive: {_PACKED}"
    signs = _KINDS if is_binary(first) else _IN_TEXT
    known = (f"the file is {kind}: {rule}" for sign, kind, rule in signs if first.startswith(sign))
    return next(known, "")


def _name_in(archive: bytes) -> bytes:
    """Return the name of the first member of a zip."""
    return archive[30 : 30 + int.from_bytes(archive[26:28], "little")]
