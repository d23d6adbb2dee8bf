"""Runs with different guides as one document, and their posteriors as one table."""

from __future__ import annotations

from collections.abc import Sequence

from elbo_ref.conclusion import conclusion
from elbo_ref.diagnosis import Diagnosis
from elbo_ref.documents import Document, document
from elbo_ref.latents import csv_text


def fit_document(diagnoses: Sequence[Diagnosis], source: Document, left: Sequence[str]) -> Document:
    """All there is to say, as ``python -m elbo_ref.fit --json`` prints it.

    Parameters
    ----------
    diagnoses : sequence of Diagnosis
        One for each guide, on the same counts.
    source : Document
        Where the counts came from.
    left : sequence of str
        The guides that were asked for and not begun, because of an interrupt.
    """
    stopped = [d.run.stopped for d in diagnoses]
    return {
        **document("fit"),
        "conclusion": conclusion(diagnoses),
        "converged": not left and all(word == "converged" for word in stopped),
        "counts": diagnoses[0].run.counts.to_dict(),
        "diagnoses": [d.body() for d in diagnoses],
        "input": source,
        "interrupted": bool(left) or "interrupted" in stopped,
        "not_begun": list(left),
    }


def posteriors_csv(diagnoses: Sequence[Diagnosis]) -> str:
    """The posterior of each latent under the prior of each guide, with a column `guide`."""
    rows: list[tuple[object, ...]] = []
    for d in diagnoses:
        if d.posterior is not None:
            head, *body = d.posterior.rows()
            rows += [] if rows else [("guide", *head)]
            rows += [(d.run.guide_name, *row) for row in body]
    return csv_text(rows)
