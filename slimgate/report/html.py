"""report.html of one suite, and the page over all suites of a run: one file each, nothing is fetched.

The scripts are slimgate's own, under 30 KB. A bundled Vega-Lite or Plotly is 1 to 4 MB, which every report
would contain and every browser would parse, and neither has points that a keyboard reaches.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from slimgate._system.escape import escape, escape_invisible
from slimgate._system.number_text import format_int
from slimgate.record.earlier_results import describe_carried
from slimgate.record.files import StoredRecord
from slimgate.record.run import RunRecord
from slimgate.report.alarms import list_alarms
from slimgate.report.cautions import format_notes
from slimgate.report.head import (
    count_shown,
    describe_weaker,
    explain_variants_table,
    explain_verdict,
    format_reasons_title,
    format_this_run,
    format_verdict_line,
    list_broken_models,
)
from slimgate.report.history import format_history
from slimgate.report.markdown import list_full_sections
from slimgate.report.page.budgets import rank_budgets
from slimgate.report.page.changed_rows import Texts, make_changed_rows
from slimgate.report.page.charts import make_chart_data
from slimgate.report.page.details import list_details
from slimgate.report.page.embedding import embed_json
from slimgate.report.page.sections import render_inline, render_section
from slimgate.report.page.table import KINDS, list_heads, list_rows
from slimgate.report.recommendation import recommend
from slimgate.report.status import list_models, list_shippable
from slimgate.report.trust import describe_run, format_origin

if TYPE_CHECKING:
    from jinja2 import Environment

_SCRIPTS = ("page", "rows", "table", "scales", "front", "times", "history")


def render_html_report(
    record: RunRecord,
    folder: Path | None = None,
    texts: Texts | None = None,
    *,
    releases: Sequence[StoredRecord] = (),
) -> str:
    """report.html of one suite.

    Args:
        record: of the run.
        folder: the record's folder, with outcomes/*.parquet for the rows that changed.
        texts: quotes gate rows, by their places.
        releases: earlier ones and this run, the oldest first, shown as history.
    """
    rows = list_rows(record)
    kinds = [row.kind for row in rows]
    return _render(
        "page.html",
        record=record,
        verdict=format_verdict_line(record).partition(" · ")[2],
        this_run=format_this_run(record),
        alarms=list(list_alarms(record)),
        reasons=explain_verdict(record),
        reasons_title=format_reasons_title(record),
        broken=list_broken_models(record),
        best=recommend(record),
        ships=bool(list_shippable(record)),
        warnings=format_notes(record),
        most_warnings=count_shown(record),
        weaker=render_section(describe_weaker(record)),
        words=explain_variants_table(record),
        origin=format_origin(record),
        described_run=describe_run(record),
        heads=list_heads(record),
        rows=rows,
        kinds=[(kind, kinds.count(kind)) for kind in KINDS if kind in kinds],
        details=list_details(record),
        budgets=rank_budgets(list_models(record)),
        folded=[_split_section(text) for text in list_full_sections(record, format_history(releases))],
        data=embed_json(make_chart_data(record, releases)),
        changed=embed_json(make_changed_rows(record, folder, texts)),
    )


def render_html_index(
    records: Sequence[RunRecord], paths: Sequence[str], unjudged: Sequence[str] = ()
) -> str:
    """The page over all suites of a run. paths: the suites' pages, relative to this page.

    unjudged: for each suite that could not be judged, the line that says why.
    """
    suites = [
        (record, quote(path), recommend(record), describe_carried(record))
        for record, path in zip(records, paths, strict=True)
    ]
    return _render("index.html", suites=suites, unjudged=unjudged)


def _split_section(markdown: str) -> tuple[str, Markup]:
    """Heading and what follows it."""
    heading, _, rest = markdown.partition("\n")
    return heading.lstrip("# "), render_section(rest)


def _render(template: str, **values: object) -> str:
    return _make_template_environment().get_template(template).render(**values)


@cache
def _make_template_environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("slimgate.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_make_visible,
    )
    environment.filters |= {"inline": render_inline, "format_int": format_int, "escaped": escape}
    style = _read_asset("page.css")
    script = "\n".join(_read_asset(f"{name}.js") for name in _SCRIPTS)
    environment.globals |= {
        "style": Markup(style),
        "script": Markup(script),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
    }
    return environment


def _make_visible(value: object) -> Any:
    """Characters that would act on the reader's screen, as Python's escapes, even in the text of a row."""
    return escape_invisible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _read_asset(name: str) -> str:
    return files("slimgate.report").joinpath("page", name).read_text("utf-8").strip()


def _hash(text: str) -> str:
    """The hash for the page's content security policy: a browser runs this script and no other."""
    digest = sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
