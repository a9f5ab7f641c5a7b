"""A variant built elsewhere is judged as its files are: a lost head and other weights are errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from support.tiny_suite import make_tiny_run

from fixtures.models.architectures import write_tiny
from fixtures.models.building import NEXT_TOKEN, PARAMS, make_tiny_context
from fixtures.models.embeddings import make_embedding_context
from fixtures.models.task_rows import TASKS
from fixtures.models.tiny_clip import make_clip_context, write_tiny_clip
from slimgate import SEQUENCE_CLASSIFIER, Head, load_classifier, load_torch_model
from slimgate.errors import BuildError, SuiteError
from slimgate.models.saved_files import read_weight_shapes
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import load
from slimgate.plugins.models import ModelRef
from slimgate.tasks import causal_lm, text_classification

Weights = dict[str, Any]
RELEASED = "[variants]\nreleased = { model = 'export', EXTRA }\n"
WITH_HEADS = {
    "text_classification": {"text": ("text",), "label": "label", "max_tokens": 32},
    "pairs": {"text": ("text", "text"), "label": "label", "max_tokens": 32},
    **{name: dict(task.params) for name, task in TASKS.items()},
}


def change_weights(folder: Path, change: Callable[[Weights], Weights]) -> None:
    file = folder / "model.safetensors"
    safetensors.torch.save_file(change(safetensors.torch.load_file(file)), file, {"format": "pt"})


def without(folder: Path, part: str) -> None:
    """The folder's weights but those with `part` in their name."""
    change_weights(
        folder, lambda weights: {name: tensor for name, tensor in weights.items() if part not in name}
    )


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refs(folder: Path) -> dict[bool | None, ModelRef]:
    """The folder as a variant's that is judged as it is, as one's with a new head, and as the teacher's."""
    return {new: ModelRef(str(folder), folder, new_head=new) for new in (False, True, None)}


def load_ref(ref: ModelRef, context: BuildContext) -> Any:
    return context.task.load_model(context.task_params, ref, context)


def check_ref(ref: ModelRef, kind: str) -> None:
    """What the plan checks: no rows are read, and no model is loaded."""
    assert ref.folder is not None
    task = load("task", "text_classification" if kind == "pairs" else kind)
    config = json.loads((ref.folder / "config.json").read_text())
    task.check_model(task.Params.model_validate(WITH_HEADS[kind]), ref, config, None)


@pytest.mark.parametrize("kind", WITH_HEADS)
def test_every_task_with_a_head_refuses_a_bare_encoder(tmp_path: Path, kind: str) -> None:
    model_refs = refs(write_tiny(tmp_path / "export", "bert"))
    with pytest.raises(
        SuiteError, match=r"config\.json names BertModel, expected a model with a head .*new_head"
    ):
        check_ref(model_refs[False], kind)
    check_ref(model_refs[True], kind)
    check_ref(model_refs[None], kind)


@pytest.mark.parametrize("pooling", ["model", "mean"])
def test_a_head_of_slimgate_is_not_in_transformers_folders(tmp_path: Path, pooling: str) -> None:
    params = text_classification.Params.model_validate(
        {**WITH_HEADS["text_classification"], "pooling": pooling}
    )
    model_refs = refs(write_tiny(tmp_path / "export", "bert", labels=("neg", "pos")))
    config = json.loads((tmp_path / "export/config.json").read_text())
    if pooling == "model":
        text_classification.task.check_model(params, model_refs[False], config, None)
        return
    with pytest.raises(SuiteError, match='pooling = "mean" needs a head of slimgate'):
        text_classification.task.check_model(params, model_refs[False], config, None)


def test_the_plan_refuses_a_head_without_weights(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "export", "bert", labels=("neg", "pos"))
    check_ref(refs(folder)[False], "text_classification")
    without(folder, "classifier")
    with pytest.raises(
        SuiteError, match=r"BertForSequenceClassification, outputs: 2\), but none of the \d+ weights"
    ):
        check_ref(refs(folder)[False], "text_classification")


