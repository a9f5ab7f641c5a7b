"""The step to_aoti: a package that answers as the network did, for all sizes, and holds no pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.tiny_suite import make_tiny_run

from fixtures.models.building import make_tiny_classifier, save_model
from slimgate.errors import BuildError, DataError, ProcessDied
from slimgate.models.predict import predict_scores
from slimgate.runtimes import aoti
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.agreement import make_calibration_batches
from slimgate.steps.convert import to_aoti
from slimgate.steps.convert._aoti_worker import make_example_batch
from slimgate.steps.convert.to_aoti import CompiledPackage, Params, compile_apart
from slimgate.store.store import list_files
from slimgate.tasks import text_classification
from tools.trust import dying_package

pytestmark = pytest.mark.slow


SHORTER = "shorter = { steps = [{ keep_layers = [0, 2] }] }"
PACKAGE = "package = { steps = [{ to_aoti = {} }] }"


def tiny(root: Path, *, calibration: int = 12) -> tuple[Any, Any]:
    return make_tiny_classifier(root, shape={"num_hidden_layers": 1}, calibration=calibration)


@pytest.mark.slow
def test_a_package_answers_as_the_network_and_loads_again(tmp_path: Path) -> None:
    model, context = tiny(tmp_path)
    encoded = text_classification.task.encode_rows(
        context.task_params, context.rows("selection"), model.tokenizer
    )
    before = predict_scores(EagerPredictor(model.network, "cpu"), encoded, batch_size=7)
    size = model.measure_size()
    try:
        compiled = to_aoti.step.apply(model, Params(), context)
    except ProcessDied as error:  # compiled code that dies is told, and is no failure of slimgate
        pytest.skip(str(error))
    assert compiled.kind == to_aoti.step.gives
    assert context.log["agreement_rows"] == 12 + 1 + 12
    assert context.log["max_difference_relative"] < 1e-4
    assert context.log["compile_seconds"] > 0
    assert compiled.measure_size() == size
    saved = save_model(compiled, tmp_path / "saved")
    assert {"config.json", "model.pt2", "slimgate.json", "tokenizer.json"} <= set(list_files(saved))
    suffixes = {Path(name).suffix for name in zipfile.ZipFile(saved / "model.pt2").namelist()}
    assert suffixes <= {".so", ".cpp", ".json", ""}
    predictor = aoti.runtime.load(saved, aoti.Params(), device="cpu", threads=1)
    for batch_size in (7, 1):
        np.testing.assert_allclose(
            predict_scores(predictor, encoded, batch_size=batch_size), before, atol=1e-5
        )
    with pytest.raises(
        BuildError, match=r"compiled for device cpu, but this machine has cuda; build it again here"
    ):
        aoti.runtime.load(saved, aoti.Params(), device="cuda:0", threads=1)
    description = json.loads((saved / "slimgate.json").read_text("utf-8"))
    (saved / "slimgate.json").write_text(json.dumps({**description, "instructions": "aarch64 sve"}), "utf-8")
    with pytest.raises(BuildError, match=r"compiled for instructions aarch64 sve, but this machine has"):
        aoti.runtime.load(saved, aoti.Params(), device="cpu", threads=1)


def test_rows_of_one_token_and_a_row_alone_are_compared_too() -> None:
    batches = to_aoti._add_small_batches([{"input_ids": np.arange(12).reshape(3, 4)}])
    assert [batch["input_ids"].shape for batch in batches] == [(3, 4), (1, 4), (3, 1)]


@pytest.mark.parametrize(("rows", "expected"), [(1, (2, 4)), (3, (3, 4)), (4, (5, 4))])
def test_the_example_has_two_sizes_that_differ(rows: int, expected: tuple[int, int]) -> None:
    example = make_example_batch({"input_ids": np.arange(rows * 4).reshape(rows, 4)})
    assert example["input_ids"].shape == expected


def test_scales_of_a_quantized_model_are_not_rounded(tmp_path: Path) -> None:
    model, context = tiny(tmp_path)
    model.kind = "torch_quantized"
    with pytest.raises(BuildError, match=r"kind torch_quantized has scales .* leave precision out"):
        to_aoti.step.apply(model, Params(precision="bfloat16"), context)


NETWORK = """
from transformers import BertForSequenceClassification


