"""OpenVINO and nncf as packages of a process that does other things too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """\
import logging
import transformers
from slimgate.models.openvino_model import load_nncf
load_nncf("this test")
later = logging.getLogger("another.module")
later.warning_once("%s", "told")
print(type(later).__module__)
"""


def test_later_loggers_of_other_libraries_are_not_those_of_nncf() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.returncode) == ("logging", 0), ran.stderr[-500:]


CONVERSION = """\
import sys
import torch
from slimgate.models.openvino_model import load_openvino
sys.addaudithook(lambda event, _: print(event) if event in ("os.fork", "socket.connect") else None)
openvino = load_openvino("this test")
graph = openvino.convert_model(torch.nn.Linear(2, 3), example_input=torch.ones(1, 2))
print(len(graph.outputs))
"""


def test_a_conversion_sends_no_events_and_forks_no_process(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("CI", None)  # OpenVINO sends nothing from GitHub
    ran = subprocess.run(
        [sys.executable, "-c", CONVERSION], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.stdout == "1\n", ran.stderr[-500:]
    assert list(tmp_path.iterdir()) == []
