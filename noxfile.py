#!/usr/bin/env -S uv run --script

# /// script
# dependencies = ["nox>=2025.2.9"]
# ///

"""What CI runs, a session for each part of it: `nox -l` lists them, `nox -s lint` runs one.

`.ci/run` makes the environments side by side and in fresh clones; the commands are the same, which
tests/docs/test_release.py holds.
"""

import os

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"

TORCH = ["torch==2.13.0", "pyro-ppl"]
LIVE = [
    *["tests/live", "tests/recording", "tests/cli", "tests/docs", "tests/test_architecture.py"],
    *["tests/counts", "tests/io", "tests/_format", "tests/report"],
    *["elbo_ref/recording", "elbo_ref/cli", "elbo_ref/counts"],
]
ENGINES = "dask,distributed,ibis,pyspark,xarray"


def tests(session, *arguments, **environment):
    """Run pytest on all processors, or with one browser for each."""
    parallel = ["-n", "auto", "--dist", "worksteal"]
    session.run("python", "-m", "pytest", *parallel, *arguments, env=environment)


@nox.session
def plain(session):
    """Run the default tier, without PyTorch."""
    session.install("-e", ".[test]")
    tests(session, *session.posargs)


@nox.session(default=False, python=["3.11", "3.12", "3.13", "3.14"])
def pythons(session):
    """Run the default tier with each Python that is here; CI runs it with the newest."""
    session.install("-e", ".[test]")
    tests(session, *session.posargs)


@nox.session(default=False)
def slow(session):
    """Run the thorough and the slow tier, without PyTorch."""
    session.install("-e", ".[test]")
    tests(session, "-m", "(thorough or slow) and not live", *session.posargs)


@nox.session(default=False)
def live(session):
    """Run the tests against a live Pyro, and those of what looks for PyTorch."""
    session.install(*TORCH, "-e", ".[test,frames]")
    marks = "live or not (thorough or slow)"
    tests(session, "-m", marks, *(session.posargs or LIVE), ELBO_REF_REQUIRE_LIVE="1")


@nox.session(default=False)
def browser(session):
    """Look at the pages of --report in Chromium, and at results in a notebook."""
    session.install("-e", ".[test,browser,notebook]")
    required = {"ELBO_REF_REQUIRE_BROWSER": "1", "ELBO_REF_REQUIRE_NOTEBOOK": "1"}
    session.run("python", "-m", "pytest", "-m", "", "tests/browser", "tests/notebook", env=required)


@nox.session(default=False)
def site(session):
    """Build the site and look at it; axe-core comes from npm."""
    session.install(*TORCH, "-e", ".[test,browser,docs]")
    folder, axe = os.path.join(session.create_tmp(), "site"), session.create_tmp()
    build = ["sphinx-build", "-j", "2", "-W", "--keep-going", "-q", "docs", folder]
    session.run(*build, env={"OMP_NUM_THREADS": "1"})
    npm = ["npm", "install", "--silent", "--no-save", "--prefix", axe, "axe-core@4.14.1"]
    session.run(*npm, external=True)
    required = {
        "ELBO_REF_SITE": folder,
        "ELBO_REF_AXE": os.path.join(axe, "node_modules", "axe-core", "axe.min.js"),
        "ELBO_REF_REQUIRE_BROWSER": "1",
    }
    tests(session, "-m", "", "tests/site", **required)


@nox.session(default=False)
def engines(session):
    """Count by Dask, Spark, Ibis and xarray."""
    session.install("-e", ".[test,frames,engines]")
    chosen = ["-m", "", "-k", "dask or spark or ibis or xarray"]
    files = ["tests/counts/test_engines.py", "tests/counts/test_frames.py"]
    files += ["tests/estimates/test_posterior_frame.py"]
    required = {"ELBO_REF_REQUIRE_ENGINES": ENGINES}
    session.run("python", "-m", "pytest", *chosen, *files, env=required)


@nox.session
def lint(session):
    """Check form, types and layers."""
    session.install("-e", ".[dev,plot]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("sp-repo-review", ".")


@nox.session(default=False)
def mutation(session):
    """Plant faults in the mathematics, and count those that the tests beside it notice."""
    session.install("-e", ".[test]", "cosmic-ray==8.7.0", "coverage")
    session.run("python", "-m", "pytest", "tests/test_mutants.py")
    session.run("python", "benchmarks/mutation/run.py", *session.posargs)


@nox.session(default=False)
def archive(session):
    """Run the default tier of the unpacked source archive, with the oldest NumPy and SciPy."""
    session.install("build")
    folder = session.create_tmp()
    session.run("python", "-m", "build", "--sdist", "--outdir", folder)
    packed = max(os.scandir(folder), key=lambda entry: entry.stat().st_mtime).path
    session.run("tar", "-xzf", packed, "--directory", folder, external=True)
    session.chdir(packed.removesuffix(".tar.gz"))
    session.install("-e", ".[test]", "numpy==1.26.*", "scipy==1.12.*")
    tests(session, *session.posargs)


@nox.session(default=False)
def wheel(session):
    """Build the wheel twice: the same bytes, and metadata that an index takes."""
    session.install("build", "twine", "check-wheel-contents")
    made = []
    for name in ("first", "second"):
        folder = os.path.join(session.create_tmp(), name)
        build = ["python", "-m", "build", "--wheel", "--outdir", folder]
        session.run(*build, env={"SOURCE_DATE_EPOCH": "1767225600"})
        made += [entry.path for entry in os.scandir(folder) if entry.name.endswith(".whl")]
    session.run("cmp", *made, external=True)
    session.run("twine", "check", "--strict", made[0])
    session.run("check-wheel-contents", made[0])


if __name__ == "__main__":
    nox.main()
