"""Load tests that would flatter the target: requests cut off, another load, other prompts, short answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.load_test_files import make_vllm_result, write_vllm
from support.tool_logs import (
    make_aiperf_line,
    make_llama_bench_entry,
    make_sglang_result,
    write_json,
    write_lines,
)

from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.logs.find import read_any_log
from slimgate.logs.load_tests import is_alike, pair_loads


@pytest.fixture
def judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """judge("speedup_min = 1.2", base, target, again): the exit code and the output."""

    def run(budget: str, base: Path, target: Path, again: Path, *options: str) -> tuple[int, str]:
        budgets = tmp_path / "budgets.toml"
        budgets.write_text(f"[budgets]\nlatency = {{ {budget} }}\n")
        files = [str(base), str(target), "--repeat", str(again), "--budgets", str(budgets)]
        code = main(["judge", *files, *options])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def write_guidellm(
    path: Path,
    seed: int,
    *,
    answered: int,
    seconds: float,
    incomplete: int = 0,
    tokens: int | None = 128,
    users: int | None = 160,
    **config: Any,
) -> Path:
    """A report of guidellm 0.5 with one load; answers take `seconds`, give or take 5 %."""
    noise = np.random.default_rng(seed).uniform(0.95, 1.05, answered)
    kind = "throughput" if users is None else "concurrent"
    strategy = {"type_": kind, "worker_count": 1, "max_concurrency": users}

    def request(at: int, latency: float) -> dict[str, Any]:
        return {
            "request_start_time": 100.0 + at / 100,
            "request_end_time": 100.0 + at / 100 + latency,
            "request_latency": latency,
            "time_to_first_token_ms": 100 * latency,
            "inter_token_latency_ms": 7 * latency,
            "prompt_tokens": 76,
            "output_tokens": tokens,
        }

    requests = {
        "successful": [request(at, float(seconds * noise[at])) for at in range(answered)],
        "errored": [],
        "incomplete": [request(at, 0.0) for at in range(incomplete)],
        "total": None,
    }
    benchmark = {"config": {"strategy": strategy, **config}, "requests": requests, "duration": 60.0}
    report = {
        "metadata": {"version": 1, "guidellm_version": "0.5.0"},
        "args": {"model": "m"},
        "benchmarks": [benchmark],
    }
    path.write_text(json.dumps(report), "utf-8")
    return path


def write_guidellm_runs(folder: Path, **target: Any) -> tuple[Path, Path, Path]:
    """A base of 320 answers of 10 s, a target, and the base's second run."""
    shared = {"users": target["users"]} if "users" in target else {}
    return (
        write_guidellm(folder / "base.json", 1, answered=320, seconds=10.0, **shared),
        write_guidellm(folder / "target.json", 3, **target),
        write_guidellm(folder / "again.json", 2, answered=320, seconds=10.0, **shared),
    )


# ---- unfinished requests


@pytest.mark.parametrize("budget", ["speedup_min = 1.2", "p50_ms_max = 6000.0"])
def test_a_run_that_cut_off_most_requests_is_refused(tmp_path: Path, judge: Any, budget: str) -> None:
    code, output = judge(budget, *write_guidellm_runs(tmp_path, answered=40, seconds=5.0, incomplete=280))
    assert code == 4
    assert "target.json: 280 of 320 requests of load c160 were cut off by the end of the run" in output
    assert "run it until all are answered" in output


def test_as_many_requests_as_may_fail_may_be_cut_off(tmp_path: Path, judge: Any) -> None:
    code, output = judge(
        "speedup_min = 1.2", *write_guidellm_runs(tmp_path, answered=304, seconds=5.0, incomplete=16)
    )
    assert code == 0
    assert "16 cancelled or cut off by its end" in output
    base, target, again = write_guidellm_runs(tmp_path, answered=303, seconds=5.0, incomplete=17)
    assert judge("speedup_min = 1.2", base, target, again)[0] == 4
    # the base and its second run too
    assert "17 of 320 requests" in judge("speedup_min = 1.2", target, base, again)[1]
    assert "17 of 320 requests" in judge("speedup_min = 1.2", base, again, target)[1]


def test_a_request_cut_off_is_slow_in_the_target_alone(tmp_path: Path) -> None:
    base, target, _ = (
        read_any_log(path) for path in write_guidellm_runs(tmp_path, answered=304, seconds=5.0, incomplete=16)
    )
    [pair] = pair_loads(base, target, None, ())
    assert len(pair.target_requests) == 320
    assert [request.failed for request in pair.target_requests[304:]] == ["cut off or cancelled"] * 16
    [mirrored] = pair_loads(target, base, None, ())
    assert len(mirrored.base.requests) == 304
    assert len(mirrored.target_requests) == 320


