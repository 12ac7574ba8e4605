"""Turn a Python project's dependencies into AWS Lambda layers."""

__version__ = "0.1.0"
