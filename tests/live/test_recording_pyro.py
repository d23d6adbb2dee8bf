"""Recorded runs of a live Pyro: not a bit is changed, clean ones agree, planted mistakes are named.

Every run is short: a replay compares each step by itself.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording import Recording, record
from elbo_ref.recording.header import GROUPS
from elbo_ref.recording.replay.check import replay
from tiers import few

pytestmark = [
    pytest.mark.live,
    pytest.mark.filterwarnings("ignore:Found .*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*num_chains.*:UserWarning"),
]

K, N = [3, 7, 12], [10, 9, 40]
COUNTS = {False: er.Counts(K, N), True: er.Counts.shared(K, N)}
NAMES = {"prior.concentration1": "a", "prior.concentration0": "b"}


AUTOMATIC = {
    "normal": "AutoNormal",
    "delta": "AutoDelta",
    "diagonal": "AutoDiagonalNormal",
    "laplace": "AutoLaplaceApproximation",
}


class Play:
    """The model in Pyro, with what can go wrong in it."""

    def __init__(self, torch, pyro):
        self.torch, self.pyro = torch, pyro
        self.dist = pyro.distributions

    def parameter(self, name, value, constraint="positive"):
        value = self.torch.tensor(value, dtype=self.torch.get_default_dtype())
        kind = getattr(self.dist.constraints, constraint)
        return self.pyro.param(name, value, constraint=kind)

    def programs(self, kind="beta", shared=False, start=(4.0, 7.0), data=(K, N), **wrong):
        torch, pyro, dist = self.torch, self.pyro, self.dist
        dtype = torch.get_default_dtype()
        k, n = data_of_rows = [torch.tensor(x, dtype=dtype) for x in data]
        size = len(data[0])

        def prior():
            one, zero = wrong.get("prior", (2.0, 5.0))
            a, b = self.parameter("a", one), self.parameter("b", zero)
            return (a.detach(), b) if wrong.get("detached") == "a" else (a, b)

        def observe(c, i=slice(None)):
            k, n = (x[i] for x in data_of_rows)
            name = "successes" if isinstance(i, slice) else f"successes_{i}"
            if wrong.get("factor"):
                value = k * c.log() + (n - k) * (-c).log1p() + wrong.get("constant", 0.0)
                pyro.factor(name, value)
                return
            with pyro.poutine.scale(scale=wrong.get("likelihood", 1.0)):
                likelihood = dist.Bernoulli(c) if max(data[1]) == 1 else dist.Binomial(n, c)
                pyro.sample(name, likelihood, obs=k)

        def model():
            with pyro.poutine.scale(scale=wrong.get("scale", 1.0)):
                if wrong.get("loop"):
                    for i in range(size):
                        observe(pyro.sample(f"c_{i}", dist.Beta(*prior())), i)
                elif shared:
                    c = pyro.sample("c", dist.Beta(*prior()))
                    with pyro.plate("rows", size):
                        observe(c)
                else:
                    a, b = prior()
                    with pyro.plate("latents", size):
                        observe(pyro.sample("c", dist.Beta(a, b)))

        def concentrations():
            if kind == "tied":
                return prior()
            if kind.startswith("conjugate"):
                a, b = (x.detach() if kind.endswith("detached") else x for x in prior())
                return (a + k.sum(), b + (n - k).sum()) if shared else (a + k, b + n - k)
            wide = kind == "beta" and not shared
            one, zero = ([x] * size if wide else x for x in start)
            free = "softplus_positive" if kind == "beta_shared" else "positive"
            return self.parameter("qa", one, free), self.parameter("qb", zero, free)

        def guide():
            if kind == "empty":
                return
            one, zero = concentrations()
            with pyro.poutine.scale(scale=wrong.get("scale", 1.0)):
                q = dist.Beta(one.detach() if wrong.get("detached") == "qa" else one, zero)
                q = q.has_rsample_(False) if wrong.get("score") else q
                name = wrong.get("name", "c")
                if wrong.get("loop"):
                    for i in range(size):
                        pyro.sample(f"c_{i}", dist.Beta(one[i], zero[i]))
                elif shared:
                    pyro.sample(name, q)
                else:
                    with pyro.plate("latents", size):
                        pyro.sample(name, q)

        if kind in AUTOMATIC:
            guide = getattr(pyro.infer.autoguide, AUTOMATIC[kind])(model)
        return model, guide

    def run(
        self, kind="beta", dtype="float64", steps=12, particles=3, vectorize=True,
        loss="Trace_ELBO", optimizer=None, between=None, watch=True, elbo=None, **wrong,
    ):  # fmt: skip
        """A recording, or without watching the losses and the parameters."""
        pyro, torch = self.pyro, self.torch
        torch.set_default_dtype(getattr(torch, dtype))
        try:
            with pyro.get_param_store().scope():
                torch.manual_seed(1)
                model, guide = self.programs(kind, **wrong)
                optimizer = (optimizer or self.adam)()
                elbo = (elbo or getattr(pyro.infer, loss))(
                    num_particles=particles, vectorize_particles=vectorize, max_plate_nesting=1
                )
                svi = pyro.infer.SVI(model, guide, optimizer, elbo)

                def go():
                    losses = []
                    for step in range(steps):
                        losses.append(svi.step())
                        if between:
                            between(step, svi, optimizer)
                    return losses

                if not watch:
                    losses = go()
                    store = pyro.get_param_store()
                    return losses, {name: store[name].detach().numpy().copy() for name in store}
                with record(svi) as recorder:
                    losses = go()
                assert "loss_and_grads" in vars(svi) and svi.optim is optimizer
                assert losses == recorder.recording.losses.tolist()
                return recorder.recording
        finally:
            torch.set_default_dtype(torch.float32)

    def adam(self):
        return self.pyro.optim.Adam({"lr": 0.05})

    def clipped(self):
        return self.pyro.optim.ClippedAdam({"lr": 0.05, "clip_norm": 1.0, "lrd": 0.97})

    def exponential(self):
        torch = self.torch
        settings = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.05}, "gamma": 0.9}
        return self.pyro.optim.ExponentialLR(settings)

    def one_cycle(self):
        torch = self.torch
        settings = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.05}, "max_lr": 0.05}
        return self.pyro.optim.OneCycleLR({**settings, "total_steps": 100})

    def own(self):
        kind = self.torch.optim.Adam
        return self.pyro.optim.PyroOptim(kind, {"lr": 0.02, "amsgrad": True}, {"clip_norm": 0.5})


@pytest.fixture(scope="module")
def play(torch, pyro):
    return Play(torch, pyro)


def decay(_, __, optimizer):
    optimizer.step()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("particles", "vectorize"), [(1, False), (10, False), (10, True)])
@pytest.mark.parametrize("loss", ["Trace_ELBO", "TraceMeanField_ELBO", "TraceGraph_ELBO"])
def test_not_a_bit_is_changed(play, loss, particles, vectorize, dtype):
    optimizer = {1: play.adam, 10: play.clipped}[particles]
    setting = {
        "loss": loss, "particles": particles, "vectorize": vectorize, "dtype": dtype,
        "optimizer": optimizer, "steps": 4,
    }  # fmt: skip
    _check_bits(play, **setting)


@pytest.mark.parametrize("kind", ["empty", "tied", "normal", "delta"])
@pytest.mark.parametrize("optimizer", ["exponential", "own"])
def test_not_a_bit_is_changed_under_other_optimizers(play, kind, optimizer):
    between = decay if optimizer == "exponential" else None
    _check_bits(play, kind=kind, optimizer=getattr(play, optimizer), between=between, steps=4)


def _check_bits(play, **setting):
    losses, parameters = play.run(watch=False, **setting)
    recording = play.run(**setting)
    assert recording.losses.tolist() == losses
    for name, values in recording.after.items():
        free = recording.header["constraints"][name] == "real"
        last = values[-1] if free else _constrained(play, recording, name)
        assert last.tobytes() == parameters[name].tobytes()


def _constrained(play, recording, name):
    kind = getattr(play.dist.constraints, recording.header["constraints"][name])
    value = play.torch.tensor(recording.after[name][-1])
    return play.torch.distributions.transform_to(kind)(value).numpy()


POSTERIORS = ["conjugate", "conjugate_detached"]
CLEAN = ["beta", "beta_shared", "empty", "tied", *AUTOMATIC, *POSTERIORS]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shared", few([False, True]))
@pytest.mark.parametrize("kind", CLEAN)
def test_a_clean_run_agrees(play, tmp_path, kind, shared, dtype):
    loss = "TraceMeanField_ELBO" if shared and kind != "empty" else "Trace_ELBO"
    recording = play.run(kind, dtype, shared=shared, loss=loss, vectorize=not shared)
    recording.save(tmp_path / "run.npz")
    verdict = replay(tmp_path / "run.npz", COUNTS[shared])
    assert verdict.genuine, verdict
    assert not verdict.having("untested")
    tested = {finding.name for finding in verdict.having("agrees")}
    assert tested >= {"losses", "gradients", "updates"}
    assert {"wrong_sign", "gradient_scaled", "optimizer_settings"} <= set(verdict.ruled_out)
    assert recording.dtype == dtype


def test_bernoulli_rows_agree(play):
    data = ([1.0, 0.0, 1.0, 1.0], [1.0] * 4)
    recording = play.run(shared=True, data=data, dtype="float32")
    assert replay(recording, er.Counts.shared([1, 0, 1, 1], 1)).genuine


@pytest.mark.parametrize("optimizer", ["exponential", "own", "clipped"])
def test_other_optimizers_agree(play, optimizer):
    between = decay if optimizer == "exponential" else None
    recording = play.run(optimizer=getattr(play, optimizer), between=between)
    verdict = replay(recording, COUNTS[False])
    assert verdict.genuine, verdict
    assert "learning_rate_decay" in verdict.ruled_out


def test_settings_that_change_from_step_to_step_are_said(play):
    """OneCycleLR has Adam's beta1 rise and fall too."""
    verdict = replay(play.run(optimizer=play.one_cycle, between=decay), COUNTS[False])
    assert verdict.genuine, verdict
    (untested,) = (x for x in verdict.having("untested") if x.name == "updates")
    assert "its betas change from step to step" in untested.reason


