"""Which load orders can differ, and what differs in them: on made files and on invented reaches."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.loader.elf_worlds import World

from abicheck.loader.capture import Reach, UniqueSymbol, contested, interposed, is_standard, reach
from abicheck.loader.process import Event
from abicheck.loader.scenarios import Group, Simulator, Unit, difference, loads
from abicheck.model import Origin

X = "int y(void); int x(void) {{ return y() + {0}; }}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def group(world: World, name: str, *files: str, prelude: tuple[Event, ...] = ()) -> Group:
    """One owner; its extension modules are files of the world."""
    units = tuple(Unit(world.path(f), Path(f).stem, (Event(world.path(f), label=f"import {name}"),)) for f in files)
    return Group(Origin("conda", name, "1"), units, (name,), prelude)


def simulator(world: World) -> Simulator:
    return Simulator(world.start)


def pair(world: World, mine: str = "", theirs: str = "int z(void) { return 1; } ") -> tuple[Group, Group]:
    """Two extensions with libraries of one name; the second wants a function that only its own library has."""
    world.lib("a/liby.so.1", mine + "int y(void) { return 1; }")
    world.lib("b/liby.so.1", theirs + "int y(void) { return 2; }")
    world.lib("x/one.so", X.format(1), needed=["a/liby.so.1"], rpath="$ORIGIN/../a")
    world.lib(
        "x/two.so", X.format("z()").replace("int y", "int z(void); int y"), needed=["b/liby.so.1"], rpath="$ORIGIN/../b"
    )
    return group(world, "one", "x/one.so"), group(world, "two", "x/two.so")


def none(_real: str) -> dict[str, UniqueSymbol]:
    return {}


def nothing(_real: str) -> tuple[str, ...]:
    return ()


# -- differences ---------------------------------------------------------------------------


def test_one_order_breaks_and_the_other_does_not(world: World) -> None:
    one, two = pair(world)
    sim = simulator(world)
    first, second = difference(sim, one, two), difference(sim, two, one)
    assert [(b.unit.module, b.outcome, b.failure.kind, b.failure.symbol) for b in first.broken] == [
        ("two", "failed", "MISSING_SYMBOL", "z"),
    ]
    assert not second.broken
    (moved,) = second.libraries
    assert (moved.name, Path(moved.before or "").parent.name, Path(moved.after or "").parent.name) == (
        "liby.so.1",
        "a",
        "b",
    )
    assert moved.edge.rule == "ELF-1"
    (binding,) = second.bindings
    assert (Path(binding.object).name, binding.symbol) == ("one.so", "y")
    assert (Path(binding.before or "").parent.name, Path(binding.after or "").parent.name) == ("a", "b")


def test_libraries_of_other_names_make_no_difference(world: World) -> None:
    world.lib("a/liba.so.1", "int y(void) { return 1; }")
    world.lib("b/libb.so.1", "int y(void) { return 2; }")
    world.lib("x/one.so", X.format(1), needed=["a/liba.so.1"], rpath="$ORIGIN/../a")
    world.lib("x/two.so", X.format(2), needed=["b/libb.so.1"], rpath="$ORIGIN/../b")
    sim, one, two = simulator(world), group(world, "one", "x/one.so"), group(world, "two", "x/two.so")
    assert difference(sim, one, two).empty and difference(sim, two, one).empty
    reaches = [reach(sim.run(g), sim.base()) for g in (one, two)]
    assert contested(reaches[0], reaches[1], none, nothing) == ()


def test_a_library_that_cures(world: World) -> None:
    """A module that fails alone and loads once another opened its library for everybody (ELF-23)."""
    world.lib("a/libg.so", "int g(void) { return 1; }")
    world.lib("x/two.so", "int g(void); int t(void) { return g(); }")
    opener = Unit(
        world.path("a/libg.so"), "one", (Event(world.path("a/libg.so"), flags_global=True, label="import one"),)
    )
    one, two = Group(Origin("conda", "one", "1"), (opener,), ("one",)), group(world, "two", "x/two.so")
    diff = difference(simulator(world), one, two)
    assert not diff.broken and diff.cured == frozenset({world.path("x/two.so")})
    assert not diff.empty


def test_equal_runs_are_made_once_and_do_not_disturb_each_other(world: World) -> None:
    one, two = pair(world)
    sim = simulator(world)
    assert sim.run(one) is sim.run(one) and sim.run(one, two) is sim.run(one, two)
    alone = [o.path for o in sim.run(one).trace.objects if o.kept]
    assert sim.run(two, one).results[world.path("x/one.so")].result.outcome == "loaded"
    assert [o.path for o in sim.run(one).trace.objects if o.kept] == alone
    sim.forget(one, two)
    assert sim.run(one).results[world.path("x/one.so")].result.outcome == "loaded"


def test_a_prelude_event_that_is_a_unit_is_loaded_once(world: World) -> None:
    one, _ = pair(world)
    told = group(world, "one", "x/one.so", prelude=one.units[0].events)
    run = simulator(world).run(told)
    assert (
        len(run.trace.events) == 2 and run.results[world.path("x/one.so")].result is run.prelude[world.path("x/one.so")]
    )


def test_what_brings_a_file(world: World) -> None:
    one, two = pair(world)
    run = simulator(world).run(two, one)
    assert loads(run, world.path("b/liby.so.1")) == "two"
    assert loads(run, world.path("x/one.so")) == "one"
    assert loads(run, "/no/such/file") == "one", "the last group's label, when nobody loaded it"


# -- capture keys ----------------------------------------------------------------------------


def invented(names: dict[str, str], **more: object) -> Reach:
    fields: dict[str, object] = {
        "own": frozenset(names.values()),
        "interposed": frozenset(),
        "opens_globally": False,
    } | more
    return Reach(names, **fields)  # type: ignore[arg-type]


def test_a_name_that_means_two_files_is_contested() -> None:
    mine, other = (
        invented({"liby.so.1": "/a/liby.so.1", "libz.so": "/z"}),
        invented({"liby.so.1": "/b/liby.so.1", "libz.so": "/z"}),
    )
    assert contested(mine, other, none, nothing) == ("liby.so.1",)
    assert contested(mine, mine, none, nothing) == ()


def test_whoever_opens_globally_meets_everybody() -> None:
    quiet, loud = invented({"a": "/a"}), invented({"b": "/b"}, opens_globally=True)
    assert contested(quiet, loud, none, nothing) == contested(loud, quiet, none, nothing) == ("the global scope",)


@pytest.mark.parametrize(
    ("mine", "other", "meets"),
    [
        (UniqueSymbol(8, True), UniqueSymbol(8, True), True),
        (UniqueSymbol(8, False), UniqueSymbol(8, False), False),
        (UniqueSymbol(8, False), UniqueSymbol(16, False), True),
        (UniqueSymbol(8, False), UniqueSymbol(8, True), True),
    ],
    ids=["state", "constants", "sizes differ", "one can be written"],
)
def test_unique_symbols(mine: UniqueSymbol, other: UniqueSymbol, meets: bool) -> None:
    table = {"/a": {"_ZS": mine}, "/b": {"_ZS": other}, "/c": {"_ZS": mine}}
    found = contested(invented({"a": "/a"}), invented({"b": "/b"}), table.__getitem__, nothing)
    assert found == (("unique _ZS",) if meets else ())
    assert contested(invented({"a": "/a"}), invented({"a": "/a"}), table.__getitem__, nothing) == (), "one file"


def test_a_library_that_one_interposes_and_the_other_uses() -> None:
    mine = invented({"a": "/a", "y": "/y"}, interposed=frozenset({"/y"}))
    assert contested(mine, invented({"b": "/b", "y": "/y"}), none, nothing) == ("interposed /y",)
    assert contested(mine, invented({"b": "/b"}), none, nothing) == ()


def test_flat_symbols_meet_whoever_exports_them() -> None:
    mine = invented({"a": "/a"}, flat=frozenset({"_f"}))
    assert contested(mine, invented({"b": "/b"}), none, lambda real: ("_f",) if real == "/b" else ()) == ("flat _f",)
    assert contested(mine, invented({"b": "/b"}), none, nothing) == ()


def test_interposed_libraries_of_a_run(world: World) -> None:
    """ELF-21, ELF-22: the root defines what its dependency defines and calls: whoever loads that first decides."""
    world.lib("lib/libdep.so.1", "int g(void) { return 0; } int use(void) { return g(); }")
    world.lib(
        "x/root.so",
        "int use(void); int g(void) { return 1; } int r(void) { return use(); }",
        needed=["lib/libdep.so.1"],
    )
    world.lib("x/plain.so", "int use(void); int p(void) { return use(); }", needed=["lib/libdep.so.1"])
    sim = simulator(world)
    assert interposed(sim.run(group(world, "root", "x/root.so"))) == frozenset({world.path("lib/libdep.so.1")})
    assert interposed(sim.run(group(world, "plain", "x/plain.so"))) == frozenset()


@pytest.mark.parametrize(("name", "counts"), [("ld64.so.2", False), ("libld64.so.2", True)])
def test_the_dynamic_loader_is_there_before_anybody(world: World, name: str, counts: bool) -> None:
    """Where the interpreter is not here, the loader's own file is met late, with libc's symbols in it: no key."""
    world.lib(f"lib/{name}", "int g(void) { return 0; } int use(void) { return g(); }")
    root = "int use(void); int g(void) { return 1; } int r(void) { return use(); }"
    world.lib("x/root.so", root, needed=[f"lib/{name}"])
    found = interposed(simulator(world).run(group(world, "root", "x/root.so")))
    assert found == (frozenset({world.path(f"lib/{name}")}) if counts else frozenset())


@pytest.mark.parametrize(
    "symbol",
    [
        "_ZSt4cout",
        "_ZNSt6localeC1Ev",
        "_ZNKSs4sizeEv",
        "_ZTVSt9exception",
        "__ZNSt3__16localeC1Ev",
        "_ZGTtNSt11logic_errorD1Ev",
    ],
)
def test_the_standard_library_s_own(symbol: str) -> None:
    assert is_standard(symbol)


@pytest.mark.parametrize("symbol", ["_ZN4grid3runESt6vectorIiE", "deflate", "_ZTVN4grid4BaseE", "Ss", "_Z1fSs"])
def test_what_is_not(symbol: str) -> None:
    assert not is_standard(symbol)