def test_times_of_the_95th_percentile_count_cut_off_requests(tmp_path: Path, judge: Any) -> None:
    runs = write_guidellm_runs(tmp_path, answered=304, seconds=5.0, incomplete=16)
    code, output = judge("p95_ms_max = 6000.0", *runs)
    assert code == 1
    assert "INCONCLUSIVE" in output


def test_requests_that_aiperf_cancelled_are_limited_too(tmp_path: Path) -> None:
    base = write_lines(tmp_path / "a/profile_export.jsonl", [make_aiperf_line(at, 100.0) for at in range(20)])
    lines = [make_aiperf_line(at, 50.0, was_cancelled=at % 2 == 1) for at in range(20)]
    target = write_lines(tmp_path / "b/profile_export.jsonl", lines)
    with pytest.raises(DataError, match=r"10 of 20 requests of load all were cut off .* or by the client"):
        pair_loads(read_any_log(base), read_any_log(target), None, ())


@pytest.mark.parametrize("place", ["config", "args"])
def test_a_sample_of_guidellms_requests_is_refused(tmp_path: Path, place: str) -> None:
    path = write_guidellm(tmp_path / "a.json", 1, answered=20, seconds=1.0)
    report = json.loads(path.read_text())
    if place == "config":
        report["benchmarks"][0]["config"]["sample_size"] = 20
    else:
        report["args"]["sample_requests"] = 20
    path.write_text(json.dumps(report))
    with pytest.raises(
        DataError, match=r"load c160 has a sample of 20 requests .* without --sample-requests"
    ):
        read_any_log(path)


# ---- how many requests are sent at once


def write_vllm_runs(folder: Path, base: dict[str, Any], target: dict[str, Any]) -> tuple[Path, Path, Path]:
    """A base, a target twice as fast, and the base's second run."""
    return (
        write_vllm(folder / "base.json", 0, **base),
        write_vllm(folder / "target.json", 2, slower=0.5, **target),
        write_vllm(folder / "again.json", 1, **base),
    )


@pytest.mark.parametrize(
    ("load", "base", "target", "words"),
    [
        ({"concurrency": None}, 256, 64, "64 requests for 256, and fewer requests make a shorter queue"),
        ({"concurrency": None}, 64, 256, "256 requests for 64"),
        ({"concurrency": 256}, 512, 64, "64 requests for 512"),
        ({"concurrency": 8}, 200, 200, None),
        ({"concurrency": 8}, 200, 300, None),
        # 8 of 60 requests found an idle server, and 8 of 600
        ({"concurrency": 8}, 600, 60, "60 requests for 600"),
        ({"concurrency": 8}, 600, 400, None),
        ({"concurrency": 1}, 200, 40, None),
        # an overloaded server has a queue that grows with the number of requests
        ({"concurrency": None, "rate": 5.0}, 200, 100, "100 requests for 200"),
        ({"concurrency": None, "rate": 5.0}, 200, 191, None),
    ],
)
def test_fewer_requests_at_once_are_another_load(
    tmp_path: Path, judge: Any, load: dict[str, Any], base: int, target: int, words: str | None
) -> None:
    runs = write_vllm_runs(tmp_path, {**load, "requests": base}, {**load, "requests": target})
    code, output = judge("speedup_min = 1.2", *runs)
    assert code == (0 if words is None else 4)
    if words is not None:
        assert words in output
        assert "--allow load compares them anyway" in output
        assert judge("speedup_min = 1.2", *runs, "--allow", "load")[0] == 0


@pytest.mark.parametrize("limit", [{"max_concurrency": None}, {"max_concurrency": 64}])
def test_sglang_sends_all_requests_at_once_too(tmp_path: Path, limit: dict[str, Any]) -> None:
    logs = [
        read_any_log(
            write_lines(tmp_path / f"{count}/a.jsonl", [make_sglang_result([100.0] * count, **limit)])
        )
        for count in (64, 32)
    ]
    with pytest.raises(DataError, match="32 requests for 64"):
        pair_loads(logs[0], logs[1], None, ())
    assert pair_loads(logs[0], logs[1], None, ("load",))


def test_guidellms_throughput_sends_all_requests_at_once(tmp_path: Path) -> None:
    _, target, _ = write_guidellm_runs(tmp_path, users=None, answered=64, seconds=5.0)
    logs = read_any_log(tmp_path / "base.json"), read_any_log(target)
    with pytest.raises(DataError, match="throughput: 64 requests for 320"):
        pair_loads(logs[0], logs[1], None, ())


