"""The task lm_eval: its documents, and results that equal those of lm-evaluation-harness itself."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context
from fixtures.models.tiny import BAD, GOOD, OTHER
from slimgate.errors import DataError, MeasureError
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.outcomes import Outcomes
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.convert import to_onnx
from slimgate.steps.finetune import fine_tune
from slimgate.tasks import lm_eval as task
from slimgate.tasks.parts.lm_eval_documents import load_documents, score_documents

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
WORDS = (*GOOD, *BAD, *OTHER)
FACTS = TaskFacts(())
TASKS: dict[str, dict[str, Any]] = {
    # the plain score and the one by characters, with examples before each document
    "plain": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "fewshot_split": "train",
        "num_fewshot": 2,
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    # the choices are in the prompt, and every answer is one token; scores by bytes, and of the greedy answer
    "listed": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}} the {{choices[0]}} is {{choices[1]}}",
        "doc_to_choice": ["good", "bad", "film"],
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_bytes"}, {"metric": "exact_match"}],
    },
    "written": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{choices[0][0]}}",
        "generation_kwargs": {"until": ["film", "\n"], "max_gen_toks": 5},
        "filter_list": [
            {
                "name": "first",
                "filter": [{"function": "regex", "regex_pattern": "(\\w)"}, {"function": "take_first"}],
            },
            {"name": "whole", "filter": [{"function": "take_first"}]},
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    },
    "rolling": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}}",
        "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
    },
}


ERRORS = """
task: errors
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/test.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
process_results: !function rates.rate
metric_list:
  - metric: error_rate
    aggregation: mean{direction}
"""


def write_tasks(folder: Path, documents: int = 40) -> dict[str, str]:
    """YAML files of TASKS over local rows; name -> path."""
    generator = random.Random(0)
    for split, count in (("train", 12), ("test", documents)):
        rows = [
            {
                "question": " ".join(generator.choice(WORDS) for _ in range(generator.randint(3, 9))),
                "choices": [" ".join(some) for some in (generator.sample(WORDS, k) for k in (1, 2, 3))],
                "answer": generator.randrange(3),
            }
            for _ in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    files = {split: str(folder / f"{split}.jsonl") for split in ("train", "test")}
    for name, options in TASKS.items():
        table = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": files},
            "training_split": "train",
            "test_split": "test",
            **options,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(table), "utf-8")
    return {name: str(folder / f"{name}.yaml") for name in TASKS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks")


@pytest.fixture(scope="module")
def paths(folder: Path) -> dict[str, str]:
    return write_tasks(folder)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(
        tmp_path_factory.mktemp("llama"), "llama", causal=True, initializer_range=0.5, num_hidden_layers=2
    )


def params_of(paths: dict[str, str], *names: str, **options: Any) -> task.Params:
    return task.Params(tasks=tuple(paths[name] for name in names), **options)


def parts_of(params: task.Params) -> dict[str, Rows]:
    read = task.task.source.read(params, scratch=Path())
    return {name: Rows(table) for name, table in read.items()}


def judged(hub: Path, params: task.Params, rows: Rows, predictor: Any = None, **plan: Any) -> Outcomes:
    if predictor is None:
        predictor = EagerPredictor(AutoModelForCausalLM.from_pretrained(hub).eval(), "cpu")
    encoded = task.task.row_encoder(params, hub)(rows)
    answers = task.task.answer(params, predictor, encoded, AnswerPlan(**{"batch_size": 4, **plan}))
    return task.task.outcomes(FACTS, rows, answers, params, None)


def test_documents_that_change_under_an_old_time_are_read_again(tmp_path: Path) -> None:
    """datasets would take what it made of the file's path and time before."""
    paths = write_tasks(tmp_path, 6)
    file = tmp_path / "test.jsonl"
    before = parts_of(params_of(paths, "plain"))["gate"].table["prompt"].to_pylist()
    moment = file.stat().st_mtime_ns
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    changed = [{**row, "question": f"{row['question'][:-1]}?"} for row in rows]
    file.write_text("\n".join(map(json.dumps, changed)), "utf-8")
    os.utime(file, ns=(moment, moment))
    load_documents.cache_clear()
    after = parts_of(params_of(paths, "plain"))["gate"].table["prompt"].to_pylist()
    assert len(after) == len(before) == 6
    assert all(new.count("?") > old.count("?") for old, new in zip(before, after, strict=True))


