"""The steps before the first number that is not finite, and which number that was."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from elbo_ref.recording import Recording
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.finite import finite_part
from recorded import Made, betas, stated
from tiers import few


def broken(array, step, value=np.nan):
    array = np.array(array)
    array[step] = value
    return array


def test_a_run_that_is_finite_is_whole():
    whole = Recording(losses=[1.0, 2.0, 3.0, 4.0], draws={"c": np.full((4, 1, 1), 0.5)})
    assert finite_part(whole) == (whole, [])


def test_steps_before_one_that_is_not_finite():
    draws = {"c": np.full((4, 1, 1), 0.5)}
    observed = {"k.value": np.arange(4.0)[:, None], "k.total_count": np.full((1, 1), 9.0)}
    made = Recording(losses=[1.0, 2.0, np.nan, 4.0], draws=draws, observed=observed)
    part, (finding,) = finite_part(made)
    assert part.num_steps == 2 and len(part.draws["c"]) == 2
    assert part.observed["k.value"].ravel().tolist() == [0.0, 1.0]
    assert len(part.observed["k.total_count"]) == 1
    assert (finding.name, finding.status) == ("not_finite", "mistake")
    assert finding.quantity == "from step 2 on the run is not finite, first the loss"


def test_a_run_that_was_never_finite():
    part, (finding,) = finite_part(Recording(losses=[np.inf]))
    assert part is None and "from step 0 on" in finding.quantity
    verdict = replay(Recording(losses=[np.inf]))
    assert verdict.mistakes == ("not_finite",)
    assert "no step of finite numbers" in verdict.having("untested")[0].reason


@pytest.mark.parametrize(
    ("group", "name", "words"),
    [
        ("before", "a", "the parameter a"),
        ("constrained", "qa", "the constrained parameter qa"),
        ("arguments", "guide.c.concentration1", "the argument guide.c.concentration1"),
        ("draws", "c", "a draw of c"),
        ("gradients", "b", "the gradient of the parameter b"),
        ("after", "qb", "the updated parameter qb"),
    ],
)
@pytest.mark.parametrize("value", few([np.nan, np.inf, -np.inf]))
def test_the_first_number_is_named(group, name, words, value):
    recording = Made().recording()
    arrays = getattr(recording, group)
    made = replace(recording, **{group: {**arrays, name: broken(arrays[name], 7, value)}})
    made = replace(made, losses=broken(made.losses, slice(7, None)))
    verdict = replay(made)
    assert verdict.mistakes == ("not_finite",)
    before = group not in ("gradients", "after")  # these follow from the loss
    words = words if before else "the loss"
    quantity = f"from step 7 on the run is not finite, first {words}"
    assert verdict.having("mistake")[0].quantity == quantity
    assert {x.name for x in verdict.having("agrees")} >= {"losses", "gradients", "updates"}


def test_what_came_first_in_time_is_named():
    recording = Made().recording()
    made = replace(
        recording,
        losses=broken(recording.losses, slice(6, None)),
        after={**recording.after, "qa": broken(recording.after["qa"], 5)},
        before={**recording.before, "qa": broken(recording.before["qa"], slice(6, None))},
    )
    (finding,) = finite_part(made)[1]
    assert finding.quantity.endswith("from step 5 on the run is not finite, first the updated "
                                     "parameter qa")  # fmt: skip


@pytest.mark.parametrize("kind", ["Beta", "Normal"])
def test_an_infinite_gradient_for_a_beta_is_that_of_pytorch(kind):
    """Everything that it is made of is finite: the parameters, the draws and the loss."""
    recording = Made().recording()
    name = "guide.c.concentration1"
    gradients = recording.argument_gradients
    sites = [
        {**site, "class": kind} if site["program"] == "guide" else site
        for site in recording.header["sites"]
    ]
    made = replace(
        recording,
        argument_gradients={**gradients, name: broken(gradients[name], 3, np.inf)},
        header={**recording.header, "sites": sites},
    )
    part, (finding,) = finite_part(made)
    assert part.num_steps == 3 and f"the gradient for {name}" in finding.quantity
    assert finding.name == ("kernel_error" if kind == "Beta" else "not_finite")
    assert ("PyTorch's derivative" in finding.reason) == (kind == "Beta")


def thrown(steps, *, infinite=3, batched=False):
    """A run whose guide's first concentration for the last latent goes through these values."""
    recording, name = Made().recording(), "guide.c.concentration1"
    moved, gradients = np.array(recording.arguments[name]), recording.argument_gradients
    moved[: len(steps), 2] = steps
    made = replace(
        recording,
        arguments={**recording.arguments, name: moved},
        argument_gradients={**gradients, name: broken(gradients[name], infinite, np.inf)},
    )
    return made.with_observed({"plate.rows": np.arange(3.0)[None]}) if batched else made


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([4.0, 5.0, 6.0, 1e5], "the step before 3 took"),
        ([4.0, 1e-3, 4e-3, 6e-3], "the step before 1 took guide.c.concentration1 from 4 to 0.001"),
        ([1e8, 5e8, 1e9, 2e9], "is 2e+09 at step 3"),
        ([1e-5, 1e-6, 5e-7, 2e-7], "is 5e-07 at step 2"),
    ],
)
def test_an_argument_that_was_thrown_far_away_comes_first(steps, words):
    """Then no derivative is of use, PyTorch's or any other."""
    (finding,) = finite_part(thrown(steps))[1]
    assert finding.name == "not_finite" and words in finding.reason, finding


