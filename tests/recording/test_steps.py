"""What both recorders note of a step, and the recording that the steps make."""

from __future__ import annotations

import numpy as np
import pytest

from elbo_ref.recording.steps import (
    Draws,
    Link,
    Observed,
    SiteNotes,
    find_link,
    import_framework,
    make_recording,
)


def rows(probability, *, is_logit=False, shape=None):
    """Rows of these probabilities, (P, n) or (n,), each a success of one trial."""
    p = np.atleast_2d(np.asarray(probability))
    ones = np.ones(p.shape[1])
    return Observed(ones, ones, shape or ones.shape, ones.size, p, is_logit)


def notes_of(c, k=(3.0, 7.0), links=None):
    """A latent of two elements drawn twice, rows observed of it, and a minibatch."""
    notes = SiteNotes(links)
    draws = np.array([[c, c / 2]])
    for particle in (draws, draws / 2):
        notes.add_draws("c", Draws(particle, (2,)))
    one = {"concentration1": np.array([2.0]), "concentration0": np.array([5.0])}
    notes.add_site("model", "c", one, **{"class": "Beta"}, observed=False, scale=1.5)
    data = Observed(np.array(k), np.array([10.0, 9.0]), (2,), 2, draws / 2)
    described = notes.add_rows("k", data)
    notes.add_site("model", "k", {}, **{"class": "Binomial"}, observed=True, **described)
    notes.add_batch("plate", np.array([0, 2]), 3)
    return notes


def steps(*each):
    return [{"losses": 1.0, "sites": notes.sites, **notes.groups()} for notes in each]


def test_sites_are_noted_by_program_and_name():
    notes = notes_of(0.25)
    assert notes.sites["model", "c"] == {
        "program": "model", "name": "c", "class": "Beta", "observed": False, "scale": 1.5
    }  # fmt: skip
    found = notes.sites["model", "k"]
    assert (found["latent"], found["complement"], found["rows"]) == ("c", False, 2)
    assert set(notes.arguments) == {"model.c.concentration1", "model.c.concentration0"}
    assert set(notes.observed) == {"k.value", "k.total_count", "k.index", "plate.rows"}
    assert notes.plates == {"plate": 3}


def test_draws_of_several_runs_are_particles():
    groups = notes_of(0.25).groups()
    np.testing.assert_array_equal(groups["draws"]["c"], [[0.25, 0.125], [0.125, 0.0625]])


def test_gradients_for_an_argument_are_added_up():
    """A site that is met again for each particle has several."""
    notes = notes_of(0.25)
    for gradient in (1.0, 2.5):
        notes.add_gradient("model.c.concentration1", np.array([gradient]))
    assert notes.groups()["argument_gradients"]["model.c.concentration1"].tolist() == [3.5]


def test_rows_of_no_latent_say_none():
    notes = SiteNotes()
    notes.add_draws("c", Draws(np.array([[0.25]]), (1,)))
    assert notes.add_rows("k", rows([0.3])) == {"rows": 1, "elements": 1}
    unknown = Observed(np.ones(1), np.ones(1), (1,), 1)
    assert "latent" not in notes.add_rows("j", unknown)


# -- the latent of a row ---------------------------------------------------------------------------

C = np.array([[0.25, 0.5, 0.125], [0.75, 0.0625, 0.3]])


