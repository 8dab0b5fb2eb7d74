#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# plugins/action/container_service.py runs first, on the control node.

from __future__ import annotations

DOCUMENTATION = r"""
module: container_service
short_description: Run one container, and replace it without an outage
version_added: 0.1.0
description:
  - One declaration is one running container. When the declaration changes, the container is replaced, and if the new one is bad, the
    old one keeps serving or comes back.
  - Every step is safe to interrupt. A run that finds what an interrupted one left finishes it or clears it away. The protocol is
    C(docs/release-protocol.md) in this collection.
  - Containers are hardened. They get no capabilities, no new privileges, a read-only root, an init process, 3 log files of 10 MB,
    and limits on memory and processes.
  - They are on the user-defined bridge network C(litefarm), which is created if it is missing, with the MTU of the engine or the uplink,
    whichever is smaller. What the module keeps is in C(/var/lib/litefarm).
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
requirements:
  - Docker SDK for Python 5.0 or newer on the managed host (python3-docker)
  - a Docker engine on the managed host
extends_documentation_fragment:
  - litefarm.platform.run_number
attributes:
  check_mode:
    description: Says what would be changed, also on a host that has neither engine nor SDK yet.
    support: full
  diff_mode:
    description: Shows the declaration before and after; of secrets only their names, sizes of files, and that they changed.
    support: full
options:
  name:
    description:
      - Name of the service and of its container. Lower case letters, digits and underscores.
    type: str
    required: true
  state:
    description:
      - V(present) makes the declared release the running one; it is V(stage), V(switch), V(settle) and V(commit) in one.
      - V(stage) prepares the declared release beside the current one, up to healthy (O(update=rolling)) or created (O(update=recreate)).
        M(litefarm.platform.container_release) can carry it through the phases that follow, together with other services.
      - V(switch) makes the staged release serve.
      - V(settle) watches the switched release for O(settle), and drains the old one.
      - V(commit) stops and retains the old one, after V(settle) if that has not been done.
      - V(run) runs O(init_commands) from the declared image, and touches no container of the service.
      - V(revert) makes sure that the declared release does not run, and the one before it serves.
      - V(absent) removes containers, their configuration, images and the upstream file, but never data in O(mounts).
    type: str
    choices: [present, absent, stage, switch, settle, commit, revert, run]
    default: present
  image:
    description:
      - Image as C(name:tag) or C(name@sha256:digest). Compared by the image's id. Required unless O(state=absent).
      - A digest that is on the host already needs no registry.
    type: str
  pull:
    description:
      - V(missing) pulls O(image) if the host does not have it.
      - V(always), with O(state=present), asks the registry for the image that a tag names now. If the container with it is bad, the old one comes
        back, and so does the image under that tag.
    type: str
    choices: [missing, always]
    default: missing
  image_recipe:
    description:
      - Lines of a Dockerfile that are put on top of O(image). The image is built on the host when it is missing, and its tag is a hash of
        the base image's id and these lines, so that nothing else ever changes it.
    type: str
    default: ""
  command:
    description: Arguments of the process, instead of the image's.
    type: list
    elements: str
  entrypoint:
    description: Program of the process, instead of the image's.
    type: list
    elements: str
  user:
    description:
      - Numeric user and group of the process, as in V(1000:1000). Required unless O(state=absent); V(0:0) if it has to be root.
    type: str
  workdir:
    description: Working directory of the process.
    type: path
  env:
    description: Environment of the process. Shown in the diff.
    type: dict
    default: {}
  secret_env:
    description: Environment of the process that is never shown, as names and values.
    type: dict
    default: {}
  config_files:
    description: Files mounted read-only into the container. Their content is part of the declaration.
    type: list
    elements: dict
    default: []
    suboptions:
      path: &file_path
        description: Absolute path in the container.
        type: str
        required: true
      content: &file_content
        description: Content of the file.
        type: str
        required: true
      mode:
        description: Mode of the file, octal. It belongs to the user of the container.
        type: str
        default: "0444"
  secret_files:
    description: The same as O(config_files), for content that is never shown.
    type: list
    elements: dict
    default: []
    suboptions:
      path: *file_path
      content: *file_content
      mode:
        description: Mode of the file, octal. It belongs to the user of the container.
        type: str
        default: "0400"
  mounts:
    description: Directories or files of the host that are mounted into the container.
    type: list
    elements: dict
    default: []
    suboptions:
      source:
        description: Absolute path on the host. Created as a directory if O(mounts[].owner) is given; has to exist otherwise.
        type: path
        required: true
      target: &mount_target
        description: Absolute path in the container.
        type: str
        required: true
      read_only: &read_only
        description: Whether the container can only read it.
        type: bool
        default: false
      owner:
        description: Numeric user and group that the source belongs to, as in V(999:999).
        type: str
      mode:
        description: Mode of the source, octal, if O(mounts[].owner) is given.
        type: str
        default: "0750"
  tmpfs:
    description: Directories in memory, as path and options.
    type: dict
    default: {}
  ports:
    description: Published ports.
    type: list
    elements: dict
    default: []
    suboptions:
      container:
        description: Port in the container.
        type: int
        required: true
      address:
        description: Address of the host that the port is bound to.
        type: str
        default: 127.0.0.1
      host:
        description: Ports of the host. Two that alternate for O(update=rolling), one for O(update=recreate).
        type: list
        elements: int
        required: true
  memory_mb:
    description: Limit of memory, in MiB. There is no swap beyond it. V(0) is no limit.
    type: int
    default: 512
  cpus:
    description: Limit of processor time, in processors. V(0) is no limit.
    type: float
    default: 0
  pids_limit:
    description: Limit of processes and threads.
    type: int
    default: 256
  shm_mb:
    description: Size of C(/dev/shm), in MiB. V(0) is the engine's default.
    type: int
    default: 0
  extra_hosts:
    description: Names and addresses for the container's C(/etc/hosts).
    type: dict
    default: {}
  update:
    description:
      - V(rolling) starts the new release beside the old one and switches O(upstream).
      - V(recreate) stops the old one first. For what must never run twice, or owns data.
    type: str
    choices: [rolling, recreate]
    default: recreate
  probes:
    description:
      - Questions asked from the host. A release is healthy when all are answered well O(success_threshold) times in a row.
      - Without any, a release is healthy if it keeps running.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the probe in messages.
        type: str
        required: true
      kind:
        description: V(http) asks with GET, V(tcp) connects, V(exec) runs a command in the container.
        type: str
        choices: [http, tcp, exec]
        required: true
      port:
        description: Port in the container, for V(http) and V(tcp).
        type: int
      path:
        description: Path and query, for V(http).
        type: str
        default: /
      status:
        description: Statuses that are good, for V(http).
        type: list
        elements: int
        default: [200]
      contains:
        description: What the body has to contain, for V(http).
        type: str
      command:
        description: Command, for V(exec). Exit code 0 is good.
        type: list
        elements: str
      timeout:
        description: Time for one answer, in seconds.
        type: float
        default: 2
  success_threshold:
    description: Number of good rounds of O(probes) in a row that make a release healthy.
    type: int
    default: 3
  probe_interval:
    description: Time between two rounds, in seconds.
    type: float
    default: 1
  start_timeout:
    description: Time in which a release has to become healthy, in seconds.
    type: int
    default: 60
  settle:
    description:
      - Time for which a release is watched while it serves, before the old one is given up, in seconds. It counts from the last V(switch), so a run
        that resumes an interrupted one begins anew.
    type: float
    default: 3
  stop_timeout:
    description: Time that the container's process has to end after SIGTERM, in seconds.
    type: int
    default: 10
  drain_timeout:
    description: Time for which the old release of O(update=rolling) may still have connections, in seconds. They are cut after it.
    type: int
    default: 30
  drain_quiet:
    description:
      - Time for which nobody may have been connected to the old release of O(update=rolling) before it is stopped, in seconds. A service that
        answers first and works afterwards needs some.
    type: float
    default: 0.4
  init_commands:
    description:
      - Commands run from the new image, in order, before the new container starts, with its environment, files and hardening. A failure
        refuses the release.
      - They run only when a new container would be created, and may run again after an interruption.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name, part of the container's name.
        type: str
        required: true
      command:
        description: Arguments of the process.
        type: list
        elements: str
        required: true
      env:
        description: Environment in addition to the service's.
        type: dict
        default: {}
      mounts:
        description: Directories or files of the host. The service's O(mounts) are not inherited.
        type: list
        elements: dict
        default: []
        suboptions:
          source:
            description: Absolute path on the host. Has to exist.
            type: path
            required: true
          target: *mount_target
          read_only: *read_only
      timeout:
        description: Time after which it is given up, in seconds.
        type: int
        default: 600
      keep_output:
        description: Whether all that it says is returned and kept as a file in C(/var/log/litefarm), of which the newest 50 stay.
        type: bool
        default: false
  reconcile:
    description:
      - Commands run in the current container at the end of every run of O(state=present) and O(state=commit), for what no declaration of a
        container can say, as the roles of a database. They have to compare first, and change only what differs.
      - Each line of standard output that begins with C(changed:) is reported as a change.
      - A failure, or a command that does not end within 60 seconds, fails the task, and takes nothing back. A command that is interrupted
        is run again by the next run.
      - They run in check mode too, so O(reconcile[].stdin) has to be such that they only describe then, as by C(ansible_check_mode) in
        its template. Where there is no container that can be asked, it is reported that they would.
      - This option is never logged or shown as a whole. What a command says is shown, so it must not print secrets.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of what is reconciled, in messages.
        type: str
        required: true
      command:
        description: Program and arguments.
        type: list
        elements: str
        required: true
      stdin:
        description: What the command reads from its standard input.
        type: str
  before_stop:
    description:
      - Command run in a container of O(update=recreate) before it is stopped to be replaced, as for work that must not be cut off. O(after_start) is
        run in the container that takes its place.
      - Each line of standard output that begins with C(warning:) is shown as a warning. A failure, or a command that does not end in time, is a
        warning too, and the container is stopped all the same.
      - It belongs to the declared release and runs in the container before it, which may have been created without. So what it needs comes by
        O(before_stop.stdin). It has to bear to be repeated.
      - It is kept on the host, so it must not be secret. Changing it replaces no container.
    type: dict
    suboptions: &hook
      command:
        description: Program and arguments.
        type: list
        elements: str
        required: true
      stdin:
        description: What the command reads from its standard input.
        type: str
      timeout:
        description: Time after which it is no longer waited for, in seconds.
        type: int
        default: 60
  after_start:
    description:
      - Command run in the new container when it is healthy, or in the old one when it is back, if O(before_stop) may have run since it ran last.
        Required with O(before_stop).
      - If it fails in the new container, the release is taken back. In the old one a failure is a warning, and the next run runs it again.
      - As long as it is due, C(/var/lib/litefarm/container_service/NAME.after_start_due) exists, and a run finds something to change. When a run has
        been killed, C(NAME.lock) beside it is free, so that a unit of the host can tell.
    type: dict
    suboptions: *hook
  upstream:
    description:
      - The file that says which port serves, as C(server) lines to be included in an C(upstream) block of nginx. Required for
        O(update=rolling).
      - While a new release settles, the old one stands in it as C(backup), so that nginx asks it when the new one breaks down.
    type: dict
    suboptions:
      name:
        description: Name of the upstream. The file is this name with C(.conf), in C(/etc/nginx/upstreams.d), which has to exist.
        type: str
        required: true
      stream_source:
        description:
          - Address from which nginx opens connections for event streams (C(proxy_bind)). Draining does not wait for them, because they
            never end by themselves. They are cut when the old release is stopped.
        type: str
  retain:
    description:
      - Number of previous releases kept, as stopped containers with their images. The newest one always counts, those before it once
        for each image.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: The API serves the declared release
  litefarm.platform.container_service:
    name: api
    image: registry.example.org/litefarm/api@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    user: "1000:1000"
    env:
      NODE_ENV: production
    secret_env:
      DATABASE_URL: "{{ api_database_url }}"
    tmpfs:
      /usr/src/app/logs: size=16m
    ports:
      - container: 5000
        host: [15000, 15001]
    update: rolling
    upstream:
      name: api
    probes:
      - name: liveness
        kind: http
        port: 5000
        contains: OK
    init_commands:
      - name: migrate
        command: [node, node_modules/knex/bin/cli.js, migrate:latest, --knexfile=./.knex/knexfile.js]

- name: PostgreSQL runs on the private address
  litefarm.platform.container_service:
    name: postgres
    image: postgres:17
    user: "999:999"
    mounts:
      - source: /srv/litefarm/postgres
        target: /var/lib/postgresql/data
        owner: "999:999"
        mode: "0700"
    ports:
      - container: 5432
        address: 10.0.0.5
        host: [5432]
    stop_timeout: 60
    probes:
      - name: accepts connections
        kind: exec
        command: [pg_isready]
    reconcile:
      - name: the application's role
        command: [psql, --quiet, --tuples-only, --no-align, --file=-]
        stdin: "{{ lookup('ansible.builtin.template', 'role.sql.j2') }}"

- name: Replace a worker between two jobs
  litefarm.platform.container_service:
    name: worker
    image: registry.example.org/litefarm/worker:v1.2.3
    user: "1000:1000"
    before_stop:
      command: [worker, pause, --wait]
      timeout: 90
    after_start:
      command: [worker, resume]

- name: The release of this run is taken back
  litefarm.platform.container_service:
    name: api
    state: revert
    image: "{{ api_image }}"
    user: "1000:1000"
    update: rolling
    ports:
      - container: 5000
        host: [15000, 15001]
    upstream:
      name: api
"""

