"""What the tools that deploy the functions of lambda/ say of their files: `make deployments`.

SAM's own linter reads both templates; Serverless 3, from npm, packs both services with the zips that `make
layers` wrote. Serverless asks CloudFormation whether a stack is there, so moto's proxy answers for AWS.
Exit code 1 when one of them refuses.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from layerkit.lock.places import uv_binary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
FOLDERS = (ROOT / "lambda", ROOT / "lambda" / "add_module")
SAM = "aws-sam-cli>=1.130,<2"
SERVERLESS = "serverless@3"
AWS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-west-1"}


def run(*command: str | Path, folder: Path = ROOT, more: Mapping[str, str] | None = None) -> str:
    """Run a program and return what it said; leave with its words where it fails."""
    environment = {**os.environ, **AWS, **(more or {})}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} in {folder.name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def export() -> None:
    """Write the references to the layers of lambda/, for both tools."""
    layerkit = Path(sys.executable).with_name("layerkit")
    for form, name in (("sam", "layers-sam.yaml"), ("serverless", "layers-serverless.yml")):
        to = ("--format", form, "--to", str(ROOT / "lambda" / name))
        run(layerkit, "export", "--project", "lambda", *to)


def serverless() -> Path:
    """Return Serverless' program; npm puts it into .venv."""
    home = ROOT / ".venv" / "serverless"
    program = home / "node_modules" / ".bin" / "serverless"
    if not program.exists():
        npm = shutil.which("npm") or sys.exit("Serverless comes by npm, which is not here: install nodejs")
        run(npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", home, SERVERLESS)
    return program


@contextmanager
def aws() -> Iterator[str]:
    """Give the address of a proxy that answers for AWS."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    command = [str(Path(sys.executable).with_name("moto_proxy")), "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as proxy:
        try:
            for _ in range(100):
                with socket.socket() as one:
                    if one.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            proxy.terminate()


def pack(folder: Path, program: Path, proxy: str) -> str:
    """Have Serverless pack a service, and return the zips that its functions and layers would upload."""
    more = {"HTTPS_PROXY": proxy, "NODE_TLS_REJECT_UNAUTHORIZED": "0", "SLS_TELEMETRY_DISABLED": "1"}
    with tempfile.TemporaryDirectory() as out:
        run(program, "package", "--package", out, folder=folder, more=more)
        state = json.loads(Path(out, "serverless-state.json").read_text())["service"]
    units = [*state["functions"].values(), *state["initialServerlessConfig"]["layers"].values()]
    zips = sorted({Path(one["package"]["artifact"]).name for one in units})
    return ", ".join(zips)


def main() -> None:
    """Ask both tools about both folders."""
    export()
    for folder in FOLDERS:
        validate = ("sam", "validate", "--lint", "--template", "template.yaml")
        run(uv_binary(), "tool", "run", "--quiet", "--from", SAM, *validate, folder=folder)
        print(f"sam validate --lint: {folder.name} is valid", flush=True)
    program = serverless()
    with aws() as proxy:
        for folder in FOLDERS:
            print(f"serverless package: {folder.name}: {pack(folder, program, proxy)}", flush=True)


if __name__ == "__main__":
    main()
