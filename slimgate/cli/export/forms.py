"""The forms in which a model is exported: the files of each, written into a folder, and held to the model.

write_form(artifact, "onnx", folder)

A graph is copied as it was judged. A PyTorch model becomes a graph, or a folder of transformers, and has to
answer there as it did: on made-up token ids, within TOLERANCE standard deviations of its scores. Int8 layers
round what differs in its last digit to another level now and then, hence their wider one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slimgate.compress.agreement import check_agreement, predictor_of, scores
from slimgate.errors import BuildError
from slimgate.models import onnx_model, openvino_model, saved_files
from slimgate.models.example_batches import example_batches
from slimgate.store.artifact import LOADERS, Artifact

OPSET = 20
TOLERANCE, INTEGER_TOLERANCE = 0.01, 0.5
FORMS = ("transformers", "onnx", "openvino")
# The files of a graph as its artifact has them.
GRAPHS = {
    onnx_model.KIND: (onnx_model.MODEL, onnx_model.DATA),
    openvino_model.KIND: (openvino_model.MODEL, "model.bin"),
}


@dataclass(frozen=True)
class Written:
    """What a form's folder holds. auto: the class that loads a folder of transformers.

    pairs: a row takes two texts, encoded apart; compared: how far the form's answers lay from the model's
    (max_difference, tolerance, …) on made-up token ids, empty of a graph that was copied.
    """

    form: str
    tokenizer: Any
    config: Any
    auto: str | None = None
    pairs: bool = False
    compared: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Here:
    """What a predictor and a comparison want of a step's context, where there is no step."""

    scratch: Path
    device: str = "cpu"
    threads: int = 1
    log: dict[str, Any] = field(default_factory=dict)


def write_form(artifact: Artifact, form: str | None, folder: Path, scratch: Path) -> Written:
    """Writes the model's files. form: None for the nearest to how it was judged.

    Raises BuildError, in one line that says what to do, for a form that cannot hold the model.
    """
    if artifact.kind in GRAPHS:
        return _copied(artifact, form or artifact.kind, folder)
    if artifact.kind not in LOADERS:
        raise BuildError(
            f"its artifact is of kind {artifact.kind}, which is code for the machine that it was built on; "
            "export the variant that it was made from"
        )
    return _from_torch(artifact.load("cpu"), form, folder, _Here(scratch))


def _copied(artifact: Artifact, form: str, folder: Path) -> Written:
    if form != artifact.kind:
        raise BuildError(
            f"it was judged as a graph of {artifact.kind}, which --format {form} cannot hold; "
            f"leave --format out, or say --format {artifact.kind}"
        )
    for name in GRAPHS[form]:
        if (artifact.folder / name).exists():
            shutil.copyfile(artifact.folder / name, folder / name)
    beside = saved_files.load_beside(artifact.folder)
    pad_(beside["tokenizer"])
    return Written(form, beside["tokenizer"], beside["config"], pairs=_texts(beside["config"]) > 1)


def _texts(config: Any) -> int:
    """How many texts a row of a sentence encoder has; 1 of other models."""
    return int((getattr(config, "sentence", None) or {}).get("texts", 1))


def _from_torch(model: Any, form: str | None, folder: Path, here: Any) -> Written:
    from slimgate.cli.export.stock import auto_class, not_stock

    if hasattr(model.network, "load_tokenizer"):
        raise BuildError(f"{type(model.network).__name__} reads more than text, which is not exported")
    own = not_stock(model) if form in (None, "transformers") else None
    if form == "transformers" and own:
        other = "--format onnx, or --format openvino" if model.kind == "torch" else "--format onnx"
        raise BuildError(f"no class of transformers holds it ({own}); say {other}")
    form = form or ("onnx" if own else "transformers")
    pad_(model.tokenizer)
    if getattr(model.config, "sentence", None):  # one text a row, where the task's rows have two
        model.config.sentence = {**model.config.sentence, "texts": 1}
    batches = example_batches(model.tokenizer, model.config)
    before = scores(predictor_of(model, here), batches)
    made, tolerance = WRITERS[form](model, batches, folder)
    check_agreement(before, scores(predictor_of(made, here), batches), batches, here, tolerance=tolerance)
    return Written(
        form,
        model.tokenizer,
        model.config,
        auto=auto_class(model) if form == "transformers" else None,
        compared=here.log,
    )


def pad_(tokenizer: Any) -> None:
    """Gives a tokenizer without a padding token one; the mask says that it does not count."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)


def _write_transformers(model: Any, batches: Any, folder: Path) -> tuple[Any, float]:  # noqa: ARG001
    from dataclasses import replace

    from slimgate.cli.export.stock import save_stock

    return replace(model, network=save_stock(model, folder)), TOLERANCE


def _write_onnx(model: Any, batches: Any, folder: Path) -> tuple[Any, float]:
    from slimgate.compress.layers.int8_in_graph import with_integer_operators_
    from slimgate.models.onnx_export import export_onnx
    from slimgate.models.onnx_model import OnnxModel

    integers = with_integer_operators_(model.network)
    made = OnnxModel(export_onnx(model.network, batches, opset=OPSET), model.tokenizer, model.config)
    made.save(folder)
    return made, INTEGER_TOLERANCE if integers else TOLERANCE


def _write_openvino(model: Any, batches: Any, folder: Path) -> tuple[Any, float]:
    from slimgate.models.openvino_export import export_openvino
    from slimgate.models.openvino_model import OpenVinoModel

    if model.kind != "torch":
        raise BuildError(
            f"its layers are of kind {model.kind}, which --format openvino does not take; say --format onnx"
        )
    graph = export_openvino(model.network, batches[0], attention="eager")
    made = OpenVinoModel(graph, model.tokenizer, model.config)
    made.save(folder)
    return made, TOLERANCE


WRITERS: dict[str, Callable[[Any, Any, Path], tuple[Any, float]]] = {
    "transformers": _write_transformers,
    "onnx": _write_onnx,
    "openvino": _write_openvino,
}