@pytest.mark.parametrize(
    ("shape", "index", "of_rows"),
    [
        ((3,), [0, 1, 2], (3,)),  # a plate
        ((3,), [2, 0, 0, 1], (4,)),  # a column of group numbers: c[index]
        ((3,), [0, 1, 2, 0, 1, 2], (2, 3)),  # trials in a plate of their own, latents last
        ((3, 1), [0, 0, 1, 1, 2, 2], (3, 2)),  # the same, latents first
    ],
)
@pytest.mark.parametrize("complement", [False, True])
@pytest.mark.parametrize("is_logit", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_find_their_latents(shape, index, of_rows, complement, is_logit, dtype):
    """By value, whatever the shapes are; draws that are equal are told apart by the shapes."""
    c = C.astype(dtype)
    p = (1 - c if complement else c)[:, index]
    seen = np.log(p) - np.log1p(-p) if is_logit else p
    made = rows(seen, is_logit=is_logit, shape=of_rows)
    link = find_link(made, {"other": Draws(c[::-1], shape), "c": Draws(c, shape)}, None)
    assert link is not None and (link.latent, link.complement) == ("c", complement)
    assert link.element.tolist() == index


def test_one_probability_of_all_particles():
    """As of a point, which is drawn once for all of them, or many times."""
    c = np.repeat(C[:1], 3, axis=0)
    assert find_link(rows(C[:1]), {"c": Draws(c, (3,))}, None) is not None
    c[2, 1] = 0.2
    assert find_link(rows(C[:1]), {"c": Draws(c, (3,))}, None) is None
    assert find_link(rows(c[:2]), {"c": Draws(c, (3,))}, None) is None


def test_every_particle_must_agree():
    p = C[:, [0, 0]].copy()
    assert find_link(rows(p), {"c": Draws(C, (3,))}, None) is not None
    p[1, 1] = 0.2
    assert find_link(rows(p), {"c": Draws(C, (3,))}, None) is None


@pytest.mark.parametrize("off", [1e-3, 1e-6])
def test_a_probability_that_is_near_a_draw_is_another(off):
    for p in (np.array([[0.25, 0.5]]), np.array([[3e-8, 5e-6]])):
        draws = {"c": Draws(p, (2,))}
        assert find_link(rows(p * (1 + off)), draws, None) is None
        assert find_link(rows(p * (1 + 1e-16)), draws, None) is not None


def test_rows_are_four_roundings_from_their_draw_at_most():
    """And a logit as near as it can be turned back into its probability."""
    p, eps = np.array([[0.25, 0.125]]), np.finfo(float).eps
    draws = {"c": Draws(p, (2,))}
    for roundings, found in ((4, True), (5, False)):
        assert bool(find_link(rows(p * (1 + roundings * eps)), draws, None)) is found
    p = np.array([[1e-3, 2e-3]])
    logit = np.log(p) - np.log1p(-p)
    for off, found in ((1e-15, True), (1e-10, False)):
        seen = rows(logit + off, is_logit=True)
        assert bool(find_link(seen, {"c": Draws(p, (2,))}, None)) is found


def test_logits_far_out_are_rounded_as_numbers_of_their_size_are():
    """To a probability of 1e-12 a logit of float32 is off by 10 of its roundings."""
    p = np.array([np.geomspace(1e-12, 1e-3, 60)], np.float32)
    exact = p.astype(np.float64)
    seen = (np.log(exact) - np.log1p(-exact)).astype(np.float32)
    assert find_link(rows(seen, is_logit=True), {"c": Draws(p, (60,))}, None) is not None


def test_draws_of_whole_numbers_are_no_probabilities():
    """As of a discrete latent, whose draws may all be 0 or 1."""
    ones = np.ones((1, 2))
    assert find_link(rows(ones), {"c": Draws(ones, (2,))}, None) is not None
    assert find_link(rows(ones), {"c": Draws(ones.astype(np.int64), (2,))}, None) is None


def test_one_latent_of_all_rows():
    c = np.array([[0.25], [0.5]])
    link = find_link(rows(np.repeat(c, 4, axis=1)), {"c": Draws(c, ())}, None)
    assert link.element.tolist() == [0, 0, 0, 0]


def test_equal_draws_are_told_apart_by_the_shapes():
    """Draws at the end of a precision are often the same number."""
    c = np.full((1, 3), np.finfo(np.float32).tiny, np.float32)
    assert find_link(rows(c), {"c": Draws(c, (3,))}, None).element.tolist() == [0, 1, 2]


def test_equal_draws_in_other_shapes_are_not_told_apart():
    """Which of two equal draws a row has is then not known, though others are."""
    c, of_rows = np.array([[0.5, 0.25, 0.5]]), np.array([[0.5, 0.25, 0.25, 0.5]])
    assert find_link(rows(of_rows), {"c": Draws(c, (3,))}, None) is None
    c[0, 2] = 0.125
    assert find_link(rows(of_rows), {"c": Draws(c, (3,))}, None).element.tolist() == [0, 1, 1, 0]


def test_the_link_of_the_step_before_is_tried_first():
    c = np.full((1, 3), 0.5)
    last = Link("c", False, np.array([2, 2, 0]))
    assert find_link(rows(c), {"c": Draws(c, (3,))}, last) is last
    other = rows(np.array([[0.5, 0.25, 0.125]]))
    moved = {"c": Draws(np.array([[0.5, 0.25, 0.125]]), (3,))}
    assert find_link(other, moved, last).element.tolist() == [0, 1, 2]
    alone = Link("c", False, np.array([0, 0, 0]))
    assert find_link(rows(c), {"c": Draws(c[:, :1], ())}, alone) is alone
    fewer = {"c": Draws(np.array([[0.5, 0.25]]), (2,))}
    assert find_link(rows(np.array([[0.25, 0.5]])), fewer, last).element.tolist() == [1, 0]
    beyond = find_link(rows(np.array([[0.25, 0.5, 0.25]])), fewer, last)
    assert beyond.element.tolist() == [1, 0, 1], "of an element that is not there any more"


def test_links_are_kept_for_the_next_step():
    links = {}
    notes_of(0.25, links=links)
    assert links["k"].latent == "c" and links["k"].element.tolist() == [0, 1]


# -- the recording of the steps --------------------------------------------------------------------


def test_steps_make_a_recording():
    made = make_recording(steps(notes_of(0.25), notes_of(0.5)), {"framework": "mine"})
    assert made.num_steps == 2 and made.draws["c"].shape == (2, 2, 2)
    assert made.observed["k.value"].shape == (1, 2)  # the same in all steps
    other = make_recording(steps(notes_of(0.25), notes_of(0.5, k=(3.0, 8.0))), {})
    assert other.observed["k.value"].shape == (2, 2)


def test_one_step_makes_a_recording():
    made = make_recording(steps(notes_of(0.25)), {})
    assert made.num_steps == 1 and "left_out" not in made.header


def changed(step, group, arrays):
    return {**step, group: arrays}


@pytest.mark.parametrize(
    "arrays", [{"d": np.zeros((2, 2))}, {}, {"c": np.zeros((3, 2))}, {"c": np.zeros((2, 1))}]
)
@pytest.mark.parametrize("place", [0, 2, 3])
def test_steps_that_differ_from_most_are_left_out(arrays, place):
    """The last batch of a data set is often a smaller one."""
    at = [0.25, 0.5, 0.75, 0.125]
    whole = steps(*map(notes_of, at))
    some = [*whole]
    some[place] = changed(whole[place], "draws", arrays)
    made = make_recording(some, {"a": 1})
    assert (made.header["left_out"], made.header["leading"]) == (1, place)
    kept = [x for i, x in enumerate(at) if i != place]
    np.testing.assert_array_equal(made.draws["c"][:, 0, 0], kept)
    assert "left_out" not in make_recording(whole, {}).header


def test_sites_are_those_of_the_steps_that_are_kept():
    """What is noted in the first step alone is added to that; another scale is another form."""
    first, *others = steps(notes_of(0.25), notes_of(0.5), notes_of(0.75))
    first["sites"]["model", "c"] |= {"sources": {"concentration1": ["a"]}, "scale": 7.0}
    made = make_recording([first, *others], {"a": 1})
    (site,) = (x for x in made.header["sites"] if x["name"] == "c" and x["program"] == "model")
    assert site["sources"] == {"concentration1": ["a"]} and site["scale"] == 1.5
    assert (made.header["a"], made.num_steps, made.header["leading"]) == (1, 2, 0)


def test_a_framework_that_is_not_installed():
    assert import_framework("json", function="f", package="p")[0].dumps(1) == "1"
    with pytest.raises(ModuleNotFoundError, match=r"f needs no_such_module: pip install pyro"):
        import_framework("no_such_module", function="f", package="pyro-ppl")
