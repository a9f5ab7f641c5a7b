"""The pages of slimgate's own steps, tasks, sources and runtimes, from their files. A step has a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slimgate.cli.steps import describe_step_facts, read_step_summary
from slimgate.plugins.loading import list_known_plugins, load, read_docstring
from slimgate.run import claims
from tools.reference.markdown import (
    format_code,
    format_contents,
    format_options,
    format_plain_line,
    format_prose,
    format_table,
)

Facts = Callable[[Any], dict[str, str]]


def make_steps_page() -> str:
    """reference/steps.md: the list of the steps, each with a page of its own."""
    head = (
        "Write a step as `{ name = { option = value } }`. Steps run in the order listed. "
        "`slimgate steps NAME` prints the page of a step. Each step reads one kind of artifact and writes "
        "one (`torch`, `torch_quantized`, `onnx`, …). The kind determines the runtime. "
        "The top of the report names promises that do not hold:"
    )
    steps = {name: load("step", name) for name in list_known_plugins("step")}
    rows = [(f"[`{name}`](steps/{name}.md)", _format_summary(step)) for name, step in steps.items()]
    promises = format_prose(str(claims.__doc__)).split("\n\n", 2)[2]
    return f"# Steps\n\n{head}\n\n{promises}\n\n{format_table(('step', 'what it does'), rows)}\n"


def make_step_pages() -> dict[str, str]:
    """File name -> text of the page of each step."""
    pages = {}
    for name in list_known_plugins("step"):
        body = _format_section("#", name, load("step", name), describe_step_facts)
        pages[f"steps/{name}.md"] = "\n\n".join([*body, "[All steps](../steps.md)"]) + "\n"
    return pages


def make_tasks_page() -> str:
    """reference/tasks.md"""
    head = (
        "`[task] kind` names the task. Write the options below into the same table, with `source`, `group`, "
        "`slices` and `splits` ([suite](suite.md#task)). A task measures some values for each row, and every "
        "[metric](metrics.md) that needs one of these values fits the task."
    )
    return _make_page(
        "Tasks", "task", head, lambda task: {"metrics that need": ", ".join(sorted(task.provides()))}
    )


def make_sources_page() -> str:
    """reference/sources.md"""
    head = '`[task] source = { name = "…", option = value }`.'
    return _make_page("Sources", "source", head, lambda _: {})


def make_runtimes_page() -> str:
    """reference/runtimes.md"""
    head = (
        "The kind of an artifact determines its runtime. "
        'To choose another one, write `[variants.NAME] runtime = { name = "…", option = value }`.'
    )
    return _make_page("Runtimes", "runtime", head, _list_runtime_facts)


def make_measurements_page() -> str:
    """reference/measurements.md"""
    head = (
        "`[budgets] measurements.NAME = { value_ratio_max = 0.8 }`. slimgate measures the teacher and the "
        "variant in turns. A smaller figure is better. To write one, see "
        "[your own measurement](../own_step.md#your-own-measurement)."
    )
    parts = ["# Measurements", head]
    for name in list_known_plugins("measurement"):
        plugin = load("measurement", name)
        facts = {"unit": plugin.unit or "none", "readings of each model": str(plugin.readings)}
        parts += [
            f"## {name}",
            format_prose(read_docstring(plugin)),
            format_table(("", ""), list(facts.items())),
        ]
    return "\n\n".join(parts) + "\n"


def _list_runtime_facts(runtime: Any) -> dict[str, str]:
    return {
        "executes": ", ".join(sorted(runtime.kinds)),
        "by itself": ", ".join(sorted(runtime.default_for)) or "only where it is named",
        "answers depend on the version of": ", ".join(runtime.packages) or "PyTorch",
        "answers depend on the processor": _describe_processors(runtime),
    }


def _describe_processors(runtime: Any) -> str:
    free = runtime.any_processor
    kinds = ", ".join(sorted(runtime.kinds - free))
    return f"of kind {kinds}" if free else "always"


def _make_page(title: str, kind: str, head: str, facts: Facts) -> str:
    plugins_by_name = {name: load(kind, name) for name in list_known_plugins(kind)}
    summaries = {name: _format_summary(plugin) for name, plugin in plugins_by_name.items()}
    parts = [f"# {title}", head, format_contents(summaries, (kind, "what it does"))]
    for name, plugin in plugins_by_name.items():
        parts += _format_section("##", name, plugin, facts)
    return "\n\n".join(parts) + "\n"


def _format_section(level: str, name: str, plugin: Any, facts: Facts) -> list[str]:
    parts = [
        f"{level} {name}",
        format_prose(read_docstring(plugin)),
        format_options(plugin.Params.model_json_schema()),
    ]
    if facts_shown := [(label, format_code_list(value)) for label, value in facts(plugin).items()]:
        parts.append(format_table(("property", "value"), facts_shown))
    return parts


def _format_summary(plugin: Any) -> str:
    return format_plain_line(read_step_summary(plugin))


def format_code_list(value: str) -> str:
    """Names as code, sentences as they are."""
    names = value.split(", ")
    is_names = all(" " not in name for name in names) and value not in ("yes", "no", "nothing", "PyTorch")
    return ", ".join(map(format_code, names)) if is_names else format_plain_line(value)
