"""Every method on a tiny BERT that gives numbers, sets of labels, or tags: it saves and loads the same.

Each example of a method runs on one of the tasks, in turn, or says in one error why it cannot.
"""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.architectures import write_tiny
from fixtures.models.method_examples import EXAMPLES
from fixtures.models.task_rows import TASKS, load_task_model, task_context
from slimgate.errors import BuildError
from slimgate.loading import load
from slimgate.models.torch_model import load_torch_model
from slimgate.run.claims import step_claims
from slimgate.runtimes.eager import EagerPredictor
from slimgate.store.store import files_of

torch.set_num_threads(1)
EVERY = [
    (method, number, example)
    for method, examples in EXAMPLES.items()
    for number, example in enumerate(examples)
]
CASES = [
    pytest.param(task, method, example, id=f"{method}-{number}-{task}")
    for task, (method, number, example) in zip(itertools.cycle(TASKS), EVERY, strict=False)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "hub", "bert", initializer_range=0.2)


def logits(model: Any, context: Any) -> Any:
    encoded = context.task.encode_rows(context.task_params, context.rows("selection"), model.tokenizer)
    predictor = EagerPredictor(model.network, "cpu")
    return predictor.fetch(predictor.forward(predictor.prepare(encoded.batch(range(len(encoded))))))


def saved(model: Any, folder: Path) -> dict[str, int]:
    folder.mkdir()
    model.save(folder)
    return {"bytes": sum((folder / f).stat().st_size for f in files_of(folder)), **model.footprint()}


def refused(task: str, name: str, example: Any) -> str | None:
    """What a step says that this task has nothing for; None where it runs."""
    if name == "active_distill":
        return "rows are chosen by probabilities of classes, and this task has none"
    if task == "token_classification" and "augment" in example:
        return "transfer and augment make rows of text, and tokens is none"
    return None


@pytest.mark.parametrize(("task", "name", "example"), CASES)
def test_method(tmp_path: Path, folder: Path, task: str, name: str, example: Any) -> None:
    context = task_context(tmp_path / "rows", task, train=24)
    plain = copy.copy(context)
    plain.log = {}
    context.load_teacher = lambda: load_task_model(folder, plain)
    method, model = load("method", name), load_task_model(folder, plain)
    before, shape = saved(model, tmp_path / "before"), logits(model, context).shape
    if (said := refused(task, name, example)) is not None:
        with pytest.raises(BuildError, match=said):
            method.apply(model, method.Params.model_validate(example), context)
        return
    model = method.apply(model, method.Params.model_validate(example), context)
    model.kind = method.gives or model.kind
    after, given = saved(model, tmp_path / "after"), logits(model, context)
    assert given.shape == shape
    assert np.isfinite(given).all()
    for claim in step_claims(name, getattr(method, "claims", ()), before, after):
        assert claim["held"] is not False, claim
    again = load_torch_model(tmp_path / "after")
    assert np.array_equal(logits(again, context), given)
    assert again.footprint() == model.footprint()
