# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the templates of config_files on the control node; one call of the module does the rest."""

from __future__ import annotations

import os

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ansible_collections.litefarm.platform.plugins.module_utils._config_files import ValidationError, check_entries

MANAGED = "Managed by Ansible (litefarm.platform); changes made here are overwritten."


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        for option in ("files", "secret_files"):
            arguments[option] = self.entries_of(option, arguments.get(option))
        try:
            check_entries(arguments["files"], arguments["secret_files"])
        except ValidationError as error:
            raise AnsibleActionFail(str(error))
        for option in ("files", "secret_files"):
            arguments[option] = [self.rendered(entry, task_vars or {}) for entry in arguments[option]]
        return self._execute_module(module_name="litefarm.platform.config_files", module_args=arguments, task_vars=task_vars)

    @staticmethod
    def entries_of(option, value):
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise AnsibleActionFail("%s must be a list of entries with dest and one of template, content, link, state" % option)
        return value

    def rendered(self, entry, task_vars):
        """The entry as the module wants it: with content instead of template and vars."""
        entry = dict(entry)
        variables = entry.pop("vars", None) or {}
        template = entry.pop("template", None)
        if template is not None:
            entry["content"] = self.render(template, entry["dest"], dict(task_vars, **variables))
            entry["source"] = "template %s" % template
        if entry.get("content") is not None:
            entry["content"] = self.text_of(entry["content"], entry["dest"])
        return entry

    def render(self, template, dest, variables):
        """As ansible.builtin.template renders: same search path, trim_blocks on."""
        try:
            source = self._find_needle("templates", template)
        except AnsibleError as error:
            raise AnsibleActionFail("template of %s: %s" % (dest, error))
        variables.setdefault("ansible_managed", MANAGED)
        variables.update(template_path=template, template_fullpath=source, template_destpath=dest)
        folders = list(variables.get("ansible_search_path") or []) + [self._loader.get_basedir(), os.path.dirname(source)]
        search_path = [path for folder in folders for path in (os.path.join(folder, "templates"), folder)]
        text = trust_as_template(self._loader.get_text_file_contents(source))
        templar = self._templar.copy_with_new_env(searchpath=search_path, available_variables=variables)
        return templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True, "lstrip_blocks": False})

    @staticmethod
    def text_of(value, dest):
        if isinstance(value, (dict, list)):
            kind = "list" if isinstance(value, list) else "dictionary"
            raise AnsibleActionFail("%s: content is a %s, not text; use a filter such as to_nice_json" % (dest, kind))
        return str(value)
