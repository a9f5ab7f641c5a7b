"""What reports of merged shards link to is in their folder, or is not linked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.sample_record import make_sample_record

from slimgate.cli.merge.shards import _copy_logs, list_failures, merge_records, sort_shards
from slimgate.errors import DataError
from slimgate.record.comparing.demands import CODE
from slimgate.record.files import StoredRecord
from slimgate.record.run import ShardFacts
from slimgate.record.task import Demands, PeakRates
from slimgate.record.verdicts import BaselineFacts, CarriedResult, Weakening
from slimgate.report.since_baseline import format_since_baseline
from slimgate.results.base import Verdict
from slimgate.results.checks import TEACHER
from slimgate.results.self_test import PlantedDelay, SelfTest, SelfTestFacts
from slimgate.run.result_keys import MODEL


def shard_of(folder: Path, number: int, name: str, broken: str) -> StoredRecord:
    """A shard of two, in whose record one model could not be built."""
    facts = ShardFacts(number=number, of=2, variants=[name], code="c", machine="m", created="2026-11-01")
    sample = make_sample_record(baseline=BaselineFacts(path="b/run.json", created="2026-11-01"))
    error = {"error": "it broke", "error_log": f"logs/{broken}.log"}
    models = [model.model_copy(update=error if model.name == broken else {}) for model in sample.variants]
    record = sample.model_copy(update={"variants": models, "shards": [facts]})
    (folder / f"{number}/logs").mkdir(parents=True)
    (folder / f"{number}/logs/{broken}.log").write_text(f"of shard {number}")
    return StoredRecord(folder / f"{number}/run.json", record)


def test_logs_of_what_was_not_built_come_from_their_shard(tmp_path: Path) -> None:
    names = [model.name for model in make_sample_record().variants[1:3]]
    # the second shard could not build what is the first one's: nobody asks
    shards = [shard_of(tmp_path, 1, names[0], names[0]), shard_of(tmp_path, 2, names[1], names[0])]
    _copy_logs(shards, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/logs").iterdir()] == [f"{names[0]}.log"]
    assert (tmp_path / f"out/logs/{names[0]}.log").read_text() == "of shard 1"


@pytest.mark.parametrize(("machines", "known"), [(("m", "m"), True), (("m", "n"), False)])
def test_peak_rates_are_of_a_shard_unless_machines_differ(
    tmp_path: Path, machines: tuple[str, str], known: bool
) -> None:
    names = [model.name for model in make_sample_record().variants[1:]]
    rates, shards = PeakRates(seconds=2.0, measured="2026-11-01"), []
    for number, (share, machine) in enumerate(zip((names[:1], names[1:]), machines, strict=True), 1):
        shard = shard_of(tmp_path, number, share[0], share[0])
        facts = shard.record.shards[0].model_copy(update={"machine": machine, "variants": share})
        measured = {"peak_rates": rates if number == 2 else None}  # the first timed nothing
        ran_on = shard.record.machine.model_copy(update=measured)
        record = shard.record.model_copy(update={"machine": ran_on, "shards": [facts]})
        shards.append(StoredRecord(shard.file, record))
    assert merge_records(shards).machine.peak_rates == (rates if known else None)


def self_test_of(verdict: Verdict, **fields: object) -> SelfTestFacts:
    return SelfTestFacts(verdict=verdict, message=str(verdict), measured="2026-11-01", **fields)


def delayed(*, seen: bool, clearance: float | None) -> PlantedDelay:
    return PlantedDelay(
        seen=seen,
        clearance=clearance,
        speedup_interval=(0.9, 0.99),
        message=f"{clearance}",
        workload="b1",
        measured="2026-11-01",
    )


P, F, U = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.parametrize("turned", [False, True], ids=["as-they-come", "turned"])
@pytest.mark.parametrize(
    ("name", "worst", "best"),
    [
        ("identical", self_test_of(F), self_test_of(P)),
        ("identical", self_test_of(F), self_test_of(U)),
        ("identical", self_test_of(U), self_test_of(P)),
        ("planted_fault", self_test_of(P), self_test_of(F)),
        ("planted_fault", self_test_of(P), self_test_of(U)),
        ("planted_fault", self_test_of(U), self_test_of(F)),
        ("planted_delay", delayed(seen=False, clearance=None), delayed(seen=True, clearance=1.0)),
        ("planted_delay", delayed(seen=True, clearance=1.3), delayed(seen=True, clearance=1.0)),
    ],
)
def test_the_worst_self_test_of_all_shards_counts(
    tmp_path: Path, name: str, worst: object, best: object, turned: bool
) -> None:
    names = [model.name for model in make_sample_record().variants[1:]]
    shards = [shard_of(tmp_path, 1, names[0], names[0]), shard_of(tmp_path, 2, names[1], names[1])]
    self_tests = (best, worst) if turned else (worst, best)
    ordered = [
        StoredRecord(
            shard.file,
            shard.record.model_copy(update={"self_test": SelfTest.model_validate({name: self_test})}),
        )
        for shard, self_test in zip(shards, self_tests, strict=True)
    ]
    owned = [
        StoredRecord(shard.file, shard.record.model_copy(update={"shards": [facts]}))
        for shard, share in zip(ordered, (names[:1], names[1:]), strict=True)
        for facts in [shard.record.shards[0].model_copy(update={"variants": share})]
    ]
    record = merge_records(owned)
    assert getattr(record.self_test, name) == worst
    shows_a_broken_gate = name != "planted_delay" and getattr(worst, "message") != str(U)  # noqa: B009
    assert (getattr(worst, "message") in record.verdict.messages) == shows_a_broken_gate  # noqa: B009


def test_results_that_a_shard_took_over_are_partial_in_the_whole(tmp_path: Path) -> None:
    names = [model.name for model in make_sample_record().variants[1:]]
    old = [CarriedResult(kind="quality", name="accuracy", measured="2026-11-01T08:00:00+00:00")]
    shards = [shard_of(tmp_path, 1, names[0], ""), shard_of(tmp_path, 2, names[1], "")]
    models = [
        model.model_copy(
            update={"carried": old if model.name in (TEACHER, *names[:2]) else [], "error": None}
        )
        for model in make_sample_record().variants
    ]
    owned = [
        StoredRecord(shard.file, shard.record.model_copy(update={"shards": [facts], "variants": models}))
        for shard, share in zip(shards, (names[:1], names[1:]), strict=True)
        for facts in [shard.record.shards[0].model_copy(update={"variants": share})]
    ]
    record = merge_records(owned)
    assert [model.name for model in record.variants if model.carried] == [TEACHER, *names[:2]]
    assert (record.verdict.carried, record.this_run) == (3, None)


def test_a_merged_report_links_no_comparison_that_nobody_wrote(tmp_path: Path) -> None:
    record = shard_of(tmp_path, 1, "int8", "int8").record
    assert "[compare.md](compare.md)" in format_since_baseline(record)
    merged = record.model_copy(update={"shards": [*record.shards, *record.shards]})
    assert "compare.md" not in format_since_baseline(merged)
    assert "run `slimgate compare`" in format_since_baseline(merged)


def test_shards_with_other_code_of_the_user_are_refused(tmp_path: Path) -> None:
    """A shard was run again after the user's metric had changed: its verdicts are of another metric."""
    names = [model.name for model in make_sample_record().variants[1:]]

    def shards(*digests: str) -> list[StoredRecord]:
        runs = []
        for number, digest in enumerate(digests, 1):
            run = shard_of(tmp_path / f"{digests}", number, names[0], "")
            facts = run.record.shards[0].model_copy(update={"variants": names[number - 1 :: 2]})
            demands = Demands(settings={f"{CODE}mine:agree": digest, "task.kind": "text_classification"})
            update = {"shards": [facts], "demands": demands}
            runs.append(StoredRecord(run.file, run.record.model_copy(update=update)))
        return runs

    assert [run.record.shards[0].number for run in sort_shards(shards("a", "a"))] == [1, 2]
    with pytest.raises(DataError, match="different settings, or a user's files or code"):
        sort_shards(shards("a", "b"))


