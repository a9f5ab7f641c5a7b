"""The task causal_lm: documents, windows, models and outcomes."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors
import torch
from support.refused_options import read_refusal

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context, save_model
from slimgate.errors import BuildError, DataError, SuiteError
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.models.predict import predict_scores
from slimgate.models.torch_model import load_torch_model
from slimgate.outcomes import Outcomes
from slimgate.plugins.loading import load
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.finetune import fine_tune
from slimgate.steps.quantize import int8_dynamic
from slimgate.tasks import causal_lm as task
from slimgate.tasks.parts.objectives import NO_ANSWER

Params = task.Params
PARAMS = Params(text=("text",), max_tokens=8, stride=4)
WORDS = ("good", "nice", "great", "film", "plot", "the", "a", "is", "bad")


def rows_of(texts: Sequence[str]) -> Rows:
    return Rows(pa.table({"id": [f"d{i}" for i in range(len(texts))], "text": list(texts)}))


def documents(*lengths: int) -> Rows:
    rng = np.random.default_rng(0)
    return rows_of([" ".join(rng.choice(WORDS, length)) for length in lengths])


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    return write_tiny(path, request.param, causal=True, initializer_range=0.5)


@pytest.fixture
def model(folder: Path, tmp_path: Path) -> Any:
    return load_tiny(folder, make_tiny_context(tmp_path, task=task.task, params=PARAMS))


def judged(model: Any, rows: Rows, params: Any = PARAMS, *, batch_size: int = 3) -> Outcomes:
    def read(output: Any, batch: Any) -> Any:
        return task.task.read_output(params, output, batch)

    encoded = task.make_judged_windows(params, rows, model.tokenizer)
    predictor = EagerPredictor(model.network, "cpu")
    scores = predict_scores(predictor, encoded, batch_size=batch_size, read=read)
    return task.task.outcomes(TaskFacts(()), rows, scores, params, None)


def by_transformers(model: Any, ids: list[int], *, width: int, stride: int) -> float:
    """Nats of a document as transformers' own guide to perplexity sums them, a window at a time."""
    total, end_before = 0.0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + width, len(ids))
        inputs = torch.tensor([ids[begin:end]])
        labels = inputs.clone()
        labels[:, : -(end - end_before)] = -100
        with torch.no_grad():
            loss = model.network(input_ids=inputs, labels=labels).loss
        counted = int((labels[:, 1:] != -100).sum())
        total += float(loss) * counted
        end_before = end
        if end == len(ids):
            break
    return total


def test_nats_are_those_of_transformers_sliding_windows(model: Any) -> None:
    rows = documents(5, 8, 21)
    outcomes = judged(model, rows)
    ids = [model.tokenizer(text)["input_ids"] for text in rows.table["text"].to_pylist()]
    expected = [by_transformers(model, tokens, width=8, stride=4) for tokens in ids]
    assert outcomes.column("nats") == pytest.approx(expected, rel=1e-5)
    assert outcomes.column("tokens").tolist() == [4, 7, 20]


def test_a_rows_outcome_does_not_depend_on_its_batch(model: Any) -> None:
    rows = documents(3, 30, 9, 2, 17)
    alone, together = judged(model, rows, batch_size=1), judged(model, rows, batch_size=16)
    assert alone.column("nats") == pytest.approx(together.column("nats"), rel=1e-6)
    assert alone.column("right_tokens").tolist() == together.column("right_tokens").tolist()


def test_right_tokens_are_those_that_the_model_holds_likeliest(model: Any) -> None:
    rows = documents(6)
    ids = model.tokenizer(rows.table["text"][0].as_py(), return_tensors="pt")["input_ids"]
    with torch.no_grad():
        likeliest = model.network(input_ids=ids).logits[0].argmax(-1)
    assert judged(model, rows).column("right_tokens")[0] == float((likeliest[:-1] == ids[0, 1:]).sum())


