# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What base writes follows from the droplet, and its scripts do what their comments say."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest
from ansible_collections.litefarm.platform.plugins.modules import droplet_info

DEBIAN = {"distribution": "Debian", "distribution_release": "trixie", "memtotal_mb": 1967}


@pytest.mark.parametrize(
    ("memory", "swap"),
    [(467, 1024), (967, 1024), (1499, 1024), (1500, 2048), (1967, 2048), (3915, 2048), (4096, 0), (7937, 0)],
)
def test_small_droplets_have_swap_and_large_ones_none(evaluate, memory, swap):
    assert evaluate("base", "base_swap_mb", ansible_facts={"memtotal_mb": memory}) == swap


def test_a_droplet_keeps_the_hash_by_which_its_environment_is_known(role):
    (file,) = role("base").templar(base_environment_id="0" * 64).template(role("base").variables()["base__environment_files"])
    assert (file["dest"], file["content"]) == (droplet_info.ENVIRONMENT_FILE, "0" * 64 + "\n")


def test_a_container_never_tries_to_swap(render):
    unit = render("base", "litefarm-swap.service.j2", ansible_facts=DEBIAN).splitlines()
    assert "ConditionVirtualization=!container" in unit
    assert "ExecStart=/usr/local/sbin/litefarm-swap 2048" in unit


