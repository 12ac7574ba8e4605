"""The one error of the loader."""

from __future__ import annotations


class BundleError(RuntimeError):
    """The bundle cannot be unpacked; the text says why and what to do.

    No ImportError: packages that can do without one another would swallow it.
    """
