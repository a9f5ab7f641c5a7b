"""What holds of every step, on tiny models of each task, with the options of its examples.

The step runs, outputs keep their number and stay finite, what it claims came true, the artifact holds no
pickle, and it loads again to the same outputs, to the bit. Or one BuildError says why the step cannot run.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.building import MEAN, NEXT_TOKEN, load_artifact, load_tiny, make_tiny_context, save_model
from fixtures.models.embeddings import LABELS, PAIRS, make_embedding_context
from fixtures.models.exported import make_distinct_
from fixtures.models.step_examples import (
    ANSWER_EXAMPLES,
    EMBEDDING_EXAMPLES,
    EXAMPLES,
    ONNX_EXAMPLES,
    OPENVINO_EXAMPLES,
    SERVED_EXAMPLES,
)
from fixtures.models.task_rows import TASKS, make_task_context
from slimgate.errors import BuildError
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.run.claims import check_step_claims
from slimgate.steps.agreement import make_default_predictor
from slimgate.store.store import list_files
from slimgate.tasks import causal_lm, text_generation

pytest.importorskip("torch")

pytestmark = pytest.mark.slow

PICKLES = (".bin", ".pt", ".pkl", ".pickle")


@dataclass(frozen=True)
class Setting:
    """A task with tiny rows, and the model in it: an architecture with options."""

    context: Callable[[Path], Any]
    architecture: str = "bert"
    model: dict[str, Any] = field(default_factory=dict)


CLASSES = partial(make_tiny_context, calibration=16)
TOKENS = partial(make_tiny_context, train=24, calibration=16, task=causal_lm.task, params=NEXT_TOKEN)
PROMPTS = text_generation.Params(prompt="text", reference="label", max_new_tokens=4)
ANSWERS = partial(make_tiny_context, train=24, task=text_generation.task, params=PROMPTS)
SENTENCES = partial(make_embedding_context, calibration=16, train=16)
ARCHITECTURES = ("bert", "distilbert", "gpt2", "llama")
FURTHER = ("roberta", "electra")
SETTINGS = {
    **{name: Setting(CLASSES, name, {"labels": ("neg", "pos")}) for name in (*ARCHITECTURES, *FURTHER)},
    **{f"causal-{name}": Setting(TOKENS, name, {"causal": True}) for name in ("gpt2", "llama")},
    # an export takes two seconds more for each block
    "one block": Setting(CLASSES, "bert", {"labels": ("neg", "pos"), "num_hidden_layers": 1}),
    "answers": Setting(ANSWERS, "llama", {"causal": True}),
    **{task: Setting(partial(make_task_context, task=task, train=24)) for task in TASKS},
    "mean": Setting(partial(CLASSES, params=MEAN)),
    "pairs": Setting(partial(SENTENCES, params=PAIRS)),
    "labels": Setting(partial(SENTENCES, params=LABELS)),
}
# Steps that depend on the loss, which single texts with labels have another one of than pairs.
BY_LOSS = ("cofi_prune", "distill", "low_rank", "prune_heads")
# Steps that change each matrix or table, of which architectures and pooling differ.
BY_MATRIX = ("factorize_embeddings", "gptq", "int8_dynamic", "int8_static", "low_rank", "weight_only")
# Steps after which embeddings have another width or number, and tokens other scores.
RESHAPING = {
    *("new_student", "quantize_embeddings", "static_student", "trim_vocabulary", "truncate_embeddings")
}
# What weights of so few numbers save is less than the names of new tensors and operators take.
TOO_SMALL = {("factorize_embeddings", "causal-gpt2"), ("openvino_int8", "one block")}
# What comes before a step, so that its input is of the kind that it takes.
CONVERSIONS = {"onnx": "to_onnx", "openvino": "to_openvino"}
# Pruning the residual stream needs a layer behind the embeddings, which are that stream.
WITH_A_LAYER_BEHIND = ("truncate_embeddings", {"dims": 8})


def cases() -> Iterator[tuple[str, str, int]]:
    """(setting, step, number of its example)"""
    every = [(name, number) for name, examples in EXAMPLES.items() for number in range(len(examples))]
    for name, number in every:
        yield from ((architecture, name, number) for architecture in ARCHITECTURES)
    for task, (name, number) in zip(itertools.cycle(TASKS), every, strict=False):
        yield task, name, number
    for name, examples in EXAMPLES.items():
        # of GPT-2 layers are Conv1D, and the output layer is the table
        yield "causal-gpt2", name, 0
        if len(examples) > 1:
            yield "causal-llama", name, len(examples) - 1
        yield "pairs", name, 0
    for name in (*BY_LOSS, *EMBEDDING_EXAMPLES):
        yield from (("labels", name, number) for number in range(len(example_of(name))))
    yield from (("pairs", name, len(examples) - 1) for name, examples in EMBEDDING_EXAMPLES.items())
    for setting, name in itertools.product((*FURTHER, "mean"), BY_MATRIX):
        yield setting, name, len(EXAMPLES[name]) - 1
    for name, examples in {**ONNX_EXAMPLES, **OPENVINO_EXAMPLES}.items():
        yield from (("one block", name, number) for number in range(len(examples)))
    for name, examples in ANSWER_EXAMPLES.items():
        yield from (("answers", name, number) for number in range(len(examples)))
    for name, examples in SERVED_EXAMPLES.items():
        yield from (("causal-llama", name, number) for number in range(len(examples)))


def example_of(name: str) -> Any:
    every = (EXAMPLES, ANSWER_EXAMPLES, EMBEDDING_EXAMPLES, ONNX_EXAMPLES, OPENVINO_EXAMPLES, SERVED_EXAMPLES)
    return next(examples[name] for examples in every if name in examples)


def refusal(setting: str, name: str, example: Any) -> str | None:
    """The reason that a step gives where it cannot run; None where it runs."""
    if name == "active_distill" and setting not in ARCHITECTURES:
        return "active_distill chooses rows by class probabilities, and this task has none"
    if setting == "token_classification" and "augment" in example:
        return "transfer and augment make rows of text, and column tokens is not text"
    if name == "static_student" and setting in ("token_classification", "causal-gpt2", "causal-llama"):
        return "answers token by token"
    return None


def outputs(model: Any, context: Any) -> Any:
    """What the model gives for the rows of `selection`, by the runtime of its kind."""
    encoded = context.task.encode_rows(context.task_params, context.rows("selection"), model.tokenizer)
    predictor = make_default_predictor(model, context)
    return predictor.fetch(predictor.forward(predictor.prepare(encoded.batch(range(len(encoded))))))


def saved(model: Any, folder: Path) -> dict[str, int]:
    """The facts of its manifest, after saving."""
    save_model(model, folder)
    return {"bytes": sum((folder / f).stat().st_size for f in list_files(folder)), **model.measure_size()}


@dataclass(frozen=True)
class Original:
    """A model before a step. facts: of its manifest. answers: what it gives for the rows of `selection`."""

    model: Any
    facts: dict[str, int]
    answers: Any

    def copy(self) -> Any:
        """The model, for a step to change. A copy takes a fifth of the time of loading it."""
        return copy.deepcopy(self.model)


def make_loader(
    hubs: dict[str, Path], contexts: dict[str, Callable[[Path], Any]], root: Path
) -> Callable[[str], Original]:
    """A function that loads the model of a name, and saves it below `root`, at the first call with it."""

    @cache
    def load(name: str) -> Original:
        context = contexts[name](root / f"{name}-rows")
        model = load_tiny(hubs[name], context)
        return Original(model, saved(model, root / name), outputs(model, context))

    return load


def applied(name: str, example: Any, model: Any, context: Any) -> Any:
    step = load("step", name)
    variant = step.apply(model, step.Params.model_validate(example), context)
    variant.kind = step.gives or variant.kind
    return variant


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model of each setting, weights wide enough that steps show."""
    root = tmp_path_factory.mktemp("tiny")
    return {
        name: write_tiny(root / name, setting.architecture, initializer_range=0.2, **setting.model)
        for name, setting in SETTINGS.items()
    }


