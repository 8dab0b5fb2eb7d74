# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""litefarm-certificates with an authority, an nginx and an openssl of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess

import pytest
import yaml

AUTHORITY = "https://acme.example.org/dir"


class World:
    """Answers commands as certbot, nginx, systemctl and openssl would; certificates are lines of text."""

    def __init__(self, root):
        self.root = root
        self.letsencrypt = root / "letsencrypt"
        self.refused = {}
        self.nginx_says = (0, "")
        self.systemctl_says = (0, "")
        self.commands = []

    def run(self, command, **environment):
        self.commands.append(" ".join(command))
        return getattr(self, command[0])(command, environment)

    def nginx(self, command, environment):
        return self.nginx_says

    def systemctl(self, command, environment):
        return self.systemctl_says

    def journalctl(self, command, environment):
        return 0, "bind() to 0.0.0.0:8099 failed (98: Address already in use)"

    def openssl(self, command, environment):
        if command[1] == "req":
            for option in ("-keyout", "-out"):
                pathlib.Path(command[command.index(option) + 1]).write_text("placeholder")
            return 0, ""
        text = pathlib.Path(command[command.index("-in") + 1]).read_text()
        return 0, text

    def certbot(self, command, environment):
        name = command[command.index("--cert-name") + 1]
        if command[1] == "delete":
            for path in (self.letsencrypt / "live" / name).iterdir():
                path.unlink()
            (self.letsencrypt / "live" / name).rmdir()
            return 0, ""
        self.environment = environment
        if name in self.refused:
            return 1, "Saving debug log to x\n" + self.refused[name]
        names = [command[index + 1] for index, word in enumerate(command) if word == "-d"]
        live = self.letsencrypt / "live" / name
        live.mkdir(parents=True, exist_ok=True)
        (live / "fullchain.pem").write_text(", ".join("DNS:" + item for item in names) + "\nCertificate will not expire %d" % len(self.commands))
        (live / "privkey.pem").write_text("key")
        (self.letsencrypt / "renewal").mkdir(exist_ok=True)
        (self.letsencrypt / "renewal" / (name + ".conf")).write_text("[renewalparams]\nserver = %s\n" % command[command.index("--server") + 1])
        return 0, ""


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def program(repo, world, monkeypatch):
    """program(sites, check=…) makes the object behind the program's commands."""
    path = repo / "roles/nginx/files/litefarm-certificates.py"
    spec = importlib.util.spec_from_file_location("litefarm_certificates", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "run", world.run)

    def make(sites, check=False, **settings):
        defaults = {"email": "", "directory": AUTHORITY, "ca_file": "", "webroot": "/var/www/acme", "tls_directory": str(world.root / "tls")}
        return module.Certificates(dict(defaults, sites=sites, **settings), letsencrypt=str(world.letsencrypt), check=check)

    make.Trouble = module.Trouble
    return make


APP = {"app": ["app.example.org"]}


def target(world, site):
    return os.readlink(world.root / "tls" / site)


def test_nginx_can_start_before_there_is_a_certificate(program, world):
    program(APP).validate()
    assert target(world, "app") == "placeholder"
    assert (world.root / "tls/app/privkey.pem").stat().st_mode & 0o777 == 0o600
    assert (world.root / "tls/placeholder").stat().st_mode & 0o777 == 0o700


def test_a_certificate_is_obtained_linked_and_loaded_once(program, world, capsys):
    program(APP).apply()
    assert target(world, "app") == str(world.letsencrypt / "live/app")
    assert capsys.readouterr().out.count("changed:") == 2
    before = len(world.commands)
    program(APP).apply()
    assert capsys.readouterr().out == ""
    assert [command.split()[0] for command in world.commands[before:]] == ["openssl"]


def test_check_only_tells(program, world, capsys):
    program(APP, check=True).apply()
    assert "would be obtained for app.example.org (it has none yet)" in capsys.readouterr().out
    assert not (world.root / "tls").exists()


@pytest.mark.parametrize(
    ("sites", "settings", "reason"),
    [
        ({"app": ["app.example.org", "www.example.org"]}, {}, "is for app.example.org"),
        (APP, {"directory": "https://other.example.org/dir"}, "comes from " + AUTHORITY),
    ],
)
def test_a_certificate_that_does_not_fit_is_replaced(program, world, capsys, sites, settings, reason):
    program(APP).apply()
    program(sites, **settings).apply()
    assert reason in capsys.readouterr().out
    program(sites, **settings).apply()
    assert capsys.readouterr().out == ""


