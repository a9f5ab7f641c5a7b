"""The checks of the code blocks of the docs, one for each language."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from sybil import Example

import slimgate
from slimgate._system.json_text import convert_to_tuples
from slimgate.cli.main import main, make_command_parser
from slimgate.errors import MissingExtra, SuiteError
from slimgate.judge.budget_kinds import QualityBudget, check_budget
from slimgate.judge.budget_tables import TOKEN_TABLES
from slimgate.judge.latency_budgets import LatencyBudgetTable
from slimgate.judge.metrics import load_metric
from slimgate.logs.file_budgets import ANSWERS, read_file_budgets
from slimgate.logs.suite import load_log_suite
from slimgate.plugins.loading import load
from slimgate.results.checks import LATENCY
from slimgate.suite.reader import load_suite
from support.doc_blocks import ROOT, split_commands
from tools.site.formulas import format_math_block

HARMLESS = ("docker", "llama-perplexity", "head", "cat", "cd", "git", "ls", "lm_eval", "vllm")
NEEDS_NO_FILES = ("steps", "schema", "--version")
CONFIG = json.dumps(
    {
        "architectures": ["BertForSequenceClassification"],
        "num_hidden_layers": 6,
        "max_position_embeddings": 512,
    }
)
# The config of a model that steps for decoders take.
DECODER_CONFIG = json.dumps(
    {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": 6,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
    }
)
DECODER_STEPS = frozenset({"to_onnx_genai", "to_openvino_decoder", "to_ctranslate2", "speculative_decoding"})
# The suite that a block without [task] extends.
BASE = """\
[suite]
title = "base"
[task]
kind = "text_classification"
source = { name = "files", path = "rows.csv" }
text = ["text"]
label = "label"
splits = { unlabelled = 100 }
[teacher]
model = "../model"
[variants]
student = { steps = [{ keep_layers = [0, 2, 5] }] }
int8 = { steps = [{ int8_dynamic = {} }] }
"""


def check_console(example: Example) -> None:
    """Checks the subcommand, options, modules and files of each command. Runs commands that need no files."""
    for command in split_commands(example.parsed):
        program, *arguments = shlex.split(command)
        name = Path(program).name
        assert name in (*PROGRAMS, *HARMLESS), f"{name}: neither checked nor known to be harmless"
        if name in PROGRAMS:
            PROGRAMS[name](arguments, example.document.text)
        if is_cheap(command):
            assert main(shlex.split(command.partition(" > ")[0])[1:]) == 0


def is_cheap(command: str) -> bool:
    """Whether a command runs without files. NAME stands for any name, and mytools is a user's package."""
    program, name, *_ = [*shlex.split(command), ""]
    return program == "slimgate" and name in NEEDS_NO_FILES and not re.search("mytools|NAME", command)


@cache
def list_pytest_options() -> frozenset[str]:
    """The options of pytest, with those of its plugins."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    options = re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", done.stdout)
    return frozenset({*options, "--junitxml"})  # an older way to write --junit-xml


def check_slimgate(arguments: list[str], page: str) -> None:  # noqa: ARG001
    """Checks that the command parses."""
    make_command_parser().parse_args(arguments)


def check_pytest(arguments: list[str], page: str) -> None:
    """Checks that options exist, and that paths exist or are named elsewhere on the page."""
    is_value = False
    for argument in arguments:
        if argument.startswith("-"):
            assert argument.partition("=")[0] in list_pytest_options(), argument
        elif not is_value:
            path = argument.partition("::")[0]
            tuned = f"slimgate tune {path.replace('_tuned.toml', '.toml')}"  # which writes that file
            named = page.count(Path(path).name) > 1 or tuned in page
            assert (ROOT / path).exists() or named, f"{path} does not exist"
        is_value = argument in ("-k", "-m", "-n", "-W", "--dist", "--junitxml", "--slimgate-baseline")


def check_module(arguments: list[str], page: str) -> None:
    """Checks that `python -m` names a module."""
    assert arguments[0] == "-m"
    assert find_spec(arguments[1]) is not None, arguments[1]
    if arguments[1] == "pytest":
        check_pytest(arguments[2:], page)


def check_pip(arguments: list[str], page: str) -> None:  # noqa: ARG001
    """Checks that extras are declared, and that files exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"\[(\w+)\]", " ".join(arguments))) <= set(extras)
    if "-c" in arguments:
        assert (ROOT / arguments[arguments.index("-c") + 1]).is_file()


def check_try(arguments: list[str], page: str) -> None:
    """Checks that `./try` has the subcommand, and that bash can parse the script."""
    assert f"\n  {arguments[0]}) " in (ROOT / "try").read_text("utf-8")
    check_shell((ROOT / "try").read_text("utf-8"))
    check_pytest(arguments, page)


def check_tox(arguments: list[str], page: str) -> None:  # noqa: ARG001
    """Checks that `tox -e` names environments of tox.ini."""
    environments = re.findall(r"^\[testenv:([\w-]+)\]", (ROOT / "tox.ini").read_text(), re.MULTILINE)
    assert arguments[0] == "-e"
    assert set(arguments[1].split(",")) <= set(environments)


PROGRAMS = {
    "slimgate": check_slimgate,
    "pytest": check_pytest,
    "python": check_module,
    "python3": check_module,
    "pip": check_pip,
    "tox": check_tox,
    "try": check_try,
}


def check_python(example: Example) -> None:
    """Checks that the code parses, and that slimgate exports what it imports."""
    for node in ast.walk(ast.parse(example.parsed)):
        if isinstance(node, ast.ImportFrom) and node.module == "slimgate":
            assert {alias.name for alias in node.names} <= set(slimgate.__all__)


