"""The service behind a queue or a stream: a prediction for each record, and a word on those that failed.

A record is JSON: `{"model": name, "observation": {...}}`, or `{"model": name, "bucket": ..., "key": ...}` for
features in S3. A batch of which some records failed answers with those alone, so that only they come again.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError

from model_api import predictions
from model_api.config import endpoint, results_queue
from model_api.errors import DeserializationError, SchemaError

SOURCES = {"aws:sqs": EventType.SQS, "aws:kinesis": EventType.KinesisDataStreams}


def answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Predict for every record of an event of SQS or Kinesis; return the identifiers of those that failed."""
    source = SOURCES[event["Records"][0]["eventSource"]]
    processor = BatchProcessor(event_type=source)
    work = _from_queue if source is EventType.SQS else _from_stream
    try:
        return dict(
            process_partial_response(event=event, record_handler=work, processor=processor, context=context)
        )
    except BatchProcessingError:  # every record failed: said record by record too, not as a failure of ours
        return {"batchItemFailures": [{"itemIdentifier": _identifier(one)} for one in event["Records"]]}


def _identifier(record: dict[str, Any]) -> str:
    return str(record.get("messageId") or record["kinesis"]["sequenceNumber"])


def _from_queue(record: Any) -> None:
    _send(record.message_id, _predict(record.body))


def _from_stream(record: Any) -> None:
    text = record.kinesis.data_as_text()
    _send(record.kinesis.sequence_number, _predict(text))


def _predict(text: str) -> dict[str, Any]:
    """Return the prediction, or the predictions, that a record asks for."""
    try:
        asked = json.loads(text)
    except ValueError as error:
        message = f"the record is not JSON: {error}"
        raise DeserializationError(message) from error
    keys = set(asked) if isinstance(asked, dict) else set()
    if keys == {"model", "observation"}:
        return {
            "model": asked["model"],
            "prediction": predictions.predict(asked["model"], asked["observation"]),
        }
    if keys == {"model", "bucket", "key"}:
        found = predictions.predict_from_s3(asked["model"], asked["bucket"], asked["key"])
        return {"model": asked["model"], "predictions": found}
    message = "a record has the keys model and observation, or model, bucket and key"
    raise SchemaError(message)


def _send(identifier: str, result: dict[str, Any]) -> None:
    """Send a result to the queue, where there is one."""
    address = results_queue()
    if address:
        _sqs().send_message(QueueUrl=address, MessageBody=json.dumps({"record": identifier, **result}))


@lru_cache(maxsize=None)
def _sqs() -> Any:
    import boto3

    return boto3.client("sqs", endpoint_url=endpoint("sqs"))
