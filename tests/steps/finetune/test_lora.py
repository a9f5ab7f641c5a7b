"""The steps lora and lora_distill: what is trained, merged or kept, on float, integers and zeros."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.refused_options import read_refusal
from torch import nn

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import compute_scores, load_tiny, make_tiny_context, save_and_load, save_model
from slimgate.errors import BuildError, MissingExtra
from slimgate.models.torch_model import load_torch_model
from slimgate.steps.finetune import distill, lora, lora_distill
from slimgate.steps.layers.int8_linear import Int8Linear
from slimgate.steps.layers.lora_linear import LoraLinear
from slimgate.steps.layers.packed import PackedLinear
from slimgate.steps.prune import magnitude_prune
from slimgate.steps.quantize import binarize, int8_dynamic, weight_only
from slimgate.steps.training.adapters import adapters
from slimgate.tasks.parts.objectives import ClassObjective

pytestmark = pytest.mark.slow

SHORT: dict[str, Any] = {"epochs": 1, "batch_size": 16, "precision": "float32", "r": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_classifier(tmp_path_factory.mktemp("tiny") / "bert")


@pytest.fixture
def context(tmp_path: Path, folder: Path) -> Any:
    return make_tiny_context(
        tmp_path / "rows", teacher=lambda: load_tiny(folder, make_tiny_context(tmp_path / "teacher"))
    )


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_merging_changes_only_the_targets_and_the_head(folder: Path, context: Any) -> None:
    model = load_tiny(folder, context)
    before = {name: values.clone() for name, values in model.network.state_dict().items()}
    flags = {name: p.requires_grad for name, p in model.network.named_parameters()}
    lora.step.apply(model, lora.Params(**SHORT, targets="attention"), context)
    after = model.network.state_dict()
    assert list(after) == list(before)
    parts = ("self.query", "self.key", "self.value", "attention.output.dense")
    expected = {f"{name}.weight" for name in _linear_names(model) if name.endswith(parts)}
    assert len(expected) == 4 * 4
    assert changed(before, after) == expected | {"classifier.weight", "classifier.bias"}
    assert model.modifications == []
    assert {name: p.requires_grad for name, p in model.network.named_parameters()} == flags
    assert context.log["adapter_parameters"] == 16 * 2 * (32 + 32)
    assert context.log["trained_parameters"] == 16 * 2 * (32 + 32) + 2 * 32 + 2
    assert context.log["bytes_added"] == 0


def test_the_update_of_a_matrix_has_the_rank_of_the_adapter(folder: Path, context: Any) -> None:
    model = load_tiny(folder, context)
    name = "bert.encoder.layer.1.intermediate.dense"
    before = model.network.get_submodule(name).weight.detach().clone()
    lora.step.apply(model, lora.Params(**SHORT, targets=("layer.1.intermediate.dense",)), context)
    update = model.network.get_submodule(name).weight.detach() - before
    assert int(torch.linalg.matrix_rank(update, rtol=1e-3)) == 2


def test_a_kept_adapter_equals_the_merged_and_loads_without_peft(
    folder: Path, context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = lora.step.apply(load_tiny(folder, context), lora.Params(**SHORT), context)
    unmerged = lora.step.apply(load_tiny(folder, context), lora.Params(**SHORT, merge=False), context)
    assert np.allclose(compute_scores(unmerged, context), compute_scores(merged, context), atol=1e-5)
    layers = [m for m in unmerged.network.modules() if isinstance(m, LoraLinear)]
    assert len(layers) == 4 * 6
    added = unmerged.measure_size()["parameters"] - merged.measure_size()["parameters"]
    assert context.log["adapter_parameters"] == added
    assert context.log["bytes_added"] == 4 * added
    save_model(unmerged, tmp_path / "saved")
    monkeypatch.setitem(sys.modules, "peft", None)
    again = load_torch_model(tmp_path / "saved")
    assert np.array_equal(compute_scores(again, context), compute_scores(unmerged, context))


def test_without_peft_the_message_says_what_to_install(
    folder: Path, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r'pip install "slimgate\[lora\]"'):
        lora.step.apply(load_tiny(folder, context), lora.Params(**SHORT), context)


@pytest.mark.parametrize(
    ("step", "options", "kind"),
    [(int8_dynamic.step, {}, Int8Linear), (weight_only.step, {"bits": 4, "group_size": 32}, PackedLinear)],
    ids=["int8", "4 bits"],
)
def test_adapters_learn_while_integer_weights_stay(
    folder: Path, context: Any, step: Any, options: dict[str, Any], kind: type
) -> None:
    model = step.apply(load_tiny(folder, context), step.Params(**options), context)
    model.kind = "torch_quantized"
    before = {name: values.clone() for name, values in model.network.state_dict().items()}
    lora.step.apply(model, lora.Params(**SHORT, merge=False), context)
    layers = {n: m for n, m in model.network.named_modules() if isinstance(m, LoraLinear)}
    assert len(layers) == 4 * 6
    assert all(isinstance(layer.base, kind) for layer in layers.values())
    after = {name.replace(".base.", "."): v for name, v in model.network.state_dict().items()}
    assert changed(before, after) == {"classifier.weight", "classifier.bias"}
    # gradients came down to the first block, through 23 layers of integers
    assert all(int(torch.count_nonzero(layer.lora_b)) for layer in layers.values())


def test_an_adapter_on_integers_cannot_be_merged(folder: Path, context: Any) -> None:
    model = int8_dynamic.step.apply(load_tiny(folder, context), int8_dynamic.Params(), context)
    with pytest.raises(BuildError, match=r"24 of 24 layers are not nn.Linear.*Int8Linear.*set merge = false"):
        lora.step.apply(model, lora.Params(**SHORT), context)


def test_binary_weights_and_inputs_can_be_adapted_too(folder: Path, context: Any) -> None:
    options = binarize.Params(epochs=1, activations=True, precision="float32")
    model = binarize.step.apply(load_tiny(folder, context), options, context)
    lora.step.apply(model, lora.Params(**SHORT, merge=False), context)
    layers = [m for m in model.network.modules() if isinstance(m, LoraLinear)]
    assert all(int(torch.count_nonzero(layer.lora_b)) for layer in layers)


@pytest.mark.parametrize("merge", [True, False], ids=["merged", "kept"])
def test_pruned_zeros_stay_zero(folder: Path, context: Any, merge: bool) -> None:
    model = load_tiny(folder, context)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)
    names = _linear_names(model, "encoder.layer")
    zeros = {name: model.network.get_submodule(name).weight == 0 for name in names}
    before = compute_scores(model, context)
    lora.step.apply(model, lora.Params(**SHORT, merge=merge), context)
    for name, mask in zeros.items():
        layer = model.network.get_submodule(name)
        weight = layer.base.weight if isinstance(layer, LoraLinear) else layer.weight
        assert torch.equal(weight == 0, mask), name
    assert not np.array_equal(compute_scores(model, context), before)


def test_distilled_adapters_bring_a_pruned_model_nearer(folder: Path, context: Any) -> None:
    teacher = torch.from_numpy(compute_scores(load_tiny(folder, context), context, "train"))
    model = load_tiny(folder, context)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)

    def distance() -> float:
        return float(
            ClassObjective()
            .soft_losses(torch.from_numpy(compute_scores(model, context, "train")), teacher, 2.0)
            .mean()
        )

    before = distance()
    options = {**SHORT, "epochs": 6, "r": 4, "learning_rate": 5e-3, "keep_best": False}
    lora_distill.step.apply(model, lora_distill.Params(**options, label_weight=0.0), context)
    assert distance() < 0.7 * before
    assert set(context.log["loss_parts"]) == {"soft"}


def test_an_adapter_on_an_adapter_is_a_clear_error(folder: Path, context: Any) -> None:
    model = lora.step.apply(load_tiny(folder, context), lora.Params(**SHORT, merge=False), context)
    with pytest.raises(BuildError, match="has an adapter already"):
        lora.step.apply(model, lora.Params(**SHORT), context)


def test_int8_after_kept_adapters_reaches_their_bases(folder: Path, context: Any, tmp_path: Path) -> None:
    model = lora.step.apply(load_tiny(folder, context), lora.Params(**SHORT, merge=False), context)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    model.kind = "torch_quantized"
    layers = [m for m in model.network.modules() if isinstance(m, LoraLinear)]
    assert all(isinstance(layer.base, Int8Linear) for layer in layers)
    assert np.array_equal(
        compute_scores(save_and_load(model, tmp_path / "saved"), context), compute_scores(model, context)
    )


def test_an_unknown_target_names_the_nearest(folder: Path, context: Any) -> None:
    with pytest.raises(
        BuildError, match=r'targets "qery": no linear layer of that name. Did you mean query?'
    ):
        lora.step.apply(load_tiny(folder, context), lora.Params(targets=("qery",)), context)


def test_pefts_own_merge_gives_the_same_weights(folder: Path, context: Any) -> None:
    model = load_tiny(folder, context)
    name = "bert.encoder.layer.0.attention.self.query"
    with adapters(model, "lora", lora.Params(**SHORT), context):
        layer = model.network.get_submodule(name)
        nn.init.normal_(layer.lora_B["default"].weight)
        expected = layer.get_base_layer().weight + layer.get_delta_weight("default")
    assert torch.allclose(model.network.get_submodule(name).weight, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r": 0}, "r: Input should be greater than or equal to 1"),
        ({"alpha": 0.0}, "alpha: Input should be greater than 0"),
        ({"dropout": 1.0}, "dropout: Input should be less than 1"),
        ({"targets": "everything"}, "targets: Input should be 'attention' or 'linear'"),
        ({"targets": []}, "targets: Input should be 'attention' or 'linear'"),
        ({"rank": 8}, "unknown key rank"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(lora.Params, options).startswith(message)


def test_they_declare_what_they_need() -> None:
    assert not lora.step.uses_teacher
    assert lora_distill.step.uses_teacher
    assert lora.step.takes == lora_distill.step.takes == {"torch", "torch_quantized"}
    assert lora.step.gives is None
    assert lora.step.packages == ("peft",)
    shared = {"temperature", "mse_weight", "hidden_weight"}
    assert shared <= set(lora_distill.Params.model_fields) & set(distill.Params.model_fields)


def _linear_names(model: Any, inside: str = "") -> list[str]:
    return [n for n, m in model.network.named_modules() if isinstance(m, nn.Linear) and inside in n]


@pytest.mark.parametrize("step", [lora.step, lora_distill.step])
def test_the_adapters_dropout_leaves_that_of_the_model(folder: Path, context: Any, step: Any) -> None:
    model = load_tiny(folder, context)
    seen = set()
    for module in model.network.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_pre_hook(lambda m, _: seen.add(m.p) if m.training else None)
    step.apply(model, step.Params(**SHORT, dropout=0.3), context)
    assert seen == {0.1}


def test_a_quantized_head_cannot_be_trained(folder: Path, context: Any) -> None:
    model = load_tiny(folder, context)
    weight_only.step.apply(model, weight_only.Params(output_layer=True), context)
    with pytest.raises(BuildError, match="set train_head = false"):
        lora.step.apply(model, lora.Params(**SHORT, merge=False), context)
