"""The CPUs, GPUs and memory that a task needs, as the command line states them."""

from __future__ import annotations

import pytest

from slimgate.errors import SuiteError
from slimgate.run.cluster.tasks import Needs, RequestedNeeds, parse_needs

MODELS = ("teacher", "student", "distilled")


def test_a_model_needs_a_cpu_per_thread_and_a_gpu_for_cuda() -> None:
    assert RequestedNeeds().find_needs("student", threads=2, device="cpu") == Needs(2)
    assert RequestedNeeds().find_needs("student", threads=2, device="cuda:1") == Needs(2, gpus=1)


def test_needs_of_one_model_override_needs_of_all_models() -> None:
    needs = parse_needs(["student:memory=500M,cpus=4", "cpus=1,memory=1.5G"], MODELS)
    assert needs.find_needs("student", threads=2, device="cpu") == Needs(4, memory=500 << 20)
    assert needs.find_needs("teacher", threads=2, device="cpu") == Needs(1, memory=3 << 29)


def test_only_needed_resources_are_requested() -> None:
    assert Needs(0.5, memory=1024).resources == {"CPU": 0.5, "memory": 1024.0}
    assert str(Needs(0.5, memory=1 << 30)) == "cpus=0.5,memory=1073741824"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpu=2", '"cpu" is not a resource. Did you mean cpus?'),
        ("cpus=1.5", 'cpus is "1.5", expected a whole number, or one below 1'),
        ("cpus=-1", 'cpus is "-1"'),
        ("gpus=nan", 'gpus is "nan"'),
        ("memory=lots", 'memory is "lots", expected bytes such as 8G or 500M'),
        ("studnt:cpus=1", "no model is named studnt. Did you mean student?"),
        ("student:", '"" is not a resource'),
        ("", '"" is not a resource'),
    ],
)
def test_what_cannot_be_read_is_one_line(text: str, message: str) -> None:
    with pytest.raises(SuiteError) as error:
        parse_needs([text], MODELS)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
