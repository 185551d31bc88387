"""A load that fails, as a finding: what all rules about failing loads share (ABI101, 102, 201, 202, 205).

A rule of that kind picks failures of one loader class and may add facts and remedies of its own; how grave a failure
is, and how sure, is the same for all of them and stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from abicheck.knowledge.gcc_runtime import gcc_of_node
from abicheck.loader.process import Failure
from abicheck.model import Confidence, Dependence, Fact, Finding, Remedy, Severity
from abicheck.rules.builds import is_cxx
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import LoadFailure, Scene
from abicheck.rules.wording import (
    base,
    conda_among,
    conda_install,
    import_first,
    listed,
    older_wheel,
    ref,
    sentence,
    tried,
)


@dataclass(frozen=True, slots=True)
class Grade:
    """Severity, confidence, what they depend on, and the assumption to print."""

    severity: Severity
    confidence: Confidence
    depends_on: tuple[Dependence, ...]
    assumption: str


Addition = Callable[[Scene, LoadFailure], tuple[Sequence[Fact], Sequence[Remedy]]]


def findings(scene: Scene, rule: str, pick: Callable[[Failure], bool], more: Addition) -> Iterator[Finding]:
    """One finding for each distinct cause among the failures a rule picks; modules that fail alike are one finding."""
    causes: dict[tuple[object, ...], list[LoadFailure]] = {}
    for f in scene.failures:
        if pick(f.failure):
            causes.setdefault(_cause(f), []).append(f)
    for alike in causes.values():
        alike.sort(key=lambda f: (f.rank, not _is_public(f.unit.module), f.unit.module))
        every_use = _met_by_every_use(scene, alike)
        groups: dict[bool, list[LoadFailure]] = {}
        for f in alike:
            grave = f.importance in ("demanded", "reachable")
            groups.setdefault(every_use or grave, []).append(replace(f, importance="demanded") if every_use else f)
        for group in groups.values():
            yield _finding(scene, rule, group, more)


def _met_by_every_use(scene: Scene, alike: Sequence[LoadFailure]) -> bool:
    """Whether nobody can use a project without a failure: importing it loads nothing native, and most of its modules,
    which are for its users to import, fail in this way."""
    if any(f.importance in ("demanded", "optional") or not f.unit.module for f in alike):
        return False
    group = next((g for g in (*scene.subjects, *scene.bystanders) if g.origin == alike[0].owner), None)
    if group is None or 2 * len({f.unit.path for f in alike}) <= len(group.units):
        return False
    if not any(_is_public(f.unit.module) for f in alike):
        return False
    return all(scene.importance(group, u) not in ("demanded", "optional") for u in group.units)


def _is_public(module: str) -> bool:
    return not any(part.startswith("_") for part in module.split("."))


def _cause(f: LoadFailure) -> tuple[object, ...]:
    failure = f.failure
    symbol = failure.symbol if failure.kind != "MISSING_SYMBOL" else ""  # one alien library misses many symbols
    provider_decides = failure.kind in ("MISSING_LIB", "MISSING_VERSION") or (
        failure.kind == "MISSING_SYMBOL" and failure.provider
    )
    return (
        f.situation, f.owner, f.subject, f.cause.origin if f.cause else None, failure.kind, failure.library,
        symbol, failure.version if failure.kind == "MISSING_VERSION" else "", failure.provider,
        "" if provider_decides else failure.requester,
    )  # fmt: skip


def grade(scene: Scene, f: LoadFailure) -> Grade:
    """How grave and how sure (docs/concepts.md)."""
    depends: list[Dependence] = []
    assumptions: list[str] = []
    severity, confidence = Severity.ERROR, Confidence.HIGH
    if f.situation == "after" and f.cause is not None:
        depends.append("import-order")
        assumptions.append(f"if {f.cause_import} is imported first")
    if f.failure.needs_host or _outside(scene, f.failure):
        depends.append("host")
        assumptions.append(f"on this host ({scene.host.label})")
    if f.importance in ("reachable", "unreferenced"):
        depends.append("python-code")
        assumptions.append(f"if the program does so ({f.action})")
    if f.importance == "unreferenced":
        severity = Severity.WARNING
    if f.importance == "optional":
        severity = Severity.NOTE
    if depends:
        # A host that was described in full is a fact of the question, not a guess.
        guesses = [d for d in depends if not (d == "host" and scene.host.complete)]
        confidence = Confidence.LOW if len(guesses) > 1 else Confidence.MEDIUM
    return Grade(severity, confidence, tuple(depends), " and ".join(assumptions))


def _outside(scene: Scene, failure: Failure) -> bool:
    """Whether the file that decides lies on the host, or only the host could have it."""
    if failure.kind == "MISSING_LIB":
        return scene.system == "linux"
    return bool(failure.provider) and not failure.provider.startswith(scene.view.root + "/")


def _finding(scene: Scene, rule: str, alike: list[LoadFailure], more: Addition) -> Finding:
    f = alike[0]
    g = grade(scene, f)
    failure = f.failure
    modules = listed(x.unit.module or base(x.unit.path) for x in alike)
    facts, remedies = more(scene, f)
    subject = ref(scene.view, failure.requester)
    provider = ref(scene.view, failure.provider)
    owners = (*(o.origin for o in (provider, subject) if o is not None), f.owner)
    return Finding(
        rule=rule,
        severity=g.severity,
        confidence=g.confidence,
        what=what(scene, f),
        why=(*_evidence(scene, f), *facts, *_more_modules(alike, modules)),
        remedies=(*remedies, *_remedies(scene, f)),
        key=_key(f),
        wheel=f.subject,
        conda_package=conda_among(*owners),
        subject=subject,
        object=provider if provider != subject else None,
        depends_on=g.depends_on,
        assumption=g.assumption,
        orders=f.orders,
    )


def _key(f: LoadFailure) -> str:
    """What tells this failure from others of the same files."""
    failure = f.failure
    named = failure.version or failure.symbol or base(failure.library) or base(failure.provider)
    return named or f.unit.module or base(f.unit.path)


def what(scene: Scene, f: LoadFailure) -> str:
    """Sentence one: what will happen, in the user's terms."""
    text = scene.view_text(f.failure.message)
    reason = _reason(f.failure) or text
    verb = "will end the process" if f.result.outcome == "aborted" else "will fail"
    if f.importance in ("unreferenced", "optional"):
        verb = verb.replace("will", "would")
    if f.situation == "after" and f.cause is not None:
        verb += f" if {f.cause_import} is imported first"
    if f.situation == "damaged":
        verb += f" once {f.subject.name} {f.subject.version} is installed"
    return sentence(f"{f.action} {verb}: {reason}.")


