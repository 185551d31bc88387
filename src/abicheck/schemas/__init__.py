"""The published JSON Schemas: ``report-1``, ``trace-1``, ``inspect-1``, ``config-1``."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

NAMES = ("config-1", "inspect-1", "report-1", "trace-1")


def schema(name: str) -> dict[str, Any]:
    """One schema by name. Raises ``FileNotFoundError`` for another."""
    text = (resources.files(__name__) / f"{name}.schema.json").read_text(encoding="utf-8")
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded
