"""Folders that hold a model as a graph, as `slimgate export` writes them: its kind and its files.

    onnx        model.onnx, with its weights in model.onnx.data where they are many
    openvino    model.xml and model.bin

Beside the graph stand config.json and the tokenizer that its inputs come from.
"""

from __future__ import annotations

from pathlib import Path

from slimgate.errors import SuiteError
from slimgate.models.model_files import check_model_files
from slimgate.models.tokenizer_files import has_tokenizer

TORCH = "torch"
# The files of each kind; the first one names the kind, and all but those of MAY_LACK must be there.
FILES = {"onnx": ("model.onnx", "model.onnx.data"), "openvino": ("model.xml", "model.bin")}
MAY_LACK = frozenset({"model.onnx.data"})


def model_kind(folder: Path, text: str, weights: tuple[str, ...]) -> str | None:
    """The kind of artifact that a folder holds; None where it holds no model.

    weights: the files of a PyTorch model. text: the folder, as the suite names it. Raises SuiteError where it
    holds two models: nobody could tell which one is judged.
    """
    firsts = {TORCH: weights, **{kind: names[:1] for kind, names in FILES.items()}}
    there = {kind: [name for name in names if (folder / name).is_file()] for kind, names in firsts.items()}
    found = {kind: names[0] for kind, names in there.items() if names}
    if len(found) > 1:
        raise SuiteError(
            f'"{text}": {folder} holds {" and ".join(found.values())}, expected one model; put each into a '
            "folder of its own, with config.json and the tokenizer"
        )
    return next(iter(found), None)


def check_graph_folder(folder: Path, kind: str, text: str) -> None:
    """Raises SuiteError where a file of the graph, config.json or the tokenizer is missing."""
    needed = [name for name in FILES[kind] if name not in MAY_LACK]
    for name in (*needed, "config.json"):
        if not (folder / name).is_file():
            raise SuiteError(
                f'"{text}": {folder} has {needed[0]} and no {name}, expected {_expected(kind)}; '
                "`slimgate export` writes all of them"
            )
    if not has_tokenizer(folder):
        raise SuiteError(f'"{text}": {folder} has no tokenizer, expected {_expected(kind)}')
    check_model_files(folder, text)


def graph_files(folder: Path) -> list[Path]:
    """The files that hold a graph and its weights; none of a PyTorch model."""
    return [folder / name for names in FILES.values() for name in names if (folder / name).is_file()]


def _expected(kind: str) -> str:
    needed = [name for name in FILES[kind] if name not in MAY_LACK]
    return f"{', '.join((*needed, 'config.json'))} and the tokenizer's files"
