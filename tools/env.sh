#!/bin/sh
# The project's environment, .venv, as uv.lock has it: finds Python 3.11 or newer and uv, and
# fetches uv with pip where it is missing, into build/uv, so that neither the system's Python
# nor the user's packages change.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14 python}; do
        if new_enough "$name"; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    say "Python 3.11 or newer is needed, and ${PYTHON:-python3} is not: as root type" \
        "'apt-get install python3 python3-pip', or name one: make env PYTHON=/path/to/python3.12"
    return 1
}

find_uv() {
    for command in uv "$python -m uv" build/uv/bin/uv build/uv-venv/bin/uv; do
        # Unquoted: "python -m uv" is several words. A name that is there may still not run.
        if $command --version >/dev/null 2>&1; then
            echo "$command"
            return
        fi
    done
    return 1
}

fetch_uv() {
    say "Fetching uv with pip into build/uv ..."
    # A target folder is not the system's environment, so pip allows it also where that is
    # "externally managed" (PEP 668). A user's PIP_USER would contradict it.
    if log=$(PIP_USER=0 "$python" -m pip install --quiet --upgrade --target build/uv uv 2>&1); then
        return
    fi
    if "$python" -m venv build/uv-venv >/dev/null 2>&1 &&
        log=$(build/uv-venv/bin/python -m pip install --quiet uv 2>&1); then
        return
    fi
    say "$log"
    say "uv can't be fetched (pip's last words are above): if pip is missing, as root type" \
        "'apt-get install python3-pip'; or put uv on the PATH; then 'make env' again"
    return 1
}

python=$(find_python)
if ! uv=$(find_uv); then
    fetch_uv
    uv=$(find_uv)
fi

export UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.venv
unset VIRTUAL_ENV
# An environment that is there keeps its Python.
if [ -x .venv/bin/python ] && new_enough .venv/bin/python; then
    $uv sync --frozen "$@"
else
    $uv sync --frozen --python "$python" "$@"
fi
