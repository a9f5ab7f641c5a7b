"""tools/measuring/throughput.py: all ways answer the same rows alike, and rates are medians of ABBA
rounds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.models.building import load_tiny, make_tiny_context
from fixtures.models.tiny import write_tiny_bert
from tools.measuring import throughput
from tools.measuring.throughput import BARE, OURS, Case, Line, format_table, make_ways, measure

pytest.importorskip("torch")


def test_every_way_gives_the_answers_of_the_network(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", train=24)
    model = load_tiny(
        write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"), initializer_range=0.3), context
    )
    rows = context.rows("train").table
    labels = np.asarray([int(label == "pos") for label in rows["label"].to_pylist()])
    case = Case(model.network, model.tokenizer, rows["text"].to_pylist(), labels, 32, batch_size=5)
    by_name = make_ways(case)
    lines = {line.name: line for line in measure(by_name, rows=24, rounds=1)}
    assert list(lines) == list(by_name)
    assert all(line.rows_per_second > 0 for line in lines.values())
    seen = {name: line.same_answers for name, line in lines.items()}
    assert seen == dict.fromkeys(by_name, 1.0) | {BARE: None, "evaluator": None}
    assert len(set(np.asarray(by_name[OURS]()).tolist())) == 2


def test_rounds_run_forwards_and_backwards_and_the_median_counts() -> None:
    order: list[str] = []
    now = [0.0]
    costs = {BARE: iter([9, 1, 1, 1, 7]), OURS: iter([9, 2, 2, 2, 2])}

    def way(name: str) -> throughput.Way:
        def call() -> throughput.Predictions:
            order.append(name[0])
            now[0] += next(costs[name])
            return np.asarray([0, 1 if name == OURS else 0])

        return call

    lines = measure({BARE: way(BARE), OURS: way(OURS)}, rows=10, rounds=2, clock=lambda: now[0])
    assert "".join(order) == "bs" + "bssb" * 2
    assert lines == [Line(BARE, 10.0, 0.5), Line(OURS, 5.0, 1.0)]
    assert format_table(lines, rows=10, threads=1, rounds=2).splitlines()[2:] == [
        "| bare forward | 10.0 | 100.0 % | 50.00 % |",
        "| slimgate | 5.0 | 50.0 % | 100.00 % |",
    ]
