from __future__ import annotations

import os
import random
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError, StorageError
from layerkit.layer.function_code import FunctionCode, collect, write_code
from layerkit.project import FunctionSpec

if TYPE_CHECKING:
    from pathlib import Path


def lay(root: Path, *names: str, content: str = "x = 1\n") -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def code_of(
    code: Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), apart: tuple[Path, ...] = ()
) -> FunctionCode:
    spec = FunctionSpec(name="api", code=code, include=include, exclude=exclude)
    found = collect(spec, apart)
    assert found
    return found


def names(
    code: Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), apart: tuple[Path, ...] = ()
) -> list[str]:
    return [file.name for file in code_of(code, include, exclude, apart).files]


def fault(code: Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        code_of(code, include, exclude)
    assert caught.value.where
    assert caught.value.where.startswith("functions.api")
    return caught.value.what


def test_function_without_code_has_none() -> None:
    assert collect(FunctionSpec(name="api")) is None


def test_folder_gives_its_files_in_name_order(tmp_path: Path) -> None:
    lay(tmp_path, "b.py", "a/z.py", "a.py", "a-b.py")
    assert names(tmp_path) == ["a-b.py", "a.py", "a/z.py", "b.py"]


def test_single_file_lies_at_the_root_under_its_own_name(tmp_path: Path) -> None:
    lay(tmp_path, "src/real.py")
    (tmp_path / "handler.py").symlink_to("src/real.py")
    assert names(tmp_path / "src" / "real.py") == ["real.py"]
    assert names(tmp_path / "handler.py") == ["handler.py"]


def test_what_no_function_needs_is_left_out(tmp_path: Path) -> None:
    lay(tmp_path, "app.py", "tests/test_app.py", "x/__pycache__/a.cpython-312.pyc", "old.pyc", ".git/HEAD")
    lay(
        tmp_path,
        ".venv/bin/python",
        "env/pyvenv.cfg",
        "env/lib/a.py",
        ".pytest_cache/a",
        "a.egg-info/PKG-INFO",
    )
    lay(tmp_path, ".layerkit/state.json", "node_modules/a.js", ".gitignore")
    assert names(tmp_path) == [".gitignore", "app.py", "tests/test_app.py"]


def test_exclude_takes_back_what_the_house_leaves_out(tmp_path: Path) -> None:
    lay(tmp_path, "app.py", "data.pyc", "other.pyc")
    assert names(tmp_path, exclude=("!data.pyc",)) == ["app.py", "data.pyc"]


def test_include_takes_only_what_it_names(tmp_path: Path) -> None:
    lay(tmp_path, "app.py", "README", "model/a.bin", "model/b/c.bin", "docs/app.py")
    assert names(tmp_path, ("/app.py",)) == ["app.py"]
    assert names(tmp_path, ("model/",)) == ["model/a.bin", "model/b/c.bin"]
    assert names(tmp_path, ("*.py", "model/*.bin")) == ["app.py", "docs/app.py", "model/a.bin"]
    assert names(tmp_path, ("model/", "!model/b/")) == ["model/a.bin"]


def test_exclude_wins_over_include(tmp_path: Path) -> None:
    lay(tmp_path, "app.py", "model/a.bin", "model/b.bin")
    assert names(tmp_path, ("app.py", "model/"), ("b.bin",)) == ["app.py", "model/a.bin"]


def test_include_that_names_nothing_is_a_mistake(tmp_path: Path) -> None:
    lay(tmp_path, "app.py")
    assert fault(tmp_path, ("app.py", "templates/")) == "include: nothing is called 'templates/'"
    assert names(tmp_path, ("app.py", "*.json")) == ["app.py"]


def test_folders_that_stay_apart(tmp_path: Path) -> None:
    lay(tmp_path, "app.py", "dist/layers/a.zip", "dist/notes")
    assert names(tmp_path, apart=(tmp_path / "dist" / "layers",)) == ["app.py", "dist/notes"]


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    lay(tmp_path, "app.py")
    assert "no file" in fault(tmp_path, exclude=("*.py",))
    assert "no file" in fault(tmp_path, ("*.json",))


def test_code_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no" in fault(tmp_path / "none")


def test_patterns_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    lay(tmp_path, "app.py")
    what = fault(tmp_path, ("../other",), ("[a", ""))
    assert "include: '../other'" in what
    assert "exclude: the bracket in '[a'" in what
    assert "exclude: ''" in what


def test_links_inside_the_folder_become_what_they_point_at(tmp_path: Path) -> None:
    root = lay(tmp_path / "code", "real/a.py", "app.py")
    (root / "link").symlink_to("real")
    (root / "main.py").symlink_to(root / "app.py")
    code = code_of(root)
    assert [file.name for file in code.files] == ["app.py", "link/a.py", "main.py", "real/a.py"]
    built = write_code(code, tmp_path, "py312-x-1")
    assert built.path == tmp_path / "py312-x-1-api-code.zip"
    with zipfile.ZipFile(built.path) as archive:
        assert archive.read("main.py") == b"x = 1\n"


def test_links_that_lead_elsewhere_are_all_named(tmp_path: Path) -> None:
    root = lay(tmp_path / "code", "app.py", "sub/a.py")
    lay(tmp_path, "secret", "outside/a.py", "code-too/a.py")
    (root / "secret").symlink_to(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "near").symlink_to(tmp_path / "code-too")
    (root / "dead").symlink_to("none")
    (root / "sub" / "up").symlink_to(root)
    (root / "turn").symlink_to("turn")
    assert fault(root).split("; ") == [
        "dead is a link to nothing",
        "near is a link that leads out of the folder",
        "out is a link that leads out of the folder",
        "secret is a link that leads out of the folder",
        "sub/up is a link to a folder that it lies in",
        "turn is a link to nothing",
    ]
    left_out = ("secret", "out", "near", "dead", "up", "turn")
    assert names(root, exclude=left_out) == ["app.py", "sub/a.py"]


def test_what_no_zip_can_hold(tmp_path: Path) -> None:
    lay(tmp_path, "app.py", "App.py", "back\\slash", "new\nline", "dot.")
    (tmp_path / os.fsdecode(b"latin\xe9")).touch()
    os.mkfifo(tmp_path / "pipe")
    what = fault(tmp_path)
    assert "'back\\\\slash' has a backslash" in what
    assert "'new\\nline' has a control character" in what
    assert "'latin\\udce9' has a name that UTF-8 cannot say" in what
    assert "'dot.' has a component that ends in a dot" in what
    assert "'app.py' is one path with App.py" in what
    assert "pipe is neither a file nor a folder" in what


def test_digest_follows_names_modes_and_contents_and_nothing_else(tmp_path: Path) -> None:
    first = lay(tmp_path / "one", "a.py", "b/c.py")
    second = lay(tmp_path / "other place", "b/c.py", "a.py")
    os.utime(second / "a.py", (0, 0))
    digest = code_of(first).digest()
    assert code_of(second).digest() == digest
    (second / "a.py").chmod(0o755)
    assert code_of(second).digest() != digest
    (second / "a.py").chmod(0o644)
    (second / "a.py").write_text("x = 2\n")
    assert code_of(second).digest() != digest
    (second / "a.py").write_text("x = 1\n")
    assert code_of(second).digest() == digest
    (second / "a.py").rename(second / "d.py")
    assert code_of(second).digest() != digest


def test_file_that_is_gone_when_it_is_read(tmp_path: Path) -> None:
    code = code_of(lay(tmp_path / "code", "a.py"))
    (tmp_path / "code" / "a.py").unlink()
    for act in (code.digest, lambda: write_code(code, tmp_path / "out", "x")):
        with pytest.raises(StorageError, match="the function's code cannot be read"):
            act()
    assert list((tmp_path / "out").iterdir()) == []


def test_zip_is_what_was_asked_for(tmp_path: Path) -> None:
    root = lay(tmp_path / "code", "app.py", "lib/ünïcode.txt", content="text " * 1000)
    lay(root, "empty.py", content="")
    (root / "app.py").chmod(0o700)
    code = code_of(root)
    built = write_code(code, tmp_path / "out", "x")
    assert (built.function, built.entries, built.unzipped) == ("api", 3, 10_000)
    assert built.unzipped == code.size
    assert built.size == built.path.stat().st_size < 1000
    with zipfile.ZipFile(built.path) as archive:
        assert archive.testzip() is None
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("lib/ünïcode.txt") == b"text " * 1000
    assert modes == {"app.py": 0o755, "empty.py": 0o644, "lib/ünïcode.txt": 0o644}
    subprocess.run(["unzip", "-tq", built.path], check=True, capture_output=True)


BUILD = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[3], 8))
from layerkit.layer.function_code import collect, write_code
from layerkit.project import FunctionSpec
code = collect(FunctionSpec(name="api", code=Path(sys.argv[1])))
print(code.digest(), write_code(code, Path(sys.argv[2]), "x").sha256)
"""


def test_same_bytes_under_other_circumstances(tmp_path: Path) -> None:
    said = set()
    for index, (umask, zone, seed) in enumerate([("022", "UTC", "1"), ("077", "Asia/Tokyo", "2")]):
        root = tmp_path / f"place {index}"
        order = ["a.py", "b/c.py", "é.py"]
        lay(root, *(order if index else reversed(order)))
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": "C"}
        command = [sys.executable, "-c", BUILD, str(root), str(tmp_path / f"out{index}"), umask]
        said.add(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)
    assert len(said) == 1
    zips = [tmp_path / f"out{index}" / "x-api-code.zip" for index in (0, 1)]
    assert zips[0].read_bytes() == zips[1].read_bytes()


def test_exclude_means_what_it_means_to_git(tmp_path: Path) -> None:
    """Many random lists of patterns over one tree: what is left is what git does not ignore."""
    root = tmp_path / "tree"
    folders = ["", "a/", "b/", "a/b/", "a/b/c/", "ab/", "ab/c/"]
    lay(root, *(f"{folder}{name}" for folder in folders for name in ("x", "b.x", "ab.x", "ac")))
    everything = names(root)
    assert len(everything) == 28
    subprocess.run(["git", "init", "-q", root], check=True)
    choice = random.Random(20)  # noqa: S311
    parts = ["a", "b", "c", "ab", "x", "*", "?", "*.x", "a*", "[ab]", "[!a]", "**", "b.x"]
    compared = 0
    for _ in range(150):
        patterns = []
        for _ in range(choice.randint(1, 4)):
            body = "/".join(choice.choice(parts) for _ in range(choice.randint(1, 3)))
            patterns.append(
                choice.choice(["", "", "!"]) + choice.choice(["", "", "/"]) + body + choice.choice(["", "/"])
            )
        (tmp_path / "patterns").write_text("".join(f"{pattern}\n" for pattern in patterns))
        command = ["git", "-C", str(root), "ls-files", "-oz", f"--exclude-from={tmp_path / 'patterns'}"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        kept = sorted(output.split("\0")[:-1])
        try:
            mine = names(root, exclude=(*patterns, ".git"))
        except ConfigError as error:
            assert "no file" in error.what  # noqa: PT017 - nothing left is an error here and none for git
            mine = []
        assert mine == kept, patterns
        compared += len(kept) not in (0, len(everything))
    assert compared > 50
