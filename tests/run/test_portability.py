"""slimgate.run.portability and its command: the answers of a model where instructions are missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from slimgate._system.processor import list_cpu_instructions
from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.outcomes import ClassOutcomes
from slimgate.plugins.loading import load
from slimgate.run.portability import Setting, list_settings, predict_under

PRUNED = "pruned = { steps"
TORCHAO = {PRUNED: 'ao = { steps = [{ torchao_quantize = { config = "int8_dynamic" } }] }\npruned = { steps'}
# Without VNNI the answers of so small a model lie further apart than the default tolerance.
INT8 = "onnx_int8_dynamic = { tolerance = 2.0 }"
ONNX = {
    PRUNED: f"onnx = {{ steps = [{{ to_onnx = {{}} }}, {{ {INT8} }}] }}\npruned = {{ steps",
    "calibration = 0": "calibration = 16",
}
needs_vnni = pytest.mark.skipif(
    "avx512_vnni" not in list_cpu_instructions(), reason="the processor has no instructions to leave out"
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for suites of equal models, so that its store has each of them once."""
    return tmp_path_factory.mktemp("shared")


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
    settings = list_settings(make_tiny_run(tmp_path), "pruned", instructions)
    assert [setting.environment for setting in settings] == [
        {"ONEDNN_MAX_CPU_ISA": level} for level in levels
    ]
    assert all(level in setting.name for setting, level in zip(settings, levels, strict=True))


def test_a_processor_with_the_least_instructions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no instructions that could be left out \(avx2 fma\)"):
        list_settings(make_tiny_run(tmp_path), "pruned", ["avx2", "fma"])


def test_a_cascade_is_checked_by_its_models(tmp_path: Path) -> None:
    cascade = 'fast = { cascade = { models = ["pruned", "teacher"], threshold = 0.5 } }\n'
    run = make_tiny_run(tmp_path, **{"[measure]": f"{cascade}[measure]"})
    with pytest.raises(DataError, match=r"runtime cascade cannot .* check each model of the cascade"):
        list_settings(run, "fast", ["avx2", "avx512_vnni", "avx512f"])


@pytest.mark.parametrize(
    ("name", "obeys"),
    [
        *((name, True) for name in ("eager", "compiled", "aoti", "openvino", "openvino_decoder")),
        *((name, False) for name in ("llama_cpp", "ctranslate2", "onnxruntime_genai", "endpoint")),
    ],
)
def test_only_models_that_onednn_computes_get_its_switch(name: str, obeys: bool) -> None:
    assert load("runtime", name).obeys_onednn is obeys


@needs_vnni
def test_int8_of_torchao_changes_without_vnni_floats_by_rounding(tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    run = make_tiny_run(tmp_path, **TORCHAO)
    without = Setting("AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    apart = {
        name: np.abs(
            probabilities(run.measure_outcomes(name)) - probabilities(predict_under(run, name, without))
        )
        for name in ("ao", "pruned")
    }
    assert apart["pruned"].max() < 1e-5
    assert apart["ao"].max() > 1e-3


def test_an_onnx_runtime_model_is_built_with_narrow_weights(shared: Path) -> None:
    run = make_tiny_run(shared, **ONNX)
    (setting,) = list_settings(run, "onnx")
    assert (setting.name, setting.reduced) == ("built again with reduce_range = true", True)
    narrow = probabilities(predict_under(run, "onnx", setting))
    assert not np.array_equal(narrow, probabilities(run.measure_outcomes("onnx")))
    changes = {
        **ONNX,
        PRUNED: ONNX[PRUNED].replace("tolerance = 2.0", "tolerance = 2.0, reduce_range = true"),
    }
    again = make_tiny_run(shared, **changes)
    assert np.array_equal(narrow, probabilities(again.measure_outcomes("onnx")))
    with pytest.raises(DataError, match="no step of onnx has reduce_range = false"):
        list_settings(again, "onnx")


NOTHING = "onnx has no budget on its answers that can be judged here, so nothing is judged"


def ask(folder: Path, capsys: pytest.CaptureFixture[str], budgets: str) -> tuple[int, list[str]]:
    """Exit code and printed lines of the command on the model of ONNX Runtime."""
    seeds = {"threads = 1": "threads = 1\nseeds = [0, 1]"} if "builds" in budgets else {}
    run = make_tiny_run(folder, **{**ONNX, **seeds, "[measure]": f"{budgets}\n[measure]"})
    code = main(["portability", str(run.suite.path), "onnx", "--store", str(folder / "store")])
    return code, capsys.readouterr().out.splitlines()


def test_the_command_judges_both_answers_by_the_budgets(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budgets = "[budgets]\naccuracy = { drop_points = 60.0 }\nflips = { flips_max_percent = 60.0 }"
    code, (head, _, processor, *lines, _, setting, changed, between, accuracy, flips, _, end) = ask(
        shared, capsys, budgets
    )
    assert "onnx, 60 gate rows" in head
    assert processor.startswith("This processor: ")
    assert setting == "built again with reduce_range = true"
    assert "answers differ from this processor's" in changed
    assert between.startswith("  from this processor: ")
    assert between.endswith("budget 60 % (n=60 in 15 groups): PASS")
    assert accuracy.startswith("  onnx: accuracy ")
    assert flips.startswith("  onnx: ")
    assert [line.split("]")[1] for line in lines] == [line.split("]")[1] for line in (accuracy, flips)]
    assert end == "onnx: all judged budgets hold under each setting"
    assert code == 0


def test_the_command_names_settings_where_a_budget_fails(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = ask(shared, capsys, "[budgets]\naccuracy = { floor = 0.999 }")
    message, _, settings = lines[-1].rpartition(": ")
    assert message == "onnx: a budget does not hold, or is not decided"
    assert settings == "this processor; built again with reduce_range = true"
    assert code == 1


def test_the_command_says_that_no_budget_means_nothing_is_judged(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = ask(shared, capsys, "")
    assert lines[-1] == NOTHING
    assert code == 1


def test_a_budget_over_builds_is_left_out_and_said_to_be(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budgets = '[budgets]\naccuracy = { drop_points = 1.0, over = "builds" }'
    code, lines = ask(shared, capsys, budgets)
    assert lines[1] == 'not judged here: accuracy, because over = "builds" needs several builds'
    assert not any("all builds are equal" in line for line in lines)
    assert lines[-1] == NOTHING
    assert code == 1


def test_what_the_command_cannot_judge_is_named(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budgets = """[budgets]
family = "holm"
accuracy = { drop_points = 60.0 }
baseline = { f1_macro = { drop_points = 5.0 } }"""
    code, lines = ask(shared, capsys, budgets)
    assert lines[1:3] == [
        "not judged here: baseline f1_macro, because no baseline is read",
        "each budget is judged alone, without the correction over variants of [budgets] family",
    ]
    assert lines[-1] == "onnx: all judged budgets hold under each setting"
    assert code == 0


def test_a_name_that_is_no_variant_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_tiny_run(tmp_path)
    assert main(["portability", str(run.suite.path), "prunde"]) == 4
    assert '"prunde" is not a variant. Did you mean pruned?' in capsys.readouterr().err
