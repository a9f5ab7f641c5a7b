"""A script in another Python environment: its input, its run, its output."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system.worker import describe_end
from slimgate.errors import BuildError, SuiteError, to_one_line
from slimgate.models.model_files import check_model_files
from slimgate.models.model_ref import list_weight_files
from slimgate.models.pretrained import load_weights, require_weights
from slimgate.models.saved_files import load_tokenizer
from slimgate.models.served import (
    Served,
    copy_served,
    find_gguf_file,
    load_written,
    read_auto_class,
    read_quant_method,
    save_plain,
)
from slimgate.models.torch_model import TorchModel
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.steps.convert.external import Params

LOG = "external.log"
# How many lines of the log an error shows.
SHOWN = 5
# Environment variables that would make the other Python import this one's packages.
OF_THIS_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__")
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
_PACKAGES = (
    "import importlib.metadata as m, json, sys\n"
    "found = sorted({(d.metadata['Name'] or '', d.version) for d in m.distributions()})\n"
    "print(json.dumps([sys.version, found]))"
)


def list_installed_packages(python: Path) -> Any:
    """[version of Python, [[package, version], …]] of an environment. Raises BuildError."""
    try:
        done = subprocess.run(
            [str(python), "-c", _PACKAGES],
            env=_make_environment(),
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode == 0:
            return json.loads(done.stdout)
        problem = (done.stderr.strip().splitlines() or [describe_end(done.returncode)])[-1]
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    raise BuildError(f"{python} does not work as a Python interpreter: {problem}")


def write_input(model: TorchModel | Served, folder: Path) -> str:
    """Writes the model as transformers saves it, or copies its folder."""
    folder.mkdir()
    if isinstance(model, Served):
        copy_served(model.folder, folder)
    else:
        save_plain(model, folder)
    return str(folder)


def run_script(params: Params, request: Mapping[str, object], folder: Path, context: BuildContext) -> None:
    """Runs the script to its end. Raises BuildError at the time limit, and for an exit code other than 0."""
    request_file, log = folder / "request.json", folder / LOG
    request_file.write_text(json.dumps(request, indent=1), "utf-8")
    context.extra_files.append(log)
    with log.open("wb") as stream:
        try:
            process = subprocess.Popen(
                [str(params.python), str(params.script), str(request_file)],
                cwd=folder,
                env=_make_environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise BuildError(f"{params.python} cannot be started: {error.strerror}") from error
        code = _wait(process, params.timeout_minutes * 60)
    if code is None:
        raise _make_script_error(
            f"did not end within timeout_minutes = {params.timeout_minutes:g}", params, log
        )
    if code != 0:
        end = f"ended with exit code {code}" if code > 0 else describe_end(code).removeprefix("it ")
        raise _make_script_error(end, params, log)


def _wait(process: subprocess.Popen[bytes], limit: float) -> int | None:
    """The exit code; None at the limit (seconds). Processes that the script started end with it."""
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:  # also after Ctrl-C, which does not reach the script's session
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _make_environment() -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if name not in OF_THIS_PYTHON}
    return {**dict.fromkeys(OFFLINE, "1"), "PYTHONUNBUFFERED": "1", **variables}


def _make_script_error(end: str, params: Params, log: Path) -> BuildError:
    text = log.read_text("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()][-SHOWN:]
    last_lines = f"; it printed last: {' | '.join(lines)}" if lines else "; it printed nothing"
    error = BuildError(f"{params.script.name} {end}{last_lines}")
    error.log = text
    return error


def read_result(model: TorchModel | Served, folder: Path, params: Params, context: BuildContext) -> Any:
    """The model in the folder that the script wrote. Raises BuildError if it has none, or another form."""
    name = params.script.name
    if find_gguf_file(folder) is None and not list_weight_files(folder):
        files = ", ".join(sorted(file.name for file in folder.iterdir())) or "nothing"
        raise BuildError(
            f"{name} ended without an error, but its output folder has no weights (it has {files})"
        )
    if find_gguf_file(folder) is None and not (folder / "config.json").is_file():
        raise BuildError(f"{name} wrote weights without config.json; save the model with save_pretrained")
    _copy_missing(model, folder)
    try:
        check_model_files(folder, f"output of {name}")
    except SuiteError as error:
        raise BuildError(str(error)) from error
    method = read_quant_method(folder)
    if params.gives == "torch":
        if method is not None:
            raise BuildError(
                f"{name} wrote weights that are quantized ({method}), expected floats; set gives = "
                '"transformers"'
            )
        return _read_floats(model, folder, name, context)
    if method is None:
        raise BuildError(
            f'{name} wrote weights that are not quantized; set gives = "torch", so that they are timed, '
            "and further steps can follow"
        )
    return load_written(folder, model, model.measure_size(), context)


def _copy_missing(model: TorchModel | Served, folder: Path) -> None:
    """Copies the tokenizer, or the settings next to a GGUF file, if the script did not write them."""
    source = folder.parent / "input"
    for file in source.iterdir():
        is_companion = file.suffix in (".json", ".txt", ".model", ".jinja") and "index" not in file.name
        if is_companion and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)


def _read_floats(model: TorchModel | Served, folder: Path, name: str, context: BuildContext) -> TorchModel:
    ref = ModelRef(name, folder, new_head=False)
    weights = load_weights(read_auto_class(model), ref)
    require_weights(ref, weights, context)
    tokenizer = _read_tokenizer(folder, name)
    return TorchModel(weights.network.to(context.device).eval(), tokenizer, model.architecture)


def _read_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerBase:
    """The script's tokenizer, because a script may change the numbers of tokens; else that of the input."""
    try:
        tokenizer: PreTrainedTokenizerBase = load_tokenizer(folder)
    except (OSError, ValueError, LookupError, TypeError) as error:
        problem = to_one_line(error)[:200]
        raise BuildError(f"{name} wrote a tokenizer that transformers cannot load: {problem}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
