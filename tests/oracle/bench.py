"""A bench for loader facts: tiny libraries, loaded one after another by a prefix's Python and by the simulation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fixtures.compilers import Compiler
from tests.oracle.comparison import compare, simulate, summary_of
from tests.oracle.real_loader import RealRun, run_python

from abicheck.loader.process import Trace

GLOBAL = "global"


@dataclass(frozen=True)
class Variant:
    """What is loaded, and what must come of it in the real process and in the simulated one.

    ``loads``: paths below the bench, or bare names; a path that ends in ``:global`` is opened RTLD_GLOBAL.
    ``binds``: (file, symbol) -> file, paths below the bench with links followed; None: an unresolved weak reference.
    ``errors``: per load that fails, a piece of the loader's message. ``mapped``: the bench's files that are mapped, in
    order, when given. ``how``: file -> how it was found.
    """

    loads: Sequence[str]
    binds: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    errors: Sequence[str] = ()
    mapped: Sequence[str] | None = None
    how: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    python: str = "env"
    statements: Sequence[str] = ()


class Bench:
    """One folder with a conda prefix in ``env`` (hard links: nothing in it is changed, files are only added)."""

    def __init__(self, folder: Path, prefix: Path, compiler: Compiler) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder, self.compiler = folder, compiler
        shutil.copytree(prefix, folder / "env", symlinks=True, copy_function=os.link)

    def path(self, name: str) -> Path:
        return self.folder / name

    def lib(self, name: str, source: str, *flags: str, needed: Sequence[str] = (), **options: str | None) -> Path:
        """A shared library at ``name``; ``options`` as :meth:`fixtures.compilers.Compiler.shared`."""
        return self.compiler.shared(
            self.path(name),
            source,
            *flags,
            needed=[self.path(n) for n in needed],
            **options,  # type: ignore[arg-type]
        )

    # -- one variant

    def check(self, variant: Variant) -> None:
        """Run it for real and in the simulation; both must show what the variant says, and agree in everything else."""
        prefix = self.path(variant.python)
        env = {k: v.replace("@", str(self.folder)) for k, v in variant.env.items()}
        run = run_python(prefix, ["import ctypes", *map(self._statement, variant.loads), *variant.statements], env=env)
        assert run.status == 0, run.stderr
        trace = simulate(prefix, run, env)
        comparison = compare(run, trace, self.folder)
        real_errors = [r for r in run.results if r is not None]
        said = [e.failure.message for e in trace.events if e.failure is not None]
        assert said == real_errors, "the messages of failed loads"
        assert len(real_errors) == len(variant.errors)
        for real, expected in zip(real_errors, variant.errors, strict=True):
            assert expected in real
        self._expect("real", variant, _real_bindings(run), [(o.real, o.how) for o in run.objects])
        self._expect("simulated", variant, _simulated_bindings(trace), [(o.real, o.how) for o in trace.objects])
        assert not comparison.differences, summary_of(comparison.differences)

    def _statement(self, load: str) -> str:
        name, _, flag = load.partition(":")
        what = str(self.path(name)) if "/" in name else name
        return f"ctypes.CDLL({what!r}, {'ctypes.RTLD_GLOBAL' if flag == GLOBAL else 'ctypes.DEFAULT_MODE'})"

    def _expect(
        self,
        side: str,
        variant: Variant,
        bindings: Mapping[tuple[str, str], set[str | None]],
        objects: Sequence[tuple[str, str]],
    ) -> None:
        inside = os.path.realpath(self.folder) + "/"
        short = {
            (a.removeprefix(inside), s): {p and p.removeprefix(inside) for p in b} for (a, s), b in bindings.items()
        }
        for (owner, symbol), provider in variant.binds.items():
            # A weak reference without a definition leaves nothing in the log.
            expected = {provider} if provider is not None or side == "simulated" else set()
            assert short.get((owner, symbol), set()) == expected, f"{side}: {owner}: {symbol}"
        files = [p.removeprefix(inside) for p, _ in objects if p.startswith(inside)]
        if variant.mapped is not None:
            assert [f for f in files if not f.startswith("env/")] == list(variant.mapped), side
        found = {os.path.basename(p): how for p, how in objects}
        for name, how in variant.how.items():
            assert found.get(name) == how, f"{side}: {name}"


def _real_bindings(run: RealRun) -> dict[tuple[str, str], set[str | None]]:
    out: dict[tuple[str, str], set[str | None]] = {}
    for (owner, symbol, _), providers in run.bindings.items():
        out.setdefault((run.objects[owner].real, symbol), set()).update(run.objects[p].real for p in providers)
    return out


def _simulated_bindings(trace: Trace) -> dict[tuple[str, str], set[str | None]]:
    out: dict[tuple[str, str], set[str | None]] = {}
    for index, bound in trace.bindings.items():
        for b in bound:
            provider = trace.objects[b.provider].real if b.provider is not None else None
            out.setdefault((trace.objects[index].real, b.symbol), set()).add(provider)
    return out


@dataclass(frozen=True)
class Fact:
    """One statement about the loader and how to see it. ``needs``: names of tests/requirements.py."""

    name: str
    claim: str
    rules: str
    steps: Callable[[Bench], Iterator[Variant]]
    needs: tuple[str, ...] = ()


FACTS: list[Fact] = []


def fact(claim: str, rules: str, *needs: str) -> Callable[[Callable[[Bench], Iterator[Variant]]], None]:
    """Register a generator that builds libraries and yields variants; what it builds next is there for the next one."""

    def register(steps: Callable[[Bench], Iterator[Variant]]) -> None:
        FACTS.append(Fact(steps.__name__, claim, rules, steps, needs))

    return register
