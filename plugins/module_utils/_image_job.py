# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A build on the builder: its log and state on disk, and the steps that a background process takes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time

from ._locking import try_lock
from ._trust import write_bundle

CA_NAME = "litefarm-ca.pem"
TAIL = 40
NO_EMULATION = "; the builder cannot run programs of %s: install QEMU's binfmt support on it, or put a host of that architecture in the group builder"


class BuildError(Exception):
    """A step of the build failed; the message is meant for a person."""


class Job:
    """One build. Its lock is held by the process that builds, so a lock that is free means that none does."""

    def __init__(self, cache, name, tag):
        self.cache = os.path.expanduser(cache)
        self.image = "%s:%s" % (name, tag)
        key = hashlib.sha256(self.image.encode()).hexdigest()[:16]
        self.log = os.path.join(self.cache, "%s.log" % key)
        self.state = os.path.join(self.cache, "%s.json" % key)
        self._lock_file = os.path.join(self.cache, "lock")
        self._lock = None

    def lock(self):
        os.makedirs(self.cache, mode=0o700, exist_ok=True)
        self._lock = os.open(self._lock_file, os.O_CREAT | os.O_RDWR, 0o600)
        return try_lock(self._lock)

    def current(self):
        with open(self._lock_file, encoding="utf-8") as stream:
            return stream.read().strip()

    def is_current(self):
        return self.current() == self.image

    def prepare(self):
        """Start afresh; from here on the lock says which image is built."""
        for path in (self.log, self.state):
            if os.path.exists(path):
                os.unlink(path)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, self.image.encode(), 0)

    def detach(self):
        """All output of the background process goes to the log."""
        descriptor = os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)

    def finish(self, **state):
        temporary = self.state + ".new"
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(state, stream)
        os.replace(temporary, self.state)

    def progress(self, offset):
        """What was logged since the offset, and the result if there is one."""
        # Asked before the state is read, so that a build that ends in between is not taken for one that vanished.
        free = self.lock()
        lines, position = [], offset
        if os.path.exists(self.log):
            with open(self.log, "rb") as stream:
                stream.seek(offset)
                text = stream.read()
                complete = text[: text.rfind(b"\n") + 1]
                position = offset + len(complete)
                lines = complete.decode("utf-8", "replace").splitlines()
        progress = {"lines": lines[-TAIL:], "position": position, "running": True, "log": self.log}
        if os.path.exists(self.state):
            progress.update(running=False, result=self._result(), lines=self._tail())
        elif free:
            progress.update(running=False, result={"error": "the build's process on the builder was ended from outside"}, lines=self._tail())
        return progress

    def _result(self):
        try:
            with open(self.state, encoding="utf-8") as stream:
                found = json.load(stream)
        except ValueError:
            found = None
        # As the builder's power cut may leave it.
        return found if isinstance(found, dict) else {"error": "the result of the build in %s cannot be read: run build.yml again" % self.state}

    def _tail(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8", errors="replace") as stream:
            return stream.read().splitlines()[-TAIL:]


def run(job, parameters, client, engine_error):
    """All steps in the background process. The return value is its exit status."""
    started = time.time()
    try:
        folder = os.path.join(job.cache, "source")
        platform = platform_of(parameters, client)
        say("Check out %s" % parameters["commit"])
        check_out(parameters, folder, job.cache)
        if parameters["base"]:
            say("Pull %s" % parameters["base"])
            pull(parameters, client, platform)
        say("Build %s%s" % (job.image, " for %s" % parameters["architecture"] if parameters["architecture"] else ""))
        build(parameters, folder, job, client, platform)
        check_architecture(parameters, job, client)
        say("Push %s" % job.image)
        digest = push(parameters, job, client)
    except (BuildError, engine_error, OSError) as error:
        # The engine's own words, without the address of the call.
        reason = getattr(error, "explanation", None) or str(error)
        say(reason)
        job.finish(error=reason)
        return 1
    say("%s is pushed as %s" % (job.image, digest))
    job.finish(digest=digest, seconds=int(time.time() - started))
    return 0


def say(line):
    sys.stdout.write(line.rstrip("\n") + "\n")
    sys.stdout.flush()


def check_out(parameters, folder, cache):
    """One commit without history where the server allows it, in a folder that is used again by the next build."""
    environment = dict(os.environ, LC_ALL="C", GIT_TERMINAL_PROMPT="0", GIT_ASKPASS="", SSH_ASKPASS="")
    environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    pem = "\n".join(parameters["ca_certificates"].values())
    if pem:
        environment["GIT_SSL_CAINFO"] = os.path.join(cache, "ca.pem")
        with open(environment["GIT_SSL_CAINFO"], "w", encoding="utf-8") as bundle:
            write_bundle(bundle, pem)

    def git(*arguments):
        process = subprocess.run(
            ["git"] + list(arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        output = re.sub(r"(://)[^/@\s]*@", r"\1", process.stdout)
        if output.strip():
            say(output)
        return process.returncode == 0

    repo, commit = parameters["repo"], parameters["commit"]
    git("init", "--quiet", folder)
    # A build that was killed may have left the lock of git's index behind; this process holds the lock of the whole folder.
    index_lock = os.path.join(folder, ".git", "index.lock")
    if os.path.exists(index_lock):
        os.unlink(index_lock)
    known = git("-C", folder, "cat-file", "-e", "%s^{tree}" % commit)
    if not known and not git("-C", folder, "fetch", "--quiet", "--depth", "1", "--", repo, commit):
        everything = ["+refs/heads/*:refs/heads/litefarm/*", "+refs/tags/*:refs/tags/*"]
        if not git("-C", folder, "fetch", "--quiet", "--", repo, *everything):
            raise BuildError("the git repository cannot be reached from the builder: correct litefarm_repo")
    if not git("-C", folder, "checkout", "--quiet", "--force", "--detach", commit) or not git("-C", folder, "clean", "-ffdxq"):
        raise BuildError("the commit %s cannot be checked out: correct litefarm_version" % commit)


def settings_lines(settings):
    """A file as dotenv reads it. A dollar sign would be expanded by its reader."""
    lines = []
    for name, value in sorted(settings.items()):
        text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", "\\n")
        lines.append('%s="%s"\n' % (name, text))
    return "".join(lines)


def derived_dockerfile(text, names, with_ca):
    """The Dockerfile with every name declared in every stage, so that the values reach its commands and not the image's environment."""
    lines = []
    for line in text.splitlines():
        lines.append(line)
        if re.match(r"\s*FROM\s", line, re.IGNORECASE):
            lines += ["ARG %s" % name for name in sorted(names)]
            if with_ca:
                lines += ["COPY %s /%s" % (CA_NAME, CA_NAME)]
    return "\n".join(lines) + "\n"


def recipe_of(parameters, folder):
    """The text of the Dockerfile."""
    if parameters["recipe"] is not None:
        return parameters["recipe"]
    dockerfile = os.path.join(folder, parameters["dockerfile"])
    if not os.path.isfile(dockerfile):
        raise BuildError("the repository has no %s at this commit" % parameters["dockerfile"])
    with open(dockerfile, encoding="utf-8") as stream:
        return stream.read()


def labels_of(parameters):
    labels = {"org.opencontainers.image.revision": parameters["commit"], "org.opencontainers.image.version": parameters["version"] or parameters["commit"]}
    if parameters["base"]:
        name, _separator, digest = parameters["base"].partition("@")
        labels.update({"org.opencontainers.image.base.name": name, "org.opencontainers.image.base.digest": digest})
    return labels


def platform_of(parameters, client):
    """The platform to ask of the engine, or None if images for its own one are wanted."""
    wanted = parameters["architecture"]
    return "linux/%s" % wanted if wanted and client.api.version().get("Arch") != wanted else None


def check_architecture(parameters, job, client):
    """A Dockerfile may name another platform, and an engine may have used what it had of another one."""
    wanted = parameters["architecture"]
    built = client.api.inspect_image(job.image).get("Architecture") if wanted else None
    if built and built != wanted:
        raise BuildError(
            "the image is for %s, and litefarm_architecture is %s: look for --platform in its Dockerfile, or build on a host of %s" % (built, wanted, wanted)
        )


def build(parameters, folder, job, client, platform):
    recipe = recipe_of(parameters, folder)
    context = os.path.join(folder, parameters["context"])
    if parameters["settings"]:
        with open(os.path.join(folder, parameters["settings_file"]), "w", encoding="utf-8") as stream:
            stream.write(settings_lines(parameters["settings"]))
    arguments = {name: str(value) for name, value in parameters["environment"].items()}
    pem = "\n".join(parameters["ca_certificates"].values())
    if pem:
        arguments["NODE_EXTRA_CA_CERTS"] = "/%s" % CA_NAME
        with open(os.path.join(context, CA_NAME), "w", encoding="utf-8") as stream:
            stream.write(pem + "\n")
    derived = os.path.join(job.cache, "Dockerfile")
    with open(derived, "w", encoding="utf-8") as stream:
        stream.write(derived_dockerfile(recipe, arguments, bool(pem)))
    if os.path.isdir(os.path.join(context, ".git")):
        with open(os.path.join(context, ".dockerignore"), "a", encoding="utf-8") as stream:
            stream.write("\n.git\n")
    if parameters["base"]:
        # The recipe declares it itself, before FROM.
        arguments["BASE"] = parameters["base"]
    answers = client.api.build(
        path=context,
        dockerfile=derived,
        tag=job.image,
        labels=labels_of(parameters),
        buildargs=arguments,
        platform=platform,
        rm=True,
        forcerm=True,
        decode=True,
    )
    emulated = False
    for answer in answers:
        emulated = emulated or platform is not None and "exec format error" in str(answer)
        if "error" in answer:
            raise BuildError("the build failed: %s%s" % (answer["error"].strip(), NO_EMULATION % platform if emulated else ""))
        for line in answer.get("stream", "").splitlines():
            if line.strip():
                say(line)


def login_of(parameters):
    return {"username": parameters["registry_username"], "password": parameters["registry_password"]} if parameters["registry_password"] else None


def pull(parameters, client, platform):
    """With the login that is for the push: the build itself would ask the registry without one."""
    for answer in client.api.pull(parameters["base"], stream=True, decode=True, platform=platform, auth_config=login_of(parameters)):
        if "error" in answer:
            raise BuildError("the registry does not hand out the image below this one: %s" % answer["error"].strip())


def push(parameters, job, client):
    name, _separator, tag = job.image.rpartition(":")
    digest = None
    for answer in client.api.push(name, tag=tag, stream=True, decode=True, auth_config=login_of(parameters)):
        if "error" in answer:
            raise BuildError("the registry does not take the image: %s" % answer["error"].strip())
        digest = (answer.get("aux") or {}).get("Digest") or digest
        # The engine repeats a progress bar many times a second.
        if answer.get("status") and not answer.get("progressDetail"):
            say("%s %s" % (answer.get("id", ""), answer["status"]))
    if not digest:
        raise BuildError("the registry took the image without saying its digest")
    return digest
