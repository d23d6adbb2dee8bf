"""A claim about the optimizer beside a recording: another class or setting is a mistake."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.optimizer_claims import OptimizerClaim, compare_optimizer
from recorded import SETTINGS, Made

LR = SETTINGS["lr"]
CLIPPED = {**SETTINGS, "clip_norm": 10.0, "lrd": 0.9}


def noted(kind="Adam", settings=SETTINGS, *, lr=None, header=None, **more):
    """Make a recording that says nothing but its optimizer."""
    optimizer = {"class": kind, "settings": {"a": settings, "b": settings}, **more}
    header = {"optimizer": optimizer, **(header or {})}
    still = {"a": np.ones((3, 1))}
    groups = dict.fromkeys(("before", "constrained", "after", "gradients"), still)
    rates = {} if lr is None else {"lr": {"a": np.asarray(lr)}}
    return Recording(losses=np.zeros(3), header=header, **groups, **rates)


def found(recording, said):
    findings = compare_optimizer(recording, OptimizerClaim.of(said))
    assert all(x.status == "mistake" for x in findings)
    return [(x.name, x.quantity) for x in findings]


@pytest.mark.parametrize(
    ("recording", "said"),
    [
        (noted(), er.Adam(lr=LR)),
        (noted(), "Adam"),
        (noted(), "torch.optim.Adam"),
        (noted(), "other"),
        (noted(), {"lr": LR}),
        (noted("ClippedAdam", CLIPPED), er.ClippedAdam(lr=LR, lrd=0.9)),
        (noted("ClippedAdam", CLIPPED), {"class": "ClippedAdam", "lr": LR}),
        (noted("SGD", {"lr": LR}), "SGD"),
        (noted("numpyro Adam", {}), er.Adam(lr=1.0)),
        (noted(None), "SGD"),
        (noted(settings={**SETTINGS, "lr": float(np.float32(LR))}), er.Adam(lr=LR)),
        (noted("Adam", lr=[LR] * 3, scheduler="StepLR"), er.Adam(lr=LR)),
    ],
)
def test_what_is_the_same_says_nothing(recording, said):
    assert found(recording, said) == []


@pytest.mark.parametrize(
    ("recording", "said", "words"),
    [
        (noted(), "SGD", "the optimizer is Adam, said to be SGD"),
        (noted(), er.ClippedAdam(lr=LR), "the optimizer is Adam, said to be ClippedAdam"),
        (noted("SGD", {"lr": LR}), er.Adam(lr=LR), "the optimizer is SGD, said to be Adam"),
        (noted(), er.Adam(lr=0.1), "lr of a, b is 0.03, said to be 0.1"),
        (
            noted(),
            er.Adam(lr=LR, betas=(0.5, 0.9)),
            "betas of a, b is (0.9, 0.999), said to be (0.5, 0.9)",
        ),
        (noted(), {"betas": [0.5, 0.9]}, "betas of a, b is (0.9, 0.999), said to be (0.5, 0.9)"),
        (noted(), {"betas": 0.5}, "betas of a, b is (0.9, 0.999), said to be 0.5"),
        (noted(), {"lr": LR, "lrd": 0.9}, "lrd of a, b is 1.0, said to be 0.9"),
        (
            noted("ClippedAdam", CLIPPED),
            er.ClippedAdam(lr=LR, lrd=0.9, clip_norm=1.0),
            "clip_norm of a, b is 10.0, said to be 1.0",
        ),
    ],
)
def test_another_class_or_setting_is_named(recording, said, words):
    assert found(recording, said) == [("optimizer_settings", words)]


def test_numpyros_clipped_adam_is_an_adam_of_clipped_gradients():
    clip = {"clip_value": 10.0}
    of_numpyro = noted(clip=clip, header={"framework": "numpyro"})
    assert found(of_numpyro, "ClippedAdam") == []
    of_pyro = noted(clip=clip, header={"framework": "pyro"})
    assert found(of_pyro, "ClippedAdam")


def test_a_rate_that_a_scheduler_lowers():
    falling = noted(lr=[LR, LR / 2, LR / 4], scheduler="ExponentialLR")
    (finding,) = compare_optimizer(falling, OptimizerClaim.of(er.Adam(lr=LR)))
    assert (finding.name, finding.theirs, finding.ours) == ("learning_rate_decay", LR / 4, LR)
    assert found(falling, {"lr": LR, "lrd": 0.5}) == []
    assert found(falling, "Adam") == []


@pytest.mark.parametrize("said", [0.1, None, ["Adam"]])
def test_what_is_no_claim(said):
    with pytest.raises(TypeError, match="optimizer must be an Adam, a ClippedAdam, a class"):
        OptimizerClaim.of(said)


@pytest.mark.parametrize(
    ("said", "words"),
    [({"rate": 0.1}, "optimizer: 'rate' is none of class,"), ("Lion", "optimizer = 'Lion'")],
)
def test_claims_of_unknown_names(said, words):
    with pytest.raises(ValueError, match=words):
        OptimizerClaim.of(said)


def test_a_replay_with_a_claim():
    """The same says nothing; another class is the one mistake, and the updates still agree."""
    made = Made()
    assert made.replay(optimizer=er.Adam(lr=LR)) == made.replay(optimizer="other") == made.replay()
    other = made.replay(optimizer=er.ClippedAdam(lr=LR))
    assert other.mistakes == ("optimizer_settings",)
    assert [x.quantity for x in other.having("mistake")] == [
        "the optimizer is Adam, said to be ClippedAdam"
    ]
    assert any(x.name == "updates" for x in other.having("agrees"))
    sgd = {"optimizer": {"class": "SGD", "settings": {}}}
    unknown = made.recording(header=lambda r: {**r.header, **sgd})
    claimed = made.replay(unknown, optimizer=er.Adam(lr=LR))
    assert [x.quantity for x in claimed.having("mistake")] == [
        "the optimizer is SGD, said to be Adam"
    ]


def test_a_rate_that_the_optimizer_lowers_is_named_before_its_class():
    """Adam is said of a ClippedAdam whose rate falls; one whose rate stays has another class."""
    named = [name for name, _ in found(noted("ClippedAdam", CLIPPED), er.Adam(lr=LR))]
    assert named == ["learning_rate_decay", "optimizer_settings"]
    decay, _ = compare_optimizer(noted("ClippedAdam", CLIPPED), OptimizerClaim.of(er.Adam(lr=LR)))
    assert (decay.theirs, decay.ours, decay.allowance) == (0.9, 1.0, None)
    steady = noted("ClippedAdam", {**CLIPPED, "lrd": 1.0})
    assert [name for name, _ in found(steady, er.Adam(lr=LR))] == ["optimizer_settings"]
    assert [name for name, _ in found(noted("ClippedAdam", CLIPPED), "Adam")] == [
        "optimizer_settings"
    ]


def test_the_first_name_that_is_unknown_is_told():
    with pytest.raises(ValueError, match="optimizer: 'rate' is none of class, amsgrad, betas"):
        OptimizerClaim.of({"lr": 0.1, "rate": 0.1, "momentum": 0.9})


@pytest.mark.parametrize(
    ("kind", "settings", "wanted"),
    [
        ("Adam", {"lr": 0.1}, er.Adam(lr=0.1)),
        (None, {"lr": 0.1, "eps": 1e-6}, er.Adam(lr=0.1, eps=1e-6)),
        ("ClippedAdam", {"lr": 0.1, "lrd": 0.9}, er.ClippedAdam(lr=0.1, lrd=0.9)),
        ("Adam", {"lr": 0.1, "lrd": 0.9}, er.Adam(lr=0.1)),
        ("Adam", {"betas": (0.5, 0.9)}, None),
        ("SGD", {"lr": 0.1}, None),
    ],
)
def test_the_optimizer_of_a_claim(kind, settings, wanted):
    """With what its class has of the settings; none without a rate, or of an unknown class."""
    assert OptimizerClaim(kind, settings).optimizer() == wanted


def test_a_decay_is_a_fall_of_more_than_a_millionth():
    for last, falls in ((LR * (1 - 0.9e-6), False), (LR * (1 - 1.1e-6), True), (2 * LR, False)):
        made = noted(lr=[LR, LR / 3, last], scheduler="StepLR")
        assert bool(found(made, {"lr": LR})) is falls
    made = noted(lr=[LR, LR, LR / 2], scheduler="StepLR")
    (finding,) = compare_optimizer(made, OptimizerClaim.of({"lr": 0.5 * LR + 0.5 * LR}))
    assert finding.quantity == "learning rate of a at step 2" and finding.allowance is None
    assert finding.reason == f"StepLR lowers it from {LR:g}"
    assert found(noted(lr=[LR, LR, LR / 2]), {"lr": LR}) == [], "no scheduler is noted"
    assert found(made, {"eps": 1e-8}) == [], "no rate is said"
    assert found(made, {"lr": LR, "lrd": 1.0}) != []


def test_a_lowered_rate_is_told_of_the_first_parameter_that_has_one():
    settings = {"a": {**CLIPPED, "lrd": 1.0}, "b": CLIPPED}
    header = {"optimizer": {"class": "ClippedAdam", "settings": settings}}
    made = Recording(losses=np.zeros(3), header=header)
    first, second = compare_optimizer(made, OptimizerClaim.of({"class": "Adam", "lr": LR}))
    assert first.quantity == "learning rate of b falls by a factor in every step"
    assert first.reason == "lrd of the optimizer" and second.name == "optimizer_settings"
    said = OptimizerClaim.of({"class": "Adam", "lr": LR, "lrd": 0.9})
    assert [x.name for x in compare_optimizer(made, said)] == ["optimizer_settings"]


def test_settings_of_one_class_are_not_compared_with_another():
    """`clip_norm`, `lrd` and `amsgrad` belong to one; the others are compared."""
    said = {"class": "ClippedAdam", "lr": LR, "clip_norm": 1.0, "eps": 1e-3}
    words = [
        quantity for _, quantity in found(noted(settings={**SETTINGS, "clip_norm": 2.0}), said)
    ]
    assert words == [
        "the optimizer is Adam, said to be ClippedAdam", "eps of a, b is 1e-08, said to be 0.001",
    ]  # fmt: skip
    alone = found(noted(settings={**SETTINGS, "clip_norm": 2.0}), {"clip_norm": 1.0})
    assert alone == [("optimizer_settings", "clip_norm of a, b is 2.0, said to be 1.0")]


def test_values_are_the_same_to_a_millionth():
    for off, said in ((0.9e-6, 0), (1.1e-6, 1)):
        assert len(found(noted(settings={**SETTINGS, "lr": LR * (1 + off)}), {"lr": LR})) == said
    assert found(noted(), {"weight_decay": 0.0}) == [] and found(noted(), {"weight_decay": 1e-30})


@pytest.mark.parametrize(
    ("kind", "clip", "framework", "clipped"),
    [
        ("Adam", {"clip_value": 10.0}, "numpyro", True),
        ("numpyro Adam", {"clip_value": 10.0}, "numpyro", True),
        ("Adam", {"clip_value": None}, "numpyro", False),
        ("Adam", {"clip_norm": 1.0}, "numpyro", False),
        ("Adam", "a function", "numpyro", False),
        ("Adam", {"clip_value": 10.0}, "pyro", False),
        ("SGD", {"clip_value": 10.0}, "numpyro", False),
    ],
)
def test_the_class_of_an_adam_of_clipped_gradients(kind, clip, framework, clipped):
    made = noted(kind, clip=clip, header={"framework": framework})
    other = "ClippedAdam" if clipped else kind.split()[-1]
    assert found(made, other) == []
    assert found(made, "SGD" if kind != "SGD" else "Adam") != []
