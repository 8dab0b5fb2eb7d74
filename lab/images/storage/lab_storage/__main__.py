# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves the storage over TLS. What is stored is in memory: whoever starts the container anew starts with no buckets."""

from __future__ import annotations

import json
from pathlib import Path

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import s3_backends

from .faults import Faults
from .gate import Gate, Key, readable_by_all

_FOLDER = Path("/etc/lab")


def _is_public(bucket_name: str, key_name: str) -> bool:
    bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.get(bucket_name)
    if bucket is None:
        return False
    verdict = readable_by_all(json.loads(bucket.policy) if bucket.policy else None, bucket_name, key_name)
    if verdict is not None:
        return verdict
    key = bucket.keys.get(key_name)
    return bool(key is not None and key.acl and key.acl.public_read)


def main() -> None:
    configuration = json.loads((_FOLDER / "storage.json").read_text())
    keys = {name: Key(key["secret"], tuple(key["buckets"]), key["writes"]) for name, key in configuration["keys"].items()}
    gate = Gate(create_backend_app("s3"), configuration["endpoint"], keys, _is_public, Faults(configuration["token"]))
    # A request that hangs by a fault keeps its thread; the gate lets at most 48 of them.
    server = Server(("0.0.0.0", 443), gate, numthreads=64, request_queue_size=128)
    server.ssl_adapter = BuiltinSSLAdapter(str(_FOLDER / "server.pem"), str(_FOLDER / "server.key"))
    server.start()


if __name__ == "__main__":
    main()
