"""What a build leaves: where it lies, and who reads it. That it may be absent: test_inspection.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from layerkit.built import manifest_path
from layerkit.target import target
from projects import project


def test_the_manifest_lies_beside_its_zips_under_the_name_of_all_three() -> None:
    path = manifest_path(project(Path("/project"), {"base": ["lib"]}), target("py39", "arm64"))
    assert path == Path("/project/dist/layers/python3.9-arm64/py39-demo-1.0.json")


def test_who_publishes_imports_nothing_of_building() -> None:
    said = "import sys, layerkit.publish.settings; sys.exit('layerkit.build' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], check=False).returncode == 0
