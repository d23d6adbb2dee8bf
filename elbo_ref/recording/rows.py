"""Observed rows of a recording, added up to the outcomes of each latent.

A row belongs to the latent whose draw is its probability, which the recorder has looked up: trials,
counts, plates within plates and a column of group numbers come to the same sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.arithmetic import LikelihoodForm
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import Rows
from elbo_ref.recording.distribution_kinds import TRIALS
from elbo_ref.recording.notes import Recording
from elbo_ref.special import log_choose

_FEWEST_ROWS = 3
"""Rows of two sites that are the same by no coincidence."""


class Data(NamedTuple):
    """Outcomes of L latents at T steps, or at all of them alike.

    Attributes
    ----------
    successes, total_count : array, (1 or T, L)
    log_coefficient, coefficient_magnitude : array, (1 or T, L)
        Log binomial coefficients, and the log factorials that they are made of, in units of the
        run's precision.
    trials, by_logit : bool
        Whether all rows are single trials; whether their logit is an argument.
    by_hand : bool
        Whether the likelihood is a factor that was written by hand.
    exact : bool
        Whether all particles saw these data.
    batched : bool
        Whether a plate takes minibatches.
    whole, numbers : int, array (T, L); or None
        Number of latents that minibatches are taken of, and which these are, where a plate says it.
    findings : tuple of Finding
    multiplicity : int array (L,), or None
        Latents that each stands for, whose terms a scale multiplies.
    """

    successes: FloatArray
    total_count: FloatArray
    log_coefficient: FloatArray
    coefficient_magnitude: FloatArray
    trials: bool
    by_logit: bool
    by_hand: bool
    exact: bool = True
    batched: bool = False
    whole: int | None = None
    numbers: NDArray[np.int64] | None = None
    findings: tuple[Finding, ...] = ()
    multiplicity: NDArray[np.int64] | None = None

    @property
    def outcomes(self) -> FloatArray:
        """Successes and failures, (2, 1 or T, L)."""
        return np.array((self.successes, self.total_count - self.successes))

    @property
    def constant(self) -> bool:
        """Tell whether every step saw the same data."""
        return len(self.successes) == 1 and not self.batched

    @property
    def possible(self) -> bool:
        """Tell whether all rows are successes of so many trials."""
        return not any(x.name in ("outside_model", "wrong_total_count") for x in self.findings)

    @property
    def seen(self) -> Rows:
        """The rows as a loss counts them."""
        return Rows(self.outcomes, self.log_coefficient, self.coefficient_magnitude)

    def form(self, *, numpyro: bool) -> LikelihoodForm:
        """Return the way in which the likelihood is computed."""
        if self.trials and not numpyro:
            return "trials"
        if self.by_logit:
            return "logits"
        return "by_hand" if self.by_hand else "binomial"

    def counts(self) -> Counts:
        """Make counts of the first step's data."""
        return self.counts_of_steps(1)[0]

    def counts_of_steps(self, steps: int) -> list[Counts]:
        """Make counts of the data of every step."""
        times = 1 if self.multiplicity is None else self.multiplicity
        rows = zip(self.successes, self.total_count, strict=True)
        made = [Counts(k, n, times) for k, n in rows]
        return made * (steps if len(made) == 1 else 1)

    def as_counted(self) -> Counts:
        """Make counts of the first step's data with the coefficients that its losses have."""
        counts = self.counts()
        most = counts.log_coefficient
        split = np.clip(self.log_coefficient[0] - most, -most, 0.0)
        columns = counts.successes, counts.total_count, counts.multiplicity
        return Counts.from_columns(*columns, log_split=split)

    def select(self, kept: BoolArray) -> Data:
        """Keep some of the latents."""
        numbers = None if self.numbers is None else self.numbers[:, kept]
        parts = {name: getattr(self, name)[:, kept] for name in self._fields[:4]}
        return self._replace(numbers=numbers, **parts)

    @classmethod
    def of(cls, counts: Counts) -> Data:
        """Take the data of counts, where a likelihood was written by hand."""
        k, n = (x[None].astype(np.float64) for x in (counts.successes, counts.total_count))
        return cls(k, n, counts.log_coefficient[None], magnitude_of(k, n), False, False, True)


