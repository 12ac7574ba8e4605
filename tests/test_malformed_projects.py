"""Every value of a project's files, replaced by something else: an error of ours, never a traceback."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
import tomli_w

from layerkit import toml
from layerkit.errors import LayerkitError
from layerkit.project import load, validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STANDARD = """
[project]
name = "app"
version = "1"
requires-python = ">=3.9"
dependencies = ["numpy>=1", "lib", "app[web]"]
optional-dependencies = {web = ["fastapi"]}
[dependency-groups]
dev = ["pytest", {include-group = "t"}]
t = ["x"]
[build-system]
requires = ["x"]
[tool.uv]
package = true
constraint-dependencies = ["a<2"]
[tool.uv.sources]
lib = {path = "lib", marker = "os_name == 'posix'"}
fastapi = [{index = "x"}]
[tool.uv.workspace]
members = ["lib"]
[tool.layerkit]
runtimes = ["py312"]
architectures = ["x86_64"]
sdk = "auto"
sdk-version = "1.2.3"
never-deploy = ["x"]
collisions = {"a/b" = "c"}
aws-services = ["s3"]
strip = true
bytecode = "only"
over-limit = {mode = "bundle", lazy = true, remote = "s3://bucket"}
slim = {rows = {headers = false, mine = ["x"]}, keep = {a = ["*.h"]}}
[tool.layerkit.layers]
a = ["numpy"]
b = {requirements = ["lib"], extras = ["web"], groups = ["dev"], dependencies = true, project = true}
[tool.layerkit.functions.f]
layers = ["a"]
requirements = ["x"]
code = "lib"
include = ["a"]
"""
POETRY = """
[tool.poetry]
name = "app"
version = "1"
[tool.poetry.dependencies]
python = "^3.9"
numpy = [{version = "1", python = "<3.10"}]
lib = {path = "lib", extras = ["x"], optional = true}
u = {url = "https://h/u-1-py3-none-any.whl"}
[tool.poetry.extras]
e = ["lib"]
[tool.poetry.group.g]
include-groups = ["h"]
[tool.poetry.group.h.dependencies]
z = "*"
[[tool.poetry.source]]
name = "n"
url = "https://n"
[tool.layerkit.layers]
a = {dependencies = true, extras = ["e"], groups = ["g"]}
"""
PIPFILE = """
[[source]]
name = "n"
url = "https://n"
[packages]
b = {version = ">=1", extras = ["x"], markers = "os_name == 'nt'", os_name = "== 'nt'"}
c = {path = "lib"}
[requires]
python_version = "3.11"
"""
UV = """
version = 1
[[package]]
name = "a"
version = "1"
source = {registry = "x"}
resolution-markers = ["os_name == 'nt'"]
wheels = [{hash = "sha256:a"}]
sdist = {hash = "sha256:b"}
"""
POETRY_LOCK = """
[[package]]
name = "a"
version = "1"
files = [{hash = "sha256:a"}]
source = {type = "legacy"}
markers = {main = "os_name == 'nt'"}
groups = ["main"]
[package.dependencies]
b = [{version = "1", markers = "os_name == 'nt'", python = ">=3.9"}]
[[package]]
name = "b"
version = "1"
python-versions = ">=3.9"
[[package]]
name = "b"
version = "2"
[metadata]
files = {b = [{hash = "sha256:x"}]}
"""
PYLOCK = """
lock-version = "1.0"
default-groups = ["x"]
[[packages]]
name = "a"
version = "1"
marker = "os_name == 'nt'"
wheels = [{hashes = {sha256 = "a"}}]
[[packages]]
name = "b"
directory = {path = "lib"}
[[packages]]
name = "c"
archive = {url = "https://h/c-1-py3-none-any.whl", hashes = {sha256 = "a"}}
"""
PIPFILE_LOCK = {"default": {"a": {"version": "==1", "hashes": ["sha256:a"], "markers": "os_name == 'nt'"}}}

OTHERS: tuple[Any, ...] = (1, "", "x y", "../..", True, [1], [[]], ["x"], {"a": 1}, [{"a": {}}])


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys and indexes that lead to each value inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*at, key)
        yield from places(item, (*at, key))


def changed(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the document with each of its values replaced by each of the others."""
    for at in places(document):
        for other in OTHERS:
            copied = copy.deepcopy(document)
            holder: Any = copied
            for key in at[:-1]:
                holder = holder[key]
            holder[at[-1]] = other
            yield copied


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("pyproject.toml", toml.parse(STANDARD)),
        ("pyproject.toml", toml.parse(POETRY)),
        ("Pipfile", toml.parse(PIPFILE)),
        ("uv.lock", toml.parse(UV)),
        ("poetry.lock", toml.parse(POETRY_LOCK)),
        ("pylock.toml", toml.parse(PYLOCK)),
        ("Pipfile.lock", PIPFILE_LOCK),
    ],
    ids=["standard", "poetry", "Pipfile", "uv.lock", "poetry.lock", "pylock", "Pipfile.lock"],
)
def test_no_value_leads_to_a_traceback(name: str, document: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "lib").mkdir(parents=True)
    (root / "lib" / "pyproject.toml").write_text('[project]\nname = "lib"\n')
    if name in {"uv.lock", "poetry.lock"}:
        (root / "pyproject.toml").write_text('[project]\nname = "a"\ndependencies = ["numpy"]\n')
    refused = 0
    for one in changed(document):
        (root / name).write_text(json.dumps(one) if name == "Pipfile.lock" else tomli_w.dumps(one))
        try:
            validate(load(root))
        except LayerkitError:
            refused += 1
    assert refused
