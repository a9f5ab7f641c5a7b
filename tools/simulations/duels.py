"""How often a duel claims what is not so, and which delays it sees: duels of a real encoder with itself.

    python -m tools.simulations.duels --duels 200 --delays 0,3,5,10 --call-ms 5
    python -m tools.simulations.duels --duels 200 --delays 0,3,5,10 --call-ms 5 --load
    python -m tools.simulations.duels --duels 200 --delays 0,10 --call-ms 0.5

Teacher, copy and variant are the same encoder (BERT with random weights), each loaded in a separate process.
The variant waits a number of percent of a call longer. All are loaded again every few duels, because the
place of a model in memory alone makes it some percent faster or slower. A duel is called slower (faster) when
its interval lies wholly below (above) 1: raw, and widened by the noise floor, which is what slimgate claims.

For comparison, the table has what pytest-benchmark would say on the same processes: a number of pedantic
rounds of the teacher, then as many of the variant, by the wall clock, within the same time; slower (faster)
when its mean, or min, is over 5 % above (below) the teacher's (--benchmark-compare-fail=mean:5%, min:5%).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pytest_benchmark.stats import Stats
from tabulate import tabulate

from fixtures.models.tiny import make_tiny_tokenizer
from slimgate.judge.speed import Speedup, estimate_speedup, is_settled
from slimgate.outcomes import Floats
from slimgate.plugins.base import Arrays
from slimgate.run.measure.duel import Contender, ContenderSpec, run_duel, time_call

NAMES = ("teacher", "copy", "variant")
LIMIT = 0.05  # of pytest-benchmark's comparison
SHORT_MS = 1.0
COLUMNS = (
    "planted delay",
    "duels",
    "raw slower",
    "raw faster",
    "claimed slower",
    "claimed faster",
    "speed-up median",
    "floor median",
    "floor p95",
    "rounds median",
    "mean:5% slower",
    "mean:5% faster",
    "min:5% slower",
    "min:5% faster",
)


@dataclass(frozen=True)
class Plan:
    """duels for each delay (percent of a call), each of at most `seconds`. All models are loaded again every
    `reload` duels.
    """

    duels: int
    delays: tuple[float, ...]
    call_ms: float
    seconds: float = 1.0
    reload: int = 10
    threads: int = 1
    shared: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """One duel, and the variant's mean and min over the teacher's, taken one after the other."""

    delay: float
    speedup: Speedup
    mean: float
    fastest: float


def write_encoder(folder: Path, call_ms: float, threads: int) -> tuple[Path, Arrays, float]:
    """Writes an encoder whose call takes about `call_ms`; returns its folder, the batch, and ms a call.

    The number of layers follows from the times of 1 and 3 layers. Below 1 ms the encoder is
    narrower and reads less.
    """
    width, batch, tokens = (64, 1, 16) if call_ms < SHORT_MS else (128, 8, 32)
    shape = (batch, tokens)
    inputs = {
        "input_ids": np.random.default_rng(0).integers(5, 20, shape),
        "attention_mask": np.ones(shape, np.int64),
    }
    shortest_ms, longer_ms = (
        _time_call(_write_layers(folder / f"try-{n}", width, n), inputs, threads) for n in (1, 3)
    )
    layers = max(1, 1 + round((call_ms - shortest_ms) / max((longer_ms - shortest_ms) / 2, 1e-3)))
    chosen = _write_layers(folder / "chosen", width, layers)
    return chosen, inputs, _time_call(chosen, inputs, threads)


def _write_layers(folder: Path, width: int, layers: int) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from slimgate.models.torch_model import TorchModel

    tokenizer = make_tiny_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BertForSequenceClassification(
            BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=4,
                intermediate_size=4 * width,
            )
        )
    (folder / "model").mkdir()
    TorchModel(network, tokenizer, "transformers:AutoModelForSequenceClassification").save(folder / "model")
    return folder / "model"


def _make_spec(name: str, model: Path, threads: int) -> ContenderSpec:
    return ContenderSpec(name=name, folder=model, runtime="eager", params={}, device="cpu", threads=threads)


def _time_call(model: Path, inputs: Arrays, threads: int) -> float:
    """Returns the milliseconds of a call."""
    with closing(Contender(_make_spec("trial", model, threads))) as contender:
        contender.prepare([inputs])
        return 1000 * time_call(contender)


def run_duels(plan: Plan, model: Path, inputs: Arrays) -> Iterator[Outcome]:
    """Runs every duel of a plan. The delays take turns, so that all see the same machine."""
    for start in range(0, plan.duels, plan.reload):
        with ExitStack() as stack:
            contenders: list[Contender] = []
            for name in NAMES:
                neighbour = contenders[0] if plan.shared and contenders else None
                spec = _make_spec(name, model, plan.threads)
                contenders.append(stack.enter_context(closing(Contender(spec, host=neighbour))))
                contenders[-1].prepare([inputs])
            once = time_call(contenders[0])
            for number in range(start, min(start + plan.reload, plan.duels)):
                for delay in plan.delays:
                    contenders[-1].delay(once * delay / 100)
                    yield _run_duel(plan, contenders, inputs, delay, once, plan.seed + number)


def _run_duel(
    plan: Plan, contenders: Sequence[Contender], inputs: Arrays, delay: float, once: float, seed: int
) -> Outcome:
    def enough(times: Mapping[str, Floats]) -> bool:
        return is_settled(*(times[name] for name in NAMES), minimum=1.0)

    times = run_duel(
        contenders, {name: [inputs] for name in NAMES}, seed=seed, max_seconds=plan.seconds, enough=enough
    )
    speedup = estimate_speedup(
        *(times.blocks[name] for name in NAMES),
        of_minima=times.fastest["teacher"] / times.fastest["variant"],
    )
    rounds = int(np.clip(plan.seconds / 2 / once, 5, 1000))
    before, after = (_run_pedantic(contender, rounds) for contender in (contenders[0], contenders[-1]))
    return Outcome(delay, speedup, after.mean / before.mean, after.min / before.min)


def _run_pedantic(contender: Contender, rounds: int) -> Any:
    """Returns pytest-benchmark's statistics of rounds of one call, after two warm-up rounds."""
    stats: Any = Stats()  # type: ignore[no-untyped-call]
    for seconds in contender.time_block(rounds, discard=2).seconds:
        stats.update(seconds)
    return stats


