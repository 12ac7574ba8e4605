#!/usr/bin/env bash
# Builds the layers of a project for one runtime or several, and prints the paths of the zips.
#
#   ./layer_builds.sh py37             (py38 ... py314, python3.12, 3.12, all; none: what the project names)
#   ./layer_builds.sh py312 py314 --project path/to/project --arch arm64
#   ./layer_builds.sh py312 --engine docker      (everything inside the runtime's image; wheels: never Docker)
#
# Environment, all of it optional:
#   PROJECT            the project, as --project says it; default: lambda/ beside this script
#   LIB_NAME           name of the project in file names; default: from the project
#   LIB_VERSION        version of the project in file names; default: from the project
#   ZIP_PATH           folder to put the zips into, as $LIB_PREFIX.zip (layer "default"), $LIB_PREFIX-<layer>.zip
#                      and $LIB_PREFIX-nodeps.zip; default: they stay in the project's dist/layers/<runtime>-<arch>/
#   LIB_PREFIX         default: <py312>-<name>-<version>; arm64 adds -arm64
#   LIB_PACKAGE        default: $LIB_PREFIX.zip
#   USER_ID, GROUP_ID  who the zips are given to when root runs this

set -euo pipefail
# shellcheck source=layer_create_zip.sh
. "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)/layer_create_zip.sh"

case ${1:-} in
-h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" ;;
*) layerkit_builds all "$@" ;;
esac
