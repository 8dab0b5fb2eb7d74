#!/usr/bin/env python3
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks of a running lab: the cost of an unchanged run, and releases under load. Writes docs/benchmarks.md.

A benchmark measures and never fails a build for being slow: machines are noisy. Medians are of five runs, those of recovery of ten.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bench_recovery
from tests.support import lab
from tests.support.deployment import variables
from tests.support.farm import ExportRequests, Farm
from tests.support.load import Load, Request
from tests.support.pictures import form, png

REPORT = lab.PROJECT / "docs" / "benchmarks.md"
# Names of the images in the registry, and how many versions of them are released in turn.
RELEASED, VERSIONS = ("api", "webapp", "export-scheduler"), 6
PAGE, API = "https://app.litefarm.org/", "https://api.app.litefarm.org/version"


def machine() -> str:
    """What the figures were measured on, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"


def unchanged_runs(runs: int) -> list[str]:
    """Runs site.yml on the converged droplets and tells what its module calls cost.

    Returns:
        Lines of Markdown.
    """
    seconds, calls = [], []
    # The sections before this one leave newer releases than the inventory's.
    must(lab.playbook("site.yml", *variables(force=True)))
    for _ in range(runs):
        with tempfile.NamedTemporaryFile() as file:
            env = {
                "ANSIBLE_CALLBACK_PLUGINS": str(lab.PROJECT / "tests" / "support" / "callback"),
                "ANSIBLE_CALLBACKS_ENABLED": "module_calls",
                "LITEFARM_MODULE_CALLS": file.name,
            }
            run = lab.playbook("site.yml", env=env)
            if run.status or run.total("changed"):
                sys.exit(f"The run was not an unchanged one:\n{run.output}")
            seconds.append(run.seconds)
            calls.append([json.loads(line) for line in Path(file.name).read_text().splitlines()])
    addresses = {host: lab.status()["droplets"][host]["public_address"] for host in lab.hosts("production")["litefarm"]}
    most = {host: max(sum(call["host"] == address for call in entry) for entry in calls) for host, address in addresses.items()}
    lines = [
        f"Unchanged `site.yml` on production's two droplets over SSH: median **{statistics.median(seconds):.1f} s** "
        f"({min(seconds):.1f} to {max(seconds):.1f}); module calls: {', '.join(f'{host} **{count}**' for host, count in most.items())}.",
        "",
        "| role | calls | ms (median of the sum) |",
        "|---|---|---|",
    ]
    per_role: dict[str, list[int]] = collections.defaultdict(list)
    for entry in calls:
        sums = collections.Counter()
        for call in entry:
            sums[call["role"] or "preflight"] += call["ms"]
        for role, total in sums.items():
            per_role[role].append(total)
    how_many = collections.Counter(call["role"] or "preflight" for call in calls[-1])
    lines += [f"| {role.split('.')[-1]} | {how_many[role]} | {statistics.median(sums):.0f} |" for role, sums in per_role.items()]
    return [*lines, ""]


PAGE_AND_API = (PAGE, API)
SLOW = "https://api.app.litefarm.org/slow?ms=2000"
EVENTS = "https://api.app.litefarm.org/notification_user/subscribe"
DEPLOY = ("playbooks/deploy.yml",)
HEADER = [
    "| release | seconds | fast requests | failed | outage, s | p99 of the second of the switch, ms | p99 in quiet, ms | slow requests failed | streams cut |",
    "|---|---|---|---|---|---|---|---|---|",
]


def versions(number: int) -> list[str]:
    """So many good releases of the sample, built, and the last of them deployed."""
    tags = [f"v3.{each}.0" for each in range(number)]
    for tag in tags:
        lab.lab("sample-release", "--tag", tag, "--set", f"version={tag[1:]}", "--set", "behaviour=ok")
        must(lab.playbook("playbooks/build.yml", "-e", f"litefarm_version={tag}"))
        must(lab.playbook(*DEPLOY, *variables(litefarm_version=tag, force=True)))
    return tags


def must(run: lab.Run) -> lab.Run:
    """The run, if it ended well."""
    if run.status:
        sys.exit(f"A run failed:\n{run.output}")
    return run


def from_elsewhere(work: Callable[[], float]) -> float:
    """Does something at a low priority: the control node is a machine of its own, and here it shares its cores with the droplets."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, 15)
    try:
        return work()
    finally:
        os.setpriority(os.PRIO_PROCESS, thread, 0)


