#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The password of the lab's vault. Before the lab is up there is none, and no vault that needs it.
set -eu
file=$(dirname "$0")/../../.lab/${LITEFARM_LAB:-litefarm}/vault-password
if [ -e "$file" ]; then cat "$file"; else echo none-yet; fi