class Forked(BertForSequenceClassification):
    @classmethod
    def from_config(cls, config):
        return cls(config)

    def forward(self, **inputs):
        return super().forward(**inputs) if inputs["input_ids"].sum() > 0 else None
"""


def test_a_network_that_cannot_be_one_graph_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, context = tiny(tmp_path)
    (tmp_path / "forked_network.py").write_text(NETWORK, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    model.architecture = "forked_network:Forked"
    with pytest.raises(BuildError, match=r"to_aoti: \w+: ") as caught:
        to_aoti.step.apply(model, Params(), context)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, ProcessDied)


def apart(root: Path, *, worker: str, limit: float = 3600) -> CompiledPackage:
    model, context = tiny(root)
    batches = make_calibration_batches(model.tokenizer, context)
    return compile_apart(model, batches, context, precision="float32", limit=limit, worker=worker)


@pytest.mark.parametrize(
    ("does", "error", "message"),
    [
        pytest.param(
            "os.kill(os.getpid(), signal.SIGKILL)",
            ProcessDied,
            "to_aoti: the process that was compiling the network died by SIGKILL, most likely because "
            "memory ran out: this machine cannot run it; use another runtime, such as onnxruntime (to_onnx)",
            id="killed",
        ),
        pytest.param(
            "open(sys.argv[1] + '/model.pt2', 'w').close(); os.kill(os.getpid(), signal.SIGILL)",
            ProcessDied,
            "to_aoti: the process that was predicting calibration rows with the compiled network died by "
            "SIGILL: this machine cannot run it; use another runtime, such as onnxruntime (to_onnx)",
            id="dead when it predicts",
        ),
        pytest.param(
            "sys.exit('no room is left')",
            BuildError,
            "to_aoti: the process that was compiling the network failed: no room is left",
            id="failed",
        ),
        pytest.param(
            "time.sleep(600)",
            BuildError,
            "to_aoti: compiling the network did not end within 2 s, and was stopped; check that the C++ "
            "compiler (CXX) works, or use another runtime",
            id="hanging",
        ),
    ],
)
def test_a_process_that_gives_no_answer_is_one_line(
    does: str, error: type[BuildError], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_worker.py").write_text(f"import os, signal, sys, time\n{does}\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    # only one that hangs has little time: the others end, however busy the machine is
    with pytest.raises(BuildError) as caught:
        apart(tmp_path, worker="own_worker", limit=2 if "sleep" in does else 3600)
    assert str(caught.value) == message
    assert type(caught.value) is error


def test_code_that_dies_while_loading_does_not_end_the_builder(tmp_path: Path) -> None:
    message = "predicting calibration rows with the compiled network died by SIGILL: this machine cannot"
    with pytest.raises(ProcessDied, match=message):
        apart(tmp_path, worker=dying_package.__name__)


def test_a_suite_goes_on_where_the_process_that_compiles_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "compiler"  # ends who calls it, unless it is only asked who it is
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] || kill -ILL $PPID\necho g++ 13.2.0\n', "utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))  # where nothing is compiled yet
    replaced = {SHORTER: f"{SHORTER}\n{PACKAGE}", "calibration = 0": "calibration = 16"}
    run = make_tiny_run(tmp_path, **replaced)
    with pytest.raises(ProcessDied, match=r"package: step to_aoti: .* died by SIGILL: this machine cannot"):
        run.build("package")
    assert run.build("shorter").artifact.kind == "torch"


def test_it_needs_calibration_rows_and_a_tolerance_above_nothing(tmp_path: Path) -> None:
    model, context = tiny(tmp_path, calibration=0)
    with pytest.raises(DataError, match="calibration"):
        to_aoti.step.apply(model, Params(), context)
    with pytest.raises(ValidationError, match="greater than 0"):
        Params(tolerance=0.0)
