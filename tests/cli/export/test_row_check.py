"""The written folder answers the gate rows as the model that was judged, or is not kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.tiny_suite import make_tiny_run

from slimgate.cli.export.forms import Written, write_form
from slimgate.cli.export.row_check import OtherAnswers, check_rows, require_same_answers
from slimgate.cli.export.stored import GateRows, describe_runtime, read_judged_runtime, set_judged_options
from slimgate.outcomes import Outcomes
from slimgate.run.run import SuiteRun
from slimgate.suite.named_plugin import SuiteRuntime

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    pruned = "pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }"
    graph = 'graph = { from = "shorter", steps = [{ to_openvino = {} }] }'
    ruined = "ruined = { steps = [{ magnitude_prune = { sparsity = 0.98 } }] }"
    block = "block = { steps = [{ keep_layers = [0] }] }"  # which takes half of the time to compile
    return make_tiny_run(
        tmp_path_factory.mktemp("suite"),
        **{pruned: f"{ruined}\n{graph}\n{block}", "calibration = 0": "calibration = 8"},
    )


def ranked(values: npt.NDArray[np.float64]) -> Outcomes:
    ids = np.array([str(number) for number in range(len(values))])
    return Outcomes(ids, values={"reciprocal_rank": values})


def scored(values: npt.NDArray[np.float64]) -> Outcomes:
    return Outcomes(np.arange(len(values)).astype(str), values={"score": values})


@pytest.mark.parametrize(
    ("changed", "own_changed", "tolerance", "allowed"),
    [(1, 0, 0.01, True), (2, 0, 0.01, False), (2, 1, 0.01, True), (5, 0, 0.5, True), (6, 0, 0.5, False)],
    ids=["0.2 %", "more", "more with own changes", "1 % of integers", "more of integers"],
)
def test_a_share_of_answers_that_are_no_classes_may_differ(
    changed: int, own_changed: int, tolerance: float, allowed: bool
) -> None:
    ranks = 1 / np.random.default_rng(0).integers(1, 4, 500)
    first = np.flatnonzero(ranks == 1)

    def moved(count: int) -> Outcomes:
        values = ranks.copy()
        values[first[:count]] = 0.5
        return ranked(values)

    arguments = (ranked(ranks), moved(own_changed), moved(changed))
    if allowed:
        assert require_same_answers(*arguments, tolerance=tolerance).changed == changed
    else:
        with pytest.raises(OtherAnswers, match=f"500 gate rows: {changed} answers differ"):
            require_same_answers(*arguments, tolerance=tolerance)


def test_the_limit_of_a_value_is_that_of_its_column() -> None:
    rng = np.random.default_rng(0)
    ids = np.arange(500).astype(str)
    rank, ndcg = rng.integers(1, 5000, 500).astype(float), rng.random(500)
    judged = Outcomes(ids, values={"rank": rank, "ndcg": ndcg})
    exported = Outcomes(ids, values={"rank": rank, "ndcg": ndcg + 0.3})
    with pytest.raises(OtherAnswers, match="500 answers differ"):
        require_same_answers(judged, judged, exported, tolerance=0.01)


def test_one_extreme_row_does_not_hide_the_others() -> None:
    rng = np.random.default_rng(0)
    scores = np.append(rng.normal(size=499), 1e5)
    turned = np.append(-scores[:-1], 1e5)
    with pytest.raises(OtherAnswers, match="answers differ"):
        require_same_answers(scored(scores), scored(scores), scored(turned), tolerance=0.01)


def test_one_extreme_row_beside_equal_ones_hides_nothing() -> None:
    scores = np.append(np.zeros(400), [*np.linspace(1.0, 5.0, 99), 1e6])
    exported = scores + np.linspace(1.0, 5.0, 500)
    with pytest.raises(OtherAnswers, match="answers differ"):
        require_same_answers(scored(scores), scored(scores), scored(exported), tolerance=0.01)


def test_a_value_with_two_peaks_has_the_limit_of_its_deviation() -> None:
    rng = np.random.default_rng(0)
    scores = np.append(rng.normal(0.0, 1e-3, 400), rng.normal(1.0, 1e-3, 100))
    exported = scores + rng.normal(0.0, 0.01, 500)
    assert require_same_answers(scored(scores), scored(scores), scored(exported), tolerance=0.5).changed == 0


def test_rounding_of_equal_answers_is_no_difference() -> None:
    scores = np.ones(500)
    arguments = scored(scores), scored(scores), scored(scores + 1e-7)
    assert require_same_answers(*arguments, tolerance=0.01).changed == 0
    with pytest.raises(OtherAnswers, match="500 answers differ"):
        require_same_answers(scored(scores), scored(scores + 1e-7), scored(scores + 1e-3), tolerance=0.01)


def runtime_with(name: str, **options: object) -> SuiteRuntime:
    judged = read_judged_runtime(name, options)
    assert not isinstance(judged, str)
    return judged


EAGER = runtime_with("eager", cache="dynamic")


def written_as(run: SuiteRun, name: str, form: str | None, folder: Path) -> Written:
    """What the export of a model writes, with the tokenizer."""
    (folder / "scratch").mkdir(parents=True)
    target = folder / "out"
    target.mkdir()
    written = write_form(run.build(name).artifact, form, target, folder / "scratch")
    if written.form != "transformers":
        written.config.save_pretrained(target)
    written.tokenizer.save_pretrained(target)
    return written


@pytest.mark.parametrize("form", [None, "onnx", "openvino"])
def test_an_export_answers_as_its_model(run: SuiteRun, tmp_path: Path, form: str | None) -> None:
    written = written_as(run, "shorter", form, tmp_path)
    artifact = run.build("shorter").artifact
    gate = GateRows(run.suite, run.rows)
    check = check_rows(artifact, EAGER, written, tmp_path / "out", gate, tmp_path / "scratch")
    assert (check.rows, check.changed) == (len(run.rows.gate), 0)
    assert check.largest < 1e-5
    assert check.message.startswith(f"{check.rows} gate rows: 0 predictions differ, largest probability")


def test_an_export_of_another_model_is_an_error(run: SuiteRun, tmp_path: Path) -> None:
    written = written_as(run, "ruined", "onnx", tmp_path)
    gate = GateRows(run.suite, run.rows)
    with pytest.raises(OtherAnswers, match=r"gate rows: \d+ predictions differ, .*asked twice"):
        check_rows(
            run.build("shorter").artifact, EAGER, written, tmp_path / "out", gate, tmp_path / "scratch"
        )


def test_the_folder_computes_as_judged_if_its_lines_can(run: SuiteRun, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO computes in bfloat16 on other processors")
    written = written_as(run, "graph", None, tmp_path)
    judged = runtime_with("openvino", inference_precision="bf16")
    places = (tmp_path / "out", GateRows(run.suite, run.rows), tmp_path / "scratch")

    check = check_rows(run.build("graph").artifact, judged, set_judged_options(written, judged), *places)
    assert (check.changed, check.largest) == (0, 0.0)

    check = check_rows(run.build("graph").artifact, judged, written, *places)
    assert check.largest > 1e-5, "lines without the option compute in float32"


def test_options_that_change_the_answers_refuse_the_export(run: SuiteRun, tmp_path: Path) -> None:
    written = written_as(run, "ruined", None, tmp_path)
    judged, artifact = runtime_with("compiled", precision="bfloat16"), run.build("block").artifact
    with pytest.raises(OtherAnswers, match=r'in the runtime compiled with precision = "bfloat16", and the'):
        check_rows(
            artifact, judged, written, tmp_path / "out", GateRows(run.suite, run.rows), tmp_path / "scratch"
        )
    assert describe_runtime(written, judged)
