"""Measures the latency of a model by optimum-benchmark and by slimgate, for each workload.

    python -m tools.peers.latency_peer FOLDER PYTHON [TURNS] [SECONDS]

FOLDER: a classifier or an encoder of transformers; an encoder gets a head of random weights. PYTHON: the
interpreter of an environment that has optimum-benchmark, whose last release (0.6.0) needs transformers 4:

    python -m venv peer && peer/bin/pip install torch==2.13.0 "transformers==4.53.*" optimum-benchmark

Both use one thread and float32. In each turn (TURNS, default 4), both time every workload for SECONDS
(default 2) in separate processes; the order changes from turn to turn. Both call the network on random tokens
of the workload's shape, as optimum-benchmark makes them. The table has the median over turns of the median
call, and their ratio with its smallest and largest value. "bare" calls the network in the environment of
optimum-benchmark without optimum-benchmark, because another version of transformers has another network. Run
it on a machine that does nothing else.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import torch
from tabulate import tabulate

from slimgate._system.garbage import no_collection
from slimgate.errors import SlimgateError
from slimgate.run.measure.latency import plan_rounds, summarise_times
from slimgate.runtimes.eager import EagerPredictor

SHAPES = ((1, 25), (1, 128), (32, 32), (32, 64))
THREADS = 1  # optimum-benchmark 0.6.0 always uses one thread, whatever intra_op_num_threads and torch say
# Run by the other environment's Python, which has no slimgate.
THEIRS = """
import json, logging, sys, time
from statistics import median
import torch
from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, InlineConfig, PyTorchConfig
from transformers import AutoModelForSequenceClassification

logging.disable(logging.WARNING)
folder, batch, tokens, seconds, threads = sys.argv[1], *map(float, sys.argv[2:])
torch.set_num_threads(int(threads))
shapes = {"batch_size": int(batch), "sequence_length": int(tokens)}
report = Benchmark.launch(BenchmarkConfig(
    name="latency",
    backend=PyTorchConfig(model=folder, task="text-classification", library="transformers", device="cpu",
                          inter_op_num_threads=1, intra_op_num_threads=int(threads)),
    scenario=InferenceConfig(iterations=10, duration=max(1, round(seconds)), warmup_runs=10,
                             input_shapes=shapes),
    launcher=InlineConfig(),
))
medians = {"optimum-benchmark": median(report.forward.latency.values) * 1000}
network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
inputs = {"input_ids": torch.randint(1, network.config.vocab_size, (int(batch), int(tokens)))}
inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
times, start = [], time.perf_counter()
with torch.inference_mode():
    while len(times) < 20 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        network(**inputs)
        times.append(time.perf_counter() - before)
medians["bare"] = median(times[10:]) * 1000
print(json.dumps(medians))
"""


def time_slimgate(folder: str, batch: int, tokens: int, seconds: float) -> float:
    """Milliseconds of slimgate's median call, in this process."""
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(THREADS)
    network = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    predictor = EagerPredictor(network, "cpu")
    ids = torch.randint(1, network.config.vocab_size, (batch, tokens))
    inputs = {"input_ids": ids.numpy(), "attention_mask": torch.ones_like(ids).numpy()}
    prepared = predictor.prepare(inputs)

    def call() -> None:
        predictor.forward(prepared)

    _, rounds = plan_rounds(call, warmup=10, rounds=1000, max_seconds=seconds)
    times = []
    with no_collection():
        for _ in range(rounds):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return summarise_times(times, batch).p50_ms


def time_optimum_benchmark(
    python: str, folder: str, batch: int, tokens: int, seconds: float
) -> dict[str, float]:
    """Milliseconds of the median call of optimum-benchmark, and of the bare network in its environment."""
    command = [python, "-c", THEIRS, folder, str(batch), str(tokens), str(seconds), str(THREADS)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SlimgateError(f"{python} failed: {ran.stderr.strip()[-500:]}")
    milliseconds: dict[str, float] = json.loads(ran.stdout.strip().splitlines()[-1])
    return milliseconds


def time_slimgate_apart(folder: str, batch: int, tokens: int, seconds: float) -> float:
    """Milliseconds of slimgate's median call, in a separate process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        return alone.submit(time_slimgate, folder, batch, tokens, seconds).result()


def measure(folder: str, python: str, turns: int, seconds: float) -> list[list[str]]:
    """A line of the table for each workload."""
    by_shape: dict[tuple[int, int], list[dict[str, float]]] = {shape: [] for shape in SHAPES}
    for turn in range(turns):
        for shape in SHAPES:
            ours = {} if turn % 2 else {"slimgate": time_slimgate_apart(folder, *shape, seconds)}
            theirs = time_optimum_benchmark(python, folder, *shape, seconds)
            ours = ours or {"slimgate": time_slimgate_apart(folder, *shape, seconds)}
            by_shape[shape].append({**theirs, **ours})
    return [_format_row(shape, times) for shape, times in by_shape.items()]


def _format_row(shape: tuple[int, int], times: Sequence[dict[str, float]]) -> list[str]:
    medians = [
        f"{median(run_times[tool] for run_times in times):.2f}"
        for tool in ("optimum-benchmark", "bare", "slimgate")
    ]
    ratios = sorted(run_times["slimgate"] / run_times["optimum-benchmark"] for run_times in times)
    spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return [f"{shape[0]} × {shape[1]}", *medians, spread]


def main(arguments: Sequence[str]) -> None:
    """Writes the table to stdout."""
    folder, python, turns, seconds = (*arguments, *("4", "2")[len(arguments) - 2 :])
    lines = measure(folder, python, int(turns), float(seconds))
    heads = [
        "batch × tokens",
        "optimum-benchmark, ms",
        "bare, ms",
        "slimgate, ms",
        "slimgate / optimum-benchmark",
    ]
    sys.stdout.write(tabulate(lines, heads, "pipe", disable_numparse=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
