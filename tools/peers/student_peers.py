"""Small classifiers by tools of peers and by slimgate, on a suite's rows: model2vec, SetFit, optimum-intel.

    python -m tools.peers.student_peers SUITE PYTHON FOLDER [SPLIT] [NAME …]

SUITE: a text classification of one text, without a cascade, whose teacher transformers can load. PYTHON: the
interpreter of an environment that has the tools:

    python -m venv peer && peer/bin/pip install torch==2.13.0 "model2vec[distill,train]" setfit "optimum-intel[openvino]" onnxruntime
    peer/bin/pip uninstall torchvision

SPLIT: the rows that are judged (default `gate`). NAME: the tools (default: all); slimgate-VARIANT is a variant
of the suite that is an ONNX or an OpenVINO graph. The teacher, the variants and the splits are those of the
suite's own runs, in the store .slimgate. student_tools.py then makes the small models. Each of them answers and
is timed in a separate process, next to the teacher. The table has their drop with its 90 % interval over
groups, as `slimgate judge` computes it, and their speed-up from text to answer over the teacher in eager
PyTorch, with the quartiles of 31 turns. FOLDER keeps all files. Run it by hand, on a machine that does
nothing else.
"""  # noqa: E501

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from slimgate.errors import SlimgateError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.logs.predictions.columns import ColumnNames
from slimgate.logs.predictions.pairs import read_pair
from slimgate.models import onnx_model, openvino_model
from slimgate.models.served import save_plain
from slimgate.plugins.loading import load
from slimgate.plugins.rows import GATE
from slimgate.plugins.workloads import END_TO_END
from slimgate.results.checks import TEACHER
from slimgate.run.run import RunOptions, SuiteRun
from slimgate.runtimes.openvino import make_properties
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
from tools.peers import student_tools

MOST_POINTS = 5.0


def main(arguments: Sequence[str]) -> int:
    """Writes the table to stdout."""
    suite, python, folder, *more = arguments
    split, tools = (more[0], more[1:]) if more else (GATE, [])
    store, options = Store(Path(".slimgate")), RunOptions(split=split)
    run = SuiteRun(load_suite(Path(suite)), store, device="cpu", options=options)
    input_folder = Path(folder).resolve()
    input_folder.mkdir(parents=True)
    size = write_input(run, input_folder)
    write_graphs(run, input_folder / student_tools.GRAPHS)
    subprocess.run([python, student_tools.__file__, str(input_folder), *tools], check=True)
    tools_made = json.loads((input_folder / "tools.json").read_text("utf-8"))
    workloads = [
        workload["id"] for workload in json.loads((input_folder / "workloads.json").read_text("utf-8"))
    ]
    lines = [
        [
            name,
            f"{facts['bytes'] / 1024**2:.1f}",
            f"{size / facts['bytes']:.1f}",
            format_drop(input_folder, name),
            *(f"{median:.3g} [{low:.3g}, {high:.3g}]" for median, low, high in facts["speedups"].values()),
            f"{facts['seconds']:.0f}",
        ]
        for name, facts in tools_made.items()
    ]
    head = ["tool", "MB", "times smaller", f"drop, points, {split} rows", *workloads, "made in, s"]
    sys.stdout.write(tabulate(lines, head, tablefmt="pipe") + "\n")
    return 0


