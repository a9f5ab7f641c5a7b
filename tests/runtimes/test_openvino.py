"""slimgate.runtimes.openvino: what it computes in, on how many threads, and what its options change."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.openvino_models import compute_selection_scores
from slimgate.errors import BuildError, MissingExtra
from slimgate.runtimes import openvino as runtime
from slimgate.suite.runtime_choice import find_runtime

pytest.importorskip("torch")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def saved(openvino_tiny: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """Folder, tokenizer and context of an exported model."""
    model, context = openvino_tiny
    folder = tmp_path_factory.mktemp("saved")
    model.save(folder)
    return folder, model.tokenizer, context


def load_predictor(folder: Path, **options: Any) -> Any:
    return runtime.runtime.load(folder, runtime.Params(**options), device="cpu", threads=1)


def compute_scores(saved: tuple[Path, Any, Any], **options: Any) -> Any:
    folder, tokenizer, context = saved
    return compute_selection_scores(load_predictor(folder, **options), tokenizer, context)


def make_batches(saved: tuple[Path, Any, Any]) -> tuple[Any, Any]:
    _, tokenizer, context = saved
    encoded = context.task.encode_rows(context.task_params, context.rows("selection"), tokenizer)
    return encoded.batch([0, 1, 2]), encoded.batch([5])


def test_it_executes_artifacts_of_its_kind_by_default() -> None:
    assert find_runtime("openvino").name == "openvino"
    assert runtime.runtime.load_model is not None


def test_computing_precision_and_threads_are_stated() -> None:
    properties = runtime.make_properties(runtime.Params(), threads=2)
    assert properties["INFERENCE_PRECISION_HINT"] == "f32"
    assert properties["INFERENCE_NUM_THREADS"] == 2
    assert properties["NUM_STREAMS"] == 1
    assert properties["ENABLE_CPU_PINNING"] is False


def test_static_shapes_give_the_same_scores(saved: tuple[Path, Any, Any]) -> None:
    plain = compute_scores(saved)
    assert plain.shape == (16, 2)
    assert plain.dtype == np.float32
    assert np.allclose(compute_scores(saved, static_shapes=True), plain, atol=1e-5)


def test_bfloat16_moves_the_scores_a_little(saved: tuple[Path, Any, Any]) -> None:
    difference = np.abs(compute_scores(saved, inference_precision="bf16") - compute_scores(saved)).max()
    assert difference < 0.3
    if sys.platform == "linux" and "avx512_bf16" in Path("/proc/cpuinfo").read_text():
        assert difference > 1e-5


@pytest.mark.parametrize("static", [False, True])
def test_batches_prepared_beforehand_are_not_mixed_up(saved: tuple[Path, Any, Any], static: bool) -> None:
    predictor = load_predictor(saved[0], static_shapes=static)
    batch, other = make_batches(saved)
    first, second = predictor.prepare(batch), predictor.prepare(other)
    alone = [predictor.fetch(predictor.forward(prepared)) for prepared in (first, second)]
    again = predictor.fetch(predictor.forward(first))
    assert np.array_equal(again, alone[0])
    assert alone[0].shape == (3, 2)
    assert alone[1].shape == (1, 2)


def test_a_row_has_the_same_scores_in_any_batch(saved: tuple[Path, Any, Any]) -> None:
    predictor = load_predictor(saved[0])
    _, tokenizer, context = saved
    encoded = context.task.encode_rows(context.task_params, context.rows("selection"), tokenizer)
    together = predictor.fetch(predictor.forward(predictor.prepare(encoded.batch(range(16)))))
    for row in range(4):
        alone = predictor.fetch(predictor.forward(predictor.prepare(encoded.batch([row]))))
        assert np.allclose(alone[0], together[row], atol=1e-5)


def test_only_the_latest_shapes_are_kept(
    saved: tuple[Path, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "MAX_SHAPES", 2)
    predictor = load_predictor(saved[0], static_shapes=True)
    ids = {name: values[:1] for name, values in make_batches(saved)[0].items()}
    for tokens in (3, 4, 5, 3):
        prepared = predictor.prepare({name: values[:, :tokens] for name, values in ids.items()})
        assert predictor.fetch(predictor.forward(prepared)).shape == (1, 2)
    assert len(predictor._predictors) == 2


def test_inputs_that_the_rows_lack_are_named(saved: tuple[Path, Any, Any]) -> None:
    batch, _ = make_batches(saved)
    with pytest.raises(BuildError, match=r"the graph reads \w+, but a batch has only"):
        load_predictor(saved[0]).prepare({"input_ids": batch["input_ids"]})


def test_another_device_is_one_line(saved: tuple[Path, Any, Any]) -> None:
    with pytest.raises(BuildError, match="runs on the CPU, not on cuda"):
        runtime.runtime.load(saved[0], runtime.Params(), device="cuda", threads=1)


def test_a_file_that_is_no_graph_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("<net>")
    with pytest.raises(BuildError, match=r"OpenVINO cannot read .*model\.xml") as caught:
        load_predictor(tmp_path)
    assert "\n" not in str(caught.value)


def test_without_the_package_it_says_what_to_install(
    saved: tuple[Path, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra, match=r'pip install "slimgate\[openvino\]"'):
        load_predictor(saved[0])


def test_the_runtime_loads_no_torch() -> None:
    tree = ast.parse(Path(runtime.__file__).read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.split(".")[0] in ("torch", "transformers")}


SIGNALLED = """
import gc, signal, sys
from pathlib import Path
from slimgate.runtimes import openvino

received = []
signal.signal(signal.SIGALRM, lambda *_: received.append(1))
load, params = openvino.runtime.load, openvino.Params()
predictors = [load(Path(sys.argv[1]), params, device="cpu", threads=1) for _ in range(4)]
for place in (0, 0, 1, 0):  # they are closed in another order than they were opened
    predictors.pop(place).close()
    gc.collect()
    signal.raise_signal(signal.SIGALRM)
print(len(received))
"""


def test_a_signal_after_graphs_were_closed_is_handled(saved: tuple[Path, Any, Any]) -> None:
    command = [sys.executable, "-c", SIGNALLED, str(saved[0])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "4"), done.stderr
