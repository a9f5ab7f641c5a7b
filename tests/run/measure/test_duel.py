"""slimgate.run.measure.duel: real processes take turns; a scripted contender where the clock would decide."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from slimgate.errors import MeasureError
from slimgate.run.measure import duel as module
from slimgate.run.measure.duel import (
    CALLS_OF_A_ROW,
    INTERIM_ROUNDS,
    MAX_ROUNDS,
    MIN_ROUNDS,
    Block,
    Contender,
    ContenderSpec,
    choose_block_size,
    choose_turns,
    compute_block_seconds,
    find_fastest_call,
    run_duel,
    time_call,
)
from slimgate.run.measure.duel_worker import (
    QueueClock,
    count_queued_threads,
    count_running_threads,
    delay_call,
    read_queued_seconds,
    wait_until_threads_sleep,
)

pytestmark = pytest.mark.slow


class Scripted:
    """A contender whose calls take what it is told, by a clock that only contenders move."""

    now = 0.0

    def __init__(self, name: str, seconds: float, turns: list[str] | None = None) -> None:
        self.spec = ContenderSpec(name, Path(), "eager", {}, "cpu", 1)
        self.seconds, self.turns, self.blocks = seconds, [] if turns is None else turns, []
        self.called: list[list[int]] = []

    def prepare(self, inputs: Any, part: str = "forward") -> None:
        self.inputs, self.part = inputs, part

    def time_block(self, calls: int, *, discard: int, turns: Sequence[int] = (0,)) -> Block:
        self.turns.append(self.spec.name)
        self.blocks.append((calls, discard))
        self.called.append(list(turns))
        Scripted.now += self.seconds * (calls * len(turns) + discard)
        return Block([self.seconds] * calls * len(turns), [0.0] * calls * len(turns), len(turns))


def scripted(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> tuple[list[Any], list[str], dict[str, Any]]:
    """Contenders a, b, c, …, the list of turns that they will take, and inputs for them."""
    turns: list[str] = []
    monkeypatch.setattr(Scripted, "now", 0.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: Scripted.now)
    contenders = [Scripted(name, duration, turns) for name, duration in zip("abcdef", seconds, strict=False)]
    return contenders, turns, {contender.spec.name: [{}] for contender in contenders}


def test_rounds_go_on_until_the_time_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders, _, inputs = scripted(monkeypatch, 0.004, 0.004)
    times = run_duel(contenders, inputs, seed=0, max_seconds=2.0)
    assert times.calls == {"a": 4, "b": 4}
    assert times.rounds == 50  # a round: two blocks of 4 calls and one thrown away, 40 ms
    assert times.blocks["a"].tolist() == [0.004] * 50
    assert times.fastest == {"a": 0.004, "b": 0.004}


def test_slow_calls_get_the_least_rounds_whatever_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders, _, inputs = scripted(monkeypatch, 1.0, 3.0)
    times = run_duel(contenders, inputs, seed=0, max_seconds=0.5)
    assert (times.rounds, times.calls) == (MIN_ROUNDS, {"a": 1, "b": 1})
    assert np.median(times.blocks["b"] / times.blocks["a"]) == 3.0


def test_short_calls_get_more_calls_a_block_and_more_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders, _, inputs = scripted(monkeypatch, 0.0005, 0.0005)
    times = run_duel(contenders, inputs, seed=0, max_seconds=0.0)
    assert (times.rounds, times.calls) == (2 * MIN_ROUNDS, {"a": 32, "b": 32})
    assert contenders[0].blocks[-1] == (32, 2)
    assert run_duel(contenders, inputs, seed=0, max_seconds=1e9).rounds == MAX_ROUNDS


def test_contenders_of_like_speed_make_as_many_calls_a_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contenders, _, inputs = scripted(monkeypatch, 0.006, 0.002)
    run_duel(contenders, inputs, seed=0, max_seconds=0.1)
    assert contenders[0].blocks[-1] == contenders[1].blocks[-1] == (4, 1)


def test_a_fast_contender_fills_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders, _, inputs = scripted(monkeypatch, 0.009, 0.009, 0.0004)
    times = run_duel(contenders, inputs, seed=0, max_seconds=0.1)
    assert times.calls == {"a": 3, "b": 3, "c": 32}
    assert contenders[0].blocks[-1] == contenders[1].blocks[-1] == (3, 1)
    assert contenders[2].blocks[-1] == (32, 2)


def test_fast_variants_do_not_change_the_teachers_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contenders, _, inputs = scripted(monkeypatch, 0.009, 0.009, 0.0004, 0.005, 0.0004, 0.002)
    times = run_duel(contenders, inputs, seed=0, max_seconds=0.1)
    assert times.calls == {"a": 3, "b": 3, "c": 32, "d": 3, "e": 32, "f": 8}


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        pytest.param((0.009, 0.009, 0.006, 0.060), (2, 2, 2, 1), id="one slower by six times"),
        pytest.param((0.0115, 0.0115, 0.0102, 0.060), (1, 1, 1, 1), id="longer calls"),
        pytest.param((0.0106, 0.0108, 0.010, 0.060), (2, 2, 2, 1), id="calls near a step of the count"),
        pytest.param((0.0014, 0.0014, 0.0014, 0.0001), (17, 17, 17, 32), id="one that is fast"),
    ],
)
def test_a_companion_leaves_equal_calls_to_equal_speeds(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...], calls: tuple[int, ...]
) -> None:
    """A quartile of three calls is lower than one of two, so a variant with more calls would seem faster."""
    contenders, _, inputs = scripted(monkeypatch, *seconds)
    times = run_duel(contenders, inputs, seed=0, max_seconds=0.0)
    assert tuple(times.calls.values()) == calls


def test_a_fast_variant_needs_more_rounds_beside_slow_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders, _, inputs = scripted(monkeypatch, 0.0011, 0.0011, 0.0002, 0.005, 0.005)
    assert run_duel(contenders, inputs, seed=0, max_seconds=0.0).rounds == 2 * MIN_ROUNDS


@pytest.mark.parametrize(
    ("once", "size"),
    [(0.0001, (32, 2)), (0.00099, (16, 2)), (0.002, (8, 1)), (0.005, (3, 1)), (0.3, (1, 1))],
)
def test_a_block_is_filled_by_calls(once: float, size: tuple[int, int]) -> None:
    assert choose_block_size(once) == size


def test_turns_are_drawn_anew_and_then_turned_round(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders, turns, inputs = scripted(monkeypatch, 1.0, 1.0, 1.0)
    run_duel(contenders, inputs, seed=3, max_seconds=300.0)
    warm = 3  # a call of 1 s is asked for once a contender before the rounds
    rounds = [tuple(turns[i : i + 3]) for i in range(warm, len(turns), 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert all(second == first[::-1] for first, second in zip(rounds[::2], rounds[1::2], strict=True))
    assert len(set(rounds[::2])) == 6


def test_enough_is_asked_only_at_a_few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders, _, inputs = scripted(monkeypatch, 0.004, 0.004)
    rounds: list[int] = []

    def enough(times: Mapping[str, Any]) -> bool:
        assert times.keys() == {"a", "b"}
        rounds.append(len(times["a"]))
        return rounds[-1] >= 48

    assert run_duel(contenders, inputs, seed=0, max_seconds=1e9, enough=enough).rounds == 48
    assert rounds == [12, 24, 48]
    assert INTERIM_ROUNDS == (12, 24, 48, 96, 192)


def test_a_block_is_its_lower_quartile_without_time_of_others() -> None:
    """Own times 2, 3, 1, 2: three quarters of the way from the lowest to the next."""
    block = Block([2.0, 9.0, 1.0, 2.5], [0.0, 6.0, 0.0, 0.5])
    assert compute_block_seconds([block, Block([4.0] * 4, [0.0] * 4)]).tolist() == [1.75, 4.0]


def test_a_block_of_many_batches_is_the_mean_of_lower_quartiles() -> None:
    """Two batches of two calls: quartiles 1.25 and 10, so that the slow row is not lost."""
    block = Block([1.0, 2.0, 10.0, 10.0], [0.0] * 4, turns=2)
    assert compute_block_seconds([block]).tolist() == [5.625]
    assert find_fastest_call([block, Block([1.0, 1.0, 3.0, 3.0], [0.0] * 4, turns=2)]) == 2.0


def test_each_round_calls_the_next_rows_the_same_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders, _, _ = scripted(monkeypatch, 0.002, 0.001)
    batches = [{"input_ids": np.full((4, 2), number)} for number in range(20)]
    times = run_duel(contenders, {"a": batches, "b": batches}, seed=0, max_seconds=0.1)
    assert times.calls == {"a": CALLS_OF_A_ROW, "b": CALLS_OF_A_ROW}
    called = [call for call in contenders[0].called if len(call) > 1]
    assert called == [call for call in contenders[1].called if len(call) > 1]
    assert called[:3] == [[*range(8)], [*range(8, 16)], [16, 17, 18, 19, 0, 1, 2, 3]]  # 32 rows a round


@pytest.mark.parametrize(("batches", "rows", "size"), [(512, 1, 32), (16, 32, 1), (5, 1, 5), (128, 4, 8)])
def test_a_round_calls_about_32_rows(batches: int, rows: int, size: int) -> None:
    assert choose_turns(0, batches, rows) == list(range(size))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ContenderSpec:
    folder = make_tiny_run(tmp_path_factory.mktemp("duel")).build("teacher").artifact.folder
    return ContenderSpec("plain", folder, "eager", {}, "cpu", 1)


INPUTS = {"input_ids": np.full((2, 8), 5), "attention_mask": np.ones((2, 8), np.int64)}


def named(spec: ContenderSpec, name: str, **changes: Any) -> ContenderSpec:
    return ContenderSpec(**{**vars(spec), "name": name, **changes})


@pytest.fixture(scope="module")
def plain(spec: ContenderSpec) -> Iterator[Contender]:
    contender = Contender(spec)
    contender.prepare([INPUTS])
    yield contender
    contender.close()


@pytest.mark.parametrize("shared", [False, True], ids=["own process", "one process"])
def test_a_contender_with_a_delay_of_half_a_call_is_slower_by_it(
    spec: ContenderSpec, plain: Contender, shared: bool
) -> None:
    slow = Contender(named(spec, f"slow-{shared}"), host=plain if shared else None)
    try:
        once = time_call(plain)
        slow.delay(0.5 * once)
        names = ("plain", slow.spec.name)
        times = run_duel([plain, slow], {name: [INPUTS] for name in names}, seed=0, max_seconds=0.5)
        ratio = float(np.median(times.blocks[slow.spec.name] / times.blocks["plain"]))
        assert 1.15 < ratio < 2.5
        assert (slow._process is plain._process) is shared
    finally:
        slow.close()
    assert plain.time_block(1, discard=0).seconds[0] > 0


def test_a_process_runs_on_the_threads_that_it_was_given(spec: ContenderSpec, plain: Contender) -> None:
    assert plain.threads == 1
    two = Contender(named(spec, "two", threads=2))
    two.close()
    assert two.threads == 2


def test_two_runtimes_never_share_a_process(spec: ContenderSpec, plain: Contender) -> None:
    with pytest.raises(
        MeasureError, match=r"other \(onnxruntime\) and plain \(eager\) cannot share a process"
    ):
        Contender(named(spec, "other", runtime="onnxruntime"), host=plain)


def test_what_cannot_be_loaded_or_dies_is_an_error_with_its_name(spec: ContenderSpec) -> None:
    with pytest.raises(MeasureError, match="gone: the timing process failed: FileNotFoundError"):
        Contender(named(spec, "gone", folder=Path("/no/such/folder")))
    dying = Contender(named(spec, "dying"))
    dying.prepare([INPUTS])
    dying._process.kill()
    with pytest.raises(MeasureError, match="dying: the timing process failed: it was killed by SIGKILL"):
        dying.time_block(1, discard=0)
    dying.close()


def test_the_delay_is_waited_on_top_of_the_call() -> None:
    slower = delay_call(lambda prepared: prepared + 1, 0.02)
    start = time.perf_counter()
    assert slower(1) == 2
    assert time.perf_counter() - start >= 0.02


def busily(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        continue


@contextmanager
def neighbour_on_the_core() -> Iterator[None]:
    """Inside, this process and another one, which computes all the time, share a single core."""
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}]); print(1, flush=True)\nwhile True: pass"
    neighbour = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    allowed = os.sched_getaffinity(0)
    assert neighbour.stdout is not None
    try:
        neighbour.stdout.readline()
        os.sched_setaffinity(0, [core])
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        neighbour.kill()
        neighbour.wait()
        neighbour.stdout.close()


def test_what_a_neighbour_on_the_core_takes_counts_as_waiting() -> None:
    """Two processes on one core: each has it half of the time, and what is left is what was worked."""
    with neighbour_on_the_core(), QueueClock() as queue:
        queue.start()
        worked = time.thread_time()
        start = time.perf_counter()
        busily(0.3)
        seconds = time.perf_counter() - start
        waited, worked = queue.stop(seconds), time.thread_time() - worked
    assert waited > 0.08
    assert waited + worked == pytest.approx(seconds, abs=0.03)


def test_threads_without_a_core_are_counted() -> None:
    """A neighbour on the only core: the thread of this process is ready, without a core, half of the time."""
    with neighbour_on_the_core():
        queued, start = read_queued_seconds(), time.perf_counter()
        busily(0.3)
        share = (read_queued_seconds() - queued) / (time.perf_counter() - start)
    assert 0.25 < share < 0.9


@pytest.mark.parametrize(
    ("queued", "used", "expected"),
    [
        pytest.param(0.0, 1.9, 0.0, id="alone"),
        pytest.param(1.0, 1.0, 1.0, id="another process has a core"),
        pytest.param(1.2, 2.0, 0.0, id="more threads than cores"),
        pytest.param(1.2, 1.6, 0.4, id="more threads than cores, and another process"),
        pytest.param(0.3, 2.1, 0.0, id="a clock that runs ahead"),
        pytest.param(-0.1, 0.5, 0.0, id="a thread that waited has ended"),
    ],
)
def test_threads_that_wait_for_their_own_process_do_not_count(
    queued: float, used: float, expected: float
) -> None:
    assert count_queued_threads(queued, used, 1.0, 2) == pytest.approx(expected)
    assert count_queued_threads(3 * queued, 3 * used, 3.0, 2) == pytest.approx(expected)


def test_no_thread_spins_after_a_turn(spec: ContenderSpec) -> None:
    """PyTorch's threads spin for milliseconds after a call, unless the environment says otherwise."""
    two = Contender(named(spec, "two", threads=2))
    try:
        two.prepare([{name: np.tile(values, (64, 4)) for name, values in INPUTS.items()}])
        tasks = Path(f"/proc/{two._process.pid}/task")
        for _ in range(3):
            two.time_block(8, discard=1)
            assert count_running_threads(tasks, without=str(two._process.pid)) == 0
        assert len(list(tasks.iterdir())) > 1
    finally:
        two.close()