def evaluate_as_lm_eval(hub: Path, files: list[str], **options: Any) -> dict[str, Any]:
    """What lm-eval gives for tasks in these files. It does not read the 14,000 files of its own tasks."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    results: dict[str, Any] = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(hub), "dtype": "float32"},
        tasks=files,
        task_manager=TaskManager(include_defaults=False),
        batch_size=4,
        device="cpu",
        bootstrap_iters=0,
        **options,
    )
    return results


@pytest.mark.slow
def test_scores_equal_those_of_simple_evaluate_to_the_last_digit(hub: Path, paths: dict[str, str]) -> None:
    names = ("plain", "listed", "written", "rolling")
    theirs = evaluate_as_lm_eval(hub, [paths[name] for name in names])
    ours = {}
    for name in names:
        params = params_of(paths, name)
        outcomes = judged(hub, params, parts_of(params)["gate"])
        ours[name] = outcomes
    results = theirs["results"]
    mean = {
        name: {key: float(outcomes.column(key).mean()) for key in outcomes.values}
        for name, outcomes in ours.items()
    }
    assert mean["plain"]["acc"] == results["plain"]["acc,none"]
    assert mean["plain"]["acc_norm"] == results["plain"]["acc_norm,none"]
    assert mean["listed"]["acc"] == results["listed"]["acc,none"]

    assert mean["written"]["task_score"] == results["written"]["exact_match,first"]
    for name, metric in (("plain", "acc"), ("listed", "acc"), ("written", "exact_match")):
        expected = [
            sample[metric] for sample in theirs["samples"][name] if sample["filter"] in ("none", "first")
        ]
        assert ours[name].column("task_score").tolist() == expected
        assert 0 < sum(expected) < len(expected)  # scores that are all alike would show nothing
    pairs = [sample["bits_per_byte"] for sample in theirs["samples"]["rolling"]]
    assert ours["rolling"].column("nats").tolist() == [-log_likelihood for log_likelihood, _ in pairs]
    assert ours["rolling"].column("bytes").tolist() == [size for _, size in pairs]
    # sums of floats in another order
    bits = compute_value(load_metric("bits_per_byte"), ours["rolling"])
    assert bits == pytest.approx(results["rolling"]["bits_per_byte,none"], rel=1e-12)


# ends with a blank, which the answer takes over
CHAT = (
    "{% for one in messages %}{{ 'the' if one['role'] == 'user' else 'is' }} {{ one['content'] }} "
    "{% endfor %}"
    "{% if add_generation_prompt %}is {% endif %}"
)


@pytest.fixture(scope="module")
def chat_hub(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, whose tokenizer has a chat template."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("chat") / "hub"
    shutil.copytree(hub, folder)
    tokenizer = AutoTokenizer.from_pretrained(hub)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("multiturn", [True, False], ids=["turns", "one-message"])
def test_chat_template_scores_equal_those_of_simple_evaluate(
    chat_hub: Path, paths: dict[str, str], multiturn: bool
) -> None:
    names = ("plain", "written")
    theirs = evaluate_as_lm_eval(
        chat_hub, [paths[name] for name in names], apply_chat_template=True, fewshot_as_multiturn=multiturn
    )
    for name, metric in (("plain", "acc_norm"), ("written", "exact_match")):
        params = params_of(paths, name, apply_chat_template=True, fewshot_as_multiturn=multiturn)
        params = params.model_copy(update={"score": {"plain": "acc_norm"} if name == "plain" else {}})
        scores = judged(chat_hub, params, parts_of(params)["gate"]).column("task_score").tolist()
        expected = [
            sample[metric] for sample in theirs["samples"][name] if sample["filter"] in ("none", "first")
        ]
        assert scores == expected
        assert 0 < sum(expected) < len(expected)


def test_the_chat_template_is_the_models_and_must_be_there(
    hub: Path, chat_hub: Path, paths: dict[str, str]
) -> None:
    turns = params_of(paths, "plain", apply_chat_template=True)
    prompt = load_documents(turns.selection, chat_hub).make_requests("plain/0")[0].args[0]
    assert prompt.startswith("the ")
    assert prompt.endswith(" is ")
    assert prompt.count(" is ") >= 3  # two examples, each with its answer, before the document
    together = params_of(paths, "plain", apply_chat_template=True, fewshot_as_multiturn=False)
    assert load_documents(together.selection, chat_hub).make_requests("plain/0")[0].args[0] != prompt
    with pytest.raises(DataError, match="has no chat template; leave it out, or use a model"):
        task.task.row_encoder(turns, hub)


def test_models_learn_targets_behind_the_template(chat_hub: Path, paths: dict[str, str]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_hub)
    params = params_of(paths, "plain", apply_chat_template=True)
    rows = parts_of(params)["train"]
    encoded = task.task.encode_rows(params, rows, tokenizer)
    prompt, target = (rows.table[name][0].as_py() for name in ("prompt", "target"))
    text = f"the {prompt} is {target.strip()}"
    ids = tokenizer(text)["input_ids"]
    assert list(encoded.columns["input_ids"][0]) == [i for i in ids if i != tokenizer.eos_token_id]


def test_rows_are_documents_with_the_training_split_to_learn(paths: dict[str, str]) -> None:
    params = params_of(paths, "plain", "written", limit=10)
    parts = parts_of(params)
    assert len(parts["gate"]) == 20
    assert parts["gate"].ids[:2] == ["plain/0", "plain/1"]
    assert len(parts["train"]) == 24
    first = json.loads((Path(paths["plain"]).parent / "train.jsonl").read_text().splitlines()[0])
    assert parts["train"].table["prompt"][0].as_py() == first["question"]
    assert parts["train"].table["target"][0].as_py() == " " + first["choices"][first["answer"]]


def test_the_digest_follows_documents_and_shots(paths: dict[str, str]) -> None:
    digest = task.task.source.digest
    plain = digest(params_of(paths, "plain"))
    assert plain == digest(params_of(paths, "plain"))
    assert (
        len({plain, digest(params_of(paths, "plain", fewshot=1)), digest(params_of(paths, "plain", limit=9))})
        == 3
    )


def test_some_rows_in_another_order_have_the_same_scores(hub: Path, paths: dict[str, str]) -> None:
    params = params_of(paths, "plain", "listed")
    rows = parts_of(params)["gate"]
    every = judged(hub, params, rows)
    some = np.random.default_rng(0).permutation(len(rows))[:30]
    order = np.random.default_rng(1).permutation(30)
    again = judged(hub, params, Rows(rows.table.take(some)), order=order)
    assert again.column("task_score").tolist() == every.column("task_score")[some].tolist()
    assert again.answers is not None
    assert every.answers is not None
    assert again.answers.tolist() == every.answers[some].tolist()


@pytest.mark.parametrize("name", ["listed", "written", "rolling"])
def test_training_documents_are_answered_as_those_of_the_gate(
    hub: Path, paths: dict[str, str], tmp_path: Path, name: str
) -> None:
    params = params_of(paths, name)
    train = parts_of(params)["train"] if name != "rolling" else Rows(pa.table({"id": ["rolling/train/3"]}))
    table = yaml.safe_load(Path(paths[name]).read_text("utf-8")) | {"test_split": "train"}
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(table), "utf-8")
    gate_params = params_of({name: str(tmp_path / f"{name}.yaml")}, name)
    gate = parts_of(gate_params)["gate"]
    places = [int(row_id.rpartition("/")[2]) for row_id in train.ids]

    def answered(params: task.Params, rows: Rows) -> Any:
        predictor = EagerPredictor(AutoModelForCausalLM.from_pretrained(hub).eval(), "cpu")
        encoded = task.task.row_encoder(params, hub)(rows)
        return task.task.answer(params, predictor, encoded, AnswerPlan(batch_size=1))

    answers, expected = answered(params, train), answered(gate_params, gate)
    assert [answer.values for answer in answers] == [expected[place].values for place in places]
    assert [answer.answer for answer in answers] == [expected[place].answer for place in places]


def test_a_training_document_is_no_example_of_its_own(paths: dict[str, str]) -> None:
    documents = load_documents(params_of(paths, "plain", fewshot=9).selection)
    for row in documents.rows["train"]:
        for request in documents.make_requests(row["id"]):
            examples, last = request.args[0].rsplit("\n\n", 1)
            assert last == row["prompt"]
            assert len(examples.split("\n\n")) == 9
            assert not any(example.startswith(f"{row['prompt']} ") for example in examples.split("\n\n"))


def test_task_score_takes_the_score_that_is_asked_for(hub: Path, paths: dict[str, str]) -> None:
    params = params_of(paths, "plain", "written", score={"plain": "acc_norm", "written": "exact_match,whole"})
    rows = parts_of(params)["gate"]
    outcomes = judged(hub, params, rows)
    plain = np.asarray(rows.table["task"].to_pylist()) == "plain"
    alone = params_of(paths, "plain")
    expected = judged(hub, alone, parts_of(alone)["gate"]).column("acc_norm")
    assert outcomes.column("task_score")[plain].tolist() == expected.tolist()
    assert "acc" not in outcomes.values
    assert outcomes.column("right").tolist() == (outcomes.column("task_score") == 1).astype(float).tolist()
    other = params_of(paths, "plain", score={"plain": "f1"})
    with pytest.raises(MeasureError, match='task plain has no score "f1"; it has acc, acc,none, acc_norm'):
        judged(hub, other, parts_of(other)["gate"])


def test_a_graph_gives_the_same_choices_and_writes_no_text(
    hub: Path, paths: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    from slimgate.steps.agreement import make_default_predictor

    params = params_of(paths, "plain", "listed")
    parts = parts_of(params)
    context = replace(
        make_tiny_context(tmp_path),
        task=task.task,
        task_params=params,
        splits={**parts, "calibration": parts["train"]},
    )
    graph = to_onnx.step.apply(load_tiny(hub, context), to_onnx.Params(), context)
    predictor = make_default_predictor(graph, context)
    ours = judged(hub, params, parts["gate"], predictor)
    assert (
        ours.column("task_score").tolist() == judged(hub, params, parts["gate"]).column("task_score").tolist()
    )
    written = params_of(paths, "written")
    with pytest.raises(
        MeasureError, match="gives scores and writes no text; tasks of generate_until need a PyTorch"
    ):
        judged(hub, written, parts_of(written)["gate"], predictor)


def test_models_learn_the_targets(hub: Path, paths: dict[str, str], tmp_path: Path) -> None:
    params = params_of(paths, "plain", max_tokens=32)
    parts = parts_of(params)
    splits = {"train": parts["train"], "selection": parts["train"]}
    context = replace(make_tiny_context(tmp_path), task=task.task, task_params=params, splits=splits)
    model = load_tiny(hub, context)
    encoded = task.task.encode_rows(params, parts["train"], model.tokenizer)
    target = parts["train"].table["target"][0].as_py()
    assert encoded.list_labels()[0][-len(target.split()) :] == model.tokenizer(target)["input_ids"]
    before = [p.clone() for p in model.network.parameters()]
    after = fine_tune.step.apply(model, fine_tune.Params(epochs=1), context)
    assert any(not torch.equal(a, b) for a, b in zip(before, after.network.parameters(), strict=True))


def test_a_planted_fault_lowers_every_score(hub: Path, paths: dict[str, str]) -> None:
    params = params_of(paths, "plain")
    outcomes = judged(hub, params, parts_of(params)["gate"])
    rows = np.flatnonzero(outcomes.column("task_score"))[:3]
    spoiled = task.task.with_planted_fault(outcomes, rows)
    assert spoiled.column("task_score").sum() == outcomes.column("task_score").sum() - len(rows)
    assert spoiled.column("acc")[rows].tolist() == [0.0] * len(rows)


def test_names_that_lm_eval_does_not_know_are_one_clear_error() -> None:
    with pytest.raises(DataError, match=r'lm-eval has no task "arc_esy". Did you mean arc_easy'):
        task.task.source.read(task.Params(tasks=("arc_esy",)), scratch=Path())
    with pytest.raises(ValidationError, match=r"missing\.yaml: no such file"):
        task.Params(tasks=("missing.yaml",))


def test_a_score_of_a_task_that_is_not_there_is_named(paths: dict[str, str]) -> None:
    params = params_of(paths, "plain", score={"plane": "acc"})
    rows = Rows(pa.table({"id": ["plain/0"], "task": ["plain"]}))
    with pytest.raises(DataError, match='score names "plane", and the tasks are plain'):
        task.task.facts(params, {"gate": rows})


@pytest.mark.parametrize(
    ("direction", "problem"),
    [
        ("\n    higher_is_better: false", "error_rate of task errors is better if it is lower, expected"),
        ("", "error_rate of task errors has no higher_is_better, expected a score with"),
        ("\n    higher_is_better: true", None),
    ],
    ids=["lower", "unknown", "higher"],
)
def test_a_score_must_be_better_if_it_is_higher(tmp_path: Path, direction: str, problem: str | None) -> None:
    (tmp_path / "test.jsonl").write_text('{"question": "film", "answer": "good"}\n', "utf-8")
    (tmp_path / "rates.py").write_text("def rate(doc, results):\n    return {'error_rate': 1.0}\n", "utf-8")
    path = tmp_path / "errors.yaml"
    path.write_text(ERRORS.format(folder=tmp_path, direction=direction), "utf-8")
    documents = load_documents(task.Params(tasks=(str(path),)).selection)
    answered = score_documents(documents, ["errors/0"], lambda _kind, requests: ["bad"] * len(requests))
    if problem is None:
        assert answered["errors/0"].score(None, "errors") == 1.0
    else:
        with pytest.raises(MeasureError, match=problem):
            answered["errors/0"].score(None, "errors")


def test_a_broken_task_file_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(
        "task: broken\ndataset_path: json\ndataset_kwargs: {data_files: {test: none.jsonl}}\n", "utf-8"
    )
    with pytest.raises(DataError, match="tasks: lm-eval cannot load them: "):
        task.task.source.read(task.Params(tasks=(str(path),)), scratch=Path())
