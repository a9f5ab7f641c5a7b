"""`slimgate export`: folders that the plain libraries load, held against what slimgate itself predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support.exported_models import Run, apply_steps, make_classifier, store_model
from transformers import AutoConfig

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny
from fixtures.models.embeddings import LABELS, PAIRS, make_embedding_context
from fixtures.models.kept_models import predict_with_readme
from slimgate.cli.export.forms import Written
from slimgate.cli.export.snippets import make_snippet
from slimgate.models.predict import predict_scores
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import find_form
from slimgate.steps.agreement import make_default_predictor
from slimgate.tasks import causal_lm, text_classification

pytestmark = pytest.mark.slow
# What float32 leaves open between two libraries, of a share.
ROUNDING = 1e-5
# An int8 layer takes now and then the next of its 256 levels, and a tiny random network shows it.
INTEGER_ROUNDING = 2e-3
ONE_BLOCK: dict[str, Any] = {"initializer_range": 0.2, "num_hidden_layers": 1}


def encoder(folder: Path, context: BuildContext) -> Any:
    """A BERT of one block that gives a vector for each text."""
    return load_tiny(write_tiny(folder / "hub", "bert", **ONE_BLOCK), context)


def selection(context: BuildContext) -> list[str]:
    texts: list[str] = context.rows("selection").table["text"].to_pylist()
    return texts


def own_shares(model: Any, context: BuildContext) -> npt.NDArray[np.float64]:
    """The probabilities that slimgate's outcomes have, of the rows of `selection` as one batch."""
    rows = context.rows("selection")
    encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
    scores = predict_scores(make_default_predictor(model, context), encoded, batch_size=len(rows))
    probabilities = context.task.outcomes(
        context.facts, rows, scores, context.task_params, None
    ).probabilities
    return np.asarray(probabilities)


