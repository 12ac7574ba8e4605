"""Our check against pip's own: the same packages on disk, the same verdict on each requirement."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layerkit.check import Installed, check_stack
from layerkit.metadata import dependencies, parse
from layerkit.target import runtimes, target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def pip_says(folder: Path, interpreter: Path) -> set[tuple[str, str]]:
    """Run pip's own check over a folder; return (who requires, what is required)."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(interpreter), "--disable-pip-version-check", "check"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    said = set()
    for line in done.stdout.splitlines():
        if line == "No broken requirements found.":
            continue
        found = re.fullmatch(
            r"(\S+) \S+ (?:requires|has requirement) ([\w.-]+?)(?:[\[<>=!~;].*?)?, (?:which is|but you) .*",
            line,
        )
        assert found, line
        said.add((found[1].lower(), found[2].lower()))
    assert bool(said) == bool(done.returncode)
    return said


def we_say(folder: Path) -> set[tuple[str, str]]:
    """Run our check over the same folder, for the target that the interpreter of the tests is like."""
    here = target(f"{sys.version_info.major}.{sys.version_info.minor}")
    stack = []
    for path in sorted(folder.glob("*.dist-info/METADATA")):
        metadata = parse(path.read_bytes())
        needs = dependencies(metadata, here)
        stack.append(
            Installed(name=metadata.name.lower(), version=metadata.version, requires=needs, layer="it")
        )
    found = [each for each in check_stack(stack, []) if each.severity == "error"]
    pairs = (re.match(r"(\S+) \S+ requires ([\w.-]+?)(?:[<>=!~].*)?[ ,]", each.text) for each in found)
    return {(pair[1], pair[2]) for pair in pairs if pair}


def install(folder: Path, packages: Mapping[str, Sequence[str]]) -> Path:
    """Make the dist-info folders of `name version` -> Requires-Dist lines."""
    for text, requires in packages.items():
        name, _, version = text.partition(" ")
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {need}" for need in requires]
        lines += ["Provides-Extra: x"]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def bare_interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing in it, not even pip."""
    folder = tmp_path_factory.mktemp("bare") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


# Each group of packages shows one rule; together they are one environment, so that pip runs once.
ENVIRONMENT = {
    "clean 1.0": ["clean-base>=1,<2"],
    "clean-base 1.5": [],
    "lonely 1.0": ["nobody", "nobody-either>=2"],
    "narrow 1.0": ["wide<2"],
    "wide 2.1": [],
    "early 1.0": ["release>=2.0"],
    "early-ok 1.0": ["release>=1.9"],
    "release 2.0rc1": [],
    "local 1.0": ["patched==3.0", "patched<3.0"],
    "patched 3.0+cuda": [],
    "compatible 1.0": ["stepped~=1.4", "stepped~=1.4.2"],
    "stepped 1.5.0": [],
    "excluded 1.0": ["blocked!=1.1,>=1"],
    "blocked 1.1": [],
    "wild 1.0": ["starred==2.*", "starred!=3.*"],
    "starred 3.1": [],
    "exact 1.0": ["written===1.0", "written===1.0.0"],
    "written 1.0": [],
    "epoch 1.0": ["era<2"],
    "era 1!0.1": [],
    "posted 1.0": ["after>1.0"],
    "after 1.0.post1": [],
    "devel 1.0": ["unripe>=1.0.dev2"],
    "unripe 1.0.dev1": [],
    "marked 1.0": [
        "not-here ; python_version < '3'",
        "gone-too ; sys_platform == 'win32'",
        "really-missing ; python_version >= '3'",
        "needs-extra ; extra == 'x'",
    ],
    "asks 1.0": ["marked[x]"],
    "one 1.0": ["two>1"],
    "two 1.0": ["one>1"],
}


like_a_runtime = pytest.mark.skipif(
    f"python3.{sys.version_info.minor}" not in runtimes(), reason="no runtime is like this interpreter"
)


@like_a_runtime
def test_same_verdict_as_pip_check_on_one_environment_of_every_rule(
    tmp_path: Path, bare_interpreter: Path
) -> None:
    install(tmp_path, ENVIRONMENT)
    said = pip_says(tmp_path, bare_interpreter)
    assert ("lonely", "nobody-either") in said
    assert ("marked", "really-missing") in said
    assert len(said) > 10
    assert we_say(tmp_path) == said


@like_a_runtime
def test_no_fault_where_pip_check_finds_none(tmp_path: Path, bare_interpreter: Path) -> None:
    install(tmp_path, {"clean 1.0": ["clean-base>=1,<2"], "clean-base 1.5": [], "free 1.0": ["clean"]})
    assert pip_says(tmp_path, bare_interpreter) == set()
    assert we_say(tmp_path) == set()


@like_a_runtime
@pytest.mark.parametrize("seed", range(3))
def test_same_verdict_as_pip_check_on_random_environments(
    seed: int, tmp_path: Path, bare_interpreter: Path
) -> None:
    choose = random.Random(seed)  # noqa: S311 - nothing secret, and the same packages each time
    versions = ["0.9", "1.0", "1.0.post1", "1.1rc1", "1.1", "2.0.dev3", "2.0", "1!0.5", "2.0+local"]
    operators = ["==", "!=", "<", "<=", ">", ">=", "~="]
    plain = [version for version in versions if "+" not in version]

    def specifier() -> str:
        many = choose.randint(0, 2)
        return ",".join(choose.choice(operators) + choose.choice(plain) for _ in range(many)).replace(
            "~=1!0.5", ""
        )

    names = [f"p{number}" for number in range(60)]
    packages = {
        f"{name} {choose.choice(versions)}": [
            choose.choice(names) + specifier().strip(",") for _ in range(choose.randint(0, 4))
        ]
        for name in names[:50]
    }
    install(tmp_path, packages)
    said = pip_says(tmp_path, bare_interpreter)
    assert len(said) > 20
    assert we_say(tmp_path) == said
