"""Calls from text to answer, in real processes of a tiny model, and the rows that they take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.tiny_suite import make_tiny_run

from fixtures.models.tiny import write_tiny_bert
from slimgate._system.threads import RAYON_NUM_THREADS, TOKENIZERS_PARALLELISM
from slimgate.judge.speed import is_delay_detected
from slimgate.plugins.rows import Rows
from slimgate.plugins.workloads import END_TO_END, Workload
from slimgate.results.checks import TEACHER
from slimgate.run.duels import Duels
from slimgate.run.measure import duel_worker
from slimgate.run.measure.end_to_end import Texts, make_texts, read_texts
from slimgate.run.run import SuiteRun
from slimgate.runtimes.cascade import CascadePredictor
from slimgate.suite.named_plugin import Plugin
from slimgate.tasks import sentence_similarity, text_classification, token_classification

MEASURE = """[measure]
end_to_end = true
workloads = [{ batch = 1 }, { batch = 4, tokens = 12 }]
max_seconds = 0.5
"""
# A task of the user's own, whose tokenizer is slow for the variant with two blocks alone.
SLOW = '''
"""Text classification with a tokenizer that waits."""

import json
import time

from slimgate.tasks.text_classification import TextClassification

SECONDS = 0.1  # calls take 2 ms


class SlowTexts(TextClassification):
    def row_encoder(self, params, folder):
        encode = super().row_encoder(params, folder)
        if json.loads((folder / "config.json").read_text())["num_hidden_layers"] > 2:
            return encode

        def slow(rows):
            time.sleep(SECONDS)
            return encode(rows)

        return slow


task = SlowTexts()
'''
# The delay is fifty calls long. Its interval is looked at, not the claim: a busy machine's noise floor of the
# copy may hide even that.
SLOW_ON_ANY_MACHINE = 0.8
PARAMS = text_classification.Params(text=("text",), label="label", max_tokens=64)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    return make_tiny_run(tmp_path_factory.mktemp("texts"), **{"[measure]\n": MEASURE})


@pytest.fixture(scope="module")
def slow_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteRun]:
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow_texts.py").write_text(SLOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        kind = {'kind = "text_classification"': 'kind = "slow_texts:task"'}
        yield make_tiny_run(folder, **{"[measure]\n": MEASURE, **kind})


def words(count: int) -> str:
    """So many words of the tiny tokenizer, each of one token."""
    return " ".join(["good"] * count)


def rows_of(*texts: Any, column: str = "text") -> Rows:
    return Rows(pa.table({"id": [f"r{i}" for i in range(len(texts))], column: list(texts)}))


def test_each_workload_is_timed_forward_and_end_to_end(run: SuiteRun) -> None:
    assert [workload.id for workload in run.suite.workloads] == ["b1", "b1-e2e", "b4x12", "b4x12-e2e"]
    assert [workload.part for workload in run.suite.workloads] == ["forward", "e2e", "forward", "e2e"]
    assert run.largest_workload.id == "b4x12"


def test_without_tokens_the_rows_are_those_of_the_call(run: SuiteRun) -> None:
    forward, texts = (
        run.make_workload(TEACHER, workload) for workload in (Workload(4), Workload(4, phase=END_TO_END))
    )
    assert texts.positions == forward.positions
    (batch,) = texts.timed
    assert isinstance(batch, Texts)
    table = run.encoder.rows.table
    assert batch.rows.table["text"].to_pylist() == table["text"].take(texts.positions).to_pylist()
    predictor = run.make_handle(TEACHER).predictor
    expected = predictor.fetch(predictor.forward(predictor.prepare(forward.inputs)))
    assert np.array_equal(read_texts([batch])[0].answer(predictor), expected)


def test_with_tokens_the_rows_nearest_in_length_are_taken(run: SuiteRun) -> None:
    texts = run.make_workload(TEACHER, Workload(4, 12, phase=END_TO_END))
    lengths = run.encoder.encode_for(run.build(TEACHER).artifact).lengths
    far = np.abs(lengths - 12)
    assert far[texts.positions].max() <= np.sort(far)[3]
    assert len(set(texts.positions)) == 4
    assert np.asarray(texts.inputs["input_ids"]).shape == (4, 12)


def test_the_answer_is_timed_with_the_task_that_reads_it(run: SuiteRun) -> None:
    call = run.make_handle("shorter").prepare_call(
        *run.make_workload("shorter", Workload(2, 8, phase=END_TO_END)).timed, part="e2e"
    )
    assert np.asarray(call()).shape == (2, 2)  # rows and classes
    assert not call.begins


def test_texts_are_repeated_or_cut_until_a_row_has_its_tokens(tmp_path: Path) -> None:
    write_tiny_bert(tmp_path)
    task = Plugin("text_classification", text_classification.task, PARAMS)
    rows = rows_of(words(3), words(40), words(10), "")
    texts = make_texts(task, tmp_path, rows, lengths=[5, 42, 12, 2], tokens=12)
    encoded = read_texts([texts])[0].encoders[0](texts.rows)
    assert encoded.lengths.tolist() == [12, 12, 12, 2]  # a text without words stays empty
    batch = np.asarray(encoded.batch(range(4), 12)["input_ids"])
    assert batch.shape == (4, 12)
    assert batch[0].tolist() == batch[1].tolist() == batch[2].tolist()  # each has its special tokens
    assert [len(text.split()) for text in texts.rows.table["text"].to_pylist()] == [12, 12, 10, 0]


def test_words_and_pairs_keep_the_form_of_their_columns(tmp_path: Path) -> None:
    write_tiny_bert(tmp_path)
    tags = token_classification.Params(words="words", tags="tags", max_tokens=40)
    texts = make_texts(
        Plugin("token_classification", token_classification.task, tags),
        tmp_path,
        rows_of(["good"] * 3, ["bad"] * 30, column="words"),
        lengths=[5, 32],
        tokens=10,
    )
    encoded = read_texts([texts])[0].encoders[0](texts.rows)
    assert encoded.lengths.tolist() == [10, 10]
    # every first token of a word is inside the output, so that tags can be read
    assert encoded.extra_arrays(range(2))["word_of"].shape == (2, 10)
    pair = sentence_similarity.Params(pair=("a", "b"), score="score", max_tokens=40)
    rows = Rows(pa.table({"id": ["r"], "a": [words(3)], "b": [words(9)]}))
    similarity = Plugin("sentence_similarity", sentence_similarity.task, pair)
    longer = make_texts(similarity, tmp_path, rows, lengths=[11], tokens=20)
    assert read_texts([longer])[0].encoders[0](longer.rows).batch([0], 20)["input_ids"].shape == (2, 20)
    assert longer.rows.table["b"][0].as_py() == words(20)


def test_threads_share_a_batch_and_not_a_single_row(run: SuiteRun, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    def watched(_predictor: Any, inputs: Any) -> list[Any]:
        seen.append((os.environ[TOKENIZERS_PARALLELISM], os.environ[RAYON_NUM_THREADS]))
        return list(inputs)

    for name in (TOKENIZERS_PARALLELISM, RAYON_NUM_THREADS):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(duel_worker, "prepare_inputs", watched)
    contender = duel_worker.TimedModel()
    contender._threads = 3
    for batch in (1, 4):
        inputs = run.make_workload(TEACHER, Workload(batch, phase=END_TO_END)).timed
        contender.answer({"inputs": list(inputs), "part": END_TO_END})
    assert seen == [("false", "3"), ("true", "3")]


def test_a_cascade_is_timed_end_to_end_on_rows_by_turns(tmp_path: Path) -> None:
    pruned = "pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }\n"
    cascade = 'fast = { cascade = { models = ["shorter", "teacher"], threshold = 0.6 } }\n'
    run = make_tiny_run(tmp_path, **{pruned: pruned + cascade, "[measure]\n": MEASURE})
    workload = Workload(4, 12, phase=END_TO_END)
    texts = run.make_workload("fast", workload).timed
    assert len(texts) == 15  # of 60 gate rows
    handle = run.make_handle("fast")
    assert isinstance(handle.predictor, CascadePredictor)
    call = handle.prepare_call(*texts, part="e2e")
    assert len({np.asarray(call()).tobytes() for _ in texts}) > 1


@pytest.mark.slow
def test_a_slow_tokenizer_is_seen_end_to_end_only(slow_run: SuiteRun) -> None:
    duels, variant = Duels(slow_run.make_handle(TEACHER)), slow_run.make_handle("shorter")
    try:
        forward = duels.measure_speedup(variant, Workload(1))
        end_to_end = duels.measure_speedup(variant, replace(Workload(1), phase=END_TO_END))
        other = duels.measure_speedup(slow_run.make_handle("pruned"), Workload(4, 12, phase=END_TO_END))
    finally:
        duels.close()
    assert end_to_end.interval[1] < SLOW_ON_ANY_MACHINE
    assert not is_delay_detected(forward)
    assert end_to_end.speedup < forward.speedup / 4
    assert other.interval[1] > SLOW_ON_ANY_MACHINE  # the tokenizer of a model of four blocks does not wait
