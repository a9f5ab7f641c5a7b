"""`python -m slimgate.cli.github_comment FILE`: posts or updates a comment on a pull request, by `gh api`.

GITHUB_REPOSITORY and SLIMGATE_PULL_REQUEST name the pull request; gh reads GH_TOKEN. The comment of an
earlier run is found by the marker in the file's first line, among the comments of SLIMGATE_COMMENT_AUTHOR
(github-actions[bot]): any user could write the marker, and another user's comment is never changed.
SLIMGATE_COMMENT_KEY distinguishes the comments of several jobs.

Exit codes: 0 posted, or not allowed to (it prints a warning, because the gate's result must not depend on a
comment), 4 wrong usage, 1 if gh fails in another way.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from slimgate._system.escape import escape_invisible
from slimgate.errors import to_one_line

AUTHOR = "github-actions[bot]"
_MARKER = re.compile(r"<!-- slimgate:comment( [^\n]*)? -->")
_KEY = re.compile(r"[\w./ -]{0,80}")
_NUMBER = re.compile(r"[1-9][0-9]*")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_PAGE_SIZE = 100
_DENIED = ("HTTP 401", "HTTP 403", "HTTP 404")
WRONG_USAGE = 4


class GhFailed(Exception):
    """gh ended with an error; the message is gh's output."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Posts the file. Prints one line about the result."""
    repository = environment.get("GITHUB_REPOSITORY", "")
    number = environment.get("SLIMGATE_PULL_REQUEST", "")
    key = environment.get("SLIMGATE_COMMENT_KEY", "")
    wrong = _find_mistake(arguments, repository, number, key)
    if wrong:
        sys.stderr.write(f"github_comment: {wrong}\n")
        return WRONG_USAGE
    try:
        text = Path(arguments[0]).read_text("utf-8")
    except OSError as error:
        sys.stderr.write(f"github_comment: {arguments[0]}: cannot be read: {error.strerror}\n")
        return WRONG_USAGE
    except UnicodeDecodeError:
        sys.stderr.write(
            f"github_comment: {arguments[0]}: not UTF-8, expected the comment that a run wrote\n"
        )
        return WRONG_USAGE
    marker, body = _add_marker(text, key)
    try:
        result = _post(f"repos/{repository}", number, marker, body, environment)
    except GhFailed as error:
        denied = any(code in str(error) for code in _DENIED)
        message = escape_invisible(to_one_line(error)).replace("%", "%25")
        sys.stdout.write(
            f"::{'warning' if denied else 'error'} title=slimgate::no comment was posted: {message}\n"
        )
        return 0 if denied else 1
    sys.stdout.write(f"{result}\n")
    return 0


def _find_mistake(arguments: Sequence[str], repository: str, number: str, key: str) -> str | None:
    """The first error in the arguments, if any. They become parts of API paths and of the marker."""
    if len(arguments) != 1:
        return "expected one argument, the file of the comment"
    if not _REPOSITORY.fullmatch(repository):
        return f'GITHUB_REPOSITORY is "{repository}", expected owner/name'
    if not _NUMBER.fullmatch(number):
        return f'SLIMGATE_PULL_REQUEST is "{number}", expected the number of a pull request'
    if not _KEY.fullmatch(key) or "--" in key:
        return (
            f'SLIMGATE_COMMENT_KEY is "{key}", expected up to 80 letters, digits, "_", "-", ".", "/" or '
            'spaces, without "--"'
        )
    return None


def _add_marker(text: str, key: str) -> tuple[str, str]:
    """The marker, and the text with this marker as the first line, in place of an earlier marker."""
    marker = f"<!-- slimgate:comment {key} -->" if key else "<!-- slimgate:comment -->"
    first, _, rest = text.partition("\n")
    body = rest if _MARKER.fullmatch(first.strip()) else text
    return marker, f"{marker}\n{body}"


def _post(repository: str, number: str, marker: str, body: str, environment: Mapping[str, str]) -> str:
    """Updates the author's first comment with the marker, or posts a comment. Returns a line about it."""
    author = environment.get("SLIMGATE_COMMENT_AUTHOR") or AUTHOR
    earlier = next(_find_comments(f"{repository}/issues/{number}/comments", marker, author), None)
    if earlier is None:
        _call_github("POST", f"{repository}/issues/{number}/comments", body)
        return f"comment posted on #{number}"
    _call_github("PATCH", f"{repository}/issues/comments/{earlier}", body)
    return f"comment {earlier} on #{number} updated"


def _find_comments(path: str, marker: str, author: str) -> Iterator[int]:
    """Ids of the author's comments that begin with the marker, the oldest first."""
    page = 1
    while True:
        comments = _call_github("GET", f"{path}?per_page={_PAGE_SIZE}&page={page}")
        for comment in comments:
            # GitHub may return lines with \r\n
            first = str(comment.get("body") or "").lstrip().partition("\n")[0].strip()
            if first == marker and (comment.get("user") or {}).get("login") == author:
                yield int(comment["id"])
        if len(comments) < _PAGE_SIZE:
            return
        page += 1


def _call_github(method: str, path: str, body: str | None = None) -> Any:
    """Calls GitHub's API. Raises GhFailed with gh's message."""
    command = ["gh", "api", "--method", method, path]
    payload = None
    if body is not None:
        command += ["--input", "-"]
        payload = json.dumps({"body": body})
    try:
        done = subprocess.run(command, input=payload, capture_output=True, text=True, check=False)
    except OSError as error:
        raise GhFailed(
            f"gh cannot be run: {error.strerror}; install the GitHub CLI on your own runner"
        ) from error
    if done.returncode:
        raise GhFailed(done.stderr.strip() or f"gh ended with {done.returncode}")
    try:
        return json.loads(done.stdout) if done.stdout.strip() else []
    except ValueError as error:
        raise GhFailed(f"{method} {path}: gh did not answer with JSON") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
