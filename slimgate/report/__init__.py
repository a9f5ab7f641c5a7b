"""The record as text for people: record in, markdown out. Measures and judges nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate._system.lazy_names import make_lazy_getattr

if TYPE_CHECKING:
    from slimgate.report.markdown import format_index_report, format_suite_report

__all__ = ["format_index_report", "format_suite_report"]
__getattr__ = make_lazy_getattr(__name__, dict.fromkeys(__all__, "slimgate.report.markdown"))