def test_requests_of_aiperf_count_if_no_load_is_stated(tmp_path: Path) -> None:
    logs = [
        read_any_log(
            write_lines(
                tmp_path / f"{count}/profile_export.jsonl",
                [make_aiperf_line(at, 50.0) for at in range(count)],
            )
        )
        for count in (20, 10)
    ]
    with pytest.raises(DataError, match="all: 10 requests for 20"):
        pair_loads(logs[0], logs[1], None, ())


def test_another_ramp_of_vllm_is_another_load(tmp_path: Path) -> None:
    logs = []
    for rate in (10, 1):
        result = make_vllm_result(np.random.default_rng(0))
        result |= {"ramp_up_strategy": "linear", "ramp_up_start_rps": 1, "ramp_up_end_rps": rate}
        (tmp_path / f"{rate}.json").write_text(json.dumps(result))
        logs.append(read_any_log(tmp_path / f"{rate}.json"))
    with pytest.raises(DataError, match="ramp_up_end_rps 1, 10 in the base"):
        pair_loads(logs[0], logs[1], None, ())


# ---- lengths


@pytest.mark.parametrize(
    ("before", "after", "alike", "work"),
    [
        ([128] * 100, [128] * 64, True, True),
        ([128] * 100, [1] * 90 + [1271] * 10, False, False),
        ([100] * 100, [95] * 100, True, True),
        ([100] * 100, [94] * 100, False, False),
        ([100, 1000] * 50, [1000, 100] * 50, True, True),
        # the work is alike, and the median is not
        ([100] * 100, [90] * 51 + [100] * 49, False, False),
        ([100] * 100, [94] * 51 + [100] * 49, False, True),
        ([1, 3, 5], [1, 3, 5, 1, 3, 5], True, True),
        ([], [], True, True),
        ([], [1], False, False),
    ],
)
def test_lengths_are_compared_rank_by_rank(
    before: list[int], after: list[int], alike: bool, work: bool
) -> None:
    lengths = np.asarray(before, np.float64), np.asarray(after, np.float64)
    assert is_alike(*lengths) is alike
    assert is_alike(*lengths[::-1]) is alike
    assert is_alike(*lengths, median=False) is work


def change_result(path: Path, **lists: Any) -> Path:
    """The result of vLLM with other lists."""
    path.write_text(json.dumps(json.loads(path.read_text()) | lists))
    return path


def test_prompts_of_one_mean_and_other_lengths_are_refused(tmp_path: Path, judge: Any) -> None:
    base, target, again = write_vllm_runs(tmp_path, {"prompt": 128}, {"prompt": 128})
    change_result(target, input_lens=[1 if at % 10 else 1271 for at in range(200)])
    code, output = judge("speedup_min = 1.2", base, target, again)
    assert code == 4
    assert (
        "prompts of load c8 have 128.0 tokens on average, and 128.0 in the base (median 1, 128 in" in output
    )
    assert judge("speedup_min = 1.2", base, target, again, "--allow", "prompt")[0] == 0


def test_prompts_of_unknown_length_are_refused(tmp_path: Path, judge: Any) -> None:
    base, target, again = write_vllm_runs(tmp_path, {}, {})
    for path in (base, target, again):
        change_result(path, input_lens=None)
    code, output = judge("speedup_min = 1.2", base, target, again)
    assert code == 4
    assert "base.json: it lacks the prompt lengths of load c8" in output
    assert judge("speedup_min = 1.2", base, target, again, "--allow", "prompt")[0] == 0


# ---- answers


def write_answers(folder: Path, reader: str, lengths: list[int]) -> Path:
    """A load test of that tool with answers of these lengths."""
    count = len(lengths)
    if reader == "vllm":
        return change_result(write_vllm(folder.with_suffix(".json"), 0, requests=count), output_lens=lengths)
    if reader == "sglang":
        result = make_sglang_result([100.0] * count, output_lens=lengths)
        return write_lines(folder / "bench.jsonl", [result])
    if reader == "aiperf":
        lines = [make_aiperf_line(at, 100.0) for at in range(count)]
        for line, tokens in zip(lines, lengths, strict=True):
            line["metrics"]["output_sequence_length"]["value"] = tokens
        return write_lines(folder / "profile_export.jsonl", lines)
    path = write_guidellm(folder.with_suffix(".json"), 1, answered=count, seconds=1.0)
    report = json.loads(path.read_text())
    for request, tokens in zip(report["benchmarks"][0]["requests"]["successful"], lengths, strict=True):
        request["output_tokens"] = tokens
    path.write_text(json.dumps(report))
    return path


