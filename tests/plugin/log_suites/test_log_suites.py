"""Suites of logs: `pytest bench/logs.toml` gives a test for each comparison, a record and the reports."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.junit import read_junit
from support.kl_logs import write_kl_log
from support.lm_eval_logs import write_lm_eval
from support.load_test_files import write_vllm
from support.log_suites import SUITE
from support.user_repository import run_pytest

from slimgate.cli.main import main
from slimgate.errors import SuiteError
from slimgate.logs.suite_run import name_suite_keys
from slimgate.plugin.find_suites import Search, find_log_suites, find_suites
from slimgate.record.run import read_record


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["serial", "n1"])
def test_each_comparison_with_a_budget_is_a_test(repository: Path, workers: tuple[str, ...]) -> None:
    ran = run_pytest(repository, "bench/logs.toml", "-v", *workers)
    text = "\n".join(ran.lines)
    assert ran.code == 1
    for name, outcome in (
        ("good-gsm8k/acc", "PASSED"),
        ("good-arc/acc", "PASSED"),
        ("bad-gsm8k/acc", "FAILED"),
        ("bad-arc/acc", "PASSED"),  # undecided, which only warns
    ):
        assert any(f"test_logs[{name}]" in line and outcome in line for line in ran.lines), (name, text)
    assert re.search(r"bad: gsm8k/acc 0\.500 vs 0\.750, drop 25\.0 points .* FAIL", text)
    assert re.search(r"bench/logs\.toml: FAIL \(.*\) reports/latest/logs/report\.md", text)
    folder = repository / "reports/latest"
    record = read_record(folder / "logs/run.json")
    assert [model.name for model in record.variants] == ["teacher", "good", "bad"]
    assert record.suite.path == "bench/logs.toml"
    assert record.suite.title == "good, bad against base"
    for name in ("report.md", "report.html", "pr-comment.md"):
        assert "bad" in (folder / name).read_text("utf-8")
        assert "gsm8k/acc" in (folder / "logs" / name).read_text("utf-8")
    warned = [
        line for line in (folder / "logs/report.md").read_text("utf-8").splitlines() if "(only warns)" in line
    ]
    assert len(warned) == 1
    assert warned[0].startswith("- bad: arc/acc")


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["serial", "n1"])
def test_junit_of_logs_has_the_figures_of_a_gate(repository: Path, workers: tuple[str, ...]) -> None:
    ran = run_pytest(repository, "bench/logs.toml", "--junitxml", "junit.xml", *workers)
    failures, cases = read_junit(repository / "junit.xml")
    assert (ran.code, failures) == (1, 1)
    bad = cases["test_logs[bad-gsm8k/acc]"]
    facts = read_record(repository / "reports/latest/logs/run.json").variant("bad").quality["gsm8k/acc"]
    assert facts.interval is not None
    assert bad.properties == {
        "slimgate.variant": "bad",
        "slimgate.metric": "gsm8k/acc",
        "slimgate.teacher": "0.75",
        "slimgate.value": "0.5",
        "slimgate.n": "200",
        "slimgate.method": str(facts.method),
        "slimgate.drop_points": "25.0",
        "slimgate.interval": "[{:.6g}, {:.6g}]".format(*facts.interval),
        "slimgate.budget.drop_points": "5.0",
        "slimgate.verdict.drop_points": "FAIL",
        "slimgate.verdict": "FAIL",
    }
    assert str(bad.failure).startswith("Failed: bad: gsm8k/acc")
    warned = cases["test_logs[bad-arc/acc]"]
    assert (warned.failure, warned.properties["slimgate.verdict"]) == (None, "INCONCLUSIVE")
    assert all(case.properties["slimgate.budget.drop_points"] == "5.0" for case in cases.values())


@pytest.mark.parametrize(
    "chosen",
    [
        ("bench", "-k", "good and arc"),
        ("bench/logs.toml::test_logs[good-arc/acc]",),
        ("bench/logs.toml", "--deselect", "bench/logs.toml::test_logs[bad-gsm8k/acc]", "-n", "1"),
    ],
    ids=["by words", "by its id", "by what is left out, in a worker"],
)
def test_what_is_not_asked_for_has_no_verdict(repository: Path, chosen: tuple[str, ...]) -> None:
    """As in suites of models: neither a line, nor a verdict in the record, which is partial."""
    ran = run_pytest(repository, *chosen)
    text = "\n".join(ran.lines)
    passed, left_out = (2, 1) if "--deselect" in chosen else (1, 3)
    assert ran.code == 0, text
    assert "FAIL" not in text.replace(" 0 FAIL", "")
    assert f"{left_out} check{'s' if left_out > 1 else ''} not run" in text
    record = read_record(repository / "reports/latest/logs/run.json")
    assert record.verdict.missing == left_out
    assert record.this_run is not None
    assert record.this_run.passed == passed
    assert not record.verdict.failed
    assert "gsm8k/acc" not in record.variant("bad").quality
    assert "gsm8k/acc" in record.variant("bad").awaited
    for name in ("logs/report.md", "pr-comment.md"):
        assert "drop 25.0 points" not in (repository / "reports/latest" / name).read_text("utf-8")


@pytest.mark.parametrize("arguments", [(), ("-k", "nothing", "-n", "1")], ids=["all", "none of its tests"])
def test_logs_that_cannot_be_judged_are_wrong_input(repository: Path, arguments: tuple[str, ...]) -> None:
    """Also where tests are chosen: nobody knows which tests the suite has."""
    next((repository / "logs/bad").glob("samples_arc*")).unlink()
    ran = run_pytest(repository, "bench/logs.toml", *arguments)
    assert ran.code == 4
    line = "exit code 4: bench/logs.toml: "
    assert any(text.startswith(line) and "lacks the task arc" in text for text in ran.lines)
    assert any("1 failed" in line for line in ran.lines)
    assert not (repository / "reports/latest/logs").exists()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("base =", "bass =", r"bench/logs.toml \[logs\]: unknown key bass. Did you mean base\?"),
        (
            "drop_points = 5.0 }",
            "drop_point = 5.0 }",
            r'bench/logs.toml \[budgets\] "\*": unknown key drop_point',
        ),
        (
            "good =",
            "teacher =",
            r"bench/logs.toml \[logs\] targets.teacher: the report uses this name for the base",
        ),
        ("[budgets]", 'allow = ["promt"]\n[budgets]', r"\[logs\] allow promt: .* Did you mean prompt\?"),
        (
            'targets = { good = "../logs/good", bad = "../logs/bad" }',
            'targets = "../logs/good"',
            r'\[logs\] targets: "../logs/good" was given, expected a table of names and paths',
        ),
        (
            '"../logs/bad"',
            '["../logs/more/../good"]',
            r"\[logs\]: targets.bad: logs/good is the log of targets.good too; give each target its own log",
        ),
        ("[budgets]", "[budget]", r"bench/logs.toml: no table \[budget\] here;.* Did you mean budgets\?"),
    ],
    ids=["key", "budget", "name", "allow", "targets", "same log", "table"],
)
def test_a_suite_that_is_wrong_ends_the_run(repository: Path, old: str, new: str, problem: str) -> None:
    (repository / "bench/logs.toml").write_text(SUITE.replace(old, new, 1), "utf-8")
    ran = run_pytest(repository, "bench")
    assert ran.code == 4
    assert re.search(problem, "\n".join(ran.lines)), ran.lines


@pytest.mark.parametrize("text", ["logs = 3\n", '[[logs]]\nbase = "b"\n'], ids=["number", "list"])
def test_logs_that_are_no_table_are_one_line(repository: Path, text: str) -> None:
    (repository / "bench/logs.toml").write_text(text, "utf-8")
    ran = run_pytest(repository, "bench")
    assert ran.code == 4
    assert any(
        re.match(r"ERROR: bench/logs.toml logs: .* given, expected a table$", line) for line in ran.lines
    )
    assert not any("Traceback" in line for line in ran.lines)


def test_a_suite_of_models_may_not_have_the_same_name(repository: Path) -> None:
    (repository / "bench/more").mkdir()
    (repository / "bench/more/bench").mkdir()
    (repository / "bench/more/bench/logs.toml").write_text(SUITE.replace("..", "../../.."), "utf-8")
    ran = run_pytest(repository, "bench")
    assert ran.code == 4
    assert any("have the same name" in line for line in ran.lines)


def test_what_may_differ_is_noted_in_the_run_and_in_the_report(repository: Path) -> None:
    more = {"prompt": "Other {id}?", "results": {"model_name": "org/good-int8"}}
    write_lm_eval(repository / "logs/good", {"gsm8k": [1.0] * 200, "arc": [1.0] * 60}, **more)
    text = SUITE.replace("[budgets]", 'allow = ["prompt"]\ntitle = "Two [models]"\n[budgets]')
    (repository / "bench/logs.toml").write_text(text, "utf-8")
    ran = run_pytest(repository, "bench/logs.toml", "-k", "good")
    assert ran.code == 0
    assert any(
        line.startswith("note: good: gsm8k: prompts differ in 200 of 200 samples") for line in ran.lines
    )
    folder = repository / "reports/latest/logs"
    assert "- good: gsm8k: prompts differ in 200 of 200 samples" in (folder / "report.md").read_text("utf-8")
    for name in ("report.md", "pr-comment.md"):
        assert "\n### good: org/good-int8\n" in (folder / name).read_text("utf-8")
    record = read_record(folder / "run.json")
    assert record.suite.title == "Two [models]"
    notes = record.variant("good").notes
    better = "arc/acc, gsm8k/acc"  # all of them right
    assert [note.partition(":")[0] for note in notes] == ["arc", "gsm8k", "one run of each", better]
    assert [note.partition(":")[0] for note in record.variant("bad").notes] == ["one run of each"]


def test_a_suite_of_logs_is_found_in_bench_or_by_its_name(repository: Path) -> None:
    (repository / "other.toml").write_text(SUITE.replace("../", ""), "utf-8")

    def list_suites(*paths: Path) -> list[str]:
        search = Search(root=repository, paths=paths, patterns=["bench/*.toml"])
        return [suite.shown for suite in find_log_suites(search, {}).values()]

    assert list_suites(repository) == ["bench/logs.toml"]
    assert list_suites(repository / "other.toml") == ["other.toml"]


def test_a_plan_says_what_plans_rows_of_logs(repository: Path) -> None:
    ran = run_pytest(repository, "bench/logs.toml", "--slimgate-plan")
    text = "\n".join(ran.lines)
    assert (
        "bench/logs.toml: its logs are already written, so there is nothing to plan; `slimgate power`" in text
    )
    assert not (repository / "reports").exists()


def test_a_suite_of_logs_takes_a_budget_on_both_sides(repository: Path) -> None:
    """`bad` and the base with both logs exchanged: it gains 25 points."""
    suite = SUITE.replace("../logs/base", "../logs/bad").replace('../logs/bad" }', '../logs/base" }')
    suite = suite.partition("[budgets]")[0] + '[budgets]\n"gsm8k*" = { equivalent_points = 5.0 }\n'
    (repository / "bench/logs.toml").write_text(suite, "utf-8")
    ran = run_pytest(repository, "bench/logs.toml", "-v")
    text = "\n".join(ran.lines)
    assert ran.code == 1
    assert re.search(r"gsm8k/acc 0\.750 vs 0\.500, drop -25\.0 points .*budget ±5\.0 .*: FAIL", text)


def test_a_suite_that_is_not_toml_ends_the_run_of_its_folder(repository: Path) -> None:
    """Or a typo would leave its budgets unjudged, and the run of the other suites would pass."""
    (repository / "bench/logs.toml").write_text(SUITE.replace("[budgets]", "[budgets"), "utf-8")
    with pytest.raises(SuiteError, match=r"^bench/logs\.toml line 5: not TOML: "):
        find_suites(Search(repository, [repository / "bench"], ["bench/*.toml"]))


@pytest.mark.parametrize(
    ("mark", "workers"),
    [("xfail", ()), ("xfail(run=False)", ()), ("skip", ()), ("xfail(run=False)", ("-n", "1"))],
    ids=["xfail", "xfail(run=False)", "skip", "xfail(run=False) in a worker"],
)
def test_a_mark_does_not_change_the_exit_code(repository: Path, mark: str, workers: tuple[str, ...]) -> None:
    name, _, options = mark.partition("(")
    code = f"pytest.mark.{name}({options or ')'}"
    hook = f"def pytest_collection_modifyitems(items):\n    [item.add_marker({code}) for item in items]\n"
    (repository / "conftest.py").write_text(f"import pytest\n\n{hook}")
    assert run_pytest(repository, "bench/logs.toml", *workers).code == 1
    (repository / "bench/logs.toml").write_text(
        SUITE.replace('bad = "../logs/bad" ', 'worst = "../logs/gone"')
    )
    assert run_pytest(repository, "bench/logs.toml", *workers).code == 4
    (repository / "bench/logs.toml").write_text(SUITE.replace(', bad = "../logs/bad"', ""))
    assert run_pytest(repository, "bench/logs.toml", *workers).code == 0


def test_the_first_shard_judges_log_suites_and_others_say_so(repository: Path) -> None:
    first = run_pytest(repository, "bench/logs.toml", "--slimgate-shard", "1/2")
    assert first.code == 1
    assert any("bad: gsm8k/acc" in line and "FAIL" in line for line in first.lines)
    second = run_pytest(repository, "bench/logs.toml", "--slimgate-shard", "2/2")
    assert second.code == 5
    assert "not judged in shard 2/2, as shard 1 does: bench/logs.toml" in second.lines


def test_a_kl_log_that_is_missing_is_one_line(repository: Path) -> None:
    text = '[logs]\ntargets = { q4 = "../logs/gone.txt" }\n[budgets]\nkl = { mean_max = 0.02 }\n'
    (repository / "bench/logs.toml").write_text(text, "utf-8")
    ran = run_pytest(repository, "bench")
    assert ran.code == 4
    assert any("gone.txt: no such file" in line for line in ran.lines), ran.lines
    assert not any("Ctrl-C" in line or "Traceback" in line for line in ran.lines)


def test_junit_of_kl_logs_and_load_tests_has_figures(repository: Path) -> None:
    kl = np.random.default_rng(0).exponential(0.01, 580)
    write_kl_log(repository / "bench/q4.txt", kl)
    budgets = "kl = { mean_max = 0.005 }\ntop1_agreement = { floor = 0.97 }\n"
    text = f'[logs]\ntargets = {{ q4 = "q4.txt" }}\n[budgets]\n{budgets}'
    (repository / "bench/kl.toml").write_text(text, "utf-8")
    for seed, (name, slower) in enumerate({"base": 1.0, "again": 1.0, "new": 0.5}.items()):
        write_vllm(repository / f"bench/{name}.json", seed, slower=slower)
    (repository / "bench/loads.toml").write_text(
        '[logs]\nbase = "base.json"\nrepeat = "again.json"\ntargets = { new = "new.json" }\n'
        "[budgets]\nlatency = { speedup_min = 1.5 }\n",
        "utf-8",
    )
    ran = run_pytest(repository, "bench/kl.toml", "bench/loads.toml", "--junitxml", "junit.xml")
    failures, cases = read_junit(repository / "junit.xml")
    assert (ran.code, failures) == (1, 1)
    properties = cases["test_logs[q4-kl_log]"].properties
    assert float(properties["slimgate.value.mean_max"]) == pytest.approx(kl.mean(), abs=1e-4)
    low, high = map(float, properties["slimgate.interval.mean_max"].strip("[]").split(", "))
    assert 0.005 < low < kl.mean() < high
    assert (properties["slimgate.budget.mean_max"], properties["slimgate.verdict.mean_max"]) == (
        "0.005",
        "FAIL",
    )
    assert (properties["slimgate.budget.floor"], properties["slimgate.verdict.floor"]) == ("0.97", "PASS")
    assert (properties["slimgate.variant"], properties["slimgate.verdict"]) == ("q4", "FAIL")
    properties = cases["test_logs[new-latency c8]"].properties
    assert (properties["slimgate.variant"], properties["slimgate.workload"]) == ("new", "c8")
    assert float(properties["slimgate.value.speedup_min"]) == pytest.approx(2, rel=0.1)
    assert (properties["slimgate.budget.speedup_min"], properties["slimgate.verdict"]) == ("1.5", "PASS")


WITHOUT_TORCH = """\
import importlib.metadata

