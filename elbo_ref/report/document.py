"""Runs with different guides as one document, and their posteriors as one table.

A run that no diagnosis was made of, because of an interrupt, stands for itself: what would have to
be worked out is null, with that reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from elbo_ref._format.documents import Document, document, put
from elbo_ref._format.table import joined
from elbo_ref.diagnostics.diagnosis import Diagnosis
from elbo_ref.report.sentences import conclusion
from elbo_ref.svi.result import Run

NOT_DIAGNOSED = "interrupted before it was worked out"

_OF_DIAGNOSIS = (
    "arrived",
    "case",
    "distance",
    "evidence_supremum",
    "gap",
    "log_evidence",
    "noise_floor",
    "objective",
    "objective_supremum",
    "passes_at",
    "posterior",
    "shortfall",
)


def fit_document(
    results: Sequence[Diagnosis | Run], source: Document, left: Sequence[str]
) -> Document:
    """All there is to say, as ``python -m elbo_ref.fit --json`` prints it.

    Parameters
    ----------
    results : sequence of Diagnosis or Run
        One for each guide, on the same counts; a run is one without a diagnosis.
    source : Document
        Where the counts came from.
    left : sequence of str
        The guides that were asked for and not begun, because of an interrupt.
    """
    return {
        **document("fit"),
        "conclusion": concluded(results),
        "converged": not left
        and all(isinstance(x, Diagnosis) and x.run.stopped == "converged" for x in results),
        "counts": runs_of(results)[0].counts.to_dict(),
        "diagnoses": [x.body() if isinstance(x, Diagnosis) else _undiagnosed(x) for x in results],
        "input": source,
        "interrupted": interrupted(results, left),
        "not_begun": list(left),
    }


def posteriors_csv(results: Sequence[Diagnosis | Run]) -> str:
    """The posterior of each latent under the prior of each guide, with a column `guide`."""
    tables = {
        run.guide_name: (isinstance(result, Diagnosis) and result.posterior)
        or run.posterior_table()
        for result, run in zip(results, runs_of(results), strict=True)
        if run.has_prior
    }
    return joined("guide", {name: each.table() for name, each in tables.items()}).to_csv()


def runs_of(results: Sequence[Diagnosis | Run]) -> list[Run]:
    """The runs, diagnosed or not."""
    return [x.run if isinstance(x, Diagnosis) else x for x in results]


def interrupted(results: Sequence[Diagnosis | Run], left: Sequence[str]) -> bool:
    """Whether something that was asked for is missing because of an interrupt."""
    undiagnosed = any(isinstance(x, Run) for x in results)
    return bool(left) or undiagnosed or any(x.ending == "interrupted" for x in runs_of(results))


def sentence_of(result: Diagnosis | Run) -> str:
    """What a run amounts to; without a diagnosis, how it ended."""
    if isinstance(result, Diagnosis):
        return result.sentence
    return f"{_message(result)}; not diagnosed"


def _message(run: Run) -> str:
    return run.message if run.ending != "completed" else f"completed at step {len(run.losses)}"


def concluded(results: Sequence[Diagnosis | Run]) -> str:
    """What the runs say together, if all are diagnosed."""
    diagnoses = [x for x in results if isinstance(x, Diagnosis)]
    return conclusion(diagnoses) if len(diagnoses) == len(results) else NOT_DIAGNOSED


def _undiagnosed(run: Run) -> Document:
    """The document of a run in the place of that of its diagnosis."""
    stationarity = Document()
    body: Document = {"run": run.record() | {"message": _message(run), "stopped": run.ending}}
    for name in ("objective", "step_std"):
        put(body["run"], name, None, NOT_DIAGNOSED)
    for name in ("decrement", "step"):
        put(stationarity, name, None, NOT_DIAGNOSED)
    body["run"]["stationarity"] = stationarity
    body["sentence"] = sentence_of(run)
    for name in _OF_DIAGNOSIS:
        put(body, name, None, NOT_DIAGNOSED)
    return body
