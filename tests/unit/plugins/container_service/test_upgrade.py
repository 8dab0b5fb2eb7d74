# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier versions of the module have made or left on a droplet, and what they read there.

The hash of a container that runs may not change, or an upgrade replaces it. A hash here changes together with model.SCHEMA only, when
running containers have to be replaced.
"""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import staged
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import Service
from ansible_collections.litefarm.platform.plugins.modules import container_service

# One of each shape that the roles declare, as they write it.
DECLARATIONS = {
    "api": {
        "image": "registry.example.org/litefarm/api@sha256:" + "0" * 64,
        "command": ["node", "dist/app/src/server.js"],
        "workdir": "/usr/src/app",
        "user": "1000:1000",
        "update": "rolling",
        "env": {"NODE_ENV": "production", "PORT": 5000, "USE_SSL": False},
        "secret_env": {"JWT_SECRET": "a-secret-value"},
        "config_files": [{"path": "/etc/litefarm/ca.pem", "content": "a certificate\n"}],
        "extra_hosts": {"db.example.org": "10.0.0.2"},
        "tmpfs": {"/tmp": "size=64m"},
        "ports": [{"container": 5000, "address": "10.0.0.3", "host": [15000, 15001]}],
        "memory_mb": 1024,
        "cpus": 1.5,
        "pids_limit": 256,
        "init_commands": [{"name": "migrate", "command": ["node", "migrate.js"], "keep_output": True}],
        "probes": [{"name": "alive", "kind": "http", "port": 5000, "contains": "OK"}],
        "upstream": {"name": "api", "stream_source": "127.0.0.2"},
    },
    "imaginary": {
        "image": "h2non/imaginary:1.2.4",
        "entrypoint": ["/usr/local/bin/imaginary"],
        "command": ["-concurrency", "8"],
        "user": "65534:65534",
        "update": "rolling",
        "env": {"PORT": 8088},
        "ports": [{"container": 8088, "host": [18088, 18089]}],
        "memory_mb": 512,
        "upstream": {"name": "imaginary"},
    },
    "webapp": {
        "image": "registry.example.org/litefarm/webapp:1",
        "entrypoint": ["env"],
        "command": ["nginx", "-c", "/etc/nginx/nginx.conf"],
        "user": "101:101",
        "update": "rolling",
        "config_files": [{"path": "/etc/litefarm/retain.sh", "content": "exit 0\n", "mode": "0555"}],
        "mounts": [{"source": "/srv/litefarm/webapp", "target": "/retained", "read_only": True, "owner": "101:101", "mode": "0755"}],
        "ports": [{"container": 8080, "address": "127.0.0.1", "host": [18080, 18081]}],
        "upstream": {"name": "webapp"},
    },
    "redis": {
        "image": "redis:8",
        "user": "999:999",
        "secret_files": [{"path": "/etc/redis/users.acl", "content": "user default off\n"}],
        "mounts": [{"source": "/srv/litefarm/redis", "target": "/data", "owner": "999:999", "mode": "0700"}],
        "ports": [{"container": 6379, "address": "10.0.0.2", "host": [6379]}],
        "memory_mb": 256,
        "stop_timeout": 30,
    },
    "postgres": {
        "image": "postgres:17",
        "image_recipe": "RUN true\n",
        "user": "999:999",
        "env": {"PGDATA": "/var/lib/postgresql/data/pgdata"},
        "ports": [{"container": 5432, "address": "10.0.0.2", "host": [5432]}],
        "shm_mb": 256,
        "stop_timeout": 60,
        "reconcile": [{"name": "role", "command": ["psql"], "stdin": "SELECT 1"}],
    },
    "export_scheduler": {"image": "litefarm/export:1", "command": ["node", "src/jobs/index.js"], "user": "1000:1000", "cpus": 0.5, "stop_timeout": 120},
}
SPECS = {
    "api": "a64d881b3d0ba57f6b926f4d87bd547f",
    "imaginary": "5b2cc92ab87ec683fa2f29978cacf9e7",
    "webapp": "0f8afa120ce963bd56f7e462aa168fc0",
    "redis": "eb6935de9e9116474c8e3f9f8e88ef07",
    "postgres": "1a88606c9e7fe14976213d71d6e64a10",
    "export_scheduler": "2f1caf7f0ec6dac8a3ee14997fa1c88d",
}


def declared(name):
    """A declaration as the module gets it, with the defaults of the options that are left out."""
    result = ArgumentSpecValidator(container_service.argument_spec()).validate(dict(DECLARATIONS[name], name=name))
    assert not result.error_messages
    return Service(result.validated_parameters)


@pytest.mark.parametrize("name", sorted(DECLARATIONS))
def test_an_upgrade_recreates_no_container(name):
    assert declared(name).spec("sha256:" + "1" * 64) == SPECS[name]


def test_earlier_versions_find_what_they_read_in_a_declaration():
    """Another operator's checkout may be older than the one that has released."""
    kept = declared("api").declaration()
    assert kept["upstream"]["directory"] == "/etc/nginx/upstreams.d" and kept["upstream"]["stream_source"] == "127.0.0.2"
    assert kept["upstream"]["validate"] == ["nginx", "-t"] and kept["upstream"]["reload"] == ["systemctl", "reload", "nginx"]
    assert kept["probes"][0]["headers"] == {} and kept["probes"][0]["contains"] == "OK"
    assert kept["healthy_after"] == 3 and "success_threshold" not in kept
    assert declared("postgres").declaration()["upstream"] is None


def test_a_declaration_of_an_earlier_version_is_carried_on():
    """A release that was staged before the upgrade has options that are gone."""
    gone = {"pull": "missing", "capabilities": [], "read_only": True, "network": "litefarm", "log_max_mb": 10, "log_files": 3, "labels": {}}
    earlier = dict(declared("api").declaration(), **gone, lock_timeout=60, state_directory="/var/lib/litefarm", healthy_after=2)
    service = staged.declared("api", "abc", earlier, "settle")
    assert service.problems() == [] and service.declaration()["upstream"] == earlier["upstream"]
    assert service.params["success_threshold"] == 2 and service.declaration()["healthy_after"] == 2


def test_an_init_command_of_an_earlier_version_is_found():
    """An interrupted run may have left its container, which is found by its label and its name."""
    service = declared("api")
    assert service.init_command_body({"command": ["x"], "env": {}, "mounts": []}, "id", "/folder")["Labels"]["litefarm.platform.one_shot"] == "api"
