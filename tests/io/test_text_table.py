"""`elbo_ref.io.text_table`: tables of text to counts.

Good tables in every dress, and every refusal with file, line, column, value and rule in one line.
Generated tables, and what is left of them after damage, are held against a slow twin that reads
byte by byte.
"""

import time

import pytest
from hypothesis import assume, given, settings, strategies as st
from tables import (
    BIG,
    DAMAGE,
    HEADER,
    PLAIN,
    WARDS,
    RefusedError,
    assert_same,
    check_against_twin,
    counts_of,
    damaged,
    is_json,
    refusal,
    slow_cells,
)

import elbo_ref as er
from elbo_ref.io.counts_file import Layout, read, read_counts
from kinds import one_row

DRESSES = {
    "plain": "successes,total_count\n3,10\n0,4\n7,7\n",
    "tabs": "successes\ttotal_count\n3\t10\n0\t4\n7\t7\n",
    "semicolons": "successes;total_count\n3;10\n0;4\n7;7\n",
    "byte order mark": "\ufeffsuccesses,total_count\n3,10\n0,4\n7,7\n",
    "CRLF": "successes,total_count\r\n3,10\r\n0,4\r\n7,7\r\n",
    "BOM and CRLF": "\ufeffsuccesses,total_count\r\n3,10\r\n0,4\r\n7,7\r\n",
    "LF and CRLF": "successes,total_count\r\n3,10\n0,4\r\n7,7\n",
    "no final newline": "successes,total_count\n3,10\n0,4\n7,7",
    "CRLF but for the last": "successes,total_count\r\n3,10\r\n0,4\r\n7,7",
    "quoted": '"successes","total_count"\n"3","10"\n0,"4"\n"7",7\n',
    "quoted after a BOM": '\ufeff"successes","total_count"\n3,10\n0,4\n7,7\n',
    "other order": "total_count,successes\n10,3\n4,0\n7,7\n",
    "spaces": " successes , total_count \n 3, 10\n0 ,4 \n7,7\n",
    "extra columns": 'id,successes,note,total_count\nx,3,"a, b",10\ny,0,,4\nz,7,ü,7\n',
    "an index without a name": ",successes,total_count\n0,3,10\n1,0,4\n2,7,7\n",
    "other separators in a header": '"a;b","c\td",successes,total_count\n,,3,10\n,;,0,4\n\t,,7,7\n',
    "more of another separator": "a;b;c;d,successes,total_count\n;,3,10\n,0,4\n;;;;,7,7\n",
    "other separators inside": 'note,successes,total_count\n;,3,10\n"\t,;",0,4\n;\t;,7,7\n',
    "quotes inside": 'note,successes,total_count\na"b,3,10\n"a""b",0,4\n"",7,7\n',
    "a key called PK": "PK,successes,total_count\nx,3,10\ny,0,4\nz,7,7\n",
    "plus signs": "successes,total_count\n+3,+10\n0,4\n7,7\n",
    "points": "successes,total_count\n3.0,10.000\n0.0,4\n+7.0,7\n",
    "leading zeros": "successes,total_count\n03,010\n00,4\n0000000000000000000000007,7\n",
    "multiplicity of one": "successes,total_count,multiplicity\n3,10,1\n0,4,1\n7,7,1\n",
}


@pytest.mark.parametrize("text", DRESSES.values(), ids=DRESSES)
def test_dresses(write, text):
    path = write(text)
    assert_same(read_counts(path), PLAIN)
    assert_same(read_counts(str(path)), PLAIN)
    check_against_twin(path, text.encode())


@pytest.mark.parametrize("text", ["3;x;10\n0;y;4\n7;z;7\n", "\ufeff3\tx\t10\r\n0\ty\t4\r\n7\tz\t7"])
def test_without_a_header(write, text):
    assert_same(read_counts(write(text), columns=("successes", "id", "total_count")), PLAIN)


def test_columns_of_other_names(write):
    path = write("n,k,successes,w\n10,3,x,2\n4,0,y,5\n10,3,z,1\n")
    names = {"successes": "k", "total_count": "n"}
    assert_same(read_counts(path, **names), er.Counts([3, 0], [10, 4], [2, 1]))
    assert_same(read_counts(path, **names, multiplicity="w"), er.Counts([3, 0], [10, 4], [3, 5]))
    path = write("multiplicity,total_count\n3,5\n")
    assert_same(read_counts(path, successes="multiplicity"), er.Counts(3, 5))


