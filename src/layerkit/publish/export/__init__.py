"""References for other tools: to the zips that were built, or to the versions that were published.

Every format is a pure function from references to text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.publish.export.cdk import cdk
from layerkit.publish.export.cloudformation import cloudformation, copies, sam
from layerkit.publish.export.plain import document, ssm
from layerkit.publish.export.references import References, built, published
from layerkit.publish.export.serverless import serverless
from layerkit.publish.export.terraform import terraform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FORMATS", "References", "built", "copies", "published"]

FORMATS: Mapping[str, Callable[[References], str]] = {
    "sam": sam,
    "cloudformation": cloudformation,
    "cdk": cdk,
    "terraform": terraform,
    "serverless": serverless,
    "json": document,
    "ssm": ssm,
}
