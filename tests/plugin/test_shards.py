"""A suite in shards: each variant in one of them, and merged they are what a run without shards leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.user_repository import Ran, run_pytest

from slimgate.cli.main import main
from slimgate.cli.merge.shards import list_failures
from slimgate.record.run import VariantRecord, read_record
from slimgate.results.base import Verdict
from slimgate.results.quality import QualityFacts

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "four variants"
extends = "_common.toml"

[variants]
damaged = { steps = [{ "own_steps:Invert" = {} }] }
tuned = { steps = [{ keep_layers = [0, 3] }, { fine_tune = { epochs = 1, learning_rate = 1e-3 } }] }
int8 = { from = "tuned", steps = [{ int8_dynamic = {} }] }
broken = { steps = [{ "own_steps:Broken" = {} }] }

[budgets]
accuracy = { drop_points = 40.0 }
size = { compression_min = 0.5 }
slices = { accuracy = { drop_points = 60.0 } }
"""
BENCH = "bench/four.toml"
# Timing takes most of a run, and times are not compared: without it, the checks that are missing are counted.
UNTIMED = "--benchmark-disable"
# All keys of the record are compared but these: what tells when, how long, on how busy a machine, and from
# which store. Of latencies their workloads are compared, of the planted delay that it was looked for, of what
# steps promise all but that the model is faster.
APART = {"created", "command", "seconds", "measured", "warnings", "from_store", "load_seconds", "shards"}
# A merged record is of several runs; each store counts its own use of rows, and knows who computed answers.
APART |= {"this_run", "duel_measured", "error_measured", "row_use", "answered_on", "peak_rates"}


def comparable(value: Any) -> Any:
    """A record, or a part of it, without times."""
    if isinstance(value, list):
        return [comparable(part) for part in value]
    if not isinstance(value, dict):
        return value
    fields = {key: comparable(part) for key, part in value.items() if key not in APART}
    if "latency" in fields:
        fields["latency"] = sorted(fields["latency"])
    if "claims" in fields:
        fields["claims"] = [claim for claim in fields["claims"] if claim["claim"] != "faster"]
    if "planted_delay" in fields:
        fields["planted_delay"] = fields["planted_delay"] is not None
    if "messages" in fields:
        fields["messages"] = [line for line in fields["messages"] if "planted delay" not in line]
    return fields


def record_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text("utf-8")))


def shard(repository: Path, number: int, of: int, *more: str) -> Path:
    """Runs one shard; the folder of its record."""
    report = repository / f"shards-{of}/{number}"
    ran = run_pytest(
        repository, BENCH, f"--slimgate-shard={number}/{of}", f"--slimgate-report={report}", UNTIMED, *more
    )
    variants = record_of(report / "four")["shards"][0]["variants"]
    assert ran.code == int({"damaged", "broken"} & set(variants) != set()), ran.out
    return report / "four"


@pytest.fixture(scope="module")
def full_run(repository: Path) -> Ran:
    """The suite in one run."""
    (repository / BENCH).write_text(SUITE)
    return run_pytest(repository, BENCH, UNTIMED)


@pytest.fixture(scope="module")
def two(full_run: Ran) -> list[Path]:
    """Two shards, each with a store of its own, as on two machines."""
    return [shard(full_run.folder, number, 2, f"--slimgate-store=store-{number}") for number in (1, 2)]


@pytest.fixture(scope="module")
def five(full_run: Ran) -> list[Path]:
    """Five shards over one store; there are four variants."""
    return [shard(full_run.folder, number, 5) for number in range(1, 6)]


def merged(shards: list[Path], out: Path) -> tuple[int, dict[str, Any]]:
    code = main(["merge", *map(str, shards), "--out", str(out)])
    return code, record_of(out)


def test_a_shard_says_which_it_is_and_measures_its_variants_only(two: list[Path]) -> None:
    records = [record_of(folder) for folder in two]
    owned = [record["shards"][0]["variants"] for record in records]
    assert sorted(owned[0] + owned[1]) == ["broken", "damaged", "int8", "tuned"]
    assert any({"tuned", "int8"} <= set(names) for names in owned)
    for record, names in zip(records, owned, strict=True):
        assert (record["shards"][0]["of"], record["verdict"]["missing"] > 0) == (2, True)
        measured = {model["name"] for model in record["variants"][1:] if model["quality"] or model["error"]}
        assert measured == set(names)
        assert record["self_test"]["identical"] is not None


