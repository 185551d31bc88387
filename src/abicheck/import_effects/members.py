"""What a module is asked for: ``from module import name``, stars, attributes (PY-7, PY-10)."""

from __future__ import annotations

from abicheck.import_effects import tree as t
from abicheck.import_effects.core import Frame, Module, Raised
from abicheck.import_effects.importing import Importing
from abicheck.import_effects.summary import DYNAMIC
from abicheck.import_effects.values import UNKNOWN, FunctionValue, ModuleValue, Symbol, Value

_ALIASES = {"posixpath": "os.path", "ntpath": "os.path"}


class Members(Importing):
    # -- names of modules ------------------------------------------------------

    def names_of(self, module: Module) -> dict[str, Value]:
        """A module's names; for one that was imported earlier, its code is walked now, without effects."""
        if module.state in ("given", "skipped", "new") and module.spec.kind == "source":
            if module.walked:
                return module.env
            module.walked = True
            state, module.state = module.state, "running"
            muted, self.muted = self.muted, True
            sure, catching = self.sure, self.catching
            self.catching = 0
            try:
                summary = self.summary(module)
                if summary is None:
                    module.complete = False
                else:
                    self.run_names(module)
                    self.block(Frame(module, module.env), summary.body)
            except Raised:
                module.complete = False
            finally:
                self.muted, self.sure, self.catching = muted, sure, catching
                module.state = state
        elif module.spec.kind not in ("source", "namespace"):
            module.complete = False
        return module.env

    def known(self, module: str, name: str) -> Value | None:
        """A name of the standard library that the tables know (a constant or a :class:`Symbol`)."""
        dotted = f"{_ALIASES.get(module, module)}.{name}"
        if self.target.missing(dotted):
            return self.fail("AttributeError", UNKNOWN)
        if dotted == "sys.path":
            return self.path
        if dotted in self.target.constants:
            return self.target.constants[dotted]
        return Symbol(dotted) if self.is_symbol(dotted) else None

    def is_symbol(self, dotted: str) -> bool:
        raise NotImplementedError

    def is_complete(self, module: Module) -> bool:
        """Whether ``module.env`` holds every name the module has."""
        if not module.complete or module.state == "running":
            return False
        if module.spec.kind != "source":
            return True
        summary = self.summary(module)
        return summary is not None and DYNAMIC.isdisjoint(summary.words)

    def member(self, frame: Frame, module: Module, name: str) -> Value:
        """``from module import name``. Raises :class:`Raised` when there certainly is no such thing."""
        found = self.known(module.name, name)
        if found is not None:
            return found
        names = self.names_of(module)
        dotted = f"{module.name}.{name}"
        if name in names:
            value = names[name]
            if isinstance(value, ModuleValue) and value.name == dotted and self._is_doubtful(dotted):
                self.import_module(dotted)  # only uncertain code made it an attribute
            return value
        if (
            module.is_package
            and self._find(dotted, module) is not None
            and (dotted in self.modules or self._is_file(dotted, module))
        ):
            certain = module.complete or module.spec.kind == "extension"
            if certain or not self.sure:
                self.import_module(dotted)
            else:
                with self.unsure(), self.tolerant():
                    self.import_module(dotted)
            return ModuleValue(dotted)
        hook = names.get("__getattr__")
        if isinstance(hook, FunctionValue):
            if self.is_complete(module):
                return self.call(frame, hook, [name], {}, True)
            # A name from a star import of compiled code is not seen here, and ``__getattr__`` is never asked for it.
            with self.unsure(), self.tolerant():
                try:
                    return self.call(frame, hook, [name], {}, True)
                except Raised:
                    return UNKNOWN
        if module.spec.kind == "source" and self.catching and self.is_complete(module):
            raise Raised("ImportError")
        return UNKNOWN if module.spec.kind == "source" else Symbol(dotted)

    def _is_doubtful(self, name: str) -> bool:
        module = self.modules.get(name)
        return self.sure and not self.muted and module is not None and module.state == "maybe"

    def _is_file(self, dotted: str, module: Module) -> bool:
        spec = self._find(dotted, module)
        return spec is not None and spec.kind != "builtin"

    # -- statements ------------------------------------------------------------

    def do_import(self, frame: Frame, s: t.Import) -> None:
        with self.linked(self.here(frame)):
            for dotted, alias in s.names:
                module = self.import_module(dotted)
                top = dotted.partition(".")[0]
                name = alias or top
                target = (module.name if module else dotted) if alias else top
                self.bind(frame, name, ModuleValue(target))

    def do_from(self, frame: Frame, s: t.From) -> None:
        base = self.absolute(frame.module, s.module, s.level)
        with self.linked(self.here(frame)):
            module = self.import_module(base)
            for name, alias in s.names:
                if module is None:
                    self.bind(frame, alias or name, UNKNOWN)
                elif name == "*":
                    self._star(frame, module)
                else:
                    self.bind(frame, alias or name, self.member(frame, module, name))

    def absolute(self, module: Module, name: str, level: int) -> str:
        """The absolute name of a relative import. Raises :class:`Raised` beyond the top package."""
        if level == 0:
            return name
        package = module.env.get("__package__")
        if not isinstance(package, str):
            package = module.name if module.is_package else module.name.rpartition(".")[0]
        parts = package.split(".")
        if not package or level > len(parts):
            raise Raised("ImportError")
        base = ".".join(parts[: len(parts) - level + 1])
        return f"{base}.{name}" if name else base

    def _star(self, frame: Frame, module: Module) -> None:
        names = self.names_of(module)
        listed = self.force(names.get("__all__"))
        if isinstance(listed, list | tuple) and all(isinstance(n, str) for n in listed):
            wanted = [n for n in listed if isinstance(n, str)]
            for name in wanted:
                if name not in names and module.is_package and self._is_file(f"{module.name}.{name}", module):
                    self.import_module(f"{module.name}.{name}")
        else:
            wanted = [n for n in names if not n.startswith("_")]
            if "__all__" in names:
                frame.module.complete = False
        if not module.complete or (module.spec.kind != "namespace" and not self.is_complete(module)):
            frame.module.complete = False
        for name in wanted:
            found = self.known(module.name, name)
            if found is not None:
                self.bind(frame, name, found)
            elif name in names:
                self.bind(frame, name, names[name])
            elif module.complete is False:
                self.bind(frame, name, UNKNOWN)

    def bind(self, frame: Frame, name: str, value: Value) -> None:
        if name in frame.globals:
            frame.module.env[name] = value
        else:
            frame.names[name] = value
