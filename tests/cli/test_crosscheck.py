"""``python -m elbo_ref.crosscheck``: exit codes, what is printed, what is refused."""

from __future__ import annotations

import configparser
import importlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.findings import Finding, Verdict
from places import ROOT, SCHEMA

command = importlib.import_module("elbo_ref.cli.crosscheck")

RUN = er.datasets.describe("forum").run
FORUM = RUN.params.parent
NAMES = ",".join(f"{role}={name}" for role, name in RUN.names.items())
SWAPPED = NAMES.replace("=b", "=x").replace("=a", "=b").replace("=x", "=a")
FORUM_RUN = ["--example", "forum", "--params", str(RUN.params), "--num-particles", "10"]


@pytest.fixture
def counts(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("successes,total_count\n3,10\n0,4\n3,10\n")
    return path


def params(folder, **values):
    path = folder / "params.json"
    path.write_text(json.dumps(values))
    return str(path)


def numbers(folder, name, values):
    path = folder / name
    path.write_text("loss\n" + "".join(f"{value!r}\n" for value in map(float, values)))
    return str(path)


def document(text):
    found = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def test_the_forum_run_is_genuine_and_drifts(capsys):
    assert command.main(["--example", "forum"]) == 3
    text = capsys.readouterr().out
    assert "verdict: not at an optimum. These numbers are genuine" in text
    assert "drifting" in text


@pytest.mark.thorough
def test_an_example_brings_its_own_run(capsys, tmp_path, monkeypatch):
    """From any working directory, and as if each file had been handed in."""
    monkeypatch.chdir(tmp_path)
    given = ["--losses", str(RUN.losses), "--evaluations", str(RUN.evaluations), "--names", NAMES]
    assert command.main([*FORUM_RUN, *given, "--json"]) == 3
    handed_in = capsys.readouterr().out
    assert command.main(["--example", "forum", "--json"]) == 3
    assert capsys.readouterr().out == handed_in
    assert document(handed_in)["input"]["name"] == "forum"


def test_an_example_is_only_its_counts_beside_a_run_handed_in(tmp_path, capsys):
    """Neither losses nor names of its own are taken then."""
    store = params(tmp_path, alpha=2.0, beta=3.0)
    given = ["--example", "forum", "--params", store, "--guide", "tied", "--json"]
    assert command.main(given) == 3
    (verdict,) = document(capsys.readouterr().out)["verdicts"]
    assert not [x for x in verdict["findings"] if x["name"] == "losses"]


@pytest.mark.thorough
def test_the_run_of_an_example_needs_neither_pyro_nor_pytorch():
    """Nor are they imported where they are there."""
    program = (
        "import runpy, sys\n"
        "sys.argv[1:] = ['--example', 'forum']\n"
        "try:\n"
        "    runpy.run_module('elbo_ref.crosscheck', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    print('exit', end.code, {'torch', 'pyro', 'matplotlib'} & set(sys.modules))\n"
    )
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=FORUM.anchor,
        env=os.environ | path,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "exit 3 set()"


def test_everything_that_is_no_module_is_package_data():
    """What the wheel would otherwise leave behind."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set()
    for package, patterns in setup["options.package_data"].items():
        for pattern in re.split(r"[,\s]+", patterns):
            listed.update(ROOT.joinpath(*package.split(".")).glob(pattern))
    files = {path for path in (ROOT / "elbo_ref").rglob("*") if path.is_file()}
    assert RUN.params in listed
    assert {x for x in files if x.suffix not in (".py", ".pyc")} == listed


def test_the_examples_are_listed(capsys):
    assert command.main(["--example", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(er.datasets.available())


@pytest.mark.thorough
def test_the_questions_own_names_are_a_swap(capsys):
    """`a` is its concentration0: who takes it for concentration1 is told."""
    assert command.main(["--example", "forum", "--names", SWAPPED, "--json"]) == 4
    (verdict,) = document(capsys.readouterr().out)["verdicts"]
    assert verdict["mistakes"] == ["swapped_concentrations"]


def test_an_exact_posterior_under_a_fixed_prior_agrees(counts, tmp_path, capsys):
    """Equal rows stay apart and in order, as the parameters of the guide are."""
    store = params(tmp_path, alpha_q=[5.0, 2.0, 5.0], beta_q=[10.0, 7.0, 10.0])
    data = er.Counts([3, 0, 3], [10, 4, 10])
    value = -er.log_evidence(er.Beta(2.0, 3.0), data)
    losses = numbers(tmp_path, "evaluations.txt", [value] * 3)
    given = [str(counts), "--params", store, "--evaluations", losses, "--fix-prior", "2,3"]
    assert command.main(given) == 0
    text = capsys.readouterr().out
    assert "alpha_q was taken for guide.concentration1" in text
    assert "verdict: agrees" in text


def test_parameters_alone_are_too_little_where_no_maximum_is_known(counts, tmp_path, capsys):
    counts.write_text("successes,total_count\n0,10\n9,10\n4,8\n")
    store = params(tmp_path, alpha=2.0, beta=3.0)
    given = [str(counts), "--params", store, "--guide", "tied", "--loss", "renyi"]
    assert command.main(given) == 5
    assert "too little to tell" in capsys.readouterr().out


def test_exit_codes_by_weight():
    def verdict(*statuses):
        return Verdict(
            "x", tuple(Finding("wrong_sign", "q", 1.0, 2.0, 3.0, "", s) for s in statuses)
        )

    assert verdict().exit_code == 5
    assert verdict("untested", "note").exit_code == 5
    assert verdict("agrees", "untested").exit_code == 0
    assert verdict("agrees", "optimum").exit_code == 3
    assert verdict("optimum", "mistake", "agrees").exit_code == 4


@pytest.mark.thorough
def test_a_verdict_is_a_document():
    verdict = er.cross_check(
        er.Counts(3, 10),
        {"prior.concentration1": 1.0, "prior.concentration0": 1.0, "alpha_q": 4.0, "beta_q": 8.0},
        evaluations=[-2.397895, -2.397895],
    )
    found = document(verdict.to_json())
    assert found["exact"]["gap"] == 0.0
    assert found["exit_code"] == verdict.exit_code == 4
    assert verdict.to_json() == verdict.to_json()


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["counts.csv"], 2, "give --params FILE, or --recording FILE, or --live"),
        (["--example", "saxony"], 2, "--example saxony has counts and no run: add --params FILE"),
        (["--example", "saxony", "--json"], 2, "(a run of its own has forum)"),
        (["--example", "forum", "--losses", str(RUN.losses)], 2, "give --params FILE"),
        (["--example", "forum", "--num-steps", "5"], 2, "--num-steps goes with --live"),
        (
            FORUM_RUN,
            2,
            "--names does not say which parameter is prior.concentration1; the store has",
        ),
        ([*FORUM_RUN, "--names", "prior.concentration1"], 2, "is not ROLE=NAME"),
        (
            [*FORUM_RUN, "--names", NAMES.replace("=b0", "=z")],
            2,
            "--names: there is no parameter 'z'",
        ),
        (
            [*FORUM_RUN, "--names", "b0=prior.concentration1,a0=prior.concentration0"],
            2,
            "--names: b0=prior.concentration1 is the wrong way round: the role comes first, as in "
            "prior.concentration1=b0",
        ),
        (
            [*FORUM_RUN, "--names", NAMES, "--fix-prior", "3,9"],
            2,
            "stand beside a prior that is held: if the prior was learned leave out prior= "
            "(--fix-prior), and these if it was held",
        ),
        (
            [*FORUM_RUN, "--recording", "run.npz"],
            2,
            "give --params FILE, the numbers of a run, or --recording FILE, a run whose every step "
            "is noted and needs no parameters or losses beside it: one of the two",
        ),
        ([*FORUM_RUN, "--losses-column", "a"], 2, "--losses-column goes with --losses FILE"),
        ([*FORUM_RUN, "--names", NAMES + ",guide.loc=a"], 2, "is none of the roles"),
        ([*FORUM_RUN, "--names", NAMES, "--num-particles", "0"], 2, "num_particles = 0 must be"),
        ([*FORUM_RUN, "--names", NAMES, "--lr", "0"], 2, "lr = 0.0 must be positive"),
        (["--example", "forum", "--live", "--lr", "0"], 2, "lr = 0.0 must be positive"),
        (["--example", "forum", "--live", "--num-particles", "0"], 2, "num_particles = 0 must be"),
        ([*FORUM_RUN, "--num-steps", "5"], 2, "--num-steps goes with --live, not with --params"),
        (
            ["--example", "forum", "--recording", "run.npz", "--dtype", "float32"],
            2,
            "--dtype goes with --params or --live, not with --recording",
        ),
        (
            [*FORUM_RUN, "--losses", str(RUN.params)],
            65,
            "store.pt: the file is a parameter store, or what else torch.save wrote",
        ),
        ([*FORUM_RUN, "--losses", str(FORUM / "nothing")], 66, "nothing: No such file"),
        (["--example", "forum", "--params", str(RUN.losses)], 65, "losses.txt"),
    ],
)
def test_what_is_refused(given, code, words, capsys):
    try:
        found = command.main(given)
    except SystemExit as error:
        found = error.code
    captured = capsys.readouterr()
    assert found == code
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_losses_of_two_columns(counts, tmp_path, capsys):
    """Neither is taken before it is said which, by the option of that file."""
    store = params(tmp_path, a=4.0, b=8.0)
    path = tmp_path / "log.csv"
    path.write_text("epoch,train_loss,val_loss\n0,9.5,7\n1,9.25,7\n")
    given = [str(counts), "--params", store, "--guide", "tied", "--evaluations", str(path)]
    assert command.main(given) == 65
    assert capsys.readouterr().err.endswith("; to say which, add --evaluations-column train_loss\n")
    for column, value in (("train_loss", 9.375), ("val_loss", 7.0)):
        command.main([*given, "--evaluations-column", column, "--json"])
        found = document(capsys.readouterr().out)["verdicts"][0]["findings"]
        assert value in {x["theirs"] for x in found}


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ([], "add --successes COLUMN --total-count COLUMN"),
        (["--successes", "a"], "add --total-count COLUMN"),
        (["--successes", "a", "--total-count", "m"], 'its columns are "a", "b"'),
    ],
)
def test_columns_that_are_called_otherwise(options, hint, tmp_path, capsys):
    """The options that name them are named, unless both were given."""
    path = tmp_path / "counts.csv"
    path.write_text("a,b\n3,10\n")
    assert command.main([str(path), *options, "--params", str(RUN.params)]) == 65
    assert capsys.readouterr().err.endswith(f"{hint}\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"losses": np.ones((3, 2))}, "losses has shape"),
        ({"losses": [1.0, 1e300, 2.0]}, "loss 1 is 1e+300"),
        ({"guide": "full"}, "is not one of"),
        ({"num_particles": 0}, "num_particles"),
        ({"dtype": "float16"}, "neither 'float32' nor 'float64'"),
        ({"subsample_size": 3}, "exceeds the 1"),
        ({"params": {"a": np.ones((3, 4)), "b": 1.0}}, "a (prior.concentration1) has shape (3, 4)"),
        ({"names": {"prior.concentration1": "a"}}, "does not say which parameter is prior.conc"),
        ({"framework": "stan"}, "is not one of 'pyro', 'numpyro'"),
    ],
)
def test_bad_arguments(change, words):
    given = {"params": {"a": [1.0, 1.1, 1.2], "b": [1.0, 1.0, 1.0]}, "guide": "empty"}
    given["names"] = {"prior.concentration1": "a", "prior.concentration0": "b"}
    given |= change
    with pytest.raises(ValueError) as caught:
        er.cross_check(er.Counts(1, 1), given.pop("params"), **given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
