"""Packages of one name in several folders on sys.path: what is merged or hidden, as Python does it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from layerkit.check import check_zips
from layerkit.target import target
from zips import SITE, zipped

if TYPE_CHECKING:
    from pathlib import Path

EXTENDS = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
DECLARES = "__import__('pkg_resources').declare_namespace(__name__)\n"
BOTH = {"python/p/__init__.py": "", "python/p/a.py": ""}
# By name: what the code and two layers have, and the modules that are hidden.
CASES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str], list[str]]] = {
    "namespaces are merged": ({"ns/a.py": ""}, {f"{SITE}/ns/b.py": ""}, {"python/ns/c.py": ""}, []),
    "one folder, two layers": (
        {},
        {"python/ns/__init__.py": "", "python/ns/a.py": ""},
        {"python/ns/b/c.py": ""},
        [],
    ),
    "a package before a namespace": (
        {"ns/__init__.py": ""},
        {"python/ns/b.py": ""},
        {f"{SITE}/ns/c.py": ""},
        ["ns.b", "ns.c"],
    ),
    "a namespace before a package": ({"ns/a.py": ""}, {"python/ns/__init__.py": ""}, {}, ["ns.a"]),
    "the same in both": (
        {"p/__init__.py": "", "p/a.py": ""},
        {"python/p/__init__.py": "", "python/p/a.py": ""},
        {},
        [],
    ),
    "deeper": (
        {"ns/sub/__init__.py": ""},
        {"python/ns/sub/b.py": "", "python/ns/other/c.py": ""},
        {},
        ["ns.sub.b"],
    ),
    "that extend their path": (
        {"ns/__init__.py": EXTENDS, "ns/a.py": ""},
        {"python/ns/__init__.py": EXTENDS, "python/ns/b.py": ""},
        {},
        [],
    ),
    "folders without modules": (
        {"p/__init__.py": ""},
        {"python/p/data.txt": "", "python/p/__pycache__/x.py": ""},
        {},
        [],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_hidden_is_what_python_cannot_import(tmp_path: Path, name: str) -> None:
    code, first, second, hidden = CASES[name]
    zips = [zipped(tmp_path / "first.zip", first), zipped(tmp_path / "second.zip", second)]
    made = zipped(tmp_path / "code.zip", code)
    found = check_zips(zips, target("py312"), [], function=made).findings
    # Some cases have nothing in one of the zips, which is another matter.
    assert {one.code for one in found} - {"empty-zip"} == ({"package-hidden"} if hidden else set())
    # The same laid down, and asked of an interpreter.
    for top, paths in (("task", [made]), ("opt", zips)):
        (tmp_path / top).mkdir()
        for path in paths:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(tmp_path / top)
    folders = [tmp_path / "task", tmp_path / "opt" / SITE, tmp_path / "opt" / "python"]
    modules = sorted(
        {
            path.removeprefix(f"{SITE}/").removeprefix("python/").removesuffix(".py").replace("/", ".")
            for files in (code, first, second)
            for path in files
            if path.endswith(".py") and "__pycache__" not in path and "__init__" not in path
        }
    )
    script = f"import sys, importlib; sys.path[:0] = {[str(one) for one in folders]!r}\n"
    script += (
        f"for name in {modules!r}:\n try: importlib.import_module(name)\n except ImportError: print(name)"
    )
    said = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == hidden
    for one in hidden:
        assert any(one.rpartition(".")[2] + ".py" in each.text for each in found)


def test_pkg_resources_says_that_it_extends_too(tmp_path: Path) -> None:
    code = zipped(tmp_path / "code.zip", {"ns/__init__.py": DECLARES, "ns/a.py": ""})
    layer = zipped(tmp_path / "layer.zip", {"python/ns/__init__.py": DECLARES, "python/ns/b.py": ""})
    assert check_zips([layer], target("py312"), [], function=code).findings == ()


def test_zips_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder, content in (("a", "1"), ("b", "2")):
        (tmp_path / folder).mkdir()
        zipped(tmp_path / folder / "layer.zip", {"python/x.py": content})
    paths = [tmp_path / "a" / "layer.zip", tmp_path / "b" / "layer.zip"]
    (one,) = check_zips(paths, target("py312"), []).findings
    assert (one.code, one.where) == ("path-collision", f"{paths[0]}, {paths[1]}")
