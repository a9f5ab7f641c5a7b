"""Runs a script of yours in another Python environment, for tools that pin other versions of packages.

    { external = { python = "../venv-llmc/bin/python", script = "compress.py", options = { bits = 4 } } }

llm-compressor and ModelOpt are such tools. The script gets one argument, a JSON file:

    {"input": FOLDER, "output": FOLDER, "options": {…}, "calibration": FILE or null, "seed": 0,
     "device": "cpu"}

`input` is the model as transformers saves it, with its tokenizer. `output` is empty: the script writes a
folder there that transformers loads. Without a tokenizer, it gets that of `input`. `calibration` is a JSON
Lines file with the texts of the calibration rows: its keys are the text columns of the suite's [task]. Gate
rows are never given. What the script prints goes to external.log next to the artifact.
At the time limit, and on Ctrl-C, the script ends with all that it started. Libraries of Hugging Face do not
use the network there, unless the environment variables HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE and
HF_DATASETS_OFFLINE say otherwise.
The store's key has the script, the options, the model before it, and the packages that are installed in the
environment. It does not have files that the script reads or imports.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, field_validator

from slimgate.errors import SuiteError
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import SuitePath, Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.served import Served
    from slimgate.models.torch_model import TorchModel


def _parse_python_path(value: object) -> object:
    """The program, from the suite's folder, or a name on PATH. Links stay: a venv's Python is one."""
    if not isinstance(value, str):
        return value
    if os.sep not in value:
        return Path(shutil.which(value) or value)
    return Path(os.path.abspath(Path(getattr(value, "base", Path.cwd()), value)))


class Params(Table):
    python: Annotated[Path, BeforeValidator(_parse_python_path), Strict(False)]
    """The Python program of the other environment: a path relative to the suite's folder, or a name on
    PATH."""
    script: SuitePath
    """The script, as a path relative to the suite's folder."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options for the script, which finds them as `options` in its request file."""
    takes: Literal["transformers"] = "transformers"
    """Form of the script's input: a folder that transformers loads."""
    gives: Literal["transformers", "torch"] = "transformers"
    """Form of the script's output: "transformers" is quantized weights, which are judged and exported as they
    are; "torch" is weights that are not quantized, which further steps can change."""
    timeout_minutes: float = Field(default=60.0, gt=0)
    """Time limit in minutes; slimgate stops a script that runs longer, with an error."""

    @field_validator("options")
    @classmethod
    def _check_json(cls, options: Json) -> Json:
        for name, value in options.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{name} = {value} cannot be written as JSON ({error}); use texts, numbers, booleans, "
                    "lists and tables"
                ) from error
        return options


class External(Step[Params]):
    takes = frozenset({"torch", "served"})
    reads = ("calibration",)
    stochastic = True

    def __init__(self, gives: str = "served") -> None:
        self.gives = gives

    def resolve(self, params: Params) -> Step[Any]:
        """The step for the form that `gives` states."""
        return External("torch" if params.gives == "torch" else "served")

    def does_without(self, params: Params) -> tuple[str, ...]:
        """Calibration, because not every script reads rows."""
        return ("calibration",)

    def check(self, params: Params, config: Json) -> Json:
        """Raises SuiteError if the program or the script does not exist."""
        check_files(params)
        return config

    def environment(self, params: Params) -> Json:
        """The script's digest, and the packages of its Python environment."""
        from slimgate._system.digests import file_sha256
        from slimgate.steps.convert._external import list_installed_packages

        check_files(params)
        return {"script": file_sha256(params.script), "packages": list_installed_packages(params.python)}

    def apply(self, model: TorchModel | Served, params: Params, context: BuildContext) -> Any:
        """The script's model. Raises BuildError if it fails, writes nothing, or takes too long."""
        from slimgate.steps.convert._external import read_result, run_script, write_input

        folder = context.scratch / "external"
        folder.mkdir()
        request = {
            "input": write_input(model, folder / "input"),
            "output": str(folder / "output"),
            "options": params.options,
            "calibration": _write_rows(folder / "calibration.jsonl", context),
            "seed": context.seed,
            "device": context.device,
        }
        (folder / "output").mkdir()
        run_script(params, request, folder, context)
        return read_result(model, folder / "output", params, context)


step = External()


def check_files(params: Params) -> None:
    """Raises SuiteError if the program or the script does not exist."""
    if not params.python.is_file() or not os.access(params.python, os.X_OK):
        raise SuiteError(
            f"python = {str(params.python)!r}: no such program, or not executable; expected the Python of an "
            "environment, such as ../venv/bin/python"
        )
    if not params.script.is_file():
        raise SuiteError(f"script = {str(params.script)!r}: no such file, expected a Python script")


def _write_rows(file: Path, context: BuildContext) -> str | None:
    """The texts of the calibration rows, one JSON object a line; None without such rows."""
    rows = context.splits.get("calibration")
    if rows is None or not len(rows):
        return None
    table = rows.table.select(list(context.task.text_columns(context.task_params)))
    lines = (json.dumps(row, ensure_ascii=False) for row in table.to_pylist())
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(file)
