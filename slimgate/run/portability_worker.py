"""A process that predicts the gate rows with the instructions that its environment allows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from slimgate._system.worker import end_with_parent
from slimgate.errors import SlimgateError
from slimgate.record.outcome_files import write_outcomes
from slimgate.run.portability import ANSWERS, REQUEST
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite


def main(folder: Path) -> None:
    """Answers the request in a folder; an error is one line on standard error."""
    request = json.loads((folder / REQUEST).read_text("utf-8"))
    try:
        suite = load_suite(Path(request["suite"]), request["shown"])
        run = SuiteRun(suite, Store(Path(request["store"])), device="cpu")
        write_outcomes(run.measure_outcomes(request["model"]), folder / ANSWERS)
    except SlimgateError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))
