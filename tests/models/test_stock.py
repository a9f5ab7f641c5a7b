"""Which networks transformers' own classes hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context
from slimgate.models.stock import find_stock_difference
from slimgate.plugins.loading import load


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "gpt2", "llama"])
def test_a_model_as_it_was_loaded_is_held(tmp_path: Path, architecture: str) -> None:
    context = make_tiny_context(tmp_path / "rows")
    model = load_tiny(write_tiny(tmp_path / "hub", architecture, labels=("neg", "pos")), context)
    assert find_stock_difference(model) is None


@pytest.mark.parametrize(
    ("step", "options", "message"),
    [
        ("low_rank", {"rank": 4}, "LowRankLinear"),
        ("prune_heads", {"pruning_ratio": 0.5}, "and config.json says"),
        ("prune_ffn", {"pruning_ratio": 0.5}, "and config.json says"),
        ("int8_dynamic", {}, "Int8"),
    ],
)
def test_what_no_class_holds_is_named(tmp_path: Path, step: str, options: Any, message: str) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=16)
    model = load_tiny(write_tiny(tmp_path / "hub", "bert", labels=("neg", "pos")), context)
    loaded = load("step", step)
    reason = find_stock_difference(loaded.apply(model, loaded.Params(**options), context))
    assert message in str(reason)
