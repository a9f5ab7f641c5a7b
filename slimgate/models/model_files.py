"""What a model's folder may not ask for: code of its own, files of other folders, weights that are bombs."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

from slimgate._system.json_text import read_json
from slimgate.errors import SuiteError

# Where transformers looks for the names of a folder's own classes (auto_map).
SETTINGS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
# The packages by which transformers reads weights that are quantized already, by quant_method.
QUANTIZED_BY = {
    "awq": ("gptqmodel",),
    "bitsandbytes": ("bitsandbytes",),
    "compressed-tensors": ("compressed-tensors",),
    "gptq": ("optimum", "gptqmodel"),
    "torchao": ("torchao",),
}
INDEX = "*.safetensors.index.json"


def check_model_files(folder: Path, text: str) -> None:
    """Raises SuiteError where the folder would have to be trusted further than its numbers.

    text: the model, as the suite names it. Only small files and a .bin's table of contents are read.
    """
    _no_own_code(folder, text)
    _has_packages(folder, text)
    _no_shards_elsewhere(folder, text)
    for file in sorted(folder.glob("pytorch_model*.bin")):
        _no_bomb(file, text)


def _no_own_code(folder: Path, text: str) -> None:
    for name in SETTINGS:
        settings = _settings(folder / name)
        classes = settings.get("auto_map")
        if classes and not _has_class_of_transformers(name, settings):
            raise SuiteError(
                f'"{text}": {name} names code of the model\'s own ({_first(classes)}), which '
                "slimgate never runs; name a model whose classes transformers has, or convert it"
            )


def _has_packages(folder: Path, text: str) -> None:
    """A model that was quantized elsewhere is read by the package that quantized it."""
    stated = _settings(folder / SETTINGS[0]).get("quantization_config")
    method = stated.get("quant_method") if isinstance(stated, dict) else None
    needed = QUANTIZED_BY.get(str(method), ())
    missing = [package for package in needed if importlib.util.find_spec(package.replace("-", "_")) is None]
    if missing:
        raise SuiteError(
            f'"{text}": config.json says that it is quantized by {method}, which needs '
            f"{' and '.join(missing)}: pip install {' '.join(missing)}"
        )


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        found = read_json(file)
    except (OSError, ValueError) as error:
        raise SuiteError(f"{file}: cannot be read as a model's settings: {error}") from error
    return found if isinstance(found, dict) else {}


def _first(classes: Any) -> str:
    return str(next(iter(classes.values())) if isinstance(classes, dict) else classes)[:80]


def _has_class_of_transformers(name: str, settings: dict[str, Any]) -> bool:
    """Then that one is taken, and the folder's code is left alone. Loads transformers, without torch."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if name == SETTINGS[0]:
        return settings.get("model_type") in CONFIG_MAPPING_NAMES
    keys = ("tokenizer_class", "processor_class", "image_processor_type", "feature_extractor_type")
    return any(isinstance(settings.get(key), str) and hasattr(transformers, settings[key]) for key in keys)


def _no_shards_elsewhere(folder: Path, text: str) -> None:
    for index in sorted(folder.glob(INDEX)):
        names = _settings(index).get("weight_map", {})
        for shard in sorted({str(name) for name in names.values()} if isinstance(names, dict) else ()):
            if shard != Path(shard).name or not (folder / shard).is_file():
                raise SuiteError(
                    f'"{text}": {index.name} names the file {shard[:80]!r}, '
                    "expected one beside it that there is"
                )


def _no_bomb(file: Path, text: str) -> None:
    """torch stores numbers as they are; a compressed archive was made by somebody else."""
    if not zipfile.is_zipfile(file):
        return  # of before 2020: its reader is bounded by the file's size
    try:
        with zipfile.ZipFile(file) as stored:
            found = stored.infolist()
    except zipfile.BadZipFile as error:
        raise SuiteError(f'"{text}": {file.name} is a damaged archive: {error}') from error
    if any(one.compress_type != zipfile.ZIP_STORED for one in found):
        size = sum(one.file_size for one in found)
        raise SuiteError(
            f'"{text}": {file.name} is compressed, {size:,} bytes in {file.stat().st_size:,}, '
            "which no weights of torch are: it is not opened"
        )
