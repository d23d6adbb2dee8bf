"""Findings of a cross-check, and the verdict that they add up to.

A *finding* compares one quantity: somebody's value, the value that it should have been, how far
apart they may be and why. Its status says what follows:

* ``"agrees"``: within the allowance;
* ``"mistake"``: not, and `Finding.name` is the mistake that explains it;
* ``"outside"``: the program is none of this model's, and why; `Finding.name` is ``outside_model``;
* ``"optimum"``: the numbers are right, but they are not at a maximum;
* ``"untested"``: what was given cannot tell;
* ``"note"``: worth knowing, and no verdict.

A verdict is all findings and their outcome: ``"outside_model"`` wins over ``"mistake"``, that over
``"not_at_optimum"``, that over ``"too_little_to_tell"``, and that over ``"agrees"``. Sentences are
made of them in `elbo_ref.crosscheck.wording`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from elbo_ref._format.documents import Document, document, put, to_json
from elbo_ref._format.numbers import pair
from elbo_ref._format.result import Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray
from elbo_ref._validation.values import by_value
from elbo_ref.crosscheck import wording
from elbo_ref.distributions.beta import Beta

Status = Literal["agrees", "mistake", "optimum", "untested", "note", "outside"]
Outcome = Literal["agrees", "not_at_optimum", "mistake", "too_little_to_tell", "outside_model"]

EXIT_CODES: dict[Outcome, int] = {
    "agrees": 0,
    "too_little_to_tell": 5,
    "not_at_optimum": 3,
    "mistake": 4,
    "outside_model": 6,
}
"""The exit code of each outcome, the graver ones last."""

OPTIMUM = ("not_converged", "noise_floor", "drifting", "unbounded")
"""Names of findings with status ``"optimum"``."""

NOT_AGREEMENT = ("at_optimum", "first_step", "updates")
"""Names of findings that agree and do not test losses, gradients or draws."""

ORDER = ("outside", "mistake", "optimum", "agrees", "note", "untested")
"""Statuses, in the order of a verdict's findings."""


class Finding(NamedTuple):
    """One quantity of somebody's beside the value that it should have.

    Attributes
    ----------
    name : str
        A mistake (`elbo_ref.crosscheck.mistakes.MISTAKES`), one of `OPTIMUM`, or the name of what
        was tested.
    quantity : str
        The quantity in words, with the step where there is one.
    theirs, ours : float or None
        Somebody's value and the exact one.
    allowance : float or None
        How far apart they may be, in the same units.
    reason : str
        Where the allowance comes from, or what the finding rests on.
    status : {"agrees", "mistake", "outside", "optimum", "untested", "note"}
        What follows from it.
    rivals : tuple of str
        Of a mistake: those that the numbers do not rule out instead, likelier ones first.
    of : str
        The parameter, or its role, that is compared, where there are several; of a note those that
        it is about; of an objective without a maximum the kind of its reason.

    See Also
    --------
    Verdict : All findings and what they add up to.

    Examples
    --------
    >>> finding = Finding("losses", "mean loss", 3.25, 3.0, 0.5, "Monte Carlo")
    >>> finding.difference, finding.status
    (0.25, 'agrees')
    """

    name: str
    quantity: str
    theirs: float | None = None
    ours: float | None = None
    allowance: float | None = None
    reason: str = ""
    status: Status = "agrees"
    rivals: tuple[str, ...] = ()
    of: str = ""

    @property
    def difference(self) -> float | None:
        """Somebody's value minus the exact one; None if either does not exist."""
        if self.theirs is None or self.ours is None:
            return None
        return self.theirs - self.ours

    @property
    def label(self) -> str:
        """Label of what is compared, in a word or two."""
        return wording.label(self)

    def to_dict(self) -> Document:
        """Return the finding as plain values."""
        body: Document = {"name": self.name, "label": self.label, "quantity": self.quantity}
        body |= {"reason": self.reason, "status": self.status, "rivals": list(self.rivals)}
        body["of"] = self.of
        for name in ("theirs", "ours", "difference", "allowance"):
            put(body, name, getattr(self, name), "there is no such number")
        return body

    def line(self) -> str:
        """Return the finding on one line.

        Examples
        --------
        >>> print(Finding("losses", "mean loss", 3.25, 3.0, 0.5, "Monte Carlo").line())
        agrees    losses: mean loss: 3.25, should be 3 +- 0.5 (Monte Carlo)
        """
        return wording.line(self)


@by_value
class ComparedLosses(NamedTuple):
    """Losses beside the distribution that each should have.

    Attributes
    ----------
    labels : tuple of str
        A name for each loss.
    values, mean, std : ndarray, shape (T,)
        Somebody's losses, and the exact mean and standard deviation of each, rounding included.
    mistake : str
        The mistake that explains them; empty if there is none.
    mistaken_mean : ndarray, shape (T,), or None
        The exact means with that mistake.
    """

    labels: tuple[str, ...]
    values: FloatArray
    mean: FloatArray
    std: FloatArray
    mistake: str = ""
    mistaken_mean: FloatArray | None = None


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """Sort findings as a verdict has them: mistakes first."""
    return tuple(sorted(findings, key=lambda finding: ORDER.index(finding.status)))


