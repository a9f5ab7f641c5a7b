"""The reference pages of the docs site, made from the code when the site is built.

A page is a function that gives its markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tools.reference.commands import make_commands_page
from tools.reference.families import make_families_page
from tools.reference.metrics import make_metrics_page
from tools.reference.plugins import (
    make_measurements_page,
    make_runtimes_page,
    make_sources_page,
    make_step_pages,
    make_steps_page,
    make_tasks_page,
)
from tools.reference.record_keys import make_record_page
from tools.reference.suite_keys import make_suite_page

PAGES: Mapping[str, tuple[str, Callable[[], str]]] = {
    "suite.md": ("every key of a suite file", make_suite_page),
    "steps.md": ("the compression steps, with their options", make_steps_page),
    "families.md": ("the families of models, and which step changes which", make_families_page),
    "tasks.md": ("the tasks: what a row is, and what a model learns from it", make_tasks_page),
    "metrics.md": ("the metrics, and how each is judged", make_metrics_page),
    "sources.md": ("where rows come from", make_sources_page),
    "runtimes.md": ("what executes an artifact", make_runtimes_page),
    "measurements.md": ("figures of a model that a budget can limit", make_measurements_page),
    "record.md": ("every key of run.json, with units", make_record_page),
    "commands.md": ("the command line, and the options of pytest", make_commands_page),
}


def make_reference() -> dict[str, str]:
    """File name -> text of every page. README.md lists the pages; steps/ has a page for each step."""
    pages = {name: page() for name, (_, page) in PAGES.items()}
    lines = [f"- [{name.removesuffix('.md')}]({name}): {about}" for name, (about, _) in PAGES.items()]
    head = "# Reference\n\nMade from the code when the site is built. To change a page, edit the code.\n\n"
    return {"README.md": head + "\n".join(lines) + "\n", **pages, **make_step_pages()}
