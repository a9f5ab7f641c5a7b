"""An exported folder as `model = …` of a suite: the graph is judged as it is, with its own tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import PARAMS, load_tiny, make_tiny_context
from fixtures.models.kept_models import predict_with_readme, store_run
from slimgate.cli.main import main
from slimgate.errors import BuildError, SuiteError
from slimgate.models.model_ref import digest_weights, parse_model_ref
from slimgate.plugins.loading import list_graph_forms
from slimgate.results.checks import TEACHER

pytestmark = pytest.mark.slow

STEPS = "pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }"
SHORTER = "shorter = { steps = [{ keep_layers = [0, 2] }] }"
RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
ROUNDING = 1e-6
FILES = {kind: form.files for kind, form in list_graph_forms().items()}


@pytest.fixture(scope="module", params=list(FILES))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `slimgate export` wrote of a classifier, in a folder named for its kind."""
    kind, folder = str(request.param), tmp_path_factory.mktemp("exported")
    context = make_tiny_context(folder / "rows", calibration=16)
    hub = write_tiny_classifier(folder / "model", num_hidden_layers=1)
    run = store_run(folder, "small", load_tiny(hub, context), "text_classification", PARAMS)
    where = (str(run.record), "small", str(folder / kind), "--store", str(run.store))
    assert main(["export", *where, "--format", kind]) == 0
    return folder / kind


def copied(exported: Path, folder: Path) -> Path:
    shutil.copytree(exported, folder)
    return folder


def test_variant_and_teacher_answer_as_the_plain_library(exported: Path, tmp_path: Path) -> None:
    copied(exported, tmp_path / "released")
    run = make_tiny_run(tmp_path, **{STEPS: 'released = { model = "released" }'})
    assert run.suite.variants["released"].runtime.name == RUNTIMES[exported.name]
    artifact = run.build("released").artifact
    assert artifact.kind == exported.name
    texts = run.rows.gate.table["text"].to_pylist()
    shares = np.asarray(run.measure_outcomes("released").probabilities)
    assert np.abs(shares - predict_with_readme(exported, texts, "shares")).max() < ROUNDING
    for name in FILES[exported.name]:
        if (exported / name).exists():
            assert (artifact.folder / name).read_bytes() == (exported / name).read_bytes()

    teacher = make_tiny_run(
        tmp_path, **{'"hub"': '"released"', STEPS: "", "shorter = { steps = [{ keep_layers = [0, 2] }] }": ""}
    )
    assert teacher.build(TEACHER).artifact.digest == artifact.digest


def test_other_weights_are_another_artifact(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    folder = copied(exported, tmp_path / "released")
    replaced = {STEPS: 'released = { model = "released" }'}
    before = make_tiny_run(tmp_path, **replaced).build("released").artifact.digest
    digest = digest_weights(folder)
    assert parse_model_ref(str(folder), sha256=digest).kind == exported.name
    weights = folder / FILES[exported.name][0 if exported.name == "onnx" else 1]
    content = bytearray(weights.read_bytes())
    place = len(content) // 2  # among the numbers of a weight
    content[place] ^= 1
    weights.write_bytes(bytes(content))
    assert make_tiny_run(tmp_path, **replaced).build("released").artifact.digest != before
    with pytest.raises(SuiteError, match=r"the weights have sha256 .*, the suite expects"):
        parse_model_ref(str(folder), sha256=digest)


def test_outputs_in_another_order_are_refused(exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path / "released")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {"id2label": {"0": "pos", "1": "neg"}, "label2id": {"pos": 0, "neg": 1}}
    (folder / "config.json").write_text(json.dumps(config))
    run = make_tiny_run(tmp_path, **{STEPS: 'released = { model = "released" }'})
    with pytest.raises(
        SuiteError, match=r"the graph's outputs are 0=pos, 1=neg, expected the sorted order of the"
    ):
        run.build("released")


def test_a_graph_of_more_outputs_than_labels_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path / "released")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    (folder / "config.json").write_text(json.dumps(config))
    replaced = {STEPS: 'released = { model = "released" }'}
    make_tiny_run(tmp_path, **replaced)
    for file in (tmp_path / "train.csv", tmp_path / "gate.csv"):
        rows = file.read_text("utf-8").replace(",neg,", ",a,").replace(",pos,", ",b,")
        file.write_text(rows + "a film,c,x\na plot,c,x\n", "utf-8")
    run = make_tiny_run(tmp_path, **replaced)
    with pytest.raises(BuildError, match=r"the graph gives 2 scores, expected one for each of the 3 labels"):
        run.build("released")


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "and no config.json, expected"), ("tokenizer.json", "has no tokenizer, expected")],
)
def test_what_a_folder_lacks_is_reported(exported: Path, tmp_path: Path, missing: str, message: str) -> None:
    folder = copied(exported, tmp_path / "released")
    (folder / missing).unlink()
    with pytest.raises(SuiteError, match=message):
        parse_model_ref(str(folder))


def test_a_folder_of_two_models_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path / "released")
    (folder / "model.safetensors").touch()
    first = FILES[exported.name][0]
    with pytest.raises(SuiteError, match=rf"holds model\.safetensors and {first}, expected one model"):
        parse_model_ref(str(folder))
