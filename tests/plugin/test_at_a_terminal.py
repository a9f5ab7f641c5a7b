"""A whole tiny suite before a pseudo-terminal: live lines, colours, a narrow screen; none of it in a pipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.terminal_session import SessionOutput, run_pytest_at_terminal
from support.user_repository import run_pytest

pytestmark = pytest.mark.slow

SOME = ("bench/two.toml", "-k", "(quality and accuracy or latency or size) and (same or unsure)")


@pytest.fixture(scope="module")
def trained(repository: Path) -> Path:
    """The repository, with a step that takes long enough to be seen; in brief.toml it does not."""
    suite = repository / "bench" / "two.toml"
    text = suite.read_text()
    suite.write_text(text.replace("epochs = 1", "epochs = 20"))
    suite.with_name("brief.toml").write_text(text)
    return repository


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that no other test has built anything in, whatever their order."""
    return str(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def narrow(trained: Path, store: str) -> SessionOutput:
    """A run before 60 columns."""
    return run_pytest_at_terminal(trained, *SOME, "--slimgate-store", store, columns=60)


def test_a_run_shows_what_it_builds_and_spares_pytests_output(narrow: SessionOutput) -> None:
    assert narrow.code == 0, narrow.last
    assert narrow.list_live_lines("same · step 2 of 2: fine_tune · ")
    training = "\n".join(narrow.list_live_lines("train rows "))
    assert re.search(r"[\d,]+/4,000 · [\d,.]+/s", training)
    assert narrow.list_live_lines("same · rounds of b1 · timed, so nothing")
    assert not any(text in narrow.last for text in ("so far", "train rows", "timed, so"))
    [tests] = [line for line in narrow.last.splitlines() if line.startswith("bench/two.toml .")]
    assert re.fullmatch(r"bench/two.toml \.+ +\[100%\]", tests)
    assert not narrow.unknown


def test_the_narrow_summary_is_blocks_in_colour(narrow: SessionOutput) -> None:
    assert "\x1b[32mPASS" in narrow.raw
    assert "\x1b[33mINCONCLUSIVE" in narrow.raw
    lines = narrow.last.partition(" slimgate ")[2].splitlines()
    assert any(line.startswith("same: ") for line in lines)
    assert any(line.startswith("  accuracy drop ") for line in lines)


def test_no_color_keeps_the_lines_and_leaves_out_the_colours(
    trained: Path,
    store: str,
    narrow: SessionOutput,  # noqa: ARG001  built
) -> None:
    again = ("-k", "latency and same", "--slimgate-store", store, "--slimgate-rebuild")
    seen = run_pytest_at_terminal(trained, "bench/two.toml", *again, NO_COLOR="1")
    assert seen.list_live_lines("same · step 2 of 2: fine_tune · ")
    assert re.search(r"epoch \d+ of 20 · loss \d\.\d{3}", "\n".join(seen.list_live_lines("train rows ")))
    assert not re.search(r"\x1b\[[\d;]*m", seen.raw)
    assert "left, as before" in "\n".join(seen.list_live_lines("step "))


@pytest.mark.parametrize(
    ("more", "environment", "plain"),
    [
        ((), {"TERM": "dumb"}, 1),
        ((), {"CI": "true"}, 1),
        (("-qq",), {}, 0),
        (("-s",), {}, 1),
        (("-n", "1"), {}, 0),
    ],
    ids=["dumb", "CI", "quiet", "uncaptured", "xdist"],
)
def test_moving_lines_that_would_spoil_are_one_a_step_or_none(
    trained: Path, more: tuple[str, ...], environment: dict[str, str], plain: int
) -> None:
    arguments = ("bench/brief.toml", "-k", "size and same", "--slimgate-rebuild", *more)
    seen = run_pytest_at_terminal(trained, *arguments, **environment)
    assert seen.code == 0, seen.last
    assert (
        seen.raw.count("slimgate: same · step 2 of 2: fine_tune, ") == seen.raw.count("step 2 of 2") == plain
    )
    assert "\x1b[1A" not in seen.raw


def test_a_pipe_gets_no_control_characters(
    trained: Path,
    store: str,
    narrow: SessionOutput,  # noqa: ARG001  built
) -> None:
    ran = run_pytest(trained, *SOME, "--slimgate-store", store)
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert any(line.startswith("same ") and "PASS" in line for line in ran.lines)
