"""``python -m elbo_ref.fit``: the command, from arguments to text, exit codes and streams.

Most runs call `fit.main`; a few are real processes. Every number of the table is computed again
through the Python API and compared to the digits printed; sentences are held by their numbers and
key words.
"""

import csv
import html
import json
import re
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator
from scipy import stats

import elbo_ref as er
from places import ROOT
from tiers import few

OPTIONS = (
    "example",
    "shared",
    "group",
    "guide",
    "loss",
    "lr",
    "num-steps",
    "num-particles",
    "seed",
    "help",
)


@pytest.fixture
def answer(command):
    """The output of a run that must succeed in silence."""

    def run(*arguments):
        code, out, err = command(*arguments)
        assert (code, err) == (0, ""), err
        return out

    return run


def process(*arguments, flags=()):
    return subprocess.run(
        [sys.executable, *flags, "-m", "elbo_ref.fit", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def mentions(text, number, word):
    """Whether the first lines say "3 latents", or "latents 3"."""
    head = text.split("\n\n", 1)[0]
    either = rf"(?<![\w.]){number} {word}s?\b|\b{word}s?:? {number}(?![\w.])"
    return re.search(either, head) is not None


def table(text):
    """The header's cells, and {guide: cells} of the table."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("guide "))
    rows = []
    for line in lines[start:]:
        if not line:
            break
        rows.append(re.split(r"  +", line.strip()))
    header, exact, *body = rows
    assert all(len(row) == len(header) for row in body), text
    assert exact[0] == "exact", text
    return header, {row[0]: row[1:] for row in body}


def sentences(text):
    """{guide or topic: its sentence}, unwrapped."""
    joined = re.sub(r"\n +", " ", text)
    return dict(re.findall(r"^(\w+): (.+)$", joined.split("\n", 1)[1], re.MULTILINE))


def recomputed(counts, guide, **settings):
    """What the table should say, as text: the run and its oracle, through the Python API."""
    defaults = {"loss": "trace", "num_steps": 100, "num_particles": 10, "rng": 0}
    run = er.maximize_elbo(
        counts, guide=guide, optimizer=er.Adam(lr=settings.pop("lr", 0.1)), **(defaults | settings)
    )
    prior, particles = run.prior, (defaults | settings)["num_particles"]
    evidence = er.log_evidence(prior, counts)
    if guide == "empty":
        objective, gap, std = er.empty_guide_objective(prior, counts), None, run.step_std
    else:
        objective = er.elbo(run.guide, prior, counts)
        gap = evidence - objective
        std = (er.elbo_variance(run.guide, prior, counts) / particles) ** 0.5
    return [prior.concentration1, prior.concentration0, objective, evidence, gap, std]


def assert_row(cells, values):
    """Each cell is its value to the five significant digits printed."""
    assert len(cells) == len(values)
    for cell, value in zip(cells, values, strict=True):
        if value is None:
            assert cell == "-"
        else:
            assert float(cell) == pytest.approx(value, rel=5.1e-5), (cells, values)
            assert float(cell) == pytest.approx(float(f"{value:.5g}"), rel=1.1e-4)


# -- the exact answer --------------------------------------------------------------------------


@pytest.mark.parametrize("name", few(["rat_tumors", "colds_father"]))
def test_the_exact_answer_stands_first(answer, name):
    text = answer("--example", name, "--num-steps", 5)
    highest = er.maximize_evidence(er.datasets.load(name))
    row = next(line.split() for line in text.splitlines() if line.startswith("exact"))
    prior = highest.prior
    a, b = (prior.concentration1, prior.concentration0) if prior else (None, None)
    assert_row(row[1:], [a, b, None, highest.log_evidence, None, None])
    assert text.index("conclusion") < text.index("exact")


def test_a_held_prior_says_where_the_guide_ended(answer, tmp_path):
    output = tmp_path / "guide.csv"
    arguments = "--example", "coin", "--fix-prior", "10,10", "--num-steps", 300
    text = answer(*arguments, "--output", output)
    assert "under the prior held, Beta(10, 10)" in text
    run = er.maximize_elbo(
        er.datasets.load("coin"),
        guide="beta",
        prior=er.Beta(10.0, 10.0),
        learn_prior=False,
        optimizer=er.Adam(lr=0.1),
        num_steps=300,
        num_particles=10,
        rng=0,
    )
    (mean,), (low, high) = run.guide.mean, run.guide.interval(0.95)
    row = next(line.split() for line in text.splitlines() if line.lstrip().startswith("0 "))
    assert_row(row[3:], [16 / 30, *er.Beta(16.0, 14.0).interval(0.95), mean, low[0], high[0]])
    header, line = (x.split(",") for x in output.read_text().splitlines())
    found = dict(zip(header, line, strict=True))
    assert float(found["guide_mean"]) == mean and float(found["mean"]) == 16 / 30
    assert float(found["guide_lower"]) == low[0] and float(found["guide_upper"]) == high[0]


def test_the_exact_answer_with_the_mean_held(answer, command):
    text = answer("--example", "rat_tumors", "--exact", "--hold", "mean=0.2")
    highest = er.maximize_evidence(er.datasets.load("rat_tumors"), {"mean": 0.2})
    assert f"{highest.log_evidence:.5g}" in text and f"{highest.prior.concentration1:.5g}" in text
    for arguments, words in (
        (("--exact", "--hold", "mean"), "not NAME=VALUE"),
        (("--exact", "--hold", "middle=3"), "--hold: 'middle' is none of concentration1"),
        (("--exact", "--hold", "mean=2"), "--hold: mean = 2.0 must lie strictly between 0 and 1"),
        (("--exact", "--hold", "concentration=-1"), "--hold: concentration = -1.0 must lie in"),
        (("--exact", "--hold", "mean=0.2", "--hold", "concentration=3"), "and is given twice"),
        (("--hold", "mean=0.3"), "--hold is for --exact"),
    ):
        code, out, err = command("--example", "rat_tumors", *arguments)
        assert (code, out) == (2, "") and words in err, err


def test_another_optimizer(answer, command):
    text = answer("--example", "coin", "--guide", "beta", "--lrd", "0.99", "--lr", "0.05")
    assert "ClippedAdam lr 0.05 lrd 0.99" in text
    assert text == answer(
        *("--example", "coin", "--guide", "beta", "--lr", "0.05", "--lrd", "0.99"),
        *("--optimizer", "ClippedAdam"),
    )
    code, _, err = command("--example", "coin", "--optimizer", "adam", "--lrd", "0.9")
    assert code == 2 and "--lrd goes with --optimizer ClippedAdam" in err


# -- the forum question --------------------------------------------------------------------------


def test_forum(answer):
    text = answer("--example", "forum")
    lines = text.splitlines()
    assert 10 <= len([line for line in lines if line]) <= 18
    assert max(map(len, lines)) <= 120
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "0 of 5000 trials" in text
    for number, word in ((1, "latent"), (10, "particle"), (0.1, "lr")):
        assert mentions(text, number, word), text
    header, rows = table(text)
    assert header[:3] == ["guide", "concentration1 (b0)", "concentration0 (a0)"]
    assert list(rows) == ["beta", "empty", "tied"]
    counts = er.datasets.load("forum")
    for guide, cells in rows.items():
        assert_row(cells, recomputed(counts, guide))


def test_forum_sentences(answer):
    said = sentences(answer("--example", "forum"))
    assert list(said) == ["conclusion", "beta", "empty", "tied", "noise"]
    for word in ("an ELBO", "far from converged", "supremum 0"):
        assert word in said["beta"]
    for word in ("not an ELBO", "unbounded", "step 141", "supremum 0"):
        assert word in said["empty"]
    for word in ("classical MLE", "supremum 0", "limit", "far from converged"):
        assert word in said["tied"]
    for word in ("a step's loss", "standard deviation", "seeds differ more than guides"):
        assert word in said["noise"]
    for word in ("supremum 0", "never attained", "no MLE", "all three"):
        assert word in said["conclusion"]


@pytest.mark.thorough
def test_seeds(answer):
    """Another seed gives other numbers, the same seed the same bytes."""
    texts = [answer("--example", "coin", "--seed", seed) for seed in (7, 8, 7)]
    assert texts[0] == texts[2]
    rows = [table(text)[1] for text in texts]
    assert all(rows[0][guide] != rows[1][guide] for guide in rows[0])
    assert answer("--example", "coin") == answer("--example", "coin", "--seed", 0)


def test_noise_is_compared_with_the_spread(answer):
    """On rat_tumors the guides differ by more than a loss fluctuates."""
    said = sentences(answer("--example", "rat_tumors", "--num-steps", 30))
    assert "standard deviation" in said["noise"]
    assert "seeds differ more than guides" not in said["noise"]


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize("guide", few(["beta", "empty", "tied"]))
def test_one_guide(answer, guide):
    text = answer("--example", "forum", "--guide", guide)
    _, rows = table(text)
    assert list(rows) == [guide]
    assert rows == {guide: table(answer("--example", "forum"))[1][guide]}
    assert list(sentences(text)) == ["conclusion", guide, "noise"]
    assert "all three" not in text
    assert "seeds differ" not in text


def test_settings(answer):
    settings = ["--lr", "0.02", "--num-steps", "37", "--num-particles", "3", "--seed", "5"]
    text = answer("--example", "litters_treated", *settings)
    for number, word in ((16, "latent"), (3, "particle"), (0.02, "lr")):
        assert mentions(text, number, word), text
    counts = er.datasets.load("litters_treated")
    for guide, cells in table(text)[1].items():
        assert_row(cells, recomputed(counts, guide, lr=0.02, num_steps=37, num_particles=3, rng=5))


def test_exact(answer):
    """No seed, no particles, no noise."""
    arguments = ["--example", "coin", "--loss", "exact", "--num-steps", "50"]
    text = answer(*arguments)
    assert text == answer(*arguments, "--seed", 9)
    assert "exact" in text
    assert "particles" not in text
    assert "noise" not in sentences(text)
    counts = er.datasets.load("coin")
    for guide, cells in table(text)[1].items():
        assert_row(cells, recomputed(counts, guide, loss="exact", num_steps=50))


@pytest.mark.thorough
def test_a_run_that_arrives(answer):
    text = answer(
        "--example", "rat_tumors", "--loss", "exact", "--num-steps", 2500, "--guide", "beta"
    )
    said = sentences(text)
    assert "converged" in said["beta"]
    assert "not converged" not in said["beta"]
    assert "far from" not in said["beta"]
    assert "Beta(2.3416, 14.115)" in said["beta"]
    assert "MLE" in said["conclusion"]
    assert "never attained" not in text
    _, rows = table(text)
    assert rows["beta"][:4] == ["2.3416", "14.115", "-156.57", "-156.57"]


def test_a_run_that_ends_early(answer):
    """The exact path of the empty guide leaves [1e-12, 1e15] before step 1000."""
    arguments = ["--example", "forum", "--loss", "exact", "--num-steps", 1000]
    said = sentences(answer(*arguments))
    counts = er.datasets.load("forum")
    run = er.maximize_elbo(
        counts, guide="empty", loss="exact", optimizer=er.Adam(lr=0.1), num_steps=1000
    )
    assert run.stopped == "unbounded"
    assert f"step {len(run.losses)}" in said["empty"]
    assert "1e-12" in said["empty"]
    assert "1e-12" not in said["beta"] + said["tied"]


@pytest.mark.parametrize("name", er.datasets.available())
def test_every_example_runs(answer, name):
    text = answer("--example", name, "--num-steps", 3, "--loss", "exact", "--guide", "beta")
    data = er.datasets.describe(name)
    assert text.startswith(f"{name}: {data.title}\n")
    assert mentions(text, data.counts.num_latents, "latent")
    header, rows = table(text)
    assert ("(" in "".join(header)) == bool(data.names)
    assert list(rows) == ["beta"]
    assert "nan" not in text
    assert "None" not in text


# -- files -------------------------------------------------------------------------------------

WARDS = "ward,successes,total_count\na,3,10\nb,0,4\na,1,5\n"


def test_file(answer, write):
    """One latent per row, titled with the file, without the forum's names."""
    path = write(WARDS)
    text = answer(path)
    assert text.splitlines()[0] == str(path)
    assert "4 of 19 trials" in text
    assert mentions(text, 3, "latent")
    header, rows = table(text)
    assert header[1:3] == ["concentration1", "concentration0"]
    for guide, cells in rows.items():
        assert_row(cells, recomputed(er.Counts([3, 0, 1], [10, 4, 5]), guide))


def test_shared(answer, write):
    text = answer(write(WARDS), "--shared", "--num-steps", 20)
    assert "4 of 19 trials" in text
    assert mentions(text, 1, "latent")
    for guide, cells in table(text)[1].items():
        counts = er.Counts.shared([3, 0, 1], [10, 4, 5])
        assert_row(cells, recomputed(counts, guide, num_steps=20))


def test_group(answer, write):
    text = answer(write(WARDS), "--group", "ward", "--num-steps", 20)
    assert mentions(text, 2, "latent")
    counts = er.Counts.grouped([3, 0, 1], [10, 4, 5], ["a", "b", "a"])
    for guide, cells in table(text)[1].items():
        assert_row(cells, recomputed(counts, guide, num_steps=20))


def test_multiplicity(answer, write):
    path = write("successes,total_count,multiplicity\n0,2,40\n1,2,30\n2,2,50\n")
    text = answer(path, "--num-steps", 5)
    assert "130 of 240 trials" in text
    assert mentions(text, 120, "latent")
    assert "Beta(0.5493, 0.46479)" in sentences(text)["conclusion"]


@pytest.mark.thorough
def test_other_data_other_sentences(answer, write):
    """Every kind of answer, from data that differ in a few rows."""
    header = "successes,total_count\n"
    said = {}
    for kind, rows in {
        "degenerate": "0,4\n0,7\n",
        "full": "4,4\n7,7\n",
        "all or none": "0,2\n2,2\n",
        "single": "1,1\n0,1\n1,1\n",
        "binomial": "3,10\n4,10\n",
        "interior": "0,10\n9,10\n5,10\n",
    }.items():
        said[kind] = sentences(answer(write(header + rows), "--num-steps", 10))
    for topic in ("beta", "tied"):
        assert len({topics[topic] for topics in said.values()}) == len(said), topic
    for topic in ("empty", "conclusion"):  # where the supremum is 0 at either end, they agree
        texts = {topics[topic] for kind, topics in said.items() if kind != "full"}
        assert len(texts) == len(said) - 1, topic
    never = {kind for kind, topics in said.items() if "never attained" in topics["conclusion"]}
    assert never == {"degenerate", "full", "all or none", "binomial"}


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "successes,total_count\n", "successes,total_count\n1,2\n3,x\n", "a,b\n1,2\n", "\x00\n"],
)
def test_a_bad_file(command, write, text):
    path = write(text)
    code, out, err = command(path)
    assert code == 65
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.endswith("\n")
    assert str(path) in err
    assert "Traceback" not in err


