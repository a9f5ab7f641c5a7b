"""Every step on a tiny random model of every family: it runs and loads again, or is refused with the reason.

test_every_step.py has BERT, DistilBERT, GPT-2 and Llama, with more options.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from steps.test_every_step import NEXT_TOKEN, Original, applied, make_loader, outputs, saved

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_artifact, load_tiny, make_tiny_context
from fixtures.models.step_examples import EXAMPLES
from slimgate.errors import BuildError, SuiteError
from slimgate.models.families import check_family, find_family, find_refusal
from slimgate.plugins.loading import load
from slimgate.run.claims import check_step_claims
from slimgate.tasks import causal_lm

pytest.importorskip("torch")

pytestmark = pytest.mark.slow

CLASSES = partial(make_tiny_context, train=8, selection=4, calibration=12)
TOKENS = partial(CLASSES, task=causal_lm.task, params=NEXT_TOKEN)
DECODERS = (
    "opt",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3_text",
    "phi",
    "phi3",
    "mixtral",
    "qwen3_moe",
)
CONTEXTS = {**dict.fromkeys(DECODERS, TOKENS), "modernbert": CLASSES}
# Rows are chosen by probabilities of classes, which a language model has none of.
BY_CLASS = "active_distill"
# A mean of token vectors predicts no next token.
BY_TEXT = "static_student"
# Qwen2's tokenizer reads bytes, which all stay.
BYTES = {"vocab_size": 262}
# What tables and files of so few numbers save is less than the names of new tensors take.
TOO_SMALL = ("factorize_embeddings", "trim_vocabulary")


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    wide = {"initializer_range": 0.2}
    folders = {name: write_tiny(root / name, name, causal=True, **wide) for name in DECODERS}
    return {**folders, "modernbert": write_tiny(root / "m", "modernbert", labels=("neg", "pos"), **wide)}


@pytest.fixture(scope="module")
def load_original(
    hubs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Original]:
    return make_loader(hubs, CONTEXTS, tmp_path_factory.mktemp("originals"))


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("architecture", CONTEXTS)
def test_step(
    tmp_path: Path,
    hubs: dict[str, Path],
    load_original: Callable[[str], Original],
    architecture: str,
    name: str,
) -> None:
    context = CONTEXTS[architecture](tmp_path / "rows")
    plain = copy.copy(context)
    plain.log = {}
    context.load_teacher = lambda: load_tiny(hubs[architecture], plain)
    original, step = load_original(architecture), load("step", name)
    model = original.copy()
    family = find_family(model.config)
    assert family is not None
    if (reason := find_refusal(step, family)) is not None:
        with pytest.raises(SuiteError, match=reason):
            check_family(name, step, model.config)
        return
    if name == BY_CLASS and architecture in DECODERS:
        pytest.skip("active_distill is for classification")
    if name == BY_TEXT and architecture in DECODERS:
        with pytest.raises(BuildError, match="answers token by token"):
            applied(name, EXAMPLES[name][0], model, context)
        return
    example = BYTES if (architecture, name) == ("qwen2", "trim_vocabulary") else EXAMPLES[name][0]
    if name == BY_CLASS:
        example = {**example, "rows": 8}  # as many as the context has
    variant = applied(name, example, model, context)
    after, answers = saved(variant, tmp_path / "after"), outputs(variant, context)
    assert np.isfinite(answers).all()
    assert name in ("conv1d_to_linear", *TOO_SMALL) or not np.array_equal(answers, original.answers)
    for claim in check_step_claims(name, step.claims, original.facts, after):
        assert claim.held is not False or name in TOO_SMALL, claim
    again = load_artifact(variant.kind, tmp_path / "after")
    assert np.array_equal(outputs(again, context), answers)
    assert again.measure_size() == variant.measure_size()
