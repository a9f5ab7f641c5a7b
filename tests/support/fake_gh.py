"""A `gh` for tests that stores the comments of a pull request in a file.

    gh api --method GET|POST|PATCH repos/…          as GitHub would answer, 100 comments a page

In the same folder: comments.json has the comments, calls.jsonl every call. If there is a file `denied`, every
call fails with the message in this file, as calls without permission do.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

PROGRAM = f"""#!{sys.executable}
import json, re, sys
from pathlib import Path

here = Path(__file__).parent
api, flag, method, path, *rest = sys.argv[1:]
body = json.load(sys.stdin) if rest == ["--input", "-"] else None
with (here / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps([method, path, body]) + "\\n")
if (here / "denied").exists():
    sys.exit("gh: " + (here / "denied").read_text())
store = here / "comments.json"
comments = json.loads(store.read_text())
assert (api, flag) == ("api", "--method")
if method == "GET":
    page = int(re.search(r"[?&]page=(\\d+)", path)[1])
    print(json.dumps(comments[100 * (page - 1) : 100 * page]))
elif method == "POST":
    comments.append({{"id": 1 + len(comments), "user": {{"login": "github-actions[bot]"}}, **body}})
    print(json.dumps(comments[-1]))
elif method == "PATCH":
    (comment,) = [comment for comment in comments if comment["id"] == int(path.rpartition("/")[2])]
    comment.update(body)
    print(json.dumps(comment))
store.write_text(json.dumps(comments))
"""


class FakeGh:
    """The program, in its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.write([])
        program = folder / "gh"
        program.write_text(PROGRAM)
        program.chmod(0o755)

    @property
    def path(self) -> str:
        """The value of PATH that finds this program first."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def write(self, comments: list[dict[str, Any]]) -> None:
        """Replaces all comments."""
        (self.folder / "comments.json").write_text(json.dumps(comments))

    def deny(self, message: str) -> None:
        """Makes all further calls fail."""
        (self.folder / "denied").write_text(message)

    @property
    def comments(self) -> list[dict[str, Any]]:
        stored: list[dict[str, Any]] = json.loads((self.folder / "comments.json").read_text())
        return stored

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Method and path of every call."""
        file = self.folder / "calls.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(call[0], call[1]) for call in map(json.loads, lines)]
