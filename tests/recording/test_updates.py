"""Updates of one parameter, beside settings, claims and what else they may come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.updates import compare_updates
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
        assert finding.allowance == pytest.approx(room, rel=1e-6)


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
