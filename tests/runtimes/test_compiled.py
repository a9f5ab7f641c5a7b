"""The runtime compiled: the answers of eager, compiled before they are asked for, or one clear error."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.refused_options import read_refusal
from torch import nn

from fixtures.models.building import make_tiny_classifier, save_model
from slimgate.errors import BuildError
from slimgate.runtimes import compiled, eager
from slimgate.runtimes.compiled import CompiledPredictor, Params
from slimgate.steps.quantize import int8_dynamic

pytestmark = pytest.mark.slow


class Head(nn.Module):
    """One layer over two columns; compiles in a second or two."""

    def __init__(self, spoiled: bool = False, broken: bool = False) -> None:
        super().__init__()
        self.spoiled, self.broken = spoiled, broken
        self.layer = nn.Linear(2, 3)

    def forward(self, columns: Any) -> Any:
        logits = self.layer(columns)
        if self.spoiled and torch.compiler.is_compiling():
            logits = logits * 2
        if self.broken:
            torch._dynamo.graph_break()
        return SimpleNamespace(logits=logits)


def columns(rows: int) -> dict[str, Any]:
    values = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    return {"columns": values / values.max()}


def answers(predictor: Any, batch: Any) -> Any:
    return predictor.fetch(predictor.forward(predictor.prepare(batch)))


@pytest.mark.slow
def test_an_int8_model_answers_as_in_eager_and_no_call_compiles(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, context = make_tiny_classifier(tmp_path, shape={"num_hidden_layers": 1})
    int8_dynamic.step.apply(model, int8_dynamic.Params(embeddings=True), context)
    save_model(model, tmp_path / "artifact")
    plain = eager.runtime.load(tmp_path / "artifact", eager.Params(), device="cpu", threads=1)
    capfd.readouterr()
    fast = compiled.runtime.load(tmp_path / "artifact", Params(fullgraph=True), device="cpu", threads=1)
    encoded = context.task.encode_rows(context.task_params, context.rows("train"), model.tokenizer)
    for rows in (5, 3):
        batch = encoded.batch(list(range(rows)))
        prepared = fast.prepare(batch)
        seconds, graphs = fast.compile_seconds, fast.graphs
        logits = fast.fetch(fast.forward(prepared))
        np.testing.assert_allclose(logits, answers(plain, batch), atol=0.01)
        assert logits.dtype == np.float32
        assert answers(fast, batch).tolist() == logits.tolist()
        assert (fast.compile_seconds, fast.graphs) == (seconds, graphs)
    assert fast.shapes == 2
    assert fast.graphs == 1, "two batch sizes are one program"
    assert fast.compile_seconds > 0
    assert "".join(capfd.readouterr()) == ""


def test_bfloat16_rounds_and_stays_inside_the_tolerance() -> None:
    head = Head().eval()
    plain, rounded = (
        eager.EagerPredictor(head, "cpu"),
        CompiledPredictor(head, Params(precision="bfloat16"), "cpu"),
    )
    before, after = answers(plain, columns(4)), answers(rounded, columns(4))
    assert after.dtype == np.float32
    assert 0 < np.abs(after - before).max() < 0.02
    assert 0 < rounded.max_difference < 0.1
    rounded.close()
    assert rounded.network is None


def test_compiled_answers_that_differ_are_an_error() -> None:
    predictor = CompiledPredictor(Head(spoiled=True).eval(), Params(), "cpu")
    with pytest.raises(BuildError, match=r"disagrees with the uncompiled network: .* expected at most 0\.1;"):
        predictor.prepare(columns(4))


def test_models_of_one_class_do_not_use_up_each_others_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MAX_GRAPHS", 1)
    for _ in range(3):
        head = Head().eval()
        predictor = CompiledPredictor(head, Params(), "cpu")
        assert answers(predictor, columns(4)).shape == (4, 3)
        assert predictor.graphs == 1
    with pytest.raises(BuildError, match=r"runtime compiled: .*limit"):  # one row is a program of its own
        predictor.prepare(columns(1))


def test_fullgraph_refuses_a_network_in_two_graphs_in_one_line() -> None:
    predictor = CompiledPredictor(Head(broken=True).eval(), Params(fullgraph=True), "cpu")
    with pytest.raises(BuildError, match=r"runtime compiled: \w+: .*graph_break") as caught:
        predictor.prepare(columns(4))
    assert "\n" not in str(caught.value)


def test_without_a_compiler_there_is_one_clear_error() -> None:
    from torch._inductor import config

    message = r"runtime compiled .* for cpu with a C\+\+ compiler.*install g\+\+"
    with config.patch({"cpp.cxx": ("/nowhere/g++",)}), pytest.raises(BuildError, match=message):
        CompiledPredictor(Head(), Params(), "cpu")


def test_unknown_modes_are_refused() -> None:
    modes = "'default', 'reduce-overhead' or 'max-autotune'"
    assert read_refusal(Params, {"mode": "fastest"}) == f"mode: Input should be {modes}"
    assert read_refusal(Params, {"dynamic": False}).startswith("dynamic: Input should be True or 'auto'")
