#!/usr/bin/env python3
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks of a running lab: the cost of an unchanged run, and releases under load. Writes docs/benchmarks.md.

A benchmark measures and never fails a build for being slow: machines are noisy. Medians are of five runs.
"""

from __future__ import annotations

import argparse
import base64
import collections
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support import lab
from tests.support.farm import ExportRequests, Farm
from tests.support.load import Load
from tests.support.pictures import form, png

REPORT = lab.PROJECT / "docs" / "benchmarks.md"
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


def release(tag: str, behaviour: str, runs_before: str) -> tuple[str, float]:
    """Builds and deploys a version under 50 requests/s on page and API.

    Returns:
        A row of Markdown and the seconds that the deploying run took.
    """
    lab.lab("sample-release", "--tag", tag, "--set", f"version={tag[1:]}", "--set", f"behaviour={behaviour}")
    built = lab.playbook("playbooks/build.yml", "-e", f"litefarm_version={tag}")
    if built.status:
        sys.exit(f"build.yml failed:\n{built.output}")
    with Load([PAGE, API], lab.names(), lab.status()["paths"]["ca"], rate=50) as load:
        run = lab.playbook("site.yml", "-e", f"litefarm_version={tag}")
        report = load.stop()
    served = " ".join(report.bodies("/version")[-1].decode().split())
    row = (
        f"| {behaviour}, after {runs_before} | {'released' if run.status == 0 else 'refused'} | {len(report.answers)} | "
        f"{len(report.failures)} | {report.quantile(0.5) * 1000:.0f} | {report.quantile(0.99) * 1000:.0f} | {run.seconds:.1f} | `{served}` |"
    )
    return row, run.seconds


def releases(runs: int) -> list[str]:
    """Good and bad releases in turn.

    Returns:
        Lines of Markdown.
    """
    lines = [
        "Releases under 50 requests/s on the page and 50 on the API, each over a connection of its own:",
        "",
        "| release | outcome | requests | failed | median ms | p99 ms | seconds | then served |",
        "|---|---|---|---|---|---|---|---|",
    ]
    good = []
    for number in range(runs):
        row, seconds = release(f"v2.{number}.0", "ok", f"v2.{number - 1}.0" if number else "the release before")
        lines.append(row)
        good.append(seconds)
        row, _ = release(f"v2.{number}.1", "crash-at-start", f"v2.{number}.0")
        lines.append(row)
    return [*lines, "", f"Median of the good ones, Enter to prompt: **{statistics.median(good):.1f} s**.", ""]


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


def rotations() -> list[str]:
    """Every secret that the platform itself makes, rotated once while users and exports are at work.

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
        if secret["kind"] not in ("token", "tls_certificate") or secret.get("elsewhere"):
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


def main() -> None:
    """Measures the lab that runs and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--note", default="", help="a last paragraph for the report, such as how long make demo took")
    arguments = parser.parse_args()
    lines = ["# Benchmarks", "", f"Made by `make bench` on: {machine()}.", ""]
    lines += unchanged_runs(arguments.runs)
    lines += exports(arguments.runs)
    lines += pictures(arguments.runs)
    lines += rotations()
    lines += releases(arguments.runs)
    if arguments.note:
        lines += [arguments.note, ""]
    REPORT.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
