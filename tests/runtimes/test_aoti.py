"""The runtime aoti: only packages of code are opened, and only their own inputs are run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from slimgate._system.worker import run_worker
from slimgate.errors import BuildError, MeasureError
from slimgate.runtimes.aoti import AotiPredictor, open_package
from slimgate.suite.runtime_choice import find_runtime
from tools.trust import doubling_package

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package for any number of rows and columns, which has run in another process."""
    folder = tmp_path_factory.mktemp("package")
    ended = run_worker(doubling_package.__name__, folder, limit=3600)
    if ended.signal:
        pytest.skip(f"this machine cannot run what its compiler makes: {ended.message}")
    assert ended.code == 0, ended.message
    return folder / "model.pt2"


def test_a_package_runs_any_rows_and_transposed_arrays(package: Path) -> None:
    predictor = AotiPredictor(open_package(package), ("columns",), "cpu")
    for rows in (1, 3, 8):
        values = np.arange(rows * 5, dtype=np.float32).reshape(5, rows).T
        answers = predictor.fetch(predictor.forward(predictor.prepare({"columns": values})))
        assert answers.dtype == np.float32
        assert np.array_equal(answers, values * 2)
    predictor.close()


def test_other_inputs_than_it_was_compiled_for_are_refused() -> None:
    predictor = AotiPredictor(None, ("input_ids", "attention_mask"), "cpu")
    with pytest.raises(
        MeasureError, match=r"inputs input_ids were given, .* compiled for: attention_mask, input_ids"
    ):
        predictor.prepare({"input_ids": np.zeros((1, 2), dtype=np.int64)})


def test_a_package_with_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w") as stored:
        stored.writestr("model/data/aotinductor/model/code.so", b"code")
        stored.writestr("model/data/weights/weights.pt", b"a pickle")
    with pytest.raises(
        BuildError, match=r"model\.pt2 contains model/data/weights/weights\.pt, expected only"
    ):
        open_package(path)


def test_it_is_the_runtime_of_its_kind() -> None:
    assert find_runtime("torch_aoti").name == "aoti"
