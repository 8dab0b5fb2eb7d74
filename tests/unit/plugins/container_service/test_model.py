# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import model

from . import fakes

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("postgres", "postgres:latest"),
        ("postgres:17", "postgres:17"),
        ("10.0.0.1:5000/litefarm/api", "10.0.0.1:5000/litefarm/api:latest"),
        ("10.0.0.1:5000/litefarm/api:1", "10.0.0.1:5000/litefarm/api:1"),
        ("10.0.0.1:5000/litefarm/api@" + DIGEST, "10.0.0.1:5000/litefarm/api@" + DIGEST),
        ("10.0.0.1:5000/litefarm/api:1@" + DIGEST, "10.0.0.1:5000/litefarm/api@" + DIGEST),
        ("postgres:17@" + DIGEST, "postgres@" + DIGEST),
        (DIGEST, DIGEST),
    ],
)
def test_reference(written, found):
    assert model.reference(written) == found


def service(**changes):
    return model.Service(dict(fakes.parameters("recreate", "app:1"), **changes))


CHANGES = {
    "command": ["x"],
    "entrypoint": ["x"],
    "user": "0:0",
    "workdir": "/x",
    "env": {"A": "1"},
    "secret_env": {"A": "secret-value"},
    "config_files": [{"path": "/x", "content": "x", "mode": "0444"}],
    "secret_files": [{"path": "/x", "content": "x", "mode": "0400"}],
    "mounts": [{"source": "/x", "target": "/y", "read_only": True, "owner": None, "mode": "0750"}],
    "tmpfs": {"/tmp": "size=1m"},
    "ports": [],
    "memory_mb": 1,
    "cpus": 1,
    "pids_limit": 1,
    "shm_mb": 1,
    "extra_hosts": {"a": "10.0.0.1"},
    "stop_timeout": 1,
    "update": "rolling",
}
NO_CHANGES = {"name", "state", "probes", "success_threshold", "probe_interval", "start_timeout", "settle", "drain_timeout", "drain_quiet"}
NO_CHANGES |= {"init_commands", "reconcile", "before_stop", "after_start", "upstream", "retain"}


def test_every_parameter_either_makes_another_container_or_does_not():
    assert set(CHANGES) | NO_CHANGES == set(fakes.parameters("recreate", "app:1")) - {"image", "image_recipe"}


@pytest.mark.parametrize("parameter", sorted(CHANGES))
def test_what_makes_another_container(parameter):
    assert service(**{parameter: CHANGES[parameter]}).spec("id") != service().spec("id")


def test_spec_follows_the_image_not_its_name():
    assert service().spec("id") != service().spec("other")
    assert model.Service(dict(fakes.parameters("recreate", "app:2"))).spec("id") == service().spec("id")


def test_changed_secret_content_makes_another_container():
    for one, two in (
        ({"secret_env": {"A": "first-value"}}, {"secret_env": {"A": "other-value"}}),
        *(({kind: [{"path": "/x", "content": c, "mode": "0400"}]} for c in "ab") for kind in ("config_files", "secret_files")),
    ):
        assert service(**one).spec("id") != service(**two).spec("id")


def test_no_secret_is_in_labels_or_in_the_public_part():
    made = service(secret_env={"PASSWORD": "canary-one"}, secret_files=[{"path": "/key", "content": "canary-two", "mode": "0400"}])
    body = made.body("id", 1, 0, "/folder")
    assert "canary" not in json.dumps(body["Labels"]) and "PASSWORD=canary-one" in body["Env"]
    assert "canary" not in json.dumps(body["HostConfig"])


def test_two_files_do_not_share_a_name():
    assert model.filename("/etc/a__b") != model.filename("/etc/a/b")
    assert model.filename("/a_/b") != model.filename("/a/_b")


@pytest.mark.parametrize(
    "printed",
    ["hunter-two", "x hunter-two y", "postgres://app:p%40ss-word@db/app", "p%40ss-word", "p@ss-word", "line-of-a-key", "inner-value"],
)
def test_masking(printed):
    mask = model.Masker(["hunter-two", "postgres://app:p%40ss-word@db/app", "line-of-a-key\npassword = inner-value\n"])
    shown = mask({"log": [printed, "harmless"], "n": 3})
    assert "********" in shown["log"][0] and shown["log"][1] == "harmless" and shown["n"] == 3
    assert all(part not in shown["log"][0] for part in ("hunter", "word", "key", "inner"))


def test_short_values_do_not_mask_the_output():
    assert model.Masker(["on", "5432", "", None])("port 5432 is on") == "port 5432 is on"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Api"}, "name 'Api'"),
        ({"image": None}, "image is missing"),
        ({"user": "node"}, "user has to be numeric"),
        ({"user": None}, "user has to be numeric"),
        ({"user": ""}, "user has to be numeric"),
        ({"env": {"A": "1"}, "secret_env": {"A": "2"}}, "A stands in env and in secret_env"),
        ({"update": "rolling"}, "takes 2"),
        ({"update": "rolling", "ports": []}, "needs a port"),
        ({"update": "rolling"}, "needs upstream"),
        ({"mounts": [{"source": s, "target": "/y", "read_only": True, "owner": None, "mode": "0750"} for s in ("/a", "/b")]}, "/y is mounted twice"),
        ({"reconcile": [{"name": "roles", "command": []}]}, "reconcile roles needs a command"),
    ],
)
def test_problems(change, words):
    assert words in "; ".join(service(**change).problems())


def test_upstream_text_and_back():
    content = model.upstream_text("api", 15001)
    assert content.endswith("\nserver 127.0.0.1:15001 max_fails=0;\n") and content.count("\n") == 2
    assert model.upstream_port(content) == 15001
    assert model.upstream_port(None) is None and model.upstream_port("# server 127.0.0.1:1;\n") is None
    both = model.upstream_text("api", 15001, backup=15000)
    assert both.endswith("\nserver 127.0.0.1:15001 max_fails=0;\nserver 127.0.0.1:15000 backup;\n") and model.upstream_port(both) == 15001
