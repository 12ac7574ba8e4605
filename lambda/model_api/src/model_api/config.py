"""What the service is made of: the models in it, and what the environment says about their files."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar


class Config:
    """The models that are loaded, each by the module and the class it is in."""

    models: ClassVar[list[dict[str, str]]] = [
        {"module_name": "model_api.iris", "class_name": "IrisModel"},
    ]


def model_file(qualified_name: str) -> dict[str, Any]:
    """Return where the file of a model is to be had, from MODEL_FILES in the environment.

    That is JSON, `{"iris_model": {"bucket": ..., "key": ..., "sha256": ...}}`; a model that it does not
    name comes with the package. Raises ValueError for anything else.
    """
    text = os.environ.get("MODEL_FILES", "{}")
    try:
        found = json.loads(text).get(qualified_name, {})
    except (ValueError, AttributeError) as error:
        message = f"MODEL_FILES is not a JSON object: {error}"
        raise ValueError(message) from error
    if found and set(found) != {"bucket", "key", "sha256"}:
        message = f"MODEL_FILES: {qualified_name} needs bucket, key and sha256, and nothing else"
        raise ValueError(message)
    return dict(found)


def features_bucket() -> str | None:
    """Return the bucket that features may be read from; None where the service reads none."""
    return os.environ.get("FEATURES_BUCKET")


def results_queue() -> str | None:
    """Return the address of the queue that predictions for records go to; None where there is none."""
    return os.environ.get("RESULTS_QUEUE_URL")


def endpoint(service: str) -> str | None:
    """Return where the environment leads a service of AWS; the SDK of older runtimes does not look there."""
    return os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or os.environ.get("AWS_ENDPOINT_URL")
