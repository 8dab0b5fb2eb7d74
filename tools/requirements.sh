#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# One file for every supported Python; the markers in it choose. No index address gets into it.
set -eu

uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --custom-compile-command "make requirements" --upgrade --output-file requirements.txt requirements.in
