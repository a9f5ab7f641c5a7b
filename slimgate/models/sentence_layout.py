"""The settings of a model in a sentence-transformers folder: modules.json and the folders that it names.

    modules.json   1_Pooling/config.json   2_Dense/config.json + weights   3_Normalize

Only the settings are read here; a folder without modules.json has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slimgate._system.json_text import read_json
from slimgate.errors import BuildError

# Settings in pooling's config.json, in both ways in which it is written.
_POOLING = {"mean": "mean", "cls": "cls", "max": "max", "lasttoken": "last"}
_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def read_sentence_layout(folder: Path) -> dict[str, Any]:
    """pooling, normalize, dense (as for SentenceEncoder) and dense_files; empty without modules.json.

    Raises BuildError for a module or a setting that SentenceEncoder does not have.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    layout: dict[str, Any] = {"normalize": False, "dense": [], "dense_files": []}
    for module in _read_json(path):
        kind = str(module["type"]).rpartition(".")[2]
        inner = _resolve_module_folder(folder, module.get("path", ""))
        if layout["normalize"]:
            raise BuildError(f"{path}: module {kind} comes after Normalize, which must be the last")
        if kind == "Pooling":
            layout["pooling"] = _read_pooling(inner / "config.json")
        elif kind == "Dense":
            layout["dense"].append(_read_dense_layer(inner / "config.json"))
            layout["dense_files"].append(_find_weights_file(inner))
        elif kind == "Normalize":
            layout["normalize"] = True
        elif kind != "Transformer":
            raise BuildError(
                f"{path}: module {kind} is not known, expected Transformer, Pooling, Dense or Normalize"
            )
    return layout


def _resolve_module_folder(folder: Path, path: object) -> Path:
    """A module's folder. path: as modules.json names it. Raises BuildError if it is not in the model's."""
    if Path(str(path)).is_absolute() or ".." in Path(str(path)).parts:
        raise BuildError(f"{folder / 'modules.json'}: path {path!r} is outside of the model's folder")
    return folder / str(path)


def _read_pooling(path: Path) -> str:
    config = _read_json(path)
    stated = config.get("pooling_mode")
    modes = [stated] if isinstance(stated, str) else stated or []
    poolings = [_POOLING.get(mode) for mode in modes]
    poolings += [
        _FLAGS.get(key) for key, on in config.items() if key.startswith("pooling_mode_") and on is True
    ]
    if len(poolings) != 1 or poolings[0] is None:
        raise BuildError(
            f"{path}: {config} was given, expected one way of pooling: mean, cls, max or lasttoken; or "
            "choose another with [task] pooling"
        )
    return poolings[0]


def _read_dense_layer(path: Path) -> dict[str, Any]:
    config = _read_json(path)
    activation = str(config.get("activation_function", "Identity")).rpartition(".")[2].removesuffix("()")
    if activation not in ("Identity", "Tanh"):
        raise BuildError(f"{path}: activation {activation} was given, expected Identity or Tanh")
    return {
        "in_features": int(config["in_features"]),
        "out_features": int(config["out_features"]),
        "bias": bool(config.get("bias", True)),
        "activation": activation,
    }


def _find_weights_file(folder: Path) -> Path:
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise BuildError(f"{folder}: no weights, expected {' or '.join(_WEIGHTS)}")


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise BuildError(f"{path}: cannot be read: {error}") from error
