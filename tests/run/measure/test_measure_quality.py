"""slimgate.run.measure.quality: outcomes are taken once, and again when what they depend on changes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from slimgate._system import digests
from slimgate._system.processor import describe_processor
from slimgate.errors import MeasureError
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import FAILED, Outcomes
from slimgate.plugins.loading import load
from slimgate.plugins.params import Table
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.measure.quality import SplitEncoder, check_answered, make_outcomes, predict_outcomes
from slimgate.run.run import SuiteRun
from slimgate.runtimes import eager
from slimgate.suite.named_plugin import Plugin
from slimgate.tasks import text_classification

pytest.importorskip("torch")


class Tempered:
    """A user's own runtime whose answers depend on an option, and on the version of a package."""

    class Params(Table):
        temperature: float = 1.0

    kinds = frozenset({"torch", "torch_quantized"})
    any_processor = frozenset({"torch"})
    packages = ("tempering",)

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> Any:
        predictor: Any = eager.runtime.load(folder, eager.Params(), device=device, threads=threads)
        fetch = predictor.fetch
        predictor.fetch = lambda output: fetch(output) / params.temperature
        return predictor


PRUNED = "pruned = { steps"
RUNTIME = f'pruned = {{ runtime = {{ name = "{__name__}:Tempered", temperature = 2.0 }}, steps'


def install(folder: Path, version: str) -> None:
    """A package `tempering` of that version, as pip leaves its metadata."""
    metadata = folder / "tempering.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tempering\nVersion: {version}\n")
    digests.forget()


def entry_of(run: SuiteRun, name: str) -> Any:
    artifact, runtime = run.build(name).artifact, run.suite.model(name).runtime
    model = AnsweringModel(run.suite, run.rows, artifact, runtime, "cpu")
    return make_outcomes(model, run.encoder, run.store)[1]


def test_outcomes_are_in_the_gates_order_and_from_the_store(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    outcomes = run.measure_outcomes("shorter")
    assert outcomes.ids.tolist() == run.rows.gate.ids
    assert len(outcomes) == 60
    assert outcomes.groups is not None
    assert len(set(outcomes.groups.tolist())) == 15
    again = make_tiny_run(tmp_path)
    entry = entry_of(again, "shorter")
    assert entry.from_store
    assert entry.manifest["rows"] == 60
    stored = again.measure_outcomes("shorter")
    assert stored.probabilities is not None
    assert np.array_equal(stored.probabilities, outcomes.probabilities)


def write_gate(folder: Path, times: int, *, files: int) -> None:
    """A gate of ten texts, each `times` times in other case and with a full stop; `files` groups in turn."""
    texts = ["good film", "bad film", "a great plot", "the plot was poor", "nice actor", "awful actor"]
    texts += ["fun", "boring movie", "a nice movie", "the film is very bad"]
    lines = ["text,label,file"]
    for k in range(10 * times):
        text = texts[k % 10]
        shown = text if k < 10 else f"{text.title()}."
        lines.append(f"{shown},{'neg' if k % 2 else 'pos'},h{k % files}")
    (folder / "gate.csv").write_text("\n".join(lines) + "\n", "utf-8")


def test_rows_of_one_text_are_one_group_without_a_group_column(tmp_path: Path) -> None:
    make_tiny_run(tmp_path)
    write_gate(tmp_path, 6, files=60)
    run = make_tiny_run(tmp_path, **{'group = "file"\n': ""})
    outcomes = run.measure_outcomes("shorter")
    assert outcomes.groups is not None
    assert (len(outcomes), len(set(outcomes.groups.tolist()))) == (60, 10)
    text = [text.lower().rstrip(".") for text in run.rows.gate.table["text"].to_pylist()]
    assert len(set(zip(text, outcomes.groups.tolist(), strict=True))) == 10
    judged = judge_quality(load_metric("accuracy"), run.measure_outcomes("teacher"), outcomes, [])
    assert judged.groups == 10
    assert run.rows.reports["gate"].groups == 10


def test_groups_that_share_a_text_are_one_group(tmp_path: Path) -> None:
    make_tiny_run(tmp_path)
    write_gate(tmp_path, 2, files=5)  # row k and row k + 10 have one text and, of five files, one file
    run = make_tiny_run(tmp_path)
    assert run.measure_outcomes("shorter").groups is not None
    assert len(set(run.measure_outcomes("shorter").groups.tolist())) == run.rows.reports["gate"].groups == 5
    write_gate(tmp_path, 2, files=4)  # row 0 of h0 and row 10 of h2 have one text: h0 and h2, h1 and h3
    run = make_tiny_run(tmp_path)
    assert run.measure_outcomes("shorter").groups is not None
    assert len(set(run.measure_outcomes("shorter").groups.tolist())) == run.rows.reports["gate"].groups == 2


@pytest.mark.parametrize(
    ("changes", "from_store"),
    [
        ({'title = "tiny"': 'title = "other"'}, True),
        ({"[measure]": "[measure]\nrounds = 7"}, True),
        ({"batch_size = 16": "batch_size = 8"}, False),
        ({"batch_size = 16": "batch_size = 16\nbatch_tokens = 64"}, False),
        ({"max_tokens = 32": "max_tokens = 16"}, False),
        ({'group = "file"\n': ""}, False),
    ],
    ids=["title", "rounds", "batch size", "batch tokens", "max_tokens", "group"],
)
def test_outcomes_are_taken_again_only_for_what_they_depend_on(
    tmp_path: Path, changes: dict[str, str], from_store: bool
) -> None:
    assert not entry_of(make_tiny_run(tmp_path), "teacher").from_store
    assert entry_of(make_tiny_run(tmp_path, **changes), "teacher").from_store is from_store


def test_another_option_of_the_runtime_gives_other_answers(tmp_path: Path) -> None:
    first = make_tiny_run(tmp_path, **{PRUNED: RUNTIME})
    assert not entry_of(first, "pruned").from_store
    assert entry_of(make_tiny_run(tmp_path, **{PRUNED: RUNTIME}), "pruned").from_store
    other = make_tiny_run(tmp_path, **{PRUNED: RUNTIME.replace("2.0", "9.0")})
    assert not entry_of(other, "pruned").from_store
    sure, unsure = (run.measure_outcomes("pruned").probabilities.max(axis=1).mean() for run in (first, other))  # type: ignore[union-attr]
    assert unsure < sure


def test_answers_of_another_version_of_a_library_are_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "site")
    install(tmp_path / "site", "1.0")
    assert not entry_of(make_tiny_run(tmp_path, **{PRUNED: RUNTIME}), "pruned").from_store
    assert entry_of(make_tiny_run(tmp_path, **{PRUNED: RUNTIME}), "pruned").from_store
    install(tmp_path / "site", "1.1")
    assert not entry_of(make_tiny_run(tmp_path, **{PRUNED: RUNTIME}), "pruned").from_store
    digests.forget()


