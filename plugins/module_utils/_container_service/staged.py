# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of one droplet whose declaration is known from what the droplet keeps of it, and their phases, carried out together."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

from .host import Host, Lock
from .model import LABEL, Masker, Service, ServiceError
from .probes import Prober
from .release import Release

# What a declaration may not keep because it may be secret, or does not need once a release is staged.
LEFT_OUT = {"secret_env": {}, "secret_files": [], "reconcile": [], "config_files": [], "env": {}, "init_commands": []}


class StagedRelease(Release):
    """The release of a service by its spec, instead of by its whole declaration."""

    def __init__(self, spec, *arguments):
        super().__init__(*arguments)
        self.spec = spec

    def resolve(self, pull=True):
        """The spec is known, and the image is there since the release was staged."""


def secrets_of(container, engine, host):
    """Values that must not be shown: an error repeats the container's log."""
    public = json.loads(container.labels.get(LABEL + "public", "{}"))
    env = engine.inspect(container.id).env
    values = [env.get(name, "") for name in public.get("secret_env", [])]
    return values + [host.read_file(container.spec, path) or "" for path in public.get("secret_files", {})]


def declared(name, spec, declaration, state):
    """The declaration of a release, as far as it is kept."""
    if not declaration:
        raise ServiceError(
            "The droplet does not know how the release %s of %s was declared: stage it with its role, which writes that down." % (spec, name)
        )
    if declaration["reconcile_left"] and state == "commit":
        raise ServiceError("%s has commands to reconcile, which are not kept on the droplet: commit it with container_service." % name)
    # The name under which every version has kept it.
    threshold = declaration["healthy_after"]
    return Service(dict(declaration, name=name, state=state, success_threshold=threshold, **LEFT_OUT))


def staged(name, spec, operation, engine, clock, reached, state_directory):
    """A release that can be carried through a phase."""
    host = Host(name, state_directory)
    service = declared(name, spec, host.declaration(spec), operation)
    host = Host(name, state_directory, service.upstream)
    service.masker = Masker(value for container in engine.containers(name) for value in secrets_of(container, engine, host))
    return StagedRelease(spec, service, engine, host, Prober(service, engine), clock, reached)


@contextlib.contextmanager
def locked(releases, timeout, clock):
    """All of their locks, always in the same order."""
    with contextlib.ExitStack() as stack:
        for release in sorted(releases, key=lambda release: release.name):
            stack.enter_context(Lock(release.host.lock_path, timeout, clock))
        yield


def carry(operation, releases):
    """Carries all through one phase; returns the errors, each with its release.

    What makes others serve is done one after the other, in the order given, and not gone on with after an error. Going back goes the
    other way round, and as far as it gets. Watching takes its time, so it is done side by side.
    """
    if operation == "switch":
        for release in releases:
            error = attempt(release.switch)
            if error:
                return [(release, error)]
        return []
    if operation == "revert":
        done = [(release, attempt(release.revert)) for release in reversed(releases)]
    else:
        # One that is settled needs no more than another look.
        steps = {"settle": lambda release: release.settle(), "commit": lambda release: release.commit(settled=True)}
        with ThreadPoolExecutor(len(releases)) as pool:
            running = [(release, pool.submit(attempt, steps[operation], release)) for release in releases]
            done = [(release, future.result()) for release, future in running]
    return [(release, error) for release, error in done if error]


def attempt(step, *arguments):
    """The error of a step, if it has one."""
    try:
        step(*arguments)
    except ServiceError as error:
        return error
    return None
