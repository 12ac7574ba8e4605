"""What every model is: its metadata, the shape of what it takes and gives, and a way to predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import BaseModel


class Model(ABC):
    """A model, loaded once. The two types are the shapes of an observation and of its prediction."""

    display_name: ClassVar[str]
    qualified_name: ClassVar[str]
    description: ClassVar[str]
    major_version: ClassVar[int]
    minor_version: ClassVar[int]
    input_type: ClassVar[type[BaseModel]]
    output_type: ClassVar[type[BaseModel]]

    @abstractmethod
    def predict(self, observations: list[Any]) -> list[Any]:
        """Return a prediction for each observation, in their order; of none, none."""

    @abstractmethod
    def observations(self, features: Any) -> list[Any]:
        """Return the rows of a table of features as observations; SchemaError where it is no such table."""

    @classmethod
    def metadata(cls) -> dict[str, Any]:
        """Return what callers are told about the model, the shapes as JSON Schema."""
        return {
            "display_name": cls.display_name,
            "qualified_name": cls.qualified_name,
            "description": cls.description,
            "major_version": cls.major_version,
            "minor_version": cls.minor_version,
            "input_schema": cls.input_type.model_json_schema(),
            "output_schema": cls.output_type.model_json_schema(),
        }