def test_a_recording_may_begin_late_and_stop_early(play):
    pyro, torch = play.pyro, play.torch
    with pyro.get_param_store().scope():
        torch.manual_seed(0)
        model, guide = play.programs("tied")
        svi = pyro.infer.SVI(model, guide, play.clipped(), pyro.infer.Trace_ELBO())
        for _ in range(5):
            svi.step()
        with record(svi) as recorder:
            for _ in range(3):
                svi.step()
        svi.step()
    assert recorder.recording.header["earlier_steps"] == {"a": 5, "b": 5}
    verdict = replay(recorder.recording, COUNTS[False])
    assert verdict.genuine and recorder.num_steps == 3, verdict


class _Times:
    """An ELBO whose losses, or whose gradients, are multiplied."""

    def __init__(self, pyro, losses=1.0, gradients=1.0):
        class Times(pyro.infer.Trace_ELBO):
            def loss_and_grads(self, *args, **kwargs):
                loss = losses * super().loss_and_grads(*args, **kwargs)
                for _, p in pyro.get_param_store().named_parameters():
                    p.grad *= gradients
                return loss

        self.kind = Times

    def __call__(self, **settings):
        return self.kind(**settings)


def _slower(_, __, optimizer):
    for held in optimizer.optim_objs.values():
        held.param_groups[0]["lr"] *= 0.9


