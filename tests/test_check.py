from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layerkit.archive import Entry
from layerkit.check import brought, check_plan, check_zips
from layerkit.dockerfiles import OptLayer, OptPackage
from layerkit.plan import plan
from layerkit.target import target
from locks import PY312, Size, lock, project
from zips import SITE, installed_files, zipped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerkit.check.findings import Finding, Report
    from layerkit.lock import Lock
    from layerkit.project import Project


def codes(findings: Iterable[Finding]) -> list[str]:
    return [each.code for each in findings]


def checked(project: Project, lock: Lock) -> Report:
    sizes = {package.name: Size() for package in lock.packages}
    return check_plan(plan(project, lock, sizes, {}), lock, project.never)


def test_plan_over_a_whole_lock_is_clean() -> None:
    packages = {
        "boto3 1.42.97": ["botocore"],
        "botocore 1.42.97": ["urllib3<3"],
        "urllib3 2.6": [],
        "requests 2": ["urllib3"],
    }
    report = checked(project({"web": ["requests"], "aws": ["boto3"]}), lock(packages))
    assert report.findings == ()
    assert [(one.name, one.packages) for one in report.subjects] == [("web", 2), ("aws", 0)]


def test_plan_over_a_lock_with_holes_fails_and_names_them() -> None:
    report = checked(
        project({"data": ["pandas"]}), lock({"pandas 2.3": ["numpy>=1.26", "pytz"], "pytz 1": []})
    )
    assert codes(report.errors) == ["missing-requirement"]


def test_packages_and_files_of_dockerfiles_count_like_others() -> None:
    site = PY312.site_packages("flat")
    needs = OptPackage(name="gdal", version="3", folder=site, requires=("numpy>=2", "six"), extras=())
    twice = OptPackage(name="six", version="2", folder=site, requires=(), extras=())
    bad = OptPackage(name="bad", version="1", folder=site, requires=("!",), extras=())
    opt = OptLayer(
        layer="gdal", path=Path("x"), zipped=5, unzipped=50, entries=1, key="", dockerfile="gdal.Dockerfile",
        sha256="", image="", bases=(), packages=(needs, twice, bad), notes=("a note",),
    )  # fmt: skip
    held = lock({"numpy 1.26": [], "six 1": []})
    values = project({"data": ["numpy", "six"], "gdal": []}, {"f": ["data", "gdal"], "g": ["data"]})
    made = plan(values, held, {name: Size() for name in ("numpy", "six")}, {}, opts={"gdal": opt})
    files = {
        "data": [Entry("python/six.py", 0, 1, 1, 1), Entry("same", 0, 1, 3, 3)],
        "gdal": [Entry("python/six.py", 0, 1, 2, 2), Entry("same", 0, 1, 3, 3)],
    }
    found = check_plan(made, held, (), {"gdal": opt}, files)
    assert [(one.code, one.where.partition(":")[0]) for one in found.findings] == [
        ("duplicate-package", "f"),
        ("version-conflict", "f"),
        ("unreadable-metadata", "gdal"),
        ("path-collision", "f"),
    ]
    assert [(one.name, one.packages, one.unzipped) for one in found.subjects][1] == ("gdal", 3, 50)


def test_never_is_a_warning_in_a_plan_also_where_the_lock_does_not_hold_it() -> None:
    packages = {"fastparquet 2": ["numba>=0.6", "cramjam"], "numba 0.6": []}
    report = checked(
        project({"data": ["fastparquet"]}, never=frozenset({"numba", "cramjam"})), lock(packages)
    )
    assert codes(report.findings) == ["deliberately-absent"] * 2
    report.raise_for_errors()


def test_requirement_left_to_the_runtime_is_checked_against_its_version() -> None:
    packages = {"boto3 1.42.97": [], "botocore 1.42.97": [], "s3fs 1": ["botocore<1.40"]}
    report = checked(project({"data": ["s3fs"]}), lock(packages))
    assert codes(report.errors) == ["version-conflict"]
    assert "the python3.12 runtime has botocore 1.42.97" in report.errors[0].text


