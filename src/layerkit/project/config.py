"""[tool.layerkit] in pyproject.toml: every key, its type and its meaning.

Everything wrong is noted with its path, and reading goes on, so that a user sees all of it at
once. What the names in it mean is for `declared_layers`, which knows the project's dependencies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from layerkit import patterns
from layerkit.errors import ConfigError, UsageError
from layerkit.project import publishing
from layerkit.project.containers_table import KEYS as _CONTAINERS
from layerkit.project.containers_table import read as read_containers
from layerkit.project.dockerfile_table import KEYS as _DOCKERFILE
from layerkit.project.dockerfile_table import DockerfileTable
from layerkit.project.dockerfile_table import read as read_dockerfile
from layerkit.project.publishing import PublishTable
from layerkit.project.requirement import canonical, is_name
from layerkit.project.specs import (
    BytecodeRule,
    CheckRules,
    Containers,
    FailOn,
    OverLimit,
    OverLimitMode,
    Slimming,
)
from layerkit.project.tables import Table, strings, table
from layerkit.target import SDK_VERSION, parse_arch, parse_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from layerkit.project.faults import Faults
    from layerkit.target import Layout

__all__ = ["Config", "EngineRule", "FunctionTable", "Roots", "SdkRule", "read"]

SdkRule = Literal["auto", "runtime", "bundle"]
EngineRule = Literal["auto", "docker", "wheels"]

_KEYS = (
    "runtimes", "architectures", "sdk", "sdk-version", "layout", "layers", "functions", "never-deploy",
    "self-contained", "collisions", "output", "lock", "slim", "strip", "bytecode", "aws-services", "engine",
    "publish",
    "import-may-fail",
    "check",
    *_CONTAINERS,
    "over-limit", "store",
)  # fmt: skip
_ROOTS = ("requirements", "extras", "groups", "dependencies", "project")
_SLIM = ("rows", "keep")
_OVER_LIMIT = ("mode", "lazy", "remote")
_CHECK = ("ignore", "fail-on")
_FAIL_ON: tuple[FailOn, ...] = ("error", "warning", "never")
_MODES: tuple[OverLimitMode, ...] = ("error", "bundle", "nested-zip")
_FUNCTION = ("layers", "code", "include", "exclude", *_ROOTS)
# What no declared layer holds, as a key beside theirs.
REST = "*"

# A place in the file, such as `pyproject.toml: tool.layerkit.layers.data[0]`, and what stands there.
Placed = tuple[str, str]


class Roots(Struct, frozen=True, kw_only=True):
    """What a layer is declared to hold.

    `requirements` are names or PEP 508; `extras` and `groups` name lists of the project's own;
    `dependencies` means the project's main dependencies, `project` its own wheel without them. A layer,
    not a function, may have a `dockerfile`.
    """

    path: str
    requirements: tuple[Placed, ...] = ()
    extras: tuple[Placed, ...] = ()
    groups: tuple[Placed, ...] = ()
    dependencies: bool = False
    project: bool = False
    dockerfile: DockerfileTable | None = None

    def __bool__(self) -> bool:
        """Say whether anything is named at all."""
        lists = self.requirements or self.extras or self.groups
        return bool(lists or self.dependencies or self.project or self.dockerfile)


class FunctionTable(Struct, frozen=True, kw_only=True):
    """A function as written; `layers` is None where the key is absent."""

    path: str
    roots: Roots
    layers: tuple[Placed, ...] | None = None
    code: Placed | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Config(Struct, frozen=True, kw_only=True):
    """[tool.layerkit] as written; None and empty where a key is absent."""

    runtimes: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None
    sdk: SdkRule | None = None
    sdk_version: str | None = None
    layout: Layout | None = None
    layers: Mapping[str, Roots] | None = None
    divided: bool = False
    functions: Mapping[str, FunctionTable] = field(default_factory=dict)
    never: frozenset[str] = frozenset()
    self_contained: bool = False
    collisions: Mapping[str, str] = field(default_factory=dict)
    output: str | None = None
    lock: str | None = None
    slim: Slimming = field(default_factory=Slimming)
    strip: bool = True
    bytecode: BytecodeRule = "beside"
    over_limit: OverLimit = field(default_factory=OverLimit)
    aws_services: tuple[str, ...] | None = None
    containers: Containers = field(default_factory=Containers)
    engine: EngineRule | None = None
    publish: PublishTable = field(default_factory=PublishTable)
    import_may_fail: frozenset[str] = frozenset()
    check: CheckRules = field(default_factory=CheckRules)
    store: str | None = None


def read(tables: Mapping[str, Any], shown: str, root: Path, faults: Faults) -> Config:
    """Return the table of a pyproject.toml that is shown as `shown`; paths in it start at `root`."""
    value = table(tables, "tool").get("layerkit", {})
    keys = Table(value, f"{shown}: tool.layerkit", faults, _KEYS)
    divided, layers = _layers(keys)
    return Config(
        runtimes=_words(keys, "runtimes", parse_runtime),
        architectures=_words(keys, "architectures", parse_arch),
        sdk=keys.choice("sdk", ("auto", "runtime", "bundle")),
        sdk_version=_sdk_version(keys),
        layout=keys.choice("layout", ("versioned", "flat")),
        layers=layers,
        divided=divided,
        functions={name: _function(inner, path, faults) for name, path, inner in keys.tables("functions")},
        never=frozenset(canonical(name) for _, name in _names(keys, "never-deploy")),
        self_contained=keys.flag("self-contained"),
        collisions=_collisions(keys),
        output=keys.string("output"),
        lock=keys.string("lock"),
        slim=_slim(keys),
        strip=keys.flag("strip", default=True),
        bytecode=_bytecode(keys),
        over_limit=_over_limit(keys),
        aws_services=_services(keys),
        containers=read_containers(keys, root),
        engine=keys.choice("engine", ("auto", "docker", "wheels")),
        publish=publishing.read(keys.values.get("publish", {}), keys.at("publish"), faults),
        import_may_fail=frozenset(_modules(keys, "import-may-fail")),
        check=_check(keys),
        store=keys.string("store"),
    )


def _words(table: Table, key: str, read_word: Callable[[str], str]) -> tuple[str, ...] | None:
    """Return runtimes or architectures under their own names, each once, in the order written."""
    written = table.strings(key)
    if written is None:
        return None
    if not written and table.values[key] == []:
        table.faults.add(table.at(key), "this is empty")
    words: list[str] = []
    for path, text in written:
        try:
            words.append(read_word(text))
        except UsageError as error:  # noqa: PERF203 - the loop goes on, so that all faults are found
            table.faults.take(ConfigError(error.what, where=path, fix=error.fix))
    return tuple(dict.fromkeys(words))


def _sdk_version(table: Table) -> str | None:
    """Return the version of boto3 and botocore that the runtime brings."""
    version = table.string("sdk-version")
    if version is not None and SDK_VERSION.fullmatch(version) is None:
        table.faults.add(table.at("sdk-version"), f"{version!r} is not a version of boto3 such as 1.40.4")
    return version


def _names(table: Table, key: str) -> list[Placed]:
    """Return a list of names of packages."""
    found = []
    for path, text in table.strings(key) or ():
        if is_name(text):
            found.append((path, text))
        else:
            table.faults.add(path, f"{text!r} is not the name of a package")
    return found


def _layers(keys: Table) -> tuple[bool, dict[str, Roots] | None]:
    """Return whether the planner makes layers, and those that are declared; None where the key is absent."""
    written = keys.values.get("layers")
    if written is None:
        return False, None
    if isinstance(written, str):
        keys.choice("layers", ("auto",))
        return True, {}
    layers: dict[str, Roots] = {}
    divided = False
    for name, path, inner in keys.tables("layers"):
        if name != REST:
            layers[name] = _layer(inner, path, keys.faults)
        elif inner == "auto":
            divided = True
        else:
            keys.faults.add(path, f'{inner!r} is not "auto", the one word that {REST!r} takes')
    return divided, layers


def _modules(table: Table, key: str) -> Iterator[str]:
    """Yield a list of dotted names of modules."""
    for path, text in table.strings(key) or ():
        if all(map(str.isidentifier, text.split("."))):
            yield text
        else:
            table.faults.add(path, f"{text!r} is not the name of a module")


def _layer(value: Any, path: str, faults: Faults) -> Roots:
    """Read a layer: a list of roots, or a table of them."""
    if isinstance(value, list):
        roots = Roots(path=path, requirements=tuple(strings(value, path, faults)))
    else:
        keys = Table(value, path, faults, (*_ROOTS, *_DOCKERFILE))
        roots = replace(_roots(keys), dockerfile=read_dockerfile(keys))
    if not roots and value in ([], {}):
        faults.add(path, "the layer names nothing to put into it")
    return roots


def _roots(table: Table) -> Roots:
    """Read what a table names to put into a layer."""
    return Roots(
        path=table.path,
        requirements=tuple(table.strings("requirements") or ()),
        extras=tuple(table.strings("extras") or ()),
        groups=tuple(table.strings("groups") or ()),
        dependencies=table.flag("dependencies"),
        project=table.flag("project"),
    )


def _function(value: Any, path: str, faults: Faults) -> FunctionTable:
    """Read a function."""
    table = Table(value, path, faults, _FUNCTION)
    layers = table.strings("layers")
    code = table.string("code")
    if code is None:
        for key in ("include", "exclude"):
            if key in table.values:
                faults.add(table.at(key), "this says nothing without `code`, the folder it is about")
    return FunctionTable(
        path=path,
        roots=_roots(table),
        layers=None if layers is None else tuple(layers),
        code=(table.at("code"), code) if code else None,
        include=tuple(text for _, text in table.strings("include") or ()),
        exclude=tuple(text for _, text in table.strings("exclude") or ()),
    )


def _collisions(table: Table) -> dict[str, str]:
    """Return which package wins a path inside the layer."""
    found: dict[str, str] = {}
    for name, path, value in table.tables("collisions"):
        if not isinstance(value, str) or not is_name(value):
            table.faults.add(path, f"{value!r} is not the name of the package whose file is kept")
        elif name.startswith("/") or ".." in name.split("/"):
            table.faults.add(path, "the path has to be one inside the layer, such as python/README.txt")
        else:
            found[name] = canonical(value)
    return found


def _slim(keys: Table) -> Slimming:
    """Read what is left out of wheels: true, false, or a table of rows and of what stays."""
    value = keys.values.get("slim", True)
    if isinstance(value, bool):
        return Slimming(enabled=value)
    if not isinstance(value, dict):
        keys.faults.add(keys.at("slim"), f"{value!r} is none of true, false and a table")
        return Slimming()
    inner = Table(value, keys.at("slim"), keys.faults, _SLIM)
    written = list(inner.tables("rows"))
    return Slimming(
        switched=tuple((name, value) for name, _, value in written if isinstance(value, bool)),
        rows=tuple(
            (name, _patterns(value, path, keys.faults))
            for name, path, value in written
            if not isinstance(value, bool)
        ),
        keep=tuple(
            (canonical(name), _patterns(value, path, keys.faults))
            for name, path, value in inner.tables("keep")
        ),
    )


def _bytecode(keys: Table) -> BytecodeRule:
    """Read whether there is bytecode: true, false, or the word `only`."""
    value = keys.values.get("bytecode", True)
    if isinstance(value, bool):
        return "beside" if value else "none"
    if value != "only":
        keys.faults.add(keys.at("bytecode"), f"{value!r} is none of true, false, 'only'")
    return "only"


def _patterns(value: Any, path: str, faults: Faults) -> tuple[str, ...]:
    """Read a list of patterns."""
    found = list(strings(value, path, faults))
    for at, text in found:
        try:
            patterns.parse(text)
        except ConfigError as error:  # noqa: PERF203 - the loop goes on, so that all faults are found
            faults.take(ConfigError(error.what, where=at, fix=error.fix))
    return tuple(text for _, text in found)


def _services(keys: Table) -> tuple[str, ...] | None:
    """Return the AWS services whose description a bundled SDK keeps; None for all of them."""
    written = keys.strings("aws-services")
    if written == [] and keys.values["aws-services"] == []:
        keys.faults.add(keys.at("aws-services"), "this is empty")
    return None if written is None else tuple(sorted({text for _, text in written}))


def _check(keys: Table) -> CheckRules:
    """Read what `layerkit check` passes over, and what makes it fail."""
    inner = Table(keys.values.get("check", {}), keys.at("check"), keys.faults, _CHECK)
    return CheckRules(
        ignore=frozenset(text for _, text in inner.strings("ignore") or ()),
        fail_on=inner.choice("fail-on", _FAIL_ON) or "error",
    )


def _over_limit(keys: Table) -> OverLimit:
    """Read what becomes of a stack that is too large: a word, or a table with the word as its mode."""
    if isinstance(keys.values.get("over-limit"), str):
        return OverLimit(mode=keys.choice("over-limit", _MODES) or "error")
    inner = Table(keys.values.get("over-limit", {}), keys.at("over-limit"), keys.faults, _OVER_LIMIT)
    remote = inner.string("remote")
    if remote and not remote.startswith(("s3://", "https://", "http://")):
        inner.faults.add(inner.at("remote"), f"{remote!r} is no address such as s3://bucket/prefix")
    return OverLimit(mode=inner.choice("mode", _MODES) or "error", lazy=inner.flag("lazy"), remote=remote)
