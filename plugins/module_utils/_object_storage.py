# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a bucket there, and may this key use it? Asked with the S3 API; every answer is a code that becomes a sentence."""

from __future__ import annotations

import collections
import concurrent.futures
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request

from ansible_collections.litefarm.platform.plugins.module_utils._busy import BUSY, PAUSES, pause_after
from ansible_collections.litefarm.platform.plugins.module_utils._trust import trust_context

try:
    # Of boto3 only what signs a request: that takes a quarter of the time of its client.
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    S3SigV4Auth = AWSRequest = Credentials = None

# Without dots, because a certificate for *.nyc3.digitaloceanspaces.com is good for one label.
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")

# What a person calls the things that can be wrong.
NAMES = {
    "endpoint": "litefarm_spaces_endpoint",
    "region": "litefarm_spaces_region",
    "access_key_id": "vault_spaces_access_key_id",
    "secret_access_key": "vault_spaces_secret_access_key",
    "ca_certificates": "litefarm_ca_certificates",
}

NO_LIBRARY = "The object storage cannot be asked without boto3 for Python: install it beside Ansible, as requirements.txt does (pip install boto3)."

SENTENCES = {
    "InvalidAccessKeyId": "{endpoint} does not know the key {access_key_id_name}: put in a key that exists, with ansible-vault edit.",
    "SignatureDoesNotMatch": "{endpoint} refuses the key {access_key_id_name}, because {secret_access_key_name} is not the secret that belongs to it: "
    "put in the right one, with ansible-vault edit.",
    "AccessDenied": "{endpoint} does not let the key {access_key_id_name} use the bucket {bucket}, or the bucket belongs to somebody else: "
    "give the key access to it in DigitalOcean's control panel, or correct {bucket_name}.",
    "NoSuchBucket": "There is no bucket {bucket} at {endpoint}: run playbooks/storage.yml, or correct {bucket_name}.",
    "BucketAlreadyExists": "The name {bucket} belongs to somebody else's bucket at {endpoint}: choose another in {bucket_name}.",
    "InvalidBucketName": "{endpoint} does not accept {bucket} as the name of a bucket: correct {bucket_name}.",
    "TooManyBuckets": "{endpoint} makes no more buckets for this account: remove one that nobody needs, or ask DigitalOcean for more.",
    "WrongRegion": "{endpoint} is not in the region {region}: correct {region_name} or {endpoint_name}.",
    "RequestTimeTooSkewed": "{endpoint} and this machine disagree about the time: correct this machine's clock.",
    "Untrusted": "{endpoint} has a certificate that is not trusted here ({detail}): add its authority to {ca_certificates_name}, or correct {endpoint_name}.",
    "InvalidAuthority": "{ca_certificates_name} has an authority that is no PEM certificate ({detail}): correct it.",
    "Unreachable": "{endpoint} cannot be reached ({detail}): correct {endpoint_name} or the network of this machine.",
}
UNEXPECTED = "{endpoint} answers '{code}' about the bucket {bucket} ({detail}): see DigitalOcean's status page."
SAME = {
    "Forbidden": "AccessDenied",
    "AllAccessDisabled": "AccessDenied",
    "AuthorizationHeaderMalformed": "WrongRegion",
    "PermanentRedirect": "WrongRegion",
    "IllegalLocationConstraintException": "WrongRegion",
    "InvalidLocationConstraint": "WrongRegion",
    # What is left of a code when an answer has no body.
    "301": "WrongRegion",
    "403": "AccessDenied",
    "404": "NoSuchBucket",
}

Refusal = collections.namedtuple("Refusal", ["code", "detail"])


class Storage:
    """One endpoint with one key. Only reads, and no more than whether a bucket answers."""

    def __init__(self, endpoint, region, access_key_id, secret_access_key, ca_pem="", timeout=10):
        self.endpoint = endpoint.rstrip("/")
        self.region = region
        self._key = (access_key_id, secret_access_key)
        self._ca_pem = ca_pem
        self._timeout = timeout

    def look(self, bucket):
        """Return None if the bucket is there and the key may use it, or why not."""
        return self.look_at([bucket])[bucket]

    def look_at(self, buckets):
        """The same for several buckets at once."""
        try:
            opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust_context(self._ca_pem)))
        except (ssl.SSLError, ValueError) as error:
            return {bucket: Refusal("InvalidAuthority", str(error)) for bucket in buckets}
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(buckets))) as pool:
            return dict(zip(buckets, pool.map(lambda bucket: self._look(opener, bucket), buckets)))

    def _look(self, opener, bucket):
        refusal = self._ask(opener, "HEAD", bucket)
        # The answer to HEAD has no body, which is where the reason would be.
        if refusal and refusal.code.isdigit():
            busy = int(refusal.code) in BUSY
            reason = self._ask(opener, "GET", "%s?max-keys=1" % bucket, () if busy else None)
            # One that was busy may answer now; of any other refusal HEAD's word counts.
            refusal = reason or (None if busy else refusal)
        return refusal

    def _ask(self, opener, method, path, pauses=None):
        try:
            signed_request(opener, method, "%s/%s" % (self.endpoint, path), self.region, self._key, self._timeout, pauses)
        except Refused as error:
            return error.refusal
        return None


class Refused(Exception):
    """The storage refused, or could not be asked."""

    def __init__(self, refusal):
        super().__init__(refusal.detail)
        self.refusal = refusal


def signed_request(opener, method, url, region, key, timeout, pauses=None):
    """Return the body of the answer to a request signed with a key (identifier and secret).

    A storage that is busy (C(503 SlowDown), for example) is asked again after each of the pauses, by default C(PAUSES).
    """
    request = AWSRequest(method=method, url=url)
    S3SigV4Auth(Credentials(*key), "s3", region).add_auth(request)
    order = urllib.request.Request(request.url, method=method, headers=dict(request.headers.items()))
    pauses, hung_up = iter(PAUSES if pauses is None else pauses), False
    while True:
        try:
            with opener.open(order, timeout=timeout) as answer:
                return answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            body = error.read().decode("utf-8", "replace")
            pause = pause_after(error.code, error.headers, pauses)
            if pause is None:
                raise Refused(Refusal(_element(body, "Code") or str(error.code), _element(body, "Message") or str(error.reason))) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise Refused(Refusal("Untrusted", reason.verify_message)) from error
            # A busy server hangs up on some: not a reason to stop a run before it has begun.
            if hung_up or not isinstance(reason, ConnectionError) or isinstance(reason, ConnectionRefusedError):
                raise Refused(Refusal("Unreachable", getattr(reason, "strerror", None) or str(reason))) from error
            pause, hung_up = PAUSES[0], True
        time.sleep(pause)


def _element(document, name):
    found = re.search(r"<%s>([^<]*)</%s>" % (name, name), document)
    return found.group(1) if found else None


def explain(refusal, endpoint, region, bucket, bucket_name, names=None):
    """The sentence for a refusal. C(bucket_name) and C(names) say how a person finds the values that may be wrong."""
    shown = {"%s_name" % key: name for key, name in dict(NAMES, **(names or {})).items()}
    text = SENTENCES.get(SAME.get(refusal.code, refusal.code), UNEXPECTED)
    where = re.sub(r"^https?://", "", endpoint.rstrip("/"))
    # A sentence does not begin in lower case.
    words = "The object storage %s" % where if text.startswith("{endpoint}") else where
    return text.format(endpoint=words, region=region, bucket=bucket, bucket_name=bucket_name, code=refusal.code, detail=refusal.detail.rstrip("."), **shown)