def loaded(work: Callable[[], float], new: bytes) -> tuple[float, str]:
    """Does something under 100 requests/s on page and API each, slow requests and event streams beside them.

    Args:
        work: returns the seconds that it took.
        new: what only answers of the new release contain.

    Returns:
        The seconds, and cells of a row of HEADER.
    """
    requests = [*(Request(url, rate=100) for url in PAGE_AND_API), Request(SLOW, rate=2)]
    with Load(requests, lab.names(), lab.status()["paths"]["ca"], streams=[EVENTS] * 5) as load:
        time.sleep(12)
        seconds = from_elsewhere(work)
        time.sleep(8)
        report = load.stop()
    fast, slow = report.of(*PAGE_AND_API), report.of(SLOW)
    switch = fast.first_seen(new)
    quiet = statistics.median(second.p99 for second in fast.window(2, 11).series())
    failed = len(fast.failures)
    outage = fast.last_failure - fast.first_failure if failed else 0.0
    at_switch = fast.window(switch - 0.5, switch + 0.5).quantile(0.99)
    return seconds, (
        f"{seconds:.1f} | {len(fast.answers)} | {failed} | {outage:.1f} | {at_switch * 1000:.0f} | {quiet * 1000:.0f} | "
        f"{len(slow.failures)} of {len(slow.answers)} | {len(report.lost_streams)} |"
    )


def releases(runs: int) -> list[str]:
    """Our releases and rollbacks, and what docker-compose makes of the same two images, in turn.

    Returns:
        Lines of Markdown.
    """
    tags = versions(2)
    lines = [
        "100 requests/s on the page and 100 on the API, each over a connection of its own; beside them 2 requests/s that take 2 s, and 5 event streams. "
        "The images are on the droplets, no migration is new. `docker-compose up -d` recreates the same two containers behind the same nginx. "
        "Control node, load, both droplets and the services around them share the cores; what runs on the control node does so at a low priority.",
        "",
        *HEADER,
    ]
    ours, back, theirs = [], [], []
    with Compose(tags) as compose:
        for number in range(runs):
            seconds, cells = loaded(lambda: must(lab.playbook(*DEPLOY, *variables(litefarm_version=tags[0], force=True))).seconds, b"3.0.0")
            lines.append(f"| deploy.yml {number + 1} | {cells}")
            ours.append(seconds)
            must(lab.playbook(*DEPLOY, *variables(litefarm_version=tags[1], force=True)))
            seconds, cells = loaded(lambda: must(lab.playbook("playbooks/rollback.yml", "-e", f"to={tags[0]}", "-e", "force=true")).seconds, b"3.0.0")
            lines.append(f"| rollback.yml {number + 1} | {cells}")
            back.append(seconds)
            must(lab.playbook(*DEPLOY, *variables(litefarm_version=tags[1], force=True)))
            with compose.serving(tags[1]):
                seconds, cells = loaded(lambda: compose.up(tags[0]), b"3.0.0")
            lines.append(f"| docker-compose up -d {number + 1} | {cells}")
            theirs.append(seconds)
    unchanged = [must(lab.playbook(*DEPLOY, *variables(litefarm_version=tags[1], force=True))).seconds for _ in range(runs)]
    quiet = [must(lab.playbook(*DEPLOY, *variables(litefarm_version=tags[n % 2], force=True))).seconds for n in range(2 * runs)]
    return [
        *lines,
        "",
        f"Medians, Enter to prompt: deploy.yml **{statistics.median(ours):.1f} s** under that load and **{statistics.median(quiet):.1f} s** without, "
        f"rollback.yml **{statistics.median(back):.1f} s** under load, an unchanged deploy.yml **{statistics.median(unchanged):.1f} s**, "
        f"docker-compose {statistics.median(theirs):.1f} s. The application's own boot is in them: {boot(tags[0]):.1f} s for the API.",
        "",
    ]