def test_a_bad_cell_is_named(command, write):
    _, _, err = command(write("successes,total_count\n1,2\n3,x\n"))
    for part in ("line 3", "total_count", "'x'", "whole number"):
        assert part in err


@pytest.mark.parametrize("name", ["missing.csv", "no/such/folder.csv", "."])
def test_no_input(command, tmp_path, name):
    path = tmp_path / name
    code, out, err = command(path)
    assert (code, out) == (66, "")
    assert len(err.splitlines()) == 1
    assert str(path) in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["counts.csv", "--example", "coin"],
        ["--example", "no_such_data"],
        ["--example"],
        ["--example", "coin", "--shared"],
        ["--example", "coin", "--group", "ward"],
        ["counts.csv", "--shared", "--group", "ward"],
        ["--example", "coin", "--guide", "gamma"],
        ["--example", "coin", "--guide", "empty", "--loss", "trace_mean_field"],
        ["--example", "coin", "--learn", "concentration1", "--fix-prior", "1,1"],
        ["--example", "coin", "--loss", "elbo"],
        ["--example", "coin", "--lr", "fast"],
        ["--example", "coin", "--lr", "-1"],
        ["--example", "coin", "--lr", "nan"],
        ["--example", "coin", "--num-steps", "0"],
        ["--example", "coin", "--num-steps", "1.5"],
        ["--example", "coin", "--num-particles", "0"],
        ["--example", "coin", "--num-particles", "100000000"],
        ["--example", "coin", "--seed", "-1"],
        ["--example", "coin", "--no-such-option"],
        ["one.csv", "two.csv"],
    ],
    ids=" ".join,
)
def test_bad_usage(command, arguments):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("python -m elbo_ref.fit: error: ")
    assert err.count("\n") == 1


