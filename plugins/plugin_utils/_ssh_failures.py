# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why SSH does not reach a droplet, and what to do about it: one sentence or two for each kind of failure."""

from __future__ import annotations

import re

from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_rules import first_line

COMPARE = (
    "If 'ssh-keyscan {options} | ssh-keygen -lf -' shows the fingerprint that 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' shows in "
    "DigitalOcean's console"
)
# By what ssh prints, from the special to the general: a changed host key ends with the words of an unknown one.
KINDS = (
    (
        r"HOST IDENTIFICATION HAS CHANGED|[Hh]ost key for \S+ has changed",
        "The SSH host key of {host} at {address} is not the one in known_hosts: the droplet was rebuilt, or another machine answers there. " + COMPARE + ", "
        "replace the key: ssh-keygen -R {known} && ssh-keyscan {options} >> ~/.ssh/known_hosts",
    ),
    (
        r"Host key verification failed|host key is known for",
        "The SSH host key of {host} at {address} is not in known_hosts. " + COMPARE + ", add the key: ssh-keyscan {options} >> ~/.ssh/known_hosts",
    ),
    (
        r"Too many authentication failures",
        "{host} refuses SSH at {address} because your SSH agent offers too many keys ({reason}): name the right one as ansible_ssh_private_key_file, "
        "with ansible_ssh_common_args: -o IdentitiesOnly=yes",
    ),
    (
        r"Permission denied",
        "SSH to {host} at {address} cannot log in as {login} ({reason}): correct ansible_user in the inventory, or let the droplet have the public half of a "
        "key that '{attempt}' offers.",
    ),
    (
        r"[Cc]ould not resolve hostname",
        "{host} cannot be reached, because {address} is no name that DNS knows ({reason}): set ansible_host of {host} in the inventory's hosts.yml to the "
        "droplet's public address.",
    ),
    (
        r"Connection refused",
        "{host} cannot be reached at {address} ({reason}): try '{attempt}', then correct ansible_host or ansible_port of {host} in the inventory, or start its "
        "SSH server in DigitalOcean's console.",
    ),
    (
        r"timed out|Timeout",
        "{host} cannot be reached at {address} ({reason}): try '{attempt}', then correct ansible_host of {host} in the inventory, switch the droplet on, or "
        "let this machine through its firewall.",
    ),
    (r"", "{host} cannot be reached at {address} ({reason}): try '{attempt}', then correct ansible_host of {host} in the inventory or its firewall."),
)


# Ansible's words when ssh ended before it had read the module, and its own words were not waited for.
WITHOUT_REASON = re.compile(r"can be reached over ssh(\.|: \[Errno \d+\].*)$", re.IGNORECASE)


def has_reason(message):
    """Whether what Ansible reports says what ssh said."""
    return not WITHOUT_REASON.search(str(message).strip())


def unreachable_problem(host, address, port, user, reason):
    """What is wrong with the connection to a droplet. `reason` is what Ansible reports of it."""
    another_port = bool(port) and str(port) != "22"
    text = str(reason)
    template = next(template for pattern, template in KINDS if re.search(pattern, text))
    return template.format(
        host=host,
        address=address,
        reason=first_line(text),
        attempt="ssh %s%s" % ("-p %s " % port if another_port else "", "%s@%s" % (user, address) if user else address),
        login=user or "your own user, because ansible_user is not set",
        options="-t ed25519 %s%s" % ("-p %s " % port if another_port else "", address),
        known="'[%s]:%s'" % (address, port) if another_port else address,
    )
