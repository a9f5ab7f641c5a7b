"""bench/gpt2_wikitext.toml without a network: a tiny GPT-2 and articles in folders of the hub's layout."""

from __future__ import annotations

import random
from math import log
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.user_repository import Ran, run_pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.hub_layout import write_dataset
from fixtures.models.tiny import GOOD, OTHER

pytestmark = pytest.mark.slow

SUITE = Path(__file__).parents[2] / "bench/gpt2_wikitext.toml"
WITHOUT_TIMES = "quality or behaviour or size or identical or planted_fault"
# A fresh model learns a little, so that there is something to lose; the real one is ready-made.
STAND_IN = f"""\
[suite]
title = "stand-in: a tiny GPT-2 that reads made-up articles"
extends = "{SUITE}"
threads = 1

[task]
source = {{ id = "./articles" }}
max_tokens = 32
stride = 16
splits = {{ train = "rest", calibration = 16, selection = 8 }}

[teacher]
model = "./gpt2"
steps = [{{ fine_tune = {{ epochs = 5, learning_rate = 5e-3 }} }}]

[budgets.variants.int8]
size = {{ compression_min = 1.5 }}

[measure]
workloads = [{{ batch = 1, tokens = 64 }}]
"""


def pages(rows: int, seed: int) -> Any:
    """Articles in which each word calls for the next one, mostly."""
    draws = random.Random(seed)
    words = (*GOOD, *OTHER)
    texts = []
    for _ in range(rows):
        page = [draws.choice(words)]
        for _ in range(draws.randint(20, 70)):
            follows = (words.index(page[-1]) + 1) % len(words)
            page.append(words[follows] if draws.random() < 0.9 else draws.choice(words))
        texts.append(" ".join(page))
    return pa.table({"page": texts})


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The suite on the folders; nothing is timed."""
    repository = tmp_path_factory.mktemp("gpt2")
    bench = repository / "bench"
    bench.mkdir()
    (repository / "pytest.ini").write_text("[pytest]\n")
    (bench / "gpt2.toml").write_text(STAND_IN)
    splits = {"train": pages(60, 1), "test": pages(60, 2)}
    write_dataset(bench / "articles", splits, config="wikitext-2-raw-v1")
    write_tiny(bench / "gpt2", "gpt2", causal=True, n_embd=64)
    return run_pytest(repository, "bench/gpt2.toml", "-p", "no:xdist", "-k", WITHOUT_TIMES)


def test_perplexity_is_judged_by_documents_before_and_after(ran: Ran) -> None:
    assert [variant["error"] for variant in ran.record("gpt2")["variants"]] == [None] * 5, ran.out
    teacher = ran.find_variant("gpt2", "teacher")["quality"]
    assert teacher["perplexity"]["value"] < 6
    assert teacher["perplexity"]["n"] == 60
    int8 = ran.find_variant("gpt2", "int8")["quality"]["perplexity"]
    assert int8["verdict"] == "PASS", ran.out
    assert int8["interval"][0] <= int8["drop_points"] <= int8["interval"][1] < 10


def test_bits_per_byte_and_perplexity_tell_the_same_text(ran: Ran) -> None:
    """nats = tokens · ln(perplexity) = bytes · ln 2 · bits per byte; a word here is a token."""
    quality = ran.find_variant("gpt2", "teacher")["quality"]
    words = [len(page.split()) - 1 for page in pages(60, 2)["page"].to_pylist()]
    size = sum(len(page) for page in pages(60, 2)["page"].to_pylist())
    nats = sum(words) * log(quality["perplexity"]["value"])
    assert quality["bits_per_byte"]["value"] == pytest.approx(nats / log(2) / size, rel=1e-6)


def test_conv1d_blocks_are_reached_and_the_table_is_stored_once(ran: Ran) -> None:
    blocks = 4 * (3 * 64 * 64 + 64 * 64 + 2 * 64 * 256)
    [log_] = [step["log"] for step in ran.find_variant("gpt2", "pruned-40")["steps"]]
    assert log_["weights"] == blocks
    [log_] = [step["log"] for step in ran.find_variant("gpt2", "int8")["steps"]]
    assert log_["linear_layers"] == 4 * 4
    size = {
        name: ran.find_variant("gpt2", name)["artifact"]["bytes"]
        for name in ("teacher", "int8", "pruned-40", "pruned-40-int8", "pruned-40-stored")
    }
    assert size["teacher"] - size["int8"] == pytest.approx(3 * blocks, rel=0.05)
    assert size["pruned-40"] == pytest.approx(size["teacher"], rel=0.02)
    assert size["pruned-40-stored"] < 0.75 * size["teacher"]
    assert size["pruned-40-int8"] == pytest.approx(size["int8"], rel=0.02)


def test_behaviour_has_kl_agreement_and_how_varied_the_text_is(ran: Ran) -> None:
    int8, pruned = (ran.find_variant("gpt2", name)["behaviour"] for name in ("int8", "pruned-40"))
    assert 0 < int8["kl_to_teacher"] < pruned["kl_to_teacher"]
    assert 0.9 < int8["agreement"] <= 1
    assert int8["flips"] is None
    assert 0 < pruned["figures"]["distinct_2"]["variant"] <= 1


def test_the_gate_tests_itself_and_the_report_tells_it(ran: Ran) -> None:
    checks = ran.record("gpt2")["self_test"]
    assert checks["identical"]["verdict"] != "FAIL"
    assert checks["planted_fault"]["verdict"] != "PASS"
    report = (ran.folder / "reports/latest/gpt2/report.md").read_text("utf-8")
    assert "Figures of this task" in report
    assert "perplexity" in report
