"""`slimgate export`: folders that the plain libraries load, held against what slimgate itself predicts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from transformers import AutoConfig

from fixtures.models.architectures import write_tiny
from fixtures.models.building import PARAMS, load_tiny, make_tiny_context
from fixtures.models.embeddings import LABELS, PAIRS, load_encoder, make_embedding_context
from fixtures.models.kept_models import StoredRun, predict_with_readme, store_run
from slimgate._system import requirements
from slimgate.cli.export.forms import Written
from slimgate.cli.export.snippets import make_snippet
from slimgate.cli.main import main
from slimgate.models.predict import predict_scores
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import find_form, load
from slimgate.plugins.module_of import module_of
from slimgate.steps.agreement import make_default_predictor
from slimgate.store.artifact import Artifact
from slimgate.tasks import causal_lm, text_classification

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]
CLASSES = ("neg", "pos")
# What float32 leaves open between two libraries, of a share.
ROUNDING = 1e-5
# An int8 layer takes now and then the next of its 256 levels, and a tiny random network shows it.
INTEGER_ROUNDING = 2e-3
ONE_BLOCK: dict[str, Any] = {"initializer_range": 0.2, "num_hidden_layers": 1}


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Exports the model "small" to tmp_path/out: exit code, standard output, standard error."""

    def run(stored: StoredRun, *arguments: str, name: str = "small") -> tuple[int, str, str]:
        where = (str(stored.record), name, str(tmp_path / "out"), "--store", str(stored.store))
        capsys.readouterr()  # what was printed while the model was made
        code = main(["export", *where, *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return make_tiny_context(tmp_path / "rows", calibration=16)


def classifier(folder: Path, context: BuildContext, *, blocks: int = 1, **task: Any) -> Any:
    """A BERT with a head. Its blocks are few, because an export takes two seconds more for each."""
    context.task_params = PARAMS.model_copy(update=task)
    hub = write_tiny(folder / "hub", "bert", labels=CLASSES, initializer_range=0.2, num_hidden_layers=blocks)
    return load_tiny(hub, context)


def encoder(folder: Path, context: BuildContext) -> Any:
    """A BERT of one block that gives a vector for each text."""
    return load_encoder(write_tiny(folder / "hub", "bert", **ONE_BLOCK), context)


def stepped(model: Any, context: BuildContext, *steps: str, **options: Any) -> Any:
    """The model after steps; options are the last one's."""
    for name in steps:
        step = load("step", name)
        params = step.Params(**(options if name == steps[-1] else {}))
        model = step.apply(model, params, context)
        model.kind = step.gives or model.kind
    return model


def store_model(folder: Path, model: Any, context: BuildContext) -> StoredRun:
    kind = module_of(context.task).rpartition(".")[2]
    return store_run(folder, "small", model, kind, context.task_params)


def selection(context: BuildContext) -> list[str]:
    texts: list[str] = context.rows("selection").table["text"].to_pylist()
    return texts


def own_shares(model: Any, context: BuildContext) -> npt.NDArray[np.float64]:
    """The probabilities that slimgate's outcomes have, of the rows of `selection` as one batch."""
    rows = context.rows("selection")
    encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
    scores = predict_scores(make_default_predictor(model, context), encoded, batch_size=len(rows))
    probabilities = context.task.outcomes(
        context.facts, rows, scores, context.task_params, None
    ).probabilities
    return np.asarray(probabilities)


def test_a_bert_with_own_pooling_loads_in_transformers(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    model = stepped(classifier(tmp_path, context, blocks=4), context, "keep_layers", root=[0, 2])
    expected = own_shares(model, context)

    code, out, _ = export(store_model(tmp_path, model, context))

    assert (code, "small for transformers" in out) == (0, True)
    out_folder = tmp_path / "out"
    assert {"model.safetensors", "tokenizer.json", "config.json", "README.md"} <= {
        file.name for file in out_folder.iterdir()
    }
    assert json.loads((out_folder / "config.json").read_text())["id2label"] == {"0": "neg", "1": "pos"}
    assert np.abs(predict_with_readme(out_folder, selection(context), "shares") - expected).max() < ROUNDING
    assert not list(tmp_path.glob(".out*")), "what was written beside is gone"


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_mean_pooling_is_a_graph_and_nothing_for_transformers(
    tmp_path: Path, context: BuildContext, export: Run, form: str
) -> None:
    model = classifier(tmp_path, context, pooling="mean")
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    code, _, err = export(run, "--format", "transformers")
    assert code == 4
    assert err.splitlines() == [
        "slimgate export: writing small",
        "slimgate export: small: no transformers class can load it (MeanPoolingClassifier is not a class "
        "of transformers); use --format onnx, or --format openvino",
    ]
    assert not (tmp_path / "out").exists()

    assert export(run, "--format", form)[0] == 0
    assert (
        np.abs(predict_with_readme(tmp_path / "out", selection(context), "shares") - expected).max()
        < ROUNDING
    )


def test_int8_layers_are_exported_with_their_integers(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    model = stepped(classifier(tmp_path, context), context, "int8_dynamic")
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    code, out, _ = export(run)

    assert (code, "small for onnx" in out) == (0, True)
    assert np.abs(predict_with_readme(tmp_path / "out", selection(context), "shares") - expected).max() < (
        INTEGER_ROUNDING
    )
    assert "its times and bytes above are of that form" in (tmp_path / "out" / "README.md").read_text()
    assert "use --format onnx\n" in export(run, "--format", "openvino", "--force")[2]


@pytest.mark.parametrize(
    "steps",
    [("to_onnx", "onnx_int8_dynamic"), ("to_onnx", "onnx_optimize", "onnx_int8_dynamic")],
    ids=["as exported", "with inputs of 32 bits"],
)
def test_an_onnx_graph_is_the_file_that_was_judged(
    tmp_path: Path, context: BuildContext, export: Run, steps: tuple[str, ...]
) -> None:
    model = stepped(classifier(tmp_path, context), context, *steps)
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    assert export(run)[0] == 0

    readme = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "Needs `pip install onnxruntime tokenizers`" in readme
    assert "from transformers" not in readme, "its import takes seconds"
    judged = run.store / "artifacts" / "key-of-small" / "model.onnx"
    assert (tmp_path / "out" / "model.onnx").read_bytes() == judged.read_bytes()
    assert (
        np.abs(predict_with_readme(tmp_path / "out", selection(context), "shares") - expected).max()
        < ROUNDING
    )
    assert "use --format onnx" in export(run, "--format", "transformers", "--force")[2]


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_labels_keep_their_order(tmp_path: Path, form: str) -> None:
    """config.json sorts its keys as texts: "10" is before "2"."""
    names = tuple(f"label {number}" for number in range(12))
    hub = write_tiny(tmp_path, "bert", labels=names)
    config = AutoConfig.from_pretrained(hub)
    written = Written(form, None, config, tokenizer_is_enough=True)
    lines = make_snippet(written, find_form(form), text_classification.task, {}).splitlines()
    first, second = (number for number, line in enumerate(lines) if line.startswith(("stored =", "labels =")))
    space: dict[str, Any] = {"json": json, "Path": Path}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(hub)
        exec("\n".join([lines[first], lines[second]]), space)
    assert [space["labels"][number] for number in range(12)] == list(names)


def test_default_labels_are_read_by_transformers(tmp_path: Path) -> None:
    """transformers leaves LABEL_0 and LABEL_1 out of config.json."""
    hub = write_tiny(tmp_path, "bert", labels=("LABEL_0", "LABEL_1"))
    assert "id2label" not in json.loads((hub / "config.json").read_text("utf-8"))
    written = Written("onnx", None, AutoConfig.from_pretrained(hub), tokenizer_is_enough=True)
    assert "AutoConfig" in make_snippet(written, find_form("onnx"), text_classification.task, {})


def test_an_openvino_graph_is_the_files_that_were_judged(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    model = stepped(classifier(tmp_path, context), context, "to_openvino")
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    assert export(run)[0] == 0

    for name in ("model.xml", "model.bin"):
        judged = run.store / "artifacts" / "key-of-small" / name
        assert (tmp_path / "out" / name).read_bytes() == judged.read_bytes()
    assert (
        np.abs(predict_with_readme(tmp_path / "out", selection(context), "shares") - expected).max()
        < ROUNDING
    )


def test_a_language_model_predicts_as_its_outcomes_say(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    context.task, context.task_params = causal_lm.task, causal_lm.Params(text=("text",), max_tokens=32)
    hub = write_tiny(tmp_path / "hub", "gpt2", causal=True, initializer_range=0.5, n_layer=1)
    model, rows = load_tiny(hub, context), context.rows("selection")
    windows = causal_lm.make_judged_windows(context.task_params, rows, model.tokenizer)
    sums = predict_scores(
        make_default_predictor(model, context),
        windows,
        batch_size=4,
        read=lambda output, batch: causal_lm.task.read_output(context.task_params, output, batch),
    )

    assert export(store_model(tmp_path, model, context))[0] == 0

    scores = predict_with_readme(tmp_path / "out", selection(context), "scores")
    log_shares = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    for row, ids in enumerate(model.tokenizer(selection(context))["input_ids"]):
        nats = -sum(log_shares[row, place, token] for place, token in enumerate(ids[1:]))
        assert nats == pytest.approx(sums[row, 0], abs=1e-3)


@pytest.mark.parametrize("params", [PAIRS, LABELS], ids=["pairs", "labels"])
def test_an_encoder_gives_a_vector_for_each_text(tmp_path: Path, export: Run, params: Any) -> None:
    context = make_embedding_context(tmp_path / "rows", params)
    model = encoder(tmp_path, context)
    rows = context.rows("selection")
    encoded = context.task.encode_rows(params, rows, model.tokenizer)
    vectors = predict_scores(make_default_predictor(model, context), encoded, batch_size=8)
    documents = vectors[:, -1] if vectors.ndim == 3 else vectors

    assert export(store_model(tmp_path, model, context))[0] == 0

    predicted = predict_with_readme(tmp_path / "out", selection(context), "vectors")
    assert predicted.shape == (len(documents), 1, documents.shape[1])
    assert np.abs(predicted[:, 0] - documents).max() < ROUNDING


def test_a_static_encoder_loads_with_sentence_transformers_too(tmp_path: Path, export: Run) -> None:
    library = pytest.importorskip("sentence_transformers", reason="loaded with sentence-transformers")
    params = LABELS.model_copy(update={"prompts": ("good ",)})
    context = make_embedding_context(tmp_path / "rows", params)
    model = encoder(tmp_path, context)
    model = stepped(model, context, "static_student", dims=8)
    encoded = context.task.encode_rows(params, context.rows("selection"), model.tokenizer)
    vectors = predict_scores(make_default_predictor(model, context), encoded, batch_size=8)

    code, printed, _ = export(store_model(tmp_path, model, context))

    assert code == 0, printed
    texts = [f"good {text}" for text in selection(context)]
    assert np.abs(predict_with_readme(tmp_path / "out", texts, "vectors")[:, 0] - vectors).max() < ROUNDING
    theirs = library.SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts)
    assert np.abs(theirs - vectors).max() < ROUNDING
    assert (
        "of texts that are not cut; put the prompt before each text."
        in (tmp_path / "out/README.md").read_text()
    )


def test_a_static_encoder_is_exported_without_slow_tokenizer(tmp_path: Path, export: Run) -> None:
    from transformers import EsmTokenizer

    context = make_embedding_context(tmp_path / "rows", LABELS)
    folder = write_tiny(tmp_path / "hub", "bert")
    model = load_encoder(folder, context)
    special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "pad_token": "[PAD]", "eos_token": "[SEP]"}
    model.tokenizer = EsmTokenizer(str(folder / "vocab.txt"), mask_token="[MASK]", **special)
    model = stepped(model, context, "static_student", dims=8)
    code, printed, _ = export(store_model(tmp_path, model, context))
    assert code == 0, printed
    assert not (tmp_path / "out/modules.json").exists()
    assert "SentenceTransformer" not in (tmp_path / "out/README.md").read_text()


def test_a_graph_of_pairs_keeps_the_order_of_the_texts(tmp_path: Path, export: Run) -> None:
    context = make_embedding_context(tmp_path / "rows", PAIRS, calibration=16)
    model = encoder(tmp_path, context)
    rows = context.rows("selection")
    encoded = context.task.encode_rows(PAIRS, rows, model.tokenizer)
    vectors = predict_scores(make_default_predictor(model, context), encoded, batch_size=8)
    graph = stepped(model, context, "to_onnx")

    assert export(store_model(tmp_path, graph, context))[0] == 0

    texts = [*rows.table["summary"].to_pylist(), *rows.table["text"].to_pylist()]
    predicted = predict_with_readme(tmp_path / "out", texts, "vectors")
    assert np.abs(predicted[:, 0] - np.concatenate([vectors[:, 0], vectors[:, 1]])).max() < ROUNDING


@pytest.fixture
def no_onnxscript(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = requirements.read_versions

    def find_versions(packages: Iterable[str]) -> dict[str, str | None]:
        return {**installed(packages), **({"onnxscript": None} if "onnxscript" in packages else {})}

    monkeypatch.setattr(requirements, "read_versions", find_versions)


@pytest.mark.usefixtures("no_onnxscript")
@pytest.mark.parametrize("step", ["int8_dynamic", "weight_only"])
def test_a_missing_package_is_told_before_the_model_is_loaded(
    tmp_path: Path, context: BuildContext, export: Run, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run = store_model(tmp_path, stepped(classifier(tmp_path, context), context, step), context)
    loaded: list[str] = []
    monkeypatch.setattr(Artifact, "load", lambda self, *_: loaded.append(self.kind))

    code, _, err = export(run)

    needs = 'writing small as onnx needs the package onnxscript: pip install "slimgate[onnx]"'
    assert (code, err, loaded) == (4, f"slimgate export: {needs}\n", [])
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_onnxscript")
def test_a_network_whose_layers_need_slimgate_is_refused_too(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    pooled = store_model(tmp_path, classifier(tmp_path, context, pooling="mean"), context)
    code, _, err = export(pooled)
    assert (code, "small: writing it as onnx needs the package onnxscript" in err) == (4, True)
    assert export(pooled, "--format", "openvino")[0] == 0


@pytest.mark.parametrize("step", ["weight_only", "gptq"])
def test_weights_of_few_bits_are_float_again_in_the_graph(
    tmp_path: Path, context: BuildContext, export: Run, step: str
) -> None:
    model = stepped(classifier(tmp_path, context), context, step, group_size=16, embeddings=8)
    run, expected = store_model(tmp_path, model, context), own_shares(model, context)

    code, out, _ = export(run)

    assert (code, "small for onnx" in out) == (0, True)
    predicted = predict_with_readme(tmp_path / "out", selection(context), "shares")
    assert np.abs(predicted - expected).max() < ROUNDING
    judged = sum(file.stat().st_size for file in (run.store / "artifacts" / "key-of-small").iterdir())
    assert (tmp_path / "out" / "model.onnx").stat().st_size > judged


@pytest.mark.parametrize(
    ("step", "options", "why"),
    [
        ("gptq", {"activations": "int8"}, "compute in integers, which cannot be exported"),
        (
            "weight_only",
            {"embeddings": 4},
            "have fewer than 8 bits, which cannot be exported; set embeddings",
        ),
    ],
    ids=["integers", "embeddings"],
)
def test_few_bits_that_no_graph_repeats_are_refused(
    tmp_path: Path, context: BuildContext, export: Run, step: str, options: dict[str, Any], why: str
) -> None:
    model = stepped(classifier(tmp_path, context), context, step, group_size=16, **options)
    code, _, err = export(store_model(tmp_path, model, context))
    assert (code, why in err) == (4, True)


def test_a_folder_with_files_is_refused_without_force(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    run = store_model(tmp_path, stepped(classifier(tmp_path, context), context), context)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()

    code, _, err = export(run)

    assert (code, err) == (
        4,
        f"slimgate export: {tmp_path / 'out'}: the folder is not empty; name another folder, or replace "
        f"this folder with --force\n",
    )
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine"]


def test_force_replaces_an_export_and_nothing_else(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    run, out = store_model(tmp_path, classifier(tmp_path, context), context), tmp_path / "out"
    assert export(run)[0] == 0
    (out / "old").touch()
    assert export(run, "--force")[0] == 0
    assert not (out / "old").exists()

    (out / ".git").mkdir()
    assert export(run, "--force")[0] == 4
    assert (out / ".git").is_dir()
    (out / ".git").rmdir()
    (out / "README.md").write_text("# mine\n\n- slimgate\n")
    code, _, err = export(run, "--force")
    assert (code, err.count("\n"), "is not an export, and --force replaces only exports" in err) == (
        4,
        1,
        True,
    )
    assert (out / "README.md").read_text() == "# mine\n\n- slimgate\n"


def test_what_fails_half_way_leaves_the_old_folder_whole(
    tmp_path: Path, context: BuildContext, export: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store_model(tmp_path, stepped(classifier(tmp_path, context), context), context)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("---\ntags:\n- slimgate\n---\n")

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slimgate.cli.export.folder.make_snippet", full)
    code, _, err = export(run, "--force")

    writing, problem = err.splitlines()
    assert (code, writing) == (4, "slimgate export: writing small")
    assert "No space left on device" in problem
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["README.md"]
    assert not list(tmp_path.glob(".out*"))


def test_a_missing_artifact_names_the_command_that_builds_it(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    run = store_model(tmp_path, classifier(tmp_path, context), context)
    code, _, err = export(StoredRun(run.record, tmp_path / "other"))

    assert (code, err.count("\n")) == (4, 1)
    assert "pytest 'bench/films.toml::test_size[small]' --slimgate-store" in err
    assert not (tmp_path / "other").exists(), "a store is only read"


def test_unknown_and_unbuilt_variants_are_one_line(
    tmp_path: Path, context: BuildContext, export: Run
) -> None:
    run = store_model(tmp_path, classifier(tmp_path, context), context)
    assert export(run, name="smal")[2].endswith('no variant "smal". Did you mean small?\n')
    assert "teacher was not built in this run" in export(run, name="teacher")[2]


def test_a_record_without_task_options_needs_its_suite(
    tmp_path: Path, context: BuildContext, export: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store_model(tmp_path, classifier(tmp_path, context), context)
    file = run.record / "run.json"
    content = json.loads(file.read_text())
    content["task"]["params"] = None
    file.write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)

    code, _, err = export(run)

    assert (code, "bench/films.toml is missing" in err) == (4, True)
