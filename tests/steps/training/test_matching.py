"""slimgate.steps.training.matching: losses between the insides of two models, by hand, numpy and the
models' own maps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import load_tiny, make_tiny_context
from slimgate.errors import BuildError
from slimgate.models.blocks import blocks, list_block_names
from slimgate.models.module_outputs import Outputs, watch_outputs
from slimgate.steps.training.matching import (
    AttentionMatch,
    AttentionOutputs,
    HiddenMatch,
    Match,
    RelationMatch,
    compute_relation_loss,
)
from slimgate.steps.training.params import map_layers

IDS = torch.tensor([[2, 6, 7, 9, 3], [2, 8, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
FAMILIES = ("bert", "distilbert", "roberta", "electra", "gpt2", "llama")


def model(folder: Path, architecture: str = "bert", *, seed: int = 0, **config: Any) -> Any:
    hub = write_tiny_classifier(
        folder / f"{architecture}-{seed}", architecture, seed=seed, initializer_range=0.3, **config
    )
    return load_tiny(hub, make_tiny_context(folder / "rows"))


def loss(match: Match, student: Any, teacher: Any, mask: torch.Tensor = MASK) -> float:
    with torch.no_grad(), watch_outputs(student.network, match.student) as mine:
        student.network(input_ids=IDS, attention_mask=mask)
    with torch.no_grad(), watch_outputs(teacher.network, match.teacher) as theirs:
        teacher.network(input_ids=IDS, attention_mask=mask)
    return match(mine, theirs, mask).item()


def every_match(student: Any, teacher: Any) -> list[Match]:
    kinds = (HiddenMatch, AttentionMatch, RelationMatch)
    return [kind(student, teacher, weight=1.0) for kind in kinds]


@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_perfect_mimic_loses_nothing_and_another_model_some(tmp_path: Path, architecture: str) -> None:
    teacher = model(tmp_path, architecture)
    other = model(tmp_path, architecture, seed=1)
    for match in every_match(teacher, teacher):
        assert loss(match, teacher, teacher) == pytest.approx(0, abs=1e-6)
    for match in every_match(other, teacher):
        assert loss(match, other, teacher) > 1e-3, match.name


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_padding_does_not_count(tmp_path: Path, architecture: str) -> None:
    """What the padded tokens hold may be anything: the loss stays."""
    student, teacher = model(tmp_path, architecture, seed=1), model(tmp_path, architecture)
    before = [loss(match, student, teacher) for match in every_match(student, teacher)]
    for side in (student, teacher):
        for name in list_block_names(side.network):
            side.network.get_submodule(name).register_forward_hook(_spoil)
    # blocks are causal or masked, so that real tokens never see what was spoilt
    after = [loss(match, student, teacher) for match in every_match(student, teacher)]
    assert after == pytest.approx(before, rel=1e-4)


def _spoil(_module: Any, _inputs: Any, output: Any) -> Any:
    hidden = output[0] if isinstance(output, tuple) else output
    spoilt = torch.where(MASK.bool().unsqueeze(-1), hidden, torch.full_like(hidden, 50.0))
    return (spoilt, *output[1:]) if isinstance(output, tuple) else spoilt


def test_hidden_states_by_hand(tmp_path: Path) -> None:
    teacher = model(tmp_path)
    match = HiddenMatch(teacher, teacher, weight=1.0, mapping=(0, 0, 0, 0))
    values = {name: torch.zeros(1, 3, 2) for name in match.student}
    other = {match.teacher[0]: torch.tensor([[[1.0, 1.0], [3.0, 3.0], [1e6, 1e6]]])}
    loss = match(Outputs(values), Outputs(other), torch.tensor([[1, 1, 0]]))
    assert loss.item() == pytest.approx((1 + 1 + 9 + 9) / 4)
    cosine = HiddenMatch(teacher, teacher, weight=1.0, mapping=(0, 0, 0, 0), cosine=True)
    turned = {name: torch.tensor([[[1.0, 1.0], [3.0, -3.0], [7.0, 7.0]]]) for name in match.student}
    # the same direction, a right angle, padding: (0 + 1) / 2
    assert cosine(Outputs(turned), Outputs(other), torch.tensor([[1, 1, 0]])).item() == pytest.approx(0.5)


def test_a_narrower_student_goes_through_its_projection(tmp_path: Path) -> None:
    student, teacher = model(tmp_path, seed=1, hidden_size=16), model(tmp_path)
    with pytest.raises(BuildError, match="the student has 16, the teacher 32"):
        HiddenMatch(student, teacher, weight=1.0)
    match = HiddenMatch(student, teacher, weight=1.0, project=True)
    assert isinstance(match.module, torch.nn.Linear)
    weight = match.module.weight.detach()
    assert weight.shape == (32, 16)
    states, goal = torch.randn(2, 5, 16), torch.randn(2, 5, 32)
    loss = match(
        Outputs(dict.fromkeys(match.student, states)), Outputs(dict.fromkeys(match.teacher, goal)), MASK
    )
    expected = (((states @ weight.T - goal) ** 2).mean(-1) * MASK).sum() / MASK.sum()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_the_models_attention_maps_are_the_softmax_of_scores(tmp_path: Path, architecture: str) -> None:
    torch_model = model(tmp_path, architecture)
    parts = [
        AttentionOutputs.of_attention(torch_model, block.attention) for block in blocks(torch_model.network)
    ]
    torch_model.network.set_attn_implementation("eager")
    with (
        torch.no_grad(),
        watch_outputs(torch_model.network, [name for part in parts for name in part.names]) as outputs,
    ):
        maps = torch_model.network(input_ids=IDS, attention_mask=MASK, output_attentions=True).attentions
    assert len(maps) == 4
    assert parts[0].causal == (architecture in ("gpt2", "llama"))
    for part, expected in zip(parts, maps, strict=True):
        allowed = (MASK[:, None, None, :] == 1).expand_as(expected)
        allowed = allowed.tril() if part.causal else allowed
        attention = part.compute_scores(outputs).masked_fill(~allowed, -1e9).softmax(-1)
        real = MASK.bool()[:, None, :, None].expand_as(expected)
        torch.testing.assert_close(attention[real], expected[real], atol=1e-5, rtol=1e-4)


def test_another_number_of_heads_is_an_error_with_what_serves(tmp_path: Path) -> None:
    student, teacher = model(tmp_path, seed=1, num_attention_heads=2), model(tmp_path)
    with pytest.raises(
        BuildError, match="block 0 of the student has 2 heads, its teacher's 4; use relation_weight"
    ):
        AttentionMatch(student, teacher, weight=1.0)
    RelationMatch(student, teacher, weight=1.0)


def relation_by_numpy(student: Any, teacher: Any, mask: Any, heads: int, causal: bool) -> float:
    """Row by row, head by head, token by token."""
    total, tokens = 0.0, 0
    for row in range(len(mask)):
        real = np.flatnonzero(mask[row])
        tokens += len(real)
        for head in range(heads):
            sides = []
            for values in (student, teacher):
                width = values.shape[-1] // heads
                part = values[row, real, head * width : (head + 1) * width]
                sides.append(part @ part.T / np.sqrt(width))
            for i in range(len(real)):
                stop = i + 1 if causal else len(real)
                mine, theirs = (np.exp(s[i, :stop]) / np.exp(s[i, :stop]).sum() for s in sides)
                total += float((theirs * np.log(theirs / mine)).sum())
    return total / (heads * tokens)


@pytest.mark.parametrize("causal", [False, True])
def test_relations_are_those_of_numpy_for_widths_that_differ(causal: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 5, width, generator=generator) for width in (8, 12))
    loss = compute_relation_loss(student, teacher, MASK, heads=4, causal=causal).item()
    expected = relation_by_numpy(student.numpy(), teacher.numpy(), MASK.numpy(), 4, causal)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_relation_heads_and_block_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    student, teacher = model(tmp_path, seed=1), model(tmp_path)
    with pytest.raises(BuildError, match="have the width 32, which is no multiple of 5 relation heads"):
        RelationMatch(student, teacher, weight=1.0, heads=5)
    with pytest.raises(BuildError, match="relation_block = 4, but the teacher has blocks 0 to 3"):
        RelationMatch(student, teacher, weight=1.0, block=4)
    assert RelationMatch(student, teacher, weight=1.0, block=1).teacher[0].startswith("bert.encoder.layer.1.")


def test_layers_are_mapped_as_asked() -> None:
    assert map_layers(2, 6, "last") == [4, 5]
    assert map_layers(3, 2, "last") == [0, 0, 1]
    assert map_layers(2, 6, (5, 0)) == [5, 0]
    for mapping in ((1,), (1, 6), (1, 2, 3)):
        with pytest.raises(
            BuildError,
            match=r"expected one block of the teacher \(0 to 5\) for each of the student's 2 blocks",
        ):
            map_layers(2, 6, mapping)


def test_hooks_are_gone_after_watching(tmp_path: Path) -> None:
    torch_model = model(tmp_path)
    names = list_block_names(torch_model.network)
    before = [len(torch_model.network.get_submodule(name)._forward_hooks) for name in names]
    with watch_outputs(torch_model.network, names) as outputs:
        torch_model.network(input_ids=IDS, attention_mask=MASK)
    assert list(outputs.values) == names
    assert outputs.values[names[0]].requires_grad
    assert [len(torch_model.network.get_submodule(name)._forward_hooks) for name in names] == before
