"""The Dockerfiles that stand in docker/: read, held against the facts; and what one of them runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerkit.container import dockerfile
from layerkit.project.dockerfile_table import KEYS
from layerkit.target import facts, runtimes

if TYPE_CHECKING:
    from layerkit.container.dockerfile import Recipe

FOLDER = Path(__file__).parents[1] / "docker"
FAMILIES = {"al1.Dockerfile": "AL1", "al2.Dockerfile": "AL2", "al2023.Dockerfile": "AL2023"}
EXAMPLE = "system-library.Dockerfile"
DIGEST = "sha256:" + "a" * 64
MANAGERS = {"AL1": "yum install", "AL2": "yum install", "AL2023": "microdnf install"}


def read(name: str, **arguments: str) -> Recipe:
    return dockerfile.read((FOLDER / name).read_text(), arguments.get, "", name)


def covered(name: str) -> list[str]:
    """Return the runtimes that a Dockerfile says it is for."""
    (line,) = (line for line in (FOLDER / name).read_text().splitlines() if line.startswith("LABEL"))
    return line.removeprefix('LABEL layerkit.runtimes="').removesuffix('"').split()


def tag(runtime: str) -> str:
    """Return the image that the facts name for a family's Dockerfile to start from."""
    known = facts()["runtimes"][runtime]
    return str(known["images"]["lambci_build" if known["os"] == "AL1" else "base"])


def argument(name: str) -> str:
    return "LAYERKIT_BUILD_IMAGE" if name == "al1.Dockerfile" else "LAYERKIT_RUN_IMAGE"


def test_every_runtime_has_the_dockerfile_of_its_system() -> None:
    said = {runtime: FAMILIES[name] for name in FAMILIES for runtime in covered(name)}
    assert said == {runtime: facts()["runtimes"][runtime]["os"] for runtime in runtimes()}
    assert sum(len(covered(name)) for name in FAMILIES) == len(said)


@pytest.mark.parametrize("name", [*FAMILIES, EXAMPLE])
def test_it_starts_from_a_tag_that_the_facts_name_and_a_digest_stands_above(name: str) -> None:
    (default,) = read(name).images
    known = {tag(runtime) for runtime in (covered(name) if name in FAMILIES else runtimes())}
    assert default in known
    for image in known:
        assert read(name, **{argument(name): image}).images == (image,)
        pinned = read(name, **{argument(name): image, "DIGEST": DIGEST})
        assert pinned.images == (f"{image}@{DIGEST}",)
        assert pinned.loose == ()


@pytest.mark.parametrize(("name", "system"), FAMILIES.items())
def test_it_installs_by_its_systems_package_manager(name: str, system: str) -> None:
    text = (FOLDER / name).read_text()
    assert MANAGERS[system] in text
    assert not any(other in text for other in {*MANAGERS.values(), "apt-get"} - {MANAGERS[system]})


def test_the_readme_tells_of_every_file_and_of_keys_that_there_are() -> None:
    text = (FOLDER / "README.md").read_text()
    files = {path.name for path in FOLDER.iterdir() if not path.name.startswith(".")} - {"README.md"}
    assert {*FAMILIES, EXAMPLE, "collect"} == files
    assert all(f"`{name}`" in text for name in files)
    assert all(key in text for key in ("build-images", "layers", KEYS[0], KEYS[-1]))


def collect(folder: Path, *wanted: str, libraries: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"OPT": str(folder), "LAYERKIT_LIBRARIES": libraries, "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["sh", FOLDER / "collect", *wanted], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(shutil.which("ldd") is None, reason="this system has no ldd")
def test_what_is_collected_lies_where_lambda_looks(tmp_path: Path) -> None:
    program = shutil.which("sh", path="/usr/bin") or pytest.fail("there is no /usr/bin/sh")
    share = tmp_path / "usr" / "share" / "things"
    share.mkdir(parents=True)
    (share / "a").write_text("1")
    assert collect(tmp_path / "opt", program, str(share)).returncode == 0
    laid = {path.relative_to(tmp_path / "opt").as_posix() for path in (tmp_path / "opt").rglob("*.*")}
    assert "lib/libc.so.6" in laid
    assert not any("ld-linux" in name or "vdso" in name for name in laid)
    assert (tmp_path / "opt" / "share" / "things" / "a").read_text() == "1"
    assert subprocess.run([tmp_path / "opt" / "bin" / "sh", "-c", "exit 7"], check=False).returncode == 7
    assert collect(tmp_path / "less", program, libraries="libm.so.6 libc.so.6").returncode == 0
    assert not (tmp_path / "less" / "lib").exists()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("/usr/bin/no-such", "there is no /usr/bin/no-such"), ("/etc/passwd", "is no program")],
)
def test_what_cannot_be_collected_is_an_error(tmp_path: Path, wanted: str, said: str) -> None:
    done = collect(tmp_path, wanted)
    assert done.returncode == 1
    assert said in done.stderr