def two_shards(folder: Path, *changes: dict[str, Any]) -> list[StoredRecord]:
    """Both shards of a run, with changes of their records."""
    names = [model.name for model in make_sample_record().variants[1:]]
    runs = []
    for number, change in enumerate(changes, 1):
        run = shard_of(folder, number, names[0], "")
        facts = run.record.shards[0].model_copy(update={"variants": names[number - 1 :: 2]})
        runs.append(StoredRecord(run.file, run.record.model_copy(update={"shards": [facts], **change})))
    return runs


def test_shards_of_two_checkouts_are_of_one_run(tmp_path: Path) -> None:
    """Two machines have the repository in two folders, and options hold the paths of its files."""
    task = make_sample_record().task
    tasks = [
        {"task": task.model_copy(update={"source": {"name": "files", "train": [f"/{place}/train.csv"]}})}
        for place in ("home/one", "builds/two")
    ]
    assert [run.record.shards[0].number for run in sort_shards(two_shards(tmp_path, *tasks))] == [1, 2]


@pytest.mark.parametrize(("cpus", "refused"), [(("m", "m"), True), (("m", "n"), False)], ids=["one", "two"])
def test_shards_of_one_machine_have_the_same_variants(
    tmp_path: Path, cpus: tuple[str, str], refused: bool
) -> None:
    """A shard was run again after the code of a step had changed. Other processors have other digests."""
    sample = make_sample_record()

    def change(digest: str, cpu: str) -> dict[str, Any]:
        models = [model.model_copy(update={"inputs_digests": {MODEL: digest}}) for model in sample.variants]
        return {"variants": models, "machine": sample.machine.model_copy(update={"cpu": cpu})}

    shards = two_shards(tmp_path, *map(change, ("a", "b"), cpus))
    if refused:
        with pytest.raises(DataError, match="different steps, model files"):
            sort_shards(shards)
    else:
        assert sort_shards(shards[::-1]) == shards


