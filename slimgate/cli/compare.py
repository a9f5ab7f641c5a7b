"""`slimgate compare OLD… NEW`: shows what changed between releases."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimgate.plugins.environments import EnvironmentChanges
    from slimgate.record.comparing import Comparison
    from slimgate.record.files import StoredRecord

DESCRIPTION = """\
Compares the records of two releases: verdicts, budgets, teacher, variants, slices, sizes and times. Answers
are compared row by row if both releases judged the same gate rows and outcomes/*.parquet is next to each
record. OLD may be several records or a folder of baselines. Then NEW is compared with the newest record of
its suite, and all records are shown as history. Exit codes: 0 compared; 1 the gate became weaker without a
reason, or something happened that --fail-on names; 4 wrong usage or input.
"""
REGRESSED, FELL, NOTHING = "regressed", "fell", "nothing"
LOOSENED, REMOVED, ROWS, SETTINGS = "loosened", "removed", "rows", "settings"
# Changes that fail without an option: in each of them the gate demands less.
WEAKER = (LOOSENED, REMOVED, ROWS, SETTINGS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "old",
        type=Path,
        nargs="+",
        metavar="OLD",
        help="A run.json, its folder, or a folder of baselines, such as reports/baselines",
    )
    parser.add_argument("new", type=Path, metavar="NEW", help="A run.json, or its folder")
    parser.add_argument("--json", action="store_true", help="Print the comparison as JSON")
    parser.add_argument(
        "--explain-environment",
        action="store_true",
        help="Also show a table of what else differs between the runs: task settings, versions, hardware",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="Write compare.md to this folder, and plots/history.svg if matplotlib is installed",
    )
    parser.add_argument(
        "--fail-on",
        action="append",
        choices=(REGRESSED, FELL, *WEAKER, NOTHING),
        help="Exit with code 1 on this change (repeatable). regressed: a budget that held before does not "
        "hold now, or an undecided budget now fails; an undecided budget that only warns does not count; if "
        "the limit changed, the looser of both limits counts. "
        "fell: a metric of the teacher or of a variant got worse, even "
        "inside its budget. Four changes weaken the gate. They cause exit code 1 even if you do not name "
        "them, unless there is a new reason: loosened (a limit was relaxed or removed), removed (a variant "
        "is gone or not gated), rows (the gate rows changed), settings (another task, teacher, metric, seed, "
        "load or self-test). nothing: never exit with code 1",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compares and prints. Raises SlimgateError for wrong input."""
    from slimgate._system.escape import unescape_markdown
    from slimgate.errors import DataError
    from slimgate.record.comparing import compare
    from slimgate.record.files import read_record_file

    new = read_record_file(options.new)
    older = _read_older(options.old, new)
    # no record is of NEW's suite after a renaming
    of_suite = [record for record in older if record.record.suite.path == new.record.suite.path]
    compared = (of_suite or older)[-1]
    comparison = compare(compared, new)
    environment = None
    if options.explain_environment:
        from slimgate.record.comparing.environment import compare_records

        environment = compare_records(compared.record, new.record)
    text = ""
    if options.out is not None or not options.json:
        try:
            text = _format_text(comparison, [*older, new], options.out)
        except OSError as error:
            raise DataError(f"--out {options.out}: cannot be written: {error.strerror}") from error
    if options.json:
        sys.stdout.write(_format_json(comparison, environment) + "\n")
    else:
        if sys.stdout.isatty():
            text = unescape_markdown(text)
        if environment is not None:  # never escaped
            from slimgate.report.environments import format_environment

            text = f"{format_environment(environment)}\n\n{text}"
        sys.stdout.write(text)
    return int(_has_failed(comparison, options.fail_on or ()))


def _format_json(comparison: Comparison, environment: EnvironmentChanges | None) -> str:
    if environment is None:
        return comparison.model_dump_json(indent=1, by_alias=True)
    content = json.loads(comparison.model_dump_json(by_alias=True))
    return json.dumps({**content, "environment": environment.to_json()}, indent=1, ensure_ascii=False)


def _read_older(paths: Sequence[Path], new: StoredRecord) -> list[StoredRecord]:
    """The records to compare with, the oldest first. Raises DataError if a folder has none of them."""
    from slimgate.errors import DataError
    from slimgate.record.files import RECORD, read_record_file, read_suite_baselines

    baselines = []
    for path in paths:
        if not path.is_dir() or (path / RECORD).is_file():
            baselines.append(read_record_file(path))
            continue
        suite = new.record.suite.path
        below = read_suite_baselines(path, suite)
        if not below:
            origin = (
                f"of {suite}"
                if new.record.has_suite_file
                else f"from a report folder named {Path(suite).stem}"
            )
            raise DataError(f"{path}: no baseline {origin} is in this folder")
        baselines += below
    older = [baseline for baseline in baselines if baseline.file.resolve() != new.file.resolve()]
    if not older:
        raise DataError(f"{new.file}: the same record was given as OLD and as NEW, expected two records")
    return sorted(older, key=lambda baseline: baseline.at)


def _format_text(comparison: Comparison, releases: Sequence[StoredRecord], out: Path | None) -> str:
    from slimgate._system.files import write_atomically
    from slimgate.report.compare import format_release_comparison
    from slimgate.report.history import draw_history, format_history, list_gated_metrics
    from slimgate.report.pictures import can_plot

    drawn = None
    if out is not None and can_plot() and list_gated_metrics(releases):
        drawn = draw_history(releases, out / "plots" / "history.svg").relative_to(out).as_posix()
    text = format_release_comparison(comparison)
    if len(releases) > 2:
        text += "\n" + format_history(releases, drawn) + "\n"
    elif drawn:
        text += f"\n![history]({drawn})\n"
    if out is not None:
        write_atomically(out / "compare.md", text)
    return text


def _has_failed(comparison: Comparison, conditions: Sequence[str]) -> bool:
    if NOTHING in conditions:
        return False
    happened = {REGRESSED: comparison.regressed, FELL: comparison.fell}
    return bool(comparison.unaccepted) or any(happened.get(name) for name in conditions)
