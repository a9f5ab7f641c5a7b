"""A suite of sentence embeddings as people run it: quality, behaviour, the self-test, the figures."""

from __future__ import annotations

import pytest
from support.user_repository import Ran, run_pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.tiny import write_rows

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "does a review find another one of its kind?"
threads = 1

[task]
kind = "sentence_embedding"
source = { name = "files", path = "rows.csv", real = false }
text = "text"
label = "label"
slices = ["label"]
max_tokens = 24
splits = { train = 64, calibration = 32, selection = 32, gate = 600 }

[teacher]
model = "./model"

[variants]
eight = { steps = [{ truncate_embeddings = { dims = 8 } }] }
binary = { steps = [{ quantize_embeddings = { to = "binary", query = "float" } }] }

[budgets]
recall_at_1 = { drop_points = 20.0 }
flips = { flips_max_percent = 40.0 }
[budgets.slices]
recall_at_1 = { drop_points = 30.0 }
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    repository = tmp_path_factory.mktemp("embeddings")
    bench = repository / "bench"
    bench.mkdir()
    (repository / "pytest.ini").write_text("[pytest]\n")
    write_tiny(bench / "model", "bert", initializer_range=0.2)
    write_rows(bench / "rows.csv", 900, noise=0.0)
    (bench / "words.toml").write_text(SUITE)
    untimed = "not latency and not speedup and not planted_delay"
    return run_pytest(repository, "bench/words.toml", "-v", "-p", "no:xdist", "-k", untimed)


def test_every_model_is_judged_by_what_its_queries_find(ran: Ran) -> None:
    record = ran.record("words")
    assert [variant["error"] for variant in record["variants"]] == [None] * 3, ran.out
    quality = ran.find_variant("words", "eight")["quality"]
    assert set(quality) == {"recall_at_1", "mrr"}
    assert quality["recall_at_1"]["method"] == "Tango"
    assert quality["recall_at_1"]["teacher"] > 0.5
    assert quality["recall_at_1"]["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE")


def test_a_copy_finds_the_same_and_a_planted_fault_is_seen(ran: Ran) -> None:
    self_test = ran.record("words")["self_test"]
    assert self_test["identical"]["verdict"] != "FAIL"
    assert (
        self_test["identical"]["changed"] <= 6
    )  # among fewer documents most queries would find another one first
    assert self_test["planted_fault"]["verdict"] != "PASS"


def test_what_an_index_takes_stands_among_the_figures(ran: Ran) -> None:
    sizes = {
        name: ran.find_variant("words", name)["behaviour"]["figures"]["bytes_per_embedding"]
        for name in ("eight", "binary")
    }
    assert {name: (size["teacher"], size["variant"]) for name, size in sizes.items()} == {
        "eight": (128, 32),
        "binary": (128, 4),
    }


def test_queries_flip_and_labels_are_slices(ran: Ran) -> None:
    behaviour = ran.find_variant("words", "binary")["behaviour"]
    assert behaviour["flips"]["changed"] >= 0
    assert {facts["value"] for facts in behaviour["slices"]} >= {"neg", "pos"}
