"""`slimgate card`: a model card whose figures are the record's."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from support.judge_command import Command
from support.lm_eval_logs import write_lm_eval
from support.load_test_files import write_vllm
from support.releases import Model, make_machine, write_release
from support.sample_record import REAL, make_latency, make_sample_record, make_variant

from slimgate.cli.main import main
from slimgate.record.build import StepFacts
from slimgate.record.run import RunRecord, VariantRecord, format_record_json, read_record
from slimgate.record.task import TaskFactsRecord
from slimgate.record.verdicts import BaselineFacts, LoosenedBudget
from slimgate.report.card import make_card
from slimgate.report.card_metadata import find_base_model
from slimgate.results.base import Verdict
from slimgate.results.latency import TimeLimitFacts
from slimgate.results.quality import QualityFacts
from slimgate.results.self_test import SelfTestFacts


@pytest.fixture
def written(run_command: Command) -> Command:
    return partial(run_command, "card")


def test_the_hubs_own_reader_finds_the_figures_of_the_record(tmp_path: Path, written: Command) -> None:
    folder = write_release(tmp_path / "run", models={"int8": Model()})
    facts = read_record(folder / "run.json").variant("int8").quality["accuracy"]

    code, out, _ = written(folder, "int8")

    [evaluation] = ModelCard(out).data.eval_results or []
    assert code == 0
    assert (evaluation.metric_type, evaluation.metric_value) == ("accuracy", facts.value)
    assert evaluation.metric_args["drop"] == facts.drop_points
    assert tuple(evaluation.metric_args["drop_interval"]) == facts.interval
    assert (evaluation.dataset_name, evaluation.dataset_split) == ("files", "gate")
    assert evaluation.task_type == "text-classification"


def test_a_card_says_how_it_was_built_how_fast_and_on_what(tmp_path: Path, written: Command) -> None:
    folder = write_release(tmp_path / "run", machine=make_machine(cpu="an old cpu"))
    _, out, _ = written(folder / "run.json", "int8")
    for text in (
        "drop 0.7 [0.6, 0.9]",
        "2.00× [1.90, 2.10] as fast",
        "an old cpu, 2 cores",
        "MB of files (1 MB = 1024² bytes), kind torch",
        "pytest bench",
        "The gate itself was not tested",
    ):
        assert text in out


@pytest.mark.parametrize("name", [model.name for model in make_sample_record().variants])
def test_every_model_of_a_full_record_has_a_card_for_the_hub(name: str) -> None:
    record = make_sample_record()
    model = record.variant(name)
    text = make_card(record, model)
    front = yaml.safe_load(text.split("---\n")[1])
    results = front.get("model-index", [{"results": []}])[0]["results"]
    figures = {metric["type"]: metric["value"] for result in results for metric in result["metrics"]}
    assert figures == {metric: facts.value for metric, facts in model.quality.items()}
    assert not re.search(r"\b(None|nan)\b", text)


def test_a_card_of_logs_names_base_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the record has the command of the process
    monkeypatch.setattr(sys, "argv", ["slimgate", "judge", "base", "int4"])
    logs = [str(write_lm_eval(tmp_path / name, {"gsm8k": [1.0, 0.0] * 200})) for name in ("base", "int4")]
    assert main(["judge", *logs, "--drop-points", "5", "--report", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["card", str(tmp_path / "out"), "int4"]) == 0
    out = capsys.readouterr().out
    assert "points against its base, 90 % interval" in out
    assert re.search(r"\| +base \| +against the base \|", out)
    assert "this model is worse than its base" in out
    assert "gate itself" not in out
    assert "Suite out.toml" not in out
    assert re.search(r"base \(digest \w{12}\) · target \*\*int4\*\*: int4, \S*int4 \(digest \w{12}\) · ", out)


def test_a_card_has_the_verdicts_on_load_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, again, target = (
        str(write_vllm(tmp_path / f"{name}.json", seed, slower=slower))
        for seed, (name, slower) in enumerate([("base", 1.0), ("again", 1.0), ("target", 0.5)])
    )
    budgets = tmp_path / "speed.toml"
    budgets.write_text("[budgets]\nlatency = { speedup_min = 1.5 }\n")
    written = ["--budgets", str(budgets), "--report", str(tmp_path / "out")]
    assert main(["judge", base, target, "--repeat", again, *written]) == 0
    capsys.readouterr()
    assert main(["card", str(tmp_path / "out"), "target"]) == 0
    evaluation = capsys.readouterr().out.split("## Evaluation")[1].split("##")[0]
    assert re.search(r"8 users: 2\.\d+× the base's speed .*budget 1\.5×: PASS", evaluation)


def test_a_base_model_is_named_where_it_is_one_of_the_hub() -> None:
    def of(text: str) -> str | None:
        loaded = StepFacts(name="load_model", params=text, seconds=0.0, log={})
        teacher = VariantRecord(name="teacher", parent=None, steps=[loaded])
        small = VariantRecord(name="small", parent="teacher")
        return find_base_model(make_sample_record().model_copy(update={"variants": [teacher, small]}), small)

    assert of("openai-community/gpt2@main") == "openai-community/gpt2"
    assert [of(text) for text in ("../models/teacher", "package:demo/model", "fresh:shapes/x")] == [None] * 3


def test_rows_of_the_hub_keep_config_split_and_revision(tmp_path: Path, written: Command) -> None:
    folder = write_release(tmp_path / "run")
    record = read_record(folder / "run.json")
    source = {"name": "hub", "id": "nyu-mll/glue", "config": "qqp", "revision": "abc"}
    source |= {"splits": {"gate": "validation"}}  # type: ignore[dict-item]
    task = TaskFactsRecord.model_validate({**record.task.model_dump(), "source": source})
    (folder / "run.json").write_text(format_record_json(record.model_copy(update={"task": task})))

    data = ModelCard(written(folder, "int8")[1]).data

    [evaluation] = data.eval_results or []
    assert (evaluation.dataset_config, evaluation.dataset_split, evaluation.dataset_revision) == (
        "qqp",
        "validation",
        "abc",
    )
    assert data.datasets == ["nyu-mll/glue"]


def test_a_card_goes_into_a_file(tmp_path: Path, written: Command) -> None:
    folder = write_release(tmp_path / "run")
    assert written(folder, "int8", "--output", tmp_path / "cards" / "int8.md") == (0, "", "")
    assert (tmp_path / "cards" / "int8.md").read_text() == written(folder, "int8")[1]


def test_an_unknown_variant_is_one_line_with_the_nearest(tmp_path: Path, written: Command) -> None:
    folder = write_release(tmp_path / "run")
    file = folder / "run.json"
    expected = f'slimgate card: {file}: no variant "int9". Did you mean int8?\n'
    assert written(folder, "int9") == (4, "", expected)


def changed(**update: object) -> tuple[RunRecord, VariantRecord]:
    """sample_record with its first variant changed, and that one's accuracy."""
    record = make_sample_record()
    model = next(model for model in record.variants[1:] if "accuracy" in model.quality)
    of_accuracy = {key: value for key, value in update.items() if key in QualityFacts.model_fields}
    of_model = {key: value for key, value in update.items() if key not in QualityFacts.model_fields}
    facts = model.quality["accuracy"].model_copy(update=of_accuracy)
    return record, model.model_copy(update={**of_model, "quality": {"accuracy": facts}})


