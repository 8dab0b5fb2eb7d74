# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small client of the registry HTTP API v2: is this tag there, which digest has it, and for which architecture is it?"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

from ansible_collections.litefarm.platform.plugins.module_utils._busy import PAUSES, pause_after
from ansible_collections.litefarm.platform.plugins.module_utils._trust import trust_context

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class RegistryError(Exception):
    """The registry could not be asked, or refused; the message is meant for a person."""


def split_registry(registry):
    """Split C(registry.example.com:5000/team) into the host that is asked and the prefix of its repositories."""
    host, _separator, prefix = registry.strip("/").partition("/")
    return host, prefix


def parse_challenge(header):
    """Read a WWW-Authenticate header into its scheme and parameters."""
    scheme, _separator, rest = header.strip().partition(" ")
    return scheme.lower(), dict(re.findall(r'(\w+)="([^"]*)"', rest))


class Registry:
    """One registry with one login. Only reads."""

    def __init__(self, registry, username=None, password=None, ca_pem=None, timeout=15):
        self.host, self.prefix = split_registry(registry)
        self._username = username
        self._password = password
        self._timeout = timeout
        name = "[::1]" if self.host.startswith("[::1]") else self.host.split(":")[0]
        # Docker, too, speaks plain HTTP to a registry on the machine itself, and to no other.
        scheme = "http" if name in LOCAL_HOSTS else "https"
        address = "registry-1.docker.io" if self.host == "docker.io" else self.host
        self._base = "%s://%s/v2/" % (scheme, address)
        try:
            context = trust_context(ca_pem)
        except ssl.SSLError as error:
            raise RegistryError("a certificate authority for the registry %s is no PEM certificate (%s)" % (self.host, error)) from error
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        self._authorization = None

    def name_of(self, repository):
        return "/".join(part for part in (self.prefix, repository) if part)

    def digest(self, repository, tag):
        """Return the digest of a tag, or None if the registry has no such tag."""
        path = "%s/manifests/%s" % (self.name_of(repository), urllib.parse.quote(tag))
        answer = self._ask("HEAD", path)
        if answer is None:
            return None
        digest = answer.headers.get("Docker-Content-Digest")
        if digest:
            return digest
        answer = self._ask("GET", path)
        return None if answer is None else "sha256:" + hashlib.sha256(answer.read()).hexdigest()

    def architectures(self, repository, digest):
        """The architectures that an image is for, by the names of Go and Docker; none if the registry does not say it."""
        manifest = self._document("%s/manifests/%s" % (self.name_of(repository), digest))
        if "manifests" in manifest:
            found = {(each.get("platform") or {}).get("architecture") for each in manifest["manifests"]}
        elif "config" in manifest:
            found = {self._document("%s/blobs/%s" % (self.name_of(repository), manifest["config"].get("digest"))).get("architecture")}
        else:
            found = set()
        # What a builder attests of an image is listed beside it, as of an unknown platform.
        return sorted(found - {None, "", "unknown"})

    def _document(self, path):
        answer = self._ask("GET", path)
        try:
            document = {} if answer is None else json.loads(answer.read())
        except ValueError as error:
            raise RegistryError("the registry %s answers with something that is not JSON" % self.host) from error
        return document if isinstance(document, dict) else {}

    def _ask(self, method, path):
        for attempt in (1, 2):
            request = urllib.request.Request(self._base + path, method=method, headers={"Accept": ", ".join(MANIFEST_TYPES)})
            if self._authorization:
                # Blobs are redirected to an object storage, which must not see it and refuses a request with two logins.
                request.add_unredirected_header("Authorization", self._authorization)
            try:
                return self._open(request)
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return None
                if error.code == 401 and attempt == 1:
                    self._authorization = self._answer_to(error.headers.get("WWW-Authenticate", ""))
                    continue
                if error.code in (401, 403):
                    raise self._refused() from error
                raise RegistryError("the registry %s answers %d %s" % (self.host, error.code, error.reason)) from error
        return None

    def _open(self, request):
        pauses = iter(PAUSES)
        while True:
            try:
                return self._answer(request)
            except urllib.error.HTTPError as error:
                pause = pause_after(error.code, error.headers, pauses)
                if pause is None:
                    raise
            time.sleep(pause)

    def _answer(self, request):
        try:
            return self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise RegistryError("the registry %s cannot be reached (%s)" % (self.host, getattr(reason, "strerror", None) or reason)) from error

    def _answer_to(self, header):
        scheme, parameters = parse_challenge(header)
        if scheme == "basic":
            if not self._password:
                raise self._refused()
            return self._basic()
        if scheme == "bearer":
            return "Bearer " + self._token(parameters)
        raise RegistryError("the registry %s asks for a login of the unknown kind '%s'" % (self.host, scheme))

    def _basic(self):
        return "Basic " + base64.b64encode(("%s:%s" % (self._username or "", self._password)).encode()).decode()

    def _token(self, parameters):
        query = {key: parameters[key] for key in ("service", "scope") if key in parameters}
        request = urllib.request.Request("%s?%s" % (parameters.get("realm", ""), urllib.parse.urlencode(query)))
        if self._password:
            request.add_header("Authorization", self._basic())
        try:
            document = json.loads(self._open(request).read())
        except urllib.error.HTTPError as error:
            raise self._refused() from error
        except ValueError as error:
            raise RegistryError("the registry %s answers a log-in with something that is not JSON" % self.host) from error
        return document.get("token") or document.get("access_token") or ""

    def _refused(self):
        if not self._password:
            return RegistryError("the registry %s asks for a login, and none is given" % self.host)
        return RegistryError("the registry %s refuses the login of '%s'" % (self.host, self._username))
