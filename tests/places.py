"""Where the files are that tests read, and the schema of the package's documents."""

import json
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "tests" / "reference"
SCHEMA_TEXT = resources.files("elbo_ref").joinpath("schema.json").read_text()
SCHEMA = json.loads(SCHEMA_TEXT)
