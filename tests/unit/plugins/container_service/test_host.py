# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
import stat
import sys
import time

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import host, model
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine, EngineMissing
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import Service, ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.plan import Before, difference, would_change
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.release import Release

from . import fakes

HEAD = "  sl  local_address rem_address   st\n"


def test_connections_of_both_kinds_of_publishing():
    """Port 15000 is 3A98. With docker-proxy both ends are listed, without it only nginx's."""
    both = HEAD + "0: 0100007F:3A98 0100007F:C001 01\n1: 0100007F:C001 0100007F:3A98 01\n"
    one_end = HEAD + "0: 0100007F:C001 0100007F:3A98 01\n"
    other = HEAD + "0: 0100007F:C001 0100007F:3A99 01\n1: 0100007F:3A98 00000000:0000 0A\n2: 0100007F:C002 0100007F:3A98 06\n"
    mapped = HEAD + "0: 0000000000000000FFFF00000100007F:C001 0000000000000000FFFF00000100007F:3A98 01\n"
    counts = [host.count_established([table, HEAD], "127.0.0.1", 15000) for table in (both, one_end, other)]
    assert counts == [1, 1, 0]
    assert host.count_established([HEAD, mapped], "127.0.0.1", 15000) == 1


def test_connections_from_an_address_that_does_not_count():
    stream = HEAD + "0: 0200007F:C001 0100007F:3A98 01\n1: 0000000000000000FFFF00000200007F:C002 0000000000000000FFFF00000100007F:3A98 01\n"
    request = HEAD + "0: 0100007F:C003 0100007F:3A98 01\n"
    assert host.count_established([stream, request], "127.0.0.1", 15000) == 3
    assert host.count_established([stream, request], "127.0.0.1", 15000, "127.0.0.2") == 1


