"""The model service: every event that Lambda hands to it, against moto's server for S3 and SQS."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import client
import front
import joblib
import numpy as np
import pytest
import train
from openapi_spec_validator import validate

import moto_server
from tools import SCHEMATHESIS, tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Handler = Callable[[dict[str, Any]], dict[str, Any]]

FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
LARGE = {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3}
PREDICT = "/api/models/iris_model/predict"
BATCH = "/api/models/iris_model/batch"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the example's file, just trained."""
    path = tmp_path_factory.mktemp("model") / "iris.joblib"
    train.train(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def loopback() -> Iterator[None]:
    with moto_server.on_loopback():
        yield


@pytest.fixture
def handler(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    """Give the handler as a new environment of Lambda would have it."""
    monkeypatch.setenv("IRIS_MODEL_FILE", str(trained))
    yield _start()
    _forget()


def _start() -> Handler:
    _forget()
    from model_api.handler import handler

    context = SimpleNamespace(
        function_name="model-api",
        memory_limit_in_mb=512,
        invoked_function_arn="arn:aws:lambda:eu-central-1:000000000000:function:model-api",
        aws_request_id="1",
        get_remaining_time_in_millis=lambda: 1000,
    )
    return lambda event: handler(event, context)


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "model_api"]:
        del sys.modules[name]


def rest(method: str, path: str, body: str | None = None, *, encoded: bool = False) -> dict[str, Any]:
    """Return an event of a REST API."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {"Content-Type": "text/plain"},
        "multiValueHeaders": {"Content-Type": ["text/plain"]},
        "requestContext": {"stage": "prod", "path": path, "httpMethod": method},
        "body": body,
        "isBase64Encoded": encoded,
    }


def http(
    method: str, path: str, body: str | None = None, *, encoded: bool = False, domain: str = "execute-api"
) -> dict[str, Any]:
    """Return an event of an HTTP API or, with the domain `lambda-url`, of a function URL."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "requestContext": {
            "http": {"method": method, "path": path},
            "domainName": f"abc.{domain}.eu-central-1.example",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def url(method: str, path: str, body: str | None = None, *, encoded: bool = False) -> dict[str, Any]:
    """Return an event of a function URL."""
    return http(method, path, body, encoded=encoded, domain="lambda-url")


EVENTS = pytest.mark.parametrize("event", [rest, http, url])


def said(reply: dict[str, Any]) -> tuple[int, Any]:
    """Return status and body, after a look at the reply's form."""
    assert reply["isBase64Encoded"] is False
    headers = {**reply.get("headers", {}), **reply.get("multiValueHeaders", {})}
    assert "application/json" in str(headers)
    return reply["statusCode"], json.loads(reply["body"])


@EVENTS
def test_the_models_are_listed_and_described(handler: Handler, event: Any) -> None:
    status, listed = said(handler(event("GET", "/api/models")))
    assert (status, [one["qualified_name"] for one in listed["models"]]) == (200, ["iris_model"])
    status, described = said(handler(event("GET", "/api/models/iris_model/metadata")))
    assert status == 200
    assert {**listed["models"][0], **described} == described
    assert sorted(described["input_schema"]["properties"]) == sorted(FLOWER)
    assert list(described["output_schema"]["properties"]) == ["species"]


@EVENTS
@pytest.mark.parametrize("encoded", [False, True])
def test_a_prediction_is_made(handler: Handler, event: Any, *, encoded: bool) -> None:
    for flower, species in ((FLOWER, "setosa"), (LARGE, "virginica")):
        body = json.dumps(flower)
        body = base64.b64encode(body.encode()).decode() if encoded else body
        assert said(handler(event("POST", PREDICT, body, encoded=encoded))) == (200, {"species": species})


@EVENTS
@pytest.mark.parametrize(
    ("body", "encoded", "status", "kind"),
    [
        ("{not json", False, 400, "DESERIALIZATION_ERROR"),
        ("", False, 400, "DESERIALIZATION_ERROR"),
        (None, False, 400, "DESERIALIZATION_ERROR"),
        ("%%%", True, 400, "DESERIALIZATION_ERROR"),
        (base64.b64encode(b"\xff\xfe").decode(), True, 400, "DESERIALIZATION_ERROR"),
        ("[1, 2]", False, 400, "SCHEMA_ERROR"),
        ("{}", False, 400, "SCHEMA_ERROR"),
        (json.dumps({**FLOWER, "sepal_length": "long"}), False, 400, "SCHEMA_ERROR"),
        (json.dumps({**FLOWER, "sepal_length": -1}), False, 400, "SCHEMA_ERROR"),
        (json.dumps({**FLOWER, "colour": "blue"}), False, 400, "SCHEMA_ERROR"),
        (json.dumps(FLOWER).replace("5.1", "NaN"), False, 400, "SCHEMA_ERROR"),
        (json.dumps(FLOWER).replace("5.1", "1e999"), False, 400, "SCHEMA_ERROR"),
        ("x" * 1_000_001, False, 413, "ERROR"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(
    handler: Handler, event: Any, body: str | None, status: int, kind: str, *, encoded: bool
) -> None:
    found, answer = said(handler(event("POST", PREDICT, body, encoded=encoded)))
    assert (found, answer["type"]) == (status, kind)
    assert answer["message"]


@EVENTS
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/models/tulip_model/predict"),
        ("GET", "/api/models/tulip_model/metadata"),
        ("GET", PREDICT),
        ("DELETE", "/api/models"),
        ("GET", "/api/models/iris_model/../../secret"),
    ],
)
def test_what_is_not_there_is_not_found(handler: Handler, event: Any, method: str, path: str) -> None:
    status, answer = said(handler(event(method, path, json.dumps(FLOWER))))
    assert (status, answer["type"]) == (404, "ERROR")


def test_a_fault_of_the_service_is_a_500_and_stands_in_the_log(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_api.handler import logger
    from model_api.manager import ModelManager

    logged: list[Any] = []
    monkeypatch.setattr(logger, "exception", lambda _, exc_info: logged.append(exc_info))

    def break_down(_: list[Any]) -> list[Any]:
        raise ZeroDivisionError

    monkeypatch.setattr(ModelManager.get_model("iris_model"), "predict", break_down)
    status, answer = said(handler(http("POST", PREDICT, json.dumps(FLOWER))))
    assert (status, answer["type"]) == (500, "ERROR")
    assert "ZeroDivisionError" not in answer["message"]
    assert list(map(type, logged)) == [ZeroDivisionError]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Records": []},
        {"Records": [{"eventSource": "aws:sns"}]},
        {"source": "aws.events", "detail": {}},
        {"resource": "/other", "path": "/other", "httpMethod": "GET"},
    ],
)
def test_an_event_of_something_else_is_refused(handler: Handler, event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not an event of|no resource"):
        handler(event)


def test_the_openapi_document_is_valid_and_describes_each_path(handler: Handler) -> None:
    assert callable(handler)
    from model_api import web

    found = web.document()
    validate(found)
    assert found["openapi"] == "3.1.0"
    paths = {(path, method) for path, operations in found["paths"].items() for method in operations}
    described = "/api/models/iris_model/metadata"
    assert paths == {("/api/models", "get"), (described, "get"), (PREDICT, "post"), (BATCH, "post")}
    statuses = set(found["paths"][PREDICT]["post"]["responses"])
    assert statuses == {"200", "400", "404", "413", "500"}


# Files in S3


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give an empty bucket, which features may be read from."""
    import boto3

    name = f"features-{os.urandom(4).hex()}"
    boto3.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    monkeypatch.setenv("FEATURES_BUCKET", name)
    return name


def put(bucket: str, key: str, what: Any, compress: int = 0) -> str:
    """Upload an object as joblib writes it, or bytes as they are; return the sha256."""
    import boto3

    content = what if isinstance(what, bytes) else dumped(what, compress)
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
    return hashlib.sha256(content).hexdigest()


def dumped(what: Any, compress: int) -> bytes:
    written = io.BytesIO()
    joblib.dump(what, written, compress=compress)
    return written.getvalue()


@EVENTS
@pytest.mark.parametrize("compress", [0, 3])
def test_a_batch_is_predicted_from_features_in_s3(
    handler: Handler, bucket: str, event: Any, compress: int
) -> None:
    rows = np.array([list(FLOWER.values()), list(LARGE.values())])
    put(bucket, "batch/1.joblib", rows, compress)
    body = json.dumps({"bucket": bucket, "key": "batch/1.joblib"})
    predictions = [{"species": "setosa"}, {"species": "virginica"}]
    assert said(handler(event("POST", BATCH, body))) == (200, {"predictions": predictions})


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    ("what", "status", "kind", "words"),
    [
        (np.zeros((2, 3)), 400, "SCHEMA_ERROR", "shape"),
        (np.array([[5.1, 3.5, 1.4, -1.0]]), 400, "SCHEMA_ERROR", "petal_width"),
        (np.array([["a", "b", "c", "d"]]), 400, "SCHEMA_ERROR", "could not convert"),
        ({"a": 1}, 400, "SCHEMA_ERROR", "shape"),
        (b"no pickle", 400, "DESERIALIZATION_ERROR", "no table of numbers"),
        (Evil(), 400, "DESERIALIZATION_ERROR", "posix.system"),
        (np.array([[Evil()]], dtype=object), 400, "DESERIALIZATION_ERROR", "hold objects"),
    ],
    ids=["columns", "range", "text", "table", "junk", "evil", "evil in an array"],
)
def test_features_that_are_none_are_refused_and_run_nothing(  # noqa: PLR0917
    handler: Handler,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: Any,
    status: int,
    kind: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    put(bucket, "k", what)
    found, answer = said(handler(http("POST", BATCH, json.dumps({"bucket": bucket, "key": "k"}))))
    assert (found, answer["type"]) == (status, kind)
    assert words in answer["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", [{"bucket": "somebody-elses", "key": "k"}, {"key": "missing"}])
def test_only_objects_of_the_bucket_for_features_are_read(
    handler: Handler, bucket: str, where: dict[str, str]
) -> None:
    body = json.dumps({"bucket": bucket, **where})
    status, answer = said(handler(http("POST", BATCH, body)))
    assert (status, answer["type"]) == (404, "ERROR")


def test_a_model_comes_from_s3_once_and_only_with_the_right_hash(
    trained: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("IRIS_MODEL_FILE", "/nowhere")
    digest = put(bucket, "iris.joblib", trained.read_bytes())
    place = {"bucket": bucket, "key": "iris.joblib", "sha256": digest}
    monkeypatch.setenv("MODEL_FILES", json.dumps({"iris_model": place}))
    assert said(_start()(http("POST", PREDICT, json.dumps(FLOWER)))) == (200, {"species": "setosa"})
    (kept,) = tmp_path.iterdir()
    assert digest in kept.name
    put(bucket, "iris.joblib", Evil())
    assert callable(_start()), "what is there already is not fetched again"
    kept.write_bytes(b"rotten")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="it is not loaded"):
        _start()
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"iris_model": {"bucket": "b"}}'])
def test_a_wrong_setting_is_named(text: str, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRIS_MODEL_FILE", str(trained))
    monkeypatch.setenv("MODEL_FILES", text)
    with pytest.raises(ValueError, match="MODEL_FILES"):
        _start()


# Records


def queue(*bodies: str) -> dict[str, Any]:
    """Return an event of SQS."""
    records = [
        {"messageId": str(number), "eventSource": "aws:sqs", "body": body}
        for number, body in enumerate(bodies)
    ]
    return {"Records": records}


def stream(*bodies: str) -> dict[str, Any]:
    """Return an event of Kinesis."""
    records = [
        {
            "eventSource": "aws:kinesis",
            "kinesis": {"sequenceNumber": str(number), "data": base64.b64encode(body.encode()).decode()},
        }
        for number, body in enumerate(bodies)
    ]
    return {"Records": records}


@pytest.mark.parametrize("event", [queue, stream])
def test_records_are_answered_one_by_one_and_the_results_are_queued(
    handler: Handler, bucket: str, event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    sqs = boto3.client("sqs")
    address = sqs.create_queue(QueueName=f"results-{os.urandom(4).hex()}")["QueueUrl"]
    monkeypatch.setenv("RESULTS_QUEUE_URL", address)
    put(bucket, "k", np.array([list(LARGE.values())]))
    good = json.dumps({"model": "iris_model", "observation": FLOWER})
    many = json.dumps({"model": "iris_model", "bucket": bucket, "key": "k"})
    unknown = json.dumps({"model": "tulip_model", "observation": FLOWER})
    failed = handler(event(good, "no json", many, unknown, json.dumps({"model": "iris_model"})))
    identifiers = [one["itemIdentifier"] for one in failed["batchItemFailures"]]
    assert identifiers == ["1", "3", "4"]
    messages = sqs.receive_message(QueueUrl=address, MaxNumberOfMessages=10)["Messages"]
    results = sorted((json.loads(one["Body"]) for one in messages), key=lambda one: str(one["record"]))
    assert results == [
        {"record": "0", "model": "iris_model", "prediction": {"species": "setosa"}},
        {"record": "2", "model": "iris_model", "predictions": [{"species": "virginica"}]},
    ]


@pytest.mark.parametrize("event", [queue, stream])
def test_a_batch_of_which_all_failed_is_said_record_by_record_too(handler: Handler, event: Any) -> None:
    failed = handler(event("a", "b"))
    assert [one["itemIdentifier"] for one in failed["batchItemFailures"]] == ["0", "1"]


# The manager


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"module_name": "model_api.tulip", "class_name": "Tulip"}, "there is no model"),
        ({"module_name": "model_api.iris", "class_name": "Tulip"}, "there is no model"),
        ({"module_name": "model_api.iris"}, "there is no model"),
        ({"module_name": "model_api.iris", "class_name": "IrisPrediction"}, "is not a model"),
    ],
)
def test_a_configuration_that_names_no_model_is_refused(
    handler: Handler, entry: dict[str, str], words: str
) -> None:
    assert callable(handler)
    from model_api.manager import ModelManager

    with pytest.raises(ValueError, match=words):
        ModelManager.load_models([entry])


def test_two_models_of_one_name_are_refused(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(handler)
    from model_api import iris
    from model_api.manager import ModelManager

    class Other(iris.IrisModel):
        pass

    monkeypatch.setattr(iris, "Other", Other, raising=False)
    with pytest.raises(ValueError, match="two models are called iris_model"):
        ModelManager.load_models([{"module_name": "model_api.iris", "class_name": "Other"}])


def test_the_same_training_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    assert train.train(tmp_path / "again.joblib") == hashlib.sha256(trained.read_bytes()).hexdigest()


# Over HTTP, from outside


@pytest.fixture
def api(handler: Handler, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the address of the service behind a local front that makes events of one kind."""
    from model_api.handler import handler as called

    with front.server(0, request.param, called) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        assert callable(handler)
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("api", ["rest", "http", "url"], indirect=True)
def test_the_client_predicts_one_flower_and_all_of_them(
    api: str, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["client.py", api, "--bucket", bucket])
    client.main()
    said = capsys.readouterr().out
    assert said.startswith("iris_model 1.0: Predicts the species")
    assert "-> {'species': 'setosa'}" in said
    counts = {"setosa": 50, "versicolor": 48, "virginica": 52}
    found = json.loads(said.split("150 flowers: ")[1].replace("'", '"'))
    assert found.keys() == counts.keys()
    assert all(abs(found[name] - count) <= 3 for name, count in counts.items())


@pytest.mark.parametrize("api", ["http"], indirect=True)
def test_the_client_makes_its_bucket_and_says_what_the_service_said(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"fresh-{os.urandom(4).hex()}"
    monkeypatch.setattr("sys.argv", ["client.py", api, "--bucket", name])
    with pytest.raises(SystemExit, match=f"404 .*features are not read from the bucket '{name}'"):
        client.main()
    monkeypatch.setenv("FEATURES_BUCKET", name)
    client.main()


@pytest.mark.integration
@pytest.mark.parametrize("api", ["http"], indirect=True)
def test_whatever_schemathesis_thinks_of_is_answered_as_the_document_says(api: str, tmp_path: Path) -> None:
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
        "negative_data_rejection,positive_data_acceptance,use_after_free,ensure_resource_availability"
    )
    command = ["run", f"{api}/openapi.json", "--checks", checks, "--max-examples", "25", "--seed", "7"]
    more = ["--phases", "examples,coverage,fuzzing", "--no-color"]
    done = tool(SCHEMATHESIS, "schemathesis", *command, *more, folder=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) generated, \1 passed", done.stdout)[0]) > 100
