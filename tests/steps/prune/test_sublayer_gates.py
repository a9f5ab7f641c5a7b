"""Gates on sublayers: what they cost, which of them close, and what taking out the closed ones leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fixtures.models.building import save_and_load
from fixtures.models.masking import ALL, INPUTS, make_tiny_model
from slimgate.errors import BuildError
from slimgate.models.blocks import blocks
from slimgate.models.linear_layers import find_linear_layers
from slimgate.steps.layers.removed import NoAttention, NoLinear
from slimgate.steps.prune import cofi_prune, keep_layers, magnitude_prune, prune_ffn, prune_heads
from slimgate.steps.prune._sublayer_gates import (
    HardConcrete,
    SublayerGates,
    compute_sparsity,
    make_gates,
    remove_closed_parts_,
    settle_,
    with_gates,
)
from slimgate.steps.quantize import int8_dynamic
from slimgate.steps.training.adapters import find_targets


def build(tmp_path: Path, architecture: str) -> tuple[Any, Any]:
    """A tiny model of nn.Linear layers; its biases are not 0, which would hide what becomes of them."""
    model, context = make_tiny_model(tmp_path, architecture)
    find_linear_layers(model)
    for name, parameter in model.network.named_parameters():
        if name.endswith("bias"):
            nn.init.uniform_(parameter, -0.5, 0.5, generator=torch.Generator().manual_seed(0))
    return model, context


def answers(network: nn.Module) -> torch.Tensor:
    network.eval()
    with torch.no_grad():
        logits = network(**INPUTS).logits
    assert isinstance(logits, torch.Tensor)
    return logits


def close(gates: SublayerGates, parts: list[int], sublayer: float = 1.0) -> None:
    """Fixes the gates with these parts closed, the others open or half open."""
    values = torch.tensor([1.0, 0.5] * gates.parts.log_alpha.numel())[: gates.parts.log_alpha.numel()]
    values[parts] = 0.0
    gates.parts.fixed, gates.whole.fixed = values, torch.tensor([sublayer])


def hooked(network: nn.Module, all_gates: list[SublayerGates]) -> torch.Tensor:
    """The answers of a network whose sublayers are masked by hooks: another way to say what gates do."""
    handles = []
    for gates in all_gates:
        layer = network.get_submodule(gates.output)
        sublayer, parts = gates.whole.fixed, gates.parts.fixed
        assert sublayer is not None
        assert parts is not None
        mask = parts.repeat_interleave(gates.columns)
        handles += [
            layer.register_forward_pre_hook(lambda _m, inputs, mask=mask: (inputs[0] * mask,)),
            layer.register_forward_hook(lambda _m, _i, output, sublayer=sublayer: output * sublayer),
        ]
    scores = answers(network)
    for handle in handles:
        handle.remove()
    return scores


@pytest.mark.parametrize("architecture", ALL)
def test_a_model_without_closed_parts_answers_as_the_masked_one(tmp_path: Path, architecture: str) -> None:
    model, _ = build(tmp_path, architecture)
    before = answers(model.network)
    width = blocks(model.network)[0].feed_forward.width
    grouped = blocks(model.network)[0].attention.kv_heads == 2  # two groups of two heads
    all_gates = make_gates(model.network)
    attention, feed_forward = all_gates[::2], all_gates[1::2]
    close(attention[0], [0])
    close(attention[1], [], sublayer=0.0)
    close(attention[2], [], sublayer=0.8)
    close(attention[3], list(range(attention[3].parts.log_alpha.numel())), sublayer=0.0)
    close(feed_forward[0], list(range(5, 40)))
    close(feed_forward[1], [3], sublayer=0.5)
    close(feed_forward[2], [], sublayer=0.0)
    close(feed_forward[3], [])
    expected = hooked(model.network, all_gates)
    assert (expected - before).abs().max() > 1e-3
    with with_gates(model.network, all_gates):
        assert torch.allclose(answers(model.network), expected, atol=1e-5)
    remove_closed_parts_(model, all_gates)
    scores = answers(model.network)
    assert torch.allclose(scores, expected, atol=1e-5)
    shapes = blocks(model.network)
    assert [block.attention.heads for block in shapes] == [2 if grouped else 3, 0, 4, 0]
    assert [block.feed_forward.width for block in shapes] == [width - 35, width - 1, 0, width]
    folder = tmp_path / "saved"
    again = save_and_load(model, folder)
    assert torch.equal(answers(again.network), scores)
    assert again.measure_size() == model.measure_size()


@pytest.mark.parametrize(
    ("architecture", "unit", "neuron"),
    [
        ("bert", 3 * 8 * 33 + 8 * 32, 33 + 32),
        ("gpt2", 3 * 8 * 33 + 8 * 32, 33 + 32),
        ("llama", (16 + 8 + 8) * 32 + 16 * 32, 3 * 32),
    ],
    ids=["bert", "gpt2", "llama"],
)
def test_a_part_costs_the_parameters_that_go_with_it(
    tmp_path: Path, architecture: str, unit: int, neuron: int
) -> None:
    model, _ = build(tmp_path, architecture)
    before = model.measure_size()["parameters"]
    all_gates = make_gates(model.network)
    assert [gates.cost for gates in all_gates] == [unit, neuron] * 4
    for gates in all_gates:
        close(gates, [1])
    remove_closed_parts_(model, all_gates)
    assert before - model.measure_size()["parameters"] == 4 * (unit + neuron)


def test_open_gates_change_nothing(tmp_path: Path) -> None:
    model, _ = build(tmp_path, "bert")
    before, state = answers(model.network), {k: v.clone() for k, v in model.network.state_dict().items()}
    all_gates = make_gates(model.network)
    with with_gates(model.network, all_gates):
        assert torch.equal(answers(model.network), before)
    assert all(torch.equal(state[name], value) for name, value in model.network.state_dict().items())
    remove_closed_parts_(model, all_gates)
    assert model.modifications == []


def test_expected_sparsity_multiplies_the_odds_of_whole_and_part() -> None:
    first, other = SublayerGates("a", 2, columns=1, cost=10), SublayerGates("b", 4, columns=1, cost=5)
    shift = 2 / 3 * math.log(0.1 / 1.1)
    for gates, sublayer, part in ((first, 0.5, 0.5), (other, 1.0, 0.25)):
        gates.whole.log_alpha.data.fill_(
            shift + (math.log(sublayer / (1 - sublayer)) if sublayer < 1 else 100.0)
        )
        gates.parts.log_alpha.data.fill_(shift + math.log(part / (1 - part)))
    # left: 0.5 * 2 * 0.5 * 10 = 5 and 1 * 4 * 0.25 * 5 = 5, of 40
    assert float(compute_sparsity([first, other]).detach()) == pytest.approx(0.75)


def test_settling_closes_the_least_open_and_skips_too_large_ones() -> None:
    heads, neurons = SublayerGates("a", 2, columns=8, cost=100), SublayerGates("b", 10, columns=1, cost=10)
    heads.whole.log_alpha.data.fill_(0.3)  # the whole attention is two thirds of all: too much
    heads.parts.log_alpha.data = torch.tensor([0.5, 3.0])
    neurons.whole.log_alpha.data.fill_(5.0)
    neurons.parts.log_alpha.data = torch.tensor([0.1, 0.2, 0.6, 0.7, 0.8, 3.0, 3.0, 3.0, 3.0, 3.0])
    reached = settle_([heads, neurons], 0.45)  # 135 of 300
    assert reached == pytest.approx(140 / 300)
    assert heads.open_parts() == [1]
    assert neurons.open_parts() == [4, 5, 6, 7, 8, 9]
    # 0.8 -> sigmoid 0.689974 * 1.2 - 0.1
    assert neurons.parts()[4].item() == pytest.approx(0.727969, abs=1e-5)
    assert neurons.parts()[5].item() == 1.0


def test_settling_rounds_the_neurons_down_and_leaves_heads_alone() -> None:
    heads, neurons = SublayerGates("a", 3, columns=8, cost=10), SublayerGates("b", 10, columns=1, cost=10)
    heads.parts.log_alpha.data = torch.tensor([0.1, 3.0, 3.0])
    neurons.parts.log_alpha.data = torch.arange(10.0) + 0.2
    assert settle_([heads, neurons], 0.2, multiple_of=4) == pytest.approx(3 / 13)
    assert heads.open_parts() == [1, 2]
    assert neurons.open_parts() == [2, 3, 4, 5, 6, 7, 8, 9]


def test_settling_keeps_shut_what_training_has_shut() -> None:
    gates = SublayerGates("a", 4, columns=1, cost=10)
    gates.parts.log_alpha.data = torch.tensor([-5.0, -5.0, 4.0, 4.0])
    assert settle_([gates], 0.25) == 0.5
    assert gates.open_parts() == [2, 3]


def test_gates_open_by_probability_and_lie_midway_when_not_drawn() -> None:
    gates = HardConcrete(3)
    gates.log_alpha.data = torch.tensor([-1.0, 0.0, 2.5])
    middle = [(1 / (1 + math.exp(1))) * 1.2 - 0.1, 0.5, 1.0]
    assert gates.eval()().tolist() == pytest.approx(middle, abs=1e-6)
    gates.train()
    sample = HardConcrete(20_000).train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for value, probability in zip((-1.0, 0.0, 2.5), gates.open_probability().tolist(), strict=True):
            sample.log_alpha.data.fill_(value)
            sample.draw()
            drawn = sample().detach()
            assert float((drawn > 0).float().mean()) == pytest.approx(probability, abs=0.015)
            assert float(drawn.min()) >= 0
            assert float(drawn.max()) <= 1


def test_later_steps_reach_what_is_left(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    all_gates = make_gates(model.network)
    close(all_gates[0], [0, 1])
    close(all_gates[2], [], sublayer=0.0)
    close(all_gates[5], [], sublayer=0.0)
    remove_closed_parts_(model, all_gates)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)
    assert len(make_gates(model.network)) == 6
    prune_heads.step.apply(model, prune_heads.Params(pruning_ratio=0.5, importance="magnitude"), context)
    prune_ffn.step.apply(model, prune_ffn.Params(pruning_ratio=0.5, importance="magnitude"), context)
    heads = [b.attention.heads for b in blocks(model.network)]
    assert (heads[1], sum(heads)) == (0, 5)
    assert sum(b.feed_forward.width for b in blocks(model.network)) == 3 * 32
    keep_layers.step.apply(model, keep_layers.Params((1, 2)), context)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    model.kind = "torch_quantized"
    kinds = [type(module) for module in model.network.modules()]
    assert kinds.count(NoAttention) == 1
    assert kinds.count(NoLinear) == 4 + 2  # query, key, value, output; up and down
    folder = tmp_path / "saved"
    assert torch.equal(answers(save_and_load(model, folder).network), answers(model.network))


def test_adapters_pass_by_what_is_not_there(tmp_path: Path) -> None:
    model, _ = build(tmp_path, "bert")
    all_gates = make_gates(model.network)
    close(all_gates[0], [], sublayer=0.0)
    remove_closed_parts_(model, all_gates)
    targets = find_targets(model, "attention")
    assert len(targets) == 3 * 4
    assert {type(layer) for layer in targets.values()} == {nn.Linear}


def test_a_model_of_which_nothing_is_left_is_a_clear_error(tmp_path: Path) -> None:
    model, _ = build(tmp_path, "bert")
    all_gates = make_gates(model.network)
    for gates in all_gates:
        close(gates, [], sublayer=0.0)
    remove_closed_parts_(model, all_gates)
    with pytest.raises(BuildError, match="no attention or feed-forward part left"):
        make_gates(model.network)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_cache_counts_tokens_where_the_first_attention_is_gone(tmp_path: Path, architecture: str) -> None:
    model, _ = build(tmp_path, architecture)
    all_gates = make_gates(model.network)
    close(all_gates[0], [], sublayer=0.0)
    remove_closed_parts_(model, all_gates)
    cofi_prune.step.restore(model.network, {"modules": {}})
    decoder = getattr(model.network, "transformer", None) or model.network.model
    ids = torch.arange(4, 12).view(1, 8)
    with torch.no_grad():
        at_once = decoder(input_ids=ids, use_cache=True)
        first = decoder(input_ids=ids[:, :5], use_cache=True)
        then = decoder(input_ids=ids[:, 5:], past_key_values=first.past_key_values, use_cache=True)
    assert torch.allclose(at_once.last_hidden_state[:, 5:], then.last_hidden_state, atol=1e-5)