# -- without a run -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", few(sorted(er.datasets.available()), 2))
def test_exact_prints_the_evidence_maximum(answer, name):
    out = answer("--example", name, "--exact")
    maximum = er.maximize_evidence(er.datasets.load(name))
    title, rest = out.split("\n", 1)
    assert title.startswith(f"{name}: ")
    assert rest == maximum.summary() + "\n"
    assert f"\n{maximum.kind}: " in out


def test_estimates_print_the_table(answer, write):
    path = write("successes,total_count\n3,10\n")
    out = answer(path, "--estimates", "--fix-prior", "2,3")
    table = er.estimate_table(er.Counts(3, 10), er.Beta(2, 3))
    assert out.split("\n", 1)[1] == table.summary() + "\n"
    assert "guide empty      concentration1  Beta(1.628, 3)" in out


@pytest.mark.parametrize("which", few(["--estimates", "--exact"]))
def test_what_needs_no_run_is_written_in_every_form(answer, tmp_path, which):
    """The CSV is the table of the result, the page has its picture, and both come again."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    counts = er.datasets.load("colds_father")
    exact = which == "--exact"
    table = er.maximize_evidence(counts) if exact else er.estimate_table(counts)
    places = [tmp_path / f"x{end}" for end in (".csv", ".pdf", ".html")]
    options = zip(("--output", "--plot", "--report"), places, strict=True)
    arguments = ["--example", "colds_father", which, *(x for pair in options for x in pair)]
    assert answer(*arguments).endswith(table.summary() + "\n")
    first = [place.read_bytes() for place in places]
    assert first[0].decode() == table.to_csv() and first[1].startswith(b"%PDF")
    assert b"<svg role" in first[2] and html.escape(table.table().caption).encode() in first[2]
    answer(*arguments, "--force")
    again = [place.read_bytes() for place in places]
    assert again[:2] == first[:2]


ARMS = "ward,arm,successes,total_count\n" + "".join(
    f"{ward},{arm},{k},10\n"
    for ward, arm, k in zip(
        "abcdefgh", ["old"] * 4 + ["new"] * 4, [1, 2, 0, 3, 7, 9, 6, 8], strict=True
    )
)


@pytest.mark.thorough
def test_one_maximum_for_each_level(answer, write, tmp_path):
    """Each is that of its rows alone; the test is that of `estimate`."""
    path, target = write(ARMS), tmp_path / "maxima.csv"
    body = json.loads(answer(path, "--exact", "--by", "arm", "--json", "--output", target))
    schema = json.loads((ROOT / "elbo_ref" / "schema.json").read_text())
    Draft202012Validator(schema).validate(body)
    rows = list(csv.DictReader(target.read_text().splitlines()))
    parts = {"old": [1, 2, 0, 3], "new": [7, 9, 6, 8]}
    assert [x["group"] for x in rows] == list(parts)
    for row, found in zip(rows, body["groups"], strict=True):
        alone = er.maximize_evidence(er.Counts(parts[row["group"]], 10))
        assert float(row["log_evidence"]) == found["maximum"]["log_evidence"] == alone.log_evidence
        low, high = alone.confidence_interval("mean")
        assert (float(row["mean_lower"]), float(row["mean_upper"])) == (low, high)
    counts = er.Counts([1, 2, 0, 3, 7, 9, 6, 8], 10)
    by = [*"aaaabbbb"]
    assert body["test"]["pvalue"] == pytest.approx(er.estimate(counts, by=by).test.pvalue)


def test_a_parameter_held_at_each_level(answer, write):
    """What is held costs a degree of freedom at each level."""
    arguments = write(ARMS), "--exact", "--by", "arm", "--hold", "concentration=20", "--json"
    body = json.loads(answer(*arguments))
    heights = [x["maximum"]["log_evidence"] for x in body["groups"]]
    statistic = 2 * (sum(heights) - body["together"]["log_evidence"])
    assert body["test"]["statistic"] == pytest.approx(statistic)
    assert body["test"]["pvalue"] == pytest.approx(stats.chi2.sf(statistic, 1))
    assert all(x["maximum"]["fixed"] == {"concentration": 20.0} for x in body["groups"])


@pytest.mark.parametrize("which", ["--exact", "--estimates"])
def test_what_needs_no_run_is_written_as_a_document(answer, write, tmp_path, which):
    path = write("successes,total_count\n3,10\n7,9\n")
    target = tmp_path / "answer.json"
    out = answer(path, which, "--json", "--output", target)
    assert target.read_text() == out
    document = json.loads(out)
    assert document["counts"]["successes"] == [3, 7]
    assert document["input"]["rows"] == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--exact", "--seed", "3"), "--seed is for a fit, not for --exact"),
        (("--exact", "--init-prior", "2,3"), "--init-prior is for a fit, not for --exact"),
        (("--estimates", "--guide", "beta"), "--guide is for a fit, not for --estimates"),
        (("--estimates", "--require-converged"), "--require-converged is for a fit"),
        (("--estimates", "--init-prior", "1e-13,1"), "prior: concentration1 = 1e-13 must lie in"),
        (("--exact", "--checkpoint", "x.npz"), "--checkpoint is for a fit"),
        (("--by", "arm"), "--by is for --exact; elbo-ref estimate takes it, too"),
        (("--exact", "--plot", "x.gif"), "must end in .png or .svg or .pdf"),
        (("--exact", "--estimates"), "not allowed with argument"),
    ],
)
def test_what_belongs_to_a_run_is_refused_without_one(command, arguments, text):
    code, out, err = command("--example", "coin", *arguments)
    assert (code, out) == (2, "")
    assert text in err


def test_help(command):
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    for option in OPTIONS:
        assert re.search(rf"(?<!\S)--{option}\b", out), option
    words = re.split(r"[\s,]+", out)
    for name in er.datasets.available():
        assert name in words, name
    for word in ("beta", "empty", "tied", "all", "trace", "exact", "successes,total_count"):
        assert word in out


# -- real processes ----------------------------------------------------------------------------


@pytest.mark.thorough
def test_process_warns_of_nothing(answer):
    """Also not of a module that was imported before it is run."""
    done = process("--example", "coin", flags=["-W", "error"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == answer("--example", "coin")


@pytest.mark.thorough
def test_process_same_bytes(answer):
    done = process("--example", "forum")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == answer("--example", "forum")


@pytest.mark.thorough
def test_process_exit_codes(write):
    bad = process(write("successes,total_count\n5,2\n"))
    assert (bad.returncode, bad.stdout) == (65, "")
    assert len(bad.stderr.splitlines()) == 1
    assert "line 2" in bad.stderr
    missing = process("no_such_file.csv")
    assert (missing.returncode, missing.stdout) == (66, "")
    assert "no_such_file.csv" in missing.stderr
