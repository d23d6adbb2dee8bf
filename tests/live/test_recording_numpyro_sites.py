"""Programs of NumPyro as people write them, and what the recording of a step states of each."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er

numpyro = pytest.importorskip("numpyro")
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore")]

K, N = [3.0, 7.0, 12.0], [10.0, 9.0, 40.0]
ROW, FLIP = [0, 0, 1, 2, 2, 2], [1, 0, 1, 1, 0, 0]


def parameter(name, value, constraint=None):
    import jax.numpy as jnp

    constraint = constraint or numpyro.distributions.constraints.positive
    return numpyro.param(name, jnp.asarray(value), constraint=constraint)


def latent():
    dist = numpyro.distributions
    with numpyro.plate("latents", 3):
        return numpyro.sample("c", dist.Beta(parameter("a", 2.0), parameter("b", 5.0)))


def observe(c):
    import jax.numpy as jnp

    with numpyro.plate("rows", 3):
        numpyro.sample("k", numpyro.distributions.Binomial(jnp.array(N), c), obs=jnp.array(K))


def guide():
    dist = numpyro.distributions
    own = parameter("qa", [4.0, 8.0, 15.0]), parameter("qb", [9.0, 6.0, 30.0])
    with numpyro.plate("latents", 3):
        numpyro.sample("c", dist.Beta(*own))


def recorded(model, guide=guide, *, steps=1, particles=1, optimizer=None, start=0):
    import jax

    optimizer = optimizer or numpyro.optim.Adam(0.05)
    svi = numpyro.infer.SVI(model, guide, optimizer, numpyro.infer.Trace_ELBO(particles))
    state = svi.init(jax.random.PRNGKey(0))
    for _ in range(start):
        state, _ = svi.update(state)
    return er.recording.record_numpyro(svi, state, steps)[1]


def site(recording, name, program="model"):
    (found,) = (x for x in recording.sites(program) if x["name"] == name)
    return found


def likelihood(kind, c):
    """Return a likelihood of the same three latents, and what is observed."""
    import jax.numpy as jnp
    from jax.scipy.special import logit

    dist, (k, n, row, flip) = numpyro.distributions, map(jnp.array, (K, N, ROW, FLIP))
    both = jnp.stack([c, 1 - c], axis=-1)
    return {
        "binomial": lambda: (dist.Binomial(n, c), k),
        "complement": lambda: (dist.Binomial(n, 1 - c), k),
        "logits": lambda: (dist.Binomial(n, logits=logit(c)), k),
        "bernoulli": lambda: (dist.Bernoulli(c[row]), flip),
        "categorical": lambda: (dist.Categorical(both[row]), 1 - flip),
        "multinomial": lambda: (
            dist.Multinomial(n.astype(int), both),
            jnp.stack([k, n - k], axis=-1),
        ),
        "other totals": lambda: (
            dist.Multinomial(40, both, validate_args=False),
            jnp.stack([k, n - k], axis=-1),
        ),
        "mask": lambda: (dist.Binomial(n, c).mask(jnp.array([True, False, True])), k),
    }[kind]()


@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize(
    "kind",
    [
        "binomial", "complement", "logits", "bernoulli", "categorical", "multinomial",
        "other totals", "mask",
    ],
)  # fmt: skip
def test_rows_are_those_of_the_draws(kind, event):
    def model():
        distribution, observed = likelihood(kind, latent())
        if event:
            numpyro.sample("k", distribution.to_event(1), obs=observed)
            return
        with numpyro.plate("rows", distribution.batch_shape[0]):
            numpyro.sample("k", distribution, obs=observed)

    recording = recorded(model, particles=2)
    single = kind in ("bernoulli", "categorical")
    value, index = (FLIP, ROW) if single else (K, [0, 1, 2])
    assert recording.observed["k.value"].tolist() == [value]
    assert recording.observed["k.index"].tolist() == [index]
    assert recording.observed["k.total_count"].tolist() == ([[1.0]] if single else [N])
    noted = site(recording, "k")
    assert (noted["latent"], noted["complement"]) == ("c", kind == "complement")
    assert (noted["rows"], noted["elements"]) == (len(index), len(index))
    assert noted["logits"] == (kind == "logits")
    mask = recording.observed.get("model.k.mask")
    assert (mask is None) == (kind != "mask")
    assert mask is None or mask.tolist() == [[1, 0, 1]]
    assert er.replay(recording).genuine


def test_rows_that_were_broadcast():
    def model():
        import jax.numpy as jnp

        distribution = numpyro.distributions.Binomial(40, latent())
        numpyro.sample("k", distribution.to_event(1), obs=jnp.array(K)[:, None])

    noted = site(recorded(model), "k")
    assert (noted["rows"], noted["elements"]) == (9, 3)


def test_masks_scales_factors_and_plates():
    from numpyro.handlers import mask, scale

    def model():
        import jax.numpy as jnp

        c = latent()
        with numpyro.plate("rows", 6, subsample_size=3), scale(scale=0.5):
            distribution = numpyro.distributions.Binomial(jnp.array(N), c)
            with mask(mask=jnp.array([True, True, False])):
                numpyro.sample("k", distribution, obs=jnp.array(K))
        numpyro.factor("more", jnp.log(c).sum())

    recording = recorded(model)
    noted = site(recording, "k")
    assert (noted["scale"], noted["planned_scale"], noted["plates"]) == (1.0, 2.0, ["rows"])
    assert recording.observed["model.k.mask"].tolist() == [[1, 1, 0]]
    assert site(recording, "more")["class"] == "Unit"
    assert recording.observed["rows.rows"].shape == (1, 3)
    assert recording.header["plates"] == {"rows": 6}


FACTORS = [
    ("likelihood", False, "genuine", ()),
    ("likelihood", True, "not what they are", ("likelihood_weight",)),
    ("prior", True, "density of the prior again", ("loss_mismatch",)),
    ("curve", False, "no binomial likelihood", ()),
    ("curve", True, "a term of its own", ()),
]


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize(("term", "beside", "said", "mistakes"), FACTORS)
def test_a_factor_is_what_its_values_are(term, beside, said, mistakes, particles):
    """Alone a likelihood by hand, whose counts are read off it; beside rows what counts twice."""

    def model():
        import jax.numpy as jnp

        dist, c, (k, n) = numpyro.distributions, latent(), map(jnp.array, (K, N))
        terms = {
            "likelihood": lambda: k * jnp.log(c) + (n - k) * jnp.log1p(-c),
            "prior": lambda: dist.Beta(parameter("a", 2.0), parameter("b", 5.0)).log_prob(c),
            "curve": lambda: -50 * (c - 0.3) ** 2,
        }
        numpyro.factor("term", terms[term]())
        if beside:
            numpyro.sample("k", dist.Binomial(n, c).to_event(1), obs=k)

    recording = recorded(model, particles=particles, steps=12)
    assert recording.observed["term.factor"].shape == (12, 3)
    verdict = er.replay(recording)
    assert said in verdict.answer and verdict.mistakes == mistakes, verdict


def test_observations_that_were_left_out():
    def model():
        import jax.numpy as jnp

        numpyro.sample("k", numpyro.distributions.Binomial(jnp.array(N, int), latent()).to_event(1))

    recording = recorded(model)
    assert not site(recording, "k")["observed"]
    assert recording.observed["k.value"].shape == (1, 3)
    assert er.replay(recording).mistakes == ("observations_missing",)


def prior_kinds():
    """List priors of three latents: a name, the distribution, its arguments' sources."""
    import jax.numpy as jnp

    dist = numpyro.distributions
    unit = dist.constraints.unit_interval

    def by_name():
        return {"mean": parameter("mean", 0.3, unit), "total": parameter("total", 6.0)}

    def by_mean(detach=lambda x: x):
        mean, total = by_name().values()
        return dist.Beta(detach(mean) * total, (1 - mean) * total)

    def ends():
        return parameter("a", 2.0), parameter("b", 5.0)

    def detached():
        import jax

        return by_mean(jax.lax.stop_gradient)

    return {
        "expanded": (lambda: dist.Beta(*(x[None] for x in ends())).expand([3]), (["a"], ["b"])),
        "dirichlet": (lambda: dist.Dirichlet(jnp.stack(ends())).expand([3]), (["a"], ["b"])),
        "uniform": (lambda: dist.Uniform(0.0, 1.0).expand([3]), ([], [])),
        "improper": (lambda: dist.ImproperUniform(unit, (3,), ()), ([], [])),
        "proportion": (
            lambda: dist.BetaProportion(*by_name().values()).expand([3]),
            (["mean", "total"],) * 2,
        ),
        "fixed": (lambda: dist.Beta(1, 2.0).expand([3]), ([], [])),
        "half": (lambda: dist.Beta(ends()[0], 5).expand([3]), (["a"], [])),
        "mean": (lambda: by_mean().expand([3]), (["mean", "total"],) * 2),
        "detached": (lambda: detached().expand([3]), (["total"], ["mean", "total"])),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "expanded", "dirichlet", "uniform", "improper", "proportion", "fixed", "half", "mean",
        "detached",
    ],
)  # fmt: skip
@pytest.mark.parametrize("event", [False, True])
def test_arguments_say_what_they_are_computed_from(kind, event):
    """And their gradients add up to those of the parameters, by the chain rule."""
    make, sources = prior_kinds()[kind]

    def model():
        prior = make().to_event(1) if event else make()
        c = numpyro.sample("c", prior)
        observe(c[..., 0] if kind == "dirichlet" else c)

    def of_two():
        import jax.numpy as jnp

        own = parameter("q", [[4.0, 9.0], [8.0, 6.0], [15.0, 30.0]])
        distribution = numpyro.distributions.Dirichlet(jnp.asarray(own))
        numpyro.sample("c", distribution.to_event(1) if event else distribution)

    def of_one():
        own = parameter("qa", [4.0, 8.0, 15.0]), parameter("qb", [9.0, 6.0, 30.0])
        distribution = numpyro.distributions.Beta(*own)
        numpyro.sample("c", distribution.to_event(1) if event else distribution)

    recording = recorded(model, of_two if kind == "dirichlet" else of_one, particles=2)
    noted = site(recording, "c")["sources"]
    assert (noted["concentration1"], noted["concentration0"]) == sources
    names = ("concentration1", "concentration0")
    gradients = [recording.argument_gradients.get(f"model.c.{name}") for name in names]
    assert [x is not None for x in gradients] == [bool(x) for x in sources]
    assert recording.arguments["model.c.concentration1"].shape == (1, 1)
    assert recording.draws["c"].shape == (1, 2, 3)
    if gradients[0] is None or gradients[1] is None:
        return
    one, zero = (x.sum() for x in gradients)
    value = {name: float(x[0]) for name, x in recording.constrained.items() if x.size == 1}
    if kind in ("expanded", "dirichlet"):
        wanted = {"a": one * value["a"], "b": zero * value["b"]}
    else:
        mean, total = value["mean"], value["total"]
        slope = -zero * total + (kind != "detached") * one * total
        wanted = {
            "total": (one * mean + zero * (1 - mean)) * total,
            "mean": slope * mean * (1 - mean),
        }
    for name, gradient in wanted.items():
        assert recording.gradients[name][0] == pytest.approx(gradient, rel=1e-4, abs=1e-4), name
    assert er.replay(recording).genuine


