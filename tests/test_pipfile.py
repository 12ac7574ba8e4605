from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError
from layerkit.project import pipfile
from layerkit.project.declared import read_entries
from layerkit.project.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.project.declared import Declared, Entry


def declared(folder: Path, text: str) -> Declared:
    (folder / "Pipfile").write_text(text)
    faults = Faults()
    found = pipfile.declared(folder / "Pipfile", folder, faults)
    faults.check()
    return found


def texts(entries: Iterable[Entry]) -> list[str]:
    faults = Faults()
    found = [requirement.text for requirement in read_entries(entries, faults)]
    faults.check()
    return found


def test_packages_and_categories(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    found = declared(
        tmp_path,
        """
        [packages]
        numpy = "*"
        Pandas = {version = ">=2,<3", extras = ["parquet"], markers = "os_name == 'posix'"}
        a = {version = "==1", sys_platform = "== 'linux'"}
        lib = {path = "./lib", editable = true}
        w = {file = "https://host/w-1-py3-none-any.whl"}
        [dev-packages]
        pytest = "==8.0"
        [Data_Science]
        scipy = "*"
        [requires]
        python_version = "3.11"
        """,
    )
    assert texts(found.main) == [
        "numpy",
        "Pandas[parquet]>=2,<3 ; os_name == 'posix'",
        "a==1 ; sys_platform == 'linux'",
        f"lib @ {(tmp_path / 'lib').as_uri()}",
        "w @ https://host/w-1-py3-none-any.whl",
    ]
    assert texts(found.groups["dev"]) == ["pytest==8.0"]
    assert texts(found.groups["data-science"]) == ["scipy"]
    assert found.requires_python == "==3.11.*"
    assert found.main[1].origin == "Pipfile: packages.Pandas"


def test_sources_other_than_the_public_one_become_indexes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "t0k")
    public = '[[source]]\nname = "pypi"\nurl = "https://public/simple"\n'
    own = '[[source]]\nname = "own"\nurl = "https://me:${PW}@own/simple"\n'
    assert declared(tmp_path, public).index_arguments == ()
    found = declared(tmp_path, public + own)
    assert found.index_arguments == ("--extra-index-url", "https://me:t0k@own/simple")
    assert found.secret
    assert declared(tmp_path, own).index_arguments[0] == "--index-url"
    monkeypatch.delenv("PW")
    with pytest.raises(
        ConfigError, match=r"Pipfile: source\[0\].url: the environment variable PW is not set"
    ):
        declared(tmp_path, own)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ('{git = "https://u:pw@host/x"}', "version control"),
        ("1", "neither a version nor"),
        ('"1.0"', "not a range of versions"),
    ],
)
def test_faults(item: str, said: str, tmp_path: Path) -> None:
    found = declared(tmp_path, f"[packages]\nx = {item}\n")
    with pytest.raises(ConfigError, match=r"Pipfile: packages\.x") as caught:
        texts(found.main)
    assert said in str(caught.value)
    assert "pw" not in str(caught.value)
