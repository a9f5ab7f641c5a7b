"""Times of earlier runs as estimates of those of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.sample_record import make_sample_record
from support.tiny_suite import make_tiny_run

from slimgate.record.run import RunRecord
from slimgate.run.past_times import PastTimes, Work, digest_steps
from slimgate.store.store import Store
from slimgate.suite.suite import dump_params

PRUNED = "magnitude_prune = { sparsity = 0.5 }"
TWO_STEPS = f"{PRUNED} }}, {{ keep_layers = [0]"


def earlier_record(names_and_params: list[tuple[str, object]]) -> RunRecord:
    """A run of the variant "pruned" with these steps, which took 60 seconds each."""
    record = make_sample_record()
    step = record.variants[1].steps[0]
    steps = [step.model_copy(update={"name": n, "params": p, "seconds": 60.0}) for n, p in names_and_params]
    model = record.variants[1].model_copy(update={"name": "pruned", "steps": steps, "error": None})
    device = {"device": "cpu", "threads": 1}
    machine = record.machine.model_copy(update=device)
    return record.model_copy(update={"variants": [model], "machine": machine})


@pytest.mark.parametrize(("sparsity", "alike"), [(0.5, False), (0.8, True)], ids=["same recipe", "another"])
def test_a_time_is_exact_only_after_the_same_steps(tmp_path: Path, sparsity: float, alike: bool) -> None:
    suite = make_tiny_run(tmp_path, **{PRUNED: TWO_STEPS}).suite
    variant = suite.model("pruned")
    first, last = ((step.name, dump_params(step.params)) for step in variant.steps)
    earlier = earlier_record([(first[0], {**first[1], "sparsity": sparsity}), last])
    past = PastTimes(Store(tmp_path / "empty"), suite, earlier)
    rows = earlier.variants[0].steps[-1].reads
    work = Work(digest_steps(suite, variant)[-1], *last, rows, ("cpu", 1))
    estimate = past.estimate_step(work)
    assert estimate is not None
    assert (estimate.seconds, estimate.of_other_model) == (60.0, alike)
