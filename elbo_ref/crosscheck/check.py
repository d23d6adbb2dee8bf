"""`cross_check`: somebody's parameters and losses against what they should have been.

The exact objective, the evidence and the gap are computed at the parameters given; each loss is
compared with its own distribution at the parameters that it belongs to, and, where it does not fit,
with the distribution that each mistake would give it (`elbo_ref.crosscheck.hypothesis_test`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from elbo_ref._validation.arguments import (
    FloatArray,
    Rng,
    check_known,
    check_type,
    count,
    float_array,
    underflow_is_zero,
)
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.advice import advise
from elbo_ref.crosscheck.chosen_reading import Candidate, likeliest, reading_by_letters
from elbo_ref.crosscheck.claims import UnknownRoleError, check_claims
from elbo_ref.crosscheck.class_names import guide_name, loss_name, optimizer_name
from elbo_ref.crosscheck.expressions import NamesError, of_each_step
from elbo_ref.crosscheck.findings import Finding, Verdict, in_order
from elbo_ref.crosscheck.loss_course import course_findings
from elbo_ref.crosscheck.loss_findings import (
    Explained,
    compared,
    impossible_losses,
    with_particles_of_run,
)
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.loss_spread import spread_findings
from elbo_ref.crosscheck.not_finite import not_finite
from elbo_ref.crosscheck.optimizer_steps import step_findings
from elbo_ref.crosscheck.optimum import diagnosed, exact_numbers, pace_of
from elbo_ref.crosscheck.other_models import (
    explained_by_another_model,
    guide_of_other_family,
    prior_by_roles,
    prior_of_another_model,
    shown_by_names,
)
from elbo_ref.crosscheck.parameters import claims_of, learned_of
from elbo_ref.crosscheck.prior_alone import guide_is_absent, worth_of_prior
from elbo_ref.crosscheck.reach import held_by_names, maximum_findings
from elbo_ref.crosscheck.readings import (
    Framework,
    HandedIn,
    reading_without_guide,
    readings_of,
)
from elbo_ref.crosscheck.repeated_evaluations import repeated_evaluations
from elbo_ref.crosscheck.shapes import (
    more_outcomes,
    other_latents,
    several_priors,
    shared_by_shape,
)
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GUIDES, GuideName, GuideValue, find as find_guide
from elbo_ref.io.parameters import read_parameters
from elbo_ref.objectives import LossName, LossValue, Objective, find as find_loss
from elbo_ref.svi.optimizers import Adam, ClippedAdam

_MOST_PARTICLES = 10**12


@underflow_is_zero
def cross_check(
    counts: Counts,
    params: object,
    *,
    guide: GuideName | str | GuideValue = "beta",
    loss: LossName | str | LossValue = "trace",
    num_particles: int | None = None,
    losses: ArrayLike | None = None,
    evaluations: ArrayLike | None = None,
    names: Mapping[str, str] | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    prior: Beta | None = None,
    optimizer: Adam | ClippedAdam | str | None = None,
    subsample_size: int | None = None,
    framework: Framework | None = None,
    rng: Rng = 0,
) -> Verdict:
    """Say whether somebody's numbers are what they are taken for.

    Parameters
    ----------
    counts : Counts
        The data, one latent per entry.
    params : mapping, parameter store or path
        Constrained parameters by name: floats, arrays or tensors; ``pyro.get_param_store()``; or a
        file of Pyro, PyTorch, JSON or npz. One set of values, or a history with a leading axis of
        steps.
    guide : str or value
        The guide that they are of; a name of `elbo_ref.maximize_elbo`, a class of Pyro as
        ``"AutoNormal"``, or a value of its family.
    loss : str or value
        The loss under its name there, or under Pyro's, as ``"TraceMeanField_ELBO"``. Of
        ``"renyi"`` alone the order is looked for that the losses have.
    num_particles : int, optional
        Particles of a step, 1 by default; of ``"renyi"`` samples, 2 by default, as Pyro has it.
    losses : array_like, shape (T,), optional
        Values that ``svi.step`` returned, in order, nats. Each belongs to the parameters *before*
        its step: to the entry of the history with its number. With one set of values only the last
        loss is compared.
    evaluations : array_like, shape (E,), optional
        Losses at exactly these parameters, the last of a history.
    names : mapping of str to str, optional
        For a role (``prior.concentration1``, ``guide.loc``, ...) the name of the parameter that has
        it, or an expression: ``a_*`` where each latent has one of its own, ``a_0``, ``a_1``, ...;
        ``ab[0]``, a row; ``exp(x)``, ``log(x)``, ``softplus(x)``, ``sigmoid(x)``; a number that is
        held. In place of two concentrations ``prior.mean`` and ``prior.concentration``, their
        total, or ``prior.concentrations``, both in one array; the same of a guide. A role that is
        left out is guessed where only one name can be meant.
    dtype : {"float32", "float64"}, optional
        Type that the run computed in; by default the one that the numbers look like.
    prior : Beta, optional
        The prior's concentrations, where they were not learned.
    optimizer : Adam, ClippedAdam or str, optional
        Tells by how much the parameters can have moved in a step, and the noise floor. Without it
        nothing is said of learning rates, nor of another one, which is told by its class, as
        ``"SGD"``.
    subsample_size : int, optional
        Number of latents, or of single trials of a shared latent, that a step saw.
    framework : {"pyro", "numpyro"}, optional
        The one that computed the losses, where a name has two meanings; by default that of the
        store, or both are tried.
    rng : int or Generator
        For what has to be simulated: minibatches and `elbo_ref.Renyi`.

    Returns
    -------
    Verdict

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, or does not fit the others.
    elbo_ref.io.counts_file.DataError
        If a file cannot be read.

    See Also
    --------
    replay : A recording of a run, made again step by step.
    diagnose : The same questions of a run of this package.

    Notes
    -----
    A loss of P particles is -(1/P) of a sum of terms A log c + D log(1 - c) + const. Its cumulant
    generating function has a closed form where c is drawn from a Beta, from which a saddlepoint
    formula gives tail probabilities. The given account is rejected at a level of 1% for the
    whole run; a mistake is named if the losses fit the distribution that it gives them.

    References
    ----------
    R. Lugannani and S. Rice, "Saddle point approximation for the distribution of the sum of
    independent random variables", Advances in Applied Probability 12 (1980), 475-490.

    Examples
    --------
    >>> counts = Counts(3, 10)
    >>> store = {"a0": 1.0, "b0": 1.0, "a": 4.0, "b": 8.0}
    >>> roles = {"prior.concentration1": "a0", "prior.concentration0": "b0"}
    >>> roles |= {"guide.concentration1": "a", "guide.concentration0": "b"}
    >>> verdict = cross_check(counts, store, names=roles, evaluations=[2.397895, 2.397895])
    >>> verdict.outcome, verdict.exit_code, round(verdict.exact["gap"], 12)
    ('not_at_optimum', 3, 0.0)
    >>> verdict = cross_check(counts, store, names=roles, evaluations=[-2.397895, -2.397895])
    >>> verdict.mistakes
    ('wrong_sign',)
    """
    check_type("counts", counts, Counts)
    check_claims(names, prior)
    of_adam = True
    if isinstance(optimizer, str):
        of_adam, optimizer = "adam" in optimizer_name(optimizer), None
    elif optimizer is not None:
        check_type("optimizer", optimizer, Adam, ClippedAdam)
    if dtype is not None and not (isinstance(dtype, str) and dtype in ("float32", "float64")):
        raise ValueError(f"dtype = {dtype!r} is neither 'float32' nor 'float64'")
    if framework is not None:
        check_known("framework", framework, get_args(Framework))
    if num_particles is not None:
        num_particles = count("num_particles", num_particles, 1, _MOST_PARTICLES)
    if subsample_size is not None:
        subsample_size = count("subsample_size", subsample_size, 1)
    objective = find_loss(loss_name(loss) if isinstance(loss, str) else loss)
    if isinstance(guide, str):
        guide = guide_name(guide)
        other = guide_of_other_family(guide)
        if other:
            return _without_numbers(other, guide, objective, counts)
    given, known_losses = read_parameters(params), _numbers("losses", losses)
    if names is not None:
        sizes = known_losses.size, len(counts)
        names = {role: of_each_step(text, given.values, *sizes) for role, text in names.items()}
    handed = HandedIn(
        counts,
        given,
        find_guide(guide),
        objective,
        objective.name != "renyi" or not isinstance(loss, str),
        num_particles,
        known_losses,
        _numbers("evaluations", evaluations),
        names,
        prior,
        dtype,
        subsample_size,
        framework,
        of_adam,
    )
    try:
        return _judged(handed, optimizer, rng)
    except NamesError as error:
        left_out = [x for x in handed.given.notes if x.partition(": ")[0] in handed.given.skipped]
        raise NamesError("; ".join([error.rule, *left_out])) from None


def _judged(handed: HandedIn, optimizer: Adam | ClippedAdam | None, rng: Rng) -> Verdict:
    """Take the likeliest reading and compare with it, or say what none of them can."""
    counts, guide, given = handed.counts, handed.guide, handed.given
    what = f"{guide.name} guide"
    strange = shown_by_names((*given.values, *given.skipped)) or prior_by_roles(handed.names)
    strange = strange or not_finite(given.values, handed.losses, handed.evaluations)
    if strange:
        return _without_numbers(strange, what, handed.loss, counts)
    if guide_is_absent(counts, given.values, guide, handed.names, handed.prior):
        reading = reading_without_guide(handed, rng)
        if reading is None:
            return _prior_alone(handed)
        return _verdict(Candidate(reading, handed, optimizer, rng), handed, optimizer)
    try:
        claims = claims_of(given.values, guide, len(counts), handed.names, handed.prior)
    except UnknownRoleError as unknown:
        chosen = reading_by_letters(handed, unknown, optimizer, rng, fitting=True)
        strange = prior_of_another_model(unknown, given, counts.num_latents)
        if chosen is None and strange:
            return _without_numbers(strange, what, handed.loss, counts)
        if chosen is None:
            chosen = reading_by_letters(handed, unknown, optimizer, rng, fitting=False)
        if chosen is None:
            raise
        return _verdict(chosen, handed, optimizer)
    strange = more_outcomes(claims) or shared_by_shape(counts, claims, given)
    strange = strange or other_latents(counts, claims, handed.losses.size)
    strange = strange or several_priors(counts, claims, given)
    if strange:
        return _without_numbers(strange, what, handed.loss, counts)
    possible = [Candidate(x, handed, optimizer, rng) for x in readings_of(handed, rng)]
    return _verdict(likeliest(possible, handed), handed, optimizer)


def _without_numbers(
    findings: tuple[Finding, ...], guide: str, loss: Objective, counts: Counts
) -> Verdict:
    """Make the verdict of findings beside which no exact number is known."""
    advised = advise(findings, has_losses=True)
    return Verdict(_subject(guide, loss, counts), findings, advice=advised)


def _prior_alone(handed: HandedIn) -> Verdict:
    """Say what can be said of a prior whose guide is not known."""
    assigned = handed.assignments(GUIDES["conjugate"])[0]
    prior = Beta(*map(float, assigned.roles.prior[:, -1, 0]))
    worth = worth_of_prior(assigned.counts, prior, handed.evaluations)
    findings = in_order([*assigned.findings, *worth])
    subject = _subject("a guide without parameters here", handed.loss, handed.counts)
    return Verdict(subject, findings, advice=advise(findings, has_losses=True))


def _verdict(chosen: Candidate, handed: HandedIn, optimizer: Adam | ClippedAdam | None) -> Verdict:
    """Compare losses, steps and parameters with what a model says of them."""
    reading = chosen.reading
    model, findings = reading.model, list(reading.findings)
    losses, evaluations = handed.losses, handed.evaluations
    learned, steps = learned_of(reading.names), model.prior.shape[1]
    if chosen.is_repeated:
        numpyro = handed.of_framework == "numpyro"
        findings.append(repeated_evaluations(evaluations.size, numpyro=numpyro))
    reached, ruled_out = model, tuple[str, ...]()
    explained, paired = chosen.explained, chosen.aligned is not None
    if explained is not None:
        explained = with_particles_of_run(explained, model, losses)
        findings += explained.findings
        reached = _explained(model, explained)
        ruled_out = explained.report.ruled_out
    findings += chosen.of_run
    if not {x.name for x in findings if x.status == "mistake"} - {"float32_saturation"}:
        findings += impossible_losses(model, losses)
        if steps == 1:
            said = handed.num_particles is not None
            findings += _of_spread(model, losses, explained, said=said)
    fits = not any(finding.status == "mistake" for finding in findings)
    if reached is model:
        findings += step_findings(
            model,
            reading.coordinates,
            optimizer,
            num_losses=losses.size,
            fits=fits,
            stored=handed.given.constraints if paired else (),
        )
    findings = explained_by_another_model(findings)
    if any(finding.status == "outside" for finding in findings):
        return _without_numbers(in_order(findings), reading.what, model.loss, model.counts)
    mistakes = {finding.name for finding in findings if finding.status == "mistake"}
    if mistakes:
        name, which = "as_handed_in", "of what was handed in, with the mistake in it"
        if reached is not model:
            name, which = "exact", "with the mistake undone"
        findings.append(Finding(name, f"the exact numbers are those {which}", status="note"))
    last = max(losses.size, steps - 1)
    seen = diagnosed(reached, learned, optimizer, last, of_adam=handed.of_adam)
    has_losses = bool(losses.size or evaluations.size)
    decay = optimizer.weight_decay if optimizer else 0.0
    held = held_by_names({**reading.names, **(handed.names or {})}, handed.given.values, reached)
    of_maximum = maximum_findings(seen, held, decay, reached, pace=pace_of(seen, optimizer))
    findings += of_maximum
    if steps == 1:
        meant = model if explained is None else explained.aligned.model.of_batches(model)
        findings += course_findings(meant, losses, seen, of_maximum[0], mistakes)
    findings += _untested(losses.size, has_losses, paired, steps)
    names_found = {name for finding in findings for name in (finding.name, *finding.rivals)}
    return Verdict(
        subject=_subject(reading.what, model.loss, model.counts),
        findings=in_order(findings),
        exact=exact_numbers(seen),
        posterior=seen.exact_posterior,
        ruled_out=tuple(name for name in ruled_out if name not in names_found),
        advice=advise(findings, has_losses=has_losses),
        losses=None if explained is None else compared(explained),
    )


def _of_spread(
    model: LossModel, losses: FloatArray, explained: Explained | None, *, said: bool
) -> list[Finding]:
    """Compare the spread of the run's losses with that of the model as it is meant.

    A number of particles that nobody said is that of the evaluations, if of any.
    """
    model = model if said else model._replace(num_particles=1)
    if explained is None:
        return spread_findings(model, losses, None, said=said)
    meant = explained.aligned.model.last.of_batches(model)
    meant = meant._replace(num_particles=model.num_particles)
    return spread_findings(meant, losses, explained.aligned, said=said)


def _subject(guide: str, loss: Objective, counts: Counts) -> str:
    return f"{guide}, {loss.name} loss, {counts.summary()}"


def _numbers(name: str, values: ArrayLike | None) -> FloatArray:
    array = np.zeros(0) if values is None else float_array(name, values)
    if array.size != max(array.shape, default=1):
        raise ValueError(f"{name} has shape {array.shape}: one number for each step is needed")
    return array.reshape(-1)


def _explained(given: LossModel, explained: Explained) -> LossModel:
    """Take the model of a certain explanation if it has other parameters, guide or loss."""
    report, tested = explained.report, explained.aligned.model
    if report.certain is None:
        return given
    best = report.certain.hypothesis.model if report.certain.hypothesis.name else tested
    same = (best.guide, best.loss) == (given.guide, given.loss) and all(
        np.array_equal(theirs[:, -1], ours[:, -1])
        for theirs, ours in (
            (best.prior, given.prior),
            (best.guide_parameters, given.guide_parameters),
        )
    )
    return given if same else best


def _untested(num_losses: int, has_losses: bool, paired: bool, num_steps: int) -> list[Finding]:
    missing = []
    if not has_losses:
        missing.append("the losses (none were given)")
    elif not paired:
        missing.append("the losses (at this learning rate a step changes them by any amount)")
    elif num_losses > 1 and num_steps == 1:
        missing.append("all losses but the last (they belong to other parameters)")
    missing.append("draws, gradients and the optimizer's arithmetic (a recording holds them)")
    return [Finding("untested", text, status="untested") for text in missing]
