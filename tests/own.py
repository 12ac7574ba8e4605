"""Small projects that build themselves into wheels without any index, and what a command leaves of them.

The build backend lies in the project's folder. Its wheel holds every `.py` file of the folder `src`; what
the wheel requires is in a file `requires.txt` of its own, which no reader of projects knows. Every build
adds a line to the file that the environment names as BUILDS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_BUILD_SYSTEM = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
_BACKEND = """
import base64, hashlib, os, pathlib, zipfile

NAME, VERSION = "{name}", "{version}"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    if "BUILDS" in os.environ:
        with open(os.environ["BUILDS"], "a") as log:
            log.write(NAME + "\\n")
    stem = NAME.replace("-", "_") + "-" + VERSION
    info = stem + ".dist-info"
    about = f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n"
    for line in pathlib.Path("requires.txt").read_text().splitlines():
        about += f"Requires-Dist: {{line}}\\n"
    tags = "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files = {{path.name: path.read_bytes() for path in sorted(pathlib.Path("src").glob("*.py"))}}
    files |= {{f"{{info}}/METADATA": about.encode(), f"{{info}}/WHEEL": tags.encode()}}
    rows = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"{{name}},sha256={{digest}},{{len(content)}}\\n")
    files[f"{{info}}/RECORD"] = "".join([*rows, f"{{info}}/RECORD,,\\n"]).encode()
    name = stem + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for member, content in files.items():
            wheel.writestr(zipfile.ZipInfo(member), content)
    return name
"""


def own_project(
    folder: Path,
    name: str,
    *,
    version: str = "1.0",
    requires: Iterable[str] = (),
    pyproject: str = "",
    files: Mapping[str, str] | None = None,
) -> Path:
    """Lay down a project of that name and return its folder.

    `requires` is what its wheel will require, `pyproject` follows the name and version in [project].
    """
    (folder / "src").mkdir(parents=True)
    for path, text in (files or {f"{name.replace('-', '_')}.py": "VALUE = 1\n"}).items():
        (folder / "src" / path).write_text(text)
    (folder / "requires.txt").write_text("".join(f"{line}\n" for line in requires))
    (folder / "backend.py").write_text(_BACKEND.format(name=name, version=version))
    head = f'[project]\nname = "{name}"\nversion = "{version}"\n'
    (folder / "pyproject.toml").write_text(f"{head}{pyproject}\n{_BUILD_SYSTEM}")
    return folder


def tree_of_bytes(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
