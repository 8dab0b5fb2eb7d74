# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the kernel has what a file or the container engine wants it to have: rules of nftables, rules of Docker, sysctl values.

Each function returns what differs, as text for a person, or an empty text. C(run) returns exit status and output of a command.
"""

from __future__ import annotations

import difflib
import glob
import json
import os
import re
import time


class CannotTell(Exception):
    """The question has no answer, or one that a person has to act on; the message says why."""


# -- nftables ----------------------------------------------------------------------------------------------------------

DIFFERENCE_LINES = 30


def nftables(table, file, run):
    """The rules of a table against those of a ruleset file.

    The file is loaded into a new network namespace, and nft lists the table there and here. Both lists come from the same nft, so its
    way to print rules does not matter; counters, and what traffic puts into sets, are left out.
    """
    show = ["nft", "--stateless", "list", "table"] + table.split()
    code, declared = run(["unshare", "--net", "sh", "-c", 'nft --file "$0" && exec "$@"', file] + show)
    if code != 0:
        raise CannotTell("%s cannot be loaded into another network namespace for a comparison: %s" % (file, declared))
    code, kernel = run(show)
    if code != 0:
        return "the kernel has no table %s, so its rules do not hold" % table
    return _difference(_rules(declared), _rules(kernel), table)


def _rules(listing):
    found, elements = [], False
    for line in listing.splitlines():
        # What a dynamic set holds may take several lines; no element has a brace in it.
        elements = elements or line.strip().startswith("elements = {")
        if elements:
            elements = "}" not in line
        else:
            found.append(re.sub(r"\s*# count \d+$", "", line).rstrip())
    return [line for line in found if line]


def _difference(declared, kernel, table):
    if declared == kernel:
        return ""
    lines = [line for line in difflib.unified_diff(declared, kernel, n=0, lineterm="") if not line.startswith(("---", "+++", "@@"))]
    lacks, more = (len([line for line in lines if line.startswith(sign)]) for sign in "-+")
    title = "the kernel lacks %d declared lines of table %s (-) and has %d others (+)" % (lacks, table, more)
    return "\n".join([title] + lines[:DIFFERENCE_LINES] + (["..."] if len(lines) > DIFFERENCE_LINES else []))


# -- Docker ------------------------------------------------------------------------------------------------------------

ENGINE_SETTINGS = "/etc/docker/daemon.json"
GATEWAY_MODE = "com.docker.network.bridge.gateway_mode_ipv4"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
# A container that starts or stops right now: its rules come and go a moment later.
TRIES, PAUSE = 4, 0.3
NAMED = 5
ENGINE_TIMEOUT = 30  # seconds


def docker(run, ask=None, pause=PAUSE):
    """The rules by which published ports and networks work, against the engine's running containers.

    The engine writes them when it and its containers start, and never looks at them again: it has to restart, which containers
    survive only with live-restore.
    """
    ask = ask or _ask_engine
    try:
        if not _uses_iptables():
            return ""
        lacks = _missing(run, ask)
        if not lacks:
            return ""
        # Not before: for this answer the engine starts other programs, which takes longer than all the rest.
        info = ask("/info")
        if ((info.get("FirewallBackend") or {}).get("Driver") or "").startswith("nftables"):
            # Engines from 29 on may write their rules into tables of their own.
            return ""
        for _again in range(TRIES - 1):
            time.sleep(pause)
            lacks = _missing(run, ask)
            if not lacks:
                return ""
    except (OSError, ValueError) as error:
        raise CannotTell("the engine does not say which rules its containers need: %s" % error)
    more = " and %d more" % (len(lacks) - NAMED) if len(lacks) > NAMED else ""
    text = "the kernel lacks rules of Docker's (%s%s)" % ("; ".join(lacks[:NAMED]), more)
    if not info.get("LiveRestoreEnabled"):
        raise CannotTell("%s. `systemctl restart docker` writes them again, but stops every container, as the engine runs without live-restore" % text)
    return text


def _ask_engine(path):
    # Here, because HTTP takes ten milliseconds to import, and most sets of files have no question for the engine.
    from http.client import HTTPException

    from ._engine_socket import SOCKET, Connection

    connection = Connection(SOCKET, ENGINE_TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            raise ValueError(content.get("message"))
        return content
    except HTTPException as error:
        raise ValueError("%s: %s" % (path, error or type(error).__name__)) from error
    finally:
        connection.close()


def _uses_iptables():
    try:
        with open(ENGINE_SETTINGS, encoding="utf-8") as settings:
            return json.load(settings).get("iptables") is not False
    except FileNotFoundError:
        return True


def _missing(run, ask):
    # Asked before the rules: what starts in between has more rules than are looked for.
    wanted, tables = needed(ask("/containers/json"), ask("/networks")), {}
    for table in ("nat", "filter"):
        code, output = run(["iptables-save", "-t", table])
        if code != 0:
            raise ValueError(output)
        tables[table] = output.splitlines()
    return [text for text, table, pattern in wanted if not any(re.search(pattern, line) for line in tables[table])]


def needed(containers, networks):
    """What the rules have to match: text for a person, table, pattern. Engines from 20.10 on write them like this."""
    wanted = [
        ("nat: PREROUTING does not jump to DOCKER", "nat", r"^-A PREROUTING .*-j DOCKER$"),
        ("nat: OUTPUT does not jump to DOCKER", "nat", r"^-A OUTPUT .*-j DOCKER$"),
        ("filter: FORWARD does not jump to Docker's chains", "filter", r"^-A FORWARD .*-j DOCKER"),
    ]
    bridges = {each["Name"]: each for each in networks if each["Driver"] == "bridge" and _option(each, GATEWAY_MODE, "nat") == "nat"}
    used = set()
    for container in containers:
        ends = {name: end.get("IPAddress") for name, end in ((container.get("NetworkSettings") or {}).get("Networks") or {}).items()}
        # One of another driver is not looked at: its ports may go by another way.
        if container.get("State") != "running" or not set(ends) <= set(bridges):
            continue
        used |= set(ends)
        # An internal network publishes no ports.
        addresses = "(%s)" % "|".join(re.escape(address) for name, address in ends.items() if address and not bridges[name].get("Internal"))
        for port in container.get("Ports") or []:
            if port.get("PublicPort") and ":" not in (port.get("IP") or "") and addresses != "()":
                where = "port %s:%d of %s" % (port.get("IP") or "", port["PublicPort"], container["Names"][0].lstrip("/"))
                dnat = r"^-A DOCKER .*--dport %d .*-j DNAT --to-destination %s:%d$" % (port["PublicPort"], addresses, port["PrivatePort"])
                accept = r"^-A DOCKER .*-d %s/32 .*--dport %d .*-j ACCEPT$" % (addresses, port["PrivatePort"])
                wanted += [("nat: no DNAT for %s" % where, "nat", dnat), ("filter: no ACCEPT for %s" % where, "filter", accept)]
    for name in sorted(used):
        if bridges[name].get("Internal") or _option(bridges[name], MASQUERADE, "true") == "false":
            continue
        for settings in (bridges[name].get("IPAM") or {}).get("Config") or []:
            if settings.get("Subnet") and ":" not in settings["Subnet"]:
                pattern = r"^-A POSTROUTING .*-s %s .*-j (MASQUERADE|SNAT)" % re.escape(settings["Subnet"])
                wanted.append(("nat: no MASQUERADE for network %s" % name, "nat", pattern))
    return wanted


def _option(network, name, default):
    return (network.get("Options") or {}).get(name, default)


# -- sysctl ------------------------------------------------------------------------------------------------------------

PROC_SYS = "/proc/sys"


def sysctl(file, root=PROC_SYS):
    """The values of the kernel against those of a file in the format of sysctl.conf."""
    with open(file, encoding="utf-8") as settings:
        last = {name: (value, optional) for name, value, optional in _declared(settings.read())}
    found = []
    for name, (value, optional) in sorted(last.items()):
        paths = _paths(name, root)
        if not paths and not optional:
            found.append("%s is not in the kernel" % name)
        for path in paths:
            # Some can be written only: they start something and have no value.
            if os.stat(path).st_mode & 0o444:
                with open(path, encoding="utf-8", errors="replace") as setting:
                    present = setting.read()
                if not _same(value, present):
                    found.append("%s is %s, declared is %s" % (name, " ".join(present.split()) or "empty", value))
    return "; ".join(found)


def _declared(text):
    """Triples of name, value, and whether the kernel may lack it."""
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith(("#", ";")):
            yield name.strip().lstrip("-").strip(), value.strip(), name.startswith("-")


def _paths(name, root):
    """The first of dot and slash separates; the other one is part of a name, as in the interface eth0.100."""
    separator = re.search(r"[./]", name)
    if separator and separator.group() == ".":
        name = name.translate(str.maketrans("./", "/."))
    return sorted(glob.glob(os.path.join(root, name)))


def _same(value, present):
    """The kernel prints numbers in its own way, and more of them than are declared if the rest was to stay."""
    wanted, found = ([_number(word) for word in text.split()] for text in (value, present))
    return wanted == found[: len(wanted)] if wanted else not found


def _number(word):
    try:
        return int(word, 0)
    except ValueError:
        return word
