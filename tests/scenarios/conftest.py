# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of every scenario start from: the scenario's droplets over SSH, and the sites as a browser sees them.

A scenario's molecule.yml names the folders of its tests. Of these, the markers in pyproject.toml choose by droplet and by night.
"""

from __future__ import annotations

import functools

import pytest

from tests.support import lab
from tests.support.https import Connection
from tests.support.load import Load
from tests.support.night import NIGHT

# A page, and an answer of the API that says which release gave it.
PAGE, API = "https://app.litefarm.org/", "https://api.app.litefarm.org/version"


@functools.cache
def droplets_in(*groups):
    """The scenario's droplets in all of these groups."""
    return lab.droplets(*groups)


def droplets_of(node):
    """The scenario's droplets in the groups that a test is marked with."""
    return droplets_in(*(group for marker in node.iter_markers("group") for group in marker.args))


def pytest_generate_tests(metafunc):
    """A test of one droplet, or of one environment, is made once for each that the scenario is about."""
    # A test without any is deselected below; without parameters pytest would skip it.
    if "droplet" in metafunc.fixturenames and (droplets := droplets_of(metafunc.definition)):
        # Not of a wider scope, for which pytest would change the order of tests.
        metafunc.parametrize("droplet", droplets, indirect=True)
    if "environment" in metafunc.fixturenames:
        metafunc.parametrize("environment", lab.environments())


def pytest_collection_modifyitems(config, items):
    """Leaves out tests of groups that the scenario has no droplet in; moves tests marked `last` to the end."""
    left = [item for item in items if not droplets_of(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = sorted((item for item in items if item not in left), key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture
def droplet(request):
    """A droplet, as root over SSH."""
    return lab.connect(request.param)


@pytest.fixture(scope="session")
def names():
    """Public host name to the address of the droplet that answers for it."""
    return lab.names()


@pytest.fixture(scope="session")
def ca_file():
    """The certificate authorities of the lab."""
    return lab.status()["paths"]["ca"]


@pytest.fixture(scope="session")
def ask(names, ca_file):
    """Sends one request and returns the answer with its body."""

    def request(name, path="/", method="GET", body=None, headers=None):
        connection = Connection(name, names[name], ca_file)
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        answer.content = answer.read()
        answer.text = answer.content.decode(errors="replace")
        return answer

    return request


@pytest.fixture(scope="session")
def built():
    """Builds a version of the sample application with some settings; returns its tag."""

    def build(version, *settings, environment=None):
        tag = f"v{version}"
        lab.lab("sample-release", "--tag", tag, *(word for setting in settings for word in ("--set", setting)))
        run = lab.playbook("playbooks/build.yml", "-e", f"litefarm_version={tag}", environment=environment)
        assert run.status == 0, run.reasons
        return tag

    return build


@pytest.fixture
def under_load(names, ca_file, record_property):
    """Runs a playbook with everything shown while 10 requests a second (50 at night) are made of the page and of the API each.

    A hundred a second take half of two cores, and two lanes run side by side.
    """
    rate = 50 if NIGHT else 10

    def play(name, *arguments, meanwhile=None):
        with Load([PAGE, API], names, ca_file, rate=rate) as load:
            run = lab.playbook(name, "-vvv", "--diff", *arguments)
            if meanwhile:
                meanwhile()
            report = load.stop()
        record_property(f"{name} {' '.join(arguments)}", f"{run.seconds:.1f} s; {report}")
        return run, report

    return play


def pytest_terminal_summary(terminalreporter):
    """Prints what tests measured, beside their names."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid.split('::')[-1]}: {name} {value}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the droplet itself has to say."""
    report = (yield).get_result()
    if report.when == "call" and report.failed and "droplet" in getattr(item, "funcargs", {}):
        host = item.funcargs["droplet"]
        report.sections.append(("journal", host.run("journalctl -p notice -n 40 --no-pager").stdout))
        report.sections.append(("containers", host.run("docker ps -a --no-trunc").stdout))
