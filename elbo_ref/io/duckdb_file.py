"""Counts from files that DuckDB reads: Parquet, and CSV or JSON that zstd has packed.

DuckDB runs inside this process and is locked up first: it may read one file and nothing else, not
the network either, loads no extension, writes nothing, and has a bound on its memory. Then the
settings are locked, too.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

from elbo_ref._validation.advice import AdvisedError
from elbo_ref._validation.extras import need
from elbo_ref.counts import Counts
from elbo_ref.counts.frames import histogram, opened, tallied
from elbo_ref.io.errors import DataError
from elbo_ref.io.layout import Layout
from elbo_ref.io.totals import Contents, apart

Kind: TypeAlias = Literal["parquet", "csv.zst", "json.zst"]

MEMORY = "1GB"
"""The most that DuckDB takes."""

_BEGINNINGS: dict[bytes, Kind] = {b"PAR1": "parquet", b"\x28\xb5\x2f\xfd": "csv.zst"}
_SETTINGS = {
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": MEMORY,
    "python_enable_replacements": "false",
    "temp_directory": "",
}
_PATTERN = "*?["
_JSON = {".json", ".jsonl", ".ndjson"}
"""Endings, before that of zstd, of names of files that hold JSON."""


def kind(first: bytes, path: str | Path | IO[Any]) -> Kind | None:
    """Tell what DuckDB is needed for, by the first bytes and the name; None for another file."""
    found = next((name for mark, name in _BEGINNINGS.items() if first.startswith(mark)), None)
    endings = Path(path).suffixes if isinstance(path, str | Path) else []
    json = not _JSON.isdisjoint(x.lower() for x in endings)
    return "json.zst" if found == "csv.zst" and json else found


def read(
    path: str | Path | IO[Any], blocks: Iterable[bytes], kind: Kind, layout: Layout
) -> Contents:
    """Count the rows of a file; `blocks` are its bytes, all of which are read.

    Raises
    ------
    DataError
        If it is damaged, or no table of counts.
    ImportError
        Without DuckDB.
    """
    duckdb = need("duckdb", f"a file of {kind}")
    need("pyarrow", f"a file of {kind}")
    if layout.in_order or layout.columns is not None:
        option = "columns" if layout.columns is not None else "the order of rows"
        raise DataError(f"{option} cannot be had of a {kind} file; write it as csv")
    with _named(path, blocks, kind) as file:
        try:
            with locked_up(duckdb, file) as connection:
                if kind == "parquet":
                    return _contents(connection.read_parquet(file), layout)
                packed = connection.read_json if kind == "json.zst" else connection.read_csv
                return _contents(packed(file, compression="zstd"), layout)
        except duckdb.Error as error:
            raise DataError(f"DuckDB cannot read it: {str(error).splitlines()[0]:.200}") from None


@contextmanager
def locked_up(duckdb: Any, file: str) -> Iterator[Any]:
    """Connect to a DuckDB that can read this file and nothing else."""
    connection = duckdb.connect(":memory:", config=_SETTINGS)
    try:
        literal = file.replace("'", "''")
        connection.execute(f"SET allowed_paths = ['{literal}']")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _contents(relation: Any, layout: Layout) -> Contents:
    frame = opened(relation)
    resolved = layout.of(frame.collect_schema().names(), "the file")
    try:
        found = histogram(tallied(frame, resolved.named()), resolved.named(), layout.na)
    except AdvisedError as error:
        raise DataError.of(error) from None
    counts, by = Counts(found.successes, found.total_count, found.multiplicity), None
    if layout.shared or layout.group is not None:
        counts, by = apart(counts.pooled(found.labels), layout)
    elif layout.by is not None:
        by = found.labels
    return Contents(counts, found.rows, found.dropped, resolved.guess, by)


@contextmanager
def _named(path: str | Path | IO[Any], blocks: Iterable[bytes], kind: Kind) -> Iterator[str]:
    """Give the path of a file, or of a copy of what has none that DuckDB takes literally."""
    if isinstance(path, str | Path) and os.path.isfile(path):
        real = os.path.realpath(path)
        if not any(sign in real for sign in _PATTERN):
            yield real
            for _ in blocks:  # to the end, for the digest
                pass
            return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, f"counts.{kind}")
        with open(copy, "wb") as file:
            for block in blocks:
                file.write(block)
        yield os.path.realpath(copy)
