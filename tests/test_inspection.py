"""Zips opened again, ours and anybody's, and the trees of a whole project."""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from factory import make_wheel
from layerkit.build import build_target
from layerkit.errors import CheckFailedError, ConfigError, NetworkError, StorageError, UsageError
from layerkit.inspection import check_built, check_given, check_targets, tree_target
from layerkit.progress import progress
from layerkit.session import Session, open_session
from loopback import Loopback
from own import own_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerkit.check.findings import Report

_PYPROJECT = """
dependencies = ["lib", "worker"]

[tool.layerkit]
runtimes = ["python3.12"]
sdk-version = "1.42.0"
never-deploy = ["docs-lib"]

[tool.layerkit.layers]
base = ["lib"]
more = ["worker"]
nodeps = {project = true}

[tool.layerkit.functions.api]
layers = ["base", "nodeps"]
code = "api"

[tool.layerkit.functions.job]
layers = ["base", "more"]
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Loopback]]:
    """Build a project with three layers and two functions once, with a store and an index of its own."""
    top = tmp_path_factory.mktemp("built once")
    wheels = top / "wheels"
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0", files={"botocore/__init__.py": "x" * 777})
    make_wheel(wheels, "lib", "1.2", files={"lib.py": "V = 1\n"})
    make_wheel(wheels, "worker", requires=["lib>=1", "docs-lib", "boto3>=1.41"])
    make_wheel(wheels, "docs-lib")
    folder = own_project(top / "shop", "shop", requires=["lib"], pyproject=_PYPROJECT)
    (folder / "api").mkdir()
    (folder / "api" / "app.py").write_text("import shop\n")
    with Loopback(wheels) as server, pytest.MonkeyPatch.context() as patch:
        for name in ("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"):
            patch.delenv(name, raising=False)
        patch.setenv("UV_DEFAULT_INDEX", server.simple)
        patch.setenv("UV_CACHE_DIR", str(top / "uv"))
        patch.setenv("UV_NO_CONFIG", "1")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        patch.setenv("LAYERKIT_CACHE", str(top / "store"))
        session = _open(folder)
        build_target(session, session.targets[0])
        yield top, server


@pytest.fixture
def shop(template: tuple[Path, Loopback], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the project as it was built, with the store that it was built from, to do what one likes to."""
    for name in ("shop", "store"):
        shutil.copytree(template[0] / name, tmp_path / name)
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    return tmp_path / "shop"


def _open(shop: Path, **options: Any) -> Session:
    return open_session(shop, talk=lambda _text: None, progress=progress(quiet=True), **options)


def _built(shop: Path) -> tuple[Session, Path]:
    """Return a session of the project, and the folder of its zips."""
    return _open(shop), shop / "dist" / "layers" / "python3.12-x86_64"


def _codes(reports: list[tuple[str, Report]]) -> dict[str, list[str]]:
    return {name: [finding.code for finding in report.findings] for name, report in reports}


def test_every_stack_of_the_last_build_is_checked_with_its_code(shop: Path) -> None:
    session, _ = _built(shop)
    reports = check_built(session, session.targets[0])
    assert [(name, [subject.name for subject in report.subjects]) for name, report in reports] == [
        ("api", ["py312-shop-1.0-base.zip", "py312-shop-1.0-nodeps.zip", "py312-shop-1.0-api-code.zip"]),
        ("job", ["py312-shop-1.0-base.zip", "py312-shop-1.0-more.zip"]),
    ]
    # What was left out on purpose is missed with a warning, and boto3 is the runtime's.
    assert _codes(reports) == {"api": [], "job": ["deliberately-absent"]}
    for _, report in reports:
        report.raise_for_errors()


