"""`slimgate mlflow`: runs logged to a real store. Needs the extra, which is not among what [dev] installs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.releases import SUITE, Model, write_release

from slimgate.cli.main import main
from slimgate.judge.budget_tables import FlipsBudget

RUNS = "tags.`mlflow.parentRunId` = '{}'"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an empty store, which is the one that MLflow takes by itself."""
    monkeypatch.setenv(
        "MLFLOW_ALLOW_FILE_STORE", "true"
    )  # the only store that mlflow-skinny itself can write
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return pytest.importorskip("mlflow").MlflowClient()


def parents(client: Any, experiment: str = "slimgate") -> list[Any]:
    logged = client.get_experiment_by_name(experiment)
    every = client.search_runs([logged.experiment_id])
    return [run for run in every if "mlflow.parentRunId" not in run.data.tags]


def children(client: Any, parent: Any) -> dict[str, Any]:
    query = RUNS.format(parent.info.run_id)
    runs = client.search_runs([parent.info.experiment_id], filter_string=query)
    return {run.info.run_name: run for run in runs}


def test_a_record_becomes_a_run_with_one_run_for_each_model(client: Any, tmp_path: Path) -> None:
    folder = write_release(tmp_path / "support")
    (folder / "report.md").write_text("# a report\n")
    assert main(["mlflow", str(folder)]) == 0
    (parent,) = parents(client)
    assert (parent.info.run_name, parent.info.status) == (SUITE, "FINISHED")
    assert (parent.data.tags["slimgate.status"], parent.data.metrics["budgets/passed"]) == ("PASS", 1)
    assert parent.info.end_time == 1793520000000  # 2026-11-01T08:00:00+00:00
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"run.json", "report.md"}
    back = Path(client.download_artifacts(parent.info.run_id, "run.json", str(tmp_path)))
    assert back.read_bytes() == (folder / "run.json").read_bytes()
    assert children(client, parent).keys() == {"teacher", "int8"}


def test_figures_are_metrics_and_verdicts_are_tags(client: Any, tmp_path: Path) -> None:
    models = {
        "int8": Model(flips=FlipsBudget(flips_max_percent=0.1)),
        "broken": Model(error="no such kernel"),
    }
    assert main(["mlflow", str(write_release(tmp_path / "support", models=models))]) == 0
    (parent,) = parents(client)
    runs = children(client, parent)
    int8 = runs["int8"].data
    assert int8.metrics["metric/accuracy/value"] == 0.9425
    assert int8.metrics["metric/accuracy/drop_points"] == pytest.approx(0.75)
    low, high = (int8.metrics[f"metric/accuracy/drop_points_{end}"] for end in ("low", "high"))
    assert low < 0.75 < high
    assert int8.metrics["size/artifact_bytes"] == 1_000_000
    assert [int8.metrics[f"latency/b1/{name}"] for name in ("p50_ms", "speedup")] == [5.0, 2.0]
    assert "latency/b1/p95_ms" not in int8.metrics
    assert int8.params == {
        "suite": SUITE,
        "suite_digest": "s",
        "seeds": "[0]",
        "parent": "teacher",
        "steps": "[]",
        "artifact_digest": "digest-1000000",
        "runtime": "eager",
    }
    assert int8.tags["slimgate.verdict.metric/accuracy"] == "PASS"
    assert int8.tags["slimgate.budgets.metric/accuracy"] == "drop_points=1"
    assert int8.tags["slimgate.verdict.behaviour"] == "FAIL"
    assert "slimgate.verdict.latency/b1" not in int8.tags
    broken = runs["broken"]
    assert (broken.info.status, broken.data.tags["slimgate.error"]) == ("FAILED", "no such kernel")
    assert "parent" not in runs["teacher"].data.params


def test_the_same_record_is_logged_once_unless_asked_again(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, other = write_release(tmp_path / "a"), write_release(tmp_path / "b", created="2026-12-01")
    assert main(["mlflow", str(folder)]) == 0
    (first,) = parents(client)
    capsys.readouterr()
    assert main(["mlflow", str(folder), str(other)]) == 0
    again, new = capsys.readouterr().out.splitlines()
    assert again.endswith(f'is in "slimgate" already, as run {first.info.run_id}; --again logs it once more')
    assert 'logged to "slimgate" as run' in new
    assert len(parents(client)) == 2
    assert main(["mlflow", str(folder), "--again"]) == 0
    assert len(parents(client)) == 3
    client.delete_run(first.info.run_id)
    assert len(parents(client)) == 2


def test_what_was_logged_in_part_is_logged_again(client: Any, tmp_path: Path) -> None:
    folder = write_release(tmp_path / "support")
    assert main(["mlflow", str(folder)]) == 0
    (parent,) = parents(client)
    # the tag is set last: of a run that was interrupted it is not there
    client.delete_tag(parent.info.run_id, "slimgate.record")
    assert main(["mlflow", str(folder)]) == 0
    assert len(parents(client)) == 2


def test_the_experiment_and_the_store_can_be_named(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = write_release(tmp_path / "support"), (tmp_path / "other").as_uri()
    assert main(["mlflow", str(folder), "--experiment", "gate", "--tracking-uri", store]) == 0
    assert client.get_experiment_by_name("gate") is None
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the environment")
    assert main(["mlflow", str(folder)]) == 0
    assert len(parents(client, "of the environment")) == 1
    elsewhere = type(client)(tracking_uri=store)
    assert len(parents(elsewhere, "gate")) == 1


def test_what_mlflow_refuses_is_one_line(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_release(tmp_path / "support")
    client.delete_experiment(client.create_experiment("gone"))
    capsys.readouterr()
    assert main(["mlflow", str(folder), "--experiment", "gone"]) == 4
    captured = capsys.readouterr()
    assert (captured.out, len(captured.err.splitlines())) == ("", 1)
    assert captured.err.startswith("slimgate mlflow: MLflow: ")


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "support")
    code = (
        "import sys; sys.modules['mlflow'] = None\n"
        f"from slimgate.cli.main import main; sys.exit(main(['mlflow', {str(folder)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr == 'slimgate mlflow: slimgate mlflow needs an extra: pip install "slimgate[mlflow]"\n'