def _other_eps(step, __, optimizer):
    for held in optimizer.optim_objs.values():
        held.param_groups[0]["betas"] = (0.5, 0.9)


PLANTED = {
    "a constant": ({"factor": True, "constant": 1.0}, {}, "unexplained_constant"),
    "another sign": ({"times": {"losses": -1.0}}, {}, "wrong_sign"),
    "betas changed": ({"between": _other_eps}, {}, "optimizer_settings"),
    "divided": ({"scale": 1 / 59}, {}, "normalised_loss"),
    "divided losses only": ({"times": {"losses": 1 / 59}}, {}, "normalised_loss"),
    "guide detached": ({"detached": "qa"}, {}, "gradient_detached"),
    "guide of another latent": ({"name": "d"}, {}, "latent_not_in_guide"),
    "guide that is empty": ({"kind": "empty"}, {"guide": "beta"}, "latent_not_in_guide"),
    "gradients times three": ({"times": {"gradients": 3.0}}, {}, "gradient_scaled"),
    "likelihood halved": ({"likelihood": 0.5}, {}, "likelihood_weight"),
    "likelihood twice": ({"likelihood": 2.0}, {}, "likelihood_weight"),
    "lr falls": ({"between": _slower}, {}, "learning_rate_decay"),
    "one row more": ({}, {"counts": er.Counts([*K, 1], [*N, 2])}, "wrong_counts"),
    "one latent": ({"shared": True}, {}, "wrong_latents"),
    "other names": (
        {},
        {"names": {"prior.concentration1": "b", "prior.concentration0": "a"}},
        "swapped_concentrations",
    ),
    "other successes": ({}, {"counts": er.Counts([3, 7, 13], N)}, "wrong_counts"),
    "other totals": ({}, {"counts": er.Counts(K, [11, 10, 41])}, "wrong_total_count"),
    "prior detached": ({"detached": "a"}, {}, "gradient_detached"),
    "rows in another order": (
        {},
        {"counts": er.Counts(K[::-1], N[::-1])},
        "permuted_rows",
    ),
    "saturated": (
        {"dtype": "float32", "kind": "tied", "prior": (0.005, 5.0), "steps": 6},
        {},
        "float32_saturation",
    ),
    "totals unseen": (
        {"factor": True, "data": (K, [12, 11, 42])},
        {"counts": COUNTS[False]},
        "wrong_total_count",
    ),
}


