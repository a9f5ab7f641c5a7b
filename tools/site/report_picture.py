"""The picture of a report in README: the first screen of the example record's report.html, in Chromium.

python -m tools.site.report_picture docs/assets/report.png
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from slimgate.record.run import read_record
from slimgate.report.html import render_html_report
from tools.site.gallery import RECORD

SIZE = (1180, 980)


def main(picture: Path) -> None:
    """Writes the picture. Raises RuntimeError if there is no Chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise RuntimeError("no Chromium is on PATH")
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "report.html"
        page.write_text(render_html_report(read_record(RECORD)), "utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        size = f"--window-size={SIZE[0]},{SIZE[1]}"
        command = [browser, *options, size, f"--screenshot={picture.absolute()}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
