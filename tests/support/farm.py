# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A farm of the sample application, as its user and as the bucket see it: files go in, exports come out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import ssl
import threading
import time
import zipfile

import boto3

from . import lab
from .https import Connection
from .pictures import form

FARM = "5a3bb6f4-0000-4000-8000-000000000001"
USER = "5a3bb6f4-0000-4000-8000-0000000000aa"


def token(secret: str, **claims) -> str:
    """A JSON web token as the API itself signs them (HS256)."""
    parts = [{"alg": "HS256", "typ": "JWT"}, {"iat": int(time.time()), **claims}]
    text = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_base64url(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Farm:
    """The farm that every sample release comes with.

    Args:
        environment: whose API and bucket.
        timeout: seconds within which the API has to answer.
    """

    def __init__(self, environment: str, timeout: float = 10):
        self._timeout = timeout
        settings, self._vault = lab.settings(environment), lab.vault(environment)
        self._api = settings["litefarm_api_host_name"]
        self.bucket = settings["litefarm_private_bucket"]
        self._ca_file = lab.status()["paths"]["ca"]
        self.storage = boto3.client(
            "s3", endpoint_url=lab.status()["endpoints"]["storage"], verify=self._ca_file, region_name="nyc3",
            aws_access_key_id=self._vault["vault_spaces_access_key_id"],
            aws_secret_access_key=self._vault["vault_spaces_secret_access_key"],
        )  # fmt: skip

    def upload(self, content: bytes, name: str, kind: str = "image/png") -> tuple[int, str]:
        """Puts a file among the farm's documents; status and body of the API's answer."""
        headers, body = form(content, name, kind, field="_file_")
        return self._ask("POST", f"/document/upload/farm/{FARM}", body, headers)

    def request_export(self) -> int:
        """Asks for an export of all documents; the status of the answer, 0 if there was none."""
        body = json.dumps({"farm_id": FARM, "from_date": "2026-01-01", "to_date": "2026-12-31"}).encode()
        try:
            return self._ask("POST", "/organic_certifier_survey/request_export", body, {"Content-Type": "application/json"})[0]
        except (OSError, ssl.SSLError):
            return 0

    def exports(self) -> set[str]:
        """The keys of the exports that are in the bucket."""
        found = self.storage.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{FARM}/document/exports/")
        return {entry["Key"] for page in found for entry in page.get("Contents", [])}

    def wait_for_exports(self, earlier: set[str], count: int = 1, seconds: float = 60) -> set[str]:
        """The keys of the exports that were not there earlier, as soon as there are enough.

        Raises:
            AssertionError: there are not enough in time.
        """
        deadline = time.monotonic() + seconds
        while len(new := self.exports() - earlier) < count:
            assert time.monotonic() < deadline, f"{len(new)} of {count} exports arrived in {seconds} s"
            time.sleep(0.2)
        return new

    def files_of(self, export: str) -> list[str]:
        """The names of the files in an export."""
        return zipfile.ZipFile(io.BytesIO(self.object(export))).namelist()

    def object(self, key: str) -> bytes:
        """The content of an object of the private bucket."""
        return self.storage.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def upload_slowly(self, content: bytes, name: str, kind: str = "image/png") -> Connection:
        """Sends all of a file but its last byte, as a phone does at the edge of its network, and leaves it there."""
        headers, body = form(content, name, kind, field="_file_")
        connection = self._connection()
        connection.putrequest("POST", f"/document/upload/farm/{FARM}")
        for key, value in {**self._bearer(), **headers, "Content-Length": str(len(body))}.items():
            connection.putheader(key, value)
        connection.endheaders()
        connection.send(body[:-1])
        return connection

    def remove(self, key: str) -> None:
        """Removes an object of the private bucket."""
        self.storage.delete_object(Bucket=self.bucket, Key=key)

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {token(self._vault['vault_jwt_secret'], user_id=USER)}", "user_id": USER, "farm_id": FARM}

    def _connection(self) -> Connection:
        return Connection(self._api, lab.names()[self._api], self._ca_file, self._timeout)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        connection = self._connection()
        try:
            connection.request(method, path, body=body, headers={**self._bearer(), **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()


class ExportRequests:
    """Asks for an export again and again, and counts those that the API has accepted."""

    def __init__(self, farm: Farm, every: float = 1.0):
        self._farm, self._every = farm, every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.accepted = self.refused = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            if self._farm.request_export() == 200:
                self.accepted += 1
            else:
                self.refused += 1