def boot(tag: str) -> float:
    """Seconds from the start of an API container to its first answer, as the container's log and the engine tell."""
    droplet = lab.connect("litefarmapp")
    started = droplet.check_output("docker inspect --format '{{.State.StartedAt}}' api")[:26]
    first = droplet.check_output("docker logs --timestamps api 2>&1 | grep -m1 'listening on port'").split()[0][:26]
    moments = [datetime.datetime.fromisoformat(text) for text in (started, first)]
    return (moments[1] - moments[0]).total_seconds()


class Compose:
    """The two containers as docker-compose runs them, behind the droplet's nginx, on ports of their own."""

    PORTS = {"api": (16000, 5000), "webapp": (16080, 8080)}
    FOLDER = "/root/bench-compose"

    def __init__(self, tags: list[str]):
        self.droplet = lab.connect("litefarmapp")
        self.images: dict[str, dict[str, str]] = {}
        self.services: dict[str, dict] = {}
        for tag in tags:
            must(lab.playbook(*DEPLOY, *variables(litefarm_version=tag, force=True)))
            seen = {name: json.loads(self.droplet.check_output(f"docker inspect {name}"))[0] for name in self.PORTS}
            self.images[tag] = {name: one["Config"]["Image"] for name, one in seen.items()}
            self.services = {name: self._service(name, one) for name, one in seen.items()}

    def _service(self, name: str, seen: dict) -> dict:
        config, host = seen["Config"], seen["HostConfig"]
        outside, inside = self.PORTS[name]
        return {
            "command": config["Cmd"],
            "entrypoint": config["Entrypoint"],
            "user": config["User"],
            "working_dir": config["WorkingDir"],
            # A dollar sign would be a variable of the file.
            "environment": [each.replace("$", "$$") for each in config["Env"]],
            "volumes": [f"{each['Source']}:{each['Target']}:ro" for each in host["Mounts"]],
            "tmpfs": [f"{path}:{options}" for path, options in host["Tmpfs"].items()],
            "extra_hosts": host["ExtraHosts"],
            "ports": [f"127.0.0.1:{outside}:{inside}"],
            "init": True,
            "restart": "unless-stopped",
            "networks": ["litefarm"],
        }

    def __enter__(self) -> Compose:
        self.droplet.check_output("which docker-compose || (apt-get -qq update && apt-get -qq -y --no-install-recommends install docker-compose)")
        self.droplet.check_output(f"mkdir -m 0700 -p {self.FOLDER}")
        return self

    def __exit__(self, *_exc: object) -> None:
        self.droplet.run(f"cd {self.FOLDER} && docker-compose down; rm -rf {self.FOLDER}")

    def up(self, tag: str) -> float:
        """Seconds that `docker-compose up -d` takes to move to a release."""
        services = {name: {**service, "image": self.images[tag][name]} for name, service in self.services.items()}
        document = {"services": services, "networks": {"litefarm": {"external": True}}}
        lab.over_ssh("litefarmapp", ["sh", "-c", f"umask 077; cat > {self.FOLDER}/docker-compose.yml"], json.dumps(document))
        began = time.monotonic()
        self.droplet.check_output(f"cd {self.FOLDER} && docker-compose up -d")
        return time.monotonic() - began

    @contextlib.contextmanager
    def serving(self, tag: str):
        """nginx asks these containers meanwhile."""
        self.up(tag)
        time.sleep(5)
        folder = "/etc/nginx/upstreams.d"
        self.droplet.check_output(f"mkdir {folder}.kept && cp {folder}/*.conf {folder}.kept/")
        try:
            for name, (port, _inside) in self.PORTS.items():
                self.droplet.check_output(f"echo 'server 127.0.0.1:{port} max_fails=0;' > {folder}/{name}.conf")
            self.droplet.check_output("systemctl reload nginx")
            yield
        finally:
            self.droplet.check_output(f"cp {folder}.kept/*.conf {folder}/ && rm -r {folder}.kept && systemctl reload nginx")
            self.droplet.check_output(f"cd {self.FOLDER} && docker-compose down")