def test_outputs_are_kept_in_a_bounded_number(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setattr(host, "OUTPUTS_KEPT", 2)
    droplet = host.Host("web", str(tmp_path / "state"))
    paths = [droplet.keep_output("web.migrate", ["one", "two"], now) for now in (0, 60, 120)]
    assert sorted(os.listdir(tmp_path / "outputs")) == [os.path.basename(path) for path in paths[1:]]
    assert (tmp_path / "outputs" / "web.migrate.19700101T000200Z.log").read_text() == "one\ntwo\n"


def test_connections_of_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        droplet = host.Host("web", "/nowhere")
        assert droplet.connections("127.0.0.1", port) == 0
        with socket.create_connection(("127.0.0.1", port)):
            assert droplet.connections("127.0.0.1", port) == 1


def test_lock_names_its_holder(tmp_path):
    path = str(tmp_path / "locks" / "web.lock")
    with host.Lock(path, 0, host.Clock()):
        with pytest.raises(ServiceError) as failure, host.Lock(path, 0, host.Clock()):
            pass
        assert "process %d holds it since 2" % os.getpid() in failure.value.message and path in failure.value.message
    with host.Lock(path, 0, host.Clock()):
        pass


def test_release_folder(tmp_path):
    droplet = host.Host("web", str(tmp_path / "state"))
    files = [{"path": "/etc/a", "content": "x", "mode": "0440"}]
    droplet.write_release("abc", "sha256:1", {"retain": 2}, files, (os.getuid(), os.getgid()))
    assert stat.S_IMODE(os.stat(droplet.folder("abc")).st_mode) == 0o711
    assert stat.S_IMODE(os.stat(droplet.folder("abc") + "/etc__a").st_mode) == 0o440
    assert droplet.releases() == {"abc": "sha256:1"} and droplet.read_file("abc", "/etc/a") == "x"
    droplet.forget_secrets("abc")
    assert os.listdir(droplet.folder("abc")) == ["release.json"]
    droplet.remove_release("abc")
    assert droplet.releases() == {}


def test_a_damaged_file_wants_no_image(tmp_path):
    droplet = host.Host("web", str(tmp_path))
    for reference in ("app:1", "app:2", "app:3"):
        droplet.want_image(reference)
    for reference, content in (("app:1", b""), ("app:2", bytes(5))):
        with open(droplet._wanted_path(reference), "wb") as file:
            file.write(content)
    assert droplet.wanted_images(time.time()) == ["app:3"]


DAMAGE = {
    "empty": lambda text: b"",
    "zeroes": lambda text: b"\0" * len(text),
    "half": lambda text: text[: len(text) // 2],
    "zeroes at the end": lambda text: text[:5] + b"\0" * 9,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_of_a_release_are_found_and_repaired(tmp_path, damage):
    droplet, owner = host.Host("web", str(tmp_path / "state")), (os.getuid(), os.getgid())
    files = [{"path": "/etc/%s" % name, "content": "content of %s\r\n" % name, "mode": "0440"} for name in "abc"]
    whole = ("abc", "sha256:1", {"retain": 2}, files, owner)
    droplet.write_release(*whole)
    assert droplet.damaged("abc", files) == []
    folder = tmp_path / "state" / "services" / "web" / "abc"
    for name in ("release.json", "etc__a"):
        (folder / name).write_bytes(damage((folder / name).read_bytes()))
    (folder / "etc__b").unlink()
    # Nobody stumbles over it meanwhile.
    assert droplet.releases() == {"abc": None} and droplet.declaration("abc") is None
    mounted, untouched = os.stat(folder / "etc__a").st_ino, os.stat(folder / "etc__c")
    assert droplet.damaged("abc", files) == ["release.json", "/etc/a", "/etc/b"]
    droplet.repair(*whole)
    assert droplet.damaged("abc", files) == []
    assert droplet.releases() == {"abc": "sha256:1"} and droplet.declaration("abc") == {"retain": 2}
    assert (folder / "etc__a").read_bytes() == b"content of a\r\n"
    # A container that runs has the very file mounted, not what is at its path.
    assert os.stat(folder / "etc__a").st_ino == mounted and os.stat(folder / "etc__c") == untouched
    assert stat.S_IMODE(os.stat(folder / "etc__b").st_mode) == 0o440


def test_upstream_file(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "UPSTREAMS", str(tmp_path))
    droplet = host.Host("web", "/nowhere", {"name": "web"})
    assert droplet.read_upstream() is None
    droplet.write_upstream("server 127.0.0.1:1;\n")
    assert droplet.read_upstream() == "server 127.0.0.1:1;\n" and os.listdir(tmp_path) == ["web.conf"]
    droplet.write_upstream(None)
    droplet.write_upstream(None)
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(model, "UPSTREAMS", "/no/such")
    with pytest.raises(ServiceError, match="the role nginx creates it"):
        droplet.write_upstream("x")


def test_the_upstream_file_says_since_when_nginx_serves_by_it(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "UPSTREAMS", str(tmp_path))
    droplet = host.Host("web", "/nowhere", {"name": "web"})
    droplet.upstream_loaded()
    assert droplet.upstream_since() is None
    droplet.write_upstream("server 127.0.0.1:1;\n")
    assert droplet.upstream_since() is None
    droplet.upstream_loaded()
    assert abs(droplet.upstream_since() - time.time()) < 5
    droplet.write_upstream("server 127.0.0.1:2;\n", 1234.5)
    assert droplet.upstream_since() == 1234.5


def test_full_disk_is_explained(tmp_path):
    droplet = host.Host("web", str(tmp_path / "state"))
    (tmp_path / "state").write_text("a file where a folder should be")
    with pytest.raises(ServiceError, match=r"Writing .*state.* failed: "):
        droplet.write_release("abc", "sha256:1", {}, [], None)


def test_mount_sources(tmp_path):
    droplet = host.Host("web", "/nowhere")
    mount = {"source": str(tmp_path / "a" / "b"), "owner": "%d:%d" % (os.getuid(), os.getgid()), "mode": "0700"}
    assert droplet.mount_changes([mount], apply=False) == [mount["source"]] and not (tmp_path / "a").exists()
    assert droplet.mount_changes([mount], apply=True) == [mount["source"]]
    assert droplet.mount_changes([mount], apply=True) == []
    missing = {"source": str(tmp_path / "c"), "owner": None, "mode": "0700"}
    assert droplet.mount_changes([missing], apply=False) == []
    with pytest.raises(ServiceError, match="does not exist"):
        droplet.mount_changes([missing], apply=True)


def test_command():
    droplet = host.Host("web", "/nowhere")
    assert droplet.run([sys.executable, "-c", "print('hello'); raise SystemExit(3)"]) == (3, "hello")
    assert droplet.run(["/no/such/program"])[0] == 127
    assert "timed out" in droplet.run([sys.executable, "-c", "import time; time.sleep(9)"], timeout=0.1)[1]


def test_fresh_droplet_in_check_mode(tmp_path):
    """No engine: it says what would be there, and touches nothing."""
    service = Service(fakes.parameters("rolling", "app:1", secret_env={"PASSWORD": "canary-value"}))
    engine = Engine(str(tmp_path / "no.sock"))
    release = Release(service, engine, fakes.Host(fakes.Droplet(True)), None, fakes.Clock())
    changed, seen = would_change(release)
    assert changed and seen is None
    diff = difference(service, Before(seen), None)
    assert diff["before"] == "" and "canary" not in diff["after"] and '"PASSWORD": "(secret)"' in diff["after"] and '"upstream": 15000' in diff["after"]
    with pytest.raises(EngineMissing, match=r"start docker\.service"):
        release.present()


@pytest.mark.parametrize("update", ["rolling", "recreate"])
def test_check_mode_agrees_with_the_run(update):
    droplet = fakes.Droplet(update == "rolling")
    steps = [("a:1", "present"), ("b:1", "stage"), ("b:1", "switch"), ("b:1", "commit"), ("b:1", "present"), ("b:1", "revert"), ("b:1", "absent")]
    for image, operation in [step for step in steps for _twice in range(2)]:
        planned = would_change(fakes.release(droplet, update, image, state=operation))[0]
        assert fakes.run(droplet, update, image, operation=operation, state=operation).changed == planned, (image, operation)


def test_check_mode_needs_no_image_of_what_is_to_be_absent():
    droplet = fakes.Droplet(False)
    fakes.run(droplet, "recreate", "a:1")
    made = fakes.release(droplet, "recreate", None, state="absent")
    made.engine.image_id = None
    assert would_change(made)[0]


def test_difference_of_a_change():
    droplet = fakes.Droplet(False)
    fakes.run(droplet, "recreate", "a:1", env={"MODE": "one"}, secret_env={"PASSWORD": "canary-one"})
    release = fakes.release(droplet, "recreate", "a:1", env={"MODE": "two"}, secret_env={"PASSWORD": "canary-two"})
    assert would_change(release)[0]
    diff = difference(release.service, Before(release), release.image_id)
    assert '"MODE": "one"' in diff["before"] and '"MODE": "two"' in diff["after"]
    assert "content changed" in diff["after"] and "canary" not in str(diff)


def test_that_after_start_is_due_outlives_the_run(tmp_path):
    found = host.Host("web", str(tmp_path))
    (tmp_path / "container_service").mkdir()
    assert not found.after_start_due()
    for due in (True, True, False, False):
        found.set_after_start_due(due)
        assert host.Host("web", str(tmp_path)).after_start_due() == due
    assert not list((tmp_path / "container_service").iterdir())
