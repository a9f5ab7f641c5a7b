"""Cascades: when a model is sure, which rows are passed on, and a suite that has one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from slimgate.errors import SuiteError
from slimgate.models.predict import predict_scores
from slimgate.outcomes import ClassOutcomes
from slimgate.plugins.rows import Encoded, Rows
from slimgate.plugins.workloads import Workload
from slimgate.run.cascade import (
    SelectionAnswers,
    average_answers,
    choose_deferral_rule,
    choose_deferral_rules,
    describe_cascade,
    find_best_temperature,
    find_best_weight,
)
from slimgate.run.contents import digest_tokenizer
from slimgate.run.measure.end_to_end import make_texts, read_texts
from slimgate.run.run import SuiteRun
from slimgate.runtimes.cascade import (
    CascadePredictor,
    Member,
    compute_confidence,
    read_cascade,
    select_inputs,
)
from slimgate.runtimes.eager import runtime as eager
from slimgate.runtimes.onnxruntime import runtime as onnxruntime


def answers(margins: list[float], right: list[bool]) -> SelectionAnswers:
    """Two classes; margins: score of class 0 above that of class 1, which is what the model says."""
    scores = np.asarray([[margin, 0.0] for margin in margins], dtype=np.float32)
    return SelectionAnswers(
        scores, np.asarray([0 if is_right else 1 for is_right in right]), np.asarray(right)
    )


SURE = [4.0, 3.0, 2.0, 1.0, 0.5]  # rising doubt
SMALL = answers(SURE, [True, True, False, False, True])
LARGE = np.asarray([True, True, True, True, True])


def test_confidence_is_the_top_probability_after_the_temperature() -> None:
    scores = np.asarray([[2.0, 0.0], [0.0, 0.0]])
    assert compute_confidence(scores, 1.0) == pytest.approx([1 / (1 + np.exp(-2.0)), 0.5])
    assert compute_confidence(scores, 2.0) == pytest.approx([1 / (1 + np.exp(-1.0)), 0.5])


@pytest.mark.parametrize(
    ("allowed", "passed"),
    [
        (0.0, [False, False, True, True, True]),  # the two wrong ones are the third and the fourth
        (20.0, [False, False, False, True, True]),  # one of five rows may be lost
        (40.0, [False] * 5),
    ],
)
def test_the_fewest_rows_for_the_allowed_loss_are_passed_on(allowed: float, passed: list[bool]) -> None:
    gate = choose_deferral_rule(SMALL, LARGE, LARGE, allowed, 1.0)
    assert gate.passed_on.tolist() == passed
    assert (compute_confidence(SMALL.scores, 1.0) < gate.threshold).tolist() == passed


def test_one_lucky_dip_of_the_curve_does_not_decide() -> None:
    """Passing on nothing loses nothing, one row loses one of four, and so on to the end: the dip is at 0."""
    small = answers([4.0, 3.0, 2.0, 1.0], [False, True, True, True])
    large = np.asarray([True, True, True, False])
    gate = choose_deferral_rule(small, large, large, 0.0, 1.0)
    # 0 rows: 3 right; 1 row: 2; 2 rows: 2; 3 rows: 2; 4 rows: 3 right, as many as the last model
    assert gate.passed_on.all()


def test_rows_of_equal_confidence_stay_together() -> None:
    small = answers([3.0, 1.0, 1.0, 1.0], [True, True, False, True])
    gate = choose_deferral_rule(small, np.ones(4, dtype=bool), np.ones(4, dtype=bool), 0.0, 1.0)
    assert gate.passed_on.tolist() == [False, True, True, True]


def test_of_three_models_each_pair_has_its_share_of_the_loss() -> None:
    generator = np.random.default_rng(0)
    margins = generator.exponential(2.0, 2000)
    chance = generator.random(2000)
    first = answers(margins.tolist(), (chance < 1 / (1 + np.exp(-margins))).tolist())
    second = answers((1.5 * margins).tolist(), (chance < 1 / (1 + np.exp(-1.5 * margins))).tolist())
    last = answers((4 * margins).tolist(), (chance < 1 / (1 + np.exp(-4 * margins))).tolist())
    gates = choose_deferral_rules([first, second, last], 2.0)
    right = np.where(gates[0].passed_on, np.where(gates[1].passed_on, last.right, second.right), first.right)
    assert 0 < gates[0].passed_on.mean() < 1
    assert 100 * (last.right.mean() - right.mean()) <= 2.0 + 1e-9
    behind = np.where(gates[1].passed_on, last.right, second.right)
    assert 100 * (last.right.mean() - behind.mean()) <= 1.0 + 1e-9


def test_the_best_temperature_is_that_which_made_scores_too_sure() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(0, 2, (4000, 3))
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    labels = np.asarray([generator.choice(3, p=share) for share in shares])
    answers = SelectionAnswers((3 * scores).astype(np.float32), labels, scores.argmax(1) == labels)
    assert find_best_temperature(answers) == pytest.approx(3.0, rel=0.1)


def noisy(rows: int, noise: float, seed: int) -> SelectionAnswers:
    """Three classes: a score of 1 for the right one, and noise of its own on all."""
    generator = np.random.default_rng(seed)
    labels = np.random.default_rng(9).integers(3, size=rows)
    scores = (np.eye(3)[labels] + generator.normal(0, noise, (rows, 3))).astype(np.float32)
    return SelectionAnswers(scores, labels, scores.argmax(1) == labels)


def test_the_mean_of_two_models_beats_both_weighed_by_noise() -> None:
    first, second = noisy(20_000, 0.8, 1), noisy(20_000, 0.6, 2)
    means, weights = average_answers([first, second])
    # The least log loss of independent normal noise: weights by one over the variance.
    assert weights == [1.0, pytest.approx(0.6**-2 / (0.6**-2 + 0.8**-2), abs=0.02)]
    assert means[0] is first
    assert means[1].right.mean() > max(first.right.mean(), second.right.mean()) + 0.03
    np.testing.assert_allclose(
        means[1].scores, (1 - weights[1]) * first.scores + weights[1] * second.scores, atol=1e-6
    )


def test_rows_that_both_models_separate_still_have_a_weight() -> None:
    """Without a bound on the scores' scale the log loss would have no least value."""
    labels = np.asarray([0, 1] * 8)
    right = np.ones(16, dtype=bool)
    first = SelectionAnswers((30 * np.eye(2)[labels]).astype(np.float32), labels, right)
    weight = find_best_weight(first, SelectionAnswers(2 * first.scores, labels, right))
    assert 0 <= weight <= 1
    assert find_best_weight(first, SelectionAnswers(2 * first.scores, labels, right)) == weight


