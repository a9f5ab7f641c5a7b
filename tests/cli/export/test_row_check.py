"""The written folder answers the gate rows as the model that was judged, or is not kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_suite import tiny_run

from slimgate.cli.export.forms import Written, write_form
from slimgate.cli.export.row_check import OtherAnswers, check_rows
from slimgate.cli.export.stored import GateRows
from slimgate.run.run import SuiteRun

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    ruined = "ruined = { steps = [{ magnitude_prune = { sparsity = 0.98 } }] }"
    return tiny_run(
        tmp_path_factory.mktemp("suite"),
        **{"pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }": ruined},
    )


def written_as(run: SuiteRun, name: str, form: str | None, folder: Path) -> Written:
    """What the export of a model writes, with the tokenizer."""
    (folder / "scratch").mkdir(parents=True)
    target = folder / "out"
    target.mkdir()
    written = write_form(run.build(name).artifact, form, target, folder / "scratch")
    if written.form != "transformers":
        written.config.save_pretrained(target)
    written.tokenizer.save_pretrained(target)
    return written


@pytest.mark.parametrize("form", [None, "onnx", "openvino"])
def test_an_export_answers_as_its_model(run: SuiteRun, tmp_path: Path, form: str | None) -> None:
    written = written_as(run, "shorter", form, tmp_path)
    artifact = run.build("shorter").artifact
    gate = GateRows(run.suite, run.rows)
    found = check_rows(artifact, written, tmp_path / "out", gate, tmp_path / "scratch")
    assert (found.rows, found.changed) == (len(run.rows.gate), 0)
    assert found.largest < 1e-5
    assert found.message.startswith(f"{found.rows} gate rows: 0 predictions differ, largest probability")


def test_an_export_of_another_model_is_an_error(run: SuiteRun, tmp_path: Path) -> None:
    written = written_as(run, "ruined", "onnx", tmp_path)
    gate = GateRows(run.suite, run.rows)
    with pytest.raises(OtherAnswers, match=r"gate rows: \d+ predictions differ, .*asked twice"):
        check_rows(run.build("shorter").artifact, written, tmp_path / "out", gate, tmp_path / "scratch")
