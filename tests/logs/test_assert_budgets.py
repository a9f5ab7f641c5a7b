"""`assert_budgets` on every kind of file: it holds what `slimgate judge` would pass, and says what fails."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.kl_logs import write_kl_log
from support.lm_eval_logs import write_lm_eval
from support.load_test_files import write_vllm

from slimgate import SuiteError, assert_budgets, assert_within

SPEED = {"latency": {"speedup_min": 1.5}}


def test_load_tests_hold_a_speed_up_beside_a_second_run(tmp_path: Path) -> None:
    base, again = write_vllm(tmp_path / "base.json", 0), write_vllm(tmp_path / "again.json", 1)
    target = write_vllm(tmp_path / "target.json", 2, slower=0.5)
    record = assert_budgets(base, target, SPEED, repeat=str(again))
    assert record.load_tests["c8"].verdict == "PASS"
    with pytest.raises(AssertionError, match=r"target: 8 users: .*INCONCLUSIVE"):
        assert_budgets(base, target, SPEED)
    assert_budgets(base, target, SPEED, on_inconclusive="warn")


def test_a_kl_log_has_no_base(tmp_path: Path) -> None:
    log = write_kl_log(tmp_path / "q4.txt", np.random.default_rng(0).exponential(0.01, 580))
    with pytest.raises(AssertionError, match=r"budget 0\.005, .*: FAIL"):
        assert_budgets(None, log, {"kl": {"mean_max": 0.005}})
    budgets = tmp_path / "quality.toml"
    budgets.write_text("[budgets]\nkl = { mean_max = 0.03, above_cap_max = 0.01 }\n")
    assert assert_budgets(None, log, budgets).kl_log is not None


def test_logs_and_predictions_hold_budgets_of_their_own(tmp_path: Path) -> None:
    for name, wrong in (("base", 10), ("target", 11)):
        write_lm_eval(tmp_path / name, {"gsm8k": [1.0] * (200 - wrong) + [0.0] * wrong})
        rows = [f"r{k},{k % 2},{(k % 2) ^ (k < wrong)}" for k in range(200)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,label,prediction", *rows]))
    record = assert_budgets(tmp_path / "base", tmp_path / "target", {"*": {"drop_points": 5.0}})
    assert "gsm8k/acc" in record.quality
    # the same rows cannot show it for a score that may go up to 10
    wider = {"gsm8k*": (0, 10)}
    with pytest.raises(AssertionError, match="INCONCLUSIVE"):
        assert_budgets(tmp_path / "base", tmp_path / "target", {"*": {"drop_points": 5.0}}, ranges=wider)
    with pytest.raises(SuiteError, match=r'\[ranges\] "gsm8k": 5 was given, expected \[LOW, HIGH\]'):
        assert_budgets(
            tmp_path / "base",
            tmp_path / "target",
            {"*": {"drop_points": 5.0}},
            ranges={"gsm8k": 5},  # type: ignore[dict-item]
        )
    with pytest.raises(
        SuiteError, match=r'assert_within \[ranges\] "gsm8k": 5 was given, expected \[LOW, HIGH'
    ):
        assert_within(tmp_path / "base", tmp_path / "target", ranges={"gsm8k": 5})  # type: ignore[dict-item]
    budgets = {"accuracy": {"drop_points": 5.0}, "flips": {"flips_max_percent": 5.0}}
    record = assert_budgets(tmp_path / "base.csv", tmp_path / "target.csv", budgets)
    assert record.quality["accuracy"].verdict == "PASS"


def test_notes_are_warnings_and_paths_are_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "suites").mkdir()
    budgets = tmp_path / "suites/speed.toml"
    budgets.write_text("[budgets]\nlatency = { speedup_min = 1.5 }\n")
    for name, seed, slower in (("base", 0, 1.0), ("again", 1, 1.0), ("target", 2, 0.5)):
        write_vllm(tmp_path / f"{name}.json", seed, slower=slower)
    monkeypatch.chdir(tmp_path)
    assert assert_budgets("base.json", "target.json", budgets, repeat="again.json").load_tests
    rows = ["id,label,prediction", *(f"r{k},{k % 2},{k // 2 % 2}" for k in range(200))]
    for name in ("base", "target"):
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    with pytest.warns(UserWarning, match="the teacher is near chance"), pytest.warns(match="are the same"):
        assert_budgets("base.csv", "target.csv", {"accuracy": {"drop_points": 10.0}})


@pytest.mark.parametrize(
    ("budgets", "options", "problem"),
    [
        (
            {**SPEED, "size": {"compression_min": 2.0}},
            {},
            r"\[budgets.size\]: .* load tests are judged by latency",
        ),
        (SPEED, {"repaet": "again.json"}, "unknown key repaet. Did you mean repeat"),
        ({}, {}, r"expected \[budgets\]"),
        (SPEED, {"targets": {"x": "y"}}, "targets was given; the files are arguments of assert_budgets"),
        (3, {}, "3 was given as budgets, expected a table or a TOML file"),
        (SPEED, {"repeat": "none.json"}, "none.json: no such file"),
    ],
    ids=["other-budget", "option", "no-budget", "targets", "number", "no-file"],
)
def test_what_is_wrong_is_no_assertion(
    tmp_path: Path, budgets: Any, options: dict[str, Any], problem: str
) -> None:
    base = write_vllm(tmp_path / "base.json", 0)
    target = write_vllm(tmp_path / "target.json", 2, slower=0.5)
    with pytest.raises(SuiteError, match=problem):
        assert_budgets(base, target, budgets, **options)


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ({"missing": "dorp"}, "missing='dorp': expected one of fail, drop, as-wrong. Did you mean drop?"),
        ({"same_id": "run"}, "same_id='run': expected one of fail, epochs, runs. Did you mean runs?"),
        ({"missing": True}, "missing=True: expected one of fail, drop, as-wrong"),
    ],
    ids=["missing", "same_id", "no text"],
)
def test_an_unknown_value_of_an_option_is_refused(
    tmp_path: Path, option: dict[str, Any], problem: str
) -> None:
    for name in ("base", "target"):
        write_lm_eval(tmp_path / name, {"gsm8k": [1.0] * 50})
    with pytest.raises(SuiteError, match=re.escape(problem)):
        assert_within(tmp_path / "base", tmp_path / "target", **option)