def test_a_model_that_knows_nothing_has_no_weight() -> None:
    good = noisy(2000, 0.5, 1)
    scores = np.random.default_rng(3).normal(0, 1, (2000, 3)).astype(np.float32)
    useless = SelectionAnswers(scores, good.labels, scores.argmax(1) == good.labels)
    assert find_best_weight(good, useless) == pytest.approx(0.0, abs=0.02)
    assert find_best_weight(useless, good) == pytest.approx(1.0, abs=0.02)


class Fixed:
    """A predictor whose scores are its input's, and that notes the rows that it was given."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []

    def prepare(self, batch: Any) -> Any:
        return batch["scores"]

    def forward(self, prepared: Any) -> Any:
        self.rows.append(prepared[:, 0].tolist())
        return prepared

    def fetch(self, output: Any) -> Any:
        return output

    def close(self) -> None:
        self.rows.clear()


def member(name: str, threshold: float | None, inputs: int = 0) -> Member:
    return Member(
        name=name, folder=name, kind="torch", runtime="eager", params={}, threshold=threshold, inputs=inputs
    )


def test_a_batch_passes_on_only_the_unsure_rows() -> None:
    first, second = Fixed(), Fixed()
    cascade = CascadePredictor([member("a", 0.9), member("b", None, inputs=1)], [first, second])
    scores = np.asarray([[9.0, 0.0], [1.0, 0.0], [8.0, 0.0], [0.5, 0.0]], dtype=np.float32)
    other = np.asarray([[1.0, 0.0], [2.0, 7.0], [3.0, 0.0], [4.0, 7.0]], dtype=np.float32)
    prepared = cascade.prepare({"scores": scores, "1.scores": other})
    fetched = cascade.fetch(cascade.forward(prepared))
    assert fetched.tolist() == [[9.0, 0.0], [2.0, 7.0], [8.0, 0.0], [4.0, 7.0]]
    assert second.rows == [[2.0, 4.0]]
    assert cascade.passed_on == [0.5]
    cascade.forget()
    sure = cascade.forward(cascade.prepare({"scores": scores[:1], "1.scores": other[:1]}))
    assert cascade.fetch(sure).tolist() == [[9.0, 0.0]]
    assert (second.rows, cascade.passed_on) == ([[2.0, 4.0]], [0.0])


@pytest.mark.parametrize("passed_on", [[False, True], [True, True]], ids=["one row", "all rows"])
def test_an_ensemble_averages_the_models_that_a_row_reached(passed_on: list[bool]) -> None:
    together = member("b", None, inputs=1).model_copy(update={"weight": 0.25})
    scores = np.asarray([[1.0 if passed else 9.0, 0.0] for passed in passed_on], dtype=np.float32)
    other = np.asarray([[0.0, 4.0], [0.0, 8.0]], dtype=np.float32)
    cascade = CascadePredictor([member("a", 0.9), together], [Fixed(), Fixed()])
    fetched = cascade.fetch(cascade.forward(cascade.prepare({"scores": scores, "1.scores": other})))
    expected = [[0.75, [1.0, 2.0][row]] if passed else [9.0, 0.0] for row, passed in enumerate(passed_on)]
    assert fetched.tolist() == expected


def test_inputs_of_each_tokenizer_are_told_apart() -> None:
    batch = {"a": np.zeros(1), "1.a": np.ones(1), "10.a": np.full(1, 10)}
    assert {name: array.tolist() for name, array in select_inputs(batch, 0).items()} == {"a": [0]}
    assert select_inputs(batch, 1)["a"].tolist() == [1]
    assert select_inputs(batch, 10)["a"].tolist() == [10]


ENSEMBLE = 'both = { cascade = { models = ["shorter", "teacher"], threshold = 1.0, ensemble = true } }\n'
CASCADE = 'fast = { cascade = { models = ["pruned", "shorter", "teacher"], drop_points = 3 } }\n'
SHORTER = "shorter = { steps = [{ keep_layers = [0, 2] }] }"
PRUNED = "pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    return make_tiny_run(tmp_path_factory.mktemp("cascade"), **{PRUNED: PRUNED + CASCADE})


def test_a_cascades_answer_is_that_of_the_first_sure_model(run: SuiteRun) -> None:
    cascaded, members = run.measure_outcomes("fast"), read_cascade(run.build("fast").artifact.folder).members
    assert isinstance(cascaded, ClassOutcomes)
    assert [member.name for member in members] == ["pruned", "shorter", "teacher"]
    assert members[-1].threshold is None
    expected, reached, shares = None, np.ones(len(cascaded), dtype=bool), []
    for member in members:
        outcomes = run.measure_outcomes(member.name)
        assert isinstance(outcomes, ClassOutcomes)
        expected = (
            outcomes.predictions if expected is None else np.where(reached, outcomes.predictions, expected)
        )
        if member.threshold is None:
            break
        # logits up to a constant, which softmax does not see
        sure = compute_confidence(np.log(outcomes.probabilities), member.temperature) >= member.threshold
        reached = reached & ~sure
        shares.append(float(reached.mean()))
    assert cascaded.predictions.tolist() == expected.tolist()
    assert run.make_handle("fast").passed_on == pytest.approx(shares)
    assert run.make_handle("pruned").passed_on is None


def test_an_ensembles_answer_is_the_weighted_mean_of_all_models(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{PRUNED: PRUNED + ENSEMBLE})
    artifact = run.build("both").artifact
    facts = describe_cascade(artifact, None)
    assert facts is not None
    [weight] = facts.weights
    assert 0 < weight < 1
    assert facts.thresholds[0] > 1.0  # so that a probability that rounds to 1 is passed on too
    assert facts.selection is None
    scores = []
    for name in ("shorter", "teacher"):
        outcomes = run.measure_outcomes(name)
        assert isinstance(outcomes, ClassOutcomes)
        scores.append(np.log(outcomes.probabilities))
    mean = np.exp((1 - weight) * scores[0] + weight * scores[1])
    ensemble = run.measure_outcomes("both")
    assert isinstance(ensemble, ClassOutcomes)
    np.testing.assert_allclose(ensemble.probabilities, mean / mean.sum(1, keepdims=True), atol=1e-5)
    assert run.make_handle("both").passed_on == [1.0]


def test_thresholds_of_an_ensemble_are_chosen_for_the_means(tmp_path: Path) -> None:
    table = CASCADE.replace("drop_points = 3", "drop_points = 3, ensemble = true")
    run = make_tiny_run(tmp_path, **{PRUNED: PRUNED + table, "selection = 16": "selection = 32"})
    names = ("pruned", "shorter", "teacher")
    members = read_cascade(run.build("fast").artifact.folder).members
    answers = [selection_answers(run, name) for name in names]
    means, weights = average_answers(answers)
    gates = choose_deferral_rules(means, 3.0)
    assert [member.weight for member in members] == pytest.approx(weights)
    assert [member.threshold for member in members[:-1]] == pytest.approx([gate.threshold for gate in gates])
    assert [member.temperature for member in members[:-1]] == pytest.approx(
        [gate.temperature for gate in gates]
    )
    assert not all(member.weight in (0.0, 1.0) for member in members[1:])


def selection_answers(run: SuiteRun, name: str) -> SelectionAnswers:
    """What a model says of the selection rows, by the network itself."""
    artifact, rows = run.build(name).artifact, run.rows.splits["selection"]
    task = run.suite.setup.task
    encoded = task.object.row_encoder(task.params, artifact.folder)(rows)
    predictor = eager.load(artifact.folder, eager.Params(), device="cpu", threads=1)
    scores = predict_scores(predictor, encoded, batch_size=16, batch_tokens=None)
    predictor.close()
    outcomes = task.object.outcomes(run.rows.facts, rows, scores, task.params, None)
    assert isinstance(outcomes, ClassOutcomes)
    return SelectionAnswers(scores, outcomes.labels, outcomes.right > 0)


def test_its_size_is_the_sum_of_its_models(run: SuiteRun) -> None:
    built = {name: run.build(name).artifact.manifest for name in ("fast", "pruned", "shorter", "teacher")}
    for key in ("bytes", "parameters", "nonzero_parameters"):
        assert built["fast"][key] == sum(built[name][key] for name in ("pruned", "shorter", "teacher"))


def test_the_record_says_when_each_model_answers(run: SuiteRun) -> None:
    artifact = run.build("fast").artifact
    facts = describe_cascade(artifact, [0.5, 0.25])
    assert facts is not None
    assert facts.selection.rows == 16
    assert facts.selection.lost_points <= 3.0
    assert len(facts.thresholds) == len(facts.temperatures) == 2
    assert describe_cascade(run.build("pruned").artifact, None) is None
    assert artifact.manifest["parents"] == [
        run.build(name).artifact.digest for name in ("pruned", "shorter", "teacher")
    ]


def test_timed_calls_take_rows_by_turns_the_same_for_all_models(run: SuiteRun) -> None:
    run.measure_outcomes("fast")  # so that its handle knows which rows it passed on
    cascade, teacher = run.make_workload("fast", Workload(1)), run.make_workload("teacher", Workload(1))
    assert len(cascade.timed) == len(teacher.timed) == 60
    for batch, other in zip(cascade.timed, teacher.timed, strict=True):
        assert batch["input_ids"].tolist() == other["input_ids"].tolist()
    assert len(run.make_workload("fast", Workload(32)).timed) == 1
    handle = run.make_handle("fast")
    call = handle.prepare_call(*cascade.timed)
    for _ in range(60):
        call()
    assert isinstance(handle.predictor, CascadePredictor)
    assert handle.predictor.passed_on == pytest.approx(run.make_handle("fast").passed_on)
    handle.close()


def test_a_suite_without_a_cascade_times_one_batch(tmp_path: Path) -> None:
    assert make_tiny_run(tmp_path).make_workload("teacher", Workload(1)).turns == ()


def test_a_given_threshold_reads_no_rows_and_is_in_the_key(tmp_path: Path) -> None:
    def artifact(threshold: str) -> Any:
        table = f'fast = {{ cascade = {{ models = ["shorter", "teacher"], threshold = {threshold} }} }}\n'
        return make_tiny_run(tmp_path, **{PRUNED: PRUNED + table}).build("fast").artifact

    first, same, other = artifact("0.9"), artifact("0.9"), artifact("[0.8]")
    assert first.digest == same.digest != other.digest
    assert same.entry.from_store
    assert not other.entry.from_store
    assert first.manifest["log"]["cascade"] == {
        "models": ["shorter", "teacher"],
        "thresholds": [0.9],
        "temperatures": [1.0],
    }


def test_models_with_different_tokenizers_each_read_their_own(tmp_path: Path) -> None:
    trimmed = "trimmed = { steps = [{ trim_vocabulary = { vocab_size = 20 } }] }\n"
    table = 'fast = { cascade = { models = ["trimmed", "teacher"], threshold = 1.0 } }\n'
    run = make_tiny_run(tmp_path, **{PRUNED: PRUNED + trimmed + table})
    members = read_cascade(run.build("fast").artifact.folder).members
    assert [member.inputs for member in members] == [0, 1]
    cascaded, teacher = run.measure_outcomes("fast"), run.measure_outcomes("teacher")
    assert isinstance(cascaded, ClassOutcomes)
    assert isinstance(teacher, ClassOutcomes)
    assert run.make_handle("fast").passed_on == [1.0]
    np.testing.assert_allclose(cascaded.probabilities, teacher.probabilities, atol=1e-5)
    handle, batch = run.make_handle("fast"), run.make_workload("fast", Workload(2)).inputs
    assert {"input_ids", "1.input_ids"} <= batch.keys()
    assert handle.prepare_call(batch)() is not None


def test_tokenizers_that_only_cut_and_pad_otherwise_are_one(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("cuts", "whole", "other")]
    for folder, rules in zip(
        folders, ({"truncation": {"max_length": 8, "direction": "Right"}}, {"padding": None}, {}), strict=True
    ):
        folder.mkdir()
        content = {"model": {"vocab": {"a": 0 if folder.name != "other" else 1}}, **rules}
        (folder / "tokenizer.json").write_text(json.dumps(content))
        (folder / "tokenizer_config.json").write_text("{}")
    cuts, uncut, other = map(digest_tokenizer, folders)
    assert cuts == uncut != other
    (folders[1] / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert digest_tokenizer(folders[1]) != cuts
    left = {"model": {"vocab": {"a": 0}}, "truncation": {"max_length": 8, "direction": "Left"}}
    (folders[2] / "tokenizer.json").write_text(json.dumps(left))
    assert digest_tokenizer(folders[2]) != cuts


def test_a_tokenizer_reads_only_rows_that_reach_its_model(tmp_path: Path) -> None:
    trimmed = "trimmed = { steps = [{ trim_vocabulary = { vocab_size = 20 } }] }\n"
    plain = make_tiny_run(tmp_path, **{PRUNED: PRUNED + trimmed})
    first = plain.measure_outcomes("trimmed")
    assert isinstance(first, ClassOutcomes)
    assert first.probabilities is not None
    middle = float(np.median(first.probabilities.max(axis=1)))
    models = 'models = ["trimmed", "teacher", "shorter"]'  # the last two share a tokenizer
    table = f"fast = {{ cascade = {{ {models}, threshold = {middle}, ensemble = true }} }}\n"
    run = make_tiny_run(tmp_path, **{PRUNED: PRUNED + trimmed + table})
    handle, folder = run.make_handle("fast"), run.build("fast").artifact.folder
    assert handle.prepare_call(run.make_workload("fast", Workload(1)).inputs)() is not None
    rows, judged = Rows(run.rows.gate.table), run.measure_outcomes("fast")
    [read] = read_texts(
        [make_texts(run.suite.setup.task, folder, rows, lengths=[1] * len(rows), tokens=None)]
    )
    seen = list[list[str]]()

    def note(encode: Callable[[Rows], Encoded]) -> Callable[[Rows], Encoded]:
        return lambda batch: (seen.append(batch.ids), encode(batch))[1]

    predictor = handle.predictor
    assert isinstance(predictor, CascadePredictor)
    predictor.forget()
    scores = replace(read, encoders=[note(encoder) for encoder in read.encoders]).answer(predictor)
    assert isinstance(judged, ClassOutcomes)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(shares / shares.sum(1, keepdims=True), judged.probabilities, atol=1e-5)
    unsure = first.probabilities.max(axis=1) < middle
    assert seen == [
        rows.ids,
        [row_id for row_id, is_unsure in zip(rows.ids, unsure, strict=True) if is_unsure],
    ]
    assert predictor.passed_on == pytest.approx(run.make_handle("fast").passed_on)
    handle.close()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            '{ models = ["shorter", "teachr"] }',
            '[variants.fast.cascade] models: "teachr": no such variant. Did you mean teacher?',
        ),
        (
            '{ models = ["shorter", "fast"] }',
            '"fast" is the cascade itself; name the models that it is made of',
        ),
        ('{ models = ["shorter"] }', "models = ['shorter'] was given, expected two or more different models"),
        ('{ models = ["shorter", "shorter"] }', "expected two or more different models"),
        (
            '{ models = ["shorter", "teacher"], threshold = [0.9, 0.8] }',
            "2 thresholds were given, expected 1",
        ),
        ('{ models = ["shorter", "teacher"], threshold = 0.9, drop_points = 1 }', "drop_points is only for"),
        ('{ models = ["shorter", "teacher"], threshold = 1.5 }', "threshold: 1.5 was given, expected"),
        (
            '{ models = ["shorter", "teacher"] }, steps = [{ keep_layers = [0] }]',
            "cascade and steps were given",
        ),
        ('{ models = ["shorter", "teacher"] }, from = "shorter"', "cascade and from were given"),
        ('["shorter", "teacher"]', "expected a table, such as { models"),
    ],
)
def test_what_a_cascade_cannot_be_is_one_clear_error(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(SuiteError) as error:
        make_tiny_run(tmp_path, **{PRUNED: PRUNED + f"fast = {{ cascade = {table} }}\n"})
    assert message in str(error.value)
    assert str(error.value).startswith("suite.toml [variants.fast")


def test_a_nested_cascade_or_one_without_selection_is_refused(tmp_path: Path) -> None:
    outer = CASCADE + 'outer = { cascade = { models = ["pruned", "fast"] } }\n'
    with pytest.raises(SuiteError, match='"fast" is a cascade too; name its models here'):
        make_tiny_run(tmp_path, **{PRUNED: PRUNED + outer})
    with pytest.raises(SuiteError, match=r"cascade\] threshold: is chosen on rows of the split selection"):
        make_tiny_run(tmp_path, **{PRUNED: PRUNED + CASCADE, "selection = 16": "selection = 0"})
    message = r"cascade\] ensemble: its weights are chosen on .* or leave ensemble out"
    for table, more in (
        (ENSEMBLE, ""),
        (ENSEMBLE.replace("threshold = 1.0, ", ""), " and give threshold = 0.9"),
    ):
        with pytest.raises(SuiteError, match=f"{message}{more}$"):
            make_tiny_run(tmp_path, **{PRUNED: PRUNED + table, "selection = 16": "selection = 0"})
    step = CASCADE + 'more = { from = "fast", steps = [{ keep_layers = [0] }] }\n'
    with pytest.raises(SuiteError, match="cannot start from an artifact of kind cascade"):
        make_tiny_run(tmp_path, **{PRUNED: PRUNED + step})


def test_a_user_of_onnxruntime_and_pytorch_may_mix_them(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph = 'graph = { from = "shorter", steps = [{ to_onnx = {} }] }\n'
    table = 'fast = { cascade = { models = ["graph", "teacher"], threshold = 0.7 } }\n'
    calibrated = {"calibration = 0": "calibration = 8"}
    run = make_tiny_run(tmp_path, **{PRUNED: PRUNED + graph + table, **calibrated})
    cascade = read_cascade(run.build("fast").artifact.folder)
    assert [member.runtime for member in cascade.members] == ["onnxruntime", "eager"]
    assert set(onnxruntime.packages) <= cascade.packages.keys()
    assert json.loads(cascade.model_dump_json())["members"][0]["params"]["left_out"] == [
        "SkipLayerNormFusion"
    ]
    assert len(run.measure_outcomes("fast")) == 60


def test_tasks_without_class_probabilities_of_a_row_are_refused(tmp_path: Path) -> None:
    changed = {
        'kind = "text_classification"': 'kind = "text_regression"',
        'label = "label"': 'score = "label"',
    }
    with pytest.raises(SuiteError, match="task text_regression has no class probabilities") as error:
        make_tiny_run(tmp_path, **{PRUNED: PRUNED + CASCADE}, **changed)
    assert "tasks for cascades: text_classification" in str(error.value)


def test_an_endpoint_is_no_part_of_a_cascade() -> None:
    """Tasks for endpoints have no class probabilities, so the task is refused first."""
    from slimgate.plugins.loading import load_plugins
    from slimgate.suite.checks import CLASS_SCORES

    able = [task for task in load_plugins("task").values() if task.takes_endpoints and task.answer is None]
    assert not [task for task in able if task.provides() >= CLASS_SCORES]
