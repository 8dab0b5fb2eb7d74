#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# plugins/action/config_files.py runs first, on the control node.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: config_files
short_description: Brings a set of configuration files and the units that read them to a declared state, all or nothing
version_added: 0.1.0
description:
  - Renders any number of templates on the control node and applies them to the host in B(one) call.
  - Files are compared, written atomically and kept with owner, group and mode. The whole new set is then validated in
    place; if the validator refuses it, or if a command or a unit fails afterwards, the previous set is put back and the
    units come back with it.
  - A run that was killed at any point is simply run again. The journal in C(/var/lib/litefarm/config_files/<name>)
    tells the next run to put the previous files back first, and to reload, restart and run commands for every file that
    the interrupted run may have shown to a unit. So there is no need for handlers.
  - Unchanged means live. A declared file with the right content that was touched since its units read it (edited, loaded and put back), a
    unit that systemd runs by an older file, and what O(units[].live) or O(on_change[].live) finds different count as changes.
  - A declared file never writes through a symbolic link; a link in its place is replaced by the file.
  - An unchanged call starts no other programs than one C(systemctl show) and what C(live) needs.
options:
  name:
    description:
      - Name of the set; small letters, digits, C(.), C(_) and C(-). The journal of the set is kept under it.
    type: str
    required: true
  files:
    description:
      - Files, links and directories. Each declares exactly one of O(files[].template), O(files[].content),
        O(files[].link) and O(files[].state).
      - Directories are made first, then files, then links; what is absent goes last.
      - Missing parent directories are made with mode 0755 and owner root.
      - The content of files that not everybody on the host may read is not shown in the diff.
    type: list
    elements: dict
    default: []
    suboptions: &entry
      dest:
        description: Absolute path on the host.
        type: path
        required: true
      template:
        description:
          - Template on the control node, found where M(ansible.builtin.template) finds it and rendered with C(trim_blocks).
        type: str
      vars:
        description: Variables for this template alone, on top of the task's.
        type: dict
      content:
        description: The literal content.
        type: str
      link:
        description: O(files[].dest) is a symbolic link to this path.
        type: str
      state:
        description:
          - V(directory) for a directory, V(absent) for a file, link or empty directory that must not be there.
        type: str
        choices: [directory, absent]
      owner:
        description: Name or number of the owner.
        type: str
        default: root
      group:
        description: Name or number of the group.
        type: str
        default: root
      mode:
        description:
          - Four octal digits in quotes. Default V(0644), for O(secret_files) V(0600), for directories V(0755).
        type: str
      about:
        description:
          - The variable that a person has to look at when the validator names this file; part of the error message.
        type: str
      source:
        description: What the content was made from; part of the error message. Filled in for templates.
        type: str
  secret_files:
    description:
      - As O(files), for files with secrets. Neither the host's log nor the output nor the diff shows their content, and
        their lines and longer words are masked in what validators, commands and units print.
    type: list
    elements: dict
    default: []
    suboptions: *entry
  exclusive:
    description:
      - Directories in which files and links that are not declared are removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The directory.
        type: path
        required: true
      patterns:
        description: Shell patterns of the names that are concerned.
        type: list
        elements: str
        default: ["*"]
  validate:
    description:
      - Command that is run once when files were changed and the whole new set is in place, before any command or unit;
        a line or a list of words. It is not run by a shell.
    type: raw
  on_change:
    description:
      - Commands that are run after a valid change, before units.
    type: list
    elements: dict
    default: []
    suboptions:
      command:
        description: The command, as a line or a list of words. It is not run by a shell.
        type: raw
        required: true
      only_for:
        description: Shell patterns; the command is run only if one of them matches a changed path. Default is any change.
        type: list
        elements: str
      live:
        description:
          - How to tell whether what this command loads is what is declared. If not, it is run without any change of files, and the module
            fails if there is a difference afterwards.
        type: dict
        suboptions: &live
          kind:
            description:
              - "V(nftables): the rules of O(on_change[].live.table) in the kernel are those of O(on_change[].live.file). The file is loaded into a
                new network namespace, and the lists of C(nft) are compared, without counters and elements of sets."
              - "V(docker): the kernel has the rules that running containers of Docker need. Without live-restore a difference is a failure,
                because a restart of the engine would stop containers."
              - "V(sysctl): the kernel has the values of O(on_change[].live.file)."
              - "V(command): O(on_change[].live.command) ends with 0. If it ends with 1, it prints what differs; else why it failed."
            type: str
            choices: [nftables, docker, sysctl, command]
            required: true
          table:
            description: Family and name, such as V(inet filter).
            type: str
          file:
            description: The ruleset or the file of sysctl values.
            type: path
          command:
            description: The command, as a line or a list of words. It is not run by a shell.
            type: raw
  units:
    description:
      - Systemd units that read these files. systemd itself is told of changed unit files.
      - A masked unit that is to be started or enabled is unmasked.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the unit with its suffix, such as C(nginx.service) or C(certbot.timer).
        type: str
        required: true
      state:
        description:
          - Whether the unit runs. A stopped unit that should be started is started.
          - Without it, V(restart) in O(units[].on_change) also starts a unit that does not run.
        type: str
        choices: [started, stopped]
      enabled:
        description: Whether the unit is started at boot.
        type: bool
      on_change:
        description: What is done to a running unit when files were changed.
        type: str
        choices: [restart, reload, none]
        default: restart
      only_for:
        description: Shell patterns; O(units[].on_change) applies only if one of them matches a changed path. Default is any change.
        type: list
        elements: str
      live:
        description:
          - As O(on_change[].live), for what the unit loads. If that is not what is declared, O(units[].on_change) applies. A unit that does not
            run is not asked.
        type: dict
        suboptions: *live
