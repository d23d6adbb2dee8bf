"""Notes on a recording without which its verdict would say too much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.rows import Data


def qualifications(
    stated: Sequence[Finding], data: Data, counts: Counts | None
) -> Iterator[Finding]:
    """Note minibatches of unknown data, and rows that have a mistake."""
    scaled = any(x.name == "scale" for x in stated)
    if not (data.constant or data.batched or scaled) and counts is None:
        words = (
            "no plate says of how many rows these minibatches are, so that their scale may be wrong"
        )
        yield Finding("scale", words, reason="give the counts", status="note", of=words)
    if any(x.status == "mistake" for x in data.findings):
        words = "the exact numbers are those of the rows that the run observed, as it has them"
        yield Finding("as_handed_in", words, status="note")