def test_equal_pairs_are_one_entry(write):
    """In the order of first appearance; a multiplicity of 0 and no trials are legal."""
    path = write("multiplicity,successes,total_count\n40,0,2\n0,1,2\n50,2,2\n2,0,2\n3,0,0\n")
    assert_same(read_counts(path), er.Counts([0, 1, 2, 0], [2, 2, 2, 0], [42, 0, 50, 3]))


def test_shared_and_group(write):
    text = "successes,total_count,ward,multiplicity\n3,10,a,1\n0,4,b,2\n1,5,a,3\n0,0,c,1\n"
    path = write(text)
    rows = er.Counts([3, 0, 1, 0], [10, 4, 5, 0], [1, 2, 3, 1])
    assert_same(read_counts(path, shared=True), rows.pooled())
    grouped = read_counts(path, group="ward")
    assert_same(grouped, rows.pooled(["a", "b", "a", "c"]))
    assert grouped.log_split[0] < 0
    for times in (2, 5):
        again = write(text + "1,5,a,3\n" * times + '"1",5,a,3\n')
        rows = er.Counts([3, 0, 1, 0], [10, 4, 5, 0], [1, 2, 3 * (times + 2), 1])
        assert_same(read_counts(again, group="ward"), rows.pooled(["a", "b", "a", "c"]))
    check_against_twin(path, text.encode(), group="ward")


def test_a_log_split_never_rounds_to_more_than_zero(write):
    """It is a probability: here 1 - 2e-16, whose log has the wrong sign by rounding."""
    path = write(f"successes,total_count\n2,{10**16}\n0,1\n")
    assert -1e-14 < read_counts(path, shared=True).log_split[0] <= 0


def test_labels_keep_their_text(write):
    """Commas, quotes, other scripts; numbers are text, so 1 and 01 are two groups."""
    text = (
        "Ärztin,successes,total_count\n"
        '"Graz, West",1,2\n東京,0,3\n"Graz, West",1,4\n"""x""",2,2\n1,0,1\n01,1,1\nNA,0,1\n'
    )
    counts = read_counts(write(text), group="Ärztin")
    assert counts.labels == ("Graz, West", "東京", '"x"', "1", "01", "NA")
    assert counts.successes.tolist() == [2, 0, 2, 0, 1, 0]
    assert counts.total_count.tolist() == [6, 3, 2, 1, 1, 1]


def test_largest_numbers(write):
    path = write(f"successes,total_count\n{2**62 + 1},{2**63 - 1}.0\n")
    counts = read_counts(path)
    assert (counts.successes[0], counts.total_count[0]) == (2**62 + 1, 2**63 - 1)


@pytest.mark.parametrize("block", [2**20, 2**15, 12345])
def test_the_longest_line(write, small_blocks, block):
    small_blocks(block)
    label = "東" * (2**16 - 4)
    path = write(f"ward,successes,total_count\r\n{label},1,2\r\n{label},0,2")
    assert read_counts(path, group="ward").labels == (label,)
    message = refusal(write(f"ward,successes,total_count\na,1,2\n{label}u,1,2\n"), group="ward")
    assert message == "line 3 is longer than 65536 characters"


@pytest.mark.parametrize("size", [65 * 2**10, 3 * 2**20])
def test_a_line_that_is_too_long(write, size):
    for text in (f"{'x' * size},successes,total_count\nx,1,2\n", "1" * size):
        assert refusal(write(text)) == "line 1 is longer than 65536 characters"
    text = f"ward,successes,total_count\n{'w' * size},1,2\n"
    assert refusal(write(text), group="ward") == "line 2 is longer than 65536 characters"


def test_rows_with_blanks_are_dropped_if_asked(write):
    text = 'g,k,n,x\na,1,2,\na,,2,\na,NA,x,\nNA,1,2,\n,1,2,\n\n   \nb, NA ,"",\nb,0,1,NA\n,,,\n'
    path = write(text)
    names = {"successes": "k", "total_count": "n"}
    got = read(path, Layout(**names, group="g", na="drop"))
    assert_same(got.counts, er.Counts.grouped([1, 0], [2, 1], ["a", "b"]))
    assert (got.source.rows, got.source.dropped) == (2, 8)
    assert read(path, Layout(**names, na="drop")).source[3:] == (4, 6)
    assert refusal(path, **names) == "line 3, column k: '' is blank; add na=\"drop\""
    path = write("k,n\n,2\n1,x\n")
    assert "line 3, column n: 'x'" in refusal(path, **names, na="drop")
    path = write("k,n\n,2\n\n")
    message = "the file has no row of counts; 2 blank ones are dropped"
    assert refusal(path, **names, na="drop") == message


