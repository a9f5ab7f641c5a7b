"""slimgate.steps.training.teacher_ensemble: the mean of several teachers' answers, and what distillation
makes of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fixtures.models.architectures import write_tiny, write_tiny_classifier
from fixtures.models.building import NEXT_TOKEN, load_tiny, make_tiny_context
from fixtures.models.tiny import BAD, GOOD, OTHER, make_tiny_tokenizer
from slimgate.errors import BuildError
from slimgate.plugins.context import BuildContext, FurtherTeacher
from slimgate.steps.finetune import active_distill, distill
from slimgate.steps.prune import gradual_magnitude_prune
from slimgate.steps.quantize import quantization_aware_training
from slimgate.steps.training.distillation import DistillationRows, ReadRows
from slimgate.steps.training.teacher_answers import COMPUTED, TAKEN, TeacherAnswers
from slimgate.steps.training.teacher_ensemble import MeanAnswers, Teaching, compute_ensemble_answers
from slimgate.suite.named_plugin import Plugin
from slimgate.tasks import causal_lm, sentence_embedding
from slimgate.tasks.parts.objectives import encode_training_rows, make_objective

LABELS = ("neg", "pos")


def answers(values: list[list[float]], *, source: str = COMPUTED) -> TeacherAnswers:
    return TeacherAnswers(np.array(values, dtype=np.float32), np.arange(len(values) + 1), source)


def test_the_mean_is_taken_of_the_rows_that_are_asked_for() -> None:
    mean = MeanAnswers([answers([[0, 3], [6, 0], [1, 1]]), answers([[2, 1], [0, 6], [3, 5]], source=TAKEN)])
    np.testing.assert_array_equal(mean.select_answers([2, 0, 0]), [[2, 3], [1, 2], [1, 2]])
    assert mean.select_answers([1]).dtype == np.float32
    assert mean.source == "the mean of 2 teachers', 1 of them from the store, read by memory map"


def test_answers_of_different_shape_have_no_mean() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\) answers, but the first teacher gives \(1, 2\)"):
        MeanAnswers([answers([[0, 3]]), answers([[0, 3, 1]])])
    tokens = [
        TeacherAnswers(np.zeros((3, 2), dtype=np.float32), np.array(starts))
        for starts in ([0, 1, 3], [0, 2, 3])
    ]
    with pytest.raises(ValueError, match="answers, but the first"):
        MeanAnswers(tokens)


class Ensemble:
    """A student of one block, its teachers (of other weights and, in part, another width), and a context."""

    def __init__(self, folder: Path, teachers: int, **last: Any) -> None:
        self.context = make_tiny_context(folder / "rows")
        folders = [
            write_tiny_classifier(folder / f"teacher-{i}", seed=i, initializer_range=0.3)
            for i in range(teachers - 1)
        ]
        options = {"labels": LABELS, "initializer_range": 0.3, **last}
        folders.append(write_tiny(folder / "last", "bert", seed=teachers, **options))
        self.loads: list[int] = []

        def loading(number: int) -> Any:
            def load() -> Any:
                self.loads.append(number)
                return load_tiny(folders[number], make_tiny_context(folder / "rows"))

            return load

        self.context.load_teacher = loading(0)
        self.context.more_teachers = tuple(FurtherTeacher(loading(i)) for i in range(1, teachers))
        small = write_tiny(folder / "small", "bert", seed=9, labels=LABELS, num_hidden_layers=1)
        self.student = load_tiny(small, self.context)
        self.teachers = [load_tiny(path, self.context) for path in folders]

    def compute_logits(self, model: Any) -> torch.Tensor:
        encoded, _ = encode_training_rows(model, self.context)
        batch = encoded.batch(range(len(encoded.lengths)))
        with torch.no_grad():
            scores = model.network.eval()(**{k: torch.from_numpy(v) for k, v in batch.items()}).logits
        return scores  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("teachers", [2, 3])
def test_a_student_comes_to_answer_as_the_mean_of_its_teachers(tmp_path: Path, teachers: int) -> None:
    ensemble = Ensemble(tmp_path, teachers, hidden_size=16, intermediate_size=32)
    each = [ensemble.compute_logits(teacher) for teacher in ensemble.teachers]
    mean = torch.stack(each).mean(0)
    names = tuple(f"teacher-{i}" for i in range(1, teachers))
    # alpha = 0 and squared error of logits: nothing but the mean is learnt
    options = distill.Params(
        more_teachers=names,
        alpha=0.0,
        mse_weight=1.0,
        epochs=80,
        learning_rate=2e-3,
        dropout=0.0,
        precision="float32",
        keep_best=False,
    )
    distill.step.apply(ensemble.student, options, ensemble.context)
    learnt = ensemble.compute_logits(ensemble.student)
    to_mean = float((learnt - mean).square().mean())
    assert to_mean < 0.5 * min(float((learnt - scores).square().mean()) for scores in each)
    log = ensemble.context.log
    assert log["more_teachers"] == list(names)
    assert (
        log["teacher_logits"]
        == f"the mean of {teachers} teachers', 0 of them from the store, read by memory map"
    )
    assert ensemble.loads == list(range(teachers))


@pytest.mark.slow
def test_the_loss_is_that_of_the_mean_logits(tmp_path: Path) -> None:
    ensemble = Ensemble(tmp_path, 2)
    student, mean = (
        ensemble.compute_logits(ensemble.student),
        torch.stack([*map(ensemble.compute_logits, ensemble.teachers)]).mean(0),
    )
    expected = torch.nn.functional.kl_div(
        (student / 2).log_softmax(-1), (mean / 2).softmax(-1), reduction="batchmean"
    )
    # one step over all rows at a rate that changes nothing: what is logged is the loss of the first weights
    options = distill.Params(
        more_teachers=("second",),
        alpha=0.0,
        batch_size=48,
        learning_rate=1e-12,
        dropout=0.0,
        precision="float32",
    )
    distill.step.apply(ensemble.student, options, ensemble.context)
    assert ensemble.context.log["loss_parts"]["soft"] == pytest.approx(4 * expected.item(), abs=2e-4)


@pytest.mark.slow
def test_hidden_states_are_compared_with_the_first_teachers(tmp_path: Path) -> None:
    ensemble = Ensemble(tmp_path, 2)
    options = distill.Params(more_teachers=("second",), hidden_weight=0.5, alpha=0.0, precision="float32")
    distill.step.apply(ensemble.student, options, ensemble.context)
    assert set(ensemble.context.log["loss_parts"]) == {"soft", "hidden"}


def test_a_teacher_with_more_outputs_is_refused(tmp_path: Path) -> None:
    ensemble = Ensemble(tmp_path, 2)
    wide = ensemble.teachers[1]
    wide.network.classifier = torch.nn.Linear(wide.config.hidden_size, 3)
    ensemble.context.more_teachers = (FurtherTeacher(lambda: wide),)
    with pytest.raises(
        BuildError,
        match=r'more_teachers: "second" gives \(48, 3\) answers, but the first teacher gives \(48, 2\)',
    ):
        distill.step.apply(ensemble.student, distill.Params(more_teachers=("second",)), ensemble.context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"more_teachers": ("teacher",)}, '"teacher" was given twice'),
        ({"more_teachers": ("a", "b", "a")}, '"a" was given twice'),
        ({"teacher": "a", "more_teachers": ("a",)}, '"a" was given twice'),
        ({"more_teachers": ("a",), "stored_logits": False}, "stored_logits = false"),
        ({"more_teachers": ("a b",)}, "more_teachers"),
    ],
)
def test_names_that_make_no_ensemble_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        distill.Params(**options)


def test_of_labels_alone_no_teacher_is_asked(tmp_path: Path) -> None:
    ensemble = Ensemble(tmp_path, 3)
    options = distill.Params(more_teachers=("second", "third"), alpha=1.0, precision="float32")
    distill.step.apply(ensemble.student, options, ensemble.context)
    assert ensemble.loads == [0]
    assert ensemble.context.log["teacher_logits"] == "not needed: all is learnt by labels"


@pytest.mark.slow
def test_each_teacher_reads_train_and_transfer_by_its_tokenizer(tmp_path: Path) -> None:
    ensemble = Ensemble(tmp_path, 2)
    other = ensemble.teachers[1]
    other.tokenizer = make_tiny_tokenizer(tmp_path / "words", (*OTHER, *GOOD))
    seen: list[np.ndarray[Any, Any]] = []
    forward = other.network.forward

    def watched(input_ids: torch.Tensor, **more: Any) -> Any:
        seen.append(input_ids.numpy())
        return forward(input_ids=input_ids, **more)

    other.network.forward = watched
    ensemble.context.more_teachers = (FurtherTeacher(lambda: other),)
    options = distill.Params(
        more_teachers=("other",), augment={"copies": 2, "word_swap": 0.5}, alpha=0.0, precision="float32"
    )
    distill.step.apply(ensemble.student, options, ensemble.context)
    log = ensemble.context.log
    assert sum(map(len, seen)) == 48 + log["transfer"]["rows"] > 48
    assert max(int(part.max()) for part in seen) < len(other.tokenizer)
    assert re.fullmatch(r"other: their tokenizers differ on \d+ of \d+ train rows", log["warning"])


def tokens(tmp_path: Path) -> tuple[Any, BuildContext]:
    """A student that is a causal language model, and the context of its two teachers."""
    context = make_tiny_context(tmp_path / "rows", task=causal_lm.task, params=NEXT_TOKEN)
    folders = [
        write_tiny(tmp_path / f"teacher-{i}", "gpt2", seed=i, causal=True, initializer_range=0.3)
        for i in range(2)
    ]
    first, second = (load_tiny(folder, context) for folder in folders)
    context.load_teacher = lambda: first
    context.more_teachers = (FurtherTeacher(lambda: second),)
    student = load_tiny(write_tiny(tmp_path / "small", "gpt2", seed=9, causal=True, n_layer=1), context)
    return student, context


def test_where_an_answer_is_a_token_the_mean_is_of_every_token(tmp_path: Path) -> None:
    student, context = tokens(tmp_path)
    teachers = [context.load_teacher(), context.more_teachers[0].load()]
    rows = DistillationRows(student, teachers[0], distill.Params(), context)
    (encoded, targets), teacher = rows.select_labelled_rows(student), rows.read_by(teachers[0])
    objective = make_objective(context.task, context.task_params)
    sides = ReadRows(student, encoded), targets, teacher
    teaching = Teaching(*sides, rows, ("second",), context, precision="float32")
    answers = compute_ensemble_answers(teaching, objective)
    batch = {name: torch.from_numpy(values) for name, values in teacher.encoded.batch([5, 3]).items()}
    with torch.no_grad():
        mean = sum(teacher.network.eval()(**batch).logits for teacher in teachers) / 2
    flat, _ = objective.flat(mean, torch.from_numpy(np.asarray(targets[[5, 3]])))
    np.testing.assert_allclose(answers.select_answers([5, 3]), flat.numpy(), atol=1e-5)


def test_tokens_of_another_tokenizer_have_no_mean(tmp_path: Path) -> None:
    student, context = tokens(tmp_path)
    other = context.more_teachers[0].load()
    other.tokenizer = make_tiny_tokenizer(tmp_path / "words", (*OTHER, *GOOD, *BAD))
    with pytest.raises(BuildError, match='an answer is a token here, and "other" has a different tokenizer'):
        distill.step.apply(student, distill.Params(more_teachers=("other",)), context)


@pytest.mark.slow
def test_answers_that_are_tokens_are_not_stored_beyond_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, context = tokens(tmp_path)
    monkeypatch.setattr("slimgate.steps.training.teacher_ensemble.count_stored_bytes", lambda *_: 2**30)
    with pytest.raises(
        BuildError, match=r"the answers of 2 teachers would be 2\.0 GB on disk; set stored_logits"
    ):
        distill.step.apply(student, distill.Params(more_teachers=("second",)), context)
    options = distill.Params(more_teachers=("second",), stored_logits=True, precision="float32")
    distill.step.apply(student, options, context)
    assert context.log["teacher_logits"].startswith("the mean of 2 teachers'")


def test_vectors_have_no_mean(tmp_path: Path) -> None:
    ensemble = Ensemble(tmp_path, 2)
    encoded, targets = encode_training_rows(ensemble.student, ensemble.context)
    rows = DistillationRows(ensemble.student, ensemble.teachers[0], distill.Params(), ensemble.context)
    student, teacher = (ReadRows(model, encoded) for model in (ensemble.student, ensemble.teachers[0]))
    teaching = Teaching(student, targets, teacher, rows, ("second",), ensemble.context)
    params = sentence_embedding.Params(text="text", label="label")
    with pytest.raises(BuildError, match="vectors of different models cannot be averaged"):
        compute_ensemble_answers(teaching, make_objective(sentence_embedding.task, params))


def test_a_step_that_does_not_say_its_teacher_is_refused(tmp_path: Path) -> None:
    ensemble = Ensemble(tmp_path, 2)
    ensemble.context.more_teachers = ()
    with pytest.raises(BuildError, match="must declare also_learns_from"):
        distill.step.apply(ensemble.student, distill.Params(more_teachers=("second",)), ensemble.context)


@pytest.mark.parametrize(
    "step", [distill.step, gradual_magnitude_prune.step, quantization_aware_training.step]
)
def test_steps_with_the_option_declare_it(step: Any) -> None:
    needed = {gradual_magnitude_prune.step: {"sparsity": 0.5}, quantization_aware_training.step: {"bits": 4}}
    params = step.Params(more_teachers=("b", "self"), teacher="a", **needed.get(step, {}))
    assert Plugin("step", step, params).teachers == ("a", "b", "self")


def test_whom_rows_are_asked_of_is_one_model() -> None:
    with pytest.raises(ValidationError, match="more_teachers"):
        active_distill.Params(rows=10, more_teachers=("a",))


def test_each_further_teachers_context_is_separate_when_shared(tmp_path: Path) -> None:
    kinds: list[str] = []

    def share(kind: str, key: Any, fill: Any) -> Any:  # noqa: ARG001
        kinds.append(kind)
        return Path(kind), True

    context = make_tiny_context(tmp_path)
    context.more_teachers = (FurtherTeacher(lambda: "second", share),)
    [further] = context.of_more_teachers()
    assert further.load_teacher() == "second"
    assert further.shared_folder("answers", {}, lambda _: {}) == (Path("answers"), True)
    assert kinds == ["answers"]
    assert further.log is context.log
    assert further.more_teachers == ()
