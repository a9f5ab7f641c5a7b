"""Answers that are timed by phases, in real processes of a tiny decoder."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from support.writing_suite import SLOW, SLOW_VARIANTS, make_writing_run

from slimgate.judge.speed import Speedup
from slimgate.plugins.models import NEW_TOKENS
from slimgate.results.checks import TEACHER
from slimgate.run.duels import Duels
from slimgate.run.run import SuiteRun

pytestmark = pytest.mark.slow
# The delay is fifteen calls long, so the intervals of the two phases lie far on either side of this. The
# claim itself is not looked at: on a busy machine two equal processes may differ by more than the noise
# floor of the copy, and that floor may hide even a long delay.
SLOW_ON_ANY_MACHINE = 0.8


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteRun]:
    folder = tmp_path_factory.mktemp("writing")
    (folder / "slow_phases.py").write_text(SLOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield make_writing_run(folder, **{"[variants]\n": f"[variants]{SLOW_VARIANTS}"})


@pytest.fixture(scope="module")
def duels(run: SuiteRun) -> Iterator[Duels]:
    teacher_duels = Duels(run.make_handle(TEACHER))
    yield teacher_duels
    teacher_duels.close()


def by_phase(duels: Duels, run: SuiteRun, variant: str) -> dict[str | None, Speedup]:
    handle = run.make_handle(variant)
    return {
        workload.phase: duels.measure_speedup(handle, workload)
        for workload in run.suite.list_dueled_workloads(variant)
        if workload.phase
    }


def test_a_workload_that_writes_is_timed_whole_and_by_phases(run: SuiteRun) -> None:
    assert [workload.id for workload in run.suite.workloads] == ["p24n8b2", "p24n8b2-ttft", "p24n8b2-tpot"]
    assert [workload.steps for workload in run.suite.workloads] == [1, 1, 7]
    assert [workload.tokens_per_call for workload in run.suite.workloads] == [16, None, 2]


def test_prompts_are_gate_rows_repeated_to_their_tokens(run: SuiteRun) -> None:
    workload = run.suite.workloads[0]
    prompts = run.make_workload(TEACHER, workload)
    ids = np.asarray(prompts.inputs["input_ids"])
    assert ids.shape == (2, 24)
    assert np.asarray(prompts.inputs["attention_mask"]).all()
    assert np.asarray(prompts.inputs[NEW_TOKENS]).tolist() == [8]
    encoded = run.encoder.encode_for(run.build(TEACHER).artifact)
    for row, position in zip(ids, prompts.positions, strict=True):
        tokens = encoded.columns["input_ids"][position]
        assert row.tolist() == (tokens * 24)[:24]


def test_the_answer_in_two_calls_is_that_of_transformers(run: SuiteRun) -> None:
    import torch

    predictor = run.make_handle(TEACHER).predictor
    prepared = predictor.prepare(run.make_workload(TEACHER, run.suite.workloads[0]).inputs)
    state = predictor.prefill(prepared)
    written = predictor.decode(state)
    assert written.shape == (2, 8)
    network = predictor.network
    layers, heads = network.config.num_hidden_layers, network.config.num_key_value_heads
    per_token = 2 * layers * heads * network.config.head_dim * 4
    assert predictor.cache_bytes(state) == 2 * (24 + 7) * per_token  # the last token is read by nobody
    reference = network.generate(
        input_ids=prepared["input_ids"],
        attention_mask=prepared["attention_mask"],
        min_new_tokens=8,
        max_new_tokens=8,
        do_sample=False,
        suppress_tokens=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    assert torch.equal(written, reference[:, 24:])


def test_a_delay_of_the_prompt_is_seen_at_the_first_token(duels: Duels, run: SuiteRun) -> None:
    speedups = by_phase(duels, run, "slow_prefill")
    assert speedups["ttft"].interval[1] < SLOW_ON_ANY_MACHINE
    assert speedups["tpot"].interval[1] > SLOW_ON_ANY_MACHINE
    assert speedups["ttft"].speedup < speedups["tpot"].speedup / 2


def test_a_delay_of_later_tokens_is_not_seen_until_the_first(duels: Duels, run: SuiteRun) -> None:
    speedups = by_phase(duels, run, "slow_decode")
    assert speedups["tpot"].interval[1] < SLOW_ON_ANY_MACHINE
    assert speedups["ttft"].interval[1] > SLOW_ON_ANY_MACHINE
    assert speedups["tpot"].speedup < speedups["ttft"].speedup / 2


def test_memory_is_read_with_the_answer_of_a_fresh_process(run: SuiteRun) -> None:
    (reading,) = run.measure_memory(TEACHER, 1)
    assert reading.peak_bytes >= reading.load_peak_bytes > reading.baseline_bytes
    assert run.largest_workload.id == "p24n8b2"
