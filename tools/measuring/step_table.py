"""Applies every step to tiny transformers: the sizes before and after, and whether the result loads the same.

    python -m tools.measuring.step_table > reports/steps.md

Each example of fixtures/models/step_examples.py is applied to a random model of width 32 with a
classification head. Its artifact is then loaded in a new process, which must give the same outputs to the
bit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import load_tiny, make_tiny_context
from fixtures.models.step_examples import EXAMPLES
from slimgate.models.predict import predict_scores
from slimgate.models.seeding import isolated_seed
from slimgate.models.torch_model import load_torch_model
from slimgate.plugins.loading import load
from slimgate.runtimes.eager import EagerPredictor
from slimgate.store.store import list_files

ARCHITECTURES = ("bert", "distilbert", "gpt2", "llama")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")

_HEAD = """# Every step on every kind of transformer

`python -m tools.measuring.step_table` made this table. The program applies each step to random models of
width 32, so only the sizes are meaningful. A cell gives:

- the size of the weights file, in percent of its size before the step
- the number of parameters, in percent of the number before the step, if the step removes some
- the share of zeros among the parameters, if it is above 10 %
- Δ, the largest change of a logit

After that, a new process loads each saved model. If its logits are not bit-identical to those before saving,
the cell says LOADS DIFFERENTLY.
"""


@dataclass(frozen=True)
class Case:
    """A step with options on an architecture, and its result."""

    step: str
    options: Any
    architecture: str
    before: dict[str, int]
    after: dict[str, int]
    change: float
    folder: Path


def apply_step(step_name: str, options: Any, architecture: str, folder: Path, base: Path) -> Case:
    """Applies a step to a tiny model. Saves the result and its scores of `selection` rows in `folder`."""
    context = make_tiny_context(folder / "rows", calibration=16)
    plain = make_tiny_context(folder / "plain", calibration=16)
    context.load_teacher = lambda: load_tiny(base, plain)
    with isolated_seed(0):
        model = load_tiny(base, plain)
        before, scores = _save_model(model, folder / "before"), _compute_scores(model, plain)
        plugin = load("step", step_name)
        model = plugin.apply(model, plugin.Params.model_validate(options), context)
        model.kind = plugin.gives or model.kind
    after = _save_model(model, folder / "after")
    step_scores = _compute_scores(model, context)
    np.save(folder / "scores.npy", step_scores)
    return Case(
        step=step_name,
        options=options,
        architecture=architecture,
        before=before,
        after=after,
        change=float(np.abs(step_scores - scores).max()),
        folder=folder,
    )


def _compute_scores(model: Any, context: Any) -> Any:
    encoded = context.task.encode_rows(context.task_params, context.rows("selection"), model.tokenizer)
    return predict_scores(EagerPredictor(model.network, "cpu"), encoded, batch_size=8)


def _save_model(model: Any, folder: Path) -> dict[str, int]:
    folder.mkdir(parents=True)
    model.save(folder)
    if pickles := [file for file in list_files(folder) if file.endswith(PICKLES)]:
        raise AssertionError(f"{folder}: pickles: {pickles}")
    weights = (folder / "model.safetensors").stat().st_size
    return {"weights_bytes": weights, **model.measure_size()}


def reload_all(folders: Sequence[Path]) -> list[bool]:
    """Loads all artifacts in one new process. Whether each gives the scores that were saved next to it."""
    loads = "from tools.measuring.step_table import compare_reloaded"
    code = f"import json, sys; {loads}; print(json.dumps(compare_reloaded(sys.argv[1:])))"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders)], check=True, capture_output=True, text=True
    )
    return [bool(value) for value in json.loads(done.stdout)]


def compare_reloaded(folders: Sequence[str]) -> list[bool]:
    """Loads artifacts and compares their scores, in the new process."""
    results = []
    for folder in map(Path, folders):
        context = make_tiny_context(folder / "again", calibration=16)
        scores = _compute_scores(load_torch_model(folder / "after"), context)
        results.append(bool(np.array_equal(scores, np.load(folder / "scores.npy"))))
    return results


def format_rows(cases: Sequence[Case]) -> Iterator[list[str]]:
    """A row for each step and its options, with a cell for each architecture."""
    same = dict(
        zip((case.folder for case in cases), reload_all([case.folder for case in cases]), strict=True)
    )
    cases_by_step: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        cases_by_step.setdefault((case.step, json.dumps(case.options)), []).append(case)
    for (step_name, options), own_cases in cases_by_step.items():
        yield [
            step_name,
            options[1:-1] or "–",
            *(_format_cell(case, same=same[case.folder]) for case in own_cases),
        ]


def _format_cell(case: Case, *, same: bool) -> str:
    size = case.after["weights_bytes"] / case.before["weights_bytes"]
    parameters = case.after["parameters"] / case.before["parameters"]
    nonzero = case.after["nonzero_parameters"] / case.after["parameters"]
    parts = [f"{100 * size:.0f} %"]
    if parameters < 0.995:
        parts.append(f"{100 * parameters:.0f} % of the parameters")
    if nonzero < 0.9:
        parts.append(f"{100 * (1 - nonzero):.0f} % zeros")
    parts.append(f"Δ {case.change:.2g}")
    return ", ".join(parts) + ("" if same else ", LOADS DIFFERENTLY")


def main() -> None:
    import torch

    torch.set_num_threads(1)
    cases = []
    with tempfile.TemporaryDirectory(prefix="slimgate-steps-") as root:
        for architecture in ARCHITECTURES:
            write_tiny_classifier(Path(root) / architecture, architecture)
        for step_name in sorted(EXAMPLES):
            for number, options in enumerate(EXAMPLES[step_name]):
                for architecture in ARCHITECTURES:
                    folder = Path(root) / f"{step_name}-{number}-{architecture}"
                    cases.append(
                        apply_step(step_name, options, architecture, folder, Path(root) / architecture)
                    )
        table = tabulate(
            format_rows(cases),
            headers=["step", "options", *ARCHITECTURES],
            tablefmt="pipe",
            disable_numparse=True,
        )
    sys.stdout.write(f"{_HEAD}\n{table}\n")


if __name__ == "__main__":
    main()
