"""bench/glue_qqp.toml without a network: on folders in the hub's layout, and on a local cache of the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.user_repository import Ran, hub_home, run_pytest

from fixtures.models.hub_layout import cache_dataset, cache_model
from fixtures.sources.qqp_pairs import write_models, write_pairs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BANKING77 = (ROOT / "../shared/data/banking77").resolve()
SUITE = ROOT / "bench/glue_qqp.toml"
MODELS = ("teacher", "student", "distilled", "cut-layers")
METRICS = {"f1", "precision", "recall", "roc_auc"}

FOLDERS = f"""\
[suite]
title = "stand-in: do these two customers of a bank ask the same?"
extends = "{SUITE}"
threads = 1

[task]
source = {{ id = "./pairs" }}
max_tokens = 24
pooling = "mean"
splits = {{ calibration = 0, selection = 200 }}

[teacher]
model = "./teacher"

[variants.student]
model = "./student"
steps = [{{ fine_tune = {{ epochs = 2, batch_size = 64, learning_rate = 1e-3 }} }}]

[variants.distilled]
model = "./student"
steps = [{{ distill = {{ alpha = 0.8, temperature = 1.5, epochs = 2, learning_rate = 1e-3 }} }}]

[variants.cut-layers]
steps = [
  {{ keep_layers = [0, 2, 4, 7, 9, 11] }},
  {{ distill = {{ alpha = 0.8, temperature = 1.5, epochs = 2, batch_size = 64, learning_rate = 1e-3 }} }},
]

[measure]
max_seconds = 0.2
"""

CACHE = f"""\
[suite]
title = "stand-in: the models and rows of the hub, by their own names"
extends = "{SUITE}"
threads = 1

[task]
max_tokens = 24
splits = {{ calibration = 0, selection = 60 }}

[measure]
rounds = 10
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pairs, teacher and student, each a folder as the hub has it."""
    if not BANKING77.is_dir():
        pytest.skip(f"{BANKING77} is missing: this test makes its pairs of real data")
    folder = tmp_path_factory.mktemp("hub_layout")
    write_pairs(BANKING77, folder / "pairs")
    write_models(BANKING77, folder)
    return folder


@pytest.fixture(scope="module")
def folders(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The suite with its names exchanged for folders; without duels, which the example's table has not."""
    home = tmp_path_factory.mktemp("no_cache")
    return _ran(tmp_path_factory.mktemp("folders"), FOLDERS, data, home, "-k", "not speedup")


@pytest.fixture(scope="module")
def cache(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The suite with its own names, of which the local cache of the hub has each; nothing is timed."""
    home = tmp_path_factory.mktemp("home")
    cache_dataset(home, "nyu-mll/glue", data / "pairs", config="qqp")
    cache_model(home, "textattack/bert-base-uncased-QQP", data / "teacher")
    cache_model(home, "distilbert-base-uncased", data / "student")
    timeless = ("-k", "quality or size")
    return _ran(tmp_path_factory.mktemp("cache"), CACHE, None, home, *timeless)


def _ran(repository: Path, suite: str, data: Path | None, home: Path, *arguments: str) -> Ran:
    bench = repository / "bench"
    bench.mkdir()
    (repository / "pytest.ini").write_text("[pytest]\n")
    (bench / "qqp.toml").write_text(suite)
    if data is not None:
        shutil.copytree(data, bench, dirs_exist_ok=True)
    with hub_home(home):
        return run_pytest(repository, "bench/qqp.toml", "-v", "-p", "no:xdist", *arguments)


@pytest.mark.parametrize("run", ["folders", "cache"])
def test_every_model_of_the_suite_is_built_and_judged(run: str, request: pytest.FixtureRequest) -> None:
    ran: Ran = request.getfixturevalue(run)
    record = ran.record("qqp")
    assert ran.code in (0, 1), ran.out
    assert [variant["error"] for variant in record["variants"]] == [None] * 4, ran.out
    assert [variant["name"] for variant in record["variants"]] == list(MODELS)
    assert all(set(variant["quality"]) == METRICS for variant in record["variants"])


def test_the_table_of_worked_example_1_is_filled(folders: Ran) -> None:
    assert folders.record("qqp")["verdict"]["missing"] == 3  # the duel of each variant
    for name in MODELS:
        variant = folders.find_variant("qqp", name)
        artifact, times = variant["artifact"], variant["latency"]["b1"]
        assert artifact["state_bytes"] > 0
        assert artifact["parameters"] > 0
        assert times["mean_ms"] > 0
        assert times["std_ms"] > 0
        assert all(0 <= facts["value"] <= 1 for facts in variant["quality"].values())


def test_what_the_students_learn_is_better_than_chance(folders: Ran) -> None:
    for name in MODELS:
        quality = folders.find_variant("qqp", name)["quality"]
        assert quality["roc_auc"]["value"] > 0.6
        assert quality["f1"]["value"] > 0.1


def test_the_gate_is_the_validation_split_the_rest_is_of_train(folders: Ran) -> None:
    splits = folders.record("qqp")["task"]["splits"]
    assert splits["gate"]["n"] == 400
    assert splits["selection"]["n"] == 200
    assert splits["train"]["n"] > 750


def test_the_students_kin_are_warned_of_only_where_they_are_none(folders: Ran) -> None:
    [_, distilled] = folders.find_variant("qqp", "distilled")["steps"]
    assert "warning" not in distilled["log"]


@pytest.mark.parametrize("run", ["folders", "cache"])
def test_the_report_shows_the_published_table(run: str, request: pytest.FixtureRequest) -> None:
    ran: Ran = request.getfixturevalue(run)
    report = (ran.folder / "reports/latest/qqp/report.md").read_text("utf-8")
    assert "Published figures" in report
    assert "| distilled | 255.45 | 66,955,010 | 7.11 ± 0.09 | 0.854 | 0.878 | 0.831 | 0.962 |" in report
    assert "distilled over its twin student: f1 " in report


def test_models_and_rows_of_the_hub_are_named_in_the_record(cache: Ran) -> None:
    record = cache.record("qqp")
    assert record["variants"][0]["parent"] == "textattack/bert-base-uncased-QQP"
    assert record["task"]["source"]["id"] == "nyu-mll/glue"
    [loaded] = record["variants"][0]["steps"]
    assert loaded["log"]["head"] == "the model's own"  # LABEL_0 and LABEL_1 are the classes 0 and 1


def test_without_the_cache_the_suite_is_one_clear_error(tmp_path: Path) -> None:
    home = tmp_path / "empty"
    home.mkdir()
    repository = tmp_path / "repository"
    repository.mkdir()
    ran = _ran(repository, CACHE, None, home)
    assert ran.code == 4, ran.out
    message = "[teacher] model: textattack/bert-base-uncased-QQP: there is no folder "
    [line] = [line for line in ran.out.splitlines() if message in line]
    assert (
        f"{message}{SUITE.parent}/textattack/bert-base-uncased-QQP; not in the local cache of the hub" in line
    )
    assert "Traceback" not in ran.out
