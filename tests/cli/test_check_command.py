"""`slimgate check`: one line for each suite file that is wrong, and no torch."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.judge_command import Command
from support.lm_eval_logs import write_lm_eval

from slimgate._system.digests import forget

Check = Callable[..., tuple[int, str, list[str]]]

LOGS = """\
[logs]
base = "../logs/base"
targets = { int4 = "../logs/int4" }
[budgets]
"*" = { drop_points = 2.0 }
"""
NO_MISTAKE = "no mistake found; data files, models and packages were not checked (use --data)"
WITHOUT_DATA = "the files and packages of these opt-in suites were not checked"
PARTLY = "these opt-in suites need a missing package, so they were checked only in part"


@pytest.fixture
def repository(bench: Path, suite_text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of models and a suite of logs, both right, in the working folder; there are no logs."""
    (bench / "reviews.toml").write_text(suite_text, "utf-8")
    (bench / "logs.toml").write_text(LOGS, "utf-8")
    monkeypatch.chdir(bench.parent)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return bench.parent


def with_mistake(repository: Path, name: str, before: str, after: str) -> None:
    """Changes a text that the file has."""
    file = repository / "bench" / name
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after), "utf-8")


@pytest.fixture
def check(run_command: Command) -> Check:
    """Runs `slimgate check`: exit code, output, lines of errors."""

    def run(*arguments: str) -> tuple[int, str, list[str]]:
        code, out, errors = run_command("check", *arguments)
        return code, out, errors.splitlines()

    return run


def test_a_budget_in_a_doubtful_unit_is_asked_about(repository: Path, check: Check) -> None:
    with_mistake(repository, "reviews.toml", "drop_points = 2.0", "drop_points = 0.02")
    code, out, errors = check("bench/reviews.toml")
    question, count = out.splitlines()
    assert question.startswith("bench/reviews.toml: budget accuracy drop_points 0.02 (")
    assert question.endswith("Did you mean drop_points = 2?")
    counted = NO_MISTAKE.replace("found", "found, 1 question (above)", 1)
    assert (code, count, errors) == (0, f"1 suite checked, {counted}", [])


def test_a_budget_of_a_log_suite_is_asked_about(repository: Path, check: Check) -> None:
    (repository / "bench/logs.toml").write_text(LOGS.replace("drop_points = 2.0", "drop_points = 0.02"))
    code, out, _ = check("bench/logs.toml")
    assert code == 0
    assert "drop_points 0.02: points are percentage points, so 0.02 is 0.02 %. Did you mean" in out
    assert "no mistake found, 1 question (above)" in out


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("bench/reviews.toml",), "1 suite"),
        (("bench/logs.toml",), "1 suite"),
        (("bench/reviews.toml", "bench/logs.toml"), "2 suites"),
        (("bench",), "2 suites"),
        ((".",), "2 suites"),
    ],
    ids=["of models", "of logs", "several files", "a folder", "a folder above"],
)
def test_right_files_are_exit_code_0(check: Check, arguments: tuple[str, ...], count: str) -> None:
    assert check(*arguments) == (0, f"{count} checked, {NO_MISTAKE}\n", [])


MISTAKES = {
    "step": (
        "reviews.toml",
        "keep_layers",
        "keep_layer",
        '[variants.student] steps[0]: "keep_layer": no such step. Did you mean',
    ),
    "key": (
        "reviews.toml",
        "threads = 1",
        "thread = 1",
        "[suite]: unknown key thread. Did you mean threads?",
    ),
    "value": (
        "reviews.toml",
        "drop_points = 2.0",
        'drop_points = "two"',
        '[budgets.accuracy] drop_points: "two" was given, expected',
    ),
    "not TOML": ("reviews.toml", "[teacher]", "[teacher", "line 14: not TOML: "),
    "key of logs": ("logs.toml", "targets", "target", "[logs]: unknown key target. Did you mean targets?"),
    "budget of logs": (
        "logs.toml",
        "drop_points",
        "drop_point",
        '[budgets] "*": unknown key drop_point. Did you mean drop_points?',
    ),
    "table of logs": (
        "logs.toml",
        "[budgets]",
        '[budgets]\nslice."*" = { drop_points = 9 }',
        '[budgets] "slice" holds tables (*), expected the limits of a metric; the tables of tables are '
        "[budgets.slices] and [budgets.variants.NAME]",
    ),
    "logs, not TOML": ("logs.toml", "[budgets]", "[budgets", "line 4: not TOML: "),
}


