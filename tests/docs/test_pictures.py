"""The pictures that lie in docs/ are those that its programs draw now.

Other versions of matplotlib set letters a little otherwise: pictures are compared as thumbnails, in
grey, whose mean difference is below 0.2 of 255. Where two paths are exchanged it is more.
"""

import importlib.util

import numpy as np
import pytest

from elbo_ref.cli import fit
from places import ROOT

DOCS = ROOT / "docs"
ALIKE = 0.2


def thumbnail(picture):
    return np.asarray(picture.convert("L").resize((150, 75)), float)


def apart(one, other):
    return np.abs(thumbnail(one) - thumbnail(other)).mean()


def drawing(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


@pytest.fixture
def image():
    return pytest.importorskip("PIL.Image")


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["paths", "kinds"])
def test_a_program_draws_what_lies_there(name, image):
    assert apart(drawing(f"draw_{name}").draw(), image.open(DOCS / f"{name}.png")) < ALIKE


@pytest.mark.thorough
def test_the_command_draws_the_forum_s_picture(image, tmp_path):
    made = tmp_path / "forum.png"
    assert fit.main(["--example", "forum", "--plot", str(made)]) == 0
    assert apart(image.open(made), image.open(DOCS / "forum.png")) < ALIKE


@pytest.mark.thorough
def test_negative_control_exchanged_paths(image):
    program = drawing("draw_paths")
    (full, one), (tied, other), empty = program.GUIDES.items()
    program.GUIDES = {tied: one, full: other, **dict([empty])}
    assert apart(program.draw(), image.open(DOCS / "paths.png")) > ALIKE
