"""Behaviour: which rows a variant answers otherwise than its teacher, whatever the metric says of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimgate.outcomes import Outcomes


def behaviour(teacher: Outcomes, variant: Outcomes) -> dict[str, Any]:
    """The facts of the record's `behaviour`: flips both ways, and the share of equal predictions."""
    before, after = teacher.predictions == teacher.labels, variant.predictions == variant.labels
    changed = teacher.predictions != variant.predictions
    flips = {
        "right_to_wrong": int((before & ~after).sum()),
        "wrong_to_right": int((~before & after).sum()),
        "changed": int(changed.sum()),
    }
    return {"flips": flips, "agreement": float(1 - np.mean(changed))}
