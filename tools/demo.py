# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: a lab on this machine, and in it the production environment, deployed as an operator deploys it.

Environment: LITEFARM_REPO and LITEFARM_VERSION (another application than the sample), LITEFARM_LAB (the lab's name).
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import shlex
import subprocess
import sys
import time

from steps import REPO, Step, clock, environment, run, say, tool

LAB = [sys.executable, "-m", "lab"]
ENVIRONMENT = "production"


class Failed(Exception):
    """A step failed; what there is to say has been said."""


def lab_name() -> str:
    return environment({}).get("LITEFARM_LAB") or "litefarm"


def logs() -> pathlib.Path:
    # The lab's folder holds keys: nobody else looks into it.
    state = REPO / ".lab" / lab_name()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state / "logs"


def step(name: str, command: list[str], env: dict[str, str] | None = None) -> str:
    """Runs a step and returns its output; a failed one says where to read on."""
    log = logs() / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.log"
    result = run(Step(name, command, env or {}, log=log), show_output=False)
    if not result.ok:
        tail = result.output.rstrip().splitlines()[-25:]
        say("\n".join(f"        {line}" for line in tail))
        say(f"\ndemo: “{name}” failed with status {result.status}. The whole log: {log.relative_to(REPO)}")
        say("demo: mend it and run make demo again, it goes on from there; make demo-down removes everything")
        raise Failed
    return result.output


def lab_json() -> dict:
    return json.loads(subprocess.run([*LAB, "status"], cwd=REPO, check=True, capture_output=True, text=True, env=environment({})).stdout)


def ansible_environment(status: dict) -> dict[str, str]:
    """What the lab says Ansible needs, as KEY=VALUE lines."""
    lines = pathlib.Path(status["paths"]["ansible_env"]).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def table_of(verify: str) -> str:
    """The table that verify.yml printed: from its heading to the next empty line, wherever Ansible put it."""
    lines = verify.splitlines()
    head = next((number for number, line in enumerate(lines) if re.match(r"CHECK\s+WHERE\s", line)), len(lines))
    table = []
    for line in lines[head:]:
        if not line.strip() or line.startswith(("TASK [", "PLAY ", "ok: ")):
            break
        table.append(f"  {line}")
    return "\n".join(table) or f"  (no table; see {_short(str(logs() / 'verify.log'))})"


def up() -> None:
    started = time.monotonic()
    wanted = environment({})
    say(f"demo: lab {lab_name()!r}, application {wanted.get('LITEFARM_REPO') or 'sample'} {wanted.get('LITEFARM_VERSION', '')}".rstrip())
    step("Docker engine", [*LAB, "engine"])
    step("Lab", [*LAB, "up", "--environment", ENVIRONMENT])
    status = lab_json()
    env = ansible_environment(status)
    playbook = tool("ansible-playbook")
    step("Secrets", [playbook, "playbooks/secrets.yml"], env)
    step("Storage", [playbook, "playbooks/storage.yml"], env)
    step("Build", [playbook, "playbooks/build.yml"], env)
    step("Deploy", [playbook, "site.yml"], env)
    report = step("Verify", [playbook, "playbooks/verify.yml"], env)
    say("")
    say(table_of(report))
    say("")
    say(guide(status))
    say(f"\ndemo: ready in {clock(time.monotonic() - started)}")


def guide(status: dict) -> str:
    """How a person gets at what now runs."""
    paths = {key: _short(value) for key, value in status["paths"].items() if isinstance(value, str)}
    names = {name: droplet["public_address"] for droplet in status["droplets"].values() for name in droplet["host_names"]}
    rules = ", ".join(f"MAP {name} {address}" for name, address in names.items())
    first, address = next(iter(names.items()))
    lines = ["Sites", *(f"  https://{name}" for name in names), ""]
    lines += ["On the command line", f"  curl --cacert {paths['ca']} --resolve {first}:443:{address} https://{first}/", ""]
    lines += [
        "In a browser on this machine, with a profile that is thrown away",
        f'  chromium --user-data-dir="$(mktemp -d)" --ignore-certificate-errors --host-resolver-rules="{rules}" https://{first}',
        "or in your own: add these lines to /etc/hosts and import the authorities of the lab as trusted ones",
        *(f"  {address} {name}" for name, address in names.items()),
        f"  {paths['ca']}",
        f"On another machine, first: sshuttle -r USER@THIS-MACHINE {status['networks']['public']['subnet']}",
        "",
        "Log in",
    ]
    for name, droplet in status["droplets"].items():
        lines.append(f"  ssh -i {paths['ssh_key']} -o UserKnownHostsFile={paths['known_hosts']} root@{droplet['public_address']}  # {name}")
    lines += [
        "",
        "Run playbooks against it",
        f"  set -a; . {paths['ansible_env']}; set +a; PATH={shlex.quote(_short(str(pathlib.Path(sys.executable).parent)))}:$PATH",
        "  ansible-playbook site.yml",
        "",
        "Remove all of it",
        "  make demo-down",
    ]
    return "\n".join(lines)


def _short(path: str) -> str:
    """Relative to the checkout where it lies in it."""
    candidate = pathlib.Path(path)
    return str(candidate.relative_to(REPO)) if candidate.is_relative_to(REPO) else path


def down() -> None:
    done = subprocess.run([*LAB, "down"], cwd=REPO, env=environment({}), check=False)
    if done.returncode:
        raise Failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up", "down"])
    try:
        {"up": up, "down": down}[parser.parse_args().action]()
    except Failed:
        return 1
    except KeyboardInterrupt:
        say("\ndemo: interrupted; make demo goes on, make demo-down removes everything")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
