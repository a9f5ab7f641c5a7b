"""The step cofi_prune: what it reaches, what pulls its gates, and which layers teach which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrize

from fixtures.models.building import save_and_load
from fixtures.models.masking import make_tiny_model
from slimgate.errors import BuildError
from slimgate.models.blocks import blocks
from slimgate.steps.factorize import low_rank, trim_vocabulary
from slimgate.steps.finetune import distill
from slimgate.steps.prune import cofi_prune, keep_layers
from slimgate.steps.prune._cofi_prune import CofiSchedule, LayerLoss, Target, match_layers
from slimgate.steps.prune._gradual_params import GradualParams
from slimgate.steps.prune._sublayer_gates import SublayerGates, make_gates, remove_closed_parts_
from slimgate.steps.training.distillation import ReadRows
from slimgate.tasks.parts.objectives import encode_training_rows

pytestmark = pytest.mark.slow

# of a block of the tiny BERT: a head's query, key, value with biases and its output; likewise a neuron's
BLOCK = 4 * (3 * 8 * 33 + 8 * 32) + 64 * (33 + 32)


def build(tmp_path: Path, architecture: str) -> tuple[Any, Any]:
    """A tiny model whose teacher is what it was."""
    model, context = make_tiny_model(tmp_path, architecture)
    context.load_teacher = lambda: make_tiny_model(tmp_path, architecture)[0]
    return model, context


def prune(model: Any, context: Any, **options: Any) -> None:
    params = cofi_prune.Params.model_validate({"pruning_ratio": 0.5, "batch_size": 4, **options})
    cofi_prune.step.apply(model, params, context)


@pytest.mark.parametrize("architecture", ["roberta", "electra", "bert-mean"])
def test_the_stated_share_of_the_blocks_parameters_is_gone(tmp_path: Path, architecture: str) -> None:
    model, context = build(tmp_path, architecture)
    before = model.measure_size()["parameters"]
    prune(model, context, pruning_ratio=0.6, multiple_of=1)
    gone = before - model.measure_size()["parameters"]
    biases = 32 * sum(b.attention.heads == 0 for b in blocks(model.network))
    biases += 32 * sum(b.feed_forward.width == 0 for b in blocks(model.network))
    assert gone - biases == pytest.approx(context.log["pruning_ratio"] * 4 * BLOCK, abs=2)  # it is rounded
    assert 0.6 <= context.log["pruning_ratio"] < 0.61
    assert not any(parametrize.is_parametrized(module) for module in model.network.modules())
    assert not any("gates" in name for name, _ in model.network.named_parameters())


def test_pruned_twice_and_distilled_it_loads_again_the_same(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    prune(model, context, pruning_ratio=0.6, gates_learning_rate=1.0)
    prune(model, context, pruning_ratio=0.6, layer_weight=0.0, cool_down=0.0)
    keep_layers.step.apply(model, keep_layers.Params((0, 1, 3)), context)
    distill.step.apply(model, distill.Params(epochs=1), context)
    again = save_and_load(model, tmp_path / "saved")
    ids = torch.arange(4, 20).view(2, 8)
    with torch.no_grad():
        assert torch.equal(model.network(input_ids=ids).logits, again.network(input_ids=ids).logits)


def test_the_pull_closes_gates_and_grows_until_the_target_is_met() -> None:
    gates = SublayerGates("a", 4, columns=1, cost=10)
    target = Target([gates])
    target.value = 0.9
    optimizer = torch.optim.SGD(target.parameters(), lr=1.0)
    pulls = []
    for _ in range(3):
        optimizer.zero_grad()
        pull = target()
        pull.backward()
        optimizer.step()
        pulls.append(float(pull.detach()))
    excess = float((1 - gates.compute_expected_parameters() / gates.count_parameters()).detach()) - 0.9
    assert excess < 0
    first, second = target.multipliers.tolist()
    assert first < 0  # goes up its gradient, which is the excess
    assert second > 0  # likewise, the excess squared
    assert pulls[0] == 0 < pulls[1] < pulls[2]
    assert bool((gates.parts.log_alpha < 2.5).all())


def test_the_target_rises_and_gates_settle_for_the_cool_down() -> None:
    gates = SublayerGates("a", 8, columns=1, cost=10)
    target = Target([gates])
    schedule = CofiSchedule([gates], target, GradualParams(warm_up=0.2, cool_down=0.2), ratio=0.5)
    values = []
    for step in range(8):
        schedule.before_step(step, 10)
        values.append(target.value)
    assert values == pytest.approx([0, 0, 0, 0.5 / 3, 1 / 3, 0.5, 0.5, 0.5])
    assert not schedule.settled
    schedule.before_step(8, 10)
    assert schedule.settled
    assert schedule.reached == 0.5
    assert len(gates.open_parts()) == 4


def test_a_teachers_layer_teaches_the_most_alike_open_layer() -> None:
    errors = torch.tensor([[3.0, 1.0, 2.0, 9.0], [0.0, 5.0, 2.0, 3.0], [0.0, 0.0, 0.0, 1.0]])
    assert match_layers(errors, [True, True, True, True]) == [1, 2, 2]
    assert match_layers(errors, [True, False, True, True]) == [2, 2, 2]
    assert match_layers(errors, [True, False, False, True]) == [0, 0, 0]


def test_the_hidden_states_of_a_perfect_mimic_cost_nothing(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    teacher = context.load_teacher()
    data, teacher_rows = encode_training_rows(model, context), encode_training_rows(teacher, context)
    sides = ReadRows(model, data[0]), ReadRows(teacher, teacher_rows[0])
    layers = LayerLoss(*sides, make_gates(model.network), 2.0)
    batch = {name: torch.from_numpy(values) for name, values in data[0].batch([0, 1, 2]).items()}

    def loss() -> float:
        with torch.no_grad(), layers.watching():
            model.network(**batch)
        return float(layers(batch, [0, 1, 2]))

    assert loss() == 0
    with torch.no_grad():
        model.network.bert.encoder.layer[3].output.LayerNorm.bias.add_(0.5)
    # of four pairs of layers the last differs: by 0.5 in every feature, weight 2
    assert loss() == pytest.approx(2.0 * 0.25 / 4, rel=1e-4)


def test_hidden_states_of_other_widths_say_what_to_do(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    context.load_teacher = lambda: make_tiny_model(tmp_path / "wide", "bert", hidden_size=64)[0]
    with pytest.raises(BuildError, match="the student has 32, the teacher 64; set layer_weight = 0"):
        prune(model, context)
    prune(model, context, layer_weight=0.0)
    assert context.log["pruning_ratio"] >= 0.5


def test_it_says_what_it_left_and_widths_are_multiples(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    prune(model, context, multiple_of=4)
    log = context.log
    assert {width % 4 for width in log["widths_after"]} == {0}
    assert log["pruning_ratio"] >= 0.5
    assert log["heads_after"] == [block.attention.heads for block in blocks(model.network)]
    assert log["widths_after"] == [block.feed_forward.width for block in blocks(model.network)]
    assert log["parameters_after"] == model.measure_size()["parameters"] < log["parameters_before"]
    assert set(log["loss_parts"]) >= {"labels", "soft", "layers", "target"}


def test_a_trimmed_vocabulary_is_no_other_tokenizer(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    trim_vocabulary.step.apply(model, trim_vocabulary.Params(vocab_size=15), context)
    prune(model, context)
    assert "layers" in context.log["loss_parts"]


@pytest.mark.parametrize("part", ["attention", "relation"])
def test_an_attention_that_is_gone_has_nothing_to_compare(tmp_path: Path, part: str) -> None:
    model, context = build(tmp_path, "llama")
    all_gates = make_gates(model.network)
    for gates in all_gates:
        open_parts = torch.ones(len(gates.parts.log_alpha))
        gates.whole.fixed = torch.zeros(1) if gates.output.endswith("3.self_attn.o_proj") else torch.ones(1)
        gates.parts.fixed = open_parts
    remove_closed_parts_(model, all_gates)
    params = distill.Params.model_validate({f"{part}_weight": 1.0})
    with pytest.raises(BuildError, match=r"layers\.3\.self_attn has no heads left to compare"):
        distill.step.apply(model, params, context)


def test_factors_and_adapters_are_refused_at_once_as_not_gated(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    low_rank.step.apply(model, low_rank.Params(rank=4, activation_aware=False), context)
    with pytest.raises(BuildError, match="is LowRankLinear, and only"):
        prune(model, context)