@pytest.mark.parametrize(
    "cell",
    [
        "1.5", "2.9999999999999996", ".5", "3.", "3.0.0", "1.00001", "-0.5", "1e1", "1E1", "0x1",
        "0b1", "1_0", "1,0", "NaN", "nan", "inf", "Infinity", "-", "+", "++1", "+-1", "+ 1", "1 0",
        "one", "NA", "None", "True", "1\t", "\u0661", "\u0661\u0662", "\u00b2", "\uff11", "\u22121",
        "1\u00a0", "1;2", "'1'", "1\x0b", "\ufeff1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("column", ["successes", "total_count", "multiplicity"])
def test_a_cell_that_is_not_a_whole_number(write, column, cell):
    names = ["successes", "total_count", "multiplicity"]
    bad = [f'"{cell}"' if name == column else "9" for name in names]
    text = "\n".join([",".join(names), "1,2,3", "1,2,3", ",".join(bad), "1,2,3"])
    message = refusal(write(text))
    advice = '; add na="drop"' if cell in ("NA", "NaN", "nan") else ""
    if (column, cell) == ("successes", "True"):
        advice = '; if a row is one trial, add outcome="successes"'
    if (column, cell) == ("successes", ".5"):
        advice = '; if it is one of the trials, add proportion="successes"'
    assert message == f"line 4, column {column}: {cell!r} is not a whole number{advice}"
    check_against_twin(write(text), text.encode())


FAILURES = '; if total_count are failures, add failures="total_count"'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("-1,2", "line 3, column successes: '-1' is negative"),
        ("1,-2.0", "line 3, column total_count: '-2.0' is negative"),
        (",2", "line 3, column successes: '' is blank; add na=\"drop\""),
        ("1,", "line 3, column total_count: '' is blank; add na=\"drop\""),
        ('"  ",2', "line 3, column successes: '' is blank; add na=\"drop\""),
        ("12,10", "line 3, column successes: 12 exceeds total_count = 10" + FAILURES),
        ("1,0", "line 3, column successes: 1 exceeds total_count = 0" + FAILURES),
        (f"{2**63},1", f"line 3, column successes: '{2**63}' is not below 2**63"),
        (f"1,{2**64}.0", f"line 3, column total_count: '{2**64}.0' is not below 2**63"),
        ("", 'line 3 is blank; add na="drop"'),
        ("  ", 'line 3 is blank; add na="drop"'),
        ("1", "line 3 has 1 cell where the header has 2; the separator is a comma: '1'"),
        ("1;2", "line 3 has 1 cell where the header has 2; the separator is a comma: '1;2'"),
        ("1,2,", "line 3 has 3 cells where the header has 2; the separator is a comma: '1,2,'"),
        ("\t", "line 3 has 1 cell where the header has 2; the separator is a comma: '\\t'"),
        ('"1,2', "line 3 has quotes that do not match (a cell ends on its line): '\"1,2'"),
        ('"1"x,2', "line 3 has quotes that do not match (a cell ends on its line): '\"1\"x,2'"),
        ("\r1,2", "line 3 holds a carriage return without a line feed: '\\r1,2'"),
        ("1\r,2", "line 3 holds a carriage return without a line feed: '1\\r,2'"),
        ("1,\0", "line 3 holds a NUL byte"),
        ("1,2\udcff", "line 3 is not UTF-8 text; save it as UTF-8"),
    ],
)
def test_a_bad_row(write, row, message):
    """Whatever comes after it, and however the lines end."""
    for end in ("\n", "\r\n"):
        for after in ("", f"1,2{end}", f"x,y{end}", f"\0,{end}"):
            text = end.join(["successes,total_count", "1,2", row, after])
            data = text.encode(errors="surrogateescape")
            path = write(data)
            assert refusal(path) == message
            check_against_twin(path, data)
    path = write(f"1,2\n0,2\n{row}\n".encode(errors="surrogateescape"))
    message = message.replace("the header has", "there are names for")
    assert refusal(path, columns=("successes", "total_count")) == message


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (b"a\rb", "line 3 holds a carriage return without a line feed: 'a\\rb,1,2'"),
        (b"\r", "line 3 holds a carriage return without a line feed: '\\r,1,2'"),
        (b'"a', "line 3 has quotes that do not match (a cell ends on its line): '\"a,1,2'"),
        (b'"a"b', "line 3 has quotes that do not match (a cell ends on its line): '\"a\"b,1,2'"),
        (b"\0", "line 3 holds a NUL byte"),
        (b"\xed\xa0\x80", "line 3 is not UTF-8 text; save it as UTF-8"),
        (b"a,b", "line 3 has 4 cells where the header has 3; the separator is a comma: 'a,b,1,2'"),
        (b"a" * 65533, "line 3 is longer than 65536 characters"),
    ],
    ids=lambda value: value[:9],
)
def test_a_cell_that_is_not_needed_is_not_trusted(write, note, message):
    for other in (b"a", b'"a"', b'"a""b"'):
        data = b"note,successes,total_count\n" + other + b",1,2\n" + note + b",1,2\n"
        assert refusal(write(data + other + b",3,4\n")) == message
        check_against_twin(write(data), data)
        check_against_twin(write(data), data, group="note")