def test_a_likelihood_by_hand_tells_its_counts_and_lacks_coefficients(play):
    recording = play.run(factor=True)
    for counts in (None, COUNTS[False]):
        verdict = replay(recording, counts)
        assert verdict.genuine, verdict
        assert "coefficients" in {finding.name for finding in verdict.having("note")}
    summed = play.run(factor=True, shared=True)
    assert "give the counts" in replay(summed).having("untested")[0].reason


def test_draws_without_a_derivative_have_the_gradients_of_the_score_function(play):
    """The program says so; it is noisier, and no mistake."""
    verdict = replay(play.run(score=True))
    assert verdict.genuine and verdict["gradients"].status == "agrees", verdict
    (note,) = (x for x in verdict.having("note") if x.name == "score_function")
    assert "has_rsample" in note.reason


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_named_and_nothing_else(play, what):
    setting, claims, name = PLANTED[what]
    setting, claims = dict(setting), {"counts": COUNTS[False], **claims}
    if "times" in setting:
        setting["elbo"] = _Times(play.pyro, **setting.pop("times"))
    verdict = replay(play.run(**setting), **claims)
    assert verdict.mistakes == (name,), verdict
    assert name not in verdict.ruled_out


def test_the_kernel_accounts_for_its_own_share(play):
    """Rare events: it matters; the forum's zeros: a note. All else agrees."""

    def renyi(**settings):
        return play.pyro.infer.RenyiELBO(alpha=0.5, **settings)

    rare = {"prior": (1.0, 1.0), "start": (2.0, 2e4), "shared": True, "data": ([2.0], [49999.0])}
    for elbo in (None, renyi):
        recording = play.run(**rare, steps=25, particles=10, elbo=elbo)
        verdict = replay(recording, er.Counts(2, 49999))
        assert verdict.mistakes == ("kernel_error",), verdict
    assert "by the differences of steps" in verdict.having("mistake")[0].reason
    few = replay(play.run(**rare, steps=9, elbo=renyi), er.Counts(2, 49999))
    assert "too few steps" in few.having("untested")[0].reason
    forum = play.run(
        prior=(1.0, 1.0), start=(0.07, 11.0), shared=True, data=([0.0] * 50, [100.0] * 50)
    )
    verdict = replay(forum, er.Counts.shared([0] * 50, 100))
    assert verdict.genuine, verdict
    assert [finding.name for finding in verdict.having("note")] == ["kernel_error"]


def test_total_counts_that_pytorch_copies_for_each_particle(play):
    """Integers are made floats of their own, which are expanded no more."""
    pyro, torch, dist = play.pyro, play.torch, play.dist

    def model():
        a, b = play.parameter("a", 2.0), play.parameter("b", 5.0)
        with pyro.plate("latents", 3):
            c = pyro.sample("c", dist.Beta(a, b))
            pyro.sample("k", dist.Binomial(torch.tensor(N), c), obs=torch.tensor(K))

    with pyro.get_param_store().scope():
        torch.manual_seed(0)
        elbo = pyro.infer.Trace_ELBO(4, vectorize_particles=True, max_plate_nesting=1)
        svi = pyro.infer.SVI(model, lambda: None, play.adam(), elbo)
        with record(svi) as recorder:
            for _ in range(3):
                svi.step()
    assert recorder.recording.observed["k.total_count"].tolist() == [N]
    assert replay(recorder.recording, COUNTS[False]).genuine


