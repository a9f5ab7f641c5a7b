"""The runtime onnxruntime: what it gives, what it reads, and what it says where it cannot run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fixtures.models.tiny_graph import compute_tiny_answers, make_tiny_onnx_model
from slimgate.errors import BuildError
from slimgate.runtimes import onnxruntime

IDS = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved = tmp_path / "saved"
    saved.mkdir()
    make_tiny_onnx_model(tmp_path / "hub").save(saved)
    return saved


def load(folder: Path, device: str = "cpu", **params: object) -> onnxruntime.OnnxPredictor:
    return onnxruntime.runtime.load(
        folder, onnxruntime.Params.model_validate(params), device=device, threads=1
    )


@pytest.mark.parametrize("level", ["all", "extended", "basic", "disabled"])
def test_it_gives_what_the_graph_computes(folder: Path, level: str) -> None:
    predictor = load(folder, graph_optimization=level, spinning=False)
    batch = {"input_ids": IDS, "token_type_ids": np.zeros_like(IDS)}  # which the graph does not have
    answers = predictor.fetch(predictor.forward(predictor.prepare(batch)))
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, compute_tiny_answers(IDS), rtol=1e-6)


def test_a_fetched_answer_stays_when_the_next_is_computed(folder: Path) -> None:
    predictor = load(folder)
    batch, other = predictor.prepare({"input_ids": IDS}), predictor.prepare({"input_ids": IDS[:, :2]})
    first = predictor.fetch(predictor.forward(batch))
    second = predictor.fetch(predictor.forward(other))
    np.testing.assert_allclose(first, compute_tiny_answers(IDS), rtol=1e-6)
    np.testing.assert_allclose(second, compute_tiny_answers(IDS[:, :2]), rtol=1e-6)


def test_threads_and_spinning_are_set() -> None:
    options = onnxruntime.make_session_options(onnxruntime.Params(spinning=False), threads=3)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_rows_without_what_the_graph_reads_are_a_clear_error(folder: Path) -> None:
    with pytest.raises(BuildError, match="the graph reads input_ids, but a batch has only pixels"):
        load(folder).prepare({"pixels": IDS})


def test_a_device_that_it_does_not_run_on_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(BuildError, match="this onnxruntime does not run on mps"):
        load(folder, device="mps")


def test_a_file_that_is_no_graph_is_a_clear_error(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(BuildError, match="ONNX Runtime cannot load the graph"):
        load(folder)


def test_it_does_not_load_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from slimgate.runtimes import onnxruntime as r; "
        f"r.runtime.load(Path({str(folder)!r}), r.Params(), device='cpu', threads=1); "
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


def test_it_runs_graphs_where_no_runtime_is_named() -> None:
    assert onnxruntime.runtime.kinds == onnxruntime.runtime.default_for == {"onnx"}
    assert onnxruntime.runtime.packages == ("onnxruntime",)
