"""Updates of one parameter, beside settings, claims and what else they may come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.updates import (
    Updates,
    _cause,
    _clipped,
    _other_optimizers,
    compare_updates,
)
from recorded import SETTINGS

STEPS, LR = 12, SETTINGS["lr"]


def recording(optimizer, *, rates=None, clip=None, dtype=np.float64, header=None, earlier=0):
    """Steps of an optimizer of ours from gradients of a seed; the first ones are not recorded."""
    gradients = np.random.default_rng(2).normal(size=(earlier + STEPS, 3)).astype(dtype)
    x, state, rows = np.zeros(3), optimizer.init(np.zeros(3)), []
    for step, gradient in enumerate(gradients):
        seen = clip(gradient) if clip else gradient
        after, state = optimizer.update(state, x, seen)
        if rates is not None:
            after = x + rates[step] / optimizer.lr * (after - x)
        rows.append((x, after))
        if step + 1 == earlier:
            moments = np.array(state[1:])
        x = after
    before, after = np.array(rows[earlier:]).astype(dtype).swapaxes(0, 1)
    groups = {"before": before, "constrained": before, "after": after}
    groups["gradients"] = gradients[earlier:]
    noted = {"class": type(optimizer).__name__, "settings": {"a": SETTINGS}, **(header or {})}
    return Recording(
        losses=np.zeros(STEPS),
        moments={"a": moments} if earlier else {},
        header={"optimizer": noted, "earlier_steps": {"a": earlier}},
        **{group: {"a": x} for group, x in groups.items()},
    )


ADAM = er.Adam(lr=LR)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("earlier", [0, 7])
def test_a_clean_run_agrees(dtype, earlier):
    (finding,) = compare_updates(recording(ADAM, dtype=dtype, earlier=earlier), None)
    assert (finding.name, finding.status) == ("updates", "agrees")
    assert abs(finding.difference) <= finding.allowance
    if earlier:
        forgotten = replace(recording(ADAM, dtype=dtype, earlier=earlier), moments={})
        assert compare_updates(forgotten, None)[0].status == "mistake"


def test_gradients_clipped_before_the_optimizer():
    def clip(gradient):
        return np.clip(gradient * min(0.5 / (np.linalg.norm(gradient) + 1e-6), 1.0), -0.2, 0.2)

    limits = {"clip": {"clip_norm": 0.5, "clip_value": 0.2}}
    assert compare_updates(recording(ADAM, clip=clip, header=limits), None)[0].status == "agrees"
    assert compare_updates(recording(ADAM, clip=clip), None)[0].status == "mistake"


def test_a_decay_that_the_settings_tell():
    clipped = er.ClippedAdam(lr=LR, lrd=0.9)
    header = {"settings": {"a": {**SETTINGS, "lrd": 0.9, "clip_norm": clipped.clip_norm}}}
    (finding,) = compare_updates(recording(clipped, header=header), None)
    assert finding.status == "agrees" and "the learning rate goes from 0.027 to" in finding.reason


@pytest.mark.parametrize(
    ("optimizer", "rates", "name", "words"),
    [
        (er.Adam(lr=0.1), None, "optimizer_settings", "those with lr = 0.1"),
        (er.Adam(lr=LR, betas=(0.5, 0.999)), None, "optimizer_settings", "betas = (0.5, 0.999)"),
        (er.Adam(lr=LR, eps=1e-3), None, "optimizer_settings", "eps = 0.001"),
        (er.Adam(lr=LR, weight_decay=0.01), None, "optimizer_settings", "weight_decay = 0.01"),
        (ADAM, np.zeros(STEPS), "optimizer_settings", "does not move"),
        (ADAM, LR * 0.9 ** np.arange(STEPS), "learning_rate_decay", "falls from 0.03 to"),
        (ADAM, LR * (1 + np.arange(STEPS) % 2), "optimizer_settings", "no other setting"),
    ],
)
def test_updates_of_other_settings(optimizer, rates, name, words):
    (finding,) = compare_updates(recording(optimizer, rates=rates), None)
    assert (finding.name, finding.status) == (name, "mistake") and words in finding.reason
    assert finding.quantity.startswith("a after step ")


def test_a_learning_rate_that_was_noted_and_not_told():
    rates = LR * 0.9 ** np.arange(STEPS)
    made = replace(recording(ADAM, rates=rates), lr={"a": rates})
    (finding,) = compare_updates(made, None)
    assert finding.name == "learning_rate_decay" and "of which its settings" in finding.reason
    scheduled = {"optimizer": {**made.header["optimizer"], "scheduler": "ExponentialLR"}}
    told = replace(made, header={**made.header, **scheduled})
    assert compare_updates(told, None)[0].status == "agrees"


def test_an_optimizer_said_where_no_settings_are_noted():
    silent = recording(ADAM, header={"class": "numpyro Adam", "settings": {}})
    assert compare_updates(silent, ADAM)[0].status == "agrees"
    assert compare_updates(silent, er.Adam(lr=2 * LR))[0].name == "optimizer_settings"
    assert compare_updates(recording(ADAM), er.Adam(lr=2 * LR))[0].status == "agrees"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"class": "SGD"}, "the optimizer SGD"),
        ({"class": None}, "the optimizer is not recorded"),
        ({"clip": "a function"}, "clipping by a function"),
        (
            {"settings": {"a": {**SETTINGS, "centered_variance": True}}},
            "no settings that are known",
        ),
        ({"settings": {"a": {**SETTINGS, "lr": -1.0}}}, "no settings that are known here"),
    ],
)
def test_settings_that_are_not_ours_are_untested(header, words):
    (finding,) = compare_updates(recording(ADAM, header=header), None)
    assert finding.status == "untested" and words in finding.reason


def test_a_parameter_without_a_gradient_has_no_updates():
    """ClippedAdam's rate falls for it all the same, and tells nothing; a gradient makes it one."""
    still = np.ones((STEPS, 1))
    made = recording(ADAM)
    groups = {
        name: {**getattr(made, name), "b": still if name != "gradients" else 0 * still}
        for name in ("before", "constrained", "after", "gradients")
    }
    noted = {"class": "Adam", "settings": {"a": SETTINGS, "b": SETTINGS}}
    lr = {"a": np.full(STEPS, LR), "b": LR * 0.9 ** np.arange(STEPS)}
    header = {"optimizer": noted, "earlier_steps": {}}
    unused = replace(made, lr=lr, header=header, **groups)
    (finding,) = compare_updates(unused, None)
    assert finding.status == "agrees" and "of a," in finding.quantity
    pulled = replace(unused, gradients={**unused.gradients, "b": still})
    assert [x.status for x in compare_updates(pulled, None)] == ["agrees", "mistake"]


