"""The step cast: what is kept in 16 bits, what stays float32, and in which format it computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from fixtures.models.architectures import write_tiny
from fixtures.models.building import PARAMS, load_tiny, make_tiny_context
from slimgate.models import precision
from slimgate.models.predict import predict_scores
from slimgate.models.torch_model import load_torch_model
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.prune import keep_layers
from slimgate.steps.quantize import cast, int8_dynamic
from slimgate.tasks import text_classification

torch.set_num_threads(1)
MEAN = text_classification.Params(text=("text",), label="label", max_tokens=32, pooling="mean")


def build(tmp_path: Path, architecture: str, mean: bool = False) -> tuple[Any, Any]:
    context = make_tiny_context(tmp_path / "rows", params=MEAN if mean else PARAMS)
    labels = None if mean else ("neg", "pos")
    folder = write_tiny(tmp_path / "hub", architecture, labels=labels, initializer_range=0.2)
    return load_tiny(folder, context), context


def scores(model: Any, context: Any) -> Any:
    encoded = text_classification.task.encode_rows(PARAMS, context.rows("train"), model.tokenizer)
    return predict_scores(EagerPredictor(model.network, "cpu"), encoded, batch_size=16)


@pytest.mark.parametrize("computes", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("architecture", "mean"),
    [("roberta", False), ("electra", False), ("bert", True)],
    ids=["roberta", "electra", "bert-mean"],
)
def test_answers_stay_close_and_come_back_to_the_bit(
    tmp_path: Path, architecture: str, mean: bool, computes: str
) -> None:
    model, context = build(tmp_path, architecture, mean)
    before, size = scores(model, context), model.measure_size()
    cast.step.apply(model, cast.Params.model_validate({"precision": computes}), context)
    after = scores(model, context)
    assert after.dtype == np.float32
    assert 0 < np.abs(after - before).max() < 0.1 * np.ptp(before)
    assert model.measure_size()["parameters"] == size["parameters"]
    assert model.measure_size()["state_bytes"] < 0.65 * size["state_bytes"]
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    assert np.array_equal(scores(load_torch_model(tmp_path / "saved"), context), after)


def test_matrices_are_16_bits_and_the_rest_is_float32(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    cast.step.apply(model, cast.Params(dtype="float16"), context)
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    stored = safetensors.torch.load_file(tmp_path / "saved" / "model.safetensors")
    half = {name for name, tensor in stored.items() if tensor.dtype == torch.float16}
    assert half == {n for n, t in stored.items() if t.dim() == 2} - {"classifier.weight"}
    assert all(stored[name].dtype == torch.float32 for name in stored.keys() - half)
    logged = {
        name: context.log[name] for name in ("dtype", "computes_in", "linear_layers", "embedding_tables")
    }
    assert list(logged.values()) == ["float16", "float32", 25, 3]


def test_bfloat16_is_computed_where_the_machine_does_so_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(precision, "_has_cpu_bf16", lambda native=native: native)
        assert cast.choose_product_format(cast.Params(), "cpu") == expected
    assert cast.choose_product_format(cast.Params(dtype="float16"), "cpu") == "float32"
    assert cast.choose_product_format(cast.Params(dtype="float16"), "cuda:0") == "float16"
    assert cast.choose_product_format(cast.Params(precision="bfloat16"), "cpu") == "bfloat16"


def test_computing_in_16_bits_unlike_the_weights_is_refused() -> None:
    with pytest.raises(ValidationError, match='expected "auto", "float32" or "bfloat16"'):
        cast.Params(dtype="bfloat16", precision="float16")


def test_what_int8_left_float_is_cast_and_cut_layers_stay_cut(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    keep_layers.step.apply(model, keep_layers.Params((0, 2)), context)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    before = scores(model, context)
    cast.step.apply(model, cast.Params(), context)
    assert context.log["linear_layers"] == 0
    assert context.log["embedding_tables"] == 3
    assert np.abs(scores(model, context) - before).max() < 0.1 * np.ptp(before)
