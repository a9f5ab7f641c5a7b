"""The files of a published project: metadata, workflows, issue forms, the hook, the image, the recipe."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from support.doc_checks import check_shell, list_scripts

import slimgate
from slimgate.cli.main import main

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/slimgate/slimgate"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """With `on` as a key, which YAML reads as true."""
    content: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)
    return content


def steps_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


# pyproject.toml, CITATION.cff


def test_the_package_says_where_it_comes_from_and_has_its_types() -> None:
    project = PYPROJECT["project"]
    assert set(project["urls"]) == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert project["urls"]["Source"] == REPOSITORY
    site = read_yaml_site()
    assert project["urls"]["Documentation"] == site
    assert "Typing :: Typed" in project["classifiers"]
    assert (ROOT / "slimgate/py.typed").read_bytes() == b""


def read_yaml_site() -> str:
    [address] = re.findall(r"^site_url: (\S+)", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    return address


def test_classifiers_name_pythons_that_the_tests_run_with() -> None:
    named = {
        line.rsplit(" ", 1)[1]
        for line in PYPROJECT["project"]["classifiers"]
        if re.search(r":: 3\.\d+$", line)
    }
    assert named <= set(
        read_yaml(ROOT / ".github/workflows/tests.yml")["jobs"]["tox"]["strategy"]["matrix"]["python"]
    )
    assert all(version in SpecifierSet(PYPROJECT["project"]["requires-python"]) for version in named)


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("CITATION.cff", r"^version: (.+)$"),
        ("packaging/conda-forge/recipe.yaml", r"^  version: (\d.*)$"),
        ("docs/ci.md", r"uses: slimgate/slimgate@v(\S+)"),
        ("docs/write_a_suite.md", r"rev: v(\S+)"),
    ],
)
def test_a_file_that_names_the_version_names_this_one(file: str, pattern: str) -> None:
    versions = re.findall(pattern, (ROOT / file).read_text("utf-8"), re.MULTILINE)
    assert set(versions) == {slimgate.__version__}


def test_the_citation_has_what_the_format_requires() -> None:
    citation = read_yaml(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert citation["repository-code"] == REPOSITORY


# .github


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_few_rights_and_an_end(path: Path) -> None:
    workflow = read_yaml(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "group" in workflow["concurrency"]
    assert "pull_request_target" not in workflow["on"]
    for name, job in workflow["jobs"].items():
        assert "uses" in job or int(job["timeout-minutes"]) <= 360, name


def test_only_the_jobs_that_publish_may_write() -> None:
    writing = {
        f"{path.stem}.{name}": {right for right, level in job["permissions"].items() if level == "write"}
        for path in WORKFLOWS
        for name, job in read_yaml(path)["jobs"].items()
        if "permissions" in job
    }
    assert writing == {
        "docs.deploy": {"pages", "id-token"},
        "release.attest": {"id-token", "attestations"},
        "release.publish": {"id-token"},
        "release.github": {"contents"},
    }
    # code of the repository and of packages never runs beside these rights
    for path in WORKFLOWS:
        for name, job in read_yaml(path)["jobs"].items():
            if f"{path.stem}.{name}" in writing:
                uses = [step.get("uses", "") for step in job["steps"]]
                assert not any(action.startswith(("actions/checkout", "actions/setup")) for action in uses)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_have_a_version_and_scripts_no_expression(path: Path) -> None:
    workflow = read_yaml(path)
    for step in steps_of(workflow):
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+|pypa/gh-action-pypi-publish@release/v1", step["uses"])
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] == "false"
        assert "${{" not in step.get("run", "")
    for script in list_scripts(workflow):
        check_shell(script)


def test_workflows_run_environments_of_tox_that_there_are() -> None:
    declared = re.findall(r"^\[testenv:([\w-]+)\]", (ROOT / "tox.ini").read_text("utf-8"), re.MULTILINE)
    known = {*declared, "tests"}
    run: set[str] = set()
    for path in WORKFLOWS:
        workflow = read_yaml(path)
        for job in workflow["jobs"].values():
            run |= set(job.get("strategy", {}).get("matrix", {}).get("environment", []))
        for script in list_scripts(workflow):
            run |= set(re.findall(r"tox run -e ([\w-]+)", script))
    assert run <= known
    assert {"tests", "wheel", "types", "lint", "docs", "sbom"} <= run


RELEASE = read_yaml(ROOT / ".github/workflows/release.yml")
[TAG_CHECK] = [step["run"] for step in steps_of(RELEASE) if step.get("name", "").startswith("Check the tag")]
CHANGES = "# Changelog\n\n## 0.2.0 (2027-01-05)\n\n### Added\n\n- New.\n\n## 0.1.0 (2026-12-01)\n\n- Old.\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "error"),
    [
        ("v0.2.0", CHANGES, ""),
        ("v0.2.1", CHANGES, "::error::the tag is v0.2.1 and the version is 0.2.0\n"),
        ("v0.2.0", "# Changelog\n", "::error::CHANGELOG.md has no section 0.2.0; run towncrier build\n"),
        (
            "v0.2.0",
            CHANGES.replace("2027-01-05", "unreleased"),
            "::error::the section 0.2.0 of CHANGELOG.md has no date\n",
        ),
    ],
    ids=["right", "another version", "no notes", "no date"],
)
def test_a_release_has_the_tag_of_its_version_and_its_notes(
    tmp_path: Path, tag: str, changelog: str, error: str
) -> None:
    (tmp_path / "slimgate").mkdir()
    (tmp_path / "slimgate/__init__.py").write_text('"""x"""\n__version__ = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", TAG_CHECK],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "GITHUB_REF_NAME": tag},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1 if error else 0, error)
    if not error:
        notes = (tmp_path / "release/notes.md").read_text()
        assert notes == "## 0.2.0 (2027-01-05)\n\n### Added\n\n- New.\n\n"


def test_a_release_is_tested_and_attested_before_it_is_published() -> None:
    jobs = RELEASE["jobs"]
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert "workflow_call" in read_yaml(ROOT / ".github/workflows/tests.yml")["on"]
    assert set(jobs["attest"]["needs"]) == {"tests", "build"}
    assert (jobs["publish"]["needs"], jobs["github"]["needs"]) == ("attest", "publish")
    assert "password" not in (ROOT / ".github/workflows/release.yml").read_text().split("jobs:")[1]


QUESTIONS = {
    "bug": {"version", "command", "record", "suite"},
    "wrong_verdict": {"version", "command", "record", "suite", "verdict"},
    "feature": {"decision"},
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_issue_form_asks_for_what_a_reader_needs(name: str) -> None:
    form = read_yaml(ROOT / f".github/ISSUE_TEMPLATE/{name}.yml")
    assert {"name", "description", "body"} <= set(form)
    fields = {field["id"]: field for field in form["body"] if field["type"] != "markdown"}
    assert set(fields) >= QUESTIONS[name]
    assert {field["type"] for field in fields.values()} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields.values())
    if "record" in fields:
        assert "run.json" in fields["record"]["attributes"]["label"]
        assert fields["version"]["attributes"]["label"] == "slimgate --version"


def test_there_is_no_form_without_a_test() -> None:
    assert {path.stem for path in FORMS} == {*QUESTIONS, "config"}
    assert "run.json" in (ROOT / ".github/pull_request_template.md").read_text("utf-8")


def test_dependabot_looks_where_there_are_versions() -> None:
    updates = read_yaml(ROOT / ".github/dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip", "docker"}
    assert {update["directory"] for update in updates} == {"/"}


# .pre-commit-hooks.yaml, Dockerfile, the recipe


def test_the_hook_runs_and_its_pattern_matches_suites(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(hook["entry"])
    assert (hook["id"], hook["language"], program) == ("slimgate-check", "python", "slimgate")
    assert main([*arguments, *hook["args"]]) == 0
    assert "no mistake found" in capsys.readouterr().out
    assert hook["pass_filenames"] is False
    assert all(re.search(hook["files"], f"bench/{path.name}") for path in (ROOT / "bench").glob("*.toml"))
    assert re.search(hook["files"], "pyproject.toml") is None


def test_the_image_has_the_docs_targets_and_an_unprivileged_user() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    by_name = {stage.split("\n")[0].rsplit(" AS ", 1)[1]: stage for stage in stages}
    docs = (ROOT / "docs/ci.md").read_text("utf-8")
    targets = set(re.findall(r"--target (\w+)", docs))
    assert targets == {"light", "models"}
    for target in targets:
        assert by_name[target].rstrip().endswith("USER slimgate")
    assert "torch" not in by_name["light"]
    assert "https://download.pytorch.org/whl/cpu" in by_name["models"]


def test_the_image_gets_all_that_the_wheel_is_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert lines[1] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    license_files = PYPROJECT["project"]["license-files"]
    fragments = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["fragments"]
    assert sent == {
        "pyproject.toml",
        "constraints.txt",
        *license_files,
        *(fragment["path"] for fragment in fragments),
        *PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
    }
    assert all((ROOT / name).exists() for name in sent)


# A package of the package index -> its name on conda-forge, where it differs.
CONDA_NAMES = {"torch": "pytorch"}
RECIPE = read_yaml(ROOT / "packaging/conda-forge/recipe.yaml")


def to_conda(requirement: str) -> tuple[str, frozenset[str]]:
    """Name and limits of a requirement, in conda-forge's name."""
    parsed = Requirement(requirement)
    return CONDA_NAMES.get(parsed.name, parsed.name), frozenset(map(str, parsed.specifier))


