# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine makes of a declaration, and what a person gets to see of it."""

from __future__ import annotations

import os
import stat
import sys

from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine

PASSWORD = "correct-horse-battery"
KEY = "-----BEGIN KEY-----\nc2VjcmV0LWtleS1tYXRlcmlhbA==\n-----END KEY-----\n"


def test_hardening(service):
    service.recreate(cpus=0.5, pids_limit=64).good()
    attributes = service.container().attrs
    host = attributes["HostConfig"]
    assert host["CapDrop"] == ["ALL"] and host["SecurityOpt"] == ["no-new-privileges"]
    assert not host["CapAdd"] and not host["Privileged"]
    assert host["ReadonlyRootfs"] and host["Init"]
    assert host["Memory"] == host["MemorySwap"] == 64 << 20
    assert host["NanoCpus"] == 500000000 and host["PidsLimit"] == 64
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert attributes["Config"]["User"] == "1000:1000"
    assert [b["HostIp"] for b in host["PortBindings"]["5000/tcp"]] == ["127.0.0.1"]
    assert PASSWORD not in str(attributes["Config"]["Labels"])


def test_network_is_made_with_an_mtu_that_fits(service, engine):
    service.recreate().good()
    network = engine.networks.get("litefarm-test-container-service")
    with open("/proc/net/route", encoding="ascii") as table:
        uplink = next(line.split()[0] for line in table if line.split()[1] == "00000000")
    with open("/sys/class/net/%s/mtu" % uplink, encoding="ascii") as file:
        assert int(network.attrs["Options"]["com.docker.network.driver.mtu"]) <= int(file.read())
    assert network.attrs["Labels"] == {"litefarm.platform.network": network.name}


def test_files_and_mounts(service, tmp_path):
    data = tmp_path / "data"
    service.recreate(
        config_files=[{"path": "/etc/app/app.conf", "content": "plain\n"}],
        secret_files=[{"path": "/etc/app/key.pem", "content": KEY}],
        mounts=[{"source": str(data), "target": "/data", "owner": "1000:1000", "mode": "0700"}],
    )
    for parent in (tmp_path, *tmp_path.parents):
        if parent.name.startswith("pytest"):
            assert os.access(parent, os.X_OK)
    spec = service.good()["release"]["spec"]
    assert service.get("/file=/etc/app/app.conf") == (200, "plain\n")
    assert service.get("/file=/etc/app/key.pem") == (200, KEY)
    seen = os.stat(data)
    assert (seen.st_uid, stat.S_IMODE(seen.st_mode)) == (1000, 0o700)
    folder = tmp_path / "state" / "services" / service.name
    modes = {p.name: (oct(stat.S_IMODE(p.stat().st_mode)), p.stat().st_uid) for p in (folder / spec).iterdir()}
    assert modes == {"etc__app__app.conf": ("0o444", 1000), "etc__app__key.pem": ("0o400", 1000), "release.json": ("0o600", 0)}
    assert stat.S_IMODE((folder / spec).stat().st_mode) == 0o711
    service.good(config_files=[{"path": "/etc/app/app.conf", "content": "other\n"}])
    assert service.get("/file=/etc/app/app.conf") == (200, "other\n")
    service.good(config_files=[{"path": "/etc/app/app.conf", "content": "third\n"}])
    assert len(list(folder.iterdir())) == 2 and not (folder / spec).exists()
    assert service.good(state="absent")["changed"] and not service.good(state="absent")["changed"]
    assert data.exists() and not folder.exists() and service.containers() == {}


def test_image_of_a_release_beyond_retention_is_removed_and_others_stay(service, engine, images):
    service.recreate()
    extra = {}
    for number in ("a", "b", "c"):
        engine.api.tag(images["1"], "litefarm-test/container-service-own", number)
        container = engine.containers.create(images["1"], name="%s_%s" % (service.name, number), labels={"litefarm.test": "container_service"})
        extra[number] = container.commit("litefarm-test/container-service-own", number, changes="LABEL litefarm.test=container_service release=%s" % number)
        container.remove()
    for number in ("a", "b", "c"):
        service.good(image="litefarm-test/container-service-own:%s" % number, retain=1)
    present = {image.id for image in engine.images.list(filters={"label": "litefarm.test=container_service"})}
    assert extra["a"].id not in present
    assert {extra["b"].id, extra["c"].id, engine.images.get(images["1"]).id, engine.images.get(images["3"]).id} <= present


def test_check_mode_says_what_would_be_and_does_nothing(service, tmp_path):
    service.recreate(secret_files=[{"path": "/etc/key", "content": KEY}])
    fresh = service.good(check=True, diff=True)
    assert fresh["changed"] and fresh["diff"]["before"] == "" and '"PASSWORD": "(secret)"' in fresh["diff"]["after"]
    assert service.containers() == {} and not (tmp_path / "state").exists()
    service.good()
    assert not service.good(check=True, diff=True)["changed"]
    change = service.good(check=True, diff=True, secret_env={"PASSWORD": "another-long-password"}, memory_mb=96)
    assert change["changed"] and '"memory_mb": 64' in change["diff"]["before"] and '"memory_mb": 96' in change["diff"]["after"]
    assert '"PASSWORD": "(secret, content changed)"' in change["diff"]["after"]
    assert service.containers() == {"": "running"}
    for result in (fresh, change):
        assert PASSWORD not in result["output"] and "another-long-password" not in result["output"] and "c2VjcmV0" not in result["output"]
    assert service.good(check=True, state="absent")["changed"] and service.containers() == {"": "running"}