@pytest.mark.parametrize("steps", [1, 12])
@pytest.mark.parametrize(
    "kind", ["each", "rows", "one", "tied", "empty", "AutoNormal", "AutoDelta"]
)
def test_a_model_that_loops_over_its_rows_agrees(play, kind, steps):
    """A site for each latent; the guide's parameters are each one's, rows of one, or all's."""
    pyro, torch, dist = play.pyro, play.torch, play.dist

    def model():
        for i in range(3):
            c = pyro.sample(f"c_{i}", dist.Beta(play.parameter("a", 2.0), play.parameter("b", 5.0)))
            n, k = (torch.tensor(float(x[i])) for x in (N, K))
            pyro.sample(f"k_{i}", dist.Binomial(n, c), obs=k)

    def concentrations(i):
        if kind == "each":
            return play.parameter(f"qa_{i}", 3.0 + i), play.parameter(f"qb_{i}", 4.0)
        names = "ab" if kind == "tied" else ("qa", "qb")
        starts = ([3.0, 4.0, 5.0], [6.0, 7.0, 8.0]) if kind == "rows" else (2.0, 5.0)
        pair = [play.parameter(name, start) for name, start in zip(names, starts, strict=True)]
        return [x[i] for x in pair] if kind == "rows" else pair

    def guide():
        for i in () if kind == "empty" else range(3):
            pyro.sample(f"c_{i}", dist.Beta(*concentrations(i)))

    with pyro.get_param_store().scope():
        torch.manual_seed(0)
        if kind.startswith("Auto"):
            guide = getattr(pyro.infer.autoguide, kind)(model)
        svi = pyro.infer.SVI(model, guide, play.adam(), pyro.infer.Trace_ELBO(2))
        with record(svi) as recorder:
            for _ in range(steps):
                svi.step()
    verdict = replay(recorder.recording, COUNTS[False])
    assert verdict.genuine and not verdict.having("untested"), verdict
    tested = {finding.name for finding in verdict.having("agrees")}
    assert tested >= {"losses", "gradients", "updates"}
    shared = replay(recorder.recording, COUNTS[True])
    assert shared.mistakes == ("wrong_latents",), shared


def _one(play, i, detached=False):
    a, b = play.parameter(f"qa_{i}", 4.0), play.parameter(f"qb_{i}", 7.0)
    return (a.detach() if detached else a), b


def _vector_and_scalar(play, detached=False):
    a, b = play.parameter("qa", [4.0, 5.0, 6.0]), play.parameter("qb", 7.0)
    return a, (b.detach() if detached else b)


def _shares(play):
    mean = play.parameter("a", 0.3)
    return mean, 1 - mean


WAYS = {
    "a vector and a scalar": ({"own": _vector_and_scalar}, ()),
    "a scalar detached": ({"own": lambda p: _vector_and_scalar(p, True)}, ("gradient_detached",)),
    "loop": ({"each": _one}, ()),
    "loop of more than ten rows": ({"each": _one, "data": (range(13), [15] * 13)}, ()),
    "loop, one parameter shared": (
        {"each": lambda p, i: (p.parameter(f"qa_{i}", 4.0), p.parameter("qb", 7.0))},
        (),
    ),
    "loop, names that differ twice": (
        {"each": lambda p, i: (p.parameter(f"q{i}_a{i}", 4.0), p.parameter(f"q{i}_b{i}", 7.0))},
        (),
    ),
    "loop, all detached": (
        {"each": lambda p, i: _one(p, i, detached=True)},
        ("gradient_detached",),
    ),
    "loop, posterior": ({"posterior": True, "data": ([3] * 3, [10] * 3)}, ()),
    "loop, posterior without a success": ({"posterior": True, "data": ([0] * 3, [50] * 3)}, ()),
    "prior by its mean": (
        {"prior": lambda p: (p.parameter("a", 0.3) * p.parameter("b", 7.0), p.parameter("b", 7.0))},
        (),
    ),
    "prior by its mean, a total that no gradient reaches": (
        {
            "prior": lambda p: [x * p.parameter("b", 7.0).item() for x in _shares(p)],
            "own": _vector_and_scalar,
        },
        ("gradient_detached",),
    ),
    "prior spelled out": (
        {"prior": lambda p: [p.parameter(x, 2.0 + (x == "b")) * p.torch.ones(3) for x in "ab"]},
        (),
    ),
    "another observation": ({"beside": True}, ()),
    "data of a coarser precision": ({"coarse": True}, ()),
}


