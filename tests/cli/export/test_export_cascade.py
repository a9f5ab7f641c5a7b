"""`slimgate export` of a cascade: a folder whose loader answers as the cascade that was judged."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from fixtures.models.kept_models import predict_with_readme
from slimgate.cli.export.cascade import check_cascade, format_usage, write_loader, write_models
from slimgate.cli.export.folder import write_companions
from slimgate.cli.export.row_check import OtherAnswers
from slimgate.cli.export.stored import GateRows
from slimgate.outcomes import ClassOutcomes
from slimgate.run.run import SuiteRun
from slimgate.runtimes.cascade import FILE
from slimgate.suite.runtime_choice import find_runtime

pytestmark = pytest.mark.slow

PRUNED = "pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }\n"
GRAPH = 'graph = { from = "shorter", steps = [{ to_onnx = {} }] }\n'
CASCADE = find_runtime("cascade")
CALIBRATED = {"calibration = 0": "calibration = 8"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    """An ensemble of three models, with thresholds that each pass on about half of the rows."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("suite")
    plain = make_tiny_run(folder, **{PRUNED: GRAPH + PRUNED, **CALIBRATED})
    middle = [median_confidence(plain, name) for name in ("graph", "pruned")]
    models = 'models = ["graph", "pruned", "teacher"]'
    fast = f"fast = {{ cascade = {{ {models}, threshold = {middle}, ensemble = true }} }}\n"
    return make_tiny_run(folder, **{PRUNED: GRAPH + PRUNED + fast, **CALIBRATED})


def median_confidence(run: SuiteRun, name: str) -> float:
    outcomes = run.measure_outcomes(name)
    assert isinstance(outcomes, ClassOutcomes)
    assert outcomes.probabilities is not None
    return float(np.median(outcomes.probabilities.max(axis=1)))


def exported(run: SuiteRun, folder: Path) -> Path:
    """What the export writes, with README.md's lines."""
    (folder / "scratch").mkdir(parents=True)
    target = folder / "out"
    target.mkdir()
    artifact, gate = run.build("fast").artifact, GateRows(run.suite, run.rows)
    cascade = write_models(artifact, None, target, folder / "scratch")
    written = [
        write_companions(
            model,
            run.suite.setup.task.object,
            {"max_tokens": 32},
            gate.read_text_columns(),
            target / member.folder,
        )
        for member, model in zip(cascade.members, cascade.written, strict=True)
    ]
    cascade = replace(cascade, written=tuple(written))
    assert [model.tokenizer_is_enough for model in written] == [True, False, False], "only the graph calls it"
    write_loader(cascade, run.rows.facts.classes, target)
    (target / "README.md").write_text(f"```python\n{format_usage(['one', 'two'])}\n```\n", "utf-8")
    checked = check_cascade(artifact, CASCADE, cascade, target, gate)
    assert (checked.rows, checked.changed) == (len(run.rows.gate), 0)
    assert checked.largest < 1e-5
    return target


def test_the_folder_answers_without_slimgate_as_judged(run: SuiteRun, tmp_path: Path) -> None:
    target = exported(run, tmp_path)
    assert {path.name for path in target.iterdir()} == {FILE, "cascade.py", "README.md", "models"}
    models = json.loads((target / FILE).read_text("utf-8"))["models"]
    assert [model["name"] for model in models] == ["graph", "pruned", "teacher"]
    texts = run.rows.gate.table["text"].to_pylist()
    judged = run.measure_outcomes("fast")
    assert isinstance(judged, ClassOutcomes)
    assert 0 < run.make_handle("fast").passed_on[1] < run.make_handle("fast").passed_on[0] < 1
    np.testing.assert_allclose(predict_with_readme(target, texts, "shares"), judged.probabilities, atol=1e-5)
    by_model = np.bincount(predict_with_readme(target, texts, "answered_by").astype(int), minlength=3)
    reached = [1.0, *run.make_handle("fast").passed_on, 0.0]
    shares = [mine - after for mine, after in pairwise(reached)]
    assert (by_model / len(texts)).tolist() == pytest.approx(shares)


def test_a_folder_that_answers_otherwise_is_an_error(run: SuiteRun, tmp_path: Path) -> None:
    """Its first model answers everything."""
    target, artifact = exported(run, tmp_path), run.build("fast").artifact
    cascade = json.loads((target / FILE).read_text("utf-8"))
    cascade["models"] = [cascade["models"][0] | {"threshold": None}]
    (target / FILE).write_text(json.dumps(cascade), "utf-8")
    for name in ("again", "more"):
        (tmp_path / name).mkdir()
    written = write_models(artifact, None, tmp_path / "again", tmp_path / "more")
    with pytest.raises(OtherAnswers, match=r"gate rows: .* predictions? differs?"):
        check_cascade(artifact, CASCADE, written, target, GateRows(run.suite, run.rows))
