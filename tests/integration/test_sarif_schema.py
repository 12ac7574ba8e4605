"""SARIF by the schema of its standard, which comes with Microsoft's own tool from npm."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for

from layerkit.check.findings import CODES, Subject, finding, report
from layerkit.project.specs import CheckRules
from layerkit.report.sarif import sarif

PACKAGE = "@microsoft/sarif-multitool-linux@5.7.0"
SCHEMA = "sarif-2.1.0.json"
ZIPS = [Subject(name=name, zipped=1, unzipped=1, packages=0) for name in ("dist/a b.zip", "ü.zip")]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the schema; it is kept beside the tools, for the package around it has 44 MB."""
    kept = Path(sys.prefix) / SCHEMA
    if not kept.is_file():
        npm = shutil.which("npm") or pytest.skip("the schema comes by npm, which is not here")
        folder = tmp_path_factory.mktemp("npm")
        subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (packed,) = folder.glob("*.tgz")
        with tarfile.open(packed) as archive:
            found = archive.extractfile(f"package/{SCHEMA}")
            assert found is not None
            kept.write_bytes(found.read())
        packed.unlink()
    document: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return document


def test_every_code_and_what_is_passed_over(standard: dict[str, Any]) -> None:
    found = [finding(code, f"{one.name}: python/x.so", "what", "do") for code in CODES for one in ZIPS]
    mixed = report("python3.12-x86_64", ZIPS, [*found, finding("layer-count", "the stack", "6 layers", "")])
    ruled = mixed.under(CheckRules(ignore=frozenset({"pth-runs", "layer-count"})))
    document = sarif([("api", ruled), ("fine", report("python3.12-arm64", ZIPS, []))])
    validator = validator_for(standard)(standard)
    assert list(validator.iter_errors(document)) == []
    assert len(document["runs"][0]["results"]) == 2 * len(CODES) + 1
    # The schema is one that says no.
    document["runs"][0]["results"][0]["level"] = "grave"
    assert [list(error.path)[-1] for error in validator.iter_errors(document)] == ["level"]
