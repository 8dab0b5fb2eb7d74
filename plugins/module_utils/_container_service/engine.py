# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine, as far as a release needs it.

Nearly everything goes straight to the engine's socket: importing the SDK costs as much as all the rest of a step. Pulling goes
through the Docker SDK for Python, which knows the registries' credentials.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import socket
import tarfile
import time
from urllib.parse import quote, urlencode

from .._engine_socket import SOCKET, Connection
from .model import LABEL, ServiceError

ATTEMPTS = 25  # at what the engine cannot do for a moment only
ATTEMPTS_PAUSE = 0.2  # seconds
# Between the exit of a crashing container and its next start; and right after its exit, which the engine has not noticed yet.
RESTARTING = ("stopped container", "container not running")
# Once in many thousand starts the runtime's own process dies before it becomes the wanted one, of which nothing has run then.
STILLBORN = ("read init-p: connection reset by peer",)
CANNOT_RUN = 126  # the exit code of a command that the engine could not begin
PATIENCE = 60  # seconds that an engine may take for a restart
PATIENCE_PAUSE = 0.2  # seconds
REGISTRY_TIMEOUT = 10  # seconds
BUILD_TIMEOUT = 600  # seconds for all of a build
BUILD_LINES = 10  # of a failed build's output that a person reads
FRAME_HEADER = 8  # bytes; the first is the stream's number, the last four are the length of the frame's content
STANDARD_OUTPUT = 1


def stillborn(code, said):
    """Whether nothing of a command has run, by its exit code and output, though it could."""
    return code == CANNOT_RUN and any(words in said for words in STILLBORN)


class EngineMissing(ServiceError):
    """No engine, or no SDK: a fresh droplet in check mode."""


def broken_off(what, error):
    """What a person reads when a connection breaks off in the middle, as when the engine is restarted."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return ServiceError("The container engine broke off while it %s (%s): if docker.service was restarted meanwhile, run again." % (what, reason))


class Container:
    """One container as the engine shows it."""

    def __init__(self, seen):
        self.id = seen["Id"]
        self.name = seen["Names"][0].lstrip("/") if seen.get("Names") else ""
        self.state = seen["State"]
        self.image_id = seen["ImageID"]
        self.created = seen.get("Created", 0)  # seconds
        self.labels = seen.get("Labels") or {}

    @property
    def spec(self):
        return self.labels.get(LABEL + "spec", "")

    @property
    def number(self):
        return int(self.labels.get(LABEL + "release", "0"))

    @property
    def port(self):
        return int(self.labels.get(LABEL + "port", "0"))

    @property
    def image(self):
        return self.labels.get(LABEL + "image", "")

    @property
    def running(self):
        return self.state in ("running", "restarting", "paused")


class Details:
    """What only an inspection shows."""

    def __init__(self, seen):
        state = seen["State"]
        self.running = state["Running"] and not state.get("Restarting", False)
        self.status = state["Status"]
        self.exit_code = state["ExitCode"]
        self.oom_killed = state["OOMKilled"]
        self.error = state["Error"]
        self.started_at = state["StartedAt"]
        self.finished_at = state["FinishedAt"]
        self.restarts = seen["RestartCount"]
        self.policy = seen["HostConfig"]["RestartPolicy"]["Name"] or "no"
        self.stop_timeout = seen["Config"].get("StopTimeout") or 10
        self.image_id = seen["Image"]
        self.env = dict(pair.partition("=")[::2] for pair in seen["Config"].get("Env") or [])
        # Port in the container to address and port of the host, as it was created: also of a container that does not run.
        self.published = {}
        for port, bound in (seen["HostConfig"].get("PortBindings") or {}).items():
            if bound and bound[0].get("HostPort"):
                address = bound[0].get("HostIp") or "0.0.0.0"
                self.published[int(port.partition("/")[0])] = ("127.0.0.1" if address == "0.0.0.0" else address, int(bound[0]["HostPort"]))
        networks = (seen.get("NetworkSettings") or {}).get("Networks") or {}
        self.address = next((n["IPAddress"] for n in networks.values() if n.get("IPAddress")), "")


def request(connection, method, path, body=None):
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)


def path_with(path, query):
    return path + ("?" + urlencode(query) if query else "")


def explanation(content):
    """Why the engine refused, in its own words."""
    text = content.decode(errors="replace").strip()
    try:
        return json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return text


def accepted(path, status, content):
    """What the engine answered, if it did not refuse."""
    if status >= 400:
        raise ServiceError("The container engine refused %s: %s" % (path, content.decode(errors="replace").strip()))
    return understood(path, content)


def understood(path, content):
    try:
        return json.loads(content)
    except ValueError as error:
        raise broken_off("answered %s" % path, error) from error


def chunks(answer, stream, deadline):
    """The answer as it comes. A limit for each read alone would let a command that says something now and then run for ever."""
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise socket.timeout
        stream.settimeout(remaining)
        chunk = answer.read1(65536)
        if not chunk:
            return
        yield chunk


def frames(content):
    """The engine mixes standard output and standard error in frames: the stream's number and the content of each."""
    position = 0
    while position < len(content):
        begin = position + FRAME_HEADER
        stream, position = content[position], begin + int.from_bytes(content[begin - 4 : begin], "big")
        yield stream, content[begin:position]