def check_yaml(example: Example) -> None:
    """Checks that the YAML parses, and that bash can parse its commands."""
    for script in list_scripts(yaml.safe_load(example.parsed)):
        check_shell(script)


def check_shell(script: str) -> None:
    """Checks that bash can parse a script, without running it."""
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def list_scripts(value: object) -> Iterator[str]:
    """The commands of a workflow of GitHub or GitLab."""
    if isinstance(value, list):
        for item in value:
            yield from list_scripts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ("run", "script", "before_script", "after_script"):
                yield item if isinstance(item, str) else "\n".join(item)
            else:
                yield from list_scripts(item)


def check_math(example: Example) -> None:
    """Checks that the site can render the formula: every command is known, and every brace has a partner."""
    rendered = format_math_block(example.parsed, "math")
    assert "<math" in rendered
    assert "\\" not in rendered, "the converter shows an unknown command as its name"
    braces = re.findall(r"(?<!\\)[{}]", example.parsed)
    assert braces.count("{") == braces.count("}")


def check_toml(example: Example) -> None:
    """Checks a suite or a part of one: the options of its plug-ins, and its other keys.

    The namespace has `bench`, an empty folder. The test of a page checks the plug-ins that the page defines.
    """
    lines = example.parsed.splitlines()
    if all(line.startswith("source = ") for line in lines):  # examples of sources, one on each line
        for line in lines:
            check_source(tomllib.loads(line)["source"])
        return
    shown = tomllib.loads(example.parsed)
    if "pooled" in shown or "ranges" in shown:  # budgets of logs
        read_file_budgets(shown, ANSWERS, "target", "docs")
        return
    if "logs" in shown:  # a suite of logs
        file: Path = example.namespace["bench"] / "logs.toml"
        file.write_text(example.parsed, "utf-8")
        load_log_suite(file, "docs")
        return
    check_plug_ins(shown)
    if "mytools." in example.parsed:
        return
    if "kind" in shown.get("task", {}) and "suite" not in shown:
        check_task(shown)
        return
    bench: Path = example.namespace["bench"]
    write_surroundings(bench, shown)
    (bench / "base.toml").write_text(BASE)
    (bench / "shown.toml").write_text(complete_suite(shown, example.parsed))
    try:
        load_suite(bench / "shown.toml")
    except SuiteError as error:
        if isinstance(error.__cause__, MissingExtra):  # the page needs newer packages
            pytest.skip(str(error))
        raise


def complete_suite(shown: Mapping[str, Any], text: str) -> str:
    """The text of a whole suite, made from the part that a page shows."""
    if "title" in shown.get("suite", {}):
        return text
    head = '[suite]\ntitle = "shown"\nextends = "base.toml"\n'
    if "suite" in shown:
        return text.replace("[suite]\n", head)
    return head + (f"[variants.shown]\n{text}" if "steps" in shown else text)


def write_surroundings(bench: Path, shown: Mapping[str, Any]) -> None:
    """Writes the rows and the models that a suite names. The models can be checked, but not loaded."""
    task = {"text": ["text"], "label": "label", **shown.get("task", {})}
    source = {"path": "rows.csv", **task.get("source", {})}
    for part in ("path", "train", "gate"):
        if part in source:
            (bench / source[part]).write_text(f"{','.join(task['text'])},{task['label']}\ngood film,pos\n")
    steps = [step for variant in list_variants(shown) for step in list_steps(variant)]
    config = DECODER_CONFIG if any(DECODER_STEPS & step.keys() for step in steps) else CONFIG
    models = [shown.get("teacher", {}), *shown.get("variants", {}).values(), {"model": "../model"}]
    for model in (table["model"] for table in models if "model" in table):
        folder = bench / model
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(config)
        for name in ("model.safetensors", "tokenizer.json"):
            (folder / name).touch()
    for params in (step["external"] for step in steps if "external" in step):
        for file in (params["python"], params["script"]):
            (bench / file).parent.mkdir(parents=True, exist_ok=True)
            (bench / file).touch(mode=0o755)


def list_variants(shown: Mapping[str, Any]) -> list[Any]:
    return [shown, shown.get("teacher", {}), *shown.get("variants", {}).values()]


def list_steps(variant: Mapping[str, Any]) -> list[Any]:
    return [step for step in variant.get("steps", ()) if isinstance(step, dict)]


def check_plug_ins(shown: Mapping[str, Any]) -> None:
    """Checks the options of slimgate's own steps."""
    for step in (step for variant in list_variants(shown) for step in variant.get("steps", ())):
        [(name, params)] = step.items()
        if ":" not in name:
            load("step", name).Params.model_validate(convert_to_tuples(params))


def check_task(shown: Mapping[str, Any]) -> None:
    """Checks the options of a task and its source, and the budgets on metrics of the task."""
    task = dict(shown["task"])
    plugin = load("task", task.pop("kind"))
    if plugin.source is None:
        check_source(task.pop("source"))
    of_rows = ("group", "slices")
    plugin.Params.model_validate(
        convert_to_tuples({key: value for key, value in task.items() if key not in of_rows})
    )
    for name, budget in shown.get("budgets", {}).items():
        if name in TOKEN_TABLES:
            TOKEN_TABLES[name].model_validate(budget)
            assert plugin.next_token
            continue
        if name == LATENCY:
            LatencyBudgetTable.model_validate(budget)
            continue
        [(kind, limit)] = budget.items()
        check_budget(load_metric(name), QualityBudget(kind, limit))
        assert load_metric(name).needs in plugin.provides()


def check_source(source: Mapping[str, Any]) -> None:
    """Checks the options of a source."""
    options = {key: value for key, value in source.items() if key != "name"}
    load("source", source["name"]).Params.model_validate(convert_to_tuples(options))