def test_bytes_are_of_the_text_whatever_the_tokenizer(model: Any) -> None:
    outcomes = judged(model, rows_of(["good film é", "the plot"]))
    assert outcomes.column("bytes").tolist() == [12, 8]
    assert outcomes.given == ("bytes",)


def test_a_stride_of_the_whole_window_counts_fewer_tokens(model: Any) -> None:
    rows = documents(40)
    tokens = {
        stride: judged(model, rows, Params(text=("text",), max_tokens=8, stride=stride)).column("tokens")[0]
        for stride in (1, 4, 8)
    }
    assert tokens == {1: 39, 4: 39, 8: 35}


def test_a_start_and_an_end_token_are_counted_once_each(model: Any) -> None:
    params = Params(text=("text",), max_tokens=8, add_bos=True, add_eos=True)
    rows = rows_of(["good film"])
    [ids] = task.tokenize_rows(params, rows, model.tokenizer)
    plain = model.tokenizer("good film")["input_ids"]
    assert ids == [model.tokenizer.bos_token_id, *plain, model.tokenizer.eos_token_id]
    assert judged(model, rows, params).column("tokens")[0] == 3
    framed = [model.tokenizer.bos_token, "good", "film", model.tokenizer.eos_token]
    assert task.tokenize_rows(params, rows_of([" ".join(framed)]), model.tokenizer) == [ids]


@pytest.mark.parametrize(
    ("options", "skipped"),
    [({"stride": 4}, [1, 1]), ({"stride": 8}, [1, 3]), ({"stride": 4, "add_bos": True}, [0, 0])],
    ids=["overlap", "no-overlap", "start-token"],
)
def test_tokens_that_are_not_predicted_are_counted(
    model: Any, options: dict[str, Any], skipped: list[int]
) -> None:
    rows, params = documents(5, 21), Params(text=("text",), max_tokens=8, **options)
    outcomes = judged(model, rows, params)
    assert outcomes.column("skipped_tokens").tolist() == skipped
    assert (outcomes.column("tokens") + outcomes.column("skipped_tokens")).tolist() == [5, 21]


def test_the_end_token_replaces_a_start_token(model: Any) -> None:
    model.tokenizer.bos_token = None
    end = model.tokenizer.eos_token_id
    rows, params = documents(3, 5), Params(text=("text",), max_tokens=8, stride=4, add_bos=True)
    assert [ids[0] for ids in task.tokenize_rows(params, rows, model.tokenizer)] == [end, end]
    outcomes = judged(model, rows, params)
    assert outcomes.column("tokens").tolist() == [3, 5]
    assert outcomes.column("skipped_tokens").tolist() == [0, 0]
    model.tokenizer.eos_token = None
    with pytest.raises(DataError, match=r"add_bos = true, but .* has no bos token"):
        task.tokenize_rows(Params(text=("text",), add_bos=True), documents(3), model.tokenizer)


def test_a_row_of_which_no_token_is_predicted_is_named(model: Any) -> None:
    with pytest.raises(DataError, match=r"row d1 has 1 tokens, .* add_bos = true"):
        task.make_judged_windows(PARAMS, documents(3, 1), model.tokenizer)
    assert len(task.task.encode_rows(PARAMS, documents(3, 1, 4), model.tokenizer)) == 2
    with pytest.raises(DataError, match="no row has two tokens"):
        task.task.encode_rows(PARAMS, documents(1), model.tokenizer)


def test_a_gate_row_without_text_is_named_before_any_model_loads() -> None:
    with pytest.raises(DataError, match=r'gate row d1 has no text in column "text"'):
        task.task.facts(PARAMS, {"gate": rows_of(["good", "  "])})
    assert task.task.facts(PARAMS, {"train": rows_of([""]), "gate": rows_of(["good"])}).classes == ()


def test_every_token_but_the_first_is_learnt_once(model: Any) -> None:
    encoded = task.task.encode_rows(PARAMS, documents(20), model.tokenizer)
    labels = task.task.targets(PARAMS, documents(20), TaskFacts(()), encoded)
    learnt = [label for row in labels.rows for label in row if label != NO_ANSWER]
    assert learnt == model.tokenizer(documents(20).table["text"][0].as_py())["input_ids"][1:]


