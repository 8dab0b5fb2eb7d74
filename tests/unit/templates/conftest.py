# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of roles share."""

from __future__ import annotations

import pytest
import yaml


@pytest.fixture(scope="session")
def declaration(repo, evaluate):
    """declaration("api", api_image="a:1")("env", ...): an argument of the role's one container, as the module receives it."""

    def of_role(role, **given):
        tasks = yaml.safe_load((repo / "roles" / role / "tasks" / "main.yml").read_text())
        (service,) = [task["litefarm.platform.container_service"] for task in tasks if "litefarm.platform.container_service" in task]

        def read(value, **overrides):
            if isinstance(value, list):
                return [read(item, **overrides) for item in value]
            if isinstance(value, dict):
                return {key: read(item, **overrides) for key, item in value.items()}
            return evaluate(role, value, **overrides) if "{{" in str(value) else value

        return lambda argument, **overrides: read(service[argument], **{**given, **overrides})

    return of_role
