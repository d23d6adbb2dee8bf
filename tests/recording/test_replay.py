"""`replay` without a framework: runs made by hand, clean or with a mistake planted in them.

The runs come from `recorded.Made`. A clean one is the negative control.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.replay import gradients
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.kernel import installed_pytorch, torch_pathwise
from recorded import (
    COUNTS,
    LOGC,
    LR,
    NAMES,
    PARTICLES,
    SETTINGS,
    STEPS,
    K,
    Made,
    N,
    betas,
    hide_pytorch,
    site,
    stated,
)
from tiers import few


@pytest.fixture(scope="module")
def made():
    return Made()


def in_a_loop(made, names):
    """The recording of a model with a site, and of a guide with two parameters, for each latent."""
    recording = made.recording()

    def split(array):
        return array.T if array.ndim == 2 else [array]

    def parts(name, array):
        own = names(name) if array.ndim == 2 else [name]
        return zip(own, split(array), strict=True)

    groups = {
        group: {
            key: column
            for name, array in getattr(recording, group).items()
            for key, column in parts(name, array)
        }
        for group in ("before", "constrained", "gradients", "after")
    }
    arguments, gradients, sources = {}, {}, {}
    for full, parameter in made.sources.items():
        program, _, key = full.split(".")
        own = names(parameter) if recording.constrained[parameter].ndim == 2 else [parameter] * 3
        for i in range(3):
            one = recording.arguments[full].shape[1] == 1
            name = f"{program}.c_{i}.{key}"
            arguments[name] = recording.arguments[full][:, 0 if one else i][:, None]
            gradient = recording.argument_gradients[full]
            gradients[name] = gradient / 3 if one else gradient[:, i : i + 1]
            sources.setdefault((program, f"c_{i}"), {})[key] = [own[i]]
    sites = [site(*where, sources=named) for where, named in sources.items()]
    for i in range(3):
        rows = {"rows": 1, "elements": 1, "latent": f"c_{i}", "complement": False}
        sites.append(site("model", f"k_{i}", "Binomial", observed=True, **rows))
    settings = dict.fromkeys(groups["before"], SETTINGS)
    return replace(
        recording,
        draws={f"c_{i}": recording.draws["c"][:, :, i : i + 1] for i in range(3)},
        arguments=arguments,
        argument_gradients=gradients,
        observed={
            f"k_{i}.{key}": np.array([[float(x)]])
            for i in range(3)
            for key, x in (("value", K[i]), ("total_count", N[i]), ("index", 0))
        },
        header={
            **recording.header,
            "sites": sites,
            "constraints": dict.fromkeys(settings, "positive"),
            "optimizer": {"class": "Adam", "settings": settings},
        },
        **groups,
    )


@pytest.mark.parametrize("kind", ["beta", "empty", "tied"])
def test_a_site_for_each_latent_is_the_site_of_a_plate(kind):
    """Which parameter is whose is not taken from their names: here these run backwards."""
    made = Made(kind)
    recording = in_a_loop(made, lambda name: [f"{name}_{i}" for i in (2, 1, 0)])
    one, other = replay(recording, COUNTS), made.replay()
    assert one.genuine and one.exact == other.exact
    for mine, theirs in zip(*(_without_updates(x) for x in (one, other)), strict=True):
        assert mine[:2] == theirs[:2] and mine.status == theirs.status
        np.testing.assert_allclose(_numbers(mine), _numbers(theirs), rtol=1e-6, atol=1e-9)
    other_counts = er.Counts(K, N + [1, 0, 0])
    assert replay(recording, other_counts).mistakes == ("wrong_total_count",)
    last = [x for x in recording.header["sites"] if x["name"] != "c_2" or x["program"] != "guide"]
    fewer = replace(recording, header={**recording.header, "sites": last})
    assert ("latent_not_in_guide" in replay(fewer, COUNTS).mistakes) == (kind != "empty")


def _without_updates(verdict):
    return [x for x in verdict.findings if x.name != "updates"]


def _numbers(finding):
    return np.array([finding.theirs, finding.ours], dtype=float)


def test_latents_with_priors_of_their_own_are_outside_the_model():
    """Said before anything else; the steps are made again all the same."""
    recording = in_a_loop(Made("empty"), lambda name: [f"{name}_{i}" for i in range(3)])
    assert replay(recording).outcome != "outside_model"
    arguments = dict(recording.arguments)
    name = "model.c_1.concentration1"
    arguments[name] = 2 * arguments[name]
    verdict = replay(replace(recording, arguments=arguments))
    assert verdict.outcome == "outside_model" and verdict.exit_code == 6
    assert verdict.findings[0].status == "outside"
    assert "several sites have a prior each: c_0, c_1, c_2" in verdict.findings[0].quantity
    assert "updates" in {x.name for x in verdict.having("agrees")}


@pytest.mark.parametrize("kind", ["beta", "empty", "tied"])
def test_a_clean_run_agrees(kind):
    verdict = Made(kind).replay()
    assert verdict.genuine, verdict
    assert {f.name for f in verdict.having("agrees")} == {"losses", "gradients", "updates", "draws"}
    assert len(verdict.ruled_out) == 19 and "missing_coefficients" not in verdict.ruled_out
    assert ("gap" in verdict.exact) == (kind != "empty")


def test_the_first_step_that_departs_is_named(made):
    def change(recording):
        losses = recording.losses.copy()
        losses[[7, 9]] *= 1 + 1e-9
        return losses

    verdict = made.replay(made.recording(losses=change))
    (finding,) = verdict.having("mistake")
    assert finding.name == "loss_mismatch" and finding.quantity == "loss at step 7"
    assert 0 < finding.difference < 1e-7 and finding.allowance < 1e-7
    assert "2 of 40 losses" in finding.reason and "losses" not in verdict.ruled_out


def test_what_is_below_the_allowance_is_rounding(made):
    changed = made.recording(losses=lambda r: r.losses * (1 + 1e-12))
    assert made.replay(changed).genuine


LOSSES = {
    "wrong_sign": lambda r: -r.losses,
    "normalised_loss": lambda r: r.losses / 59,
    "unexplained_constant": lambda r: r.losses + 1.0,
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_are_others(made, name):
    verdict = made.replay(made.recording(losses=LOSSES[name]))
    assert verdict.mistakes == (name,), verdict


def lacking_coefficients(recording):
    return recording.losses + LOGC


def test_losses_without_the_coefficients_are_no_mistake(made):
    """No parameter feels them: single trials have none, nor has a likelihood by hand."""
    verdict = made.replay(made.recording(losses=lacking_coefficients))
    assert verdict.genuine and not verdict.mistakes, verdict
    assert {x.name for x in verdict.having("agrees")} >= {"losses", "gradients"}
    assert f"coefficients, {LOGC:.5g}:" in _note(verdict, "coefficients").quantity
    assert not [x for x in made.replay().having("note") if x.name == "coefficients"]
    off = made.replay(made.recording(losses=lambda r: r.losses + 1.001 * LOGC))
    assert off.mistakes == ("unexplained_constant",)


def _note(verdict, name):
    (note,) = (x for x in verdict.having("note") if x.name == name)
    return note


def test_a_likelihood_written_by_hand_clamps_no_draw():
    """k log c + (n - k) log(1 - c) at draws of which a Binomial would see eps."""
    low = Made(source=lambda x: (0.05, 5.0))
    recording = low.recording(losses=lacking_coefficients)
    assert np.mean(recording.draws["c"] < np.finfo(float).eps) > 0.1
    verdict = low.replay(recording)
    assert "losses" in {x.name for x in verdict.having("agrees")}, verdict
    assert "coefficients" in {x.name for x in verdict.having("note")}
    assert low.replay().having("mistake")[0].name == "loss_mismatch"


def test_losses_without_the_guide(made):
    c, x = (np.array([row[group] for row in made.rows]) for group in ("draws", "constrained"))
    own = [
        np.mean(np.sum(stats.beta.logpdf(a["c"], b["qa"], b["qb"]), axis=1))
        for a, b in zip(c, x, strict=True)
    ]
    verdict = made.replay(made.recording(losses=lambda r: r.losses - own))
    assert verdict.mistakes == ("loss_mismatch",), verdict
    assert "lack the density of the guide" in verdict.having("mistake")[0].reason


@pytest.mark.parametrize("owner", ["prior", "guide"])
def test_names_that_are_exchanged(made, owner):
    one, zero = f"{owner}.concentration1", f"{owner}.concentration0"
    verdict = made.replay(names={**NAMES, one: NAMES[zero], zero: NAMES[one]})
    assert verdict.mistakes == ("swapped_concentrations",), verdict
    (finding,) = verdict.having("mistake")
    said = NAMES[zero]
    assert finding.quantity == f"{said}, said to be {one}, at step 0"
    assert made.replay(names=NAMES).genuine


@pytest.mark.parametrize("factor", few([0.25, 4.0]))
def test_a_likelihood_that_is_scaled(factor):
    """Under a tied guide it is all there is, so that nothing but a factor is seen."""
    for kind in ("beta", "empty", "tied"):
        verdict = Made(kind, likelihood=factor).replay()
        name = "normalised_loss" if kind == "tied" else "likelihood_weight"
        assert verdict.mistakes == (name,), verdict


def test_other_counts(made):
    """Given counts are compared with the rows that were observed; these are what is replayed."""
    for counts, name, quantity in (
        (er.Counts(K, N + 2), "wrong_total_count", "total_count of latent 0"),
        (er.Counts(K, [10, 10, 40]), "wrong_total_count", "total_count of latent 1"),
        (er.Counts(K + [0, 0, 1], N), "wrong_counts", "successes of latent 2"),
        (er.Counts(K[::-1], N[::-1]), "permuted_rows", "the row of latent 0"),
        (er.Counts([3, 19], [10, 49]), "wrong_latents", "number of latents"),
    ):
        verdict = made.replay(counts=counts)
        assert verdict.mistakes == (name,), verdict
        assert verdict.having("mistake")[0].quantity == quantity
        agreed = {x.name for x in verdict.having("agrees")}
        assert agreed == {"losses", "gradients", "updates", "draws"}
        assert "rows that the run observed" in _note(verdict, "exact").quantity


def test_nothing_but_the_recording_is_needed(made):
    alone, beside = replay(made.recording()), made.replay()
    assert alone.genuine and alone.to_dict() == beside.to_dict()


def test_equal_latents_may_share_an_entry():
    verdict = Made("tied").replay(counts=er.Counts([3, 7], [10, 9], multiplicity=[1, 2]))
    assert verdict.mistakes == ("wrong_counts",)  # three latents, but not these


def test_losses_of_rows_that_were_not_observed(made):
    """The rows say other counts than the losses were made of."""
    other = made.recording(
        observed=lambda r: {**r.observed, "k.total_count": r.observed["k.total_count"] + 2}
    )
    assert replay(other).mistakes[0] == "wrong_total_count"


def test_draws_from_elsewhere():
    verdict = Made(source=lambda x: (x["qa"] * 1.5, x["qb"])).replay()
    assert verdict.mistakes == ("draw_mismatch",), verdict
    verdict = Made(source=lambda x: (x["a"], x["b"])).replay()
    assert verdict.mistakes == ("latent_not_in_guide",), verdict


def parts(made, **wanted):
    """Gradients made of parts, by parameter; what is not named stays."""
    return lambda r: {**r.gradients, **wanted}


@pytest.fixture(params=["with PyTorch", "without PyTorch"])
def pytorch(request, monkeypatch):
    """Whether PyTorch can be asked; it is hidden in one of the two environments."""
    if request.param == "without PyTorch":
        hide_pytorch(monkeypatch)
    elif installed_pytorch() is None:
        pytest.skip("needs PyTorch")
    return request.param == "with PyTorch"


def test_gradients_that_are_others(made, pytorch):
    """Without PyTorch one that goes through the draws is no mistake, unless it is zero."""
    density, through, score = (made.gradient(part) for part in ("density", "through", "score"))
    whole = {name: density[name] + through[name] for name in density}
    cases = {
        "gradient_detached": [0 * whole["qa"], density["qa"], through["qa"]],
        "gradient_scaled": [3.0 * whole["qa"], -whole["qa"], whole["qa"] / PARTICLES],
        "gradient_estimator": [score["qa"]],
        "gradient_mismatch": [whole["qa"] + 1e-6],
    }
    for name, values in cases.items():
        for value in values:
            verdict = made.replay(made.recording(gradients=parts(made, qa=value)))
            assert set(verdict.mistakes) <= {name, "optimizer_settings"}
            if pytorch or not value.any():
                assert name in verdict.mistakes, (name, verdict)
                finding = next(f for f in verdict.having("mistake") if f.name == name)
                assert finding.quantity.startswith("gradient of guide.concentration1 at step 0")
            else:
                assert name not in verdict.mistakes
                assert [f.quantity for f in verdict.having("untested")] == UNTESTED[:1] + UNTESTED[
                    2:
                ]
                assert not set(gradients.RULED_OUT) & set(verdict.ruled_out)


UNTESTED = [
    "the gradient of guide.concentration1",
    "the gradient of guide.concentration0",
    "what PyTorch's derivative of a Beta draw does to these gradients",
]


def test_a_gradient_without_a_derivative_of_draws_is_tested_without_pytorch(made, pytorch):
    density = made.gradient("density")
    cases = {
        "gradient_detached": 0 * density["a"],
        "gradient_scaled": 3 * density["a"],
        "gradient_mismatch": density["a"] + 1e-6,
    }
    for name, value in cases.items():
        verdict = made.replay(made.recording(gradients=parts(made, a=value)))
        assert name in verdict.mistakes, (name, verdict)


@pytest.mark.parametrize("error", few([1e-6, 1e-3, 0.5]))
def test_no_error_of_the_kernel_is_passed_or_blamed_without_pytorch(error, monkeypatch):
    hide_pytorch(monkeypatch)
    exact = er.pathwise_gradient
    verdict = Made(
        pathwise=lambda c, a, b: (1 + error) * np.array(exact(special.logit(c), a, b))
    ).replay()
    assert not verdict.mistakes
    assert [f.quantity for f in verdict.having("untested")] == UNTESTED
    assert all("where PyTorch is installed" in f.reason for f in verdict.having("untested"))
    agreed = [f.quantity for f in verdict.having("agrees") if f.name == "gradients"]
    assert len(agreed) == 2 and all("of prior.concentration" in words for words in agreed)


@pytest.mark.parametrize("kind", ["beta", "empty", "tied"])
def test_hiding_pytorch_makes_untested_what_asks_it_and_changes_nothing_else(kind, monkeypatch):
    if installed_pytorch() is None:
        pytest.skip("needs PyTorch")
    run = Made(kind, pathwise=lambda c, a, b: torch_pathwise(c, a, b).slopes)
    seen = run.replay()
    hide_pytorch(monkeypatch)
    unseen = run.replay()
    asked = [f for f in seen.findings if "by PyTorch's own" in f.reason or f.name == "kernel_error"]
    assert [f.status for f in asked] == ["agrees", "agrees", "note"]
    assert len(unseen.having("untested")) == 3 and not seen.having("untested")
    rest = [f for f in unseen.findings if f.status != "untested"]
    assert rest == [f for f in seen.findings if f not in asked]
    for name in ("subject", "exact", "advice", "posterior", "outcome"):
        assert getattr(seen, name) == getattr(unseen, name)
    assert set(seen.ruled_out) - set(unseen.ruled_out) == set(gradients.RULED_OUT)


def test_an_optimizer_that_is_claimed(made):
    assert made.replay(optimizer=er.Adam(lr=LR)).genuine
    other = made.replay(optimizer=er.Adam(lr=LR, eps=1e-3))
    assert other.mistakes == ("optimizer_settings",)
    assert other.findings[0].quantity == "eps of a, b, qa, qb is 1e-08, said to be 0.001"
    silent = made.recording(header=lambda r: {**r.header, "optimizer": {"class": "numpyro Adam"}})
    agreed = made.replay(silent, optimizer=er.Adam(lr=LR)).having("agrees")
    assert sum(f.name == "updates" for f in agreed) == 4
    assert not any(f.name == "updates" for f in made.replay(silent).having("agrees"))
    unlike = made.replay(silent, optimizer=er.Adam(lr=2 * LR))
    assert unlike.mistakes == ("optimizer_settings",)
    assert "lr = 0.03" in unlike.findings[0].reason


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_weight_decay_is_said(made, kind):
    settings = {name: {**SETTINGS, "weight_decay": 0.1} for name in made.recording().before}
    noted = {"optimizer": {"class": kind, "settings": settings}}
    verdict = made.replay(made.recording(header=lambda r: {**r.header, **noted}))
    assert "weight decay 0.1" in _note(verdict, "weight_decay").quantity
    assert not any(x.name == "weight_decay" for x in made.replay().findings)


ROWS = np.array([3, 7, 12, 0, 5, 9]), np.array([10, 9, 40, 8, 11, 30])
TRIALS = np.array([0, 1, 1, 0, 1, 0]), np.ones(6, int)


def batches(rows, shared, scale, numbered=True):
    """30 steps of two rows of six, under Beta(2, 5) and an empty guide; losses by SciPy."""
    rng, (k, n) = np.random.default_rng(0), rows
    index = np.array([rng.permutation(6)[:2] for _ in range(30)])
    c = rng.beta(2.0, 5.0, (30, 1 if shared else 2))
    data = stats.binom.logpmf(k[index], n[index], c).sum(axis=1)
    prior = stats.beta.logpdf(c, 2.0, 5.0).sum(axis=1)
    scaled = {"scale": scale, "planned_scale": 3.0 if numbered else 1.0}
    of_rows = {"rows": 2, "elements": 2, "latent": "c", "complement": False, **scaled}
    latents = np.zeros((1, 2)) if shared else np.arange(2.0)[None]
    observed = {"k.value": k[index], "k.total_count": n[index], "k.index": latents}
    return Recording(
        losses=-scale * data - (1 if shared else scale) * prior,
        draws={"c": c[:, None]},
        arguments={
            "model.c.concentration1": np.full((30, 1), 2.0),
            "model.c.concentration0": np.full((30, 1), 5.0),
        },
        observed=observed | ({"rows.rows": index} if numbered else {}),
        header={
            "sites": [
                site("model", "c", **({} if shared else scaled)),
                site("model", "k", "Binomial", **{**of_rows, "observed": True}),
            ],
            "plates": {"rows": 6},
        },
    )


@pytest.mark.parametrize("numbered", [True, False], ids=["in a plate", "by hand"])
@pytest.mark.parametrize(
    ("scale", "mistakes"),
    [(3.0, ()), (1.0, ("subsample_unscaled",)), (9.0, ("subsample_scaled_twice",))],
)
@pytest.mark.parametrize(("rows", "shared"), [(ROWS, False), (TRIALS, True)])
def test_minibatches(rows, shared, scale, mistakes, numbered):
    """A plate knows how many rows there are; of batches by hand the counts tell."""
    counts = (er.Counts.shared if shared else er.Counts)(*rows)
    recording = batches(rows, shared, scale, numbered)
    verdict = replay(recording, counts, prior=er.Beta(2.0, 5.0))
    assert verdict.mistakes == mistakes, verdict
    assert {f.name for f in verdict.having("agrees")} >= {"losses", "draws"}
    assert replay(recording).mistakes == (mistakes if numbered else ())


def test_a_scale_of_minibatches_that_is_upside_down():
    """By hand it is a mistake beside the counts, and without them no scale is ruled out."""
    recording = batches(ROWS, False, 1 / 3, False)
    assert replay(recording, er.Counts(*ROWS)).mistakes == ("subsample_unscaled",)
    alone = replay(recording)
    assert not alone.mistakes and not {"subsample_unscaled", "normalised_loss"} & {*alone.ruled_out}
    right = replay(batches(ROWS, False, 3.0, False), er.Counts(*ROWS))
    assert not right.mistakes


def test_minibatches_of_other_rows():
    k, n = ROWS
    for numbered in (True, False):
        found = replay(batches(ROWS, False, 3.0, numbered), er.Counts(k, n + 1))
        assert found.mistakes == ("wrong_total_count",)
        found = replay(batches(ROWS, False, 3.0, numbered), er.Counts(k + [0, 0, 1, 0, 0, 0], n))
        assert found.mistakes == ("wrong_counts",)
        found = replay(batches(ROWS, False, 3.0, numbered), er.Counts(k[::-1], n[::-1]))
        assert found.mistakes == (("permuted_rows",) if numbered else ())


@pytest.mark.parametrize("shared", [False, True])
def test_one_step_of_a_minibatch_is_not_all_the_data(shared):
    rows = TRIALS if shared else ROWS
    whole = batches(rows, shared, 3.0)
    one = {name: x[:1] for name, x in whole.observed.items()}
    groups = {name: {x: a[:1] for x, a in getattr(whole, name).items()}
              for name in ("draws", "arguments")}  # fmt: skip
    recording = replace(whole, losses=whole.losses[:1], observed=one, **groups)
    verdict = replay(recording)
    assert not verdict.mistakes, verdict
    assert not {"at_optimum", "not_converged", "unbounded"} & {x.name for x in verdict.findings}
    (unknown,) = [x for x in verdict.having("untested") if x.name == "objective"]
    assert unknown.reason.startswith("minibatches")
    said = " ".join(str(verdict).split())
    assert "Whether they are at a maximum is not known: minibatches" in said


@pytest.mark.parametrize("numbered", [True, False], ids=["in a plate", "by hand"])
@pytest.mark.parametrize(("rows", "shared"), [(ROWS, False), (TRIALS, True)])
def test_minibatches_are_judged_on_all_the_data(rows, shared, numbered):
    """By the batches where a plate numbers their rows and all were seen, else by the counts."""
    counts = (er.Counts.shared if shared else er.Counts)(*rows)
    recording, prior = batches(rows, shared, 3.0, numbered), er.Beta(2.0, 5.0)
    known = er.log_evidence(prior, counts)
    assert replay(recording, counts).exact["log_evidence"] == known
    alone = replay(recording)
    if numbered and not shared:
        assert alone.exact["log_evidence"] == known
    else:
        assert not alone.exact and "give the counts" in str(alone)


def test_a_guide_of_minibatches_is_judged_by_all_of_its_parameters():
    """Each batch has the guide's arguments of its rows; the parameter has those of all."""
    k, n = ROWS
    empty = batches(ROWS, False, 3.0)
    index = empty.observed["rows.rows"].astype(int)
    a, b = (np.tile(x, (30, 1)) for x in (2.0 + k, 5.0 + n - k))
    own = {"concentration1": ["qa"], "concentration0": ["qb"]}
    guide = {**site("guide", "c", sources=own), "scale": 3.0, "planned_scale": 3.0}
    recording = replace(
        empty,
        losses=np.full(30, -3.0),
        arguments=empty.arguments
        | {
            "guide.c.concentration1": np.take_along_axis(a, index, 1),
            "guide.c.concentration0": np.take_along_axis(b, index, 1),
        },
        header={**empty.header, "sites": [guide, *empty.header["sites"]]},
        **{x: {"qa": a, "qb": b} for x in ("before", "constrained", "gradients", "after")},
    )
    prior, counts = er.Beta(2.0, 5.0), er.Counts(k, n)
    exact = replay(recording).exact
    assert exact["elbo"] == pytest.approx(er.log_evidence(prior, counts), abs=1e-9)
    stacked = {"q": np.stack([a, b], axis=-1)}
    guide["sources"] = {"concentration1": ["q"], "concentration0": ["q"]}
    groups = ("before", "constrained", "gradients", "after")
    again = replace(recording, **dict.fromkeys(groups, stacked))
    assert replay(again).exact == exact
    guide["sources"] = own
    doubled = {"qa": 2 * a, "qb": b}
    unknown = replay(replace(recording, constrained=doubled))
    assert not unknown.exact and "known of the latents of a batch alone" in str(unknown)


