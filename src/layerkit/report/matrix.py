"""The runtimes and architectures of a project as CI fans out over them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerkit.target import Target


def include(targets: Sequence[Target]) -> dict[str, Any]:
    """Return the matrix as `strategy.matrix` of GitHub Actions takes it: one job for each entry."""
    return {"include": [_entry(one) for one in targets]}


def _entry(one: Target) -> dict[str, str]:
    return {"name": f"{one.short}-{one.arch}", "runtime": one.runtime, "arch": one.arch}


def _text(targets: Sequence[Target]) -> str:
    return "\n".join(f"{one.runtime} {one.arch}" for one in targets)


def _github(targets: Sequence[Target]) -> str:
    """Return it on one line, as an output of a step has to be."""
    return json.dumps(include(targets), separators=(",", ":"))


def _gitlab(targets: Sequence[Target]) -> str:
    """Return a child pipeline with a job for each entry, and one that publishes; JSON is YAML as well."""
    matrix = [{"RUNTIME": one.runtime, "ARCH": one.arch} for one in targets]
    pipeline = {
        "include": [{"local": "/.gitlab/layerkit.yml"}],
        "layers": {"extends": ".layerkit", "parallel": {"matrix": matrix}},
        "publish": {"extends": ".layerkit-publish"},
    }
    return json.dumps(pipeline, indent=2)


FORMS: dict[str, Callable[[Sequence[Target]], str]] = {"text": _text, "github": _github, "gitlab": _gitlab}