def of_recipe(requirement: str) -> tuple[str, frozenset[str]]:
    """Name and limits of a line of the recipe."""
    name, _, limits = requirement.partition(" ")
    return name, frozenset(map(str, SpecifierSet(limits)))


def test_the_recipe_requires_what_the_package_requires() -> None:
    run = [line for line in RECIPE["requirements"]["run"] if not line.startswith("python ")]
    assert dict(map(of_recipe, run)) == dict(map(to_conda, PYPROJECT["project"]["dependencies"]))
    host = [line for line in RECIPE["requirements"]["host"] if not line.startswith(("python ", "pip"))]
    assert dict(map(of_recipe, host)) == dict(map(to_conda, PYPROJECT["build-system"]["requires"]))


def test_the_recipe_has_the_python_commands_and_license() -> None:
    project = PYPROJECT["project"]
    assert project["requires-python"] == f">={RECIPE['context']['python_min']}"
    scripts_ = [f"{name} = {function}" for name, function in project["scripts"].items()]
    assert RECIPE["build"]["python"]["entry_points"] == scripts_
    assert RECIPE["about"]["license"] == project["license"]
    assert RECIPE["about"]["summary"] in project["description"]


@pytest.mark.parametrize("file", ["tox.ini", "pyproject.toml", ".ci/run", ".ci/samples", ".ci/wheel_tests"])
def test_the_tests_that_a_file_names_exist(file: str) -> None:
    named = set(re.findall(r"\btests/[\w/]+(?:\.py)?", (ROOT / file).read_text("utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
