# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""litefarm-certificates with an authority, an nginx and an openssl of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import textwrap
import time

import pytest
import yaml

from tests.support.playbooks import LocalPlay

AUTHORITY = "https://acme.example.org/dir"
# As certbot reports a name.
REFUSAL = "  Domain: %s\n  Type:   dns\n  Detail: DNS problem: NXDOMAIN looking up A\n\n"
HOUR = 3600


class World:
    """Answers commands as certbot, nginx, systemctl and openssl would; certificates are lines of text."""

    def __init__(self, root):
        self.root = root
        self.letsencrypt = root / "letsencrypt"
        self.refused = {}
        # Names that the authority does not find here, and those that lead to this droplet.
        self.elsewhere = set()
        self.here = set()
        self.also_elsewhere = set()
        self.now = 1_800_000_000
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
        if "-pubkey" in command or "-pubout" in command:
            return 0, command[1] if "key mismatch" in text else "the same key"
        return 0, text

    def resolve(self, name):
        if name not in self.here:
            raise OSError("no such host")
        return ["192.0.2.5", *(["2001:db8::9"] if name in self.also_elsewhere else [])]

    def fetch(self, address, name, path):
        return (self.root / "acme" / path.lstrip("/")).read_text() if address == "192.0.2.5" else "<html>"

    def date(self, days):
        return time.strftime("%b %d %H:%M:%S %Y GMT", time.gmtime(self.now + days * 86400))

    def certificate(self, *names, left=90, lifetime=90):
        """What openssl says of one."""
        return "notBefore=%s\nnotAfter=%s\n%s\n" % (self.date(left - lifetime), self.date(left), ", ".join("DNS:" + name for name in names))

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
        wrong = [item for item in names if item in self.elsewhere]
        if wrong:
            return 1, "The Certificate Authority reported these problems:\n%s\nHint: none\nSome challenges have failed." % "".join(map(REFUSAL.__mod__, wrong))
        live = self.letsencrypt / "live" / name
        live.mkdir(parents=True, exist_ok=True)
        (live / "fullchain.pem").write_text(self.certificate(*names) + "number %d" % len(self.commands))
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
    monkeypatch.setattr(module, "fetch", world.fetch)
    monkeypatch.setattr(module, "resolve", world.resolve)
    (world.root / "acme/.well-known/acme-challenge").mkdir(parents=True)

    def make(sites, check=False, **settings):
        defaults = {"email": "", "directory": AUTHORITY, "ca_file": "", "webroot": str(world.root / "acme"), "tls_directory": str(world.root / "tls")}
        defaults.update(former_names_directory=str(world.root / "former_names.d"), imported_directory=str(world.root / "imported"))
        return module.Certificates(dict(defaults, **dict(settings, sites=sites)), letsencrypt=str(world.letsencrypt), check=check, now=world.now)

    make.Error = module.Error
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
    (world.letsencrypt / "live/app/fullchain.pem").write_text(world.certificate("app.example.org", left=0.5))
    program(APP).apply()
    assert "has expired" in capsys.readouterr().out


def test_a_renewal_that_is_refused_does_not_stop_a_release(program, world, capsys):
    """Its certificate is not replaced by the placeholder, and no release would make it younger."""
    program(APP).apply()
    (world.letsencrypt / "live/app/fullchain.pem").write_text(world.certificate("app.example.org", left=0.5))
    world.refused["app"] = "Detail: no such host"
    program(APP).apply()
    said = capsys.readouterr().out
    assert "warning: The certificate of app.example.org is not renewed" in said and "no such host" in said
    assert target(world, "app") == str(world.letsencrypt / "live/app")


def test_a_certificate_that_has_ended_and_is_not_renewed_is_a_name_without_one(program, world, capsys):
    program(APP).apply()
    world.now += 91 * 86400
    world.refused["app"] = "Connection refused"
    program(APP).apply()
    assert problems(capsys)


def test_a_former_name_on_its_last_day_is_no_certificate_for_the_new_one(program, world, capsys):
    program(APP).apply()
    world.now += 89.5 * 86400
    world.elsewhere.add("new.example.org")
    program(NEW).apply()
    assert problems(capsys) and former(world)


