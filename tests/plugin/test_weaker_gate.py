"""A gate that demands less than its baseline is red, in pytest, `compare` and `accept`, by one check."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.releases import seal
from support.user_repository import Ran, run_pytest

from slimgate.cli.main import main
from slimgate.record.comparing.demands import read_demands
from slimgate.record.files import read_record_file
from slimgate.run.demands import NO_DEMAND

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "what may the release lose?"
extends = "_common.toml"

[task]
slices = ["length_bucket"]

[variants]
same = { steps = [{ "own_steps:Same" = {} }] }
bad = { steps = [{ "own_steps:Invert" = {} }], gated = false, reason = "to see it" }

[budgets]
accuracy = { drop_points = 5.0 }
flips = { flips_max_percent = 3.0 }
[budgets.slices]
accuracy = { drop_points = 40.0 }
"""
CHECKS = ("bench/s.toml", "-q", "-k", "quality or behaviour or identical or planted_fault")
BASELINE = ("--slimgate-baseline", "reports/baselines")
Command = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def released(repository: Path) -> Path:
    """A repository whose first run is the baseline v1."""
    (repository / "bench/s.toml").write_text(SUITE)
    assert run_pytest(repository, *CHECKS).code == 0
    return repository


@pytest.fixture
def slimgate(
    released: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs a command in the repository, whose baseline is there: exit code, output."""
    monkeypatch.chdir(released)

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    if not (released / "reports/baselines").exists():
        assert run("accept", "reports/latest/s", "--name", "v1", "--reason", "the first one")[0] == 0
    yield run
    (released / "bench/s.toml").write_text(SUITE)


def changed(released: Path, *replaced: tuple[str, str]) -> None:
    text = SUITE
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    (released / "bench/s.toml").write_text(text)


def ran(released: Path, *arguments: str) -> Ran:
    return run_pytest(released, *CHECKS, *arguments)


WEAKER = {
    "slices": (
        ("[budgets.slices]\naccuracy = { drop_points = 40.0 }\n", ""),
        "same, slices: slices.accuracy was 40 and is gone",
    ),
    "flips": (
        ("flips = { flips_max_percent = 3.0 }\n", ""),
        "same, flips: flips_max_percent was 3 and is gone",
    ),
    "informational": (
        ('Same" = {} }] }', 'Same" = {} }], gated = false, reason = "later" }'),
        "same is not gated now: it fails no run",
    ),
    "prompts": (("[task]", "[task]\nmax_tokens = 8"), "[task] max_tokens was 16 and is 8"),
}


@pytest.mark.parametrize("case", WEAKER)
def test_a_weaker_suite_is_red_in_pytest_compare_and_accept(
    released: Path, slimgate: Command, case: str
) -> None:
    replaced, message = WEAKER[case]
    changed(released, replaced)
    refused = ran(released, *BASELINE)
    assert (refused.code, f"  {message}" in refused.lines) == (4, True)
    comment = (released / "reports/latest/pr-comment.md").read_text().splitlines()
    assert comment[2].startswith("**The gate demands less than the baseline v1**: 1 change, 1 without a reas")
    assert ran(released).code == 0
    code, out = slimgate("compare", "reports/baselines", "reports/latest/s")
    assert (code, out.splitlines()[2].startswith("**The gate demands less than v1**: ")) == (1, True)
    assert slimgate("compare", "reports/baselines", "reports/latest/s", "--fail-on", "nothing")[0] == 0
    code, out = slimgate("accept", "reports/latest/s", "--name", "v2")
    assert code == 4

    reason = ("[budgets]\n", '[budgets.baseline]\nreason = "agreed with support"\n[budgets]\n')
    changed(released, reason, replaced)
    accepted = ran(released, *BASELINE)
    assert accepted.code == 0
    weaker = accepted.record("s")["baseline"]["weaker"]
    assert [(weakening["change"], weakening["reason"]) for weakening in weaker] == [
        (message, "agreed with support")
    ]
    first = (released / "reports/latest/pr-comment.md").read_text().splitlines()[2]
    assert first == "**The gate demands less than the baseline v1**: 1 change, each with a reason"
    assert slimgate("compare", "reports/baselines", "reports/latest/s")[0] == 0


def test_a_suite_that_is_opt_in_now_is_not_left_out(released: Path, slimgate: Command) -> None:
    changed(released, ('extends = "_common.toml"', 'extends = "_common.toml"\nopt_in = true'))
    folder = ("bench", "-q", "-k", "quality and same and accuracy")
    refused = run_pytest(released, *folder, *BASELINE)
    words = "bench/s.toml: a baseline is in reports/baselines, but this run leaves the suite out, because"
    assert (refused.code, any(words in line for line in refused.lines)) == (4, True)
    named = ran(released, *BASELINE)
    assert (named.code, "[suite] opt_in was false and is true" in named.out) == (4, True)
    assert run_pytest(released, *CHECKS).code == 0
    assert slimgate("accept", "reports/latest/s", "--name", "v2", "--reason", "it runs at night")[0] == 0
    run_by_hand = run_pytest(released, *folder, *BASELINE)
    shutil.rmtree(released / "reports/baselines/v2")
    assert "leaves the suite out" not in run_by_hand.out


def test_rows_that_were_taken_out_are_red(released: Path, slimgate: Command) -> None:
    rows = released / "bench/rows.csv"
    text = rows.read_text()
    head, *lines = text.splitlines()
    rows.write_text("\n".join([head, *lines[40:]]) + "\n")
    refused = ran(released, *BASELINE)
    assert refused.code == 4
    assert "  the gate rows have changed (400 rows then, 400 now)" in refused.lines
    assert ran(released).code == 0
    code, out = slimgate("compare", "reports/baselines", "reports/latest/s")
    assert (code, "the gate rows have changed" in out.splitlines()[4]) == (1, True)
    rows.write_text(text)


def test_a_teacher_whose_files_were_replaced_is_red(released: Path, slimgate: Command) -> None:
    weights = released / "model/model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        refused = ran(released, *BASELINE)
        assert ran(released).code == 0
    finally:
        weights.write_bytes(before)
    assert (refused.code, "  the teacher is another model: its files differ" in refused.lines) == (4, True)
    code, out = slimgate("compare", "reports/baselines", "reports/latest/s")
    assert (code, "the teacher is another model: its files differ" in out) == (1, True)


def test_a_self_test_that_was_left_out_is_red(released: Path, slimgate: Command) -> None:
    shutil.rmtree(released / "reports/latest")
    assert run_pytest(released, *CHECKS[:2], "-k", "quality or behaviour", *BASELINE).code == 0
    code, out = slimgate("compare", "reports/baselines", "reports/latest/s")
    assert (code, "the self-test planted_fault has not run" in out) == (1, True)


def test_the_same_gate_again_is_no_weaker(released: Path, slimgate: Command) -> None:
    again = ran(released, *BASELINE)
    assert (again.code, again.record("s")["baseline"]["weaker"]) == (0, [])
    assert slimgate("compare", "reports/baselines", "reports/latest/s")[0] == 0
    record = read_record_file(released / "reports/latest/s").record
    demands = read_demands(record)
    assert demands.rows["gate"].n == 400
    assert demands.self_tests == ["identical", "planted_fault"]
    assert not set(demands.settings) & set(NO_DEMAND)
    assert str(released) not in json.dumps(demands.model_dump(mode="json"))


def test_export_wants_a_reason_for_what_does_not_pass(released: Path, slimgate: Command) -> None:
    """A partial record, then an informational variant, one that fails, and a suite that has changed."""
    changed(released)
    assert ran(released).code == 0
    for name, why in (
        ("same", "same comes from a record that is partial: "),
        ("bad", "bad is not gated in this run (to see it): no budget gates it; say why it is shipped"),
    ):
        code, out = slimgate("export", "reports/latest/s", name, "out")
        assert (code, out.startswith(f"slimgate export: {why}"), out.count("\n")) == (1, True, 1)
        assert not (released / "out").exists()
    failing = (', gated = false, reason = "to see it"', "")
    changed(released, failing)
    assert ran(released).code == 1
    code, out = slimgate("export", "reports/latest/s", "bad", "out")
    assert (code, "slimgate export: bad is FAIL in this run (accuracy" in out) == (1, True)
    code, out = slimgate("export", "reports/latest/s", "bad", "out", "--reason", "to look at | it")
    assert code == 0
    readme = (released / "out/README.md").read_text()
    assert "slimgate_verdict: FAIL, partial\n" in readme
    assert "**Exported with a reason**: to look at \\| it (bad is FAIL in this run" in readme
    assert slimgate("card", "reports/latest/s", "bad")[1].count("verdict: FAIL, partial") >= 2


def test_export_of_a_record_with_a_changed_suite_wants_a_reason(released: Path, slimgate: Command) -> None:
    full_run = run_pytest(released, "bench/s.toml", "-q")
    assert full_run.record("s")["verdict"]["missing"] == 0
    latest = released / "reports/latest/s/run.json"
    record = json.loads(latest.read_text())
    for model in record["variants"]:
        model["carried"] = []
    latest.write_text(json.dumps(record))
    seal(latest)
    changed(released, ("drop_points = 5.0", "drop_points = 0.5"))
    code, out = slimgate("export", "reports/latest/s", "same", "fresh")
    assert (code, "same comes from a record whose suite has changed" in out) == (1, True)
    changed(released)
    assert slimgate("export", "reports/latest/s", "same", "fresh")[0] == 0
    assert "slimgate_verdict: PASS\n" in (released / "fresh/README.md").read_text()