@pytest.fixture(scope="module")
def load_original(
    hubs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Original]:
    contexts = {name: setting.context for name, setting in SETTINGS.items()}
    return make_loader(hubs, contexts, tmp_path_factory.mktemp("originals"))


@pytest.fixture(scope="module")
def graphs(hubs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a graph of each kind."""
    root = tmp_path_factory.mktemp("graphs")
    for kind, step in CONVERSIONS.items():
        context = SETTINGS["one block"].context(root / f"rows-{kind}")
        model = load_tiny(hubs["one block"], context)
        make_distinct_(model.network)
        saved(applied(step, {}, model, context), root / kind)
    return {kind: root / kind for kind in CONVERSIONS}


def test_every_step_has_an_example() -> None:
    # test_in_tower.py has those of a tower, test_to_aoti.py those of a compiled package, test_external.py
    # those of a script, test_to_gguf.py those of a model whose tokenizer llama.cpp has,
    # test_sequence_distill.py those of a teacher that ends its answers, test_to_ctranslate2.py and
    # test_to_ctranslate2_decoder.py those of models that write, test_to_onnx_genai.py those of a decoder with
    # heads of 16, test_to_openvino_decoder.py those of a decoder that writes, test_speculative_decoding.py
    # and test_gguf_draft.py those of a draft that is another model
    elsewhere = {
        *("in_tower", "to_aoti", "external", "to_gguf"),
        *("sequence_distill", "to_ctranslate2", "to_onnx_genai", "to_openvino_decoder"),
        *("speculative_decoding", "gguf_draft"),
    }
    assert {name for _, name, _ in cases()} | elsewhere == set(list_known_plugins("step"))


@pytest.mark.parametrize(
    ("setting", "name", "number"), [pytest.param(*c, id=f"{c[1]}-{c[2]}-{c[0]}") for c in cases()]
)
def test_step(
    tmp_path: Path,
    hubs: dict[str, Path],
    load_original: Callable[[str], Original],
    graphs: dict[str, Path],
    setting: str,
    name: str,
    number: int,
) -> None:
    step, example = load("step", name), example_of(name)[number]
    context = SETTINGS[setting].context(tmp_path / "rows")
    plain = copy.copy(context)
    plain.log = {}
    context.load_teacher = lambda: load_tiny(hubs[setting], plain)
    [kind] = step.takes & {*graphs} or {"torch"}
    if kind == "torch":
        original = load_original(setting)
        model, before, usual = original.copy(), original.facts, original.answers
    else:
        model = load_artifact(kind, graphs[kind])
        before, usual = saved(model, tmp_path / "before"), outputs(model, context)
    if name == "prune_hidden" and setting == "pairs":
        model = applied(*WITH_A_LAYER_BEHIND, model, plain)
        before, usual = saved(model, tmp_path / "before"), outputs(model, context)
    if (reason := refusal(setting, name, example)) is not None:
        with pytest.raises(BuildError, match=reason):
            applied(name, example, model, context)
        return
    variant = applied(name, example, model, context)
    after, answers = saved(variant, tmp_path / "after"), outputs(variant, context)
    assert answers.shape == usual.shape or (name in RESHAPING and setting not in ARCHITECTURES)
    assert len(answers) == len(usual)
    assert np.isfinite(answers).all()
    for claim in check_step_claims(name, step.claims, before, after):
        assert claim.held is not False or (name, setting) in TOO_SMALL, claim
    assert kind != "onnx" or after["parameters"] == before["parameters"]
    assert variant.kind == "openvino" or not [
        f for f in list_files(tmp_path / "after") if f.endswith(PICKLES)
    ]
    again = load_artifact(variant.kind, tmp_path / "after")
    assert np.array_equal(outputs(again, context), answers)
    assert again.measure_size() == variant.measure_size()
    assert again.kind == variant.kind


def test_a_width_without_a_layer_behind_it_is_not_pruned(tmp_path: Path, hubs: dict[str, Path]) -> None:
    context = SETTINGS["pairs"].context(tmp_path)
    with pytest.raises(BuildError, match="reads 32 features; truncate_embeddings before it puts one there"):
        applied("prune_hidden", {"pruning_ratio": 0.25}, load_tiny(hubs["pairs"], context), context)