def test_another_model_is_no_mistake_in_its_losses():
    """A prior for each latent, and losses that nobody can make again."""
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])
    c = np.random.default_rng(0).beta(a, b, (30, 1, 3))
    arguments = {"model.c.concentration1": a, "model.c.concentration0": b}
    verdict = replay(stated(c, arguments, losses=np.arange(30.0)))
    assert verdict.outcome == "outside_model" and not verdict.mistakes
    assert any("do not follow" in x.reason for x in verdict.having("untested"))


def test_minibatches_of_another_number_of_rows():
    k, n = ROWS
    few = replay(batches(ROWS, False, 3.0), er.Counts(k[:5], n[:5]))
    assert few.mistakes == ("wrong_counts",)


@pytest.mark.parametrize("numbered", [True, False], ids=["in a plate", "by hand"])
def test_particles_with_a_minibatch_each_are_not_replayed(numbered):
    recording = batches(TRIALS, True, 3.0, numbered)
    each = {"class": "Trace_ELBO", "num_particles": 2, "vectorize_particles": False}
    for loss, told in ((each, numbered), ({**each, "vectorize_particles": True}, False)):
        verdict = replay(replace(recording, header={**recording.header, "loss": loss}))
        reasons = [finding.reason for finding in verdict.having("untested")]
        assert any("each particle has data of its own" in x for x in reasons) == told


