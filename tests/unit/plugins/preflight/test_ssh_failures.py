# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight advises for each way in which OpenSSH fails, by the client's own words."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils._ssh_failures import has_reason, unreachable_problem

UNKNOWN = "Failed to connect to the host via ssh: No ED25519 host key is known for 192.0.2.7 and you have requested strict checking.\r\n"
CHANGED = """Failed to connect to the host via ssh: @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r
Offending ED25519 key in /root/.ssh/known_hosts:4\r
Host key for 192.0.2.7 has changed and you have requested strict checking.\r
Host key verification failed."""


def problem(reason, port=22, user="root", address="192.0.2.7"):
    return unreachable_problem("one", address, port, user, reason)


def test_an_unreachable_droplet():
    reason = "Failed to connect to the host via ssh: Warning: Permanently added '192.0.2.7'.\nssh: connect to host 192.0.2.7 port 22: No route to host"
    assert problem(reason) == (
        "one cannot be reached at 192.0.2.7 (connect to host 192.0.2.7 port 22: No route to host): try 'ssh root@192.0.2.7', "
        "then correct ansible_host of one in the inventory or its firewall."
    )
    assert "try 'ssh -p 2222 192.0.2.7'" in problem("ssh: connect to host 192.0.2.7 port 2222: No route to host", 2222, None)


@pytest.mark.parametrize("reason", ["Host key verification failed.", UNKNOWN + "Host key verification failed."])
def test_an_unknown_host_key_is_compared_and_added(reason):
    assert problem(reason) == (
        "The SSH host key of one at 192.0.2.7 is not in known_hosts. If 'ssh-keyscan -t ed25519 192.0.2.7 | ssh-keygen -lf -' shows the fingerprint that "
        "'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' shows in DigitalOcean's console, add the key: ssh-keyscan -t ed25519 192.0.2.7 >> ~/.ssh/known_hosts"
    )


def test_a_changed_host_key_is_compared_and_replaced():
    sentence = problem(CHANGED)
    assert sentence.startswith("The SSH host key of one at 192.0.2.7 is not the one in known_hosts: the droplet was rebuilt, or another machine answers there.")
    assert sentence.endswith("replace the key: ssh-keygen -R 192.0.2.7 && ssh-keyscan -t ed25519 192.0.2.7 >> ~/.ssh/known_hosts")
    # Known_hosts names a port that is not SSH's own, and a shell would expand the brackets.
    assert problem(CHANGED, 2222).endswith("ssh-keygen -R '[192.0.2.7]:2222' && ssh-keyscan -t ed25519 -p 2222 192.0.2.7 >> ~/.ssh/known_hosts")


def test_a_refused_login_names_the_user():
    reason = "Failed to connect to the host via ssh: %s@192.0.2.7: Permission denied (publickey)."
    assert problem(reason % "root") == (
        "SSH to one at 192.0.2.7 cannot log in as root (root@192.0.2.7: Permission denied (publickey)): correct ansible_user in the inventory, or let the droplet "
        "have the public half of a key that 'ssh root@192.0.2.7' offers."
    )
    assert "cannot log in as your own user, because ansible_user is not set (ann@192.0.2.7: Permission denied" in problem(reason % "ann", user=None)


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (
            "ssh: Could not resolve hostname one: Name or service not known",
            "one cannot be reached, because 192.0.2.7 is no name that DNS knows (Could not resolve hostname one: Name or service not known): "
            "set ansible_host of one in the inventory's hosts.yml to the droplet's public address.",
        ),
        ("ssh: connect to host 192.0.2.7 port 22: Connection refused", "correct ansible_host or ansible_port of one in the inventory, or start its SSH server"),
        ("ssh: connect to host 192.0.2.7 port 22: Connection timed out", "switch the droplet on, or let this machine through its firewall."),
        ("ssh: connect to host 192.0.2.7 port 22: Operation timed out", "switch the droplet on, or let this machine through its firewall."),
        ("Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures", "name the right one as ansible_ssh_private_key_file"),
    ],
)
def test_each_other_failure_has_its_own_advice(reason, advice):
    assert advice in problem(reason)


def test_every_kind_is_at_most_two_sentences_on_one_line():
    for reason in ("Host key verification failed.", CHANGED, "Permission denied (publickey).", "Could not resolve hostname", "Connection refused", "timed out", ""):
        assert "\n" not in problem(reason)
        assert problem(reason).count(". ") <= 1, problem(reason)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Task failed: Data could not be sent to remote host '192.0.2.7'. Make sure this host can be reached over SSH: [Errno 32] Broken pipe", False),
        ("Data could not be sent to remote host '192.0.2.7'. Make sure this host can be reached over SSH.", False),
        ("Data could not be sent to remote host \"192.0.2.7\". Make sure this host can be reached over ssh: ssh: Connection refused", True),
        ("Failed to connect to the host via ssh: Permission denied (publickey).", True),
    ],
)
def test_what_ansible_says_without_the_words_of_ssh(message, reason):
    assert has_reason(message) is reason