@pytest.fixture
def swap(render, tmp_path):
    """The swap script on a folder of its own, with programs that write down how they were called."""
    calls, file, swaps = tmp_path / "calls", tmp_path / "swapfile", tmp_path / "swaps"
    script = render("base", "litefarm-swap.sh.j2").replace("file=/swapfile", f"file={file}").replace("/proc/swaps", str(swaps))
    programs = {
        "fallocate": 'truncate --size "$2" "$3"',
        "mkswap": ":",
        "swapon": f'echo "$1 file" >> {swaps}',
        "swapoff": f": > {swaps}",
    }
    for name, action in programs.items():
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name}" >> {calls}\n{action}\n')
        program.chmod(0o755)
    swaps.touch()

    def run(size, live=False):
        calls.write_text("")
        if live:
            done = subprocess.run(["sh", "-c", script, "litefarm-swap", "--live", str(size)], stdout=subprocess.PIPE, text=True, check=False)
            return done.returncode, done.stdout
        subprocess.run(["sh", "-c", script, "litefarm-swap", str(size)], check=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
        return calls.read_text().split(), file

    return run


def test_the_swap_file_is_made_once_resized_and_removed(swap):
    calls, file = swap(2)
    assert calls == ["fallocate", "mkswap", "swapon"]
    assert file.stat().st_size == 2 * 2**20
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    assert swap(2)[0] == []

    assert swap(1)[0] == ["swapoff", "fallocate", "mkswap", "swapon"]
    assert file.stat().st_size == 2**20

    assert swap(0)[0] == ["swapoff"]
    assert not file.exists()
    assert swap(0)[0] == []


def test_swap_that_was_switched_off_by_hand_is_noticed(swap, tmp_path):
    _calls, file = swap(2)
    assert swap(2, live=True) == (0, "")
    assert swap(1, live=True) == (1, f"{file} has 2097152 bytes, declared are 1048576\n")
    (tmp_path / "swaps").write_text("")
    assert swap(2, live=True) == (1, f"{file} is not in use\n")
    swap(0)
    assert swap(0, live=True) == (0, "")


def test_a_swap_file_that_was_left_half_made_is_made_anew(swap):
    _calls, file = swap(0)
    file.with_suffix(".new").write_text("half")
    assert swap(1)[0] == ["fallocate", "mkswap", "swapon"]
    assert file.stat().st_size == 2**20


@pytest.fixture
def check(render, tmp_path):
    """The check of base on a folder of its own, with programs that accept everything."""
    for name in ("visudo", "sshd", "install"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    script = render("base", "litefarm-base-check.sh.j2").replace("/root/", f"{tmp_path}/root/").replace("/home/", f"{tmp_path}/home/")

    def run():
        return subprocess.run(["sh", "-c", script], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("home", ["root", "home/deploy", "home/somebody"])
def test_log_in_is_not_restricted_to_keys_as_long_as_nobody_has_one(check, tmp_path, home):
    keys = tmp_path / home / ".ssh/authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text("# only a comment\n\n")
    refused = check()
    assert refused.returncode == 1
    assert "base_deploy_keys" in refused.stderr

    keys.write_text("# a comment\nssh-ed25519 AAAA someone\n")
    assert check().returncode == 0


@pytest.mark.parametrize("program", ["visudo", "sshd"])
def test_what_sudo_or_sshd_refuses_is_refused(check, tmp_path, program):
    keys = tmp_path / "root/.ssh/authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text("ssh-ed25519 AAAA someone\n")
    (tmp_path / program).write_text("#!/bin/sh\nexit 3\n")
    assert check().returncode == 3


def test_root_needs_a_key_and_passwords_are_over(render):
    lines = render("base", "sshd.conf.j2").splitlines()
    assert "PermitRootLogin prohibit-password" in lines
    assert "PasswordAuthentication no" in lines
    assert "MaxStartups 30:50:100" in lines


def test_exactly_the_teams_keys_are_listed(render):
    text = render("base", "authorized_keys.j2", base_deploy_keys=["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"])
    assert text.splitlines()[1:] == ["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"]


@pytest.mark.parametrize(
    ("distribution", "origins"),
    [
        ("Debian", ["origin=Debian,codename=${distro_codename}-security,label=Debian-Security"]),
        (
            "Ubuntu",
            [
                "origin=Ubuntu,archive=${distro_codename}-security",
                "origin=UbuntuESM,archive=${distro_codename}-infra-security",
                "origin=UbuntuESMApps,archive=${distro_codename}-apps-security",
            ],
        ),
    ],
)
def test_only_security_updates_come_by_themselves(render, distribution, origins):
    text = render("base", "apt.conf.j2", ansible_facts={"distribution": distribution})
    assert [line.strip().strip('";') for line in text.splitlines() if "origin=" in line] == origins
    assert "#clear Unattended-Upgrade::Origins-Pattern;" in text
    assert 'APT::Periodic::Unattended-Upgrade "1";' in text


def test_a_droplet_reboots_by_itself_only_if_it_was_given_a_time(render):
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in render("base", "apt.conf.j2", ansible_facts=DEBIAN)
    text = render("base", "apt.conf.j2", ansible_facts=DEBIAN, base_security_upgrades_reboot_time="03:30")
    assert 'Unattended-Upgrade::Automatic-Reboot "true";' in text
    assert 'Unattended-Upgrade::Automatic-Reboot-Time "03:30";' in text


def test_updates_can_be_left_to_people(render):
    text = render("base", "apt.conf.j2", ansible_facts=DEBIAN, base_security_upgrades=False, base_security_upgrades_excluded=["linux-"])
    assert 'APT::Periodic::Unattended-Upgrade "0";' in text
    assert '    "linux-";' in text


def test_kernel_settings_of_an_environment_outrank_the_roles(render):
    text = render("base", "sysctl.conf.j2", base_extra_sysctl={"vm.swappiness": 1, "vm.overcommit_memory": 1})
    assert "vm.swappiness = 1\n" in text
    assert "vm.overcommit_memory = 1\n" in text
    assert "vm.swappiness = 10" not in text
    assert "\n-net.ipv6.conf.all.accept_redirects = 0\n" in text


def test_services_may_listen_on_an_address_that_appears_late(render):
    assert "\nnet.ipv4.ip_nonlocal_bind = 1\n" in render("base", "sysctl.conf.j2")


def test_time_servers_are_the_distributions_unless_named(render):
    assert "NTP=" not in render("base", "timesyncd.conf.j2")
    assert "NTP=a.example b.example\n" in render("base", "timesyncd.conf.j2", base_ntp_servers=["a.example", "b.example"])


@pytest.mark.parametrize(("release", "count"), [("trixie", 0), ("bookworm", 1), ("jammy", 1), ("noble", 1)])
def test_the_old_file_with_the_time_zone_is_written_where_the_distribution_still_has_it(evaluate, render, release, count):
    files = evaluate("base", "base__timezone_files", ansible_facts={"distribution_release": release})
    assert files == [{"dest": "/etc/timezone", "template": "timezone.j2"}] * count
    assert render("base", "timezone.j2", base_timezone="Europe/Paris").strip() == "Europe/Paris"


def test_certificate_authorities_have_names_by_which_they_are_found_again(evaluate):
    assert evaluate("base", "base__ca_files", base_ca_certificates={"lab": "PEM\n"}) == [
        {"dest": "/usr/local/share/ca-certificates/litefarm-lab.crt", "content": "PEM\n"},
    ]
    assert evaluate("base", "base__ca_files") == []
