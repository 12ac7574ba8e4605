from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError
from layerkit.project import pyproject
from layerkit.project.declared import Declared, read_entries
from layerkit.project.faults import Faults
from layerkit.project.text_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.project.declared import Entry


def declared(folder: Path, text: str) -> Declared:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    faults = Faults()
    found = pyproject.declared(
        read_toml(folder / "pyproject.toml"), folder / "pyproject.toml", folder, faults
    )
    faults.check()
    return found


def texts(entries: Iterable[Entry]) -> list[str]:
    faults = Faults()
    found = [requirement.text for requirement in read_entries(entries, faults)]
    faults.check()
    return found


def test_pep_621(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        """
        [project]
        name = "My.App"
        version = "1.2"
        requires-python = ">=3.9"
        dependencies = ["numpy>=1.2", "pandas[parquet] ; python_version >= '3.9'"]
        [project.optional-dependencies]
        Web_API = ["fastapi"]
        [build-system]
        requires = ["x"]
        """,
    )
    assert (found.name, found.version, found.requires_python) == ("My.App", "1.2", ">=3.9")
    assert found.buildable
    assert texts(found.main) == ["numpy>=1.2", "pandas[parquet] ; python_version >= '3.9'"]
    assert texts(found.extras["web-api"]) == ["fastapi"]
    assert found.extras["web-api"][0].origin == "pyproject.toml: project.optional-dependencies.Web_API[0]"


def test_the_projects_own_extras_are_put_in_their_place(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        """
        [project]
        name = "app"
        dependencies = ["app[b]", "x"]
        [project.optional-dependencies]
        a = ["numpy ; os_name == 'posix'", "app[b]"]
        b = ["scipy", "app[all]"]
        all = ["App[a,b] ; python_version > '3.8'"]
        """,
    )
    both = ["numpy ; os_name == 'posix' and python_version > '3.8'", "scipy ; python_version > '3.8'"]
    assert texts(found.extras["all"])[:2] == both
    assert "scipy" in texts(found.main)
    assert texts(found.main)[-1] == "x"


def test_an_own_extra_that_is_none_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no extra called 'webb' \\(did you mean 'web'\\?\\)"):
        declared(tmp_path, '[project]\nname="a"\noptional-dependencies = {web = ["x"], all = ["a[webb]"]}')