def test_missing_image_is_a_change_in_check_mode_and_a_clear_error_otherwise(service):
    service.recreate(image="127.0.0.1:9/litefarm-test/none:1")
    assert service.good(check=True, diff=True)["changed"]
    assert "could not pull the image 127.0.0.1:9/litefarm-test/none:1" in service.bad()["msg"].splitlines()[0]
    assert service.containers() == {}


def test_secrets_are_in_no_output(service):
    service.recreate(secret_files=[{"path": "/etc/key", "content": KEY}])
    for result in (service.good(diff=True), service.good(), service.bad(diff=True, env={"MODE": "exit"})):
        assert PASSWORD not in result["output"] and "c2VjcmV0" not in result["output"]
        assert result["invocation"]["module_args"]["secret_env"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
        assert result["invocation"]["module_args"]["secret_files"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_init_commands_run_before_the_release_and_refuse_it(service, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    shot = {"name": "migrate", "command": [], "mounts": [{"source": str(shared), "target": "/shared"}], "timeout": 30}
    program = [sys.base_prefix + "/bin/python%d.%d" % sys.version_info[:2]]
    run = "import os, sys; print('migrating with', os.environ['PASSWORD']); open('/shared/' + os.environ['VERSION'], 'a').write('x')"
    # One entrypoint for the service and its init commands, as in images whose command is the program.
    service.recreate(entrypoint=program, command=["/server.py"])
    result = service.good(init_commands=[dict(shot, command=["-c", run])])
    assert result["init_commands"][0]["exit_code"] == 0 and result["init_commands"][0]["output"] == ["migrating with ********"]
    assert service.good(init_commands=[dict(shot, command=["-c", run])])["init_commands"] == []
    assert (shared / "1").read_text() == "x"
    refused = service.bad(image=service.images["2"], init_commands=[dict(shot, command=["-c", run + "; sys.exit(4)"])])
    assert "init command 'migrate'" in refused["msg"] and "exit code 4" in refused["msg"] and "migrating with ********" in refused["msg"]
    hanging = service.bad(image=service.images["2"], init_commands=[dict(shot, timeout=2, command=["-c", "import time; time.sleep(60)"])])
    assert "did not end within 2 s" in hanging["msg"]
    assert service.get() == (200, "version 1") and service.containers() == {"": "running"}


def test_exec_and_tcp_probes(service):
    program = sys.base_prefix + "/bin/python%d.%d" % sys.version_info[:2]
    probes = [
        {"name": "port", "kind": "tcp", "port": 5000},
        {"name": "inside", "kind": "exec", "command": [program, "-c", "import os; print(os.getuid())"], "timeout": 20},
    ]
    service.recreate(probes=probes).good()
    probes[1]["command"][2] += "; raise SystemExit(5 if os.environ['VERSION'] == '2' else 0)"
    result = service.bad(image=service.images["2"], probes=probes, start_timeout=10)
    assert "inside: bad, exit 5: 1000" in result["probes"] and "is back and serves" in result["msg"]


def test_old_connections_are_finished_before_the_old_release_stops(service, load):
    service.rolling(settle=0.1, drain_timeout=20).good()
    with load(threads=1) as slow:
        slow.service = type("Slow", (), {"get": lambda self: service.get("/slow=3", timeout=30)})()
        service.good(image=service.images["2"])
    assert slow.failures == [] and "version 1" in slow.versions


def test_bad_declarations_are_named_before_anything_happens(service):
    service.recreate()
    for change, words in (
        ({"user": "postgres"}, "user has to be numeric"),
        ({"name": "Web-1"}, "lower case"),
        ({"update": "rolling"}, "takes 2"),
        ({"env": {"PASSWORD": "x"}}, "PASSWORD stands in env and in secret_env"),
        ({"mounts": [{"source": "/no/such", "target": "/data"}]}, "/no/such does not exist"),
    ):
        assert words in service.bad(**change)["msg"]
    assert service.containers() == {}


def test_an_image_is_built_on_top_of_another_one_and_found_again(service):
    program = service.engine.images.get(service.images["1"]).attrs["Config"]["Entrypoint"][0]
    recipe = 'ENV BUILT=yes\nRUN ["%s", "-c", "open(\'/built\', \'w\').write(\'as declared\')"]\n' % program
    service.recreate().good()
    service.good(image_recipe=recipe)
    image = service.container().attrs["Config"]["Image"]
    assert image.startswith("litefarm.local/container-service:")
    assert Engine().execute(service.container().id, [program, "-c", "print(open('/built').read())"], 10)[1] == "as declared\n"
    assert not service.good(image_recipe=recipe)["changed"]
    assert "could not build the image" in service.bad(image_recipe='RUN ["/no/such/program"]\n')["msg"]
    assert service.get() == (200, "version 1")
    service.good(state="absent")
    assert not service.engine.images.list("litefarm.local/container-service")