def test_a_bert_with_own_pooling_loads_in_transformers(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    model = apply_steps(make_classifier(tmp_path, context, blocks=4), context, "keep_layers", root=[0, 2])
    expected = own_shares(model, context)

    code, out, _ = export(store_model(tmp_path, model, context))

    assert (code, "wrote small in the format transformers" in out) == (0, True)
    out_folder = tmp_path / "out"
    assert {"model.safetensors", "tokenizer.json", "config.json", "README.md"} <= {
        file.name for file in out_folder.iterdir()
    }
    assert json.loads((out_folder / "config.json").read_text())["id2label"] == {"0": "neg", "1": "pos"}
    assert np.abs(predict_with_readme(out_folder, selection(context), "shares") - expected).max() < ROUNDING
    assert not list(tmp_path.glob(".out*")), "what was written beside is gone"


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_mean_pooling_is_a_graph_and_nothing_for_transformers(
    tmp_path: Path, context: BuildContext, export: Run, form: str
) -> None:
    model = make_classifier(tmp_path, context, pooling="mean")
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    code, _, err = export(run, "--format", "transformers")
    assert code == 4
    assert err.splitlines() == [
        "slimgate export: writing small",
        "slimgate export: small: no transformers class can load it (MeanPoolingClassifier is not a class "
        "of transformers); use --format onnx, or --format openvino",
    ]
    assert not (tmp_path / "out").exists()

    assert export(run, "--format", form)[0] == 0
    assert (
        np.abs(predict_with_readme(tmp_path / "out", selection(context), "shares") - expected).max()
        < ROUNDING
    )


def test_int8_layers_are_exported_with_their_integers(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    model = apply_steps(make_classifier(tmp_path, context), context, "int8_dynamic")
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    code, out, _ = export(run)

    assert (code, "wrote small in the format onnx" in out) == (0, True)
    assert np.abs(predict_with_readme(tmp_path / "out", selection(context), "shares") - expected).max() < (
        INTEGER_ROUNDING
    )
    assert "its times and bytes above are of that form" in (tmp_path / "out" / "README.md").read_text()
    assert "use --format onnx\n" in export(run, "--format", "openvino", "--force")[2]


@pytest.mark.parametrize(
    "steps",
    [("to_onnx", "onnx_int8_dynamic"), ("to_onnx", "onnx_optimize", "onnx_int8_dynamic")],
    ids=["as exported", "with inputs of 32 bits"],
)
def test_an_onnx_graph_is_the_file_that_was_judged(
    tmp_path: Path, context: BuildContext, export: Run, steps: tuple[str, ...]
) -> None:
    model = apply_steps(make_classifier(tmp_path, context), context, *steps)
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    assert export(run)[0] == 0

    readme = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "Needs `pip install onnxruntime tokenizers`" in readme
    assert "from transformers" not in readme, "its import takes seconds"
    judged = run.store / "artifacts" / "key-of-small" / "model.onnx"
    assert (tmp_path / "out" / "model.onnx").read_bytes() == judged.read_bytes()
    assert (
        np.abs(predict_with_readme(tmp_path / "out", selection(context), "shares") - expected).max()
        < ROUNDING
    )
    assert "use --format onnx" in export(run, "--format", "transformers", "--force")[2]


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_labels_keep_their_order(tmp_path: Path, form: str) -> None:
    """config.json sorts its keys as texts: "10" is before "2"."""
    names = tuple(f"label {number}" for number in range(12))
    hub = write_tiny(tmp_path, "bert", labels=names)
    config = AutoConfig.from_pretrained(hub)
    written = Written(form, None, config, tokenizer_is_enough=True)
    lines = make_snippet(written, find_form(form), text_classification.task, {}).splitlines()
    first, second = (number for number, line in enumerate(lines) if line.startswith(("stored =", "labels =")))
    space: dict[str, Any] = {"json": json, "Path": Path}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(hub)
        exec("\n".join([lines[first], lines[second]]), space)
    assert [space["labels"][number] for number in range(12)] == list(names)


def test_default_labels_are_read_by_transformers(tmp_path: Path) -> None:
    """transformers leaves LABEL_0 and LABEL_1 out of config.json."""
    hub = write_tiny(tmp_path, "bert", labels=("LABEL_0", "LABEL_1"))
    assert "id2label" not in json.loads((hub / "config.json").read_text("utf-8"))
    written = Written("onnx", None, AutoConfig.from_pretrained(hub), tokenizer_is_enough=True)
    assert "AutoConfig" in make_snippet(written, find_form("onnx"), text_classification.task, {})


def test_an_openvino_graph_is_the_files_that_were_judged(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    model = apply_steps(make_classifier(tmp_path, context), context, "to_openvino")
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    assert export(run)[0] == 0

    for name in ("model.xml", "model.bin"):
        judged = run.store / "artifacts" / "key-of-small" / name
        assert (tmp_path / "out" / name).read_bytes() == judged.read_bytes()
    assert (
        np.abs(predict_with_readme(tmp_path / "out", selection(context), "shares") - expected).max()
        < ROUNDING
    )


def test_a_language_model_predicts_as_its_outcomes_say(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    context.task, context.task_params = causal_lm.task, causal_lm.Params(text=("text",), max_tokens=32)
    hub = write_tiny(tmp_path / "hub", "gpt2", causal=True, initializer_range=0.5, n_layer=1)
    model, rows = load_tiny(hub, context), context.rows("selection")
    windows = causal_lm.make_judged_windows(context.task_params, rows, model.tokenizer)
    sums = predict_scores(
        make_default_predictor(model, context),
        windows,
        batch_size=4,
        read=lambda output, batch: causal_lm.task.read_output(context.task_params, output, batch),
    )

    assert export(store_model(tmp_path, model, context))[0] == 0

    scores = predict_with_readme(tmp_path / "out", selection(context), "scores")
    log_shares = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    for row, ids in enumerate(model.tokenizer(selection(context))["input_ids"]):
        nats = -sum(log_shares[row, place, token] for place, token in enumerate(ids[1:]))
        assert nats == pytest.approx(sums[row, 0], abs=1e-3)


@pytest.mark.parametrize("params", [PAIRS, LABELS], ids=["pairs", "labels"])
def test_an_encoder_gives_a_vector_for_each_text(tmp_path: Path, export: Run, params: Any) -> None:
    context = make_embedding_context(tmp_path / "rows", params)
    model = encoder(tmp_path, context)
    rows = context.rows("selection")
    encoded = context.task.encode_rows(params, rows, model.tokenizer)
    vectors = predict_scores(make_default_predictor(model, context), encoded, batch_size=8)
    documents = vectors[:, -1] if vectors.ndim == 3 else vectors

    assert export(store_model(tmp_path, model, context))[0] == 0

    predicted = predict_with_readme(tmp_path / "out", selection(context), "vectors")
    assert predicted.shape == (len(documents), 1, documents.shape[1])
    assert np.abs(predicted[:, 0] - documents).max() < ROUNDING


def test_a_static_encoder_loads_with_sentence_transformers_too(tmp_path: Path, export: Run) -> None:
    library = pytest.importorskip("sentence_transformers", reason="loaded with sentence-transformers")
    params = LABELS.model_copy(update={"prompts": ("good ",)})
    context = make_embedding_context(tmp_path / "rows", params)
    model = encoder(tmp_path, context)
    model = apply_steps(model, context, "static_student", dims=8)
    encoded = context.task.encode_rows(params, context.rows("selection"), model.tokenizer)
    vectors = predict_scores(make_default_predictor(model, context), encoded, batch_size=8)

    code, printed, _ = export(store_model(tmp_path, model, context))

    assert code == 0, printed
    texts = [f"good {text}" for text in selection(context)]
    assert np.abs(predict_with_readme(tmp_path / "out", texts, "vectors")[:, 0] - vectors).max() < ROUNDING
    theirs = library.SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts)
    assert np.abs(theirs - vectors).max() < ROUNDING
    assert (
        "of texts that are not cut; put the prompt before each text."
        in (tmp_path / "out/README.md").read_text()
    )


def test_a_static_encoder_is_exported_without_slow_tokenizer(tmp_path: Path, export: Run) -> None:
    from transformers import EsmTokenizer

    context = make_embedding_context(tmp_path / "rows", LABELS)
    folder = write_tiny(tmp_path / "hub", "bert")
    model = load_tiny(folder, context)
    special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "pad_token": "[PAD]", "eos_token": "[SEP]"}
    model.tokenizer = EsmTokenizer(str(folder / "vocab.txt"), mask_token="[MASK]", **special)
    model = apply_steps(model, context, "static_student", dims=8)
    code, printed, _ = export(store_model(tmp_path, model, context))
    assert code == 0, printed
    assert not (tmp_path / "out/modules.json").exists()
    assert "SentenceTransformer" not in (tmp_path / "out/README.md").read_text()


def test_a_graph_of_pairs_keeps_the_order_of_the_texts(tmp_path: Path, export: Run) -> None:
    context = make_embedding_context(tmp_path / "rows", PAIRS, calibration=16)
    model = encoder(tmp_path, context)
    rows = context.rows("selection")
    encoded = context.task.encode_rows(PAIRS, rows, model.tokenizer)
    vectors = predict_scores(make_default_predictor(model, context), encoded, batch_size=8)
    graph = apply_steps(model, context, "to_onnx")

    assert export(store_model(tmp_path, graph, context))[0] == 0

    texts = [*rows.table["summary"].to_pylist(), *rows.table["text"].to_pylist()]
    predicted = predict_with_readme(tmp_path / "out", texts, "vectors")
    assert np.abs(predicted[:, 0] - np.concatenate([vectors[:, 0], vectors[:, 1]])).max() < ROUNDING


@pytest.mark.parametrize("step", ["weight_only", "gptq"])
def test_weights_of_few_bits_are_float_again_in_the_graph(
    tmp_path: Path, context: BuildContext, export: Run, step: str
) -> None:
    model = apply_steps(make_classifier(tmp_path, context), context, step, group_size=16, embeddings=8)
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    code, out, _ = export(run)

    assert (code, "wrote small in the format onnx" in out) == (0, True)
    predicted = predict_with_readme(tmp_path / "out", selection(context), "shares")
    assert np.abs(predicted - expected).max() < ROUNDING
    judged = sum(file.stat().st_size for file in (run.store / "artifacts" / "key-of-small").iterdir())
    assert (tmp_path / "out" / "model.onnx").stat().st_size > judged