@pytest.mark.parametrize("reader", ["vllm", "sglang", "aiperf", "guidellm"])
def test_an_empty_answer_is_a_failed_request(tmp_path: Path, reader: str) -> None:
    base = read_any_log(write_answers(tmp_path / "base", reader, [10] * 200))
    allowed = read_any_log(write_answers(tmp_path / "few", reader, [0] * 10 + [10] * 190))
    refused = read_any_log(write_answers(tmp_path / "many", reader, [0] * 11 + [10] * 189))
    [pair] = pair_loads(base, allowed, None, ())
    assert [request.failed for request in pair.target.requests[:11]] == ["an answer of 0 tokens"] * 10 + [
        None
    ]
    assert pair.target.requests[0].total is None
    with pytest.raises(DataError, match=r"11 of 200 requests of load \S+ failed \(an answer of 0 tokens\)"):
        pair_loads(base, refused, None, ())


def test_prompt_tests_of_llama_bench_have_no_answers(tmp_path: Path, judge: Any) -> None:
    runs = [
        write_json(tmp_path / f"{name}.json", [make_llama_bench_entry([time + at % 3 for at in range(40)])])
        for name, time in (("base", 100.0), ("target", 50.0), ("again", 100.1))
    ]
    assert judge("speedup_min = 1.2", *runs)[0] == 0


def test_two_builds_of_llama_bench_are_said(tmp_path: Path, judge: Any) -> None:
    """A newer build may be faster with the same model."""
    files = [
        write_json(
            tmp_path / f"{name}.json", [make_llama_bench_entry([1000.0 + at, 1001.0], build_number=build)]
        )
        for at, (name, build) in enumerate((("base", 5163), ("int4", 10700), ("again", 5163)))
    ]
    out = judge("speedup_min = 1.1", *files)[1]
    assert (
        "note: llama.cpp build 5163 wrote the base's log and 10700 the target's; another version may give "
        "other times of the same model" in out
    )
    out = judge("speedup_min = 1.1", files[2], files[0], files[1])[1]
    assert "pp512" in out
    assert "another version" not in out


def test_settings_of_newer_builds_of_llama_bench_are_compared(tmp_path: Path, judge: Any) -> None:
    """Experts on the CPU make a model slow. An older build does not write the option, whose default is 0."""
    times = {"base": 100.0, "target": 50.0, "again": 100.1}

    def write(**settings: dict[str, Any]) -> list[Path]:
        return [
            write_json(
                tmp_path / f"{name}.json",
                [make_llama_bench_entry([time + at % 3 for at in range(40)], **settings.get(name, {}))],
            )
            for name, time in times.items()
        ]

    slow = {"n_cpu_moe": 30, "no_host": False}
    code, output = judge("speedup_min = 1.2", *write(base=slow, target={"n_cpu_moe": 0}, again=slow))
    assert (code, "pp512: n_cpu_moe not stated, 30 in the base; --allow load" in output) == (4, True)
    newer = {"n_cpu_moe": 0, "no_host": False, "tensor_split": "0.00", "no_op_offload": 0}
    assert judge("speedup_min = 1.2", *write(target=newer))[0] == 0


@pytest.mark.parametrize("budget", ["speedup_min = 1.2", "p50_ms_max = 100.0", "ttft_p95_ms_max = 100.0"])
def test_no_budget_passes_by_short_answers(tmp_path: Path, judge: Any, budget: str) -> None:
    runs = write_vllm_runs(tmp_path, {"tokens": 128}, {"tokens": 10})
    code, output = judge(budget, *runs)
    assert code == 1
    assert "INCONCLUSIVE, answers have 10.0 tokens on average, and 128.0 in the base" in output
    assert "--allow answers judges them anyway" in output
    assert judge(budget, *runs, "--allow", "answers")[0] == 0


def test_short_answers_do_not_hide_a_fail(tmp_path: Path, judge: Any) -> None:
    runs = write_vllm_runs(tmp_path, {"tokens": 128}, {"tokens": 10})
    code, output = judge("speedup_min = 100.0", *runs)
    assert code == 1
    assert ": FAIL" in output


def test_answers_of_one_mean_and_other_lengths_do_not_pass(tmp_path: Path, judge: Any) -> None:
    base, target, again = write_vllm_runs(tmp_path, {"tokens": 50}, {"tokens": 50})
    change_result(target, output_lens=[1 if at % 10 else 491 for at in range(200)])
    code, output = judge("speedup_min = 1.2", base, target, again)
    assert code == 1
    assert "INCONCLUSIVE, answers have 50.0 tokens on average, and 50.0 in the base (median 1, 50" in output


