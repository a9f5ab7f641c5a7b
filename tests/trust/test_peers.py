"""The table of ours beside other tools: its figures, and what is left of a tool that is missing or fails."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context
from slimgate.errors import SlimgateError
from slimgate.judge.paired import compute_paired_interval
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.results.checks import TEACHER
from tools.peers import compare as peers
from tools.peers import student_peers, student_tools
from tools.peers.peer_case import Case, Result
from tools.peers.peer_tools import PEERS


def right(*answers: int) -> Any:
    return np.asarray(answers, dtype=np.bool_)


def test_a_row_has_size_accuracy_and_the_drop_with_its_interval() -> None:
    lines = [
        peers.Line("teacher", 4 * 2**20, right(1, 1, 1, 0), 1.0),
        peers.Line("small", 2**20, right(1, 0, 0, 1), 2.4),
        peers.Line("gone", note="skipped: No module named 'gone'"),
    ]
    low, high = (100 * bound for bound in compute_paired_interval(2, 1, 4))
    assert peers.format_table(lines).splitlines() == [
        "| of 4 gate rows | MB | times smaller | accuracy | drop in points | seconds |",
        "|---|---|---|---|---|---|",
        "| teacher | 4.00 | 1.00 | 0.7500 |  | 1 |",
        f"| small | 1.00 | 4.00 | 0.5000 | 25.00 [{low:.2f}, {high:.2f}] | 2 |",
        "| gone | | | | skipped: No module named 'gone' | |",
    ]


def test_without_the_teachers_figures_there_is_no_table() -> None:
    with pytest.raises(SlimgateError, match="the teacher itself cannot be measured: failed"):
        peers.format_table([peers.Line("teacher", note="failed: OSError: disk")])


def test_every_wish_of_ours_that_exists_has_valid_options() -> None:
    checked = 0
    for steps in peers.OURS.values():
        for step in steps:
            for name, options in step.items():
                if name in list_known_plugins("step"):
                    load("step", name).Params.model_validate(options)
                    checked += 1
    assert checked >= 4
    assert len(PEERS) >= 10


def test_ours_are_measured_as_a_suite_would_build_them(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "hub", "bert", labels=("neg", "pos"))
    context = make_tiny_context(tmp_path / "rows", calibration=4)
    sizes = {}
    cases: dict[str, list[dict[str, Any]]] = {"plain": [], "int8": [{"int8_dynamic": {}}]}
    for name, steps in cases.items():
        model = load_tiny(folder, context)
        encoded = context.task.encode_rows(context.task_params, context.rows("selection"), model.tokenizer)
        (tmp_path / name).mkdir()
        labels = context.task.label_indices(context.task_params, context.rows("selection"), context.facts)
        result = peers.make_ours(steps)(Case(model, encoded, labels, [], context, tmp_path / name))
        assert result.scores.shape == (16, 2)
        sizes[name] = result.bytes
    files = [tmp_path / "plain" / name for name in ("model.safetensors", "config.json", "slimgate.json")]
    assert sizes["plain"] == sum(file.stat().st_size for file in files)
    assert sizes["int8"] < 0.7 * sizes["plain"]
    assert (tmp_path / "plain" / "tokenizer.json").exists()


def test_a_tool_that_is_missing_or_fails_is_a_row_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny(tmp_path / "hub", "bert", labels=("neg", "pos"))
    context = make_tiny_context(tmp_path / "rows", calibration=4)

    def missing(_: Case) -> Result:
        raise ModuleNotFoundError("No module named 'some_tool'")

    def failing(case: Case) -> Result:
        raise RuntimeError(json.dumps({"rows": len(case.batches)}))

    monkeypatch.setattr(peers, "OURS", {})
    monkeypatch.setattr(peers, "PEERS", {"missing": missing, "failing": failing, "not wanted": failing})
    task = SimpleNamespace(object=context.task, params=context.task_params)
    run: Any = SimpleNamespace(
        build=lambda _: SimpleNamespace(
            artifact=SimpleNamespace(load=lambda _device: load_tiny(folder, context))
        ),
        suite=SimpleNamespace(setup=SimpleNamespace(task=task), seed=0, threads=1),
        rows=SimpleNamespace(facts=context.facts, splits=context.splits),
    )
    (tmp_path / "scratch").mkdir()
    tools = ["missing", "failing"]
    lines = peers.compare(run, context.rows("selection"), tmp_path / "scratch", tools)
    assert [line.name for line in lines] == ["teacher", "missing", "failing"]
    assert lines[0].right is not None
    assert lines[1].note == "skipped: No module named 'some_tool'"
    assert lines[2].note == 'failed: RuntimeError: {"rows": 4}'


def test_peers_tools_get_the_teacher_rows_and_workload_texts(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    folder = tmp_path / "given"
    folder.mkdir()
    size = student_peers.write_input(run, folder)
    assert size == student_tools.count_model_bytes(folder / "teacher") > 10_000
    judged = student_tools.read_rows(folder / "judged.jsonl")
    assert len(judged) == len(run.rows.gate)
    assert student_peers.find_base_folder(run) == tmp_path / "hub"
    # the teacher as transformers loads it answers as the suite's own run does
    predict = student_tools.load_teacher(folder)
    student_tools.write_answers(folder / "again.csv", judged, predict)
    assert (folder / "again.csv").read_text("utf-8") == (folder / "teacher.csv").read_text("utf-8")
    assert student_peers.format_drop(folder, "again").startswith("0.0 [")
    student_tools.write_answers(folder / "constant.csv", judged, lambda texts: ["pos"] * len(texts))
    outcomes: Any = run.measure_outcomes(TEACHER)
    drop = outcomes.right.mean() - np.mean([row["label"] == "pos" for row in judged])
    assert student_peers.format_drop(folder, "constant").startswith(f"{100 * drop:.1f} [")
    workloads = json.loads((folder / "workloads.json").read_text("utf-8"))
    assert [entry["id"] for entry in workloads] == [
        workload.id for workload in run.suite.list_timed_workloads(TEACHER)
    ]
    tokenizer = run.build(TEACHER).artifact.load("cpu").tokenizer
    for entry, workload in zip(workloads, run.suite.list_timed_workloads(TEACHER), strict=True):
        lengths = [len(ids) for ids in tokenizer(entry["texts"]).input_ids]
        assert len(lengths) == workload.batch
        assert workload.tokens is None or set(lengths) == {workload.tokens}
    low, high = student_tools.measure_speedup(predict, predict, workloads[0]["texts"])[1:]
    assert low < 1.5
    assert high > 0.67


@pytest.mark.parametrize(
    ("package", "step", "files"),
    [
        pytest.param("onnxruntime", "to_onnx", ("model.onnx",), id="ONNX"),
        pytest.param("openvino", "to_openvino", ("model.xml", "model.bin"), id="OpenVINO"),
    ],
)
def test_slimgates_graphs_answer_there_as_in_the_suite(
    tmp_path: Path, package: str, step: str, files: tuple[str, ...]
) -> None:
    pytest.importorskip(package, reason="runs a graph")
    graph = {"[{ keep_layers = [0, 2] }]": f"[{{ keep_layers = [0, 2] }}, {{ {step} = {{}} }}]"}
    run = make_tiny_run(tmp_path, **graph, **{"calibration = 0": "calibration = 8"})
    folder = tmp_path / "given"
    folder.mkdir()
    student_peers.write_input(run, folder)
    student_peers.write_graphs(run, folder / student_tools.GRAPHS)
    [(name, make)] = student_tools.list_graph_openers(folder / student_tools.GRAPHS).items()
    assert name == "slimgate-shorter"
    (folder / name).mkdir()
    predict = make(folder, folder / name, [])
    texts = [row["text"] for row in student_tools.read_rows(folder / "judged.jsonl")]
    outcomes: Any = run.measure_outcomes("shorter")
    assert predict(texts) == [run.rows.facts.classes[best] for best in outcomes.predictions]
    steps = run.build("shorter").steps
    seconds = sum(step.manifest["seconds"] for step in steps)
    assert json.loads((folder / name / student_tools.SECONDS).read_text("utf-8")) == pytest.approx(seconds)
    size = sum((folder / name / file).stat().st_size for file in files)
    assert size <= student_tools.count_model_bytes(folder / name) < size + 4096
