"""The parts of a replay that put the others together: what is compared, and what is ruled out."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.replay import check, draws, gradients, losses, updates
from elbo_ref.recording.replay.check import (
    _at_maximum,
    _batch,
    _beside_counts,
    _last_point,
    _of_adam,
    _rate,
    _ruled_out,
    _samples_others,
    _settings,
    replay,
)
from elbo_ref.recording.statement import read_statement
from recorded import (
    COUNTS,
    SETTINGS,
    K,
    Made,
    N,
    betas,
    exact_but_for,
    stand_in_for_pytorch,
    stated,
)


def program(name, *sites):
    recording = SimpleNamespace(sites=lambda of: list(sites) if of == "guide" else [])
    return SimpleNamespace(recording=recording, guide=SimpleNamespace(name=name))


SAMPLED, OBSERVED = {"observed": False}, {"observed": True}


@pytest.mark.parametrize(
    ("guide", "sites", "others"),
    [
        ("empty", (), False),
        ("empty", (OBSERVED,), False),
        ("empty", (SAMPLED,), True),
        ("empty", (OBSERVED, SAMPLED), True),
        ("beta", (SAMPLED,), False),
    ],
)
def test_a_guide_that_samples_something_instead(guide, sites, others):
    assert _samples_others(program(guide, *sites)) is others


def seen(constant, total_count=((4.0, 5.0), (7.0, 6.0))):
    return SimpleNamespace(constant=constant, total_count=np.array(total_count))


def test_what_a_step_sees():
    """Fewer latents than there are, or some trials of one latent, on the average."""
    three = SimpleNamespace(num_latents=3)
    assert _batch(three, seen(False), er.Counts(K, N)) == 6, "5.5 trials, rounded to even"
    assert _batch(three, seen(True), er.Counts(K, N)) is None
    assert _batch(SimpleNamespace(num_latents=2), seen(True), er.Counts(K, N)) == 2
    one = SimpleNamespace(num_latents=1)
    assert _batch(one, seen(False, [[3.0], [2.0], [4.0]]), er.Counts(5, 9)) == 3


@pytest.mark.parametrize(
    ("noted", "adam"),
    [
        (None, True), ({}, True), ({"class": None}, True), ({"class": "Adam"}, True),
        ({"class": "ClippedAdam"}, True), ({"class": "numpyro Adam"}, True),
        ({"class": "SGD"}, False), ({"class": "RMSprop"}, False),
    ],
)  # fmt: skip
def test_the_kind_of_an_optimizer(noted, adam):
    assert _of_adam(SimpleNamespace(header={"optimizer": noted})) is adam
    if noted is None:
        assert _of_adam(SimpleNamespace(header={}))


def test_settings_of_each_parameter():
    header = {"optimizer": {"settings": {"a": {"lr": 0.1}, "b": {"lr": 0.2}}}}
    assert _settings(SimpleNamespace(header=header)) == [{"lr": 0.1}, {"lr": 0.2}]
    for nothing in ({}, {"optimizer": None}, {"optimizer": {}}):
        assert _settings(SimpleNamespace(header=nothing)) == []


def test_the_rate_is_that_of_the_last_of_many_steps():
    lr = {"a": np.array([0.4, 0.3, 0.1]), "b": np.array([0.05, 0.9, 0.02])}
    assert _rate(SimpleNamespace(lr=lr)) == 0.1


def finding(name, status):
    return Finding(name, "x", status=status)


def agreeing(*names):
    return [finding(name, "agrees") for name in names]


def test_what_is_ruled_out_by_what_agrees():
    assert _ruled_out([], ()) == ()
    assert _ruled_out(agreeing("losses"), ()) == losses.RULED_OUT
    all_of = agreeing("draws", "losses", "updates", "gradients")
    modules = (losses, gradients, updates, draws)
    assert _ruled_out(all_of, ()) == tuple(x for module in modules for x in module.RULED_OUT)
    doubtful = [*agreeing("gradients"), finding("gradients", "untested")]
    assert _ruled_out(doubtful, ()) == (), "one of them is untested"
    assert _ruled_out([finding("losses", "note")], ()) == ()


def test_what_is_not_ruled_out():
    """Mistakes that are found, that could not be seen, and those of a scale that is not known."""
    base = agreeing("losses")

    def without(findings, invisible=()):
        return {*losses.RULED_OUT} - {*_ruled_out([*base, *findings], invisible)}

    assert without([finding("wrong_sign", "mistake")]) == {"wrong_sign"}
    assert without([], ("wrong_sign",)) == {"wrong_sign"}
    scale = {"normalised_loss", "subsample_unscaled", "subsample_scaled_twice"}
    assert without([finding("scale", "note")]) == scale
    assert without([finding("scale", "agrees")]) == set()
    assert without([finding("likelihood_weight", "mistake")]) == {*scale, "likelihood_weight"}
    assert without([finding("likelihood_weight", "note")]) == set()
    assert without([finding("same_rows", "note")]) == {"likelihood_weight"}


RESTING = {x: {"a": np.ones((4, 1))} for x in ("before", "constrained", "gradients", "after")}


def plain(prior=(2.0, 5.0), own=None, **groups):
    return read_statement(stated(np.full((4, 1, 3), 0.25), betas(prior, own), **groups))


def test_counts_beside_the_rows_that_were_observed():
    """A note says whose the exact numbers are, where they differ."""
    statement = plain()
    assert _beside_counts(statement, None) == [] == _beside_counts(statement, COUNTS)
    other = er.Counts(K + [0, 0, 1], N)
    names = [(x.name, x.status) for x in _beside_counts(statement, other)]
    assert names == [("wrong_counts", "mistake"), ("exact", "note")]
    assert _beside_counts(replace(statement, data=None), other) == []
    fewer = er.Counts([*K, 5, 2, 1], [*N, 9, 8, 7])
    assert [x.name for x in _beside_counts(statement, fewer)] == ["subsample_unscaled", "exact"]
    weighted = replace(statement, findings=(finding("likelihood_weight", "mistake"),))
    assert [x.name for x in _beside_counts(weighted, fewer)] == ["exact"]


def test_the_point_of_the_last_step():
    """The last prior and guide, whatever the loss; none where latents have priors of their own."""
    a = np.array([[2.0], [2.5], [3.0], [3.5]])
    own = (np.array([[4.0, 8.0, 15.0]]) + a, [9.0, 6.0, 30.0])
    statement = plain((a, 5.0), own)
    point = _last_point(statement, statement.data, statement.data, None).point
    assert point.prior.arrays() == (3.5, 5.0)
    np.testing.assert_array_equal(point.guide_parameters, [[7.5, 11.5, 18.5], [9.0, 6.0, 30.0]])
    assert (point.counts, point.batch, point.num_particles) == (COUNTS, None, 1)
    assert (point.loss.name, point.rate, point.of_adam) == ("trace", None, True)
    by_latent = plain((np.array([[2.0, 2.5, 3.0]] * 4), 5.0), own)
    assert _last_point(by_latent, by_latent.data, by_latent.data, None) is None
    shared = plain((a, 5.0), ([[4.0]] * 4, [[9.0]] * 4))
    found = _last_point(shared, shared.data, shared.data, None).point.guide_parameters
    assert found.shape in ((2, 3), (2, 1)) and (found[:, 0] == [4.0, 9.0]).all()


def test_the_rate_counts_where_the_optimizer_is_adam():
    lr = {"a": np.full(4, 0.05)}
    for kind, rate in (("Adam", 0.05), ("SGD", None)):
        statement = plain(lr=lr, header={"optimizer": {"class": kind}}, **RESTING)
        point = _last_point(statement, statement.data, statement.data, None).point
        assert (point.rate, point.of_adam) == (rate, kind == "Adam")


@pytest.mark.parametrize("decays", [(), (0.0,), (0.0, 0.3, None), (None,)])
def test_the_largest_decay_of_weights_is_handed_on(monkeypatch, decays):
    """With what is held, how fast rates fall, and the losses' model of data that stay the same."""
    given = []
    monkeypatch.setattr(check, "maximum_findings", lambda *x, **y: given.append((x, y)) or [])
    settings = {f"p{i}": {**SETTINGS, "weight_decay": x} for i, x in enumerate(decays)}
    rates = {"a": 0.1 * 0.5 ** np.arange(4)}
    header = {"optimizer": {"class": "Adam", "settings": settings}}
    statement = plain(header=header, lr=rates, **RESTING)
    trace = SimpleNamespace(
        model=SimpleNamespace(loss=er.objectives.OBJECTIVES["trace"], num_particles=2)
    )
    findings, point = _at_maximum(statement, statement.data, None, trace)
    (((passed, held, decay, history), named),) = given
    assert findings == [] and passed is point and held is None
    assert decay == max([x or 0.0 for x in decays], default=0.0)
    assert history is trace.model and named["pace"].falls == pytest.approx(0.5)
    assert point.point.num_particles == 2
    assert _at_maximum(replace(statement, outside=("x",)), statement.data, None, trace) == (
        [],
        None,
    )