@pytest.mark.parametrize(("suite", "before", "after", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(
    repository: Path, check: Check, suite: str, before: str, after: str, line: str
) -> None:
    with_mistake(repository, suite, before, after)
    code, out, [error] = check(f"bench/{suite}")
    assert (code, out) == (4, "")
    assert error.startswith(f"bench/{suite} {line}")
    assert check("bench") == (4, "", [error])


def test_every_wrong_file_has_its_line(repository: Path, check: Check) -> None:
    with_mistake(repository, "reviews.toml", "keep_layers", "keep_layer")
    with_mistake(repository, "logs.toml", "targets", "target")
    code, _, errors = check("bench/reviews.toml", "bench/nowhere.toml", "bench/logs.toml")
    assert code == 4
    assert [error.split(" ")[0].rstrip(":") for error in errors] == [
        "bench/reviews.toml",
        "bench/nowhere.toml",
        "bench/logs.toml",
    ]
    assert errors[1] == "bench/nowhere.toml: cannot be read: No such file or directory"


def test_a_named_file_must_be_a_suite_and_a_folder_must_have_one(repository: Path, check: Check) -> None:
    (repository / "pyproject.toml").write_text("[project]\nname = 'x'\n", "utf-8")
    assert check("pyproject.toml") == (
        4,
        "",
        ["pyproject.toml: has neither [suite] nor [logs], so it is not a suite of slimgate"],
    )
    assert check(".")[0] == 0
    code, _, [error] = check("model")
    assert (code, error) == (
        4,
        "model: no suite in this folder, expected a .toml file with [suite] or [logs]",
    )


def test_files_of_a_folder_that_are_no_suites_are_named(repository: Path, check: Check) -> None:
    for at in range(7):
        (repository / f"bench/notes{at}.toml").write_text("[server]\nport = 1\n", "utf-8")
    code, out, _ = check("bench")
    assert code == 0
    assert out.splitlines()[1] == (
        "these files are not suites and were not checked: bench/notes0.toml, bench/notes1.toml, "
        "bench/notes2.toml, bench/notes3.toml, bench/notes4.toml and 2 more"
    )
    code, _, [error] = check("bench/*.tml")
    assert (code, error) == (4, "bench/*.tml: cannot be read: No such file or directory")


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("utf-8-sig", "line 2: not TOML: Illegal character '\\n' in column 14: title = \"tiny"),
        ("utf-16", "not UTF-8 at byte 0; a TOML file is UTF-8"),
    ],
    ids=["byte-order-mark", "utf-16"],
)
def test_a_broken_suite_of_a_windows_editor_is_reported(
    repository: Path, check: Check, encoding: str, problem: str
) -> None:
    (repository / "bench/windows.toml").write_bytes('[suite]\ntitle = "tiny\n'.encode(encoding))
    code, _, [error] = check("bench")
    assert (code, error) == (4, f"bench/windows.toml{' ' if 'line' in problem else ': '}{problem}")


def test_a_suite_without_a_budget_gates_nothing(repository: Path, check: Check) -> None:
    file = repository / "bench/reviews.toml"
    file.write_text(file.read_text("utf-8").partition("[budgets]")[0], "utf-8")
    code, _, [error] = check("bench/reviews.toml")
    assert code == 4
    assert error.startswith(
        "bench/reviews.toml: no budget, so the suite gates nothing; add a limit to [budgets]"
    )
    assert check("bench/reviews.toml", "--without-budgets")[0] == 0


@pytest.mark.parametrize("option", [(), ("--without-budgets",)], ids=["plain", "without budgets"])
def test_a_suite_of_logs_always_has_a_budget(repository: Path, check: Check, option: tuple[str, ...]) -> None:
    suite = '[logs]\nkind = "predictions"\nbase = "a.csv"\ntargets = { b = "b.csv" }\n[budgets]\n'
    (repository / "bench/files.toml").write_text(suite, "utf-8")
    code, _, [error] = check("bench/files.toml", *option)
    assert code == 4
    assert error.startswith("bench/files.toml: expected [budgets]; prediction files are judged by metrics")


def test_variants_that_say_that_they_do_not_gate_need_no_budget(
    repository: Path, suite_text: str, check: Check
) -> None:
    text = suite_text
    for before in ("= { steps", '= { from = "student", steps'):
        assert before in text
        text = text.replace(before, before.replace("{", '{ gated = false, reason = "to look at",'))
    (repository / "bench/reviews.toml").write_text(text, "utf-8")
    assert check("bench/reviews.toml") == (0, f"1 suite checked, {NO_MISTAKE}\n", [])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('format = "lmeval"', "no such reader of logs. Did you mean lm_eval?"),
        ('kind = "kl_logs"', 'base was given with kind = "kl_logs"; leave it out'),
        ('kind = "prediction"', '[logs] kind: "prediction" was given, expected'),
    ],
    ids=["a format", "a base", "a kind"],
)
def test_what_a_suite_of_logs_says_of_its_files_is_checked(
    repository: Path, check: Check, line: str, problem: str
) -> None:
    with_mistake(repository, "logs.toml", "[budgets]", f"{line}\n[budgets]")
    code, _, [error] = check("bench/logs.toml")
    assert code == 4
    assert error.startswith("bench/logs.toml [logs]")
    assert problem in error


