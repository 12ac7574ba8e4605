#!/usr/bin/env bash
# Run:     builds a project's layers and gives the zip of one of them.
#   ./layer_create_zip.sh [RUNTIME] [--project FOLDER|FILE] [--layer NAME] [--engine auto|docker|wheels]
# Sourced: gives functions for scripts that fill a folder themselves:
#   pin_lambda_sdk REQUIREMENTS [RUNTIME]    clean_aws_packages DIR       clean_python_packages DIR
#   create_layer_zip [DIR] [ZIP]             clean_python_metadata DIR    strip_binary_libs DIR
# The environment both read is described in layer_builds.sh and docs/shell-doors.md.
# For bash 3.2 and newer. Sourcing changes no option of the calling shell.

_layerkit_home=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

_layerkit_say() { printf '%s\n' "$*" >&2; }

# Prints the interpreter that a script made by pip, pipx or uv is run with, when layerkit is there.
_layerkit_python_of() {
    local python
    # Where the path is too long for a first line, or has spaces, the second line holds it.
    python=$(sed -n -e '1{/^#!\/bin\/sh/!s/^#! *//p;}' -e "2s/^'''exec' \"\\{0,1\\}\\([^\"]*[^\" ]\\)\"\\{0,1\\} \"\\\$0\".*/\\1/p" "$1")
    "${python:-false}" -c 'import layerkit.doors' 2>/dev/null && printf '%s\n' "$python"
}

# Sets _layerkit and _layerkit_python: from .venv beside this file, else from PATH, else made now.
_layerkit_find() {
    local found
    if [ ! -x "$_layerkit_home/.venv/bin/layerkit" ]; then
        if found=$(command -v layerkit) && _layerkit_python=$(_layerkit_python_of "$found"); then
            _layerkit=$found
            return
        fi
        if [ ! -x "$_layerkit_home/tools/venv.sh" ]; then
            _layerkit_say 'layerkit is not here and not on PATH; get it:  pipx install FOLDER_OF_LAYERKIT'
            return 1
        fi
        "$_layerkit_home/tools/venv.sh" main || return
    fi
    _layerkit=$_layerkit_home/.venv/bin/layerkit
    _layerkit_python=$_layerkit_home/.venv/bin/python
}

_layerkit_door() {
    _layerkit_find && "$_layerkit_python" -m layerkit.doors "$@"
}

# Puts the runtime's versions of boto3 and botocore in place of those in the file.
# RUNTIME (py312) is the second argument, else $RUNTIME, else what $LIB_PREFIX begins with.
pin_lambda_sdk() { _layerkit_door pin-sdk "$@"; }

# Removes the AWS SDK, whole, as the runtime brings it. Copies inside other packages stay.
clean_aws_packages() { _layerkit_door clean-aws "$@"; }

# Removes pip, setuptools and wheel, unless a package asks for them, and bytecode.
clean_python_packages() { _layerkit_door clean-packages "$@"; }

# Removes metadata that nothing on Lambda reads; names, versions, entry points and licences stay.
clean_python_metadata() { _layerkit_door clean-metadata "$@"; }

# Strips shared libraries where that is safe. Needs `strip`, from binutils.
strip_binary_libs() { _layerkit_door strip "$@"; }

# Zips DIR (default: .), which has python/ inside, as ZIP (default: $LIB_PACKAGE in $ZIP_PATH).
create_layer_zip() {
    local package=${LIB_PACKAGE:-${LIB_PREFIX:+$LIB_PREFIX.zip}}
    if [ -z "${2:-}" ] && [ -z "$package" ]; then
        _layerkit_say 'create_layer_zip: name the zip, or set LIB_PACKAGE or LIB_PREFIX'
        return 2
    fi
    _layerkit_door zip "${1:-.}" "${2:-${ZIP_PATH:-/tmp}/$package}"
}

# Builds a project and prints the paths of the zips. $1 says whether one layer counts (one) or all (all);
# the other arguments are those of the scripts.
layerkit_builds() {
    local only='' kind=$1 project=${PROJECT:-$_layerkit_home/lambda}
    local options
    options=(--json)
    shift
    [ "$kind" = all ] || only=default
    while [ $# -gt 0 ]; do
        case $1 in
        --project | --layer | --arch | --engine)
            [ $# -gt 1 ] || { _layerkit_say "$1 needs a value"; return 2; }
            case $1 in
            --project) project=$2 ;;
            --layer) only=$2 ;;
            --arch | --engine) options+=("$1" "$2") ;;
            esac
            shift
            ;;
        -*) _layerkit_say "there is no option $1"; return 2 ;;
        *) options+=(--runtime "$1") ;;
        esac
        shift
    done
    [ -z "${LIB_NAME:-}" ] || options+=(--name "$LIB_NAME")
    [ -z "${LIB_VERSION:-}" ] || options+=(--project-version "$LIB_VERSION")
    _layerkit_find || return
    (
        set -o pipefail
        "$_layerkit" build "${options[@]}" -- "$project" | "$_layerkit_python" -m layerkit.doors deliver ${only:+"$only"}
    )
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case ${1:-} in
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" ;;
    *) layerkit_builds one "$@" ;;
    esac
fi
