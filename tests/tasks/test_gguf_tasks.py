"""Tasks with GGUF files as teacher and variant: llama.cpp against the network in PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.tiny_suite import make_run
from support.versions import needs_llama_cpp

from fixtures.models.gguf_edits import copy_gguf
from fixtures.models.gguf_models import make_byte_level_llama
from fixtures.models.tiny import BAD, GOOD, OTHER, write_rows
from slimgate.errors import MeasureError
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.outcomes import SAME_ANSWERS
from slimgate.results.checks import TEACHER
from slimgate.run.run import SuiteRun
from slimgate.run.selftest import predict_identical_copy
from slimgate.steps.convert import to_gguf

pytest.importorskip("torch")

pytestmark = [pytest.mark.slow, needs_llama_cpp, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
WORDS = (*GOOD, *BAD, *OTHER)
# In one operator, as by default, attention rounds keys and values to 16 bits.
EXACT = '{ name = "llama_cpp", kv_cache = "f32", flash_attention = "off" }'
MODELS = f"""
[teacher]
model = "f32.gguf"
runtime = {EXACT}
[variants.network]
model = "hub"
[variants.q8]
model = "q8.gguf"
runtime = {{ name = "llama_cpp" }}
[variants.of-its-own]
model = "xverse.gguf"
"""
SUITE = """
[suite]
title = "gguf"
threads = 1
[task]
{task}
{models}
[measure]
workloads = [{{ batch = 1 }}]
"""
ANSWERS = """
kind = "text_generation"
source = { name = "files", train = "train.csv", gate = "gate.csv" }
prompt = "text"
reference = "label"
scores = ["exact_match"]
max_new_tokens = 12
splits = { train = "rest", calibration = 0, selection = 8 }
"""
SAME = ANSWERS.replace('reference = "label"\nscores = ["exact_match"]\n', "")
CHOICES = """
kind = "multiple_choice"
source = { name = "files", train = "questions-train.jsonl", gate = "questions.jsonl" }
context = "question"
choices = "choices"
answer = "answer"
max_tokens = 48
splits = { train = "rest", calibration = 0, selection = 8 }
"""
EVALUATED = """
kind = "lm_eval"
tasks = [{names}]
"""
TASKS = {
    "chosen": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    "rolling": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
    "written": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{choices[0]}}",
        "generation_kwargs": {"until": ["film", "\n"], "max_gen_toks": 6},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, the network in hub/, and its GGUF files."""
    path = tmp_path_factory.mktemp("suite")
    model, context = make_byte_level_llama(path)
    for name, kind in (("f32", "F32"), ("q8", "Q8_0")):
        context.scratch = path / f"{name}-scratch"
        context.scratch.mkdir()
        converted = to_gguf.step.apply(model, to_gguf.Params(type=kind), context)
        (converted.folder / "model.gguf").rename(path / f"{name}.gguf")
    copy_gguf(path / "q8.gguf", path / "xverse.gguf", architecture="xverse")
    write_rows(path / "train.csv", 40, seed=1)
    write_rows(path / "gate.csv", 24, seed=2, prefix="g")
    for name, count, seed in (("questions-train", 24, 1), ("questions", 24, 2)):
        write_questions(path / f"{name}.jsonl", count, seed)
    for name, options in TASKS.items():
        table = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(path / "questions.jsonl")}},
            "test_split": "test",
            **options,
        }
        (path / f"{name}.yaml").write_text(yaml.safe_dump(table), "utf-8")
    return path


def write_questions(file: Path, count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = [
        {
            "id": f"q{seed}-{number}",
            "question": " ".join(generator.choice(WORDS, size=generator.integers(3, 9))),
            "choices": [" ".join(generator.choice(WORDS, size=size)) for size in (1, 2, 3)],
            "answer": int(generator.integers(3)),
        }
        for number in range(count)
    ]
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")


def run_of(folder: Path, task: str, models: str = MODELS) -> SuiteRun:
    return make_run(folder, SUITE.format(task=task, models=models))


def test_answers_are_those_of_the_network(folder: Path) -> None:
    run = run_of(folder, ANSWERS)
    answers = {
        name: run.measure_outcomes(name).answers for name in ("teacher", "network", "q8", "of-its-own")
    }
    assert all(column is not None for column in answers.values())
    assert list(answers["teacher"]) == list(answers["network"])
    assert any(answers["teacher"])
    assert np.mean(answers["q8"] == answers["teacher"]) > 0.5


def test_without_references_the_answers_are_compared(folder: Path) -> None:
    run = run_of(folder, SAME)
    assert run.measure_outcomes("network").column(SAME_ANSWERS).all()
    assert 0.5 < run.measure_outcomes("q8").column(SAME_ANSWERS).mean() <= 1


def test_a_temperature_is_one_line(folder: Path) -> None:
    run = run_of(folder, SAME + "temperature = 0.7\n")
    with pytest.raises(
        MeasureError, match="runtime llama_cpp can only choose the most likely token"
    ) as raised:
        run.measure_outcomes("q8")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("more", ["", "letters = true\n"], ids=["texts", "letters"])
def test_choices_have_the_likelihoods_of_the_network(folder: Path, more: str) -> None:
    run = run_of(folder, CHOICES + more)
    teacher, network, rounded = (run.measure_outcomes(name) for name in ("teacher", "network", "q8"))
    np.testing.assert_allclose(teacher.probabilities, network.probabilities, atol=1e-4)
    np.testing.assert_allclose(teacher.probabilities, rounded.probabilities, atol=0.1)
    assert not np.array_equal(teacher.probabilities, rounded.probabilities)
    assert np.isfinite(run.measure_outcomes("of-its-own").probabilities).all()


@pytest.mark.parametrize("name", TASKS)
def test_tasks_of_lm_eval_score_as_the_network(folder: Path, name: str) -> None:
    pytest.importorskip("lm_eval")
    run = run_of(folder, EVALUATED.format(names=f'"{name}.yaml"'))
    teacher, network = run.measure_outcomes("teacher"), run.measure_outcomes("network")
    assert teacher.values.keys() == network.values.keys()
    for column, values in teacher.values.items():
        np.testing.assert_allclose(values, network.values[column], rtol=1e-4, atol=1e-6, err_msg=column)
    if name == "written":
        assert list(teacher.answers) == list(network.answers)
    assert run.measure_outcomes("of-its-own").values.keys() == teacher.values.keys()


@pytest.mark.parametrize(
    "task",
    [ANSWERS, CHOICES, EVALUATED.format(names='"written.yaml"')],
    ids=["answers", "choices", "lm_eval"],
)
def test_a_copy_that_is_loaded_again_answers_the_same(folder: Path, task: str) -> None:
    """The self-test of a teacher: its tokenizer keeps the special tokens of the file."""
    before, after = predict_identical_copy(run_of(folder, task).make_handle(TEACHER), seed=0)
    assert not before.changed_rows(after).any()


def test_the_metrics_of_a_variant_are_judged(folder: Path) -> None:
    run = run_of(folder, CHOICES)
    accuracy = load_metric("accuracy")
    of_teacher, of_network = (
        compute_value(accuracy, run.measure_outcomes(name)) for name in ("teacher", "network")
    )
    assert of_teacher == of_network
