"""What can go wrong, said once: what happened, where, and what to do about it.

Every error that a user can meet is a `LayerkitError`; its class decides the exit code of the
process. The table of exit codes in docs/exit-codes.md is checked against these classes.
"""

from __future__ import annotations

from typing import Any


class LayerkitError(Exception):
    """The root of all errors that layerkit raises on purpose.

    `what` is one sentence without a full stop, `where` the file, member, key or address it is
    about, `fix` what the user can do. Credentials never belong in any of them.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        """Keep the three parts apart, so that they can be shown as text and as JSON."""
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __reduce__(self) -> tuple[Any, ...]:
        """Let errors travel between processes with all they hold, whatever their class was made from."""
        return _again, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        """Join the parts into the text a user reads."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.fix}" if self.fix else text

    def as_json(self) -> dict[str, object]:
        """Return the shape that every `--json` command prints for an error."""
        return {
            "error": type(self).__name__,
            "exit_code": self.exit_code,
            "what": self.what,
            "where": self.where,
            "fix": self.fix,
        }


class UsageError(LayerkitError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class ConfigError(LayerkitError):
    """A project file cannot be read or says something it may not; all faults are listed."""

    exit_code = 3


class ResolutionError(LayerkitError):
    """No set of versions, or no wheel for the target, satisfies the requirements."""

    exit_code = 4


class NetworkError(LayerkitError):
    """An index or a download could not be had, after bounded retries."""

    exit_code = 5


class CheckFailedError(LayerkitError):
    """The layers were composed, and are wrong: a missing or conflicting requirement."""

    exit_code = 6


class LimitExceededError(LayerkitError):
    """A stack breaks one of Lambda's limits."""

    exit_code = 7


class WheelError(LayerkitError):
    """A wheel or zip is damaged, hostile, or not what its name or the lock says."""

    exit_code = 8


class StorageError(LayerkitError):
    """The store or the output folder cannot be read or written."""

    exit_code = 9


class BuildError(LayerkitError):
    """The project, a local folder or a source archive could not be built into a wheel."""

    exit_code = 10


class EngineError(LayerkitError):
    """The container engine is not there, refuses, or failed; or an image cannot be had or run."""

    exit_code = 11


class AwsError(LayerkitError):
    """AWS refused, could not be reached, or has something other than what was asked for."""

    exit_code = 12


class FunctionError(LayerkitError):
    """A function that was invoked failed: it raised, crashed, or took more time or memory than it had."""

    exit_code = 13


class ClusterError(LayerkitError):
    """A cluster's scheduler cannot be reached, or its workers are missing, dying, or not fit for the work."""

    exit_code = 14


def _again(kind: type[LayerkitError], args: tuple[Any, ...], held: dict[str, Any]) -> LayerkitError:
    """Return an error as it was in another process."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(held)
    return error
