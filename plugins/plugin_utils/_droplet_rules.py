# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of what a droplet is and of how the inventory groups droplets. Every check answers with whole sentences."""

from __future__ import annotations

import os

from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import short_path

# Names of processors, the kernel's to Docker's.
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def droplet_problems(host, facts, requirements):
    """Sentences about a droplet that cannot carry the platform. What is not required is not looked at."""
    problems = []
    if "distributions" in requirements:
        problems += _distribution(host, facts, requirements["distributions"])
    memory = facts.get("memtotal_mb")
    if memory is not None and memory < requirements.get("memory_mb", 0):
        problems.append(
            "%s has %d MB of memory, and its services need at least %d MB: resize the droplet or move a service to another one."
            % (host, memory, requirements["memory_mb"])
        )
    droplet = facts.get("litefarm_droplet") or {}
    for path, disk in sorted((droplet.get("disk") or {}).items()):
        if disk["free_mb"] < requirements.get("disk_free_mb", 0):
            problems.append(
                "%s has %d MB free below %s, and a release needs at least %d MB, so %d MB are missing: remove what fills the disk, or enlarge it."
                % (host, disk["free_mb"], path, requirements["disk_free_mb"], requirements["disk_free_mb"] - disk["free_mb"])
            )
    if droplet.get("uid", 0) != 0:
        problems.append(
            "Modules run as uid %d on %s, not as root: let its user become root without a password, or give --ask-become-pass." % (droplet["uid"], host)
        )
    if droplet.get("systemd") is False:
        problems.append("%s is not run by systemd: the platform needs a droplet with an ordinary init." % host)
    return problems


def requirements_to_go_back(requirements, running):
    """What a droplet must be for a release that ran there before: nothing more if its images are still there, else it needs room for them."""
    return {"disk_free_mb": requirements["disk_free_mb"]} if running.get("missing_images") else {}


def outdated(running, releases):
    """Services of the droplet whose committed release is not of the image that is about to be released, among them those that have none.

    What serves already and is not committed is still to be released: its run was interrupted.
    """
    services = running.get("services") or {}
    return [service for service, image in releases.items() if (services.get(service) or {}).get("committed_image") != image]


def room_problems(host, running, releases):
    """Sentences about a droplet that has no memory for a second copy of what is about to be replaced."""
    services = running.get("services") or {}
    beside = {name: services[name]["memory_mb"] for name in outdated(running, releases) if name in services and _needs_a_copy(services[name], releases[name])}
    if not beside:
        return []
    # They are replaced one after the other, but the last one settles while the first one still does.
    needed, available = sum(beside.values()), running["memory_available_mb"]
    if available >= needed:
        return []
    return [
        "%s has %d MB of memory available, and a second copy of %s beside the running one may take %d MB, so %d MB are missing: resize the droplet, or "
        "end what takes the memory." % (host, available, " and ".join(sorted(beside)), needed, needed - available)
    ]


def _needs_a_copy(service, image):
    """Whether a release starts one more container than runs now. Of two that an interrupted run has left, one ends before another one starts."""
    return service["update"] == "rolling" and service["copies"] < 2 and service["image"] != image


def architecture_problems(machines, wanted, place):
    """Sentences about droplets whose processors are not those that images are built for. `machines`: droplet to what its kernel calls them."""
    other = {}
    for host, machine in sorted(machines.items()):
        if machine in MACHINES and MACHINES[machine] != wanted:
            other.setdefault(MACHINES[machine], []).append(host)
    return [
        "%s cannot run images for %s, the litefarm_architecture in %s: set it to %s, and run playbooks/build.yml again."
        % (" and ".join(hosts), wanted, place, architecture)
        for architecture, hosts in sorted(other.items())
    ]


def image_problems(images):
    """Sentences about a service that would not be the same everywhere. `images`: service to droplet to image."""
    return [
        "%s would not be the same on every droplet (%s): let %s_image of all of them come from one release." % (service, _by_value(by_host), service)
        for service, by_host in sorted(images.items())
        if len(set(by_host.values())) > 1
    ]


