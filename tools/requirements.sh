#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# One file for every supported Python; the markers in it choose. No index address gets into it.
set -eu

uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --custom-compile-command "make requirements" --upgrade --output-file requirements.txt requirements.in
# Two images of the lab take programs from PyPI as well.
for definition in node storage; do
    (cd "lab/images/$definition" && uv pip compile --quiet --python-version 3.13 --python-platform x86_64-unknown-linux-gnu \
        --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" \
        --upgrade --output-file requirements.txt requirements.in)
done
