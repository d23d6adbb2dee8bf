"""What a cross-check finds, and the verdict that its findings add up to.

A *finding* compares one quantity: what somebody has, what it should have been, how far apart they
may be and why. Its status says what follows:

* ``"agrees"``: within the allowance;
* ``"mistake"``: not, and `Finding.name` is the mistake that explains it;
* ``"optimum"``: the numbers are right, but they are not at a maximum;
* ``"untested"``: what was given cannot tell;
* ``"note"``: worth knowing, and no verdict.

A verdict is all findings and what they come to: ``"a mistake"`` wins over ``"not at an optimum"``,
that over ``"too little to tell"``, and that over ``"agrees"``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from elbo_ref._format.documents import Document, document, put, to_json
from elbo_ref._format.numbers import describe, number, pair
from elbo_ref.distributions.beta import Beta

_WIDTH = 120

Status = Literal["agrees", "mistake", "optimum", "untested", "note"]
Outcome = Literal["agrees", "not at an optimum", "a mistake", "too little to tell"]

EXIT_CODES: dict[Outcome, int] = {
    "agrees": 0,
    "not at an optimum": 3,
    "a mistake": 4,
    "too little to tell": 5,
}

MISTAKES = {
    "swapped_concentrations": "concentration1 and concentration0 are exchanged",
    "latent_not_in_guide": "the guide does not sample the latent: what is maximised is no ELBO",
    "wrong_sign": "the numbers are ELBOs, not losses",
    "normalised_loss": "the losses are divided by a number",
    "missing_coefficients": "the log binomial coefficients are missing",
    "unexplained_constant": "a constant separates the losses from what they should be",
    "subsample_unscaled": "minibatches are not scaled up to all the data",
    "subsample_scaled_twice": "minibatches are scaled up twice",
    "wrong_total_count": "the total counts are others than the data's",
    "wrong_latents": "the latents are others: one where one per row was meant, or the reverse",
    "unconstrained_values": "the parameters are the unconstrained ones",
    "float32_saturation": "draws sit at the ends of what float32 can hold",
    "optimizer_settings": "the steps are not those of this optimizer",
    "learning_rate_decay": "the learning rate does not stay what it was",
    "gradient_detached": "a parameter does not receive its gradient",
    "gradient_scaled": "the gradients are multiplied by a number",
    "gradient_estimator": "the gradients are those of another estimator",
    "gradient_mismatch": "the gradients do not follow from these draws",
    "kernel_error": "PyTorch's approximate Beta gradient matters here",
    "loss_mismatch": "the losses do not follow from these parameters",
    "draw_mismatch": "the draws do not follow from these parameters",
}
"""What a finding with status ``"mistake"`` may be called, and what it means."""

OPTIMUM = {
    "not_converged": "not at the maximum yet",
    "noise_floor": "kept below the maximum by the noise of its gradients",
    "drifting": "on its way to a supremum that is not attained",
    "unbounded": "there is no maximum",
}
"""The same for status ``"optimum"``."""


ORDER = ("mistake", "optimum", "agrees", "note", "untested")
"""Statuses, in the order in which findings are told."""


class Finding(NamedTuple):
    """One quantity, theirs and ours.

    Attributes
    ----------
    name : str
        A key of `MISTAKES` or `OPTIMUM`, or the name of what was tested.
    quantity : str
        In words, with the step where there is one.
    theirs, ours : float or None
    allowance : float or None
        How far apart they may be, in the same units.
    reason : str
        Where the allowance comes from, or what the finding rests on.
    status : {"agrees", "mistake", "optimum", "untested", "note"}
    rivals : tuple of str
        Of a mistake: what the numbers do not rule out instead, likelier ones first.
    """

    name: str
    quantity: str
    theirs: float | None
    ours: float | None
    allowance: float | None
    reason: str
    status: Status
    rivals: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        """Theirs less ours."""
        if self.theirs is None or self.ours is None:
            return None
        return self.theirs - self.ours

    def to_dict(self) -> Document:
        """The finding as plain values."""
        body: Document = {"name": self.name, "quantity": self.quantity}
        body |= {"reason": self.reason, "status": self.status, "rivals": list(self.rivals)}
        for name in ("theirs", "ours", "difference", "allowance"):
            put(body, name, getattr(self, name), "there is no such number")
        return body

    def line(self) -> str:
        """The finding on one line.

        Examples
        --------
        >>> print(Finding("losses", "mean loss", 3.25, 3.0, 0.5, "Monte Carlo", "agrees").line())
        agrees    losses: mean loss 3.25, should be 3 +- 0.5 (Monte Carlo)
        """
        text = f"{self.status:8}  {self.name}: {self.quantity}"
        if self.theirs is not None and self.status != "optimum":
            text += f" {number(self.theirs)}"
            if self.ours is not None:
                text += f", should be {number(self.ours)}"
            if self.allowance is not None:
                text += f" +- {number(self.allowance)}"
        return f"{text} ({self.reason})" if self.reason else text


@dataclass(frozen=True)
class Verdict:
    """What a cross-check comes to; made by `elbo_ref.cross_check` and `elbo_ref.replay`.

    Attributes
    ----------
    subject : str
        What was checked, in words.
    findings : tuple of Finding
        Mistakes first.
    exact : mapping
        The exact numbers at the parameters given, by name; None where one does not exist.
    ruled_out : tuple of str
        Names of the mistakes that would have been seen, and were not.
    advice : tuple of str
        What to do next.
    posterior : Beta of shape (G,), or None
        The exact posterior of each latent under the prior given.
    """

    subject: str
    findings: tuple[Finding, ...]
    exact: Mapping[str, float | None] = field(default_factory=dict)
    ruled_out: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    posterior: Beta | None = None

    def __hash__(self) -> int:
        return hash((self.subject, self.findings))

    def having(self, status: Status) -> tuple[Finding, ...]:
        """The findings of a status."""
        return tuple(finding for finding in self.findings if finding.status == status)

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Names of the mistakes found."""
        return tuple(dict.fromkeys(finding.name for finding in self.having("mistake")))

    @property
    def genuine(self) -> bool:
        """Whether something could be compared, and everything that could agrees."""
        return bool(self.having("agrees")) and not self.mistakes

    @property
    def outcome(self) -> Outcome:
        """What it comes to."""
        if self.having("mistake"):
            return "a mistake"
        if self.having("optimum"):
            return "not at an optimum"
        return "agrees" if self.having("agrees") else "too little to tell"

    @property
    def exit_code(self) -> int:
        """Of the command: 0, 3, 4 or 5."""
        return EXIT_CODES[self.outcome]

    @property
    def paragraph(self) -> str:
        """The verdict in words."""
        parts = [self._genuine(), self._maximum(), *self._tested(), *self.advice]
        return " ".join(part for part in parts if part)

    def _genuine(self) -> str:
        if self.mistakes:
            found = "; ".join(f"{name} ({MISTAKES[name]})" for name in self.mistakes)
            rivals = dict.fromkeys(x for f in self.having("mistake") for x in f.rivals)
            instead = ", ".join(name for name in rivals if name not in self.mistakes)
            beside = f" They do not rule out instead: {instead}." if instead else ""
            return f"These numbers are not what they are taken for: {found}.{beside}"
        if self.genuine:
            return "These numbers are genuine: everything that could be compared agrees."
        return "There is too little here to say whether these numbers are genuine."

    def _maximum(self) -> str:
        away = self.having("optimum")
        if away:
            return "They are not a maximum: " + "; ".join(f.quantity for f in away) + "."
        at = [f for f in self.having("agrees") if f.name == "at_optimum"]
        return f"They are a maximum: {at[0].quantity}." if at else ""

    def _tested(self) -> tuple[str, str]:
        untested = [finding.quantity for finding in self.having("untested")]
        return (
            f"Ruled out: {', '.join(self.ruled_out)}." if self.ruled_out else "",
            f"Could not be tested: {'; '.join(untested)}." if untested else "",
        )

    def summary(self) -> str:
        """The findings, one a line, and the verdict in words."""
        values = (
            f"{name.replace('_', ' ')} {number(x)}"
            for name, x in self.exact.items()
            if x is not None
        )
        lines = [self.subject, *_wrapped(f"exact: {', '.join(values)}{self._after()}")]
        for finding in self.findings:
            lines += _wrapped(finding.line(), 10)
        return "\n".join([*lines, *_wrapped(f"verdict: {self.outcome}. {self.paragraph}")])

    def _after(self) -> str:
        """The posterior of a single latent."""
        if self.posterior is None or np.size(self.posterior.concentration1) != 1:
            return ""
        return f", posterior {describe(self.posterior)}"

    __str__ = summary

    def to_dict(self) -> Document:
        """The verdict as a document of plain values; see docs/results.md."""
        return {**document("verdict"), **self.body()}

    def body(self) -> Document:
        """The same without the document's head."""
        exact: dict[str, Any] = {}
        for name, value in self.exact.items():
            put(exact, name, value, "there is no such number")
        after = self.posterior and pair(self.posterior)
        body: Document = {
            "subject": self.subject,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "mistakes": list(self.mistakes),
            "findings": [finding.to_dict() for finding in self.findings],
            "exact": exact,
            "ruled_out": list(self.ruled_out),
            "advice": list(self.advice),
            "paragraph": self.paragraph,
        }
        put(body, "posterior", after, "no prior was given, or it is none")
        return body

    def to_json(self) -> str:
        """The same as text."""
        return to_json(self.to_dict())


def _wrapped(text: str, indent: int = 4) -> list[str]:
    """Lines of a width that fits a terminal, all but the first indented."""
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
