"""The documentation site. Rule pages, the table of rules, of settings and of formats are made from the program itself
each time the site is built, so they cannot drift from it."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

from abicheck import __version__  # noqa: E402
from abicheck.config import KEYS, variable  # noqa: E402
from abicheck.knowledge.loader_rules import loader_rules  # noqa: E402
from abicheck.reporters import all_reporters  # noqa: E402
from abicheck.rules import all_rules  # noqa: E402

project = "abicheck"
copyright = "The abicheck developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "ci", "pictures", "_generated/parts"]
html_theme = "furo"
highlight_language = "text"
html_title = f"abicheck {release}"
html_static_path = ["pictures"]
html_show_sphinx = False
nitpicky = True
# Names of the standard library and of private modules appear in signatures; the site links only what it documents.
nitpick_ignore_regex = [("py:.*", r"(?!abicheck\.).*"), ("py:.*", r"abicheck\.(report|model|errors)\..*")]
autodoc_typehints = "description"
autodoc_member_order = "bysource"

GENERATED = HERE / "_generated"


def _write(name: str, text: str) -> None:
    path = GENERATED / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _rules() -> None:
    rules = all_rules()
    for loaded in rules:
        _write(f"rules/{loaded.rule.id}.md", _linked(loaded.page.markdown(loaded.rule)))
    rows = [
        f"| [{r.rule.id}](rules/{r.rule.id}.md) | {r.rule.name} | {r.rule.severity} | {r.rule.summary} |" for r in rules
    ]
    names = "\n".join(f"rules/{r.rule.id}" for r in rules)
    table = "\n".join(["| id | name | severity | what it says |", "|---|---|---|---|", *rows])
    intro = (
        "Ids and names are stable and never reused. `--select`, `--ignore`, the configuration and `abicheck explain` "
        "take either, in any letter case, and the beginning of an id for its whole group."
    )
    _write("rules.md", f"# Rules\n\n{intro}\n\n{table}\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n")


def _settings() -> None:
    rows = ["| key | default | what it is | variable |", "|---|---|---|---|"]
    for name, key in KEYS.items():
        in_environment = key.kind in ("text", "path", "flag", "list", "paths", "choice")
        default = "" if key.default in ("", (), {}) else f"`{json.dumps(key.default)}`"
        rows.append(f"| `{name}` | {default} | {key.about} | {f'`{variable(name)}`' if in_environment else ''} |")
    _write("parts/settings.md", "\n".join(rows) + "\n")


def _formats() -> None:
    rows = ["| format | for | file endings |", "|---|---|---|"]
    rows += [f"| `{r.name}` | {r.summary} | {', '.join(f'`{s}`' for s in r.suffixes)} |" for r in all_reporters()]
    _write("parts/formats.md", "\n".join(rows) + "\n")


def _linked(page: str) -> str:
    """A rule's page with the loader rules that it cites as links; what stands in a fence stays."""
    parts = re.split(r"(^```.*?^```)", page, flags=re.MULTILINE | re.DOTALL)
    known = loader_rules()

    def link(m: re.Match[str]) -> str:
        return f"[{m[0]}](../loader-rules.md#{m[0].lower()})" if m[0] in known else m[0]

    return "".join(p if p.startswith("```") else re.sub(r"\b[A-Z]+-\d+\b", link, p) for p in parts)


def _loader_rules() -> None:
    intro = (
        "Findings and traces cite these rules by id, as in *the copy found there is used [ELF-9]*. `abicheck explain "
        "ELF-9` shows the same."
    )
    parts = ["# Loader rules", intro]
    for family, rules in itertools.groupby(loader_rules().values(), key=lambda r: r.family):
        parts.append(f"## {family}")
        parts += [f"### {r.id}\n\n{r.says}\n\n*Source: {r.source}*" for r in rules]
    _write("loader-rules.md", "\n\n".join(parts) + "\n")


_rules()
_loader_rules()
_settings()
_formats()