extends_documentation_fragment:
  - litefarm.platform.run_number
attributes:
  check_mode:
    description: Tells everything that would be changed, also on a host where users, units and validators do not exist yet.
    support: full
  diff_mode:
    description: Shows every change; secrets as sizes only.
    support: full
  platform:
    description: Hosts with systemd.
    support: full
    platforms: posix
notes:
  - The action plugin of the same name renders the templates; the module cannot be used without it when templates are declared.
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
"""

EXAMPLES = r"""
- name: Configure sites
  litefarm.platform.config_files:
    name: nginx
    files:
      - {dest: /etc/nginx/nginx.conf, template: nginx.conf.j2}
      - {dest: /etc/nginx/sites.d/app.conf, template: site.conf.j2, vars: {site: "{{ nginx_sites[0] }}"}, about: nginx_sites}
      - {dest: /etc/nginx/upstreams.d, state: directory}
    exclusive:
      - {path: /etc/nginx/sites.d, patterns: ["*.conf"]}
    validate: nginx -t
    units:
      - {name: nginx.service, enabled: true, state: started, on_change: reload}

- name: The kernel has the declared settings
  litefarm.platform.config_files:
    name: sysctl
    files:
      - {dest: /etc/sysctl.d/60-litefarm.conf, content: "vm.swappiness = 10\n"}
    on_change:
      - {command: [sysctl, --system], live: {kind: sysctl, file: /etc/sysctl.d/60-litefarm.conf}}

- name: The dump runs every night, with a password file that nobody else reads
  litefarm.platform.config_files:
    name: backup
    secret_files:
      - {dest: /etc/litefarm/postgres/pgpass, template: pgpass.j2}
    files:
      - {dest: /etc/systemd/system/dump.service, template: dump.service.j2}
      - {dest: /etc/systemd/system/dump.timer, template: dump.timer.j2}
    units:
      - {name: dump.timer, enabled: true, state: started, only_for: ["*.timer"]}
"""

RETURN = r"""
files:
  description: What was changed (or would be, in check mode).
  returned: success
  type: list
  elements: dict
  contains:
    dest:
      description: The path.
      type: str
    change:
      description: The kind of change, such as V(created), V(content), V(owner, mode) or V(removed).
      type: str
  sample: [{dest: /etc/nginx/nginx.conf, change: content}]
