"""Where Lambda calls: the models are loaded once, and each event goes to who understands it."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from model_api import records, web
from model_api.config import Config
from model_api.manager import ModelManager

logger = Logger(service="model-api")

ModelManager.load_models(Config.models)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event of API Gateway, a function URL, SQS or Kinesis. Raises ValueError for any other."""
    if event.get("Records") and event["Records"][0].get("eventSource") in records.SOURCES:
        return records.answer(event, context)
    return web.answer(event, context)