def data_by_hand(recording: Recording, counts: Counts, size: int) -> Data | None:
    """Take counts for the data of a likelihood that was written by hand.

    They are those of all latents, or in each step of the rows of a minibatch; None if neither.
    """
    if len(counts) == size:
        return Data.of(counts)
    batches = [x for name, x in recording.observed.items() if name.endswith(".rows")]
    if len(batches) != 1:
        return None
    (batch,) = batches
    if batch.shape[1] != size or batch.max() >= len(counts):
        return None
    rows, all_rows = batch.astype(np.int64), Data.of(counts)
    parts = {name: getattr(all_rows, name)[0, rows] for name in Data._fields[:4]}
    return all_rows._replace(batched=True, whole=len(counts), numbers=rows, **parts)


class Place(NamedTuple):
    """Place of the elements of a latent site among all latents."""

    offset: int
    size: int


def data_of(
    recording: Recording,
    sites: Sequence[Mapping[str, Any]],
    places: Mapping[str, Place],
    size: int,
) -> Data:
    """Add up the rows of all sites for each of `size` latents."""
    findings = _masked_rows(recording, sites, places, size)
    sites = [site for site in sites if _mask(recording, site).any()]
    steps = max((len(recording.observed[f"{site['name']}.value"]) for site in sites), default=1)
    for part in (_index, _mask):
        steps = max([steps, *(len(part(recording, site)) for site in sites)])
    total = np.zeros((4, steps, size))
    findings += _same_rows(recording, sites)
    for site in sites:
        k, n, mask = _counted(recording, site)
        repeated = site["observed"] and 1 < site["elements"] < site["rows"]
        findings += [] if repeated else _faults(site, k, n)
        trial = site["class"] in TRIALS
        coefficient = np.zeros(k.shape) if trial else log_choose_of(k, n)
        other = recording.observed.get(f"{site['name']}.coefficient_total")
        if other is not None:
            coefficient = coefficient + sc.gammaln(other + 1.0) - sc.gammaln(n + 1.0)
            words = f"the coefficients of {site['name']!r} are of other totals than the rows have"
            findings.append(Finding("coefficients", words, status="note"))
        magnitude = np.zeros(k.shape) if trial else _coarser(recording) * magnitude_of(k, n)
        if site.get("complement"):
            k = n - k
        wide = (steps, k.shape[1])
        latents = latents_of(recording, site, places)
        at = np.arange(steps)[:, None], np.broadcast_to(latents, wide)
        for row, values in zip(total, (k, n, coefficient, magnitude), strict=True):
            np.add.at(row, at, np.broadcast_to(values * mask, wide))
        if repeated:
            own, latent = _index(recording, site), places[site["latent"]]
            findings.append(_repeated(site, k, n, own, latent.size))
        if not site["observed"]:
            beside = any(x["observed"] and x["latent"] == site["latent"] for x in sites)
            findings.append(_drawn_rows(site, beside=beside))
    classes = {site["class"] for site in sites}
    by_logit = bool(sites) and all(site.get("logits") for site in sites)
    loss = recording.header.get("loss") or {}
    batched = any(name.endswith(".rows") for name in recording.observed)
    drawn = any(not site["observed"] for site in sites)
    exact = not ((drawn or batched) and loss.get("num_particles", 1) > 1)
    exact = exact or (batched and bool(loss.get("vectorize_particles")))
    trials = classes <= {*TRIALS}
    k, n, coefficient, magnitude = total
    noted = tuple(dict.fromkeys(findings))
    whole, numbers = _batch(recording, size)
    rows = k, n, coefficient, magnitude
    return Data(*rows, trials, by_logit, False, exact, batched, whole, numbers, noted)


