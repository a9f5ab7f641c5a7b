"""One comment on a pull request, posted or updated through a `gh` that records its calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_gh import FakeGh

from slimgate.cli.github_comment import main

MARKER = "<!-- slimgate:comment -->"
BOT = {"login": "github-actions[bot]"}


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGh:
    fake = FakeGh(tmp_path / "bin")
    monkeypatch.setenv("PATH", fake.path)
    return fake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pr-comment.md"
    path.write_text(f"{MARKER}\n\n**FAIL** ü\n")
    return path


def post(file: Path, **environment: str) -> int:
    variables = {"GITHUB_REPOSITORY": "a/b", "SLIMGATE_PULL_REQUEST": "7", **environment}
    return main([str(file)], variables)


def test_the_first_run_posts_and_the_next_updates(gh: FakeGh, file: Path) -> None:
    assert post(file) == 0
    assert gh.calls[-1] == ("POST", "repos/a/b/issues/7/comments")
    assert [comment["body"] for comment in gh.comments] == [f"{MARKER}\n\n**FAIL** ü\n"]
    file.write_text(f"{MARKER}\n\n**PASS**\n")
    assert post(file) == 0
    assert gh.calls[-1] == ("PATCH", "repos/a/b/issues/comments/1")
    assert [comment["body"] for comment in gh.comments] == [f"{MARKER}\n\n**PASS**\n"]


def test_a_comment_on_the_second_page_is_found(gh: FakeGh, file: Path) -> None:
    comments = [{"id": n, "user": BOT, "body": "another tool"} for n in range(1, 131)]
    gh.write([*comments, {"id": 131, "user": BOT, "body": f"{MARKER}\r\n\r\nold"}])
    assert post(file) == 0
    assert [method for method, _ in gh.calls] == ["GET", "GET", "PATCH"]
    assert len(gh.comments) == 131


@pytest.mark.parametrize(
    "comment",
    [
        {"id": 1, "user": {"login": "mallory"}, "body": MARKER},
        {"id": 1, "user": None, "body": MARKER},
        {"id": 1, "user": BOT, "body": f"> {MARKER}"},
        {"id": 1, "user": BOT, "body": None},
    ],
    ids=["somebody else's", "a deleted user's", "a quotation", "empty"],
)
def test_other_comments_are_never_changed(gh: FakeGh, file: Path, comment: dict[str, object]) -> None:
    gh.write([comment])
    assert post(file) == 0
    assert gh.comments[0] == comment
    assert len(gh.comments) == 2


def test_jobs_with_a_key_have_a_comment_each(gh: FakeGh, file: Path) -> None:
    for key in ("small", "large", "small", ""):
        assert post(file, SLIMGATE_COMMENT_KEY=key) == 0
    assert [comment["body"].splitlines()[0] for comment in gh.comments] == [
        "<!-- slimgate:comment small -->",
        "<!-- slimgate:comment large -->",
        MARKER,
    ]


def test_the_login_of_another_token_is_taken(gh: FakeGh, file: Path) -> None:
    gh.write([{"id": 1, "user": {"login": "release-bot"}, "body": MARKER}])
    assert post(file, SLIMGATE_COMMENT_AUTHOR="release-bot") == 0
    assert gh.calls[-1][0] == "PATCH"


def test_a_token_that_may_not_write_is_a_warning(
    gh: FakeGh, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gh.deny("Resource not accessible by integration (HTTP 403)\n")
    assert post(file) == 0
    out = capsys.readouterr().out
    assert out.startswith("::warning title=slimgate::no comment was posted: gh: Resource not accessible")
    assert out.count("\n") == 1


def test_another_failure_is_an_error(gh: FakeGh, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gh.deny("Bad gateway (HTTP 502)")
    assert post(file) == 1
    assert capsys.readouterr().out.startswith("::error title=slimgate::")


def test_without_gh_it_says_so(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert post(file) == 1
    assert "gh cannot be run: No such file or directory; install the GitHub CLI" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"GITHUB_REPOSITORY": "a/b/../../c"}, "expected owner/name"),
        ({"SLIMGATE_PULL_REQUEST": ""}, "expected the number of a pull request"),
        ({"SLIMGATE_PULL_REQUEST": "7/comments"}, "expected the number of a pull request"),
        ({"SLIMGATE_COMMENT_KEY": "--> <b>"}, "expected up to 80 letters"),
    ],
)
def test_what_would_go_elsewhere_is_refused(
    gh: FakeGh, file: Path, environment: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert post(file, **environment) == 4
    assert message in capsys.readouterr().err
    assert gh.calls == []


def test_a_file_that_is_not_there_is_named(
    gh: FakeGh, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert post(tmp_path / "gone.md") == 4
    assert "gone.md: cannot be read" in capsys.readouterr().err
    assert gh.calls == []


def test_a_file_that_is_no_text_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "comment.md").write_bytes(b"\xff\xfe")
    assert post(tmp_path / "comment.md") == 4
    assert "comment.md: not UTF-8" in capsys.readouterr().err


def test_what_gh_says_stays_one_line(gh: FakeGh, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gh.deny("HTTP 403 %0A::error::x \x1b[31m")
    assert post(file) == 0
    out = capsys.readouterr().out
    assert "HTTP 403 %250A::error::x \\x1b[31m" in out
