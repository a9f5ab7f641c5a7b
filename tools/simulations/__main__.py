"""Runs every simulation, one after the other, and writes their pages and the summary.

python -m tools.simulations [--folder reports/simulations] [--only NAME …]

`duels` is left out: it times real models and needs an idle machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tools.simulations.summary import make_summary

NAMES = (
    "accuracy_verdicts",
    "power",
    "grouped_verdicts",
    "count_verdicts",
    "metric_verdicts",
    "equivalence_verdicts",
    "rare_damage",
    "answer_verdicts",
    "score_verdicts",
    "bootstrap_verdicts",
    "roc_auc_verdicts",
    "build_verdicts",
    "run_verdicts",
    "perplexity_verdicts",
    "token_kl_verdicts",
    "speed_verdicts",
    "call_time_verdicts",
    "memory_verdicts",
    "winners_curse",
    "interim_verdicts",
    "log_rules",
    "log_slice_verdicts",
    "length_verdicts",
    "plans",
)
FOLDER = Path(__file__).parents[2] / "reports" / "simulations"


def main() -> None:
    """Runs each simulation in a separate process, so that its page has its own CPU minutes."""
    parser = argparse.ArgumentParser(prog="python -m tools.simulations")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES, help="the summary is of all pages")
    options = parser.parse_args()
    for name in options.only:
        sys.stderr.write(f"{name}\n")
        command = [
            sys.executable,
            "-m",
            f"tools.simulations.{name}",
            "--out",
            str(options.folder / f"{name}.md"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (options.folder / "README.md").write_text(make_summary(options.folder))


if __name__ == "__main__":
    main()
