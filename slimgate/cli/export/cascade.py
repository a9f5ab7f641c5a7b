"""A cascade as a folder: each model in a subfolder, cascade.json, and cascade.py, which calls the models.

    from cascade import Cascade
    scores, answered_by = Cascade().scores(["a text"])

cascade.py does not need slimgate: it opens each model with the lines that README.md of an export shows.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimgate.cli.export.forms import TOLERANCE, Written, write_form
from slimgate.cli.export.row_check import RowCheck, compute_compared_answers, require_same_answers
from slimgate.cli.export.snippets import list_packages, make_code_lines
from slimgate.cli.export.stored import GateRows, describe_runtime, read_judged_runtime, set_judged_options
from slimgate.cli.export.tokenizer_file import FILE as TOKENIZER
from slimgate.errors import BuildError
from slimgate.plugins.loading import find_form
from slimgate.runtimes.cascade import FILE, Member, read_cascade
from slimgate.store.store import Artifact, Entry
from slimgate.suite.named_plugin import SuiteRuntime

LOADER = "cascade.py"
BATCH = 64

_HEAD = '''\
"""Answers texts by a cascade: a model answers the texts that it is sure of, the next one the others.

Needs {packages}. Written by slimgate export.
"""

import json
from pathlib import Path

import numpy as np
{imports}

HERE = Path(__file__).parent


class Cascade:
    """The models of cascade.json in this folder."""

    def __init__(self, folder=HERE):
        cascade = json.loads((Path(folder) / "cascade.json").read_text("utf-8"))
        self.labels = cascade["labels"]
        self.models = [(OPEN[i](Path(folder) / m["folder"]), m) for i, m in enumerate(cascade["models"])]

    def scores(self, texts):
        """(texts, classes) scores before softmax, and (texts,) the last model that read a text, from 0."""
        texts, rows = list(texts), np.arange(len(texts))
        answers, answered_by = None, np.zeros(len(texts), dtype=int)
        for number, (predict, model) in enumerate(self.models):
            scores = np.asarray(predict([texts[i] for i in rows]))
            if answers is None:
                answers = np.zeros((len(texts), scores.shape[1]), dtype=np.float32)
            elif model["weight"] < 1:  # the mean with the models before
                scores = (1 - model["weight"]) * answers[rows] + model["weight"] * scores
            answers[rows], answered_by[rows] = scores, number
            if model["threshold"] is None:  # the last model
                break
            shifted = scores.astype(float) / model["temperature"]
            shifted -= shifted.max(axis=1, keepdims=True)
            rows = rows[1 / np.exp(shifted).sum(axis=1) < model["threshold"]]
            if not len(rows):
                break
        return answers, answered_by
'''

_OPEN = '''

def open_{number}(folder):
    """{name}"""
{load}

    def predict(texts):
{predict}
        return scores

    return predict
'''

_USE = """\
# run in this folder
import sys

import numpy as np

sys.path.insert(0, ".")
from cascade import Cascade

