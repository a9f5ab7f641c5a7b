"""action.yml: it parses, its actions are pinned, and its shell parts do here what they shall do there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.fake_gh import FakeGh

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"]}
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")

# A gate that fails, and says by which arguments it was called.
GATE = """
import sys
from pathlib import Path


def pytest_addoption(parser):
    parser.addoption("--slimgate-store")
    parser.addoption("--slimgate-report")
    parser.addoption("--slimgate-baseline")
    parser.addoption("--slimgate-require-budget", action="store_true")


def pytest_configure(config):
    folder = Path(config.getoption("--slimgate-report"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "arguments.txt").write_text("\\n".join(config.invocation_params.args))
    (folder / "pr-comment.md").write_text("<!-- slimgate:comment -->\\n\\n**FAIL**\\n")
"""


def bash(step: str, folder: Path, inputs: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a step as the runner does: expressions of `env` filled in, under bash -e."""
    values = {
        f"inputs.{name}": str(declaration.get("default", ""))
        for name, declaration in ACTION["inputs"].items()
    }
    values |= {f"inputs.{name}": value for name, value in inputs.items()}
    values |= {
        "steps.gate.outputs.exit-code": more.pop("exit_code", ""),
        "github.event.pull_request.number": "7",
    }
    variables = {
        name: EXPRESSION.sub(lambda match: values[match[1]], str(text))
        for name, text in STEPS[step].get("env", {}).items()
    }
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_REPOSITORY": "a/b",
        **variables,
        **more,
    }
    script = STEPS[step]["run"]
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Plain tests in the place of suites: the step runs pytest, whatever it collects."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "my models").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:slimgate.plugin -p no:cacheprovider\n")
    (tmp_path / "conftest.py").write_text(GATE)
    (tmp_path / "bench" / "test_gate.py").write_text("def test_int8(): assert False\ndef test_ok(): pass\n")
    (tmp_path / "bench" / "my models" / "test_more.py").write_text("def test_more(): pass\n")
    return tmp_path


USES = re.compile(r"^\s*(?:- )?uses: (\S+)(.*)$", re.MULTILINE)


@pytest.mark.parametrize("file", ["action.yml", "docs/ci.md", "docs/recipes.md"])
def test_every_action_is_pinned_to_a_commit_beside_its_version(file: str) -> None:
    """A tag can be moved to other code. One version of an action has one commit in all files."""
    actions = [
        action for action in USES.findall((ROOT / file).read_text()) if action[0].startswith("actions/")
    ]
    assert actions
    for name, comment in actions:
        assert re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40}", name), name
        assert re.fullmatch(r" +# v\d+\.\d+\.\d+", comment), name
        assert (
            COMMITS.setdefault((name.split("@")[0].split("/")[1], comment.strip()), name[-40:]) == name[-40:]
        )


COMMITS: dict[tuple[str, str], str] = {}


CONSTRAINTS = ("-c", "/act/constraints.txt")
TORCH = ["install", "--no-deps", *CONSTRAINTS, "torch", "--index-url", "https://download.pytorch.org/whl/cpu"]


@pytest.mark.parametrize(
    ("inputs", "installed"),
    [
        ({}, [TORCH, ["install", *CONSTRAINTS, "/act[models]"]]),
        ({"extras": "models,onnx"}, [TORCH, ["install", *CONSTRAINTS, "/act[models,onnx]"]]),
        ({"extras": ""}, [["install", *CONSTRAINTS, "/act"]]),
    ],
    ids=["default", "extras", "light"],
)
def test_the_default_installs_with_the_actions_own_constraints(
    repository: Path, inputs: dict[str, str], installed: list[list[str]]
) -> None:
    done = install_with_fake_pip(repository, inputs, "exit 0")
    assert (done.returncode, pip_calls(repository)) == (0, installed)
    assert (ROOT / "constraints.txt").is_file()


def test_a_torch_that_cannot_be_installed_fails_the_job(repository: Path) -> None:
    assert install_with_fake_pip(repository, {}, "exit 3").returncode == 3
    assert pip_calls(repository) == [TORCH]


def install_with_fake_pip(
    repository: Path, inputs: dict[str, str], then: str
) -> subprocess.CompletedProcess[str]:
    """Runs the step with a pip that writes down its arguments."""
    pip = repository / "bin/pip"
    pip.parent.mkdir()
    pip.write_text(f"""#!/bin/sh
printf '%s\\t' "$@" >> "{repository}/pip_calls"
echo >> "{repository}/pip_calls"
{then}
""")
    pip.chmod(0o755)
    path = f"{pip.parent}{os.pathsep}{os.environ['PATH']}"
    return bash("Install", repository, inputs, PATH=path, GITHUB_ACTION_PATH="/act")