INT8 = "int8 = { steps = [{ int8_dynamic = {} }] }\npruned = { steps"


@pytest.mark.parametrize("change", ["instructions", "threads"])
def test_answers_that_depend_on_the_processor_are_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """oneDNN reads such a variable as it starts: the processor then counts as one without VNNI."""
    first = make_tiny_run(tmp_path, **{PRUNED: INT8})
    assert not any(entry_of(first, name).from_store for name in ("teacher", "int8"))
    again = make_tiny_run(tmp_path, **{PRUNED: INT8})
    assert all(entry_of(again, name).from_store for name in ("teacher", "int8"))
    changed = {PRUNED: INT8}
    if change == "threads":
        changed["threads = 1"] = "threads = 2"
    else:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    other = make_tiny_run(tmp_path, **changed)
    assert entry_of(other, "teacher").from_store
    entry = entry_of(other, "int8")
    assert not entry.from_store
    assert entry.manifest["processor"] == describe_processor("cpu", threads=other.suite.threads)


def test_a_runtime_depends_on_the_processor_by_default(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{PRUNED: RUNTIME})
    custom, usual = (run.suite.model(name).runtime for name in ("pruned", "teacher"))
    assert not custom.answers_depend_on_processor("torch")
    assert custom.answers_depend_on_processor("torch_quantized")
    assert usual.answers_depend_on_processor("torch_quantized")
    for name in ("onnxruntime", "openvino", "compiled", "aoti"):
        runtime = load("runtime", name)
        assert all(
            Plugin(name, runtime, runtime.Params()).answers_depend_on_processor(kind)
            for kind in runtime.kinds
        )