def make_summary(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Makes a row for each delay. Slower and faster are numbers of duels, floors are percentages."""
    return [
        _make_row(delay, [outcome for outcome in outcomes if outcome.delay == delay])
        for delay in dict.fromkeys(outcome.delay for outcome in outcomes)
    ]


def _make_row(delay: float, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    floors = [100 * outcome.speedup.noise_floor for outcome in outcomes]
    values = (
        f"{delay:g} %",
        len(outcomes),
        sum(outcome.speedup.interval[1] < 1 for outcome in outcomes),
        sum(outcome.speedup.interval[0] > 1 for outcome in outcomes),
        sum(outcome.speedup.claimed_interval[1] < 1 for outcome in outcomes),
        sum(outcome.speedup.claimed_interval[0] > 1 for outcome in outcomes),
        round(float(np.median([outcome.speedup.speedup for outcome in outcomes])), 3),
        f"{np.median(floors):.1f} %",
        f"{np.quantile(floors, 0.95):.1f} %",
        int(np.median([outcome.speedup.rounds for outcome in outcomes])),
        sum(outcome.mean > 1 + LIMIT for outcome in outcomes),
        sum(outcome.mean < 1 - LIMIT for outcome in outcomes),
        sum(outcome.fastest > 1 + LIMIT for outcome in outcomes),
        sum(outcome.fastest < 1 - LIMIT for outcome in outcomes),
    )
    return dict(zip(COLUMNS, values, strict=True))


@contextmanager
def busy_core() -> Iterator[int]:
    """Keeps one core busy in a process until the end, and yields its id."""
    core = max(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--duels", type=int, default=200, help="for each delay")
    parser.add_argument("--delays", default="0,3,5,10", help="percent of a call, by commas; 0 is A/A")
    parser.add_argument("--call-ms", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=1.0, help="the longest time of a duel")
    parser.add_argument(
        "--reload", type=int, default=10, help="load all models again after this number of duels"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shared", action="store_true", help="all contenders in one process")
    parser.add_argument("--load", action="store_true", help="keep one core busy meanwhile")
    options = parser.parse_args(arguments)
    plan = Plan(
        duels=options.duels,
        delays=tuple(float(delay) for delay in options.delays.split(",")),
        call_ms=options.call_ms,
        seconds=options.seconds,
        reload=options.reload,
        threads=options.threads,
        shared=options.shared,
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="slimgate-duels-") as folder:
        model, inputs, call_ms = write_encoder(Path(folder), plan.call_ms, plan.threads)
        before = os.getloadavg()[0]
        with busy_core() if options.load else nullcontext():
            rows = make_summary(list(run_duels(plan, model, inputs)))
    where = "one process" if plan.shared else "a process each"
    load = "one core kept busy" if options.load else "no load added"
    sys.stdout.write(
        f"calls of {call_ms:.2f} ms, {plan.threads} threads, {where}, {plan.seconds:g} s a duel, {load}, "
        f"load average before {before:.1f}, {os.cpu_count()} cores, "
        f"took {time.perf_counter() - start:.0f} s\n\n"
        + tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
        + "\n"
    )


if __name__ == "__main__":
    main()
