# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine, as far as a release needs it.

Looking, also by a command in a container, goes straight to the engine's socket: importing the SDK costs more than all the
rest of a run that changes nothing. Changing goes through the Docker SDK for Python, which also knows the registries' credentials.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import time
from urllib.parse import quote, urlencode

from .model import LABEL, ServiceError

SOCKET = "/var/run/docker.sock"
POLICY_ATTEMPTS = 25
POLICY_PAUSE = 0.2  # seconds
FRAME_HEADER = 8  # bytes; the first is the stream's number, the last four are the length of the frame's content
STANDARD_OUTPUT = 1


class EngineMissing(ServiceError):
    """No engine, or no SDK: a fresh droplet in check mode."""


class Container:
    """One container as the engine shows it."""

    def __init__(self, seen):
        self.id = seen["Id"]
        self.name = seen["Names"][0].lstrip("/") if seen.get("Names") else ""
        self.state = seen["State"]
        self.image_id = seen["ImageID"]
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
        networks = (seen.get("NetworkSettings") or {}).get("Networks") or {}
        self.address = next((n["IPAddress"] for n in networks.values() if n.get("IPAddress")), "")


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def request(connection, method, path, body=None):
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)


def path_with(path, query):
    return path + ("?" + urlencode(query) if query else "")


def accepted(path, status, content):
    """What the engine answered, if it did not refuse."""
    if status >= 400:
        raise ServiceError("The container engine refused %s: %s" % (path, content.decode(errors="replace").strip()))
    return json.loads(content)


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


def unframed(content):
    """Standard output and standard error, out of the frames in which the engine mixes them."""
    output, errors, position = bytearray(), bytearray(), 0
    while position < len(content):
        stream = output if content[position] == STANDARD_OUTPUT else errors
        begin = position + FRAME_HEADER
        position = begin + int.from_bytes(content[begin - 4 : begin], "big")
        stream += content[begin:position]
    return output.decode(errors="replace"), errors.decode(errors="replace")


