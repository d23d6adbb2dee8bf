"""`elbo_ref.io.layout`: names of columns that contradict each other."""

import pytest
from tables import HEADER

from elbo_ref.io.counts_file import read_counts


def test_settings_that_contradict_each_other(write):
    path = write(HEADER + "1,2\n")
    for options, words in (
        ({"shared": True, "group": "successes"}, "shared.*group"),
        ({"successes": "total_count"}, "same name"),
        ({"columns": ("a", "b")}, "the table has no column 'successes'"),
        ({"columns": ("successes", "total_count", "successes")}, "repeats the column"),
    ):
        with pytest.raises(ValueError, match=words):
            read_counts(path, **options)
