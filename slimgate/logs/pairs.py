"""Pairs the samples of a task in two logs by their ids, and checks that the logs can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from slimgate.budgets.base import ANSWER_LENGTH
from slimgate.errors import DataError
from slimgate.judge.named_scores import SHARE, Range, find_known_direction
from slimgate.judge.score_metric import ANSWER, SEVERAL_RUNS
from slimgate.logs.answer_columns import AnswerChecks, compare_answers
from slimgate.logs.columns import Samples, digest_column, read_samples
from slimgate.logs.compared_settings import compare_keys, compare_settings, is_same_version
from slimgate.logs.pair_notes import (
    ALL_SAMPLES,
    describe_missing_samples,
    describe_not_numbers,
    describe_one_sided,
    describe_surplus,
    describe_truncated,
    format_place,
    list_metrics,
)
from slimgate.logs.predictions.codes import find_ids, match_ids
from slimgate.logs.predictions.files import format_examples
from slimgate.logs.row_groups import digest_documents, share_groups
from slimgate.logs.rules import Differences, Rules
from slimgate.logs.several_runs import drop_seeds, join_samples, list_tasks, select_tasks_of_all
from slimgate.outcomes import Ints
from slimgate.plugins.reader import (
    FILTERS,
    TASKS,
    CorpusKind,
    Log,
    TaskLog,
    split_epoch,
)


@dataclass(frozen=True, eq=False)
class PairedTask:
    """One task in both logs, as one filter of the tool scored it.

    base_rows, target_rows: (rows,) positions of the same samples in `base` and in `target`.
    only_base, only_target: how many samples only one log has.
    not_run: how many samples the target has yet to run.
    higher_is_better, known_directions: as in TaskLog.
    metrics: those with scores in both logs.
    base_alone: metrics with scores in the base only.
    corpus: how the scores of all samples are combined, for metrics that are a ratio of two sums.
    ranges: of the metrics whose range is known.
    length_in: the unit of answer lengths, such as "completion tokens".
    contents: name in PER_SAMPLE -> a digest of what all samples of the base hold; under "answer" of what the
        model wrote, if it wrote the answers.
    """

    task: str
    filter: str
    base: Samples
    target: Samples
    base_rows: Ints
    target_rows: Ints
    only_base: int
    only_target: int
    not_run: int
    higher_is_better: Mapping[str, bool]
    metrics: tuple[str, ...]
    base_alone: tuple[str, ...] = ()
    corpus: Mapping[str, CorpusKind] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    length_in: str | None = None
    known_directions: Mapping[str, bool] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)


def list_shared_tasks(base: Log, target: Log, differences: Differences) -> list[str]:
    """The tasks that both logs have. Raises DataError if there are none.

    differences: gets the tasks that only one log has.
    """
    base, target = (select_tasks_of_all(log, differences) for log in (base, target))
    shared = [name for name in base.tasks if name in target.tasks]
    lacking = [
        f"{log.shown} lacks {list_tasks(names)}"
        for log, names in (
            (target, [name for name in base.tasks if name not in target.tasks]),
            (base, [name for name in target.tasks if name not in base.tasks]),
        )
        if names
    ]
    if not shared and "" in {**base.tasks, **target.tasks}:
        named = list_tasks([name for name in (*base.tasks, *target.tasks) if name])
        raise DataError(
            f"{base.shown} (log of {base.tool}) and {target.shown} (log of {target.tool}) have no task "
            "name in common: a table without a column task names no task; expected two logs of one tool, "
            f"or a table whose column task has {named}"
        )
    if not shared:
        raise DataError(f"no task in common: {'; '.join(lacking)}")
    for text in lacking:
        differences.add(TASKS, "", text)
    return shared


def pair_task(name: str, base: Log, target: Log, rules: Rules, differences: Differences) -> list[PairedTask]:
    """Pairs the samples of a task, with an entry for each filter that both logs have.

    differences: gets everything that must be the same in both logs and is not.
    """
    tasks = base.tasks[name], target.tasks[name]
    compare_settings(name, *tasks, rules, differences, same_version=is_same_version(base, target))
    is_written = all(task.written for task in tasks)
    checks = rules.checks if is_written and not (base.further or target.further) else None
    lacking: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
    before, after = (
        _read_runs(name, log, rules, checks, differences, lines)
        for log, lines in zip((base, target), lacking, strict=True)
    )
    _report_lacking(name, lacking, rules, differences)
    filters = _list_shared_filters(name, before, after, differences)
    metrics = [
        metric for filter_ in filters for metric in before[filter_].scores if metric in after[filter_].scores
    ]
    better = _join_directions(name, base, target, list(dict.fromkeys(metrics)), differences)
    pairs = (
        _pair_samples(
            name,
            filter_,
            before.pop(filter_),
            after.pop(filter_),
            better,
            rules,
            differences,
            is_written=tasks[0].written,
        )
        for filter_ in filters
    )
    paired_tasks: list[PairedTask] = []
    for paired in pairs:
        if paired is not None:
            _refuse_unequal_epochs(format_place(name, paired.filter), paired.base, differences)
            paired_tasks.append(_add_task_facts(paired, tasks, checks, differences.notes))
    return paired_tasks


def _add_task_facts(
    paired: PairedTask, tasks: tuple[TaskLog, TaskLog], checks: AnswerChecks | None, notes: list[str]
) -> PairedTask:
    """Adds what both logs say of the whole task, and the columns of checked answers."""
    base, target = tasks
    known = replace(
        paired,
        corpus={**target.corpus, **base.corpus},
        known_directions={**target.known_directions, **base.known_directions},
    )
    return known if checks is None else _add_behaviour(known, tasks, checks, notes)


def _list_shared_filters(
    name: str, before: Mapping[str, Samples], after: Mapping[str, Samples], differences: Differences
) -> list[str]:
    """The filters that both logs have. differences: gets those that only one log has."""
    filters = [filter_ for filter_ in before if filter_ in after]
    if lone := sorted(set(before) ^ set(after)):
        text = f"filter {', '.join(map(repr, lone))} is in only one of the logs"
        if filters:
            differences.add(FILTERS, name, text)
        else:
            differences.refuse(name, text)
    return filters


def _refuse_unequal_epochs(where: str, samples: Samples, differences: Differences) -> None:
    """Refuses a log with more epochs of some samples than of others: these would weigh more."""
    if not samples.has_epochs:
        return
    numbers = samples.sample_numbers
    epochs = np.bincount(numbers)
    if epochs.min() == epochs.max():
        return
    names = [
        split_epoch(samples.ids[int(np.argmax(numbers == sample))].as_py())[0]
        for sample in (epochs.argmax(), epochs.argmin())
    ]
    differences.refuse(
        where,
        f'sample "{names[0]}" has {epochs.max():,} epochs in the base\'s log, and "{names[1]}" has '
        f"{epochs.min():,}; expected the same number of each sample, because all epochs have the same "
        "weight; run the missing epochs, or leave the others out",
    )


def _join_directions(
    name: str, base: Log, target: Log, metrics: Sequence[str], differences: Differences
) -> dict[str, bool]:
    """Whether each metric is better when higher, as any run states it. Runs that differ are refused.

    A run that does not state it has the usual direction of the name, if there is one. metrics: those that are
    compared.
    """
    tasks = [run.tasks[name] for log in (target, base) for run in (*log.further, log)]
    joined = {metric: better for task in tasks for metric, better in task.higher_is_better.items()}
    for metric in filter(joined.__contains__, metrics):
        better = joined[metric]
        stated = [task.higher_is_better.get(metric) for task in tasks]
        direction, opposite = ("higher", "lower") if better else ("lower", "higher")
        text = f"metric {metric} is better when {direction} in one log"
        if (not better) in stated:
            differences.refuse(name, f"{text} and not in the other")
        elif None in stated and find_known_direction(metric) is (not better):
            differences.refuse(
                name,
                f"{text}, the other does not state it, and by its name it is better when {opposite}; state "
                "it in both logs",
            )
    return joined


def _add_behaviour(
    paired: PairedTask, tasks: tuple[TaskLog, TaskLog], checks: AnswerChecks, notes: list[str]
) -> PairedTask:
    """Adds metrics of how the answers behave, such as their length. A metric of the log keeps its name."""
    before, after = paired.base.behaviour, paired.target.behaviour
    assert before is not None
    assert after is not None
    answers = compare_answers(before, after, tasks, checks)
    names = [name for name in answers.base if name not in paired.metrics]
    if ANSWER_LENGTH in names:
        where = format_place(paired.task, paired.filter) or ALL_SAMPLES
        notes.append(f"{where}: {ANSWER_LENGTH} counts {answers.length_in}")
    base, target = (
        replace(
            samples,
            scores={**samples.scores, **{name: scores[name] for name in names}},
            empty=samples.empty
            and {**samples.empty, **{name: np.flatnonzero(np.isnan(scores[name])) for name in names}},
        )
        for samples, scores in ((paired.base, answers.base), (paired.target, answers.target))
    )
    return replace(
        paired,
        base=base,
        target=target,
        metrics=(*paired.metrics, *names),
        higher_is_better={**paired.higher_is_better, **dict.fromkeys(names, False)},
        ranges={name: SHARE if name != ANSWER_LENGTH else answers.length_range for name in names},
        length_in=answers.length_in if ANSWER_LENGTH in names else None,
    )


def _report_lacking(
    name: str,
    lacking: tuple[Mapping[str, list[str]], Mapping[str, list[str]]],
    rules: Rules,
    differences: Differences,
) -> None:
    """Adds what the logs lack of the samples that they list. lacking: by filter the lines of each side.

    What one log lacks is missing in its pairs, and counted there. What both lack is in no pair, so only
    `--missing` accepts it.
    """
    for filter_ in dict.fromkeys([*lacking[0], *lacking[1]]):
        sides, where = [lines.get(filter_, []) for lines in lacking], format_place(name, filter_)
        if all(sides) and rules.missing == "fail":
            differences.add_missing(where, "; ".join(dict.fromkeys([*sides[0], *sides[1]])))
        else:
            differences.notes += [f"{where}: {line}" for lines in sides for line in lines]


def _read_runs(
    name: str,
    log: Log,
    rules: Rules,
    checks: AnswerChecks | None,
    differences: Differences,
    lacking: dict[str, list[str]],
) -> dict[str, Samples]:
    """Reads all runs of one side, which must share their settings: its samples, by filter.

    lacking: gets, by filter, the lines on samples that a run lists and does not contain.
    """
    runs = []
    for run in (log, *log.further):
        samples = read_samples(f"{run.shown} {name}".rstrip(), run.tasks[name], rules.slices, checks)
        differences.notes += describe_surplus(name, run, samples)
        for filter_, of_filter in samples.items():
            if lines := describe_missing_samples(run, run.tasks[name], of_filter):
                lacking.setdefault(filter_, []).extend(lines)
        runs.append(samples)
        if run is log:
            continue
        where = f"{name} ({run.shown} beside {log.shown})".lstrip()
        compare_settings(
            where,
            drop_seeds(log.tasks[name]),
            drop_seeds(run.tasks[name]),
            rules,
            differences,
            same_version=is_same_version(log, run),
        )
        if set(samples) != set(runs[0]):
            differences.refuse(where, f"filters {', '.join(map(repr, sorted(set(samples) ^ set(runs[0]))))}")
            continue
        for filter_, first in runs[0].items():
            rows = _match_samples(first, samples[filter_])
            place = format_place(where, filter_)
            compare_keys(place, first, samples[filter_], *rows, differences)
            share_groups(place, first, samples[filter_], *rows, differences)
    return {
        filter_: join_samples([samples[filter_] for samples in runs if filter_ in samples])
        for filter_ in [*runs[0]]
    }


def _pair_samples(
    name: str,
    filter_: str,
    base: Samples,
    target: Samples,
    better: Mapping[str, bool],
    rules: Rules,
    differences: Differences,
    *,
    is_written: bool,
) -> PairedTask | None:
    """Pairs the samples under one filter. None if they share no sample or no metric, which is refused."""
    where = format_place(name, filter_)
    base_rows, target_rows = _match_samples(base, target)
    if not len(base_rows):
        differences.refuse(
            where, f"no sample in common: {format_examples(base.ids)} and {format_examples(target.ids)}"
        )
        return None
    compare_keys(where, base, target, base_rows, target_rows, differences)
    base, target = share_groups(where, base, target, base_rows, target_rows, differences)
    metrics = tuple(metric for metric in base.scores if metric in target.scores)
    if not metrics:
        names = [list_metrics(samples) for samples in (base, target)]
        differences.refuse(where, f"no metric in common: the base has {names[0]}, the target has {names[1]}")
        return None
    differences.notes += [
        *describe_one_sided(where, base, target),
        *describe_not_numbers(where, base, target),
        *describe_truncated(where, base, target),
    ]
    # a log that grows has not run the samples after its last one; it lacks those before as any other log
    run = int(base_rows.max()) + 1 if rules.analyses > 1 else len(base)
    return PairedTask(
        task=name,
        filter=filter_,
        base=_drop_matching_columns(base),
        target=_drop_matching_columns(target),
        base_rows=base_rows,
        target_rows=target_rows,
        only_base=run - len(base_rows),
        not_run=len(base) - run,
        only_target=len(target) - len(target_rows),
        higher_is_better=better,
        metrics=metrics,
        base_alone=tuple(metric for metric in base.scores if metric not in target.scores),
        contents=_digest_contents(base, is_written=is_written),
    )


def _digest_contents(samples: Samples, *, is_written: bool) -> dict[str, str]:
    """A digest of each key of all samples, and of their answers. The order of the rows does not matter.

    is_written: whether the model wrote the answers; else they are left out. For several runs, the text is a
    constant, because the number of runs may change between releases.
    """
    contents = {name: digest_column(column[samples.order]) for name, column in samples.keys.items()}
    wrote = samples.answers if samples.responses is None else samples.responses
    if is_written and samples.same_answers is not None:
        contents[ANSWER] = SEVERAL_RUNS
    elif is_written and wrote is not None:
        contents[ANSWER] = digest_column(wrote[samples.order])
    return contents


def _drop_matching_columns(samples: Samples) -> Samples:
    """Drops the columns that only the matching needs. With millions of rows they take most of the memory."""
    return replace(samples, order=samples.order[:0].copy(), keys={}, documents=digest_documents(samples))


def _match_samples(base: Samples, target: Samples) -> tuple[Ints, Ints]:
    """Positions in base and in target of the samples that both have, in the order of the base."""
    order = match_ids(base.ids, base.order, target.ids, target.order)
    if order is not None:
        return np.arange(len(base)), order
    places = find_ids(base.ids, target.ids)
    rows = np.flatnonzero(places >= 0)
    return rows, places[rows]