def test_stored_answers_have_their_processor_and_new_ones_this(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    assert run.find_processor("teacher") is None
    assert run.make_handle("teacher").processor is None  # though by now the store has them
    assert make_tiny_run(tmp_path).make_handle("teacher").processor == describe_processor("cpu", threads=1)


def test_another_batch_plan_gives_the_same_outcomes(tmp_path: Path) -> None:
    plain = make_tiny_run(tmp_path).measure_outcomes("teacher")
    other = make_tiny_run(tmp_path, **{"batch_size = 16": "batch_size = 1"}).measure_outcomes("teacher")
    assert plain.probabilities is not None
    assert other.probabilities is not None
    assert np.abs(plain.probabilities - other.probabilities).max() < 1e-5


def test_rows_are_tokenised_once_for_all_models_of_one_tokenizer(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    encoded = {
        id(run.encoder.encode_for(run.build(name).artifact)) for name in ("teacher", "shorter", "pruned")
    }
    assert len(encoded) == 1


def test_scores_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    artifact = run.build("teacher").artifact

    class Broken(eager.Eager):
        def load(self, *args: Any, **options: Any) -> Any:
            predictor = run.suite.teacher.runtime.object.load(*args, **options)
            real = predictor.fetch

            def fetch(output: Any) -> Any:
                scores = real(output)
                scores[0, 1] = np.nan
                return scores

            predictor.fetch = fetch
            return predictor

    from dataclasses import replace

    runtime = replace(run.suite.teacher.runtime, object=Broken())
    model = AnsweringModel(run.suite, run.rows, artifact, runtime, "cpu")
    with pytest.raises(MeasureError, match=r"4 of 60 gate rows got a score that is NaN or infinite"):
        predict_outcomes(model, SplitEncoder(run.suite, run.rows.gate))


class Reshaped(Tempered):
    """Its scores have a wrong form."""

    class Params(Table):
        form: str

    def load(self, folder: Path, params: Any, *, device: str, threads: int) -> Any:
        predictor: Any = eager.runtime.load(folder, eager.Params(), device=device, threads=threads)
        fetch = predictor.fetch
        reshape = {"flat": lambda scores: scores.argmax(axis=1), "texts": lambda scores: scores.astype(str)}
        predictor.fetch = lambda output: reshape[params.form](fetch(output))
        return predictor


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            "flat",
            r"scores have the shape \(\d+,\) for a batch of \d+ rows, .*; see `fetch` of the runtime",
        ),
        ("texts", "scores are texts, such as '.*', expected numbers"),
    ],
    ids=["flat", "texts"],
)
def test_a_users_runtime_with_wrong_scores_is_one_line(tmp_path: Path, form: str, message: str) -> None:
    runtime = f'pruned = {{ runtime = {{ name = "{__name__}:Reshaped", form = "{form}" }}, steps'
    run = make_tiny_run(tmp_path, **{PRUNED: runtime})
    with pytest.raises(MeasureError, match=message):
        run.measure_outcomes("pruned")


class Unclosed(Reshaped):
    def load(self, folder: Path, params: Any, *, device: str, threads: int) -> Any:
        predictor = super().load(folder, params, device=device, threads=threads)
        return SimpleNamespace(prepare=predictor.prepare, forward=predictor.forward, fetch=None)


def test_a_predictor_that_lacks_methods_is_refused(tmp_path: Path) -> None:
    runtime = f'pruned = {{ runtime = {{ name = "{__name__}:Unclosed", form = "flat" }}, steps'
    run = make_tiny_run(tmp_path, **{PRUNED: runtime})
    with pytest.raises(MeasureError, match="its load gave SimpleNamespace without fetch, close; see"):
        run.measure_outcomes("pruned")


def test_a_task_that_returns_no_outcomes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_tiny_run(tmp_path)
    monkeypatch.setattr(text_classification.task, "outcomes", lambda *_: None)
    with pytest.raises(
        MeasureError, match="task text_classification: its outcomes returned NoneType, expected Outcomes or"
    ):
        run.measure_outcomes("teacher")


def test_a_task_that_leaves_rows_out_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_tiny_run(tmp_path)
    real = text_classification.task.outcomes
    monkeypatch.setattr(
        text_classification.task, "outcomes", lambda *arguments: real(*arguments).take(np.arange(50))
    )
    with pytest.raises(MeasureError, match="gave 50 outcomes for the 60 gate rows, expected one for each"):
        run.measure_outcomes("teacher")


@pytest.mark.parametrize(
    ("failed", "rows", "refused"),
    [(0, 60, False), (1, 60, False), (2, 60, True), (2, 200, False), (3, 200, True)],
    ids=["none", "one", "two of 60", "1 %", "more than 1 %"],
)
def test_a_teacher_may_miss_one_row_or_1_percent(failed: int, rows: int, refused: bool) -> None:
    """A server that always refuses one prompt does not block a small suite."""
    ids = np.asarray([f"r{row}" for row in range(rows)])
    outcomes = Outcomes(ids, values={FAILED: (np.arange(rows) < failed).astype(float)})
    if not refused:
        check_answered(outcomes)
        return
    with pytest.raises(
        MeasureError, match=r"requests failed, such as of the rows r0, r1.*; expected at most 1.0 %"
    ):
        check_answered(outcomes)
