"""A suite of logs: a base and two targets."""

from __future__ import annotations

SUITE = """\
[logs]
base = "../logs/base"
targets = { good = "../logs/good", bad = "../logs/bad" }

[budgets]
"*" = { drop_points = 5.0 }
"arc" = { drop_points = 5.0, on_inconclusive = "warn" }
"""
