"""The answer server as a program that a suite's `server` starts.

    python started_server.py PORT [MODE]

MODE: "crash" ends with an error; "mute" never listens; "child" starts a process of its own that sleeps and
ignores SIGTERM; "die" ends after 20 requests; "faulty" fails as `choose_answer` says. It writes its
process id, and that of its child, to the file that the variable PIDS names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.answer_server import serving

_SLEEPER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def choose_answer(prompt: str, came: int) -> str:
    """For prompts such as word17: 5 % fail once, 1 % hang once, 1 % are cut off and 1 % always fail."""
    number = int(prompt.removeprefix("word"))
    if number % 100 == 3:
        return "status 500 Retry-After: 0.1"  # the pauses of the requests that always fail are short
    if number % 100 == 2:
        return "cut"
    if came == 1 and number % 100 == 1:
        return "hang"
    return "status 500" if came == 1 and number % 20 == 0 else "answer"


def main(port: int, mode: str) -> None:
    """Serves until a signal ends it."""
    sys.stdout.write(f"mode {mode!r}, key {os.environ.get('MY_KEY')}\n")
    sys.stdout.flush()
    pids = [os.getpid()]
    if mode == "crash":
        raise SystemExit("CUDA error: no kernel image is available")
    if mode == "child":
        pids.append(subprocess.Popen([sys.executable, "-c", _SLEEPER]).pid)
    if "PIDS" in os.environ:
        with Path(os.environ["PIDS"]).open("a") as file:
            file.write("".join(f"{pid}\n" for pid in pids))
    if mode == "mute":
        time.sleep(600)
    with serving(*([choose_answer] if mode == "faulty" else []), port=port) as server:
        server.delay = 0.02
        while mode != "die" or server.asked.total() < 20:
            time.sleep(0.05)
    raise SystemExit("the worker ran out of memory")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
