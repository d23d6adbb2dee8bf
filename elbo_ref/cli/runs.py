"""The runs of ``python -m elbo_ref.fit``: SVI under each guide that was asked for."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from functools import partial

from elbo_ref._format.documents import to_json
from elbo_ref._format.table import printable
from elbo_ref._validation.arguments import count, generator
from elbo_ref.cli.console import (
    CANNOT_WRITE,
    FINE,
    INTERRUPTED,
    NOT_CONVERGED,
    Interrupts,
    Progress,
    refusals,
    say,
)
from elbo_ref.cli.delivery import Delivery, in_words
from elbo_ref.cli.options import Input, optimizer_of
from elbo_ref.cli.page import made_by
from elbo_ref.counts import Counts
from elbo_ref.diagnostics.diagnosis import Diagnosis, diagnose
from elbo_ref.distributions.beta import Beta
from elbo_ref.objectives.trace import MOST_DRAWS
from elbo_ref.report import Comparison, save_figure
from elbo_ref.svi.checkpoint import Checkpoint, CheckpointError
from elbo_ref.svi.config import Config, checked_config
from elbo_ref.svi.loop import State, advance_to, generator_of, initial_state
from elbo_ref.svi.result import Run, run_at

_MANY_DRAWS = 1_000_000


def run_guides(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    guides: Sequence[str],
    data: Input,
) -> int:
    """Run the guides and hand over what they reached; return the exit code."""
    configs = {guide: _config(parser, options, guide, data.counts) for guide in guides}
    states = {
        guide: initial_state(config, generator(options.seed)) for guide, config in configs.items()
    }
    saving = Checkpoint(options.checkpoint, configs, states, options.num_steps)
    if options.resume:
        with refusals(parser, CheckpointError, path=options.checkpoint):
            saving.take_up()
    _warn(options, data.counts)
    with Interrupts() as interrupts:
        results = _climb(options, saving, interrupts)
        return _hand_over(options, data, results, saving, interrupts)


def _config(
    parser: argparse.ArgumentParser, options: argparse.Namespace, guide: str, counts: Counts
) -> Config:
    with refusals(parser):
        count("num_steps", options.num_steps, 1)
        generator(options.seed)
        return checked_config(
            counts,
            options.init_guide if guide == "beta" and options.init_guide else guide,
            loss=options.loss,
            prior=options.fix_prior or options.init_prior or Beta(1.0, 1.0),
            learn_prior=options.learn or options.fix_prior is None,
            optimizer=optimizer_of(options.optimizer, options.lr, options.lrd),
            num_particles=options.num_particles,
            rng=options.seed,
            constraint=options.constraint,
            subsample_size=options.subsample_size,
        )


def _warn(options: argparse.Namespace, counts: Counts) -> None:
    """Warn of a run that will take long and need not."""
    latents = min(counts.num_latents, options.subsample_size or counts.num_latents)
    draws = latents * options.num_particles * options.num_steps
    many = _MANY_DRAWS < draws <= MOST_DRAWS * options.num_steps
    if options.loss != "exact" and many and not options.quiet:
        say(f"{draws} draws for each guide; --loss exact needs none")


def _climb(
    options: argparse.Namespace, saving: Checkpoint, interrupts: Interrupts
) -> list[Diagnosis | Run]:
    """Run the guides one after the other; the one that an interrupt ends is the last."""
    progress = Progress(options.quiet)
    results: list[Diagnosis | Run] = []
    warned = False
    for guide, config in saving.configs.items():
        if interrupts.asked and results:
            break

        def pause(state: State, guide: str = guide) -> bool:
            nonlocal warned
            saving.states[guide] = state
            progress.show(guide, state.step, options.num_steps)
            saving.save_now_and_then()
            if saving.error is not None and not warned:
                warned = True
                progress.clear()
                say(f"{in_words(str(saving.path), saving.error)}; the run goes on")
            return interrupts.asked

        try:
            if not interrupts.asked:
                state = saving.states[guide]
                draws = generator_of(state)
                walk = partial(advance_to, config, state, draws, options.num_steps, pause)
                interrupts.attempt(walk, state)
        finally:
            progress.clear()
        saving.save()
        run = run_at(config, saving.states[guide], options.num_steps)
        undiagnosed: Diagnosis | Run = run
        results.append(interrupts.attempt(partial(_diagnosed, run), undiagnosed))
    return results


def _diagnosed(run: Run) -> Diagnosis | Run:
    """Diagnose a run, and work out all that takes long."""
    diagnosis = diagnose(run)
    diagnosis.body()
    return diagnosis


def _hand_over(
    options: argparse.Namespace,
    data: Input,
    results: list[Diagnosis | Run],
    saving: Checkpoint,
    interrupts: Interrupts,
) -> int:
    """Write and print; keep elsewhere what cannot be written."""
    delivery = Delivery(options.checkpoint)
    seen = Comparison(results, list(saving.configs)[len(results) :])
    if saving.error is not None:
        delivery.rescue(str(saving.path), saving.error, saving.content(), ".npz")
    written = options.output.suffix if options.output is not None else ""
    document = to_json(seen.document(data.source)) if options.json or written == ".json" else ""
    if options.output is not None:
        text = seen.posteriors().to_csv() if written == ".csv" else document
        delivery.write(options.output, text.encode(), options.force)
    if options.report is not None:
        from elbo_ref.report.page import html_page, page_of_runs

        made = made_by("fit", options.given, data)
        page = page_of_runs(seen, printable(data.title), data.names, made)
        delivery.write(options.report, html_page(page).encode(), options.force)
    if options.json:
        delivery.print(document, ".json")
    else:
        delivery.print(seen.text(printable(data.title), data.names) + "\n", ".txt")
    drawn = options.plot is None or _draw(options, seen, interrupts, delivery)
    code = FINE
    if seen.interrupted or not drawn:
        before = f" before guide {', '.join(seen.not_begun)}" if seen.not_begun else ""
        say(f"interrupted{before}")
        code = INTERRUPTED
    elif options.require_converged and (away := [r for r in seen.runs if r.stopped != "converged"]):
        say(f"not converged: {', '.join(run.guide_name for run in away)}")
        code = NOT_CONVERGED
    return CANNOT_WRITE if delivery.failed else code


def _draw(
    options: argparse.Namespace, seen: Comparison, interrupts: Interrupts, delivery: Delivery
) -> bool:
    """Draw the runs, if they are diagnosed and an interrupt leaves the time; whether it did."""
    picture = io.BytesIO()

    def draw() -> bool:
        save_figure(seen.diagnoses, picture, options.plot.suffix[1:])
        return True

    drawn = seen.complete and interrupts.attempt(draw, False)
    if drawn:
        delivery.write(options.plot, picture.getvalue(), options.force)
    else:
        say(f"{options.plot}: not drawn")
    return drawn
