"""The five sets of packages that are built, as exact pins, and the wheels they stand for.

A set is its roots, written here, and the closure of them, written in sets/<set>.txt by `bench.py --repin`.
The pins hold for one target: python3.12 on x86_64 with glibc 2.34, a Lambda runtime of today.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent / "sets"
PYTHON = "3.12"
UV_PLATFORM = "x86_64-manylinux_2_34"
GLIBC_MINORS = range(34, 4, -1)
LEGACY_PLATFORMS = ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64")

ROOTS = {
    "data": "numpy pandas scipy scikit-learn",
    "web": "fastapi pydantic mangum httpx",
    "sdk": "boto3 requests aws-lambda-powertools pyyaml cryptography",
    "big": "pyarrow pandas s3fs fastparquet",
    # Pure packages that many projects know, none of which brings a compiled one along.
    "many": """
        arrow asgiref attrs babel beautifulsoup4 blinker boltons bottle cachetools cattrs click
        cloudpickle colorama croniter decorator defusedxml distro dnspython docutils email-validator
        filelock fsspec httpx humanize idna inflection iso8601 isodate itsdangerous jsonpointer loguru
        markdown marshmallow mistune more-itertools natsort networkx oauthlib packaging pathspec
        platformdirs pluggy ply prometheus-client pyasn1 pycparser pygments pyjwt pyparsing
        python-dateutil python-dotenv pytz rich semver six sortedcontainers soupsieve sqlparse
        structlog tabulate tenacity tomli-w tomlkit toolz tqdm typing-extensions tzdata tzlocal
        uritemplate urllib3 voluptuous websocket-client xmltodict zipp
    """,
}


# A set has to work beside the SDK that the runtime brings, whose botocore takes no later python-dateutil.
CONSTRAINTS = ("python-dateutil<3",)


def pins_file(name: str) -> Path:
    """Return the file that holds the closure of the set `name`."""
    return FOLDER / f"{name}.txt"


def pins(name: str) -> tuple[str, ...]:
    """Return the closure of the set `name` as `package==version` lines."""
    return tuple(pins_file(name).read_text().split())


def brings_sdk(name: str) -> bool:
    """Tell whether the set holds what the runtime itself brings, so that layerkit would leave it out."""
    return any(pin.startswith(("boto3==", "botocore==")) for pin in pins(name))


def repin(name: str, uv: str) -> None:
    """Resolve the roots of the set anew; uv asks the index that the user has configured."""
    limits = pins_file(name).with_suffix(".constraints")
    limits.write_text("\n".join(CONSTRAINTS))
    command = [uv, "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate", "--upgrade"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--only-binary", ":all:"]
    command += ["--python-version", PYTHON, "--python-platform", UV_PLATFORM]
    command += ["--constraints", str(limits)]
    roots = "\n".join(ROOTS[name].split())
    try:
        solved = subprocess.run(command, input=roots, stdout=subprocess.PIPE, text=True, check=True).stdout
    finally:
        limits.unlink()
    pins_file(name).write_text(solved)


def wheelhouse(name: str, cache: Path, pip: Path) -> Path:
    """Return a folder with the wheels of the set, downloaded once by the interpreter `pip` for the target.

    The tags are spelled out, so that the wheels are the runtime's and not this machine's.
    """
    digest = hashlib.sha256(pins_file(name).read_bytes()).hexdigest()[:12]
    folder = cache / "wheels" / f"{name}-{digest}"
    if folder.exists():
        return folder
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = [str(pip), "-m", "pip", "download", "-qqq", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--abi", "cp312"]
    for platform in (*(f"manylinux_2_{minor}_x86_64" for minor in GLIBC_MINORS), *LEGACY_PLATFORMS):
        command += ["--platform", platform]
    command += ["--dest", str(part), "--requirement", str(pins_file(name))]
    subprocess.run(command, check=True)
    part.rename(folder)
    return folder
