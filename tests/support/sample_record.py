"""The record of docs/example_record with other figures: every kind of verdict, an error, gaps.

The figures are made up. What follows from them is counted by slimgate: the verdict, and the checks that are
missing. Rows, slices, confusion and flips of the student agree with each other.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from slimgate.judge.decision import choose_band
from slimgate.record.build import ArtifactFacts
from slimgate.record.run import AnswerFacts, FollowedRow, RunRecord, VariantRecord, read_record
from slimgate.record.run_verdict import judge_record
from slimgate.record.verdicts import RunVerdict
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts, Flips, QuotedRow, SliceFacts
from slimgate.results.figures import MemoryFacts, SizeFacts
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts

EXAMPLE = read_record(Path(__file__).parents[2] / "docs/example_record/run.json")
FOLLOWED = "all/8012"
REAL = {model.name: model for model in EXAMPLE.variants}
MEASURED = "2026-11-20T08:14:02Z"
TEACHER = {"accuracy": 0.829, "f1_macro": 0.827, "roc_auc": 0.958}
GROUPS = 2210
METHODS = {
    "accuracy": "Gaffke's bound, grouped",
    "f1_macro": "paired random weights, grouped",
    "roc_auc": "paired DeLong, grouped",
}
TEACHER_BYTES = 91_634_688
PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
WORKLOADS = ("b1", "b32x32")


def make_sample_record(**changes: Any) -> RunRecord:
    """The sample, with fields of the record replaced."""
    fields: dict[str, Any] = {
        "variants": _make_variants(),
        "followed": _make_followed(),
        "verdict": _make_verdict(),
    }
    return RunRecord(**{**dict(EXAMPLE), **fields, **changes})


def make_variant(name: str, **fields: Any) -> VariantRecord:
    """A variant of the teacher with only these fields."""
    return VariantRecord(**{"name": name, "parent": "teacher", **fields})


def change_variant(record: RunRecord, name: str, **fields: Any) -> RunRecord:
    """The record, with fields of one variant replaced."""
    variants = [model.model_copy(update=fields) if model.name == name else model for model in record.variants]
    return record.model_copy(update={"variants": variants})


def make_record_of(*variants: VariantRecord, **changes: Any) -> RunRecord:
    """The sample with its teacher and these variants."""
    return make_sample_record(variants=[make_sample_record().variants[0], *variants], **changes)


def make_record_of_one(*, status: str = "PASS", **fields: object) -> RunRecord:
    """The sample with its teacher and one variant `x`."""
    verdict = RunVerdict.model_validate(
        {"status": status, "passed": 1, "failed": 0, "inconclusive": 0, "not_gated": 0}
    )
    return make_record_of(make_variant("x", **fields), verdict=verdict)


def make_quality(
    name: str,
    metric: str,
    drop: float | None,
    interval: tuple[float, float] | None,
    verdict: Verdict | None,
    **fields: Any,
) -> QualityFacts:
    """A metric compared with the sample's teacher. If there is a verdict, it is of a budget of 2 points."""
    teacher = TEACHER[metric]
    value = teacher - (drop or 0.0) / 100
    needed = fields.get("n_needed")
    outcome = f"{verdict}, about {needed:,} rows would decide" if needed else str(verdict or "not gated")
    shown = f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else ""
    budget = ", budget 2.0" if verdict else ""
    method = METHODS[metric]
    values = f"{metric} {value:.3f} vs {teacher:.3f}, drop {drop} points{shown}{budget}"
    message = f"{name}: {values} (n=6000 in {GROUPS} groups): {outcome}"
    common: dict[str, Any] = {"teacher": teacher, "value": value, "n": 6000, "measured": MEASURED}
    if drop is None:
        return QualityFacts(**common)
    judged = {
        "drop_points": drop,
        "interval": interval,
        "level": 0.9,
        "method": method,
        "budgets": [BudgetFacts(kind="drop_points", limit=2.0, verdict=verdict)] if verdict else [],
        "verdict": verdict,
        "band": choose_band(drop),
        "groups": GROUPS,
        "design_effect": 1.14 if metric == "accuracy" else None,
        "message": message,
    }
    return QualityFacts(**{**common, **judged, **fields})