def test_answers_of_unknown_length_do_not_pass(tmp_path: Path, judge: Any) -> None:
    runs = write_guidellm_runs(tmp_path, answered=320, seconds=5.0, tokens=None)
    code, output = judge("speedup_min = 1.2", *runs)
    assert code == 1
    assert "INCONCLUSIVE, the lengths of the answers are not known; --allow answers" in output
    assert judge("speedup_min = 1.2", *runs, "--allow", "answers")[0] == 0


def test_a_part_needs_a_time_of_almost_all_answers(tmp_path: Path, judge: Any) -> None:
    base, target, again = write_vllm_runs(tmp_path, {}, {})
    lengths = [5 if at % 12 == 0 else 1 for at in range(200)]
    code, output = judge("tpot_speedup_min = 1.2", base, change_result(target, output_lens=lengths), again)
    assert code == 1
    words = "INCONCLUSIVE, only 17 of 200 answers of the target have this time, expected at least 95 %"
    assert words in output
    assert words in judge("tpot_speedup_min = 1.2", base, target, again, "--allow", "answers")[1]
    # a FAIL stays, because an undecided budget may only warn
    assert "FAIL" in judge("tpot_speedup_min = 9.0", base, target, again)[1]
    change_result(target, output_lens=[1] * 10 + [5] * 190)
    assert judge("tpot_speedup_min = 1.2", base, target, again)[0] == 0
    change_result(again, output_lens=lengths)
    output = judge("tpot_speedup_min = 1.2", base, target, again)[1]
    assert "17 of 200 answers of the second run of the base have this time" in output


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -0.5], ids=["nan", "inf", "negative"])
def test_a_time_that_cannot_be_is_refused(tmp_path: Path, time: float) -> None:
    base = write_vllm(tmp_path / "base.json")
    result = make_vllm_result(np.random.default_rng(1))
    result["latencies"][6] = result["ttfts"][6] = time
    target = write_json(tmp_path / "int4.json", result)
    words = f"request 7 of load c8 has a time of {1000 * time:g} ms, expected a finite number of at least 0"
    with pytest.raises(DataError, match=words):
        pair_loads(read_any_log(base), read_any_log(target), None, ())


@pytest.mark.parametrize("slower", [0.001, 1000.0], ids=["seconds as ms", "ms as seconds"])
def test_times_of_another_unit_are_refused(tmp_path: Path, judge: Any, slower: float) -> None:
    """A file with seconds where milliseconds are expected would pass each budget."""
    base, again = (write_vllm(tmp_path / f"{seed}.json", seed) for seed in range(2))
    target = write_vllm(tmp_path / "target.json", 2, slower=slower)
    code, output = judge("speedup_min = 1.2, p50_ms_max = 100", base, target, again)
    assert code == 4
    assert "another unit, or a cache answered; --allow load compares them anyway" in output
    assert judge("speedup_min = 1.2", base, target, again, "--allow", "load")[0] == int(slower > 1)


def test_a_target_that_is_much_faster_is_judged(tmp_path: Path, judge: Any) -> None:
    base, again = (write_vllm(tmp_path / f"{seed}.json", seed) for seed in range(2))
    assert judge("speedup_min = 20", base, write_vllm(tmp_path / "t.json", 2, slower=0.02), again)[0] == 0


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("input_lens", 10**400, "int too large to convert to float"),
        ("output_lens", float("nan"), "the count nan of a load test is negative or not finite"),
        ("output_lens", float("inf"), "the count inf of a load test is negative or not finite"),
        ("input_lens", -20, "the count -20 of a load test is negative or not finite"),
        ("duration", 10**400, "int too large to convert to float"),
    ],
    ids=["huge", "nan", "infinite", "negative", "huge duration"],
)
def test_lengths_that_cannot_be_are_refused(
    tmp_path: Path, judge: Any, key: str, value: Any, words: str
) -> None:
    """Lengths that are not numbers equal all others, so short answers would look like fast ones."""
    base, again = write_vllm(tmp_path / "base.json"), write_vllm(tmp_path / "again.json", seed=1)
    result = make_vllm_result(np.random.default_rng(2), slower=0.5)
    result[key] = value if key == "duration" else [value] * len(result[key])
    target = write_json(tmp_path / "int4.json", result)
    code, printed = judge("ttft_speedup_min = 1.2", base, target, again)
    assert (code, words in printed, printed.count("\n")) == (4, True, 1)
