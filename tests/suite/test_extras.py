"""A step or runtime whose package is not installed ends the run before anything is built."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.suite import extras
from slimgate.suite.load import load_suite

OPENVINO = "[variants.ov]\nsteps = [{ to_openvino = {} }]\n[budgets]"


@pytest.fixture
def no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = extras.versions

    def found(packages: Iterable[str]) -> dict[str, str | None]:
        return {**installed(packages), **({"openvino": None} if "openvino" in packages else {})}

    monkeypatch.setattr(extras, "versions", found)


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
def test_so_does_the_runtime_of_a_ready_made_graph(bench: Path, suite_text: str) -> None:
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
    found = {name: extras.find_extras()[name] for name in ("onnxruntime", "nncf", "gguf", "rouge-score")}
    assert found == {"onnxruntime": "onnx", "nncf": "openvino", "gguf": "llm", "rouge-score": "answers"}
