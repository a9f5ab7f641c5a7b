"""A suite of two servers as a user runs it: verdicts, counts of failures, the store, what is skipped."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.answer_server import serving
from support.processes import wait_for_end
from support.user_repository import ROOT, make_user_environment, run_pytest
from support.warm_python import start_module

SUITE = """\
[suite]
title = "is the last word right?"
threads = 1

[task]
kind = "text_generation"
source = {{ name = "files", path = "rows.csv", real = false }}
prompt = "prompt"
reference = "answer"
max_new_tokens = 4
splits = {{ train = 20, calibration = 0, selection = 10, gate = 200 }}

[teacher]
endpoint = {{ url = "{teacher}", model = "big", key_env = "MY_KEY", retries = 0 }}

[variants]
served = {{ endpoint = {{ url = "{variant}", model = "small", retries = 0 }} }}

[budgets]
exact_match = {{ drop_points = 5.0 }}
failed = {{ drop_points = 20.0 }}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "bench").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    rows = "".join(f"say word{row},word{row}\n" for row in range(240))
    (tmp_path / "bench/rows.csv").write_text("prompt,answer\n" + rows)
    return tmp_path


def is_tenth(prompt: str) -> bool:
    return prompt.endswith("0")


@pytest.mark.slow
def test_two_servers_are_judged_by_their_answers(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-5309")
    suite = repository / "bench/words.toml"
    with (
        serving() as teacher,
        serving(lambda prompt, _: "status 500" if is_tenth(prompt) else "answer") as variant,
    ):
        for server, context in ((teacher, 4096), (variant, 1024)):
            server.pages["/props"] = {"default_generation_settings": {"n_ctx": context}, "total_slots": 2}
        suite.write_text(SUITE.format(teacher=teacher.url, variant=variant.url))
        ran = run_pytest(repository, "bench/words.toml", "-v", "-rs", "-p", "no:xdist")
        requests = variant.asked.total()
        again = run_pytest(repository, "bench/words.toml", "-v", "-p", "no:xdist")
        assert variant.asked.total() == requests == 200  # answers come from the store
    assert ran.code == 1, ran.out
    record = ran.record("words")
    [_, served] = record["variants"]
    failed = sum(is_tenth(prompt) for prompt in variant.asked)
    assert 10 < failed < 30
    assert served["quality"]["failed"]["value"] == pytest.approx(failed / 200)
    assert served["quality"]["exact_match"]["value"] == pytest.approx(1 - failed / 200)
    assert served["quality"]["exact_match"]["verdict"] == "FAIL"
    assert served["quality"]["empty"]["value"] == 0
    assert served["artifact"]["bytes"] is None
    assert served["artifact"]["server"] == {"engine": {"context tokens": 1024, "slots": 2}}
    report = (repository / "reports/latest/words/report.md").read_text("utf-8")
    assert "the server of served differs from the teacher's: context tokens 4096 → 1024" in report
    assert served["latency"] == {}
    assert "smaller than the teacher" not in (repository / "reports/latest/words/report.md").read_text()
    assert "teacher is an endpoint: slimgate cannot see its files" in ran.out
    assert record["verdict"]["missing"] == 0, ran.out
    assert again.code == 1
    files = [path for path in repository.rglob("*") if path.is_file()]
    assert not [path for path in files if b"secret-5309" in path.read_bytes()]
    assert not list((repository / ".slimgate/unfinished").iterdir())
    assert "secret-5309" not in ran.out + again.out


PROGRAM = str(ROOT / "tests/support/started_server.py")


def started(repository: Path, *mode: str) -> Path:
    """The suite with one server for both models, which slimgate starts."""
    url, suite = "http://127.0.0.1:{port}/v1", repository / "bench/words.toml"
    command = json.dumps([sys.executable, PROGRAM, "{port}", *mode])
    text = SUITE.format(teacher=url, variant=url).replace("MY_KEY", "PATH")
    text = text.replace("retries = 0 }", f"retries = 0 }}\nserver = {{ command = {command} }}", 1)
    text = text.replace(
        "[variants]\nserved = {", f"[variants]\nserved = {{ server = {{ command = {command} }},"
    )
    suite.write_text(text)
    return suite


@pytest.mark.slow
def test_a_server_of_both_models_is_started_once_and_stopped(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIDS", str(repository / "pids"))
    started(repository)
    ran = run_pytest(repository, "bench/words.toml", "-v", "-rs", "-p", "no:xdist")
    assert ran.code == 0, ran.out
    pids = [*map(int, (repository / "pids").read_text().split())]
    assert len(pids) == 1
    assert wait_for_end(pids, seconds=0.5)
    assert (repository / "reports/latest/words/servers/teacher.log").read_text().startswith("mode ''")
    again = run_pytest(repository, "bench/words.toml", "-p", "no:xdist", "-k", "quality")
    assert again.code == 0, again.out
    assert (repository / "pids").read_text().split() == [str(pid) for pid in pids]  # answers are stored


@pytest.mark.slow
def test_a_server_that_crashes_fails_the_run_with_its_log(repository: Path) -> None:
    started(repository, "crash")
    ran = run_pytest(repository, "bench/words.toml", "-p", "no:xdist")
    assert ran.code == 1
    assert "teacher: server: it ended with code 1; its log" in ran.out
    assert "CUDA error: no kernel image is available" in ran.out


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda value: value.name)
def test_no_server_is_left_when_the_run_is_stopped(
    by: signal.Signals, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIDS", str(repository / "pids"))
    started(repository, "mute")
    options = ["bench/words.toml", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest"]
    process = start_module("pytest", options, repository, make_user_environment(), (os.devnull,) * 3)
    end = time.monotonic() + 120
    while not (repository / "pids").exists() and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(0.3)
    os.kill(process.pid, by)
    process.wait(60)
    assert wait_for_end([*map(int, (repository / "pids").read_text().split())])


@pytest.mark.slow
def test_a_teacher_that_fails_on_many_requests_is_an_error(repository: Path) -> None:
    """Failed answers of the teacher count as wrong. They hid the losses of a variant, without a word."""
    fails = True
    with (
        serving(lambda prompt, _: "status 500" if fails and is_tenth(prompt) else "answer") as teacher,
        serving(lambda prompt, _: "status 500" if is_tenth(prompt) else "answer") as variant,
    ):
        text = SUITE.format(teacher=teacher.url, variant=variant.url).replace("MY_KEY", "PATH")
        (repository / "bench/words.toml").write_text(text)
        options = ("bench/words.toml", "-p", "no:xdist", "-k", "exact_match or behaviour")
        ran = run_pytest(repository, *options)
        requests = dict(teacher.asked)
        fails = False
        mended = run_pytest(repository, *options)
        again = {prompt for prompt, times in teacher.asked.items() if times - requests[prompt] > 1}
        assert again == set(filter(is_tenth, requests))  # the others only once, for the noise floor
    assert ran.code == 1, ran.out
    assert "expected at most 1.0 %, or one: an answer that the teacher lacks counts as wrong" in ran.out
    assert mended.code == 1, mended.out
    assert mended.find_variant("words", "served")["quality"]["exact_match"]["verdict"] == "FAIL"
    report = (repository / "reports/latest/words/report.md").read_text("utf-8")
    assert "of its requests failed, so these rows have no answer" in report


@pytest.mark.slow
def test_servers_under_load_are_timed_by_turns_and_judged(repository: Path) -> None:
    suite = repository / "bench/words.toml"
    level = "{ ttft_ms = 300, e2el_ms = 350 }"
    loads = f"[measure]\nloads = [{{ concurrency = 4, requests = 4, blocks = 6, service_level = {level} }}]\n"
    budget = "latency = { speedup_min = 0.8, goodput_min = 1.0, p50_ms_max = 2000 }\n"
    with serving() as teacher, serving() as variant:
        teacher.delay, variant.delay = 0.02, 0.4
        text = SUITE.format(teacher=teacher.url, variant=variant.url).replace("MY_KEY", "PATH")
        suite.write_text(text.replace("gate = 200", "gate = 60") + budget + loads)
        ran = run_pytest(repository, "bench/words.toml", "-v", "-rs", "-p", "no:xdist")
    assert ran.code == 1, ran.out
    record = ran.record("words")
    [base, served] = record["variants"]
    assert set(served["latency"]) == {"c4", "c4-ttft", "c4-tpot"} == set(base["latency"])
    assert served["latency"]["c4"]["verdict"] == "FAIL"
    assert served["latency"]["c4"]["speedup"] < 0.8
    assert served["latency"]["c4-ttft"]["verdict"] is None
    assert served["latency"]["c4"]["failed_requests"] == 0
    assert base["latency"]["c4"]["p50_ms"] > 20
    assert served["latency"]["c4"]["good_share"] == served["latency"]["c4"]["goodput_per_s"] == 0
    assert base["latency"]["c4"]["good_share"] == 1
    assert base["latency"]["c4"]["goodput_per_s"] == pytest.approx(
        base["latency"]["c4"]["throughput_per_s"], rel=0.1
    )
    limits = {budget["kind"]: budget for budget in served["latency"]["c4"]["limits"]["budgets"]}
    assert {kind: budget["verdict"] for kind, budget in limits.items()} == {
        "p50_ms_max": "PASS",
        "goodput_min": "FAIL",
    }
    assert limits["goodput_min"]["value"] == 0
    assert served["latency"]["c4-ttft"]["limits"] is None
    assert "served: 4 users: median 0 good requests/s [0, 0], budget 1: FAIL (6 blocks)" in ran.out
    assert record["verdict"]["missing"] == 0, ran.out
    assert "served: 4 users: 0." in ran.out
    report = (repository / "reports/latest/words/report.md").read_text()
    assert "4 users, first token" in report


def test_the_plan_names_the_loads_and_asks_no_server(repository: Path) -> None:
    loads = """[measure]
loads = [{ concurrency = 4, requests = 10, blocks = 6 },
         { request_rate = 2.5, blocks = 9, service_level = { ttft_ms = 200 } }]
"""
    with serving() as server:
        text = SUITE.format(teacher=server.url, variant=server.url).replace("MY_KEY", "PATH")
        (repository / "bench/words.toml").write_text(text + loads)
        ran = run_pytest(repository, "bench/words.toml", "--slimgate-plan", "-p", "no:xdist")
        assert server.asked.total() == 0
    assert ran.code == 0, ran.out
    out = " ".join(ran.out.split())
    turns = "7 turns of 10 requests, and twice as many to teacher"
    assert f"load c4 of served: {turns}; the servers decide how long that takes" in out
    # 3 times 10 turns of 32 requests, of which 2.5 come in a second
    assert "load r2.5 of served: 10 turns of 32 requests, and twice as many to teacher; about 6" in out
    assert "at 2.5 requests a second; a good request meets ttft_ms 200" in out
    assert "workloads" not in out


@pytest.mark.slow
def test_two_shards_time_their_variants_beside_a_teacher_server(repository: Path) -> None:
    with serving() as teacher, serving() as variant:
        teacher.delay = variant.delay = 0.02
        text = SUITE.format(teacher=teacher.url, variant=variant.url).replace("MY_KEY", "PATH")
        more = f'other = {{ endpoint = {{ url = "{variant.url}", model = "other", retries = 0 }} }}\n'
        loads = "[measure]\nloads = [{ concurrency = 4, requests = 4, blocks = 6 }]\n"
        (repository / "bench/words.toml").write_text(text.replace("[budgets]", more + "[budgets]") + loads)
        options = ("-p", "no:xdist", "-v", "--slimgate-report")
        for shard in ("1", "2"):
            ran = run_pytest(
                repository, "bench/words.toml", "--slimgate-shard", f"{shard}/2", *options, shard
            )
            assert ran.code == 0, ran.out
            timed = [name for name in ("served", "other") if f"test_load[{name}-c4]" in ran.out]
            record = json.loads((repository / shard / "words/run.json").read_text())
            workloads = {model["name"]: set(model["latency"]) for model in record["variants"]}
            assert len(timed) == 1
            assert workloads[timed[0]] == workloads["teacher"] == {"c4", "c4-ttft", "c4-tpot"}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_with_ray_this_process_asks_the_endpoints(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIDS", str(repository / "pids"))
    started(repository)
    ran = run_pytest(repository, "bench/words.toml", "-p", "no:xdist", "--slimgate-engine", "ray")
    assert ran.code == 0, ran.out
    assert "Ray: teacher, served are endpoints, which this process asks itself" in ran.out
    assert len((repository / "pids").read_text().split()) == 1  # no worker started a server


CHOICES = """\
[suite]
title = "is the short word likelier?"
threads = 1
[task]
kind = "multiple_choice"
source = {{ name = "files", path = "rows.jsonl", real = false }}
context = "question"
choices = "choices"
answer = "answer"
splits = {{ train = 20, calibration = 0, selection = 10, gate = 100 }}
[teacher]
endpoint = {{ url = "{url}", model = "big" }}
[variants]
served = {{ endpoint = {{ url = "{url}", model = "small" }} }}
[budgets]
accuracy = {{ drop_points = 5.0 }}
"""


@pytest.mark.slow
def test_choices_are_judged_by_a_servers_log_probabilities(repository: Path) -> None:
    rows = [
        {"question": f"the word{row} is", "choices": ["aa", "bbbb"], "answer": int(row % 4 == 0)}
        for row in range(130)
    ]
    (repository / "bench/rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving() as server:
        (repository / "bench/words.toml").write_text(CHOICES.format(url=server.url))
        ran = run_pytest(repository, "bench/words.toml", "-v", "-rs", "-p", "no:xdist")
    assert ran.code == 0, ran.out
    [_, served] = ran.record("words")["variants"]
    right = served["quality"]["accuracy"]["value"]
    assert 0.6 < right < 0.9  # the shorter one is right in three rows of four
    assert served["quality"]["accuracy"]["verdict"] == "PASS"
    assert ran.record("words")["verdict"]["missing"] == 0, ran.out