def test_a_regression_needs_a_head_of_one_output(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "export", "bert", labels=("neg", "pos"))
    with pytest.raises(SuiteError, match="its head has 2 outputs, and this task needs 1"):
        check_ref(refs(folder)[False], "text_regression")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: without(f, "classifier"), r"lack|none of the"),
        (lambda f: without(f, "word_embeddings"), r"its files lack 1 \(bert\.embeddings\.word_embeddings"),
        (lambda f: change_config(f, num_hidden_layers=5), r"its files lack 16 \(bert\.encoder\.layer\.4"),
        (lambda f: change_config(f, num_hidden_layers=3), r"cannot load 16 \(bert\.encoder\.layer\.3"),
        (
            lambda f: change_weights(
                f, lambda weights: {**weights, "other.weight": next(iter(weights.values())).clone()}
            ),
            r"cannot load 1 \(other\.weight\)",
        ),
    ],
    ids=["no head", "no embeddings", "fewer layers", "more layers", "another part"],
)
def test_files_that_are_not_the_model_are_an_error_on_loading(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = write_tiny(tmp_path / "export", "bert", labels=("neg", "pos"))
    context = make_tiny_context(tmp_path / "rows")
    load_ref(refs(folder)[False], context)
    assert context.log["head"] == "the model's own"
    damage(folder)
    with pytest.raises((BuildError, SuiteError), match=message):
        load_ref(refs(folder)[False], context)


def test_the_unused_pooler_of_roberta_is_no_error(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "export", "roberta", labels=("neg", "pos"))
    change_weights(
        folder,
        lambda weights: {
            **weights,
            "roberta.pooler.dense.weight": weights["classifier.dense.weight"].clone(),
        },
    )
    assert load_ref(refs(folder)[False], make_tiny_context(tmp_path / "rows")).kind == "torch"


def test_a_new_head_on_request_replaces_an_existing_one(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "export", "bert", labels=("other", "names", "three"))
    context = make_tiny_context(tmp_path / "rows")
    model = load_ref(refs(folder)[True], context)
    assert context.log["head"] == "logistic regression"
    assert model.network.config.id2label == {0: "neg", 1: "pos"}


@pytest.mark.parametrize("new_head", [True, None])
@pytest.mark.parametrize("pooling", ["model", "mean"])
def test_a_new_head_excuses_no_weight_that_the_encoder_lacks(
    tmp_path: Path, new_head: bool | None, pooling: str
) -> None:
    folder = write_tiny(tmp_path / "export", "bert")
    params = PARAMS.model_copy(update={"pooling": pooling})
    context = make_tiny_context(tmp_path / "rows", params=params)
    load_ref(refs(folder)[new_head], context)
    without(folder, "word_embeddings")
    with pytest.raises(BuildError, match=r"its files lack 1 \(.*word_embeddings"):
        load_ref(refs(folder)[new_head], context)


def test_a_teacher_of_which_a_part_is_not_used_is_warned_of(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "export", "bert")
    change_config(folder, num_hidden_layers=3)
    context = make_tiny_context(tmp_path / "rows")
    load_ref(refs(folder)[None], context)
    assert "weights that are not used: 16 (encoder.layer.3" in context.log["warning"]
    with pytest.raises(BuildError, match=r"cannot load 16 \(encoder\.layer\.3"):
        load_ref(refs(folder)[True], make_tiny_context(tmp_path / "rows"))


def test_embeddings_may_leave_out_only_a_head(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "export", "bert", labels=("neg", "pos"))
    with pytest.raises(BuildError, match=r"BertModel cannot load 2 \(classifier\.bias, classifier\.weight\)"):
        load_ref(refs(folder)[False], make_embedding_context(tmp_path / "rows"))
    load_ref(refs(folder)[True], make_embedding_context(tmp_path / "rows"))
    load_ref(refs(folder)[None], make_embedding_context(tmp_path / "rows"))
    without(folder, "classifier")
    load_ref(refs(folder)[False], make_embedding_context(tmp_path / "rows"))


@pytest.mark.parametrize("new_head", [False, True])
def test_no_new_head_makes_a_language_model_whole(tmp_path: Path, new_head: bool) -> None:
    context = make_tiny_context(tmp_path / "rows", task=causal_lm.task, params=NEXT_TOKEN)
    folder = write_tiny(tmp_path / "export", "llama", causal=True)
    load_ref(refs(folder)[new_head], context)
    without(folder, "lm_head")
    with pytest.raises(BuildError, match=r"its files lack 1 \(lm_head\.weight\)"):
        load_ref(refs(folder)[new_head], context)


def test_a_tower_of_an_image_text_model_must_be_whole(tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path / "export")
    load_ref(refs(folder)[False], make_clip_context(tmp_path / "rows"))
    without(folder, "visual_projection")
    with pytest.raises(BuildError, match=r"its files lack 1 \(visual_projection\.weight\)"):
        load_ref(refs(folder)[False], make_clip_context(tmp_path / "rows"))


def test_a_suite_names_the_variant_and_new_head_lets_it_through(tmp_path: Path) -> None:
    write_tiny(tmp_path / "export", "bert")
    with pytest.raises(
        SuiteError, match=r"suite\.toml \[variants\.released\] model: export: config\.json names"
    ):
        make_tiny_run(tmp_path, **{"[variants]": RELEASED.replace(", EXTRA", "")})
    run = make_tiny_run(tmp_path, **{"[variants]": RELEASED.replace("EXTRA", "new_head = true")})
    built = run.build("released")
    assert built.artifact.manifest["log"]["head"] == "logistic regression"
    with pytest.raises(SuiteError, match=r"\[variants\.shorter\]: new_head is only for a variant with model"):
        make_tiny_run(tmp_path, **{"shorter = { ": "shorter = { new_head = true, "})
    fresh = RELEASED.replace("export", "fresh:export").replace("EXTRA", "new_head = true")
    with pytest.raises(SuiteError, match="fresh weights are new, and so is their head"):
        make_tiny_run(tmp_path, **{"[variants]": fresh})


def test_a_stored_teacher_does_not_excuse_unused_weights(tmp_path: Path) -> None:
    write_tiny(tmp_path / "shorter", "bert", labels=("neg", "pos"))
    change_config(tmp_path / "shorter", num_hidden_layers=3)
    variant = RELEASED.replace("export", "shorter").replace(", EXTRA", "")
    run = make_tiny_run(tmp_path, **{'model = "hub"': 'model = "shorter"', "[variants]": variant})
    assert "not used" in run.build("teacher").artifact.manifest["log"]["warning"]
    with pytest.raises(BuildError, match=r"released: .*cannot load 16"):
        run.build("released")


def test_headers_of_safetensors_are_read_and_nothing_else_is(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "export", "bert", labels=("neg", "pos"))
    shapes = read_weight_shapes(folder)
    assert shapes is not None
    stored = safetensors.torch.load_file(folder / "model.safetensors")
    assert shapes == {name: tuple(tensor.shape) for name, tensor in stored.items()}
    (folder / "model.safetensors").write_bytes(b"\xff" * 20)
    assert read_weight_shapes(folder) is None
    (folder / "model.safetensors").write_bytes(b"")
    assert read_weight_shapes(folder) is None
    (folder / "model.safetensors").write_bytes((3).to_bytes(8, "little") + b"[1]")
    assert read_weight_shapes(folder) is None
    (folder / "model.safetensors").unlink()
    assert read_weight_shapes(folder) is None


def test_a_new_head_drops_the_problem_type_of_the_old(tmp_path: Path) -> None:
    """transformers refuses one output for "single_label_classification", which a trained classifier has."""
    folder = write_tiny(tmp_path / "export", "bert", labels=("neg", "pos"))
    change_config(folder, problem_type="single_label_classification")
    head = Head(SEQUENCE_CLASSIFIER, ("score",), ordered=False)
    ref = ModelRef(str(folder), folder, new_head=True)
    load_classifier(head, ref, make_tiny_context(tmp_path / "rows"), texts=()).model.save(tmp_path / "saved")
    assert load_torch_model(tmp_path / "saved").network.config.num_labels == 1
