"""Inspect's files without its package: zip members of each compression, attachments, and damaged files."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.compared_logs import judge_files

from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.logs.find import read_log
from slimgate.logs.readers._inspect_files import read_header, read_samples
from slimgate.plugins.loading import load

WRITTEN = Path(__file__).parent / "written_by_tools/inspect/base.eval"
LONG = "a long prompt " * 20


def _make_sample(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "id": number,
        "epoch": 1,
        "input": [{"role": "user", "content": [{"type": "text", "text": "attachment://a1"}]}],
        "target": "yes",
        "output": {"choices": [{"message": {"content": "yes"}, "stop_reason": "stop"}]},
        "scores": {"match": {"value": "C"}},
        "attachments": {"a1": LONG},
        **changed,
    }


def _write_eval(path: Path, compression: int, samples: list[dict[str, Any]]) -> Path:
    header = {"status": "success", "eval": {"task": "t", "model": "m", "run_id": "r", "created": "2026"}}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for sample in samples:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
        archive.writestr("header.json", json.dumps(header))
    return path


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"]
)
def test_messages_and_attachments_are_the_prompt(tmp_path: Path, compression: int) -> None:
    file = _write_eval(
        tmp_path / "x.eval",
        compression,
        [_make_sample(1), _make_sample(2, score={"value": "I"}, scores=None)],
    )
    rows = list(read_log(file).tasks["t"].rows())
    assert [row.prompt for row in rows] == [f"user: {LONG}"] * 2
    assert [row.scores for row in rows] == [{"match": 1.0}, {"score": 0.0}]
    assert [row.answer for row in rows] == ["yes", "yes"]


def _ask(number: int, system: str, **changed: Any) -> dict[str, Any]:
    """A sample whose solver put a system message before the question."""
    question = {"role": "user", "content": f"{number}?", "source": "input"}
    shots = [{"role": "assistant", "content": "1", "source": "input"}]
    answer = {"role": "assistant", "content": "yes", "source": "generate"}
    messages = [{"role": "system", "content": system}, *shots, question, answer]
    return _make_sample(number, **{"input": f"{number}?", "messages": messages, "scores": {}, **changed})


def test_the_prompt_has_what_a_solver_put_before_the_question(tmp_path: Path) -> None:
    """The code of a solver is not in the header of a log, so its messages alone show a changed prompt."""
    scored = {"scores": {"match": {"value": "C"}}}
    base = _write_eval(tmp_path / "base.eval", 0, [_ask(number, "Be brief.", **scored) for number in (1, 2)])
    assert next(iter(read_log(base).tasks["t"].rows())).prompt == "system: Be brief.\nassistant: 1\nuser: 1?"

    failed = _ask(2, "Be brief.", messages=[], error={"message": "timeout"})
    target = _write_eval(tmp_path / "target.eval", 0, [_ask(1, "Be short.", **scored), failed])
    words = 'prompts differ in 1 of 2 samples ("1"), first "system: Be brief'
    with pytest.raises(DataError, match=re.escape(words)):
        judge_files(base, target)


def test_members_in_zstandard_are_those_that_inspect_wrote() -> None:
    assert {info.compress_type for info in zipfile.ZipFile(WRITTEN).infolist()} == {93}
    header, samples = read_header(WRITTEN), list(read_samples(WRITTEN))
    assert (header["status"], header["eval"]["task"]) == ("success", "sums")
    assert len(samples) == 12
    assert {sample["epoch"] for sample in samples} == {1, 2}


def test_a_member_that_changed_is_damaged(tmp_path: Path) -> None:
    content = bytearray(WRITTEN.read_bytes())
    archive = zipfile.ZipFile(WRITTEN)
    info = next(info for info in archive.infolist() if info.filename.startswith("samples/"))
    packed = pa.compress(b"{" + b" " * (info.file_size - 2) + b"}", codec="zstd", asbytes=True)
    assert len(packed) <= info.compress_size
    start = info.header_offset + 30 + len(info.filename.encode())
    content[start : start + len(packed)] = packed
    (tmp_path / "x.eval").write_bytes(content)
    with pytest.raises(DataError, match=rf"{info.filename} is damaged"):
        list(read_samples(tmp_path / "x.eval"))


@pytest.mark.parametrize("size", [0, 10, 5_000], ids=["empty", "short", "cut"])
def test_a_file_that_is_cut_off_is_one_line(tmp_path: Path, size: int) -> None:
    (tmp_path / "x.eval").write_bytes(WRITTEN.read_bytes()[:size])
    with pytest.raises(DataError, match=r"x\.eval cannot be read as a log of Inspect: .*; copy it again"):
        read_log(tmp_path / "x.eval")


def test_a_run_that_goes_on_is_refused_by_its_status(tmp_path: Path) -> None:
    start = {"eval": {"task": "t", "model": "m", "run_id": "r", "created": "2026"}, "plan": {}}
    with zipfile.ZipFile(tmp_path / "x.eval", "w") as archive:
        archive.writestr("_journal/start.json", json.dumps(start))
    assert read_header(tmp_path / "x.eval")["status"] == "started"
    with zipfile.ZipFile(tmp_path / "y.eval", "w") as archive:
        archive.writestr("other.json", "{}")
    with pytest.raises(DataError, match=r"it has neither header\.json nor _journal/start\.json"):
        read_header(tmp_path / "y.eval")


def test_the_reader_recognizes_both_forms(tmp_path: Path) -> None:
    reader = load("log", "inspect")
    (tmp_path / "x.eval").write_bytes(b"PK")
    assert reader.recognizes(tmp_path / "x.eval")
    assert reader.recognizes(tmp_path)


def test_ids_of_samples_may_have_slashes(tmp_path: Path) -> None:
    file = _write_eval(
        tmp_path / "x.eval", zipfile.ZIP_STORED, [_make_sample(1), _make_sample(2, id="HumanEval/a/2")]
    )
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("samples/HumanEval/", "")  # as other programs write folders
    assert [sample["id"] for sample in read_samples(file)] == [1, "HumanEval/a/2"]
    assert [row.id for row in read_log(file).tasks["t"].rows()] == ["1", "HumanEval/a/2"]


def test_samples_in_several_files_are_refused_by_name(tmp_path: Path) -> None:
    file = _write_eval(tmp_path / "x.eval", zipfile.ZIP_STORED, [_make_sample(1)])
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("samples/2_epoch_1/sample.json", "{}")
    with pytest.raises(DataError, match=r"samples/2_epoch_1/sample\.json: a sample is in several files"):
        list(read_samples(file))


def test_invalidated_logs_and_samples_have_no_scores(tmp_path: Path) -> None:
    file = _write_eval(
        tmp_path / "x.eval",
        zipfile.ZIP_STORED,
        [_make_sample(1, invalidation={"reason": "x"}), _make_sample(2)],
    )
    assert [row.scores for row in read_log(file).tasks["t"].rows()] == [{}, {"match": 1.0}]
    header = {**read_header(WRITTEN), "invalidated": True}
    (tmp_path / "y.json").write_text(json.dumps({"status": "success", **header, "samples": []}), "utf-8")
    with pytest.raises(DataError, match=r"y\.json: its samples were invalidated by `inspect log`"):
        read_log(tmp_path / "y.json")


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"id": ' + b"9" * 5_000 + b"}"], ids=["brackets", "digits"]
)
def test_json_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = _write_eval(tmp_path / "x.eval", zipfile.ZIP_DEFLATED, [])
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("samples/1_epoch_1.json", content)
    with pytest.raises(DataError, match=r"samples/1_epoch_1\.json is damaged"):
        list(read_samples(file))


@pytest.mark.parametrize("missing", ["fail", "as-wrong", "drop"])
def test_a_scorer_that_failed_in_every_sample_does_not_pass(tmp_path: Path, missing: str) -> None:
    base_scores = {"match": {"value": "C"}, "choice": {"value": "C"}}
    for name, scores in (("base", base_scores), ("target", {"match": {"value": "C"}})):
        samples = [_make_sample(k, scores=scores, input=f"question {k}") for k in range(300)]
        _write_eval(tmp_path / f"{name}.eval", zipfile.ZIP_DEFLATED, samples)
    files = [str(tmp_path / f"{name}.eval") for name in ("base", "target")]
    arguments = ["judge", *files, "--drop-points", "2", "--missing", missing]
    assert main(arguments) == 4
    assert main([*arguments, "--metric", "match"]) == 0
    assert main([*arguments, "--allow", "metrics"]) == 0


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, 93], ids=["deflated", "zstandard"])
def test_a_member_that_claims_to_be_huge_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: int
) -> None:
    """3 MB of blanks take 3 kB in a zip, and gigabytes would take megabytes."""
    monkeypatch.setattr("slimgate.logs.readers._inspect_files._LARGE", 10**6)
    file = _write_eval(tmp_path / "x.eval", zipfile.ZIP_DEFLATED, [_make_sample(1, notes=" " * 3 * 10**6)])
    if compression == 93:
        _claim_zstandard(file)
    problem = (
        r"^.*x\.eval: samples/1_epoch_1\.json is damaged \(3,000,[0-9]+ bytes are compressed to [0-9,]+, "
        r"but slimgate reads at most 200 times the compressed size\); copy the log again$"
    )
    with pytest.raises(DataError, match=problem):
        list(read_samples(file))


def _claim_zstandard(file: Path) -> None:
    """Changes the compression of the sample in the directory of the zip."""
    content = bytearray(file.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 10 : at + 12] = (93).to_bytes(2, "little")
    file.write_bytes(bytes(content))


def test_text_that_repeats_itself_is_read(tmp_path: Path) -> None:
    file = _write_eval(tmp_path / "x.eval", zipfile.ZIP_DEFLATED, [_make_sample(1, notes=" " * 3 * 10**6)])
    assert len(list(read_samples(file))) == 1