@pytest.mark.parametrize("of", [2, 5])
def test_merged_shards_are_a_whole_runs_record_apart_from_times(
    full_run: Ran, request: pytest.FixtureRequest, tmp_path: Path, of: int
) -> None:
    shards = request.getfixturevalue({2: "two", 5: "five"}[of])
    code, record = merged(list(reversed(shards)), tmp_path / "out")
    assert (code, full_run.code) == (1, 1)
    whole_record = full_run.record("four")
    assert record.pop("digest") != whole_record.pop("digest")  # they differ in their times
    assert comparable(record) == comparable(whole_record)
    assert [facts["number"] for facts in record["shards"]] == list(range(1, of + 1))
    assert record["verdict"]["status"] == "FAIL"
    ours = full_run.folder / "reports/latest/four"
    outcomes = sorted(path.name for path in (ours / "outcomes").iterdir())
    assert sorted(path.name for path in (tmp_path / "out/outcomes").iterdir()) == outcomes
    for name in outcomes:
        assert pq.read_table(tmp_path / "out/outcomes" / name).equals(pq.read_table(ours / "outcomes" / name))
    assert {"report.md", "report.html", "pr-comment.md"} <= {p.name for p in (tmp_path / "out").iterdir()}


def test_missing_doubled_and_foreign_shards_are_refused(
    full_run: Ran, two: list[Path], five: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole_folder = full_run.folder / "reports/latest/four"
    for records, message in (
        (two[:1], "shard 2 of 2 missing; found 1"),
        ([*two, two[0]], "shard 1/2 was given 2 times"),
        ([two[0], five[1]], "different number of shards: 2 and 5"),
        ([two[0], whole_folder], "was run without --slimgate-shard"),
    ):
        assert main(["merge", *map(str, records), "--out", str(tmp_path / "out")]) == 4
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert main(["merge", *map(str, two), "--out", str(two[0])]) == 4
    assert "is the folder of a shard" in capsys.readouterr().err


def test_a_shard_that_cannot_be_ends_with_exit_code_4(repository: Path) -> None:
    ran = run_pytest(repository, "--slimgate-shard", "6/5", "--collect-only")
    assert ran.code == 4
    assert '"6/5", expected NUMBER/COUNT such as 2/5' in ran.out


def test_a_merge_fails_for_what_is_undecided_or_was_not_measured(two: list[Path], tmp_path: Path) -> None:
    merged(two, tmp_path / "out")
    record = read_record(tmp_path / "out/run.json")
    assert list_failures(record) == ["a budget does not hold"]
    tuned = record.variant("tuned")
    good = record.model_copy(
        update={
            "variants": [record.variants[0], tuned],
            "verdict": record.verdict.model_copy(update={"status": "PASS"}),
        }
    )
    assert list_failures(good) == []
    for changes, expected in (
        ({"awaited": ["accuracy"]}, ["tuned: not judged: accuracy"]),
        ({"awaited": ["accuracy"], "gated": False}, []),
        ({"quality": {"accuracy": undecided(tuned, "fail")}}, ["tuned: accuracy is undecided"]),
        ({"quality": {"accuracy": undecided(tuned, "warn")}}, []),
    ):
        other = good.model_copy(update={"variants": [good.variants[0], tuned.model_copy(update=changes)]})
        assert list_failures(other) == expected
    untested = good.self_test.model_copy(update={"planted_fault": None})
    assert list_failures(good.model_copy(update={"self_test": untested})) == [
        "the gate's self-test has not run"
    ]


def undecided(model: VariantRecord, action: str) -> QualityFacts:
    """Its accuracy, as if its budget could not be decided."""
    facts = model.quality["accuracy"]
    budget = {"verdict": Verdict.INCONCLUSIVE, "on_inconclusive": action}
    return facts.model_copy(update={"budgets": [replace(decided, **budget) for decided in facts.budgets]})