distribution = importlib.metadata.distribution


def distribution_of_others(name):
    if name == "torch":
        raise importlib.metadata.PackageNotFoundError(name)
    return distribution(name)


importlib.metadata.distribution = distribution_of_others
"""


OF_MODELS = """\
[suite]
title = "models"
[task]
kind = "text_classification"
source = { name = "files", path = "rows.csv" }
text = ["text"]
label = "label"
[teacher]
model = "model"
[variants.int8]
steps = [{ int8_dynamic = {} }]
[budgets]
accuracy = { drop_points = 1.0 }
"""


@pytest.mark.parametrize("arguments", [(), ("-k", "good", "-n", "1")], ids=["all", "chosen, in a worker"])
def test_without_torch_logs_are_judged_beside_a_suite_of_models(
    repository: Path, arguments: tuple[str, ...]
) -> None:
    (repository / "conftest.py").write_text(WITHOUT_TORCH, "utf-8")
    (repository / "bench/models.toml").write_text(OF_MODELS, "utf-8")
    ran = run_pytest(repository, "bench", *arguments)
    text = "\n".join(ran.lines)
    assert ran.code == 4, text
    line = 'exit code 4: bench/models.toml: a suite of models needs torch: pip install "slimgate[models]"'
    assert line in ran.lines, text
    assert ("bad: gsm8k/acc 0.500 vs 0.750" in text) == (not arguments)
    record = read_record(repository / "reports/latest/logs/run.json")
    assert record.verdict.passed == 2
    (repository / "bench/logs.toml").unlink()
    alone = run_pytest(repository, "bench", *arguments)
    assert alone.code == 4
    assert not any("exit code 4" in line for line in alone.lines)
    assert any("bench/models.toml: a suite of models needs torch" in line for line in alone.lines)


def test_a_target_with_budgets_switched_off_is_not_recommended(repository: Path) -> None:
    suite = repository / "bench/logs.toml"
    off = '[budgets.variants.bad]\n"*" = { drop_points = "off", reason = "not shipped" }\n'
    text = SUITE.replace('good = "../logs/good", ', "").replace(
        '"arc" = { drop_points = 5.0', '"arc" = { drop_points = 40.0'
    )
    suite.write_text(text + off, "utf-8")
    assert run_pytest(repository, "bench/logs.toml").code == 0
    report = (repository / "reports/latest/logs/report.md").read_text("utf-8")
    assert "Ship **bad**" not in report
    assert "**Ship nothing**" in report


def test_a_link_to_a_suite_of_logs_is_judged_once(repository: Path) -> None:
    (repository / "shared").mkdir()
    (repository / "bench/logs.toml").rename(repository / "shared/logs.toml")
    (repository / "bench/logs.toml").symlink_to("../shared/logs.toml")
    (repository / "bench/other.toml").symlink_to("../shared/logs.toml")
    for place in ("bench", "bench/logs.toml", "."):
        ran = run_pytest(repository, place)
        assert ran.code == 1
        assert any(line.startswith("bench/logs.toml: FAIL (") for line in ran.lines), ran.lines
        assert sum(line.startswith("FAILED ") for line in ran.lines) == 1
        assert not any("not run" in line for line in ran.lines)


def test_a_base_is_no_target_of_itself(repository: Path) -> None:
    suite = SUITE.replace('"../logs/good"', '"../logs/base"')
    (repository / "bench/logs.toml").write_text(suite, "utf-8")
    ran = run_pytest(repository, "bench/logs.toml")
    words = "exit code 4: bench/logs.toml: logs/base: base and target are the same path"
    assert (ran.code, any(line.startswith(words) for line in ran.lines)) == (4, True), ran.lines


def test_a_copy_of_the_base_is_no_target(repository: Path) -> None:
    shutil.rmtree(repository / "logs/good")
    shutil.copytree(repository / "logs/base", repository / "logs/good")
    ran = run_pytest(repository, "bench/logs.toml")
    words = "exit code 4: bench/logs.toml: logs/good: it is a copy of the base logs/base, expected the log of"
    assert (ran.code, any(line.startswith(words) for line in ran.lines)) == (4, True), ran.lines


def test_targets_with_other_tasks_are_refused_before_any_test(repository: Path) -> None:
    """The refusal of a task that is gone names the key of the suite, not the option of `slimgate judge`."""
    next((repository / "logs/bad").glob("samples_arc*")).unlink()
    ran = run_pytest(repository, "bench/logs.toml")
    assert any('accept it by [logs] allow = ["tasks"]' in line for line in ran.lines), ran.lines
    suite = repository / "bench/logs.toml"
    text = SUITE.replace("[budgets]", 'allow = ["tasks"]\n[budgets]', 1)
    suite.write_text("".join(line for line in text.splitlines(True) if not line.startswith('"arc"')), "utf-8")
    ran = run_pytest(repository, "bench/logs.toml")
    words = "exit code 4: bench/logs.toml: bad has other tasks, metrics or samples than the first target"
    assert (ran.code, any(line.startswith(words) for line in ran.lines)) == (4, True), ran.lines
    assert "Traceback" not in ran.out


def test_errors_name_the_target_that_lacks_a_sample(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With several targets, a reader must know whose log to make again."""
    scores = {"gsm8k": [1.0] * 150 + [0.0] * 49, "arc": [1.0] * 10 + [0.0] * 50}
    counts = {"gsm8k": {"original": 9999, "effective": 200}, "arc": {"original": 9999, "effective": 60}}
    write_lm_eval(repository / "logs/bad", scores, results={"n-samples": counts})
    words = "bad: gsm8k/acc: of 200 samples 1 is only in the base's log"
    ran = run_pytest(repository, "bench/logs.toml")
    assert any(line.startswith(f"exit code 4: bench/logs.toml: {words}") for line in ran.lines), ran.lines

    base, good, bad = (str(repository / "logs" / name) for name in ("base", "good", "bad"))
    assert main(["judge", "--base", base, "--target", good, "--target", bad, "--drop-points", "5"]) == 4
    assert capsys.readouterr().err.startswith(f"slimgate judge: {words}")


