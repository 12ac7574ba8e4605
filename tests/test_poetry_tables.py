from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError
from layerkit.project import pyproject
from layerkit.project.declared import read_entries
from layerkit.project.faults import Faults
from layerkit.project.poetry_tables import python_range
from layerkit.project.text_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.project.declared import Declared, Entry

HEAD = '[tool.poetry]\nname = "app"\nversion = "0.3"\n'


def declared(folder: Path, text: str) -> Declared:
    (folder / "pyproject.toml").write_text(text)
    faults = Faults()
    found = pyproject.declared(
        read_toml(folder / "pyproject.toml"), folder / "pyproject.toml", folder, faults
    )
    faults.check()
    return found


def texts(entries: Iterable[Entry]) -> list[str]:
    faults = Faults()
    found = [" ".join(requirement.text.split()) for requirement in read_entries(entries, faults)]
    faults.check()
    return found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"^1.2"', "a (>=1.2,<2.0)"),
        ('"^0.2.3"', "a (>=0.2.3,<0.3.0)"),
        ('"~1.2"', "a (>=1.2,<1.3)"),
        ('"1.2.*"', "a (==1.2.*)"),
        ('"*"', "a"),
        ('"1.4"', "a (==1.4)"),
        ('">=1.2,<3"', "a (>=1.2,<3)"),
        ('{version = "^1", extras = ["X_y"]}', "a[x-y] (>=1,<2)"),
        (
            '{version = "^1", python = "~3.9"}',
            'a (>=1,<2) ; python_version == "3.9"',
        ),
        (
            '{version = "1", markers = "sys_platform == \'linux\'"}',
            'a (==1) ; sys_platform == "linux"',
        ),
        ('{version = "*", platform = "linux"}', 'a ; sys_platform == "linux"'),
    ],
)
def test_ranges(written: str, expected: str, tmp_path: Path) -> None:
    found = declared(tmp_path, f"{HEAD}[tool.poetry.dependencies]\na = {written}\n")
    assert texts(found.main) == [expected]