# -- what is said of rates -------------------------------------------------------------------------


def lr_of(rates, told=None):
    made = replace(recording(ADAM, rates=rates), lr={"a": np.asarray(rates)})
    header = {**made.header["optimizer"], **({"scheduler": told} if told else {})}
    return replace(made, header={**made.header, "optimizer": header})


LATE = np.where(np.arange(STEPS) < STEPS - 1, LR, LR / 4)
EARLY = np.where(np.arange(STEPS) < 1, LR, LR / 4)


@pytest.mark.parametrize("rates", [LATE, EARLY])
def test_rates_from_the_first_to_the_last(rates):
    """A rate that falls after the first step, or before the last."""
    (told,) = compare_updates(lr_of(rates, "StepLR"), None)
    assert told.status == "agrees"
    goes = "rounding of the moments; the learning rate goes from 0.03 to 0.0075, as it was told to"
    assert told.reason == goes
    (alone,) = compare_updates(lr_of(rates), None)
    assert (alone.name, alone.theirs, alone.ours) == ("learning_rate_decay", LR / 4, LR)
    assert alone.quantity == f"learning rate of a at step {int(np.argmin(rates))}"
    assert alone.reason == "the optimizer had 0.03 to 0.0075, of which its settings do not tell"
    (unsaid,) = compare_updates(recording(ADAM, rates=rates), None)
    falls = "they are those with a learning rate that falls from 0.03 to 0.0075"
    assert (unsaid.name, unsaid.reason) == ("learning_rate_decay", falls)