def test_finding_of_some_stacks_names_them_and_one_of_all_stacks_does_not() -> None:
    packages = {"a 1": ["gone"], "b 1": ["lost"]}
    values = project({"one": ["a"], "two": ["b"]}, {"f": ["one"], "g": ["one", "two"], "h": ["one", "two"]})
    wheres = [each.where for each in checked(values, lock(packages)).findings]
    assert "g, h: two: b 1" in wheres
    assert "one: a 1" not in wheres  # its text names the layers, which differ
    assert {"f: one: a 1", "g, h: one: a 1"} <= set(wheres)
    single = project({"one": ["a"]}, {"f": ["one"], "g": ["one"]})
    assert [each.where for each in checked(single, lock(packages)).findings] == ["one: a 1"]


def test_zips_of_both_layouts_and_of_a_function_make_one_stack(tmp_path: Path) -> None:
    base = zipped(tmp_path / "base.zip", installed_files("NumPy 2.0"))
    flat = zipped(tmp_path / "flat.zip", installed_files("pandas 2.3", "numpy>=1.26", "six", below="python"))
    code = zipped(
        tmp_path / "code.zip", installed_files("six 1.17", below="") | {"handler.py": "import pandas\n"}
    )
    report = check_zips([base, flat], PY312, brought(PY312), function=code)
    assert report.findings == ()
    assert [(one.name, one.packages) for one in report.subjects] == [
        ("base.zip", 1),
        ("flat.zip", 1),
        ("code.zip", 1),
    ]
    assert report.subjects[0].unzipped == sum(map(len, installed_files("NumPy 2.0").values()))
    assert report.subjects[0].zipped == base.stat().st_size


def test_requirements_in_zips_are_read_for_the_target_and_not_for_the_host(tmp_path: Path) -> None:
    needs = ["old ; python_version < '3.8'", "arm ; platform_machine == 'aarch64'", "pretty ; extra == 'x'"]
    path = zipped(tmp_path / "one.zip", installed_files("demo 1.0", *needs))
    assert check_zips([path], PY312, []).findings == ()
    (found,) = check_zips([path], target("3.12", "arm64"), []).findings
    assert found.text == "demo 1.0 requires arm, which neither one.zip nor the runtime has"


def test_missing_and_conflicting_requirements_in_zips(tmp_path: Path) -> None:
    base = zipped(tmp_path / "base.zip", installed_files("numpy 1.21"))
    data = zipped(tmp_path / "data.zip", installed_files("pandas 2.3", "numpy>=1.26", "pytz", "numba"))
    found = check_zips([base, data], PY312, [], absent={"numba": "by hand"}).findings
    assert codes(found) == ["version-conflict", "missing-requirement", "deliberately-absent"]
    assert found[0].text == "pandas 2.3 requires numpy>=1.26 (in data.zip), and base.zip has numpy 1.21"


def test_package_in_two_zips_in_two_versions_collides_and_says_who_wins(tmp_path: Path) -> None:
    first = zipped(tmp_path / "first.zip", installed_files("six 1.16"))
    second = zipped(tmp_path / "second.zip", installed_files("six 1.17"))
    found = check_zips([first, second], PY312, []).findings
    assert codes(found) == ["duplicate-package", "path-collision"]
    assert found[1].text == f"second.zip comes later and replaces 1 file of first.zip: {SITE}/six/__init__.py"


def test_same_content_at_one_path_is_no_collision(tmp_path: Path) -> None:
    shared = {f"{SITE}/google/__init__.py": "# a namespace\n"}
    first = zipped(tmp_path / "first.zip", installed_files("six 1.17") | shared)
    second = zipped(tmp_path / "second.zip", installed_files("idna 3") | shared)
    assert check_zips([first, second], PY312, []).findings == ()


def test_versioned_layout_is_imported_before_the_flat_one(tmp_path: Path) -> None:
    both = (
        installed_files("six 1.16", below="python")
        | installed_files("six 1.17")
        | installed_files("a 1", "six>=1.17")
    )
    found = check_zips([zipped(tmp_path / "one.zip", both)], PY312, []).findings
    assert codes(found) == ["duplicate-package"]
