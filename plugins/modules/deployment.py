#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# plugins/action/deployment.py runs first, on the control node.

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment
short_description: The lock and the history of an environment's releases
version_added: 0.1.0
description:
  - Keeps two files on one droplet of the environment (C(lock.json) and C(history.jsonl) in O(directory)), so that one run at a
    time releases anything, and everybody sees what was released.
  - A lock that expired is replaced. A lock whose process is known to be gone is replaced at once if it was taken on this same
    control node. The run that held it gets a line in the history, with the result C(interrupted).
  - Both files are changed under a lock of the kernel (C(flock)) and survive a power cut as a whole. A torn last line of the history is
    ignored, and removed when the next one is written. The newest 1000 lines are kept.
  - Every task of a run names the same droplet, with C(run_once) and C(delegate_to).
options:
  state:
    description:
      - V(read) returns both, and appends O(record) if there is one.
      - V(locked) takes the lock for O(run), or extends it if O(run) has it already. Fails in one sentence if another run holds it, or if
        the history says that the release of O(plan) must not be made (see O(force)). Then nothing is locked.
      - V(checked) fails if the lock is not held by O(run) any more, and extends it otherwise, with O(plan) as its new plan if one is given.
        Meant for the moment before each step that changes something.
      - V(unlocked) gives the lock back, after O(record) was appended. If O(run) does not hold it any more, nothing is removed, and the
        task warns.
      - V(broken) removes the lock, whoever holds it.
    type: str
    choices: [read, locked, checked, unlocked, broken]
    default: read
  directory:
    description: Where the files are. Created if it is missing, when there is something to write.
    type: path
    default: /var/lib/litefarm/deployment
  run:
    description: A text that no other run has. Needed for V(locked), V(checked) and V(unlocked).
    type: str
  what:
    description: What the run does, for the people whom its lock stops, for example C(deploy v1.2.3 (abcdef0)). Needed for V(locked).
    type: str
  minutes:
    description: How many minutes from now the lock expires.
    type: int
    default: 60
  holder:
    description:
      - Who runs this (C(who)), where (C(node)) and as which process (C(machine), C(boot), C(pid), C(start)).
      - Filled in on the control node. C(who) is the variable C(litefarm_operator), or else the user who is logged in.
    type: dict
    default: {}
  plan:
    description:
      - What the record of this run would say as far as it is known when the lock is taken (C(kind), C(from), C(to), C(images) and
        other keys of O(record)). It becomes the record if the run is killed.
    type: dict
    default: {}
  force:
    description:
      - With V(locked), whether C(plan.to) is released although a rollback left it and nobody has released it since, or although a newer release
        has taken its place. Only for C(plan.kind) V(deploy) and V(site); a rollback and a restore need none.
    type: bool
    default: false
  completed:
    description:
      - With V(locked), names of the migrations that the database has. What a lock that is taken over planned as C(migrations) is
        recorded only as far as it is among them. Filled in on the control node if this run has asked for it; otherwise all of them are recorded.
    type: list
    elements: str
  takes_over:
    description:
      - With V(locked), the O(run) of a lock whose process is known to be gone; found out on the control node. With V(broken), the only
        lock that is to be broken.
    type: str
    default: ""
  record:
    description:
      - A line of the history. What is missing is taken from the lock of this run, or is empty.
      - C(kind), what was done, is V(deploy), V(site), V(rollback) or V(restore), and C(result) is V(ok), V(partial), V(failed) or V(interrupted).
        Both are needed.
      - V(partial) is a release that is in place on the droplets of the run, while others of the environment still have another one.
      - C(time), C(started) and C(seconds) say when it ended and began (ISO 8601 in UTC) and how long it took. By default it ends now and
        began when the lock was taken.
      - C(who) and C(run) are by default those of O(holder) and O(run).
      - C(from) and C(to) are the releases before and after, each with C(version) and C(commit); C(images) has the reference of each
        service's image.
      - C(migrations), C(services) and C(hosts) are lists of the migrations that ran, the services that were replaced, and the droplets on
        which that happened.
      - C(message) says why it failed, and is shortened to one line of 500 characters.
    type: dict
  lines:
    description: How many of the newest lines of the history are returned.
    type: int
    default: 10
  unlock:
    description: The command that a person is told to break the lock with. Filled in on the control node.
    type: str
    default: ansible-playbook playbooks/unlock.yml
extends_documentation_fragment:
  - litefarm.platform.attributes.changes
attributes:
  check_mode:
    details: Nothing is written. A lock that another run holds is a failure all the same.
notes:
  - A lock that is taken and given back is no change. A record is one, and so is a lock that is broken.
  - Whether a process is gone is known where the control node has C(/proc). Elsewhere a lock that was left behind has to expire or be broken.
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.status
"""

EXAMPLES = r"""
- name: Nobody else releases anything
  litefarm.platform.deployment:
    state: locked
    run: "{{ deploy_run }}"
    what: deploy v1.2.3 (abcdef0)
    plan: {kind: deploy, to: {version: v1.2.3, commit: "{{ litefarm_release.commit }}"}}
  run_once: true
  delegate_to: "{{ litefarm_history_host }}"

- name: The lock is still this run's
  litefarm.platform.deployment:
    state: checked
    run: "{{ deploy_run }}"
  run_once: true
  delegate_to: "{{ litefarm_history_host }}"

