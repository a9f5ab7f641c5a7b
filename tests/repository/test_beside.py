"""tools/packaging/beside.py: its tables in the docs have all its tools, and it reads the answers of uv."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.report_sections import split_row

from tools.packaging.beside import (
    BEGIN,
    END,
    PACKAGES,
    TOOLS,
    Resolution,
    Row,
    format_table,
    parse_conflict,
    parse_failure,
    parse_versions,
    read_own_requirements,
    write_section,
)

ROOT = Path(__file__).parents[2]
# Recorded from uv 0.13.9; lines of the first are left out.
RESOLVED = """\
annotated-types==0.8.0
jinja2==3.1.6
numpy==2.4.6
packaging==26.4
pytest==9.2.0
slimgate @ file:///checkout
tabulate==0.10.0
"""
CONFLICT = """\
error: No solution found when resolving dependencies
  cause: Because optimum-intel>=2.2.0 depends on transformers>=4.51,<5.6 \
and slimgate[models]==0.1.0 depends on transformers>=5.14.1,<6, \
we can conclude that optimum-intel>=2.2.0 and slimgate[models]==0.1.0 are incompatible.
         And because only slimgate[models]==0.1.0 is available, \
we can conclude that optimum-intel>=2.2.0 and all versions of slimgate[models] are incompatible.
         And because you require slimgate[models] and optimum-intel==2.2.0, \
we can conclude that your requirements are unsatisfiable.
"""
CHAIN = """\
error: No solution found when resolving dependencies
  cause: Because all of:
             huggingface-hub>=2.0.0,<=2.1.0rc0
             huggingface-hub>=2.1.1
         depend on click>=8.4.2,<9.0.0 and huggingface-hub==2.1.0 was yanked (reason: (renamed CLI command \
in 2.1.1)), we can conclude that huggingface-hub>=2.0.0 depends on click>=8.4.2,<9.0.0.
         And because deepeval>=4.3.1 depends on click>=8.0.0,<8.4.0, we can conclude that \
deepeval>=4.3.1 and huggingface-hub>=2.0.0 are incompatible.
         And because you require deepeval==4.3.1 and huggingface-hub>=2, we can conclude that \
your requirements are unsatisfiable.
"""
NO_NETWORK = """\
error: Request failed after 3 retries in 7.0s
  cause: Failed to fetch: http://localhost:9/x/deepeval/
  cause: error sending request for url (http://localhost:9/x/deepeval/)
"""


def lines_of_docs() -> list[str]:
    text = (ROOT / "docs" / "versions.md").read_text()
    return text.partition(BEGIN)[2].partition(END)[0].splitlines()


def test_the_tables_of_the_docs_have_the_tools_of_the_program() -> None:
    tables: list[list[str]] = []
    for line in lines_of_docs():
        if line.startswith("### "):
            tables.append([])
        elif line.startswith("| "):
            tables[-1].append(line.split("|")[1].strip())
    assert [list(dict.fromkeys(table)) for table in tables] == [["tool", *TOOLS]] * 2


def test_a_resolution_is_read() -> None:
    versions = parse_versions(RESOLVED)
    assert versions["numpy"] == "2.4.6"
    assert sorted(versions) == ["annotated-types", "jinja2", "numpy", "packaging", "pytest", "tabulate"]
    assert parse_conflict(RESOLVED) == ""


def test_a_conflict_is_the_requirements_in_one_line() -> None:
    assert parse_conflict(CONFLICT) == (
        "optimum-intel>=2.2.0 depends on transformers>=4.51,<5.6 and "
        "slimgate[models]==0.1.0 depends on transformers>=5.14.1,<6"
    )
    assert parse_conflict(CHAIN) == (
        "all of: huggingface-hub>=2.0.0,<=2.1.0rc0 huggingface-hub>=2.1.1 depend on click>=8.4.2,<9.0.0 "
        "and huggingface-hub==2.1.0 was yanked (reason: (renamed CLI command in 2.1.1)); "
        "deepeval>=4.3.1 depends on click>=8.0.0,<8.4.0"
    )


def test_a_failure_is_no_conflict_and_names_no_address() -> None:
    assert parse_conflict(NO_NETWORK) == ""
    assert (
        parse_failure(NO_NETWORK)
        == "error: Request failed after 3 retries in 7.0s; cause: Failed to fetch: …"
    )
    assert parse_failure("") == "uv ended without a message"


def test_each_version_is_a_row_and_each_problem_a_line() -> None:
    rows = [
        Row("vllm", "2", "3.11", Resolution({"vllm": "2", "numpy": "2.3.5"})),
        Row("nncf", "3", "3.11", Resolution(conflict="a needs b"), "No version resolves."),
        Row("lighteval", "4", "3.12", Resolution(failure="no answer in 300 s")),
    ]
    head, _, *lines, empty, conflict, failure = format_table(rows).splitlines()
    cells = [split_row(line) for line in (head, *lines)]
    assert cells == [
        ["tool", "version", "Python", "resolves", *PACKAGES],
        ["vllm", "2", "3.11", "yes", "", "", "2.3.5", "", "", ""],
        ["nncf", "3", "3.11", "no", *[""] * 6],
        ["lighteval", "4", "3.12", "not known", *[""] * 6],
    ]
    assert (empty, conflict) == ("", "- nncf 3, Python 3.11: a needs b. No version resolves.")
    assert failure == "- lighteval 4, Python 3.12: no answer in 300 s."


def test_the_extra_adds_its_requirements() -> None:
    light, models = read_own_requirements(""), read_own_requirements("models")
    assert light.items() < models.items()
    assert {requirement.name for requirement in models.values()} > {"torch", "numpy"}


def test_a_page_without_the_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_section(page, f"{BEGIN}\nnew\n{END}")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text("before\n")
    with pytest.raises(SystemExit, match="expected the lines"):
        write_section(page, "new")