def write_input(run: SuiteRun, folder: Path) -> int:
    """Writes the input of student_tools.py and the teacher's answers. Returns the bytes of the teacher."""
    artifact, params = run.build(TEACHER).artifact, run.suite.setup.task.params
    task: Any = run.suite.setup.task.object
    (column,) = task.text_columns(params)
    names = run.rows.facts.classes
    outcomes: Any = run.measure_outcomes(TEACHER)
    groups = range(len(outcomes)) if outcomes.groups is None else outcomes.groups.tolist()

    def rows_of(split: str) -> list[dict[str, Any]]:
        rows = run.rows.splits[split]
        labels = task.label_indices(params, rows, run.rows.facts)
        texts = rows.table[column].to_pylist()
        return [
            {"id": number, "text": text, "label": names[label], "group": 0}
            for number, (text, label) in enumerate(zip(texts, labels, strict=True))
        ]

    judged = [row | {"group": group} for row, group in zip(rows_of(run.split), groups, strict=True)]
    model = artifact.load("cpu")
    model.network.config.id2label = dict(enumerate(names))
    model.network.config.label2id = {name: number for number, name in enumerate(names)}
    save_plain(model, folder / "teacher")
    (folder / "encoder").symlink_to(find_base_folder(run))
    for name, rows in (("train", rows_of("train")), ("judged", judged)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    answers = iter(names[best] for best in outcomes.predictions)
    student_tools.write_answers(folder / "teacher.csv", judged, lambda texts: [next(answers) for _ in texts])
    workloads = [
        {"id": workload.id, "texts": list_workload_texts(run, workload, column, model.tokenizer)}
        for workload in run.suite.list_timed_workloads(TEACHER)
        if workload.phase is None
    ]
    (folder / "workloads.json").write_text(json.dumps(workloads), "utf-8")
    max_tokens = max(workload.tokens or 0 for workload in run.suite.list_timed_workloads(TEACHER))
    facts = {"max_tokens": max_tokens, "labels": names}
    (folder / "facts.json").write_text(json.dumps(facts), "utf-8")
    return student_tools.count_model_bytes(folder / "teacher")


def write_graphs(run: SuiteRun, folder: Path) -> None:
    """Copies each variant that is an ONNX or an OpenVINO graph to FOLDER/NAME.

    A copy also has the seconds that the variant's steps took, and for OpenVINO the properties of its runtime.
    """
    folder.mkdir()
    for name, variant in run.suite.variants.items():
        kind = load("step", variant.steps[-1].name).gives if variant.steps else None
        if kind not in (onnx_model.KIND, openvino_model.KIND):
            continue
        shutil.copytree(run.build(name).artifact.folder, folder / name)
        (folder / name / student_tools.SECONDS).write_text(json.dumps(sum_build_seconds(run, name)), "utf-8")
        if kind == openvino_model.KIND:
            properties = make_properties(variant.runtime.params, threads=student_tools.THREADS)
            (folder / name / student_tools.PROPERTIES).write_text(json.dumps(properties), "utf-8")


def sum_build_seconds(run: SuiteRun, name: str | None) -> float:
    """How long the steps of a variant took, with those of the variants that it is made from."""
    if name is None or name == TEACHER:
        return 0.0
    parent = run.suite.variants[name].parent
    seconds = sum(float(step.manifest["seconds"]) for step in run.build(name).steps)
    return seconds + sum_build_seconds(run, parent)


def find_base_folder(run: SuiteRun) -> Path:
    """The folder of the model that the teacher was made from."""
    ref = run.suite.model(TEACHER).ref
    if ref is None or ref.folder is None:
        raise SlimgateError(f"{run.suite.shown} [teacher] model: expected a folder or package:NAME/FOLDER")
    return Path(ref.folder)


def list_workload_texts(run: SuiteRun, workload: Any, column: str, tokenizer: Any) -> list[str]:
    """The texts of a call, cut to the workload's tokens, for tools that do not cut them."""
    (texts,) = run.make_workload(TEACHER, replace(workload, phase=END_TO_END)).timed
    texts_of_workload = []
    for text in texts.rows.table[column].to_pylist():  # type: ignore[union-attr]
        offsets = tokenizer(
            text, truncation=True, max_length=workload.tokens, return_offsets_mapping=True
        ).offset_mapping
        texts_of_workload.append(text[: max(end for _, end in offsets)])
    return texts_of_workload


def format_drop(folder: Path, name: str) -> str:
    """The drop in accuracy with its interval, as `slimgate judge` computes it."""
    pair = read_pair(folder / "teacher.csv", folder / f"{name}.csv", ColumnNames())
    budget = QualityBudget("drop_points", MOST_POINTS)
    judgement = judge_quality(load_metric("accuracy"), pair.teacher, pair.variant, [budget], seed=0)
    assert judgement.interval is not None
    return f"{judgement.drop_points:.1f} [{judgement.interval[0]:.1f}, {judgement.interval[1]:.1f}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
