"""Runtimes inside a file: linked in statically and named by nothing, and the versions that banners give.

``knowledge/runtimes.toml`` says which texts prove that a runtime's code is there (its own messages, which its users do
not contain) and where its version stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from abicheck.binary.recall import recall
from abicheck.binary.source import ByteSource
from abicheck.evidence.scan import Around, Pattern, scan
from abicheck.knowledge.runtimes import Member, families, member


@dataclass(frozen=True, slots=True, order=True)
class Embedded:
    """A runtime whose code is in a file. ``proof`` is the text that only that runtime contains."""

    family: str
    member: str
    proof: str
    version: str = ""


@cache
def _proofs(only: str | None) -> dict[str, Pattern]:
    """Scan names are "family/member/index of the proof"."""
    wanted = (f for f in families() if only in (None, f.name))
    return {f"{f.name}/{m.name}/{n}": proof for f in wanted for m in f.members for n, proof in enumerate(m.inner)}


def embedded(source: ByteSource, only: str | None = None) -> tuple[Embedded, ...]:
    """Runtimes whose code is in a file, sorted, each once, with version where a banner gives it.

    ``only`` looks for one family, which is faster. Raises ``OSError``.
    """
    return recall(source, f"embedded:{only or ''}", lambda: _embedded(source, only), tuple[Embedded, ...])


def _embedded(source: ByteSource, only: str | None) -> tuple[Embedded, ...]:
    hits = scan(source, _proofs(only))
    proofs: dict[tuple[str, str], str] = {}
    for name, texts in hits.items():
        family, which, _ = name.split("/")
        proofs.setdefault((family, which), texts[0].decode("utf-8", "replace").strip("\0\n "))
    return tuple(
        sorted(
            Embedded(family, which, proof, banner_version(source, member(family, which)))
            for (family, which), proof in proofs.items()
        )
    )


def banner_version(source: ByteSource, runtime: Member) -> str:
    """The version a runtime's own banner gives in this file, '' when there is none. Raises ``OSError``."""
    if runtime.banner is None:
        return ""
    question = f"banner:{runtime.family}/{runtime.name}"
    return recall(source, question, lambda: _banner_version(source, runtime), str)


def _banner_version(source: ByteSource, runtime: Member) -> str:
    assert runtime.banner is not None
    texts = scan(source, {"banner": Around(runtime.anchor, runtime.banner)}, limit=8).get("banner", ())
    return texts[0].decode("ascii", "replace") if texts else ""