def test_a_certificate_that_cannot_be_read_is_no_late_renewal(program, world, capsys):
    program(APP).apply()
    (world.letsencrypt / "live/app/fullchain.pem").write_text("unable to load certificate")
    world.refused["app"] = "Detail: no such host"
    capsys.readouterr()
    program(APP).apply()
    assert re.search("^problem: .*no such host", capsys.readouterr().out, re.MULTILINE)


def test_one_refused_name_does_not_keep_the_others_from_theirs(program, world, capsys):
    world.refused["app"] = "Detail: no such host"
    program(dict(APP, zoo=["zoo.example.org"])).apply()
    said = r"^problem: No certificate for app.example.org \(site app\).*placeholder.*no such host.*DNS records.*$"
    assert len(re.findall(said, capsys.readouterr().out, re.MULTILINE)) == 1
    assert target(world, "app") == "placeholder"
    assert target(world, "zoo") == str(world.letsencrypt / "live/zoo")


def test_an_authority_that_is_down_is_no_matter_of_dns_records(program, world, capsys):
    world.refused["app"] = "An unexpected error occurred:\nrequests.exceptions.ConnectionError: Connection refused."
    program(APP).apply()
    said = capsys.readouterr().out
    assert "problem: No certificate for app.example.org (site app)" in said
    assert f"{AUTHORITY} says: requests.exceptions.ConnectionError: Connection refused. " in said
    assert "DNS" not in said and "letsencrypt.log" in said


def test_an_authority_that_is_down_is_not_asked_where_nothing_is_missing(program, world, capsys):
    program(APP).apply()
    capsys.readouterr()
    world.refused["app"] = "Connection refused"
    program(APP).apply()
    assert capsys.readouterr().out == ""


TWO = "problem: No certificate for a.\nchanged: x\nproblem: No certificate for b."


@pytest.mark.parametrize(("said", "fails"), [(TWO, True), ("warning: problem: none", False), ("", False)])
def test_site_yml_ends_with_the_sentences_of_names_without_a_certificate(repo, evaluate, said, fails):
    (task,) = yaml.safe_load((repo / "playbooks/tasks/report_certificates.yml").read_text())
    assert evaluate("nginx", "{{ %s }}" % task["when"], nginx_obtained={"stdout": said}) is fails
    assert evaluate("nginx", "{{ %s }}" % task["when"]) is False
    assert not fails or evaluate("nginx", task["ansible.builtin.fail"]["msg"], nginx_obtained={"stdout": said}) == "No certificate for a. No certificate for b."
    plays = yaml.safe_load((repo / "playbooks/site.yml").read_text())
    assert plays[-1]["tasks"][-1]["ansible.builtin.import_tasks"] == "tasks/report_certificates.yml"


@pytest.mark.parametrize("playbook", ["rotate.yml", "recover.yml"])
def test_a_playbook_that_goes_on_after_site_yml_does_that_at_its_own_end(repo, playbook):
    plays = yaml.safe_load((repo / "playbooks" / playbook).read_text())
    parts = [play for play in plays if play.get("ansible.builtin.import_playbook") == "site.yml"]
    assert parts and all(play["vars"]["site_is_part"] is True for play in parts)
    assert plays[-1]["tasks"][-1]["ansible.builtin.import_tasks"] == "tasks/report_certificates.yml"


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
    (world.letsencrypt / "live/app/fullchain.pem").write_text(world.certificate("app.example.org") + "renewed")
    before = world.commands.count("systemctl reload nginx.service")
    program(APP).reload()
    program(APP).reload()
    assert world.commands.count("systemctl reload nginx.service") == before + 1


def test_a_certificate_that_nginx_does_not_take_over_is_tried_again(program, world, capsys):
    world.systemctl_says = (1, "Job for nginx.service failed.")
    with pytest.raises(program.Error, match="goes on with those it has: Job for nginx.service failed.\nbind"):
        program(APP).apply()
    assert "nginx has loaded" not in capsys.readouterr().out
    world.systemctl_says = (0, "")
    program(APP).apply()
    assert "nginx has loaded" in capsys.readouterr().out


def test_what_nginx_refuses_is_taken_back(program, world):
    world.nginx_says = (1, "nginx: [emerg] unknown directive")
    with pytest.raises(program.Error, match="unknown directive"):
        program(APP).validate()
    assert list((world.root / "tls").iterdir()) == []