def test_a_guide_of_means_and_concentrations():
    unit = numpyro.distributions.constraints.unit_interval

    def proportions():
        own = parameter("m", [0.4, 0.6, 0.3], unit), parameter("s", [12.0, 14.0, 45.0])
        with numpyro.plate("latents", 3):
            numpyro.sample("c", numpyro.distributions.BetaProportion(*own))

    verdict = er.replay(recorded(lambda: observe(latent()), proportions, particles=2))
    assert verdict.genuine and "3 latents, beta guide" in verdict.subject


@pytest.mark.parametrize("wide", [False, True])
def test_a_latent_summed_out_of_two_counts(wide):
    """A DirichletMultinomial of two is a BetaBinomial; its total is that of the row."""

    def model():
        import jax.numpy as jnp

        k, n = jnp.array(K), jnp.array(N)
        ends = jnp.stack([parameter("a", 2.0), parameter("b", 5.0)])
        kind = numpyro.distributions.DirichletMultinomial
        likelihood = kind(ends, 40 if wide else n, validate_args=False)
        with numpyro.plate("rows", 3):
            numpyro.sample("k", likelihood, obs=jnp.stack([k, n - k], axis=-1))

    verdict = er.replay(recorded(model, lambda: None))
    assert verdict.genuine and verdict.having("agrees")[0].name == "losses", verdict
    assert "3 latents, no guide" in verdict.subject


