# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service on the real engine of this machine. All that is made here is named and has the label of its image, and is removed by that label."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time

import docker
import pytest
from ansible.plugins.loader import init_plugin_loader

HERE = pathlib.Path(__file__).parent
COLLECTIONS = HERE.parents[2] / "collections"
LABEL = "litefarm.test"
VALUE = "container_service"
NETWORK = "litefarm-test-container-service"
REPOSITORY = "litefarm-test/container-service"
PASSWORD = "correct-horse-battery"

init_plugin_loader([str(COLLECTIONS)])


def libraries(program):
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def root_file_system():
    """This machine's Python and what it needs, as an image that no registry has to provide."""
    prefix = pathlib.Path(sys.base_prefix)
    program = pathlib.Path(sys.base_prefix, "bin", "python%d.%d" % sys.version_info[:2])
    library = pathlib.Path(os.__file__).parent
    skipped = {"test", "site-packages", "dist-packages", "idlelib", "ensurepip", "tkinter", "lib2to3", "turtledemo"}
    parts = [program, *library.glob("lib-dynload/*.so")]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", dereference=True) as tar:
        for path in sorted({p for part in parts for p in libraries(part)} | {str(program)}):
            tar.add(path)
        tar.add(library, filter=lambda i: None if skipped & set(pathlib.PurePath(i.name).parts) or "/config-" in i.name else i)
        tar.add(HERE / "server.py", "server.py")
        for folder in ("tmp", "dev", "proc", "sys", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o755
            tar.addfile(entry)
    return content.getvalue(), str(program), str(prefix)


@pytest.fixture(scope="session")
def engine():
    client = docker.DockerClient(base_url="unix:///var/run/docker.sock", version="auto", timeout=120)
    remove_all(client)
    yield client
    remove_all(client)


def remove_all(client):
    mine = {"label": "%s=%s" % (LABEL, VALUE)}
    for container in client.containers.list(all=True, filters=mine, ignore_removed=True):
        container.remove(force=True, v=True)
    for network in client.networks.list(names=[NETWORK]):
        network.remove()
    # An image cannot go before those that were made from it.
    for image in sorted(client.images.list(filters=mine), key=lambda image: image.attrs["Created"], reverse=True):
        client.images.remove(image.id, force=True)


@pytest.fixture(scope="session")
def images(engine):
    """Two versions of the same service."""
    content, program, prefix = root_file_system()
    label = "LABEL %s=%s" % (LABEL, VALUE)
    engine.api.import_image_from_data(content, repository=REPOSITORY, tag="base", changes=[label])
    names = {}
    for version in ("1", "2", "3"):
        container = engine.containers.create("%s:base" % REPOSITORY, [program], labels={LABEL: VALUE})
        changes = ['ENTRYPOINT ["%s", "/server.py"]' % program, "CMD []", "ENV VERSION=%s" % version, "ENV PYTHONHOME=%s" % prefix, label]
        image = container.commit(REPOSITORY, version, changes="\n".join(changes))
        container.remove()
        # A second name: the module must not remove what has a name in another repository.
        image.tag(REPOSITORY + "-kept", version)
        names[version] = "%s:%s" % (REPOSITORY, version)
    return names


# Each once, and not of those that the kernel gives to connections: one of these could take the port while its container is stopped.
PORTS = iter(random.sample(range(20000, 30000), 10000))


def free_port():
    for port in PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no port is free")


class Service:
    """One declared service, its balancer, and the module as a process."""

    def __init__(self, engine, images, folder):
        self.engine = engine
        self.images = images
        self.folder = folder
        self.name = "litefarm_test_web"
        self.port = free_port()
        (folder / "upstreams").mkdir()
        self.file = folder / "upstreams" / "web.conf"
        self.balancer = subprocess.Popen([sys.executable, str(HERE / "balancer.py"), str(self.file), str(self.port)], stdout=subprocess.PIPE)
        self.balancer.stdout.readline()
        self.arguments = {
            "name": self.name,
            "image": images["1"],
            "user": "1000:1000",
            "memory_mb": 64,
            "secret_env": {"PASSWORD": PASSWORD},
            "tmpfs": {"/tmp": "size=1m"},
            "probes": [{"name": "answers", "kind": "http", "port": 5000, "contains": "version"}],
            "success_threshold": 2,
            "probe_interval": 0.1,
            "start_timeout": 30,
            "settle": 0.5,
            "stop_timeout": 3,
            "drain_timeout": 5,
            "drain_quiet": 0.4,
        }
        self.settings = {
            "NETWORK": NETWORK,
            "STATE_DIRECTORY": str(folder / "state"),
            "LOCK_TIMEOUT": 1,
            "UPSTREAMS": str(folder / "upstreams"),
            "NGINX": {
                "validate": ["grep", "-q", "server 127.0.0.1", str(self.file)],
                "reload": ["kill", "-HUP", str(self.balancer.pid)],
                "explain": ["true"],
            },
        }

    def rolling(self, **more):
        self.arguments.update(
            update="rolling",
            ports=[{"container": 5000, "host": [free_port(), free_port()]}],
            upstream={"name": "web"},
            **more,
        )
        return self

    def recreate(self, **more):
        self.arguments.update(update="recreate", ports=[{"container": 5000, "host": [free_port()]}], **more)
        self.port = self.arguments["ports"][0]["host"][0]
        return self

    def start(self, fault=None, check=False, diff=False, **changes):
        arguments = dict(self.arguments, **changes, _ansible_check_mode=check, _ansible_diff=diff)
        environment = dict(os.environ, PYTHONPATH=str(COLLECTIONS))
        if fault:
            environment["LITEFARM_FAULT_POINT"] = fault
        process = subprocess.Popen(
            [sys.executable, str(HERE / "run_module.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        process.stdin.write(json.dumps({"arguments": arguments, "settings": self.settings}))
        process.stdin.close()
        return process

    def run(self, **changes):
        """The module's result; a run that was killed has none."""
        process = self.start(**changes)
        output, errors = process.stdout.read(), process.stderr.read()
        code = process.wait()
        if code == -9:
            return {"killed": True}
        assert output, errors
        return dict(json.loads(output), output=output)

    def good(self, **changes):
        result = self.run(**changes)
        assert not result.get("failed"), result["msg"]
        return result

    def bad(self, **changes):
        result = self.run(**changes)
        assert result.get("failed"), result
        return result

    def killed(self, **changes):
        """The run dies at its fault point; one that does not get there says why."""
        result = self.run(**changes)
        assert result == {"killed": True}, result.get("msg", result)

    def get(self, path="/", timeout=10):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError as error:
            return 0, str(error)
        finally:
            connection.close()

    def containers(self):
        """Name to state of every container of the service."""
        mine = {"label": "%s=%s" % (LABEL, VALUE), "name": self.name}
        return {c.name.removeprefix(self.name): c.status for c in self.engine.containers.list(all=True, filters=mine, ignore_removed=True)}

    def container(self, suffix=""):
        return self.engine.containers.get(self.name + suffix)

    def close(self):
        self.balancer.kill()
        self.balancer.wait()
        mine = {"label": "%s=%s" % (LABEL, VALUE)}
        for container in self.engine.containers.list(all=True, filters=mine, ignore_removed=True):
            container.remove(force=True, v=True)
        shutil.rmtree(self.folder)


class Load:
    """Requests without a pause until it is stopped, and what became of them."""

    def __init__(self, service, threads=2):
        self.service = service
        self.answers = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _unused in range(threads)]

    def ask(self):
        while not self.stopping.is_set():
            self.answers.append(self.service.get())
            time.sleep(0.03)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *unused):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    @property
    def failures(self):
        return [answer for answer in self.answers if answer[0] != 200]

    @property
    def versions(self):
        return {body for status, body in self.answers if status == 200}


@pytest.fixture
def service(engine, images, tmp_path):
    made = Service(engine, images, tmp_path)
    yield made
    made.close()


@pytest.fixture
def load(service):
    return lambda **options: Load(service, **options)
