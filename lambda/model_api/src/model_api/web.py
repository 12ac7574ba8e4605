"""The service over HTTP: REST APIs, HTTP APIs and function URLs, and the document that describes it.

    GET  /api/models                              the models
    GET  /api/models/{qualified_name}/metadata    what one of them takes and gives
    POST /api/models/{qualified_name}/predict     a prediction for one observation
    POST /api/models/{qualified_name}/batch       predictions for the features in an object of S3

Every model has paths of its own, typed with its own shapes, so that requests are checked and the
OpenAPI document is written by one description, the code.
"""

from __future__ import annotations

import binascii
import json
import re
from typing import Any, Callable, Dict, List

from aws_lambda_powertools.event_handler import (
    APIGatewayHttpResolver,
    APIGatewayRestResolver,
    LambdaFunctionUrlResolver,
    Response,
)
from aws_lambda_powertools.event_handler.api_gateway import ApiGatewayResolver
from aws_lambda_powertools.event_handler.exceptions import NotFoundError as NoRouteError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, create_model

from model_api import predictions
from model_api.errors import DeserializationError, NotFoundError, SchemaError, ServiceError
from model_api.manager import ModelManager
from model_api.model import Model

_JSON = "application/json"
_LONGEST_BODY = 1_000_000
_PREFIX = "/api/models"


class Failure(BaseModel):
    """What went wrong, in every answer that is not a success."""

    type: str = Field(description="DESERIALIZATION_ERROR, SCHEMA_ERROR or ERROR")
    message: str


class ModelSummary(BaseModel):
    """What tells a model apart."""

    display_name: str
    qualified_name: str
    description: str
    major_version: int
    minor_version: int


class Models(BaseModel):
    """The models of the service."""

    models: List[ModelSummary]  # noqa: UP006 - pydantic reads this while it runs, on 3.7 too


class ModelMetadata(ModelSummary):
    """A model with the shapes of what it takes and gives, as JSON Schema."""

    input_schema: Dict[str, Any]  # noqa: UP006
    output_schema: Dict[str, Any]  # noqa: UP006


class Features(BaseModel):
    """Where the features of many observations lie: a table that joblib wrote, a row for each."""

    bucket: str = Field(min_length=3, max_length=63)
    key: str = Field(min_length=1, max_length=1024)


def answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the reply to an event of API Gateway or a function URL, whatever is wrong with it."""
    kind = resolver_of(event)
    try:
        reply = application(kind).resolve(_readable(event), context)
    except ServiceError as error:
        return _reply(error)
    return {**reply, "statusCode": int(reply["statusCode"])}


def resolver_of(event: dict[str, Any]) -> type[ApiGatewayResolver]:
    """Return what understands an event. Raises ValueError for one that is no request for anything of ours."""
    if event.get("version") == "2.0" and "http" in event.get("requestContext", {}):
        domain = event["requestContext"].get("domainName", "")
        return LambdaFunctionUrlResolver if ".lambda-url." in domain else APIGatewayHttpResolver
    if {"resource", "path", "httpMethod"} <= event.keys():
        if not str(event["resource"]).startswith((_PREFIX, "/{proxy+}")):
            message = f"the service has no resource {event['resource']!r}"
            raise ValueError(message)
        return APIGatewayRestResolver
    message = "this is not an event of API Gateway or of a function URL"
    raise ValueError(message)


def application(kind: type[ApiGatewayResolver]) -> ApiGatewayResolver:
    """Return the routes of all models that are loaded, for one kind of event."""
    if kind not in _APPLICATIONS:
        app = kind(enable_validation=True)
        _routes(app)
        _failures(app)
        _APPLICATIONS[kind] = app
    return _APPLICATIONS[kind]


_APPLICATIONS: dict[type[ApiGatewayResolver], ApiGatewayResolver] = {}


def _routes(app: ApiGatewayResolver) -> None:
    """Add the routes: one for all models together, and three for each of them."""

    def models() -> Models:
        return Models(models=[ModelSummary(**one) for one in ModelManager.get_models()])

    _add(app, f"GET {_PREFIX}", models, {"return": Models}, "List the models", "models")
    for summary in ModelManager.get_models():
        _model_routes(app, ModelManager.get_model(summary["qualified_name"]))


def _model_routes(app: ApiGatewayResolver, model: Model) -> None:
    """Add the routes of one model."""
    name, title = model.qualified_name, model.display_name

    def metadata() -> ModelMetadata:
        return ModelMetadata(**ModelManager.get_model_metadata(name))

    def predict(observation: Any) -> Any:
        (prediction,) = model.predict([observation])
        return prediction

    def batch(features: Features) -> Any:
        found = predictions.predict_from_s3(name, features.bucket, features.key)
        return many(predictions=found)

    many = create_model(f"{model.output_type.__name__}s", predictions=(List[model.output_type], ...))  # type: ignore[name-defined]
    _add(
        app,
        f"GET {_PREFIX}/{name}/metadata",
        metadata,
        {"return": ModelMetadata},
        f"Describe {title}",
        f"{name}_metadata",
    )
    shapes = {"observation": model.input_type, "return": model.output_type}
    _add(app, f"POST {_PREFIX}/{name}/predict", predict, shapes, f"Predict with {title}", f"{name}_predict")
    shapes = {"features": Features, "return": many}
    _add(
        app,
        f"POST {_PREFIX}/{name}/batch",
        batch,
        shapes,
        f"Predict with {title} for features in S3",
        f"{name}_batch",
    )


def _add(
    app: ApiGatewayResolver,
    route: str,
    function: Callable[..., Any],
    shapes: dict[str, Any],
    summary: str,
    operation: str,
) -> None:
    """Add one route, typed with shapes that are known only now."""
    method, path = route.split(" ")
    function.__annotations__ = shapes
    failures = (400, 404, 413, 500) if method == "POST" else (500,)
    responses: dict[int, Any] = {status: _failure(status) for status in failures}
    responses[200] = {"description": "Success", "content": {_JSON: {"model": shapes["return"]}}}
    app.route(path, method, summary=summary, operation_id=operation, responses=responses)(function)


def _failure(status: int) -> dict[str, Any]:
    """Return how the document describes a failure."""
    words = {400: "The body is not JSON, or not what the model takes", 404: "There is no such thing"}
    words.update({413: "The body is too long", 500: "The service failed"})
    return {"description": words[status], "content": {_JSON: {"model": Failure}}}


def _failures(app: ApiGatewayResolver) -> None:
    """Have every failure answered in the one shape that callers know."""

    @app.exception_handler(RequestValidationError)
    def invalid(error: RequestValidationError) -> Response[Any]:
        return _response(SchemaError(predictions.explained(error)))

    @app.exception_handler(ServiceError)
    def failed(error: ServiceError) -> Response[Any]:
        return _response(error)

    @app.exception_handler(Exception)
    def fault(error: Exception) -> Response[Any]:
        from model_api.handler import logger

        logger.exception("a request failed", exc_info=error)
        return _response(ServiceError("the service failed; its log says why"))

    @app.not_found
    def nothing(_: NoRouteError) -> Response[Any]:
        return _response(NotFoundError("there is no such model, or nothing of it at this path"))


def _response(error: ServiceError) -> Response[Any]:
    return Response(status_code=error.status, content_type=_JSON, body=_body(error))


def _reply(error: ServiceError) -> dict[str, Any]:
    headers = {"Content-Type": _JSON}
    return {"isBase64Encoded": False, "statusCode": error.status, "headers": headers, "body": _body(error)}


def _body(error: ServiceError) -> str:
    return json.dumps({"type": error.kind, "message": str(error)})


class TooLongError(ServiceError):
    """The body of a request is longer than any observation is."""

    status = 413


def _readable(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event whose body is plain JSON and says so; refuse a body that is none, or too long.

    Callers need not name the type of what they send: it can only be JSON.
    """
    body = event.get("body") or ""
    if len(body) > _LONGEST_BODY:
        message = f"the body has {len(body)} characters; {_LONGEST_BODY} is the most"
        raise TooLongError(message)
    try:
        text = binascii.a2b_base64(body).decode() if event.get("isBase64Encoded") else body
        if _method(event) == "POST":
            json.loads(text)
    except (binascii.Error, ValueError) as error:
        message = f"the body is not JSON: {error}"
        raise DeserializationError(message) from error
    headers = {
        key: value for key, value in (event.get("headers") or {}).items() if key.lower() != "content-type"
    }
    headers["content-type"] = _JSON
    read = {**event, "body": text, "isBase64Encoded": False, "headers": headers}
    if "httpMethod" in event:  # a REST API says each header twice, and the second form is the one that counts
        read["multiValueHeaders"] = {key: [value] for key, value in headers.items()}
    return read


def _method(event: dict[str, Any]) -> str:
    """Return the method of a request, of either form of event."""
    method = event.get("httpMethod") or event.get("requestContext", {}).get("http", {}).get("method")
    return str(method).upper()


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the service, which has to be loaded."""
    text = application(APIGatewayHttpResolver).get_openapi_json_schema(
        title="Model service",
        version="1.0.0",
        description="Predictions of machine learning models that run on AWS Lambda.",
        openapi_version="3.1.0",
    )
    found: dict[str, Any] = json.loads(text)
    # Powertools answers 422 to what does not fit, and describes that; here it is a 400 of our own shape.
    for operations in found["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    schemas = found["components"]["schemas"]
    found["components"]["schemas"] = {name: schemas[name] for name in _used(found["paths"], schemas)}
    return found


def _used(node: Any, schemas: dict[str, Any]) -> list[str]:
    """Return the names of the schemas that a part of the document refers to, and of those they refer to."""
    names: list[str] = []
    waiting = [json.dumps(node)]
    while waiting:
        for name in re.findall(r"#/components/schemas/([\w.-]+)", waiting.pop()):
            if name not in names:
                names.append(name)
                waiting.append(json.dumps(schemas[name]))
    return sorted(names)
