"""The cache pays: an import derived again costs a fraction of the processor time, and says the same."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from abicheck import cache
from abicheck.cache import Store
from abicheck.import_effects import Effect, ImportContext, Memory, new_session
from abicheck.overlay import View
from abicheck.trees import DiskTree

from .test_elf_speed import best

pytestmark = pytest.mark.slow
MODULES = ("asyncio", "xml.dom.minidom", "email.mime.text", "http.server", "unittest.mock", "multiprocessing.pool",
           "logging.config", "concurrent.futures.process", "sqlite3", "tarfile", "zipfile", "argparse")  # fmt: skip


def derived(folder: Path | None) -> list[Effect]:
    """Effects of importing a part of this interpreter's own standard library."""
    stdlib = sysconfig.get_path("stdlib")
    view = View(sys.prefix.replace("\\", "/"), DiskTree(), lambda _: None)
    store = Store(str(folder)) if folder is not None else None
    view.store = store
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    context = ImportContext(
        view, "linux-64", sys.version_info[:2], (sysconfig.get_path("purelib"),), stdlib, f"{stdlib}/lib-dynload",
        (suffix, ".abi3.so", ".so"), memory=Memory(),
    )  # fmt: skip
    session = new_session(context)
    out = [e for module in MODULES for e in session.imports(module)]
    if store is not None:
        store.close()
    return out


def test_what_is_kept_is_faster_than_reading_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SETTLED", -1e12)
    without = derived(None)
    assert derived(tmp_path) == without
    assert derived(tmp_path) == without
    cold, warm = best(lambda: derived(None)), best(lambda: derived(tmp_path))
    assert warm < 0.7 * cold, f"warm {warm:.2f} s, cold {cold:.2f} s"
