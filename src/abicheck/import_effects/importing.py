"""``import`` as Python does it: parents first, each module found and run once (PY-7, PY-10)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from abicheck.import_effects import tree as t
from abicheck.import_effects.core import Core, Frame, Module, Raised
from abicheck.import_effects.extension_names import names_in
from abicheck.import_effects.facts import Link
from abicheck.import_effects.finder import Spec
from abicheck.import_effects.summary import NAMED_CHARACTER, TOO_DEEP
from abicheck.import_effects.values import UNKNOWN, ModuleValue

MAX_IMPORT_DEPTH = 400  # modules being imported at one time; Python's own recursion limit comes soon after
# Cython's support code names it in every module with coroutines and imports it when one is awaited.
_NOT_AT_IMPORT = frozenset({"asyncio.coroutines"})
_ANY = (t.Handler((), "", ()),)


class Importing(Core):
    # -- finding and running ---------------------------------------------------

    def import_module(self, name: str) -> Module | None:
        """Import ``name`` and its parents. Raises :class:`Raised` when it certainly is not there."""
        if name == "os.path":
            return self.import_module("posixpath" if self.target.system != "win" else "ntpath")
        module: Module | None = None
        dotted = ""
        for part in name.split("."):
            dotted = f"{dotted}.{part}" if dotted else part
            module = self._import_one(dotted, module)
        return module

    def _import_one(self, name: str, parent: Module | None) -> Module:
        module = self.modules.get(name)
        if module is None:
            spec = self._find(name, parent)
            if spec is None and parent is None and self._is_awaited(name):
                spec = Spec(name, "builtin")  # nothing is known of it but that it will be there
            if spec is None:
                raise Raised("ModuleNotFoundError")
            module = self.modules[name] = Module(name, spec)
        if not self.muted and (module.state == "new" or (module.state == "maybe" and self.sure)):
            self.run_module(module)
        if parent is not None and self.modules.get(name) is module:
            parent.env[name.rpartition(".")[2]] = ModuleValue(name)
        return module

    def _is_awaited(self, name: str) -> bool:
        """Whether a module that is not here comes with a project that pip will bring: by its name, or because a file
        that pip installs now imports it unguarded."""
        awaited = self.context.awaited
        if not awaited or name.lower() in awaited:
            return bool(awaited)
        if self.catching or name in sys.stdlib_module_names or not self.chain:
            return False
        return self.view.origin(f"{self.view.root}/{self.chain[-1].file}").kind == "wheel"

    def _find(self, name: str, parent: Module | None) -> Spec | None:
        if parent is None:
            return self.finder.find(name, self.search_path())
        if parent.spec.locations is None:
            # ``six.moves.urllib``: the parent puts modules that are no files into sys.modules.
            if parent.spec.kind in ("extension", "builtin") or self._enters_modules(parent):
                return Spec(name, "builtin")
            return None
        path = parent.env.get("__path__")
        locations = tuple(p for p in path if isinstance(p, str)) if isinstance(path, list) else parent.spec.locations
        found = self.finder.find(name, locations)
        if found is None and parent.spec.kind == "source" and self.says(parent, "sys.modules["):
            return Spec(name, "builtin")
        return found

    def _enters_modules(self, module: Module) -> bool:
        """Whether a module's code handles ``sys.modules``."""
        if module.spec.kind == "source":
            return self.says(module, "sys.modules")
        return "sys.modules" in (self.source(module) or "")

    def find_spec(self, name: str) -> Spec | None:
        """What ``importlib.util.find_spec`` finds: imports the parents, not the module."""
        parent, _, tail = name.rpartition(".")
        if name in self.modules:
            return self.modules[name].spec
        return self._find(name, self.import_module(parent) if parent else None) if tail else None

    def run_module(self, module: Module) -> None:
        kind = module.spec.kind
        if kind == "source":
            self._run_source(module)
            return
        module.state = "done" if self.sure else "maybe"
        module.complete = kind == "namespace"
        if kind == "namespace":
            module.env["__path__"] = list(module.spec.locations or ())
        if kind == "extension":
            self.load_extension(module)
        elif kind == "bytecode":
            name = f"{self.label(module)} is compiled Python without source"
            self.emit(None, "unknown", name=name, module=module.name)

    def load_extension(self, module: Module) -> None:
        """The load itself, then (possibly) the modules that its compiled code imports by name."""
        self.emit(None, "extension", path=module.spec.path, module=module.name, **self.target.modes(self.flags))
        if self.muted:
            return
        label = self.view.relative(module.spec.path)
        for name in self.mentioned(module.name, module.spec.path):
            if name in self.modules and self.modules[name].state != "new":
                continue
            with self.linked(Link(module.name, label, 0)):
                self._possible(name)

    def _possible(self, name: str) -> None:
        """Import a module that may be imported here, or may fail to be."""
        with self.unsure(), self.tolerant(), contextlib.suppress(Raised):
            self.import_module(name)

    def mentioned(self, name: str, path: str) -> tuple[str, ...]:
        """Importable modules that an extension's bytes name, in the order they stand there."""
        key = (name, path, self.search_path(), *self.finder.editable.items())
        known = self.context.places.mentioned
        if key not in known:
            known[key] = tuple(dict.fromkeys(self._mentioned(name, path)))
        return known[key]

    def _mentioned(self, name: str, path: str) -> Iterator[str]:
        package = name.rpartition(".")[0]
        siblings = self._siblings(package)
        # The standard library's own extensions import little, and nothing from site-packages.
        bare = siblings | (frozenset() if path.startswith(self.context.dynload + "/") else self._top_level())
        key = (self.identity(path), hash(bare))
        names = self.context.memory.names
        if key not in names:
            try:
                names[key] = names_in(self.view.open(self.view.lookup(path)), bare)
            except OSError:
                names[key] = ()
        for text in names[key]:
            candidates = (text,) if "." in text else (f"{package}.{text}", text) if text in siblings else (text,)
            for dotted in candidates:
                if dotted not in _NOT_AT_IMPORT and dotted != name and self._is_module_file(dotted):
                    yield dotted

    def _siblings(self, package: str) -> frozenset[str]:
        """Names of a package's extension modules: compiled code names those without a dot (``from ._x import``)."""
        locations = self._locations(package) if package else None
        if locations is None:
            return frozenset()
        found = ((n, self.finder.find(f"{package}.{n}", locations)) for n in self.finder.submodules(locations))
        return frozenset(n for n, spec in found if spec is not None and spec.kind == "extension")

    def _top_level(self) -> frozenset[str]:
        """Top-level modules that an ``import`` in compiled code could mean."""
        path, known = self.search_path(), self.context.places.top_level
        if path not in known:
            known[path] = frozenset(self.finder.submodules(path))
        return known[path]

    def _is_module_file(self, dotted: str) -> bool:
        """Whether a dotted name is a module with a file here (a mere directory is none)."""
        parent = dotted.rpartition(".")[0]
        locations = self._locations(parent) if parent else self.search_path()
        spec = self.finder.find(dotted, locations) if locations else None
        return spec is not None and spec.kind not in ("namespace", "builtin")

    def _locations(self, name: str) -> tuple[str, ...] | None:
        """Where a package's modules lie, without importing anything."""
        path: tuple[str, ...] = self.search_path()
        dotted = ""
        for part in name.split("."):
            dotted = f"{dotted}.{part}" if dotted else part
            spec = self.finder.find(dotted, path)
            if spec is None or spec.locations is None:
                return None
            path = spec.locations
        return path

    def _run_source(self, module: Module) -> None:
        if len(self.chain) > MAX_IMPORT_DEPTH:
            self.emit(None, "unknown", name=f"imports nest too deeply at {module.name}", module=module.name)
            module.state = "done"
            return
        summary = self.summary(module)
        if summary is None:
            self.emit(None, "unknown", name=f"the source of {module.name} is not here", module=module.name)
            module.state, module.complete = "done", False
            return
        if summary.problem and (summary.problem == TOO_DEEP or self.context.version > sys.version_info[:2]):
            # That the environment's Python cannot read it either is not known.
            if self.sure:
                self.context.memory.unread[module.spec.path] = summary.problem
            self.emit(None, "unknown", name=f"the source of {module.name} {summary.problem}", module=module.name)
            module.state, module.complete = "done", False
            return
        if summary.problem:
            del self.modules[module.name]
            raise Raised("SyntaxError")
        if NAMED_CHARACTER in summary.words and not self.is_loaded("unicodedata"):
            self._possible("unicodedata")  # the compiler needs it for named characters, unless a .pyc is used
        sure, depth, flags = self.sure, self.depth, self.flags
        module.state, self.depth = "running", 0
        try:
            self.run_names(module)
            self.block(Frame(module, module.env), summary.body)
        except Raised:
            # Python takes a module that failed out of sys.modules again.
            if self.modules.get(module.name) is module:
                del self.modules[module.name]
            raise
        finally:
            self.depth = depth
            self.sure = sure and not self.doubt
            if not sure:
                self.flags = flags
        module.state = "done" if sure else "maybe"

    def run_names(self, module: Module) -> None:
        """The names every module starts with (again, for one that only uncertain code imported before)."""
        kept = {k: v for k, v in module.env.items() if isinstance(v, ModuleValue) and v.name == f"{module.name}.{k}"}
        module.env.clear()
        module.env |= kept
        package = module.name if module.is_package else module.name.rpartition(".")[0]
        module.env |= {
            "__name__": module.name,
            "__file__": module.spec.path,
            "__package__": package,
            "__builtins__": UNKNOWN,
            "__doc__": UNKNOWN,
            "__spec__": UNKNOWN,
            "__loader__": UNKNOWN,
        }
        if module.spec.locations is not None:
            module.env["__path__"] = list(module.spec.locations)

    @contextmanager
    def linked(self, link: Link) -> Iterator[None]:
        self.chain.append(link)
        try:
            yield
        finally:
            self.chain.pop()

    @contextmanager
    def tolerant(self) -> Iterator[None]:
        """As inside a ``try`` that survives a failed import."""
        doubt, self.doubt = self.doubt, False
        self.catching += 1
        self.guards.append((_ANY, ""))
        try:
            yield
        finally:
            self.catching -= 1
            self.guards.pop()
            self.doubt = doubt

    def here(self, frame: Frame) -> Link:
        module = frame.module
        if not module.file:
            module.file = self.view.relative(module.spec.path)
        return Link(module.name, module.file, frame.line)

    def is_loaded(self, name: str) -> bool:
        module = self.modules.get(name)
        return module is not None and module.state != "new"