def test_a_host_name_of_two_sites_is_refused_although_nginx_only_warns(program, world):
    world.nginx_says = (0, 'nginx: [warn] conflicting server name "a.example.org" on 0.0.0.0:80, ignored')
    with pytest.raises(program.Error, match='same host name: conflicting server name "a.example.org"'):
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
    options = next(task["ansible.builtin.shell"] for task in tasks if task.get("register") == "nginx_obtained")
    variables = {"ansible_check_mode": True, "nginx__certificates_program": str(tmp_path / "absent"), "nginx__certificates": {"sites": APP}}
    with subprocess.Popen(["/bin/sh", "-c", evaluate("nginx", options["cmd"], **variables)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        shell.stdin.write(b" " * 1_000_000)
        shell.stdin.close()
        assert shell.stdout.read() == b"changed: certificates would be obtained for app\n"
    assert json.loads(evaluate("nginx", options["stdin"], **variables)) == {"sites": APP}


def asked(world):
    return sum(command.startswith("certbot certonly") for command in world.commands)


def problems(capsys):
    return re.findall(r"^problem: (.*)$", capsys.readouterr().out, re.MULTILINE)


def former(world, site="app"):
    return {path.suffix: path.read_text() for path in (world.root / "former_names.d").glob(site + ".*")}


NEW = {"app": ["new.example.org"]}


def test_a_former_name_keeps_its_certificate_until_the_new_one_has_one(program, world, capsys):
    program(APP).apply()
    before = (world.letsencrypt / "live/app/fullchain.pem").read_text()
    world.elsewhere.add("new.example.org")
    capsys.readouterr()
    # With the new configuration, before nginx sees it.
    program(NEW).validate()
    assert former(world) == {
        ".conf": "server_name app.example.org;\n",
        ".hosts": "app.example.org new.example.org;\n",
        ".origins": '"https://app.example.org" "https://app.example.org";\n',
    }
    program(NEW).apply()
    (sentence,) = problems(capsys)
    assert "its previous one meanwhile, and so is app.example.org: " in sentence and "NXDOMAIN" in sentence
    assert (world.letsencrypt / "live/app/fullchain.pem").read_text() == before and target(world, "app") == str(world.letsencrypt / "live/app")
    assert former(world)
    world.elsewhere.clear()
    reloads = world.commands.count("systemctl reload nginx.service")
    program(NEW).apply()
    assert problems(capsys) == [] and former(world) == {}
    assert world.commands.count("systemctl reload nginx.service") == reloads + 1


def test_a_former_name_that_nginx_refuses_is_taken_back(program, world):
    program(APP).apply()
    world.nginx_says = (1, "nginx: [emerg] unknown directive")
    with pytest.raises(program.Error):
        program(NEW).validate()
    assert former(world) == {}


def test_a_former_name_that_another_site_has_now_is_that_sites(program, world):
    program(dict(APP, zoo=["zoo.example.org"])).apply()
    world.elsewhere.add("new.example.org")
    sites = {"app": ["new.example.org"], "zoo": ["zoo.example.org", "app.example.org"]}
    program(sites).apply()
    assert former(world) == {} == former(world, "zoo")


def test_a_former_name_is_given_up_with_its_site_and_when_its_certificate_has_ended(program, world):
    program(APP).apply()
    world.elsewhere.add("new.example.org")
    program(NEW).apply()
    assert former(world)
    world.now += 91 * 86400
    program(NEW).apply()
    assert former(world) == {}
    world.now -= 91 * 86400
    program(NEW).apply()
    assert former(world)
    program({"zoo": ["zoo.example.org"]}).apply()
    assert former(world) == {}


def test_a_deleted_name_is_not_served_any_more_and_its_late_certificate_fails_nothing(program, world, capsys):
    program({"app": ["app.example.org", "www.example.org"]}).apply()
    world.refused["app"] = "Connection refused"
    capsys.readouterr()
    program(APP).apply()
    said = capsys.readouterr().out
    assert "warning: The certificate of app.example.org is not renewed" in said and "problem:" not in said
    assert former(world) == {}


def test_one_refused_name_of_a_site_does_not_keep_its_other_names_from_theirs(program, world, capsys):
    world.elsewhere.add("www.example.org")
    program({"app": ["app.example.org", "www.example.org"]}).apply()
    (sentence,) = problems(capsys)
    assert "served with one for app.example.org meanwhile" in sentence
    assert "DNS:app.example.org\n" in (world.letsencrypt / "live/app/fullchain.pem").read_text()
    world.elsewhere.clear()
    program({"app": ["app.example.org", "www.example.org"]}).apply()
    assert "DNS:app.example.org, DNS:www.example.org" in (world.letsencrypt / "live/app/fullchain.pem").read_text()


def test_a_name_that_comes_and_one_that_is_refused_do_not_cut_off_a_former_name(program, world):
    program(APP).apply()
    world.elsewhere.add("www.example.org")
    program({"app": ["new.example.org", "www.example.org"]}).apply()
    assert former(world)[".conf"] == "server_name app.example.org;\n"


def test_a_site_of_another_name_is_served_with_the_certificate_that_there_is(program, world, capsys):
    program(APP).apply()
    capsys.readouterr()
    world.refused["web"] = "Connection refused"
    sites = {"web": ["app.example.org"]}
    program(sites).validate()
    assert target(world, "web") == str(world.letsencrypt / "live/app")
    program(sites).apply()
    said = capsys.readouterr().out
    assert "warning:" in said and "problem:" not in said and "no longer a site" not in said
    assert target(world, "web") == str(world.letsencrypt / "live/app")
    world.refused.clear()
    program(sites).apply()
    assert target(world, "web") == str(world.letsencrypt / "live/web")
    assert not (world.letsencrypt / "live/app").exists()


# -- what the authority allows


def test_a_refused_name_is_asked_for_four_times_an_hour_at_most(program, world, capsys):
    world.elsewhere.add("app.example.org")
    for _minute in range(7):
        program(APP).apply()
        world.now += 60
    assert asked(world) == 4
    sentences = problems(capsys)
    assert len(sentences) == 7 and "4 times within an hour" in sentences[-1] and "NXDOMAIN" in sentences[0]
    world.now += HOUR
    program(APP).apply()
    assert asked(world) == 5


def test_an_authority_that_is_down_has_refused_nothing(program, world):
    world.refused["app"] = "An unexpected error occurred:\nConnection refused"
    for _minute in range(6):
        program(APP).apply()
        world.now += 60
    assert asked(world) == 6


def test_the_timer_asks_once_the_name_leads_here_and_hardly_before(program, world, capsys):
    world.elsewhere.add("app.example.org")
    program(APP).apply()
    for _tenminutes in range(71):
        world.now += 600
        program(APP).apply(only_due=True)
    assert asked(world) == 1
    world.now += 600
    program(APP).apply(only_due=True)
    assert asked(world) == 2
    world.now += 600
    world.elsewhere.clear()
    world.here.add("app.example.org")
    capsys.readouterr()
    program(APP).apply(only_due=True)
    assert "certificate obtained for app.example.org" in capsys.readouterr().out
    assert target(world, "app") == str(world.letsencrypt / "live/app")
    assert list((world.root / "acme/.well-known/acme-challenge").iterdir()) == []


def test_the_timer_waits_longer_after_each_failure_of_a_name_that_leads_here(program, world):
    world.here.add("app.example.org")
    world.elsewhere.add("app.example.org")
    moments = []
    for tenminutes in range(24 * 6):
        before = asked(world)
        program(APP).apply(only_due=True)
        moments += [tenminutes] if asked(world) > before else []
        world.now += 600
    assert moments[:5] == [0, 2, 5, 11, 23] and len(moments) <= 9
    # All within an hour at any time.
    assert all(sum(start <= moment < start + 6 for moment in moments) <= 3 for start in moments)


def test_a_record_of_another_machine_is_corrected_and_the_timer_asks_soon(program, world, capsys):
    """As an AAAA record that was forgotten."""
    world.elsewhere.add("app.example.org")
    world.here.add("app.example.org")
    world.also_elsewhere.add("app.example.org")
    for _minute in range(3):
        program(APP).apply()
        world.now += 60
    world.elsewhere.clear()
    world.also_elsewhere.clear()
    program(APP).apply(only_due=True)
    assert target(world, "app") == str(world.letsencrypt / "live/app")


def test_the_timer_has_nothing_to_do_when_nothing_is_missing(program, world):
    waiting = world.root / "tls/.waiting.json"
    program(APP).apply()
    assert not waiting.exists()
    world.refused["app"] = "Connection refused"
    program(NEW).apply()
    assert waiting.exists()
    world.refused.clear()
    program(NEW).apply(only_due=False)
    assert not waiting.exists()


def test_a_clock_that_was_wrong_does_not_stop_the_timer(program, world):
    world.elsewhere.add("app.example.org")
    world.now += 365 * 24 * HOUR
    program(APP).apply()
    world.now -= 365 * 24 * HOUR
    world.elsewhere.clear()
    program(APP).apply(only_due=True)
    assert asked(world) == 2


# -- imported certificates


def bring(world, site="app", *names, left=60, lifetime=90, note=""):
    (world.root / "imported").mkdir(exist_ok=True)
    (world.root / "imported" / (site + ".pem")).write_text(world.certificate(*(names or ("app.example.org",)), left=left, lifetime=lifetime) + note)


def test_an_imported_certificate_serves_and_the_authority_is_not_asked(program, world, capsys):
    bring(world)
    program(APP).validate()
    program(APP).apply()
    assert asked(world) == 0 and problems(capsys) == []
    for name in ("fullchain.pem", "privkey.pem"):
        assert (world.root / "tls/app" / name).resolve() == world.root / "imported/app.pem"
    before = len(world.commands)
    program(APP).apply()
    assert capsys.readouterr().out == ""
    assert not [command for command in world.commands[before:] if not command.startswith("openssl")]


def test_certbot_takes_over_when_an_imported_certificate_would_be_renewed(program, world, capsys):
    bring(world)
    program(APP).apply()
    world.here.add("app.example.org")
    world.now += 29 * 86400
    program(APP).apply(only_due=True)
    assert asked(world) == 0
    world.now += 2 * 86400
    program(APP).apply(only_due=True)
    assert asked(world) == 1 and target(world, "app") == str(world.letsencrypt / "live/app")


def test_a_take_over_that_fails_is_a_failure_only_without_a_certificate(program, world, capsys):
    bring(world, left=10)
    world.elsewhere.add("app.example.org")
    program(APP).apply()
    said = capsys.readouterr().out
    assert "warning: The certificate of app.example.org is not renewed (the imported one ends in 10 days)" in said and "\nproblem:" not in said
    world.now += 11 * 86400
    program(APP).apply()
    assert problems(capsys)


@pytest.mark.parametrize(("names", "note"), [(("other.example.org",), ""), ((), "key mismatch")])
def test_an_imported_certificate_that_does_not_fit_is_left_aside(program, world, capsys, names, note):
    bring(world, "app", *names, note=note)
    program(APP).apply()
    assert target(world, "app") == str(world.letsencrypt / "live/app")
    assert ("warning: The imported certificate of the site app" in capsys.readouterr().out) == bool(note)


def test_an_imported_wildcard_is_good_for_one_label(program, world):
    bring(world, "app", "*.example.org")
    program(APP).apply()
    assert asked(world) == 0
    program({"app": ["a.app.example.org"]}).apply()
    assert asked(world) == 1


def test_the_certificate_that_ends_last_is_served(program, world):
    program(APP).apply()
    bring(world, left=365, lifetime=365)
    program(APP).apply()
    assert (world.root / "tls/app/privkey.pem").resolve() == world.root / "imported/app.pem"
    (world.root / "imported/app.pem").unlink()
    program(APP).validate()
    assert target(world, "app") == str(world.letsencrypt / "live/app")


def test_a_run_ends_as_failed_and_with_the_sentences_alone(repo, tmp_path):
    """The role's task that warns, and the one at the end of site.yml, as Ansible runs them."""
    warn = next(task for task in yaml.safe_load((repo / "roles/nginx/tasks/main.yml").read_text()) if task["name"].startswith("Warn about"))
    asked_for = {"name": "Ask", "ansible.builtin.command": {"argv": ["echo", TWO + "\nwarning: late"]}, "register": "nginx_obtained", "changed_when": False}
    end = {"name": "End", "ansible.builtin.import_tasks": str(repo / "playbooks/tasks/report_certificates.yml")}
    tasks = yaml.safe_dump([asked_for, warn, {"name": "Go on", "ansible.builtin.debug": {"msg": "on"}}, end], sort_keys=False)
    done, results = LocalPlay(tmp_path, "  tasks:\n" + textwrap.indent(tasks, "    ")).results()
    assert done.returncode == 2
    assert results[warn["name"]]["msg"] == ["problem: No certificate for a.", "problem: No certificate for b.", "warning: late"]
    assert results["Go on"]["msg"] == "on"
    assert results["Report names without a certificate"]["msg"] == "No certificate for a. No certificate for b."