@pytest.mark.parametrize(
    ("of_command", "of_suite"),
    [
        ("accept them by --allow tasks --allow shots", 'accept them by [logs] allow = ["tasks", "shots"]'),
        ("--missing as-wrong counts those", '[logs] missing = "as-wrong" counts those'),
        ("--missing drop, or write", '[logs] missing = "drop", or write'),
        (
            "by --run target=2026-02-02T10-00-00 or --run target=2026-02-01T1",
            'by [logs] run = { target = "2026-02-02T10-00-00" } or [logs] run = { target = "2026-02-01T1" }',
        ),
        ("of each task by --run base=each-task", 'of each task by [logs] run = { base = "each-task" }'),
        (
            "--run each-task joins only runs; choose by --run",
            '[logs] run = "each-task" joins only runs; choose by [logs] run',
        ),
        (
            'choose by --model base="large" --model target="small"; rename',
            'choose by [logs] model = { base = "large", target = "small" }; rename',
        ),
        (
            "pass --same-id epochs (--same-id runs if each row",
            'pass [logs] same_id = "epochs" ([logs] same_id = "runs" if each row',
        ),
        ("is a run; leave --same-id out", "is a run; leave [logs] same_id out"),
        ("write --range grade=LOW:HIGH", "write [ranges] grade = [LOW, HIGH]"),
        ("or say --id COLUMN to slimgate judge, or", 'or write [logs] columns = { id = "COLUMN" }, or'),
        ("answers with --label COLUMN", 'answers with [logs] columns = { label = "COLUMN" }'),
        ("--repeat logs/a.json: it is", "[logs] repeat logs/a.json: it is"),
        (
            "--model target=openai:gpt-5: no such model",
            '[logs] model = { target = "openai:gpt-5" }: no such model',
        ),
        ('--model target="my model": no', '[logs] model = { target = "my model" }: no'),
        ("--run 2025-05: no run", '[logs] run = "2025-05": no run'),
        ("--slice topic: no sample has", '[logs] slices = ["topic"]: no sample has'),
        ("logs/--run latest/x.json has", "logs/--run latest/x.json has"),
    ],
    ids=[
        "allow",
        "wrong",
        "drop",
        "times",
        "side",
        "run",
        "model",
        "same-id",
        "bare",
        "range",
        "id",
        "label",
        "repeat",
        "colon in a name",
        "blank in a name",
        "colon after a time",
        "slice",
        "path",
    ],
)
def test_messages_of_suites_name_their_keys(of_command: str, of_suite: str) -> None:
    assert name_suite_keys(of_command) == of_suite


