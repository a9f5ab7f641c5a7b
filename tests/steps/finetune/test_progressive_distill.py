"""The step progressive_distill: blocks go one after another, the least needed first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import load_tiny, make_tiny_context
from slimgate.errors import SuiteError
from slimgate.models.blocks import find_only_block_list
from slimgate.steps.finetune import progressive_distill
from slimgate.steps.finetune.progressive_distill import Params


def dropped(tmp_path: Path, *, idle: int | None = None, **options: Any) -> tuple[Any, Any]:
    """(model, context) after the step; block `idle` of the model passes its input on as it is."""
    folder = write_tiny_classifier(tmp_path / "hub", "gpt2", initializer_range=0.3)

    def load() -> Any:
        model = load_tiny(folder, make_tiny_context(tmp_path / "rows"))
        if idle is not None:
            block = find_only_block_list(model.network)[idle]
            for part in (block.attn.c_proj, block.mlp.c_proj):  # type: ignore[union-attr]
                torch.nn.init.zeros_(part.weight)  # type: ignore[union-attr, arg-type]
                torch.nn.init.zeros_(part.bias)  # type: ignore[union-attr, arg-type]
        return model

    context = make_tiny_context(tmp_path / "rows", teacher=load)
    params = Params(precision="float32", batch_size=16, **options)
    return progressive_distill.step.apply(load(), params, context), context


@pytest.mark.slow
def test_the_idle_block_goes_first_and_each_stage_is_logged(tmp_path: Path) -> None:
    model, context = dropped(tmp_path, idle=1, blocks=2, final_epochs=2)
    assert len(find_only_block_list(model.network)) == model.config.num_hidden_layers == 2
    stages = context.log["stages"]
    assert stages[0]["dropped"] == [1]
    assert [stage["blocks"] for stage in stages] == [3, 2]
    assert [len(stage["epochs"]) for stage in stages] == [1, 2]
    remaining = context.log["blocks_kept"]
    assert sorted([*remaining, *(number for stage in stages for number in stage["dropped"])]) == [0, 1, 2, 3]
    assert set(stages[1]["loss_parts"]) == {"labels", "soft"}


def test_the_top_goes_first_where_that_is_asked_for(tmp_path: Path) -> None:
    _, context = dropped(tmp_path, blocks=1, at_once=2, order="top")
    assert [stage["dropped"] for stage in context.log["stages"]] == [[2, 3], [1]]
    assert context.log["blocks_kept"] == [0]


def test_dropping_all_blocks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SuiteError, match="blocks = 4 was given, but the model has 4 at this step, expected fewer"
    ):
        dropped(tmp_path, blocks=4)
    assert progressive_distill.step.check(Params(blocks=2), {"n_layer": 4})["num_hidden_layers"] == 2


def test_logits_computed_once_anyway_cannot_be_asked_for_again() -> None:
    with pytest.raises(ValidationError, match="stored_logits"):
        Params.model_validate({"blocks": 2, "stored_logits": False})
