"""A worker of to_aoti whose compiler makes code that crashes when it is loaded.

    python -m tools.trust.dying_package FOLDER

answers as slimgate.steps.convert._aoti_worker does. Its code is a library that ends its process by SIGILL.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from torch._inductor.package.package import package_aoti

from slimgate._system.worker import answer_request
from slimgate.steps.convert import _aoti_worker

CODE = """
#include <signal.h>
__attribute__((constructor)) static void die() { raise(SIGILL); }
"""


def compile_network(network: Any, example: dict[str, Any], package: Path, threads: int) -> None:
    """Makes a package with CODE, whatever the network is."""
    del network, example, threads
    library, notes = package.with_name("code.so"), package.with_name("code_metadata.json")
    build = ["g++", "-x", "c++", "-", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run(build, input=CODE, text=True, check=True)
    notes.write_text(json.dumps({"AOTI_DEVICE_KEY": "cpu"}), "utf-8")
    package_aoti(str(package), [str(library), str(notes)])


if __name__ == "__main__":
    _aoti_worker.compile_network = compile_network
    answer_request(_aoti_worker.compile_and_predict)
