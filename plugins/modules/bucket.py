#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bucket
short_description: A bucket of the object storage is there, and open to whom it should be
version_added: 0.1.0
description:
  - Creates a bucket that is missing and sets who may read it, from which web pages, whether old versions of objects are kept, and what
    the storage tidies up by itself.
  - Never deletes a bucket or an object. A lifecycle rule with O(lifecycle[].expire_days) makes the storage delete objects, and one with
    O(lifecycle[].expire_old_versions_days) their old versions.
  - Made for DigitalOcean Spaces, and uses only what other storages with the S3 API know as well.
  - A storage that is busy, which it says with C(503) or C(429), is asked again up to four times.
  - Runs where Python has boto3, which is the control node.
options:
  name:
    description: The bucket's name. It is unique among all customers of the storage.
    type: str
    required: true
  variable:
    description: The variable that O(name) comes from, for messages.
    type: str
    default: the variable of the bucket's name
  endpoint:
    description: URL of the object storage, without the bucket.
    type: str
    required: true
  region:
    description: Region of the object storage.
    type: str
    required: true
  access_key_id:
    description: The key. To create a bucket or to open one it needs all permissions.
    type: str
    required: true
  secret_access_key:
    description: The secret that belongs to O(access_key_id).
    type: str
    required: true
  ca_certificates:
    description: Certificate authorities, name to PEM, that are trusted beside the system's.
    type: dict
    default: {}
  access:
    description:
      - Who may read. V(private) is nobody without a key. V(public_read) is everybody who knows an object's name, by a bucket policy.
      - Listing and writing take a key in either case. Statements of the bucket's policy that let everybody in are replaced, and
        all others are kept.
      - An object that was uploaded with an ACL of its own is also open to whom that says.
    type: str
    choices: [private, public_read]
    default: private
  cors:
    description: From which web pages a browser may ask. An empty list is none; without the option nothing is changed.
    type: list
    elements: dict
    suboptions:
      origins:
        description: Origins of the pages, such as V(https://app.litefarm.org).
        type: list
        elements: str
        required: true
      methods:
        description: Methods that they may use.
        type: list
        elements: str
        choices: [GET, HEAD, PUT, POST, DELETE]
        required: true
      headers:
        description: Headers that they may send.
        type: list
        elements: str
        default: []
      max_age_seconds:
        description: Seconds for which a browser remembers the answer.
        type: int
        default: 3600
  versioning:
    description:
      - Whether the storage keeps the old version of an object that is overwritten or deleted. Without the option nothing is changed.
      - V(true) enables versioning. V(false) suspends it where it is enabled. The storage then keeps the versions that it has, until a
        rule with O(lifecycle[].expire_old_versions_days) or a person deletes them.
    type: bool
  lifecycle:
    description: What the storage tidies up. An empty list is nothing; without the option nothing is changed.
    type: list
    elements: dict
    suboptions:
      id:
        description: The rule's name.
        type: str
        required: true
      prefix:
        description: How the names of the objects begin. Empty for all objects. There are no wildcards.
        type: str
        default: ""
      expire_days:
        description: Days after which an object is deleted.
        type: int
      expire_old_versions_days:
        description:
          - Days after which the old version of an object is deleted, counted from the moment in which it was overwritten or deleted.
          - The same rule removes the marker of a deleted object that has no versions any more.
        type: int
      abort_multipart_days:
        description: Days after which the parts of an upload that was not finished are deleted.
        type: int
extends_documentation_fragment:
  - litefarm.platform.attributes.changes_with_diff
requirements:
  - boto3
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
"""

EXAMPLES = r"""
- name: The private bucket is there, and the webapp may fetch from it
  litefarm.platform.bucket:
    name: litefarm-app-secret
    endpoint: https://nyc3.digitaloceanspaces.com
    region: nyc3
    access_key_id: "{{ vault_spaces_access_key_id }}"
    secret_access_key: "{{ vault_spaces_secret_access_key }}"
    cors:
      - {origins: ["https://app.litefarm.org"], methods: [GET]}
    lifecycle:
      - {id: unfinished uploads, abort_multipart_days: 7}
  delegate_to: localhost
  run_once: true

- name: Everybody may read from the public bucket
  litefarm.platform.bucket:
    name: litefarmapp
    endpoint: https://nyc3.digitaloceanspaces.com
    region: nyc3
    access_key_id: "{{ vault_spaces_access_key_id }}"
    secret_access_key: "{{ vault_spaces_secret_access_key }}"
    access: public_read
  delegate_to: localhost
  run_once: true

- name: Keep what is overwritten or deleted for 30 days
  litefarm.platform.bucket:
    name: litefarm-production-backups
    endpoint: https://nyc3.digitaloceanspaces.com
    region: nyc3
    access_key_id: "{{ vault_spaces_access_key_id }}"
    secret_access_key: "{{ vault_spaces_secret_access_key }}"
    versioning: true
    lifecycle:
      - {id: old versions, expire_old_versions_days: 30}
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
settings:
  description: The bucket's settings after the run, or in check mode as they would be.
  returned: success
  type: dict
  contains:
    acl:
      description: What the bucket's ACL lets everybody do. Empty if nothing.
      type: list
      elements: str
    policy:
      description: The statements of the bucket's policy.
      type: list
      elements: dict
    cors:
      description: As O(cors).
      type: list
      elements: dict
    versioning:
      description: V(Enabled), V(Suspended), or V(Off) if it was never enabled.
      type: str
    lifecycle:
      description: As O(lifecycle).
      type: list
      elements: dict
created:
  description: Whether the bucket was, or in check mode would be, created.
  returned: success
  type: bool
"""

import base64
import contextlib
import hashlib
import json
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import _object_storage as object_storage
from ansible_collections.litefarm.platform.plugins.module_utils._busy import PAUSES
from ansible_collections.litefarm.platform.plugins.module_utils._object_storage import Refusal
from ansible_collections.litefarm.platform.plugins.module_utils._trust import system_file, write_bundle

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    boto3 = None

STATEMENT = "EverybodyReads"
EVERYBODY = ("http://acs.amazonaws.com/groups/global/AllUsers", "http://acs.amazonaws.com/groups/global/AuthenticatedUsers")
# A storage says nothing of a bucket whose versioning was never enabled.
OFF = "Off"
# The answers of a bucket that has no such settings.
NONE = ("NoSuchBucketPolicy", "NoSuchCORSConfiguration", "NoSuchLifecycleConfiguration")
# What is left of a deleted object when its versions are gone.
MARKER = "ExpiredObjectDeleteMarker"
# What asks for the body's checksum in one of two ways.
SETTERS = ("PutBucketAcl", "PutBucketPolicy", "PutBucketCors", "PutBucketVersioning", "PutBucketLifecycleConfiguration")


def public_statement(name):
    return {"Sid": STATEMENT, "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::%s/*" % name}


def opens(statement):
    """Does it let everybody in? One with a condition lets in only some."""
    principal = statement.get("Principal")
    principal = principal.get("AWS") if isinstance(principal, dict) else principal
    return statement.get("Effect") == "Allow" and "*" in listed(principal) and not statement.get("Condition")


def listed(value):
    return list(value) if isinstance(value, list) else [value]


def meaning(statements):
    """What statements say, whichever of the equal ways they say it in."""
    plain = [
        {
            **{key: value for key, value in statement.items() if key != "Sid"},
            "Principal": "*" if opens(statement) else statement.get("Principal"),
            "Action": sorted(listed(statement.get("Action"))),
            "Resource": sorted(listed(statement.get("Resource"))),
        }
        for statement in statements
    ]
    return sorted(json.dumps(statement, sort_keys=True) for statement in plain)


def cors_rule(rule):
    """A rule as the storage gives it, in the form of the option."""
    shown = {
        "origins": rule.get("AllowedOrigins", []),
        "methods": rule.get("AllowedMethods", []),
        "headers": rule.get("AllowedHeaders", []),
        "max_age_seconds": rule.get("MaxAgeSeconds"),
    }
    if rule.get("ExposeHeaders"):
        shown["expose_headers"] = rule["ExposeHeaders"]
    return {key: sorted(value) if isinstance(value, list) else value for key, value in shown.items()}


def storage_cors_rule(rule):
    given = {
        "AllowedOrigins": rule["origins"],
        "AllowedMethods": rule["methods"],
        "AllowedHeaders": rule["headers"],
        "MaxAgeSeconds": rule["max_age_seconds"],
    }
    return {key: value for key, value in given.items() if value != []}


def lifecycle_rule(rule):
    """A rule as the storage gives it, in the form of the option. What the option cannot say makes it another rule."""
    place, expiration, old_versions = (dict(rule.get(part) or {}) for part in ("Filter", "Expiration", "NoncurrentVersionExpiration"))
    shown = {
        "id": rule.get("ID", ""),
        "prefix": rule.get("Prefix") or place.pop("Prefix", None) or "",
        "expire_days": expiration.pop("Days", None),
        "expire_old_versions_days": old_versions.pop("NoncurrentDays", None),
        "abort_multipart_days": (rule.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation"),
    }
    known = ("ID", "Prefix", "Filter", "Status", "Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    other = {key: value for key, value in rule.items() if key not in known}
    other.update(place, **{key: value for key, value in {**expiration, **old_versions}.items() if key != MARKER and value})
    if bool(expiration.get(MARKER)) != removes_markers(shown):
        other[MARKER] = bool(expiration.get(MARKER))
    if rule.get("Status") != "Enabled":
        other["Status"] = rule.get("Status")
    # Dates are no JSON.
    return dict(shown, other=json.loads(json.dumps(other, default=str))) if other else shown


def removes_markers(rule):
    """Does a rule have to say that the markers of deleted objects go? One that expires objects removes them anyway, and may not say it."""
    return rule["expire_old_versions_days"] is not None and rule["expire_days"] is None


def storage_lifecycle_rule(rule):
    given = {"ID": rule["id"], "Filter": {"Prefix": rule["prefix"]}, "Status": "Enabled"}
    if rule["expire_days"] is not None:
        given["Expiration"] = {"Days": rule["expire_days"]}
    if removes_markers(rule):
        given["Expiration"] = {MARKER: True}
    if rule["expire_old_versions_days"] is not None:
        given["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule["expire_old_versions_days"]}
    if rule["abort_multipart_days"] is not None:
        given["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": rule["abort_multipart_days"]}
    return given


def with_md5(params, **_event):
    """Spaces wants the checksum that all S3 storages know; newer versions of botocore send another one only."""
    body = params["body"]
    digest = hashlib.md5(body.encode() if isinstance(body, str) else body, usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
    params.get("context", {}).pop("checksum", None)


def client(parameters, bundle):
    # What a person's own set-up says about another storage must not reach this one.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true")
    made = boto3.session.Session().client(
        "s3",
        endpoint_url=parameters["endpoint"],
        region_name=parameters["region"],
        aws_access_key_id=parameters["access_key_id"],
        aws_secret_access_key=parameters["secret_access_key"],
        verify=bundle,
        config=Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": len(PAUSES)}, s3={"addressing_style": "path"}),
    )
    for operation in SETTERS:
        made.meta.events.register("before-call.s3.%s" % operation, with_md5)
    return made


@contextlib.contextmanager
def authorities(pem):
    """A file with the system's certificate authorities and the given ones, or what the library takes for all."""
    if not pem:
        yield system_file() or True
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="litefarm-", suffix=".pem") as bundle:
        write_bundle(bundle, pem)
        yield bundle.name


