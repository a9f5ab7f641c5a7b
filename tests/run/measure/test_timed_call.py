"""slimgate.run.measure.timed_call: only `forward` is timed, so it must do the work of a call."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from slimgate.errors import MeasureError
from slimgate.run.measure.duel import Block, ContenderSpec, run_duel
from slimgate.run.measure.timed_call import change_inputs, check_forward

INPUTS = {
    "input_ids": np.array([[2, 5, 6, 7, 8, 9, 10, 3, 0], [2, 9, 8, 4, 5, 6, 7, 3, 0]]),
    "attention_mask": np.array([[1] * 8 + [0]] * 2),
}


class Predictor:
    """Takes some time for each answer, in one of its three methods."""

    def __init__(self, where: str, seconds: float = 0.003) -> None:
        self.where, self.seconds = where, seconds
        self.known: set[bytes] = set()
        self.calls: list[str] = []

    def work(self, where: str) -> None:
        self.calls.append(where)
        end = time.process_time() + self.seconds * (where == self.where)
        while time.process_time() < end:
            continue

    def prepare(self, batch: Any) -> Any:
        self.work("prepare")
        return batch

    def forward(self, prepared: Any) -> Any:
        key = prepared["input_ids"].tobytes()
        if self.where != "first forward":
            self.work("forward")
        elif key not in self.known:
            self.known.add(key)
            self.work("first forward")
        return prepared

    def fetch(self, output: Any) -> Any:
        self.work("fetch")
        return output


@pytest.mark.parametrize("where", ["prepare", "first forward", "fetch"])
def test_work_outside_of_forward_is_an_error(where: str) -> None:
    with pytest.raises(MeasureError, match=r"ms on new inputs, but forward takes .*only forward is timed"):
        check_forward(Predictor(where), INPUTS)  # type: ignore[arg-type]


def test_work_in_forward_is_right() -> None:
    predictor = Predictor("forward")
    check_forward(predictor, INPUTS)  # type: ignore[arg-type]
    assert predictor.calls[1:] == ["prepare", "forward", "fetch", "forward"] * (len(predictor.calls) // 4)
    assert len(predictor.calls) // 4 >= 2  # the first call on known inputs was new as well


def test_the_variant_of_a_suite_does_its_work_in_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_tiny_run(tmp_path)
    for name in ("teacher", "shorter"):
        model = run.suite.model(name)
        folder = run.build(name).artifact.folder
        predictor = model.runtime.object.load(folder, model.runtime.params, device="cpu", threads=1)
        check_forward(predictor, INPUTS)
        monkeypatch.setattr(predictor, "fetch", Predictor("fetch", 0.05).fetch)
        with pytest.raises(MeasureError, match=r"only forward is timed"):
            check_forward(predictor, INPUTS)


def test_new_inputs_have_the_same_shape_and_padding() -> None:
    changed = [change_inputs(INPUTS, number) for number in range(8)]
    for inputs in changed:
        assert inputs["input_ids"][:, [0, 7, 8]].tolist() == [[2, 3, 0]] * 2
        assert np.sort(inputs["input_ids"]).tolist() == np.sort(INPUTS["input_ids"]).tolist()
        assert inputs["attention_mask"] is INPUTS["attention_mask"]
    assert len({inputs["input_ids"].tobytes() for inputs in (*changed, INPUTS)}) == 9
    pixels = change_inputs({"pixel_values": np.ones((1, 3), np.float32)}, 0)["pixel_values"]
    assert pixels.dtype == np.float32
    assert pixels.tolist() == [[pytest.approx(1.001)] * 3]


class Greedy:
    """A contender that uses a number of cores."""

    def __init__(self, name: str, cores: float, threads: int) -> None:
        self.spec, self.cores = ContenderSpec(name, Path(), "eager", {}, "cpu", threads), cores

    def prepare(self, inputs: Any, part: str = "forward") -> None:
        pass

    def time_block(self, calls: int, *, discard: int, turns: Any = (0,)) -> Block:
        assert discard
        return Block([0.002] * calls * len(turns), [0.0] * calls * len(turns), len(turns), cores=self.cores)


@pytest.mark.parametrize(
    ("cores", "threads", "part", "is_refused"),
    [
        (1.9, 1, "forward", True),
        (1.0, 1, "forward", False),
        (2.0, 2, "forward", False),
        (3.8, 2, "answer", True),
        (1.9, 1, "e2e", False),
    ],
    ids=["two for one", "one", "two", "four for two", "end to end"],
)
def test_a_model_uses_the_cores_of_its_threads(
    cores: float, threads: int, part: Any, is_refused: bool
) -> None:
    contenders: Any = [Greedy("plain", 1.0, threads), Greedy("greedy", cores, threads)]
    inputs = {"plain": [INPUTS], "greedy": [INPUTS]}
    if not is_refused:
        run_duel(contenders, inputs, seed=0, max_seconds=0.0, part=part)
        return
    with pytest.raises(MeasureError, match=f"greedy: its calls use {cores} cores, but each model has"):
        run_duel(contenders, inputs, seed=0, max_seconds=0.0, part=part)