def test_the_longest_messages(write):
    """Whatever the file holds: a cell of thousands of digits, a thousand names, signs unseen."""
    long = "x" * 5000
    for cell in ("9" * 5000, long, "\u2028\x85\x1b", "\U000e0001" * 5000, f'"{long}'):
        refusal(write(f"{HEADER}{cell},2\n"))
        refusal(write(f"{HEADER}{cell}\n"))
        refusal(write(f"{cell}\n1\n"))
        refusal(write(f"successes,{cell}\n1\n"))
        refusal(write(f"{cell},successes,total_count\n1\n"), group=f"{long}\n")
        refusal(write(f"{cell},{cell},successes,total_count\n1\n"))
        refusal(write(f"{long},successes,total_count\n{cell},1,2\n"), successes=long)
        refusal(
            write(f"{cell},1,2\n"), columns=(long, "a\nb", "c"), successes=long, total_count="c"
        )
    wide = ",".join(f"column{i}" for i in range(5000))
    refusal(write(f"{wide}\n{wide}\n"))
    refusal(write(f"{wide},column7\n{wide}\n"))


UNKNOWN = "line 1 does not say which column is "
BOTH = "successes and which total_count, or the outcome of one trial"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\ufeff", "line 1 is blank where a header is needed"),
        ("\n", "line 1 is blank where a header is needed"),
        ("\r\n\r\n", "line 1 is blank where a header is needed"),
        ("\n" + HEADER, "line 1 is blank where a header is needed"),
        ("successes,total_count", "the file has no row of counts"),
        (HEADER, "the file has no row of counts"),
        ("\0", "line 1 holds a NUL byte"),
        (b"\x80", "line 1 is not UTF-8 text"),
        (HEADER.encode("utf-16"), "the file is UTF-16 text: save it"),
        (HEADER.encode("utf-16-le"), "line 1 holds a NUL byte"),
        (b"\x1f\x8b\x08\x00", "the gzip is damaged: "),
        (b"\x93NUMPY\x01\x00", "the file is a single array: save"),
        ("successes,total_count,ort\n1,2,Köln\n".encode("latin-1"), "line 2 is not UTF-8 text"),
        ('"succ\nesses",total_count\n', "line 1 has quotes that do not match"),
        ("\ufeff\ufeffx,total_count\n", f'{UNKNOWN}successes; its columns are "\\ufeffx", "total'),
        ("successes,total_count\r1,2\r", "line 1 holds a carriage return without"),
        (
            "x\n1\n",
            f'{UNKNOWN}{BOTH}; its columns are "x"; add succ',
        ),
        ("successes,x\n", f'{UNKNOWN}total_count; its columns are "successes", "x"; add total_'),
        ("total_count;x\n", f'{UNKNOWN}successes; its columns are "total_count", "x"; add succes'),
        ("1,2\n1,2\n", 'line 1 is a row, not a header: \'1,2\'; add columns=("successes", "total'),
        ("successes,total_count;x\n", f'{UNKNOWN}total_count; its columns are "successes", "tot'),
        ("x,successes,x,total_count\n", "line 1 repeats the column 'x'; it has ['x', 'successes',"),
        (",successes,total_count, \n", "line 1 repeats the column ''; it has ['', 'successes',"),
        (
            "[1, 2]",
            f'{UNKNOWN}{BOTH}; its columns are "[1", "2]"; add',
        ),
    ],
)
def test_a_bad_file(write, content, message):
    assert refusal(write(content)).startswith(message)


