"""slimgate.run.portability and its command: the answers of a model where instructions are missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.tiny_suite import tiny_run

from slimgate._system.processor import cpu_instructions
from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.outcomes import ClassOutcomes
from slimgate.run.portability import Setting, answers_under, settings_of

PRUNED = "pruned = { steps"
TORCHAO = {PRUNED: 'ao = { steps = [{ torchao_quantize = { config = "int8_dynamic" } }] }\npruned = { steps'}
ONNX = {
    PRUNED: "onnx = { steps = [{ to_onnx = {} }, { onnx_int8_dynamic = {} }] }\npruned = { steps",
    "calibration = 0": "calibration = 16",
    "[measure]": "[budgets]\naccuracy = { drop_points = 20.0 }\n[measure]",
}
needs_vnni = pytest.mark.skipif(
    "avx512_vnni" not in cpu_instructions(), reason="the processor has no instructions to leave out"
)


def probabilities(outcomes: object) -> np.ndarray:
    assert isinstance(outcomes, ClassOutcomes)
    assert outcomes.probabilities is not None
    return outcomes.probabilities


@pytest.mark.parametrize(
    ("instructions", "levels"),
    [
        (["amx_int8", "avx2", "avx512_vnni", "avx512f"], ["AVX512_CORE_VNNI", "AVX512_CORE", "AVX2"]),
        (["avx2", "avx512_vnni", "avx512f"], ["AVX512_CORE", "AVX2"]),
        (["avx2", "avx_vnni"], ["AVX2"]),
    ],
)
def test_each_level_below_the_processor_is_asked(
    tmp_path: Path, instructions: list[str], levels: list[str]
) -> None:
    found = settings_of(tiny_run(tmp_path), "pruned", instructions)
    assert [(one.name, dict(one.environment)) for one in found] == [
        (level, {"ONEDNN_MAX_CPU_ISA": level}) for level in levels
    ]


def test_a_processor_without_more_instructions_than_the_least_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no instructions that could be left out \(avx2 fma\)"):
        settings_of(tiny_run(tmp_path), "pruned", ["avx2", "fma"])


@needs_vnni
def test_int8_answers_of_torchao_change_without_vnni_and_float_answers_by_rounding(tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    run = tiny_run(tmp_path, **TORCHAO)
    without = Setting("AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    apart = {
        name: np.abs(probabilities(run.outcomes(name)) - probabilities(answers_under(run, name, without)))
        for name in ("ao", "pruned")
    }
    assert apart["pruned"].max() < 1e-5
    assert apart["ao"].max() > 1e-3


def test_a_model_of_onnx_runtime_is_built_again_with_narrow_weights(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, **ONNX)
    (setting,) = settings_of(run, "onnx")
    assert (setting.name, setting.reduced) == ("reduce_range = true", True)
    narrow = probabilities(answers_under(run, "onnx", setting))
    assert not np.array_equal(narrow, probabilities(run.outcomes("onnx")))
    asked = {**ONNX, PRUNED: ONNX[PRUNED].replace("dynamic = {}", "dynamic = { reduce_range = true }")}
    again = tiny_run(tmp_path, **asked)
    assert np.array_equal(narrow, probabilities(again.outcomes("onnx")))
    with pytest.raises(DataError, match="no step of onnx has reduce_range = false"):
        settings_of(again, "onnx")


def test_the_command_judges_the_other_answers_by_the_budgets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run(tmp_path, **ONNX)
    code = main(["portability", str(run.suite.path), "onnx", "--store", str(tmp_path / "store")])
    head, changes, *judged = capsys.readouterr().out.splitlines()
    assert "onnx, 60 gate rows, " in head
    assert changes.startswith("reduce_range = true: ")
    assert "answers change" in changes
    assert [line.split(":")[0].strip() for line in judged] == ["onnx"] * len(
        run.suite.budgets["onnx"].quality
    )
    assert code == (0 if all(line.endswith("PASS") for line in judged) else 1)


def test_a_name_that_is_no_variant_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny_run(tmp_path)
    assert main(["portability", str(run.suite.path), "prunde"]) == 4
    assert '"prunde" is no variant. Did you mean pruned?' in capsys.readouterr().err