RETURN = r"""
release:
  description: The release that is current, or staged or switched if O(state) ends there. Empty in check mode on a host without an engine.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the service.
      type: str
      sample: api
    phase:
      description:
        - Where the release stands. One of C(current) (nothing was done), C(staged), C(switched), C(settled), C(committed), C(reverted), C(absent),
          C(ran) (O(init_commands) only), C(planned) (check mode).
      type: str
      sample: committed
    image:
      description: The image as it was declared.
      type: str
      sample: registry.example.org/litefarm/api@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    image_id:
      description: Id of the image.
      type: str
      sample: sha256:5d41402abc4b2a76b9719d911017c592ae0f9f9c4b2a76b9719d911017c592aa
    spec:
      description: Hash of the whole declaration.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015
    port:
      description: First host port.
      type: int
      sample: 15001
    number:
      description: Number of the release on this host.
      type: int
      sample: 7
    container:
      description: Name of the container.
      type: str
      sample: api
    previous:
      description: The release to which O(state=revert) would go back, with C(image), C(image_id), C(spec), C(number). Only when something was changed.
      type: dict
    duration:
      description: Time taken, in seconds.
      type: float
      sample: 8.12
init_commands:
  description:
    - Results of the O(init_commands) that ran, each with C(name), C(exit_code), C(seconds) and the last lines of C(output); with
      O(init_commands[].keep_output) with all of them, and the C(file) on the host that has them.
  returned: success
  type: list
  elements: dict
reconciled:
  description: Results of the commands of O(reconcile), each with C(name) and C(changes), the lines in which it reported changes.
  returned: always
  type: list
  elements: dict
msg:
  description: The lines in which the commands of O(reconcile) reported changes.
  returned: if there are any
  type: str
  sample: "changed: role litefarm is created"
log:
  description: Last lines of the log of the container that failed, or of what the command that failed said.
  returned: failure of a release
  type: list
  elements: str
probes:
  description: Last answers to the probes.
  returned: failure of a release
  type: list
  elements: str
exit:
  description: Why the container ended, if it did.
  returned: failure of a release
  type: str
  sample: exit code 3
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import _run_number as run_number
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import faults
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.host import LOCK_TIMEOUT, STATE_DIRECTORY, Clock, Host, Lock
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import Service, ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.plan import Before, difference, would_change, would_reconcile
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.probes import Prober
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.release import Release


def files(mode):
    return dict(
        type="list",
        elements="dict",
        default=[],
        options=dict(path=dict(type="str", required=True), content=dict(type="str", required=True), mode=dict(type="str", default=mode)),
    )


def mount(**more):
    return dict(
        type="list",
        elements="dict",
        default=[],
        options=dict(
            source=dict(type="path", required=True), target=dict(type="str", required=True), read_only=dict(type="bool", default=False), **more
        ),
    )


def hook():
    command = dict(type="list", elements="str", required=True)
    return dict(type="dict", options=dict(command=command, stdin=dict(type="str"), timeout=dict(type="int", default=60)))


def argument_spec():
    return dict(
        name=dict(type="str", required=True),
        state=dict(type="str", choices=["present", "absent", "stage", "switch", "settle", "commit", "revert", "run"], default="present"),
        image=dict(type="str"),
        pull=dict(type="str", choices=["missing", "always"], default="missing"),
        image_recipe=dict(type="str", default=""),
        command=dict(type="list", elements="str"),
        entrypoint=dict(type="list", elements="str"),
        user=dict(type="str"),
        workdir=dict(type="path"),
        env=dict(type="dict", default={}),
        secret_env=dict(type="dict", default={}, no_log=True),
        config_files=files("0444"),
        secret_files=dict(files("0400"), no_log=True),
        mounts=mount(owner=dict(type="str"), mode=dict(type="str", default="0750")),
        tmpfs=dict(type="dict", default={}),
        ports=dict(
            type="list",
            elements="dict",
            default=[],
            options=dict(
                container=dict(type="int", required=True),
                address=dict(type="str", default="127.0.0.1"),
                host=dict(type="list", elements="int", required=True),
            ),
        ),
        memory_mb=dict(type="int", default=512),
        cpus=dict(type="float", default=0),
        pids_limit=dict(type="int", default=256),
        shm_mb=dict(type="int", default=0),
        extra_hosts=dict(type="dict", default={}),
        update=dict(type="str", choices=["rolling", "recreate"], default="recreate"),
        probes=dict(
            type="list",
            elements="dict",
            default=[],
            options=dict(
                name=dict(type="str", required=True),
                kind=dict(type="str", choices=["http", "tcp", "exec"], required=True),
                port=dict(type="int"),
                path=dict(type="str", default="/"),
                status=dict(type="list", elements="int", default=[200]),
                contains=dict(type="str"),
                command=dict(type="list", elements="str"),
                timeout=dict(type="float", default=2),
            ),
        ),
        success_threshold=dict(type="int", default=3),
        probe_interval=dict(type="float", default=1),
        start_timeout=dict(type="int", default=60),
        settle=dict(type="float", default=3),
        stop_timeout=dict(type="int", default=10),
        drain_timeout=dict(type="int", default=30),
        drain_quiet=dict(type="float", default=0.4),
        init_commands=dict(
            type="list",
            elements="dict",
            default=[],
            options=dict(
                name=dict(type="str", required=True),
                command=dict(type="list", elements="str", required=True),
                env=dict(type="dict", default={}),
                mounts=mount(),
                timeout=dict(type="int", default=600),
                keep_output=dict(type="bool", default=False),
            ),
        ),
        reconcile=dict(
            type="list",
            elements="dict",
            default=[],
            no_log=True,
            options=dict(
                name=dict(type="str", required=True),
                command=dict(type="list", elements="str", required=True),
                stdin=dict(type="str"),
            ),
        ),
        before_stop=hook(),
        after_start=hook(),
        upstream=dict(type="dict", options=dict(name=dict(type="str", required=True), stream_source=dict(type="str"))),
        retain=dict(type="int", default=1),
        **run_number.OPTION,
    )


def shown_arguments(params):
    """Secrets are whole parameters, so Ansible's masking by value would also hide their innocent parts everywhere."""
    hidden = ("secret_env", "secret_files", "reconcile")
    return {key: "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" if key in hidden and value else value for key, value in params.items()}


