"""The handler: an event in, a layer published, a reply out."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

_HOME = Path(os.environ.get("ADD_MODULE_FOLDER", "/tmp/add-module"))  # noqa: S108 - all that a function has
# What uv and layerkit keep lies where there is room, and nothing is looked for in a home that is not there.
os.environ.setdefault("HOME", str(_HOME))
os.environ.setdefault("LAYERKIT_CACHE", str(_HOME / "store"))
os.environ.setdefault("UV_CACHE_DIR", str(_HOME / "uv"))

from add_module.event import read  # noqa: E402
from add_module.failures import FailedError, said  # noqa: E402
from add_module.making import make  # noqa: E402
from layerkit.errors import LayerkitError  # noqa: E402

logger = logging.getLogger()
logger.setLevel(logging.INFO)
logging.getLogger("botocore").setLevel(logging.WARNING)


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Make a layer of what the event names; the reply is the same whether it is new or was there already."""
    try:
        request = read(event)
        logger.info("asked for %s on %s", ", ".join(request.requirements), request.target.key)
        with ExitStack() as stack:
            stack.callback(_tidy)
            made = make(request, _folder(), stack, str(getattr(context, "invoked_function_arn", "")))
        logger.info("%s", made["Payload"])
    except FailedError as error:
        return _failed(error.code, error.kind, str(error))
    except LayerkitError as error:
        return _failed(FailedError.code, FailedError.kind, said(error))
    except Exception as error:
        logger.exception("this should not happen")
        return _failed(FailedError.code, FailedError.kind, f"{type(error).__name__}: {error}")
    return {"StatusCode": 200, **made}


def _failed(code: int, kind: str, text: str) -> dict[str, Any]:
    """Return the reply for a failure, and log it."""
    logger.error("%s", text)
    return {"StatusCode": code, "FunctionError": kind, "Payload": text}


def _folder() -> Path:
    """Return an empty folder to work in; what a run left that was killed is taken away."""
    folder = _HOME / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _tidy() -> None:
    """Leave the next invocation of this environment all of /tmp but what uv knows of the index."""
    for name in ("work", "store"):
        shutil.rmtree(_HOME / name, ignore_errors=True)
