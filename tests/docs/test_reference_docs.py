"""The reference pages: the code says enough for them."""

from __future__ import annotations

import pytest

from slimgate.cli.main import COMMANDS
from slimgate.cli.steps import list_option_tables
from slimgate.judge.metrics import list_known_metrics
from slimgate.plugins.loading import list_known_plugins
from slimgate.record.run import RunRecord
from tools.reference import make_reference
from tools.reference.commands import list_arguments, list_pytest_options, list_subcommands
from tools.reference.markdown import format_plain_line, format_prose, make_anchor
from tools.reference.record_keys import find_unit
from tools.reference.suite_keys import TABLES


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Texts of the reference pages by file name."""
    return make_reference()


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        ("tasks.md", "task"),
        ("sources.md", "source"),
        ("runtimes.md", "runtime"),
        ("measurements.md", "measurement"),
    ],
)
def test_every_plug_in_has_its_section(pages: dict[str, str], page: str, kind: str) -> None:
    assert [name for name in list_known_plugins(kind) if f"\n## {name}\n" not in pages[page]] == []


def test_every_step_has_a_page_that_the_list_leads_to(pages: dict[str, str]) -> None:
    for name in list_known_plugins("step"):
        assert pages[f"steps/{name}.md"].startswith(f"# {name}\n")
        assert f"| [`{name}`](steps/{name}.md) |" in pages["steps.md"]


def test_every_metric_is_reported(pages: dict[str, str]) -> None:
    assert [name for name in list_known_metrics() if f"\n| `{name}` | " not in pages["metrics.md"]] == []


@pytest.mark.parametrize("name", TABLES)
def test_every_key_of_a_suite_says_what_it_is(name: str) -> None:
    model, _ = TABLES[name]
    tables = list_option_tables(model.model_json_schema())
    assert [option.name for table in tables for option in table.options if not option.about] == []


def test_every_number_of_the_record_that_is_no_count_has_a_unit() -> None:
    schema = RunRecord.model_json_schema(by_alias=True)
    bare = [
        f"{name}.{key}"
        for name, part in {"RunRecord": schema, **schema["$defs"]}.items()
        for key, of in part.get("properties", {}).items()
        if "'number'" in str(of) and not find_unit(name, key)
    ]
    assert bare == [], "tools/reference/record_keys.py says the units"


def test_every_command_and_option_is_reported_with_its_help(pages: dict[str, str]) -> None:
    assert len(list_subcommands()) == len(COMMANDS)
    for name, (parser, _) in list_subcommands().items():
        section = pages["commands.md"].partition(f"\n## slimgate {name}\n")[2].partition("\n## ")[0]
        for action in list_arguments(parser):
            assert action.help, f"slimgate {name} {action.dest}"
            assert all(f"`{option}`" in section for option in action.option_strings)
    assert [name for name in list_pytest_options().options if f"`{name}" not in pages["commands.md"]] == []


def test_a_docstring_becomes_prose_code_and_tables() -> None:
    text = format_prose(
        """Keeps <some> of `a_b`.

            { keep = [0, 2] }

        [task]
        kind = "x"

        loss = a
             + b

        | name | is   |
        |------|------|
        | one  | long |
        |      | text |
        """
    )
    assert text == (
        "Keeps &lt;some&gt; of `a_b`.\n\n"
        '```toml\n{ keep = [0, 2] }\n\n[task]\nkind = "x"\n```\n\n'
        "```text\nloss = a\n     + b\n```\n\n"
        "| name | is |\n| ------ | ------ |\n| one | long text |"
    )


def test_prose_around_code_keeps_its_blanks() -> None:
    assert format_plain_line("rows of\n`train` * 2") == "rows of `train` \\* 2"


def test_an_anchor_is_as_github_makes_it() -> None:
    assert make_anchor("budgets: metrics") == "budgets-metrics"
    assert make_anchor("variants.NAME") == "variantsname"
