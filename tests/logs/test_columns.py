from __future__ import annotations

import time
from collections.abc import Iterator

from slimgate.logs.columns import read_samples
from slimgate.plugins.reader import Row, TaskLog

ROWS = 50_000


def measure_seconds(sizes: dict[str, float]) -> float:
    def rows() -> Iterator[Row]:
        return (Row(str(number), {"perplexity": 1.0}, sizes=sizes) for number in range(ROWS))

    start = time.process_time()
    samples = read_samples("log", TaskLog(rows, corpus={"perplexity": "perplexity"}))[""]
    seconds = time.process_time() - start
    assert {name: (len(values), values[-1]) for name, values in samples.sizes.items()} == {
        name: (ROWS, size) for name, size in sizes.items()
    }
    return seconds


def test_sizes_of_scores_are_read_in_linear_time() -> None:
    assert measure_seconds({"perplexity": 3.0}) < 4 * measure_seconds({})