def make_latency(p50: float, *, std: float | None = None, **fields: Any) -> LatencyFacts:
    """Times of a model that differ little from their median."""
    return LatencyFacts(
        **{
            "p50_ms": p50,
            "p90_ms": p50 * 1.05,
            "p95_ms": p50 * 1.08,
            "mean_ms": p50 * 1.01,
            "std_ms": p50 * 0.03 if std is None else std,
            "min_ms": p50 * 0.97,
            "rounds": 100,
            "warmup": 10,
            "throughput_per_s": 1000 / p50,
            "tokens": 41,
            "tokenize_ms": 0.212,
            "measured": MEASURED,
            **fields,
        }
    )


def make_artifact(size: int, parameters: int, **fields: Any) -> ArtifactFacts:
    """A torch artifact run by eager."""
    common = {
        "kind": "torch",
        "digest": _hash_content(size),
        "runtime": "eager",
        "state_bytes": size - 712_000,
    }
    return ArtifactFacts(
        **{
            "bytes": size,
            "parameters": parameters,
            "nonzero_parameters": parameters - 384,
            **common,
            **fields,
        }
    )


def _hash_content(content: object) -> str:
    return sha256(str(content).encode()).hexdigest()


def _make_size(name: str, size: int, limit: float | None = None) -> SizeFacts:
    ratio = TEACHER_BYTES / size
    if limit is None:
        return SizeFacts(compression=ratio, measured=MEASURED)
    verdict = PASS if ratio >= limit else FAIL
    return SizeFacts(
        compression=ratio,
        budgets=[
            BudgetFacts(
                kind="compression_min", limit=limit, verdict=verdict, reason="the app's download limit"
            )
        ],
        verdict=verdict,
        message=f"{name}: size {size / 1024**2:.1f} MB, {ratio:.2f} times smaller, budget {limit}: {verdict}",
        measured=MEASURED,
    )