def test_rates_that_do_not_fall():
    """Uphill, back where it began, or beyond the ends: no decay."""
    for rates in (-LR * np.ones(STEPS), np.linspace(LR, 2 * LR, STEPS)):
        (finding,) = compare_updates(recording(ADAM, rates=rates), None)
        assert finding.name == "optimizer_settings"
        assert finding.reason == "no other setting that was tried gives them"
    back = LR * (1 + (np.arange(STEPS) % 3 == 1))
    (finding,) = compare_updates(lr_of(back), None)
    assert (finding.name, finding.quantity) == (
        "optimizer_settings", "learning rate of a at step 1",
    )  # fmt: skip


def test_one_number_alone_falls_step_by_step():
    """Of one number any steps are those of some rates: only rates that never rise are a decay."""
    rates = LR * 0.9 ** np.arange(STEPS)
    rises = ([1, 0, *range(2, STEPS)], [0, 2, 1, *range(3, STEPS)])
    for tried, name in ((rates, "learning_rate_decay"), *((rates[x], None) for x in rises)):
        made = recording(ADAM, rates=tried)
        groups = {
            group: {"a": getattr(made, group)["a"][:, :1]}
            for group in ("before", "constrained", "after", "gradients")
        }
        (finding,) = compare_updates(replace(made, **groups), None)
        assert finding.name == (name or "optimizer_settings")


def test_room_of_eight_and_512_roundings():
    """A parameter that is farther than both allow is off, and one within is not."""
    made = recording(ADAM)
    before, after = made.before["a"], made.after["a"]
    eps, direction = np.finfo(np.float64).eps, np.abs(after - before)[3, 1] / LR
    room = 8 * eps * abs(before[3, 1]) + 512 * eps * LR * (1 + direction)
    for share, status in ((0.9, "agrees"), (1.1, "mistake")):
        moved = after.copy()
        moved[3, 1] += share * room
        (finding,) = compare_updates(replace(made, after={"a": moved}), None)
        assert finding.status == status, share
        assert finding.allowance == pytest.approx(room, rel=1e-6, abs=0.0)


@pytest.mark.parametrize("swapped", [False, True])
def test_an_optimizer_of_the_other_kind(swapped):
    """Steps of Adam under a header of ClippedAdam, and the other way round."""
    optimizers = [ADAM, er.ClippedAdam(lr=LR, clip_norm=10.0)]
    real, said = optimizers[::-1] if swapped else optimizers
    header = {"class": type(said).__name__}
    (finding,) = compare_updates(recording(real, header=header), None)
    assert (finding.name, finding.status) == ("optimizer_settings", "mistake")
    assert finding.reason == f"they are those of {type(real).__name__}"
    assert compare_updates(recording(said, header=header), None)[0].status == "agrees"


def test_a_rate_of_steps_that_are_short():
    """With eps far above the gradients the steps of a rate of 1 are short."""
    settings = {"settings": {"a": {**SETTINGS, "eps": 30.0}}}
    (finding,) = compare_updates(recording(er.Adam(lr=0.1, eps=30.0), header=settings), None)
    assert finding.reason == "they are those with lr = 0.1"


def test_an_optimizer_that_raises_the_loss():
    """`maximize=True`, where SVI hands over minus the ELBO; its updates are not made again."""
    header = {"settings": {"a": {**SETTINGS, "maximize": True}}}
    (finding,) = compare_updates(recording(ADAM, header=header), None)
    assert (finding.name, finding.status) == ("optimizer_settings", "mistake")
    assert finding.quantity == "the optimizer raises the loss, by a"


# -- of several parameters, and what the settings say ----------------------------------------------


def two(first, second, settings=None, **lr):
    """Parameters a and b of two recordings of one optimizer, in this order."""
    groups = {
        group: {"a": getattr(first, group)["a"], "b": getattr(second, group)["a"]}
        for group in ("before", "constrained", "after", "gradients")
    }
    noted = {"class": "Adam", "settings": settings or {"a": SETTINGS, "b": SETTINGS}}
    header = {"optimizer": noted, "earlier_steps": {}}
    return replace(first, header=header, lr=lr, **groups)


def test_a_parameter_that_is_passed_over_does_not_hide_the_next():
    """Its settings are not ours, or it has no gradient and stays; the next one is off."""
    off = recording(er.Adam(lr=0.1))
    unknown = {"a": {**SETTINGS, "maximize": True}, "b": SETTINGS}
    found = compare_updates(two(recording(ADAM), off, unknown), None)
    assert [x.of for x in found] == ["b", ""]
    assert [x.status for x in found] == ["mistake"] * 2
    still = np.ones((STEPS, 3))
    unused = replace(
        recording(ADAM), before={"a": still}, after={"a": still}, gradients={"a": 0 * still}
    )
    (finding,) = compare_updates(two(unused, off), None)
    assert (finding.of, finding.status) == ("b", "mistake")
    moved = replace(unused, after={"a": still + np.eye(STEPS, 3)})
    assert [x.of for x in compare_updates(two(moved, off), None)] == ["a", "b"]