@pytest.mark.thorough
def test_updates_that_are_others(made):
    def moved(lr, **settings):
        after = {}
        recording = made.recording()
        for name, gradient in recording.gradients.items():
            adam, rows = er.Adam(lr=1.0, **settings), []
            state = adam.init(gradient[0])
            for step in range(STEPS):
                before = recording.before[name][step]
                go, state = adam.update(state, before, gradient[step])
                rows.append(before + lr(step) * (go - before))
            after[name] = np.array(rows)
        return made.replay(made.recording(after=lambda _: after))

    assert moved(lambda _: LR).genuine
    for name, words, verdict in (
        ("optimizer_settings", "lr = 0.06", moved(lambda _: 2 * LR)),
        ("optimizer_settings", "betas = (0.5, 0.999)", moved(lambda _: LR, betas=(0.5, 0.999))),
        ("optimizer_settings", "eps = 0.001", moved(lambda _: LR, eps=1e-3)),
        ("optimizer_settings", "does not move", moved(lambda _: 0.0)),
        ("optimizer_settings", "no other setting", moved(lambda t: LR * (1 + t % 2))),
        ("learning_rate_decay", "falls from 0.03 to", moved(lambda t: LR * 0.9**t)),
        ("learning_rate_decay", "falls from 0.03 to", moved(lambda t: LR * 0.1 ** (t // 20))),
    ):
        assert verdict.mistakes == (name,), verdict
        assert words in verdict.findings[0].reason


def test_a_run_that_stops_being_finite(made):
    """The steps before are compared; from which step on, and first in which quantity, is said."""

    def broken(recording):
        losses = recording.losses.copy()
        losses[30:] = np.nan
        return losses

    verdict = made.replay(made.recording(losses=broken))
    assert verdict.mistakes == ("not_finite",)
    assert "from step 30 on" in verdict.having("mistake")[0].quantity
    assert {x.name for x in verdict.having("agrees")} >= {"losses", "gradients", "updates"}
    nothing = made.replay(made.recording(losses=lambda r: r.losses * np.nan))
    assert "no step of finite numbers" in nothing.having("untested")[0].reason


def test_a_row_that_cannot_be_is_said_where_no_loss_is_finite(made):
    def observed(recording):
        return {**recording.observed, "k.value": np.array([[3.0, 99.0, 12.0]])}

    impossible = made.recording(losses=lambda r: r.losses + np.inf, observed=observed)
    verdict = made.replay(impossible)
    assert verdict.mistakes == ("wrong_total_count", "not_finite")
    assert verdict.findings[0].quantity == "row 1 of 'k' has 99 successes of 9"


def test_arguments_are_checked(made):
    recording = made.recording()
    with pytest.raises(TypeError, match="counts must be a Counts"):
        replay(recording, [3, 10])
    with pytest.raises(TypeError, match="optimizer must be an Adam, a ClippedAdam, a class"):
        replay(recording, optimizer=0.1)
    with pytest.raises(TypeError, match="recording must be a"):
        replay({"losses": [1.0]})


def test_a_recording_without_a_latent_is_outside_the_model():
    verdict = replay(Recording(losses=[1.0]))
    assert verdict.outcome == "outside_model" and "no latent" in verdict.findings[0].quantity


def test_draws_that_are_no_probabilities_are_refused(made):
    with pytest.raises(ValueError, match="step 0 is not inside"):
        made.replay(made.recording(draws=lambda r: {"c": 0 * r.draws["c"]}))


def test_steps_that_were_left_out_are_said(made):
    recording = made.recording(header=lambda r: {**r.header, "left_out": 3})
    notes = [x.quantity for x in made.replay(recording).having("note")]
    assert any(x.startswith("3 of 43 steps, whose arrays") for x in notes)
    assert "; but 3 of 43 steps, of other shapes" in made.replay(recording).answer
    assert not [x for x in made.replay().having("note") if x.name == "recording"]


@pytest.mark.parametrize(("leading", "status"), [(25, "agrees"), (0, "untested"), (39, "mistake")])
def test_updates_are_made_again_up_to_the_first_step_that_was_left_out(made, leading, status):
    """A step that is missing there has moved the moments, and none before it."""
    whole, gap = made.recording(), 25

    def without(arrays):
        return {name: np.delete(x, gap, axis=0) for name, x in arrays.items()}

    groups = ("draws", "before", "constrained", "after", "gradients", "lr")
    groups += ("arguments", "argument_gradients")
    parts = {group: without(getattr(whole, group)) for group in groups}
    header = {**whole.header, "left_out": 1, "leading": leading}
    losses = np.delete(whole.losses, gap)
    verdict = made.replay(replace(whole, losses=losses, header=header, **parts))
    found = {x.status for x in verdict.findings if x.name == "updates"}
    if status == "mistake":  # as it would be if the gap were not known
        assert "optimizer_settings" in verdict.mistakes
    else:
        assert found == {status} and not verdict.mistakes


def test_the_subject_says_which_program(made):
    words = "40 steps of an SVI with Trace_ELBO in float64: 3 latents, beta guide"
    assert made.replay().subject == words


def test_a_loss_of_ones_own_is_untested(made):
    recording = made.recording()
    unknown = replace(recording, header={**recording.header, "loss": {"class": "Own"}})
    assert "loss Own" in made.replay(unknown).having("untested")[0].reason
    ours = {"class": "Own", "bases": ["Own", "Trace_ELBO"]}
    known = replace(recording, header={**recording.header, "loss": ours})
    assert made.replay(known).genuine
    assert "losses" in {x.name for x in made.replay(known).having("agrees")}


def test_a_prior_for_each_latent_has_no_maximum_here():
    """Such as that which model and guide share; one that is alike for all is one."""
    c, wide = np.full((3, 2, 3), 0.25), np.array([[4.0, 8.0, 15.0]] * 3)
    kinds = {"at_optimum", "not_converged", "drifting", "unbounded"}
    sources = {
        name: [x] for name, x in zip(("concentration1", "concentration0"), "ab", strict=True)
    }
    sites = [site(program, "c", sources=sources) for program in ("model", "guide")]
    parameters = {"a": wide, "b": 2 * wide}
    groups = dict.fromkeys(("before", "constrained", "gradients", "after"), parameters)
    shared = replay(stated(c, betas((wide, 2 * wide), (wide, 2 * wide)), sites=sites, **groups))
    assert "shared_parameter" in shared.mistakes
    assert not kinds & {x.name for x in shared.findings}, shared
    alike = betas((np.full(3, 2.0), np.full(3, 5.0)), (wide, 2 * wide))
    assert kinds & {x.name for x in replay(stated(c, alike)).findings}
    with pytest.raises(ValueError, match=r"prior.concentration1 is 0 at step 0, and has to be"):
        replay(stated(c, betas((0.0, 5.0), (wide, wide))))


@pytest.mark.parametrize("kind", ["Beta", "Dirichlet"])
def test_counts_that_are_the_failures_of_every_row(kind):
    """Of a Dirichlet of two either may be the success."""
    made = Made().recording()
    sites = [{**x, "class": kind} if x["class"] == "Beta" else x for x in made.header["sites"]]
    verdict = replay(replace(made, header={**made.header, "sites": sites}), COUNTS.mirrored)
    if kind == "Beta":
        assert verdict.mistakes == ("wrong_counts",)
        assert verdict["wrong_counts"].reason.endswith("they are its failures, in every row")
    else:
        assert verdict.genuine
        assert "mirrored" in [x.name for x in verdict.having("note")]


@pytest.mark.parametrize("name", ["prior.concentration1", "guide.concentration1"])
def test_one_of_two_arguments_that_is_cut_from_its_parameter(name):
    """It changes with the parameter, and no gradient comes back."""
    made = Made().recording()
    program, argument = name.split(".")
    program = {"prior": "model"}.get(program, program)

    def without(x):
        if (x["program"], x["name"]) != (program, "c"):
            return x
        return {**x, "sources": {**x["sources"], argument: []}}

    sites = [without(x) for x in made.header["sites"]]
    verdict = replay(replace(made, header={**made.header, "sites": sites}))
    assert verdict.mistakes == ("gradient_detached",)
    assert "gradient_detached" not in verdict.ruled_out


def test_updates_alone_are_too_little():
    made = Made().recording()
    sites = [x for x in made.header["sites"] if not x["observed"]]
    assert replay(replace(made, header={**made.header, "sites": sites})).outcome in (
        "too_little_to_tell",
        "outside_model",
    )
