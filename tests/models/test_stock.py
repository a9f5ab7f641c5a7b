"""Which networks transformers' own classes hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fixtures.models.building import make_tiny_classifier
from slimgate.models.served import find_stock_difference
from slimgate.plugins.loading import load


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "gpt2", "llama"])
def test_a_model_as_it_was_loaded_is_held(tmp_path: Path, architecture: str) -> None:
    model, _ = make_tiny_classifier(tmp_path, architecture)
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
    model, context = make_tiny_classifier(tmp_path, calibration=16)
    loaded = load("step", step)
    reason = find_stock_difference(loaded.apply(model, loaded.Params(**options), context))
    assert message in str(reason)