def test_an_expired_certificate_is_replaced(program, world, capsys):
    program(APP).apply()
    (world.letsencrypt / "live/app/fullchain.pem").write_text("DNS:app.example.org\nCertificate will expire")
    program(APP).apply()
    assert "has expired" in capsys.readouterr().out


def test_one_refused_name_does_not_keep_the_others_from_theirs(program, world):
    world.refused["app"] = "Detail: no such host"
    with pytest.raises(program.Trouble, match=r"No certificate for app.example.org \(site app\)(.|\n)*placeholder(.|\n)*no such host"):
        program(dict(APP, zoo=["zoo.example.org"])).apply()
    assert target(world, "app") == "placeholder"
    assert target(world, "zoo") == str(world.letsencrypt / "live/zoo")


def test_a_run_that_died_before_the_reload_is_made_good(program, world, capsys):
    certificates = program(APP)
    certificates.make_placeholder()
    certificates.obtain("app")
    certificates.link()
    program(APP).apply()
    assert "systemctl reload nginx.service" in world.commands
    assert "nginx has loaded" in capsys.readouterr().out


def test_a_renewed_certificate_is_loaded(program, world):
    program(APP).apply()
    (world.letsencrypt / "live/app/fullchain.pem").write_text("DNS:app.example.org\nCertificate will not expire: renewed")
    before = world.commands.count("systemctl reload nginx.service")
    program(APP).reload()
    program(APP).reload()
    assert world.commands.count("systemctl reload nginx.service") == before + 1


def test_a_certificate_that_nginx_does_not_take_over_is_tried_again(program, world, capsys):
    world.systemctl_says = (1, "Job for nginx.service failed.")
    with pytest.raises(program.Trouble, match="goes on with those it has: Job for nginx.service failed.\nbind"):
        program(APP).apply()
    assert "nginx has loaded" not in capsys.readouterr().out
    world.systemctl_says = (0, "")
    program(APP).apply()
    assert "nginx has loaded" in capsys.readouterr().out


def test_what_nginx_refuses_is_taken_back(program, world):
    world.nginx_says = (1, "nginx: [emerg] unknown directive")
    with pytest.raises(program.Trouble, match="unknown directive"):
        program(APP).validate()
    assert list((world.root / "tls").iterdir()) == []


def test_a_host_name_of_two_sites_is_refused_although_nginx_only_warns(program, world):
    world.nginx_says = (0, 'nginx: [warn] conflicting server name "a.example.org" on 0.0.0.0:80, ignored')
    with pytest.raises(program.Trouble, match='same host name: conflicting server name "a.example.org"'):
        program(APP).validate()


def test_a_site_that_is_gone_is_no_longer_renewed(program, world, capsys):
    program(dict(APP, old=["old.example.org"])).apply()
    program(APP).apply()
    assert "old is no longer a site" in capsys.readouterr().out
    assert not (world.letsencrypt / "live/old").exists()
    assert not (world.root / "tls/old").is_symlink()


def test_the_authority_is_trusted_through_the_declared_file(program, world):
    program(APP, ca_file="/etc/ca.pem").apply()
    assert world.environment == {"REQUESTS_CA_BUNDLE": "/etc/ca.pem"}


def test_a_check_run_without_the_program_reads_what_it_is_given(repo, evaluate, tmp_path):
    """More than a pipe holds: a shell that ends without reading breaks the pipe each time, not only on a busy control node."""
    tasks = yaml.safe_load((repo / "roles/nginx/tasks/main.yml").read_text())
    options = next(task["ansible.builtin.shell"] for task in tasks if task.get("register") == "nginx__obtained")
    variables = {"ansible_check_mode": True, "nginx__certificates_program": str(tmp_path / "absent"), "nginx__certificates": {"sites": APP}}
    with subprocess.Popen(["/bin/sh", "-c", evaluate("nginx", options["cmd"], **variables)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        shell.stdin.write(b" " * 1_000_000)
        shell.stdin.close()
        assert shell.stdout.read() == b"changed: certificates would be obtained for app\n"
    assert json.loads(evaluate("nginx", options["stdin"], **variables)) == {"sites": APP}