def test_a_rate_that_was_rounded_is_the_settings():
    """JAX keeps it in float32; one that is a hundred thousandth off is another."""
    rounded = np.full(STEPS, np.float64(np.float32(LR)))
    assert rounded[0] != LR
    (finding,) = compare_updates(lr_of(rounded), None)
    assert (finding.status, finding.reason) == ("agrees", "rounding of the moments")
    for off, status in ((0.9e-6, "agrees"), (1.1e-6, "mistake")):
        (finding,) = compare_updates(lr_of(np.full(STEPS, LR * (1 + off))), None)
        assert finding.status == status
    zero = replace(lr_of(np.zeros(STEPS)), after=recording(ADAM).before)
    assert compare_updates(zero, None)[0].status == "mistake", "no rate is near another by itself"


@pytest.mark.parametrize(("off", "status"), [(1e-6, "agrees"), (1e-3, "mistake")])
def test_a_rate_that_is_known_in_single_precision(off, status):
    """As some schedules compute it for parameters in double."""
    made = lr_of(np.full(STEPS, LR), "a function")
    rates = np.full(STEPS, LR * (1 + off))
    (finding,) = compare_updates(replace(made, lr={"a": np.float32(rates)}), None)
    assert finding.status == status
    (finding,) = compare_updates(replace(made, lr={"a": rates}), None)
    assert finding.status == "mistake"


def test_settings_that_a_scheduler_changes_are_untested():
    made = recording(ADAM)
    for scheduler, status in (("OneCycleLR", "untested"), (None, "agrees")):
        noted = {**made.header["optimizer"], "scheduler": scheduler, "changing": ["betas"]}
        (finding,) = compare_updates(
            replace(made, header={**made.header, "optimizer": noted}), None
        )
        assert finding.status == status


@pytest.mark.parametrize("flag", ["maximize", "decoupled_weight_decay", "centered_variance"])
def test_settings_that_ours_do_not_have(flag):
    for value, compared in ((False, True), (None, True), (True, False)):
        header = {"settings": {"a": {**SETTINGS, flag: value}}}
        found = compare_updates(recording(ADAM, header=header), None)
        assert any(x.status == "agrees" for x in found) is compared


def test_settings_without_a_rate_are_none():
    without = {x: value for x, value in SETTINGS.items() if x != "lr"}
    header = {"settings": {"a": without}}
    (finding,) = compare_updates(recording(ADAM, header=header), None)
    assert finding.status == "untested" and "no settings that are known" in finding.reason
    of_another = {"class": "SGD", "settings": {"a": SETTINGS}}
    (finding,) = compare_updates(recording(ADAM, header=of_another), ADAM)
    assert finding.status == "agrees", "the claim's, where the class has none of ours"
    assert compare_updates(recording(er.Adam(lr=0.1), header=of_another), ADAM)[0].reason == (
        "the recording names SGD"
    )


def updates(before, after, gradients, optimizer=ADAM, *, lr=LR, eps=2.0**-52, rate_eps=0.0):
    before, after, gradients = (np.asarray(x, float) for x in (before, after, gradients))
    rates = np.broadcast_to(np.asarray(lr, float).reshape(-1, 1), (len(before), 1))
    start = optimizer.init(before[0])
    return Updates(before, after, gradients, start, optimizer, rates, rates, eps, rate_eps)


