from __future__ import annotations

import json
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.archive import Member
from layerkit.check import check_zips
from layerkit.check.zip_check import ReadZip, check_files
from layerkit.report.sarif import sarif
from locks import PY312
from zips import SITE, installed_files, zipped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.check.findings import Finding


def codes(findings: Iterable[Finding]) -> list[str]:
    return [each.code for each in findings]


def test_files_where_lambda_does_not_look_are_counted_by_folder(tmp_path: Path) -> None:
    files = {
        "python/fine.py": "",
        "bin/fine": "",
        "lib/fine.so": "",
        "extensions/fine": "",
        f"{SITE}/fine.py": "",
        "python/lib/other/fine.py": "",
        "python/lib/python3.11/site-packages/wrong.py": "",
        "python/lib/python3.12/stray.py": "",
        "numpy/__init__.py": "",
        "numpy/core.py": "",
        "README": "",
    }
    (found,) = check_zips([zipped(tmp_path / "one.zip", files)], PY312, []).findings
    assert (found.code, found.severity) == ("unreachable-files", "warning")
    assert found.text == (
        "5 files where Lambda does not look: README, numpy/, python/lib/python3.11/, python/lib/python3.12/"
    )


def test_a_wheel_that_was_unzipped_and_not_installed_is_told_by_its_data(tmp_path: Path) -> None:
    data = "demo-1.0.data"
    files = {f"{SITE}/{data}/purelib/demo.py": "", f"{SITE}/{data}/scripts/demo": "", f"{SITE}/fine.py": ""}
    (found,) = check_zips([zipped(tmp_path / "one.zip", files)], PY312, []).findings
    assert (found.code, found.where) == ("unreachable-files", "one.zip")
    assert found.text == (
        "2 files left in what a wheel carries to be installed elsewhere: "
        f"{SITE}/{data}/purelib/, {SITE}/{data}/scripts/"
    )
    code = zipped(tmp_path / "code.zip", {f"{data}/platlib/demo.py": "", "app.py": ""})
    (found,) = check_zips([], PY312, [], function=code).findings
    assert (found.where, found.text.startswith("1 file left in")) == ("code.zip", True)
    fine = {
        f"{SITE}/x.data/purelib/a.py": "",
        f"{SITE}/x-1.data/more/a.py": "",
        f"{SITE}/x/y-1.data/data/a": "",
    }
    assert check_zips([zipped(tmp_path / "fine.zip", fine)], PY312, []).findings == ()


def test_a_zip_without_anything_is_nothing_that_lambda_takes(tmp_path: Path) -> None:
    hollow, code = zipped(tmp_path / "hollow.zip", {}), zipped(tmp_path / "code.zip", {})
    folders = tmp_path / "folders.zip"
    with zipfile.ZipFile(folders, "w") as archive:
        info = zipfile.ZipInfo("python/")
        info.external_attr = 0o40755 << 16
        archive.writestr(info, b"")
    found = check_zips([hollow, folders], PY312, [], function=code).findings
    assert [(one.code, one.severity, one.where) for one in found] == [
        ("empty-zip", "error", name) for name in ("hollow.zip", "code.zip")
    ]


def test_what_packages_and_files_call_themselves_is_shown_without_control_characters(tmp_path: Path) -> None:
    files = {f"{SITE}/odd-1.dist-info/METADATA": "Name: odd\x1b[31m\nVersion: 1\nRequires-Dist: no good\n"}
    path = zipped(tmp_path / os.fsdecode(b"\xff\x1b.zip"), files)
    report = check_zips([path], PY312, [])
    assert [one.name for one in report.subjects] == ["\\udcff\\x1b.zip"]
    (found,) = report.findings
    assert found.where == f"\\udcff\\x1b.zip: {SITE}/odd-1.dist-info/METADATA"
    assert found.fix == "ask the authors of odd\\x1b[31m to correct it"
    assert json.dumps(report.as_json(), ensure_ascii=False).isprintable()
    assert sarif([("given", report)])["runs"][0]["results"]


def test_function_code_may_lie_anywhere(tmp_path: Path) -> None:
    code = zipped(tmp_path / "code.zip", {"app/handler.py": "", "README": ""})
    assert check_zips([], PY312, [], function=code).findings == ()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x05\x06" + bytes(17)])
def test_zip_that_is_refused_is_a_finding_with_the_reason(tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(content)
    good = zipped(tmp_path / "good.zip", installed_files("demo 1.0", "gone"))
    report = check_zips([bad, good], PY312, [])
    assert codes(report.errors) == ["archive", "missing-requirement"]
    assert report.errors[0].where == "bad.zip"
    assert not report.errors[0].text.startswith("bad.zip")
    assert report.subjects[0].unzipped == 0


def test_zip_with_a_path_out_of_the_layer_is_refused(tmp_path: Path) -> None:
    bad = zipped(tmp_path / "bad.zip", {"python/../../etc/passwd": "root"})
    (found,) = check_zips([bad], PY312, []).findings
    assert found.code == "archive"
    assert "passwd" in found.text


def test_metadata_that_cannot_be_read_is_named_and_the_package_still_counts(tmp_path: Path) -> None:
    files = installed_files("demo 1.0", "???") | installed_files("other 1.0", "demo>=1")
    (found,) = check_zips([zipped(tmp_path / "one.zip", files)], PY312, []).findings
    assert found.code == "unreadable-metadata"
    assert found.where == f"one.zip: {SITE}/demo-1.0.dist-info/METADATA"


def test_folder_name_helps_out_where_metadata_has_no_name(tmp_path: Path) -> None:
    files = {f"{SITE}/old_style-1.5.dist-info/METADATA": "Metadata-Version: 1.0\n"}
    path = zipped(tmp_path / "one.zip", files | installed_files("other 1.0", "old-style==1.5"))
    assert check_zips([path], PY312, []).findings == ()


def test_real_wheel_laid_out_as_a_layer(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path, "Demo.Thing", "1.0", requires=["six>=1.5", "pyyaml ; extra == 'yaml'"], extras=["yaml"]
    )
    with zipfile.ZipFile(wheel.path) as archive:
        files = {f"{SITE}/{name}": archive.read(name) for name in archive.namelist()}
    (found,) = check_zips([zipped(tmp_path / "one.zip", files)], PY312, []).findings
    assert found.text == "demo-thing 1.0 requires six>=1.5, which neither one.zip nor the runtime has"


def read(name: str, unzipped: int, zipped: int = 1) -> ReadZip:
    member = Member(
        name="python/a", method=0, crc=0, packed=unzipped, size=unzipped, offset=0, executable=False
    )
    return ReadZip(name=name, zipped=zipped, members=(member,))


def test_sizes_are_summed_over_layers_and_code() -> None:
    layer, code = read("layer.zip", 262_143_990), read("code.zip", 9)
    assert [*check_files([layer], [code], PY312)] == []
    (found,) = check_files([layer], [read("code.zip", 10)], PY312)
    assert found.code == "unzipped-limit"
    assert found.text == (
        "262,144,000 bytes unzipped, 1 more than Lambda takes: layer.zip 262,143,990, code.zip 10"
    )


def test_layers_are_counted_and_zips_weighed() -> None:
    layers = [read(f"{number}.zip", 1) for number in range(6)]
    assert codes(check_files(layers, [], PY312)) == ["layer-count"]
    assert codes(check_files(layers[:5], [read("code.zip", 1)], PY312)) == []
    assert codes(check_files([read("a.zip", 1, 52_428_800)], [], PY312)) == []
    assert codes(check_files([read("a.zip", 1, 52_428_801)], [], PY312)) == ["direct-upload"]
