"""`slimgate compare` as a user runs it: text, JSON, history, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from support.judge_command import Command, judge_into
from support.releases import CLASSES, INT8, Model, make_machine, write_release

from slimgate.cli.main import main
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.record.files import read_record_file
from slimgate.record.run import format_record_json
from slimgate.record.task import SuiteFacts
from slimgate.record.verdicts import AcceptedFacts

FAILS = Model(wrong={**INT8, "loan": range(400)})
LOOSE = Model(budgets=(QualityBudget("drop_points", 2.0),))


@pytest.fixture
def compare(run_command: Command) -> Command:
    return partial(run_command, "compare")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_release(tmp_path / "old")


@pytest.mark.parametrize(
    ("model", "options", "code"),
    [
        (FAILS, (), 0),
        (FAILS, ("--fail-on", "regressed"), 1),
        (FAILS, ("--fail-on", "loosened"), 0),
        (LOOSE, ("--fail-on", "loosened"), 1),
        (LOOSE, (), 1),
        (LOOSE, ("--fail-on", "regressed"), 1),
        (LOOSE, ("--fail-on", "nothing"), 0),
        (Model(), ("--fail-on", "regressed", "--fail-on", "loosened"), 0),
    ],
)
def test_a_weaker_gate_fails_and_a_move_only_on_request(
    compare: Command, old: Path, tmp_path: Path, model: Model, options: tuple[str, ...], code: int
) -> None:
    new = write_release(tmp_path / "new", models={"int8": model})
    assert compare(old / "run.json", new / "run.json", *options)[0] == code


@pytest.mark.parametrize("edited", ["old", "new"])
def test_an_edited_record_weakens_the_gate(compare: Command, old: Path, tmp_path: Path, edited: str) -> None:
    """Who looks for a looser limit in an edited baseline would not see it."""
    write_release(tmp_path / "new")
    file = tmp_path / edited / "run.json"
    assert compare(old, tmp_path / "new")[0] == 0
    file.write_text(file.read_text("utf-8").replace('"limit": 1.0', '"limit": 1.5'), "utf-8")
    code, out, _ = compare(old, tmp_path / "new")
    assert (code, f"{edited}/run.json was edited after slimgate wrote it" in out.replace("\\", "")) == (
        1,
        True,
    )


def test_metrics_with_the_same_scores_got_worse_once(compare: Command, tmp_path: Path) -> None:
    """Many logs have a score under two names, such as pass and score of promptfoo."""
    for release, wrong in (("v1", 0), ("v2", 60)):
        files = []
        for side, failed in (("base", 0), ("int8", wrong)):
            rows = [
                {"id": k, "metric": metric, "score": float(k >= failed * share)}
                for k in range(400)
                for metric, share in (("acc", 1), ("acc_norm", 1), ("exact_match", 0.5))
            ]
            files.append(tmp_path / f"{side}.jsonl")
            files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        judge_into(tmp_path / release / "int8", [*files, "--drop-points", 30])
    _, out, _ = compare(tmp_path / "v1/int8", tmp_path / "v2/int8")
    assert " · 2 metrics got worse" in out


def test_the_text_says_first_what_held_and_fails(compare: Command, old: Path, tmp_path: Path) -> None:
    new = write_release(tmp_path / "new", models={"int8": FAILS}, teacher={n: range(110) for n in CLASSES})
    _, out, err = compare(old, new)
    assert err == ""
    assert "**FAIL**, was PASS · 1 budget held and does not hold now" in out
    sections = [line for line in out.splitlines() if line.startswith("#")]
    assert sections[1] == "## Verdicts that changed"
    assert sections.index("## The teacher") < sections.index("## The variants")
    assert "| int8      | accuracy, drop_points | PASS  | **FAIL** |" in out
    assert "| int8    | label loan     |" in out
    assert "- int8, accuracy: got worse, and its teacher too" in out


def test_on_a_terminal_no_name_is_escaped(
    compare: Command, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = write_release(tmp_path / "new [a]*", models={"int8": FAILS})
    escaped = compare(old, new)[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = compare(old, new)[1]
    assert r"new \[a\]\*" in escaped
    assert "new [a]*" in shown
    assert "\\" not in shown


def test_a_loosened_budget_has_its_reason_or_no_reason_is_noted(
    compare: Command, old: Path, tmp_path: Path
) -> None:
    new = write_release(tmp_path / "new", models={"int8": LOOSE})
    line = "- **Loosened**: int8, accuracy, drop_points 1 → 2: "
    assert f"{line}no reason given; this release holds 1 too" in compare(old, new)[1]
    accepted = write_release(
        tmp_path / "kept",
        models={"int8": LOOSE},
        accepted=AcceptedFacts(name="v2", at="2026-12-01", reason="agreed | with support"),
    )
    assert f"{line}agreed \\| with support; this" in compare(old, accepted)[1]


def test_json_has_the_same(compare: Command, old: Path, tmp_path: Path) -> None:
    new = write_release(tmp_path / "new", models={"int8": FAILS})
    code, out, _ = compare(old, new, "--json", "--fail-on", "regressed")
    comparison = json.loads(out)
    assert (code, comparison["schema"]) == (1, "slimgate.compare/1")
    assert [verdict["after"] for verdict in comparison["verdicts"]] == ["FAIL"]
    assert comparison["variants"][0]["metrics"][0]["right_to_wrong"] == 285


def test_json_also_writes_the_files_of_out(compare: Command, old: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    new = write_release(tmp_path / "new", models={"int8": FAILS})
    _, text, _ = compare(old, new)
    code, out, _ = compare(old, new, "--json", "--out", tmp_path / "out")
    assert (code, json.loads(out)["schema"]) == (0, "slimgate.compare/1")
    assert (tmp_path / "out/plots/history.svg").is_file()
    assert (tmp_path / "out/compare.md").read_text("utf-8").startswith(text)


def baselines(folder: Path) -> Path:
    for number in (1, 2, 3):
        accepted = AcceptedFacts(name=f"v{number}", at=f"2026-11-0{number}T00:00:00+00:00")
        write_release(
            folder / f"v{number}" / "support",
            models={"int8": Model(wrong={name: range(100 + 5 * number) for name in CLASSES})},
            accepted=accepted,
        )
    other = SuiteFacts(path="bench/other.toml", title="", digest="", seeds=[0])
    write_release(folder / "v9" / "other", suite=other)
    (folder / ".v4.tmp" / "support").mkdir(parents=True)
    (folder / ".v4.tmp" / "support" / "run.json").write_text("half")
    return folder


def test_a_folder_of_baselines_is_reported_as_history(compare: Command, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    new = write_release(tmp_path / "new")
    code, out, _ = compare(baselines(tmp_path / "baselines"), new, "--out", tmp_path / "out")
    assert code == 0
    assert out.startswith("# v3 → ")
    releases = [
        line.split("|")[1].strip() for line in out.split("## History")[1].splitlines() if "| v" in line
    ]
    assert releases[:3] == ["v1", "v2", "v3"]
    assert "0.948 (drop 0.2" in out
    assert (tmp_path / "out/compare.md").read_text() == out
    assert "![history](plots/history.svg)" in out
    picture = (tmp_path / "out/plots/history.svg").read_text()
    assert all(f">{name}<" in picture for name in ("v1", "v2", "v3", "accuracy", "int8", "teacher"))


def test_several_old_records_are_put_in_order_of_time(compare: Command, tmp_path: Path) -> None:
    late = write_release(tmp_path / "late", created="2026-11-09")
    early = write_release(tmp_path / "early", created="2026-11-02")
    _, out, _ = compare(late, early, write_release(tmp_path / "new", created="2026-11-10"))
    assert out.startswith(f"# {tmp_path}/late/run.json → ")


def test_a_newer_record_of_another_suite_is_not_compared(compare: Command, tmp_path: Path) -> None:
    """NEW is compared with the newest record of its suite, in whatever order the records are given."""
    early = write_release(tmp_path / "early", created="2026-11-02", models={"int8": LOOSE})
    other = SuiteFacts(path="bench/other.toml", title="", digest="", seeds=[0])
    late = write_release(tmp_path / "late", created="2026-11-09", suite=other)
    new = write_release(tmp_path / "new", created="2026-11-10")
    for records in ((early, late), (late, early)):
        _, out, _ = compare(*records, new)
        assert out.startswith(f"# {tmp_path}/early/run.json → ")
    _, out, _ = compare(late, new)
    assert out.startswith(f"# {tmp_path}/late/run.json → ")
    assert "The records are of two different suites" in out


@pytest.mark.parametrize("case", ["missing", "no record", "no baseline", "itself"])
def test_wrong_input_is_one_line_and_exit_code_4(
    compare: Command, old: Path, tmp_path: Path, case: str
) -> None:
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    cases = {
        "missing": (tmp_path / "gone.json", "expected a run.json"),
        "no record": (tmp_path / "bad.json", "not a run record of schema slimgate.run/2"),
        "no baseline": (tmp_path / "empty", "no baseline of bench/support.toml"),
        "itself": (old, "the same record was given as OLD and as NEW"),
    }
    path, message = cases[case]
    code, out, err = compare(path, old)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert message in err


@pytest.mark.slow
def test_comparing_loads_no_torch(old: Path, tmp_path: Path) -> None:
    new = write_release(tmp_path / "new", models={"int8": FAILS})
    code = (
        "import sys; from slimgate.cli.main import main; "
        f"main(['compare', {str(old)!r}, {str(new)!r}]); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_gated_variant_that_is_gone_is_named_first_and_fails(
    compare: Command, old: Path, tmp_path: Path
) -> None:
    more = write_release(tmp_path / "more", models={"int8": Model(), "int4": Model()})
    code, out, _ = compare(more, old)
    assert (code, "stopped holding · 1 gated variant is gone\n" in out) == (1, True)
    first = out.splitlines()[2]
    assert first == f"**The gate demands less than {more}/run.json**: 1 change, 1 without a reason"
    accept = '`slimgate accept REPORT --name NAME --reason "…"`'
    assert accept in out
    code, out, _ = compare(old, more)
    assert (code, accept in out) == (0, False)


def test_a_teacher_that_fell_fails_where_it_is_asked_for(compare: Command, old: Path, tmp_path: Path) -> None:
    fewer = {name: range(110) for name in CLASSES}
    new = write_release(tmp_path / "new", created="2026-11-02T08:00:00+00:00", teacher=fewer)
    options = ("--fail-on", "regressed", "--fail-on", "loosened", "--fail-on", "removed")
    assert compare(old, new, *options)[0] == 0
    code, out, _ = compare(old, new, "--fail-on", "fell")
    assert (code, "1 metric got worse" in out) == (1, True)
    assert compare(old, write_release(tmp_path / "same"), "--fail-on", "fell")[0] == 0


def test_a_folder_that_cannot_be_written_is_one_line(compare: Command, old: Path, tmp_path: Path) -> None:
    new = write_release(tmp_path / "new")
    code, out, err = compare(old, new, "--out", old / "run.json" / "x")
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert "run.json/x: cannot be written: Not a directory" in err


def test_a_release_without_metrics_or_with_an_odd_name(compare: Command, old: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    odd = write_release(tmp_path / "$a_{$")
    code, out, _ = compare(odd, old, "--out", tmp_path / "out")
    assert (code, "![history]" in out) == (0, True)
    assert "$a_{$" in (tmp_path / "out/plots/history.svg").read_text()
    for folder in (odd, old):
        record = read_record_file(folder).record
        bare = [variant.model_copy(update={"quality": {}, "behaviour": None}) for variant in record.variants]
        (folder / "run.json").write_text(format_record_json(record.model_copy(update={"variants": bare})))
    code, out, err = compare(odd, old, "--out", tmp_path / "bare")
    assert (code, err, "![history]" in out) == (0, "", False)


@pytest.mark.slow
def test_a_pipe_that_is_not_utf_8_gets_escapes(old: Path, tmp_path: Path) -> None:
    new = write_release(tmp_path / "new")
    done = subprocess.run(
        [sys.executable, "-m", "slimgate.cli.main", "compare", str(old), str(new)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2192" in done.stdout


def test_records_of_judged_files_name_no_suite(
    compare: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = Path("docs/example_predictions")
    for name, points in (("old", "2"), ("new", "1")):
        pair = [str(examples / "teacher.csv"), str(examples / "small.csv")]
        arguments = ["judge", *pair, "--drop-points", points, "--report", str(tmp_path / name)]
        monkeypatch.setattr(sys, "argv", ["slimgate", *arguments])  # the record keeps the command
        main(arguments)
        assert "toml" not in (tmp_path / name / "pr-comment.md").read_text("utf-8")
    folders = tmp_path / "old", tmp_path / "new"
    compare()  # empties the captured output
    code, out, err = compare(*folders, "--explain-environment")
    assert (code, err) == (0, "")
    assert "drop_points 2 → 1 (tighter)" in out
    assert "uite" not in out
    release = json.loads(compare(*folders, "--json")[1])["new"]
    assert release["suite"] is None
    (tmp_path / "accepted").mkdir()
    code, _, err = compare(tmp_path / "accepted", folders[1])
    assert code == 4
    assert err.endswith("accepted: no baseline from a report folder named new is in this folder\n")


def test_the_note_on_versions_agrees_with_the_environment_table(compare: Command, tmp_path: Path) -> None:
    """Two run.json, of which one has an engine, a library and a Python that the other lacks."""
    before = {"torch": "2.13.0", "transformers": "4.57.0", "onnxruntime": None, "hf_xet": "1.2"}
    after = {"torch": "2.14.0", "transformers": "4.57.0", "onnxruntime": "1.27.0", "hf_xet": "1.2"}
    old = write_release(tmp_path / "old", machine=make_machine(libraries=before))
    new = write_release(tmp_path / "new", machine=make_machine(libraries=after, python="3.12"))
    code, out, _ = compare(old / "run.json", new / "run.json", "--explain-environment")
    assert code == 0
    assert "Other versions: onnxruntime none → 1.27.0, torch 2.13.0 → 2.14.0." in out
    table = [line.split("  ") for line in out.partition("\n\n")[0].splitlines() if "  " in line]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in table]
    assert rows[2:] == [
        ["inference engine, batching", "onnxruntime", "–", "1.27.0"],
        ["libraries", "torch", "2.13.0", "2.14.0"],
        ["operating system, Python", "Python", "3.11", "3.12"],
    ]
    _, text, _ = compare(old, new, "--explain-environment", "--json")
    changed = json.loads(text)["environment"]["changed"]
    assert [(change["name"], change["base"], change["target"]) for change in changed] == [
        ("onnxruntime", None, "1.27.0"),
        ("torch", "2.13.0", "2.14.0"),
        ("Python", "3.11", "3.12"),
    ]
    assert "environment" not in json.loads(compare(old, new, "--json")[1])
