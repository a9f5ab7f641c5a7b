"""Describes what computes, and the files that a model, an option, a task or a server names.

Every file counts, unless its name is in `NEVER_COUNTS`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slimgate
from slimgate._system.digests import (
    SECRET,
    digest_folder,
    digest_json,
    digest_own_code,
    file_sha256,
    list_files_below,
    list_imports,
    read_versions,
)
from slimgate._system.distributions import read_package_states
from slimgate._system.processor import LIMITS, describe_processor
from slimgate.errors import DataError
from slimgate.models.saved_files import find_main_dtype
from slimgate.plugins.base import Json
from slimgate.plugins.models import ModelRef
from slimgate.runtimes.endpoint import EndpointTable, StartedEndpoint
from slimgate.store.store import list_files
from slimgate.suite.suite import Suite

if TYPE_CHECKING:
    from pydantic import BaseModel

    from slimgate.run.rows import PreparedRows


# Libraries that compute the answers of every model.
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "safetensors")
# Libraries that read weights that are quantized already.
READERS = ("auto-round", "bitsandbytes", "compressed-tensors", "gguf", "gptqmodel", "torchao")
# Environment variables that make libraries compute float32 in fewer bits. Variables that only choose among
# kernels for the processor are in `describe_processor`.
ARITHMETIC = (
    "DNNL_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def list_common_inputs(
    rows: PreparedRows, reads: tuple[str, ...], packages: tuple[str, ...], device: str
) -> Json:
    """The inputs of whatever is computed from rows. reads: splits; packages: in addition to PACKAGES."""
    return {"data": rows.list_digests(reads), **describe_platform(device, packages)}


def describe_platform(device: str, packages: tuple[str, ...] = ()) -> Json:
    """What computes: the device, versions of PACKAGES and of these packages, settings of arithmetic."""
    return {
        "device": device.split(":")[0],
        "versions": dict(read_versions((*PACKAGES, *packages))),
        "arithmetic": describe_arithmetic(),
    }


def describe_software() -> dict[str, str | None]:
    """The versions that must be equal on all machines of a run, so that their keys are equal.

    - slimgate's code, Python, the distributions that compute models
    """
    return {
        **read_versions(PACKAGES),
        "python": platform.python_version(),
        "slimgate": f"{slimgate.__version__} ({digest_own_code()[:8]})",
    }


def read_environment(plugin: Any, params: BaseModel) -> Json:
    """The further inputs that a step or a task declares. Raises TypeError if they are not JSON values."""
    environment: Json = plugin.environment(params)
    try:
        digest_json(environment)
    except (TypeError, ValueError) as error:
        raise TypeError(f"its environment returned {environment!r}, expected JSON values: {error}") from error
    return environment


def read_variables() -> dict[str, str]:
    """The environment variables that change how libraries compute, if they are set."""
    return {name: os.environ[name] for name in sorted({*ARITHMETIC, *LIMITS}) if os.environ.get(name)}


def describe_arithmetic() -> Json:
    """Settings that compute float32 in fewer bits: environment variables, and torch's own setting."""
    precision = _read_matmul_precision()
    return {
        **{name: os.environ[name] for name in ARITHMETIC if os.environ.get(name)},
        **({} if precision == "highest" else {"float32_matmul_precision": precision}),
    }


def describe_format(ref: ModelRef, *, fitted: bool) -> Json:
    """The format of a loaded model's weights, and what reads them; empty for float32.

    fitted: a head is fitted on the model, in float32.
    """
    if ref.stored is not None:
        return {"stored": ref.stored, "dtype": ref.dtype, "readers": dict(read_versions(READERS))}
    stored = find_main_dtype(ref.folder) if ref.folder is not None and not ref.fresh else None
    dtype = ref.dtype or ("float32" if fitted else stored)
    return {} if dtype in (None, "float32") else {"dtype": dtype}


def describe_suite_processor(suite: Suite, device: str) -> str:
    """The processor and the number of threads, for keys of results that depend on them."""
    return describe_processor(device, threads=suite.threads)


