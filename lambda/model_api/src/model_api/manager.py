"""The models of the service, loaded once per environment."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from model_api.errors import NotFoundError
from model_api.model import Model


class ModelManager:
    """Holds every model that the configuration names, by its qualified name."""

    _models: ClassVar[dict[str, Model]] = {}

    @classmethod
    def load_models(cls, configuration: list[dict[str, str]]) -> None:
        """Load the models, each named by `module_name` and `class_name`; those loaded already stay.

        Raises ValueError where a name leads to no model, or two models have one name.
        """
        for entry in configuration:
            kind = _class(entry)
            known = cls._models.get(kind.qualified_name)
            if known is None:
                cls._models[kind.qualified_name] = kind()
            elif type(known) is not kind:
                message = f"two models are called {kind.qualified_name}"
                raise ValueError(message)

    @classmethod
    def get_models(cls) -> list[dict[str, Any]]:
        """Return what tells the models apart: names, descriptions, versions."""
        short = ("display_name", "qualified_name", "description", "major_version", "minor_version")
        return [{key: model.metadata()[key] for key in short} for model in cls._models.values()]

    @classmethod
    def get_model_metadata(cls, qualified_name: str) -> dict[str, Any]:
        """Return all that callers are told of a model. Raises NotFoundError."""
        return cls.get_model(qualified_name).metadata()

    @classmethod
    def get_model(cls, qualified_name: str) -> Model:
        """Return a model. Raises NotFoundError."""
        try:
            return cls._models[qualified_name]
        except KeyError:
            message = f"there is no model called {qualified_name!r}"
            raise NotFoundError(message) from None


def _class(entry: dict[str, str]) -> Any:
    """Return the class that an entry of the configuration names."""
    where = f"{entry.get('module_name')}.{entry.get('class_name')}"
    try:
        found = getattr(import_module(entry["module_name"]), entry["class_name"])
    except (ImportError, AttributeError, KeyError) as error:
        message = f"there is no model {where}: {error}"
        raise ValueError(message) from error
    if not (isinstance(found, type) and issubclass(found, Model)):
        message = f"{where} is not a model"
        raise ValueError(message)  # noqa: TRY004 - the name is wrong, whatever it leads to
    return found
