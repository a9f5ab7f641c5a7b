"""`slimgate judge` on load tests of servers: what it claims, what it does not, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.judge_command import Judge
from support.junit import read_junit
from support.load_test_files import make_vllm_result, write_vllm

from slimgate.cli.main import main
from slimgate.errors import SuiteError
from slimgate.judge.latency_budgets import SpeedBudget
from slimgate.judge.load_tests import ONE_RUN, compare_times, judge_ratio
from slimgate.logs.find import read_any_log
from slimgate.logs.suite import load_log_suite
from slimgate.logs.suite_run import judge_log_suite
from slimgate.plugins.reader import LoadRequest
from slimgate.record.run import read_record
from slimgate.results.base import Verdict

FASTER = SpeedBudget(speedup_min=1.1)


@pytest.fixture
def budgets(tmp_path: Path) -> str:
    path = tmp_path / "speed.toml"
    path.write_text("[budgets]\nlatency = { speedup_min = 1.5 }\n")
    return str(path)


def files(tmp_path: Path, **target: Any) -> tuple[str, str, str]:
    """A base, its second run, and a target."""
    return (
        str(write_vllm(tmp_path / "base.json", 0)),
        str(write_vllm(tmp_path / "again.json", 1)),
        str(write_vllm(tmp_path / "target.json", 2, **target)),
    )


def test_a_target_twice_as_fast_passes_beside_a_second_base_run(
    tmp_path: Path, budgets: str, judge: Judge
) -> None:
    base, again, target = files(tmp_path, slower=0.5)
    code, out, _ = judge(base, target, "--repeat", again, "--budgets", budgets)
    assert code == 0
    assert "read as load tests of vllm" in out
    assert "did not take turns" in out
    assert "budget 1.5×: PASS" in out
    assert "8 users: base 200 requests, 0 failed" in out


def test_one_run_of_each_decides_no_speed_up(tmp_path: Path, budgets: str, judge: Judge) -> None:
    base, _, target = files(tmp_path, slower=0.5)
    code, out, _ = judge(base, target, "--budgets", budgets)
    assert code == 1
    assert "INCONCLUSIVE, one run of each does not tell how much two runs of one server differ" in out
    code, out, _ = judge(base, target)
    assert code == 0
    assert out.endswith("nothing was gated: no budget was set\n")


def test_a_base_that_differs_from_itself_as_much_decides_nothing(
    tmp_path: Path, budgets: str, judge: Judge
) -> None:
    base, _, target = files(tmp_path, slower=0.5)
    restless = str(write_vllm(tmp_path / "restless.json", 1, slower=1.6))
    code, out, _ = judge(base, target, "--repeat", restless, "--budgets", budgets)
    assert code == 1
    assert "two runs of the base may differ by as much" in out


def test_a_load_test_of_another_model_is_no_repeat(tmp_path: Path, budgets: str, judge: Judge) -> None:
    base, _, target = files(tmp_path)
    of_target = str(write_vllm(tmp_path / "other.json", 1, model="m-int4"))
    code, _, error = judge(base, target, "--repeat", of_target, "--budgets", budgets)
    assert code == 4
    assert f"--repeat {of_target}: this is a load test of m-int4, expected another run of the base m" in error


def test_limits_on_milliseconds_are_of_the_targets_own_requests(tmp_path: Path, judge: Judge) -> None:
    base, again, target = files(tmp_path)
    limits = tmp_path / "limits.toml"
    limits.write_text("[budgets]\nlatency = { ttft_p95_ms_max = 60.0, p50_ms_max = 30.0 }\n")
    code, out, _ = judge(base, target, "--repeat", again, "--budgets", limits, "--json")
    assert code == 1
    [printed] = json.loads(out).values()
    verdicts = {budget["kind"]: budget["verdict"] for budget in printed["load_tests"]["c8"]["budgets"]}
    assert verdicts == {"ttft_p95_ms_max": "PASS", "p50_ms_max": "FAIL"}  # 20 ms to the first, 60 in all
    parts = {
        (ratio["part"], ratio["quantile"]): ratio["base"] for ratio in printed["load_tests"]["c8"]["times"]
    }
    assert parts["answer", 0.5] == pytest.approx(60, rel=0.1)
    assert parts["ttft", 0.5] == pytest.approx(20, rel=0.1)
    assert parts["tpot", 0.5] == pytest.approx(10, rel=0.1)


def test_a_limit_near_the_times_of_one_run_is_undecided(tmp_path: Path, judge: Judge) -> None:
    base, _, target = files(tmp_path)
    limits = tmp_path / "limits.toml"
    limits.write_text("[budgets]\nlatency = { ttft_p95_ms_max = 60.0, p50_ms_max = 65.0 }\n")
    code, printed, _ = judge(base, target, "--budgets", limits)
    assert code == 1
    assert printed.count(f"INCONCLUSIVE, {ONE_RUN}") == 1  # 60 ms in all; the first token came after 20 ms
    assert printed.endswith("INCONCLUSIVE (1 PASS, 0 FAIL, 1 INCONCLUSIVE, 0 not gated)\n")


def test_failed_requests_are_counted_and_slower_than_all_others(tmp_path: Path, judge: Judge) -> None:
    base, _, target = files(tmp_path, failed=8)
    code, out, _ = judge(base, target)
    assert code == 0
    assert "target 200 requests, 8 failed" in out
    requests = read_any_log(Path(target)).loads["c8"].requests
    assert sum(request.failed is not None for request in requests) == 8
    ratio = compare_times(requests, requests, None, "answer", 0.95)
    assert ratio is not None
    answered = sorted(request.total for request in requests if request.total is not None)
    assert ratio.target == answered[round(0.95 * 200) - 1]


def test_too_many_failed_requests_are_refused(tmp_path: Path, judge: Judge) -> None:
    base, _, target = files(tmp_path, failed=11)
    code, _, err = judge(base, target)
    assert code == 4
    assert "11 of 200 requests of load c8 failed (Traceback: Internal Server Error)" in err


@pytest.mark.parametrize(
    ("options", "message", "allow"),
    [
        ({"prompt": 40}, "prompts of load c8 have 40.0 tokens on average, and 20.0 in", "prompt"),
        ({"rate": 5.0}, "has the loads r5-c8, expected those of", None),
    ],
    ids=["prompts", "load"],
)
def test_tests_that_differ_are_refused(
    options: dict[str, Any],
    message: str,
    allow: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base, _, target = files(tmp_path, **options)
    assert main(["judge", base, target]) == 4
    assert message in capsys.readouterr().err
    if allow is not None:
        assert main(["judge", base, target, "--allow", allow]) == 0


def test_a_file_without_details_says_how_to_write_them(tmp_path: Path, judge: Judge) -> None:
    base, _, target = files(tmp_path)
    log = json.loads(Path(target).read_text())
    del log["ttfts"]
    Path(target).write_text(json.dumps(log))
    code, _, err = judge(base, target)
    assert code == 4
    assert "--save-detailed" in err


def test_appended_results_are_one_load_each(tmp_path: Path, judge: Judge) -> None:
    draws, paths = np.random.default_rng(0), [tmp_path / name for name in ("base.json", "target.json")]
    for path in paths:
        results = [make_vllm_result(draws, concurrency=users) for users in (1, 8)]
        path.write_text("\n".join(map(json.dumps, results)))
    code, out, _ = judge(*paths)
    assert code == 0
    assert "1 user: base 200" in out
    assert "8 users: base 200" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--drop-points", "2"], "--drop-points cannot be used with load tests"),
        (["--analyses", "2"], "--analyses cannot be used with load tests"),
        (["--allow", "shots"], "load tests differ in load, prompt, answers or unfinished"),
        (["--length-ratio-max", "1.1"], "--length-ratio-max cannot be used with load tests; write --budgets"),
        (["--slice", "language"], "--slice cannot be used with load tests; leave it out"),
        (["--missing", "drop"], "--missing cannot be used with load tests"),
    ],
    ids=["points", "analyses", "allow", "length", "slice", "missing"],
)
def test_options_of_logs_of_answers_are_refused(
    options: list[str], message: str, tmp_path: Path, judge: Judge
) -> None:
    base, _, target = files(tmp_path)
    code, _, err = judge(base, target, *options)
    assert code == 4
    assert message in err


def test_a_load_test_beside_a_log_of_answers_is_refused(tmp_path: Path, judge: Judge) -> None:
    base, _, _ = files(tmp_path)
    rows = tmp_path / "rows.csv"
    rows.write_text("id,score\na,1\nb,0\n")
    code, _, err = judge(base, rows, "--allow", "load")
    assert code == 4
    assert "is a log of answers" in err
    code, _, err = judge(rows, base, "--pooled-points", "1")
    assert code == 4
    assert "it is a load test of vllm, expected a log of answers" in err


def simulate(draws: np.random.Generator, slower: float) -> list[LoadRequest]:
    """Requests of which neighbours are alike (0.6), in a run that is some 3 % off as a whole."""
    noise, run = draws.standard_normal(200), np.exp(0.03 * draws.standard_normal())
    for at in range(1, len(noise)):
        noise[at] = 0.6 * noise[at - 1] + 0.8 * noise[at]
    return [LoadRequest(total=float(100 * slower * run * np.exp(0.2 * deviation))) for deviation in noise]


def test_at_the_budget_and_below_it_few_targets_pass() -> None:
    draws = np.random.default_rng(5)
    passed = dict.fromkeys((1 / 1.1, 1.0, 0.45), 0)
    for share in passed:
        for _ in range(300):
            base, again, target = (simulate(draws, slower) for slower in (1.0, 1.0, share))
            ratio = compare_times(base, target, again, "answer", 0.5)
            assert ratio is not None
            passed[share] += judge_ratio(ratio, FASTER).verdict is Verdict.PASS
    assert passed[1 / 1.1] <= 0.05 * 300  # exactly as fast as the budget wants
    assert passed[1.0] == 0
    assert passed[0.45] >= 0.95 * 300  # 2.2 times as fast


def test_a_short_second_run_tells_no_noise(tmp_path: Path, budgets: str, judge: Judge) -> None:
    base, _, target = files(tmp_path, slower=0.5)
    short = str(write_vllm(tmp_path / "short.json", 1, requests=3))
    code, out, _ = judge(base, target, "--repeat", short, "--budgets", budgets, "--allow", "load")
    assert code == 1
    assert "(noise floor unknown: too few times), budget 1.5×: INCONCLUSIVE" in out
    assert "the two runs of the base have too few requests to tell how much they differ" in out
    assert "inf" not in out


def test_a_report_and_a_suite_of_load_tests_have_the_verdicts(
    tmp_path: Path, budgets: str, judge: Judge
) -> None:
    base, again, target = files(tmp_path, slower=0.5)
    folder = tmp_path / "report"
    arguments = [base, target, "--repeat", again, "--budgets", budgets, "--report", str(folder)]
    code, out, _ = judge(*arguments)
    assert code == 0
    record = read_record(folder / "run.json")
    assert record.verdict.status == "PASS"
    assert [*record.variants[1].load_tests] == ["c8"]
    report = (folder / "report.md").read_text("utf-8")
    assert "first token p50" in report
    assert "budget 1.5×: PASS" in report
    assert "first token p50" in (folder / "report.html").read_text("utf-8")
    failures, cases = read_junit(folder / "junit.xml")
    properties = cases["latency c8"].properties
    assert (failures, properties["slimgate.variant"], properties["slimgate.workload"]) == (0, "target", "c8")
    assert (properties["slimgate.budget.speedup_min"], properties["slimgate.verdict"]) == ("1.5", "PASS")
    [judged_budget] = record.variants[1].load_tests["c8"].budgets
    assert float(properties["slimgate.value.speedup_min"]) == judged_budget.value
    assert judged_budget.interval is not None
    assert properties["slimgate.interval.speedup_min"] == "[{:.6g}, {:.6g}]".format(*judged_budget.interval)
    assert "read as load tests of vllm" in out
    suite = tmp_path / "loads.toml"
    suite.write_text(
        '[logs]\nbase = "base.json"\nrepeat = "again.json"\ntargets = { faster = "target.json" }\n'
        "[budgets]\nlatency = { speedup_min = 1.5 }\n"
    )
    judged = judge_log_suite(load_log_suite(suite, "loads.toml"))
    assert judged.judge_target("faster").status == "PASS"


def test_load_tests_that_only_warn_have_no_junit_failure(tmp_path: Path, budgets: str) -> None:
    base, _, target = files(tmp_path, slower=0.5)
    options = ["--budgets", budgets, "--on-inconclusive", "warn", "--report", str(tmp_path / "report")]
    assert main(["judge", base, target, *options]) == 0
    failures, cases = read_junit(tmp_path / "report/junit.xml")
    case = cases["latency c8"]
    assert (failures, case.failure, case.properties["slimgate.verdict"]) == (0, None, "INCONCLUSIVE")
    assert "budget 1.5×: INCONCLUSIVE" in str(case.output)


LOADS = 'base = "base.json"\ntargets = { faster = "target.json" }\n'
LATENCY = "latency = { speedup_min = 1.5 }\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f'[logs]\n{LOADS}missing = "drop"\n[budgets]\n{LATENCY}',
            r"\[logs\] missing: cannot be used with load",
        ),
        (
            f"[logs]\n{LOADS}[budgets]\n{LATENCY}[pooled]\ndrop_points = 1.0\n",
            r"\[pooled\]: .* load tests are judged by latency",
        ),
        (
            f"[logs]\n{LOADS}[budgets]\n{LATENCY}accuracy = {{ drop_points = 1.0 }}\n",
            r"\[budgets.accuracy\]: .* load tests are judged by latency",
        ),
        (
            f"[logs]\n{LOADS}[budgets]\n{LATENCY}[budgets.variants.faster]\naccuracy = {{ floor = 0.5 }}\n",
            r"\[budgets.variants.faster.accuracy\]: .* load tests are judged by latency",
        ),
        (
            f"[logs]\n{LOADS}[budgets]\nkl = {{ mean_max = 0.1 }}\n",
            r"\[budgets.kl\]: .* load tests are judged by",
        ),
        (
            '[logs]\ntargets = { int4 = "int4" }\n[budgets]\n"*" = { drop_points = 2.0 }\n',
            r'"\*"\]: .* KL logs are judged by kl, top1_agreement and perplexity.* two models have one',
        ),
    ],
    ids=["key", "table", "budget", "budget-of-target", "kl", "no-base"],
)
def test_a_suite_refuses_what_its_files_do_not_answer(text: str, message: str, tmp_path: Path) -> None:
    suite = tmp_path / "loads.toml"
    suite.write_text(text)
    with pytest.raises(SuiteError, match=message):
        load_log_suite(suite, "loads.toml")


def test_a_load_test_suite_with_budgets_on_answers_is_refused(tmp_path: Path) -> None:
    files(tmp_path)
    suite = tmp_path / "loads.toml"
    suite.write_text(f'[logs]\n{LOADS}[budgets]\n"*" = {{ drop_points = 2.0 }}\n')
    with pytest.raises(SuiteError, match=r"judged by latency.*base\.json is one of these load tests"):
        judge_log_suite(load_log_suite(suite, "loads.toml"))


def test_any_file_name_is_in_the_heading(tmp_path: Path, judge: Judge) -> None:
    base, target = write_vllm(tmp_path / "{x}.json", 0), write_vllm(tmp_path / "target.json", 2)
    code, out, _ = judge(base, target)
    assert code == 0
    assert "target against" in out
    assert "{x}.json, read as load tests of vllm" in out


def test_budgets_that_load_tests_do_not_answer_are_refused(
    tmp_path: Path, budgets: str, judge: Judge
) -> None:
    text = "accuracy = { drop_points = 1.0 }\nflips = { flips_max_percent = 1.0 }\n"
    Path(budgets).write_text(f"{Path(budgets).read_text()}{text}")
    base, again, target = files(tmp_path, slower=0.5)
    code, _, err = judge(base, target, "--repeat", again, "--budgets", budgets)
    assert code == 4
    problem = (
        f"{budgets} [budgets.accuracy]: {{ drop_points = 1.0 }} was given, but load "
        "tests are judged by latency"
    )
    assert problem in err


def test_a_target_that_switches_a_budget_off_keeps_the_others(tmp_path: Path) -> None:
    files(tmp_path, slower=0.5)
    (tmp_path / "old.json").write_bytes((tmp_path / "target.json").read_bytes())
    suite = tmp_path / "loads.toml"
    suite.write_text(
        '[logs]\nbase = "base.json"\nrepeat = "again.json"\n'
        'targets = { fast = "target.json", old = "old.json" }\n'
        "[budgets]\nlatency = { speedup_min = 1.5 }\n"
        '[budgets.variants.old]\nlatency = { speedup_min = "off", reason = "is replaced next week" }\n'
    )
    judged = judge_log_suite(load_log_suite(suite, "loads.toml")).targets
    assert [budget.verdict for budget in judged["fast"].load_tests["c8"].budgets] == ["PASS"]
    assert judged["old"].load_tests["c8"].budgets == []
    assert judged["old"].notes == [
        "loads.toml switches off latency speedup_min 1.5 for old: is replaced next week"
    ]


def test_long_times_have_no_exponent(tmp_path: Path, judge: Judge) -> None:
    slow, other = (
        str(write_vllm(tmp_path / name, seed, slower=350.0)) for seed, name in enumerate(("a.json", "b.json"))
    )
    code, out, _ = judge(slow, other)
    assert code == 0
    assert "e+0" not in out
    assert re.search(r"answer p50 +2\d,\d{3} +2\d,\d{3} ", out)