def pip_calls(repository: Path) -> list[list[str]]:
    return [line.rstrip("\t").split("\t") for line in (repository / "pip_calls").read_text().splitlines()]


@pytest.mark.parametrize(
    ("files", "baseline", "used"),
    [
        ((), "", False),
        ((), "reports/baselines", False),
        (("reports/baselines/.gitkeep",), "reports/baselines", False),
        (("reports/baselines/v1/reviews/run.json",), "reports/baselines", True),
        (("reports/my baselines/v1/reviews/run.json",), "reports/my baselines", True),
        (("old.json",), "old.json", True),
    ],
    ids=["none asked for", "no folder", "an empty folder", "a folder", "a folder with a blank", "a file"],
)
def test_the_first_run_goes_on_without_a_baseline_if_it_says_so(
    repository: Path, files: tuple[str, ...], baseline: str, used: bool
) -> None:
    for name in files:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).touch()
    first_run = "true" if baseline and not used else "false"
    done = bash("Gate", repository, {"baseline": baseline, "args": "-k test_ok", "first-run": first_run})
    assert (done.returncode, (repository / "output").read_text()) == (0, "exit-code=0\n")
    arguments = (repository / "reports/latest/arguments.txt").read_text().splitlines()
    assert arguments[-2:] == (["--slimgate-baseline", baseline] if used else ["-k", "test_ok"])
    is_warned = f"::warning title=slimgate::there is no baseline yet at {baseline}, " in done.stdout
    assert is_warned == (baseline != "" and not used)


@pytest.mark.parametrize(
    ("baseline", "first_run", "problem"),
    [
        ("reports/baseline", "false", "there is no baseline at reports/baseline; correct the input baseline"),
        ("reports/baseline", "yes", "there is no baseline at reports/baseline; correct the input baseline"),
        ("reports/baselines", "true", "there is a baseline at reports/baselines; remove the input first-run"),
    ],
    ids=["a typo", "not a word of the input", "not the first"],
)
def test_a_run_without_its_baseline_fails_unless_it_is_the_first(
    repository: Path, baseline: str, first_run: str, problem: str
) -> None:
    """A typo in the path must not compare with nothing for ever."""
    record = repository / "reports/baselines/v1/reviews/run.json"
    record.parent.mkdir(parents=True)
    record.touch()
    done = bash("Gate", repository, {"baseline": baseline, "args": "-k test_ok", "first-run": first_run})
    assert (done.returncode, (repository / "output").read_text()) == (0, "exit-code=4\n")
    assert done.stdout.startswith("::error title=slimgate::")
    assert problem in done.stdout
    assert done.stdout.count("\n") == 1
    assert not (repository / "reports/latest").exists()


@pytest.mark.parametrize(
    ("value", "required"), [("true", True), ("True", True), ("", True), ("false", False)]
)
def test_only_false_lets_a_suite_gate_nothing(repository: Path, value: str, required: bool) -> None:
    bash("Gate", repository, {"require-budget": value, "args": "-k test_ok"})
    arguments = (repository / "reports/latest/arguments.txt").read_text().splitlines()
    assert ("--slimgate-require-budget" in arguments) == required


def test_shell_parts_take_inputs_from_the_environment_alone() -> None:
    """An input that stood in the script would be run as a part of it."""
    for name, step in STEPS.items():
        if "run" in step:
            assert "${{" not in step["run"], name
            assert step["shell"] == "bash", name


def test_every_expression_names_an_input_that_is_declared() -> None:
    text = (ROOT / "action.yml").read_text()
    named = set(re.findall(r"inputs\.([\w-]+)", text))
    assert named == set(ACTION["inputs"])
    assert all(
        "description" in declaration and "default" in declaration for declaration in ACTION["inputs"].values()
    )


def test_a_fork_gets_no_comment_and_nothing_hangs_on_one() -> None:
    step = STEPS["Comment"]
    assert "github.event.pull_request.head.repo.full_name == github.repository" in step["if"]
    assert "github.event_name == 'pull_request'" in step["if"]
    assert step["continue-on-error"] is True


REFUSE = "Refuse code of a fork"
OWN = ("push", "merge_group", "schedule", "workflow_dispatch")


