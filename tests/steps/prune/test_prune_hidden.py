"""The step prune_hidden: the narrow model is the wide one whose norms see only the features that stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fixtures.models.architectures import write_tiny
from fixtures.models.building import save_and_load
from fixtures.models.masking import ALL, compute_logits, make_tiny_model, zeroed_inputs
from slimgate.errors import BuildError, SuiteError
from slimgate.models.blocks import blocks
from slimgate.models.plain_layers import convert_to_linear_
from slimgate.models.torch_model import TorchModel
from slimgate.steps.factorize import factorize_embeddings
from slimgate.steps.finetune import distill
from slimgate.steps.prune import keep_layers, magnitude_prune, prune_ffn, prune_heads, prune_hidden
from slimgate.steps.prune._prune_hidden import (
    Stream,
    _compute_drift,
    compute_stream_importance,
    find_residual_stream,
    narrow_,
)
from slimgate.steps.prune._unit_choice import select_best_units
from slimgate.steps.quantize import int8_dynamic


@contextmanager
def norms_over(network: nn.Module, stream: Stream, features: Sequence[int]) -> Iterator[None]:
    """Within it, norms take their statistics over some features alone, and give 0 for the others."""

    def hook(norm: Any, args: tuple[torch.Tensor], _output: torch.Tensor) -> torch.Tensor:
        x = args[0][..., features]
        if isinstance(norm, nn.LayerNorm):
            x = x - x.mean(-1, keepdim=True)
        eps = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
        weight = norm.weight[features] + type(norm).__name__.startswith("Gemma")
        x = x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight
        out = torch.zeros_like(args[0])
        out[..., features] = x if getattr(norm, "bias", None) is None else x + norm.bias[features]
        return out

    handles = [network.get_submodule(name).register_forward_hook(hook) for name in stream.norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("architecture", ALL)
def test_outputs_are_the_wide_models_with_norms_over_what_stays(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    original, _ = make_tiny_model(tmp_path, architecture)
    stream, plain = find_residual_stream(original.network), compute_logits(original)
    features = select_best_units(compute_stream_importance(original, stream, context, by="gradient"), 24)
    prune_hidden.step.apply(model, prune_hidden.Params(pruning_ratio=0.25, rescale_norms=False), context)
    gone = [feature for feature in range(32) if feature not in features]
    with (
        norms_over(original.network, stream, features),
        zeroed_inputs(original.network, dict.fromkeys(stream.readers, gone)),
    ):
        reference = compute_logits(original)
    assert (reference - plain).abs().max() > 1e-3
    torch.testing.assert_close(compute_logits(model), reference, atol=1e-5, rtol=1e-5)
    assert model.config.hidden_size == 24
    wide = blocks(original.network)[0].attention.head_dim
    for block in blocks(model.network):
        assert (block.attention.heads, block.attention.head_dim) == (4, wide)
    again = save_and_load(model, tmp_path / "saved")
    assert again.config.hidden_size == 24
    assert torch.equal(compute_logits(again), compute_logits(model))


def test_everything_that_touches_the_stream_is_found(tmp_path: Path) -> None:
    model, _ = make_tiny_model(tmp_path, "bert")
    stream = find_residual_stream(model.network)
    assert len(stream.tables) == 3  # words, positions, types
    assert len(stream.writers) == 4 * 2
    assert len(stream.readers) == 4 * 4 + 1
    assert len(stream.norms) == 1 + 4 * 2
    assert (stream.head, stream.behind) == ("bert.pooler.dense", ("classifier",))


def test_the_parameters_that_are_gone_are_those_of_the_features(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    before = model.measure_size()["parameters"]
    rows = sum(table.num_embeddings for table in model.network.modules() if isinstance(table, nn.Embedding))
    prune_hidden.step.apply(model, prune_hidden.Params(hidden_size=28), context)
    # query, key, value, up: 128 + 32 rows; output and down: 32 + 64 columns with a bias each; two norms
    block = (3 * 32 + 64) + (32 + 64 + 2) + 4
    assert before - model.measure_size()["parameters"] == 4 * (rows + 2 + 4 * block + 32)
    assert context.log["hidden_size_after"] == 28


@pytest.mark.parametrize("importance", ["gradient", "magnitude"])
@pytest.mark.parametrize("rescale", [True, False])
def test_zero_features_go_first_and_an_rms_norm_is_adjusted(
    tmp_path: Path, importance: Any, rescale: bool
) -> None:
    model, context = make_tiny_model(tmp_path, "llama")
    stream, idle = find_residual_stream(model.network), [3, 4, 5, 17, 20, 21, 30, 31]
    with torch.no_grad():
        for name in stream.tables:
            model.network.get_submodule(name).weight[:, idle] = 0
        for name in stream.writers:
            model.network.get_submodule(name).weight[idle] = 0
        for name in stream.readers:
            model.network.get_submodule(name).weight[:, idle] = 0
    before = compute_logits(model)
    params = prune_hidden.Params(pruning_ratio=0.25, importance=importance, rescale_norms=rescale)
    prune_hidden.step.apply(model, params, context)
    assert context.log["importance_kept"] == 1
    # the mean square is over 24 features where it was over 32: each norm is 3/4 ** 0.5 too small without it
    close = torch.allclose(compute_logits(model), before, atol=2e-4)
    assert close == rescale


def test_the_drift_of_a_norms_statistics_by_hand() -> None:
    # mean 4 and variance 26/3 over all, mean 2 and variance 1 over the first two
    ratio, shift, tokens = _compute_drift(torch.tensor([[1.0, 3.0, 8.0]]), [0, 1], centred=True).tolist()
    assert ratio == pytest.approx((3 / 26) ** 0.5)
    assert shift == pytest.approx(-2 * (3 / 26) ** 0.5)
    assert tokens == 1
    # (1 - 4) / s = (1 - 2) · ratio + shift
    assert pytest.approx(-ratio + shift) == -3 * (3 / 26) ** 0.5
    # mean squares 74/3 and 5
    ratio, shift, _ = _compute_drift(torch.tensor([[1.0, 3.0, 8.0]]), [0, 1], centred=False).tolist()
    assert ratio == pytest.approx((5 / (74 / 3)) ** 0.5)
    assert shift == 0


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_it_combines_with_every_structured_step_and_int8(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    prune_heads.step.apply(model, prune_heads.Params(pruning_ratio=0.5), context)
    prune_ffn.step.apply(model, prune_ffn.Params(pruning_ratio=0.5), context)
    prune_hidden.step.apply(model, prune_hidden.Params(pruning_ratio=0.25), context)
    keep_layers.step.apply(model, keep_layers.Params((3, 1)), context)
    prune_hidden.step.apply(model, prune_hidden.Params(hidden_size=20), context)
    prune_heads.step.apply(model, prune_heads.Params(heads=1), context)
    int8_dynamic.step.apply(model, int8_dynamic.Params(embeddings=True), context)
    again = save_and_load(model, tmp_path / "saved")
    assert again.config.hidden_size == 20
    assert torch.equal(compute_logits(again), compute_logits(model))


def test_the_narrow_model_learns_and_its_zeros_stay(tmp_path: Path) -> None:
    teacher, _ = make_tiny_model(tmp_path, "bert")
    model, context = make_tiny_model(tmp_path, "bert")
    context.load_teacher = lambda: teacher
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)
    prune_hidden.step.apply(model, prune_hidden.Params(pruning_ratio=0.25), context)
    zeros = {name: p.detach() == 0 for name, p in model.network.named_parameters() if "query.weight" in name}
    assert all(int(mask.sum()) for mask in zeros.values())
    distill.step.apply(model, distill.Params(epochs=1), context)
    for name, mask in zeros.items():
        assert bool((model.network.get_parameter(name)[mask] == 0).all())
        assert bool((model.network.get_parameter(name)[~mask] != 0).all())


def test_a_tied_output_layer_stays_tied(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = write_tiny(tmp_path / "hub", "gpt2")
    tiny, _ = make_tiny_model(tmp_path / "other", "gpt2")
    network = AutoModelForCausalLM.from_pretrained(folder)
    model = TorchModel(network, tiny.tokenizer, "transformers:AutoModelForCausalLM")
    convert_to_linear_(model)
    stream = find_residual_stream(network)
    assert stream.head == "lm_head"
    narrow_(model, stream, list(range(24)))
    again = save_and_load(model, tmp_path / "saved")
    side: Any
    for side in (model, again):
        head, table = (side.network.get_submodule(name) for name in ("lm_head", "transformer.wte"))
        assert head.weight is table.weight
        assert table.weight.shape[1] == 24
    assert torch.equal(compute_logits(again), compute_logits(model))


def test_an_electra_with_embeddings_of_stream_width_narrows_both(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "electra", embedding_size=32)
    prune_hidden.step.apply(model, prune_hidden.Params(hidden_size=24), context)
    assert model.config.embedding_size == 24
    assert len(find_residual_stream(model.network).tables) == 3
    assert np.array_equal(compute_logits(save_and_load(model, tmp_path / "saved")), compute_logits(model))


def test_an_int8_model_is_a_clear_error(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    with pytest.raises(BuildError, match=r"is Int8Linear, and only nn\.Linear can be cut"):
        prune_hidden.step.apply(model, prune_hidden.Params(hidden_size=24), context)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_a_factorized_table_is_an_error_another_order_works(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    prune_hidden.step.apply(model, prune_hidden.Params(hidden_size=24), context)
    factorize_embeddings.step.apply(model, factorize_embeddings.Params(rank=6), context)
    assert np.array_equal(compute_logits(save_and_load(model, tmp_path / "saved")), compute_logits(model))
    with pytest.raises(
        BuildError,
        match=r"is FactorizedEmbedding, and only nn\.Embedding can be cut; put the cutting step before",
    ):
        prune_hidden.step.apply(model, prune_hidden.Params(hidden_size=16), context)


@pytest.mark.parametrize("width", ["hidden_size", "dim", "n_embd"])
def test_the_new_width_is_known_before_the_model_is_loaded(width: str) -> None:
    heads = {"hidden_size": "num_attention_heads", "dim": "n_heads", "n_embd": "n_head"}[width]
    half = prune_hidden.step.check(prune_hidden.Params(pruning_ratio=0.5), {width: 384, heads: 12})
    assert half["hidden_size"] == 192
    odd = prune_hidden.step.check(prune_hidden.Params(pruning_ratio=0.3), {width: 384, heads: 12})
    assert odd["hidden_size"] == 264  # 268.8 / 12 = 22.4 heads
    with pytest.raises(
        SuiteError, match=r"hidden size 200 was given, expected a multiple of the 12 .* below 384"
    ):
        prune_hidden.step.check(prune_hidden.Params(hidden_size=200), {width: 384, heads: 12})
    with pytest.raises(SuiteError, match="hidden size 384 was given"):
        prune_hidden.step.check(prune_hidden.Params(pruning_ratio=0.01), {width: 384, heads: 12})


@pytest.mark.parametrize("options", [{}, {"hidden_size": 24, "pruning_ratio": 0.5}], ids=["nothing", "both"])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected exactly one of pruning_ratio, hidden_size"):
        prune_hidden.Params.model_validate(options)
