"""Why no versions fit: what is made of uv's words, and that uv's words are still the ones we know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.errors import ResolutionError
from layerkit.lock import WheelRef
from layerkit.lock.explain import explain
from layerkit.lock.uv import Candidate, Question, UnsatisfiableError, Uv
from layerkit.store import Store
from layerkit.target import target
from projects import project, requirement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerkit.project import Project
    from loopback import Loopback

PY312 = target("py312")
HERE = Path("/project")


class Index(Uv):
    """Knows the wheels of each requirement, and the newest version of each package that fits."""

    def __init__(
        self, wheels: Mapping[str, Sequence[str]] | None = None, fitting: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(PY312, Store(Path("/nonexistent")), HERE)
        self.wheels = wheels or {}
        self.fitting = fitting or {}
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def wheels_of(self, requirement: str, arguments: Sequence[str]) -> Candidate | None:
        self.asked.append((requirement, tuple(arguments)))
        names = self.wheels.get(requirement)
        if names is None:
            return None
        refs = tuple(WheelRef(filename=name, sha256="0" * 64) for name in names)
        return Candidate(
            name=requirement.partition("=")[0], version=refs[0].filename.split("-")[1], wheels=refs
        )

    def newest_fitting(self, name: str, arguments: Sequence[str]) -> str | None:
        assert tuple(arguments) == ("--index-url", "http://index")
        return self.fitting.get(name)


def _project(*roots: str) -> Project:
    wanted = [requirement(text, origin=f"requirements.txt:{n}") for n, text in enumerate(roots, 1)]
    arguments = ("--index-url", "http://index")
    return project(HERE, {"default": wanted}, index_arguments=arguments)


def said(words: str, uv: Uv, *roots: str) -> ResolutionError:
    found = explain(UnsatisfiableError(words), uv, _project(*roots))
    # No longer the kind that is looked into: it has been explained.
    assert type(found) is ResolutionError
    assert found.where == "python3.12-x86_64"
    return found


def _wheels(*tags: str) -> list[str]:
    return [f"demo-2.0-{tag}.whl" for tag in tags]


def test_a_conflict_is_uvs_proof_and_where_the_project_asks_for_it() -> None:
    uv = Index()
    found = said(
        "Because app==1 depends on lib<2 and you require lib>=2", uv, "app", "lib>=2", "other", "l>=1"
    )
    assert found.what.splitlines() == [
        "Because app==1 depends on lib<2 and you require lib>=2",
        "asked for by:",
        "  app (requirements.txt:1)",
        "  lib>=2 (requirements.txt:2)",
    ]
    assert found.fix == "change one of the requirements, or build for another runtime"
    assert uv.asked == []


def test_local_folders_are_not_among_those_who_ask() -> None:
    local = requirement("app", path=HERE / "app")
    found = explain(UnsatisfiableError("app is odd"), Index(), project(HERE, {"default": [local]}))
    assert found.what == "app is odd"


def test_names_are_found_as_uv_writes_them_whole_and_in_any_case() -> None:
    found = said("Because App-Lib.x==1 needs a-lib", Index(), "app_lib.x", "lib", "app", "a_lib>1")
    assert found.what.splitlines()[2:] == ["  a_lib>1 (requirements.txt:4)"]
    found = said("Because app-lib==1 needs a-lib.", Index(), "app_lib", "lib", "app")
    assert found.what.splitlines()[2:] == ["  app_lib (requirements.txt:1)"]


def test_a_missing_wheel_says_which_there_are_and_the_newest_version_that_has_one() -> None:
    uv = Index(
        {"demo==2.0": _wheels("cp312-cp312-win_amd64", "cp311-cp311-macosx_11_0_arm64")}, {"demo": "1.5"}
    )
    found = said("Because demo==2.0 has no wheels with a matching Python ABI tag", uv, "demo")
    assert found.what.splitlines()[1] == (
        "demo 2.0: there are wheels for cp312-cp312-win_amd64, cp311-cp311-macosx_11_0_arm64;"
        " the newest version with a wheel that fits: 1.5"
    )
    assert uv.asked == [("demo==2.0", ("--index-url", "http://index"))]


def test_no_version_may_have_one() -> None:
    uv = Index({"demo": _wheels("cp38-cp38-win32")})
    found = said("Because all versions of demo have no usable wheels, no luck", uv, "demo")
    assert "cp38-cp38-win32; no version has a wheel that fits" in found.what


def test_only_source_is_said_to_be_so() -> None:
    found = said("Because demo>=1,<3 has no usable wheels", Index(fitting={"demo": "0.9"}), "demo")
    assert found.what.splitlines()[1] == (
        "demo>=1,<3: there are no wheels at all, only source; the newest version with a wheel that fits: 0.9"
    )


def test_the_ways_out_name_the_glibc_the_tag_and_the_image() -> None:
    fix = said("demo==2.0 has no usable wheels", Index()).fix or ""
    assert "python3.12 has glibc 2.34 and takes wheels up to cp312-cp312-manylinux_2_34_x86_64" in fix
    assert "public.ecr.aws/sam/build-python3.12" in fix


@pytest.mark.parametrize("runtime", ["py37", "py39", "py315"])
def test_every_runtime_has_an_image_to_build_in(runtime: str) -> None:
    uv = Index()
    uv.target = target(runtime)
    found = explain(UnsatisfiableError("demo==2.0 has no usable wheels"), uv, _project("demo"))
    assert found.fix
    assert "None" not in found.fix
    assert "let layerkit build it from source in " in found.fix


def test_wheels_for_linux_on_the_targets_machine_are_named_before_all_others() -> None:
    tags = ["cp312-cp312-win_amd64", "cp39-cp39-manylinux2014_x86_64", "cp312-cp312-manylinux_2_28_aarch64"]
    found = said("demo==2.0 has no usable wheels", Index({"demo==2.0": _wheels(*tags)}))
    assert "wheels for cp39-cp39-manylinux2014_x86_64;" in found.what


def test_of_many_wheels_the_last_are_named_and_the_others_counted() -> None:
    tags = [f"cp3{n}-cp3{n}-win32" for n in range(10, 40)]
    found = said("demo==2.0 has no usable wheels", Index({"demo==2.0": _wheels(*tags)}))
    assert f"wheels for {', '.join(tags[-12:])} and 18 more;" in found.what


def test_a_package_is_looked_at_once_and_a_long_proof_costs_few_questions() -> None:
    words = " and ".join(f"p{n}==1 has no usable wheels" for n in (1, 1, 2, 3, 4, 5, 6, 7, 8))
    uv = Index()
    found = said(words, uv)
    asked = [name for name, _ in uv.asked]
    assert asked == [f"p{n}==1" for n in range(1, 1 + len(asked))]
    assert 2 <= len(asked) <= 5
    assert found.what.count("there are no wheels at all") == len(asked)


@pytest.mark.parametrize(
    ("tags", "line"),
    [
        (["cp312-cp312-win_amd64"], "demo 2.0: there are wheels for cp312-cp312-win_amd64;"),
        (
            ["cp311-cp311-manylinux2014_x86_64"],
            "demo 2.0: there are wheels for cp311-cp311-manylinux2014_x86_64;",
        ),
        (
            ["pp310-pypy310_pp73-any", "cp312-cp312-musllinux_1_2_x86_64"],
            "demo 2.0: there are wheels for cp312-",
        ),
        (
            ["cp312-cp312-manylinux_2_39_x86_64"],
            "demo 2.0: there are wheels for cp312-cp312-manylinux_2_39_x86_64;",
        ),
        (["cp312-cp312-manylinux_2_34_aarch64"], "wheels for cp312-cp312-manylinux_2_34_aarch64;"),
        ([], ": there are no wheels at all, only source;"),
    ],
)
@pytest.mark.parametrize("root", ["demo==2.0", "demo"])
def test_uvs_own_words_are_understood(
    store: Store, index: Loopback, tmp_path: Path, tags: Sequence[str], line: str, root: str
) -> None:
    for tag in tags:
        make_wheel(tmp_path / "wheels", "demo", "2.0", tag=tag)
    index.add("demo-2.0.tar.gz", b"source")
    uv = Uv(PY312, store, tmp_path)
    with pytest.raises(UnsatisfiableError) as refused:
        uv.resolve(Question(requirements=(root,)))
    found = explain(refused.value, uv, project(tmp_path, {"default": [root]}))
    assert line in found.what
    assert "no version has a wheel that fits" in found.what


def test_a_range_of_local_versions_is_asked_for_in_a_form_that_uv_takes() -> None:
    uv = Index({"demo>=2.0,<=2.0": _wheels("cp311-cp311-manylinux_2_28_x86_64")}, {"demo": "1.5"})
    found = said("Because all versions of demo>=2.0,<=2.0+cpu have no wheels with a matching tag", uv, "demo")
    assert found.what.splitlines()[1].startswith("demo 2.0: there are wheels for cp311-cp311-manylinux_2_28")