def test_minibatches_that_cannot_be_put_together_are_said(monkeypatch):
    statement = plain()
    moving = statement.data._replace(batched=True, whole=5)
    if moving.constant:
        moving = moving._replace(successes=np.vstack([K, K + 1.0]), total_count=np.vstack([N, N]))
    (one,), point = _at_maximum(statement, moving, None, None)
    assert (one.name, one.status, point) == ("objective", "untested", None)
    assert one.reason.startswith("minibatches: ")


@pytest.mark.parametrize("said", [(), ("gradient_detached",), ("wrong_sign",)])
def test_a_gradient_that_the_program_stops_is_not_told_twice(monkeypatch, said):
    """What departs in it has its cause; what agrees is said all the same."""
    stand_in_for_pytorch(monkeypatch, exact_but_for(0.0))
    made = Made()
    off = "guide.c.concentration1"
    other = made.recording(
        argument_gradients=lambda r: {
            x: -0.7 * g + 0.1 if x == off else g for x, g in r.argument_gradients.items()
        }
    )

    def stated_with(part):
        found = read_statement(part)
        more = tuple(finding(name, "mistake") for name in said)
        return replace(found, findings=(*found.findings, *more))

    monkeypatch.setattr(check, "read_statement", stated_with)
    verdict = made.replay(other)
    departs = [x for x in verdict.findings if x.of == off.replace("guide.c", "guide")]
    assert bool([x for x in departs if x.status == "mistake"]) is (said != ("gradient_detached",))
    agreeing = [x for x in verdict.having("agrees") if x.name == "gradients"]
    assert len(agreeing) == 3