def test_the_zips_are_believed_and_not_the_manifest(shop: Path) -> None:
    session, folder = _built(shop)
    base = folder / "py312-shop-1.0-base.zip"
    with zipfile.ZipFile(base) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(base, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name.replace("lib-1.2", "lib-0.2"))
            info.external_attr = 0o644 << 16
            archive.writestr(info, content.replace(b"Version: 1.2", b"Version: 0.2"))
    found = dict(check_built(session, session.targets[0]))["job"]
    assert [finding.code for finding in found.errors] == ["version-conflict"]
    assert "worker 1.0 requires lib>=1" in found.errors[0].text
    with pytest.raises(CheckFailedError):
        found.raise_for_errors()


def test_a_damaged_zip_fails_the_stacks_that_have_it(shop: Path) -> None:
    session, folder = _built(shop)
    (folder / "py312-shop-1.0-more.zip").write_bytes(b"no zip")
    codes = _codes(check_built(session, session.targets[0]))
    assert (codes["api"], codes["job"][0]) == ([], "archive")


def test_a_zip_that_is_gone_is_named(shop: Path) -> None:
    session, folder = _built(shop)
    (folder / "py312-shop-1.0-more.zip").unlink()
    with pytest.raises(StorageError, match=r"py312-shop-1\.0-more\.zip: cannot be read"):
        check_built(session, session.targets[0])


def test_the_functions_code_is_opened_too(shop: Path) -> None:
    session, folder = _built(shop)
    (folder / "py312-shop-1.0-api-code.zip").write_bytes(b"no zip")
    codes = _codes(check_built(session, session.targets[0]))
    assert (codes["api"], codes["job"]) == (["archive"], ["deliberately-absent"])


def test_what_was_built_can_be_checked_though_the_project_has_moved_on(
    shop: Path, template: tuple[Path, Loopback]
) -> None:
    index = template[1]
    text = (shop / "pyproject.toml").read_text()
    (shop / "pyproject.toml").write_text(text.replace('["lib", "worker"]', '["lib>=1", "worker"]'))
    asked = len(index.requests)
    session = _open(shop)
    assert _codes(check_built(session, session.targets[0])) == {"api": [], "job": ["deliberately-absent"]}
    assert len(index.requests) == asked


def test_nothing_built_is_said_with_the_way_out(shop: Path) -> None:
    shutil.rmtree(shop / "dist")
    session = _open(shop)
    with pytest.raises(ConfigError, match="nothing was built for this target") as refused:
        check_built(session, session.targets[0])
    assert (refused.value.where or "").endswith("python3.12-x86_64/py312-shop-1.0.json")
    assert refused.value.fix == "run `layerkit build`"


def test_what_is_built_for_others_is_named(shop: Path) -> None:
    folder = shop / "dist" / "layers" / "python3.13-arm64"
    folder.mkdir(parents=True)
    (folder / "py313-shop-1.0.json").touch()
    shutil.rmtree(shop / "dist" / "layers" / "python3.12-x86_64", ignore_errors=True)
    session = _open(shop)
    with pytest.raises(ConfigError) as refused:
        check_built(session, session.targets[0])
    assert (refused.value.fix or "").endswith("say --runtime and --arch: built is python3.13-arm64")


def test_given_zips_are_one_functions_layers_for_every_runtime_that_is_named(shop: Path) -> None:
    _, folder = _built(shop)
    base, more = folder / "py312-shop-1.0-base.zip", folder / "py312-shop-1.0-more.zip"
    code = folder / "py312-shop-1.0-api-code.zip"
    reports = check_given(
        [base, more], code, check_targets(["py312", "3.11", "py312"], ["arm64", "x86_64"], "1.42.0")
    )
    assert [name for name, _ in reports] == ["given"] * 4
    assert [report.target_key for _, report in reports] == [
        "python3.12-arm64",
        "python3.12-x86_64",
        "python3.11-arm64",
        "python3.11-x86_64",
    ]
    first, other = reports[0][1], reports[2][1]
    assert [subject.name for subject in first.subjects] == [base.name, more.name, code.name]
    # Nothing says what these zips leave out on purpose.
    assert [finding.code for finding in first.errors] == ["missing-requirement"]
    # Another Python looks into another folder.
    assert "unreachable-files" in {finding.code for finding in other.findings}


