"""Limits of `slimgate judge` come from the command line or from a file with [budgets], never from both."""

from __future__ import annotations

import argparse

from slimgate.errors import SuiteError


def refuse_limits(options: argparse.Namespace) -> None:
    """Raises SuiteError if the command line has --budgets and also a limit such as --drop-points."""
    flags = ("drop_points", "equivalent_points", "pooled_points", "slice_points")
    for flag in (*flags, "length_ratio_max", "length_ratio_min"):
        if getattr(options, flag):
            raise SuiteError(f"--{flag.replace('_', '-')} and --budgets came, expected one of them")
