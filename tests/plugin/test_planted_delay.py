"""The planted delay in a run: what the duel does not see, no speed budget may be decided by.

The delay is set by the repository's own conftest: one that nothing can miss, and one of nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.user_repository import TWO, Ran, run_pytest

pytestmark = pytest.mark.slow

SPEED = "\n[budgets.variants.int8]\nlatency = { speedup_min = 0.01 }\n"
SPEEDUP = "bench/speed.toml::test_speedup[int8-b1]"
HIDDEN = "hidden.md"
SELFTEST = "bench/speed.toml::test_selftest[planted_delay]"


def ran_with_delay(folder: Path, share: float, *arguments: str) -> Ran:
    (folder / "bench/speed.toml").write_text(TWO.replace('"warn"', '"fail"') + SPEED)
    (folder / "conftest.py").write_text(
        f"import slimgate.judge.speed\nslimgate.judge.speed.PLANTED_DELAYS = ({share},)\n"
    )
    return run_pytest(folder, *arguments, "-v", "-rs")


@pytest.fixture(scope="module")
def hidden(repository: Path) -> Ran:
    """The speed test alone: no self-test has run before."""
    ran = ran_with_delay(repository, 0.0, SPEEDUP)
    shutil.copy(repository / "reports/latest/speed/report.md", repository / HIDDEN)  # later runs write theirs
    return Ran(ran.code, ran.out, ran.seconds, ran.folder, ran.lines, {"speed": ran.record("speed")})


@pytest.fixture(scope="module")
def seen(hidden: Ran) -> Ran:
    """The self-test, then the speed test of the same run."""
    return ran_with_delay(hidden.folder, 4.0, SELFTEST, SPEEDUP)


def test_a_lone_speed_test_with_a_hidden_delay_decides_nothing(hidden: Ran) -> None:
    assert hidden.code == 1
    message = hidden.find_variant("speed", "int8")["latency"]["b1"]["message"]
    assert message in hidden.lines
    assert message.endswith("INCONCLUSIVE, this machine hides every planted delay (self-test)")
    record = hidden.record("speed")
    assert record["self_test"]["planted_delay"]["seen"] is False
    assert record["self_test"]["planted_delay"]["workload"] == "b1"
    assert record["verdict"]["failed"] == 0
    assert record["self_test"]["planted_delay"]["message"] in record["verdict"]["messages"]
    report = (hidden.folder / HIDDEN).read_text()
    assert "**Not detected, so no speed-up is decided**" in report


def test_a_delay_that_is_seen_lets_the_budget_decide(seen: Ran) -> None:
    assert seen.code == 0
    assert seen.find_outcome(SELFTEST) == seen.find_outcome(SPEEDUP) == "PASSED"
    record = seen.record("speed")
    assert record["self_test"]["planted_delay"]["seen"] is True
    assert record["self_test"]["planted_delay"]["speedup_interval"][1] < 1
    latency = seen.find_variant("speed", "int8")["latency"]["b1"]
    assert (latency["verdict"], latency["duel_threads"]) == ("PASS", 1)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [(("--benchmark-disable",), "--benchmark-disable"), (("-n", "1"), "xdist workers share the machine")],
    ids=["disable", "n1"],
)
def test_where_nothing_is_timed_no_delay_is_planted(seen: Ran, flags: tuple[str, ...], reason: str) -> None:
    ran = ran_with_delay(seen.folder, 4.0, SELFTEST, *flags)
    assert ran.code == 0
    assert f"latency was not measured: {reason}" in ran.out
    assert "1 skipped" in ran.lines[-1]