def left_behind(runs: int) -> list[str]:
    """What fifty releases leave on the droplets.

    Returns:
        Lines of Markdown.
    """
    tags = versions(VERSIONS)
    before = {name: litter(name) for name in ("litefarmapp", "litefarm-imaginary")}
    for number in range(10 * runs):
        must(lab.playbook(*DEPLOY, *variables(litefarm_version=tags[number % VERSIONS], force=True)))
    lines = [
        f"After {10 * runs} releases of {VERSIONS} versions in turn, each with images of its own (before them, with the last version deployed):",
        "",
        "| droplet | images of services | containers | volumes | networks | disk, MB |",
        "|---|---|---|---|---|---|",
    ]
    for name, counts in before.items():
        lines.append(f"| {name} | " + " | ".join(f"{now} ({then})" for now, then in zip(litter(name), counts)) + " |")
    return [*lines, ""]


def litter(name: str) -> list[object]:
    """Images of each released service, containers, volumes, networks and megabytes of a droplet's engine."""
    droplet = lab.connect(name)
    repositories = [line.rpartition("/")[2] for line in droplet.check_output("docker images --format '{{.Repository}}'").split()]
    images = ", ".join(f"{repository}: {repositories.count(repository)}" for repository in RELEASED if repository in repositories)
    counts = [images, *(len(droplet.check_output(command).split()) for command in ("docker ps -aq", "docker volume ls -q", "docker network ls -q"))]
    size = droplet.check_output("du -sm --exclude=/var/lib/docker/containers/*/*.log /var/lib/docker /var/lib/litefarm | cut -f1").split()
    return [*counts, sum(map(int, size))]


def exports(runs: int) -> list[str]:
    """Exports of a farm with twenty pictures, one after the other.

    Returns:
        Lines of Markdown.
    """
    farm, seconds = Farm("production"), []
    for number in range(20):
        status, body = farm.upload(png(320, 240, seed=number), f"bench-{number}.png")
        if status != 201:
            sys.exit(f"The API did not take a picture: {body}")
    for _ in range(runs):
        earlier, began = farm.exports(), time.monotonic()
        farm.request_export()
        (export,) = farm.wait_for_exports(earlier)
        seconds.append(time.monotonic() - began)
    return [
        f"An export of {len(farm.files_of(export))} files, from the request to the object in the bucket: median **{statistics.median(seconds):.1f} s** "
        f"({min(seconds):.1f} to {max(seconds):.1f}).",
        "",
    ]


