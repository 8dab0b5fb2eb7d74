#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes the virtual environment named by the first argument from requirements.txt.
set -eu

venv=$1
python=${PYTHON:-python3}

fail() {
    printf 'litefarm: %s\n' "$*" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "There is no $python. Install Python 3.11 or newer (Debian: apt install python3 python3-venv)."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: 3.11 or newer is needed. Name another with make PYTHON=python3.12 …"

# Debian splits ensurepip off into a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python3-venv"
        log=$(mktemp)
        { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv; } >"$log" 2>&1 || {
            cat "$log" >&2
            fail "python3-venv could not be installed; install it and run make again."
        }
        rm -f "$log"
    else
        fail "$python lacks venv. Install it first: sudo apt install python3-venv"
    fi
fi

echo "Installing requirements.txt into $venv (about a minute)"
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
touch "$venv/.complete"