def test_logs_that_cannot_be_judged_are_found_on_request(repository: Path, check: Check) -> None:
    """A verdict of FAIL is no mistake of the suite; a pattern of nothing is."""
    for name, right in (("base", 1.0), ("int4", 0.0)):
        write_lm_eval(repository / "logs" / name, {"gsm8k": [right] * 100})
    assert check("bench/logs.toml", "--data")[0] == 0
    with_mistake(repository, "logs.toml", '"*"', '"gsm9k*"')
    assert check("bench/logs.toml")[0] == 0
    code, _, [error] = check("bench/logs.toml", "--data")
    assert code == 4
    assert error.startswith('bench/logs.toml: no comparison matches "gsm9k*"')
    (repository / "bench/logs.toml").write_text(LOGS.replace("[budgets]", 'format = "table"\n[budgets]'))
    code, _, [error] = check("bench/logs.toml", "--data")
    assert code == 4
    assert error.startswith("bench/logs.toml: logs/base")


def test_folders_of_environments_are_left_out(repository: Path, check: Check) -> None:
    for folder in (".tox", "node_modules", "env"):
        (repository / folder).mkdir()
        (repository / folder / "x.toml").write_text("[suite]\n", "utf-8")
    (repository / "env/pyvenv.cfg").touch()
    assert check(".")[:2] == (0, f"2 suites checked, {NO_MISTAKE}\n")


def test_a_part_of_a_suite_is_checked_where_it_is_extended(
    repository: Path, suite_text: str, check: Check
) -> None:
    (repository / "bench/_base.toml").write_text(suite_text.replace('title = "tiny"\n', ""), "utf-8")
    (repository / "bench/_tasks.toml").write_text('[task]\nlabel = "label"\n', "utf-8")
    (repository / "bench/reviews.toml").write_text('[suite]\ntitle = "x"\nextends = "_base.toml"\n', "utf-8")
    assert check("bench/_base.toml", "bench/_tasks.toml", "bench/reviews.toml")[0] == 0
    with_mistake(repository, "_base.toml", "keep_layers", "keep_layer")
    code, _, [error] = check("bench")
    assert code == 4
    assert error.startswith("bench/reviews.toml (extends _base.toml) [variants.student] steps[0]: ")


def test_what_is_on_this_machine_is_checked_on_request(repository: Path, check: Check) -> None:
    (repository / "bench/rows.csv").unlink()
    assert check("bench")[0] == 0
    code, _, [of_models, of_logs] = sorted_lines(check("bench", "--data"))
    assert code == 4
    assert of_models.startswith("bench/reviews.toml [task.source]")
    assert "rows.csv: no such file" in of_models
    assert of_logs == "bench/logs.toml [logs] base: logs/base: no such file or folder, and no folder logs"


def test_too_few_rows_are_found_on_request(repository: Path, check: Check) -> None:
    """A train file of six rows leaves none for calibration; a run found this, and the check did not."""
    for name, count in (("train", 6), ("gate", 40)):
        lines = [f"{name} {k},{('neg', 'pos')[k % 2]}\n" for k in range(count)]
        (repository / f"bench/{name}.csv").write_text("text,label\n" + "".join(lines), "utf-8")
    source = 'source = { name = "files", train = "train.csv", gate = "gate.csv" }'
    suite = repository / "bench/reviews.toml"
    text = re.sub("(?m)^(source|group|splits) = .*$", "", suite.read_text("utf-8"))
    text = text.replace("[task]", f"[task]\n{source}")
    start, end = text.index("[variants"), text.index("[budgets]")
    text = f"{text[:start]}[variants]\nint8 = {{ steps = [{{ int8_static = {{}} }}] }}\n{text[end:]}"
    suite.write_text(text, "utf-8")
    assert check("bench/reviews.toml")[0] == 0
    code, _, [error] = check("bench/reviews.toml", "--data")
    assert code == 4
    assert error.startswith("bench/reviews.toml [task]: int8: step int8_static needs rows of the split cal")


