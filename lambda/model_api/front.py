"""The service on this machine: HTTP in front of the handler, as API Gateway would be.

    python front.py 8000                  # http://127.0.0.1:8000/api/models, and /openapi.json
    python front.py 8000 --kind rest      # events of a REST API; http and url are the other kinds

Requests become events of the chosen kind. Models come from where the environment says.
"""

from __future__ import annotations

import argparse
import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, Callable
from urllib.parse import parse_qsl, urlsplit

_DOMAINS = {"http": "abc.execute-api.local", "url": "abc.lambda-url.local"}
_CONTEXT = SimpleNamespace(
    function_name="model-api",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:model-api",
    aws_request_id="local",
)


def event(kind: str, method: str, address: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Return a request as an event of a REST API, an HTTP API or a function URL."""
    parts = urlsplit(address)
    queries = dict(parse_qsl(parts.query, keep_blank_values=True))
    try:
        text, encoded = body.decode(), False
    except UnicodeDecodeError:
        text, encoded = base64.b64encode(body).decode(), True
    common = {"headers": headers, "body": text or None, "isBase64Encoded": encoded}
    if kind == "rest":
        context = {"stage": "local", "path": parts.path, "httpMethod": method}
        where = {"resource": "/{proxy+}", "path": parts.path, "httpMethod": method, "requestContext": context}
        many = {"multiValueHeaders": {name: [value] for name, value in headers.items()}}
        return {**common, **many, **where, "queryStringParameters": queries or None}
    described: dict[str, Any] = {
        "http": {"method": method, "path": parts.path},
        "domainName": _DOMAINS[kind],
        "stage": "$default",
    }
    where = {
        "version": "2.0",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "requestContext": described,
    }
    return {**common, **where}


def server(
    port: int, kind: str, handler: Callable[[dict[str, Any], Any], dict[str, Any]]
) -> ThreadingHTTPServer:
    """Return a server on the loopback that is yet to serve; port 0 is any that is free."""

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/openapi.json":
                from model_api import web

                reply = {"statusCode": 200, "body": json.dumps(web.document())}
            else:
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    reply = handler(event(kind, self.command, self.path, headers, body), _CONTEXT)
                except ValueError as error:
                    reply = {"statusCode": 404, "body": json.dumps({"type": "ERROR", "message": str(error)})}
            self.send(reply)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_TRACE = do_QUERY = answer  # noqa: N815

        def send(self, reply: dict[str, Any]) -> None:
            text = reply.get("body") or ""
            body = base64.b64decode(text) if reply.get("isBase64Encoded") else text.encode()
            self.send_response(reply["statusCode"])
            headers = {"Content-Type": "application/json", **(reply.get("headers") or {})}
            for name, values in (reply.get("multiValueHeaders") or {}).items():
                headers[name] = ", ".join(values)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep still: the handler has a log of its own."""

    return ThreadingHTTPServer(("127.0.0.1", port), Front)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int, nargs="?", default=8000)
    parser.add_argument("--kind", choices=["rest", "http", "url"], default="http")
    arguments = parser.parse_args()
    from model_api.handler import handler

    with server(arguments.port, arguments.kind, handler) as made:
        print(f"http://127.0.0.1:{made.server_address[1]}/api/models", flush=True)
        try:
            made.serve_forever()
        except KeyboardInterrupt:
            print("ended")


if __name__ == "__main__":
    main()
