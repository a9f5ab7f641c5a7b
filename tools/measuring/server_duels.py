"""Does slimgate claim a speed of two equal servers, and does it see a planted slowdown? With real servers.

    python -m tools.measuring.server_duels --runs 30 --command "llama-server -m model.gguf --port {port}"

In each run a suite starts the command as teacher and as two variants. All three get the same requests:

- `again`: the same command behind a proxy that only passes bytes on. A claimed speed is an error.
- `slower`: the same command behind a proxy that makes each answer slower by `--slower`. It should be seen.

The teacher is behind the same proxy too. Each run has its own store, so nothing is reused. Results
are appended to `--log` as JSON lines, and the table counts all lines of that file. `--other` names a second
command in place of `again`: a duel of two servers.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

from slimgate.record.run import read_record
from tools.measuring.slow_proxy import SERVER_PORT

SUITE = """\
[suite]
title = "equal servers and a slower one"
threads = 1
[task]
kind = "text_generation"
source = {{ name = "files", path = "rows.jsonl", real = false }}
prompt = "prompt"
max_new_tokens = {tokens}
splits = {{ train = 4, calibration = 0, selection = 4, gate = 60 }}
[measure]
loads = [{{ concurrency = {users}, requests = {requests}, blocks = {blocks} }}]
[teacher]
endpoint = {{ url = "http://localhost:{{port}}/v1", model = "{model}" }}
server = {{ command = {teacher}, ready_timeout = 300.0 }}
"""
VARIANT = """\
[variants.{name}]
endpoint = {{ url = "http://localhost:{{port}}/v1", model = "{model}" }}
server = {{ command = {command}, ready_timeout = 300.0 }}
"""


@dataclass(frozen=True)
class Duel:
    """The speed of a variant in one run. part: the id of the load, such as c2 or c2-ttft."""

    run: int
    variant: str
    part: str
    speedup: float
    low: float
    high: float
    noise_floor: float

    @property
    def claimed(self) -> bool:
        """Whether the interval excludes a speed-up of 1."""
        return self.low > 1 or self.high < 1


def main(arguments: Sequence[str]) -> int:
    """Runs the duels and writes the table to stdout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--command", required=True, help="the server, with {port}")
    parser.add_argument(
        "--other", help="a second server: its duel with the first one takes the place of `again`"
    )
    parser.add_argument("--model", default="model", help="the name that both servers give the model")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--slower", type=float, default=0.1, help="the planted slowdown, as a share")
    parser.add_argument("--users", type=int, default=1)
    parser.add_argument("--requests", type=int, default=12)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--log", type=Path, default=Path("server_duels.jsonl"))
    options = parser.parse_args(arguments)
    earlier = len({duel.run for duel in read_duels(options.log)})
    for run in range(earlier, earlier + options.runs):
        with options.log.open("a", encoding="utf-8") as log:
            for duel in run_duels(options, run):
                log.write(json.dumps(asdict(duel)) + "\n")
                print(f"run {run}: {format_duel(duel)}", file=sys.stderr)  # noqa: T201
    print(make_table(list(read_duels(options.log))))  # noqa: T201
    return 0


def run_duels(options: argparse.Namespace, run: int) -> Iterator[Duel]:
    """One run of pytest with a store of its own. Ends the program with pytest's output if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pytest.ini").write_text("[pytest]\n")
        rows = (json.dumps({"prompt": f"Write about number {row}, in a few words:"}) for row in range(80))
        (root / "rows.jsonl").write_text("".join(f"{row}\n" for row in rows))
        (root / "duels.toml").write_text(write_suite(options))
        words = ["-q", "-p", "no:cacheprovider", "-k", "load", "--slimgate-report", "reports"]
        command = [sys.executable, "-m", "pytest", "duels.toml", *words]
        ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if ran.returncode:
            logs = "\n".join(log.read_text()[-2000:] for log in root.glob("reports/**/*.log"))
            raise SystemExit(
                f"run {run}: pytest ended with {ran.returncode}\n{ran.stdout}\n{ran.stderr}\n{logs}"
            )
        record = read_record(root / "reports" / "duels" / "run.json")
    for variant in record.variants[1:]:
        for part, facts in variant.latency.items():
            assert facts.speedup is not None
            assert facts.speedup_interval is not None
            assert facts.noise_floor is not None
            yield Duel(run, variant.name, part, facts.speedup, *facts.speedup_interval, facts.noise_floor)


def write_suite(options: argparse.Namespace) -> str:
    """The suite of one run, as TOML."""
    proxy = [
        "env",
        f"PYTHONPATH={Path(__file__).parents[2]}",
        sys.executable,
        "-m",
        "tools.measuring.slow_proxy",
    ]

    def behind_proxy(share: str, command: str) -> str:
        words = [word.replace("{port}", SERVER_PORT) for word in shlex.split(command)]
        return json.dumps([*proxy, share, "{port}", "--", *words])

    suite = SUITE.format(**vars(options), teacher=behind_proxy("0", options.command))
    # "0.0", because models with the same command share one server.
    commands = {
        "other" if options.other else "again": behind_proxy("0.0", options.other or options.command),
        "slower": behind_proxy(f"{options.slower}", options.command),
    }
    for name, command in commands.items():
        suite += VARIANT.format(name=name, model=options.model, command=command)
    return suite


def read_duels(log: Path) -> Iterator[Duel]:
    """The duels of earlier runs; none if the file does not exist."""
    if log.exists():
        for line in log.read_text("utf-8").splitlines():
            yield Duel(**json.loads(line))


def format_duel(duel: Duel) -> str:
    """`again c2 0.99 [0.95, 1.04], not claimed`."""
    claim = "claimed" if duel.claimed else "not claimed"
    return f"{duel.variant} {duel.part} {duel.speedup:.3g} [{duel.low:.3g}, {duel.high:.3g}], {claim}"


def make_table(duels: Sequence[Duel]) -> str:
    """One row for each variant and part of the load."""
    rows = []
    for variant, part in sorted({(duel.variant, duel.part) for duel in duels}):
        group = [duel for duel in duels if (duel.variant, duel.part) == (variant, part)]
        speedups = sorted(duel.speedup for duel in group)
        widths = sorted(duel.high - duel.low for duel in group)
        rows.append(
            {
                "variant": variant,
                "time": part,
                "runs": len(group),
                "claimed slower": sum(duel.high < 1 for duel in group),
                "claimed faster": sum(duel.low > 1 for duel in group),
                "median speed-up": f"{speedups[len(group) // 2]:.3f}",
                "lowest, highest": f"{speedups[0]:.3f}, {speedups[-1]:.3f}",
                "median width": f"{widths[len(group) // 2]:.3f}",
            }
        )
    table = tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True)
    return f"{table}\n\n{count_claiming_runs(duels)}"


def count_claiming_runs(duels: Sequence[Duel]) -> str:
    """In how many runs at least one time of a variant is claimed.

    Example: `again: claimed in 0 of 30 runs; slower: claimed in 28 of 30 runs`.
    """
    parts = []
    for variant in sorted({duel.variant for duel in duels}):
        group = [duel for duel in duels if duel.variant == variant]
        runs, claiming = {duel.run for duel in group}, {duel.run for duel in group if duel.claimed}
        parts.append(f"{variant}: claimed in {len(claiming)} of {len(runs)} runs")
    return "; ".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