class Bucket:
    """One bucket and its settings."""

    def __init__(self, s3, name):
        self._s3 = s3
        self._name = name

    def settings(self):
        grants = self._s3.get_bucket_acl(Bucket=self._name).get("Grants", [])
        policy = json.loads(self._get("policy", "Policy") or "{}")
        return {
            "acl": sorted(grant["Permission"] for grant in grants if grant.get("Grantee", {}).get("URI") in EVERYBODY),
            "policy": listed(policy.get("Statement", [])),
            "cors": [cors_rule(rule) for rule in self._get("cors", "CORSRules") or []],
            "versioning": self._get("versioning", "Status") or OFF,
            "lifecycle": sorted((lifecycle_rule(rule) for rule in self._get("lifecycle_configuration", "Rules") or []), key=lambda rule: rule["id"]),
        }

    def _get(self, what, key):
        try:
            return getattr(self._s3, "get_bucket_%s" % what)(Bucket=self._name).get(key)
        except ClientError as error:
            if error.response["Error"]["Code"] in NONE:
                return None
            raise

    def create(self, region):
        try:
            self._s3.create_bucket(Bucket=self._name, ACL="private")
        except ClientError as error:
            # Spaces takes the region from the endpoint's name; others want to be told.
            if error.response["Error"]["Code"] != "IllegalLocationConstraintException":
                raise
            self._s3.create_bucket(Bucket=self._name, ACL="private", CreateBucketConfiguration={"LocationConstraint": region})

    def apply(self, before, wanted):
        """Close first and open last, so that a run that is cut short leaves nothing open."""
        if wanted["acl"] != before["acl"]:
            self._s3.put_bucket_acl(Bucket=self._name, ACL="private")
        if wanted["versioning"] != before["versioning"]:
            self._s3.put_bucket_versioning(Bucket=self._name, VersioningConfiguration={"Status": wanted["versioning"]})
        if wanted["lifecycle"] != before["lifecycle"]:
            if wanted["lifecycle"]:
                rules = [storage_lifecycle_rule(rule) for rule in wanted["lifecycle"]]
                self._s3.put_bucket_lifecycle_configuration(Bucket=self._name, LifecycleConfiguration={"Rules": rules})
            else:
                self._s3.delete_bucket_lifecycle(Bucket=self._name)
        if wanted["cors"] != before["cors"]:
            if wanted["cors"]:
                rules = [storage_cors_rule(rule) for rule in wanted["cors"]]
                self._s3.put_bucket_cors(Bucket=self._name, CORSConfiguration={"CORSRules": rules})
            else:
                self._s3.delete_bucket_cors(Bucket=self._name)
        if wanted["policy"] != before["policy"]:
            if wanted["policy"]:
                self._s3.put_bucket_policy(Bucket=self._name, Policy=json.dumps({"Version": "2012-10-17", "Statement": wanted["policy"]}))
            else:
                self._s3.delete_bucket_policy(Bucket=self._name)


