"""slimgate.steps.calibration: norms and second moments of what layers receive, padding left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fixtures.models.building import make_tiny_causal, make_tiny_classifier
from fixtures.models.encoder_decoders import make_tiny_pair_model
from slimgate.errors import BuildError
from slimgate.models.linear_layers import find_linear_layers, group_by_block
from slimgate.steps.calibration import (
    Moments,
    calibration_batches,
    compute_input_moments,
    compute_inverse_factor,
    compute_second_moments,
    input_norms,
    remove_padding,
    split_by_length,
)
from slimgate.tasks import causal_lm


def built(tmp_path: Path, architecture: str) -> tuple[Any, Any]:
    return make_tiny_classifier(tmp_path, architecture, calibration=9)


def test_moments_equal_those_of_rows_alone_without_padding(tmp_path: Path) -> None:
    model, context = built(tmp_path, "bert")
    layers = dict(list(find_linear_layers(model).items())[:5])
    batches = calibration_batches(model, context, batch_size=4)
    seen: dict[str, list[Any]] = {name: [] for name in layers}
    handles = [
        layer.register_forward_hook(lambda _m, inputs, _o, name=name: seen[name].append(inputs[0][0].numpy()))
        for name, layer in layers.items()
    ]
    with torch.no_grad():
        for batch in calibration_batches(model, context, batch_size=1):
            model.network(**batch)
    for handle in handles:
        handle.remove()
    norms, moments = input_norms(model, layers, batches), compute_second_moments(model, layers, batches)
    for name, parts in seen.items():
        tokens = np.concatenate(parts).astype(np.float64)
        np.testing.assert_allclose(norms[name].numpy(), np.sqrt((tokens**2).mean(axis=0)), rtol=1e-4)
        expected = tokens.T @ tokens / len(tokens)
        np.testing.assert_allclose(moments[name].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_receives_nothing_is_an_error_that_names_it(tmp_path: Path) -> None:
    model, context = built(tmp_path, "bert")
    with pytest.raises(BuildError, match=r"1 linear layers received nothing .*, first nowhere"):
        input_norms(model, {"nowhere": nn.Linear(2, 2)}, calibration_batches(model, context))


def decoder(tmp_path: Path, architecture: str) -> tuple[Any, Any]:
    params = causal_lm.Params(text=("text",), max_tokens=24)
    return make_tiny_causal(tmp_path, architecture, params=params, calibration=16)


@pytest.mark.parametrize("architecture", ["bert", "opt", "mixtral", "t5"])
def test_no_batch_has_padding(tmp_path: Path, architecture: str) -> None:
    build = {"bert": built, "t5": make_tiny_pair_model}.get(architecture, decoder)
    model, context = build(tmp_path, architecture)
    layers = dict(find_linear_layers(model))
    together = calibration_batches(model, context)
    alone = calibration_batches(model, context, batch_size=1)
    assert len(together) < len(alone)
    assert all(bool(batch["attention_mask"].all()) for batch in together)
    moments, expected = (
        compute_input_moments(model, layers, together),
        compute_input_moments(model, layers, alone),
    )
    for name in layers:
        assert moments[name].count == expected[name].count, name
        torch.testing.assert_close(
            moments[name].second_moment, expected[name].second_moment, rtol=1e-4, atol=1e-6
        )
    if architecture == "t5":
        encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), model.tokenizer)
        answers = sum(map(len, encoded.answers))
        assert moments["decoder.block.0.layer.0.SelfAttention.q"].count == answers


def test_flattened_tokens_of_padded_rows_are_not_counted() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    values = torch.arange(6.0).reshape(2, 3, 1)
    for tensor in (values, values.reshape(6, 1)):
        assert remove_padding(tensor, {"attention_mask": mask}).flatten().tolist() == [0, 1, 3, 4, 5]
    pooled = torch.ones(2, 4)
    assert remove_padding(pooled, {"attention_mask": mask}).shape == (2, 4)
    with pytest.raises(BuildError, match="receives only some tokens of a batch"):
        remove_padding(values.reshape(6, 1)[:4], {"attention_mask": mask})


def test_a_padded_batch_is_split_by_length() -> None:
    batch = {
        "input_ids": np.array([[5, 6, 0], [0, 7, 8], [1, 2, 3]]),
        "attention_mask": np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1]]),
    }
    first, second = split_by_length([batch])
    assert first["input_ids"].tolist() == [[5, 6], [7, 8]]
    assert second["input_ids"].tolist() == [[1, 2, 3]]
    assert first["attention_mask"].all()


def test_rows_without_a_token_are_left_out() -> None:
    batch = {"input_ids": np.array([[5, 6], [0, 0]]), "attention_mask": np.array([[1, 1], [0, 0]])}
    assert [each["input_ids"].tolist() for each in split_by_length([batch])] == [[[5, 6]]]


def test_a_batch_without_a_mask_has_no_padding() -> None:
    batch = {"input_ids": np.array([[5, 6]])}
    assert split_by_length([batch, batch])[0]["input_ids"].tolist() == [[5, 6]]


def test_about_as_many_rows_as_asked_are_encoded(tmp_path: Path) -> None:
    model, context = decoder(tmp_path, "gpt2")
    batches = calibration_batches(model, context, most_rows=4)
    assert sum(len(batch["input_ids"]) for batch in batches) == 4
    lengths = [batch["input_ids"].shape[1] for batch in batches]
    assert max(lengths) > min(lengths), "rows of all lengths"


@pytest.mark.parametrize("architecture", ["distilbert", "roberta", "electra", "gpt2", "llama"])
def test_layers_are_grouped_by_block_in_order(tmp_path: Path, architecture: str) -> None:
    model, _ = built(tmp_path, architecture)
    layers = find_linear_layers(model)
    groups = group_by_block(model, layers)
    assert len(groups) == 4
    assert [name for group in groups for name in group] == list(layers)
    assert [{name.split(".h.")[-1].split("layer")[-1] for name in group} for group in groups]
    for number, group in enumerate(groups):
        assert all(f".{number}." in name for name in group)
    outer = find_linear_layers(model, inside="network", output=True)
    alone = [group for group in group_by_block(model, outer) if not group.keys() & layers.keys()]
    assert sorted(name for group in alone for name in group) == sorted(outer.keys() - layers.keys())
    assert all(len(group) == 1 for group in alone)


def test_moments_are_those_of_all_tokens_together() -> None:
    tokens = torch.from_numpy(np.random.default_rng(3).normal(loc=1.0, size=(50, 4)))
    moments = Moments.empty(4, torch.device("cpu"))
    for part in torch.split(tokens, 20):
        moments.add_(part)
    assert np.allclose(moments.mean, tokens.numpy().mean(0))
    assert np.allclose(moments.covariance, np.cov(tokens.numpy().T, bias=True))
    assert np.allclose(moments.second_moment, tokens.numpy().T @ tokens.numpy() / 50)


def test_the_factor_is_that_of_the_damped_inverse() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(400, 16)) @ rng.normal(size=(16, 16)))
    matrix = x.t() @ x / len(x)
    factor = compute_inverse_factor(matrix, 0.01)
    damped = matrix.numpy() + 0.01 * np.trace(matrix.numpy()) / 16 * np.eye(16)
    np.testing.assert_allclose((factor.t() @ factor).numpy(), np.linalg.inv(damped), rtol=1e-8, atol=1e-10)
    assert torch.equal(factor, factor.triu())


def test_moments_that_cannot_be_inverted_say_so() -> None:
    singular = torch.full((4, 4), float("nan"), dtype=torch.float64)
    with pytest.raises(BuildError, match="raise damping"):
        compute_inverse_factor(singular, 0.01)
