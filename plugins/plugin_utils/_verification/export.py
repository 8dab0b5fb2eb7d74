# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user asks for an export, and it arrives in the bucket: through API, queues, scheduler and object storage, in one question."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import html
import http.client
import json
import re
import time
import urllib.parse
import urllib.request

from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import reason_of, row, shortened, warning

LIFETIME = 300


class StorageError(Exception):
    """The object storage refused or could not be asked; the message is meant for a person."""


def token(secret, user_id, now):
    """A JSON web token for a user, signed as the API itself signs them (HS256)."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"user_id": user_id, "iat": int(now), "exp": int(now) + LIFETIME})
    text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
    return "%s.%s" % (text, _encoded(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()))


def _encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Folder:
    """The objects of a bucket whose names begin alike."""

    def __init__(self, storage, prefix, context, timeout):
        self._storage = storage
        self._prefix = prefix
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        self._timeout = timeout

    def objects(self):
        """Their sizes by name."""
        found, query = {}, {"list-type": "2", "prefix": self._prefix}
        while query:
            listing = self._ask("GET", "?" + urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote, safe=""))
            for entry in re.findall(r"<Contents>(.*?)</Contents>", listing, re.DOTALL):
                found[html.unescape(_element(entry, "Key"))] = int(_element(entry, "Size"))
            more = _element(listing, "NextContinuationToken")
            query = dict(query, **{"continuation-token": html.unescape(more)}) if more else None
        return found

    def remove(self, name):
        self._ask("DELETE", "/" + urllib.parse.quote(name, safe="/~"))

    def _ask(self, method, path):
        # Slow to load, and needed by few runs.
        from ansible_collections.litefarm.platform.plugins.module_utils import _object_storage as object_storage

        if object_storage.S3SigV4Auth is None:
            raise StorageError(object_storage.NO_LIBRARY)
        endpoint, region, bucket = self._storage["endpoint"].rstrip("/"), self._storage["region"], self._storage["bucket"]
        key = (self._storage["access_key_id"], self._storage["secret_access_key"])
        try:
            return object_storage.signed_request(self._opener, method, "%s/%s%s" % (endpoint, bucket, path), region, key, self._timeout)
        except object_storage.Refused as error:
            raise StorageError(object_storage.explain(error.refusal, endpoint, region, bucket, "litefarm_private_bucket")) from error


def _element(document, name):
    found = re.search(r"<%s>([^<]*)</%s>" % (name, name), document)
    return found.group(1) if found else None


def check_export(check, visitor, host):
    """An export that is asked for arrives in time. It is removed again, so that nothing is left of the question."""
    seconds = check.get("seconds", 60)
    where, expected = "%s %s" % (host, check["storage"]["bucket"]), "in the bucket within %d s" % seconds
    if not check["farm_id"] or not check["user_id"]:
        advice = "not asked: set litefarm_verify_farm_id and litefarm_verify_user_id to a farm made for this"
        return [warning(check["check"], where, expected, advice)]
    folder = Folder(check["storage"], "%s/document/exports/" % check["farm_id"], visitor.context, visitor.timeout)
    try:
        earlier = set(folder.objects())
        refusal = _ask_for_export(check, visitor)
        if refusal:
            return [row(check["check"], where, expected, refusal, False)]
        began = time.monotonic()
        arrived = {}
        while not arrived and time.monotonic() - began < seconds:
            time.sleep(check.get("pause", 0.5))
            arrived = {name: size for name, size in folder.objects().items() if name not in earlier}
        took = time.monotonic() - began
    except StorageError as error:
        return [row(check["check"], where, expected, _first_part(error), False)]
    if not arrived:
        return [row(check["check"], where, expected, "accepted by the API, not there after %d s" % seconds, False)]
    seen = "after %.1f s, %d bytes" % (took, min(arrived.values()))
    if len(arrived) > 1:
        return [warning(check["check"], where, expected, "%s; %d came at once, so none was removed" % (seen, len(arrived)))]
    try:
        folder.remove(next(iter(arrived)))
    except StorageError as error:
        return [warning(check["check"], where, expected, "%s; not removed: %s" % (seen, _first_part(error)))]
    return [row(check["check"], where, expected, seen, min(arrived.values()) > 0)]


def _ask_for_export(check, visitor):
    """Return None, or how the API refused."""
    today = datetime.date.today()
    order = {"farm_id": check["farm_id"], "from_date": str(today - datetime.timedelta(days=7)), "to_date": str(today)}
    headers = {
        "Authorization": "Bearer %s" % token(check["jwt_secret"], check["user_id"], time.time()),
        "Content-Type": "application/json",
        "farm_id": check["farm_id"],
        "user_id": check["user_id"],
    }
    try:
        status, _headers, body = visitor.ask("POST", check["url"], headers, json.dumps(order).encode())
    except (OSError, http.client.HTTPException) as error:
        return "the API: %s" % reason_of(error)
    return None if status == 200 else shortened("the API: %d, %s" % (status, body), 100)


def _first_part(error):
    """What is wrong. What to do about it would make the table too wide."""
    return str(error).partition(": ")[0]
