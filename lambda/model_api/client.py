"""A client of the service: uploads features, asks for predictions, prints them.

    python client.py https://abc.execute-api.eu-central-1.amazonaws.com --bucket my-features

Makes the bucket if it is not there, uploads the flowers that come with scikit-learn as a table that joblib
wrote, and asks for the models, for one prediction and for those of the whole table. AWS_ENDPOINT_URL leads
to another S3, such as moto's server.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
_PATIENCE = 60


class ApiError(Exception):
    """The service refused; says what it said."""


def ask(api: str, path: str, body: Any = None) -> Any:
    """Send a request to the service, a POST if there is a body; return its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{api.rstrip('/')}{path}", data, {"Content-Type": "application/json"})  # noqa: S310 - the user's address
    try:
        with urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
            return json.load(answer)
    except HTTPError as error:
        with error:
            message = f"{path}: {error.code} {error.read().decode('utf-8', 'replace')}"
        raise ApiError(message) from error


def upload(bucket: str, key: str, features: Any) -> None:
    """Upload a table of numbers, in a bucket that is made if it is not there."""
    import boto3
    import joblib
    from botocore.exceptions import ClientError

    s3 = boto3.client("s3")
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError:
        region = s3.meta.region_name
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **where)
    content = io.BytesIO()
    joblib.dump(features, content)
    s3.put_object(Bucket=bucket, Key=key, Body=content.getvalue())


def main() -> None:
    """Upload, ask, print."""
    from sklearn.datasets import load_iris

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("api", help="where the service is")
    parser.add_argument("--bucket", required=True, help="where features go: the service's FEATURES_BUCKET")
    parser.add_argument("--key", default="features.joblib")
    parser.add_argument("--model", default="iris_model")
    arguments = parser.parse_args()
    features = load_iris().data
    upload(arguments.bucket, arguments.key, features)
    try:
        for model in ask(arguments.api, "/api/models")["models"]:
            version = f"{model['major_version']}.{model['minor_version']}"
            print(f"{model['qualified_name']} {version}: {model['description']}")
        flower = dict(zip(COLUMNS, map(float, features[0])))
        path = f"/api/models/{arguments.model}"
        print(flower, "->", ask(arguments.api, f"{path}/predict", flower))
        many = ask(arguments.api, f"{path}/batch", {"bucket": arguments.bucket, "key": arguments.key})[
            "predictions"
        ]
    except ApiError as error:
        sys.exit(f"error: {error}")
    print(f"{len(many)} flowers:", dict(Counter(one["species"] for one in many)))


if __name__ == "__main__":
    main()