def test_what_an_opt_in_suite_needs_is_checked_if_it_is_named(repository: Path, check: Check) -> None:
    with_mistake(repository, "reviews.toml", 'title = "tiny"', 'title = "tiny"\nopt_in = true')
    (repository / "bench/logs.toml").unlink()
    (repository / "bench/rows.csv").unlink()
    code, printed, _ = check("bench", "--data")
    assert code == 0
    assert printed.splitlines() == [
        "1 suite checked, no mistake found",
        f"{WITHOUT_DATA}: bench/reviews.toml",
        "to check an opt-in suite, name its file",
    ]
    code, _, [error] = check("bench", "bench/reviews.toml", "--data")
    assert code == 4
    assert "rows.csv: no such file" in error


def test_a_folder_given_twice_is_checked_once(repository: Path, check: Check) -> None:
    assert check("bench", "bench", "bench/logs.toml")[1].startswith("2 suites checked")
    with_mistake(repository, "reviews.toml", "keep_layers", "keep_layer")
    (repository / "bench/logs.toml").unlink()
    (repository / "empty").mkdir()
    (repository / "bench/_part.toml").write_text("[suite]\n", "utf-8")
    assert check("empty", "bench/_part.toml")[0] == 4
    code, _, [error] = check(".", "bench", "bench")
    assert code == 4
    assert error.startswith("bench/reviews.toml [variants.student]")


def test_modules_of_two_suites_may_not_have_one_name(
    repository: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = (repository / "bench/reviews.toml").read_text("utf-8").replace("../model", "../../model")
    suite = suite.replace('path = "rows.csv"', 'path = "../rows.csv"')
    own_step = '{ "own_step_of_two:halve" = { share = 0.25 } }'
    for name in ("first", "second"):
        folder = repository / "bench" / name
        folder.mkdir()
        step = f"def halve(model, context, *, share: float):\n    return {name!r}\n"
        (folder / "own_step_of_two.py").write_text(step)
        (folder / "suite.toml").write_text(suite.replace("{ keep_layers = [0, 3] }", own_step), "utf-8")
    monkeypatch.delitem(sys.modules, "own_step_of_two", raising=False)
    assert check("bench/first")[0] == 0
    code, _, [error] = check("bench/first", "bench/second")
    assert code == 4
    own_step = f"{repository}/bench/second/own_step_of_two.py"
    assert f"{own_step} is not used: Python imports own_step_of_two from {repository}/bench/first/" in error
    monkeypatch.delitem(sys.modules, "own_step_of_two")
    sys.path.remove(f"{repository}/bench/first")
    forget()
    assert check("bench/second")[0] == 0


def test_a_suite_of_logs_finds_modules_beside_it(repository: Path, check: Check) -> None:
    rates = "def polite(answer, reference):\n    return 'please' in answer\npolite.higher_is_better = False\n"
    (repository / "bench/own_rates_for_check.py").write_text(rates, "utf-8")
    with_mistake(repository, "logs.toml", "[logs]", '[logs]\nrefusals = "own_rates_for_check:polite"')
    assert check("bench/logs.toml")[0] == 0


def sorted_lines(checked: tuple[int, str, list[str]]) -> tuple[int, str, list[str]]:
    """With the lines of errors from the last to the first."""
    return checked[0], checked[1], sorted(checked[2], reverse=True)


def test_an_own_step_is_found_beside_the_suite(repository: Path, check: Check) -> None:
    step = "def halve(model, context, *, share: float = 0.5):\n    pass\n"
    (repository / "bench/own_step_for_check.py").write_text(step, "utf-8")
    own_step = '"own_step_for_check:halve" = { share = 0.25 }'
    with_mistake(repository, "reviews.toml", "{ keep_layers = [0, 3] }", f"{{ {own_step} }}")
    assert check("bench")[0] == 0
    with_mistake(repository, "reviews.toml", "share", "shar")
    code, _, [error] = check("bench")
    assert code == 4
    assert "Did you mean share?" in error


def test_an_opt_in_suite_may_lack_a_package_unless_it_is_named(
    repository: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)  # import raises
    text = """[suite]
title = "written"
opt_in = true
[task]
kind = "text_generation"
source = { name = "files", gate = ["prompts.jsonl"] }
prompt = "ask"
reference = "right"
scores = ["rouge"]
[teacher]
model = "../model"
[variants.int8]
steps = [{ int8_dynamic = {} }]
"""
    (repository / "bench/written.toml").write_text(text, "utf-8")
    code, printed, _ = check("bench")
    assert code == 0
    assert printed.splitlines()[1] == f"{PARTLY}: bench/written.toml"
    code, _, [error] = check("bench/written.toml")
    assert code == 4
    assert error.startswith("bench/written.toml [task]")
    assert "slimgate[answers]" in error


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("arguments", [("bench",), ("bench/reviews.toml",)], ids=["folder", "file"])
def test_torch_is_not_imported(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from slimgate.cli.main import main; code = main(['check', *sys.argv[1:]]); "
        "print(code, [name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"
