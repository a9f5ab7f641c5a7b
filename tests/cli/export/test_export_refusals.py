"""`slimgate export`: models and folders that it refuses, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.exported_models import Run, apply_steps, make_classifier, store_model

from fixtures.models.kept_models import StoredRun
from slimgate._system import requirements
from slimgate.plugins.context import BuildContext
from slimgate.store.store import Artifact

pytestmark = pytest.mark.slow


@pytest.fixture
def no_onnxscript(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = requirements.read_versions

    def find_versions(packages: Iterable[str]) -> dict[str, str | None]:
        return {**installed(packages), **({"onnxscript": None} if "onnxscript" in packages else {})}

    monkeypatch.setattr(requirements, "read_versions", find_versions)


@pytest.mark.usefixtures("no_onnxscript")
@pytest.mark.parametrize("step", ["int8_dynamic", "weight_only"])
def test_a_missing_package_is_reported_before_the_model_loads(
    tmp_path: Path, context: BuildContext, export: Run, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run = store_model(tmp_path, apply_steps(make_classifier(tmp_path, context), context, step), context)
    loaded: list[str] = []
    monkeypatch.setattr(Artifact, "load", lambda self, *_: loaded.append(self.kind))

    code, _, err = export(run)

    needs = 'writing small as onnx needs the package onnxscript: pip install "slimgate[onnx]"'
    assert (code, err, loaded) == (4, f"slimgate export: {needs}\n", [])
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_onnxscript")
def test_a_network_whose_layers_need_slimgate_is_refused_too(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    pooled = store_model(tmp_path, make_classifier(tmp_path, context, pooling="mean"), context)
    code, _, err = export(pooled)
    assert (code, "small: writing it as onnx needs the package onnxscript" in err) == (4, True)
    assert export(pooled, "--format", "openvino")[0] == 0


@pytest.mark.parametrize(
    ("step", "options", "why"),
    [
        ("gptq", {"activations": "int8"}, "compute in integers, which cannot be exported"),
        (
            "weight_only",
            {"embeddings": 4},
            "have fewer than 8 bits, which cannot be exported; set embeddings",
        ),
    ],
    ids=["integers", "embeddings"],
)
def test_few_bits_that_no_graph_repeats_are_refused(
    tmp_path: Path, context: BuildContext, export: Run, step: str, options: dict[str, Any], why: str
) -> None:
    model = apply_steps(make_classifier(tmp_path, context), context, step, group_size=16, **options)
    code, _, err = export(store_model(tmp_path, model, context))
    assert (code, why in err) == (4, True)


def test_a_folder_with_files_is_refused_without_force(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    run = store_model(tmp_path, apply_steps(make_classifier(tmp_path, context), context), context)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()

    code, _, err = export(run)

    assert (code, err) == (
        4,
        f"slimgate export: {tmp_path / 'out'}: the folder is not empty; name another folder, or replace "
        f"this folder with --force\n",
    )
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine"]


def test_force_replaces_an_export_and_nothing_else(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    run, out = store_model(tmp_path, make_classifier(tmp_path, context), context), tmp_path / "out"
    assert export(run)[0] == 0
    (out / "old").touch()
    assert export(run, "--force")[0] == 0
    assert not (out / "old").exists()

    (out / ".git").mkdir()
    assert export(run, "--force")[0] == 4
    assert (out / ".git").is_dir()
    (out / ".git").rmdir()
    (out / "README.md").write_text("# mine\n\n- slimgate\n")
    code, _, err = export(run, "--force")
    assert (code, err.count("\n"), "is not an export, and --force replaces only exports" in err) == (
        4,
        1,
        True,
    )
    assert (out / "README.md").read_text() == "# mine\n\n- slimgate\n"


def test_what_fails_half_way_leaves_the_old_folder_whole(
    tmp_path: Path, context: BuildContext, export: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store_model(tmp_path, apply_steps(make_classifier(tmp_path, context), context), context)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("---\ntags:\n- slimgate\n---\n")

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slimgate.cli.export.folder.make_snippet", full)
    code, _, err = export(run, "--force")

    writing, problem = err.splitlines()
    assert (code, writing) == (4, "slimgate export: writing small")
    assert "No space left on device" in problem
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["README.md"]
    assert not list(tmp_path.glob(".out*"))


def test_a_missing_artifact_names_the_command_that_builds_it(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    run = store_model(tmp_path, make_classifier(tmp_path, context), context)
    code, _, err = export(StoredRun(run.record, tmp_path / "other"))

    assert (code, err.count("\n")) == (4, 1)
    assert "pytest 'bench/films.toml::test_size[small]' --slimgate-store" in err
    assert not (tmp_path / "other").exists(), "a store is only read"


def test_unknown_and_unbuilt_variants_are_one_line(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    run = store_model(tmp_path, make_classifier(tmp_path, context), context)
    assert export(run, name="smal")[2].endswith('no variant "smal". Did you mean small?\n')
    assert "teacher was not built in this run" in export(run, name="teacher")[2]


def test_a_record_without_task_options_needs_its_suite(
    tmp_path: Path, context: BuildContext, export: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store_model(tmp_path, make_classifier(tmp_path, context), context)
    file = run.record / "run.json"
    content = json.loads(file.read_text())
    content["task"]["params"] = None
    file.write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)

    code, _, err = export(run)

    assert (code, "bench/films.toml is missing" in err) == (4, True)
