"""A whole run of the task text_to_text: a T5 is trained, smaller and converted ones are judged and timed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import csv
from support.user_repository import Ran, run_pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.encoder_decoders import make_last_word_rows

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "which word is last"
threads = 1

[task]
kind = "text_to_text"
source = { name = "files", path = "rows.csv", real = false }
text = "text"
reference = "answer"
max_tokens = 16
max_new_tokens = 6
splits = { train = 1500, calibration = 32, selection = 50, gate = 300 }

[teacher]
model = "../model"
steps = [{ fine_tune = { epochs = 9, learning_rate = 5e-3, batch_size = 32, dropout = 0.0 } }]

[variants]
int8 = { steps = [{ int8_dynamic = {} }] }
ctranslate2 = { steps = [{ to_ctranslate2 = { quantization = "float32" } }] }
damaged = { steps = [{ keep_layers = { decoder = [1] } }] }

[variants.shallow]
steps = [
  { keep_layers = { decoder = [0] } },
  { sequence_distill = { epochs = 3, learning_rate = 3e-3, dropout = 0.0 } },
]

[budgets]
exact_match = { drop_points = 8.0 }
same_answers = { drop_points = 10.0 }
truncated = { drop_points = 2.0 }
latency = { speedup_min = 0.1 }

[measure]
batch_size = 32
workloads = [{ batch = 1 }]
max_seconds = 0.3
on_inconclusive = "warn"
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text_to_text")
    (folder / "bench").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (folder / "bench/answers.toml").write_text(SUITE)
    table = make_last_word_rows(2600, seed=1, limit=6).table.drop_columns(["id"])
    csv.write_csv(table.group_by(["text", "answer"]).aggregate([]), folder / "bench/rows.csv")
    write_tiny(folder / "model", "t5", causal=True)
    return folder


@pytest.fixture(scope="module")
def ran(repository: Path) -> Ran:
    return run_pytest(repository, "bench/answers.toml", "-v", "-p", "no:xdist")


def verdicts(ran: Ran, name: str) -> dict[str, str]:
    quality = ran.find_variant("answers", name)["quality"]
    return {metric: facts["verdict"] for metric, facts in quality.items() if facts["verdict"]}


def test_the_teacher_has_learnt_its_answers(ran: Ran) -> None:
    quality = ran.find_variant("answers", "teacher")["quality"]
    assert quality["exact_match"]["value"] > 0.7, ran.out[-3000:]
    assert quality["truncated"]["value"] < 0.05


def test_a_converted_model_passes_and_answers_as_the_teacher(ran: Ran) -> None:
    assert set(verdicts(ran, "ctranslate2").values()) == {"PASS"}
    variant = ran.find_variant("answers", "ctranslate2")
    assert variant["quality"]["same_answers"]["value"] > 0.98
    assert (
        variant["artifact"]["parameters"] == ran.find_variant("answers", "teacher")["artifact"]["parameters"]
    )


def test_blocks_that_are_missed_are_found(ran: Ran) -> None:
    by_metric = verdicts(ran, "damaged")
    assert by_metric["exact_match"] == by_metric["same_answers"] == "FAIL"
    shallow = ran.find_variant("answers", "shallow")["quality"]["exact_match"]["value"]
    assert shallow > ran.find_variant("answers", "damaged")["quality"]["exact_match"]["value"]


def test_writing_is_timed(ran: Ran) -> None:
    for name in ("ctranslate2", "shallow", "int8"):
        timed = ran.find_variant("answers", name)["latency"]["b1"]
        assert timed["speedup"] > 0.1