def _distribution(host, facts, distributions):
    name, version = facts.get("distribution"), str(facts.get("distribution_version"))
    for wanted, versions in distributions.items():
        if name == wanted and any(version == each or version.startswith("%s." % each) for each in versions):
            return []
    supported = ", ".join("%s %s" % (wanted, each) for wanted, versions in distributions.items() for each in versions)
    return ["%s runs %s %s, which is not supported: rebuild the droplet with one of %s." % (host, name, version, supported)]


def address_problems(host, address, facts, place):
    """Sentences about a private address that is not set or not the droplet's."""
    if not address:
        return ["litefarm_private_address of %s is not set: put the address of the droplet's private network in the inventory's hosts.yml." % host]
    known = (facts.get("litefarm_droplet") or {}).get("addresses")
    if known is not None and address not in known:
        shown = ", ".join(sorted(each for each in known if ":" not in each and not each.startswith("127.")))
        return ["litefarm_private_address of %s is %s in %s, and the droplet has only %s: correct it." % (host, address, place, shown)]
    return []


def first_line(reason):
    """What ssh says, without Ansible's words around it."""
    text = str(reason).replace("Failed to connect to the host via ssh:", "").replace("Data could not be sent to remote host", "")
    lines = [line.strip().rstrip(".") for line in text.splitlines() if line.strip() and not line.strip().startswith("Warning:")]
    return lines[-1].rpartition("ssh: ")[2] if lines else "no reason given"


def group_problems(groups, needed, single, within=None):
    """Sentences about services without a droplet, services that must not run twice (with the reason), and services that need another one beside them."""
    problems = []
    for group in needed:
        if not groups.get(group):
            problems.append("No droplet is in the group %s, and every environment needs one: add one in the inventory's hosts.yml." % group)
    for group, reason in single.items():
        members = groups.get(group) or []
        if len(members) > 1:
            problems.append(
                "The group %s has %s, and it may have one droplet only, because %s: remove the others in the inventory's hosts.yml."
                % (group, " and ".join(sorted(members)), reason)
            )
    for group, other in (within or {}).items():
        lonely = sorted(set(groups.get(group) or []) - set(groups.get(other) or []))
        if lonely:
            problems.append(
                "%s is in the group %s and not in %s, without which nobody reaches it: add it there in the inventory's hosts.yml."
                % (" and ".join(lonely), group, other)
            )
    return problems


def environment_problems(environments, folders):
    """Sentences about a run over more than one environment. Both arguments: dict of droplet to its value."""
    if not environments:
        return ["No droplet is in the group litefarm: give an inventory that has one, for example -i inventories/production."]
    if len(set(folders.values())) > 1:
        return [
            "Droplets of two inventories are in one run (%s), and one would get the other's variables: run the playbook once for each, with one -i."
            % _by_value(folders)
        ]
    if len(set(environments.values())) > 1:
        return [
            "Droplets of two environments are in one run (%s): give every droplet the same litefarm_environment, or keep them in two inventories."
            % _by_value(environments)
        ]
    return []


def _by_value(values):
    grouped = {}
    for host, value in sorted(values.items()):
        name = short_path(value) if value and os.path.isabs(value) else value
        grouped.setdefault(name, []).append(host)
    return "; ".join("%s from %s" % (", ".join(hosts), name) for name, hosts in grouped.items())


def module_problem(host, answer):
    """A sentence about a droplet that answers and on which no module runs."""
    text = "%s\n%s\n%s" % (answer.get("msg", ""), answer.get("module_stderr", ""), answer.get("module_stdout", ""))
    if "password is required" in text or "Missing sudo password" in text:
        return "The user that logs in to %s may not become root without a password: give --ask-become-pass, or let it in /etc/sudoers.d." % host
    if answer.get("rc") == 127 or "not found" in text and "python" in text:
        return "%s has no Python 3 at /usr/bin/python3: install the package python3 there." % host
    return "Modules do not run on %s (%s): log in to it and look." % (host, first_line(answer.get("module_stderr") or answer.get("msg") or text))