def _reason(failure: Failure) -> str:
    if failure.kind == "MISSING_LIB":
        return f"{base(failure.requester)} needs {base(failure.library)}, and nothing provides it"
    if failure.kind == "MISSING_VERSION":
        return f"version `{failure.version}' not found in the {base(failure.library)} it gets"
    if failure.kind == "MISSING_SYMBOL":
        return f"undefined symbol {_shown(failure.symbol)}"
    if failure.rule == "ELF-37":
        asked = f"{base(failure.requester)} asks for versions of {failure.library}"
        return f"{asked}, which nothing loads, and an assertion of the loader fails"
    return ""


def _shown(symbol: str) -> str:
    return symbol if len(symbol) <= 60 else symbol[:57] + "..."


def _evidence(scene: Scene, f: LoadFailure) -> Iterator[Fact]:
    failure, view = f.failure, scene.view
    requester = ref(view, failure.requester)
    if requester is not None and failure.library:
        library = view.relative(failure.library)
        # Of a symbol in a version it is the symbol that is missing; the version is there (ELF-36 is checked before).
        wanted = _shown(failure.symbol) if failure.kind == "MISSING_SYMBOL" else failure.version
        wanted = wanted or failure.symbol or library
        source = f" from {library}" if failure.version or failure.symbol else ""
        yield Fact(f"needs {wanted}{source}", requester, failure.symbol or None, failure.version or None)
    elif requester is not None:
        yield Fact("is what cannot be loaded", requester, failure.symbol or None)
    provider = ref(view, failure.provider)
    if provider is not None and provider != requester:
        yield Fact(f"is the file that serves it, from {provider.origin.label}", provider)
    said = f"the loader says: {scene.view_text(failure.message)}"
    yield Fact(said, loader_rule=failure.rule, attempts=tried(view, failure.attempts))
    yield from _served_first(scene, f)
    if f.result.event.because:
        yield Fact(f"it is loaded by {f.result.event.because}")


def _served_first(scene: Scene, f: LoadFailure) -> Iterator[Fact]:
    """Why that file and not its own: somebody else had it loaded already."""
    if f.cause is None or not f.failure.library:
        return
    diff = next((d for _, d in scene.differences if d.first is f.cause and d.second.origin == f.owner), None)
    if diff is None:
        return
    for o in diff.run.trace.objects:
        if o.kept and o.path == f.failure.provider:
            yield Fact(
                f"is in the process because {f.cause_import} loaded it; a loaded library of that name serves every "
                "later request for it",
                ref(scene.view, o.real), loader_rule=_capture_rule(scene),
            )  # fmt: skip
            return


def _capture_rule(scene: Scene) -> str:
    return {"linux": "ELF-2", "osx": "MAC-1", "win": "WIN-1"}[scene.system]


def _more_modules(alike: list[LoadFailure], modules: str) -> Iterator[Fact]:
    if len(alike) > 1:
        yield Fact(f"{len(alike)} modules fail in this way: {modules}")


def _remedies(scene: Scene, f: LoadFailure) -> Iterator[Remedy]:
    if f.orders is not None and f.orders.works:
        yield import_first(f.orders.works[0])
    yield from _newer_provider(scene, f)
    if f.subject.kind in ("wheel", "pip"):
        yield use_conda_build(scene, f.subject.name)
        if f.failure.kind == "MISSING_LIB":
            # An earlier release most likely needs it too; what is missing can be had by itself.
            yield Remedy(f"or install what brings {base(f.failure.library)}, from conda or on the host")
        else:
            yield older_wheel(f.subject.name, f.subject.version)


def _newer_provider(scene: Scene, f: LoadFailure) -> Iterator[Remedy]:
    """A library of the environment lacks something: a later release of its package may have it. What GCC's libraries
    have is known better (ABI201), and a C++ name that is missing may be spelt otherwise by every release."""
    failure, provider = f.failure, ref(scene.view, f.failure.provider)
    if provider is None or provider.origin.kind != "conda" or provider.origin == f.owner:
        return
    if failure.kind == "MISSING_VERSION" and gcc_of_node(failure.version) is None:
        lacks = failure.version
    elif failure.kind == "MISSING_SYMBOL" and not is_cxx(failure.symbol):
        lacks = failure.symbol
    else:
        return
    name, version = provider.origin.name, provider.origin.version
    spec = f"{name}>{version}" if version else name
    yield Remedy(f"or a later {name}, if it has {lacks}", conda_install(scene.prefix.display, spec))
