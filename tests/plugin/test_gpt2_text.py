"""bench/gpt2_text.toml without a network: a tiny GPT-2 and rows in folders of the hub's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyarrow import csv
from support.user_repository import Ran, run_pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.hub_layout import write_dataset
from fixtures.models.tiny import write_rows

pytestmark = pytest.mark.slow

SUITE = Path(__file__).parents[2] / "bench/gpt2_text.toml"
STAND_IN = f"""\
[suite]
title = "stand-in: a tiny GPT-2 that reads made-up film reviews"
extends = "{SUITE}"
threads = 1

[task]
source = {{ id = "./reviews" }}
max_tokens = 24
splits = {{ train = "rest", calibration = 64, selection = 100 }}

[teacher]
model = "./gpt2"
steps = [{{ fine_tune = {{ epochs = 4, learning_rate = 3e-3 }} }}]
"""


def reviews(folder: Path, rows: int, seed: int) -> Any:
    table = csv.read_csv(write_rows(folder / f"{seed}.csv", rows, seed=seed))
    return table.select(["text", "label"]).rename_columns(["sentence", "label"])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The suite on the folders; nothing is timed."""
    repository = tmp_path_factory.mktemp("gpt2")
    bench = repository / "bench"
    bench.mkdir()
    (repository / "pytest.ini").write_text("[pytest]\n")
    (bench / "gpt2.toml").write_text(STAND_IN)
    splits = {"train": reviews(repository, 700, 1), "validation": reviews(repository, 300, 2)}
    write_dataset(bench / "reviews", splits, config="sst2", class_labels={"label": ("neg", "pos")})
    write_tiny(bench / "gpt2", "gpt2", n_embd=64)
    return run_pytest(repository, "bench/gpt2.toml", "-p", "no:xdist", "-k", "quality or size")


def test_every_variant_is_built_and_judged(ran: Ran) -> None:
    record = ran.record("gpt2")
    assert [variant["error"] for variant in record["variants"]] == [None] * 6, ran.out
    assert ran.find_variant("gpt2", "teacher")["quality"]["accuracy"]["value"] > 0.8
    assert ran.find_variant("gpt2", "int8")["quality"]["accuracy"]["verdict"] == "PASS", ran.out


def test_the_conv1d_blocks_are_reached_by_every_step(ran: Ran) -> None:
    blocks = 4 * (3 * 64 * 64 + 64 * 64 + 2 * 64 * 256)
    [log] = [step["log"] for step in ran.find_variant("gpt2", "pruned-40")["steps"]]
    assert log["weights"] == blocks
    assert log["zeros"] == pytest.approx(0.4 * blocks, rel=1e-3)
    [log] = [step["log"] for step in ran.find_variant("gpt2", "int8")["steps"]]
    assert log["linear_layers"] == 4 * 4


def test_bytes_before_and_after_are_shown(ran: Ran) -> None:
    size = {name: ran.find_variant("gpt2", name)["artifact"]["bytes"] for name in
            ("teacher", "int8", "pruned-40", "pruned-40-int8", "pruned-40-stored", "four-bits")}  # fmt: skip
    assert size["int8"] < 0.5 * size["teacher"]
    assert size["pruned-40"] == pytest.approx(size["teacher"], rel=0.02)
    assert size["pruned-40-stored"] < 0.75 * size["teacher"]
    assert size["four-bits"] < size["int8"]
    assert size["pruned-40-int8"] == pytest.approx(size["int8"], rel=0.02)
