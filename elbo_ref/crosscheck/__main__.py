"""``python -m elbo_ref.crosscheck``: a verdict on somebody's Pyro run."""

from elbo_ref.cli.crosscheck import main

if __name__ == "__main__":
    raise SystemExit(main())