def test_directions_are_the_steps_at_a_rate_of_one():
    """By the recursion of Adam, written out; the decay of ClippedAdam's rate is no part of them."""
    gradients = np.array([[1.0], [-3.0], [0.5]])
    zeros = np.zeros((3, 1))
    first = second = 0.0
    wanted = []
    for t, (g,) in enumerate(gradients, 1):
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        wanted.append([-(first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)])
    made = updates(zeros, zeros, gradients)
    for optimizer in (ADAM, er.Adam(lr=7.0)):
        np.testing.assert_allclose(made.directions(optimizer), wanted, rtol=1e-12)
    falls = made.directions(er.ClippedAdam(lr=0.1, lrd=0.5))  # its eps stands elsewhere
    np.testing.assert_allclose(falls, wanted, rtol=1e-6)
    inside = updates(zeros, zeros, np.clip(gradients, -0.5, 0.5)).directions(ADAM)
    clipped = made.directions(er.ClippedAdam(lr=0.1, clip_norm=0.5))
    np.testing.assert_allclose(clipped, inside, rtol=1e-5)


def test_the_room_of_an_update():
    """8 eps of where it begins, and 512 of its step and of the rate."""
    before, directions = np.array([[-4.0, 0.0]]), np.array([[-3.0, 1.0]])
    made = updates(before, before, before, lr=0.5, eps=2.0**-10)
    compared = made.beside(directions, made.lr)
    np.testing.assert_array_equal(compared.ours, [[-5.5, 0.5]])
    wanted = np.array([[8 * 4 + 512 * 0.5 * 4, 512 * 0.5 * 2]]) * 2.0**-10
    np.testing.assert_array_equal(compared.allowance, wanted)
    coarse = updates(before, before, before, lr=0.5, eps=2.0**-10, rate_eps=2.0**-9)
    wanted = np.array([[8 * 4 + 1024 * 0.5 * 4, 1024 * 0.5 * 2]]) * 2.0**-10
    np.testing.assert_array_equal(coarse.beside(directions, coarse.lr).allowance, wanted)


@pytest.mark.parametrize(
    ("clip", "wanted"),
    [
        ({}, [[3.0, -4.0], [0.3, 0.4]]),
        ({"clip_norm": None, "clip_value": None}, [[3.0, -4.0], [0.3, 0.4]]),
        ({"clip_norm": 1.0}, [[0.6, -0.8], [0.3, 0.4]]),
        ({"clip_value": 1.0}, [[1.0, -1.0], [0.3, 0.4]]),
        ({"clip_norm": 0.25, "clip_value": 0.18}, [[0.15, -0.18], [0.15, 0.18]]),
    ],
)
def test_gradients_are_clipped_row_by_row(clip, wanted):
    """By the Euclidean norm of a step, then by its values."""
    found = _clipped(np.array([[3.0, -4.0], [0.3, 0.4]]), clip)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    if clip.get("clip_norm") == 1.0:
        assert found[0, 0] == pytest.approx(3 / (5 + 1e-6), rel=1e-14)


def cause(after, optimizer=ADAM, gradients=None, **fields):
    """What is said of a parameter that goes through these values from 0 on."""
    after = np.asarray(after, float).reshape(len(after), -1)
    before = np.vstack([0 * after[:1], after[:-1]])
    gradients = np.ones_like(after) if gradients is None else gradients
    made = updates(before, after, gradients, optimizer, **fields)
    return _cause(made, made.directions(made.optimizer))


def test_causes_of_steps_of_one_number():
    """All steps of a constant gradient are minus the rate."""
    rates = np.array([0.4, 0.2, 0.1, 0.05])
    assert cause(-np.cumsum(rates)) == (
        "learning_rate_decay",
        "they are those with a learning rate that falls from 0.4 to 0.05",
    )
    assert cause([0.0, 0.0, 0.0, 0.0])[1] == "the parameter does not move"
    assert cause([-0.2, -0.4, -0.6, -0.8])[1] == "they are those with lr = 0.2"
    none = "no other setting that was tried gives them"
    assert cause([0.2, 0.4, 0.6, 0.8])[1] == none, "uphill"
    assert cause(-np.cumsum(rates[::-1]))[1] == none, "a rate that rises"
    assert cause(-np.cumsum([0.4, 0.2, 0.2, 0.1]))[0] == "learning_rate_decay", "it may stay"
    assert cause(-np.cumsum([0.4, 0.1, 0.2, 0.1]))[1] == none, "one number rises on the way"
    wide = np.array([0.4, 0.1, 0.2, 0.1])[:, None] * [1.0, 1.0]
    assert cause(-np.cumsum(wide, axis=0))[0] == "learning_rate_decay", "two numbers may"
    assert cause(-np.cumsum([0.4, 0.2, 0.0]))[0] == "learning_rate_decay", "down to nothing"
    assert cause(-np.cumsum([0.4, 0.2, -0.1]))[1] == none, "and no further"


