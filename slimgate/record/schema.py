"""Makes the JSON Schema of run.json."""

from __future__ import annotations

from typing import Any

from slimgate.record.run import SCHEMA, RunRecord
from slimgate.suite.schema import DIALECT, SITE

# run-2.schema.json for the record "slimgate.run/2": a record of another number has a schema of its own.
RUN_SCHEMA = f"{SCHEMA.removeprefix('slimgate.').replace('/', '-')}.schema.json"


def make_run_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a run's record, as it is written: what was not measured is null."""
    schema = RunRecord.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": DIALECT, "$id": SITE + RUN_SCHEMA} | schema | {"title": "A run.json of slimgate"}