@pytest.mark.parametrize("kind", ["AutoNormal", "AutoDiagonalNormal", "AutoDelta"])
def test_gradients_of_automatic_guides_add_up(kind):
    from numpyro.infer import autoguide

    def model():
        observe(latent())

    recording = recorded(model, getattr(autoguide, kind)(model), particles=2)
    pairs = {
        "AutoNormal": {"c_auto_loc": "c_unconstrained.loc"},
        "AutoDiagonalNormal": {"auto_loc": "_auto_latent.loc"},
        "AutoDelta": {"c_auto_loc": "c.v"},
    }[kind]
    for name, argument in pairs.items():
        gradient = recording.argument_gradients[f"guide.{argument}"]
        if kind == "AutoDelta":
            c = recording.constrained[name]
            gradient = gradient * c * (1 - c)
        assert recording.gradients[name] == pytest.approx(gradient, rel=1e-4, abs=1e-4)


def test_a_compiled_gradient_is_the_same(monkeypatch):
    from elbo_ref.recording import numpyro as recorder

    def model():
        observe(latent())

    plain = recorded(model, steps=2)
    monkeypatch.setattr(recorder, "_FEW", 0)
    compiled = recorded(model, steps=2)
    for name, gradient in plain.argument_gradients.items():
        assert compiled.argument_gradients[name] == pytest.approx(gradient, rel=1e-4, abs=1e-4)
    assert np.array_equal(plain.losses, compiled.losses)


