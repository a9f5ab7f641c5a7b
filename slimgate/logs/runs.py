"""A log is one run; chooses the run of a log that holds several.

A folder may hold a run of January and another of February. The newest run is judged if it has every task that
the other log has, and if all runs are of one model. Runs of one model without a task in common are judged
together. Otherwise the command refuses and lists the runs, and `--run` chooses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from slimgate._system.json_text import convert_to_json
from slimgate.errors import DataError, list_names
from slimgate.logs.predictions.files import EXAMPLES
from slimgate.plugins.environments import join_environments
from slimgate.plugins.reader import SETTING_WORDS, SETTINGS, Log, Run, TaskLog

LATEST, EACH_TASK, ALL = "latest", "each-task", "all"
BASE, TARGET, REPEAT = "base", "target", "repeat"
SIDES = (BASE, TARGET, REPEAT)
# The side of a choice that does not name one.
ANY = ""
_MOST_RUNS = 6
# Of 2026-01-01T05:00:00-04:00, but not of the name 2026-01-01T05-04.
_WITH_OFFSET = re.compile(r"T\d\d:\d\d.*(Z|[+-]\d\d:?\d\d)$")


def make_log(tool: str, shown: str, runs: Sequence[Run]) -> Log:
    """The log of a file or folder. Raises DataError if its only run cannot be judged."""
    runs = sorted(runs, key=lambda run: convert_to_utc(run.time))
    if len(runs) > 1:
        return Log(tool, shown, {}, runs=tuple(runs))
    if not runs or runs[0].problem:
        raise DataError(f"{shown}: {runs[0].problem if runs else 'it has no run'}")
    return _take_run(Log(tool, shown, {}), runs[0])


def refuse_several_models(path: Path, runs: Iterable[Run]) -> None:
    """Raises DataError for a folder with runs of several models."""
    models = sorted({str(run.model) for run in runs})
    if len(models) > 1:
        raise DataError(
            f"{path}: runs of {len(models)} models ({', '.join(models[:EXAMPLES])}); give those of one model"
        )


def convert_to_utc(time: str) -> str:
    """A time with a UTC offset in UTC, so that times of several time zones sort; any other text as it is."""
    if _WITH_OFFSET.search(time) is None:
        return time
    try:
        return datetime.fromisoformat(time).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return time


def check_one_model(logs: Sequence[Log]) -> None:
    """Raises DataError for runs of one side that are of two models."""
    models = list(dict.fromkeys(log.model for log in logs if log.model is not None))
    if len(models) > 1:
        raise DataError(
            f"{' and '.join(log.shown for log in logs)}: the runs of one side must be of one model, but "
            f"these are of {' and '.join(models)}; give each model a separate --target"
        )


def parse_choices(texts: str | Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    """The run of each side, or of every side, which is "". Raises DataError for bad texts (`base=CHOICE`)."""
    expected = f"{LATEST}, {EACH_TASK}, {ALL} or the beginning of a time"
    return parse_by_side("run", texts, _parse_choice, expected)


def parse_by_side(
    option: str,
    texts: str | Mapping[str, str] | Iterable[str] | None,
    split: Callable[[str], tuple[str, str]],
    expected: str,
) -> dict[str, str]:
    """The choice of an option for each side, or for every side, which is "".

    Args:
        option: its name, which is also the noun of what it chooses.
        texts: from the command line, or by side.
        split: splits a text into its side and the choice.
        expected: the possible choices, for the message on an empty choice.

    Raises:
        DataError: for an unknown side, an empty choice, and a side that is given twice.
    """
    if not isinstance(texts, Iterable | None):
        raise DataError(f"--{option} {texts!r}: expected {expected}")
    if isinstance(texts, Mapping):
        pairs = [(str(side), str(choice)) for side, choice in texts.items()]
    else:
        pairs = [split(text) for text in ([texts] if isinstance(texts, str) else texts or ())]
    choices: dict[str, str] = {}
    for side, choice in pairs:
        shown = f"--{option} {side}={choice}" if side != ANY else f"--{option} {choice}"
        if side not in (ANY, *SIDES):
            raise DataError(f"{shown}: expected one of {', '.join(SIDES)} before the =")
        if not choice.strip():
            raise DataError(f"{shown}: expected {expected}")
        if side in choices:
            raise DataError(
                f"{shown}: {side or f'a {option} of every log'} was given twice, expected it once"
            )
        choices[side] = choice.strip()
    return choices


def _parse_choice(text: str) -> tuple[str, str]:
    side, separator, choice = text.partition("=")
    return (side.strip(), choice) if separator else (ANY, text)


def choose_runs(base: Log, target: Log, choices: Mapping[str, str]) -> tuple[Log, Log]:
    """Both logs with one run each. choices: from `parse_choices`.

    Raises DataError if a choice fits no run, or without a choice if more than one run may be meant.
    """
    if ANY in choices and not base.runs and not target.runs:
        _check_time_known(choices[ANY], (base, target))
    chosen_base, chosen_target = _choose_run(base, BASE, choices), _choose_run(target, TARGET, choices)
    chosen_base = chosen_base or _join_disjoint(base, chosen_target or target)
    chosen_target = chosen_target or _join_disjoint(target, chosen_base or base)
    problems = [
        *([] if chosen_base else _find_problems(base, BASE, chosen_target or target)),
        *([] if chosen_target else _find_problems(target, TARGET, chosen_base or base)),
    ]
    if problems:
        raise DataError("; and ".join(problems))
    return (
        _choose_further(chosen_base or _pick_run(base, BASE, base.runs[-1]), BASE, choices),
        _choose_further(chosen_target or _pick_run(target, TARGET, target.runs[-1]), TARGET, choices),
    )


def _choose_further(log: Log, side: str, choices: Mapping[str, str]) -> Log:
    """The log, in which each further log that holds several runs has one chosen run, or all runs."""
    further: list[Log] = []
    for folder in log.further:
        chosen = _choose_run(folder, side, choices) if folder.runs else folder
        if chosen is None and (problems := _find_problems(folder, side, log)):
            raise DataError("; and ".join(problems))
        chosen = chosen or _pick_run(folder, side, folder.runs[-1])
        further += [replace(chosen, further=()), *chosen.further]
    check_one_model([log, *further])
    return replace(log, further=tuple(further))


def choose_repeat(repeat: Log, base: Log, choices: Mapping[str, str]) -> Log:
    """The log of `--repeat` with one run. base: the log whose run was chosen before.

    Raises DataError if no run can be chosen.
    """
    choices = {side: choice for side, choice in choices.items() if side != ANY or repeat.runs}
    chosen = _choose_run(repeat, REPEAT, choices) or _join_disjoint(repeat, base)
    if chosen is None and (problems := _find_problems(repeat, REPEAT, base)):
        raise DataError("; and ".join(problems))
    return chosen or _pick_run(repeat, REPEAT, repeat.runs[-1])


def _choose_run(log: Log, side: str, choices: Mapping[str, str]) -> Log | None:
    """The log with the run that the user chose; None if there are several and no choice was given."""
    choice = choices.get(side, choices.get(ANY) if log.runs else None)
    if not log.runs:
        if choice is not None:
            _check_time_known(choice, (log,))
        return log
    if choice is None:
        return None
    if choice == LATEST:
        return _pick_run(log, side, log.runs[-1])
    if choice == EACH_TASK:
        return _join_newest(log)
    if choice == ALL:
        _require_one_model(log, log.runs, ALL)
        first, *rest = (_pick_run(log, side, run) for run in log.runs)
        further = tuple(replace(run, notes=(), further=()) for run in rest)
        return replace(first, notes=log.notes, further=(*further, *log.further))
    exact = [run for run in log.runs if _normalize_time(run.time) == _normalize_time(choice)]
    fitting = exact or [
        run for run in log.runs if _normalize_time(run.time).startswith(_normalize_time(choice))
    ]
    if len(fitting) != 1:
        count = f"{len(fitting)} runs begin with this time" if fitting else "no run begins with this time"
        raise DataError(f"--run {choice}: {count} in {log.shown}; it has {_list_runs(log.runs)}")
    return _pick_run(log, side, fitting[0])


def _check_time_known(choice: str, logs: Sequence[Log]) -> None:
    """Raises DataError for a time that does not belong to any log of one run."""
    if choice in (LATEST, EACH_TASK, ALL):
        return
    times = [log.time for log in logs if log.time is not None]
    if not any(_normalize_time(time).startswith(_normalize_time(choice)) for time in times):
        shown = " and ".join(f"{log.shown} ({log.time or 'of no known time'})" for log in logs)
        raise DataError(f"--run {choice}: no run of that time; there is one run in {shown}")


def _normalize_time(time: str) -> str:
    """Tools write 03:04:05 and, in names of files, 03-04-05."""
    return time.replace(":", "-").strip()


def _pick_run(log: Log, side: str, run: Run) -> Log:
    if run.problem:
        judgeable = [other for other in log.runs if not other.problem]
        hint = f", or choose {_describe_choices(side, judgeable)}" if judgeable else ""
        raise DataError(f"{log.shown}: run {run.time}: {run.problem}{hint}")
    rest = [other for other in log.runs if other is not run]
    note = (
        f"{log.shown}: it has {len(log.runs)} runs; the run of {run.time} is judged, not {_list_runs(rest)}"
    )
    return _take_run(replace(log, shown=f"{log.shown} (run {run.time})", notes=(*log.notes, note)), run)


def _take_run(log: Log, run: Run) -> Log:
    return replace(
        log,
        tasks=run.tasks,
        model=run.model,
        notes=(*log.notes, *run.notes),
        time=run.time or None,
        runs=(),
        environment=run.environment,
    )


def _join_disjoint(log: Log, other: Log) -> Log | None:
    """The tasks of all runs, if no two runs share a task: some programs call a tool once for each task.

    None if the newest run has every task of the other log, or if the runs may be of several models.
    """
    tasks = [task for run in log.runs for task in run.tasks]
    models = {run.model for run in log.runs}
    is_whole = not any(run.problem for run in log.runs) and len(set(tasks)) == len(tasks)
    if not is_whole or len(models) != 1 or None in models:
        return None
    lacking = [task for task in _list_all_tasks(other) if task not in log.runs[-1].tasks]
    return _join_newest(log) if lacking else None


def _find_problems(log: Log, side: str, other: Log) -> list[str]:
    """Why the newest run is not judged without a choice.

    It is unusable, it lacks a task of the other log, or the runs are of several models.
    """
    newest, models = log.runs[-1], _list_models(log.runs)
    lacking = [task for task in _list_all_tasks(other) if task not in newest.tasks]
    if not newest.problem and not lacking and len(models) < 2:
        return []
    why = newest.problem or (
        f"they are of {len(models)} models"
        if len(models) > 1
        else f"the newest lacks {_list_tasks(lacking)}, which {other.shown} has"
    )
    each = len(models) < 2 and any(run.tasks.keys() - newest.tasks.keys() for run in log.runs)
    judgeable = [run for run in log.runs if not run.problem]
    return [
        f"{log.shown} holds {len(log.runs)} runs: {_list_runs(log.runs, settings=True)}; {why}: choose one "
        f"by {_describe_choices(side, judgeable)}"
        + (f", or the newest run of each task by --run {side}={EACH_TASK}" if each else "")
    ]


def _list_all_tasks(log: Log) -> list[str]:
    """The tasks of all runs, so that no task is missed if a later run did not repeat it."""
    return list(dict.fromkeys([*log.tasks, *(task for run in log.runs for task in run.tasks)]))


def _describe_choices(side: str, runs: Sequence[Run]) -> str:
    """`--run target=2026-01-01T…` for the newest runs."""
    return " or ".join(f"--run {side}={run.time}" for run in list(reversed(runs))[:EXAMPLES])


def _join_newest(log: Log) -> Log:
    judgeable = [run for run in log.runs if not run.problem]
    if not judgeable:
        raise DataError(f"{log.shown}: {log.runs[-1].problem}")
    model = _require_one_model(log, judgeable, EACH_TASK)
    newest = {task: run for run in judgeable for task in run.tasks}
    tasks = {task: newest[task].tasks[task] for task in sorted(newest)}
    by_run: dict[str, list[str]] = {}
    for task in tasks:
        by_run.setdefault(newest[task].time, []).append(task)
    in_order = sorted(by_run, key=convert_to_utc)
    times = "; ".join(f"{_list_tasks(by_run[time])} of {time}" for time in in_order)
    notes = [f"{log.shown}: tasks of {len(by_run)} runs are judged: {times}"]
    notes += [f"{log.shown}: run {run.time} is left out: {run.problem}" for run in log.runs if run.problem]
    notes += [note for run in judgeable if run.time in by_run for note in run.notes]
    return replace(
        log,
        shown=f"{log.shown} (runs {', '.join(in_order)})",
        tasks=tasks,
        model=model,
        notes=(*log.notes, *notes),
        time=in_order[-1],
        runs=(),
        environment=join_environments(*(run.environment for run in judgeable if run.time in by_run)),
    )


def _list_models(runs: Sequence[Run]) -> list[str]:
    return sorted({run.model for run in runs if run.model is not None})


def _require_one_model(log: Log, runs: Sequence[Run], choice: str) -> str | None:
    """The model of the runs; None if they do not name it. Raises DataError if they are of several models."""
    models = _list_models(runs)
    if len(models) > 1:
        raise DataError(
            f"{log.shown}: its runs are of {len(models)} models ({', '.join(models[:EXAMPLES])}), and "
            f"--run {choice} joins only runs of one model; choose one run by --run"
        )
    return models[0] if models else None


def _list_runs(runs: Sequence[Run], *, settings: bool = False) -> str:
    """A text such as `2026-01-01T… (arc_easy, gsm8k), 2026-02-01T… (gsm8k; another chat template)`.

    settings: name the settings that changed, and the models if there are several.
    """
    shown = runs[-_MOST_RUNS:]
    has_models = settings and len(_list_models(runs)) > 1
    words = [
        _describe_run(run, runs[: runs.index(run)] if settings else (), run.model if has_models else None)
        for run in shown
    ]
    more = len(runs) - len(shown)
    return (f"{more} older and " if more else "") + ", ".join(words)


def _describe_run(run: Run, older: Sequence[Run], model: str | None) -> str:
    parts = ["no samples"]
    if run.tasks or not run.problem:
        parts = [_list_tasks(list(run.tasks)), *_describe_changed(run, older)]
    return f"{run.time} ({'; '.join([*parts, *([] if model is None else [f'model {model}'])])})"


def _describe_changed(run: Run, older: Sequence[Run]) -> list[str]:
    """`other shots and chat template` compared with the run before, on shared tasks; empty if all agree."""
    changed: dict[str, None] = {}
    for task, log in run.tasks.items():
        before = next((other.tasks[task] for other in reversed(older) if task in other.tasks), None)
        changed |= dict.fromkeys(_find_changed(before, log))
    words = [SETTING_WORDS.get(name, name) for name in SETTINGS if name in changed]
    return [f"other {' and '.join(words)} than before"] if words else []


def _find_changed(before: TaskLog | None, after: TaskLog) -> Collection[str]:
    if before is None:
        return ()
    old, new = convert_to_json(before.settings), convert_to_json(after.settings)
    return [name for name in SETTINGS if name in old and name in new and old[name] != new[name]]


def _list_tasks(names: Sequence[str]) -> str:
    return list_names([name or "its only task" for name in names], EXAMPLES)
