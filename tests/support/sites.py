# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites for tests."""

from __future__ import annotations

import json

# Fits the role's argument spec, and nginx does not take it: preflight cannot know.
REFUSED = json.dumps(
    {
        "nginx_sites": [
            {
                "name": "refused",
                "host_names": ["app.litefarm.org"],
                "kind": "proxy",
                "upstream": "webapp",
                "event_paths": ["/events { no_directive on; } location /others"],
            }
        ]
    }
)