def test_causes_where_nothing_pulls():
    """Without a gradient there is no direction, and so no rate."""
    still = np.zeros((3, 1))
    assert cause([1.0, 2.0, 3.0], gradients=still)[1] == (
        "no other setting that was tried gives them"
    )
    some = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    moved = np.array([[-0.5, 0.0], [-1.0, 0.0], [-1.5, 0.0]])
    assert cause(moved, gradients=some)[1] == "they are those with lr = 0.5"


def test_settings_that_are_tried():
    """One at a time of those that the optimizer has, then the other kind with as much in common."""
    tried = dict(_other_optimizers(er.Adam(lr=LR, betas=(0.8, 0.9), eps=1e-4)))
    assert tried["with eps = 1e-06"] == er.Adam(lr=LR, betas=(0.8, 0.9), eps=1e-6)
    assert tried["with betas = (0.9, 0.99)"] == er.Adam(lr=LR, betas=(0.9, 0.99), eps=1e-4)
    assert tried["of ClippedAdam"].betas == (0.8, 0.9) and tried["of ClippedAdam"].eps == 1e-4
    assert not any("clip_norm" in x for x in tried)
    clipped = dict(_other_optimizers(er.ClippedAdam(lr=LR)))
    assert clipped["with clip_norm = 5.0"] == er.ClippedAdam(lr=LR, clip_norm=5.0)
    assert isinstance(clipped["of Adam"], er.Adam)


def test_moments_of_earlier_steps():
    """Their number is that of the header, and their rows are in the order of the state."""
    made = recording(er.ClippedAdam(lr=LR, lrd=0.5), earlier=3, header={
        "settings": {"a": {**SETTINGS, "lrd": 0.5, "clip_norm": 10.0}}
    })  # fmt: skip
    (finding,) = compare_updates(made, None)
    assert finding.status == "agrees"
    assert f"goes from {LR / 16:.6g} to" in finding.reason
    still = replace(
        made,
        before={"a": made.before["a"][:1].repeat(STEPS, 0)},
        after={"a": made.before["a"][:1].repeat(STEPS, 0)},
        gradients={"a": 0 * made.gradients["a"]},
    )
    assert compare_updates(still, None)[0].status == "mistake", "moments move what no gradient does"


EACH = {
    "betas": [(0.9, 0.99), (0.95, 0.999), (0.8, 0.999), (0.5, 0.999), (0.95, 0.99), (0.9, 0.9999)],
    "eps": [1e-8, 1e-10, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3],
    "weight_decay": [0.0, 1e-4, 1e-3, 1e-2],
    "clip_norm": [1.0, 5.0, 100.0, 1e300],
}


def test_every_usual_setting_is_tried():
    """Powers of ten, the defaults of frameworks, and clipping that never acts."""
    start = er.ClippedAdam(lr=LR, betas=(0.7, 0.7), eps=0.5, weight_decay=0.5, clip_norm=0.5)
    tried = [x for _, x in _other_optimizers(start)]
    for key, values in EACH.items():
        for value in values:
            assert replace(start, **{key: value}) in tried
    assert len(tried) == sum(map(len, EACH.values())) + 1


@pytest.mark.parametrize("number", [4, 5])
def test_of_many_parameters_four_are_named(number):
    names = "abcde"[:number]
    settings = {x: {**SETTINGS, "maximize": True} for x in names}
    (finding,) = compare_updates(recording(ADAM, header={"settings": settings}), None)
    more = " and 1 more" if number == 5 else ""
    assert finding.quantity == f"the optimizer raises the loss, by a, b, c, d{more}"


@pytest.mark.parametrize("rate", [LR, 2 * LR])
def test_one_step_is_enough(rate):
    made = recording(ADAM)
    groups = {
        group: {"a": getattr(made, group)["a"][:1]}
        for group in ("before", "constrained", "after", "gradients")
    }
    header = {"settings": {"a": {**SETTINGS, "lr": rate}}, "class": "Adam"}
    one = replace(
        made, losses=np.zeros(1), header={"optimizer": header, "earlier_steps": {}}, **groups
    )
    (finding,) = compare_updates(one, None)
    assert (finding.status == "agrees") is (rate == LR)
