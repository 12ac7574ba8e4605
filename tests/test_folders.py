"""Cleaning and zipping a filled folder, and the faults of older scripts that are not repeated."""

from __future__ import annotations

import os
import stat
import zipfile
from importlib.metadata import distributions
from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.errors import StorageError, UsageError
from layerkit.folders import clean_aws, clean_metadata, clean_packages, renew_records, zip_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SITE = "python/lib/python3.12/site-packages"


def install(
    top: Path, name: str, files: dict[str, str], requires: Sequence[str] = (), version: str = "1.0"
) -> Path:
    """Lay a distribution down as pip does; return the folder that it lies in."""
    site = top / SITE
    site.mkdir(parents=True, exist_ok=True)
    wheel = make_wheel(top.parent / "wheels", name, version, files=files, requires=requires)
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(site)
    return site


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def names(site: Path) -> set[str]:
    return {dist.metadata["Name"] for dist in distributions(path=[str(site)])}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return tmp_path / "a layer"


def test_the_sdk_goes_whole_with_its_metadata(top: Path) -> None:
    install(top, "six", {"six.py": "x = 1"})
    install(top, "python_dateutil", {"dateutil/__init__.py": "", "dateutil/tz/__init__.py": ""})
    site = install(top, "boto3", {"boto3/__init__.py": "", "boto3/data/x.json": "{}"})
    said = clean_aws(top)
    assert files(site) == set()
    assert said == [f"removed boto3, python-dateutil, six from {site}"]


def test_what_only_looks_like_the_sdk_stays(top: Path) -> None:
    kept = {"boto3-stubs/__init__.pyi": "", "boto3_helper/__init__.py": ""}
    site = install(top, "boto3-stubs", kept)
    install(top, "vendoring", {"vendoring/_vendor/six.py": "", "vendoring/_vendor/urllib3/__init__.py": ""})
    install(top, "boto3", {"boto3/__init__.py": ""})
    before = files(site)
    clean_aws(top)
    assert before - files(site) == {
        path for path in before if path.split("/")[0] in {"boto3", "boto3-1.0.dist-info"}
    }


def test_the_sdk_goes_where_its_metadata_is_lost(top: Path) -> None:
    site = top / SITE
    for name in ("six.py", "dateutil/__init__.py", "botocore/__init__.py", "other/__init__.py"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("")
    clean_aws(top)
    assert files(site) == {"other/__init__.py"}


def test_it_is_said_who_will_rely_on_the_runtime(top: Path) -> None:
    install(
        top, "pandas", {"pandas/__init__.py": ""}, requires=["python-dateutil>=2.8", "boto3; extra == 'aws'"]
    )
    install(top, "python-dateutil", {"dateutil/__init__.py": ""})
    assert clean_aws(top)[1:] == ["pandas needs python-dateutil: it will find the runtime's own"]


def test_docutils_goes_only_where_nothing_asks_for_it(top: Path) -> None:
    site = install(top, "docutils", {"docutils/__init__.py": ""})
    install(top, "reader", {"reader.py": ""}, requires=["Docutils"])
    clean_aws(top)
    assert "docutils/__init__.py" in files(site)
    install(top, "reader", {"reader.py": ""}, version="1.0")
    clean_aws(top)
    assert "docutils/__init__.py" not in files(site)


def test_a_record_that_leads_outside_removes_nothing_there(top: Path) -> None:
    site = install(top, "six", {"six.py": ""})
    outside = top.parent / "outside.txt"
    outside.write_text("mine")
    record = site / "six-1.0.dist-info" / "RECORD"
    record.write_text(f"{record.read_text()}../../../../../outside.txt,,\n")
    clean_aws(top)
    assert outside.read_text() == "mine"
    assert files(site) == set()


def test_build_tools_go_unless_a_package_asks_for_them(top: Path) -> None:
    site = install(top, "pip", {"pip/__init__.py": ""})
    install(top, "setuptools", {"pkg_resources/__init__.py": "", "setuptools/__init__.py": ""})
    install(top, "old", {"old.py": ""}, requires=["setuptools"])
    clean_packages(top)
    assert names(site) == {"setuptools", "old"}
    assert "pkg_resources/__init__.py" in files(site)


def test_bytecode_goes_only_where_its_source_is(top: Path) -> None:
    site = install(
        top, "a", {"a.py": "", "only.pyc": "code", "a.pyc": "code", "__pycache__/a.cpython-312.pyc": ""}
    )
    clean_packages(top)
    assert {"a.py", "only.pyc"} == {name for name in files(site) if "dist-info" not in name}
    assert "a.pyc" not in (site / "a-1.0.dist-info" / "RECORD").read_text()


def test_metadata_that_entry_points_need_stays(top: Path) -> None:
    site = top / SITE
    site.mkdir(parents=True)
    wheel = make_wheel(
        top.parent, "tool", entry_points={"plugins": {"one": "tool:main"}}, files={"tool.py": ""}
    )
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(site)
    info = site / "tool-1.0.dist-info"
    (info / "direct_url.json").write_text('{"url": "file:///home/me"}')
    (info / "REQUESTED").touch()
    assert clean_metadata(top) == [f"removed 2 files of metadata from {top}"]
    found = next(iter(distributions(path=[str(site)]))).entry_points
    assert [one.name for one in found] == ["one"]
    assert not (info / "direct_url.json").exists()


def test_records_follow_what_was_removed_and_changed(top: Path) -> None:
    site = install(top, "a", {"a.py": "1", "b.py": "2"})
    (site / "a.py").unlink()
    (site / "b.py").write_text("longer")
    renew_records(top, [site / "b.py"])
    rows = (site / "a-1.0.dist-info" / "RECORD").read_text().splitlines()
    assert not any(row.startswith("a.py") for row in rows)
    assert next(row for row in rows if row.startswith("b.py")).endswith(",6")


def test_a_zip_is_the_same_whatever_the_folder_went_through(top: Path, tmp_path: Path) -> None:
    site = install(top, "a", {"a.py": "1" * 500, "b/c.py": "2"})
    (top / "bin").mkdir()
    (top / "bin" / "run").write_text("#!/bin/sh\n")
    (top / "bin" / "run").chmod(0o700)
    first = zip_folder(top, tmp_path / "one.zip")
    os.utime(site / "a.py", (1, 1))
    (site / "a.py").chmod(0o600)
    assert zip_folder(top, tmp_path / "two.zip") == first
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        modes = {one.filename: stat.S_IMODE(one.external_attr >> 16) for one in archive.infolist()}
    assert modes["bin/run"] == 0o755
    assert modes[f"{SITE}/a.py"] == 0o644
    assert set(modes) == files(top)


def test_a_zip_inside_its_own_folder_does_not_hold_itself(top: Path) -> None:
    install(top, "a", {"a.py": ""})
    first = zip_folder(top, top / "layer.zip")
    assert zip_folder(top, top / "layer.zip") == first


def test_a_folder_that_is_no_layer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("")
    with pytest.raises(UsageError, match="has none"):
        zip_folder(tmp_path, tmp_path / "x.zip")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such folder"):
        clean_aws(tmp_path / "absent")
