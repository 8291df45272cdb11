#!/usr/bin/env bash
# Makes .venv from the locked requirements; `make setup` calls it from the root.
# Each step is skipped when it has nothing to do, so a second call is quick.
set -euo pipefail

venv=.venv

fail() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

is_supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

# Prints the first Python that will do; ${PYTHON}, if set, is the only candidate.
find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if is_supported "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    found=$("${PYTHON:-python3}" --version 2>&1 || true)
    fail "Python 3.11, 3.12 or 3.13 is needed, found: ${found}" \
        "install one of them, or name it: \`make setup PYTHON=/path/to/python3.12\`"
}

make_venv() {
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python has no venv or ensurepip module" \
            "install it; on Debian and Ubuntu: \`apt install python3-venv\`"
    "$python" -m venv --clear "$venv"
}

is_supported "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv

locked_uv=$(sed -n 's/^uv==\([^ ]*\).*/uv \1/p' requirements/uv.txt)
case "$("$venv/bin/uv" --version 2>/dev/null || true)" in
"$locked_uv" | "$locked_uv "*) ;;
*)
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --require-hashes --requirement requirements/uv.txt
    ;;
esac

export VIRTUAL_ENV=$venv
"$venv/bin/uv" pip sync --require-hashes \
    --build-constraints requirements/build.txt requirements/dev.txt
# The lock holds setuptools itself, so nothing is fetched to build the project.
"$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation --editable .
