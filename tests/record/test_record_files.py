"""Records as files: a run.json, its folder, and a folder of baselines."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path

import pytest
from support.releases import SUITE, write_release
from support.sample_record import change_variant, make_sample_record

from slimgate.errors import DataError
from slimgate.record.files import find_record_file, read_record_file, read_suite_baselines
from slimgate.record.run import format_record_json
from slimgate.record.task import SuiteFacts
from slimgate.record.verdicts import AcceptedFacts
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts


def write_baseline(folder: Path, name: str, at: str, suite: str = SUITE) -> None:
    facts = SuiteFacts(path=suite, title="", digest="", seeds=[0])
    write_release(folder, suite=facts, accepted=AcceptedFacts(name=name, at=at))


def test_a_record_is_found_by_its_file_and_by_its_folder(tmp_path: Path) -> None:
    write_release(tmp_path / "run")
    assert (
        find_record_file(tmp_path / "run")
        == find_record_file(tmp_path / "run/run.json")
        == tmp_path / "run/run.json"
    )
    assert read_record_file(tmp_path / "run").name == (tmp_path / "run/run.json").as_posix()


def test_a_folder_above_runs_names_those_below(tmp_path: Path) -> None:
    write_release(tmp_path / "latest" / "support")
    with pytest.raises(DataError, match=r"below it are .*latest/support$"):
        find_record_file(tmp_path / "latest")


def test_baselines_come_by_the_time_they_were_accepted(tmp_path: Path) -> None:
    write_baseline(tmp_path / "a" / "support", "a", "2026-11-03")
    write_baseline(tmp_path / "b" / "support", "b", "2026-11-01")
    write_baseline(tmp_path / "by-hand", "c", "2026-11-02")
    write_baseline(tmp_path / "a" / "other", "a", "2026-11-09", suite="bench/other.toml")
    write_baseline(tmp_path / "a" / ".support.new.7", "half", "2026-11-09")
    assert [baseline.name for baseline in read_suite_baselines(tmp_path, SUITE)] == ["b", "c", "a"]


def test_a_baseline_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_baseline(tmp_path / "a" / "support", "a", "2026-11-03")
    (tmp_path / "a/support/run.json").write_text("half")
    with pytest.raises(DataError, match=r"a/support/run\.json: not a run record of schema slimgate\.run/2"):
        read_suite_baselines(tmp_path, SUITE)


def test_other_keys_mean_another_version(tmp_path: Path) -> None:
    write_release(tmp_path)
    file = tmp_path / "run.json"
    record = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(record | {"new_key": 1}), "utf-8")
    with pytest.raises(
        DataError, match=r"new_key: .*; another version of slimgate wrote it, so measure again$"
    ):
        read_record_file(tmp_path)


@pytest.mark.parametrize(
    ("schema", "of_other_version"),
    [("slimgate.run/1", True), ("slimgate.compare/1", False)],
    ids=["run", "no"],
)
def test_another_schema_of_runs_means_another_version(
    tmp_path: Path, schema: str, of_other_version: bool
) -> None:
    write_release(tmp_path)
    file = tmp_path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"schema": schema}), "utf-8")
    with pytest.raises(DataError, match=r"schema: Input should be 'slimgate\.run/2'") as error:
        read_record_file(tmp_path)
    assert ("another version of slimgate wrote it, so measure again" in str(error.value)) == of_other_version


def test_a_missing_record_names_the_nearest_path(tmp_path: Path) -> None:
    write_release(tmp_path / "support")
    with pytest.raises(DataError, match=r"suport: no such file, .* holds it\. Did you mean support\?$"):
        find_record_file(tmp_path / "suport")
    (tmp_path / "support/run.json").rename(tmp_path / "support/run.earlier.json")
    with pytest.raises(DataError, match=r"could not judge this suite, and run\.earlier\.json is of"):
        find_record_file(tmp_path / "support")


@pytest.mark.parametrize("names", [(), ("int8", "teacher"), ("teacher", "int8", "int8")])
def test_a_record_without_teacher_first_or_a_doubled_name_fails(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    write_release(tmp_path)
    record = read_record_file(tmp_path).record
    models = [record.variant(name) for name in names]
    (tmp_path / "run.json").write_text(format_record_json(record.model_copy(update={"variants": models})))
    with pytest.raises(DataError, match=r"expected teacher first, and each name once$"):
        read_record_file(tmp_path)


def test_a_figure_that_is_not_finite_is_read_back_as_written(tmp_path: Path) -> None:
    write_release(tmp_path)
    record = read_record_file(tmp_path).record
    times = LatencyFacts(speedup=inf, speedup_interval=(0.5, inf), measured="")
    metrics = {"loss": QualityFacts(teacher=0.5, value=inf, drop_points=inf, n=10, measured="")}
    text = format_record_json(change_variant(record, "int8", latency={"b1": times}, quality=metrics))
    (tmp_path / "run.json").write_text(text)
    model = read_record_file(tmp_path).record.variant("int8")
    assert model.latency["b1"].speedup_interval == (0.5, inf)
    assert (model.quality["loss"].value, model.quality["loss"].drop_points) == (inf, inf)
    assert model.quality["loss"].interval is None
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_what_is_wrong_with_a_record_is_reported_by_its_place(tmp_path: Path) -> None:
    write_release(tmp_path)
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace('"cores": 2', '"cores": null'))
    with pytest.raises(DataError, match=r"slimgate\.run/2: machine\.cores: Input should be a valid integer$"):
        read_record_file(tmp_path)


def test_an_unknown_model_is_an_error_that_names_the_known() -> None:
    with pytest.raises(DataError, match="no model studnt; it has teacher, student"):
        make_sample_record().variant("studnt")
