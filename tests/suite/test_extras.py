"""A step or runtime whose package is not installed ends the run before anything is built."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from slimgate._system import requirements
from slimgate.errors import SuiteError
from slimgate.suite.reader import load_suite

OPENVINO = "[variants.ov]\nsteps = [{ to_openvino = {} }]\n[budgets]"


@pytest.fixture
def no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = requirements.read_versions

    def find_versions(packages: Iterable[str]) -> dict[str, str | None]:
        return {**installed(packages), **({"openvino": None} if "openvino" in packages else {})}

    monkeypatch.setattr(requirements, "read_versions", find_versions)


@pytest.mark.usefixtures("no_openvino")
def test_a_step_names_the_extra_of_its_package(bench: Path, suite_text: str) -> None:
    file = bench / "x.toml"
    file.write_text(suite_text.replace("[budgets]", OPENVINO, 1))
    with pytest.raises(SuiteError) as caught:
        load_suite(file, "bench/x.toml")
    assert str(caught.value) == (
        "bench/x.toml [variants.ov] steps[0].to_openvino: to_openvino needs the package openvino: "
        'pip install "slimgate[openvino]"'
    )
    assert load_suite(file, check_data=False).variants["ov"].steps[0].name == "to_openvino"


@pytest.mark.usefixtures("no_openvino")
def test_the_runtime_of_a_ready_made_graph_names_its_extra(bench: Path, suite_text: str) -> None:
    folder = bench.parent / "exported"
    folder.mkdir()
    (folder / "config.json").write_text((bench.parent / "model/config.json").read_text())
    for name in ("tokenizer.json", "model.xml", "model.bin"):
        (folder / name).touch()
    file = bench / "x.toml"
    file.write_text(suite_text.replace("[budgets]", '[variants.ov]\nmodel = "../exported"\n[budgets]', 1))
    with pytest.raises(SuiteError, match=r"runtime openvino needs the package openvino: pip install"):
        load_suite(file)


def test_the_smallest_extra_is_named() -> None:
    extras = {
        name: requirements.find_extras()[name] for name in ("onnxruntime", "nncf", "gguf", "rouge-score")
    }
    assert extras == {"onnxruntime": "onnx", "nncf": "openvino", "gguf": "llm", "rouge-score": "answers"}


def test_a_version_below_what_a_step_needs_is_one_line(
    bench: Path, suite_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = requirements.read_versions
    monkeypatch.setattr(
        requirements,
        "read_versions",
        lambda packages: {
            **installed(packages),
            **({"transformers": "5.17.2"} if "transformers" in packages else {}),
        },
    )
    file = bench / "x.toml"
    file.write_text(
        suite_text.replace("[budgets]", "[variants.q8]\nsteps = [{ to_gguf = {} }]\n[budgets]", 1)
    )
    problem = (
        r"steps\[0\]\.to_gguf: to_gguf needs transformers>=5\.18, and transformers 5\.17\.2 is "
        r'installed: pip install "transformers>=5\.18"'
    )
    with pytest.raises(SuiteError, match=problem):
        load_suite(file, "bench/x.toml")


def test_without_the_extra_models_a_suite_of_models_is_refused(
    bench: Path, suite_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = requirements.is_installed
    monkeypatch.setattr(requirements, "is_installed", lambda name: name != "torch" and installed(name))
    (bench / "x.toml").write_text(suite_text)
    with pytest.raises(SuiteError) as caught:
        load_suite(bench / "x.toml", "bench/x.toml")
    assert str(caught.value) == (
        'bench/x.toml: a suite of models needs torch: pip install "slimgate[models]"'
    )
    assert load_suite(bench / "x.toml", check_data=False).teacher is not None


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        ("torch.nn", 'x needs the package torch: pip install "slimgate[models]"'),
        ("sklearn.linear_model", 'x needs the package scikit-learn: pip install "slimgate[models]"'),
        ("lm_eval", 'x needs the package lm-eval: pip install "slimgate[lm-eval]"'),
        ("no_such_package", None),
    ],
)
def test_a_module_names_its_package_and_extra(module: str, missing: str | None) -> None:
    assert requirements.describe_missing_module("x", module) == missing
