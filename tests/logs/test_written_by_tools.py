"""Readers on logs that Inspect, deepeval and mteb wrote themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.logs.budgets import make_drop_budgets
from slimgate.logs.find import read_any_log, read_log
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs

WRITTEN = Path(__file__).parent / "written_by_tools"


def judged(base: str, target: str, **higher: bool) -> LogVerdicts:
    """higher: by metric, of which no log says it, whether it is better when higher."""
    logs = [read_log(WRITTEN / name) for name in (base, target)]
    return judge_logs(*logs, make_drop_budgets([], [50.0], None), Rules(directions=higher))


def test_deepeval_compares_scores_and_successes() -> None:
    comparisons = {
        comparison.name: comparison
        for comparison in judged("deepeval/base.json", "deepeval/target.json", Brevity=True).comparisons
    }
    assert comparisons.keys() == {"Exact Match", "Exact Match.success", "Brevity", "Brevity.success"}
    exact = comparisons["Exact Match"]
    assert (exact.counts.judged, exact.worse, exact.better, exact.changed) == (10, 2, 0, 2)
    assert exact.judged.teacher == 1.0
    assert not comparisons["Brevity"].zero_one


def test_inspect_counts_grades_and_numbers_and_names_texts() -> None:
    verdicts = judged("inspect/base.eval", "inspect/target.eval", **{"length.characters": False})
    comparisons = {comparison.name: comparison for comparison in verdicts.comparisons}
    assert comparisons.keys() == {"sums/match", "sums/includes", "sums/length.characters"}
    match = comparisons["sums/match"]
    # 6 samples in 2 epochs: the base got each 9th wrong, the target each 4th
    assert match.counts.judged == 12
    assert (match.judged.teacher, match.judged.value) == pytest.approx((11 / 12, 9 / 12))
    assert match.judged.groups == 6
    assert (match.counts.truncated_base, match.counts.truncated_target) == (1, 1)
    words = "1 answer of the base and 1 of the target were cut off at a limit"
    assert any(words in note for note in verdicts.notes)
    assert (
        "sums: length.language is not a number in 12 samples of the base and 12 of the target, so these are "
        "not judged" in verdicts.notes
    )


def test_guidellm_has_times_of_each_request_in_order_of_sending() -> None:
    log = read_any_log(WRITTEN / "guidellm/base.json")
    assert (log.tool, log.model, list(log.loads)) == ("guidellm", "base", ["c2"])
    run = log.loads["c2"]
    first = run.requests[0]
    assert (len(run.requests), run.unfinished, first.failed) == (60, 0, None)
    assert first.prompt_tokens == 22
    assert first.tokens == 8
    # the timestamps of that request in the file that guidellm wrote
    sent, came, last, end = 1795429543.816816, 1795429543.8891342, 1795429543.9220018, 1795429543.92307
    assert first.first == pytest.approx(1000 * (came - sent), rel=1e-3)
    assert first.between == pytest.approx(1000 * (last - came) / 7, rel=1e-3)
    assert first.total == pytest.approx(1000 * (end - sent), rel=1e-3)
    assert run.settings == {"type_": "concurrent", "streams": 2, "max_concurrency": 2, "rampup_duration": 0.0}


def test_guidellm_keeps_requests_that_failed_and_names_the_load() -> None:
    run = read_any_log(WRITTEN / "guidellm/flaky.json").loads["r20"]
    failed = [request.failed for request in run.requests if request.failed is not None]
    assert (len(run.requests), len(failed)) == (30, 3)
    assert "500 Internal Server Error" in failed[0]


def test_guidellm_runs_are_compared_with_a_second_base_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budgets = tmp_path / "speed.toml"
    budgets.write_text("[budgets]\nlatency = { ttft_speedup_min = 1.05, p50_ms_max = 100 }\n")
    base, target, again = (str(WRITTEN / f"guidellm/{name}.json") for name in ("base", "int4", "again"))
    main(["judge", base, target, "--repeat", again, "--budgets", str(budgets), "--json"])
    [record] = json.loads(capsys.readouterr().out).values()
    load = record["load_tests"]["c2"]
    assert load["target"] == {**load["base"], "seconds": load["target"]["seconds"]}
    times = {(time["part"], time["quantile"]): time for time in load["times"]}
    assert times["ttft", 0.5]["base"] > times["ttft", 0.5]["target"] > 12
    assert times["tpot", 0.5]["base"] > 4
    assert times["ttft", 0.5]["noise_floor"] >= 0.03
    low, high = times["ttft", 0.5]["claimed_interval"]
    assert low < times["ttft", 0.5]["ratio"] < high


def test_mteb_gets_the_ndcg_and_recall_that_mteb_printed() -> None:
    verdicts = judged("mteb/base", "mteb/target")
    assert (verdicts.base.model, verdicts.target.model) == ("demo/base", "demo/target")
    judgements = {comparison.metric: comparison.judged for comparison in verdicts.comparisons}
    assert (judgements["ndcg_at_10"].teacher, judgements["recall_at_10"].teacher) == (1.0, 1.0)
    assert judgements["ndcg_at_10"].value == pytest.approx(0.83376, abs=5e-6)
    assert judgements["recall_at_10"].value == 1.0


def test_mteb_predictions_of_two_models_are_refused(tmp_path: Path) -> None:
    for name in ("base", "target"):
        written = (WRITTEN / f"mteb/{name}/Greek_predictions.json").read_text("utf-8")
        (tmp_path / f"{name}_predictions.json").write_text(written, "utf-8")
    (tmp_path / "qrels.tsv").write_text((WRITTEN / "mteb/base/qrels.tsv").read_text("utf-8"), "utf-8")
    with pytest.raises(DataError, match=r"predictions of 2 models \(demo/base, demo/target\)"):
        read_log(tmp_path)


def test_mlperf_answers_are_right_where_they_are_the_labels() -> None:
    [accuracy] = judged("mlperf/base", "mlperf/target").comparisons
    # of 40 samples the base got each 9th wrong and the target each 4th; 0 and 36 are wrong in both
    assert (accuracy.judged.teacher, accuracy.judged.value) == (35 / 40, 30 / 40)
    assert (accuracy.worse, accuracy.better) == (8, 3)


def test_evalscopes_scores_direction_and_range_are_its_reports() -> None:
    verdicts = judged("evalscope/base", "evalscope/target")
    [accuracy] = verdicts.comparisons
    assert (verdicts.base.tool, accuracy.name) == ("evalscope", "general_mcq_sums/accuracy")
    assert (accuracy.judged.teacher, accuracy.judged.value) == (9 / 12, 8 / 12)
    assert (accuracy.worse, accuracy.better) == (3, 2)
    task = verdicts.base.tasks["general_mcq_sums"]
    assert task.higher_is_better == {"accuracy": True}
    assert task.ranges == {"accuracy": (0.0, 1.0)}
    assert task.means == {("", "accuracy"): 0.75}
