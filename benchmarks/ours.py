"""How layerkit itself is run: a project for each set, warm, first and unchanged."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from figures import FIRST, FLOOR, OURS, PLAIN, SDK_DEFAULT, UNCHANGED, VERSION
from measure import Job, Step
from sets import brings_sdk, pins

LAMBDA = Path(__file__).parent.parent / "lambda"
KEPT = ".layerkit"

PROJECT = """\
[project]
name = "bench-{name}"
version = "1.0.0"

[tool.layerkit]
runtimes = ["python3.12"]
architectures = ["x86_64"]
sdk = "{sdk}"
{more}"""

LAYER = """\
layers.{layer} = {roots}
functions.{layer}.layers = ["{layer}"]
"""

# A set that is more than one function may hold is shared out to two functions: these packages, and the rest.
APART = {"big": ("pyarrow",)}


def layers(name: str) -> dict[str, list[str]]:
    """Return the layers that a set becomes, each the only one of a function, by name with their pins."""
    apart = [pin for pin in pins(name) if pin.partition("==")[0] in APART.get(name, ())]
    rest = [pin for pin in pins(name) if pin not in apart]
    return {name: rest} | ({f"{name}-apart": apart} if apart else {})


def project(folder: Path, name: str, sdk: str, more: str = "") -> Path:
    """Write the project of a set, if it is not there yet: its lock stands beside it and is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    text = PROJECT.format(name=name, sdk=sdk, more=more)
    text += "".join(LAYER.format(layer=layer, roots=json.dumps(some)) for layer, some in layers(name).items())
    file = folder / "pyproject.toml"
    if not file.exists() or file.read_text() != text:
        file.write_text(text)
    return folder


def env(store: Path) -> dict[str, str]:
    """Return the user's environment with a store of the benchmark's own."""
    return {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"} | {
        "LAYERKIT_CACHE": str(store)
    }


def floor(folder: Path, wheels: Path) -> Job:
    """`cat` of the wheels of a set into one file: what it costs to move the bytes at all."""
    sources = tuple(str(wheel) for wheel in sorted(wheels.glob("*.whl")))
    step = Step(argv=("cat", *sources), stdout=folder / "wheels.cat")
    return Job(cwd=folder, env=dict(os.environ), rows={FLOOR: (step,)})


def builds(cache: Path, layerkit: str, name: str) -> list[Job]:
    """Return the warm build, the first one from wheels on disk, and warm ones without bytecode or the SDK.

    Each set has a store of its own, so that emptying its prepared wheels makes no other set cold.
    """
    brought = "bundle" if brings_sdk(name) else "auto"
    bundle = project(cache / "projects" / name, name, brought)
    store = cache / "stores" / name
    step = (Step(argv=(layerkit, "build")),)
    out = bundle / "dist"
    product = "dist/layers/python3.12-x86_64/*.zip"
    jobs = [
        Job(cwd=bundle, env=env(store), rows={OURS: step}, clean=(out,), products={OURS: product}),
        Job(cwd=bundle, env=env(store), rows={FIRST: step}, clean=(out, store / "prepared")),
    ]
    plain = project(cache / "projects" / f"{name}-plain", name, brought, "bytecode = false\n")
    store = cache / "stores" / f"{name}-plain"
    clean = (plain / "dist",)
    jobs.append(Job(cwd=plain, env=env(store), rows={PLAIN: step}, clean=clean, products={PLAIN: product}))
    if brings_sdk(name):
        auto = project(cache / "projects" / f"{name}-sdk", name, "auto")
        store = cache / "stores" / f"{name}-sdk"
        jobs.append(Job(cwd=auto, env=env(store), rows={SDK_DEFAULT: step}, clean=(auto / "dist",)))
    return jobs


def unchanged(cache: Path, layerkit: str) -> Job:
    """Return the build of a copy of the repository's lambda/ where everything is in place already."""
    copy = cache / "projects" / "lambda"
    copy.mkdir(parents=True, exist_ok=True)
    for path in copy.iterdir():
        if path.name not in (KEPT, "dist"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    ignored = shutil.ignore_patterns(KEPT, "dist", "__pycache__")
    shutil.copytree(LAMBDA, copy, dirs_exist_ok=True, ignore=ignored)
    return Job(
        cwd=copy, env=env(cache / "stores" / "lambda"), rows={UNCHANGED: (Step(argv=(layerkit, "build")),)}
    )


def version(cache: Path, layerkit: str) -> Job:
    """Return the shortest thing that layerkit can do."""
    return Job(
        cwd=cache, env=env(cache / "stores" / "lambda"), rows={VERSION: (Step(argv=(layerkit, "--version")),)}
    )
