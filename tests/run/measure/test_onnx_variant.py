"""A variant that is an ONNX graph, from the suite to the duel: built, answering, timed beside its teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from slimgate.plugins.workloads import Workload
from slimgate.results.checks import TEACHER
from slimgate.run.measure.duel import Contender, ContenderSpec, run_duel
from slimgate.run.measure.memory import read_memory
from slimgate.suite.suite import dump_params

pytestmark = pytest.mark.slow

SHORTER = "shorter = { steps = [{ keep_layers = [0, 2] }] }"
GRAPH = "graph = { steps = [{ to_onnx = {} }, { onnx_int8_dynamic = { reduce_range = true } }] }"


@pytest.mark.slow
def test_a_graph_is_built_answers_and_duels_with_its_teacher(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{SHORTER: GRAPH, "calibration = 0": "calibration = 16"})
    graph = run.suite.model("graph")
    assert graph.runtime.name == "onnxruntime"
    manifests = [step.manifest for step in run.build("graph").steps]
    assert [manifest["kind"] for manifest in manifests] == ["onnx", "onnx"]
    assert manifests[1]["bytes"] < manifests[0]["bytes"]
    agreed = run.measure_outcomes("graph").predictions == run.measure_outcomes(TEACHER).predictions
    assert np.mean(agreed) > 0.9
    contenders = []
    try:
        for name in (TEACHER, "graph"):
            model = run.suite.model(name)
            folder = run.build(name).artifact.folder
            spec = ContenderSpec(name, folder, model.runtime.name, {}, "cpu", 1)
            contenders.append(Contender(spec))
        inputs = {name: [run.make_workload(name, Workload(1, 8)).inputs] for name in (TEACHER, "graph")}
        times = run_duel(contenders, inputs, seed=0, max_seconds=0.1)
    finally:
        for contender in contenders:
            contender.close()
    assert all((times.blocks[name] > 0).all() for name in (TEACHER, "graph"))
    assert graph.runtime.params.left_out  # a tuple, and a list once it is JSON
    options = dump_params(graph.runtime.params)
    folder = run.build("graph").artifact.folder
    memory = read_memory(folder, graph.runtime.name, options, inputs["graph"][0], device="cpu", threads=1)
    assert memory.baseline_bytes < memory.peak_bytes
