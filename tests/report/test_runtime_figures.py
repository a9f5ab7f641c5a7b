"""What stands beside a runtime in the record and its report: its options, and what compiling took."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from support.report_sections import format_all_sections, split_row
from support.sample_record import make_artifact, make_record_of, make_variant

from slimgate.record.run import RunRecord
from slimgate.run.model_handle import ModelHandle


def record_with(**fields: Any) -> RunRecord:
    compiled = make_variant("compiled", artifact=make_artifact(1_000_000, 250_000, **fields))
    return make_record_of(compiled)


def artifact_cells(record: RunRecord) -> dict[str, str]:
    """Column -> cell, of the variant's row in the table of artifacts."""
    section = format_all_sections(record).partition("### Artifacts")[2]
    header, line = (
        next(row for row in section.splitlines() if word in row) for word in ("digest", "| compiled")
    )
    return dict(zip(split_row(header), split_row(line), strict=True))


def test_options_are_a_column_where_a_runtime_has_any() -> None:
    options = {"inference_precision": "f32", "hyper_threading": None, "static_shapes": False}
    record = record_with(runtime="openvino", runtime_params=options)
    assert artifact_cells(record)["its options"] == "inference_precision = f32, static_shapes = false"
    assert "its options" not in artifact_cells(record_with())


def test_seconds_and_graphs_are_columns_where_a_runtime_compiles() -> None:
    cells = artifact_cells(record_with(runtime="compiled", compile_seconds=41.3, compiled_graphs=3))
    assert (cells["runtime"], cells["compiling"], cells["compiled graphs"]) == ("compiled", "41 s", "3")
    assert "compiled graphs" not in format_all_sections(record_with())


def test_a_handle_tells_what_its_loaded_runtime_says() -> None:
    handle = ModelHandle(run=None, variant=None)  # type: ignore[arg-type]
    assert handle.compile_facts == {}
    handle._predictor = SimpleNamespace(compile_seconds=1.5, graphs=2)
    assert handle.compile_facts == {"compile_seconds": 1.5, "compiled_graphs": 2}
    handle._predictor = SimpleNamespace()
    assert handle.compile_facts == {}
