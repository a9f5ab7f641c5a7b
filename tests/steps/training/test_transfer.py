"""slimgate.steps.training.transfer: rows without labels, of which none is held out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from fixtures.models.building import make_tiny_context
from slimgate.errors import BuildError, DataError
from slimgate.plugins.rows import Rows
from slimgate.steps.finetune import distill
from slimgate.steps.training.params import Augment, TransferParams
from slimgate.steps.training.transfer import make_transfer_rows
from slimgate.tasks import text_classification

TOKENIZER = SimpleNamespace(mask_token="[MASK]")


def test_held_out_repeated_empty_or_known_rows_are_dropped(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
    held_out = context.rows("selection").table["text"][0].as_py()
    known = context.rows("train").table["text"][0].as_py()
    spaced = "  ".join(held_out.split())
    file = tmp_path / "more.csv"
    file.write_text(f'text,other\nfresh words,1\n"{spaced}",2\n{known},3\nfresh   words,4\n" ",5\nmore,6\n')
    rows = make_transfer_rows(TransferParams(transfer=str(file)), context, tokenizer=TOKENIZER)  # type: ignore[arg-type]
    assert rows is not None
    assert rows.table["text"].to_pylist() == ["fresh words", "more"]
    assert rows.ids == ["transfer/0", "transfer/5"]
    assert context.log["transfer"] == {
        "from_files": 6,
        "dropped_empty": 1,
        "dropped_held_out": 1,
        "dropped_repeats": 2,
        "rows": 2,
    }


def test_lines_of_text_serve_only_a_task_of_one_text_column(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("one\n\ntwo\n")
    params = TransferParams(transfer=(tmp_path / "more.txt",))
    rows = make_transfer_rows(params, make_tiny_context(tmp_path / "rows"), tokenizer=TOKENIZER)
    assert rows is not None
    assert rows.table["text"].to_pylist() == ["one", "two"]
    pair = text_classification.Params(text=("text", "file"), label="label")
    with pytest.raises(ValueError, match=r'more\.txt has no column "file"; it has text'):
        make_transfer_rows(params, make_tiny_context(tmp_path / "rows", params=pair), tokenizer=TOKENIZER)


def test_a_pair_is_compared_as_a_pair(tmp_path: Path) -> None:
    context = make_tiny_context(
        tmp_path / "rows", params=text_classification.Params(text=("text", "file"), label="label")
    )
    table = context.rows("selection").table
    text, file = (table[name][0].as_py() for name in ("text", "file"))
    (tmp_path / "more.csv").write_text(f"text,file\n{text},{file}\n{text},another\n")
    rows = make_transfer_rows(TransferParams(transfer=(tmp_path / "more.csv",)), context, tokenizer=TOKENIZER)
    assert rows is not None
    assert rows.table["file"].to_pylist() == ["another"]


def test_augmented_rows_are_copies_of_train_without_held_out(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
    params = TransferParams(augment=Augment(copies=2, word_mask=0.3))
    first, again = (make_transfer_rows(params, context, tokenizer=TOKENIZER) for _ in range(2))
    assert first is not None
    assert again is not None
    assert first.table.equals(again.table)
    log = context.log["transfer"]
    assert log["augmented"] == 96
    assert log["rows"] == len(first) == 96 - log["dropped_repeats"] - log["dropped_held_out"]
    # everything that stands in a later split goes
    context.are_held_out = lambda texts: [True] * len(texts)
    with pytest.raises(DataError, match=r"no row left: .*'dropped_held_out': 96"):
        make_transfer_rows(params, context, tokenizer=TOKENIZER)


def test_masking_needs_a_mask_token(tmp_path: Path) -> None:
    params = TransferParams(augment=Augment(word_mask=0.3))
    with pytest.raises(BuildError, match="word_mask needs a tokenizer with a mask token"):
        make_transfer_rows(params, make_tiny_context(tmp_path), tokenizer=SimpleNamespace(mask_token=None))


def test_without_either_there_are_no_rows_and_no_log(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
    assert make_transfer_rows(TransferParams(), context, tokenizer=TOKENIZER) is None
    assert context.log == {}


def test_rows_of_the_split_without_labels_are_a_transfer_set(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
    held_out = context.rows("selection").table["text"][0].as_py()
    table = pa.table({"id": ["a", "b", "c"], "text": ["fresh words", held_out, "more words"]})
    context.splits = {**context.splits, "unlabelled": Rows(table)}
    rows = make_transfer_rows(TransferParams(unlabelled=True), context, tokenizer=TOKENIZER)
    assert rows is not None
    assert rows.table["text"].to_pylist() == ["fresh words", "more words"]
    assert context.log["transfer"]["from_unlabelled"] == 3
    assert context.log["transfer"]["dropped_held_out"] == 1


def test_copies_of_rows_without_labels_are_made_on_request(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
    context.splits = {**context.splits, "unlabelled": Rows(pa.table({"text": ["quite fresh words"]}))}
    params = TransferParams(augment=Augment(copies=2, word_swap=0.5, unlabelled=True))
    assert distill.step.also_reads(distill.Params(augment=params.augment)) == ("unlabelled",)
    rows = make_transfer_rows(params, context, tokenizer=TOKENIZER)
    assert rows is not None
    assert context.log["transfer"]["augmented"] == 2 * (48 + 1)
    copies = [text for text in rows.table["text"].to_pylist() if "quite" in text.split()]
    assert copies
    assert all(sorted(text.split()) == ["fresh", "quite", "words"] for text in copies)


def there_and_back(texts: list[str]) -> list[str]:
    """A translator: what has no other words comes back as it was, and is dropped as a repeat."""
    return [text.replace("film", "movie") for text in texts]


def short(texts: list[str]) -> list[str]:
    return texts[:-1]


def silent(texts: list[str]) -> list[str | None]:
    return [None for _ in texts]


def join_texts(texts: list[str]) -> str:
    return " ".join(texts)


def test_a_users_translator_gives_a_copy_of_every_train_row(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
    options = Augment(translator=f"{__name__}:there_and_back")
    rows = make_transfer_rows(TransferParams(augment=options), context, tokenizer=TOKENIZER)
    assert rows is not None
    texts = context.rows("train").table["text"].to_pylist()
    expected = [text.replace("film", "movie") for text in texts if "film" in text.split()]
    assert rows.table["text"].to_pylist() == expected
    assert context.log["transfer"] == {
        "translated": 48,
        "dropped_empty": 0,
        "dropped_held_out": 0,
        "dropped_repeats": 48 - len(expected),
        "rows": len(expected),
    }


def test_a_translator_may_be_combined_with_changed_words(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
    options = Augment(copies=2, word_dropout=0.2, translator=f"{__name__}:there_and_back")
    make_transfer_rows(TransferParams(augment=options), context, tokenizer=TOKENIZER)
    assert context.log["transfer"]["augmented"] == 96
    assert context.log["transfer"]["translated"] == 48
    with pytest.raises(ValueError, match="a translator gives one copy of each row"):
        Augment(copies=2, translator="a:b")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", "gave 47 texts for 48, expected one for each"),
        ("silent", "gave NoneType for text 0, expected str"),
        ("join_texts", "gave str back, expected a list of strings"),
    ],
)
def test_a_translator_that_loses_rows_is_reported(tmp_path: Path, name: str, message: str) -> None:
    params = TransferParams(augment=Augment(translator=f"{__name__}:{name}"))
    with pytest.raises(BuildError, match=message):
        make_transfer_rows(params, make_tiny_context(tmp_path), tokenizer=TOKENIZER)
