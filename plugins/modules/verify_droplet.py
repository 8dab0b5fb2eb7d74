#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# plugins/action/verify_droplet.py runs first, on the control node.

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_droplet
short_description: Check one droplet from outside and from inside
version_added: 0.1.0
description:
  - Asks a droplet's address from the control node what a user would (pages, redirects, certificates, ports, an export), with the
    right names whatever the DNS says yet.
  - Looks on the droplet, with one module call, at its containers, databases and backups, and asks its neighbours from there what
    its services ask them (Redis, the image host, ports).
  - Returns rows of a table and never fails because of one; M(litefarm.platform.verify) does.
  - Changes nothing. An export that was asked for is removed from the bucket as soon as it is there, and in check mode none is asked for.
options:
  checks:
    description:
      - Name of the variable that holds the checks by group. Only those of the droplet's own groups are evaluated.
      - Each check has C(check), its name in the table, and C(kind), one of those below. With C(once) only one droplet of the run
        that is in the group is asked.
      - "C(http), from outside: C(url), C(method) (GET), C(status) (200), C(headers) (name to a regular expression) and C(contains)."
      - "C(certificate), from outside: C(host_name). A quarter of its lifetime is left, or 30 days if that is less."
      - "C(ports), from outside: C(open) and C(closed), lists of TCP ports."
      - "C(export), from outside: C(url) of the API's question, C(farm_id), C(user_id), C(jwt_secret), the C(seconds) (60) in which the
        export has to arrive, and C(storage) with C(endpoint), C(region), C(bucket), C(access_key_id) and C(secret_access_key). It is a
        warning if C(farm_id) or C(user_id) is empty. Needs boto3 on the control node."
      - "C(containers): one container of C(service) runs, and if it was restarted it has run for C(steady_seconds) (300). Two restarts in the last
        hour fail, one is a warning. C(memory) is the variable of its memory limit, if that is not the service's name with C(_memory_mb)."
      - "C(misplaced_containers): no service runs that is not in C(groups)."
      - "C(exec): C(command) in the container of C(service) ends with status 0. C(expected) says in words what that means."
      - "C(job_queues): what C(command), which reads C(stdin), reports in the container of C(service) of its queues. Jobs that have failed in the last
        24 hours are a warning, and so are queues that a release has paused."
      - "C(database): C(database) in the container of C(service), asked as C(user) (the container's own), belongs to C(owner)."
      - "C(backups): the newest file in C(path) that fits C(pattern) is younger than C(hours). With C(none_is_ok) there may be none.
        The file C(record), if it is there, says that the last one was taken."
      - "C(archive): in the folder C(state), the guard has reported within C(guard_seconds), WAL has waited less than C(late_seconds) (a warning) and
        C(failing_seconds), the disk has room and its reserve file (a warning), and the last verification is ok and younger than C(verify_hours). In the
        bucket, which C(command) in the container of C(service) asks, the newest backup is younger than C(hours) and the newest full one than
        C(full_hours); while the archive itself is younger, there may be none, which is a warning."
      - "C(file_backup): what the status file C(path) says of each tag is ok and younger than C(hours). Without the unit C(timer) there is nothing to copy."
      - "C(database_certificate), asked from the droplet: what PostgreSQL at C(address) and C(port) shows fits C(host_name) and the certificate
        C(authority), and is good for as long as with C(certificate). C(cure) says what to do if not."
      - "C(third_party_image): the registry has no newer image under the tag of the one that C(service) runs; else it is a warning. An answer of a
        registry is kept for an hour in C(/run/litefarm)."
      - "C(live): units and kernel of the droplet have what the files of C(sets) declare, names of sets of M(litefarm.platform.config_files)."
      - "C(unit): the last run of the systemd unit C(unit) did not fail, and C(timer), if there is one, is active."
      - "C(queue): HAProxy bounds the requests to C(service), and has refused none within the last hour; else it is a warning."
      - "C(maintenance): C(playbooks/maintenance.yml) has closed nothing with a page in C(path). While it has, a 503 of the host names in
        C(closes) is a warning only."
      - "C(repaired_log): Redis' container keeps no copy of a damaged log in C(path), as it does when it repairs one; else it is a warning."
      - "C(releases): all droplets of the run have the release that the history in C(path) says, and the last one is not partial; else it is a
        warning. M(litefarm.platform.verify) compares, when all droplets have answered."
      - "C(redis), asked from the droplet: C(host), C(port) and C(password)."
      - "C(image), asked from the droplet: C(url) of what imaginary is to do, C(key) and C(key_name)."
      - "C(peer_ports), asked from the droplet: C(ports), all TCP ports to ask the other droplets for, and C(open), those that are open: a
        list of C(port), C(of) (the group of the droplet that is asked) and C(for) (the groups of those that may use it, on its private
        address; without it everybody may, on all addresses)."
    type: str
    default: verify_checks
  ca_certificates:
    description: Certificate authorities to trust beside the system's, name to PEM.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for an answer.
    type: int
    default: 10
  backups:
    description: Used by the action plugin, folders of backups to look at.
    type: list
    elements: dict
    default: []
  archives:
    description: Used by the action plugin, archives of a database to look at.
    type: list
    elements: dict
    default: []
  file_backups:
    description: Used by the action plugin, status files of backups of files to look at.
    type: list
    elements: dict
    default: []
  history:
    description: Used by the action plugin, folder of the environment's history. Empty, none is read.
    type: path
    default: ""
  maintenance:
    description: Used by the action plugin, folders in which a page of maintenance may be.
    type: list
    elements: path
    default: []
  repaired_logs:
    description: Used by the action plugin, folders in which copies of damaged logs may be.
    type: list
    elements: path
    default: []
  databases:
    description: Used by the action plugin, databases to look at.
    type: list
    elements: dict
    default: []
  commands:
    description: Used by the action plugin, commands to run in the containers of services.
    type: list
    elements: dict
    default: []
  job_queues:
    description: Used by the action plugin, C(command) and C(stdin) by service.
    type: dict
    default: {}
  redis:
    description: Used by the action plugin, passwords by address of Redis.
    type: dict
    default: {}
  images:
    description: Used by the action plugin, keys by URL of the image host.
    type: dict
    default: {}
  third_party:
    description: Used by the action plugin, services whose images are looked at.
    type: list
    elements: str
    default: []
  units:
    description: Used by the action plugin, timers by systemd unit.
    type: dict
    default: {}
  request_queues:
    description: Used by the action plugin, whether queues of requests are looked at.
    type: bool
    default: false
  live:
    description: Used by the action plugin, sets of files of which it is looked whether they are live.
    type: list
    elements: str
    default: []
  database_certificates:
    description: Used by the action plugin, C(name) and C(authority) of a certificate by address of PostgreSQL.
    type: dict
    default: {}
  peers:
    description: Used by the action plugin, addresses and the ports to ask them for.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - litefarm.platform.attributes.asks_on_droplet
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
  description:
    - Containers of the platform's services, with C(name), C(service), C(image), C(status), C(restarts), C(running_seconds),
      C(restarts_last_hour) (null if the journal does not say) and C(out_of_memory). Empty if no check looks inside the droplet.
  returned: always
  type: list
  elements: dict
