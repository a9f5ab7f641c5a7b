"""A suite of two servers as a user runs it: verdicts, counts of failures, the store, what is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.answer_server import serving
from support.user_repository import pytest_in

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
        suite.write_text(SUITE.format(teacher=teacher.url, variant=variant.url))
        ran = pytest_in(repository, "bench/words.toml", "-v", "-rs", "-p", "no:xdist")
        asked = variant.asked.total()
        again = pytest_in(repository, "bench/words.toml", "-v", "-p", "no:xdist")
        assert variant.asked.total() == asked == 200  # answers come from the store
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
    assert served["latency"] == {}
    assert "smaller than the teacher" not in (repository / "reports/latest/words/report.md").read_text()
    assert "teacher is an endpoint: slimgate does not see its files" in ran.out
    assert record["verdict"]["missing"] == 0, ran.out
    assert again.code == 1
    files = [path for path in repository.rglob("*") if path.is_file()]
    assert not [path for path in files if b"secret-5309" in path.read_bytes()]
    assert not list((repository / ".slimgate/unfinished").iterdir())
    assert "secret-5309" not in ran.out + again.out
