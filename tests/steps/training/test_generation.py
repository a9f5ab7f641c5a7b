"""Text that language models write: for students to learn from, and to see how varied it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context
from slimgate.errors import BuildError
from slimgate.models.generate import continue_prompts
from slimgate.plugins.models import ComparedModel
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.finetune import distill
from slimgate.steps.training.distillation import DistillationLoss, ReadRows, describe_mismatch
from slimgate.steps.training.params import Generate, TransferParams
from slimgate.steps.training.transfer import _select_first_tokens, generate_texts, make_transfer_rows
from slimgate.tasks import causal_lm
from slimgate.tasks.parts.objectives import encode_labelled_rows
from slimgate.tasks.parts.text_diversity import compute_diversity, compute_written_figures

PARAMS = causal_lm.Params(text=("text",), max_tokens=16, stride=8, add_bos=True)
FEW = Generate(rows=10, tokens=6, prompt_tokens=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gpt2")
    return write_tiny(path, "gpt2", causal=True, initializer_range=0.5)


@pytest.fixture
def context(tmp_path: Path) -> Any:
    return make_tiny_context(tmp_path, task=causal_lm.task, params=PARAMS)


@pytest.fixture
def teacher(folder: Path, context: Any) -> Any:
    return load_tiny(folder, context)


# --- writing


def test_texts_begin_with_first_tokens_of_train_rows_by_the_seed(teacher: Any, context: Any) -> None:
    starts = {tuple(text.split()[:2]) for text in context.rows("train").table["text"].to_pylist()}
    texts = generate_texts(teacher, FEW, context)
    assert len(texts) == 10
    assert {tuple(text.split()[:2]) for text in texts} <= starts
    assert generate_texts(teacher, FEW, context) == texts
    context.seed = 1
    assert generate_texts(teacher, FEW, context) != texts
    assert context.log["written"]["rows"] == 10
    assert context.log["written"]["distinct_1"] <= 1


def test_a_short_prompt_is_continued_as_if_it_stood_alone(teacher: Any) -> None:
    greedy = Generate(tokens=5, top_k=1)
    ids = [[2, 5, 6, 7, 8], [2, 9]]
    together = continue_prompts(teacher.network, teacher.tokenizer, ids, greedy, seed=0)
    alone = [
        continue_prompts(teacher.network, teacher.tokenizer, [prompt], greedy, seed=0)[0] for prompt in ids
    ]
    assert together == alone


def test_a_text_ends_before_its_end_token(teacher: Any) -> None:
    with torch.no_grad():  # whatever comes, the end token is the likeliest
        teacher.network.transformer.ln_f.bias.copy_(100 * teacher.network.lm_head.weight[3])
    assert continue_prompts(teacher.network, teacher.tokenizer, [[2, 5]], Generate(top_k=1), seed=0) == [[]]


def test_an_endless_text_is_as_long_as_it_may_be(teacher: Any) -> None:
    with torch.no_grad():
        teacher.network.transformer.ln_f.bias.copy_(100 * teacher.network.lm_head.weight[3])
    options = Generate(tokens=7, top_k=1)
    [text] = continue_prompts(teacher.network, teacher.tokenizer, [[2, 5]], options, seed=0, endless=True)
    assert len(text) == 7
    assert teacher.tokenizer.eos_token_id not in text


def test_any_of_several_end_tokens_ends_a_text(teacher: Any) -> None:
    with torch.no_grad():
        teacher.network.transformer.ln_f.bias.copy_(100 * teacher.network.lm_head.weight[7])
    teacher.network.config.eos_token_id = [3, 7]
    assert continue_prompts(teacher.network, teacher.tokenizer, [[2, 5]], Generate(top_k=1), seed=0) == [[]]


def test_more_tokens_than_the_model_has_positions_is_an_error(teacher: Any) -> None:
    with pytest.raises(
        BuildError, match=r"63 new tokens after prompts of 2, but .* has positions for 64 tok"
    ):
        continue_prompts(teacher.network, teacher.tokenizer, [[2, 5]], Generate(tokens=63), seed=0)


def test_a_model_of_few_positions_writes_shorter_texts(tmp_path: Path, context: Any) -> None:
    folder = write_tiny(tmp_path / "short", "gpt2", causal=True, n_positions=16)
    side = compared(load_tiny(folder, context), folder, context.rows("selection"))
    figures = compute_written_figures(side, side)
    assert all(figure["variant"] is not None for figure in figures.values())


def test_a_row_shorter_than_the_prompt_is_continued_not_followed(teacher: Any, context: Any) -> None:
    ends = PARAMS.model_copy(update={"add_eos": True})
    rows = context.task.encode_rows(ends, context.rows("train"), teacher.tokenizer).columns["input_ids"]
    assert rows[0][-1] == teacher.tokenizer.eos_token_id
    assert _select_first_tokens(rows[0], teacher.tokenizer, Generate(prompt_tokens=100)) == rows[0][:-1]


def test_texts_that_the_limit_cuts_are_counted(teacher: Any, context: Any) -> None:
    generate_texts(teacher, FEW, context)
    log = context.log["written"]
    assert 0 <= log["unfinished"] <= log["tokens"] / FEW.tokens


def test_without_a_prompt_text_begins_behind_the_start_token(teacher: Any, context: Any) -> None:
    texts = generate_texts(teacher, Generate(rows=3, tokens=4, prompt_tokens=0), context)
    assert all(len(text.split()) <= 4 for text in texts)
    context.task_params = PARAMS.model_copy(update={"add_bos": False})
    with pytest.raises(BuildError, match="prompt_tokens = 0, but rows have no start token; set add_bos"):
        generate_texts(teacher, Generate(prompt_tokens=0), context)


def test_a_teacher_that_writes_no_text_is_an_error(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows")
    teacher = load_tiny(write_tiny(tmp_path / "m", "bert", labels=("neg", "pos")), context)
    with pytest.raises(
        BuildError, match="BertForSequenceClassification does not generate text: expected a causal"
    ):
        generate_texts(teacher, FEW, context)


# --- learning from it


def test_tokens_that_do_not_correspond_teach_nothing(teacher: Any, context: Any) -> None:
    mine, theirs = (encode_labelled_rows(teacher, "train", context) for _ in range(2))
    assert mine is not None
    assert theirs is not None
    params = distill.Params(epochs=1)
    sides = ReadRows(teacher, mine[0]), ReadRows(teacher, theirs[0])
    DistillationLoss(*sides, params, context)
    mine[0].columns["input_ids"][0][1] += 1
    with pytest.raises(BuildError, match="an answer is a token here, and student and teacher have different"):
        DistillationLoss(*sides, params, context)


def test_a_tokenizer_that_cuts_more_windows_is_reported(teacher: Any, context: Any) -> None:
    encoded, _ = encode_labelled_rows(teacher, "train", context) or (None, None)
    assert encoded is not None
    fewer = encoded.take(range(len(encoded) - 2))
    assert (
        describe_mismatch(ReadRows(teacher, encoded), ReadRows(teacher, fewer))
        == f"their tokenizers differ on 2 of {len(encoded)} train rows"
    )


def test_written_texts_held_out_or_known_are_dropped(
    teacher: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out, known = (context.rows(split).table["text"][0].as_py() for split in ("selection", "train"))
    texts = [held_out, known, "good film", "good  film", ""]
    monkeypatch.setattr("slimgate.steps.training.transfer.generate_texts", lambda *_: texts)
    rows = make_transfer_rows(
        TransferParams(generate=FEW), context, tokenizer=teacher.tokenizer, teacher=teacher
    )
    assert rows is not None
    assert rows.table["text"].to_pylist() == ["good film"]
    assert context.log["transfer"] == {
        "written": 5,
        "dropped_empty": 1,
        "dropped_held_out": 1,
        "dropped_repeats": 2,
        "rows": 1,
    }


@pytest.mark.parametrize("alone", [False, True], ids=["beside train rows", "alone"])
def test_a_student_learns_from_what_its_teacher_writes(
    folder: Path, teacher: Any, context: Any, alone: bool
) -> None:
    context.load_teacher = lambda: teacher
    params = distill.Params(generate=FEW, only_transfer=alone, alpha=1.0, learning_rate=1e-3)
    assert distill.step.adds_rows(params)
    before = [weight.clone() for weight in teacher.network.parameters()]
    student = distill.step.apply(load_tiny(folder, context), params, context)
    written = context.log["transfer"]["rows"]
    assert context.log["rows"] == written + (0 if alone else len(context.rows("train")))
    assert not torch.equal(student.network.lm_head.weight, before[0])
    assert all(torch.equal(*pair) for pair in zip(before, teacher.network.parameters(), strict=True))


def test_only_transfer_without_rows_to_learn_from_is_refused() -> None:
    with pytest.raises(ValidationError, match="only_transfer leaves no rows"):
        TransferParams(only_transfer=True)


# --- two models side by side


def compared(model: Any, folder: Path, rows: Any) -> ComparedModel:
    encoded = causal_lm.make_judged_windows(PARAMS, rows, model.tokenizer)
    return ComparedModel(EagerPredictor(model.network, "cpu"), encoded, folder, "cpu")


def test_a_model_writes_as_varied_a_text_as_itself(folder: Path, teacher: Any, context: Any) -> None:
    side = compared(teacher, folder, context.rows("selection"))
    comparison = causal_lm.task.compare(PARAMS, side, side)
    assert {name: figure["teacher"] for name, figure in comparison["figures"].items()} == {
        name: figure["variant"] for name, figure in comparison["figures"].items()
    }


def test_figures_are_missing_where_pytorch_runs_no_network(folder: Path, teacher: Any, context: Any) -> None:
    class Elsewhere:
        def prepare(self, batch: Any) -> Any:
            return batch

    side = compared(teacher, folder, context.rows("selection"))
    figures = compute_written_figures(side, ComparedModel(Elsewhere(), side.encoded, folder, "cpu"))  # type: ignore[arg-type]
    assert {figure["variant"] for figure in figures.values()} == {None}
    assert set(figures) == set(compute_diversity([]))
