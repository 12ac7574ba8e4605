"""What Dockerfiles bring into layers, looked at like everything else there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.check.findings import Finding, finding
from layerkit.check.requirements_check import Installed
from layerkit.errors import WheelError
from layerkit.metadata import Metadata, dependencies

if TYPE_CHECKING:
    from layerkit.dockerfiles import OptLayer
    from layerkit.metadata import Dependency
    from layerkit.target import Target


def installed_by(opt: OptLayer, target: Target) -> tuple[list[Installed], list[Finding]]:
    """Return the packages that a Dockerfile put where the target's Python looks, and what is unreadable.

    They are in the order in which a stack reads layers: what is imported first comes last.
    """
    installed, findings = [], []
    for folder in (target.site_packages("flat"), target.site_packages("versioned")):
        for package in opt.packages:
            if package.folder != folder:
                continue
            requires: tuple[Dependency, ...] = ()
            metadata = Metadata(
                name=package.name,
                version=package.version,
                requires=package.requires,
                provides_extras=package.extras,
            )
            try:
                requires = dependencies(metadata, target)
            except WheelError as error:
                where = f"{opt.layer}: {package.name} {package.version}"
                fix = f"ask the authors of {package.name} to correct it"
                findings.append(finding("unreadable-metadata", where, error.what, fix))
            installed.append(
                Installed(name=package.name, version=package.version, requires=requires, layer=opt.layer)
            )
    return installed, findings