def _make_memory(name: str, peaks: tuple[int, ...], limit: float | None = None) -> MemoryFacts:
    """The memory of a model. peaks: of three processes, or of one, which has no spread."""
    middle = sorted(peaks)[len(peaks) // 2]
    common: dict[str, Any] = {
        "peak_bytes": middle,
        "resident_after_load_bytes": middle - 61_865_984,
        "load_peak_bytes": middle - 40_894_464,
        "baseline_bytes": 70_995_968,
        "load_seconds": 4.1 if name == "teacher" else 3.9,
        "workload": "b32x32",
        "readings": len(peaks),
        "peaks": list(peaks),
        "measured": MEASURED,
    }
    if name == "teacher":
        return MemoryFacts(**common)
    common["ratio"] = middle / 702_545_920
    if limit is None:
        return MemoryFacts(**common)
    verdict = PASS if max(peaks) <= 701_497_344 * limit else FAIL
    return MemoryFacts(
        **common,
        spread=(min(peaks) / 703_594_496, max(peaks) / 701_497_344),
        budgets=[BudgetFacts(kind="memory_ratio_max", limit=limit, verdict=verdict, reason="the small pods")],
        verdict=verdict,
        message=f"{name}: peak memory {middle / 1024**2:.1f} vs 670.0 MB, budget {limit}: {verdict}",
    )


def _make_qualities(
    name: str, *judged: tuple[float, float, float, Verdict | None], **fields: Any
) -> dict[str, QualityFacts]:
    """accuracy, f1_macro and roc_auc as (drop, low, high, verdict)."""
    return {
        metric: make_quality(
            name, metric, drop, (low, high), verdict, **(fields if metric == "accuracy" else {})
        )
        for metric, (drop, low, high, verdict) in zip(TEACHER, judged, strict=False)
    }


def _make_variant_like(real: str, **fields: Any) -> VariantRecord:
    """A variant of the example with its steps and shapes, and with only these figures."""
    variant = REAL[real]
    copied = {key: getattr(variant, key) for key in ("name", "parent", "twin", "steps")}
    if variant.shapes is not None:
        copied["shapes"] = variant.shapes.model_copy(update={"id": FOLLOWED})
    model = VariantRecord(**{**copied, "from_store": real == "teacher", **fields})
    if model.artifact is None:
        return model
    sizes = model.artifact.model_dump(include={"kind", "bytes", "parameters", "nonzero_parameters"})
    return model.model_copy(update={"steps": [step.model_copy(update=sizes) for step in model.steps]})


def _make_variants() -> list[VariantRecord]:
    return [
        _make_teacher(),
        _make_student(),
        _make_distilled(),
        _make_int8(),
        _make_distilled_int8(),
        _make_pruned_30(),
        _make_pruned_50(),
        _make_released(),
    ]


def _make_teacher() -> VariantRecord:
    tuned = REAL["teacher"].steps[-1]
    # only one epoch, for which no plot of epochs is drawn
    log = {key: tuned.log[key] for key in ("rows", "tokens")} | {"epochs": tuned.log["epochs"][:1]}
    return _make_variant_like(
        "teacher",
        parent=None,
        steps=[tuned.model_copy(update={"log": log})],
        artifact=make_artifact(TEACHER_BYTES, 22_714_756, load_seconds=0.31),
        quality={metric: make_quality("teacher", metric, None, None, None) for metric in TEACHER},
        latency={"b1": make_latency(6.31), "b32x32": make_latency(78.4, tokens=1024, throughput_per_s=408.1)},
        memory=_make_memory("teacher", (702_545_920, 701_497_344, 703_594_496)),
    )


def _make_student() -> VariantRecord:
    return _make_variant_like(
        "student",
        artifact=make_artifact(70_336_512, 17_390_596, load_seconds=0.24),
        quality=_make_qualities(
            "student", (2.9, 2.3, 3.5, FAIL), (3.0, 2.4, 3.7, FAIL), (0.8, 0.5, 1.1, None)
        ),
        size=_make_size("student", 70_336_512),
        memory=_make_memory("student", (672_137_216,)),
        behaviour=_make_student_behaviour(),
        latency={"b1": make_latency(3.3), "b32x32": make_latency(40.2, tokens=1024, throughput_per_s=796.0)},
    )


def make_slice_facts(
    column: str, value: str, n: int, drop: float, interval: tuple[float, float], **fields: Any
) -> SliceFacts:
    """Accuracy on a slice, by Tango's test."""
    common = {
        "metric": "accuracy",
        "teacher": 0.829,
        "variant": 0.829 - drop / 100,
        "method": METHODS["accuracy"],
    }
    slice_facts = {"column": column, "value": value, "n": n, "drop_points": drop, "interval": interval}
    return SliceFacts(**{**common, **slice_facts, "groups": n // 3, "few_rows": n < 50, **fields})


def _make_student_behaviour() -> BehaviourFacts:
    """Over both of its budgets."""
    share = "student: 6.0 % of rows right to wrong [5.4, 6.7], budget 4 % (n=6000): FAIL"
    lost = "FAIL in label networkx (drop 6.4 points [5.7, 8.1], n=1500)"
    behaviour = BehaviourFacts(
        n=6000,
        flips=Flips(
            right_to_wrong=361,
            wrong_to_right=187,
            changed=702,
            percent=6.02,
            interval=(5.39, 6.71),
            groups=2210,
            quoted=[
                QuotedRow(
                    id="all/8012",
                    label="networkx",
                    teacher="networkx",
                    teacher_confidence=0.93,
                    variant="sympy",
                    variant_confidence=0.98,
                    text="Returns a view of the array | with `axis` *last* <b>…",
                ),
                QuotedRow(
                    id="all/77",
                    label="pandas",
                    teacher="pandas",
                    teacher_confidence=0.55,
                    variant="networkx",
                    variant_confidence=0.94,
                    text="Sorts the values along an axis.",
                ),
            ],
        ),
        agreement=0.883,
        slice_gaps=[],
        confusion=_make_matrix(1144, 1212, 1226, 1218),
        confusion_teacher=_make_matrix(1240, 1244, 1244, 1246),
        slices=_make_student_slices(),
        budgets=[
            BudgetFacts(
                kind="flips_max_percent", limit=4.0, verdict=FAIL, reason="users notice turned answers"
            ),
            BudgetFacts(kind="slices.accuracy", limit=5.0, verdict=FAIL),
        ],
        verdict=FAIL,
        message=f"{share}; accuracy on 10 slices, budget 5 points: {lost}",
        measured=MEASURED,
    )
    real = REAL["student"].behaviour
    return BehaviourFacts(**{**dict(real or ()), **behaviour.model_dump(include=behaviour.model_fields_set)})


def _make_student_slices() -> list[SliceFacts]:
    """Slices of 6,000 rows. In each of their columns the model lost 174 rows more than it won."""
    judged: tuple[tuple[str, str, int, float, tuple[float, float], float, Verdict], ...] = (
        ("section", "guide", 41, 7.3, (-1.4, 19.9), 0.41, INCONCLUSIVE),
        ("label", "networkx", 1500, 6.4, (5.7, 8.1), 0.0011, FAIL),
        ("length_bucket", "10 to 19 words", 1502, 4.1, (2.9, 5.6), 0.91, INCONCLUSIVE),
        ("length_bucket", "20 to 34 words", 1436, 4.0, (2.7, 5.5), 0.93, INCONCLUSIVE),
        ("length_bucket", "5 to 9 words", 1622, 3.9, (2.8, 4.9), 0.97, PASS),
        ("section", "reference", 5959, 2.9, (2.3, 3.5), 1.0, PASS),
        ("label", "pandas", 1500, 2.1, (1.1, 3.2), 1.0, PASS),
        ("label", "transformers", 1500, 1.9, (0.9, 3.0), 1.0, PASS),
        ("label", "sympy", 1500, 1.2, (0.2, 2.3), 1.0, PASS),
        ("length_bucket", "35 to 60 words", 1440, -0.6, (-1.7, 0.5), 1.0, PASS),
    )
    return [
        make_slice_facts(column, value, n, drop, ends, p_value=p, p_holm=min(1.0, 10 * p), verdict=verdict)
        for column, value, n, drop, ends, p, verdict in judged
    ]


def _make_distilled_behaviour() -> BehaviourFacts:
    """Measured by a tool that gives predictions only, without a budget."""
    return BehaviourFacts(
        flips=Flips(right_to_wrong=171, wrong_to_right=153, changed=398),
        agreement=0.934,
        kl_to_teacher=0.0412,
        confusion=_make_matrix(1240, 1244, 1244, 1246),
        confusion_teacher=_make_matrix(1240, 1244, 1244, 1246),
        slices=[make_slice_facts("label", "networkx", 1500, -0.1, (-0.9, 0.7))],
    )


def _make_matrix(*right: int) -> list[list[int]]:
    """A confusion matrix of 1,500 rows for each of four labels. Wrong rows are predicted as the next label.

    right: the right rows of each label.
    """
    matrix = [[0] * 4 for _ in right]
    for label, count in enumerate(right):
        matrix[label][label] = count
        matrix[label][(label + 1) % 4] = 1500 - count
    return matrix


def _make_distilled() -> VariantRecord:
    return _make_variant_like(
        "distilled",
        artifact=make_artifact(70_336_512, 17_390_596, digest=_hash_content("distilled"), load_seconds=0.24),
        quality=_make_qualities(
            "distilled", (0.3, -0.2, 0.8, PASS), (0.4, -0.2, 1.0, PASS), (0.1, -0.1, 0.3, None)
        ),
        size=_make_size("distilled", 70_336_512),
        behaviour=_make_distilled_behaviour(),
        latency={"b1": make_latency(3.28), "b32x32": make_latency(40.5, tokens=1024, throughput_per_s=790.1)},
    )


def _make_int8() -> VariantRecord:
    return _make_variant_like(
        "int8",
        artifact=make_artifact(
            24_641_536, 22_714_756, kind="torch-int8", nonzero_parameters=22_430_118, state_bytes=None
        ),
        quality=_make_qualities("int8", (0.1, -0.1, 0.4, PASS)),
        size=_make_size("int8", 24_641_536, 1.5),
        memory=_make_memory("int8", (560_988_160, 559_939_584, 562_036_736), 0.85),
        latency={"b1": make_latency(7.12, std=2.9)},
    )


def _make_distilled_int8() -> VariantRecord:
    duel: dict[str, Any] = {"speedup": 2.31, "speedup_interval": (2.25, 2.38), "noise_floor": 0.021}
    return _make_variant_like(
        "distilled-int8",
        artifact=make_artifact(19_293_184, 17_390_596, kind="torch-int8", nonzero_parameters=17_290_020),
        quality=_make_qualities(
            "distilled-int8", (0.5, 0.0, 1.1, PASS), (0.6, 0.0, 1.2, PASS), (0.1, -0.1, 0.3, None)
        ),
        size=_make_size("distilled-int8", 19_293_184, 1.5),
        latency={
            "b1": make_latency(2.73, **duel),
            "b32x32": make_latency(31.9, tokens=1024, throughput_per_s=1003.1),
        },
    )


def _make_pruned(name: str, sparsity: float, nonzero: int, **fields: Any) -> VariantRecord:
    [real] = REAL["pruned-50"].steps
    options = {"sparsity": sparsity}
    step = real.model_copy(update={"params": {**real.params, **options}, "given": options})
    return _make_variant_like(
        "pruned-50",
        name=name,
        steps=[step],
        artifact=make_artifact(
            TEACHER_BYTES, 22_714_756, nonzero_parameters=nonzero, digest=_hash_content(name)
        ),
        size=_make_size(name, TEACHER_BYTES),
        latency={"b1": make_latency(6.33), "b32x32": make_latency(78.1, tokens=1024, throughput_per_s=409.7)},
        **fields,
    )


def _make_pruned_30() -> VariantRecord:
    judged = ((1.6, 1.0, 2.2, INCONCLUSIVE), (1.3, 0.7, 1.9, PASS), (0.4, 0.2, 0.7, None))
    return _make_pruned(
        "pruned-30", 0.3, 19_529_322, quality=_make_qualities("pruned-30", *judged, n_needed=22_000)
    )


def _make_pruned_50() -> VariantRecord:
    judged = ((12.0, 11.1, 12.9, FAIL), (12.8, 11.8, 13.8, FAIL), (3.9, 3.4, 4.4, None))
    return _make_pruned(
        "pruned-50",
        0.5,
        17_405_956,
        gated=False,
        reason="shows what pruning without recovery costs",
        quality=_make_qualities("pruned-50", *judged),
    )


def _make_released() -> VariantRecord:
    return make_variant(
        "released",
        parent=None,
        error="BuildError: ../exports/student: its labels do not fit the data\n"
        "  model: LABEL_0 | LABEL_1\n  data: `torch`, …",
    )


def _make_followed() -> list[FollowedRow]:
    """A row that one of the variants lost, and of which the teacher is least sure."""
    sure = [("networkx", 0.931), ("sympy", 0.044), ("pandas", 0.021)]
    wrong = [("sympy", 0.982), ("networkx", 0.011), ("pandas", 0.004)]
    teacher = AnswerFacts(
        model="teacher", prediction="networkx", right=True, label_probability=0.931, top=sure
    )
    lost = AnswerFacts(model="student", prediction="sympy", right=False, label_probability=0.011, top=wrong)
    return [
        FollowedRow(
            id=FOLLOWED,
            number=17,
            why="1 of 2 variants lost it, no row was lost by more; the teacher is least sure of it",
            label="networkx",
            text="Returns a view of the array with `axis` *last* <b>…",
            answers=[teacher, lost, teacher.model_copy(update={"model": "int8", "label_probability": 0.929})],
        )
    ]


def _count_missing(model: VariantRecord) -> int:
    """Counts the checks of the suite that no test of the model has reported."""
    missing = [metric for metric in TEACHER if metric not in model.quality]
    missing += [load for load in WORKLOADS if load not in model.latency]
    if model.name != "teacher":
        missing += [load for load in WORKLOADS if getattr(model.latency.get(load), "speedup", None) is None]
        missing += [kind for kind in ("behaviour", "size") if getattr(model, kind) is None]
    return len(missing)


def _make_verdict() -> RunVerdict:
    models = _make_variants()
    return judge_record(models, EXAMPLE.self_test, sum(map(_count_missing, models)))
