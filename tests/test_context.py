from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from layerkit.container.context import Context, collect
from layerkit.container.tarred import pack
from layerkit.errors import ConfigError
from layerkit.project import Dockerfile

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lay down a context."""
    for name in ("Dockerfile", "a.txt", "src/a.c", "src/deep/b.c", "build/x.o", "build/keep/y"):
        path = tmp_path / "context" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "context"


def context(folder: Path, apart: Collection[Path] = (), dockerfile: Path | None = None) -> Context:
    return collect(Dockerfile(path=dockerfile or folder / "Dockerfile", context=folder), apart)


def names(found: Context) -> list[str]:
    return [entry.name for entry in found.entries]


def test_all_files_are_sent_in_order(folder: Path) -> None:
    found = context(folder)
    assert names(found) == ["Dockerfile", "a.txt", "build/keep/y", "build/x.o", "src/a.c", "src/deep/b.c"]
    assert found.dockerfile == "Dockerfile"


def test_what_layerkit_writes_is_not_sent(folder: Path) -> None:
    assert "build/x.o" not in names(context(folder, [folder / "build"]))


def test_a_dockerfile_from_elsewhere_is_sent_along(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "Other").write_text("FROM scratch")
    found = context(folder, dockerfile=tmp_path / "Other")
    assert found.dockerfile in names(found)
    assert found.dockerfile != "Other"
    assert "Dockerfile" in names(found)


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ("build", ["a.txt", "src/a.c", "src/deep/b.c"]),
        ("/build/\n", ["a.txt", "src/a.c", "src/deep/b.c"]),
        ("build\n!build/keep", ["a.txt", "build/keep/y", "src/a.c", "src/deep/b.c"]),
        ("*.txt", ["build/keep/y", "build/x.o", "src/a.c", "src/deep/b.c"]),
        ("*.c", ["a.txt", "build/keep/y", "build/x.o", "src/a.c", "src/deep/b.c"]),
        ("**/*.c", ["a.txt", "build/keep/y", "build/x.o"]),
        ("*", []),
        ("# *\n\n.\n", ["a.txt", "build/keep/y", "build/x.o", "src/a.c", "src/deep/b.c"]),
    ],
)
def test_what_dockerignore_names_is_left_out_but_for_the_dockerfile(
    folder: Path, lines: str, left: list[str]
) -> None:
    (folder / ".dockerignore").write_text(lines)
    assert [name for name in names(context(folder)) if name != ".dockerignore"] == ["Dockerfile", *left]


def test_the_dockerfiles_own_list_comes_first(folder: Path) -> None:
    (folder / ".dockerignore").write_text("src")
    (folder / "Dockerfile.dockerignore").write_text("build\n.dockerignore\n*.dockerignore")
    assert names(context(folder)) == ["Dockerfile", "a.txt", "src/a.c", "src/deep/b.c"]


def test_a_pattern_that_is_none_is_told_with_its_line(folder: Path) -> None:
    (folder / ".dockerignore").write_text("ok\n[a\n")
    with pytest.raises(ConfigError) as caught:
        context(folder)
    assert str(caught.value.where).endswith(".dockerignore:2")


def test_the_digest_is_of_names_contents_and_the_right_to_run(folder: Path) -> None:
    seen = {context(folder).digest()}
    (folder / "a.txt").touch()
    (folder / "a.txt").chmod(0o600)
    (folder / "empty").mkdir()
    assert {context(folder).digest()} == seen
    (folder / "a.txt").chmod(0o755)
    seen.add(context(folder).digest())
    (folder / "a.txt").write_text("other")
    seen.add(context(folder).digest())
    (folder / "a.txt").rename(folder / "b.txt")
    seen.add(context(folder).digest())
    (folder / "link").symlink_to("b.txt")
    seen.add(context(folder).digest())
    (folder / "link").unlink()
    (folder / "link").symlink_to("Dockerfile")
    seen.add(context(folder).digest())
    assert len(seen) == 6


def test_the_archive_holds_files_and_links_of_nobody(folder: Path) -> None:
    (folder / "link").symlink_to("../elsewhere")
    (folder / "a.txt").chmod(0o700)
    (folder / "cycle").symlink_to(".")
    packed = b"".join(pack(context(folder).entries))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = {info.name: info for info in archive}
    assert found["link"].linkname == "../elsewhere"
    assert found["link"].issym()
    assert found["cycle"].issym()
    assert (found["a.txt"].mode, found["src/a.c"].mode) == (0o755, 0o644)
    assert {(info.uid, info.gid, info.mtime) for info in found.values()} == {(0, 0, 315_532_800)}
