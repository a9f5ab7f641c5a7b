"""What report.html is made of: Python that says what is shown, a template, a style sheet, scripts."""

from __future__ import annotations