@pytest.mark.parametrize("name", ["successes", "total_count", "multiplicity", "group"])
def test_an_unknown_column(write, name):
    message = refusal(write(HEADER + "1,2\n"), **{name: "clinic"})
    known = 'its columns are "successes", "total_count"'
    assert message == f'line 1 has no column "clinic" of {name}; {known}'


def test_a_first_row_without_a_header(write):
    columns = ("successes", "total_count")
    for text in ("1 2\n", "1,2,3\n", "1,2;3\n", "\n1,2\n", '"1\n2",2\n'):
        message = refusal(write(text), columns=columns)
        assert message.startswith("line 1 does not have 2 cells separated by one of comma, tab, ")
        assert message.endswith(repr(text.split("\n")[0]))
    message = refusal(write(HEADER), columns=columns)
    assert message == "line 1, column successes: 'successes' is not a whole number"


def test_a_blank_label(write):
    path = write('ward,successes,total_count\na,1,2\n" ",1,2\n')
    assert refusal(path, group="ward") == 'line 3, column ward: the label is blank; add na="drop"'
    assert_same(read_counts(path), er.Counts([1], 2, 2))


@pytest.mark.parametrize(
    ("rows", "options", "column"),
    [
        (f"1,2,{BIG},a\n1,2,{BIG},a", {}, "multiplicity"),
        (f"1,2,{2**63 - 1},a\n1,2,{2**63 - 1},a\n0,1,1,b", {}, "multiplicity"),
        (f"0,0,{BIG},a\n0,0,{BIG},b", {"group": "ward"}, "multiplicity"),
        (f"0,0,{BIG},a\n0,0,{BIG},b", {"shared": True}, "multiplicity"),
        (f"1,4,{2**61},a\n1,5,1,b", {"group": "ward"}, "total_count for 'a'"),
        (f"1,4,1,a\n1,{BIG},1,b\n2,{BIG},1,b", {"group": "ward"}, "total_count for 'b'"),
        (f"1,{BIG},1,a\n2,{BIG},1,b", {"shared": True}, "total_count"),
        (f"1,{2**63 - 1},1,a\n" * 8 + "0,0,1,a", {"shared": True}, "total_count"),
        (f"0,{2**63 - 1},{2**63 - 1},a\n" * 8 + "0,0,1,a", {"group": "ward"}, "multiplicity"),
    ],
)
def test_sums_never_wrap(write, small_blocks, rows, options, column):
    """However the rows are cut into blocks, and unless a row further on is wrong."""
    header = "successes,total_count,multiplicity,ward\n"
    for size in (1, 10, 45, 2**20):
        small_blocks(size)
        message = refusal(write(f"{header}{rows}\n"), **options)
        assert message == f"the sum of {column} does not fit into 63 bits"
        assert refusal(write(f"{header}{rows}\nx,1,1,c\n"), **options).startswith("line ")
    path = write(f"k,n\n1,{BIG}\n2,{BIG}\n")
    names = {"successes": "k", "total_count": "n"}
    assert refusal(path, **names, shared=True) == "the sum of n does not fit into 63 bits"
    assert_same(read_counts(path, **names), er.Counts([1, 2], BIG))


def test_sums_that_just_fit(write):
    text = f"ward,successes,total_count,multiplicity\na,3,{2**61},3\nb,0,{2**63 - 2**35},1\n"
    counts = read_counts(write(text), group="ward")
    assert counts.total_count.tolist() == [3 * 2**61, 2**63 - 2**35]
    assert counts.successes.tolist() == [9, 0]


def test_nothing_takes_long(write):
    """Cells, headers and rows on which a careless reader is quadratic."""
    begun = time.monotonic()
    for text in (
        HEADER + "0" * 60000 + "x,1\n",
        HEADER + "0" * 60000 + ".0" * 3 + ",1\n",
        HEADER + "1" + " " * 60000 + "x,1\n",
        HEADER + "1." + "0" * 60000 + "1,1\n",
        ",".join(map(str, range(12000))) + "\n",
        HEADER + '"' * 60000 + "\n",
        HEADER + "\n" * 10**6,
        HEADER + "1,2\n" * 10**5 + "x",
    ):
        refusal(write(text))
    assert refusal(write(HEADER + "\n" * 10**6), na="drop").endswith(
        "1000000 blank ones are dropped"
    )
    assert time.monotonic() - begun < 10


ROW = one_row(st.integers(0, 20) | st.integers(0, 2**63 - 1))


TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\0", exclude_categories=("Cs",))
    | st.sampled_from(',;\t" 1'),
    max_size=6,
)

