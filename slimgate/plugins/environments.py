"""The environments of two runs, and how they differ.

An environment has areas, such as PROMPT. Each area has settings: names and plain JSON values. Readers of logs
return an environment, and `read_record_environment` makes that of a record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimgate._system.json_text import convert_to_json

PROMPT, SAMPLING, MODEL, ENGINE = "prompt", "sampling", "model", "engine"
HARNESS, LIBRARIES, HARDWARE, SYSTEM = "harness", "libraries", "hardware", "system"
# What usually changes a score most comes first.
AREAS: Mapping[str, str] = {
    PROMPT: "prompt, few-shots, chat template, answer parsing",
    SAMPLING: "sampling, limits, seeds",
    MODEL: "model, its revision and number type",
    ENGINE: "inference engine, batching",
    HARNESS: "evaluation tool",
    LIBRARIES: "libraries",
    HARDWARE: "hardware, driver",
    SYSTEM: "operating system, Python",
}
Environment = Mapping[str, Mapping[str, Any]]
# Packages that execute a model, and those that evaluate one; names as PyPI normalizes them.
_ENGINES = frozenset(
    (
        *("vllm", "sglang", "tensorrt-llm", "lmdeploy", "llama-cpp-python", "ctranslate2", "openvino"),
        *("onnxruntime", "onnxruntime-gpu", "onnxruntime-genai", "optimum-intel", "mlx-lm", "deepspeed"),
        *("exllamav2", "exllamav3", "flash-attn", "flashinfer-python", "xformers", "openai", "anthropic"),
    )
)
_HARNESSES = frozenset(
    (
        *("lm-eval", "inspect-ai", "inspect-evals", "lighteval", "crfm-helm", "promptfoo", "guidellm"),
        *("deepeval", "mteb", "evalscope", "opencompass", "slimgate"),
    )
)
_PIP_LINE = re.compile(r"^\[(?:pip3?|conda)\]\s+(?P<name>[\w.-]+?)(?:==|\s+)(?P<version>[\w.+!-]+)")
# Lines of torch.utils.collect_env -> where they belong.
_COLLECT_ENV: Mapping[str, tuple[str, str]] = {
    "PyTorch version": (LIBRARIES, "torch"),
    "CUDA used to build PyTorch": (LIBRARIES, "CUDA of torch"),
    "ROCM used to build PyTorch": (LIBRARIES, "ROCm of torch"),
    "cuDNN version": (LIBRARIES, "cuDNN"),
    "CUDA runtime version": (HARDWARE, "CUDA runtime"),
    "Nvidia driver version": (HARDWARE, "driver"),
    "GPU models and configuration": (HARDWARE, "GPU"),
    "Model name": (HARDWARE, "CPU"),
    "OS": (SYSTEM, "OS"),
    "Python version": (SYSTEM, "Python"),
}


@dataclass(frozen=True)
class ChangedSetting:
    """A setting that differs.

    area: one of AREAS. base, target: JSON values; None: the run does not state the setting.
    """

    area: str
    name: str
    base: Any
    target: Any


@dataclass(frozen=True)
class EnvironmentChanges:
    """The settings that differ. unknown: areas of which at least one run states no setting."""

    changed: Sequence[ChangedSetting]
    unknown: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """The value of `environment` in the output of `--json`."""
        return {"changed": [vars(change) for change in self.changed], "unknown": list(self.unknown)}


def compare_environments(base: Environment, target: Environment) -> EnvironmentChanges:
    """Compares the environments of two runs.

    Args:
        base: The environment of the base.
        target: The environment of the target.

    Returns:
        The settings with two values, also those that only one run states. An area of which a run states no
        setting is not compared.
    """
    changed: list[ChangedSetting] = []
    unknown: list[str] = []
    for area in AREAS:
        before, after = (_flatten_settings(environment.get(area) or {}) for environment in (base, target))
        if not before or not after:
            unknown.append(area)
            continue
        changed += [
            ChangedSetting(area, name, before.get(name), after.get(name))
            for name in dict.fromkeys((*before, *after))
            if before.get(name) != after.get(name)
        ]
    return EnvironmentChanges(changed, unknown)


def _flatten_settings(settings: Mapping[str, object]) -> dict[str, Any]:
    """The settings without empty ones. Each entry of a table is a setting, such as `table.key`."""
    flat: dict[str, Any] = {}
    for name, value in convert_to_json(settings).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in _flatten_settings(value).items()}
        elif value is not None and value != "" and value != []:
            flat[name] = value
    return flat


def make_environment(**areas: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """An environment without empty areas and without settings that are None."""
    stated = {
        area: {name: value for name, value in settings.items() if value is not None}
        for area, settings in areas.items()
    }
    return {area: settings for area, settings in stated.items() if settings}


def join_environments(*environments: Environment) -> dict[str, dict[str, Any]]:
    """Joins environments. If several state a setting, the value of the last one counts."""
    joined: dict[str, dict[str, Any]] = {}
    for environment in environments:
        for area, settings in environment.items():
            joined.setdefault(area, {}).update(settings)
    return joined


def group_packages(packages: Mapping[str, str | None]) -> dict[str, dict[str, Any]]:
    """The environment of installed versions. Engines and evaluation tools have areas of their own."""
    areas: dict[str, dict[str, Any]] = {}
    for name, version in packages.items():
        normal = re.sub(r"[-_.]+", "-", name).lower()
        area = ENGINE if normal in _ENGINES else HARNESS if normal in _HARNESSES else LIBRARIES
        if version is not None:
            areas.setdefault(area, {})[normal] = version
    return areas


def read_collected_env(text: str) -> dict[str, dict[str, Any]]:
    """The environment that torch.utils.collect_env printed, such as lm-eval's pretty_env_info."""
    packages: dict[str, str] = {}
    named: dict[str, dict[str, Any]] = {}
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if match := _PIP_LINE.match(line.strip()):
            packages[match["name"]] = match["version"]
            continue
        key, colon, value = line.strip().partition(":")
        if not colon or key not in _COLLECT_ENV:
            continue
        area, name = _COLLECT_ENV[key]
        value = value.strip()
        if not value and name == "GPU":  # the cards are on the lines below
            cards = [below.strip() for below in lines[at + 1 :]]
            value = "; ".join(cards[: next((k for k, card in enumerate(cards) if "GPU" not in card), None)])
        if value and value not in ("N/A", "Could not collect"):
            named.setdefault(area, {}).setdefault(name, value)
    return join_environments(group_packages(packages), named)