units:
  description: What was done to units, in order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The unit.
      type: str
    change:
      description: V(start), V(stop), V(reload), V(restart), V(enable) or V(disable).
      type: str
  sample: [{name: nginx.service, change: reload}]
commands:
  description: Commands of O(on_change) that were run.
  returned: success
  type: list
  elements: str
  sample: ["sysctl --system"]
outdated:
  description: What had the declared files and was not live, and why.
  returned: success
  type: list
  elements: str
  sample: ["/etc/nginx/nginx.conf: changed after nginx.service read it"]
recovered:
  description: Whether an interrupted earlier run was found and put right first.
  returned: success
  type: bool
  sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import _run_number as run_number
from ansible_collections.litefarm.platform.plugins.module_utils._config_files import ConfigFiles, ConfigFilesError


def entry_spec():
    return dict(
        dest=dict(type="path", required=True),
        template=dict(type="str"),
        vars=dict(type="dict"),
        content=dict(type="str"),
        link=dict(type="str"),
        state=dict(type="str", choices=["directory", "absent"]),
        owner=dict(type="str", default="root"),
        group=dict(type="str", default="root"),
        mode=dict(type="str"),
        about=dict(type="str"),
        source=dict(type="str"),
    )


def live_spec():
    return dict(
        type="dict",
        options=dict(
            kind=dict(type="str", choices=["nftables", "docker", "sysctl", "command"], required=True),
            table=dict(type="str"),
            file=dict(type="path"),
            command=dict(type="raw"),
        ),
        required_if=[
            ("kind", "nftables", ("table", "file")),
            ("kind", "sysctl", ("file",)),
            ("kind", "command", ("command",)),
        ],
    )


def argument_spec():
    return dict(
        name=dict(type="str", required=True),
        # Not secret, but the host's log must not receive every file at every run.
        files=dict(type="list", elements="dict", default=[], options=entry_spec(), no_log=True),
        secret_files=dict(type="list", elements="dict", default=[], options=entry_spec(), no_log=True),
        exclusive=dict(
            type="list",
            elements="dict",
            default=[],
            options=dict(path=dict(type="path", required=True), patterns=dict(type="list", elements="str", default=["*"])),
        ),
        validate=dict(type="raw"),
        on_change=dict(
            type="list",
            elements="dict",
            default=[],
            options=dict(command=dict(type="raw", required=True), only_for=dict(type="list", elements="str"), live=live_spec()),
        ),
        units=dict(
            type="list",
            elements="dict",
            default=[],
            options=dict(
                name=dict(type="str", required=True),
                state=dict(type="str", choices=["started", "stopped"]),
                enabled=dict(type="bool"),
                on_change=dict(type="str", choices=["restart", "reload", "none"], default="restart"),
                only_for=dict(type="list", elements="str"),
                live=live_spec(),
            ),
        ),
        **run_number.OPTION,
    )


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    # Ansible would mask every value of both lists ("root", "0644", paths) all over the result; only content is secret.
    module.no_log_values = {entry["content"] for entry in module.params["secret_files"] if len(entry["content"] or "") >= 8}
    invocation = {
        "module_args": dict(
            module.params,
            files=[dict(entry, content=None) for entry in module.params["files"]],
            secret_files=[dict(entry, content=None) for entry in module.params["secret_files"]],
        )
    }

    def allowed():
        run_number.require(module.params["run_number"], module.check_mode)

    try:
        result = ConfigFiles(module.params, check_mode=module.check_mode, allowed=allowed).apply()
    except (ConfigFilesError, run_number.RunRefused, OSError) as error:
        module.fail_json(msg=str(error), invocation=invocation)
    if not module._diff:
        del result["diff"]
    module.exit_json(invocation=invocation, **result)


if __name__ == "__main__":
    main()