class Engine:
    def __init__(self, path=SOCKET):
        self.path = path
        self._sdk = None

    # -- looking ---------------------------------------------------------------------------------------------------------------

    def _ask(self, method, path, body=None):
        connection = _Connection(self.path, 60)
        try:
            request(connection, method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineMissing("The container engine does not answer on %s (%s): start docker.service." % (self.path, error)) from error
        finally:
            connection.close()

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

    def image_id(self, reference):
        seen = self.get("/images/%s/json" % quote(reference, safe="/:@"))
        return seen["Id"] if seen else None

    def image_in_use(self, image_id):
        return any(one["ImageID"] == image_id for one in self.get("/containers/json", all="1"))

    def network(self, name):
        return self.get("/networks/%s" % quote(name))

    def deaths(self, container_id, since):
        """Exit codes so far of a container that a restart policy keeps starting, and whether memory ran out: an inspection only knows the last run."""
        filters = json.dumps({"container": [container_id], "event": ["die", "oom"]})
        content = self._ask("GET", path_with("/events", {"since": "%.6f" % since, "until": "%.6f" % time.time(), "filters": filters}))[1]
        events = [json.loads(line) for line in content.splitlines() if line.strip()]
        codes = [int(event["Actor"]["Attributes"].get("exitCode", "0")) for event in events if event["Action"] == "die"]
        return codes, any(event["Action"] == "oom" for event in events)

    def execute(self, container_id, command, timeout, user=None, stdin=None):
        """Exit code, standard output and standard error of a command in a running container. It has to end within the timeout, in seconds.

        All of stdin is written before the output is read: it is meant for some lines of SQL, not for a dump.
        """
        path = "/containers/%s/exec" % container_id
        body = {"Cmd": command, "User": user or "", "AttachStdin": stdin is not None, "AttachStdout": True, "AttachStderr": True}
        execution = "/exec/%s" % accepted(path, *self._ask("POST", path, body))["Id"]
        try:
            output, errors = self._attach(execution + "/start", stdin, timeout)
        except socket.timeout as error:
            raise ServiceError("The command '%s' did not end within %g s." % (" ".join(command), timeout)) from error
        # With its container the engine forgets a command.
        code = (self.get(execution + "/json") or {}).get("ExitCode")
        if code is None:
            raise ServiceError("The command '%s' was cut off before it ended." % " ".join(command))
        return code, output, errors

    def _attach(self, path, stdin, timeout):
        """All that the command says. The engine sends it without a length, until the command ends or the time is up."""
        deadline = time.monotonic() + timeout
        connection = _Connection(self.path, timeout)
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

    def sdk(self, timeout=60):
        if self._sdk is None:
            try:
                import docker
            except ImportError as error:
                raise EngineMissing(
                    "The Docker SDK for Python is missing on the droplet (%s): install python3-docker, which the role docker does." % error
                ) from error
            self._sdk = docker
        if not os.path.exists(self.path):
            raise EngineMissing("The container engine's socket %s does not exist: start docker.service." % self.path)
        try:
            return self._sdk.APIClient(base_url="unix://" + self.path, version="auto", timeout=timeout)
        except self._sdk.errors.DockerException as error:
            raise EngineMissing("The container engine does not answer on %s (%s): start docker.service." % (self.path, error)) from error

    def _do(self, what, function, *args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception as error:
            explanation = getattr(error, "explanation", None) or str(error)
            raise ServiceError("The container engine could not %s: %s" % (what, explanation)) from error

    def pull(self, reference):
        client = self.sdk(timeout=600)
        name, colon, tag = (reference, "", "") if "@" in reference else reference.rpartition(":")

        def pull():
            for line in client.pull(name, tag=tag or None, stream=True, decode=True):
                if "error" in line:
                    raise RuntimeError(line["error"])

        self._do("pull the image %s" % reference, pull)
        return self.image_id(reference)

    def create(self, name, body):
        return self._do("create the container %s" % name, self.sdk().create_container_from_config, body, name)["Id"]

    def start(self, container_id):
        self._do("start the container %s" % container_id[:12], self.sdk().start, container_id)

    def stop(self, container_id, timeout):
        self._do("stop the container %s" % container_id[:12], self.sdk().stop, container_id, timeout=timeout)

    def remove(self, container_id):
        client = self.sdk()
        self._do("remove the container %s" % container_id[:12], client.remove_container, container_id, v=True, force=True)

    def rename(self, container_id, name):
        self._do("rename the container %s to %s" % (container_id[:12], name), self.sdk().rename, container_id, name)

    def set_policy(self, container_id, policy):
        """Between the exit of a crashing container and its next start the engine refuses to update it; that moment passes."""
        for remaining in reversed(range(POLICY_ATTEMPTS)):
            try:
                return self._do(
                    "set the restart policy of %s" % container_id[:12], self.sdk().update_container, container_id, restart_policy={"Name": policy}
                )
            except ServiceError as error:
                if "stopped container" not in str(error) or not remaining:
                    raise
            time.sleep(POLICY_PAUSE)

    def wait(self, container_id, timeout):
        """The exit code, or None if the container still runs then."""
        try:
            return self.sdk(timeout=timeout).wait(container_id, timeout=timeout)["StatusCode"]
        except Exception as error:
            if self.inspect(container_id).running:
                return None
            raise ServiceError("Waiting for the container %s failed: %s" % (container_id[:12], error)) from error

    def logs(self, container_id, lines):
        output = self._do("read the log of %s" % container_id[:12], self.sdk().logs, container_id, tail=lines)
        return output.decode(errors="replace").splitlines()

    def create_network(self, name, mtu):
        self._do(
            "create the network %s" % name,
            self.sdk().create_network,
            name,
            driver="bridge",
            options={"com.docker.network.driver.mtu": str(mtu)},
            labels={LABEL + "network": name},
            check_duplicate=True,
        )

    def default_mtu(self):
        """What the engine gives its own bridge; the host's uplink may know better."""
        bridge = self.network("bridge") or {}
        return int((bridge.get("Options") or {}).get("com.docker.network.driver.mtu", "1500"))

    def remove_image(self, image_id):
        """False if other names refer to it: then it is not ours alone."""
        try:
            self.sdk().remove_image(image_id)
        except Exception as error:
            if getattr(getattr(error, "response", None), "status_code", None) in (404, 409):
                return False
            raise ServiceError("The container engine could not remove the image %s: %s" % (image_id, error)) from error
        return True
