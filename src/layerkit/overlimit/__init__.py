"""Stacks above Lambda's limit: large files go into frames that a loader unpacks when the function starts.

`fit` takes prepared wheels and gives others in their place, in which the large files of some packages are
compressed and out of Python's sight, with the loader (`layerkit_loader`, which runs on Lambda) as one
more package that they require. To planning, checking and composing these are prepared wheels like any.
"""

from __future__ import annotations
