"""[budgets] family = "holm": all gated variants are judged together."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.user_repository import run_pytest

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "two that cannot both be told from their budget"
extends = "_common.toml"

[variants]
one = { steps = [{ "own_steps:Same" = {} }] }
two = { from = "one", steps = [{ "own_steps:Same" = {} }] }
broken = { steps = [{ "own_steps:Broken" = {} }], gated = false, reason = "no member of the family" }

[budgets]
accuracy = { drop_points = 0.9 }
"""


def test_what_passes_alone_fails_to_pass_beside_uncertain_others(repository: Path) -> None:
    (repository / "bench/alone.toml").write_text(SUITE)
    (repository / "bench/holm.toml").write_text(SUITE.replace("[budgets]", '[budgets]\nfamily = "holm"'))
    ran = run_pytest(repository, "bench/alone.toml", "bench/holm.toml", "-k", "accuracy and not broken", "-q")
    assert ran.code == 1
    assert "2 failed, 2 passed" in ran.lines[-1]
    for name in ("one", "two"):
        alone = ran.find_variant("alone", name)["quality"]["accuracy"]
        # 400 rows without a change: p = 0.028, twice that is above 5 %
        assert (alone["verdict"], alone["among"]) == ("PASS", 2)
        assert alone["bound_among"] > 0.9 > alone["interval"][1]
        accuracy = ran.find_variant("holm", name)["quality"]["accuracy"]
        assert accuracy["verdict"] == "INCONCLUSIVE"
        assert (
            "would PASS alone, but not as one of 2 budgets of all variants (Holm's correction)"
            in accuracy["message"]
        )


def test_a_variant_alone_in_its_family_is_judged_alone(repository: Path) -> None:
    lines = [line for line in SUITE.splitlines() if not line.startswith("two")]
    text = "\n".join(lines)
    (repository / "bench/single.toml").write_text(text.replace("[budgets]", '[budgets]\nfamily = "holm"'))
    (repository / "bench/other.toml").write_text(text.replace("[budgets]", '[budgets]\nfamily = "sidak"'))
    assert run_pytest(repository, "bench/single.toml", "-k", "one-accuracy", "-q").code == 0
    ran = run_pytest(repository, "bench/other.toml", "-q")
    assert ran.code == 4
    assert 'family: sidak was given, expected "holm"' in ran.out.replace('"sidak"', "sidak")
    (repository / "bench/other.toml").unlink()


def test_a_shard_would_judge_a_part_of_the_family_only(repository: Path) -> None:
    (repository / "bench/holm.toml").write_text(SUITE.replace("[budgets]", '[budgets]\nfamily = "holm"'))
    ran = run_pytest(repository, "bench/holm.toml", "--slimgate-shard", "1/2", "-q")
    assert ran.code == 4
    assert "[budgets] family: all variants are judged together, so leave out --slimgate-shard" in ran.out