def test_whatever_underflows_inside_is_zero(monkeypatch):
    class ReachedError(Exception):
        pass

    def underflows(*_):
        np.float64(1e-300) * np.float64(1e-300)
        raise ReachedError

    monkeypatch.setattr(check, "_verdict", underflows)
    with np.errstate(all="raise"), pytest.raises(ReachedError):
        replay(stated(np.full((2, 1, 3), 0.25), betas((2.0, 5.0))))


def test_what_the_subject_says():
    verdict = replay(stated(np.full((4, 1, 3), 0.25), betas((2.0, 5.0), ([4.0] * 3, [9.0] * 3))))
    assert verdict.subject == (
        "4 steps of an SVI with a loss of its own in float64: 3 latents, beta guide"
    )
    header = {"framework": "pyro", "loss": {"class": "Trace_ELBO"}}
    one = replay(stated(np.full((1, 1, 3), 0.25, np.float32), betas((2.0, 5.0)), header=header))
    assert one.subject == "1 step of pyro with Trace_ELBO in float32: 3 latents, empty guide"


def test_gradients_that_depart_are_one_mistake_beside_what_is_detached():
    """Those of the prior, at fixed draws; where a parameter is detached it is that alone."""
    made = Made()

    def disturbed(recording):
        name = "model.c.concentration1"
        factors = np.random.default_rng(0).uniform(0.2, 3.0, (len(recording.losses), 1))
        return {
            x: values * factors if x == name else values
            for x, values in recording.argument_gradients.items()
        }

    departing = made.recording(argument_gradients=disturbed)
    assert made.replay(departing).mistakes == ("gradient_mismatch",)
    header = {**departing.header}
    header["sites"] = [
        {**x, "sources": {**x["sources"], "concentration0": []}} if x["program"] == "model"
        and x["name"] == "c" else x
        for x in header["sites"]
    ]  # fmt: skip
    detached = made.replay(replace(departing, header=header))
    assert detached.mistakes == ("gradient_detached",)


@pytest.mark.parametrize(("off", "mistakes"), [(5e-11, ()), (1e-6, ("gradient_mismatch",))])
def test_gradients_are_as_near_as_polygammas_are(off, mistakes):
    """PyTorch's are right to 5e-10 of them, so that 1e-10 of all terms is allowed for."""

    def moved(recording):
        name, rng = "model.c.concentration1", np.random.default_rng(0)
        return {
            x: values * (1 + off * rng.normal(size=values.shape) / 3) if x == name else values
            for x, values in recording.argument_gradients.items()
        }

    made = Made()
    assert made.replay(made.recording(argument_gradients=moved)).mistakes == mistakes
