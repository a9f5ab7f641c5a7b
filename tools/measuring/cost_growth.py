"""The cost of judging and reporting at a size: CPU seconds of each stage, and peak memory.

    python -m tools.measuring.growth_report --write reports/cost_growth.md

Sizes are variants of a suite, gate rows of a variant, slices of its rows, rows of two prediction files, and
samples of two lm-eval logs. `growth_report` measures ever larger sizes and fits how each stage's cost grows.
Models are not computed: their outcomes are made up.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from slimgate._system.timestamps import format_now
from slimgate.judge import judge_quality
from slimgate.judge.behaviour import judge_behaviour, make_behaviour_facts, measure_behaviour
from slimgate.judge.behaviour_message import format_behaviour_message
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import BehaviourBudgets
from slimgate.judge.facts import make_quality_facts
from slimgate.judge.message import format_message
from slimgate.judge.metrics import load_metric
from slimgate.judge.slices import Slice, decide_all_slices, judge_slices
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.record.build import BuildFacts
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.record.run import RunRecord, format_record_json, read_record
from slimgate.record.task import SplitFacts, TaskFactsRecord
from slimgate.report import format_suite_report
from slimgate.results.checks import BEHAVIOUR, LATENCY, QUALITY, SIZE, SPEEDUP, TEACHER
from slimgate.results.figures import SizeFacts
from slimgate.results.latency import SpeedupFacts, TimesFacts
from slimgate.run.environment import describe_machine
from slimgate.run.gate_results import (
    BUILD,
    GateResult,
    GateResults,
    list_expected_checks,
    make_run_record,
)
from slimgate.run.measure.memory_worker import read_peak_bytes
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite

METRICS = ("accuracy", "f1_macro")
CLASSES = 4
DIFFERENT = 8  # variants with outcomes that differ; files for all variants would only test the disk
BUDGET = QualityBudget("drop_points", 2.0)
Seconds = dict[str, float]


@contextmanager
def time_stage(seconds: Seconds, stage: str) -> Iterator[None]:
    """Adds the CPU seconds of the block, which do not grow if another process uses the same cores."""
    start = time.process_time()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.process_time() - start


def draw_outcomes(rows: int, *, noise: float, seed: int) -> ClassOutcomes:
    """Outcomes of four classes, right in about nine of ten rows. seed: of the noise only."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, rows)
    scores = rng.normal(0, 1, (rows, CLASSES))
    scores[np.arange(rows), labels] += 2.4
    scores += np.random.default_rng(seed).normal(0, 1, scores.shape) * noise
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    ids = np.char.add("r", np.arange(rows).astype(np.str_))
    return ClassOutcomes(ids, labels, p.argmax(axis=1), tuple("abcd"), p)


def write_stored_outcomes(folder: Path, rows: int) -> list[Path]:
    """Writes the outcomes of the teacher and of DIFFERENT variants."""
    paths = [folder / f"{place}.parquet" for place in range(DIFFERENT + 1)]
    for place, path in enumerate(paths):
        write_outcomes(draw_outcomes(rows, noise=0.3 if place else 0.0, seed=place), path)
    return paths


def make_suite(folder: Path, variants: int) -> Suite:
    """A suite with this number of variants, read from its file. Its model has a config and no weights."""
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model/config.json").write_text('{"num_hidden_layers": 4, "max_position_embeddings": 512}')
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / "model" / name).touch()
    (folder / "rows.csv").write_text("text,label\ngood film,a\n")
    names = "\n".join(f"v{i} = {{ steps = [{{ keep_layers = [0, 3] }}] }}" for i in range(variants))
    budgets = "\n".join(f"{name} = {{ drop_points = {BUDGET.limit} }}" for name in METRICS)
    (folder / "growth.toml").write_text(
        f"""[suite]
title = "many variants"
threads = 1
[task]
kind = "text_classification"
source = {{ name = "files", path = "rows.csv" }}
text = ["text"]
label = "label"
[teacher]
model = "model"
[variants]
{names}
[budgets]
{budgets}
"""
    )
    return load_suite(folder / "growth.toml", "growth.toml")


def judge_variant(name: str, teacher: Outcomes, variant: Outcomes) -> list[GateResult]:
    """The results of one variant on quality and behaviour, as the gates report them."""
    results = []
    for metric in METRICS:
        judgement = judge_quality(load_metric(metric), teacher, variant, [BUDGET], seed=0)
        facts = make_quality_facts(judgement, format_message(name, judgement), measured=format_now())
        results.append(GateResult(QUALITY, name, metric, facts))
    measured = measure_behaviour(teacher, variant, texts=lambda rows: [f"row {row}" for row in rows])
    metrics = {"accuracy": load_metric("accuracy")}
    judged = judge_behaviour(teacher, variant, BehaviourBudgets(), metrics=metrics, column_slices=())
    line = format_behaviour_message(name, judged)
    behaviour = make_behaviour_facts(measured, judged, line).replace(measured=format_now())
    return [*results, GateResult(BEHAVIOUR, name, "", behaviour)]


