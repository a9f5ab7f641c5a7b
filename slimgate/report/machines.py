"""The speed-ups of one suite on several machines, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_significant
from slimgate.errors import DataError
from slimgate.record.files import StoredRecord
from slimgate.record.run import RunRecord
from slimgate.record.task import RATE_WORDS, Machine
from slimgate.report.figures import format_speedup
from slimgate.report.peaks import find_rates
from slimgate.report.status import describe_workload, find_model
from slimgate.report.tables import Column, blocks, make_pipe_table, remove_empty_columns
from slimgate.report.variant_tables import format_speed_cell
from slimgate.results.checks import TEACHER
from slimgate.results.latency import LatencyFacts


def format_machines(runs: Sequence[StoredRecord]) -> str:
    """The page in markdown: a table of the machines, then a table of speed-ups for each workload.

    Raises DataError if a run has no variant in common with the first run, or no run timed a variant.
    """
    records = [run.record for run in runs]
    variants = _list_variants(runs)
    letters = _name_runs(records)
    timed = dict.fromkeys(name for record in records for model in record.variants for name in model.latency)
    tables = [_make_speedup_table(records, letters, variants, workload) for workload in timed]
    if not any(tables):
        raise DataError(f"{runs[0].file}: no variant was timed together with its teacher, expected speed-ups")
    machines = len({record.machine.hardware for record in records})
    where = f"{machines} machines" if machines > 1 else "one machine"
    return (
        blocks(
            f"# Speed-ups on {where}: {escape(records[-1].suite.title)}",
            "Teacher time / variant time, from duels on that machine, with 95 % intervals."
            + ("" if machines > 1 else " On another machine they are others."),
            *_list_cautions(records, letters, variants),
            _make_machine_table(runs, letters),
            *tables,
        )
        + "\n"
    )


def _list_variants(runs: Sequence[StoredRecord]) -> list[str]:
    """The variants of all runs, each once.

    Raises DataError if a run is of another suite, or has no variant in common with the first run.
    """
    first = runs[0]
    names = [[model.name for model in run.record.variants if model.name != TEACHER] for run in runs]
    for run, run_names in zip(runs, names, strict=True):
        title, first_title = run.record.suite.title, first.record.suite.title
        if title != first_title:
            raise DataError(
                f'{run.file}: a run of "{title}", and {first.file} is a run of "{first_title}"; expected '
                "one suite"
            )
        if not set(run_names) & set(names[0]):
            raise DataError(
                f"{run.file}: no variant of {first.file} is in it (it has {', '.join(run_names) or 'none'}); "
                "expected runs of one suite"
            )
    return list(dict.fromkeys(name for run_names in names for name in run_names))


def _name_runs(records: Sequence[RunRecord]) -> list[str]:
    """A name for each run: A or B for its machine, A1 and A2 for two runs on the same machine."""
    keys = [record.machine.hardware for record in records]
    order = list(dict.fromkeys(keys))
    letters = []
    for place, key in enumerate(keys):
        number = order.index(key)
        letter = chr(ord("A") + number) if number < 26 else str(number + 1)
        letters.append(letter if keys.count(key) == 1 else f"{letter}{keys[: place + 1].count(key)}")
    return letters


def _list_cautions(
    records: Sequence[RunRecord], letters: Sequence[str], variants: Sequence[str]
) -> list[str]:
    """Sentences on runs that did not see a planted delay, on other rows, and on models whose files differ."""
    delays = [record.self_test.planted_delay for record in records]
    blind = [
        letter for letter, delay in zip(letters, delays, strict=True) if delay is not None and not delay.seen
    ]
    differ = [name for name in variants if len(_find_digests(records, name)) > 1]
    lines = []
    if blind:
        lines.append(f"**Too noisy**: the planted delay was not seen on {', '.join(blind)}.")
    if len({getattr(record.task.splits.get("gate"), "digest", None) for record in records}) > 1:
        lines.append("**The runs have other gate rows**, so their calls had other lengths.")
    if differ:
        shown = ", ".join(map(escape, differ))
        lines.append(f"Each machine built its own files, which differ: {shown}.")
    return lines


def _find_digests(records: Sequence[RunRecord], name: str) -> set[str]:
    return {
        model.artifact.digest
        for record in records
        for model in record.variants
        if model.name == name and model.artifact is not None
    }


def _make_machine_table(runs: Sequence[StoredRecord], letters: Sequence[str]) -> str:
    machines = [run.record.machine for run in runs]
    columns = [
        Column("", letters),
        Column("processor", [escape(machine.cpu) for machine in machines]),
        Column("instructions", [escape(" ".join(machine.instructions)) for machine in machines]),
        Column("cores", [str(machine.cores) for machine in machines], right=True),
        Column("threads", [str(machine.threads) for machine in machines], right=True),
        Column(
            "device",
            ["" if machine.device == "cpu" else escape(machine.device_and_gpu) for machine in machines],
        ),
        *(
            Column(f"{words}, {unit}", [_format_rate(machine, field) for machine in machines], right=True)
            for field, (words, unit) in RATE_WORDS.items()
        ),
        Column("run", [escape(run.name) for run in runs]),
    ]
    return make_pipe_table(remove_empty_columns(columns))


def _format_rate(machine: Machine, field: str) -> str:
    rates = find_rates(machine)
    return format_significant(getattr(rates, field)) if rates is not None else MISSING


def _make_speedup_table(
    records: Sequence[RunRecord], letters: Sequence[str], variants: Sequence[str], workload: str
) -> str:
    """A table with a line for each variant that a run timed; empty if no run did."""
    times_by_name = {name: [_find_times(record, name, workload) for record in records] for name in variants}
    times_by_name = {
        name: times
        for name, times in times_by_name.items()
        if any(timing and timing.speedup for timing in times)
    }
    if not times_by_name:
        return ""
    columns = [
        Column("variant", [escape(name) for name in times_by_name]),
        *(
            Column(letter, [format_speed_cell(times[place]) for times in times_by_name.values()], right=True)
            for place, letter in enumerate(letters)
        ),
    ]
    if len(records) > 1:
        columns.append(
            Column(
                "lowest bound", [_format_lowest_bound(times) for times in times_by_name.values()], right=True
            )
        )
    return blocks(f"## {describe_workload(workload).capitalize()}", make_pipe_table(columns))


def _find_times(record: RunRecord, name: str, workload: str) -> LatencyFacts | None:
    model = find_model(record, name)
    return model.latency.get(workload) if model is not None else None


def _format_lowest_bound(times: Sequence[LatencyFacts | None]) -> str:
    """The lowest bound of all runs; a dash if a run has no interval."""
    bounds = [
        timing.speedup_interval[0]
        for timing in times
        if timing is not None and timing.speedup_interval is not None
    ]
    return format_speedup(min(bounds)) if len(bounds) == len(times) else MISSING