def test_a_turn_ends_though_threads_spin_for_ever(tmp_path: Path) -> None:
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / "stat").write_text("8 (name) R) R 1 0 0")
    start = time.perf_counter()
    wait_until_threads_sleep(tmp_path)
    assert 0.02 < time.perf_counter() - start < 1.0
    (tmp_path / "8" / "stat").write_text("8 (name) R) S 1 0 0")
    start = time.perf_counter()
    wait_until_threads_sleep(tmp_path)
    wait_until_threads_sleep(tmp_path / "none")
    assert time.perf_counter() - start < 0.02


def test_queued_threads_of_a_duel_are_the_median_of_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders, _, inputs = scripted(monkeypatch, 0.004, 0.004)
    queued, block = iter([0.0, 0.9, 0.3] * 200), contenders[1].time_block
    monkeypatch.setattr(
        contenders[1],
        "time_block",
        lambda *args, **options: replace(block(*args, **options), queued_threads=next(queued)),
    )
    times = run_duel(contenders, inputs, seed=0, max_seconds=2.0)
    assert times.queued_threads == {"a": 0.0, "b": 0.3}


def test_where_the_kernel_tells_nothing_no_thread_is_queued(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "schedstat").write_text("0 0 0\n")
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / "schedstat").write_text("")
    assert read_queued_seconds(tmp_path) == read_queued_seconds(tmp_path / "none") == 0.0
    (tmp_path / "7" / "schedstat").write_text("5000000000 2500000000 3\n")
    assert read_queued_seconds(tmp_path) == 2.5


