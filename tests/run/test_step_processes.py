"""Two processes that share each batch train the model that one process trains, but for rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.tiny_suite import make_tiny_run

from slimgate.errors import BuildError
from slimgate.outcomes import ClassOutcomes
from slimgate.steps.training.params import TrainingParams

pytestmark = pytest.mark.slow

# Probabilities after two epochs of distillation: what the order of additions may change.
TOLERANCE = 1e-4
DISTILLED = (
    "{{ steps = [{{ keep_layers = [0, 2] }}, {{ distill = {{ epochs = 2, dropout = 0.0, batch_size = 10, "
    'learning_rate = 3e-3, precision = "float32", processes = {processes} }} }}] }}'
)


def variants(processes: int, name: str) -> str:
    return f"[variants]\n{name} = {DISTILLED.format(processes=processes)}\n"


def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    run = make_tiny_run(
        tmp_path, **{"[variants]\n": variants(1, "one") + variants(2, "two").partition("\n")[2]}
    )
    single, two = run.measure_outcomes("one"), run.measure_outcomes("two")
    assert isinstance(single, ClassOutcomes)
    assert isinstance(two, ClassOutcomes)
    assert single.probabilities is not None
    np.testing.assert_allclose(two.probabilities, single.probabilities, rtol=0, atol=TOLERANCE)
    untrained = run.measure_outcomes("shorter")
    assert isinstance(untrained, ClassOutcomes)
    assert untrained.probabilities is not None
    assert np.abs(untrained.probabilities - single.probabilities).max() > 100 * TOLERANCE
    built = [run.build(name).artifact for name in ("one", "two")]
    assert built[1].manifest["log"]["processes"] == 2
    losses = [[epoch["loss"] for epoch in each.manifest["log"]["epochs"]] for each in built]
    # rounding: 3e-4 on a processor with AMX
    assert losses[1] == pytest.approx(losses[0], abs=5e-4)
    weights = [dict(each.load("cpu").network.named_parameters()) for each in built]
    for name, weight in weights[0].items():
        if not name.endswith("key.bias"):  # of which no answer depends: Adam's steps there are rounding
            torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-3)


def test_what_goes_wrong_in_a_process_is_reported_as_it_is(tmp_path: Path) -> None:
    wrong = "{ steps = [{ distill = { hidden_weight = 0.1, processes = 2 } }] }"
    run = make_tiny_run(tmp_path, **{"[variants]\n": f"[variants]\nwrong = {wrong}\n"})
    with pytest.raises(BuildError, match="processes = 2, but hidden_weight compare token by token"):
        run.build("wrong")


@pytest.mark.parametrize("processes", [1, 2])
def test_no_process_trains_on_a_gate_row_in_other_case(tmp_path: Path, processes: int) -> None:
    (tmp_path / "plain").mkdir()
    gate = make_tiny_run(tmp_path / "plain").rows.splits["gate"].table["text"][0].as_py()
    (tmp_path / "more.csv").write_text(f'text\n"{gate.upper()}!"\nfresh words\nmore of them\n')
    options = f'transfer = "{tmp_path}/more.csv", epochs = 1, processes = {processes}'
    run = make_tiny_run(
        tmp_path, **{"[variants]\n": f"[variants]\nmore = {{ steps = [{{ distill = {{ {options} }} }}] }}\n"}
    )
    transfer = run.build("more").artifact.manifest["log"]["transfer"]
    assert (transfer["dropped_held_out"], transfer["rows"]) == (1, 2)


def test_a_batch_has_a_row_for_each_process() -> None:
    with pytest.raises(
        ValidationError, match="processes = 2 cannot share batches of 1 rows; raise batch_size"
    ):
        TrainingParams(processes=2, batch_size=1)
