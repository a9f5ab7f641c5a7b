"""The task image_text: rows as pixels and tokens, zero-shot answers, what is wrong said in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fixtures.models.building import load_tiny, save_model
from fixtures.models.tiny_clip import COLOURS, PARAMS, make_clip_context, make_picture_rows, write_tiny_clip
from slimgate.errors import BuildError, DataError, SuiteError
from slimgate.models.predict import predict_scores
from slimgate.models.torch_model import load_torch_model
from slimgate.outcomes import ClassOutcomes
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.finetune import distill, fine_tune
from slimgate.tasks import image_text

CLASSES = tuple(sorted(COLOURS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip") / "model")


def answers(model: Any, folder: Path, rows: Rows, params: image_text.Params = PARAMS) -> ClassOutcomes:
    encoded = image_text.task.row_encoder(params, folder)(rows)
    scores = predict_scores(EagerPredictor(model.network, "cpu"), encoded, batch_size=5)
    return image_text.task.outcomes(TaskFacts(CLASSES), rows, scores, params, None)


def saved(model: Any, folder: Path) -> Path:
    return save_model(model, folder)


def test_zero_shot_answers_are_those_of_transformers(folder: Path, tmp_path: Path) -> None:
    from transformers import CLIPModel, CLIPProcessor

    from slimgate.data.images import open_image

    model = load_tiny(folder, make_clip_context(tmp_path / "rows"))
    where, rows = saved(model, tmp_path / "saved"), make_picture_rows(8)
    outcomes = answers(load_torch_model(where), where, rows)
    processor = CLIPProcessor.from_pretrained(where)
    pictures = [open_image(value) for value in rows.table["image"].to_pylist()]
    texts = [f"a {name} square" for name in CLASSES]
    inputs = processor(text=texts, images=pictures, return_tensors="pt", padding=True)
    with torch.no_grad():
        expected = CLIPModel.from_pretrained(folder)(**inputs).logits_per_image.softmax(-1).numpy()
    assert outcomes.probabilities is not None
    np.testing.assert_allclose(outcomes.probabilities, expected, atol=1e-6)


def test_ranks_and_classes_by_hand_where_a_class_has_two_prompts() -> None:
    params = PARAMS.model_copy(update={"prompt": ("a {label} square", "something {label}")})
    rows = Rows(make_picture_rows(2).table.set_column(3, "label", [["green", "red"]]))
    # blue, green, red; two prompts each
    scores = np.array([[5, 1, 3, 4, 0, 0], [1, 1, 2, 2, 0, 9]], dtype=np.float32)
    outcomes = image_text.task.outcomes(TaskFacts(CLASSES), rows, scores, params, None)
    # row 0: means 3, 3.5, 0; one prompt of another class above green's best. Row 1: red's second prompt leads
    assert outcomes.predictions.tolist() == [1, 2]
    assert outcomes.column("rank").tolist() == [2, 1]
    assert outcomes.probabilities is not None
    assert outcomes.probabilities[0] == pytest.approx(np.exp([3, 3.5, 0]) / np.exp([3, 3.5, 0]).sum())


def test_of_equal_scores_the_right_one_is_last() -> None:
    rows = Rows(make_picture_rows(1).table.set_column(3, "label", [["green"]]))
    outcomes = image_text.task.outcomes(TaskFacts(CLASSES), rows, np.zeros((1, 3), np.float32), PARAMS, None)
    assert outcomes.column("rank").tolist() == [3]


def test_a_spoiled_row_is_wrong_and_its_caption_last(folder: Path, tmp_path: Path) -> None:
    model = load_tiny(folder, make_clip_context(tmp_path / "rows"))
    outcomes = answers(model, saved(model, tmp_path / "saved"), make_picture_rows(6))
    spoiled = image_text.task.with_planted_fault(outcomes, np.array([1, 4]))
    assert isinstance(spoiled, ClassOutcomes)
    assert spoiled.right[[1, 4]].tolist() == [0, 0]
    assert (spoiled.column("rank")[[1, 4]] > len(CLASSES)).all()
    assert not spoiled.changed_rows(outcomes)[[0, 2, 3, 5]].any()


def test_training_on_captions_teaches_zero_shot_classification(folder: Path, tmp_path: Path) -> None:
    context = make_clip_context(tmp_path / "rows")
    model = load_tiny(folder, context)
    params = fine_tune.Params(epochs=12, learning_rate=3e-3, batch_size=8, precision="float32")
    trained = fine_tune.step.apply(model, params, context)
    outcomes = answers(trained, saved(trained, tmp_path / "saved"), make_picture_rows(30, seed=9))
    assert outcomes.right.mean() > 0.9
    assert context.log["epochs"][-1]["batch_accuracy_selection"] > 0.9


def test_a_student_learns_the_teachers_answers(folder: Path, tmp_path: Path) -> None:
    plain = make_clip_context(tmp_path / "plain")
    teacher = load_tiny(folder, plain)
    student = load_tiny(write_tiny_clip(tmp_path / "other", seed=5), plain)
    context = make_clip_context(tmp_path / "rows", teacher=lambda: teacher)
    params = distill.Params(alpha=0.0, epochs=12, learning_rate=3e-3, batch_size=8, precision="float32")
    encoded = image_text.task.encode_rows(PARAMS, context.rows("train"), teacher.tokenizer)
    batch = {name: torch.from_numpy(values) for name, values in encoded.batch(range(8)).items()}

    def distance() -> float:
        with torch.no_grad():
            logits = [model.network(**batch).logits for model in (student, teacher)]
        losses = image_text.task.objective(PARAMS).soft_losses(*logits, 1.0)
        return float(losses.mean())

    before = distance()
    distill.step.apply(student, params, context)
    assert distance() < 0.3 * before
    assert context.log["teacher_logits"] == "computed beside the student"


def test_rows_without_captions_are_trained_on_the_first_prompt() -> None:
    params = image_text.Params(image="image", label="label", prompt=("one {label}", "two {label}"))
    rows = make_picture_rows(3)
    labels = rows.table["label"].to_pylist()
    assert image_text.list_captions(params, rows) == [f"one {label}" for label in labels]
    assert image_text.list_class_prompts(params, ("a", "b")) == ["one a", "two a", "one b", "two b"]


@pytest.mark.parametrize("prompt", ["a photo", "{label} or {label}", "a {colour} {label}"])
def test_a_prompt_has_one_place_for_the_label(prompt: str) -> None:
    with pytest.raises(ValidationError, match=r"expected \{label\} once"):
        image_text.Params(image="image", label="label", prompt=prompt)


def test_a_model_that_is_no_clip_is_an_error() -> None:
    with pytest.raises(SuiteError, match="is of model_type bert, expected clip"):
        image_text.task.check_model(PARAMS, ModelRef("m"), {"model_type": "bert"}, None)
    short = {"model_type": "clip", "text_config": {"max_position_embeddings": 8}}
    with pytest.raises(SuiteError, match="max_tokens = 16, but m has positions for 8 tokens"):
        image_text.task.check_model(PARAMS, ModelRef("m"), short, None)


def test_images_processed_to_another_size_are_an_error(tmp_path: Path) -> None:
    other = write_tiny_clip(tmp_path / "other")
    settings = json.loads((other / "preprocessor_config.json").read_text())
    settings["crop_size"] = {"height": 16, "width": 16}
    (other / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(BuildError, match=r"images of \[16\] pixels, but the model expects 8"):
        load_tiny(other, make_clip_context(tmp_path / "rows"))


def test_one_class_is_an_error() -> None:
    rows = Rows(make_picture_rows(2).table.set_column(3, "label", [["red", "red"]]))
    with pytest.raises(DataError, match="has only one label"):
        image_text.task.facts(PARAMS, {"gate": rows})
    spelled = Rows(rows.table.set_column(3, "label", [["red", "Red"]]))
    with pytest.raises(DataError, match='has the labels "Red" and "red", which differ only in case'):
        image_text.task.facts(PARAMS, {"gate": spelled})


def test_paths_are_an_error_that_says_who_reads_them() -> None:
    rows = make_picture_rows(3).table
    named = Rows(rows.set_column(rows.column_names.index("image"), "image", [["a.png", "b.png", "c.png"]]))
    with pytest.raises(DataError, match=r'contains string, expected images.*images = \["image"\]'):
        image_text.task.facts(PARAMS, {"gate": named})


def test_the_tokens_of_rows_are_those_of_their_captions(folder: Path, tmp_path: Path) -> None:
    model = load_tiny(folder, make_clip_context(tmp_path / "rows"))
    encoded = image_text.task.encode_rows(PARAMS, make_picture_rows(5), model.tokenizer)
    assert encoded.tokens == encoded.texts.lengths.sum() > 5 * 3
