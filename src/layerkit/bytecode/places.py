"""Where bytecode lies so that imports find it, and whose sources have to lie beside it."""

from __future__ import annotations

# Packages that read their own sources when they are imported or used, with where they do.
_CONFIG = "cv2/__init__.py reads config.py and config-3.py beside it, as text"
NEEDS_SOURCES = {
    "ansible-core": "ansible/plugins/loader.py lists the .py files of a folder",
    "numba": "numba/core/caching.py looks for the file of a function to be cached",
    "opencv-contrib-python": _CONFIG,
    "opencv-contrib-python-headless": _CONFIG,
    "opencv-python": _CONFIG,
    "opencv-python-headless": _CONFIG,
    "torch": "torch/_sources.py parses the sources of scripted functions, some of them at import",
    "torchaudio": "scripts functions, as torch does",
    "torchvision": "scripts functions, as torch does",
    "transformers": "transformers/utils/auto_docstring.py reads sources at import",
    "triton": "triton/runtime/jit.py compiles kernels from their sources",
}


def cached(path: str, tag: str) -> str:
    """Return where an import looks for the bytecode of a source that is there (PEP 3147)."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}__pycache__/{name.removesuffix('.py')}.{tag}.pyc"


def beside(path: str) -> str:
    """Return where an import looks for bytecode that has no source."""
    return f"{path}c"