@cache
def _read_matmul_precision() -> str:
    """torch's setting at the start of the process: torchao's steps change it as a side effect."""
    torch: Any = sys.modules.get("torch")
    return "highest" if torch is None else str(torch.get_float32_matmul_precision())


# Names of files and folders that cannot change the answers of a model, a server or a task: texts for people,
# version control, and leftovers of training, Python and file managers. All other files in a folder count.
NEVER_COUNTS = (
    *("README*", "*.md", "*.rst", "LICENSE*", "LICENCE*", "NOTICE*", "CITATION*", "CHANGELOG*"),
    *(".git*", ".cache", ".DS_Store", "__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".slimgate"),
    *("*.log", "events.out.tfevents.*", "checkpoint-[0-9]*", "trainer_state.json", "training_args.bin"),
    *("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state*.pth"),
)
_SETTINGS = frozenset(
    {".sh", ".bash", ".py", ".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".env"}
)
_MAX_TEXT_BYTES = 256 * 1024
_LONGEST_PATH = 1000
# Variables from which servers read options.
_SERVER_PREFIXES = ("GGML_", "LLAMA_", "OLLAMA_", "SGLANG_", "VLLM_")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)")
_SEPARATORS = re.compile(r"[\s\"'=,;:|&<>(){}\[\]$`]+")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_MODEL_FILES = ("config.json", "*.safetensors", "*.gguf", "*.onnx", "*.bin")
_WEIGHTS = (".safetensors", ".bin", ".onnx", ".data", ".xml", ".pt2", ".gguf", ".so")
_NOTES = ("slimgate.json", "cascade.json", "generation_config.json", "model.safetensors.index.json")
# Keys of config.json that may affect how rows become inputs.
_OF_INPUTS = re.compile(r"model_type|tokenizer|token|vocab|position|length|max_|image|patch|label|prefix")


def digest_model_files(ref: ModelRef) -> str:
    """Digest of the files of a model: their names and bytes."""
    assert ref.folder is not None
    return digest_folder(ref.folder, list_model_files(ref))


def list_model_files(ref: ModelRef) -> list[str]:
    """The files of a model that count: all below its folder except `NEVER_COUNTS`.

    For a GGUF file: the file itself and its neighbours, without other GGUF files and folders.
    """
    assert ref.folder is not None
    if ref.file is None:
        return list_files_below(ref.folder, NEVER_COUNTS)
    neighbours = list_files_below(ref.folder, (*NEVER_COUNTS, *_list_folders(ref.folder), "*.gguf"))
    return sorted({ref.file, *neighbours})


def digest_option_files(options: Any) -> dict[str, str]:
    """Digests of the files and folders that options name, by the paths of the options.

    A string counts if it is a path from the current folder or the home folder (~). A word without a suffix
    counts only if it names a file: `data` of the current folder may be something else than an option "data".
    """
    digests: dict[str, str] = {}
    for option, text in _list_texts(options):
        if not 0 < len(text) <= _LONGEST_PATH or "\0" in text:
            continue
        path = Path(os.path.expanduser(text))
        is_path = path.is_absolute() or "/" in text or path.suffix or os.path.isfile(path)
        if is_path and (digest := _digest_content(path)) is not None:
            digests[option] = digest
    return digests


def digest_server_files(params: EndpointTable, base: Path) -> Json:
    """Digests of what a server's command names; empty for a server that slimgate does not start.

    - the program: the file that PATH leads to. Of Python, and of a script that Python runs, also the names of
      the packages (with versions) of its environment.
    - every argument, and every part of one (`--model=PATH`, `name=PATH`, a shell's command, JSON), that is a
      file or a folder, from the current folder, where the server runs, or from the suite's (base)
    - a module that Python is to run (`-m serve`, `serve:app`), and what it imports of the same folders
    - in turn what the named scripts and settings (.sh, .yaml, .json, .toml, .py, …, small ones) name: files
      with a suffix, and folders of models
    - the variables of the environment that the command names ($MODEL), and those that servers read
      (VLLM_…, LLAMA_ARG_…), with the files that they name

    All files of a folder except `NEVER_COUNTS` count. A path that is not spelled out in these is not seen.
    """
    if not isinstance(params, StartedEndpoint):
        return {}
    program, *arguments = params.server.command
    contents: Json = {}
    resolved = shutil.which(program)
    if resolved is not None:
        contents["$program"] = file_sha256(Path(resolved))
        contents["$packages"] = _list_environment_packages(Path(resolved))
    contents["$variables"] = variables = _read_server_variables(params.server.command)
    folders = tuple(dict.fromkeys((Path.cwd(), base.resolve())))
    todo = [path for text in (*arguments, *variables.values()) for path in _find_paths(text, folders)]
    seen = set[Path]()
    while todo:
        path = todo.pop()
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        contents[_format_path(path, folders)] = _digest_content(path)
        todo += _list_named_paths(path, folders)
    return dict(sorted(contents.items()))


def _read_server_variables(command: Sequence[str]) -> dict[str, str]:
    """The variables of the environment that a command names, and those that servers read, without secrets."""
    names = {name for text in command for name in _VARIABLE.findall(text)}
    names |= {name for name in os.environ if name.startswith(_SERVER_PREFIXES)}
    return {
        name: os.environ[name] for name in sorted(names) if name in os.environ and not SECRET.search(name)
    }


def _list_named_paths(file: Path, folders: Sequence[Path]) -> list[Path]:
    """The models and files that a small script or file of settings names; empty for other files."""
    if not file.is_file() or file.suffix not in _SETTINGS or file.stat().st_size > _MAX_TEXT_BYTES:
        return []
    near = (*folders, file.parent)
    paths = [
        path
        for path in _find_paths(file.read_text("utf-8", errors="replace"), near)
        if _is_model(path) or (path.is_file() and path.suffix)
    ]
    return [*paths, *_find_imported_files(file, near)] if file.suffix == ".py" else paths


def is_unknown_server(params: BaseModel) -> bool:
    """Whether it is a server that slimgate does not start, so that the model behind it is unknown."""
    return isinstance(params, EndpointTable) and not isinstance(params, StartedEndpoint)


def check_server(params: BaseModel, base: Path, before: Json) -> None:
    """Raises DataError if a file that a server's command names has changed since `before`.

    Files that are new since then may be the server's own.
    """
    if not isinstance(params, StartedEndpoint):
        return
    now = digest_server_files(params, base)
    for name, digest in before.items():
        if now.get(name) != digest:
            raise DataError(
                f"server: {name} changed while the server ran, so it is unknown which version answered; "
                "run again when no program writes there (a log that the server writes should end in .log)"
            )


def digest_tokenizer(folder: Path) -> str:
    """The tokenizer of an artifact. Artifacts with the same key share the encoded rows of a run.

    - every file except the weights and slimgate's own notes; from config.json the keys on tokens, lengths,
      images and labels, so that models of other sizes share the rows
    - from tokenizer.json everything except the length to which it last truncated: the task sets that
    """
    names = [
        name for name in list_files(folder) if not name.endswith(_WEIGHTS) and Path(name).name not in _NOTES
    ]
    return digest_json(
        {name: _digest_settings(folder / name) or file_sha256(folder / name) for name in names}
    )


def _digest_settings(file: Path) -> str | None:
    """The digest of the parts of tokenizer.json or config.json that count; None for other files."""
    if file.name not in ("tokenizer.json", "config.json"):
        return None
    try:
        settings = json.loads(file.read_text("utf-8"))
    except ValueError:
        return None
    if not isinstance(settings, dict):
        return None
    if file.name == "config.json":
        return digest_json({key: value for key, value in settings.items() if _OF_INPUTS.search(key)})
    for key in ("truncation", "padding"):
        settings[key] = (settings.get(key) or {}).get("direction", "Right")
    return digest_json(settings)


def _list_texts(options: Any, option: str = "") -> Iterator[tuple[str, str]]:
    """(option, text) of every string in JSON values."""
    if isinstance(options, str):
        yield option, options
    elif isinstance(options, Mapping):
        for name, value in options.items():
            yield from _list_texts(value, f"{option}.{name}")
            yield from _list_texts(name, f"{option}.{name} (name)")
    elif isinstance(options, Sequence):
        for number, value in enumerate(options):
            yield from _list_texts(value, f"{option}[{number}]")


def _digest_content(path: Path) -> str | None:
    """The digest of a file, or of a folder's files that count; None if the path is neither."""
    try:
        if path.is_file():
            return file_sha256(path)
        if path.is_dir() and path.resolve() != Path("/"):
            return digest_folder(path, _list_folder_files(path))
    except OSError:
        return None
    return None


def _list_folder_files(folder: Path) -> list[str]:
    """The files of a folder that count, without slimgate's own output and Python environments."""
    written = [
        path.name
        for path in folder.iterdir()
        if path.is_dir()
        and any((path / mark).exists() for mark in ("pyvenv.cfg", "run.json", "latest", "locks"))
    ]
    return list_files_below(folder, (*NEVER_COUNTS, *written))


def _list_folders(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir()]


def digest_task_folder(folder: Path) -> Json:
    """Digests a task's folder without weights and suites, and the packages that its Python files import."""
    names = [
        name
        for name in _list_folder_files(folder)
        if not name.endswith((".safetensors", ".gguf", ".onnx")) and not _is_suite(folder / name)
    ]
    imported = {
        module.partition(".")[0]
        for name in names
        if name.endswith(".py")
        for module in list_imports(folder / name)
    }
    return {"files": digest_folder(folder, names), "packages": read_package_states(imported)}


def _is_suite(file: Path) -> bool:
    return file.suffix == ".toml" and "[suite]" in file.read_text("utf-8", errors="replace")


def _find_paths(text: str, folders: Collection[Path]) -> Iterator[Path]:
    """The files and folders that a text names: the whole text, the part after a =, or one of its words."""
    words = dict.fromkeys((text, text.partition("=")[2], *_SEPARATORS.split(text)))
    for word in words:
        if not _can_be_path(word):
            continue
        names = [word]
        if _MODULE.fullmatch(word):
            module = word.replace(".", "/")
            names += [f"{module}.py", module]
        for folder in folders:
            for name in dict.fromkeys(names):
                if os.path.exists(folder / name):
                    yield folder / name


def _can_be_path(word: str) -> bool:
    """Whether a word can name a file or a folder. Dots and slashes alone must name the folder of a model."""
    is_only_dots = word.strip("./") == ""
    is_possible = 0 < len(word) <= _LONGEST_PATH and "\0" not in word
    return is_possible and (not is_only_dots or _is_model(Path(word)))


def _find_imported_files(file: Path, folders: Collection[Path]) -> list[Path]:
    """The files of the modules that a Python file imports from some folders."""
    modules = [name.replace(".", "/") for name in list_imports(file)]
    names = [name for module in modules for name in (f"{module}.py", f"{module}/__init__.py")]
    paths = (folder / name for folder in folders for name in names)
    return [path for path in paths if path.is_file()]


def _is_model(folder: Path) -> bool:
    return folder.is_dir() and any(next(folder.glob(pattern), None) for pattern in _MODEL_FILES)


def _format_path(path: Path, folders: Sequence[Path]) -> str:
    """A path for keys: relative to the first folder that contains it, so that a copy has the same key."""
    for folder in folders:
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return str(path)


def _list_environment_packages(program: Path) -> list[str]:
    """Names and versions of the packages in the environment of a Python program or script."""
    with program.open("rb") as stream:
        first = stream.readline(200)
    if "python" not in program.name and not (first.startswith(b"#!") and b"python" in first):
        return []
    folders = program.parent.parent.glob("lib/python*/site-packages")
    return sorted(path.name for folder in folders for path in folder.glob("*.dist-info"))
