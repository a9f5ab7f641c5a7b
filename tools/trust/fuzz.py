"""Feeds slimgate random suites, rows, predictions, logs and records. It may only raise its own errors.

    python -m tools.trust.fuzz [--seconds 600] [--target suite …]

With atheris (`pip install atheris`), fuzzing is guided by coverage, and an input may take 2 GB of memory and
20 s. Without atheris, it is random mutation of the same seeds, without these limits. Each target runs in its
own process. Inputs that break a target are written to --keep. The exit code is 1 if a target broke.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.trust.fuzzing.mutating import mutate, mutate_json
from tools.trust.fuzzing.seeds import SEEDS
from tools.trust.fuzzing.targets import TARGETS

MEGABYTES = 2048
SECONDS_AN_INPUT = 20


def main(arguments: list[str] | None = None) -> int:
    """Runs the targets one after another, each for an equal share of the seconds."""
    parser = argparse.ArgumentParser(prog="python -m tools.trust.fuzz")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--target", action="append", choices=[*TARGETS])
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-found"), help="Folder for the inputs that broke a target"
    )
    parser.add_argument("--one", choices=[*TARGETS], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        return _fuzz_one(options.one, options.seconds, options.keep)
    chosen = options.target or [*TARGETS]
    share = max(1, options.seconds // len(chosen))
    broken = [name for name in chosen if _fuzz_in_process(name, share, options.keep)]
    sys.stdout.write(f"broke: {', '.join(broken)}, see {options.keep}\n" if broken else "nothing broke\n")
    return int(bool(broken))


def _fuzz_in_process(name: str, seconds: int, keep: Path) -> bool:
    """Whether the target broke."""
    command = [sys.executable, "-m", "tools.trust.fuzz", "--one", name, "--seconds", str(seconds)]
    start = time.monotonic()
    with subprocess.Popen([*command, "--keep", str(keep)]) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    peak = used.ru_maxrss // 1024
    sys.stdout.write(f"{name}: {time.monotonic() - start:.0f} s, peak {peak} MB, exit {process.returncode}\n")
    sys.stdout.flush()
    return process.returncode != 0


def _fuzz_one(name: str, seconds: int, keep: Path) -> int:
    keep.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("atheris") is not None:
        return _fuzz_by_atheris(name, seconds, keep)
    return _fuzz_by_mutation(name, seconds, keep)


def _fuzz_by_atheris(name: str, seconds: int, keep: Path) -> int:
    import atheris

    with atheris.instrument_imports(include=["slimgate"]):
        for seed in SEEDS[name]:
            TARGETS[name](seed)
    corpus = Path(tempfile.mkdtemp(prefix="slimgate-corpus-"))
    for number, seed in enumerate(SEEDS[name]):
        (corpus / str(number)).write_bytes(seed)
    longest = 2 * max(map(len, SEEDS[name]))

    def run_target(data: bytes) -> None:  # returns None, because atheris interprets the return value
        TARGETS[name](data)

    limits = [f"-rss_limit_mb={MEGABYTES}", f"-timeout={SECONDS_AN_INPUT}", f"-max_len={longest}"]
    where = [f"-artifact_prefix={keep}/{name}-", f"-max_total_time={seconds}", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *limits, *where, "-print_final_stats=1", str(corpus)], run_target)
    try:
        atheris.Fuzz()  # ends the process
    finally:
        shutil.rmtree(corpus, ignore_errors=True)
    return 0


def _fuzz_by_mutation(name: str, seconds: int, keep: Path) -> int:
    generator, end, tried = random.Random(0), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = generator.choice((mutate, mutate_json))(generator.choice(SEEDS[name]), generator)
        tried += 1
        try:
            TARGETS[name](data)
        except Exception:
            (keep / f"{name}-{tried}").write_bytes(data)
            raise
    sys.stdout.write(f"{name}: {tried} inputs\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