def test_training_lowers_perplexity_and_logs_right_tokens(model: Any, tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path, train=128, task=task.task, params=PARAMS)
    rows = context.rows("selection")
    before = compute_value(load_metric("perplexity"), judged(model, rows))
    fine_tune.step.apply(model, fine_tune.Params(epochs=2, learning_rate=3e-3), context)
    assert compute_value(load_metric("perplexity"), judged(model, rows)) < 0.5 * before
    assert set(context.log["epochs"][0]) >= {"epoch", "loss", "loss_selection", "accuracy_selection"}


def test_a_fault_makes_rows_less_likely_and_no_token_right(model: Any) -> None:
    outcomes = judged(model, documents(5, 9, 4))
    worse = task.task.with_planted_fault(outcomes, np.array([1]))
    assert worse.column("nats") - outcomes.column("nats") == pytest.approx([0, 16, 0])
    assert worse.column("right_tokens")[1] == 0
    assert worse.take(np.array([0, 2])).column("nats").tolist() == outcomes.column("nats")[[0, 2]].tolist()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_positions": 4}, "positions for 4 tokens"),
        ({"architectures": ["BertForMaskedLM"]}, "is a BertForMaskedLM, expected a causal language model"),
        ({"architectures": ["GPT2ForSequenceClassification"]}, "expected a causal language model"),
    ],
    ids=["positions", "masked", "classifier"],
)
def test_a_model_that_cannot_serve_is_refused_by_its_config(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        task.task.check_model(PARAMS, ModelRef("../m"), config, None)
    task.task.check_model(PARAMS, ModelRef("../m"), {"architectures": ["GPT2LMHeadModel"]}, None)


def test_a_model_that_sees_the_next_token_is_an_error(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "m", "bert")
    config = json.loads((folder / "config.json").read_text())
    for decoder in (True, False):
        (folder / "config.json").write_text(json.dumps({**config, "is_decoder": decoder}))
        context, ref = (
            make_tiny_context(tmp_path, task=task.task, params=PARAMS),
            ModelRef("fresh:m", folder, fresh=True),
        )
        if decoder:
            task.task.load_model(PARAMS, ref, context)
            continue
        with pytest.raises(
            BuildError, match="BertLMHeadModel sees the tokens that it should predict; expected"
        ):
            task.task.load_model(PARAMS, ref, context)


def test_a_folder_without_the_output_layer_is_an_error(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "m", "llama")
    with pytest.raises(BuildError, match=r"its files lack 1 \(lm_head\.weight\)"):
        load_tiny(folder, make_tiny_context(tmp_path, task=task.task, params=PARAMS))


def test_a_fresh_model_reads_by_a_tokenizer_of_the_train_rows(tmp_path: Path) -> None:
    shape = {"model_type": "gpt2", "vocab_size": 300, "n_embd": 16, "n_layer": 1, "n_head": 2}
    (tmp_path / "config.json").write_text(json.dumps({**shape, "n_positions": 16}))
    context = make_tiny_context(tmp_path, task=task.task, params=PARAMS)
    model = task.task.load_model(PARAMS, ModelRef("fresh:m", tmp_path, fresh=True), context)
    assert model.network.lm_head.out_features == len(model.tokenizer) == model.config.vocab_size
    assert model.tokenizer.decode(model.tokenizer("the film, é")["input_ids"]) == "the film, é"
    again = task.task.load_model(PARAMS, ModelRef("fresh:m", tmp_path, fresh=True), context)
    assert torch.equal(again.network.lm_head.weight, model.network.lm_head.weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": ("a", "b")}, "text: Tuple should have at most 1 item"),
        (
            {"text": ("a",), "max_tokens": 8, "stride": 9},
            "stride = 9 skips tokens between windows of max_tokens = 8",
        ),
        ({"text": ("a",), "stride": 0}, "stride: Input should be greater than or equal to 1"),
    ],
    ids=["two texts", "gaps", "no stride"],
)
def test_wrong_params_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(Params, options).startswith(message)


