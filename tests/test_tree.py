"""The trees that pipdeptree draws of a lock: sizes, extras, circles, upside down, and as text."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from factory import make_wheel
from layerkit import lock as locks
from layerkit.errors import StorageError, UsageError
from layerkit.lock import SdkDecision
from layerkit.target import target
from layerkit.tree import draw, tree_of, wheel_size
from locks import package

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layerkit.lock import Lock

PY312 = target("py312")
SHOP = {
    "web 1.0": ["router>=1", "codec[fast]"],
    "router 2.0": ["codec<3"],
    "codec 2.5": ["speedup>=1 ; fast"],
    "speedup 1.1": [],
    "cli-tool 4.0": ["codec"],
}


def lock(folder: Path, packages: Mapping[str, Sequence[str]]) -> Lock:
    """Return a lock of `name version` -> requirements as it lies on disk, which is what pipdeptree reads."""
    locked = sorted((package(text, needs) for text, needs in packages.items()), key=lambda one: one.name)
    decision = SdkDecision(mode="absent", reason="a test")
    return locks.write(folder / "pylock.py312-x86_64.toml", PY312, locked, decision, "", ())


def tree(lock: Lock, package: str | None = None, *, origins: Sequence[str] = ()) -> Any:
    """Return the tree as nested dictionaries of names."""
    found = tree_of(lock, {}, dict.fromkeys(origins, "requirements.txt:1"), package)

    def names(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        assert len({one["package"] for one in nodes}) == len(nodes), "a package stands twice"
        return {one["package"]: names(one["dependencies"]) for one in nodes}

    return names(found["tree"])


def test_the_tree_begins_with_what_nothing_else_needs(tmp_path: Path) -> None:
    codec: dict[str, Any] = {"codec": {"speedup": {}}}
    assert tree(lock(tmp_path, SHOP)) == {"cli-tool": codec, "web": {**codec, "router": codec}}


def test_every_node_has_its_version_size_and_who_asked_for_it(tmp_path: Path) -> None:
    sizes = {"web": 100, "codec": 0}
    found = tree_of(lock(tmp_path, SHOP), sizes, {"web": "requirements.txt:3"}, None)
    assert (found["target"], found["reverse"]) == ("python3.12-x86_64", None)
    web = found["tree"][1]
    asked = {key: value for key, value in web.items() if key != "dependencies"}
    assert asked == {"package": "web", "version": "1.0", "unzipped": 100, "asked_by": "requirements.txt:3"}
    codec, router = web["dependencies"]
    assert (codec["package"], codec["version"], codec["unzipped"], codec["asked_by"]) == (
        "codec",
        "2.5",
        0,
        None,
    )
    assert (router["package"], router["version"], router["unzipped"]) == ("router", "2.0", None)


def test_upside_down_it_leads_from_a_package_to_all_that_need_it(tmp_path: Path) -> None:
    found = lock(tmp_path, SHOP)
    assert tree(found, "codec") == {"codec": {"cli-tool": {}, "router": {"web": {}}, "web": {}}}
    assert tree(found, "speedup")["speedup"].keys() == {"codec"}
    assert tree(found, "web") == {"web": {}}
    assert tree_of(found, {}, {}, "Cli_Tool")["reverse"] == "cli-tool"


def test_a_package_that_is_not_there_is_said_before_pipdeptree_is_asked(tmp_path: Path) -> None:
    found = lock(tmp_path, SHOP)
    found.path.unlink()
    with pytest.raises(UsageError, match=r"no-such is not in the lock"):
        tree(found, "No.Such")


def test_an_extra_of_itself_makes_no_branch(tmp_path: Path) -> None:
    found = lock(tmp_path, {"app 1.0": ["app[all]", "leaf ; all"], "leaf 1.0": []})
    assert tree(found) == {"app": {"leaf": {}}}


@pytest.mark.parametrize(
    ("packages", "origins", "expected"),
    [
        ({"a": ["b"], "b": ["a"]}, ["b"], {"b": {"a": {}}}),
        ({"a": ["b"], "b": ["a"]}, ["a", "b"], {"a": {"b": {}}}),
        ({"a": ["b"], "b": ["a"]}, [], {"a": {"b": {}}}),
        ({"a": ["b"], "b": ["c"], "c": ["a"], "d": []}, ["c"], {"c": {"a": {"b": {}}}, "d": {}}),
        # Two circles, and one that a package outside of it needs.
        (
            {"a": ["b"], "b": ["a"], "x": ["y", "leaf"], "y": ["x"], "leaf": []},
            ["x"],
            {"a": {"b": {}}, "x": {"leaf": {}, "y": {}}},
        ),
        ({"top": ["a"], "a": ["b"], "b": ["a"]}, ["top"], {"top": {"a": {"b": {}}}}),
    ],
)
def test_packages_that_need_each_other_are_in_the_tree(
    tmp_path: Path, packages: Mapping[str, Sequence[str]], origins: Sequence[str], expected: object
) -> None:
    assert tree(lock(tmp_path, packages), origins=origins) == expected


def test_a_circle_upside_down_begins_with_the_package_alone(tmp_path: Path) -> None:
    found = lock(tmp_path, {"a": ["b"], "b": ["a", "leaf"], "leaf": []})
    assert tree(found, "a") == {"a": {"b": {}}}
    assert tree(found, "leaf") == {"leaf": {"b": {"a": {}}}}


def test_a_lock_without_packages_is_an_empty_tree(tmp_path: Path) -> None:
    assert tree(lock(tmp_path, {})) == {}


def test_what_pipdeptree_complains_about_is_an_error_of_ours(tmp_path: Path) -> None:
    found = lock(tmp_path, SHOP)
    found.path.write_text("this is no lock")
    with pytest.raises(StorageError, match=r"pipdeptree failed: \w") as refused:
        tree(found)
    assert refused.value.where == str(found.path)


@pytest.mark.parametrize("name", ["json", "tempfile", "pipdeptree", "sys", "platform"])
def test_modules_in_the_users_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = lock(tmp_path, SHOP)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / f"{name}.py").write_text("raise SystemExit('run by mistake')\n")
    monkeypatch.chdir(tmp_path / "project")
    assert set(tree(found)) == {"cli-tool", "web"}
    assert os.listdir() == [f"{name}.py"]  # noqa: PTH208 - the folder that we stand in


def _lines(capsys: pytest.CaptureFixture[str], found: dict[str, Any], depth: int | None) -> list[str]:
    draw(found, depth)
    said = capsys.readouterr()
    assert said.err == ""
    return [line.rstrip() for line in said.out.splitlines()]


def test_it_is_drawn_with_sizes_and_places_down_to_a_depth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"web": 1_234_567, "speedup": 999}
    found = tree_of(lock(tmp_path, SHOP), sizes, {"web": "requirements.txt [dev]: web"}, None)
    whole = _lines(capsys, found, None)
    assert whole == [
        "python3.12-x86_64",
        "├── cli-tool 4.0",
        "│   └── codec 2.5",
        "│       └── speedup 1.1  999 B",
        "└── web 1.0  1.2 MB  (requirements.txt [dev]: web)",
        "    ├── codec 2.5",
        "    │   └── speedup 1.1  999 B",
        "    └── router 2.0",
        "        └── codec 2.5",
        "            └── speedup 1.1  999 B",
    ]
    assert _lines(capsys, found, 0) == [
        "python3.12-x86_64",
        "├── cli-tool 4.0",
        "└── web 1.0  1.2 MB  (requirements.txt [dev]: web)",
    ]
    assert _lines(capsys, found, 1) == [
        "python3.12-x86_64",
        "├── cli-tool 4.0",
        "│   └── codec 2.5",
        "└── web 1.0  1.2 MB  (requirements.txt [dev]: web)",
        "    ├── codec 2.5",
        "    └── router 2.0",
    ]
    assert _lines(capsys, found, 3) == whole


def test_the_size_of_a_wheel_is_that_of_all_its_files_unzipped(tmp_path: Path) -> None:
    made = make_wheel(tmp_path, files={"demo.py": "x" * 5000, "data.bin": b"\0" * 3000})
    with zipfile.ZipFile(made.path) as archive:
        expected = sum(member.file_size for member in archive.infolist())
    assert wheel_size(made.path) == expected
    assert expected > 8000 > made.size
