"""The pages of slimgate's own steps, tasks, sources and runtimes: a section each, from its file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slimgate.cli.steps import step_facts, step_summary
from slimgate.plugins.loading import known_plugins, load, text_of
from slimgate.run import claims
from tools.reference.markdown import code, contents, options, prose, table, to_plain_line

Facts = Callable[[Any], dict[str, str]]


def steps_page() -> str:
    """reference/steps.md"""
    head = (
        "A step stands in a suite as `{ name = { option = value } }`, in the order in which it is taken. "
        "`slimgate steps NAME` tells the same at a prompt. Kinds of artifact, which a step starts from and "
        "leaves, are `torch`, `torch_quantized`, `onnx` and their like; the kind chooses the runtime. "
        "A promise that does not hold is named at the top of the report:"
    )
    return _page(
        "Steps", "step", f"{head}\n\n{prose(str(claims.__doc__)).split(chr(10) * 2, 2)[2]}", step_facts
    )


def tasks_page() -> str:
    """reference/tasks.md"""
    head = (
        "`[task] kind` names the task; the options below stand in the same table, beside `source`, `group`, "
        "`slices` and `splits` ([suite](suite.md#task)). `needs` of its [metrics](metrics.md) tell which fit."
    )
    return _page("Tasks", "task", head, lambda task: {"metrics that need": ", ".join(sorted(task.metrics()))})


def sources_page() -> str:
    """reference/sources.md"""
    head = '`[task] source = { name = "…", option = value }`.'
    return _page("Sources", "source", head, lambda _: {})


def runtimes_page() -> str:
    """reference/runtimes.md"""
    head = (
        "The kind of an artifact chooses its runtime; "
        '`[variants.NAME] runtime = { name = "…", option = value }` names another one.'
    )
    return _page("Runtimes", "runtime", head, _runtime_facts)


def _runtime_facts(runtime: Any) -> dict[str, str]:
    return {
        "executes": ", ".join(sorted(runtime.kinds)),
        "by itself": ", ".join(sorted(runtime.default_for)) or "only where it is named",
        "answers depend on the version of": ", ".join(runtime.packages) or "PyTorch",
        "answers depend on the processor": _by_processor(runtime),
    }


def _by_processor(runtime: Any) -> str:
    free = runtime.any_processor
    kinds = ", ".join(sorted(runtime.kinds - free))
    return f"of kind {kinds}" if free else "always"


def _page(title: str, kind: str, head: str, facts: Facts) -> str:
    plugins_by_name = {name: load(kind, name) for name in known_plugins(kind)}
    summaries = {name: to_plain_line(step_summary(plugin)) for name, plugin in plugins_by_name.items()}
    parts = [f"# {title}", head, contents(summaries, (kind, "what it does"))]
    for name, plugin in plugins_by_name.items():
        parts += [f"## {name}", prose(text_of(plugin)), options(plugin.Params.model_json_schema())]
        if facts_shown := [(label, code_list(value)) for label, value in facts(plugin).items()]:
            parts.append(table(("", ""), facts_shown))
    return "\n\n".join(parts) + "\n"


def code_list(value: str) -> str:
    """Names as code, sentences as they are."""
    names = value.split(", ")
    is_names = all(" " not in name for name in names) and value not in ("yes", "no", "nothing", "PyTorch")
    return ", ".join(map(code, names)) if is_names else to_plain_line(value)
