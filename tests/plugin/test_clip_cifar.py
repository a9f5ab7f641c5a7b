"""bench/clip_cifar.toml without a network: a tiny CLIP and pictures in folders of the hub's layout."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.user_repository import Ran, run_pytest

from fixtures.models.hub_layout import write_dataset
from fixtures.models.tiny_clip import COLOURS, make_picture_rows, write_tiny_clip

pytestmark = pytest.mark.slow

SUITE = Path(__file__).parents[2] / "bench/clip_cifar.toml"
LEARNING = "{ distill = { epochs = 4, learning_rate = 1e-3 } }"
STAND_IN = f"""\
[suite]
title = "stand-in: a tiny CLIP that tells colours"
extends = "{SUITE}"
threads = 1

[task]
source = {{ id = "./colours" }}
splits = {{ train = 96, calibration = 16, selection = 24, gate = "rest" }}

[teacher]
model = "./clip"
steps = [{{ fine_tune = {{ epochs = 16, learning_rate = 3e-3, batch_size = 16, precision = "float32" }} }}]

[variants.vision-9]
steps = [
  {{ in_tower = {{ tower = "vision", steps = [{{ drop_layers = {{ layers = 1 }} }}, {LEARNING}] }} }},
]

[budgets.variants.int8]
size = {{ compression_min = 1.2 }}
"""


def images(rows: int, seed: int) -> pa.Table:
    """img as the hub has it, label: a number. Each picture is another one."""
    from PIL import Image

    table = make_picture_rows(rows, seed=seed).table
    files = []
    for value in table["image"].to_pylist():
        stream = io.BytesIO()
        Image.fromarray(np.asarray(value, dtype=np.uint8)).save(stream, "PNG")
        files.append({"bytes": stream.getvalue(), "path": None})
    labels = [list(COLOURS).index(name) for name in table["label"].to_pylist()]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({"img": pa.array(files, kind), "label": pa.array(labels, pa.int64())})


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The suite on the folders; nothing is timed but one workload of one model."""
    repository = tmp_path_factory.mktemp("clip")
    bench = repository / "bench"
    bench.mkdir()
    (repository / "pytest.ini").write_text("[pytest]\n")
    (bench / "clip.toml").write_text(STAND_IN)
    splits = {"train": images(160, 1), "test": images(60, 2)}
    write_dataset(bench / "colours", splits, class_labels={"label": tuple(COLOURS)})
    write_tiny_clip(bench / "clip")
    chosen = "accuracy or size or identical or planted_fault"
    chosen += " or test_behaviour[text-trimmed] or test_latency[teacher-b1]"
    return run_pytest(repository, "bench/clip.toml", "-p", "no:xdist", "-k", chosen)


def test_every_variant_is_built_and_judged(ran: Ran) -> None:
    record = ran.record("clip")
    assert [variant["error"] for variant in record["variants"]] == [None] * 6, ran.out
    assert ran.find_variant("clip", "teacher")["quality"]["accuracy"]["value"] > 0.6  # chance: 0.33
    trimmed = ran.find_variant("clip", "text-trimmed")
    assert trimmed["behaviour"]["flips"]["changed"] == 0
    assert trimmed["artifact"]["bytes"] < ran.find_variant("clip", "teacher")["artifact"]["bytes"]


def test_a_tower_alone_is_smaller_by_its_part(ran: Ran) -> None:
    size = {
        name: ran.find_variant("clip", name)["artifact"]["bytes"]
        for name in ("teacher", "vision-int8", "int8")
    }
    assert size["int8"] < size["vision-int8"] < size["teacher"]
    [log] = [step["log"] for step in ran.find_variant("clip", "vision-int8")["steps"]]
    assert log["linear_layers"] == 4 * 6 + 1


def test_the_gate_judges_itself_and_times_images(ran: Ran) -> None:
    record: dict[str, Any] = ran.record("clip")
    assert record["self_test"]["identical"]["changed"] == 0
    assert record["self_test"]["planted_fault"]["verdict"] != "PASS"
    assert ran.find_variant("clip", "teacher")["latency"]["b1"]["p50_ms"] > 0