@pytest.mark.parametrize(
    "steps", few([[4.0, 5.0, 6.0, 7.0], [40.0, 300.0, 9000.0, 8e4], [0.5, 0.1, 0.01, 1e-3]])
)
def test_an_argument_that_went_its_way_in_many_steps_does_not(steps):
    """Nor one of another latent in another minibatch; nor one that jumped afterwards."""
    assert finite_part(thrown(steps))[1][0].name == "kernel_error"
    other = thrown([4.0, 5.0, 6.0, 1e5], batched=True)
    assert finite_part(other)[1][0].name == "kernel_error"
    later = thrown([4.0, 5.0, 6.0, 7.0, 1e7])
    assert finite_part(later)[1][0].name == "kernel_error"


def jumps(*steps, name="guide.c.concentration1", rows=()):
    """What is said of an argument before the last of its steps, where the loss is not finite."""
    values = np.array(steps, float)
    observed = {f"{x}.rows": np.zeros((1, 1)) for x in rows}
    losses = np.append(np.zeros(len(values) - 1), np.nan)
    made = Recording(losses=losses, arguments={name: values}, observed=observed)
    (finding,) = finite_part(made)[1]
    return finding.reason


def test_a_hundred_times_is_far():
    """From one step to the next, up or down; the farthest of the first step is told."""
    for factor, far in ((99.9, False), (100.1, True)):
        assert bool(jumps([1.0], [factor])) is far
        assert bool(jumps([1.0], [1 / factor])) is far
    assert "from 1 to 5e+03" in jumps([1.0, 1.0], [200.0, 5e3])
    assert "step before 1" in jumps([1.0, 1.0], [200.0, 1.0], [200.0, 5e3])
    assert jumps([1.0], [200.0], name="guide.c.loc") == ""
    assert "200" in jumps([1.0], [200.0], name="guide.c.scale")


def test_values_beyond_all_reason():
    """Below a millionth or above a thousand million, where nothing jumped first."""
    for value, far in ((0.99e9, False), (1.01e9, True), (1.01e-6, False), (0.99e-6, True)):
        assert bool(jumps([value], [value])) is far
    assert "is 2e+09 at step 0: no derivative is of use" in jumps([2e9], [3e9])
    assert jumps([0.5], [0.0]) == "", "nothing has no size"