texts = {texts}
cascade = Cascade()
scores, answered_by = cascade.scores(texts)
shares = np.exp(scores - scores.max(-1, keepdims=True))
shares /= shares.sum(-1, keepdims=True)
for text, row, number in zip(texts, shares, answered_by):
    print(text, cascade.labels[row.argmax()], round(float(row.max()), 4), "by model", number)"""


@dataclass(frozen=True)
class WrittenCascade:
    """The models of an exported cascade in order, each in its subfolder."""

    members: tuple[Member, ...]
    written: tuple[Written, ...]

    @property
    def differences(self) -> list[str]:
        """How the judged runtimes of its models differ from the lines of cascade.py."""
        differences = {
            member.name: describe_runtime(model, _read_judged(member))
            for member, model in zip(self.members, self.written, strict=True)
        }
        return [f"{name}: {difference}" for name, difference in differences.items() if difference]

    @property
    def packages(self) -> list[str]:
        """The packages that pip has to install."""
        packages = [list_packages(model, find_form(model.form)) for model in self.written]
        libraries, tokenizers = zip(*packages, strict=True)
        return list(dict.fromkeys(["numpy", *libraries, *tokenizers]))

    @property
    def tolerance(self) -> float:
        """The largest tolerance of its models."""
        return max(float(model.compared.get("tolerance", TOLERANCE)) for model in self.written)


def write_models(artifact: Artifact, form: str | None, folder: Path, scratch: Path) -> WrittenCascade:
    """Writes each model into its folder. Raises BuildError that names the model."""
    members, written = read_cascade(artifact.folder).members, list[Written]()
    for number, member in enumerate(members):
        target, scratch_folder = folder / member.folder, scratch / str(number)
        target.mkdir(parents=True)
        scratch_folder.mkdir()
        manifest = {"kind": member.kind, "digest": f"{artifact.digest} {number}"}
        try:
            exported = write_form(
                Artifact(Entry(artifact.folder / member.folder, manifest, from_store=False)),
                form,
                target,
                scratch_folder,
            )
        except BuildError as error:
            raise type(error)(f"{member.name}: {error}") from error
        if exported.layout is not None:
            raise BuildError(
                f"{member.name}: its weights are in a layout for servers, which cannot be exported in a "
                "cascade"
            )
        written.append(set_judged_options(exported, _read_judged(member)))
    return WrittenCascade(members, tuple(written))


def _read_judged(member: Member) -> SuiteRuntime | str:
    return read_judged_runtime(member.runtime, member.params)


def write_loader(cascade: WrittenCascade, classes: Sequence[str], folder: Path) -> None:
    """Writes cascade.json and cascade.py."""
    keys = ("name", "folder", "temperature", "threshold", "weight")
    models = [{key: getattr(member, key) for key in keys} for member in cascade.members]
    text = json.dumps({"labels": list(classes), "models": models}, indent=1, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", "utf-8")
    (folder / LOADER).write_text(format_loader(cascade), "utf-8")


def format_loader(cascade: WrittenCascade) -> str:
    """The text of cascade.py."""
    lines = [make_code_lines(model, find_form(model.form)) for model in cascade.written]
    imports = dict.fromkeys(line for start, _, _ in lines for line in start.splitlines())
    text = _HEAD.format(packages=", ".join(cascade.packages), imports="\n".join(imports))
    for number, (member, model, (_, load, predict)) in enumerate(
        zip(cascade.members, cascade.written, lines, strict=True)
    ):
        text += _OPEN.format(
            number=number,
            name=member.name,
            load=_indent(_replace_folder(load, model), 4),
            predict=_indent(predict, 8),
        )
    opened = ", ".join(f"open_{number}" for number in range(len(lines)))
    return f"{text}\n\nOPEN = [{opened}]\n"


def _replace_folder(load: str, model: Written) -> str:
    """The lines of code that open a model in the folder ".", changed so that they open it in `folder`."""
    for name in (*find_form(model.form).files, TOKENIZER):
        load = load.replace(json.dumps(name), f"str(folder / {json.dumps(name)})")
    return load.replace('"."', "str(folder)")


def _indent(lines: str, by: int) -> str:
    return "\n".join(" " * by + line for line in lines.splitlines())


def format_usage(texts: Sequence[object]) -> str:
    """The lines of README.md that call the cascade."""
    return _USE.format(texts=json.dumps(list(texts), ensure_ascii=False))


def check_cascade(
    artifact: Artifact, judged: SuiteRuntime, written_cascade: WrittenCascade, folder: Path, gate: GateRows
) -> RowCheck:
    """Compares the folder's cascade.py with the judged cascade on some gate rows. Raises OtherAnswers."""
    task = gate.suite.setup.task
    columns = gate.read_text_columns()
    texts = columns[0] if len(columns) == 1 else [list(pair) for pair in zip(*columns, strict=True)]
    cascade = _import_loader(folder).Cascade(folder)
    starts = range(0, len(texts), BATCH)
    scores = np.concatenate([cascade.scores(texts[start : start + BATCH])[0] for start in starts])
    exported = task.object.outcomes(gate.rows.facts, gate.compared, scores, task.params, None)
    return require_same_answers(
        compute_compared_answers(gate, artifact, judged),
        compute_compared_answers(gate, artifact, judged, turned=True),
        exported,
        tolerance=written_cascade.tolerance,
        runtime="; ".join(written_cascade.differences),
    )


def _import_loader(folder: Path) -> Any:
    """Imports cascade.py of the folder. It adds nothing to sys.modules, and writes no bytecode."""
    spec = importlib.util.spec_from_file_location("slimgate_exported_cascade", folder / LOADER)
    assert spec is not None
    assert spec.loader is not None
    module, writes_bytecode = importlib.util.module_from_spec(spec), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes_bytecode
    return module