@pytest.mark.parametrize(
    "event", ["pull_request_target", "workflow_run", "issue_comment", "release", "discussion", ""]
)
def test_events_that_run_a_forks_code_with_a_token_are_refused(repository: Path, event: str) -> None:
    assert ACTION["runs"]["steps"][0]["name"] == REFUSE
    assert "if" not in STEPS[REFUSE]
    done = bash(REFUSE, repository, {}, GITHUB_EVENT_NAME=event, GITHUB_SHA="0" * 40)
    assert (done.returncode, done.stdout.count("\n")) == (4, 1)
    assert done.stdout.startswith(f"::error title=slimgate::the event {event} may run code of a fork")


def committed(folder: Path) -> str:
    """The commit of a new git repository."""
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for arguments in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "-m", "x")):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("event", OWN)
def test_other_code_than_the_events_own_is_refused(repository: Path, event: str) -> None:
    commit = committed(repository)
    assert bash(REFUSE, repository, {}, GITHUB_EVENT_NAME=event, GITHUB_SHA=commit).returncode == 0
    done = bash(REFUSE, repository, {}, GITHUB_EVENT_NAME=event, GITHUB_SHA="0" * 40)
    assert done.returncode == 4
    assert f"::the checked-out commit {commit} is not the commit of this {event}" in done.stdout
    pull = bash(REFUSE, repository, {}, GITHUB_EVENT_NAME="pull_request", GITHUB_SHA="0" * 40)
    assert (pull.returncode, pull.stdout) == (0, "")


def test_no_step_checks_out_code() -> None:
    """What is measured is what the workflow checked out, under the rights that it gave."""
    text = (ROOT / "action.yml").read_text()
    assert not [name for name in ("actions/checkout", "git fetch", "head.ref", "head.sha") if name in text]


def test_what_comes_after_the_gate_runs_whatever_it_says() -> None:
    names = list(STEPS)
    for name in names[names.index("Gate") + 1 :]:
        assert "!cancelled()" in STEPS[name]["if"], name
    assert names[-1] == "Status"


@pytest.mark.parametrize(
    ("suites", "args", "code"),
    [("bench", "", 1), ("bench", "-k test_ok", 0), ("bench/gone", "", 4), ("'bench/my models'", "", 0)],
    ids=["a failing gate", "with arguments", "a suite that is not there", "a folder with a blank"],
)
def test_the_gate_keeps_its_exit_code_for_the_last_step(
    repository: Path, suites: str, args: str, code: int
) -> None:
    done = bash("Gate", repository, {"suites": suites, "args": args})
    assert done.returncode == 0, done.stdout + done.stderr
    assert (repository / "output").read_text() == f"exit-code={code}\n"
    assert bash("Status", repository, {}, exit_code=str(code)).returncode == code


def test_arguments_are_quoted_as_in_a_shell_and_never_run(repository: Path) -> None:
    args = """-k "ok or $(touch hacked)" -q"""
    bash("Gate", repository, {"suites": "bench 'bench/my models'", "args": args})
    arguments = (repository / "reports/latest/arguments.txt").read_text().splitlines()
    assert arguments[:2] == ["bench", "bench/my models"]
    assert arguments[-3:] == ["-k", "ok or $(touch hacked)", "-q"]
    assert not (repository / "hacked").exists()
    assert "--slimgate-store" in arguments


def test_the_report_folder_gets_the_junit_file(repository: Path) -> None:
    bash("Gate", repository, {"report": "out/here"})
    assert 'failures="1"' in (repository / "out/here/junit.xml").read_text()


def test_a_run_without_a_status_fails(repository: Path) -> None:
    assert bash("Status", repository, {}).returncode == 1


def test_the_install_command_fails_the_job_at_its_first_error(repository: Path) -> None:
    assert bash("Install", repository, {"install": "false; true"}).returncode == 1
    assert bash("Install", repository, {"install": "false | true"}).returncode == 1
    done = bash(
        "Install",
        repository,
        {"install": 'echo "$GITHUB_ACTION_PATH" > a && true'},
        GITHUB_ACTION_PATH="/x y",
    )
    assert (done.returncode, (repository / "a").read_text()) == (0, "/x y\n")


def test_the_comment_of_the_run_is_posted_once(repository: Path) -> None:
    gh = FakeGh(repository / "bin")
    bash("Gate", repository, {})
    path = f"{gh.folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for _ in range(2):
        done = bash("Comment", repository, {"token": "t"}, PATH=path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert [comment["body"] for comment in gh.comments] == ["<!-- slimgate:comment -->\n\n**FAIL**\n"]
    assert [method for method, _ in gh.calls] == ["GET", "POST", "GET", "PATCH"]


def test_without_a_report_there_is_a_warning_and_no_comment(repository: Path) -> None:
    done = bash("Comment", repository, {})
    assert (done.returncode, done.stdout.startswith("::warning title=slimgate::")) == (0, True)
