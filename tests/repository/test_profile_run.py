"""tools/measuring/profile_run.py: every second belongs to one stage, and the shares add up."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_suite import SUITE

from fixtures.models.tiny import write_rows, write_tiny_bert
from tools.measuring.profile_run import Stages, format_table, profile_run, sum_logged_seconds

pytestmark = pytest.mark.slow


def test_time_goes_to_the_innermost_stage() -> None:
    now = [0.0]
    stages = Stages(clock=lambda: now[0])
    now[0] = 5.0  # nothing runs
    with stages.running("test"):
        now[0] += 1
        with stages.running("build"):
            now[0] += 10
        now[0] += 2
        with stages.running("test"):
            now[0] += 4
    assert stages.seconds == {"test": 7.0, "build": 10.0}
    stages.move("build", "train", 8.0)
    assert stages.seconds == {"test": 7.0, "build": 2.0, "train": 8.0}


def test_the_seconds_of_a_step_in_stages_are_summed() -> None:
    log = {
        "seconds": {"train": 1.0, "load": 0.5},
        "stages": [{"seconds": {"train": 2.0}}, {"rows": 3}],
        "vision distill": {"seconds": {"teacher": 4.0}},
    }
    assert sum_logged_seconds(log) == {"train": 3.0, "load": 0.5, "teacher": 4.0}


def test_overhead_is_all_but_training_predicting_and_timing() -> None:
    runs = {
        "cold": {"build: train": 60.0, "predict": 20.0, "time": 10.0, "report": 6.0, "all": 100.0},
        "warm": {"time": 10.0, "report": 5.0, "all": 20.0},
    }
    lines = format_table(runs).splitlines()
    assert lines[2] == "| build: train | 60.0 | 60.0 % | 0.0 | 0.0 % |"
    assert lines[-3] == "| starting Python and pytest, and the rest | 4.0 | 4.0 % | 5.0 | 25.0 % |"
    assert lines[-1].endswith(" | 10.0 | 10.0 % | 10.0 | 50.0 % |")


def test_a_run_is_profiled_from_start_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_bert(tmp_path / "hub", initializer_range=0.2)
    write_rows(tmp_path / "train.csv", 64, seed=1)
    write_rows(tmp_path / "gate.csv", 40, seed=2)
    text = SUITE[: SUITE.index("[variants]")].replace(
        'model = "hub"', 'model = "hub"\nsteps = [{ fine_tune = { precision = "float32" } }]'
    )
    more = "[variants]\npruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }\n"
    (tmp_path / "suite.toml").write_text(text.replace('group = "file"\n', "") + more, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    options = ["-p", "no:cacheprovider", "-k", "quality", "--rootdir", str(tmp_path)]
    cold = profile_run([str(tmp_path / "suite.toml"), *options], tmp_path, "cold")
    assert {"rows", "build: train", "build: rest", "predict", "judge quality", "import", "report"} <= set(
        cold
    )
    assert sum(seconds for stage, seconds in cold.items() if stage != "all") < cold["all"]
    assert all(seconds > -0.1 for seconds in cold.values())
    with pytest.raises(RuntimeError, match="ended with 4"):
        profile_run([str(tmp_path / "missing.toml")], tmp_path, "none")
