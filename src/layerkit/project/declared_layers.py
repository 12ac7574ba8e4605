"""The layers, functions and stacks that a configuration and a project's declarations come to.

Without declared layers a project gives `default` (its main dependencies), one layer per extra,
and `nodeps`: its own wheel alone, where it can be built. Where the planner makes the layers, the roots
of each function, or without functions the main dependencies, are what it divides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit.project.dockerfile_table import located
from layerkit.project.faults import nearest
from layerkit.project.requirement import resolved
from layerkit.project.roots import Reader, unnamed
from layerkit.project.specs import FunctionSpec, LayerSpec, Stack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.project.config import Config, FunctionTable, Placed, Roots
    from layerkit.project.declared import Declared
    from layerkit.project.faults import Faults

__all__ = ["Layers", "check_published", "lay_out"]

_MOST_CHARACTERS = 140
_NAME = re.compile(r"[a-zA-Z0-9_-]+")


class Layers:
    """What a project is laid out in; `places` says where each name was declared."""

    def __init__(self) -> None:
        """Begin with nothing; the laying out adds to it."""
        self.layers: dict[str, LayerSpec] = {}
        self.functions: list[FunctionSpec] = []
        self.stacks: list[Stack] = []
        self.places: dict[str, str] = {}
        self.notes: list[str] = []


def lay_out(config: Config, declared: Declared, root: Path, shown: str, faults: Faults) -> Layers:
    """Return the layers, functions and stacks; names that mean nothing are faults."""
    work = _Work(config, declared, root, shown, faults)
    work.add_layers()
    for name, table in config.functions.items():
        work.add_function(name, table)
    work.add_stacks()
    work.check_names()
    work.note_unnamed()
    return work.found


class _Work:
    """One laying out."""

    def __init__(self, config: Config, declared: Declared, root: Path, shown: str, faults: Faults) -> None:
        """Keep what every step reads."""
        self.config, self.declared, self.root, self.shown, self.faults = config, declared, root, shown, faults
        self.reader = Reader(declared, root, faults)
        self.found = Layers()
        self.folded: dict[str, str] = {}
        self.by_themselves = self._by_themselves()

    def _by_themselves(self) -> tuple[str, ...]:
        """Return the layers a project has without declaring any, the lowest first."""
        if self.config.layers is not None:
            return ()
        extras = tuple(name for name, entries in self.declared.extras.items() if entries)
        main = ("default",) if self.declared.main else ()
        return (*main, *extras, *(("nodeps",) if self.declared.buildable else ()))

    def add_layers(self) -> None:
        """Add the declared layers, else those of the project itself that a function can need."""
        if self.config.layers is not None:
            for name, roots in self.config.layers.items():
                self.add(name, roots.path, self._declared(name, roots))
            if self.config.divided and not self.config.functions:
                self._divide_main()
            return
        for name in ("default", "nodeps"):
            if name in self.declared.extras:
                what = f"an extra called {name!r} would be mixed up with the layer of that name"
                self.faults.add(
                    f"{self.shown}: {name}", what, fix="declare the layers in [tool.layerkit.layers]"
                )
        needed = self._needed()
        for name in self.by_themselves:
            if name in needed:
                self.add(name, self.shown, self._by_itself(name))

    def _divide_main(self) -> None:
        """Have the main dependencies divided; the project's own wheel is a layer above them."""
        place = f"{self.shown}: tool.layerkit.layers"
        if not self.declared.main and not self.found.layers:
            self.faults.add(
                place, "there is nothing to divide: no function and no main dependency is declared"
            )
        requirements = self.reader.entries(self.declared.main)
        self.add("all", place, LayerSpec(name="all", requirements=requirements, divided=True))
        self._own_wheel()

    def _own_wheel(self) -> tuple[str, ...]:
        """Return the layer of the project's own wheel, added now; nothing where it cannot be built."""
        if not self.declared.buildable:
            return ()
        if "nodeps" not in self.found.layers:
            self.add("nodeps", self.shown, self._by_itself("nodeps"))
        return ("nodeps",)

    def _declared(self, name: str, roots: Roots) -> LayerSpec:
        """Return a layer of declared roots."""
        dockerfile = roots.dockerfile
        return LayerSpec(
            name=name,
            requirements=self.reader.read(roots),
            project="wheel-only" if roots.project else "none",
            dockerfile=located(dockerfile, self.root, self.faults) if dockerfile else None,
        )

    def _needed(self) -> frozenset[str]:
        """Return which of the project's own layers are wanted: all, or those that functions name."""
        if not self.config.functions:
            return frozenset(self.by_themselves)
        named = {name for table in self.config.functions.values() for _, name in table.layers or ()}
        plain = any(table.layers is None and not table.roots for table in self.config.functions.values())
        return frozenset(named | ({"default", "nodeps"} if plain else set()))

    def _by_itself(self, name: str) -> LayerSpec:
        """Return `default`, `nodeps` or an extra's layer."""
        if name == "nodeps":
            own = self.reader.own_wheel(f"{self.shown}: nodeps")
            return LayerSpec(name=name, requirements=(own,) if own else (), project="wheel-only")
        entries = self.declared.main if name == "default" else self.declared.extras[name]
        if self.config.self_contained and name != "default":
            # Standing alone, an extra's layer needs what the project needs without it too.
            entries = (*self.declared.main, *entries)
        return LayerSpec(name=name, requirements=self.reader.entries(entries))

    def add(self, name: str, place: str, layer: LayerSpec) -> None:
        """Add a layer under a name that no other has."""
        first = self.folded.setdefault(name.casefold(), name)
        if first in self.found.layers:
            self.faults.add(place, f"{name!r} and {first!r} would be files of the same name")
            return
        self.found.layers[name] = layer
        self.found.places[name] = place

    def add_function(self, name: str, table: FunctionTable) -> None:
        """Add a function, and the layer of its own where it names requirements."""
        layers = self._layers_of(table)
        if roots := self._roots_of(name, table):
            self.add(name, table.path, roots)
            layers = (*layers, name)
        self.found.places.setdefault(name, table.path)
        self.found.functions.append(
            FunctionSpec(
                name=name,
                layers=layers,
                code=self._code(table.code),
                include=table.include,
                exclude=table.exclude,
            )
        )

    def _roots_of(self, name: str, table: FunctionTable) -> LayerSpec | None:
        """Return what a function needs by itself: a layer of its own, or what is divided among layers."""
        if table.roots:
            return replace(self._declared(name, table.roots), divided=self.config.divided)
        if self.config.divided and table.layers is None:
            requirements = self.reader.entries(self.declared.main)
            return LayerSpec(name=name, requirements=requirements, divided=True)
        return None

    def _layers_of(self, table: FunctionTable) -> tuple[str, ...]:
        """Return the layers that a function names; without a word, those of the project itself."""
        if table.layers is None and not table.roots:
            if self.config.layers is not None and not self.config.divided:
                fix = "name them; a function of its code alone has layers = []"
                self.faults.add(table.path, "the function names neither layers nor requirements", fix=fix)
            if self.config.divided:
                return self._own_wheel()
            return tuple(name for name in self.by_themselves if name in {"default", "nodeps"})
        known = self.by_themselves if self.config.layers is None else tuple(self.config.layers)
        named: list[str] = []
        for path, name in table.layers or ():
            if name not in known:
                self.faults.add(path, f"there is no layer called {name!r}{nearest(name, known)}")
            elif name in named:
                self.faults.add(path, f"{name!r} is named twice")
            else:
                named.append(name)
        return tuple(named)

    def _code(self, written: Placed | None) -> Path | None:
        """Return the absolute path of a function's code."""
        if written is None:
            return None
        path = resolved(self.root / written[1])
        if not path.exists():
            self.faults.add(written[0], f"there is no file or folder {written[1]!r}")
        return path

    def add_stacks(self) -> None:
        """Add a stack per function; without functions, those that the layers make up among them."""
        stacks = self.found.stacks
        layers = tuple(self.found.layers)
        if self.config.functions:
            if self.config.self_contained:
                what = "a layer that functions stack on others is not self-contained"
                self.faults.add(f"{self.shown}: tool.layerkit.self-contained", what)
            stacks += [Stack(name=function.name, layers=function.layers) for function in self.found.functions]
        elif self.config.layers is not None:
            alone = [Stack(name=name, layers=(name,)) for name in layers]
            stacks += (
                alone if self.config.self_contained else [Stack(name="all", layers=layers)][: len(layers)]
            )
        else:
            below = tuple(name for name in layers if name == "default")
            above = tuple(name for name in layers if name == "nodeps")
            between = [name for name in layers if name not in {"default", "nodeps"}]
            if below + above:
                stacks.append(Stack(name="default", layers=below + above))
            if self.config.self_contained:
                below = ()
            stacks += [Stack(name=name, layers=(*below, name, *above)) for name in between]

    def check_names(self) -> None:
        """Refuse names that Lambda refuses, and those that would make two files of one name."""
        for name, place in self.found.places.items():
            if _NAME.fullmatch(name) is None:
                self.faults.add(place, f"{name!r} is no name for Lambda: it takes letters, digits, - and _")
        code = {f"{function.name}-code" for function in self.found.functions if function.code}
        for name in sorted(code & set(self.found.layers)):
            what = f"the layer {name!r} would have the name of a function's code"
            self.faults.add(self.found.places[name], what)

    def note_unnamed(self) -> None:
        """Say which dependencies are declared but named by no layer, since they may be forgotten."""
        if self.config.layers is None and not self.config.functions:
            return
        requirements = (item for layer in self.found.layers.values() for item in layer.requirements)
        if names := unnamed(self.declared, requirements, self.root):
            self.found.notes.append(
                f"no layer names {_list(names)}: in a layer only where something else there needs it"
            )


def check_published(
    name: str, version: str, runtimes: Iterable[str], found: Layers, shown: str, faults: Faults
) -> None:
    """Refuse what makes `<py312>-<project>-<version>-<layer>`, dots as dashes, no name for Lambda."""
    if _NAME.fullmatch(version.replace(".", "-")) is None:
        fix = "give another version for the files, as LIB_VERSION"
        faults.add(f"{shown}: version", f"{version!r} cannot stand in the name of a layer", fix=fix)
    longest = max((len(runtime.removeprefix("python")) + 1 for runtime in runtimes), default=0)
    for layer, place in found.places.items():
        length = longest + len(f"-{name}-{version}-{layer}")
        if length > _MOST_CHARACTERS:
            what = f"the layer's whole name, with runtime, project and version, has {length} characters"
            faults.add(place, what, fix=f"Lambda takes {_MOST_CHARACTERS}")


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