history:
  description: The C(records) of O(history), with the plan of a run that is under way as the last one, or the C(error). Only from the module on the droplet.
  returned: never to a playbook
  type: dict
"""

import concurrent.futures
import dataclasses
import datetime
import fnmatch
import json
import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import (
    _certificates as certificates,
    _config_files as config_files,
    _job_queues as job_queues,
    _ledger as ledger,
    _postgres_archive as postgres_archive,
    _repaired_log as repaired_log,
    _request_queues as request_queues,
    _restarts as restarts,
)
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import ATTEMPTS, ATTEMPTS_PAUSE, Engine, stillborn
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.images import third_party
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._maintenance import look
from ansible_collections.litefarm.platform.plugins.module_utils._verification import questions

SERVICE_LABEL = "litefarm.platform.service"
IMAGE_LABEL = "litefarm.platform.image"
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
                "image": document["Config"]["Labels"].get(IMAGE_LABEL, ""),
                "status": document["State"]["Status"],
                "restarts": document["RestartCount"],
                "running_seconds": seconds_since(document["State"]["StartedAt"]),
                **restarts.recent(document["Id"], document["RestartCount"]),
            }
        )
    return found, None


def history(directory):
    book = ledger.Ledger(directory)
    try:
        return {"records": [*book.history(), *ledger.planned(book.lock())], "error": book.damage()}
    except ledger.LedgerError as error:
        return {"records": [], "error": str(error)}


def backups(wanted):
    newest, size, age = None, 0, 0
    if os.path.isdir(wanted["path"]):
        names = fnmatch.filter(os.listdir(wanted["path"]), wanted.get("pattern", "*"))
        paths = [path for path in (os.path.join(wanted["path"], name) for name in names) if os.path.isfile(path)]
        if paths:
            newest = max(paths, key=os.path.getmtime)
            size, age = os.path.getsize(newest), int(time.time() - os.path.getmtime(newest))
    last = postgres_archive.read_result(wanted["record"]) if wanted.get("record") else None
    return {"newest": newest, "bytes": size, "age_seconds": age, "last": last}


def archive(docker, wanted, found, timeout):
    """What lies on the droplet about the archive, and what the bucket has: C(problem) says why the latter is not known."""
    command = [*wanted["command"], *postgres_archive.INFO]
    now, answer = time.time(), {"problem": "", "newest": None, "newest_full": None}
    done, error = execute(docker, wanted, found, command, max(timeout, postgres_archive.INFO_TIMEOUT))
    try:
        if error:
            raise postgres_archive.ArchiveError(postgres_archive.explain(None, error))
        if done.returncode:
            raise postgres_archive.ArchiveError(postgres_archive.explain(done.returncode, done.stderr or done.stdout))
        archived = postgres_archive.parse_info(done.stdout)
        newest = {"newest": archived.newest(), "newest_full": archived.newest("full")}
        answer.update({key: dict(dataclasses.asdict(each), age=postgres_archive.age(each.stop, now)) for key, each in newest.items() if each})
        answer["problem"] = archived.problem
    except postgres_archive.ArchiveError as refusal:
        answer["problem"] = str(refusal)
    answer["created_age"] = postgres_archive.created_age(wanted["state"], now)
    return dict(answer, **postgres_archive.look(wanted["state"]))


def age_of(path):
    try:
        return postgres_archive.age(os.stat(path).st_mtime, time.time())
    except OSError:
        return None


def container_of(service, found):
    """The name of the one that runs, or None."""
    return next((container["name"] for container in found if container["service"] == service and container["status"] == "running"), None)


def execute(docker, wanted, found, command, timeout, options=(), text=""):
    """What a command said that ran in the service's container and was given the text, and why nothing: one of the two is None.

    The timeout is in seconds. The module's own way to run a command fails with a broken pipe when the command ends before it
    has read everything.
    """
    name = container_of(wanted["service"], found)
    if not name:
        return None, "its container does not run"
    line = [docker, "exec"] + list(options) + [name] + command
    for remaining in reversed(range(ATTEMPTS)):
        try:
            done = subprocess.run(line, input=text, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            return None, "does not end within %d s" % timeout
        if not remaining or not stillborn(done.returncode, done.stdout + done.stderr):
            return done, None
        time.sleep(ATTEMPTS_PAUSE)


def database(docker, wanted, found, timeout):
    psql = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname=postgres", "--file=-"]
    psql.append("--set=name=%s" % wanted["database"])
    options = ["--user", wanted["user"]] if wanted["user"] else []
    done, error = execute(docker, wanted, found, psql, timeout, ["--interactive", *options], QUESTION)
    if error:
        return {"error": error}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["psql failed"])[-1]}
    return json.loads(done.stdout) if done.stdout.strip() else {"error": "there is no such database"}


def command(docker, wanted, found, timeout):
    done, error = execute(docker, wanted, found, wanted["command"], timeout)
    return {"error": error} if error else {"code": done.returncode, "output": (done.stdout + done.stderr)[-2000:]}


def third_party_images(services):
    try:
        return third_party(services, Engine())
    except ServiceError as error:
        return {name: {"image": "unknown", "age": None, "newer": None, "problem": str(error)} for name in services}


def ask_neighbours(pool, params):
    """Questions that wait for others, all at once: for each, by address, a future answer."""
    timeout = params["timeout"]
    pairs = [(peer["address"], port) for peer in params["peers"] for port in peer["ports"]]
    return {
        "redis": {address: pool.submit(questions.redis, address, password, timeout) for address, password in params["redis"].items()},
        "database_certificates": {
            address: pool.submit(certificates.of_postgres, address, wanted["name"], wanted["authority"], timeout)
            for address, wanted in params["database_certificates"].items()
        },
        "images": {url: pool.submit(questions.image, url, key, timeout) for url, key in params["images"].items()},
        "peers": {"open": pool.submit(questions.open_ports, pairs, min(timeout, 2))},
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "checks": {"type": "str", "default": "verify_checks"},
            "ca_certificates": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 10},
            "backups": {"type": "list", "elements": "dict", "default": []},
            "archives": {"type": "list", "elements": "dict", "default": []},
            "file_backups": {"type": "list", "elements": "dict", "default": []},
            "history": {"type": "path", "default": ""},
            "maintenance": {"type": "list", "elements": "path", "default": []},
            "repaired_logs": {"type": "list", "elements": "path", "default": []},
            "databases": {"type": "list", "elements": "dict", "default": []},
            "commands": {"type": "list", "elements": "dict", "default": []},
            "job_queues": {"type": "dict", "default": {}},
            "redis": {"type": "dict", "default": {}, "no_log": True},
            "images": {"type": "dict", "default": {}, "no_log": True},
            "third_party": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "dict", "default": {}},
            "request_queues": {"type": "bool", "default": False},
            "live": {"type": "list", "elements": "str", "default": []},
            "database_certificates": {"type": "dict", "default": {}},
            "peers": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    docker = module.get_bin_path("docker")
    timeout = module.params["timeout"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = ask_neighbours(pool, module.params)
        # What follows needs no more than this droplet.
        found, error = containers(module, docker) if docker else ([], "no engine is installed")
        others = pool.submit(third_party_images, module.params["third_party"]) if module.params["third_party"] and not error else None
        running = pool.submit(config_files.look, module.params["live"]) if module.params["live"] else None
        archives = {wanted["state"]: pool.submit(archive, docker, wanted, found, timeout) for wanted in module.params["archives"]}
        answers = {
            "containers": found,
            "engine_error": error,
            "history": history(module.params["history"]) if module.params["history"] else None,
            "backups": {wanted["path"]: backups(wanted) for wanted in module.params["backups"]},
            "file_backups": {
                wanted["path"]: {"status": postgres_archive.look_at_files(wanted["path"]), "timer_age": age_of(wanted["timer"])}
                for wanted in module.params["file_backups"]
            },
            "maintenance": {path: look(path) for path in module.params["maintenance"]},
            "repaired_logs": {path: repaired_log.look(path) for path in module.params["repaired_logs"]},
            "databases": {wanted["database"]: database(docker, wanted, found, timeout) for wanted in module.params["databases"]},
            "commands": {wanted["key"]: command(docker, wanted, found, timeout) for wanted in module.params["commands"]},
            "job_queues": {
                service: job_queues.ask(service, wanted["command"], wanted["stdin"]) if not error else {"problem": error}
                for service, wanted in module.params["job_queues"].items()
            },
            "archives": {state: answer.result() for state, answer in archives.items()},
            "redis": {address: answer.result() for address, answer in asked["redis"].items()},
            "database_certificates": {address: answer.result() for address, answer in asked["database_certificates"].items()},
            "third_party": others.result() if others else {},
            "live": running.result() if running else None,
            "units": {unit: certificates.last_run(unit, timer) for unit, timer in module.params["units"].items()},
            "request_queues": request_queues.look() if module.params["request_queues"] else None,
            "images": {url: answer.result() for url, answer in asked["images"].items()},
            "peers": {peer["address"]: [] for peer in module.params["peers"]},
        }
        for address, port in asked["peers"]["open"].result():
            answers["peers"][address].append(port)
    module.exit_json(changed=False, **answers)


if __name__ == "__main__":
    main()