- name: What happened is written down, and others may release
  litefarm.platform.deployment:
    state: unlocked
    run: "{{ deploy_run }}"
    record: {kind: deploy, result: ok, to: {version: v1.2.3, commit: "{{ litefarm_release.commit }}"}, services: [api]}
  run_once: true
  delegate_to: "{{ litefarm_history_host }}"
"""

RETURN = r"""
now:
  description: The time of the droplet's clock, by which the times of the lock and of the history are to be judged.
  returned: success
  type: str
  sample: "2026-07-01T10:00:12Z"
lock:
  description:
    - The present lock, if there is one; also when another run's lock is why the task failed. Its C(number) is higher than those of all
      locks before it.
  returned: always
  type: dict
  sample:
    run: 20260701T100000-4711
    number: 1782900000
    what: deploy v1.2.3 (abcdef0)
    who: anna
    node: workstation
    since: "2026-07-01T10:00:00Z"
    expires: "2026-07-01T11:00:00Z"
    plan: {}
dead:
  description: Whether the process that holds the lock is known to have ended; known only on the control node where it ran.
  returned: there is a lock
  type: bool
taken_over:
  description: The lock that was replaced or broken, if any, and C(why).
  returned: success
  type: dict
history:
  description: The newest records, the newest last. Every record has all keys of O(record); C(seconds) of an interrupted run is null.
  returned: success
  type: list
  elements: dict
  sample:
    - time: "2026-07-01T10:00:42Z"
      started: "2026-07-01T10:00:00Z"
      seconds: 42
      who: anna
      run: 20260701T100000-4711
      kind: deploy
      result: ok
      from: {version: v1.2.2, commit: 5d1c1f2a7b0e9c3d4f6a8b1c2d3e4f5061728394}
      to: {version: v1.2.3, commit: abcdef0123456789abcdef0123456789abcdef01}
      images: {api: registry.example.org/litefarm/api@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b}
      migrations: []
      services: [api]
      hosts: [litefarmapp]
      message: ""
msg:
  description: What a person wants to know about the lock that was replaced or broken; or why the task failed.
  returned: failed, or O(state=broken), or RV(taken_over) is set
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.litefarm.platform.plugins.module_utils import _ledger as ledger


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["read", "locked", "checked", "unlocked", "broken"], "default": "read"},
            "directory": {"type": "path", "default": "/var/lib/litefarm/deployment"},
            "run": {"type": "str"},
            "what": {"type": "str"},
            "minutes": {"type": "int", "default": ledger.MINUTES},
            "holder": {"type": "dict", "default": {}},
            "plan": {"type": "dict", "default": {}},
            "force": {"type": "bool", "default": False},
            "completed": {"type": "list", "elements": "str"},
            "takes_over": {"type": "str", "default": ""},
            "record": {"type": "dict"},
            "lines": {"type": "int", "default": 10},
            "unlock": {"type": "str", "default": ledger.UNLOCK},
        },
        required_if=[("state", "locked", ("run", "what")), ("state", "checked", ("run",)), ("state", "unlocked", ("run",))],
        supports_check_mode=True,
    )
    arguments = module.params
    if arguments["minutes"] < 1:
        module.fail_json(msg="minutes is %d: give the number of minutes, at least 1, after which the lock expires." % arguments["minutes"])
    try:
        module.exit_json(**run(module, ledger.Ledger(arguments["directory"], arguments["unlock"])))
    except ledger.Held as error:
        module.fail_json(msg=str(error), lock=error.lock, held=True)
    except ledger.LedgerError as error:
        module.fail_json(msg=str(error))


def run(module, book):
    arguments, apply = module.params, not module.check_mode
    state, token, record, holder = arguments["state"], arguments["run"], arguments["record"], arguments["holder"]
    lock, taken_over, result = None, None, {}
    if record is not None and state in ("locked", "checked", "broken"):
        module.fail_json(msg="A record belongs to state unlocked or read, not to %s: leave it out." % state)
    if state == "locked":
        lock, taken_over = book.take(
            token,
            arguments["what"],
            holder,
            minutes=arguments["minutes"],
            takes_over=arguments["takes_over"],
            plan=arguments["plan"],
            completed=arguments["completed"],
            force=arguments["force"],
            apply=apply,
        )
        if taken_over:
            result["msg"] = sentence(taken_over, "was taken over, because %s" % taken_over["why"])
    elif state == "checked":
        lock = book.check(token, arguments["minutes"], arguments["plan"], apply)
    elif state == "unlocked":
        warning = book.give_back(token, record, holder, apply)
        if warning:
            module.warn(warning)
    elif state == "broken":
        taken_over = book.break_lock(holder.get("who") or "somebody", arguments["takes_over"], apply)
        result["msg"] = sentence(taken_over, "is broken") if taken_over else "Nobody holds the deploy lock."
    elif record is not None:
        book.record(dict(record, run=record.get("run") or token), holder, apply)
    if state != "locked" or apply:
        lock = book.lock()
    return dict(
        result, changed=bool(record or taken_over), now=ledger.stamp(book.clock()), lock=lock, taken_over=taken_over, history=book.history(arguments["lines"])
    )


def sentence(lock, what):
    return "The deploy lock of %s (%s, since %s) %s." % (ledger.holder_of(lock), lock["what"], lock["since"], what)


if __name__ == "__main__":
    main()
