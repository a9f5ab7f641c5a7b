"""A model folder holds a tokenizer, or is refused before anything loads."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from support.sample_record import change_variant, make_sample_record
from support.tiny_suite import make_tiny_run

from fixtures.models.tiny_clip import PARAMS, write_tiny_clip
from slimgate.errors import SuiteError
from slimgate.models.pretrained import load_or_train_tokenizer, train_tokenizer
from slimgate.models.saved_files import check_tokenizer, has_tokenizer
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows
from slimgate.report.alarms import list_unreadable_rows
from slimgate.report.cautions import format_notes
from slimgate.results.checks import TEACHER
from slimgate.run import contents
from slimgate.run.measure import quality
from slimgate.run.measure.quality import SplitEncoder
from slimgate.tasks import image_text
from slimgate.tasks.parts.encoding import encode_texts


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "source.spm"]
)
def test_a_vocabulary_is_a_tokenizer(tmp_path: Path, name: str) -> None:
    assert not has_tokenizer(tmp_path)
    (tmp_path / name).touch()
    assert has_tokenizer(tmp_path)


@pytest.mark.parametrize(("kind", "needs_none"), [("ByT5Tokenizer", True), ("BertTokenizer", False)])
def test_a_tokenizer_of_bytes_needs_no_vocabulary(tmp_path: Path, kind: str, needs_none: bool) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    assert has_tokenizer(tmp_path) is needs_none


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    for check in (check_tokenizer, lambda ref: load_or_train_tokenizer(ref, (), None)):
        with pytest.raises(SuiteError, match=r'^"m": .* has no tokenizer, expected tokenizer\.json, vocab'):
            check(ModelRef("m", tmp_path))
    check_tokenizer(ModelRef("m", tmp_path, fresh=True))
    check_tokenizer(ModelRef("owner/name"))


def test_a_model_of_images_and_texts_needs_its_processor_too(tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    image_text.task.check_model(PARAMS, ModelRef("clip", folder), config, None)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(SuiteError, match=r'^"clip": .* has no preprocessor_config\.json or processor_config'):
        image_text.task.check_model(PARAMS, ModelRef("clip", folder), config, None)


def test_a_tokenizer_is_read_once_for_all_tests_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_tiny_run(tmp_path)
    artifact = run.build(TEACHER).artifact
    folders: list[Path] = []
    digest = contents.digest_tokenizer
    monkeypatch.setattr(contents, "digest_tokenizer", lambda folder: folders.append(folder) or digest(folder))
    loaded: list[Path] = []
    load = quality.make_row_encoder
    monkeypatch.setattr(
        quality, "make_row_encoder", lambda task, folder: loaded.append(folder) or load(task, folder)
    )
    encoder = SplitEncoder(run.suite, run.rows.gate)
    assert encoder.encode_for(artifact) is encoder.encode_for(artifact)
    assert encoder.measure_unreadable(artifact) == 0
    assert folders == loaded == [artifact.folder]


def test_rows_of_unknown_tokens_are_counted_and_warned_of(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    artifact = run.build(TEACHER).artifact
    assert run.encoder.measure_unreadable(artifact) == 0
    table = run.rows.gate.table
    texts = [
        f"{text} {'странно ' * 9}" if row % 2 else text for row, text in enumerate(table["text"].to_pylist())
    ]
    column = table.schema.get_field_index("text")
    strange = Rows(table.set_column(column, "text", pa.array(texts)))
    assert SplitEncoder(run.suite, strange).measure_unreadable(artifact) == 0.5

    record = make_sample_record()
    assert list_unreadable_rows(record) == []
    first = record.variants[0]
    assert first.artifact is not None
    unreadable = first.artifact.model_copy(update={"unreadable_rows": 0.5})
    record = change_variant(record, "teacher", artifact=unreadable)
    [line] = list_unreadable_rows(record)
    assert line.startswith("the tokenizer of teacher cannot read 50 % of the gate rows: at least one token")
    assert f"**Unknown tokens**: {line}." in list(format_notes(record))


def test_the_end_of_text_of_gpt2_is_no_unknown_token() -> None:
    tokenizer = train_tokenizer(["a film"], family="gpt2", size=300)
    tokenizer.unk_token = tokenizer.eos_token
    encoded = encode_texts(tokenizer, [["a <|endoftext|> b"]], max_tokens=9)
    assert encoded.columns["input_ids"][0].count(tokenizer.unk_token_id) == 1
    assert encoded.compute_unknown_shares().tolist() == [0]