@dataclass(frozen=True)
class Verdict(Tabular):
    """Findings on somebody's run and their outcome.

    Made by `elbo_ref.cross_check` and `elbo_ref.replay`.

    Attributes
    ----------
    subject : str
        The run in words.
    findings : tuple of Finding
        Mistakes first.
    exact : mapping of str to float or None
        The exact numbers at the parameters given, nats; None where one does not exist.
    ruled_out : tuple of str
        Names of the mistakes that would have been seen, and were not.
    advice : tuple of str
        Sentences on what to do next.
    posterior : Beta of shape (G,), or None
        The exact posterior of each latent under the prior given.
    losses : ComparedLosses or None
        The losses beside their distributions, where there are some.

    See Also
    --------
    elbo_ref.cross_check : From parameters and losses.
    elbo_ref.replay : From a recording.

    Notes
    -----
    ``exit_code`` is that of the command: 0 agrees, 3 not at an optimum, 4 a mistake, 5 too little
    to tell, 6 outside the model.

    Examples
    --------
    >>> found = Finding("wrong_sign", "times -1: mean", -3.0, 3.0, 0.5, "p = 0.4", "mistake")
    >>> verdict = Verdict("beta guide", (found,))
    >>> verdict.outcome, verdict.exit_code, verdict.mistakes
    ('mistake', 4, ('wrong_sign',))
    >>> print(verdict.paragraph)
    These numbers are not what they are taken for: wrong_sign (the numbers are ELBOs, not losses).
    """

    subject: str
    findings: tuple[Finding, ...]
    exact: Mapping[str, float | None] = field(default_factory=dict)
    ruled_out: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    posterior: Beta | None = None
    losses: ComparedLosses | None = field(default=None, repr=False, compare=False)

    def __hash__(self) -> int:
        return hash((self.subject, self.findings))

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, name: str) -> Finding:
        """Return the first finding of a name.

        Raises
        ------
        KeyError
            If there is none.
        """
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(f"{name!r}: no finding has this name")

    def table(self) -> Table:
        """Lay out the findings, one a row."""
        names = (
            "name", "quantity", "of", "status", "theirs", "ours", "difference", "allowance",
            "reason",
        )  # fmt: skip
        words = ("name", "quantity", "of", "status", "reason")
        return Table(
            [
                Column([getattr(x, name) for x in self.findings], name, name, name in words)
                for name in names
            ]
        )

    def having(self, status: Status) -> tuple[Finding, ...]:
        """Return the findings of a status."""
        return tuple(finding for finding in self.findings if finding.status == status)

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Names of the mistakes found."""
        return tuple(dict.fromkeys(finding.name for finding in self.having("mistake")))

    @property
    def tested(self) -> bool:
        """True if losses, gradients or draws could be compared and agree."""
        return any(finding.name not in NOT_AGREEMENT for finding in self.having("agrees"))

    @property
    def genuine(self) -> bool:
        """True if something could be compared, and everything that could agrees."""
        return self.tested and not self.mistakes and not self.having("outside")

    @property
    def outcome(self) -> Outcome:
        """The gravest of what was found."""
        if self.having("outside"):
            return "outside_model"
        if self.having("mistake"):
            return "mistake"
        if self.having("optimum"):
            return "not_at_optimum"
        return "agrees" if self.tested else "too_little_to_tell"

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 0, 3, 4, 5 or 6."""
        return EXIT_CODES[self.outcome]

    @property
    def answer(self) -> str:
        """The sentences that the verdict opens with."""
        return wording.answer(self)

    @property
    def paragraph(self) -> str:
        """The verdict in sentences."""
        return wording.paragraph(self)

    def summary(self, *, colour: bool = False) -> str:
        """Return the answer, the tables of what was compared, the details, and the advice.

        Parameters
        ----------
        colour : bool
            Whether outcome and statuses are coloured, for a terminal.
        """
        return wording.summary(self, colour=colour)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return wording.as_html(self)

    def to_dict(self) -> Document:
        """Return the verdict as a document of plain values; see docs/results.md."""
        return {**document("verdict"), **self.body()}

    def body(self) -> Document:
        """Return the document without its head."""
        exact: dict[str, Any] = {}
        for name, value in self.exact.items():
            put(exact, name, value, "there is no such number")
        body: Document = {
            "subject": self.subject,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "answer": self.answer,
            "mistakes": list(self.mistakes),
            "findings": [finding.to_dict() for finding in self.findings],
            "exact": exact,
            "ruled_out": list(self.ruled_out),
            "advice": list(self.advice),
            "paragraph": self.paragraph,
        }
        posterior = self.posterior and pair(self.posterior)
        put(body, "posterior", posterior, "no prior was given, or it is none")
        return body

    def to_json(self) -> str:
        """Return the document as text."""
        return to_json(self.to_dict())
