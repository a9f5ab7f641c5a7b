"""The step torchao_quantize: torchao's layers, stored as plain tensors, where there are kernels."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import compute_scores, load_tiny, make_tiny_context, save_and_load, save_model
from slimgate.errors import BuildError, MissingExtra
from slimgate.runtimes.compiled import CompiledPredictor
from slimgate.runtimes.compiled import Params as CompiledParams
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.finetune import lora
from slimgate.steps.layers.lora_linear import LoraLinear, gradients_through
from slimgate.steps.layers.torchao_linear import TorchaoLinear
from slimgate.steps.quantize import torchao_quantize
from slimgate.steps.quantize.torchao_quantize import Params

scores = partial(compute_scores, split="train")

CONFIGS = ("int8_dynamic", "int8_weight_only")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("torchao")
    return write_tiny_classifier(root / "hub", num_hidden_layers=2)


@pytest.mark.parametrize("config", CONFIGS)
def test_answers_stay_close_and_come_back_to_the_bit(
    tmp_path: Path, folder: Path, config: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    context = make_tiny_context(tmp_path / "rows")
    model = load_tiny(folder, context)
    before, size = scores(model, context), model.measure_size()
    capfd.readouterr()
    torchao_quantize.step.apply(model, Params(config=config), context)
    after = scores(model, context)
    assert "".join(capfd.readouterr()) == ""
    assert 0 < np.abs(after - before).max() < 0.2 * np.ptp(before)
    assert model.measure_size()["parameters"] == size["parameters"]
    assert model.measure_size()["state_bytes"] < 0.6 * size["state_bytes"]
    again = save_and_load(model, tmp_path / "saved")
    assert np.array_equal(scores(again, context), after)
    assert again.measure_size() == model.measure_size()


def test_blocks_hold_int8_and_the_output_layer_stays_float(tmp_path: Path, folder: Path) -> None:
    context = make_tiny_context(tmp_path / "rows")
    model = load_tiny(folder, context)
    torchao_quantize.step.apply(model, Params(config="int8_dynamic"), context)
    names = {name for name, m in model.network.named_modules() if isinstance(m, TorchaoLinear)}
    assert len(names) == context.log["linear_layers"] == 2 * 6 + 1
    assert type(model.network.classifier) is torch.nn.Linear
    stored = safetensors.torch.load_file(save_model(model, tmp_path / "saved") / "model.safetensors")
    assert {name for name, tensor in stored.items() if tensor.dtype == torch.int8} >= {
        f"{name}.qdata" for name in names
    }
    assert not [name for name in stored if name.removesuffix(".weight") in names]


def test_levels_and_scales_are_those_of_a_rows_largest_weight() -> None:
    linear = torch.nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.275, -0.5, 0.0, 0.25], [0.0, 0.0, -2.55, 1.0]]))
    config = torchao_quantize.make_configuration(Params(config="int8_weight_only"), "cpu")
    layer = TorchaoLinear.from_linear(linear, config, compute="float32")
    assert layer.get_buffer("scale").flatten().tolist() == pytest.approx([0.01, 0.02])
    assert layer.qdata.tolist() == [[127, -50, 0, 25], [0, 0, -128, 50]]
    rows = torch.eye(4)
    assert torch.allclose(layer(rows), layer.qdata.float().t() * layer.get_buffer("scale").flatten())


@pytest.mark.parametrize("config", CONFIGS)
def test_gradients_pass_the_floats_of_its_integers(config: Any) -> None:
    linear = torch.nn.Linear(32, 16)
    chosen = torchao_quantize.make_configuration(Params(config=config), "cpu")
    layer = TorchaoLinear.from_linear(linear, chosen, compute="float32")
    network, rows = torch.nn.Sequential(layer), torch.randn(4, 32, requires_grad=True)
    with gradients_through(network):
        network(rows).sum().backward()
    floats = layer.qdata.float() * layer.get_buffer("scale").view(-1, 1)
    assert rows.grad is not None
    torch.testing.assert_close(rows.grad, floats.sum(0).expand(4, -1))


def test_weights_that_torchao_cannot_unpack_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    config = torchao_quantize.make_configuration(Params(config="int8_weight_only"), "cpu")
    layer = TorchaoLinear.from_linear(torch.nn.Linear(32, 16), config, compute="float32")
    monkeypatch.setattr(layer, "_wrap_weight", lambda: torch.nn.Parameter(torch.zeros(16, 32)))
    with pytest.raises(BuildError, match="Parameter does not say what its integers stand for"):
        layer.dequantize_weight()


@pytest.mark.slow
def test_adapters_learn_next_to_its_layers(tmp_path: Path, folder: Path) -> None:
    context = make_tiny_context(tmp_path / "rows")
    model = torchao_quantize.step.apply(load_tiny(folder, context), Params(config="int8_dynamic"), context)
    lora.step.apply(model, lora.Params(epochs=1, precision="float32", r=2, merge=False), context)
    layers = [module for module in model.network.modules() if isinstance(module, LoraLinear)]
    assert len(layers) == 2 * 6
    assert all(isinstance(layer.base, TorchaoLinear) for layer in layers)
    assert all(int(torch.count_nonzero(layer.lora_b)) for layer in layers)


@pytest.mark.slow
def test_the_compiled_runtime_runs_its_layers() -> None:
    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            linear = torch.nn.Linear(32, 16)
            config = torchao_quantize.make_configuration(Params(config="int8_dynamic"), "cpu")
            self.layer = TorchaoLinear.from_linear(linear, config, compute="float32")

        def forward(self, columns: Any) -> Any:
            return type("Output", (), {"logits": self.layer(columns)})

    head, batch = Head().eval(), {"columns": np.random.default_rng(0).random((6, 32), dtype=np.float32)}
    eager = EagerPredictor(head, "cpu")
    compiled = CompiledPredictor(head, CompiledParams(), "cpu")
    scores = [predictor.fetch(predictor.forward(predictor.prepare(batch))) for predictor in (eager, compiled)]
    np.testing.assert_allclose(*scores, atol=0.02)


@pytest.mark.parametrize(
    ("config", "needed"), [("int4_weight_only", "8.0"), ("float8_dynamic", "8.9")], ids=["int4", "float8"]
)
def test_kernels_of_gpus_are_refused_on_the_cpu(tmp_path: Path, config: Any, needed: str) -> None:
    message = (
        rf"{config} needs an NVIDIA GPU of compute capability {needed}, and this is cpu; run with --slimgate"
    )
    with pytest.raises(BuildError, match=message):
        torchao_quantize.step.apply(None, Params(config=config), make_tiny_context(tmp_path / "rows"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("config", [*CONFIGS, "int4_weight_only", "float8_dynamic"])
def test_a_gpu_runs_all_that_its_generation_has_kernels_for(config: Any) -> None:
    try:
        torchao_quantize.check_device(config, "cuda")
    except BuildError as error:
        pytest.skip(str(error))
    linear, rows = torch.nn.Linear(256, 128, device="cuda"), torch.rand(32, 256, device="cuda")
    chosen = torchao_quantize.make_configuration(Params(config=config), "cuda")
    layer = TorchaoLinear.from_linear(linear, chosen, compute="bfloat16")
    again = TorchaoLinear(**layer.list_options()).cuda()
    again.load_state_dict(layer.state_dict())
    assert torch.equal(layer(rows), again(rows))
    assert float((layer(rows) - linear(rows)).abs().max()) < 0.2


@pytest.mark.parametrize("config", ["int8_dynamic", "int8_weight_only", "float8_dynamic"])
def test_a_group_size_without_groups_is_refused(config: Any) -> None:
    with pytest.raises(ValidationError, match=f'group_size is for int4_weight_only, but config = "{config}"'):
        Params(config=config, group_size=64)


def test_without_torchao_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(MissingExtra, match=r'pip install "slimgate\[torchao\]"'):
        torchao_quantize.step.apply(None, Params(config="int8_dynamic"), make_tiny_context(tmp_path / "rows"))