def unframed(content):
    """Standard output and standard error, each by itself."""
    output, errors = bytearray(), bytearray()
    for stream, part in frames(content):
        (output if stream == STANDARD_OUTPUT else errors).extend(part)
    return output.decode(errors="replace"), errors.decode(errors="replace")


def in_order(content):
    """Standard output and standard error as they were written."""
    return b"".join(part for _stream, part in frames(content)).decode(errors="replace")


class Engine:
    def __init__(self, path=SOCKET):
        self.path = path
        self.answered = False

    # -- looking ---------------------------------------------------------------------------------------------------------------

    def _ask(self, method, path, body=None, seconds=60):
        """Status and content. An engine that answered before and is restarted meanwhile is waited for, unless it may have acted already."""
        limit = time.monotonic() + PATIENCE
        while True:
            connection, connected = Connection(self.path, seconds), False
            try:
                connection.connect()
                connected = True
                request(connection, method, path, body)
                answer = connection.getresponse()
                result = answer.status, answer.read()
                self.answered = True
                return result
            except (OSError, http.client.HTTPException) as error:
                again = self.answered and not isinstance(error, socket.timeout) and (method == "GET" or not connected)
                if not again or time.monotonic() >= limit:
                    raise EngineMissing("The container engine does not answer on %s (%s): start docker.service." % (self.path, error)) from error
            finally:
                connection.close()
            time.sleep(PATIENCE_PAUSE)

    def get(self, path, **query):
        """The engine's answer, or None if there is no such thing."""
        status, content = self._ask("GET", path_with(path, query))
        return None if status == 404 else accepted(path, status, content)

    def containers(self, name, label="service"):
        seen = self.get("/containers/json", all="1", filters=json.dumps({"label": ["%s%s=%s" % (LABEL, label, name)]}))
        return [Container(one) for one in seen]

    def inspect(self, container_id):
        seen = self.get("/containers/%s/json" % container_id)
        if seen is None:
            raise ServiceError("Container %s was removed by somebody else during the release: run again." % container_id[:12])
        return Details(seen)

    def image(self, reference):
        """All that the engine says of an image, or None."""
        return self.get("/images/%s/json" % quote(reference, safe="/:@"))

    def image_id(self, reference):
        seen = self.image(reference)
        return seen["Id"] if seen else None

    def registry_digest(self, reference):
        """The digest that the registry, or its mirror, has under a tag now."""
        try:
            status, content = self._ask("GET", "/distribution/%s/json" % quote(reference, safe="/:@"), seconds=REGISTRY_TIMEOUT)
        except EngineMissing as error:
            raise ServiceError("The registry of %s does not answer within %d s." % (reference, REGISTRY_TIMEOUT)) from error
        if status >= 400:
            raise ServiceError("The registry of %s cannot be asked: %s" % (reference, explanation(content)))
        return understood("/distribution", content)["Descriptor"]["digest"]

    def images(self):
        """Id of every image to the names under which it was pulled, as C(name@digest)."""
        return {one["Id"]: one.get("RepoDigests") or [] for one in self.get("/images/json")}

    def image_in_use(self, image_id):
        return any(one["ImageID"] == image_id for one in self.get("/containers/json", all="1"))

    def network(self, name):
        return self.get("/networks/%s" % quote(name))

    def deaths(self, container_id, since):
        """Exit codes so far of a container that a restart policy keeps starting, and whether memory ran out: an inspection only knows the last run."""
        filters = json.dumps({"container": [container_id], "event": ["die", "oom"]})
        path = path_with("/events", {"since": "%.6f" % since, "until": "%.6f" % time.time(), "filters": filters})
        status, content = self._ask("GET", path)
        if status >= 400:
            raise ServiceError("The container engine could not say why %s ended: %s" % (container_id[:12], explanation(content)))
        events = [understood(path, line) for line in content.splitlines() if line.strip()]
        codes = [int(event["Actor"]["Attributes"].get("exitCode", "0")) for event in events if event["Action"] == "die"]
        return codes, any(event["Action"] == "oom" for event in events)

    def execute(self, container_id, command, timeout, user=None, stdin=None):
        """Exit code, standard output and standard error of a command in a running container. It has to end within the timeout, in seconds.

        All of stdin is written before the output is read: it is meant for some lines of SQL, not for a dump.
        """
        for remaining in reversed(range(ATTEMPTS)):
            code, output, errors = self._execute(container_id, command, timeout, user, stdin)
            if not remaining or not stillborn(code, output + errors):
                return code, output, errors
            time.sleep(ATTEMPTS_PAUSE)

    def _execute(self, container_id, command, timeout, user, stdin):
        path = "/containers/%s/exec" % container_id
        body = {"Cmd": command, "User": user or "", "AttachStdin": stdin is not None, "AttachStdout": True, "AttachStderr": True}
        execution = "/exec/%s" % accepted(path, *self._ask("POST", path, body))["Id"]
        try:
            output, errors = self._attach(execution + "/start", stdin, timeout)
        except socket.timeout as error:
            raise ServiceError("The command '%s' did not end within %g s." % (" ".join(command), timeout)) from error
        except (OSError, http.client.HTTPException) as error:
            raise broken_off("ran the command '%s'" % " ".join(command), error) from error
        # With its container the engine forgets a command.
        code = (self.get(execution + "/json") or {}).get("ExitCode")
        if code is None:
            raise ServiceError("The command '%s' was cut off before it ended." % " ".join(command))
        return code, output, errors

    def _attach(self, path, stdin, timeout):
        """All that the command says. The engine sends it without a length, until the command ends or the time is up."""
        deadline = time.monotonic() + timeout
        connection = Connection(self.path, timeout)
        content = bytearray()
        try:
            request(connection, "POST", path, {"Detach": False, "Tty": False})
            # The connection forgets it as soon as it sees an answer without a length.
            stream = connection.sock
            with connection.getresponse() as answer:
                if answer.status >= 400:
                    accepted(path, answer.status, answer.read())
                # A command that ends without having read everything resets the connection: its exit code says more than that.
                with contextlib.suppress(ConnectionError):
                    if stdin is not None:
                        stream.sendall(stdin.encode())
                        stream.shutdown(socket.SHUT_WR)
                    for chunk in chunks(answer, stream, deadline):
                        content += chunk
        finally:
            connection.close()
        return unframed(bytes(content))

    # -- changing --------------------------------------------------------------------------------------------------------------

    def _change(self, what, method, path, body=None, fine=(), **query):
        """What the engine answered to a change, or None where it refused with a status that is as good."""
        status, content = self._ask(method, path_with(path, query), body)
        if status in fine:
            return None
        if status >= 400:
            raise ServiceError("The container engine could not %s: %s" % (what, explanation(content)))
        return understood(path, content) if content.strip() else None

    def _change_soon(self, passing, what, method, path, body=None):
        """A change that the engine may refuse for a moment, with some of these words."""
        for remaining in reversed(range(ATTEMPTS)):
            try:
                return self._change(what, method, path, body)
            except ServiceError as error:
                if not remaining or not any(words in str(error) for words in passing):
                    raise
            time.sleep(ATTEMPTS_PAUSE)

    def pull(self, reference):
        client = self._sdk(timeout=600)
        name, colon, tag = (reference, "", "") if "@" in reference else reference.rpartition(":")
        from urllib3.exceptions import HTTPError

        try:
            for line in client.pull(name, tag=tag or None, stream=True, decode=True):
                if "error" in line:
                    raise ServiceError("The container engine could not pull the image %s: %s" % (reference, line["error"]))
        except self._docker().errors.DockerException as error:
            reason = getattr(error, "explanation", None) or str(error)
            raise ServiceError("The container engine could not pull the image %s: %s" % (reference, reason)) from error
        except (OSError, ValueError, HTTPError) as error:
            # Of the libraries that the SDK stands on: it lets them through while it reads.
            raise broken_off("pulled the image %s" % reference, error) from error
        return self.image_id(reference)

    def build(self, tag, recipe, labels):
        """Build an image from the text of a Dockerfile alone; its id. The output's last lines say why it could not be built."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(recipe.encode())
            tar.addfile(entry, io.BytesIO(recipe.encode()))
        path = path_with("/build", {"t": tag, "labels": json.dumps(labels), "rm": "1", "forcerm": "1"})
        said, deadline = [], time.monotonic() + BUILD_TIMEOUT
        connection = Connection(self.path, BUILD_TIMEOUT)
        try:
            connection.request("POST", path, archive.getvalue(), {"Content-Type": "application/x-tar"})
            stream = connection.sock
            with connection.getresponse() as answer:
                if answer.status >= 400:
                    accepted(path, answer.status, answer.read())
                for line in b"".join(chunks(answer, stream, deadline)).splitlines():
                    step = understood(path, line) if line.strip() else {}
                    said += (step.get("stream") or "").splitlines()
                    if step.get("error"):
                        lines = [each for each in said if each.strip()][-BUILD_LINES:]
                        raise ServiceError("The container engine could not build the image %s: %s" % (tag, step["error"]), log=lines)
        except socket.timeout as error:
            raise ServiceError("The container engine did not build the image %s within %d s." % (tag, BUILD_TIMEOUT)) from error
        except (OSError, http.client.HTTPException) as error:
            raise broken_off("built the image %s" % tag, error) from error
        finally:
            connection.close()
        return self.image_id(tag)

    def labelled_image(self, labels):
        """The id and a name of an image with these labels, or None; the newest if there are several."""
        filters = json.dumps({"label": ["%s=%s" % pair for pair in sorted(labels.items())]})
        found = sorted(self.get("/images/json", filters=filters), key=lambda one: one.get("Created", 0))
        named = [one for one in found if one.get("RepoTags")]
        return (named[-1]["Id"], named[-1]["RepoTags"][0]) if named else None

    @staticmethod
    def _docker():
        try:
            import docker
        except ImportError as error:
            raise EngineMissing(
                "The Docker SDK for Python is missing on the droplet (%s): install python3-docker, which the role docker does." % error
            ) from error
        return docker

    def _sdk(self, timeout):
        docker = self._docker()
        if not os.path.exists(self.path):
            raise EngineMissing("The container engine's socket %s does not exist: start docker.service." % self.path)
        try:
            return docker.APIClient(base_url="unix://" + self.path, version="auto", timeout=timeout)
        except docker.errors.DockerException as error:
            raise EngineMissing("The container engine does not answer on %s (%s): start docker.service." % (self.path, error)) from error

    def create(self, name, body):
        return self._change("create the container %s" % name, "POST", "/containers/create", body, name=name)["Id"]

    def start(self, container_id):
        self._change_soon(STILLBORN, "start the container %s" % container_id[:12], "POST", "/containers/%s/start" % container_id)

    def stop(self, container_id, timeout):
        status, content = self._ask("POST", path_with("/containers/%s/stop" % container_id, {"t": timeout}), seconds=timeout + 60)
        if status >= 400:
            raise ServiceError("The container engine could not stop the container %s: %s" % (container_id[:12], explanation(content)))

    def remove(self, container_id):
        self._change("remove the container %s" % container_id[:12], "DELETE", "/containers/%s" % container_id, v="1", force="1")

    def rename(self, container_id, name):
        self._change("rename the container %s to %s" % (container_id[:12], name), "POST", "/containers/%s/rename" % container_id, name=name)

    def set_policy(self, container_id, policy):
        path, body = "/containers/%s/update" % container_id, {"RestartPolicy": {"Name": policy}}
        self._change_soon(RESTARTING, "set the restart policy of %s" % container_id[:12], "POST", path, body)

    def wait(self, container_id, timeout):
        """The exit code, or None if the container still runs after so many seconds."""
        path, limit = "/containers/%s/wait" % container_id, time.monotonic() + timeout
        while True:
            try:
                return accepted(path, *self._ask("POST", path, seconds=max(1, limit - time.monotonic())))["StatusCode"]
            except EngineMissing as error:
                # The time is up, or the engine was restarted; the container goes on either way.
                details = self.inspect(container_id)
                if not details.running:
                    return details.exit_code
                if time.monotonic() >= limit or isinstance(error.__cause__, socket.timeout):
                    return None

    def logs(self, container_id, lines):
        """The last lines that a container said, or all of them."""
        path = path_with("/containers/%s/logs" % container_id, {"stdout": "1", "stderr": "1", "tail": str(lines)})
        status, content = self._ask("GET", path)
        if status >= 400:
            raise ServiceError("The container engine could not read the log of %s: %s" % (container_id[:12], explanation(content)))
        return in_order(content).splitlines()

    def create_network(self, name, mtu):
        body = {
            "Name": name,
            "Driver": "bridge",
            "Options": {"com.docker.network.driver.mtu": str(mtu)},
            "Labels": {LABEL + "network": name},
            "CheckDuplicate": True,
        }
        self._change("create the network %s" % name, "POST", "/networks/create", body)

    def default_mtu(self):
        """What the engine gives its own bridge; the host's uplink may know better."""
        bridge = self.network("bridge") or {}
        return int((bridge.get("Options") or {}).get("com.docker.network.driver.mtu", "1500"))

    def tag(self, image_id, reference):
        """Give the name to an image; the one that had it keeps its digest only."""
        name, _colon, tag = reference.rpartition(":")
        self._change("name an image %s" % reference, "POST", "/images/%s/tag" % quote(image_id, safe=":"), repo=name, tag=tag)

    def remove_image(self, image_id):
        """False if other names refer to it: then it is not ours alone."""
        what = "remove the image %s" % image_id
        return self._change(what, "DELETE", "/images/%s" % quote(image_id, safe=":"), fine=(404, 409)) is not None
