"""The example: which iris a flower is, from the lengths and widths of its leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from model_api.errors import SchemaError
from model_api.files import load_model
from model_api.model import Model

_COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")


class IrisMeasurements(BaseModel):
    """One flower, in centimetres."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    sepal_length: float = Field(gt=0, lt=100, description="Length of the sepal in centimetres")
    sepal_width: float = Field(gt=0, lt=100, description="Width of the sepal in centimetres")
    petal_length: float = Field(gt=0, lt=100, description="Length of the petal in centimetres")
    petal_width: float = Field(gt=0, lt=100, description="Width of the petal in centimetres")


class IrisPrediction(BaseModel):
    """The species of one flower."""

    species: str = Field(description="setosa, versicolor or virginica")


class IrisModel(Model):
    """Tells three species of iris apart."""

    display_name = "Iris Model"
    qualified_name = "iris_model"
    description = "Predicts the species of an iris from the size of its sepals and petals."
    major_version = 1
    minor_version = 0
    input_type = IrisMeasurements
    output_type = IrisPrediction

    def __init__(self) -> None:
        """Load what `train.py` wrote: the classifier and the names of the species."""
        packaged = os.environ.get("IRIS_MODEL_FILE") or Path(__file__).with_name("iris.joblib")
        loaded = load_model(self.qualified_name, Path(packaged))
        self._classifier, self._species = loaded["classifier"], loaded["species"]

    def predict(self, observations: list[Any]) -> list[Any]:
        """Return the species of each flower."""
        if not observations:
            return []
        rows = [[getattr(one, column) for column in _COLUMNS] for one in observations]
        found = self._classifier.predict(rows)
        return [IrisPrediction(species=self._species[int(index)]) for index in found]

    def observations(self, features: Any) -> list[Any]:
        """Return the flowers in a table of four columns."""
        shape: tuple[int, ...] = getattr(features, "shape", ())
        if len(shape) != 2 or shape[1] != len(_COLUMNS):  # noqa: PLR2004 - rows and columns
            message = f"the features have the shape {shape}; rows of {len(_COLUMNS)} columns are expected"
            raise SchemaError(message)
        try:
            return [IrisMeasurements(**dict(zip(_COLUMNS, map(float, row)))) for row in features]
        except ValueError as error:
            raise SchemaError(str(error)) from error
