"""The plan of a run as lines of a terminal, and the lines about budgets in the head of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from slimgate._system.escape import escape_invisible
from slimgate._system.number_text import MEGABYTE, MISSING
from slimgate.judge.power import Word
from slimgate.plugins import loading
from slimgate.plugins.rows import CONFIRM
from slimgate.record.run import RunRecord
from slimgate.report.terminal.progress import format_long_duration
from slimgate.report.terminal.summary import Line, make_terminal_table, wrap_text
from slimgate.results.checks import TEACHER
from slimgate.run.budget_plan import count_gate_groups, plan_budgets
from slimgate.run.duels import TIMES_FOR_BUDGET
from slimgate.run.past_times import Estimate
from slimgate.run.plan import PlannedModel, plan_models
from slimgate.run.run import SuiteRun
from slimgate.run.slice_plan import plan_slices
from slimgate.suite.budget_units import find_doubtful_budgets
from slimgate.suite.suite import Suite

UNKNOWN = "?"
_STYLES: dict[Word, str] = {
    "can decide": "green",
    "may decide": "yellow",
    "cannot decide": "red",
    "unknown": "",
}
_ANSWERS: dict[Word, str] = {
    "can decide": "yes",
    "may decide": "perhaps",
    "cannot decide": "NO",
    "unknown": UNKNOWN,
}


def list_plan_lines(run: SuiteRun, earlier: RunRecord | None, *, width: int | None = None) -> Iterator[Line]:
    """The plan of one suite. Cuts the splits if they are not cut yet; builds nothing.

    earlier: the record of a run that judged the same rows; width: of the terminal, if there is one.
    """
    suite, models = run.suite, plan_models(run)
    sizes = ", ".join(f"{name} {report.n:,}" for name, report in run.rows.reports.items())
    yield from _wrap_lines([f"{suite.shown}: {suite.title}", f"rows: {sizes}"], width)
    yield [("", "")]
    yield from make_terminal_table(
        [_make_plan_row(model) for model in models],
        ["" if model.error is None else "red" for model in models],
        width=width,
    )
    yield [("", "")]
    errors = [f"{model.name} cannot be built: {model.error}" for model in models if model.error is not None]
    yield from _wrap_lines(errors, width)
    yield from _wrap_lines(_list_total_times(models), width)
    yield from _wrap_lines(_describe_measuring(suite), width)
    yield from _wrap_lines(_describe_duration(earlier), width)
    yield from _list_budget_lines(run, earlier, width)
    yield from _wrap_lines(find_doubtful_budgets(suite), width)
    yield from _wrap_lines(_list_confirm_lines(run), width)
    slices = plan_slices(suite, run.rows.gate)
    yield from _wrap_lines((f"{part.line}, for {', '.join(part.variants)}" for part in slices), width)


def _wrap_lines(texts: Iterable[str], width: int | None) -> Iterator[Line]:
    """Texts as lines of the terminal, with invisible characters escaped. Continued lines are indented."""
    for text in texts:
        yield from wrap_text(escape_invisible(text), width, "  ")


def _list_budget_lines(run: SuiteRun, earlier: RunRecord | None, width: int | None) -> Iterator[Line]:
    """The table of the planned budgets, after an empty line; nothing without budgets."""
    budgets = plan_budgets(run.suite, count_gate_groups(run.suite, run.rows), earlier)
    if not budgets:
        return
    rows = [
        {
            "budget": f"{budget.metric} {budget.kind} {budget.limit:g}",
            "variants": budget.names,
            "gate rows needed": budget.takes,
            "basis": budget.basis,
            "can the gate rows decide it?": f"{budget.gate}: {_ANSWERS[budget.word]}",
        }
        for budget in budgets
    ]
    yield [("", "")]
    yield from make_terminal_table(rows, [_STYLES[budget.word] for budget in budgets], width=width)


def list_head_lines(run: SuiteRun, earlier: RunRecord | None, *, quiet: bool) -> Iterator[str]:
    """The head of a run: the budgets that the rows may be too few to decide.

    Unless quiet, also the slices that are too small, and whether the rows can decide every budget.
    """
    suite = run.suite
    gate = count_gate_groups(suite, run.rows)
    planned = plan_budgets(suite, gate, earlier)
    doubtful = [budget for budget in planned if budget.is_doubtful]
    yield from (f"{suite.shown}: {budget.line}" for budget in doubtful)
    yield from (f"{suite.shown}: {line}" for line in find_doubtful_budgets(suite))
    for slices in plan_slices(suite, run.rows.gate):
        if slices.decidable_count < len(slices.sizes) and not quiet:
            yield f"{suite.shown}: {slices.line}"
    if any(budget.is_decidable for budget in planned) and not doubtful and not quiet:
        assumption = "for a variant as good as the teacher"
        yield f"{suite.shown}: the {gate} can decide every budget on drops and flips, {assumption}"


def _list_confirm_lines(run: SuiteRun) -> Iterator[str]:
    """Whether the rows of split confirm can decide the budgets that they judge; empty without that split."""
    if CONFIRM not in run.rows.splits:
        return
    metrics = {metric for table in run.suite.budgets.values() for metric in table.quality}
    groups = count_gate_groups(run.suite, run.rows, CONFIRM)
    planned = [budget for budget in plan_budgets(run.suite, groups, None) if budget.metric in metrics]
    doubtful = [budget for budget in planned if budget.is_doubtful]
    yield from (f"confirm: {budget.line.replace('gate rows', 'rows')}" for budget in doubtful)
    if any(budget.is_decidable for budget in planned) and not doubtful:
        yield f"confirm: {str(groups).replace('gate rows', 'rows')} can decide every planned budget on a drop"


def _make_plan_row(model: PlannedModel) -> dict[str, str]:
    return {
        "model": model.name,
        "steps": escape_invisible(" -> ".join([model.start, *(step.name for step in model.steps)])),
        "MB": MISSING if model.bytes is None else f"{model.bytes / MEGABYTE:.1f}",
        "build s": _format_total_seconds([step.seconds for step in model.missing]),
        "predict s": MISSING if model.answered else _format_total_seconds([model.predicting]),
        "store": _format_store_state(model),
    }


def _format_store_state(model: PlannedModel) -> str:
    if model.error is not None:
        return "cannot be built"
    if model.missing:
        return f"to build, from {escape_invisible(model.missing[0].name)} on"
    return "in the store, with its answers" if model.answered else "in the store, no answers yet"


def _format_total_seconds(parts: Sequence[Estimate | None]) -> str:
    """`12` or `~39 + ?`: the sum of the known times, and a mark for unknown ones."""
    known = [part for part in parts if part is not None]
    estimates = [str(_sum_estimates(known))] if known else []
    return " + ".join([*estimates, *([UNKNOWN] if len(known) < len(parts) else [])]) or MISSING


def _sum_estimates(known: Sequence[Estimate]) -> Estimate:
    return Estimate(
        sum(estimate.seconds for estimate in known),
        of_other_model=any(estimate.of_other_model for estimate in known),
    )


def _list_total_times(models: Sequence[PlannedModel]) -> Iterator[str]:
    """The times of all work together, each piece once, because models share steps."""
    steps = {step.recipe: step.seconds for model in models for step in model.missing}
    answers = {model.recipe: model.predicting for model in models if not model.answered}
    parts = [*steps.values(), *answers.values()]
    if not parts:
        yield "nothing to build or to predict: the store has everything"
        return
    known = [estimate for estimate in parts if estimate is not None]
    unknown = len(parts) - len(known)
    times: list[str] = []
    if known:
        times.append(f"about {format_long_duration(_sum_estimates(known).seconds)}, as in earlier runs")
    if unknown:
        times.append(f"{unknown} times unknown ({UNKNOWN}), because no earlier run measured them")
    yield f"{len(steps)} steps to build, {len(answers)} models to predict with: {'; '.join(times)}"
    if any(estimate.of_other_model for estimate in known):
        yield "~: time of the same step on another model, with the same options and number of rows"


def _describe_measuring(suite: Suite) -> Iterator[str]:
    """What is measured, and how much time [measure] allows for it."""
    count, workloads = len(suite.timed) - (TEACHER in suite.timed), len(suite.workloads)
    checks = f"{len(suite.metrics)} metrics, behaviour"
    if suite.timed:
        seconds = suite.measure.max_seconds * (workloads * (2 * count + 1) / 2 + TIMES_FOR_BUDGET)
        timing = f"timing takes about {format_long_duration(seconds)} on a quiet machine, without loading"
        checks += f", size, {workloads} workloads; {timing}"
    yield f"measured for each variant: {checks}"
    if any(budgets.behaviour.tokens for budgets in suite.budgets.values()):
        yield (
            "budgets on next tokens: the teacher and each variant predict the gate rows once more, more "
            "slowly than before"
        )
    if suite.measurements:
        names = dict.fromkeys(name for _, name in suite.measurements)
        readings = {name: loading.load("measurement", name).readings for name in names}
        each = ", ".join(f"{name}, {2 * number} readings" for name, number in readings.items())
        yield f"measurements of each variant that has a budget on them, in turns with {TEACHER}: {each}"
    yield from _describe_loads(suite)
    if len(suite.seeds) > 1:
        count = len(suite.seeds)
        yield f"the table is of seed {suite.seed}; variants with random steps are built for {count} seeds"


def _describe_loads(suite: Suite) -> Iterator[str]:
    """What is sent to servers under load: a line for each load; empty without loads."""
    for load in suite.loads if suite.loaded else ():
        if load.part != "answer":
            continue
        blocks = load.blocks + 1  # the first block warms up
        each = f"{blocks} turns of {load.requests:,} requests, and twice as many to {TEACHER}"
        if load.request_rate is None:
            time = "the servers decide how long that takes"
        else:
            seconds = len(suite.loaded) * 3 * blocks * load.requests / load.request_rate
            time = f"about {format_long_duration(seconds)} at {load.request_rate:g} requests a second"
        limits = {} if load.level is None else load.level.list_limits()
        level = ", ".join(f"{name} {limit:g}" for name, limit in limits.items())
        meaning_of_good = f"; a good request meets {level}" if level else ""
        yield f"load {load.id} of {', '.join(suite.loaded)}: {each}; {time}{meaning_of_good}"


def _describe_duration(earlier: RunRecord | None) -> Iterator[str]:
    run = None if earlier is None else earlier.this_run
    if earlier is not None and earlier.seconds is not None and (run is None or not run.missing):
        took = f"{format_long_duration(earlier.seconds)} in total, with the results that its store had"
        yield f"the run of {escape_invisible(earlier.created)} took {took}"
