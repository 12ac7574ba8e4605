"""What a build leaves: the manifest of a target, beside its zips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.engines import Use
    from layerkit.layer.manifest import Manifest
    from layerkit.project import Project
    from layerkit.target import Target


class Built(Struct, frozen=True, kw_only=True):
    """The manifest of one target, where it lies, and whether anything had to be done."""

    manifest: Manifest
    path: Path
    unchanged: bool
    engine: Use

    def paths(self) -> tuple[Path, ...]:
        """Return the zips on disk: the layers', then the functions' code."""
        return tuple(self.path.parent / one.file for one in self.manifest.zips())

    def as_json(self) -> dict[str, Any]:
        """Return the target's entry in what `build --json` prints."""
        return {
            "target": f"{self.manifest.target.runtime}-{self.manifest.target.arch}",
            "unchanged": self.unchanged,
            "engine": self.engine.as_json(),
            "manifest": str(self.path),
            "zips": [str(path) for path in self.paths()],
        }


def manifest_path(project: Project, target: Target) -> Path:
    """Return where the manifest of a target lies; its zips lie beside it and begin with its name."""
    return project.output / target.key / f"{target.short}-{project.name}-{project.version}.json"


def read_built(project: Project, target: Target) -> tuple[Path, Manifest]:
    """Return the manifest of a target's last build, and where it lies. Raises ConfigError without one."""
    from layerkit.layer.manifest import read

    path = manifest_path(project, target)
    if not path.exists():
        own = path.name.partition("-")[2]
        others = sorted({one.parent.name for one in project.output.glob(f"*/*-{own}")})
        named = f", or say --runtime and --arch: built is {', '.join(others)}" if others else ""
        fix = f"run `layerkit build`{named}"
        raise ConfigError("nothing was built for this target", where=str(path), fix=fix)
    return path, read(path)
