"""bench/gsm8k.toml without a network: a tiny chat model and word problems in a folder of the hub's layout."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from support.user_repository import Ran, run_pytest
from transformers import AutoTokenizer

from fixtures.models.architectures import write_tiny
from fixtures.models.hub_layout import write_dataset
from fixtures.models.tiny import GOOD, OTHER

pytestmark = pytest.mark.slow

SUITE = Path(__file__).parents[2] / "bench/gsm8k.toml"
WITHOUT_TIMES = "quality or behaviour or identical or planted_fault"
STAND_IN = f"""\
[suite]
title = "stand-in: a tiny model that counts words"
extends = "{SUITE}"
threads = 1

[task]
source = {{ id = "./problems" }}
max_new_tokens = 14
splits = {{ train = "rest", calibration = 16, selection = 8, gate = "rest" }}

[teacher]
model = "./model"
steps = [{{ fine_tune = {{ epochs = 30, learning_rate = 3e-3, batch_size = 16 }} }}]

[measure]
batch_size = 16
"""
CHAT = "{% for one in messages %}{{ one['content'] }}{% endfor %}{% if add_generation_prompt %} is{% endif %}"


def problems(rows: int, seed: int) -> pa.Table:
    """Questions that end with a word; the answer has that word's number as its last one, as GSM8K does."""
    draws = random.Random(seed)
    questions = [[draws.choice(OTHER), draws.choice(OTHER), draws.choice(GOOD)] for _ in range(rows)]
    return pa.table(
        {
            "question": [" ".join(words) for words in questions],
            "answer": [f"7 so\n#### {GOOD.index(words[-1]) + 2}" for words in questions],
        }
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The suite on the folders; nothing is timed."""
    repository = tmp_path_factory.mktemp("gsm8k")
    bench = repository / "bench"
    bench.mkdir()
    (repository / "pytest.ini").write_text("[pytest]\n")
    (bench / "gsm8k.toml").write_text(STAND_IN)
    write_dataset(bench / "problems", {"train": problems(300, 1), "test": problems(120, 2)}, config="main")
    write_tiny(bench / "model", "qwen2", causal=True)
    tokenizer = AutoTokenizer.from_pretrained(bench / "model")
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(bench / "model")
    return run_pytest(repository, "bench/gsm8k.toml", "-p", "no:xdist", "-k", WITHOUT_TIMES)


def test_the_last_number_of_a_worked_answer_is_judged(ran: Ran) -> None:
    assert [variant["error"] for variant in ran.record("gsm8k")["variants"]] == [None] * 4, ran.out
    teacher = ran.find_variant("gsm8k", "teacher")["quality"]
    assert set(teacher) >= {"numeric", "same_answers", "truncated", "looping"}
    assert teacher["numeric"]["n"] > 50
    int8 = ran.find_variant("gsm8k", "int8")["quality"]["numeric"]
    assert int8["verdict"] in ("PASS", "INCONCLUSIVE")
