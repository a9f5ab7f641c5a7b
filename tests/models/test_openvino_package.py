"""OpenVINO and nncf as packages of a process that does other things too."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """\
import logging
import transformers
from slimgate.models.openvino_package import load_nncf
load_nncf("this test")
later = logging.getLogger("another.module")
later.warning_once("%s", "told")
print(type(later).__module__)
"""


def test_later_loggers_of_other_libraries_are_not_those_of_nncf() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.returncode) == ("logging", 0), ran.stderr[-500:]
