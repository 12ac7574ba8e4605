"""What can go wrong with a request, each with the type and the status that callers see."""

from __future__ import annotations


class ServiceError(Exception):
    """Something that the caller is told; `kind` and `status` are part of the interface."""

    kind = "ERROR"
    status = 500


class DeserializationError(ServiceError):
    """The request's body, or the object that it names, cannot be read at all."""

    kind = "DESERIALIZATION_ERROR"
    status = 400


class SchemaError(ServiceError):
    """What was read is not what the model takes."""

    kind = "SCHEMA_ERROR"
    status = 400


class NotFoundError(ServiceError):
    """There is no such model, or no such object."""

    status = 404