def test_a_project(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        HEAD
        + """
        [tool.poetry.dependencies]
        python = "^3.9"
        numpy = [{version = "1.21", python = "<3.10"}, {version = "^1.26", python = ">=3.10"}]
        fastapi = {version = "*", optional = true}
        uvicorn = {version = "^0.20", optional = true}
        [tool.poetry.extras]
        Web = ["FastAPI", "uvicorn"]
        [tool.poetry.group.test.dependencies]
        pytest = "*"
        [tool.poetry.group.all]
        include-groups = ["test"]
        [tool.poetry.dev-dependencies]
        black = "*"
        """,
    )
    assert (found.name, found.version, found.requires_python) == ("app", "0.3", ">=3.9,<4.0")
    assert texts(found.main) == [
        'numpy (==1.21) ; python_version < "3.10"',
        'numpy (>=1.26,<2.0) ; python_version >= "3.10"',
    ]
    assert [entry.origin for entry in found.main][1] == "pyproject.toml: tool.poetry.dependencies.numpy[1]"
    assert texts(found.extras["web"]) == ["fastapi", "uvicorn (>=0.20,<0.21)"]
    assert texts(found.groups["all"]) == ["pytest"]
    assert texts(found.groups["dev"]) == ["black"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('a = "latest"', "tool.poetry.dependencies.a: 'latest' is no dependency of a"),
        ('a = ">=1,<2 || >=3"', "has alternatives"),
        ('a = {version = "1", markers = "bogus = 1"}', "is no dependency of a"),
        ('a = {git = "https://u:pw@host/a.git"}', "is a version control address"),
        ('a = {path = "none"}', "there is no file or folder"),
        ('a = {url = "https://host/a.tar.gz"}', "is not a wheel"),
        ("a = 1", "1 is neither a version nor a table"),
    ],
)
def test_faults_have_their_place(table: str, said: str, tmp_path: Path) -> None:
    found = declared(tmp_path, f"{HEAD}[tool.poetry.dependencies]\n{table}\n")
    with pytest.raises(ConfigError) as caught:
        texts(found.main)
    assert "pyproject.toml: tool.poetry.dependencies.a" in str(caught.value)
    assert said in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            '[tool.poetry.extras]\nx = ["numpi"]\n[tool.poetry.dependencies]\nnumpy="*"',
            "did you mean 'numpy'?",
        ),
        ('[tool.poetry.group.a]\ninclude-groups = ["b"]', "there is no group called 'b'"),
        (
            '[tool.poetry.group.a]\ninclude-groups = ["b"]\n[tool.poetry.group.b]\ninclude-groups = ["a"]',
            "in a circle",
        ),
        ('[tool.poetry.dependencies]\npython = "three"', "tool.poetry.dependencies.python"),
        ("[tool.poetry]\nname='a'\ndependencies = 1", "this is not a table"),
    ],
)
def test_faults_of_tables(table: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        declared(tmp_path, table)
    assert said in str(caught.value)


def test_paths(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    found = declared(
        tmp_path,
        f"{HEAD}[tool.poetry.dependencies.lib]\n"
        "path = 'lib'\ndevelop = true\nextras = ['x']\npython = '>=3.9'\n",
    )
    [lib] = read_entries(found.main, Faults())
    assert lib.path == tmp_path / "lib"
    assert (lib.extras, lib.marker) == (("x",), 'python_version >= "3.9"')


def test_where_project_lists_dependencies_poetry_says_more_of_them(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    found = declared(
        tmp_path,
        """
        [project]
        name = "app"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["numpy>=1.2", "lib", "requests"]
        optional-dependencies = {web = ["fastapi"]}
        [tool.poetry.dependencies]
        numpy = "<2"
        lib = {path = "lib"}
        fastapi = {version = "^0.100"}
        not-listed = "*"
        """,
    )
    assert texts(found.main) == [
        "numpy>=1.2",
        "numpy (<2)",
        f"lib @ {(tmp_path / 'lib').as_uri()}",
        "requests",
    ]
    assert texts(found.extras["web"]) == ["fastapi", "fastapi (>=0.100,<0.101)"]
    assert found.requires_python == ">=3.10"


def test_where_project_leaves_them_open_poetrys_table_is_the_list(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        '[project]\nname="app"\ndynamic=["dependencies"]\n[tool.poetry.dependencies]\nnumpy = "^1"\n',
    )
    assert texts(found.main) == ["numpy (>=1,<2)"]


def test_sources_become_indexes(tmp_path: Path) -> None:
    source = "[[tool.poetry.source]]\n"
    found = declared(
        tmp_path,
        HEAD
        + f'{source}name = "own"\nurl = "https://own/simple"\n'
        + f'{source}name = "more"\nurl = "https://more/simple"\npriority = "supplemental"\n'
        + f'{source}name = "torch"\nurl = "https://torch/simple"\npriority = "explicit"\n',
    )
    assert found.index_arguments == (
        *("--default-index", "own=https://own/simple", "--index", "more=https://more/simple"),
        *("--index", "torch=https://torch/simple"),
    )
    assert "'torch' is explicit" in found.notes[0]


def test_a_source_beside_the_public_index_does_not_replace_it(tmp_path: Path) -> None:
    source = "[[tool.poetry.source]]\n"
    found = declared(tmp_path, f'{HEAD}{source}name = "own"\nurl = "https://own/"\n{source}name = "PyPI"\n')
    assert found.index_arguments == ("--index", "own=https://own/")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("^3.8", ">=3.8,<4.0"),
        (">=3.8, <4", ">=3.8,<4"),
        ("~3.9", ">=3.9,<3.10"),
        ("3.9.*", "==3.9.*"),
        ("3.9", ">=3.9,<3.10"),
    ],
)
def test_ranges_of_python(written: str, expected: str) -> None:
    assert python_range(written) == expected


def test_only_settings_of_the_build_need_no_poetry_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "poetry.core.factory", None)
    found = declared(tmp_path, '[project]\nname="a"\ndependencies=["x"]\n[tool.poetry]\npackages=[]\n')
    assert texts(found.main) == ["x"]