def metric_args(text: str) -> dict[str, object]:
    [result] = yaml.safe_load(text.split("---\n")[1])["model-index"][0]["results"]
    arguments: dict[str, object] = result["metrics"][0]["args"]
    return arguments


def test_what_would_pass_of_a_model_that_is_not_gated_is_no_pass() -> None:
    text = make_card(*changed(gated=False, reason="a twin", verdict=Verdict.PASS))
    arguments = metric_args(text)
    assert (arguments["verdict"], arguments["metric_verdict"], arguments["gated"]) == (
        "not gated, partial",
        "PASS",
        False,
    )
    assert re.search(r"^\| accuracy .* not gated \(would PASS\) +\|$", text, re.M)


def test_a_card_says_what_a_drop_is_and_its_interval() -> None:
    text = make_card(*changed(drop_points=1.0, interval=(0.5, 1.5), level=0.9))
    assert "positive if this model is worse than its teacher" in text
    assert "the brackets contain the 90 % interval" in text
    front = yaml.safe_load(text.split("---\n")[1])
    [result] = front["model-index"][0]["results"]
    expected = "accuracy (drop 1.00 points against its teacher, 90 % interval [0.50, 1.50])"
    assert result["metrics"][0]["name"] == expected


def test_a_figure_that_is_not_finite_is_not_in_the_front_matter() -> None:
    interval = (float("-inf"), float("inf"))
    args = metric_args(make_card(*changed(drop_points=float("nan"), interval=interval)))
    assert not {"drop", "drop_interval"} & set(args)


def test_a_gate_that_fails_its_own_test_is_reported_on_the_card() -> None:
    record, model = changed()
    part = SelfTestFacts(verdict=Verdict.FAIL, message="9 answers changed", measured="")
    tested = record.self_test.model_copy(update={"identical": part})
    text = make_card(record.model_copy(update={"self_test": tested}), model)
    assert "**The gate of this run cannot be trusted**: 9 answers changed" in text


def test_a_card_loads_no_torch(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "run")
    program = (
        "import sys; from slimgate.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "card", str(folder), "int8"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_loosened_budget_is_reported_with_both_limits() -> None:
    loosened = LoosenedBudget(
        variant="int8", budget="accuracy", kind="drop_points", before=1.0, limit=2.0, reason=None
    )
    baseline = BaselineFacts(path="b.json", created="2026-11-01", loosened=[loosened])
    int8 = make_variant("int8")
    text = make_card(make_sample_record(variants=[REAL["teacher"], int8], baseline=baseline), int8)
    line = "accuracy had drop_points 1 in the last release and is 2 now: no reason is given"
    assert f"- **Loosened**: {line}\n" in text


def test_a_time_over_its_limit_fails_beside_a_held_speed_up() -> None:
    limits = TimeLimitFacts(rounds=100, counted=100, verdict=Verdict.FAIL, message="late", measured="")
    times = make_latency(5.0, speedup=2.0, speedup_interval=(1.9, 2.1), verdict=Verdict.PASS, limits=limits)
    int8 = make_variant("int8", latency={"b1": times})
    text = make_card(make_sample_record(variants=[REAL["teacher"], int8]), int8)
    [row] = [line for line in text.splitlines() if line.startswith("| batch 1 ")]
    assert row.rstrip("| ").endswith("FAIL")
