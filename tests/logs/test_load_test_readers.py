"""Readers of load tests of 2025 and 2026: times, tokens, failures, settings, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.read_logs import TIMES, assert_refused, read_load
from support.tool_logs import (
    TIMED,
    make_aiperf_line,
    make_llama_bench_entry,
    make_sglang_result,
    write_aiperf,
    write_json,
    write_lines,
    write_llama_bench,
)

from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.logs.find import read_any_log


@pytest.mark.parametrize("name", TIMED)
def test_a_load_test_gives_the_times_of_each_request(tmp_path: Path, name: str) -> None:
    reader, write = TIMED[name]
    path = write(tmp_path / "log", TIMES)
    assert read_any_log(path).tool == reader
    requests = read_load(path).requests
    assert [request.total for request in requests] == pytest.approx(TIMES)
    if reader != "llama_bench":
        assert [request.first for request in requests] == pytest.approx([time / 10 for time in TIMES])
        assert [request.between for request in requests] == pytest.approx([time / 10 for time in TIMES])
        assert {(request.prompt_tokens, request.tokens) for request in requests} == {(32, 10)}


@pytest.mark.parametrize("name", TIMED)
def test_a_speed_up_is_judged_with_a_second_run_of_the_base(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    draws = np.random.default_rng(0)
    times = [100 * np.exp(0.02 * draws.standard_normal(60)) for _ in range(3)]
    times[2] /= 2
    paths = [TIMED[name][1](tmp_path / str(at), list(run)) for at, run in enumerate(times)]
    budgets = tmp_path / "speed.toml"
    budgets.write_text("[budgets]\nlatency = { speedup_min = 1.5 }\n")
    arguments = ["judge", str(paths[0]), str(paths[2]), "--budgets", str(budgets)]
    assert main([*arguments, "--repeat", str(paths[1])]) == 0
    assert main(arguments) == 1
    assert "one run of each does not tell" in capsys.readouterr().out


# Figures alone


def _write_figures_of_llama_bench(folder: Path, kind: str) -> Path:
    entry = make_llama_bench_entry(TIMES, avg_ts=4818.25)
    plain = {key: value for key, value in entry.items() if not key.startswith("samples")}
    if kind == "json":
        return write_json(folder / "bench.json", [plain])
    if kind == "csv":
        text = ",".join(plain) + "\n" + ",".join(f'"{value}"' for value in plain.values()) + "\n"
    elif kind == "sql":
        text = "CREATE TABLE IF NOT EXISTS llama_bench (\n  build_commit TEXT,\n  avg_ts REAL\n);\n"
    else:
        text = (
            "ggml_cuda_init: found 1 CUDA devices\n"
            "| model        |       size | backend    | ngl |            test |                  t/s |\n"
            "| ------------ | ---------: | ---------- | --: | --------------: | -------------------: |\n"
            "| qwen2 7B     |   4.36 GiB | CUDA       |  99 |           pp512 |      4818.25 ± 23.45 |\n"
            "\nbuild: 8cf427ff (5163)\n"
        )
    folder.mkdir()
    (folder / f"bench.{kind}").write_text(text, "utf-8")
    return folder / f"bench.{kind}"


@pytest.mark.parametrize("kind", ["csv", "md", "txt", "json", "sql"])
def test_llama_bench_without_repetitions_is_refused(tmp_path: Path, kind: str) -> None:
    shown = r"\(none\)" if kind == "sql" else r"\(pp512 t/s 4818.25\)"
    assert_refused(
        _write_figures_of_llama_bench(tmp_path / "log", kind), shown + r", .*run llama-bench -o json"
    )


def test_sglang_without_details_is_refused_with_its_figures(tmp_path: Path) -> None:
    lists = ("input_lens", "output_lens", "ttfts", "itls", "generated_texts", "errors")
    result = {key: value for key, value in make_sglang_result(TIMES).items() if key not in lists}
    path = write_lines(tmp_path / "bench.jsonl", [result])
    assert_refused(path, r"median_ttft_ms 10.5, median_e2e_latency_ms 105\).*--output-details")


@pytest.mark.parametrize(
    "wrong", [{"duration": "x"}, {"input_lens": ["", *[32] * 39]}], ids=["run", "request"]
)
def test_a_text_for_a_number_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    result = make_sglang_result([50.0] * 40, **wrong)
    assert_refused(write_lines(tmp_path / "x.jsonl", [result]), "of a load test is no number")


def test_aiperf_without_its_requests_is_refused_with_its_figures(tmp_path: Path) -> None:
    folder = write_aiperf(tmp_path / "log", TIMES)
    (folder / "profile_export.jsonl").unlink()
    assert_refused(folder, r"median request_latency ms 105\).*profile_export\.jsonl")


def test_aiperf_has_the_tokens_of_each_answer(tmp_path: Path) -> None:
    assert [request.tokens for request in read_load(write_aiperf(tmp_path / "log", TIMES)).requests] == [
        10
    ] * 5


# Load tests


def test_llama_bench_tests_have_names_and_their_speed_is_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [
        make_llama_bench_entry([64.0, 64.0]),
        make_llama_bench_entry(TIMES, n_prompt=0, n_gen=128),
        make_llama_bench_entry(TIMES, n_gen=128, n_depth=4096, n_threads=4),
        make_llama_bench_entry(TIMES, n_gen=128, n_depth=4096, n_threads=8),
    ]
    path = write_json(tmp_path / "base.json", entries)
    names = ["pp512 n_threads=8", "tg128 n_threads=8"]
    names += [f"pp512+tg128@d4096 n_threads={threads}" for threads in (4, 8)]
    assert list(read_any_log(path).loads) == names
    plain = write_json(tmp_path / "plain.json", entries[:1])
    target = write_json(tmp_path / "target.json", [make_llama_bench_entry([64.0, 80.0])])
    assert main(["judge", str(plain), str(target)]) == 0
    assert "plain.json: pp512 8,000 tokens a second, mean of 2 repetitions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{}, {}], "two tests named pp512"),
        (
            [{}, {"n_gen": 9, "model_filename": "other.gguf"}],
            r"tests of 2 models \(model-7b-q8_0.gguf, other",
        ),
        ([{"samples_ts": [1.0]}], "5 samples_ns and 1 samples_ts"),
    ],
)
def test_two_runs_or_models_of_llama_bench_are_refused(
    tmp_path: Path, entries: list[dict[str, Any]], words: str
) -> None:
    assert_refused(
        write_json(tmp_path / "x.json", [make_llama_bench_entry(TIMES, **entry) for entry in entries]), words
    )


def test_other_hardware_is_another_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = write_llama_bench(tmp_path / "base", TIMES)
    target = write_json(tmp_path / "target.json", [make_llama_bench_entry(TIMES, gpu_info="GPU 80GB")])
    assert main(["judge", str(base), str(target)]) == 4
    assert "gpu_info GPU 80GB, GPU 16GB in the base; --allow load" in capsys.readouterr().err


def test_requests_of_sglang_that_failed_are_counted(tmp_path: Path) -> None:
    errors = ["", "Internal Server Error", "", "", ""]
    result = make_sglang_result(TIMES, errors=errors, completed=4, request_rate=5.0)
    log = read_any_log(write_lines(tmp_path / "bench.jsonl", [result]))
    [(name, run)] = log.loads.items()
    assert name == "r5-c8"
    assert [request.failed for request in run.requests] == [None, "Internal Server Error", None, None, None]
    assert_refused(
        write_lines(tmp_path / "x.jsonl", [{**result, "completed": 5}]), "4 requests have an answer"
    )
    assert_refused(
        write_lines(tmp_path / "x.jsonl", [result, result]), "line 2: a second result of the load r5-c8"
    )
    assert_refused(
        write_lines(tmp_path / "x.jsonl", [{**result, "itls": []}]),
        "expected an entry for each request in all",
    )


def test_aiperf_counts_failures_cancellations_and_no_warm_up(tmp_path: Path) -> None:
    cancelled = {"code": 499, "type": "RequestCancellationError", "message": "cancelled"}
    failed = {"code": 500, "type": "ServerError", "message": "no memory"}
    old = {"timestamp_ns": 10**18, "credit_phase": "profiling"}
    metrics = {
        "ttft": {"value": 0.1, "unit": "sec"},
        "request_latency": {"value": 2 * 10**8, "unit": "ns"},
        "request_count": {"value": 1, "unit": "requests"},
    }
    rows = [
        {"metadata": {**old, "credit_phase": "warmup"}, "metrics": metrics, "error": None},
        {"metadata": old, "metrics": {}, "error": cancelled},
        {"metadata": {**old, "timestamp_ns": 10**18 + 5}, "metrics": {}, "error": failed},
        {"metadata": {**old, "timestamp_ns": 10**18 + 1}, "metrics": metrics, "error": None},
        make_aiperf_line(2, 50.0, was_cancelled=True),
    ]
    run = read_load(write_lines(tmp_path / "profile_export.jsonl", rows))
    answered, broken = run.requests
    assert (answered.first, answered.total, answered.failed) == (100.0, 200.0, None)
    assert broken.failed == "ServerError: no memory"
    assert run.unfinished == 2


def test_the_summary_of_another_run_of_aiperf_is_refused(tmp_path: Path) -> None:
    """A second run into the folder that stopped early replaced the requests alone."""
    folder = write_aiperf(tmp_path / "log", TIMES)
    write_lines(
        folder / "profile_export.jsonl", [make_aiperf_line(at, 2 * time) for at, time in enumerate(TIMES)]
    )
    words = (
        "answered requests have .* ms: they come from two runs; put the requests and the summary of one run"
    )
    with pytest.raises(DataError, match=words):
        read_any_log(folder)


def test_a_folder_with_two_runs_of_aiperf_is_refused(tmp_path: Path) -> None:
    write_aiperf(tmp_path / "run_1", TIMES)
    write_aiperf(tmp_path / "run_2", TIMES)
    assert_refused(tmp_path, "this folder has 2 runs")
