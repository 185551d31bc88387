"""For programs: the published document (``schemas/report-1.schema.json``)."""

from __future__ import annotations

import json

from abicheck.report import Report
from abicheck.reporters import RenderOptions

NAME = "json"
SUMMARY = "for programs; schema published"
SUFFIXES = (".json",)
MEDIA_TYPE = "application/json"


def render(report: Report, options: RenderOptions) -> str:
    return json.dumps(report.to_dict(), indent=2, ensure_ascii=options.ascii) + "\n"
