"""The seeds of the fuzzers: a valid file of every format."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tools.trust.fuzzing.logs import make_log_cases
from tools.trust.fuzzing.targets import ROWS, SUITE, VARIANT

EXAMPLE = Path(__file__).parents[3] / "docs/example_record/run.json"
_LINES = b"".join(
    b'{"id": %d, "label": "%d", "probabilities": [0.25, 0.75]}\n' % (k, k % 2) for k in range(40)
)


def _make_parquet() -> bytes:
    numbers = list(range(40))
    table = pa.table({"id": numbers, "label": [k % 2 for k in numbers], "prediction": [0] * 40})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


SEEDS: dict[str, tuple[bytes, ...]] = {
    "suite": (SUITE,),
    "predictions": (
        b"\0" + VARIANT,
        b"\1" + _LINES,
        b"\2" + VARIANT.replace(b",", b"\t"),
        b"\3" + _make_parquet(),
    ),
    "rows": (
        b"\0" + ROWS.encode(),
        b'\1{"text": "a", "label": 1}\n{"text": "b", "label": 2}\n',
        b'\2[{"text": "a", "label": [1]}, {"text": "b", "label": [2]}]',
        b"\3a line\nanother\n",
        b"\4" + _make_parquet(),
        b"\5a\tb\nc\td\n",
    ),
    "record": (EXAMPLE.read_bytes(),),
    "logs": tuple(bytes([number]) + case.target for number, case in enumerate(make_log_cases().values())),
}
