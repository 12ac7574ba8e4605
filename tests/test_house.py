"""What the repository promises of itself: documents that agree with the code, and what the wheel holds."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from layerkit import errors
from layerkit.cli.publishing import publish
from layerkit.errors import LayerkitError
from layerkit.lock.places import uv_binary
from layerkit.project import config, publishing

ROOT = Path(__file__).parent.parent


def test_the_table_of_exit_codes_is_the_one_of_the_errors() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", (ROOT / "docs" / "exit-codes.md").read_text(), re.MULTILINE)
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LayerkitError)
    ]
    assert {(int(code), name) for code, name in rows} == {(kind.exit_code, kind.__name__) for kind in kinds}


def test_every_key_of_the_configuration_is_documented() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(config._KEYS)


def test_every_option_and_key_of_publishing_is_documented() -> None:
    text = (ROOT / "docs" / "publishing.md").read_text()
    keys = set(
        re.findall(r"`([a-z0-9-]+)`", "".join(re.findall(r"^\| `--[^|]+\| ([^|]*)\|", text, re.MULTILINE)))
    )
    assert keys == set(publishing.KEYS)
    options = {name for one in publish.params for name in one.opts if name.startswith("--")}
    assert options - set(re.findall(r"--[a-z0-9-]+", text)) == {"--json", "--quiet"}


def test_the_commands_of_the_readme_are_there() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"^ +make ([a-z]+)", readme, re.MULTILINE)) == {"layers", "test"}
    assert {"layers", "test", "lint", "bench", "help"} <= targets


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/inputs.md", "docs/publishing.md"]
)
def test_links_and_paths_in_documents_lead_somewhere(name: str) -> None:
    document = ROOT / name
    text = document.read_text()
    targets = [found for found in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in found]
    for target in targets:
        assert (document.parent / target).exists(), target
    for path in re.findall(r"`((?:src|tests|docs|docker|lambda|benchmarks)/[\w./-]*\w)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.integration
def test_the_wheel_of_layerkit_holds_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    command = [uv_binary(), "build", "--wheel", "--quiet", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith("layerkit-")}
    source = ROOT / "src" / "layerkit"
    kept = {"*.py", "*.sh", "*.json", "*.toml", "py.typed"}
    assert names == {
        f"layerkit/{path.relative_to(source).as_posix()}" for glob in kept for path in source.rglob(glob)
    }
