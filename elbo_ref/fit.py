"""``python -m elbo_ref.fit``: what SVI does to the model-side parameters."""

from elbo_ref.cli.fit import main

if __name__ == "__main__":
    raise SystemExit(main())
