# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's archive in the lab's bucket, as somebody sees it who has the bucket's key and not the encryption key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import boto3

from tests.support import lab
from tests.support.database import sql, wait_until_archived
from tests.support.deployment import LEDGER
from tests.support.storage_faults import access_key

CONFIGURATION = "/etc/litefarm/postgres/pgbackrest.conf"


class Archive:
    """The objects of one environment's archive. What is damaged or removed comes back by the bucket's versions."""

    def __init__(self, environment: str):
        self.bucket = f"litefarm-{environment}-backups"
        self._prefix = f"{environment}/postgres/"
        key_id, secret = access_key(environment)
        found = lab.status()
        self._client = boto3.client(
            "s3",
            endpoint_url=found["endpoints"]["storage"],
            verify=found["paths"]["ca"],
            region_name="nyc3",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
        )

    def names(self) -> list[str]:
        """Keys of all objects, the oldest first."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._prefix)
        entries = [entry for page in pages for entry in page.get("Contents", [])]
        return [entry["Key"] for entry in sorted(entries, key=lambda entry: (entry["LastModified"], entry["Key"]))]

    def read(self, name: str) -> bytes:
        return self._client.get_object(Bucket=self.bucket, Key=name)["Body"].read()

    def find(self, *parts: str) -> str:
        """The newest object whose key contains all of these.

        Raises:
            AssertionError: there is none.
        """
        found = [name for name in self.names() if all(part in name for part in parts)]
        assert found, f"no object has {parts} in its name"
        return found[-1]

    @contextlib.contextmanager
    def damaged(self, name: str) -> Iterator[None]:
        """One byte in the middle of an object is another one inside the block."""
        content = bytearray(self.read(name))
        content[len(content) // 2] ^= 1
        version = self._client.put_object(Bucket=self.bucket, Key=name, Body=bytes(content))["VersionId"]
        with self._undone(name, version):
            yield

    @contextlib.contextmanager
    def missing(self, name: str) -> Iterator[None]:
        """An object is deleted inside the block."""
        with self._undone(name, self._client.delete_object(Bucket=self.bucket, Key=name)["VersionId"]):
            yield

    @contextlib.contextmanager
    def _undone(self, name: str, version: str) -> Iterator[None]:
        try:
            yield
        finally:
            self._client.delete_object(Bucket=self.bucket, Key=name, VersionId=version)


@contextlib.contextmanager
def configured(**values: str) -> Iterator[None]:
    """pgBackRest has other values, as after a mistake in the vault or in the inventory."""
    app = lab.connect(LEDGER)
    app.check_output(f"cp -p {CONFIGURATION} /run/pgbackrest.conf")
    try:
        for name, value in values.items():
            app.check_output("sed -i %s " + CONFIGURATION, f"s|^repo1-{name.replace('_', '-')}=.*|repo1-{name.replace('_', '-')}={value}|")
        yield
    finally:
        app.check_output(f"cat /run/pgbackrest.conf > {CONFIGURATION} && rm /run/pgbackrest.conf")
        # The server waits up to a minute after a failure, unless there is another segment.
        sql("SELECT pg_switch_wal()")
        wait_until_archived(90)