def test_groups_include_groups(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        """
        [dependency-groups]
        Type_Check = ["mypy", {include-group = "test"}]
        test = ["pytest>=8"]
        """,
    )
    assert texts(found.groups["type-check"]) == ["mypy", "pytest>=8"]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ('a = [{include-group = "b"}]\nb = [{include-group = "a"}]', "in a circle: a -> b -> a"),
        ('test = []\na = [{include-group = "tests"}]', "did you mean 'test'?"),
        ('a = [{include = "b"}]', "is neither a requirement nor {include-group"),
        ("a = [1]", "1 is not a requirement"),
        ('a-b = []\na_b = ["x"]', "'a_b' and 'a-b' are the same name"),
        ('a = "x"', "not a list"),
    ],
)
def test_faults_of_groups(groups: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        declared(tmp_path, "[dependency-groups]\n" + groups)
    assert said in str(caught.value)
    assert "pyproject.toml: dependency-groups" in str(caught.value)


def test_an_entry_that_nobody_reads_is_no_fault(tmp_path: Path) -> None:
    found = declared(tmp_path, '[dependency-groups]\ndev = ["x @ git+https://host/x"]')
    with pytest.raises(ConfigError, match="version control"):
        texts(found.groups["dev"])


@pytest.mark.parametrize(
    ("text", "buildable"),
    [
        ('[project]\nname="a"', False),
        ('[project]\nname="a"\n[build-system]\nrequires=[]', True),
        ('[project]\nname="a"\n[build-system]\nrequires=[]\n[tool.uv]\npackage=false', False),
        ('[project]\nname="a"\n[tool.uv]\npackage=true', True),
        ('[project]\nname="a"\n[build-system]\nrequires=[]\n[tool.poetry]\npackage-mode=false', False),
        ('[tool.poetry]\nname="a"', True),
        ('[tool.poetry]\nname="a"\npackage-mode=false', False),
        ("[build-system]\nrequires=[]", False),
    ],
)
def test_what_can_be_built(text: str, buildable: bool, tmp_path: Path) -> None:  # noqa: FBT001
    assert declared(tmp_path, text).buildable is buildable


def test_setuptools_reads_dependencies_from_files(tmp_path: Path) -> None:
    (tmp_path / "reqs.txt").write_text("numpy\n# no\npandas>=2\n")
    found = declared(
        tmp_path,
        '[project]\nname="a"\ndynamic=["dependencies"]\n'
        '[tool.setuptools.dynamic]\ndependencies = {file = ["reqs.txt"]}',
    )
    assert texts(found.main) == ["numpy", "pandas>=2"]
    assert tmp_path / "reqs.txt" in found.inputs


def test_dependencies_that_only_the_backend_knows_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known only to the build backend"):
        declared(tmp_path, '[project]\nname="a"\ndynamic=["dependencies"]')


@pytest.mark.parametrize("key", ["name", "version", "requires-python"])
def test_wrong_types(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"project.{key}: 3 is not a string"):
        declared(tmp_path, f"[project]\n{key} = 3")


def test_uv_lists_are_constraints_and_overrides(tmp_path: Path) -> None:
    found = declared(
        tmp_path, '[tool.uv]\nconstraint-dependencies = ["a<2"]\noverride-dependencies = ["b==1"]'
    )
    assert [item.text for item in found.constraints] == ["a<2"]
    assert [item.text for item in found.overrides] == ["b==1"]


def workspace(root: Path) -> Path:
    (root / "libs" / "core").mkdir(parents=True)
    (root / "libs" / "core" / "pyproject.toml").write_text('[project]\nname = "core_lib"\nversion = "1"\n')
    (root / "libs" / "empty").mkdir()
    (root / "pyproject.toml").write_text(
        '[tool.uv.workspace]\nmembers = ["libs/*", "apps/*"]\n'
        "[tool.uv.sources]\ncore-lib = {workspace = true}\n"
    )
    return root


def test_members_of_a_workspace_are_folders(tmp_path: Path) -> None:
    workspace(tmp_path)
    found = declared(
        tmp_path / "apps" / "web",
        '[project]\nname="web"\ndependencies=["core-lib[x] ; os_name == \'posix\'", "numpy"]\n',
    )
    core, numpy = read_entries(found.main, Faults())
    assert core.path == tmp_path / "libs" / "core"
    assert (core.extras, core.marker) == (("x",), "os_name == 'posix'")
    assert numpy.path is None
    assert tmp_path / "pyproject.toml" in found.inputs


def test_uv_sources(tmp_path: Path) -> None:
    workspace(tmp_path)
    found = declared(
        tmp_path / "apps" / "web",
        """
        [project]
        name = "web"
        dependencies = ["Lib_A>=1", "lib-b", "lib-c", "lib-d", "lib-e"]
        [tool.uv.sources]
        lib-a = {path = "../../libs/core", editable = true}
        lib-b = [
            {path = "../../libs/core", marker = "os_name == 'posix'"},
            {index = "own", marker = "os_name == 'nt'"},
        ]
        lib-c = {git = "https://u:pw@host/x"}
        lib-d = {workspace = true}
        lib-e = {url = "https://host/lib_e-1-py3-none-any.whl"}
        """,
    )
    faults = Faults()
    read = list(read_entries(found.main, faults))
    assert [item.path and item.path.name for item in read] == ["core", "core", None, None]
    assert read[1].marker == "os_name == 'posix'"
    assert read[2].text == "lib-b ; os_name == 'nt'"
    assert read[3].text == "lib-e @ https://host/lib_e-1-py3-none-any.whl"
    assert [error.where for error in faults.found] == [
        "pyproject.toml: tool.uv.sources.lib-c",
        "pyproject.toml: tool.uv.sources.lib-d",
    ]
    assert "pw" not in str(faults.found[0])
    assert "'own' cannot be asked for one package alone" in found.notes[0]