@pytest.mark.parametrize("steps", few([1, 3, 12]))
@pytest.mark.parametrize("way", WAYS)
def test_a_model_written_otherwise(play, way, steps):
    """Clean runs of models as people write them; what cannot be compared is untested, and said."""
    setting, mistakes = WAYS[way]
    if steps == 1 and "total" in way:  # nothing has moved that could be seen to follow it
        mistakes = ()
    pyro, torch, dist = play.pyro, play.torch, play.dist
    data = setting.get("data", (K, N))
    k, n = (torch.tensor(x, dtype=torch.float64) for x in map(list, data))
    if setting.get("coarse"):
        k, n = k.float(), n.float()
    rows = pyro.plate("rows", len(k))
    loop = "each" in setting or "posterior" in setting

    def prior():
        own = setting.get("prior", lambda p: (p.parameter("a", 2.0), p.parameter("b", 5.0)))
        return own(play)

    def model():
        if setting.get("beside"):
            pyro.sample("y", dist.Normal(prior()[0], 1.0), obs=torch.tensor(1.0))
        for i in range(len(k)) if loop else ():
            c = pyro.sample(f"c_{i}", dist.Beta(*prior()))
            pyro.sample(f"k_{i}", dist.Binomial(n[i], c), obs=k[i])
        if not loop:
            a, b = prior()
            with rows:
                pyro.sample("k", dist.Binomial(n, pyro.sample("c", dist.Beta(a, b))), obs=k)

    def guide():
        for i in range(len(k)) if loop else ():
            a, b = prior()
            q = setting["each"](play, i) if "each" in setting else (a + k[i], b + n[i] - k[i])
            pyro.sample(f"c_{i}", dist.Beta(*q))
        if "own" in setting:
            a, b = setting["own"](play)
            with rows:
                pyro.sample("c", dist.Beta(a, b))

    torch.set_default_dtype(torch.float64)
    try:
        with pyro.get_param_store().scope():
            torch.manual_seed(0)
            svi = pyro.infer.SVI(model, guide, play.adam(), pyro.infer.Trace_ELBO())
            with record(svi) as recorder:
                for _ in range(steps):
                    svi.step()
    finally:
        torch.set_default_dtype(torch.float32)
    verdict = replay(recorder.recording, er.Counts(*(list(x) for x in data)))
    assert verdict.mistakes == mistakes, verdict
    untested = {finding.name for finding in verdict.having("untested")}
    assert verdict.outcome == "outside_model" if way == "another observation" else not untested
    assert not (untested or mistakes) or "gradient_detached" not in verdict.ruled_out


@pytest.mark.parametrize("what", ["guide masked", "prior again"])
def test_a_mistake_without_a_name_is_given_none(play, what):
    """The guide samples the latent, and the gradients are right but for what the losses lack."""
    pyro, torch, dist = play.pyro, play.torch, play.dist
    k, n = (torch.tensor(x, dtype=torch.float64) for x in map(list, (K, N)))
    rows = pyro.plate("rows", len(k))

    def model():
        prior = dist.Beta(play.parameter("a", 2.0), play.parameter("b", 5.0))
        with rows:
            c = pyro.sample("c", prior)
            if what == "prior again":
                pyro.factor("again", prior.log_prob(c))
            pyro.sample("k", dist.Binomial(n, c), obs=k)

    @pyro.poutine.mask(mask=what != "guide masked")
    def guide():
        a, b = _vector_and_scalar(play)
        with rows:
            pyro.sample("c", dist.Beta(a, b))

    with pyro.get_param_store().scope():
        torch.manual_seed(0)
        svi = pyro.infer.SVI(model, guide, play.adam(), pyro.infer.Trace_ELBO())
        with record(svi) as recorder:
            for _ in range(12):
                svi.step()
    verdict = replay(recorder.recording)
    assert verdict.mistakes == ("loss_mismatch",), verdict


BOUNDED = ["beta", "empty", "tied", "conjugate", "normal", "delta", "loop"]