def test_parameters_say_where_they_are_stated():
    def model():
        observe(latent())

    def other():
        dist = numpyro.distributions
        own = parameter("a", 3.0), parameter("b", 5.0)
        with numpyro.plate("latents", 3):
            numpyro.sample("c", dist.Beta(*own))

    header = recorded(model, other).header
    assert header["programs"] == {"a": ["guide", "model"], "b": ["guide", "model"]}
    assert header["conflicts"] == ["a"]


def test_constraints_and_their_ends():
    dist = numpyro.distributions
    interval, independent = dist.constraints.interval, dist.constraints.independent

    def model():
        observe(latent())

    def bounded():
        one = parameter("qa", [4.0, 8.0, 15.0], interval(0.5, 20.0))
        zero = parameter("qb", [9.0, 6.0, 30.0], independent(dist.constraints.positive, 1))
        with numpyro.plate("latents", 3):
            numpyro.sample("c", dist.Beta(one, zero))

    header = recorded(model, bounded).header
    assert header["constraints"]["qa"] == "interval"
    assert header["constraints"]["qb"] == header["constraints"]["a"] == "positive"
    assert header["ends"]["qa"] == {"low": 0.5, "high": 20.0}
    assert header["ends"]["a"] == {"low": 0.0}


def test_parameters_of_a_network():
    def model():
        observe(latent())

    def network():
        import jax.numpy as jnp

        weights = numpyro.param("net$params", {"w": jnp.ones(2), "layer": {"b": jnp.zeros(2)}})
        a, b = jnp.exp(weights["w"] + weights["layer"]["b"])
        with numpyro.plate("latents", 3):
            numpyro.sample("c", numpyro.distributions.Beta(a, b))

    recording = recorded(model, network)
    names = {"net$params.w", "net$params.layer.b"}
    assert names <= recording.before.keys()
    assert {*site(recording, "c", "guide")["sources"]["concentration1"]} == names
    assert er.replay(recording).genuine