def test_given_zips_need_a_runtime_and_take_x86_64_by_themselves(shop: Path) -> None:
    _, folder = _built(shop)
    base = folder / "py312-shop-1.0-base.zip"
    with pytest.raises(UsageError, match="nothing says which runtime") as refused:
        check_targets([], [], None)
    assert "--runtime" in (refused.value.fix or "")
    ((_, report),) = check_given([base], None, check_targets(["py312"], [], None))
    assert (report.target_key, report.findings) == ("python3.12-x86_64", ())


def test_the_sdk_version_that_is_given_counts(shop: Path) -> None:
    _, folder = _built(shop)
    zips = [folder / f"py312-shop-1.0-{name}.zip" for name in ("base", "more")]
    codes = [
        [finding.code for finding in check_given(zips, None, targets)[0][1].errors]
        for targets in (check_targets(["py312"], [], version) for version in ("1.42.0", "1.40.0"))
    ]
    assert [set(found) - {"missing-requirement"} for found in codes] == [set(), {"version-conflict"}]


def _nodes(tree: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for node in tree:
        found[node["package"]] = node
        found |= _nodes(node["dependencies"])
    return found


def test_the_tree_has_the_size_of_every_package_also_of_those_in_no_layer(
    shop: Path, template: tuple[Path, Loopback]
) -> None:
    index = template[1]
    shutil.rmtree(shop / "dist")
    session = _open(shop)
    found = tree_target(session, session.targets[0], None)
    nodes = _nodes(found["tree"])
    assert set(nodes) == {"boto3", "botocore", "docs-lib", "lib", "worker"}
    assert [node["package"] for node in found["tree"]] == ["worker"]
    assert all(node["unzipped"] > 0 for node in nodes.values())
    assert nodes["botocore"]["unzipped"] > 777 > nodes["docs-lib"]["unzipped"]
    assert {name: node["asked_by"] for name, node in nodes.items()} == {
        "boto3": "the runtime brings it",
        "botocore": "the runtime brings it",
        "docs-lib": None,
        "lib": "pyproject.toml: project.dependencies[0]",
        "worker": "pyproject.toml: project.dependencies[1]",
    }
    assert not (shop / "dist").exists()
    asked = len(index.requests)
    offline = _open(shop, offline=True)
    assert tree_target(offline, offline.targets[0], None) == found
    assert len(index.requests) == asked


def test_the_size_in_the_tree_is_the_one_in_the_layer(shop: Path) -> None:
    session, folder = _built(shop)
    nodes = _nodes(tree_target(session, session.targets[0], None)["tree"])
    with zipfile.ZipFile(folder / "py312-shop-1.0-base.zip") as archive:
        assert nodes["lib"]["unzipped"] == sum(member.file_size for member in archive.infolist())


def test_the_tree_upside_down(shop: Path) -> None:
    session = _open(shop)
    (top,) = tree_target(session, session.targets[0], "botocore")["tree"]
    assert set(_nodes([top])) == {"botocore", "boto3", "worker"}
    with pytest.raises(UsageError, match="ghost is not in the lock"):
        tree_target(session, session.targets[0], "ghost")


def test_a_tree_fetches_the_wheels_that_only_it_needs(shop: Path, template: tuple[Path, Loopback]) -> None:
    whole = tree_target(_open(shop), _open(shop).targets[0], None)
    shutil.rmtree(shop.parent / "store" / "wheels")
    offline = _open(shop, offline=True)
    with pytest.raises(NetworkError, match="3 wheels are not in the store") as refused:
        tree_target(offline, offline.targets[0], None)
    assert "boto3-1.42.0" in refused.value.what
    asked = len(template[1].requests)
    session = _open(shop)
    assert tree_target(session, session.targets[0], None) == whole
    assert {request.name.partition("-")[0] for request in template[1].requests[asked:]} == {
        "boto3",
        "botocore",
        "docs_lib",
    }
