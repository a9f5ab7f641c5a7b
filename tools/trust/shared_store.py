"""Runs a tiny suite in several processes on one store: each entry is made once, all verdicts are equal.

    python -m tools.trust.shared_store [PROCESSES]

The suite is that of tools/trust/kill_nine.py. Each process writes its own reports. A conftest.py next to the
suite writes a line each time that a process makes an entry.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.trust import kill_nine

STORE = "shared"
# Everything but times, which differ from run to run.
UNTIMED = ("-k", "not latency and not speedup", "-p", "no:benchmark")
COUNTED = """\
from pathlib import Path

from slimgate.store.store import Store

making = Store._make


def counted(self, kind, key, *inputs):
    with Path(__file__).with_name("made.txt").open("a") as stream:
        stream.write(f"{kind}/{key}\\n")
    return making(self, kind, key, *inputs)


Store._make = counted
"""


@dataclass(frozen=True)
class Shared:
    """How often each entry was made, and the rules that were broken."""

    made: Counter[str]
    wrong: list[str]


def run_together(folder: Path, processes: int) -> Shared:
    """Starts the processes at the same time, and checks the store and the records."""
    (folder / "conftest.py").write_text(COUNTED)
    reports = [f"{STORE}-reports-{number}" for number in range(processes)]
    runs = [kill_nine.start(folder, STORE, *UNTIMED, "--slimgate-report", report) for report in reports]
    codes = [run.wait(timeout=3600) for run in runs]
    if any(codes):
        return Shared(
            Counter(), [f"exit code {code} of process {number}" for number, code in enumerate(codes) if code]
        )
    made_entries = Counter((folder / "made.txt").read_text().split())
    wrong = [f"made {count} times: {name}" for name, count in made_entries.items() if count > 1]
    wrong += [f"left in tmp: {path.name}" for path in (folder / STORE / "tmp").iterdir()]
    if len(made_entries) != kill_nine.ENTRIES:
        wrong.append(f"{len(made_entries)} entries were made, expected {kill_nine.ENTRIES}")
    first, *other_records = [read_judged(folder / report / "killed/run.json") for report in reports]
    wrong += [f"verdicts of process {n} differ" for n, other in enumerate(other_records, 1) if other != first]
    return Shared(made_entries, wrong)


def read_judged(file: Path) -> Any:
    """The results of a run on every model, its self-test and its verdict, without times."""
    record = json.loads(file.read_text("utf-8"))
    keys = ("name", "quality", "behaviour", "size", "artifact")
    models = [{key: model[key] for key in keys} for model in record["variants"]]
    return _drop_times([models, record["self_test"], record["verdict"]])


def _drop_times(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = ("measured", "load_seconds", "answered_on")  # times, and the process that answered
        return {key: _drop_times(inner) for key, inner in value.items() if key not in left_out}
    return [_drop_times(item) for item in value] if isinstance(value, list) else value


def main(processes: int = 8) -> int:
    """Prints the counts. Returns 0 if no rule was broken."""
    folder = kill_nine.write_repository(Path(tempfile.mkdtemp(prefix="shared-store-")))
    began = time.monotonic()
    shared = run_together(folder, processes)
    summary = f"{processes} processes, {time.monotonic() - began:.0f} s: {len(shared.made)} entries"
    summary += f", made {shared.made.total()} times; {shared.wrong or 'each once, all verdicts equal'}\n"
    sys.stdout.write(summary)
    if not shared.wrong:
        shutil.rmtree(folder)
    return int(bool(shared.wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
