"""What reports of merged shards link to is in their folder, or is not linked."""

from __future__ import annotations

from pathlib import Path

from sample_record import sample_record

from slimgate.merging import _copy_logs
from slimgate.record import BaselineFacts, ShardFacts
from slimgate.record_files import Kept
from slimgate.report.since import since_baseline


def shard_of(folder: Path, number: int, own: str, broken: str) -> Kept:
    """A shard of two, in whose record one model could not be built."""
    facts = ShardFacts(number=number, of=2, variants=[own], code="c", machine="m", created="2026-11-01")
    sample = sample_record(baseline=BaselineFacts(path="b/run.json", created="2026-11-01"))
    error = {"error": "it broke", "error_log": f"logs/{broken}.log"}
    models = [one.model_copy(update=error if one.name == broken else {}) for one in sample.variants]
    record = sample.model_copy(update={"variants": models, "shards": [facts]})
    (folder / f"{number}/logs").mkdir(parents=True)
    (folder / f"{number}/logs/{broken}.log").write_text(f"of shard {number}")
    return Kept(folder / f"{number}/run.json", record)


def test_logs_of_what_was_not_built_come_along_from_the_shard_whose_it_is(tmp_path: Path) -> None:
    names = [one.name for one in sample_record().variants[1:3]]
    # the second shard could not build what is the first one's: nobody asks
    shards = [shard_of(tmp_path, 1, names[0], names[0]), shard_of(tmp_path, 2, names[1], names[0])]
    _copy_logs(shards, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/logs").iterdir()] == [f"{names[0]}.log"]
    assert (tmp_path / f"out/logs/{names[0]}.log").read_text() == "of shard 1"


def test_a_merged_report_links_no_comparison_that_nobody_wrote(tmp_path: Path) -> None:
    one = shard_of(tmp_path, 1, "int8", "int8").record
    assert "[compare.md](compare.md)" in since_baseline(one)
    both = one.model_copy(update={"shards": [*one.shards, *one.shards]})
    assert "compare.md" not in since_baseline(both)
    assert "`slimgate compare` tells it" in since_baseline(both)
