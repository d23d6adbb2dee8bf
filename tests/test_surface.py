"""The arguments, defaults and kinds of values that users rely on: a change is deliberate."""

from reference.make_surface import SURFACE, arguments, surface

import elbo_ref as er


def test_no_default_changes_unnoticed():
    """`reference/surface.txt` line by line; `reference/make_surface.py` writes it anew."""
    assert surface().splitlines() == SURFACE.read_text("utf-8").splitlines()


def test_another_default_would_be_noticed():
    """Negative control."""
    assert arguments(er.tarone_test) == "(counts), underflow is zero"
    assert arguments(er.tarone_test.__wrapped__) == "(counts)"
    assert arguments(lambda x, *, y=1: x) != arguments(lambda x, *, y=2: x)
    assert arguments(lambda x, *, y=1: x) != arguments(lambda x, y=1: x)