LABEL = TEXT.filter(lambda text: text.strip(" ") == text != "")


@st.composite
def tables(draw):
    """The bytes of a table, its rows (k, n, w, label), and how its columns are named."""
    pairs = draw(st.lists(ROW, min_size=1, max_size=4))
    labels = draw(st.lists(LABEL, min_size=1, max_size=3))
    weights = draw(st.booleans())
    weight = st.integers(0, 1000) if weights else st.just(1)
    row = st.tuples(st.sampled_from(pairs), weight, st.sampled_from(labels))
    rows = [(*pair, w, label) for pair, w, label in draw(st.lists(row, min_size=1, max_size=8))]
    names = draw(st.lists(LABEL, min_size=6, max_size=6, unique=True))
    names = [*names[:2], names[2] if weights else None, *names[3:]]
    extra = draw(st.integers(0, 2))
    places = draw(st.permutations([i for i in range(4 + extra) if names[i] is not None]))
    separator, end = draw(st.sampled_from(",\t;")), draw(st.sampled_from(["\n", "\r\n"]))
    style = draw(st.randoms(use_true_random=False))

    def cell(value):
        text = str(value)
        if isinstance(value, int):
            text = style.choice(["", "", "+"]) + "0" * style.choice([0, 0, 2]) + text
            text += style.choice(["", "", ".0", ".000"])
        if any(sign in text for sign in ('"', separator)) or style.random() < 0.2:
            return '"' + text.replace('"', '""') + '"'
        return style.choice(["", "", " "]) + text + style.choice(["", "", " "])

    def line(values):
        return separator.join(cell(values[i]) for i in places)

    header = draw(st.booleans())
    lines = [line(names)] if header else []
    lines += [line([*row, draw(TEXT), draw(TEXT)]) for row in rows]
    text = (
        draw(st.sampled_from(["", "\ufeff"])) + end.join(lines) + draw(st.sampled_from(["", end]))
    )
    roles = dict(zip(("successes", "total_count", "multiplicity"), names[:3], strict=True))
    if not header:
        roles["columns"] = tuple(names[i] for i in places)
    return text.encode(), rows, roles, names[3]


def fits_another_separator(data, roles):
    """Whether a first row without a header does not say which separator it has."""
    first = data.decode("utf-8-sig").partition("\n")[0].removesuffix("\r")
    cells = [slow_cells(first, sign) for sign in ",\t;"]
    return [len(found or ()) for found in cells].count(len(roles["columns"])) > 1


@pytest.mark.thorough
@settings(max_examples=150)
@given(table=tables())
def test_round_trip(one_file, table):
    """The rows that were written, as a histogram, grouped and pooled; and so says the twin."""
    data, rows, roles, group = table
    assume(not is_json(data))
    one_file.write_bytes(data)
    for how in ({}, {"group": group}, {"shared": True}):
        layout = Layout(**roles, **how)
        if "columns" in roles and fits_another_separator(data, roles):
            assert "separated by one of" in refusal(one_file, **roles, **how)
            return
        try:
            wanted = counts_of(rows, layout)
        except RefusedError:
            assert "does not fit into 63 bits" in refusal(one_file, **roles, **how)
            continue
        got = read(one_file, layout)
        assert_same(got.counts, wanted)
        assert (got.source.rows, got.source.dropped) == (len(rows), 0)
        check_against_twin(one_file, data, **roles, **how)


WARD_OPTIONS = (
    {},
    {"group": "ward"},
    {"shared": True, "multiplicity": "multiplicity"},
    {"group": "ward", "na": "drop"},
    {"columns": ("ward", "successes", "total_count", "multiplicity"), "na": "drop"},
)


@pytest.mark.thorough
@settings(settings(max_examples=150), max_examples=1500)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=3), crlf=st.booleans(), data=st.data())
def test_a_damaged_table(one_file, damages, crlf, data):
    """It is what the twin says it is, right or wrong; and never anything else happens."""
    good = WARDS.replace(b"\n", b"\r\n") if crlf else WARDS
    options = data.draw(st.sampled_from(WARD_OPTIONS))
    if "columns" in options:
        good = good.partition(b"\n")[2]
    check_against_twin(one_file, damaged(good, damages), **options)


@pytest.mark.thorough
def test_a_table_cut_anywhere(one_file):
    for options in WARD_OPTIONS[:4]:
        for size in range(len(WARDS)):
            check_against_twin(one_file, WARDS[:size], **options)