NEW = {"acl": [], "policy": [], "cors": [], "versioning": OFF, "lifecycle": []}


def wanted_settings(parameters, before):
    statements = [statement for statement in before["policy"] if not opens(statement)]
    if parameters["access"] == "public_read":
        statements.append(public_statement(parameters["name"]))
    wanted = dict(before, acl=[], policy=before["policy"] if meaning(statements) == meaning(before["policy"]) else statements)
    if parameters["cors"] is not None:
        wanted["cors"] = [{key: sorted(value) if isinstance(value, list) else value for key, value in rule.items()} for rule in parameters["cors"]]
    if parameters["versioning"] is not None:
        # What was enabled once can be suspended only.
        wanted["versioning"] = "Enabled" if parameters["versioning"] else OFF if before["versioning"] == OFF else "Suspended"
    if parameters["lifecycle"] is not None:
        wanted["lifecycle"] = sorted(parameters["lifecycle"], key=lambda rule: rule["id"])
    return wanted


def run(module, s3):
    """Return the settings before (None if there was no bucket) and after."""
    parameters = module.params
    bucket = Bucket(s3, parameters["name"])
    ca_pem = "\n".join(parameters["ca_certificates"].values())
    storage = object_storage.Storage(parameters["endpoint"], parameters["region"], parameters["access_key_id"], parameters["secret_access_key"], ca_pem)
    refusal = storage.look(parameters["name"])
    if refusal and refusal.code not in ("NoSuchBucket", "404"):
        fail(module, refusal)
    before = None if refusal else bucket.settings()
    wanted = wanted_settings(parameters, before or NEW)
    if not module.check_mode:
        if before is None:
            bucket.create(parameters["region"])
        bucket.apply(before or NEW, wanted)
    return before, wanted