@pytest.mark.parametrize("alpha", [0.0, 2.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", few(BOUNDED))
def test_renyi_bounds_agree(play, kind, dtype, alpha):
    """In a plate each latent has a bound of its own, in a loop all have one together."""

    def elbo(**settings):
        return play.pyro.infer.RenyiELBO(alpha=alpha, **settings)

    loop = kind == "loop"
    setting = {"kind": "beta" if loop else kind, "loop": loop, "vectorize": not loop}
    recording = play.run(**setting, elbo=elbo, particles=4, dtype=dtype)
    assert recording.header["loss"]["alpha"] == alpha
    verdict = replay(recording, COUNTS[False])
    assert verdict.genuine, verdict
    tested = {finding.name for finding in verdict.having("agrees")}
    assert tested >= {"losses", "gradients", "updates"}
    assert {finding.name for finding in verdict.having("untested")} <= {"at_optimum"}
    by_hand = play.run(**setting, elbo=elbo, particles=4, dtype=dtype, factor=True)
    assert replay(by_hand, COUNTS[False]).genuine
    if kind not in ("beta", "loop"):
        return
    averaged = replay(recording, COUNTS[False], loss="trace")
    assert averaged.mistakes == ("another_loss",)


def test_a_renyi_bound_of_a_vector_is_untested(play):
    """Each latent of a plate loses the density of all of them."""

    def elbo(**settings):
        return play.pyro.infer.RenyiELBO(alpha=0.5, **settings)

    setting = {"kind": "diagonal", "elbo": elbo, "vectorize": False}
    verdict = replay(play.run(**setting), COUNTS[False])
    assert verdict.mistakes == ()
    assert "is in no plate" in verdict.having("untested")[0].reason
    assert replay(play.run(**setting, shared=True), COUNTS[True]).genuine


def test_minibatches_are_made_again(play):
    """Two of three latents in a step, scaled by 3/2."""
    pyro, torch, dist = play.pyro, play.torch, play.dist
    k, n = (torch.tensor(x, dtype=torch.float32) for x in (K, N))

    def model():
        a, b = play.parameter("a", 2.0), play.parameter("b", 5.0)
        with pyro.plate("latents", 3, subsample_size=2) as some:
            c = pyro.sample("c", dist.Beta(a, b))
            pyro.sample("successes", dist.Binomial(n[some], c), obs=k[some])

    with pyro.get_param_store().scope():
        torch.manual_seed(0)
        svi = pyro.infer.SVI(model, lambda: None, play.adam(), pyro.infer.Trace_ELBO())
        with record(svi) as recorder:
            for _ in range(4):
                svi.step()
    recording = recorder.recording
    assert recording.observed["latents.rows"].shape == (4, 2)
    assert recording.header["sites"][0]["scale"] == 1.5
    assert recording.header["sites"][0]["planned_scale"] == 1.5
    verdict = replay(recording, COUNTS[False])
    agreed = {finding.name for finding in verdict.having("agrees")}
    assert agreed == {"losses", "gradients", "updates", "draws"}
    wrong = replay(recording, er.Counts(K, [11, 9, 40]))
    assert wrong.mistakes == ("wrong_total_count",)
    assert "total_count of latent 0" in wrong.having("mistake")[0].quantity
    few = replay(recording, er.Counts(K[:2], N[:2]))
    assert few.mistakes == ("wrong_counts",)


def test_what_cannot_be_recorded_is_refused(play):
    pyro = play.pyro
    model, guide = play.programs()
    with pytest.raises(TypeError, match=r"svi must be a pyro\.infer\.SVI"), record(model):
        pass
    with pyro.get_param_store().scope():
        svi = pyro.infer.SVI(model, guide, play.adam(), pyro.infer.JitTrace_ELBO())
        words = "compiled and cannot be recorded: use Trace_ELBO"
        with pytest.raises(ValueError, match=words), record(svi):
            svi.step()
    with pyro.get_param_store().scope():
        svi = pyro.infer.SVI(model, guide, play.adam(), pyro.infer.ReweightedWakeSleep())
        with record(svi) as recorder:
            assert len(svi.step()) == 2
        with pytest.raises(ValueError, match="a loss of 2 numbers cannot be recorded"):
            recorder.recording  # noqa: B018
    with pyro.get_param_store().scope():
        svi = pyro.infer.SVI(model, guide, play.adam(), pyro.infer.Trace_ELBO())
        with pytest.raises(ValueError, match="no step has been recorded"), record(svi) as recorder:
            recorder.recording  # noqa: B018


@pytest.mark.parametrize("annealed", [True, False])
def test_annealing_that_goes_on(play, annealed):
    """The weight of the first step is named and nothing else; the other steps are left out."""
    import torch

    pyro, dist = play.pyro, play.pyro.distributions
    n, k = torch.tensor([9.0, 8.0, 7.0]), torch.tensor([1.0, 2.0, 3.0])

    def positive(name):
        return pyro.param(name, torch.tensor(2.0), constraint=dist.constraints.positive)

    def latent(a, b, factor):
        with pyro.poutine.scale(scale=factor):
            return pyro.sample("c", dist.Beta(a, b))

    def model(factor):
        a, b = positive("a"), positive("b")
        with pyro.plate("rows", 3):
            pyro.sample("k", dist.Binomial(n, latent(a, b, factor)), obs=k)

    def guide(factor):
        p, q = positive("p"), positive("q")
        with pyro.plate("rows", 3):
            latent(p, q, factor)

    with pyro.get_param_store().scope():
        pyro.set_rng_seed(3)
        svi = pyro.infer.SVI(model, guide, play.adam(), pyro.infer.Trace_ELBO())
        with record(svi) as recorder:
            for t in range(20):
                svi.step(0.4 + 0.01 * t if annealed else 1.0)
    verdict = replay(recorder.recording)
    assert verdict.mistakes == (("likelihood_weight",) if annealed else ())
    assert recorder.recording.num_steps == (1 if annealed else 20)
    if annealed:
        assert verdict["likelihood_weight"].theirs == pytest.approx(2.5)
        assert "19 of 20 steps" in next(
            x.quantity for x in verdict.having("note") if x.name == "recording"
        )


def test_a_guide_that_runs_the_model_itself(play):
    """Pyro treats a messenger otherwise than a function: a run that is recorded is the same."""
    import torch
    from pyro.infer.autoguide import AutoNormalMessenger

    pyro, dist = play.pyro, play.pyro.distributions

    def model():
        a = pyro.param("a", torch.tensor(2.0), constraint=dist.constraints.positive)
        with pyro.plate("rows", 3):
            c = pyro.sample("c", dist.Beta(a, torch.tensor(3.0)))
            n, k = torch.tensor([9.0, 8.0, 7.0]), torch.tensor([1.0, 2.0, 3.0])
            pyro.sample("k", dist.Binomial(n, c), obs=k)

    def losses(context):
        with pyro.get_param_store().scope():
            pyro.set_rng_seed(3)
            svi = pyro.infer.SVI(
                model, AutoNormalMessenger(model), play.adam(), pyro.infer.Trace_ELBO()
            )
            with context(svi) as recorder:
                return [svi.step() for _ in range(3)], recorder

    plain, _ = losses(contextlib.nullcontext)
    recorded, recorder = losses(record)
    assert recorded == plain
    verdict = replay(recorder.recording)
    assert verdict.outcome == "outside_model"
    assert "the guide runs the model itself" in verdict.having("outside")[0].quantity


def test_a_guide_outside_of_the_models_plate_is_refused_in_words(play):
    """Pyro says nothing of it where validation is off."""
    import torch

    pyro, beta = play.pyro, play.pyro.distributions.Beta

    def model():
        with pyro.plate("rows", 3):
            c = pyro.sample("c", beta(torch.tensor(2.0), torch.tensor(3.0)))
            n, k = torch.tensor([9.0, 8.0, 7.0]), torch.tensor([1.0, 2.0, 3.0])
            pyro.sample("k", pyro.distributions.Binomial(n, c), obs=k)

    def guide():
        a = pyro.param("a", torch.tensor(2.0), constraint=pyro.distributions.constraints.positive)
        pyro.sample("c", beta(a, torch.tensor(3.0)))

    with pyro.get_param_store().scope(), pyro.validation_enabled(False):
        svi = pyro.infer.SVI(model, guide, play.adam(), pyro.infer.Trace_ELBO())
        with record(svi) as recorder:
            svi.step()
        words = "the guide draws 1 value of 'c' and the model has 3: put both into the same plates"
        with pytest.raises(ValueError, match=words):
            recorder.recording  # noqa: B018


def test_a_recording_is_the_same_from_a_file(play, tmp_path):
    recording = play.run("normal", steps=2)
    recording.save(tmp_path / "run.npz")
    loaded = Recording.load(tmp_path / "run.npz")
    assert dict(loaded.header) == dict(recording.header)
    for group in GROUPS:
        for name, array in getattr(recording, group).items():
            np.testing.assert_array_equal(getattr(loaded, group)[name], array)
            assert getattr(loaded, group)[name].dtype == array.dtype