def test_reports_begin_with_the_suites_that_could_not_be_judged(repository: Path) -> None:
    """A PASS of the others, and the record of an earlier run, must not look like the result."""
    (repository / "bench/logs.toml").rename(repository / "bench/broken.toml")
    good = SUITE.replace(', bad = "../logs/bad"', "")
    (repository / "bench/whole.toml").write_text(good, "utf-8")
    (repository / "bench/broken.toml").write_text(good.replace("good", "bad"), "utf-8")
    latest = repository / "reports/latest"
    assert run_pytest(repository, "bench").code == 1
    assert (latest / "broken/run.json").is_file()
    assert "**FAIL, 1 of 2 suites hold**" in (latest / "pr-comment.md").read_text("utf-8")
    (latest / "broken/compare.md").write_text("**PASS** · no budget that held has stopped holding", "utf-8")

    next((repository / "logs/bad").glob("samples_arc*")).unlink()
    ran = run_pytest(repository, "bench")

    assert ran.code == 4
    heading = "slimgate: ERROR, 1 of 2 suites could not be judged"
    assert (latest / "report.md").read_text("utf-8").startswith(f"# {heading}\n\n- bench/broken.toml: ")
    assert f"## {heading}\n\n- bench/broken.toml: " in (latest / "pr-comment.md").read_text("utf-8")
    page = (latest / "report.html").read_text("utf-8")
    assert page.index("ERROR: 1 of 2 suites could not be judged") < page.index("<h2>Suites</h2>")
    texts = sorted(
        file.name for file in (latest / "broken").iterdir() if file.suffix in {".md", ".html", ".json"}
    )
    assert texts == ["report.md", "run.earlier.json"]
    assert main(["accept", str(latest / "broken"), "--name", "v1", "--baselines", str(repository / "b")]) == 4

    next((repository / "logs/good").glob("samples_arc*")).unlink()
    assert run_pytest(repository, "bench").code == 4
    for name in ("report.md", "pr-comment.md"):
        assert "ERROR, 2 of 2 suites could not be judged" in (latest / name).read_text("utf-8"), name