# --- the output layer that is the token table


def stored_numbers(model: Any, folder: Path) -> int:
    save_model(model, folder)
    with safetensors.safe_open(str(folder / "model.safetensors"), "pt") as stored:
        return sum(stored.get_tensor(name).numel() for name in stored.keys())  # noqa: SIM118


def test_a_shared_output_layer_is_stored_once_also_after_int8(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", task=task.task, params=PARAMS)
    model = load_tiny(write_tiny(tmp_path / "m", "gpt2", causal=True), context)
    before = stored_numbers(model, tmp_path / "before")
    assert before == sum(parameter.numel() for parameter in model.network.parameters())
    model = int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    scales = sum(m.weight_scale.numel() for m in model.network.modules() if hasattr(m, "weight_scale"))
    assert stored_numbers(model, tmp_path / "after") == before + scales
    assert model.network.lm_head.weight is model.network.transformer.wte.weight


def test_a_shared_table_in_int8_is_one_table_and_loads_as_one(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", task=task.task, params=PARAMS)
    model = load_tiny(write_tiny(tmp_path / "m", "gpt2", causal=True), context)
    before = model.measure_size()["parameters"]
    model = int8_dynamic.step.apply(model, int8_dynamic.Params(embeddings=True), context)
    assert model.measure_size()["parameters"] == before
    assert "warning" not in context.log
    scales = {
        id(m.weight_scale): m.weight_scale for m in model.network.modules() if hasattr(m, "weight_scale")
    }
    assert stored_numbers(model, tmp_path / "int8") == before + sum(
        scale.numel() for scale in scales.values()
    )
    again = load_torch_model(tmp_path / "int8")
    assert again.network.lm_head.weight is again.network.transformer.wte.weight
    assert again.measure_size() == model.measure_size()
    rows = documents(9, 4)
    assert judged(again, rows).column("nats").tolist() == judged(model, rows).column("nats").tolist()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("int8_dynamic", {"output_layer": True}),
        ("weight_only", {"group_size": 16, "embeddings": 8}),
        ("int8_static", {"embeddings": True}),
        ("binarize", {"embeddings": True, "epochs": 1, "hidden_weight": 0.0}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_shared_table_of_which_a_half_changes_has_a_warning(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=16, task=task.task, params=PARAMS)
    model = load_tiny(write_tiny(tmp_path / "m", "gpt2", causal=True), context)
    context.load_teacher = lambda: copy.deepcopy(model)
    step = load("step", name)
    step.apply(model, step.Params.model_validate(options), context)
    assert "transformer.wte and lm_head were one table, and are stored apart now" in context.log["warning"]
    assert context.log["untied"] == ["transformer.wte", "lm_head"]
    # a float32 table beside a quantized copy is more than the table alone; two quantized ones may be less
    quantized = name in ("weight_only",) and {"embeddings", "output_layer"} <= options.keys()
    assert ("that takes more bytes" in context.log["warning"]) is not quantized


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cast", {}),
        ("trim_vocabulary", {"vocab_size": 15}),
        ("magnitude_prune", {"sparsity": 0.5}),
        ("keep_layers", [0, 2]),
        ("prune_hidden", {"pruning_ratio": 0.25}),
        ("low_rank", {"rank": 8}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_shared_table_stays_one_through_other_steps(tmp_path: Path, name: str, options: Any) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=16, task=task.task, params=PARAMS)
    model = load_tiny(write_tiny(tmp_path / "m", "gpt2", causal=True), context)
    step = load("step", name)
    model = step.apply(model, step.Params.model_validate(options), context)
    network = model.network
    assert network.lm_head.weight is network.transformer.wte.weight
    assert stored_numbers(model, tmp_path / "after") == model.measure_size()["parameters"]
