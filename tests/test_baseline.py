"""Which record budgets are held against: a file, its folder, the newest of a folder of baselines."""

from __future__ import annotations

from pathlib import Path

import pytest
from releases import Model, write_release

from slimgate.baseline import held_against
from slimgate.errors import SuiteError
from slimgate.judge.verdict import QualityBudget
from slimgate.record import AcceptedFacts, SuiteFacts
from slimgate.suite import Suite, load_suite

HERE = SuiteFacts(path="bench/x.toml", title="", digest="", seeds=[0])


@pytest.fixture
def suites(bench: Path, suite_text: str) -> dict[Path, Suite]:
    """A suite whose variants may lose 1.5 points of accuracy, with a reason."""
    budgets = '[budgets]\naccuracy = { drop_points = 1.5, reason = "agreed" }\n'
    start, rest = suite_text.index("[budgets]"), suite_text.index("[measure]")
    (bench / "x.toml").write_text(suite_text[:start] + budgets + suite_text[rest:])
    suite = load_suite(bench / "x.toml", "bench/x.toml")
    return {suite.path: suite}


def baseline(folder: Path, name: str, points: float, reason: str | None = None, **more: Model) -> Path:
    """A release of that name whose int8 might lose so many points."""
    accepted = AcceptedFacts(name=name, at=f"2026-11-0{name[-1]}")
    model = Model(budgets=(QualityBudget("drop_points", points, reason),))
    return write_release(folder / name / "x", models={"int8": model, **more}, suite=HERE, accepted=accepted)


@pytest.mark.parametrize("of", ["v1/x/run.json", "v1/x", "v1"])
def test_a_release_is_found_by_its_file_and_by_its_folders(
    tmp_path: Path, suites: dict[Path, Suite], of: str
) -> None:
    baseline(tmp_path, "v1", 1.0)
    (facts,) = held_against(tmp_path / of, of, suites).values()
    assert facts.path == "v1/x/run.json"
    assert [(one.before, one.limit, one.reason) for one in facts.loosened] == [(1.0, 1.5, "agreed")]


def test_of_a_folder_of_baselines_the_newest_counts(tmp_path: Path, suites: dict[Path, Suite]) -> None:
    for name, points in (("v1", 1.0), ("v3", 1.5), ("v2", 1.2)):
        baseline(tmp_path / "b", name, points)
    (facts,) = held_against(tmp_path / "b", "b", suites).values()
    assert (facts.path, facts.loosened) == ("b/v3/x/run.json", [])


def test_a_folder_without_the_suite_and_a_broken_record_are_told(
    tmp_path: Path, suites: dict[Path, Suite]
) -> None:
    write_release(tmp_path / "b" / "v1" / "support")
    with pytest.raises(SuiteError, match=r"--slimgate-baseline b: no baseline of bench/x.toml is in this"):
        held_against(tmp_path / "b", "b", suites)
    (tmp_path / "b/v1/support/run.json").write_text("{}")
    with pytest.raises(SuiteError, match=r"not a run record of schema"):
        held_against(tmp_path / "b", "b", suites)


def test_the_words_of_the_old_limit_are_no_reason_for_a_looser_one(
    tmp_path: Path, suites: dict[Path, Suite]
) -> None:
    file = baseline(tmp_path, "v1", 1.0, "agreed") / "run.json"
    with pytest.raises(SuiteError, match=r"drop_points = 1.5 is looser than 1 .* reason = \"…\" for this"):
        held_against(file, "v1", suites)


def test_gated_variants_that_the_suite_has_no_more_are_named(
    tmp_path: Path, suites: dict[Path, Suite]
) -> None:
    file = baseline(tmp_path, "v1", 1.5, gone=Model(), shown=Model(gated=False, reason="x")) / "run.json"
    (facts,) = held_against(file, "v1", suites).values()
    assert facts.gates_gone == ["gone"]