def test_minibatches_have_other_latents_in_each_step():
    """So that one latent's argument is compared with another's, unless there is one for all."""
    assert jumps([1.0, 1.0], [1.0, 200.0], rows=["plate"]) == ""
    assert "from 1 to 200" in jumps([1.0], [200.0], rows=["plate"])
    assert "at step 0" in jumps([2e9, 1.0], [1.0, 1.0], rows=["plate"])


def test_a_run_that_is_not_finite_is_not_told_to_go_on():
    before = Made().recording().arguments["guide.c.concentration1"][:3, 2]
    verdict = replay(thrown([*before, 1e5]))
    assert verdict.mistakes == ("not_finite",)
    assert not any("More steps" in x for x in verdict.advice), verdict.advice


def test_a_constant_that_is_not_finite_is_not_compared():
    prior = (np.inf, 5.0)
    verdict = replay(stated(np.full((3, 1, 3), 0.5), betas(prior)))
    assert verdict.mistakes == ("not_finite",) and not verdict.having("agrees")


def test_of_two_latents_that_are_far_out_the_first_is_told():
    assert "is 3e+09 at step 0" in jumps([3e9, 2e9], [1e9, 1e9])
    assert "is 3e+09 at step 1" in jumps([1e8, 1e8], [2e8, 3e9])
    assert "the step before 1 took" in jumps([9e8], [1e12]), "a jump is told before where it ends"


def test_what_follows_from_what():
    """Of two that are not finite in one step the one that the other follows from is told."""
    order = ("before", "constrained", "arguments", "draws", "argument_gradients", "gradients",
             "after")  # fmt: skip
    first = {group: next(iter(getattr(whole(), group))) for group in order}

    def break_(made, group):
        arrays = getattr(made, group)
        name = first[group]
        return replace(made, **{group: {**arrays, name: broken(arrays[name], 4)}})

    words = [
        "the parameter", "the constrained parameter", "the argument", "a draw of",
        "the gradient for", "the gradient of the parameter", "the updated parameter",
    ]  # fmt: skip
    for place, (group, what) in enumerate(zip(order, words, strict=True)):
        made = whole()
        for later in order[place:]:
            made = break_(made, later)
        (finding,) = finite_part(made)[1]
        assert finding.quantity.endswith(f"first {what} {first[group]}")


@cache
def whole():
    return Made().recording()


def infinite(name="guide.c.concentration1", **changed):
    """An infinite gradient for a concentration at step 2, of some draws and concentrations."""
    recording = whole()
    gradients = recording.argument_gradients
    made = replace(
        recording,
        argument_gradients={**gradients, name: broken(gradients[name], 2, np.inf)},
    )
    made = replace(made, **changed)
    (finding,) = finite_part(made)[1]
    return finding.name


def test_a_derivative_that_is_not_finite_itself_is_nobodys_error():
    """Of a draw at 0 or 1, or where a concentration is none; of draws that are not there."""
    recording = whole()
    assert infinite() == "kernel_error"
    for value in (0.0, 1.0):
        assert infinite(draws={"c": broken(recording.draws["c"], 2, value)}) == "not_finite"
        assert infinite(draws={"c": broken(recording.draws["c"], 3, value)}) == "kernel_error"
    assert infinite(draws={"d": recording.draws["c"]}) == "not_finite"
    for name in ("guide.c.concentration1", "guide.c.concentration0"):
        none = broken(recording.arguments[name], 2, 0.0)
        assert infinite(arguments={**recording.arguments, name: none}) == "not_finite"
    dirichlet = [
        {**site, "class": "Dirichlet"} if site["program"] == "guide" else site
        for site in recording.header["sites"]
    ]
    assert infinite(header={**recording.header, "sites": dirichlet}) == "kernel_error"


def test_the_ends_of_reason_are_a_millionth_and_a_thousand_million():
    for value, far in ((1e9, True), (1e-6, False)):
        for off in (1e-10, -1e-10):
            assert bool(jumps([value * (1 + off)], [1.0 * value])) is ((off > 0) is far)
