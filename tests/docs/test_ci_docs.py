"""docs/ci.md: its pipelines parse, and name inputs and files that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.doc_blocks import list_blocks
from support.doc_checks import check_shell

from slimgate.cli import compare
from slimgate.cli.main import main
from slimgate.report.files import PR_COMMENT

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ci.md").read_text()
GITHUB, COMPARE, EVERY_SUITE, GITHUB_LOGS, GITLAB, GITLAB_LOGS, GITHUB_SHARDS, GITLAB_SHARDS = (
    yaml.safe_load(block.text) for block in list_blocks("docs/ci.md", "yaml")
)
INPUTS: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]


def test_the_workflow_gives_the_action_inputs_that_it_has() -> None:
    *_, gate = GITHUB["jobs"]["gate"]["steps"]
    assert set(gate["with"]) <= set(INPUTS)
    assert GITHUB["permissions"] == {"contents": "read", "pull-requests": "write"}
    # yaml reads the key `on` as true
    assert "pull_request_target" not in GITHUB[True]
    check_shell(INPUTS["install"]["default"])


def test_the_table_names_every_input_with_its_default() -> None:
    rows = re.findall(
        r"^\| (`[^|]+`) \|([^|]*)\|", PAGE.split("these inputs:")[1].split("The outputs")[0], re.M
    )
    documented = {name: defaults for names, defaults in rows for name in re.findall(r"`([\w-]+)`", names)}
    assert set(documented) == set(INPUTS)
    for name, defaults in documented.items():
        default = str(INPUTS[name]["default"])
        if defaults.strip().startswith("`") and not default.startswith("${{"):
            assert f"`{default}`" in defaults, name


def test_the_step_that_compares_uses_options_that_there_are() -> None:
    (step,) = COMPARE
    assert re.findall(r"--fail-on (\w+)", step["run"]) == [compare.REGRESSED]


def test_the_check_of_every_suite_fails_without_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    rows = ["id,label,prediction", *(f"{row},{row % 2},{row % 2}" for row in range(200))]
    for name in ("base", "same"):
        Path(f"{name}.csv").write_text("\n".join(rows))
    for suite in ("a", "b"):
        report = f"reports/latest/{suite}"
        assert main(["judge", "base.csv", "same.csv", "--drop-points", "5", "--report", report]) == 0
        assert main(["accept", report, "--name", "v1"]) == 0
    (step,) = EVERY_SUITE
    command = ["bash", "-e", "-c", step["run"]]
    assert subprocess.run(command).returncode == 0
    assert Path("summary.md").read_text().count("# v1 → reports/latest/") == 2
    shutil.rmtree("reports/latest/b")
    assert subprocess.run(command).returncode == 4


def test_the_job_that_judges_gets_the_logs_that_its_suite_names() -> None:
    evaluate, gate = (GITHUB_LOGS["jobs"][name]["steps"] for name in ("evaluate", "gate"))
    _, command, uploaded = evaluate
    _, downloaded, action = gate
    assert uploaded["with"] == downloaded["with"]
    assert set(action["with"]) <= set(INPUTS)
    (suite,) = list_blocks("docs/ci.md", "toml")
    logs = tomllib.loads(suite.text)["logs"]
    models = re.findall(r"for model in (.*?);", command["run"])[0].split()
    assert [logs["base"], *logs["targets"].values()] == [f"../logs/{model}" for model in models]


def test_the_gitlab_job_posts_the_comment_and_keeps_the_results() -> None:
    job = GITLAB["gate"]
    assert f"body@reports/latest/{PR_COMMENT}" in job["after_script"][0]
    assert job["artifacts"]["reports"]["junit"] in job["script"][-1]


def test_the_gitlab_job_for_logs_gives_options_that_there_are(pytestconfig: pytest.Config) -> None:
    script = "\n".join(GITLAB_LOGS["log-gate"]["script"])
    for option in re.findall(r"--(slimgate[\w-]+)", script):
        pytestconfig.getoption(option.replace("-", "_"))
    assert re.findall(r"--fail-on (\w+)", script) == [compare.REGRESSED]
    assert GITLAB_LOGS["log-gate"]["artifacts"]["reports"]["junit"] in script
    check_shell(script)


def test_the_matrix_has_every_shard_that_its_command_counts() -> None:
    jobs = GITHUB_SHARDS["jobs"]
    runs = [step["run"] for step in jobs["shard"]["steps"] if "run" in step]
    of = re.findall(r"--slimgate-shard \$\{\{ matrix\.shard \}\}/(\d+)", "\n".join(runs))
    assert jobs["shard"]["strategy"]["matrix"]["shard"] == list(range(1, int(of[0]) + 1))
    assert (jobs["shard"]["needs"], jobs["merge"]["needs"]) == ("teacher", "shard")
