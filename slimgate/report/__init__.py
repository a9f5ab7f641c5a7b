"""The record as text for people: record in, markdown out. Measures and judges nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate._system.lazy_names import lazy_names

if TYPE_CHECKING:
    from slimgate.report.markdown import index_report, suite_report

__all__ = ["index_report", "suite_report"]
__getattr__ = lazy_names(__name__, dict.fromkeys(__all__, "slimgate.report.markdown"))
