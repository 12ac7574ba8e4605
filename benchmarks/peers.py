"""The tools that layerkit is measured against, each as its users run it, each in its own environment.

All of them get the same pins and the same wheels, from an index on this machine, with their caches filled by
a run that is not timed. None writes bytecode but pip, which is therefore run in both ways.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from msgspec import Struct

from index import HOST
from measure import Job, Step
from sets import PYTHON, UV_PLATFORM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUNTIME = f"python{PYTHON}"
CACHES = "caches"  # of all peers, below the benchmark's folder

SAM_TEMPLATE = f"""\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Layer:
    Type: AWS::Serverless::LayerVersion
    Properties:
      ContentUri: layer
      CompatibleRuntimes: [{RUNTIME}]
    Metadata:
      BuildMethod: {RUNTIME}
"""

CHALICE_APP = """\
from chalice import Chalice

app = Chalice(app_name="bench")


@app.lambda_function()
def handler(event, context):
    return {}
"""

CHALICE_CONFIG = {"version": "2.0", "app_name": "bench", "automatic_layer": True, "stages": {"dev": {}}}


class Place(Struct, frozen=True, kw_only=True):
    """Where a peer builds a set: work folder, pins, address of the index, caches, environment."""

    work: Path
    pins: Path
    index: str
    cache: Path
    venv: Path

    @property
    def python(self) -> str:
        """The interpreter of the peer's environment."""
        return str(self.venv / "bin" / "python")

    def tool(self, name: str) -> str:
        """Return the path of a program of the peer's environment."""
        return str(self.venv / "bin" / name)

    def env(self, **more: str) -> dict[str, str]:
        """Return the process environment: the user's own settings for installers are set aside."""
        aside = ("PIP_", "UV_", "PEX_", "PYTHON", "VIRTUAL_ENV", "AWS_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(aside)}
        ours = {
            "PATH": f"{self.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "NO_PROXY": HOST,
            "no_proxy": HOST,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": self.index,
            "PIP_TRUSTED_HOST": HOST,  # pip caches nothing from a plain http address that it does not trust
            "PIP_CACHE_DIR": str(self.cache / "pip"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return kept | ours | more


class Peer(Struct, frozen=True, kw_only=True):
    """A tool: what to install, what its rows are called, and how it is run for a set."""

    name: str
    requirement: str
    rows: dict[str, str]
    job: Callable[[Place], Job]
    needs_zip: bool = False
    needs_runtime: bool = True  # the runtime's own Python on an x86_64 machine

    @property
    def version(self) -> str:
        """The version that is pinned, as the table shows it."""
        return self.requirement.partition("==")[2]


def zip_up(folder: Path, *level: str) -> Step:
    """Zip python/ in `folder` as a user does: zip stores names as they are given, hence the cd."""
    name = f"layer{''.join(level)}.zip"
    command = 'cd "$0" && exec zip -q -r "$@"'
    return Step(argv=("sh", "-c", command, str(folder), *level, name, "python"))


def uv_job(place: Place) -> Job:
    """`uv pip install --target`, then zip."""
    out = place.work / "out"
    install = [place.tool("uv"), "pip", "install", "--quiet", "--no-config", "--python", place.python]
    install += ["--default-index", place.index, "--target", "out/python", "--only-binary", ":all:"]
    install += ["--python-platform", UV_PLATFORM, "--python-version", PYTHON, "-r", str(place.pins)]
    return Job(
        cwd=place.work,
        env=place.env(UV_CACHE_DIR=str(place.cache / "uv")),
        shared=(Step(argv=tuple(install)),),
        rows={"uv+zip": (zip_up(out),), "uv+zip9": (zip_up(out, "-9"),)},
        clean=(place.work / "out",),
        products={"uv+zip": "out/layer.zip", "uv+zip9": "out/layer-9.zip"},
    )


def pip_job(place: Place) -> Job:
    """`pip install --target` as it is, then zip -9; and without bytecode, like all others, then zip."""
    install = [place.python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
    install += ["--requirement", str(place.pins), "--target"]
    plain, bare = place.work / "out" / "plain", place.work / "out" / "bare"
    return Job(
        cwd=place.work,
        env=place.env(),
        rows={
            "pip+zip9": (Step(argv=(*install, str(plain / "python"))), zip_up(plain, "-9")),
            "pip-nc+zip": (Step(argv=(*install, str(bare / "python"), "--no-compile")), zip_up(bare)),
        },
        clean=(place.work / "out",),
        products={"pip+zip9": "out/plain/layer-9.zip", "pip-nc+zip": "out/bare/layer.zip"},
    )


def sam_job(place: Place) -> Job:
    """`sam build` of a layer: it ends at a folder, the zip would come on top."""
    layer = place.work / "layer"
    layer.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(place.pins, layer / "requirements.txt")
    (place.work / "template.yaml").write_text(SAM_TEMPLATE)
    command = (place.tool("sam"), "build", "--no-cached", "--build-dir", "out")
    return Job(
        cwd=place.work,
        env=place.env(SAM_CLI_TELEMETRY="0", __SAM_CLI_APP_DIR=str(place.cache / "sam")),
        rows={"sam": (Step(argv=command),)},
        clean=(place.work / "out",),
        products={"sam": "out/Layer/python"},
    )


def pex_job(place: Place) -> Job:
    """`pex3 venv create --layout flat-zipped`, which is also how Pants makes Lambda zips."""
    create = [place.tool("pex3"), "venv", "create", "--layout", "flat-zipped", "--prefix", "python"]
    create += ["--dest-dir", "out", "--python", place.python, "--no-build", "--no-pypi"]
    create += ["--use-pip-config", "--index", place.index, "--requirement", str(place.pins)]
    return Job(
        cwd=place.work,
        env=place.env(PEX_ROOT=str(place.cache / "pex")),
        rows={"pex": (Step(argv=tuple(create)),)},
        clean=(place.work / "out",),
        products={"pex": "out.zip"},
    )


def chalice_job(place: Place) -> Job:
    """`chalice package` of an empty function with its requirements in the automatic layer."""
    (place.work / ".chalice").mkdir(parents=True, exist_ok=True)
    (place.work / ".chalice" / "config.json").write_text(json.dumps(CHALICE_CONFIG))
    (place.work / "app.py").write_text(CHALICE_APP)
    shutil.copyfile(place.pins, place.work / "requirements.txt")
    return Job(
        cwd=place.work,
        env=place.env(),
        rows={"chalice": (Step(argv=(place.tool("chalice"), "package", "out")),)},
        clean=(place.work / "out", place.work / ".chalice" / "deployments"),
        products={"chalice": "out/layer-deployment.zip"},
    )


PEERS = (
    Peer(
        name="uv",
        requirement="uv==0.13.8",
        rows={"uv+zip": "uv pip install + zip -r", "uv+zip9": "uv pip install + zip -r -9"},
        job=uv_job,
        needs_zip=True,
        needs_runtime=False,
    ),
    Peer(
        name="pip",
        requirement="pip==26.3",
        rows={
            "pip+zip9": "pip install -t + zip -r -9",
            "pip-nc+zip": "pip install -t --no-compile + zip -r",
        },
        job=pip_job,
        needs_zip=True,
    ),
    Peer(name="sam", requirement="aws-sam-cli==1.170.0", rows={"sam": "sam build (no zip)"}, job=sam_job),
    Peer(name="pex", requirement="pex==2.105.2", rows={"pex": "pex3 venv create, flat-zipped"}, job=pex_job),
    Peer(
        name="chalice",
        requirement="chalice==1.34.0",
        rows={"chalice": "chalice package, automatic layer"},
        job=chalice_job,
    ),
)