def _drawn_rows(site: Mapping[str, Any], *, beside: bool) -> Finding:
    """Say what rows are that the model draws, alone or beside others that are observed."""
    words, name = f"{site['name']!r} is drawn, not observed", "observations_missing"
    reason = "obs= was left out, or was None"
    if site["name"].endswith("_unobserved"):
        reason = "obs_mask has the model draw these rows: the guide must draw them too"
    elif beside:
        name, words = "latent_not_in_guide", f"the model draws {site['name']!r} beside the data"
        reason = "the guide does not draw it, so that its log probability is in the loss"
    return Finding(name, words, reason=reason, status="mistake")


def _masked_rows(
    recording: Recording,
    sites: Sequence[Mapping[str, Any]],
    places: Mapping[str, Place],
    size: int,
) -> list[Finding]:
    """Note rows with trials that a mask leaves out, and latents that it leaves without any."""
    rows, trials, successes = 0, 0.0, 0.0
    masked, kept = np.zeros(size, bool), np.zeros(size, bool)
    for site in sites:
        if not site["observed"] or site["latent"] not in places:
            continue
        k, n = (x[0] for x in _written(recording, site))
        left = np.broadcast_to(_mask(recording, site)[0] == 0, n.shape) & (n > 0)
        at = np.broadcast_to(latents_of(recording, site, places)[0], n.shape)
        masked[at[left]] = True
        kept[at[~left & (n > 0)]] = True
        outcomes = n - k if site.get("complement") else k
        rows, trials = rows + int(left.sum()), trials + float(n[left].sum())
        successes += float(outcomes[left].sum())
    if not rows:
        return []
    what = f"a mask leaves out {rows} row{'s' * (rows != 1)} "
    what += f"({successes:g} of {trials:g} trials succeed there)"
    bare = int((masked & ~kept).sum())
    if not bare:
        return [Finding("masked", what, status="note")]
    what += f" and with them all data of {bare} of {size} latents"
    return [Finding("masked", what, status="note", of=what)]


