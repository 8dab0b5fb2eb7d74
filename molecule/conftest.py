# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of every scenario start from: the scenario's droplets over SSH, and the sites as a browser sees them."""

from __future__ import annotations

import pytest
import testinfra

from tests.support import lab


def pytest_addoption(parser):
    parser.addoption("--droplet", default="litefarmapp", help="the droplet that the tests look at")


@pytest.fixture(scope="session")
def droplet(pytestconfig):
    """The droplet, as root over SSH."""
    return connect(pytestconfig.getoption("--droplet"))


def connect(name):
    """A testinfra host for a droplet of the lab."""
    status = lab.status()
    return testinfra.get_host(
        f"ssh://root@{status['droplets'][name]['public_address']}",
        ssh_identity_file=status["paths"]["ssh_key"],
        ssh_extra_args=f"-o UserKnownHostsFile={status['paths']['known_hosts']} -o IdentitiesOnly=yes",
        controlpersist=60,
        timeout=10,
    )


@pytest.fixture(scope="session")
def names():
    """Public host name to the address of the droplet that answers for it."""
    return lab.names()


@pytest.fixture(scope="session")
def ca_file():
    """The certificate authorities of the lab."""
    return lab.status()["paths"]["ca"]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the droplet itself has to say."""
    report = (yield).get_result()
    if report.when == "call" and report.failed and "droplet" in getattr(item, "funcargs", {}):
        host = item.funcargs["droplet"]
        report.sections.append(("journal", host.run("journalctl -p notice -n 40 --no-pager").stdout))
        report.sections.append(("containers", host.run("docker ps -a --no-trunc").stdout))
