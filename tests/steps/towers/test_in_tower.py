"""The step in_tower: every step on either tower, which leaves the other one as it was."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fixtures.models.building import compute_scores, load_tiny, save_and_load
from fixtures.models.step_examples import EXAMPLES
from fixtures.models.tiny_clip import make_clip_context, write_tiny_clip
from slimgate.errors import BuildError, SuiteError
from slimgate.models.torch_model import TorchModel
from slimgate.models.two_towers import TOWERS
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import load
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.towers import in_tower

# Options that suit two towers where those of step_examples.py do not.
OWN: dict[str, Any] = {
    "lora": {"epochs": 1, "r": 2, "train_head": False},
    "lora_distill": {"epochs": 1, "r": 2, "train_head": False},
    "trim_vocabulary": {},
}
REFUSED = {"active_distill", "new_student", "prune_hidden", "static_student"}
SAME_ANSWERS = {"conv1d_to_linear", "trim_vocabulary"}
OF_VOCABULARY = {"trim_vocabulary", "factorize_embeddings"}
CASES = [
    pytest.param(step, OWN.get(step, examples[0]), tower, id=f"{step}-{tower}")
    for number, (step, examples) in enumerate(EXAMPLES.items())
    for tower in ("text" if step in OF_VOCABULARY else TOWERS[number % 2],)  # in turn: each is one code
    if step not in REFUSED
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> TorchModel:
    root = tmp_path_factory.mktemp("clip")
    model: TorchModel = load_tiny(write_tiny_clip(root / "model"), make_clip_context(root / "rows"))
    return model


def apply(base: TorchModel, folder: Path, tower: str, *steps: dict[str, Any]) -> tuple[TorchModel, Any]:
    params = in_tower.Params(tower=tower, steps=steps)  # type: ignore[arg-type]
    context = make_clip_context(folder / "rows", teacher=lambda: copy.deepcopy(base))
    return in_tower.step.resolve(params).apply(copy.deepcopy(base), params, context), context


def tower_state(model: TorchModel, tower: str) -> dict[str, torch.Tensor]:
    state = model.network.state_dict()
    return {
        name: tensor for name, tensor in state.items() if tower in name or name.startswith(f"clip.{tower}")
    }


@pytest.mark.parametrize(("step", "options", "tower"), CASES)
def test_a_step_changes_its_tower_alone_and_loads_the_same(
    base: TorchModel, tmp_path: Path, step: str, options: Any, tower: str
) -> None:
    model, context = apply(base, tmp_path, tower, {step: options})
    other = "text" if tower == "vision" else "vision"
    original = tower_state(base, other)
    assert {n: t for n, t in tower_state(model, other).items() if not torch.equal(t, original[n])} == {}
    answers = compute_scores(model, context)
    assert np.isfinite(answers).all()
    assert np.array_equal(answers, compute_scores(base, context)) == (step in SAME_ANSWERS)
    np.testing.assert_array_equal(compute_scores(save_and_load(model, tmp_path / "saved"), context), answers)


def test_both_towers_get_the_steps_in_turn_and_logs_apart(base: TorchModel, tmp_path: Path) -> None:
    steps = ({"keep_layers": [0, 3]}, {"int8_dynamic": {}})
    model, context = apply(base, tmp_path, "both", *steps)
    config = model.config
    assert config.text_config.num_hidden_layers == config.vision_config.num_hidden_layers == 2
    assert list(context.log) == [f"{t} {m}" for t in TOWERS for m in ("keep_layers", "int8_dynamic")]
    assert context.log["vision keep_layers"] == {"blocks_before": 4, "blocks_after": 2}
    assert model.kind == "torch_quantized"


def test_a_step_that_comes_twice_has_two_logs(base: TorchModel, tmp_path: Path) -> None:
    steps = ({"magnitude_prune": {"sparsity": 0.2}}, {"magnitude_prune": {"sparsity": 0.4}})
    _, context = apply(base, tmp_path, "vision", *steps)
    assert list(context.log) == ["vision magnitude_prune", "vision magnitude_prune 2"]


def test_a_step_that_needs_blocks_asks_for_a_tower(base: TorchModel, tmp_path: Path) -> None:
    from slimgate.steps.prune import magnitude_prune

    with pytest.raises(
        BuildError, match=r'for a model with two towers, choose one .*in_tower = \{ tower = "vision"'
    ):
        magnitude_prune.step.apply(
            copy.deepcopy(base), magnitude_prune.Params(sparsity=0.5), make_clip_context(tmp_path / "rows")
        )


def test_the_step_reads_and_gives_what_its_steps_do() -> None:
    steps = ({"wanda_prune": {"sparsity": 0.5}}, {"distill": {}}, {"int8_dynamic": {}})
    resolved = in_tower.step.resolve(in_tower.Params(steps=steps))
    assert resolved.reads == ("calibration", "train", "selection")
    assert (resolved.gives, resolved.uses_teacher, resolved.stochastic) == ("torch_quantized", True, True)
    assert resolved.takes == frozenset({"torch"})
    assert "slimgate.steps.prune.wanda_prune" in resolved.code_modules


class Measured(Step[Table]):
    requires = ("transformers>=5.18",)
    code_modules = ("slimgate.models.blocks",)

    def environment(self, params: Table) -> dict[str, Any]:  # noqa: ARG002
        return {"script": "a digest"}

    def by_processor(self, params: Table) -> bool:  # noqa: ARG002
        return True

    def apply(self, model: TorchModel, params: Table, context: BuildContext) -> TorchModel:  # noqa: ARG002
        return model


def test_what_the_keys_of_its_steps_have_is_in_its_key() -> None:
    plain = in_tower.InnerStep("plain", load("step", "keep_layers"), None)
    measured = in_tower.InnerStep("measured", Measured(), Table())
    params = in_tower.Params(tower="both", steps=({"keep_layers": [0]},))
    combined = in_tower.TowerSteps("both", [plain, measured])
    assert combined.environment(params) == {"1 measured": {"script": "a digest"}}
    assert combined.by_processor(params)
    assert combined.requires == Measured.requires
    assert combined.code_modules == ("slimgate.steps.prune.keep_layers", __name__, "slimgate.models.blocks")
    alone = in_tower.TowerSteps("vision", [plain])
    assert (alone.environment(params), alone.by_processor(params)) == ({}, False)


def test_its_steps_are_those_that_do_the_work(base: TorchModel, tmp_path: Path) -> None:
    """keep_layers of two lists is another step than keep_layers of one list, which a tower has."""
    with pytest.raises(BuildError, match=r"one list of blocks; write keep_layers = \[0, 2\]"):
        apply(base, tmp_path, "vision", {"keep_layers": {"encoder": [0, 2]}})


def test_a_configuration_is_checked_tower_by_tower() -> None:
    params = in_tower.Params(tower="vision", steps=({"keep_layers": [0, 3]},))
    resolved = in_tower.step.resolve(params)
    config = {"vision_config": {"num_hidden_layers": 4}, "text_config": {"num_hidden_layers": 2}}
    after = resolved.check(params, config)
    assert after["vision_config"]["num_hidden_layers"] == 2
    assert after["text_config"]["num_hidden_layers"] == 2
    with pytest.raises(SuiteError, match="has blocks 0 to 1 at this step"):
        resolved.check(params, after)


@pytest.mark.parametrize(
    ("tower", "step", "message"),
    [
        ("vision", {"int8_dynmic": {}}, r"steps\[0\]: .*Did you mean int8_dynamic\?"),
        (
            "vision",
            {"magnitude_prune": {"sparsity": 2}},
            r"steps\[0\] magnitude_prune\.sparsity: .*less than 1",
        ),
        ("both", {"trim_vocabulary": {}}, "needs a vocabulary, which images do not have"),
        ("text", {"new_student": {"layers": 2}}, 'start from model = "fresh:FOLDER"'),
        ("text", {"in_tower": {"steps": []}}, "write its steps here"),
        ("text", {"active_distill": {"rows": 9}}, "active_distill cannot be inside of in_tower"),
        ("text", {"cast": {}, "distill": {}}, "expected one step per table"),
        ("text", {"fine_tune": {"processes": 2}}, r"steps\[0\] fine_tune: processes = 2 was given"),
        ("text", {"distill": {"more_teachers": ("b",)}}, "a tower learns from one model"),
    ],
    ids=[
        "a near name",
        "its option",
        "images",
        "another network",
        "nested",
        "choosing",
        "two",
        "in processes",
        "an ensemble",
    ],
)
def test_a_step_that_cannot_be_inside_is_named(tower: str, step: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        in_tower.Params(tower=tower, steps=(step,))  # type: ignore[arg-type]


def test_steps_that_cannot_follow_each_other_are_an_error() -> None:
    with pytest.raises(
        ValidationError, match="magnitude_prune cannot start from an artifact of kind torch_quantized"
    ):
        in_tower.Params(steps=({"int8_dynamic": {}}, {"magnitude_prune": {"sparsity": 0.5}}))
