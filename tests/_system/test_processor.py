"""slimgate._system.processor: which processor computes, in one line that changes when its kernels would."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate._system import processor
from slimgate._system.processor import (
    LIMITS,
    describe_gpu,
    describe_processor,
    has_saturating_sums,
    list_cpu_instructions,
    read_cpu_name,
)

X86 = "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu avx2 sse avx512_vnni\n\nflags\t\t: amx_int8\n"
ARM = "processor\t: 0\nBogoMIPS\t: 2\nFeatures\t: fp asimd asimddp bf16 i8mm\n"


@pytest.mark.parametrize(
    ("text", "instructions"),
    [(X86, ["avx2", "avx512_vnni"]), (ARM, ["asimd", "asimddp", "bf16", "i8mm"]), ("nothing\n", [])],
    ids=["x86", "arm", "unknown"],
)
def test_instructions_are_those_that_choose_kernels(
    tmp_path: Path, text: str, instructions: list[str]
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert list_cpu_instructions(tmp_path / "cpuinfo") == instructions


@pytest.mark.parametrize(
    ("instructions", "saturate"),
    [
        (["avx2"], True),
        (["avx2", "avx512f"], True),
        (["avx2", "avx512_vnni"], False),
        (["avx2", "avx_vnni"], False),
        (["avx2", "amx_int8"], False),
        (["asimd"], False),
    ],
)
def test_int8_sums_saturate_on_x86_without_vnni(instructions: list[str], saturate: bool) -> None:
    assert has_saturating_sums(instructions) is saturate


def test_a_gpu_without_torch_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models behind endpoints need no torch."""
    monkeypatch.setattr(processor, "find_spec", lambda _: None)
    processor._describe_gpu.cache_clear()
    assert describe_gpu("cuda:1") == "a GPU that is not here"
    processor._describe_gpu.cache_clear()
    assert describe_gpu("cpu") is None


def test_a_system_without_cpuinfo_still_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(X86)
    assert read_cpu_name(tmp_path / "cpuinfo") == "A CPU"
    assert read_cpu_name(tmp_path / "nowhere")
    assert list_cpu_instructions(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("AMD EPYC", "AMD EPYC (family 25, model 17)"),
        ("Intel Xeon (Skylake, IBRS)", "Intel Xeon (Skylake, IBRS) (family 25, model 17)"),
        ("AMD EPYC 9R14", "AMD EPYC 9R14"),
    ],
)
def test_a_name_without_a_number_gets_family_and_model(tmp_path: Path, name: str, shown: str) -> None:
    """Two generations of EPYC had the same name and instructions, and int8 peaks of 1,967 and 890 GOP/s."""
    lines = ("processor\t: 0", "cpu family\t: 25", "model\t\t: 17", f"model name\t: {name}")
    (tmp_path / "cpuinfo").write_text("\n".join(lines))
    assert read_cpu_name(tmp_path / "cpuinfo") == shown


@pytest.mark.parametrize("name", LIMITS)
def test_what_the_environment_forbids_the_processor_is_reported(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for limit in LIMITS:
        monkeypatch.delenv(limit, raising=False)
    plain = describe_processor("cpu", threads=1)
    assert plain.startswith(f"{read_cpu_name()} (")
    assert plain.endswith("), 1 thread")
    assert describe_processor("cpu", threads=2).endswith("), 2 threads")
    monkeypatch.setenv(name, "AVX2")
    assert describe_processor("cpu", threads=1) == plain.replace("), 1", f"), {name}=AVX2, 1")