def test_what_the_process_itself_takes_is_not_waiting() -> None:
    """A model whose own threads get in its way is slow: that is not taken off."""
    allowed, stop = os.sched_getaffinity(0), threading.Event()
    matrix = np.ones((300, 300))

    def multiply() -> None:
        while not stop.is_set():
            matrix @ matrix  # numpy lets go of the interpreter's lock

    other = threading.Thread(target=multiply)
    try:
        os.sched_setaffinity(0, [min(allowed)])
        other.start()
        with QueueClock() as queue:
            start = time.perf_counter()
            queue.start()
            for _ in range(60):
                matrix @ matrix
            seconds = time.perf_counter() - start
            waited, queued = queue.stop(seconds), queue._read() - queue._queued
    finally:
        stop.set()
        other.join()
        os.sched_setaffinity(0, allowed)
    assert 0.0 <= waited <= max(0.0, queued - 0.2 * seconds)


def test_where_the_kernel_tells_nothing_nobody_waited(tmp_path: Path) -> None:
    with QueueClock(tmp_path / "schedstat") as queue:
        queue.start()
        assert queue.stop(0.0) == 0.0


def test_a_wait_outside_the_call_is_not_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core was lost for 4 ms: within a call of 6 ms, or between its end and the question."""
    queue = QueueClock()
    monkeypatch.setattr(module.time, "thread_time", lambda: 0.0)
    monkeypatch.setattr(module.time, "process_time", lambda: 0.0)
    for end, seconds, waited in ((0.006, 0.006, 0.004), (0.006, 0.002, 0.0)):
        monkeypatch.setattr(module.time, "perf_counter", iter([0.0, end]).__next__)
        monkeypatch.setattr(queue, "_read", iter([0.0, 0.004]).__next__)
        queue.start()
        assert queue.stop(seconds) == pytest.approx(waited)
