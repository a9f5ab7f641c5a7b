"""The step cast: what is kept in 16 bits, what stays float32, and in which format it computes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from fixtures.models.building import (
    MEAN,
    PARAMS,
    compute_scores,
    make_tiny_classifier,
    save_and_load,
    save_model,
)
from slimgate.models import precision
from slimgate.steps.prune import keep_layers
from slimgate.steps.quantize import cast, int8_dynamic

scores = partial(compute_scores, split="train")


@pytest.mark.parametrize("computes", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("architecture", "params"),
    [("roberta", PARAMS), ("electra", PARAMS), ("bert", MEAN)],
    ids=["roberta", "electra", "bert-mean"],
)
def test_answers_stay_close_and_come_back_to_the_bit(
    tmp_path: Path, architecture: str, params: Any, computes: str
) -> None:
    model, context = make_tiny_classifier(tmp_path, architecture, params=params)
    before, size = scores(model, context), model.measure_size()
    cast.step.apply(model, cast.Params.model_validate({"precision": computes}), context)
    after = scores(model, context)
    assert after.dtype == np.float32
    assert 0 < np.abs(after - before).max() < 0.1 * np.ptp(before)
    assert model.measure_size()["parameters"] == size["parameters"]
    assert model.measure_size()["state_bytes"] < 0.65 * size["state_bytes"]
    assert np.array_equal(scores(save_and_load(model, tmp_path / "saved"), context), after)


def test_matrices_are_16_bits_and_the_rest_is_float32(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, "bert")
    cast.step.apply(model, cast.Params(dtype="float16"), context)
    stored = safetensors.torch.load_file(save_model(model, tmp_path / "saved") / "model.safetensors")
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
    model, context = make_tiny_classifier(tmp_path, "bert")
    keep_layers.step.apply(model, keep_layers.Params((0, 2)), context)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    before = scores(model, context)
    cast.step.apply(model, cast.Params(), context)
    assert context.log["linear_layers"] == 0
    assert context.log["embedding_tables"] == 3
    assert np.abs(scores(model, context) - before).max() < 0.1 * np.ptp(before)