def _same_rows(recording: Recording, sites: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Note sites that observe one table under two names, of rows that are not all equal."""
    found = []
    long = [x for x in sites if x["observed"] and x["rows"] >= _FEWEST_ROWS]
    for first, second in combinations(long, 2):
        if first["latent"] != second["latent"]:
            continue
        k, n, mask = _outcomes(recording, first)
        rows = (k, n, mask, _index(recording, first))
        others = (*_outcomes(recording, second), _index(recording, second))
        unlike = np.any((k != k[:, :1]) | (n != n[:, :1]))
        if unlike and all(map(np.array_equal, rows, others)):
            words = f"the rows of {first['name']!r} and {second['name']!r} are the same"
            reason = "each counts twice, if that was not meant"
            found.append(Finding("same_rows", words, reason=reason, status="note"))
    return found


def impossible_rows(recording: Recording) -> list[Finding]:
    """Find the sites whose rows are no counts, whatever else the program is."""
    kept = [x for x in recording.sites("model") if f"{x['name']}.value" in recording.observed]
    found = [x for site in kept for x in _faults(site, *_counted(recording, site)[:2])]
    return [x for x in found if x.status == "mistake"]


def _faults(site: Mapping[str, Any], k: FloatArray, n: FloatArray) -> list[Finding]:
    """Find rows that are no counts: part of a trial, or more successes than there are trials."""
    if np.any((k != np.floor(k)) | (n != np.floor(n))):
        words = f"the values of {site['name']!r} are not whole numbers"
        return [Finding("outside_model", words, status="outside")]
    off = (k > n) | (k < 0)
    if not off.any():
        return []
    step, row = np.argwhere(off)[0]
    words = f"row {row} of {site['name']!r} has {k[step, row]:g} successes of {n[step, row]:g}"
    return [Finding("wrong_total_count", words, reason="no such row can be", status="mistake")]


def _batch(recording: Recording, size: int) -> tuple[int | None, NDArray[np.int64] | None]:
    """Return the size of the one plate that latents are subsampled in, and their numbers."""
    plates = recording.header.get("plates", {})
    widths = {name: recording.observed.get(f"{name}.rows") for name in plates}
    known = [(name, x) for name, x in widths.items() if x is not None and x.shape[1] == size]
    if len(known) != 1 or size == 1:
        return None, None
    ((plate, rows),) = known
    return int(plates[plate]), rows.astype(np.int64)


def latents_of(
    recording: Recording, site: Mapping[str, Any], places: Mapping[str, Place]
) -> NDArray[np.int64]:
    """Return the number among all latents of each row's latent, (1 or T, 1 or rows)."""
    return places[site["latent"]].offset + _index(recording, site)


def _index(recording: Recording, site: Mapping[str, Any]) -> NDArray[np.int64]:
    return recording.observed[f"{site['name']}.index"].astype(np.int64)


def _mask(recording: Recording, site: Mapping[str, Any]) -> FloatArray:
    none = np.ones((1, 1))
    return recording.observed.get(f"model.{site['name']}.mask", none).astype(np.float64)


def _counted(
    recording: Recording, site: Mapping[str, Any]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return values and total counts of a site, (1 or T, rows), 0 where masked, and the mask."""
    mask = _mask(recording, site)
    k, n = (np.where(mask != 0, x, 0.0) for x in _written(recording, site))
    return k, n, mask


def _written(recording: Recording, site: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
    """Return values and total counts of a site, (1 or T, rows), whatever a mask leaves out."""
    value, total = (
        recording.observed[f"{site['name']}.{key}"].astype(np.float64)
        for key in ("value", "total_count")
    )
    shape = (max(len(value), len(total)), int(site["rows"]))
    return np.broadcast_to(value, shape), np.broadcast_to(total, shape)


def _outcomes(
    recording: Recording, site: Mapping[str, Any]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return successes of the latent, total counts and the mask of a site."""
    k, n, mask = _counted(recording, site)
    return (n - k if site.get("complement") else k), n, mask


def _repeated(
    site: Mapping[str, Any], k: FloatArray, n: FloatArray, index: NDArray[np.int64], latents: int
) -> Finding:
    """Say what becomes of values that stand for several rows each."""
    words = f"{site['name']!r} has {site['elements']} values and {site['rows']} rows"
    at = np.broadcast_to(index[0], k.shape[1])
    low, high = np.full((2, latents), np.inf), np.full((2, latents), -np.inf)
    for i, values in enumerate((k[0], n[0])):
        np.minimum.at(low[i], at, values)
        np.maximum.at(high[i], at, values)
    times = site["rows"] / site["elements"]
    if latents > 1 and np.all((low == high) | ~np.isfinite(low)):
        reason = "a plate has each latent see its own value so many times"
        return Finding("likelihood_weight", words, times, 1.0, None, reason, "mistake")
    against = f"against several of the {latents} latents" if latents > 1 else "in several rows"
    reason = f"each value is held {against}: compare the shapes"
    return Finding("broadcast_observations", words, reason=reason, status="mistake")


def log_choose_of(k: FloatArray, n: FloatArray) -> FloatArray:
    """Return log C(n, k) of counts that are kept as floats; 0 of what can be none."""
    possible = (k >= 0) & (k <= n)
    return log_choose(*(np.where(possible, x, 0).astype(np.int64) for x in (k, n)))


def magnitude_of(k: FloatArray, n: FloatArray) -> FloatArray:
    """Add up the log factorials that log binomial coefficients are made of."""
    return np.asarray(sc.gammaln(n + 1.0) + sc.gammaln(k + 1.0) + sc.gammaln(n - k + 1.0))


def _coarser(recording: Recording) -> float:
    """Compare the precision of the data, in which coefficients are computed, with the run's."""
    eps = np.finfo(recording.dtype).eps
    kept = [x.dtype for name, x in recording.observed.items() if name.endswith(".value")]
    return max([1.0, *(float(np.finfo(kind).eps / eps) for kind in kept if kind.kind == "f")])
