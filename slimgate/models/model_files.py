"""What the folder of a model may not contain, because loading it could run code or read other files.

It may not name its own code, files of other folders, an adapter on its weights, or weights that are
archive bombs. It may not contain pointers of Git LFS in the place of its files either.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system.json_text import read_json
from slimgate.errors import SuiteError

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

# The files in which transformers looks for the names of a folder's own classes (auto_map).
SETTINGS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
ADAPTER = "adapter_config.json"
INDEX = "*.safetensors.index.json"
_POINTER, _LONGEST_POINTER = b"version https://git-lfs", 1024


def check_model_files(folder: Path, text: str) -> None:
    """Raises SuiteError if loading the folder could run code or read other files.

    text: the model, as the suite names it. Only small files and a .bin's table of contents are read.
    """
    check_no_pointers(folder.iterdir(), text)
    _check_own_code(folder, text)
    _check_adapter(folder, text)
    _check_shards(folder, text)
    for file in sorted(folder.glob("pytorch_model*.bin")):
        _check_archive(file, text)


def check_no_pointers(files: Iterable[Path], text: str) -> None:
    """Raises SuiteError if a file is only a pointer of Git LFS, because its content was not fetched."""
    for file in sorted(files):
        if file.is_file() and file.stat().st_size < _LONGEST_POINTER:
            with file.open("rb") as stream:
                if stream.read(len(_POINTER)) == _POINTER:
                    raise SuiteError(
                        f'"{text}": {file.name} is a pointer of Git LFS, not the file itself; fetch the file '
                        "with `git lfs pull`"
                    )


def _check_own_code(folder: Path, text: str) -> None:
    for name in SETTINGS:
        settings = _read_settings_file(folder / name)
        classes = settings.get("auto_map")
        if classes and not _has_class_of_transformers(name, settings):
            raise SuiteError(
                f'"{text}": {name} needs custom code of the model ({_name_first_class(classes)}), which '
                "slimgate never runs; use a model whose classes are in transformers, or convert it"
            )


def _read_settings_file(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        settings = read_json(file)
    except (OSError, ValueError) as error:
        raise SuiteError(f"{file}: cannot be read as a model's settings: {error}") from error
    return settings if isinstance(settings, dict) else {}


def _name_first_class(classes: object) -> str:
    return str(next(iter(classes.values())) if isinstance(classes, dict) else classes)[:80]


def _has_class_of_transformers(name: str, settings: Json) -> bool:
    """Whether transformers has the class; then it ignores the folder's code. Does not load torch."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if name == SETTINGS[0]:
        return settings.get("model_type") in CONFIG_MAPPING_NAMES
    keys = ("tokenizer_class", "processor_class", "image_processor_type", "feature_extractor_type")
    return any(isinstance(settings.get(key), str) and hasattr(transformers, settings[key]) for key in keys)


def _check_adapter(folder: Path, text: str) -> None:
    """Raises SuiteError for an adapter of peft.

    transformers adds it to the weights if peft is installed, although they may contain it. Its settings can
    name other weights, too.
    """
    if (folder / ADAPTER).is_file():
        raise SuiteError(
            f'"{text}": {ADAPTER} asks for an adapter on the weights, which slimgate does not load; merge it '
            "and save the model in another folder, or if the weights contain it, remove "
            f"{ADAPTER} and adapter_model.safetensors"
        )


def _check_shards(folder: Path, text: str) -> None:
    for index in sorted(folder.glob(INDEX)):
        names = _read_settings_file(index).get("weight_map", {})
        for shard in sorted({str(name) for name in names.values()} if isinstance(names, dict) else ()):
            if shard != Path(shard).name or not (folder / shard).is_file():
                raise SuiteError(
                    f'"{text}": {index.name} names the file {shard[:80]!r}, expected an existing file next '
                    "to it"
                )


def _check_archive(file: Path, text: str) -> None:
    """Raises SuiteError for a compressed archive, because torch stores numbers uncompressed."""
    if not zipfile.is_zipfile(file):
        return  # written before 2020: the file's size limits what its reader allocates
    try:
        with zipfile.ZipFile(file) as stored:
            entries = stored.infolist()
    except zipfile.BadZipFile as error:
        raise SuiteError(f'"{text}": {file.name} is a damaged archive: {error}') from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        size = sum(entry.file_size for entry in entries)
        raise SuiteError(
            f'"{text}": {file.name} is compressed, {size:,} bytes in {file.stat().st_size:,}, which '
            "weights of torch never are, so it is not opened"
        )
