"""Programs of others that tests hand our output to: from the package index, each in a room of its own.

uv keeps them in its cache, so that only the first run on a machine waits for them, and nothing of theirs
meets the libraries that layerkit itself uses.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from layerkit.lock.places import uv_binary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CFN_LINT = "cfn-lint>=1.50,<2"
SCHEMATHESIS = "schemathesis>=4,<5"
AWS_CLI = "awscli>=1.40,<2"
CDK = "aws-cdk-lib>=2.150,<3"


def tool(
    package: str, *command: str, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program that a package brings; its output is kept."""
    return _uv(["tool", "run", "--quiet", "--from", package, *command], folder, environment)


def python_with(package: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python where a package is installed."""
    return _uv(["run", "--quiet", "--no-project", "--with", package, "python", *arguments], folder, None)


def _uv(
    arguments: list[str], folder: Path, environment: Mapping[str, str] | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [uv_binary(), *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
