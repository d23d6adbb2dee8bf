"""``python -m elbo_ref``, the same as ``elbo-ref``: the commands estimate, fit and check."""

from elbo_ref.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