def run(module, release):
    """Does or plans it; what was there before, for the diff, and whether there is an engine to ask."""
    run_number.require(module.params["run_number"], module.check_mode)
    if module.check_mode:
        release.phase = "planned"
        release.changed, seen = would_change(release)
        would_reconcile(release, engine_there=seen is not None)
        return Before(seen), seen is not None
    with Lock(release.host.lock_path, LOCK_TIMEOUT, release.clock):
        # Once more: it may have waited for a newer run to end here.
        run_number.require(module.params["run_number"])
        before = None
        if module._diff:
            release.observe()
            before = Before(release)
        getattr(release, module.params["state"])()
    return before, True


def warn(module, release):
    for warning in release.warnings + release.notes:
        module.warn(release.service.masker(warning))


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    service = Service(module.params)
    module.no_log_values = set(service.masker.values)
    shown = {"module_args": service.masker(shown_arguments(module.params))}
    problems = service.problems()
    if problems:
        module.fail_json(msg="container_service %s: %s." % (service.name, "; ".join(problems)), invocation=shown)
    engine = Engine()
    host = Host(service.name, STATE_DIRECTORY, service.upstream)
    release = Release(service, engine, host, Prober(service, engine), Clock(), faults.of(service.name))
    try:
        before, engine_there = run(module, release)
        changes = release.changes()
        result = {
            "changed": release.changed or bool(changes),
            "release": release.result() if engine_there else {},
            "init_commands": release.init_commands,
            "reconciled": release.reconciled,
        }
        if module._diff and release.changed:
            result["diff"] = difference(service, before, release.image_id, absent=module.params["state"] == "absent")
        if changes:
            result["msg"] = "\n".join(changes)
        if module._diff and changes:
            result.setdefault("diff", {})["prepared"] = result["msg"] + "\n"
    except run_number.RunRefused as error:
        module.fail_json(msg=str(error), invocation=shown)
    except ServiceError as error:
        details = service.masker(error.details)
        warn(module, release)
        module.fail_json(
            msg=service.masker(error.report()),
            changed=release.changed or bool(release.changes()),
            init_commands=release.init_commands,
            reconciled=service.masker(release.reconciled),
            invocation=shown,
            **details,
        )
    warn(module, release)
    module.exit_json(invocation=shown, **service.masker(result))


if __name__ == "__main__":
    main()