def fail(module, refusal, action=None):
    parameters = module.params
    denied = object_storage.SAME.get(refusal.code, refusal.code) == "AccessDenied"
    if denied and action:
        module.fail_json(
            msg="The key %s is not allowed to do %s with the bucket %s: run this playbook with a key that has all permissions (-e), or do it in DigitalOcean's "
            "control panel. A bucket that a key is limited to takes no policy." % (object_storage.NAMES["access_key_id"], action, parameters["name"])
        )
    module.fail_json(msg=object_storage.explain(refusal, parameters["endpoint"], parameters["region"], parameters["name"], parameters["variable"]))


def check(module):
    parameters = module.params
    for name in ("access_key_id", "secret_access_key"):
        if not parameters[name]:
            module.fail_json(msg="%s is missing in the environment's vault: put it in with ansible-vault edit." % object_storage.NAMES[name])
    if not object_storage.BUCKET_NAME.fullmatch(parameters["name"]):
        module.fail_json(
            msg="'%s' cannot be the name of a bucket, which has 3 to 63 lower-case letters, digits and hyphens: correct %s."
            % (parameters["name"], parameters["variable"])
        )
    if boto3 is None or object_storage.S3SigV4Auth is None:
        module.fail_json(msg=object_storage.NO_LIBRARY)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "variable": {"type": "str", "default": "the variable of the bucket's name"},
            "endpoint": {"type": "str", "required": True},
            "region": {"type": "str", "required": True},
            "access_key_id": {"type": "str", "required": True, "no_log": True},
            "secret_access_key": {"type": "str", "required": True, "no_log": True},
            "ca_certificates": {"type": "dict", "default": {}},
            "access": {"type": "str", "choices": ["private", "public_read"], "default": "private"},
            "cors": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "origins": {"type": "list", "elements": "str", "required": True},
                    "methods": {"type": "list", "elements": "str", "required": True, "choices": ["GET", "HEAD", "PUT", "POST", "DELETE"]},
                    "headers": {"type": "list", "elements": "str", "default": []},
                    "max_age_seconds": {"type": "int", "default": 3600},
                },
            },
            "versioning": {"type": "bool"},
            "lifecycle": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "id": {"type": "str", "required": True},
                    "prefix": {"type": "str", "default": ""},
                    "expire_days": {"type": "int"},
                    "expire_old_versions_days": {"type": "int"},
                    "abort_multipart_days": {"type": "int"},
                },
                "required_one_of": [("expire_days", "expire_old_versions_days", "abort_multipart_days")],
            },
        },
        supports_check_mode=True,
    )
    check(module)
    try:
        with authorities("\n".join(module.params["ca_certificates"].values())) as bundle:
            before, after = run(module, client(module.params, bundle))
    except ClientError as error:
        reason = error.response["Error"]
        fail(module, Refusal(str(reason.get("Code")), str(reason.get("Message"))), error.operation_name)
    except BotoCoreError as error:
        fail(module, Refusal("Unreachable", str(error)))
    module.exit_json(
        changed=before != after,
        created=before is None,
        settings=after,
        diff={"before": before or {}, "after": after, "before_header": module.params["name"], "after_header": module.params["name"]},
    )


if __name__ == "__main__":
    main()
