"""The reports of a run show the releases beside its baseline as history."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.releases import write_release

from slimgate.cli.main import main
from slimgate.record.files import read_earlier_releases, read_record_file, read_run
from slimgate.record.verdicts import AcceptedFacts, BaselineFacts
from slimgate.report.history import format_history

NAMES = ("v1", "v2")


def write_releases(folder: Path) -> Path:
    """Two accepted releases, the second of which is the baseline; gives its run.json."""
    for number, name in enumerate(NAMES, 1):
        at = f"2026-10-0{number}T00:00:00+00:00"
        release = folder / name / "support"
        write_release(release, created=at, accepted=AcceptedFacts(name=name, at=at))
    return release / "run.json"


def write_run(folder: Path, baseline: Path) -> Path:
    facts = BaselineFacts(path=baseline.as_posix(), name="v2", created="2026-10-02T00:00:00+00:00")
    return write_release(folder, baseline=facts)


def read_chart_data(page: str) -> dict[str, Any]:
    """What the page's charts draw."""
    text = page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    return dict(json.loads(text))


def test_it_has_each_release_and_this_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = write_run(tmp_path / "new", write_releases(tmp_path / "baselines"))
    assert main(["report", str(run)]) == 0
    report = (run / "report.md").read_text()
    history = report.partition("<b>History</b>, release by release")[2].partition("</details>")[0]
    first = [line.split("|")[1].strip() for line in history.splitlines() if line.startswith("| ")]
    assert first[:4] == ["release", "v1", "v2", "this run"]
    assert "![history](plots/history.svg)" in history
    assert (run / "plots/history.svg").is_file()
    page = (run / "report.html").read_text()
    assert "<h3>History</h3>" in page
    assert "this run" in page.partition("<h3>History</h3>")[2]
    history_data = read_chart_data(page)["history"]
    assert history_data["releases"] == ["v1", "v2", "this run"]
    assert history_data["metrics"] == {"accuracy": {"teacher": [0.95] * 3, "int8": [0.9425] * 3}}
    assert history_data["same_rows"] == [True] * 3
    assert history_data["joined"] == [True] * 2


def test_a_single_baseline_is_no_history(tmp_path: Path) -> None:
    baseline = write_releases(tmp_path / "baselines")
    (tmp_path / "baselines/v1/support/run.json").unlink()
    run = write_run(tmp_path / "new", baseline)
    assert main(["report", str(run)]) == 0
    assert "History" not in (run / "report.md").read_text()
    page = (run / "report.html").read_text()
    assert "<h3>History</h3>" not in page
    assert read_chart_data(page)["history"] is None


@pytest.mark.parametrize("damage", ["not accepted", "half a file", "gone"])
def test_what_cannot_be_read_is_no_history(tmp_path: Path, damage: str) -> None:
    baseline = write_releases(tmp_path / "baselines")
    record = read_run(write_run(tmp_path / "new", baseline) / "run.json")
    assert [release.name for release in read_earlier_releases(record, baseline)] == ["v1", "v2"]
    if damage == "not accepted":
        write_release(baseline.parent, created="2026-10-02T00:00:00+00:00")
    elif damage == "half a file":
        (tmp_path / "baselines/v1/support/run.json").write_text("{")
    else:
        baseline.unlink()
    assert read_earlier_releases(record, baseline) == []


def test_more_gates_than_letters_keep_names_of_their_own(tmp_path: Path) -> None:
    """The gate rows change with each of 28 releases, and the first rows come back."""
    releases = [
        read_record_file(write_release(tmp_path / f"v{number}", gate_digest=f"gate-{number % 28}"))
        for number in range(29)
    ]
    first, *rest = re.findall(r"8,000 \((\w+)\)", format_history(releases))
    assert rest == [*"BCDEFGHIJKLMNOPQRSTUVWXYZ", "A2", "B2", first]
