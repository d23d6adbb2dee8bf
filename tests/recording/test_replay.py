"""`replay` without a framework: runs made by hand, clean or with a mistake planted in them.

The runs come from `recorded.Made`. A clean one is the negative control.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.replay import gradients
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.kernel import installed_pytorch, torch_pathwise
from recorded import COUNTS, LOGC, LR, NAMES, PARTICLES, SETTINGS, STEPS, K, Made, N


@pytest.fixture(scope="module")
def made():
    return Made()


def _in_a_loop(made, names):
    """The recording of a model with a site, and of a guide with two parameters, for each latent."""
    recording = made.recording()
    groups = {}
    for group in ("before", "constrained", "gradients", "after"):
        groups[group] = {
            key: column
            for name, array in getattr(recording, group).items()
            for key, column in (
                zip(names(name), array.T, strict=True) if array.ndim == 2 else [(name, array)]
            )
        }
    sources = {
        "model": ("a", "b"),
        "guide": {"beta": ("qa", "qb"), "tied": ("a", "b")}.get(made.kind),
    }
    arguments = {
        f"{program}.c_{i}.concentration{1 - j}": np.atleast_2d(recording.constrained[name].T)[
            i if recording.constrained[name].ndim == 2 else 0
        ][:, None]
        for program, pair in sources.items()
        for j, name in enumerate(pair or ())
        for i in range(3)
    }
    sites = [
        {"program": program, "name": f"c_{i}", "class": "Beta", "observed": False}
        for program, pair in sources.items()
        for i in range(3 if pair else 0)
    ]
    settings = dict.fromkeys(groups["before"], SETTINGS)
    return replace(
        recording,
        draws={f"c_{i}": recording.draws["c"][:, :, i : i + 1] for i in range(3)},
        arguments=arguments,
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
    recording = _in_a_loop(made, lambda name: [f"{name}_{i}" for i in (2, 1, 0)])
    one, other = replay(recording, COUNTS), made.replay()
    apart = ("updates", "latent_not_in_guide")  # of each parameter; and whether sites are known
    told = [[x for x in verdict.findings if x.name not in apart] for verdict in (one, other)]
    assert told[0] == told[1]
    assert one.genuine and one.exact == other.exact
    assert replay(recording, er.Counts(K, N + [1, 0, 0])).mistakes == ("loss_mismatch",)
    fewer = replace(
        recording,
        header={
            **recording.header,
            "sites": [x for x in recording.header["sites"] if x != _last("guide")],
        },
    )
    assert (replay(fewer, COUNTS).mistakes == ("latent_not_in_guide",)) == (kind != "empty")


def _last(program):
    return {"program": program, "name": "c_2", "class": "Beta", "observed": False}


def test_latents_with_priors_of_their_own_are_refused():
    recording = _in_a_loop(Made("empty"), lambda name: [f"{name}_{i}" for i in range(3)])
    arguments = dict(recording.arguments)
    arguments["model.c_1.concentration1"] = 2 * arguments["model.c_1.concentration1"]
    with pytest.raises(ValueError, match="one latent site; its latent sites: 'c_0', 'c_1', 'c_2'"):
        replay(replace(recording, arguments=arguments), COUNTS)


@pytest.mark.parametrize("kind", ["beta", "empty", "tied"])
def test_a_clean_run_agrees(kind):
    verdict = Made(kind).replay()
    assert verdict.genuine, verdict
    assert {f.name for f in verdict.having("agrees")} == {"losses", "gradients", "updates", "draws"}
    assert len(verdict.ruled_out) == 18 and "missing_coefficients" in verdict.ruled_out
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
    "missing_coefficients": lambda r: r.losses + LOGC,
    "unexplained_constant": lambda r: r.losses + 1.0,
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_are_others(made, name):
    verdict = made.replay(made.recording(losses=LOSSES[name]))
    assert verdict.mistakes == (name,), verdict


def test_a_likelihood_written_by_hand_clamps_no_draw():
    """k log c + (n - k) log(1 - c) at draws of which a Binomial would see eps."""
    low = Made(source=lambda x: (0.05, 5.0))
    recording = low.recording(losses=LOSSES["missing_coefficients"])
    assert np.mean(recording.draws["c"] < np.finfo(float).eps) > 0.1
    first = low.replay(recording).having("mistake")[0]
    assert first.name == "missing_coefficients" and "no draw is clamped" in first.reason
    first = low.replay().having("mistake")[0]
    assert first.name == "loss_mismatch"


def test_losses_without_the_guide(made):
    c, x = (np.array([row[group] for row in made.rows]) for group in ("draws", "constrained"))
    own = [
        np.mean(np.sum(stats.beta.logpdf(a["c"], b["qa"], b["qb"]), axis=1))
        for a, b in zip(c, x, strict=True)
    ]
    verdict = made.replay(made.recording(losses=lambda r: r.losses - own))
    assert verdict.mistakes == ("latent_not_in_guide",), verdict


@pytest.mark.parametrize("owner", ["prior", "guide"])
def test_names_that_are_exchanged(made, owner):
    one, zero = f"{owner}.concentration1", f"{owner}.concentration0"
    verdict = made.replay(names={**NAMES, one: NAMES[zero], zero: NAMES[one]})
    assert verdict.mistakes == ("swapped_concentrations",), verdict
    assert ("the prior" if owner == "prior" else "the guide") in str(verdict)


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_likelihood_that_is_scaled(factor):
    """Under a tied guide it is all there is, so that nothing but a factor is seen."""
    for kind in ("beta", "empty", "tied"):
        verdict = Made(kind, likelihood=factor).replay()
        name = "subsample_unscaled" if factor < 1 else "subsample_scaled_twice"
        name = "normalised_loss" if kind == "tied" else name
        assert verdict.mistakes == (name,), verdict


def test_other_counts(made):
    verdict = made.replay(counts=er.Counts(K, N + 2))
    assert verdict.mistakes == ("wrong_total_count",), verdict
    assert made.replay(counts=er.Counts(K, [10, 10, 40])).mistakes[0] == "loss_mismatch"
    verdict = made.replay(counts=er.Counts([3, 19], [10, 49]))
    assert verdict.mistakes == ("wrong_latents",), verdict
    assert verdict.having("untested")[0].quantity == "losses, gradients and draws"


def test_equal_latents_may_share_an_entry():
    verdict = Made("tied").replay(counts=er.Counts([3, 7], [10, 9], multiplicity=[1, 2]))
    assert verdict.mistakes[0] == "loss_mismatch"  # three latents, but not these


def test_unconstrained_values(made):
    verdict = made.replay(made.recording(constrained=lambda r: r.before))
    assert verdict.mistakes == ("unconstrained_values",), verdict


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
        monkeypatch.setitem(sys.modules, "torch", None)
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


@pytest.mark.parametrize("error", [1e-6, 1e-3, 0.5])
def test_no_error_of_the_kernel_is_passed_or_blamed_without_pytorch(error, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
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
    monkeypatch.setitem(sys.modules, "torch", None)
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
    assert "the updates are those of Adam(lr=0.03" in other.findings[0].reason
    silent = made.recording(header=lambda r: {**r.header, "optimizer": {"class": "numpyro Adam"}})
    agreed = made.replay(silent, optimizer=er.Adam(lr=LR)).having("agrees")
    assert sum(f.name == "updates" for f in agreed) == 4
    assert not any(f.name == "updates" for f in made.replay(silent).having("agrees"))
    unlike = made.replay(silent, optimizer=er.Adam(lr=2 * LR))
    assert unlike.mistakes == ("optimizer_settings",)
    assert "lr = 0.03" in unlike.findings[0].reason


ROWS = np.array([3, 7, 12, 0, 5, 9]), np.array([10, 9, 40, 8, 11, 30])
TRIALS = np.array([0, 1, 1, 0, 1, 0]), np.ones(6, int)


def batches(rows, shared, scale, numbered=True):
    """30 steps of two rows of six, under Beta(2, 5) and an empty guide; losses by SciPy."""
    rng, (k, n) = np.random.default_rng(0), rows
    index = np.array([rng.permutation(6)[:2] for _ in range(30)])
    c = rng.beta(2.0, 5.0, (30, 1 if shared else 2))
    data = stats.binom.logpmf(k[index], n[index], c).sum(axis=1)
    prior = stats.beta.logpdf(c, 2.0, 5.0).sum(axis=1)
    observed = {"k.value": k[index], "k.total_count": n[index]}
    return Recording(
        losses=-scale * data - (1 if shared else scale) * prior,
        draws={"c": c[:, None]},
        observed=observed | ({"rows.index": index} if numbered else {}),
        header={
            "sites": [
                {"program": "model", "name": "c", "class": "Beta", "observed": False},
                {"program": "model", "name": "k", "class": "Binomial", "observed": True},
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
    counts = (er.Counts.shared if shared else er.Counts)(*rows)
    recording = batches(rows, shared, scale, numbered)
    verdict = replay(recording, counts, prior=er.Beta(2.0, 5.0))
    assert verdict.mistakes == mistakes, verdict
    assert mistakes or {f.name for f in verdict.having("agrees")} >= {"losses", "draws"}


def test_minibatches_of_other_rows():
    k, n = ROWS
    for numbered in (True, False):
        found = replay(
            batches(ROWS, False, 3.0, numbered), er.Counts(k, n + 1), prior=er.Beta(2.0, 5.0)
        )
        assert found.mistakes == ("wrong_total_count",)
    few = replay(batches(ROWS, False, 3.0), er.Counts(k[:5], n[:5]), prior=er.Beta(2.0, 5.0))
    assert few.mistakes == ("wrong_latents",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"header": {"plates": {"rows": 5}}}, "which rows, and of how many"),
        ({"header": {"plates": {}}}, "which rows, and of how many"),
        ({"header": {"loss": {"num_particles": 2}}}, "each particle has a minibatch of its own"),
        ({"observed": {"k.value": np.ones((30, 3))}}, "a part of the rows is in no minibatch"),
        ({"observed": {"more.index": np.ones((30, 2))}}, "two plates with minibatches"),
        ({"observed": {"k.value": np.full((30, 2), 0.5)}}, "does not hold what was observed"),
    ],
)
def test_minibatches_that_are_not_replayed(change, words):
    recording = batches(TRIALS, True, 3.0)
    groups = {group: {**getattr(recording, group), **values} for group, values in change.items()}
    if "k.value" in change.get("observed", {}):
        groups["observed"].pop("k.total_count")
    verdict = replay(replace(recording, **groups), er.Counts.shared(*TRIALS), prior=er.Beta(2, 5))
    assert words in verdict.having("untested")[-1].reason


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
    def broken(recording):
        losses = recording.losses.copy()
        losses[30:] = np.nan
        return losses

    verdict = made.replay(made.recording(losses=broken))
    assert verdict.genuine and "step 30" in verdict.having("note")[0].quantity
    nothing = made.replay(made.recording(losses=lambda r: r.losses * np.nan))
    assert "no step of finite numbers" in nothing.having("untested")[0].reason


def test_what_the_recording_does_not_say_is_asked_for(made):
    recording = made.recording()
    with pytest.raises(ValueError, match="guide= is needed"):
        replay(recording, COUNTS)
    with pytest.raises(ValueError, match=r"names= does not say .* prior\.concentration1"):
        replay(recording, COUNTS, guide="beta")
    with pytest.raises(ValueError, match="'none' is none of beta, "):
        replay(recording, COUNTS, guide="none")
    with pytest.raises(TypeError, match="counts must be a Counts"):
        replay(recording, [3, 10])
    with pytest.raises(ValueError, match="one latent site; its latent sites: none"):
        replay(Recording(losses=[1.0]), COUNTS)
    with pytest.raises(ValueError, match="step 0 is not inside"):
        made.replay(made.recording(draws=lambda r: {"c": 0 * r.draws["c"]}))
    unknown = replace(recording, header={**recording.header, "loss": {"class": "Own"}})
    assert "loss Own" in made.replay(unknown).having("untested")[0].reason


def test_a_fixed_prior_is_an_argument(made):
    """Held at another value than it was, the losses depart."""
    kept = ("qa", "qb")
    recording = made.recording()
    groups = {
        group: {name: getattr(recording, group)[name] for name in kept}
        for group in ("before", "constrained", "gradients", "after")
    }
    names = {role: name for role, name in NAMES.items() if name in kept}
    verdict = made.replay(replace(recording, **groups), names=names, prior=er.Beta(2.0, 5.0))
    assert verdict.mistakes[0] == "loss_mismatch"  # it moved, after the first step
    assert verdict.findings[0].quantity == "loss at step 1"


def test_draws_on_the_logit_have_the_shape_of_their_site():
    """Found by fuzzing: a guide that draws on the logit says these draws itself."""
    recording = Made().recording(
        draws=lambda made: {**made.draws, "c_unconstrained": np.repeat(made.draws["c"], 2, axis=1)}
    )
    with pytest.raises(ValueError, match="the draws of 'c_unconstrained' have shape"):
        replay(recording, COUNTS, guide="beta", names=NAMES)
