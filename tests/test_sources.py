"""Packages from source in a resolution, with the real uv; what stands for a build makes a tiny wheel."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import pytest

from factory import make_sdist, make_wheel
from layerkit import lock as locks
from layerkit.errors import ResolutionError
from layerkit.lock import Source, WheelRef
from layerkit.lock.resolve import resolve
from layerkit.lock.sources import BuiltWheel, Sources, build_constraints
from layerkit.lock.uv import Uv
from layerkit.target import target
from layerkit.wheel import Wheel
from projects import project, requirement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layerkit.lock import Lock
    from layerkit.lock.uv import Candidate
    from layerkit.project import Project, Requirement
    from layerkit.store import Store
    from loopback import Loopback

# Nobody has seen which SDK it brings: nothing else takes part in the resolution.
PY315 = target("py315")


class Forge:
    """What stands for builds in containers: a wheel made to order for each source archive."""

    def __init__(self, store: Store, folder: Path, requires: Mapping[str, Sequence[str]]) -> None:
        self.store = store
        self.folder = folder
        self.requires = requires
        self.pythons: dict[str, str] = {}
        self.built: list[str] = []

    def __call__(self, candidate: Candidate) -> BuiltWheel:
        assert candidate.sdist is not None
        assert candidate.sdist.sha256
        self.built.append(f"{candidate.name} {candidate.version}")
        needs, python = self.requires.get(self.built[-1], ()), self.pythons.get(self.built[-1])
        made = make_wheel(
            self.folder,
            candidate.name,
            candidate.version,
            requires=needs,
            extras=["more"],
            requires_python=python,
        )
        with self.store.publish("wheels", made.sha256, ".whl") as temporary:
            shutil.copyfile(made.path, temporary)
        said = Wheel.open(made.path, made.filename).metadata
        return BuiltWheel(
            wheel=WheelRef(filename=made.filename, sha256=made.sha256, size=made.size),
            source=Source(
                sdist=candidate.sdist, image="image:1", digest="sha256:i", system=("s",), tools=("pip==1",)
            ),
            requires=said.requires,
            extras=said.provides_extras,
            requires_python=said.requires_python,
        )


class Bench:
    """A project, an index of wheels and source archives, and a forge."""

    def __init__(self, store: Store, wheels: Path, tmp_path: Path) -> None:
        self.store, self.wheels, self.root = store, wheels, tmp_path
        self.forge = Forge(store, tmp_path / "forge", {})

    def lock(
        self, *roots: str | Requirement, build: Sequence[str] = (), may_add: bool = True, **more: object
    ) -> Lock:
        def fetch(refs: Sequence[WheelRef]) -> None:
            for ref in refs:
                if self.store.find("wheels", ref.sha256, ".whl") is None:
                    with self.store.publish("wheels", ref.sha256, ".whl") as temporary:
                        shutil.copyfile(self.wheels / ref.filename, temporary)

        one = self.project(*roots)
        sources = Sources(build, self.forge, may_add=may_add)
        uv = Uv(PY315, self.store, one.root, sources=sources)
        return resolve(one, PY315, uv, self.store, fetch, built={}, **more)  # type: ignore[arg-type]

    def project(self, *roots: str | Requirement) -> Project:
        return project(self.root, {"default": roots})


@pytest.fixture
def bench(store: Store, index: Loopback, wheels: Path, tmp_path: Path) -> Bench:
    assert index.names() == []
    return Bench(store, wheels, tmp_path)


def versions(lock: Lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_a_package_without_a_wheel_is_built_and_what_it_requires_is_followed(bench: Bench) -> None:
    sdist = make_sdist(bench.wheels, "old", "2.0")
    make_sdist(bench.wheels, "old", "1.0")
    make_wheel(bench.wheels, "helper", "1.0")
    make_wheel(bench.wheels, "helper", "2.0")
    bench.forge.requires = {"old 2.0": ["helper<2", "absent ; extra == 'more'"]}
    found = bench.lock("old")
    assert bench.forge.built == ["old 2.0"]
    assert versions(found) == {"helper": "1.0", "old": "2.0"}
    old = found.package("old")
    assert old is not None
    assert old.source is not None
    assert old.source.sdist.sha256 == hashlib.sha256(sdist.read_bytes()).hexdigest()
    assert old.source.sdist.filename == "old-2.0.tar.gz"
    assert [need.name for need in old.requires] == ["helper"]


def test_the_lock_keeps_both_hashes_and_is_a_valid_one_for_others(bench: Bench) -> None:
    make_sdist(bench.wheels, "old")
    found = bench.lock("old")
    read = locks.read(found.path, PY315)
    assert read == found
    text = found.path.read_text()
    table = text[text.index("[packages.sdist]") :]
    assert "[[packages.wheels]]" not in text, "the wheel is nowhere that another installer could find it"
    assert "[packages.tool.layerkit.built.hashes]" in table
    assert locks.current(bench.project("old"), PY315) == found


def test_where_building_is_not_allowed_the_missing_wheel_is_an_error(bench: Bench) -> None:
    make_sdist(bench.wheels, "old")
    with pytest.raises(ResolutionError) as caught:
        bench.lock("old", may_add=False)
    assert "there are no wheels at all, only source" in caught.value.what
    assert "let layerkit build it from source in" in (caught.value.fix or "")
    assert bench.forge.built == []


def test_a_package_with_wheels_is_built_only_where_the_project_says_so(bench: Bench) -> None:
    make_wheel(bench.wheels, "both", "1.0")
    make_sdist(bench.wheels, "both", "1.0")
    assert bench.lock("both").package("both").source is None  # type: ignore[union-attr]
    assert bench.forge.built == []
    forced = bench.lock("both", build=["both"], may_add=False)
    assert forced.package("both").source is not None  # type: ignore[union-attr]
    assert bench.forge.built == ["both 1.0"]


def test_a_name_to_build_that_nothing_needs_is_no_fault(bench: Bench) -> None:
    make_wheel(bench.wheels, "lib")
    assert versions(bench.lock("lib", build=["elsewhere"])) == {"lib": "1.0"}


def test_an_older_wheel_is_taken_before_anything_is_built(bench: Bench) -> None:
    make_wheel(bench.wheels, "both", "1.0")
    make_sdist(bench.wheels, "both", "2.0")
    assert versions(bench.lock("both")) == {"both": "1.0"}
    assert versions(bench.lock("both>=2")) == {"both": "2.0"}
    assert bench.forge.built == ["both 2.0"]


def test_what_others_ask_of_a_package_counts(bench: Bench) -> None:
    for version in ("1.0", "2.0", "3.0"):
        make_sdist(bench.wheels, "old", version)
    make_wheel(bench.wheels, "user", requires=["old<3"])
    assert versions(bench.lock("user")) == {"old": "2.0", "user": "1.0"}
    assert bench.forge.built == ["old 2.0"]


def test_another_version_is_built_where_the_newest_requires_what_cannot_be(bench: Bench) -> None:
    for version in ("1.0", "2.0"):
        make_sdist(bench.wheels, "old", version)
    make_wheel(bench.wheels, "helper")
    bench.forge.requires = {"old 2.0": ["helper>=9"], "old 1.0": ["helper"]}
    assert versions(bench.lock("old")) == {"helper": "1.0", "old": "1.0"}
    assert bench.forge.built == ["old 2.0", "old 1.0"]


def test_a_version_that_is_for_other_pythons_is_not_taken(bench: Bench) -> None:
    for version in ("1.0", "2.0"):
        make_sdist(bench.wheels, "old", version)
    bench.forge.pythons = {"old 2.0": ">=3.99"}
    assert versions(bench.lock("old")) == {"old": "1.0"}


def test_not_every_version_in_the_world_is_built(bench: Bench) -> None:
    for minor in range(9):
        make_sdist(bench.wheels, "old", f"1.{minor}")
    bench.forge.requires = {f"old 1.{minor}": ["absent"] for minor in range(9)}
    with pytest.raises(ResolutionError) as caught:
        bench.lock("old")
    assert len(bench.forge.built) == 5
    assert "old: the versions 1.8, 1.7, 1.6, 1.5, 1.4 were built, and none of them fits" in caught.value.what


def test_sources_that_need_sources_are_found_one_after_the_other(bench: Bench) -> None:
    make_sdist(bench.wheels, "old")
    make_sdist(bench.wheels, "older")
    bench.forge.requires = {"old 1.0": ["older"]}
    assert versions(bench.lock("old")) == {"old": "1.0", "older": "1.0"}
    assert bench.forge.built == ["old 1.0", "older 1.0"]


def test_a_conflict_stays_a_conflict(bench: Bench) -> None:
    make_sdist(bench.wheels, "old")
    make_wheel(bench.wheels, "user", requires=["old>=9"])
    with pytest.raises(ResolutionError) as caught:
        bench.lock("user")
    assert "old" in caught.value.what
    assert bench.forge.built == []


def test_hashes_of_the_project_are_those_of_the_source(bench: Bench) -> None:
    sdist = make_sdist(bench.wheels, "old")
    good = f"sha256:{hashlib.sha256(sdist.read_bytes()).hexdigest()}"
    assert bench.lock(requirement("old", hashes=(good,))).package("old")
    with pytest.raises(ResolutionError, match=r"old-1\.0\.tar\.gz has sha256:"):
        bench.lock(requirement("old", hashes=("sha256:" + "0" * 64,)))


def test_a_later_lock_keeps_the_version_that_was_built(bench: Bench) -> None:
    make_sdist(bench.wheels, "old", "1.0")
    bench.lock("old")
    make_sdist(bench.wheels, "old", "2.0")
    assert versions(bench.lock("old")) == {"old": "1.0"}
    assert versions(bench.lock("old", upgrade=("*",))) == {"old": "2.0"}


# Settings of uv's, which a file of ours stands for while packages are built


def test_the_projects_own_indexes_still_count(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_CONFIG")
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    (tmp_path / "shelf").mkdir()
    make_sdist(tmp_path / "shelf", "old")
    (tmp_path / "uv.toml").write_text('no-index = true\nfind-links = ["shelf"]\n')
    found = bench.lock("old").package("old")
    assert found is not None
    assert found.source is not None
    assert found.source.sdist.path == str(tmp_path / "shelf" / "old-1.0.tar.gz")


def test_settings_are_combined_as_uv_does_and_paths_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from layerkit.lock.sources import settings

    home, app = tmp_path / "home", tmp_path / "app"
    (home / "uv").mkdir(parents=True)
    app.mkdir()
    monkeypatch.delenv("UV_NO_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))
    (app / "pyproject.toml").write_text(
        '[tool.uv]\nmanaged = true\nfind-links = ["a"]\noffline = true\n'
        'build-constraint-dependencies = ["c<3"]\n'
        '[[tool.uv.index]]\nname = "x"\nurl = "./simple"\n[tool.uv.sources]\na = {path = "a"}\n'
        '[tool.uv.pip]\nfind-links = "b"\n'
    )
    (home / "uv" / "uv.toml").write_text(
        'find-links = ["https://h/", "/abs"]\noffline = false\nindex = [{url = "https://me:pw@h/"}]\n'
    )
    assert settings(app) == {
        "find-links": [str(app / "a"), "https://h/", "/abs"],
        "offline": True,
        "build-constraint-dependencies": ["c<3"],
        "index": [{"name": "x", "url": str(app / "simple")}, {"url": "https://me:pw@h/"}],
        "pip": {"find-links": str(app / "b")},
    }
    assert build_constraints(app) == ("c<3",)
