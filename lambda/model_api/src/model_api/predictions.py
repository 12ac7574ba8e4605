"""Predictions, whoever asks for them: from what was sent, or from features in S3."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from model_api.errors import SchemaError
from model_api.files import features
from model_api.manager import ModelManager


def predict(qualified_name: str, observation: Any) -> dict[str, Any]:
    """Return the prediction for one observation, as it was parsed from JSON.

    Raises NotFoundError for a model that is not there, SchemaError for what it does not take.
    """
    model = ModelManager.get_model(qualified_name)
    try:
        checked = model.input_type.model_validate(observation)
    except ValidationError as error:
        raise SchemaError(explained(error)) from error
    (prediction,) = model.predict([checked])
    found: dict[str, Any] = prediction.model_dump()
    return found


def predict_from_s3(qualified_name: str, bucket: str, key: str) -> list[dict[str, Any]]:
    """Return the predictions for each row of the features in an object of S3."""
    model = ModelManager.get_model(qualified_name)
    rows = model.observations(features(bucket, key))
    return [prediction.model_dump() for prediction in model.predict(rows)]


def explained(error: Any) -> str:
    """Return what pydantic found wrong, a sentence for each place."""
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors())