LIMITED, HALF = {"ATEN_CPU_CAPABILITY": "avx2"}, {"DNNL_DEFAULT_FPMATH_MODE": "BF16"}


@pytest.mark.parametrize(
    ("variables", "cpus", "refused"),
    [
        pytest.param(({}, HALF), ("m", "m"), ": none and DNNL_DEFAULT_FPMATH_MODE=BF16", id="arithmetic"),
        pytest.param((HALF, {}), ("m", "n"), ": DNNL_DEFAULT_FPMATH_MODE=BF16 and none", id="two_machines"),
        pytest.param((LIMITED, {}), ("m", "m"), ": ATEN_CPU_CAPABILITY=avx2 and none", id="instructions"),
        pytest.param((LIMITED, {}), ("m", "n"), None, id="instructions_of_one_machine"),
        pytest.param((HALF, HALF), ("m", "n"), None, id="the_same"),
    ],
)
def test_shards_compute_under_the_same_variables(
    tmp_path: Path, variables: tuple[dict[str, str], ...], cpus: tuple[str, str], refused: str | None
) -> None:
    machine = make_sample_record().machine
    shards = two_shards(tmp_path, *({"machine": machine.model_copy(update={"cpu": cpu})} for cpu in cpus))
    changed = [
        StoredRecord(
            run.file,
            run.record.model_copy(update={"shards": [run.record.shards[0].replace(variables=of_shard)]}),
        )
        for run, of_shard in zip(shards, variables, strict=True)
    ]
    if refused is None:
        assert sort_shards(changed) == changed
    else:
        words = "different environment variables that change how libraries compute"
        with pytest.raises(DataError, match=words + refused):
            sort_shards(changed)


def test_a_merge_fails_for_a_gate_that_demands_less(tmp_path: Path) -> None:
    """A shard fails too. A hub's teacher is known only when it is loaded, which is after the start."""
    weaker = [Weakening(about="settings", change="the teacher is another model: its files differ")]
    baseline = BaselineFacts(path="b/run.json", created="2026-11-01", weaker=weaker)
    good = merge_records(two_shards(tmp_path, *[{"baseline": baseline}] * 2))
    assert f"the gate demands less than the baseline: {weaker[0].change}" in list_failures(good)
    accepted = baseline.model_copy(
        update={"weaker": [weaker[0].model_copy(update={"reason": "a new teacher"})]}
    )
    assert "demands less" not in "".join(list_failures(good.model_copy(update={"baseline": accepted})))
