# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state machine of docs/release-protocol.md: every step of it is here under the name it has there."""

from __future__ import annotations

import contextlib

from . import model
from .model import ServiceError, repository, upstream_port, upstream_text

LOG_LINES = 30
RECONCILE_TIMEOUT = 60  # seconds
DRAIN_PAUSE = 0.2  # seconds
DRAIN_LOOKS = 2
KILLED = 137  # the exit code of a process that the kernel ended
OUT_OF_MEMORY_LOOKS = 5


class Bad(Exception):
    """The container under watch is not what it should be."""


def by_retirement(containers, engine):
    """Retained releases, the last one that served first."""
    return sorted(containers, key=lambda container: engine.inspect(container.id).finished_at, reverse=True)


def with_last_line(reason, said):
    """The reason, and what the command itself said last."""
    last = next((line for line in reversed(said) if line.strip()), "")
    return "%s Its last line: %s" % (reason, last) if last else reason


class Release:
    """Moves one service on one droplet from what is there to what is declared."""

    def __init__(self, service, engine, host, prober, clock, reached=lambda step: None):
        self.service = service
        self.current = None
        self.params = service.params
        self.name = service.name
        self.engine = engine
        self.host = host
        self.prober = prober
        self.clock = clock
        self.reached = reached
        self.started = clock.monotonic()
        self.changed = False
        self.phase = "current"
        self.init_commands = []
        self.reconciled = []
        self.warnings = []
        # Warnings that belong into the record of the release.
        self.notes = []
        self.answers = []
        self.image_id = None
        # The image that the service's own is built on, if it is.
        self.base_id = None
        self.spec = None
        # Whether the old container had to be started again, and whether nginx has never heard of the new one.
        self.went_back = False
        self.untouched = False
        # Containers that this run has started.
        self.awoken = set()
        # Since when nobody is connected to an old container, by its id.
        self.quiet = {}

    # -- looking ---------------------------------------------------------------------------------------------------------------

    def resolve(self, pull=True):
        reference = self.service.reference
        self.image_id = self.engine.image_id(reference)
        if self.service.base:
            self.resolve_built(pull)
        elif self.image_id is None and pull:
            self.image_id = self.engine.pull(reference)
        self.spec = self.service.spec(self.image_id) if self.image_id else None

    def resolve_built(self, pull):
        """The image of `image_recipe`. Without its base image the one that was built before is good: a newer base would replace the container."""
        self.base_id = self.image_id
        found = None
        if self.base_id is None:
            found = self.engine.labelled_image(self.service.built_labels())
        if found is None and self.base_id is None and pull:
            self.base_id = self.engine.pull(self.service.base)
        if found is None and self.base_id is not None:
            name = self.service.built_name(self.base_id)
            image_id = self.engine.image_id(name)
            if image_id is None and pull:
                image_id = self.engine.build(name, self.service.dockerfile(), self.service.built_labels())
            found = (image_id, name) if image_id else None
        self.image_id, self.service.reference = found or (None, self.service.base)

    def observe(self):
        containers = self.engine.containers(self.name)
        by_name = {c.name: c for c in containers}
        self.containers = containers
        self.current = by_name.get(self.name)
        self.previous = [c for c in containers if c.name.startswith(self.name + ".previous.")]
        upstream = self.host.read_upstream() if self.service.upstream else None
        self.upstream = upstream
        candidates = [by_name[n] for n in (self.name + ".next",) if n in by_name] + [c for c in self.previous if c.running]
        candidates.sort(key=lambda c: self.service.rolling and c.port != upstream_port(upstream))
        self.incoming = candidates[0] if candidates else None
        self.stray = candidates[1:]

    def serves(self, container):
        """Whether requests may reach it."""
        if not self.service.rolling:
            return container.running
        between_names = self.current is None and container.running and bool(self.previous)
        return between_names or upstream_port(self.upstream) == container.port

    def upstream_wanted(self, container, backup=None):
        if container is None:
            return None
        if backup is None or not backup.running:
            return upstream_text(self.service.upstream["name"], container.port, self.address(container))
        return upstream_text(self.service.upstream["name"], container.port, self.address(container), backup.port, self.address(backup))

    def address(self, container):
        """Where nginx finds the port that a container publishes, which is not always where the declared release would."""
        published = self.engine.inspect(container.id).published.values()
        return next((address for address, port in published if port == container.port), "127.0.0.1")

    def loaded(self, content):
        """Whether the upstream file says this, and nginx is known to have read it."""
        return self.upstream == content and self.host.upstream_since() is not None

    def check(self, container):
        """Answers to the probes that the container was declared with: another release may have another port, or another health path."""
        return self.prober.check(container, self.host.declaration(container.spec) if container.spec != self.spec else None)

    def unchanged(self):
        current = self.current
        if current is None or self.incoming or current.spec != self.spec or current.state != "running":
            return False
        if self.service.rolling and not self.loaded(self.upstream_wanted(current)):
            return False
        if self.host.mount_changes(self.params["mounts"] or [], apply=False) or self.after_start_due():
            return False
        if self.host.damaged(self.spec, self.service.files):
            return False
        self.answers = self.check(current)
        return all(answer.good for answer in self.answers)

    # -- operations ------------------------------------------------------------------------------------------------------------

    def present(self):
        with self.newest_image():
            self.resolve()
            self.observe()
            if not self.unchanged():
                self.replace()
        self.reconcile()

    @contextlib.contextmanager
    def newest_image(self):
        """With C(pull) the tag's present image is released. If that fails, the tag is the old image's again: else each later run would try it."""
        reference = self.service.moving_tag
        if reference is None:
            yield
            return
        before = self.engine.image_id(reference)
        self.engine.pull(reference)
        try:
            yield
        except ServiceError:
            current = self.current
            # A killed run may have pulled already: what serves says which image is good.
            good = current.image_id if current and current.image == reference else before
            if good and good != self.engine.image_id(reference):
                self.engine.tag(good, reference)
            raise

    def replace(self):
        self.recover()
        if self.current and self.current.spec == self.spec:
            self.revive()
            return
        self.stage_steps()
        self.guarded(self.switch_steps)
        self.settle_steps()
        self.commit_steps()

    def run(self):
        """The init commands alone: no container of the service is touched."""
        self.resolve()
        self.host.want_image(self.service.reference)
        self.observe()
        self.changed = True
        with self.refusing():
            self.prepare_files()
            self.run_init_commands()
        self.forget_unused()
        self.phase = "ran"

    def stage(self):
        self.resolve()
        self.observe()
        if self.unchanged():
            return
        self.recover()
        if self.current and self.current.spec == self.spec:
            self.revive()
            return
        if self.incoming and self.serves(self.incoming):
            self.phase = "switched"
            return
        self.stage_steps()

    def switch(self):
        self.resolve()
        self.observe()
        if self.committed():
            return
        self.require_incoming("stage")
        self.guarded(self.switch_steps)

    def settle(self):
        self.resolve()
        self.observe()
        if not self.committed():
            self.require_serving()
            self.settle_steps()

    def commit(self, settled=False):
        """`settled`: an operation of its own has watched the new release already, so one more look is enough."""
        self.resolve()
        self.observe()
        if not self.committed():
            self.require_serving()
            alone = not self.service.rolling or self.loaded(self.upstream_wanted(self.incoming))
            self.settle_steps(again=settled and alone)
            self.commit_steps()
        self.reconcile()

    def committed(self):
        return self.incoming is None and self.current is not None and self.current.spec == self.spec

    def require_serving(self):
        self.require_incoming("switch")
        if not self.serves(self.incoming) or (self.service.rolling and self.host.upstream_since() is None):
            raise ServiceError("The declared release of %s is staged, but does not serve yet: run state: switch first." % self.name)

    def require_incoming(self, operation):
        if self.incoming is None or self.incoming.spec != self.spec:
            raise ServiceError("The declared release of %s is not on the droplet: run state: %s for this declaration first." % (self.name, operation))

    def revert(self):
        self.resolve(pull=False)
        self.observe()
        incoming, current = self.incoming, self.current
        returning = incoming is not None and incoming in self.previous
        if incoming and incoming.spec == self.spec and not (returning and current is None):
            self.undo()
            self.phase = "reverted"
        elif (current and current.spec == self.spec) or (current is None and returning):
            if incoming and not returning:
                self.discard(incoming)
                self.observe()
            if self.incoming is None:
                retained = self.by_retirement()
                if not retained:
                    raise ServiceError("%s has no retained release to go back to (retain: %d)." % (self.name, self.params["retain"]))
                self.incoming = retained[0]
            self.guarded(self.stage_incoming)
            self.guarded(self.switch_steps)
            self.settle_steps()
            self.commit_steps()
            self.phase = "reverted"

    def absent(self):
        self.observe()
        leftovers = self.containers + self.engine.containers(self.name, model.INIT_COMMAND)
        if self.service.upstream and self.host.read_upstream() is not None:
            self.changed = True
            self.host.write_upstream(None)
            try:
                self.reload_upstream()
            except ServiceError:
                # So that the next run finds that nginx has to be reloaded.
                self.host.write_upstream(self.upstream)
                raise
        for container in leftovers:
            self.changed = True
            if container.running:
                self.halt(container)
            self.engine.remove(container.id)
        self.prune_folders(keep=set())
        self.host.set_after_start_due(False)
        self.changed = self.host.remove_all() or self.changed
        self.observe()
        self.phase = "absent"

    # -- recovery --------------------------------------------------------------------------------------------------------------

    def recover(self):
        """Whatever an earlier run left, afterwards there is either no incoming release or one that can be resumed."""
        for container in self.stray:
            self.discard(container)
        incoming = self.incoming
        if incoming is not None:
            both = not self.service.rolling and incoming.running and self.current is not None and self.current.running
            if incoming.state not in ("created", "running") or both:
                self.undo()
            elif incoming.spec == self.spec:
                return
            elif not self.serves(incoming) or (self.current and self.current.spec == self.spec):
                self.undo()
            else:
                self.finish_or_undo()
        for spec in self.host.releases():
            if spec != self.spec and spec not in {c.spec for c in self.containers}:
                self.host.forget_secrets(spec)

    def finish_or_undo(self):
        """The release of an earlier run serves already: keep it if it is well, to have something to come back to."""
        rounds = self.params["success_threshold"]
        try:
            # It had its time to start; nobody wants to wait again for a release that is not declared any more.
            self.watch(self.incoming, rounds, min(self.params["start_timeout"], 3 * rounds * self.params["probe_interval"]))
            if self.service.rolling:
                self.reload_upstream()
            self.settle_steps(run=lambda steps: steps())
        except (Bad, ServiceError):
            self.undo()
            return
        # Nothing of this says that the release is bad: it only stops and renames, and the next run goes on with it.
        self.commit_steps()

    def revive(self):
        """The declared release is the current one, but not all is as it should be."""
        current = self.current
        started = self.clock.now()
        if self.host.mount_changes(self.params["mounts"] or [], apply=True):
            self.changed = True
        repaired = self.host.damaged(self.spec, self.service.files)
        if repaired:
            self.changed = True
            self.host.repair(self.spec, self.image_id, self.service.declaration(), self.service.files, self.service.owner())
        try:
            # What fails for want of its files is started again by the engine after longer and longer pauses.
            if repaired and current.running and not all(answer.good for answer in self.check(current)):
                self.engine.stop(current.id, self.params["stop_timeout"])
            self.bring_up(current)
            self.watch(current, self.params["success_threshold"], self.params["start_timeout"])
            self.run_after_start(current)
        except (Bad, ServiceError) as error:
            raise self.report(current, error, started, "It is the declared release, so there is nothing to go back to; nothing was removed.") from error
        if self.service.rolling and not self.loaded(self.upstream_wanted(current)):
            self.changed = True
            self.write(self.upstream_wanted(current))
            self.reload_upstream()

    def bring_up(self, container):
        self.policy(container, "unless-stopped")
        self.start(container)

    def policy(self, container, policy):
        if self.engine.inspect(container.id).policy != policy:
            self.changed = True
            self.engine.set_policy(container.id, policy)

    def start(self, container):
        if not self.engine.inspect(container.id).running:
            self.changed = True
            self.awoken.add(container.id)
            self.engine.start(container.id)

    # -- stage -----------------------------------------------------------------------------------------------------------------

    def stage_steps(self):
        if self.incoming is None:
            self.changed = True
            self.prepare()
        self.guarded(self.stage_incoming)

    def prepare(self):
        self.reached("image")
        with self.refusing():
            # Also here: releases that fail one after the other are never committed, and would fill the disk.
            self.prune_folders(keep={c.spec for c in self.containers} | {self.spec})
            self.prepare_files()
            self.reached("files")
            self.run_init_commands()
            self.reached("init_commands")
            number = max([c.number for c in self.containers] or [0]) + 1
            slot = self.service.free_slot(self.current.port if self.current else None)
            body = self.service.body(self.image_id, number, slot, self.host.folder(self.spec))
            self.engine.create(self.name + ".next", body)
        self.observe()
        self.reached("create")

    @contextlib.contextmanager
    def refusing(self):
        """Nothing of the release runs yet: what is wrong with it only has to be told."""
        try:
            yield
        except ServiceError as error:
            self.forget_unused()
            raise ServiceError("%s: %s %s" % (self.name, error.message, self.who_serves()), **error.details) from error

    def forget_unused(self):
        if self.spec not in {c.spec for c in self.containers}:
            self.host.forget_secrets(self.spec)

    def prepare_files(self):
        self.host.mount_changes(self.params["mounts"] or [], apply=True)
        if self.engine.network(model.NETWORK) is None:
            self.engine.create_network(model.NETWORK, min(self.engine.default_mtu(), self.host.uplink_mtu()))
        self.host.write_release(self.spec, self.image_id, self.service.declaration(), self.service.files, self.service.owner())

    def run_init_commands(self):
        leftovers = {c.name: c for c in self.engine.containers(self.name, model.INIT_COMMAND)}
        for container in leftovers.values():
            if not (container.running and container.spec == self.spec):
                self.engine.remove(container.id)
        for command in self.params["init_commands"] or []:
            name = "%s.shot.%s" % (self.name, command["name"])
            began = self.clock.monotonic()
            running = leftovers.get(name)
            if running and running.running and running.spec == self.spec:
                container_id = running.id
            else:
                container_id = self.engine.create(name, self.service.init_command_body(command, self.image_id, self.host.folder(self.spec)))
                self.engine.start(container_id)
            code = self.engine.wait(container_id, command["timeout"])
            details = self.engine.inspect(container_id)
            output = self.service.masker(self.engine.logs(container_id, "all" if command["keep_output"] else LOG_LINES))
            self.engine.remove(container_id)
            result = {"name": command["name"], "exit_code": code, "seconds": round(self.clock.monotonic() - began, 1), "output": output}
            if command["keep_output"]:
                result["file"] = self.host.keep_output("%s.%s" % (self.name, command["name"]), output, self.clock.now())
            self.init_commands.append(result)
            if code != 0:
                if code is None:
                    reason = "did not end within %d s" % command["timeout"]
                else:
                    reason = "ran out of memory" if details.oom_killed else "ended with exit code %d" % code
                sentence = "The init command '%s' of the new release %s, so the release is refused." % (command["name"], reason)
                raise ServiceError(sentence, log=output[-LOG_LINES:])

    def stage_incoming(self):
        """From `create` on; for rolling the new one runs beside the old one, for recreate it waits."""
        if self.service.rolling:
            container = self.incoming
            self.start(container)
            self.reached("start")
            self.watch(container, self.params["success_threshold"], self.params["start_timeout"])
            self.reached("probe")
            self.policy(container, "unless-stopped")
            self.reached("keep")
        self.phase = "staged"

    # -- switch ----------------------------------------------------------------------------------------------------------------

    def switch_steps(self):
        if self.service.rolling:
            self.switch_upstream()
        else:
            self.switch_containers()
        self.phase = "switched"
        self.observe_keeping_incoming()

    def observe_keeping_incoming(self):
        kept = self.incoming.id
        self.observe()
        self.incoming = next((c for c in self.containers if c.id == kept), None)
        if self.incoming is None:
            raise ServiceError("The new container was removed by somebody else during the release: run again.")

    def switch_upstream(self):
        served_before = upstream_port(self.host.read_upstream()) == self.incoming.port
        since, unheard = self.host.upstream_since(), self.unheard(self.incoming)
        self.write(self.upstream_wanted(self.incoming, backup=self.current))
        self.reached("write")
        try:
            self.command("validate")
        except ServiceError:
            if not served_before:
                self.write(self.upstream_wanted(self.current), since if unheard else None)
                self.untouched = unheard
            raise
        self.reached("validate")
        # Also if the file has been there before: the new one has to settle for its full time from now on.
        self.load()
        self.reached("reload")

    def unheard(self, container):
        """Whether nginx cannot have heard of a container: this run has started it, or nginx has read no file since there is one."""
        since = self.host.upstream_since()
        return container.id in self.awoken or (since is not None and since < container.created)

    def switch_containers(self):
        old, new = self.current, self.incoming
        if old is not None:
            if old.running:
                self.run_before_stop(old)
                self.reached("before_stop")
                grace = self.engine.inspect(old.id).stop_timeout
                self.policy(old, "always")
                self.changed = True
                self.engine.stop(old.id, grace)
            self.reached("stop")
            self.policy(old, "no")
            if self.engine.inspect(old.id).running:
                raise ServiceError("The old container came back by itself (the engine was restarted meanwhile).")
        # The policy first: a droplet that loses power right after the start comes back with it.
        self.bring_up(new)
        self.reached("start")
        self.watch(new, self.params["success_threshold"], self.params["start_timeout"])
        self.reached("probe")
        self.run_after_start(new)
        self.reached("after_start")

    def run_before_stop(self, container):
        """A command that fails does not keep the container from being replaced: with a wrong password it could not be mended otherwise."""
        command = self.params.get("before_stop")
        if not command or not self.engine.inspect(container.id).running:
            return
        self.changed = True
        # First: a run that is killed after it has to be followed by `after_start`, whatever became of the command.
        self.host.set_after_start_due(True)
        said, reason = self.ask(container, command, command["timeout"])
        self.notes += ["%s: %s" % (self.name, line.partition(":")[2].strip()) for line in said if line.startswith("warning:")]
        if reason:
            self.notes.append("before_stop of %s failed, so it was stopped without: %s" % (self.name, with_last_line(reason, said)))

    def run_after_start(self, container):
        """What `before_stop` of this run or of an interrupted one has begun is ended."""
        if not self.after_start_due():
            return
        self.changed = True
        command = self.params["after_start"]
        said, reason = self.ask(container, command, command["timeout"])
        if reason:
            raise ServiceError("after_start failed: %s" % with_last_line(reason, said))
        self.host.set_after_start_due(False)

    def after_start_due(self):
        return bool(self.params.get("after_start")) and self.host.after_start_due()

    def ask(self, container, command, timeout):
        """What a command in a container says, as lines of output before those of errors, and why it failed, if it did."""
        try:
            code, said, errors = self.engine.execute(container.id, command["command"], timeout, None, command["stdin"])
        except ServiceError as error:
            return [], error.message
        return said.splitlines() + errors.splitlines(), "the command ended with exit code %d." % code if code else None

    def write(self, content, since=None):
        """`since`: when nginx has read such a file, if it is known to serve by it all the time."""
        if self.host.read_upstream() != content:
            self.changed = True
            self.host.write_upstream(content, since)

    def command(self, which):
        command = model.NGINX[which]
        code, output = self.host.run(command)
        if code != 0:
            output = "\n".join(filter(None, [output, self.host.run(model.NGINX["explain"])[1] if which == "reload" else ""]))
            raise ServiceError("The upstream's %s command (%s) failed with exit code %d: %s" % (which, " ".join(command), code, output))

    def reload_upstream(self):
        self.command("validate")
        self.load()

    def load(self):
        """Have nginx read the upstream file; the command fails if nginx does not take it over."""
        self.command("reload")
        self.host.upstream_loaded()

    # -- settle ----------------------------------------------------------------------------------------------------------------

    def settle_steps(self, again=False, run=None):
        """The new release is watched at work; then the old one is asked no more, and ends what it was asked before."""
        run = run or self.guarded
        run(self.look_again if again else self.watch_at_work)
        if self.service.rolling:
            run(self.stand_alone)
            if self.current is not None:
                self.drain(self.current, 0 if again else self.params["drain_quiet"])
            self.reached("drain")
        self.phase = "settled"

    def look_again(self):
        self.watch_for(0, 1)

    def watch_at_work(self):
        """Until it has served for as long as `settle` says since the last switch; other services may have been switched meanwhile."""
        since = self.host.upstream_since() if self.service.rolling else None
        served = max(0, self.clock.now() - since) if since is not None else 0
        self.watch_for(max(0, self.params["settle"] - served), self.params["success_threshold"])
        self.reached("settle")

    def watch_for(self, seconds, rounds):
        """Returns when the time is over, after a number of good rounds of probes in a row."""
        container, old = self.incoming, self.current
        limit = patience = self.clock.monotonic() + seconds
        good = bad = excused = 0
        while True:
            try:
                # It may have crashed while other services were switched, and be up again.
                self.check_runs(container, excused)
            except Bad:
                if not self.overloaded():
                    raise
                restarts = self.engine.inspect(container.id).restarts
                if restarts > excused:
                    # It starts again, as at first, and takes as long.
                    excused, good, bad = restarts, 0, 0
                    patience = self.clock.monotonic() + self.params["start_timeout"]
            self.answers = self.check(container)
            if self.service.rolling and old is not None:
                self.count_connections(old)
            well = all(answer.good for answer in self.answers)
            good, bad = (good + 1, 0) if well else (0, bad + 1)
            if bad > 1 and (not excused or self.clock.monotonic() >= patience):
                raise Bad("was healthy, but stopped answering well when it served")
            if good >= rounds and self.clock.monotonic() >= limit:
                if excused:
                    self.warnings.append(
                        "The new release of %s ran out of memory %d times while it served, as the old one did: it was kept, but needs more than %d MB."
                        % (self.name, excused, self.params["memory_mb"])
                    )
                return
            self.clock.sleep(self.params["probe_interval"])

    def overloaded(self):
        """Whether memory ran out in the new one and in the old one, since there are both: the same requests killed both, so going back would cure nothing."""
        new, old = self.incoming, self.current
        if not self.service.rolling or old is None:
            return False
        for _look in range(OUT_OF_MEMORY_LOOKS):
            codes, out_of_memory = self.engine.deaths(new.id, new.created)
            if not set(codes) <= {KILLED}:
                return False
            if out_of_memory and self.engine.deaths(old.id, new.created)[1]:
                return True
            # The engine may tell of the end of a process before it tells why.
            self.clock.sleep(DRAIN_PAUSE)
        return False

    def stand_alone(self):
        self.upstream = self.host.read_upstream()
        if not self.loaded(self.upstream_wanted(self.incoming)):
            self.write(self.upstream_wanted(self.incoming))
            self.reload_upstream()
        self.reached("alone")

    def count_connections(self, container):
        """Event streams do not count: they never end by themselves, and are cut at the very last."""
        left = self.host.connections(self.address(container), container.port, self.service.upstream["stream_source"])
        if left:
            self.quiet.pop(container.id, None)
        else:
            self.quiet.setdefault(container.id, self.clock.monotonic())
        return left

    def drain(self, container, seconds):
        """nginx lets its old workers finish; they are the ones still connected to the old port. Then it has to be quiet for so many seconds."""
        limit = self.clock.monotonic() + self.params["drain_timeout"]
        looks = 0
        while True:
            left = self.count_connections(container)
            looks = 0 if left else looks + 1
            if looks >= DRAIN_LOOKS and self.clock.monotonic() - self.quiet[container.id] >= seconds - DRAIN_PAUSE / 2:
                return
            if left and self.clock.monotonic() >= limit:
                self.warnings.append(
                    "%d connections to the old release of %s were still open after drain_timeout (%d s) and were cut."
                    % (left, self.name, self.params["drain_timeout"])
                )
                return
            self.clock.sleep(DRAIN_PAUSE)

    # -- commit ----------------------------------------------------------------------------------------------------------------

    def commit_steps(self):
        self.changed = True
        old, new = self.current, self.incoming
        if self.service.rolling:
            if old is not None:
                self.halt(old)
            self.reached("stop")
        if old is not None:
            self.engine.rename(old.id, "%s.previous.%d" % (self.name, old.number))
        self.reached("retire")
        self.engine.rename(new.id, self.name)
        self.reached("name")
        self.host.forget_wanted_image(new.image)
        self.observe()
        self.prune()
        self.reached("prune")
        self.observe()
        self.phase = "committed"

    def halt(self, container):
        self.policy(container, "no")
        details = self.engine.inspect(container.id)
        if details.status in ("running", "restarting", "paused"):
            self.changed = True
            self.engine.stop(container.id, details.stop_timeout)

    def by_retirement(self):
        return by_retirement(self.previous, self.engine)

    def prune(self):
        """The newest retained release stays, to go back to; of those before it one for each image."""
        kept, images = 0, {self.current.image_id}
        for container in self.by_retirement():
            wanted = kept < self.params["retain"] and (kept == 0 or container.image_id not in images)
            images.add(container.image_id)
            if wanted:
                kept += 1
            else:
                self.engine.remove(container.id)
        self.prune_folders(keep={c.spec for c in self.engine.containers(self.name)})

    def prune_folders(self, keep):
        """Releases without a container go, and their images. Only images of this service's own releases are ours to remove."""
        wanted = {self.engine.image_id(reference) for reference in self.host.wanted_images(self.clock.now())} - {None}
        for spec, image_id in self.host.releases().items():
            # An image that another run is going to need stays, and its folder, so that a later run still finds it.
            if spec in keep or (image_id in wanted and image_id != self.image_id):
                continue
            # The declared image may be about to be released: a retained one, whose turn it was to go, is wanted again.
            if image_id and image_id not in (self.image_id, self.base_id) and not self.engine.image_in_use(image_id):
                self.engine.remove_image(image_id)
            self.host.remove_release(spec)
        for image_id in self.leftover_images(wanted | {self.image_id}):
            self.engine.remove_image(image_id)

    def leftover_images(self, wanted):
        """Images of the service's name that no container uses: of runs that failed before they had even a folder.

        A name with a digest is one that the platform builds; other images of postgres, for one, may be a person's.
        """
        reference = self.service.reference or ""
        if "@" not in reference:
            return []
        name = repository(reference)
        found = [image_id for image_id, pulled in self.engine.images().items() if image_id not in wanted and name in map(repository, pulled)]
        kept = set(self.host.releases().values())
        return [image_id for image_id in found if image_id not in kept and not self.engine.image_in_use(image_id)]

    # -- reconcile -------------------------------------------------------------------------------------------------------------

    def reconcile(self):
        """What the container holds is brought to what is declared. The release itself is there, so nothing is taken back."""
        for command in self.params["reconcile"] or []:
            changes, error = self.reconcile_one(command)
            self.reconciled.append({"name": command["name"], "changes": changes})
            if error:
                raise error
            self.reached("reconcile")

    def changes(self):
        """What the commands of reconcile changed, in their own words."""
        return [line for one in self.reconciled for line in one["changes"]]

    def reconcile_one(self, command):
        """The changes that the command reports, and why it failed, if it did."""
        current, said, errors = self.current, "", ""
        try:
            code, said, errors = self.engine.execute(current.id, command["command"], RECONCILE_TIMEOUT, None, command["stdin"])
            reason = "the command ended with exit code %d." % code if code else None
        except ServiceError as error:
            reason = error.message
        changes = [line for line in said.splitlines() if line.startswith("changed:")]
        if reason is None:
            return changes, None
        outcome = "runs, but" if self.engine.inspect(current.id).running else "stopped, and"
        message = "The release %s of %s %s '%s' is not reconciled: %s" % (current.image, self.name, outcome, command["name"], reason)
        return changes, ServiceError(message, log=(said + errors).splitlines()[-LOG_LINES:])

    # -- failing and going back ------------------------------------------------------------------------------------------------

    def guarded(self, steps):
        """Runs steps of the incoming release; if they fail, it is undone and the error shows why."""
        self.untouched = False
        incoming = self.incoming
        began = self.clock.now() if incoming in self.previous else incoming.created
        try:
            steps()
        except (Bad, ServiceError) as error:
            report = self.report(incoming, error, began, "")
            try:
                self.observe()
                self.incoming = next((c for c in self.containers if c.id == incoming.id), None)
                if self.incoming:
                    self.undo()
                else:
                    self.restore_current()
                outcome = self.who_serves()
            except (Bad, ServiceError) as second:
                outcome = "Going back failed too: %s Run again when that is mended; the next run takes up from here." % second
            raise ServiceError(report.message + outcome, **report.details) from error

    def who_serves(self):
        if self.current is None:
            return "There is no previous release, so nothing serves."
        if not self.engine.inspect(self.current.id).running:
            return "The previous release (%s) is not running either: see its log." % self.current.image
        return "The previous release (%s) %s." % (self.current.image, "keeps serving" if self.service.rolling or not self.went_back else "is back and serves")

    def undo(self):
        """The incoming release goes, the current one serves."""
        self.changed = True
        unretired = self.unretire()
        new, old = self.incoming, self.current
        if self.service.rolling:
            if unretired or (not self.untouched and (self.serves(new) or self.kept(new))):
                if old is not None:
                    self.bring_up(old)
                self.write(self.upstream_wanted(old))
                self.reached("unwrite")
                try:
                    self.reload_upstream()
                except ServiceError:
                    # Whether nginx still sends requests to the new one is unknown: then it must stay.
                    if old is not None:
                        raise
                self.reached("unreload")
                self.drain(new, self.params["drain_quiet"])
            self.discard(new)
        else:
            if new.state != "created":
                # One that never got as far as `after_start` has not begun anything.
                if not self.after_start_due():
                    self.run_before_stop(new)
                self.halt(new)
                if old is not None and not old.running:
                    self.policy(old, "always")
                self.reached("halt")
            if old is not None:
                self.went_back = not old.running
                # The policy last: until it runs, "always" is what lets it come back.
                self.start(old)
                self.policy(old, "unless-stopped")
                self.reached("back")
            self.discard(new)
            if old is not None and self.went_back:
                self.observe()
                answers = self.answers
                try:
                    self.watch(self.current, 1, self.params["start_timeout"])
                except Bad as error:
                    raise ServiceError("the previous release %s." % error) from error
                finally:
                    self.answers = answers
            if old is not None:
                self.resume_previous(old)
        self.observe()

    def resume_previous(self, old):
        """It serves again, so a failure here is only told."""
        try:
            self.run_after_start(old)
        except ServiceError as error:
            self.warnings.append("The previous release of %s runs, but %s The next run tries it again." % (self.name, error.message))

    def restore_current(self):
        """Somebody else has removed the incoming release; what is left to do is to let the current one serve."""
        if self.current is None:
            return
        self.went_back = not self.current.running
        self.bring_up(self.current)
        if self.service.rolling:
            self.write(self.upstream_wanted(self.current))
            self.reload_upstream()
        self.resume_previous(self.current)

    def unretire(self):
        """Without a current release the last one that served takes its place again, if it left `next` its port."""
        new, retained = self.incoming, self.by_retirement()
        if self.current or new in self.previous or not retained or (self.service.rolling and retained[0].port == new.port):
            return False
        self.engine.rename(retained[0].id, self.name)
        self.observe_keeping_incoming()
        return True

    def kept(self, container):
        return self.engine.inspect(container.id).policy != "no"

    def discard(self, container):
        if container in self.previous:
            self.halt(container)
        else:
            if container.running:
                self.halt(container)
            self.engine.remove(container.id)
            if container.spec not in {c.spec for c in self.containers if c.id != container.id}:
                self.host.forget_secrets(container.spec)
        self.changed = True
        self.observe()
        self.reached("discard")

    # -- watching --------------------------------------------------------------------------------------------------------------

    def check_runs(self, container, restarts):
        details = self.engine.inspect(container.id)
        if not details.running or details.restarts > restarts:
            raise Bad("does not stay up")

    def watch(self, container, rounds, seconds):
        """Returns after so many good rounds of probes in a row."""
        limit = self.clock.monotonic() + seconds
        restarts = self.engine.inspect(container.id).restarts
        good = 0
        while True:
            self.check_runs(container, restarts)
            self.answers = self.check(container)
            good = good + 1 if all(answer.good for answer in self.answers) else 0
            if good >= rounds:
                return
            if self.clock.monotonic() >= limit:
                raise Bad("was not healthy %d times in a row within %d s (start_timeout)" % (rounds, seconds))
            self.clock.sleep(self.params["probe_interval"])

    def report(self, container, error, began, outcome):
        """The error that a person reads: what happened, then the container's own words."""
        details = {"probes": [str(answer) for answer in self.answers], "log": [], "exit": "unknown"}
        try:
            details["exit"] = self.exit_reason(container, began)
            details["log"] = self.engine.logs(container.id, LOG_LINES)
        except ServiceError as second:
            details["exit"] = str(second)
        if isinstance(error, Bad):
            reason = "The release %s of %s %s (%s). " % (container.image, self.name, error, details["exit"])
        else:
            reason = "The release %s of %s failed: %s " % (container.image, self.name, error)
        return ServiceError(reason + outcome, **details)

    def exit_reason(self, container, began):
        details = self.engine.inspect(container.id)
        codes, oom = self.engine.deaths(container.id, began)
        restarts = ", restarts: %d" % details.restarts if details.restarts else ""
        if details.oom_killed or oom:
            return "out of memory: the limit is %d MB%s" % (self.params["memory_mb"], restarts)
        if details.running and not codes:
            return "it runs"
        if details.status == "created":
            return "never started" + (": " + details.error if details.error else "")
        code = codes[-1] if codes else details.exit_code
        return "exit code %d%s%s" % (code, restarts, ": " + details.error if details.error else "")

    # -- results ---------------------------------------------------------------------------------------------------------------

    def result(self):
        shown = self.incoming if self.phase in ("staged", "switched") and self.incoming else self.current
        before = self.current if shown is self.incoming and shown is not None else next(iter(self.by_retirement()), None) if self.changed else None
        return {
            "name": self.name,
            "phase": self.phase,
            "image": shown.image if shown else None,
            "image_id": shown.image_id if shown else None,
            "spec": shown.spec if shown else None,
            "port": (shown.port or None) if shown else None,
            "number": shown.number if shown else None,
            "container": shown.name if shown else None,
            "previous": {"image": before.image, "image_id": before.image_id, "spec": before.spec, "number": before.number} if before else None,
            "duration": round(self.clock.monotonic() - self.started, 2),
        }
