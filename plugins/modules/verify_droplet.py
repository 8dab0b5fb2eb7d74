#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_droplet
short_description: Check one droplet from outside and from inside
version_added: 0.1.0
description:
  - Asks a droplet's address from the control node what a user would (pages, redirects, certificates, ports), with the right
    names whatever the DNS says yet, and looks on the droplet, with one module call, at its containers, databases and backups.
  - Returns rows of a table and never fails because of one; M(litefarm.platform.verify) does. Changes nothing.
options:
  checks:
    description:
      - Name of the variable that holds the checks by group. Only those of the droplet's own groups are evaluated.
      - Each check has C(check), its name in the table, and C(kind), one of C(http), C(certificate), C(ports), C(containers),
        C(backups) and C(database).
    type: str
    default: verify_checks
  ca_certificates:
    description: Certificate authorities to trust beside the system's, name to PEM.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for an answer from outside.
    type: int
    default: 10
  backups:
    description: Used by the action plugin, folders of backups to look at.
    type: list
    elements: dict
    default: []
  databases:
    description: Used by the action plugin, databases to look at.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: debian, ubuntu
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.verify
"""

EXAMPLES = r"""
- name: Every droplet is asked
  litefarm.platform.verify_droplet:
  vars:
    verify_checks:
      nginx:
        - {check: page, kind: http, url: "https://app.litefarm.org/", contains: "<html"}
  register: litefarm_verify
"""

RETURN = r"""
rows:
  description: One row for each expectation, with C(check), C(where), C(expected), C(seen) and C(result) (ok, WARN or FAIL).
  returned: always
  type: list
  elements: dict
containers:
  description: Containers of the platform's services. Only from the module on the droplet.
  returned: never to a playbook
  type: list
  elements: dict
"""

import datetime
import fnmatch
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule

SERVICE_LABEL = "litefarm.platform.service"
# Everything in one question, so that a database costs one client.
QUESTION = """
select json_build_object(
  'owner', pg_get_userbyid(d.datdba),
  'owner_powers', array_remove(array[case when r.rolsuper then 'superuser' end, case when r.rolcreaterole then 'createrole' end,
    case when r.rolcreatedb then 'createdb' end, case when r.rolreplication then 'replication' end,
    case when r.rolbypassrls then 'bypassrls' end], null),
  'tls_connections', (select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid) where a.datid = d.oid and a.usesysid = d.datdba and s.ssl),
  'plain_connections', (select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid) where a.datid = d.oid and a.usesysid = d.datdba and not s.ssl)
) from pg_database d join pg_roles r on r.oid = d.datdba where d.datname = :'name'
"""


def seconds_since(timestamp):
    """Docker writes nanoseconds, which Python does not read."""
    moment = datetime.datetime.fromisoformat(timestamp[:19]).replace(tzinfo=datetime.timezone.utc)
    return int((datetime.datetime.now(datetime.timezone.utc) - moment).total_seconds())


def containers(module, docker):
    code, listing, error = module.run_command([docker, "ps", "--all", "--quiet", "--filter", "label=%s" % SERVICE_LABEL])
    if code:
        return [], error.strip().splitlines()[-1] if error.strip() else "the engine does not answer"
    if not listing.split():
        return [], None
    code, documents, error = module.run_command([docker, "inspect"] + listing.split())
    found = []
    for document in json.loads(documents or "[]"):
        found.append(
            {
                "name": document["Name"].lstrip("/"),
                "service": document["Config"]["Labels"][SERVICE_LABEL],
                "status": document["State"]["Status"],
                "restarts": document["RestartCount"],
                "running_seconds": seconds_since(document["State"]["StartedAt"]),
            }
        )
    return found, None


def backups(wanted):
    newest, size, age = None, 0, 0
    if os.path.isdir(wanted["path"]):
        names = fnmatch.filter(os.listdir(wanted["path"]), wanted.get("pattern", "*"))
        paths = [path for path in (os.path.join(wanted["path"], name) for name in names) if os.path.isfile(path)]
        if paths:
            newest = max(paths, key=os.path.getmtime)
            size, age = os.path.getsize(newest), int(time.time() - os.path.getmtime(newest))
    return {"newest": newest, "bytes": size, "age_seconds": age}


def database(module, docker, wanted, running):
    names = [container["name"] for container in running if container["service"] == wanted["service"] and container["status"] == "running"]
    if not names:
        return {"error": "its container does not run"}
    psql = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname=postgres", "--file=-"]
    psql.append("--set=name=%s" % wanted["database"])
    code, answer, error = module.run_command([docker, "exec", "--interactive", "--user", str(wanted["user"]), names[0]] + psql, data=QUESTION)
    if code:
        return {"error": (error.strip().splitlines() or ["psql failed"])[-1]}
    return json.loads(answer) if answer.strip() else {"error": "there is no such database"}


def main():
    module = AnsibleModule(
        argument_spec={
            "checks": {"type": "str", "default": "verify_checks"},
            "ca_certificates": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 10},
            "backups": {"type": "list", "elements": "dict", "default": []},
            "databases": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    docker = module.get_bin_path("docker")
    running, error = containers(module, docker) if docker else ([], "no engine is installed")
    module.exit_json(
        changed=False,
        containers=running,
        engine_error=error,
        backups={wanted["path"]: backups(wanted) for wanted in module.params["backups"]},
        databases={wanted["database"]: database(module, docker, wanted, running) for wanted in module.params["databases"]},
    )


if __name__ == "__main__":
    main()
