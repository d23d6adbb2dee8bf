"""`elbo_ref.report.labels`: labels that differ are drawn differently, and none is long."""

import numpy as np
import pytest

from elbo_ref.report.labels import BRIEF, LONGEST, letters, plain_text, plain_texts

KINDS = {
    "numbered at the end": [f"Ward with a very long name number {i}" for i in range(120)],
    "numbered before the end": [f"Ward with a very long name number {i}, east" for i in range(120)],
    "numbered in the middle": [f"{'a' * 40} {i} {'b' * 40}" for i in range(30)],
    "numbered at both ends": [f"{i % 5} {'a' * 60} {i // 5}" for i in range(30)],
    "one begins another": ["a" * i for i in range(1, 90)],
    "ideographs": ["\u6f22" * i for i in range(1, 50)],
    "dates": [f"2024-01-{i:02} at the hospital in the north" for i in range(1, 29)],
    "far apart": ["x" * 30 + c + "y" * 50 + d + "z" * 30 for c in "pqr" for d in "stu"],
}


@pytest.mark.parametrize("most", [BRIEF, LONGEST])
@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_differ_are_drawn_differently(kind, most):
    drawn = plain_texts(KINDS[kind], most)
    assert len({*drawn}) == len(drawn)
    assert max(map(letters, drawn)) <= most


def test_what_is_short_stays_and_what_is_equal_is_equal():
    names = ["north", 3, "two\nlines", "a" * 99, "north", "a" * 99]
    drawn = plain_texts(names, 20)
    assert drawn[:3] == ["north", "3", "two lines"]
    assert drawn[0] == drawn[4] and drawn[3] == drawn[5] == "a" * 10 + "…" + "a" * 9
    assert plain_text("a" * 32) == "a" * 32 and plain_text("a" * 33) != "a" * 33


def test_ideographs_are_as_wide_as_two_letters():
    assert letters("\u6f22a\u00e4") == 4
    assert letters(plain_text("\u6f22" * 30, 21)) <= 21


def test_any_texts():
    rng = np.random.default_rng(2)
    for _ in range(200):
        size = int(rng.integers(1, 30))
        lines = ["".join(rng.choice([*"ab "], rng.integers(1, 60))) for _ in range(size)]
        wanted = {" ".join(x.split()) for x in lines}
        drawn = plain_texts(lines, 12)
        assert len({*drawn}) == len(wanted) and max(map(letters, drawn)) <= 12
