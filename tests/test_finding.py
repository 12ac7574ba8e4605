"""The interpreter that compiles is looked for once, and remembered for as long as nothing changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from msgspec import Struct

from layerkit.bytecode import Interpreter, finding
from layerkit.bytecode.finding import Found, find, recall

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerkit.bytecode.in_image import Images
    from layerkit.store import Store

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
FULL = ".".join(map(str, sys.version_info[:3]))


class Uv:
    """Stands in for uv: answers with a path or with nothing, and keeps what it was asked."""

    def __init__(self, path: str | None = None, *, installs: str | None = None) -> None:
        self.path = path
        self.installs = installs
        self.asked: list[str] = []

    def __call__(self, *arguments: str) -> str | None:
        self.asked.append(arguments[0])
        if arguments[0] == "venv":
            self.path = self.installs
            return "" if self.installs else None
        return f"{self.path}\n" if self.path else None


@pytest.fixture
def uv(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Uv]:
    def make(path: str | None = None, *, installs: str | None = None) -> Uv:
        made = Uv(path, installs=installs)
        monkeypatch.setattr(finding, "_uv", made)
        return made

    return make


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Return an interpreter of this version that a test may remove: a script that starts the real one."""
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


def test_what_uv_finds_and_answers_is_remembered(store: Store, uv: Callable[..., Uv], link: Path) -> None:
    asked = uv(str(link))
    found = find(MINOR, store)
    assert found is not None
    assert (found.interpreter.version, found.path) == (FULL, str(link))
    assert recall(MINOR, store) == (True, found)
    assert find(MINOR, store) == found
    assert asked.asked == ["python"], "the second time nobody was asked"


def test_an_interpreter_that_changed_is_looked_for_anew(
    store: Store, uv: Callable[..., Uv], link: Path
) -> None:
    asked = uv(str(link))
    assert find(MINOR, store)
    link.write_text(link.read_text() + "# updated\n")
    assert recall(MINOR, store)[0] is False
    assert find(MINOR, store)
    link.unlink()
    asked.path = sys.executable
    found = find(MINOR, store)
    assert found is not None
    assert found.path == sys.executable


def test_that_there_is_none_is_remembered_until_there_may_be_one(
    store: Store, uv: Callable[..., Uv], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    asked = uv()
    assert find(MINOR, store) is None
    assert find(MINOR, store) is None
    assert asked.asked == ["python", "venv"]
    (folder / "python3").touch()
    os.utime(folder, (1, 1))
    assert find(MINOR, store) is None
    assert asked.asked == ["python", "venv"] * 2


def test_uv_may_install_one_but_not_offline(store: Store, uv: Callable[..., Uv]) -> None:
    asked = uv(installs=sys.executable)
    assert find(MINOR, store, offline=True) is None
    assert asked.asked == ["python"]
    store.evict(finding.KIND, finding._digest(MINOR), finding.SUFFIX)
    assert find(MINOR, store) is not None
    assert asked.asked == ["python", "python", "venv", "python"]


class Image(Struct):
    """Stands in for the way to an image: has an interpreter or none, and counts how often it was asked."""

    version: str | None
    way: str = "image:1"
    asked: int = 0

    def find(self) -> Interpreter | None:
        self.asked += 1
        return Interpreter(version=self.version, tag="cpython-x") if self.version else None


def test_the_image_comes_before_one_that_uv_would_install(store: Store, uv: Callable[..., Uv]) -> None:
    asked, image = uv(installs=sys.executable), Image(FULL)
    found = find(MINOR, store, images=cast("Images", image))
    assert found == Found(interpreter=Interpreter(version=FULL, tag="cpython-x"), path=None)
    assert find(MINOR, store, images=cast("Images", image)) == found
    assert (asked.asked, image.asked) == (["python"], 1), "the second time nobody was asked"
    # What runs a handler needs one on this machine.
    here = find(MINOR, store)
    assert here is not None
    assert here.path == sys.executable


def test_another_image_or_none_at_all_is_asked_anew(store: Store, uv: Callable[..., Uv]) -> None:
    asked, image = uv(), Image(None)
    assert find(MINOR, store, images=cast("Images", image)) is None
    assert find(MINOR, store, images=cast("Images", image)) is None
    assert (asked.asked, image.asked) == (["python", "venv"], 1)
    image = Image(FULL, way="image:2")
    assert find(MINOR, store, images=cast("Images", image))
    assert find(MINOR, store, images=cast("Images", Image(None, way=""))) is None


@pytest.mark.parametrize("version", ["3.99.1", f"{FULL}beta"])
def test_an_image_with_another_version_has_none(store: Store, uv: Callable[..., Uv], version: str) -> None:
    uv()
    assert find(MINOR, store, images=cast("Images", Image(version))) is None


def test_an_interpreter_here_is_never_looked_for_in_an_image(store: Store, uv: Callable[..., Uv]) -> None:
    uv(sys.executable)
    image = Image(FULL)
    found = find(MINOR, store, images=cast("Images", image))
    assert found is not None
    assert (found.path, image.asked) == (sys.executable, 0)


@pytest.mark.parametrize("path", ["/bin/false", "/nowhere/python"])
def test_what_does_not_answer_is_none(store: Store, uv: Callable[..., Uv], path: str) -> None:
    uv(path)
    assert find(MINOR, store) is None


def test_another_version_or_an_unfinished_one_is_none(store: Store, uv: Callable[..., Uv]) -> None:
    uv(sys.executable)
    assert find("3.99", store) is None


def test_python_3_6_has_no_bytecode_that_is_valid_without_dates(store: Store, uv: Callable[..., Uv]) -> None:
    asked = uv(sys.executable)
    assert find("3.6", store) is None
    assert asked.asked == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"path": "/x"}', '{"path": 5, "version": 1}'])
def test_a_memory_that_cannot_be_read_is_none(store: Store, content: str) -> None:
    with store.publish(finding.KIND, finding._digest(MINOR), finding.SUFFIX) as path:
        path.write_text(content)
    assert recall(MINOR, store) == (False, None)


def test_pyenvs_versions_are_shown_and_its_wrappers_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "versions" / "3.12.1").mkdir(parents=True)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/shims:/usr/bin:{tmp_path}/plugins/x/shims")
    assert list(finding._folders()) == ["/usr/bin", f"{tmp_path}/versions/3.12.1/bin"]


@pytest.mark.integration
def test_uv_itself_finds_this_interpreter(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(sys.base_prefix) / "bin"
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")
    found = find(MINOR, store, offline=True)
    assert found is not None
    assert found.interpreter.version.startswith(f"{MINOR}.")
    assert finding._uv("no-such-command") is None
