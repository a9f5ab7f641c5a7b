"""The task text_classification: rows, labels, ready-made models, fresh heads and outcomes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from support.refused_options import read_refusal

from fixtures.models.architectures import write_tiny
from fixtures.models.building import PARAMS, load_tiny, make_tiny_classifier, make_tiny_context
from slimgate.errors import BuildError, DataError, SuiteError
from slimgate.models.config import list_model_labels
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.tasks import text_classification as task

REF = ModelRef("../m")
Params = task.Params


def make_rows(labels: list[Any], **columns: list[Any]) -> Rows:
    ids = [f"r{i}" for i in range(len(labels))]
    return Rows(pa.table({"id": ids, "label": labels, **columns}))


def compute_logits(model: Any, text: str = "good film bad") -> torch.Tensor:
    with torch.inference_mode():
        scores: torch.Tensor = model.network(**model.tokenizer(text, return_tensors="pt")).logits[0]
    return scores


# --- rows and labels


def test_columns_are_the_texts_and_the_label() -> None:
    pair = Params(text=("a", "b"), label="y")
    assert task.task.columns(pair) == ("a", "b", "y")
    assert task.task.text_columns(pair) == ("a", "b")
    assert task.task.label_column(pair) == "y"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": ()}, "text: Tuple should have at least 1 item"),
        ({"text": ("a", "b", "c")}, "text: Tuple should have at most 2 items"),
        ({"text": ("a",), "max_tokens": 1}, "max_tokens: Input should be greater than or equal to 2"),
        ({"text": ("a",), "pooling": "max"}, "pooling: Input should be 'model' or 'mean'"),
    ],
    ids=["no text", "three texts", "one token", "pooling"],
)
def test_wrong_params_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(Params, {"label": "y", **options}).startswith(message)


@pytest.mark.parametrize(
    ("labels", "classes", "indices"),
    [
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        (["10", "9", "10"], ("9", "10"), [1, 0, 1]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        (["pos", "neg", "pos"], ("neg", "pos"), [1, 0, 1]),
    ],
    ids=["int", "digits", "bool", "text"],
)
def test_labels_of_any_kind_become_indices(
    labels: list[Any], classes: tuple[str, ...], indices: list[int]
) -> None:
    rows = make_rows(labels)
    facts = task.task.facts(PARAMS, {"train": rows})
    assert facts.classes == classes
    assert task.task.label_indices(PARAMS, rows, facts).tolist() == indices


def test_classes_are_those_of_all_splits() -> None:
    splits = {"train": make_rows(["a", "b"]), "gate": make_rows(["c"])}
    assert task.task.facts(PARAMS, splits).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    "labels",
    [("pos", "pos "), ("pos", "Pos"), ("1", "1.0"), ("True", "true"), ("p\u00f6s", "po\u0308s")],
    ids=["space", "case", "number", "truth", "unicode"],
)
def test_a_label_in_two_spellings_is_an_error(labels: tuple[str, str]) -> None:
    """A model that learnt one spelling is wrong on gate rows with the other, and hides what variants lose."""
    splits = {"train": make_rows(["neg", labels[0]]), "gate": make_rows(["neg", labels[1]])}
    with pytest.raises(DataError, match=r'column "label" has the labels ".*" and ".*", which differ only in'):
        task.task.facts(PARAMS, splits)


def test_one_label_only_is_an_error() -> None:
    with pytest.raises(DataError, match=r'column "label" has only one label'):
        task.task.facts(PARAMS, {"train": make_rows(["a", "a"])})


def test_a_column_with_nearly_one_label_a_row_is_an_error() -> None:
    labels = [f"review {place}" for place in range(90)] + ["good"] * 30
    with pytest.raises(
        DataError, match=r'column "label" holds 91 labels in 120 rows, .* another of the columns text$'
    ):
        task.task.facts(PARAMS, {"train": make_rows(labels, text=["a film"] * 120)})


def test_one_and_two_columns_are_tokenised_and_cut(tmp_path: Path) -> None:
    model, _ = make_tiny_classifier(tmp_path)
    rows = make_rows(["neg"], text=["good film"], other=["bad " * 30])
    single = task.task.encode_rows(PARAMS, rows, model.tokenizer)
    assert single.lengths.tolist() == [4]
    pair = task.task.encode_rows(
        Params(text=("text", "other"), label="label", max_tokens=12), rows, model.tokenizer
    )
    assert pair.lengths.tolist() == [12]
    assert pair.columns["token_type_ids"][0] == [0] * 4 + [1] * 8
    model.save(tmp_path)
    again = task.task.row_encoder(PARAMS, tmp_path)(rows)
    assert again.columns == single.columns


# --- models


def test_max_tokens_must_fit_the_positions() -> None:
    long = Params(text=("text",), label="label", max_tokens=512)
    task.task.check_model(long, REF, {"max_position_embeddings": 512}, None)
    roberta = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    task.task.check_model(long, REF, roberta, None)
    task.task.check_model(long, REF, {"model_type": "llama"}, None)
    for config, positions in (
        ({"max_position_embeddings": 511}, 511),
        ({"n_positions": 256}, 256),
        ({**roberta, "max_position_embeddings": 513}, 511),
    ):
        with pytest.raises(
            SuiteError, match=rf"max_tokens = 512, but \.\./m has positions for {positions} tokens"
        ):
            task.task.check_model(long, REF, config, None)


def test_labels_of_a_ready_made_model_are_checked_before_loading() -> None:
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "good", "1": "evil"}}
    task.task.check_model(PARAMS, REF, config, None)
    task.task.check_model(PARAMS, REF, config, TaskFacts(("evil", "good")))
    with pytest.raises(SuiteError, match=r"\.\./m: .* Model: 0=good, 1=evil; data: 0=neg, 1=pos"):
        task.task.check_model(PARAMS, REF, config, TaskFacts(("neg", "pos")))
    mean = Params(text=("text",), label="label", pooling="mean")
    task.task.check_model(mean, REF, config, TaskFacts(("neg", "pos")))


def test_outputs_are_ordered_by_number_not_by_text() -> None:
    labels = {str(i): f"c{i}" for i in (10, 9, 2, 1, 0, 3, 4, 5, 6, 7, 8)}
    assert list_model_labels({"id2label": labels}) == [f"c{i}" for i in range(11)]
    assert list_model_labels({"num_labels": 3}) == ["LABEL_0", "LABEL_1", "LABEL_2"]


@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2"])
def test_outputs_of_a_ready_made_model_are_in_the_datas_order(tmp_path: Path, architecture: str) -> None:
    write_tiny(tmp_path / "a", architecture, labels=("a", "b", "c"), initializer_range=0.2)
    write_tiny(tmp_path / "b", architecture, labels=("c", "a", "b"), initializer_range=0.2)
    context = make_tiny_context(tmp_path / "rows", classes=("a", "b", "c"), selection=0)
    plain, permuted = load_tiny(tmp_path / "a", context), load_tiny(tmp_path / "b", context)
    assert context.log["output_order"] == [1, 2, 0]
    torch.testing.assert_close(compute_logits(permuted), compute_logits(plain)[[1, 2, 0]])
    assert permuted.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert len(set(compute_logits(plain).tolist())) == 3


def test_stated_labels_name_the_outputs_of_a_generic_model(tmp_path: Path) -> None:
    write_tiny(tmp_path / "hub", "bert", labels=("LABEL_0", "LABEL_1"), initializer_range=0.2)
    with pytest.raises(SuiteError, match="0=LABEL_0, 1=LABEL_1; data: 0=neg, 1=pos"):
        load_tiny(tmp_path / "hub", make_tiny_context(tmp_path / "rows"))
    stated = {
        labels: load_tiny(
            tmp_path / "hub",
            make_tiny_context(tmp_path / "rows", params=Params(text=("text",), label="label", labels=labels)),
        )
        for labels in (("neg", "pos"), ("pos", "neg"))
    }
    torch.testing.assert_close(
        compute_logits(stated["neg", "pos"]), compute_logits(stated["pos", "neg"]).flip(0)
    )


def test_a_generic_model_fits_labels_that_are_numbers(tmp_path: Path) -> None:
    write_tiny(tmp_path / "hub", "bert", labels=("LABEL_0", "LABEL_1"))
    context = make_tiny_context(tmp_path / "rows", classes=("0", "1"), selection=0)
    load_tiny(tmp_path / "hub", context)
    assert context.log["output_order"] == [0, 1]


def test_a_tokenizer_without_padding_pads_with_the_end_of_text(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows")
    model = load_tiny(write_tiny(tmp_path / "hub", "gpt2"), context)
    assert model.tokenizer.pad_token == model.tokenizer.eos_token
    assert model.config.pad_token_id == model.tokenizer.eos_token_id
    encoded = task.task.encode_rows(PARAMS, context.rows("train"), model.tokenizer)
    batch = {k: torch.from_numpy(v) for k, v in encoded.batch(range(5)).items()}
    assert model.network(**batch).logits.shape == (5, 2)


def test_loading_prints_nothing_keeps_generators_and_verbosity(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    write_tiny(tmp_path / "hub", "roberta")
    context = make_tiny_context(tmp_path / "rows")
    before, level, bars = torch.get_rng_state(), logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    load_tiny(tmp_path / "hub", context)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), before)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars)
    assert "classifier.dense.weight" in context.log["fresh_weights"]


def _drop_weights(folder: Path, gone: Callable[[str], bool]) -> None:
    import safetensors.torch

    weights = safetensors.torch.load_file(folder / "model.safetensors")
    rest = {name: value for name, value in weights.items() if not gone(name)}
    assert len(rest) < len(weights)
    safetensors.torch.save_file(rest, folder / "model.safetensors", {"format": "pt"})


def test_a_ready_made_model_that_lacks_its_head_is_an_error(tmp_path: Path) -> None:
    write_tiny(tmp_path / "hub", "bert", labels=("neg", "pos"))
    _drop_weights(tmp_path / "hub", lambda name: name.startswith("classifier"))
    with pytest.raises(
        BuildError, match=r"its files lack 2 \(classifier\.bias, classifier\.weight\) of the weights"
    ):
        load_tiny(tmp_path / "hub", make_tiny_context(tmp_path / "rows"))


def test_a_model_whose_config_has_another_width_is_an_error(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "hub", "bert", labels=("neg", "pos"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": config["hidden_size"] // 2}))
    with pytest.raises(BuildError, match="weights in its files have other shapes"):
        load_tiny(folder, make_tiny_context(tmp_path / "rows"))


@pytest.mark.parametrize("pooling", ["model", "mean"])
def test_a_model_that_lacks_weights_of_its_blocks_is_an_error(tmp_path: Path, pooling: Any) -> None:
    write_tiny(tmp_path / "hub", "bert")
    params = Params(text=("text",), label="label", max_tokens=32, pooling=pooling)
    load_tiny(tmp_path / "hub", make_tiny_context(tmp_path / "rows", params=params))
    _drop_weights(tmp_path / "hub", lambda name: "layer.1.output.dense.weight" in name)
    with pytest.raises(
        BuildError, match=r"its files lack 1 \(.*layer\.1\.output\.dense\.weight\) of the weights"
    ):
        load_tiny(tmp_path / "hub", make_tiny_context(tmp_path / "rows", params=params))


def test_a_head_is_fitted_only_where_the_model_has_none() -> None:
    ready = {"architectures": ["BertForSequenceClassification"]}
    assert task.task.load_reads(PARAMS, ready) == ("selection",)
    assert task.task.load_reads(PARAMS, {"architectures": ["BertModel"]}) == ("train", "selection")
    assert task.task.load_reads(PARAMS, {}) == ("train", "selection")
    assert task.task.load_reads(Params(text=("text",), label="label", pooling="mean"), ready) == (
        "train",
        "selection",
    )


# --- outcomes


def test_outcomes_are_the_softmax_of_the_logits() -> None:
    rows = make_rows(["b", "a"], file=["x", "y"])
    scores = np.asarray([[0.0, np.log(3)], [1000.0, 0.0]], dtype=np.float32)
    outcomes = task.task.outcomes(TaskFacts(("a", "b")), rows, scores, PARAMS, None)
    assert outcomes.probabilities is not None
    np.testing.assert_allclose(outcomes.probabilities, [[0.25, 0.75], [1.0, 0.0]], atol=1e-7)
    np.testing.assert_allclose(outcomes.probabilities.sum(axis=1), 1.0, atol=1e-15)
    assert outcomes.probabilities.dtype == np.float64
    assert outcomes.predictions.tolist() == [1, 0]
    assert outcomes.labels.tolist() == [1, 0]
    assert outcomes.ids.tolist() == ["r0", "r1"]
    assert outcomes.groups is None


@pytest.mark.parametrize("files", [["y", "x", "y"], [7, 3, 7]], ids=["text", "numbers"])
def test_rows_of_one_group_have_one_number(files: list[Any]) -> None:
    rows = make_rows(["a", "b", "a"], file=files)
    outcomes = task.task.outcomes(TaskFacts(("a", "b")), rows, np.zeros((3, 2), np.float32), PARAMS, "file")
    assert outcomes.groups is not None
    assert outcomes.groups.tolist() == [1, 0, 1]