def make_other_results(name: str) -> list[GateResult]:
    """The other results: the build, the times of a workload, and a variant's size and speed-up."""
    sizes = {"kind": "torch", "bytes": 9_000_000, "parameters": 2_000_000, "nonzero_parameters": 2_000_000}
    artifact = {**sizes, "digest": f"{hash(name):x}", "state_bytes": 8_000_000, "runtime": "eager"}
    step = {"name": "keep_layers", "params": [0, 3], "seconds": 0.1, "log": {"kept": [0, 3]}, **sizes}
    build = BuildFacts.model_validate({"steps": [step], "artifact": artifact, "from_store": True})
    times = TimesFacts(p50_ms=2.0, mean_ms=2.1, std_ms=0.1, rounds=100, warmup=10, measured=format_now())
    results = [GateResult(BUILD, name, "", build), GateResult(LATENCY, name, "b1", times)]
    if name != TEACHER:
        size = SizeFacts(compression=1.5, measured=format_now())
        duel = SpeedupFacts(
            speedup=1.5, speedup_interval=(1.4, 1.6), noise_floor=0.01, duel_measured=format_now()
        )
        results += [GateResult(SIZE, name, "", size), GateResult(SPEEDUP, name, "b1", duel)]
    return results


def measure_variants(variants: int, rows: int) -> Seconds:
    """CPU seconds of each stage, and the peak memory in MB, for this number of stored variants."""
    seconds: Seconds = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = write_stored_outcomes(folder, rows)
        with time_stage(seconds, "suite"):
            suite = make_suite(folder, variants)
        results = judge_all(suite, paths, seconds)
        seconds |= _time_writing(suite, results, rows, folder / "run.json")
    return {**seconds, "peak MB": read_peak_bytes() / 1024**2}


def judge_all(suite: Suite, paths: Sequence[Path], seconds: Seconds) -> GateResults:
    """The results of every variant of the suite, judged from its outcomes."""
    teacher, results = read_outcomes(paths[0]), GateResults(make_other_results(TEACHER))
    for place, name in enumerate(suite.variants):
        with time_stage(seconds, "outcomes"):
            outcomes = read_outcomes(paths[1 + place % DIFFERENT])
        with time_stage(seconds, "judge"):
            judged = judge_variant(name, teacher, outcomes)
        with time_stage(seconds, "results"):
            for result in [*make_other_results(name), *judged]:
                results.forget_error(f"test_quality[{name}]")
                results.add(result)
    return results


def compose_record(suite: Suite, results: GateResults, rows: int) -> RunRecord:
    """The record of the suite with this number of gate rows."""
    split = SplitFacts(n=rows, digest="0" * 64, dropped_overlap=0, repeats=0)
    task = TaskFactsRecord(
        kind="text_classification", source={}, real=False, classes=list("abcd"), splits={"gate": split}
    )
    machine = describe_machine(threads=1, device="cpu")
    return make_run_record(suite, task, results, machine, command="pytest")


def _time_writing(suite: Suite, results: GateResults, rows: int, path: Path) -> Seconds:
    """CPU seconds to make the record, to write and read it, and to make the report."""
    seconds: Seconds = {}
    with time_stage(seconds, "record"):
        record = compose_record(suite, results, rows)
    with time_stage(seconds, "run.json"):
        path.write_text(format_record_json(record), "utf-8")
        again = read_record(path)
    with time_stage(seconds, "report.md"):
        text = format_suite_report(again)
    if len(again.variants) != len(suite.variants) + 1 or text.count("\n") < len(suite.variants):
        raise RuntimeError(f"{len(suite.variants)} variants went in, {len(again.variants) - 1} came out")
    if any(not results.has(key) for key in list_expected_checks(suite) if key[0] == "quality"):
        raise RuntimeError("a variant was not judged")
    return seconds


def measure_rows(rows: int) -> Seconds:
    """CPU seconds of one variant's quality by each metric, and the peak memory in MB."""
    seconds: Seconds = {}
    teacher, variant = draw_outcomes(rows, noise=0.0, seed=0), draw_outcomes(rows, noise=0.3, seed=1)
    for metric in METRICS:
        with time_stage(seconds, metric):
            judge_quality(load_metric(metric), teacher, variant, [BUDGET], seed=0)
    return {**seconds, "peak MB": read_peak_bytes() / 1024**2}


def measure_slices(slices: int, rows: int) -> Seconds:
    """CPU seconds to judge the accuracy of this number of slices of the rows, and the peak memory in MB."""
    seconds: Seconds = {}
    teacher, variant = draw_outcomes(rows, noise=0.0, seed=0), draw_outcomes(rows, noise=0.3, seed=1)
    parts = [
        Slice("file", f"f{k}", places) for k, places in enumerate(np.array_split(np.arange(rows), slices))
    ]
    with time_stage(seconds, "judge"):
        judged = judge_slices(load_metric("accuracy"), teacher, variant, parts, BUDGET.limit)
    with time_stage(seconds, "verdict"):
        decide_all_slices("accuracy", judged, BUDGET.limit)
    return {**seconds, "peak MB": read_peak_bytes() / 1024**2}
