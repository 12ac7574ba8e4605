"""The values of an invocation: what Lambda is told of a function, and what came of an event."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from layerkit.container.stage import MIB, Limits, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layerkit.target import Target

REGION = "us-east-1"
HANDLER = "lambda_function.lambda_handler"  # what Lambda's console proposes
# What Lambda gives a function that asks for nothing: 3 seconds, 128 MiB, and 512 MiB of /tmp.
DEFAULT_LIMITS = Limits(timeout=3.0, memory=128 * MIB, tmp=512 * MIB)
_OWN = "layerkit"


class Function(Struct, frozen=True, kw_only=True):
    """A function as its configuration has it. `environment` are its own variables, above Lambda's."""

    target: Target
    name: str = "function"
    handler: str = HANDLER
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS

    @property
    def region(self) -> str:
        """Return the region that the function believes to be in."""
        return self.environment.get("AWS_REGION", REGION)

    @property
    def arn(self) -> str:
        """Return a name as AWS gives it; the account is AWS's example of one."""
        return f"arn:aws:lambda:{self.region}:123456789012:function:{self.name}"

    def variables(self, api: str = "") -> dict[str, str]:
        """Return the environment of the function's process; `api` is the address of the Runtime API."""
        lambdas = {
            **environment(self.target, self.limits),
            "_HANDLER": self.handler,
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{_OWN}/[$LATEST]",
            "AWS_LAMBDA_LOG_FORMAT": "Text",
        }
        more = {"AWS_LAMBDA_RUNTIME_API": api} if api else {}
        return {**lambdas, **self.environment, **more}


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of one event.

    `payload` is what the caller of Lambda would get, JSON: the handler's answer or an error document.
    `error` is the type of that error, None where all went well; `status` is success, error or timeout.
    `init` are the seconds of the start, where this event started an environment; `seconds` those of the
    handler; `memory` the most bytes used since the start, None where nobody could say.
    """

    request: str
    payload: bytes
    seconds: float
    memory: int | None
    error: str | None = None
    status: str = "success"
    init: float | None = None
    log: str = ""

    @property
    def billed(self) -> int:
        """Return the milliseconds that Lambda bills: the start counts, since August 2025."""
        return math.ceil((self.seconds + (self.init or 0.0)) * 1000)

    def report(self, function: Function) -> str:
        """Return the REPORT line as the logs of Lambda have it."""
        size = function.limits.memory // MIB
        parts = [
            f"REPORT RequestId: {self.request}",
            f"Duration: {self.seconds * 1000:.2f} ms",
            f"Billed Duration: {self.billed} ms",
            f"Memory Size: {size} MB",
        ]
        if self.memory is not None:
            parts.append(f"Max Memory Used: {min(math.ceil(self.memory / MIB), size)} MB")
        if self.init is not None:
            parts.append(f"Init Duration: {self.init * 1000:.2f} ms")
        if self.status == "timeout":
            parts.append("Status: timeout")
        elif self.error and self.error.startswith(("Runtime.", "Function.")):
            parts.append(f"Status: error\tError Type: {self.error}")
        return "\t".join(parts)

    def as_json(self, event: str) -> dict[str, Any]:
        """Return the shape that `invoke --json` prints for an event that came from `event`."""
        return {
            "event": event,
            "request_id": self.request,
            "status": self.status,
            "error_type": self.error,
            "payload": json.loads(self.payload),
            "init_ms": None if self.init is None else round(self.init * 1000, 2),
            "duration_ms": round(self.seconds * 1000, 2),
            "billed_ms": self.billed,
            "memory_used": self.memory,
            "log": self.log,
        }


def failed(request: str, kind: str, text: str) -> bytes:
    """Return the document of an error that the function could not tell of itself."""
    return json.dumps({"errorType": kind, "errorMessage": f"RequestId: {request} Error: {text}"}).encode()


class Folders(Struct, frozen=True, kw_only=True):
    """Where a function's things lie on this machine.

    `opt` holds its layers, `task` its code, `runtime` awslambdaric, `packages` what the interpreter has
    beside its standard library on Lambda; `python` is an interpreter of the runtime's version. `tmp` is a
    folder that is its /tmp; without one /tmp is in memory, of the size that the function has.
    """

    opt: Path
    task: Path
    runtime: Path
    packages: Path
    python: Path
    tmp: Path | None = None
