"""Where peers run: a Python of the runtime's version, and an environment for each of them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from peers import CACHES, RUNTIME
from sets import PYTHON

if TYPE_CHECKING:
    from peers import Peer


def runtime_python(uv: str) -> str | None:
    """Return an interpreter of the runtime's minor version, or None if this machine has none to be found.

    A name on the PATH may be a shim that leads nowhere, so each candidate has to say its own version.
    """
    on_path = [Path(folder) / RUNTIME for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [*on_path, *sorted(pyenv.glob(f"{PYTHON}.*/bin/{RUNTIME}"))]
    for candidate in candidates:
        if candidate.exists() and (found := says_version(str(candidate))):
            return found
    managed = subprocess.run(
        [uv, "python", "find", "--managed-python", "--no-python-downloads", PYTHON],
        capture_output=True,
        text=True,
        check=False,
    )
    return says_version(managed.stdout.strip()) if managed.returncode == 0 else None


def says_version(candidate: str) -> str | None:
    """Return the real path of an interpreter if it runs and is of the runtime's minor version."""
    question = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    answer = subprocess.run([candidate, "-c", question], capture_output=True, text=True, check=False)
    version, _, path = answer.stdout.strip().partition(" ")
    return path if answer.returncode == 0 and version == PYTHON else None


def reason_to_leave_out(peer: Peer, python: str | None) -> str | None:
    """Return the line that says why this machine cannot run the peer, with the way out."""
    if peer.needs_zip and not shutil.which("zip"):
        return f"{peer.name} left out: there is no `zip` here (Debian, Ubuntu: apt-get install zip)"
    if peer.needs_runtime and platform.machine() != "x86_64":
        return f"{peer.name} left out: it builds for the machine it runs on, and this one is not x86_64"
    if peer.needs_runtime and python is None:
        return (
            f"{peer.name} left out: no {RUNTIME} on the PATH, with pyenv or uv (uv python install {PYTHON})"
        )
    return None


def environment(peer: Peer, python: str | None, uv: str, cache: Path) -> Path:
    """Return the peer's own virtual environment, made once from the index that the user has configured.

    pip stands in each, since sam and chalice call it: the newest that the peer allows. A new pin of the
    peer is a new folder.
    """
    label = f"py{PYTHON.replace('.', '')}" if python else "host"
    venv = cache / "venvs" / f"{peer.name}-{peer.version}-{label}"
    done = venv / "complete"
    if done.exists() and (venv / "bin" / "python").exists():
        return venv
    base = python or sys.executable
    subprocess.run(
        [uv, "venv", "--quiet", "--clear", "--no-project", "--python", base, str(venv)], check=True
    )
    inside = str(venv / "bin" / "python")
    tools = sorted({"setuptools", "wheel", "pip", peer.requirement})
    subprocess.run([uv, "pip", "install", "--quiet", "--python", inside, *tools], check=True)
    if peer.name == "pex":
        fetch_pex_pip(venv, cache)
    done.touch()
    return venv


def fetch_pex_pip(venv: Path, cache: Path) -> None:
    """Let pex fetch the pip it wants for this Python from the user's index; it keeps that under its root."""
    scratch = cache / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    command = [str(venv / "bin" / "pex3"), "venv", "create", "--use-pip-config", "--no-build", "six==1.17.0"]
    command += ["--python", str(venv / "bin" / "python"), "--dest-dir", str(scratch)]
    subprocess.run(command, env=os.environ | {"PEX_ROOT": str(cache / CACHES / "pex")}, check=True)
    shutil.rmtree(scratch, ignore_errors=True)


def program(name: str) -> str:
    """Return a program of the environment that this runs in, else its bare name for the PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name
