"""`elbo_ref.counts.levels`: which level each entry has, and that none is guessed by position."""

import numpy as np
import pytest

import elbo_ref as er
from tiers import few

pd = pytest.importorskip("pandas")
pytest.importorskip("narwhals")


def frame(seed, size=12, labels="unsorted"):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 9, size)
    wards = np.array([f"w{i}" for i in rng.permutation(size)])
    arms = np.array(["old", "new", "none"])[rng.integers(0, 3, size)]
    columns = {"ward": wards, "arm": arms, "k": rng.binomial(n, 0.4), "n": n}
    return pd.DataFrame(columns).sample(frac=1, random_state=seed)


def by_level(counts, found):
    """The multiset of (K, N) of each level, by the fits behind some estimates."""
    names, _, group, _ = found.posteriors
    rows = {}
    for i, (k, n, w) in enumerate(
        zip(counts.successes, counts.total_count, counts.multiplicity, strict=True)
    ):
        rows.setdefault(names[group[i]], []).extend([(int(k), int(n))] * int(w))
    return {name: sorted(pairs) for name, pairs in rows.items()}


def wanted(table):
    return {
        arm: sorted(zip(some.k.tolist(), some.n.tolist(), strict=True))
        for arm, some in table.groupby("arm")
    }


@pytest.mark.parametrize("group", [None, "ward"])
@pytest.mark.parametrize("seed", few(range(3)))
def test_counts_of_a_frame_carry_the_level_of_each_row(seed, group):
    table = frame(seed)
    counts = er.Counts.from_frame(table, successes="k", total_count="n", group=group, by="arm")
    for by in ("arm", None):
        assert by_level(counts, er.estimate(counts, by=by)) == wanted(table)
    if group:
        arm = dict(zip(table.ward, table.arm, strict=True))
        assert list(counts.by.levels) == [arm[label] for label in counts.labels]
    names = {str(name) for name in er.estimate(counts, "mle").prior_mean.groups}
    assert names == set(table.arm)


@pytest.mark.parametrize("group", [None, "ward"])
def test_a_file_gives_the_same_levels(tmp_path, group):
    table = frame(5)
    table.to_csv(tmp_path / "counts.csv", index=False)
    how = {"successes": "k", "total_count": "n", "group": group, "by": "arm"}
    counts = er.read_counts(tmp_path / "counts.csv", **how)
    assert by_level(counts, er.estimate(counts)) == wanted(table)


def test_levels_by_label():
    table = frame(1)
    counts = er.Counts.from_frame(table, successes="k", total_count="n", group="ward")
    ways = (
        dict(zip(table.ward, table.arm, strict=True)),
        table.set_index("ward").arm,
    )
    for by in ways:
        assert by_level(counts, er.estimate(counts, by=by)) == wanted(table)


@pytest.mark.parametrize("group", [None, "ward"])
@pytest.mark.parametrize("kind", ["series", "list", "array", "tuple", "other index"])
def test_levels_are_not_paired_by_position_with_counts_of_a_frame(kind, group):
    table = frame(2).drop_duplicates(["k", "n"])
    counts = er.Counts.from_frame(table, successes="k", total_count="n", group=group)
    assert len(counts) == len(table)
    by = {
        "series": table.arm,
        "list": table.arm.tolist(),
        "array": table.arm.to_numpy(),
        "tuple": tuple(table.arm),
        "other index": table.set_index("n").arm,
    }[kind]
    with pytest.raises(ValueError, match=r"Counts.from_frame\(frame, ..., by=COLUMN\)"):
        er.estimate(counts, by=by)


def test_series_are_paired_by_position_if_their_indexes_agree():
    table = frame(3)
    counts = er.Counts(table.k, table.n)
    assert by_level(counts, er.estimate(counts, by=table.arm)) == wanted(table)
    assert by_level(counts, er.estimate(counts, by=table.arm.to_numpy())) == wanted(table)
    with pytest.raises(ValueError, match="another order"):
        er.estimate(counts, by=table.arm.sort_index())


def test_refusals_say_what_to_do():
    table = frame(4)
    counts = er.Counts.from_frame(table, successes="k", total_count="n", by="arm")
    with pytest.raises(ValueError, match=r'the levels "arm"; .*by="site"'):
        er.estimate(counts, by="site")
    with pytest.raises(ValueError, match="have no levels"):
        er.estimate(er.Counts([1, 2], 3), by="arm")
    with pytest.raises(ValueError, match="no labels"):
        er.estimate(er.Counts([1, 2], 3), by={0: "a"})
    grouped = er.Counts.grouped([1, 2], [3, 3], ["x", "y"])
    with pytest.raises(ValueError, match="no level of the label 'y'"):
        er.estimate(grouped, by={"x": 1})
    twice = table.assign(ward="w")
    with pytest.raises(ValueError, match='two levels of "arm"'):
        er.Counts.from_frame(twice, successes="k", total_count="n", group="ward", by="arm")
