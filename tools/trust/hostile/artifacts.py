"""Artifacts in a store that an attacker wrote into: graphs that read other files, packages with pickles."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tools.trust.hostile.cases import OPENED, Input, Write
from tools.trust.hostile.models import make_pickle


def _make_external(location: str, how: str, *, linked: bool = False) -> Write:
    """A graph whose weights are in another file. linked: a link out of the folder leads to this file."""

    def write(folder: Path) -> list[str]:

        from onnx import TensorProto, helper

        (folder / "secret.data").write_bytes(np.ones(4, np.float32).tobytes())
        (folder / "model").mkdir(exist_ok=True)
        weight = helper.make_tensor("w", TensorProto.FLOAT, [4], np.zeros(4, np.float32))
        weight.ClearField("float_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location.format(folder=folder))
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "logits")]
        node = helper.make_node("Add", ["x", "w"], ["logits"])
        graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (folder / "model/model.onnx").write_bytes(model.SerializeToString())
        if linked and not (folder / "model/linked.data").is_symlink():
            (folder / "model/linked.data").symlink_to("../secret.data")
        return [how, "model"]

    return write


def _write_package(folder: Path) -> list[str]:
    (folder / "model").mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "model/model.pt2", "w") as stored:
        stored.writestr("model/data/weights/weights.pt", make_pickle(folder))
    return ["package", "model"]


OUT, ABSOLUTE = "../secret.data", "{folder}/secret.data"
INPUTS = [
    Input(
        "ONNX: weights in ../secret.data, opened by a step", OPENED, _make_external(OUT, "graph"), slow=True
    ),
    Input(
        "ONNX: weights in ../secret.data, opened by its runtime",
        OPENED,
        _make_external(OUT, "session"),
        slow=True,
    ),
    Input(
        "ONNX: weights under an absolute name, opened by a step",
        OPENED,
        _make_external(ABSOLUTE, "graph"),
        slow=True,
    ),
    Input(
        "ONNX: weights under an absolute name, opened by its runtime",
        OPENED,
        _make_external(ABSOLUTE, "session"),
        slow=True,
    ),
    Input(
        "ONNX: weights that link out of the folder, opened by a step",
        OPENED,
        _make_external("linked.data", "graph", linked=True),
        slow=True,
    ),
    Input(
        "ONNX: weights that link out of the folder, opened by its runtime",
        OPENED,
        _make_external("linked.data", "session", linked=True),
        slow=True,
    ),
    Input("AOTInductor: a package with a pickle", OPENED, _write_package, slow=True),
]