def pictures(runs: int) -> list[str]:
    """Pictures made smaller through nginx, and by imaginary alone, in turn; asked on the droplet itself, so that both have the same way.

    Returns:
        Lines of Markdown.
    """
    droplet = lab.connect("litefarm-imaginary")
    port = droplet.check_output("docker port imaginary").rpartition(":")[2].strip()
    headers, body = form(png(640, 480), "picture.png")
    ways = {
        "through nginx": ("https://127.0.0.1:443", {**headers, "API-Key": lab.vault("production")["vault_imaginary_token"]}),
        "imaginary alone": (f"http://127.0.0.1:{port}", headers),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    script = (lab.PROJECT / "tests" / "support" / "thumbnails.py").read_text()
    for _ in range(runs):
        for way, (address, fields) in ways.items():
            order = {"url": f"{address}/thumbnail?width=300&type=webp", "host_name": "image.litefarm.org", "headers": fields}
            order |= {"body": base64.b64encode(body).decode(), "clients": 4, "seconds": 5}
            answer = json.loads(lab.over_ssh("litefarm-imaginary", ["python3", "-c", script], json.dumps(order)))
            if set(answer["statuses"]) != {"200"}:
                sys.exit(f"Not every picture was made smaller {way}: {answer}")
            rates[way].append(answer["pictures"] / answer["seconds"])
    medians = {way: statistics.median(found) for way, found in rates.items()}
    ratio = statistics.median(through / alone for through, alone in zip(*rates.values()))
    return [
        "Pictures (640 x 480 PNG to 300 px WebP, 4 clients) a second: "
        + ", ".join(f"{way} **{rate:.1f}**" for way, rate in medians.items())
        + f"; ratio of the same run **{ratio:.2f}**.",
        "",
    ]


def rotated(secret: dict) -> bool:
    """Whether rotations of a secret are measured: the platform makes it, one rotation ends it, and no older backup needs the value before."""
    made = secret["kind"] in ("token", "tls_certificate") and not secret.get("fixed")
    return made and not secret.get("elsewhere") and not secret.get("keep_previous")


def rotations() -> list[str]:
    """Every secret that a benchmark may rotate, rotated once while users and exports are at work.

    Returns:
        Lines of Markdown.
    """
    lines = [
        "Rotation of each secret under 30 requests/s on the page and the API, with and without its database, and an export every five seconds:",
        "",
        "| secret | seconds | requests | failed | exports | what it means |",
        "|---|---|---|---|---|---|",
    ]
    secrets = yaml.safe_load((lab.PROJECT / "playbooks" / "vars" / "secrets.yml").read_text())["litefarm_secrets"]
    urls = [PAGE, "https://api.app.litefarm.org/", "https://api.app.litefarm.org/login/user/nobody@example.org"]
    for secret in secrets:
        if not rotated(secret):
            continue
        farm = Farm("production")
        earlier = farm.exports()
        with ExportRequests(farm, every=5) as exports_asked, Load(urls, lab.names(), lab.status()["paths"]["ca"], rate=10) as load:
            run = lab.playbook("playbooks/rotate.yml", "-e", f"secret={secret['name']}")
            report = load.stop()
        if run.status:
            sys.exit(f"rotate.yml failed:\n{run.output}")
        arrived = len(farm.wait_for_exports(earlier, exports_asked.accepted, seconds=180))
        lines.append(
            f"| {secret['name'].removeprefix('vault_')} | {run.seconds:.0f} | {len(report.answers)} | {len(report.failures)} | "
            f"{exports_asked.accepted} accepted, {exports_asked.refused} refused, {arrived} arrived | {secret.get('rotation', 'as its key')} |"
        )
    return [*lines, ""]


SECTIONS = {
    "Releases": releases,
    "What releases leave behind": left_behind,
    "An unchanged site.yml": unchanged_runs,
    "Exports": exports,
    "Pictures": pictures,
    "Rotations": lambda _runs: rotations(),
    "Backups and recovery": bench_recovery.measure,
}
RUNS = {"Backups and recovery": 10}


def sections(text: str) -> dict[str, str]:
    """What an earlier report says, by its headings."""
    parts = text.split("\n## ")[1:]
    return {part.partition("\n")[0].strip(): part.partition("\n")[2].strip() for part in parts}


def main() -> None:
    """Measures the lab that runs and writes the report; sections that were not measured stay as they were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SECTION", help=f"only these: {', '.join(SECTIONS)}")
    parser.add_argument("--runs", type=int, help="how often each is measured (default 5, backups and recovery 10)")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(SECTIONS)
    if unknown:
        parser.error(f"there is no section {' or '.join(sorted(unknown))}")
    measured = sections(REPORT.read_text()) if REPORT.exists() else {}
    for name, measure in SECTIONS.items():
        if not arguments.names or name in arguments.names:
            today = datetime.date.today().isoformat()
            runs = RUNS.get(name, 5) if arguments.runs is None else arguments.runs
            measured[name] = "\n".join([f"Measured on {today}: {machine()}.", "", *measure(runs)]).strip()
    names = [*SECTIONS, *(name for name in measured if name not in SECTIONS)]
    body = "".join(f"\n## {name}\n\n{measured[name]}\n" for name in names if name in measured)
    REPORT.write_text(f"# Benchmarks\n\nMade by `make bench` on a running demo; one section again: `.venv/bin/python tools/bench.py Releases`.\n{body}")
    print(REPORT.read_text())


if __name__ == "__main__":
    main()
