"""Readers on logs that Inspect, deepeval and mteb wrote themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.data.log_files.budgets import drop_budgets
from slimgate.data.log_files.find import read_log
from slimgate.data.log_files.pairs import Rules
from slimgate.data.log_files.verdicts import LogVerdicts, judge_logs
from slimgate.errors import DataError

WRITTEN = Path(__file__).parent / "written_by_tools"


def judged(base: str, target: str) -> LogVerdicts:
    logs = [read_log(WRITTEN / name) for name in (base, target)]
    return judge_logs(*logs, drop_budgets([], [50.0], None), Rules())


def test_deepeval_compares_scores_and_successes() -> None:
    found = {one.name: one for one in judged("deepeval/base.json", "deepeval/target.json").comparisons}
    assert found.keys() == {"Exact Match", "Exact Match.success", "Brevity", "Brevity.success"}
    exact = found["Exact Match"]
    assert (exact.counts.judged, exact.worse, exact.better, exact.changed) == (10, 2, 0, 2)
    assert exact.judged.teacher == 1.0
    assert not found["Brevity"].zero_one


def test_inspect_counts_grades_and_numbers_and_names_what_is_a_text() -> None:
    pytest.importorskip("inspect_ai")
    verdicts = judged("inspect/base.eval", "inspect/target.eval")
    found = {one.name: one for one in verdicts.comparisons}
    assert found.keys() == {"sums/match", "sums/includes", "sums/length.characters"}
    match = found["sums/match"]
    # 6 samples in 2 epochs: the base got each 9th wrong, the target each 4th
    assert match.counts.judged == 12
    assert (match.judged.teacher, match.judged.value) == pytest.approx((11 / 12, 9 / 12))
    assert match.judged.groups == 6
    assert (match.counts.truncated_base, match.counts.truncated_target) == (1, 1)
    assert (
        "sums: length.language is no number in 12 samples of the base and 12 of the target, so these are not "
        "judged" in verdicts.notes
    )


def test_mteb_gets_the_ndcg_and_recall_that_mteb_printed() -> None:
    verdicts = judged("mteb/base", "mteb/target")
    assert (verdicts.base.model, verdicts.target.model) == ("demo/base", "demo/target")
    found = {one.metric: one.judged for one in verdicts.comparisons}
    assert (found["ndcg_at_10"].teacher, found["recall_at_10"].teacher) == (1.0, 1.0)
    assert found["ndcg_at_10"].value == pytest.approx(0.83376, abs=5e-6)
    assert found["recall_at_10"].value == 1.0


def test_mteb_predictions_of_two_models_are_refused(tmp_path: Path) -> None:
    for name in ("base", "target"):
        written = (WRITTEN / f"mteb/{name}/Greek_predictions.json").read_text("utf-8")
        (tmp_path / f"{name}_predictions.json").write_text(written, "utf-8")
    (tmp_path / "qrels.tsv").write_text((WRITTEN / "mteb/base/qrels.tsv").read_text("utf-8"), "utf-8")
    with pytest.raises(DataError, match=r"predictions of 2 models \(demo/base, demo/target\)"):
        read_log(tmp_path)
