"""The method to_aoti: a package that answers as the network did, for all sizes, and holds no pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fixtures.architectures import write_tiny
from fixtures.building import load_tiny, tiny_context
from slimgate.errors import BuildError, DataError
from slimgate.methods import to_aoti
from slimgate.methods.to_aoti import Params
from slimgate.predicting import predict_scores
from slimgate.runtimes import aoti
from slimgate.runtimes.eager import EagerPredictor
from slimgate.store import files_of
from slimgate.tasks import text_classification

torch.set_num_threads(1)


def tiny(root: Path, *, calibration: int = 12) -> tuple[Any, Any]:
    context = tiny_context(root / "rows", calibration=calibration)
    folder = write_tiny(
        root / "hub", "bert", labels=("neg", "pos"), initializer_range=0.2, num_hidden_layers=1
    )
    return load_tiny(folder, context), context


@pytest.mark.slow
def test_a_package_answers_as_the_network_and_loads_again(tmp_path: Path) -> None:
    model, context = tiny(tmp_path)
    encoded = text_classification.encode_rows(context.task_params, context.rows("selection"), model.tokenizer)
    before = predict_scores(EagerPredictor(model.network, "cpu"), encoded, batch_size=7)
    footprint = model.footprint()
    made = to_aoti.apply(model, Params(), context)
    assert made.kind == to_aoti.gives
    assert context.log["agreement_rows"] == 12 + 1 + 12
    assert context.log["max_difference_relative"] < 1e-4
    assert context.log["compile_seconds"] > 0
    assert made.footprint() == footprint
    saved = tmp_path / "saved"
    saved.mkdir()
    made.save(saved)
    assert {"config.json", "model.pt2", "slimgate.json", "tokenizer.json"} <= set(files_of(saved))
    suffixes = {Path(name).suffix for name in zipfile.ZipFile(saved / "model.pt2").namelist()}
    assert suffixes <= {".so", ".cpp", ".json", ""}
    predictor = aoti.load(saved, aoti.Params(), device="cpu", threads=1)
    for batch_size in (7, 1):
        np.testing.assert_allclose(
            predict_scores(predictor, encoded, batch_size=batch_size), before, atol=1e-5
        )
    with pytest.raises(BuildError, match=r"compiled for device cpu, and this is cuda; build it here"):
        aoti.load(saved, aoti.Params(), device="cuda:0", threads=1)
    description = json.loads((saved / "slimgate.json").read_text("utf-8"))
    (saved / "slimgate.json").write_text(json.dumps({**description, "instructions": "aarch64 sve"}), "utf-8")
    with pytest.raises(BuildError, match=r"compiled for instructions aarch64 sve, and this is"):
        aoti.load(saved, aoti.Params(), device="cpu", threads=1)


def test_rows_of_one_token_and_a_row_alone_are_compared_too() -> None:
    batches = to_aoti._with_small_ones([{"input_ids": np.arange(12).reshape(3, 4)}])
    assert [batch["input_ids"].shape for batch in batches] == [(3, 4), (1, 4), (3, 1)]


@pytest.mark.parametrize(("rows", "expected"), [(1, (2, 4)), (3, (3, 4)), (4, (5, 4))])
def test_the_example_has_two_sizes_that_differ(rows: int, expected: tuple[int, int]) -> None:
    example = to_aoti._example({"input_ids": np.arange(rows * 4).reshape(rows, 4)})
    assert example["input_ids"].shape == expected


def test_scales_of_a_quantized_model_are_not_rounded(tmp_path: Path) -> None:
    model, context = tiny(tmp_path)
    model.kind = "torch_quantized"
    with pytest.raises(BuildError, match=r"kind torch_quantized holds scales .* leave precision out"):
        to_aoti.apply(model, Params(precision="bfloat16"), context)


def test_a_network_that_cannot_be_one_graph_is_one_line(tmp_path: Path) -> None:
    model, context = tiny(tmp_path)
    forward = model.network.forward

    def depends_on_the_rows(**inputs: Any) -> Any:
        return forward(**inputs) if inputs["input_ids"].sum() > 0 else None

    model.network.forward = depends_on_the_rows
    with pytest.raises(BuildError, match=r"to_aoti: \w+: ") as caught:
        to_aoti.apply(model, Params(), context)
    assert "\n" not in str(caught.value)


def test_it_needs_calibration_rows_and_a_tolerance_above_nothing(tmp_path: Path) -> None:
    model, context = tiny(tmp_path, calibration=0)
    with pytest.raises(DataError, match="calibration"):
        to_aoti.apply(model, Params(), context)
    with pytest.raises(ValidationError, match="greater than 0"):
        Params(tolerance=0.0)
