"""In what two runs differ besides their answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimgate.cli.judge.environment import compare_logs
from slimgate.cli.main import main
from slimgate.logs.find import read_any_log
from slimgate.plugins.environments import (
    AREAS,
    ChangedSetting,
    Environment,
    compare_environments,
    group_packages,
    read_collected_env,
)
from slimgate.plugins.reader import Log, TaskLog

WRITTEN = Path(__file__).parent / "written_by_tools"
COLLECTED = """PyTorch version: 2.5.1+cu124
CUDA used to build PyTorch: 12.4
ROCM used to build PyTorch: N/A
OS: Ubuntu 22.04.4 LTS (x86_64)
GPU models and configuration:
GPU 0: NVIDIA A100
GPU 1: NVIDIA A100

Nvidia driver version: 550.90
CPU:
Model name:    AMD EPYC 7763
Versions of relevant libraries:
[pip3] numpy==1.26.4
[pip3] vllm==0.6.3
[conda] transformers              4.46.0                   pypi_0    pypi
"""


def test_what_usually_matters_most_comes_first() -> None:
    base = {"system": {"OS": "a"}, "engine": {"vllm": "0.6"}, "prompt": {"template": "x"}}
    target = {"system": {"OS": "b"}, "engine": {"vllm": "0.7"}, "prompt": {"template": "y"}}
    changes = compare_environments(base, target)
    assert [change.area for change in changes.changed] == ["prompt", "engine", "system"]
    assert changes.unknown == [area for area in AREAS if area not in base]


@pytest.mark.parametrize(
    "target", [{}, {"engine": {}}, {"engine": {"vllm": None}}], ids=["no area", "no setting", "no value"]
)
def test_an_area_that_one_run_does_not_state_is_not_compared(target: Environment) -> None:
    changes = compare_environments({"engine": {"vllm": "0.6"}}, target)
    assert changes.changed == []
    assert "engine" in changes.unknown


def test_a_table_is_compared_by_its_entries() -> None:
    changes = compare_environments(
        {"sampling": {"gen": {"top_p": 1, "temperature": 0}}}, {"sampling": {"gen": {"temperature": 1}}}
    )
    assert changes.changed == [
        ChangedSetting("sampling", "gen.top_p", 1, None),
        ChangedSetting("sampling", "gen.temperature", 0, 1),
    ]


def test_packages_are_sorted_into_engines_tools_and_libraries() -> None:
    assert group_packages({"vLLM": "1", "lm_eval": "2", "torch": "3", "absent": None}) == {
        "engine": {"vllm": "1"},
        "harness": {"lm-eval": "2"},
        "libraries": {"torch": "3"},
    }


def test_what_torch_collects_is_read() -> None:
    assert read_collected_env(COLLECTED) == {
        "engine": {"vllm": "0.6.3"},
        "hardware": {
            "GPU": "GPU 0: NVIDIA A100; GPU 1: NVIDIA A100",
            "driver": "550.90",
            "CPU": "AMD EPYC 7763",
        },
        "libraries": {
            "numpy": "1.26.4",
            "transformers": "4.46.0",
            "torch": "2.5.1+cu124",
            "CUDA of torch": "12.4",
        },
        "system": {"OS": "Ubuntu 22.04.4 LTS (x86_64)"},
    }


def test_the_settings_of_tasks_are_part_of_it() -> None:
    logs = [
        Log("x", "x", {"gsm8k": TaskLog(lambda: iter(()), settings={"shots": {"shots": shots}})})
        for shots in (5, 8)
    ]
    assert compare_logs(*logs).changed == [ChangedSetting("prompt", "gsm8k shots.shots", 5, 8)]


@pytest.mark.parametrize(
    ("base", "target", "area"),
    [
        ("lm_eval/base", "lm_eval/int4", "model"),
        ("promptfoo/base.json", "promptfoo/target.json", "model"),
        ("guidellm/base.json", "guidellm/int4.json", "model"),
    ],
)
def test_logs_of_tools_say_what_differs(base: str, target: str, area: str) -> None:
    changes = compare_logs(read_any_log(WRITTEN / base), read_any_log(WRITTEN / target))
    assert {change.area for change in changes.changed} == {area}


def test_the_versions_of_lm_eval_are_read(tmp_path: Path) -> None:
    results = next((WRITTEN / "lm_eval/base").glob("results_*.json"))
    for name, version in (("old", "5.23.0"), ("new", "5.24.0")):
        folder = tmp_path / name
        folder.mkdir()
        for file in results.parent.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        content = json.loads(results.read_text("utf-8"))
        content |= {"transformers_version": version, "pretty_env_info": COLLECTED, "git_hash": name}
        (folder / results.name).write_text(json.dumps(content), "utf-8")
    old, new = (read_any_log(tmp_path / name) for name in ("old", "new"))
    assert old.environment["engine"]["vllm"] == "0.6.3"
    assert compare_logs(old, new).changed == [
        ChangedSetting("harness", "git hash", "old", "new"),
        ChangedSetting("libraries", "transformers", "5.23.0", "5.24.0"),
    ]


def test_the_command_shows_the_table_and_json_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(WRITTEN / "lm_eval" / name) for name in ("base", "int4")]
    paths += ["--missing", "drop"]  # they hold 10 samples of 300
    assert main(["judge", *paths, "--explain-environment"]) == 0
    assert "model_args.pretrained  ./base  ./int4" in capsys.readouterr().out
    assert main(["judge", *paths, "--explain-environment", "--json"]) == 0
    [changed] = json.loads(capsys.readouterr().out)["int4"]["environment"]["changed"]
    assert changed["target"] == "./int4"
