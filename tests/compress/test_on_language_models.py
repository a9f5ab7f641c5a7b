"""Every method on causal language models, by the options of fixtures/models/method_examples.py: it saves,
loads and predicts the same to the bit, or says in one BuildError why it does not.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, tiny_context
from fixtures.models.method_examples import EXAMPLES
from slimgate.errors import BuildError
from slimgate.loading import load
from slimgate.models.torch_model import load_torch_model
from slimgate.run.claims import step_claims
from slimgate.runtimes.eager import EagerPredictor
from slimgate.store.store import files_of
from slimgate.tasks import causal_lm

torch.set_num_threads(1)
ARCHITECTURES = ("gpt2", "llama")
PARAMS = causal_lm.Params(text=("text",), max_tokens=16)
# Of 23 tokens a tied table in two factors saves fewer bytes than their names take.
TOO_SMALL = frozenset({"factorize_embeddings"})
# What has no meaning where a token is an answer, and says so.
REFUSED = {"active_distill": "rows are chosen by probabilities of classes, and this task has none"}
# The first example of each method on GPT-2, whose layers are Conv1D and whose output layer is its table;
# the last, of those that have several, on Llama.
CASES = [
    pytest.param(method, examples[place], architecture, id=f"{method}-{place}-{architecture}")
    for method, examples in EXAMPLES.items()
    for place, architecture in ((0, "gpt2"), (-1, "llama"))
    if architecture == "gpt2" or len(examples) > 1
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tiny")
    return {name: write_tiny(root / name, name, causal=True, initializer_range=0.2) for name in ARCHITECTURES}


def logits(model: Any, context: Any) -> Any:
    encoded = context.task.encode_rows(PARAMS, context.rows("selection"), model.tokenizer)
    predictor = EagerPredictor(model.network, "cpu")
    return predictor.fetch(predictor.forward(predictor.prepare(encoded.batch(range(len(encoded))))))


def saved(model: Any, folder: Path) -> dict[str, int]:
    folder.mkdir()
    model.save(folder)
    return {"bytes": sum((folder / f).stat().st_size for f in files_of(folder)), **model.footprint()}


@pytest.mark.parametrize(("name", "example", "architecture"), CASES)
def test_method(tmp_path: Path, folders: dict[str, Path], name: str, example: Any, architecture: str) -> None:
    context = tiny_context(
        tmp_path / "rows",
        train=24,
        calibration=16,
        task=causal_lm.task,
        params=PARAMS,
        teacher=lambda: load_tiny(folders[architecture], plain),
    )
    plain = copy.copy(context)
    plain.log = {}
    method = load("method", name)
    model = load_tiny(folders[architecture], plain)
    before = saved(model, tmp_path / "before")
    params = method.Params.model_validate(example)
    if name in REFUSED:
        with pytest.raises(BuildError, match=REFUSED[name]):
            method.apply(model, params, context)
        return
    model = method.apply(model, params, context)
    model.kind = method.gives or model.kind
    after = saved(model, tmp_path / "after")
    given = logits(model, context)
    assert np.isfinite(given).all()
    for claim in step_claims(name, getattr(method, "claims", ()), before, after):
        assert claim["held"] is not False or name in TOO_SMALL, claim
    again = load_torch_model(tmp_path / "after")
    assert np.array_equal(logits(again, context), given)
    assert again.footprint() == model.footprint()
