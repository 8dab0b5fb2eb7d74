# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify.yml as a person runs it, against inventories whose droplets are this machine."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _ledger as ledger
from ansible_collections.litefarm.platform.plugins.module_utils._restarts import memory_variable
from ansible_collections.litefarm.platform.plugins.plugin_utils._vault_file import tls_certificate, tls_key
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification.inside import INSIDE
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification.outside import OUTSIDE

from tests.support.playbooks import REPO, Environment
from tests.support.storage import KEY_ID, REGION, SECRET
from tests.unit.plugins.verify.servers import FARM, IMAGE_KEY, JWT_SECRET, REDIS_PASSWORD, USER

REFERENCE = "registry.example.org/litefarm/%s@sha256:" + "a" * 64


@pytest.fixture(name="environment", params=["production", "beta"])
def fixture_environment(tmp_path, request, redis, imaginary, world):
    """An environment whose neighbours are good: what it has itself is missing on this machine."""
    environment = Environment(tmp_path / "inventory", request.param)
    for droplet in environment.droplets:
        environment.host(droplet, ansible_host="127.0.0.1")
    environment.set(
        api_redis_port=redis.port,
        # Where nobody listens.
        api_database_port=1,
        litefarm_imaginary_url=imaginary.base,
        litefarm_spaces_endpoint=world.endpoint,
        litefarm_spaces_region=REGION,
        litefarm_private_bucket="private",
        litefarm_verify_farm_id=FARM,
        litefarm_verify_user_id=USER,
        vault_redis_password=REDIS_PASSWORD,
        vault_imaginary_token=IMAGE_KEY,
        vault_jwt_secret=JWT_SECRET,
        vault_postgres_tls_certificate=tls_certificate(tls_key(), "postgres.litefarm.internal", 1),
        vault_spaces_access_key_id=KEY_ID,
        vault_spaces_secret_access_key=SECRET,
    )
    environment.name = request.param
    return environment


def table(process):
    """The rows that were printed: check and where, to result."""
    lines = process.stdout.splitlines()
    head = next((number for number, line in enumerate(lines) if line.startswith("CHECK ")), None)
    assert head is not None, process.stdout + process.stderr
    starts = [lines[head].index(title) for title in ("CHECK", "WHERE", "EXPECTED", "SEEN", "RESULT")]
    rows = []
    for line in lines[head + 1 :]:
        if not line.strip() or line.startswith(("[ERROR]", "fatal:", "ok:")):
            break
        cells = [line[begin:end].strip() for begin, end in zip(starts, [*starts[1:], None])]
        rows.append(dict(zip(("check", "where", "expected", "seen", "result"), cells)))
    return rows


def of(rows, check):
    return [row for row in rows if row["check"] == check]


def test_an_environment_is_asked_all_questions_and_shows_no_secret(environment):
    process = environment.play("verify.yml", "-vvv")
    assert not any(secret in process.stdout + process.stderr for secret in (REDIS_PASSWORD, IMAGE_KEY, JWT_SECRET, SECRET, "Bearer"))
    rows = table(process)
    app, other = environment.droplets
    assert [row["result"] for check in ("redis password", "redis powers", "image", "image without a key") for row in of(rows, check)][-4:] == ["ok"] * 4
    assert of(rows, "image")[0]["expected"] == "key %s accepted" % environment.name
    # The storage was asked; the API of this environment is not here.
    assert [(row["seen"], row["result"]) for row in of(rows, "export")] == [("the API: Connection refused", "FAIL")]
    assert {row["where"] for row in of(rows, "peer ports")} == {"%s to %s 127.0.0.1" % (app, other), "%s to %s 127.0.0.1" % (other, app)}
    assert {row["where"].split()[0] for row in of(rows, "misplaced containers")} == {app, other}
    services = {row["where"] for row in of(rows, "container")}
    expected = {"%s %s" % (app, service) for service in ("postgres", "postgres_backup", "api", "webapp")} | {"%s redis" % other, "%s export_scheduler" % other}
    assert services == expected | ({"%s imaginary" % other} if environment.name == "production" else set())
    assert len(of(rows, "certificate")) == 3
    assert [(row["where"].split()[0], row["seen"]) for row in of(rows, "database certificate")] == [(app, "Connection refused")]
    assert {row["where"] for row in of(rows, "certificate renewal")} == {"%s certbot.service" % app, "%s certbot.service" % other}
    assert [row["where"] for row in of(rows, "live configuration")] == [app, other]
    images = {row["where"].split()[1] for row in of(rows, "third-party image")}
    assert images == {"postgres", "redis"} | ({"imaginary"} if environment.name == "production" else set())
    assert [(row["where"], row["result"]) for row in of(rows, "releases")] == [(app, "ok")]
    assert {row["where"] for row in of(rows, "queues") + of(rows, "scheduler's API")} == {"%s export_scheduler" % other}


def test_a_check_run_asks_for_no_export(environment, world):
    rows = table(environment.play("verify.yml", "--check", "--limit", environment.droplet))
    assert [(row["seen"], row["result"]) for row in of(rows, "export")] == [("not asked: a check run asks for none", "WARN")]
    assert world.requests == []


def test_a_part_of_the_environment_is_asked_about_the_whole(environment):
    app, other = environment.droplets
    rows = table(environment.play("verify.yml", "--limit", other))
    assert {row["where"].split()[0] for row in rows} == {other}
    assert [row["where"] for row in of(rows, "peer ports")] == ["%s to %s 127.0.0.1" % (other, app)]


def test_every_kind_is_documented():
    documentation = (REPO / "plugins" / "modules" / "verify_droplet.py").read_text()
    assert [kind for kind in (*OUTSIDE, *INSIDE) if "C(%s)" % kind not in documentation] == []


def test_the_variables_of_memory_limits_are_those_of_roles():
    """A row names them as the cure of containers that run out of memory."""
    checks = re.findall(r"kind: containers, service: (\w+)(?:, memory: (\w+))?", (REPO / "playbooks" / "vars" / "verify.yml").read_text())
    known = "".join(path.read_text() for path in REPO.glob("roles/*/meta/argument_specs.yml"))
    assert len(checks) == 7
    assert [name for service, memory in checks if (name := memory or memory_variable(service)) and "\n      %s:\n" % name not in known] == []


def test_only_one_of_several_droplets_is_asked_once(environment, world):
    checks = {"litefarm": [{"check": "once", "kind": "http", "url": world.endpoint, "status": 403, "once": True}]}
    for limit, asked in (("all", environment.droplets[0]), (environment.droplets[1], environment.droplets[1])):
        process = environment.play("verify.yml", "--limit", limit, "-e", json.dumps({"verify_checks": checks}))
        assert process.returncode == 0, process.stdout
        assert [row["where"].split()[0] for row in table(process)] == [asked]


def test_the_table_ends_with_what_failed_and_the_exit_status_says_so(environment, world):
    good = {"check": "page", "kind": "http", "url": world.endpoint, "status": 403}
    checks = {"api": [good], "builder": [{"check": "never", "kind": "http", "url": "{{ not_evaluated }}"}]}
    process = environment.play("verify.yml", "-e", json.dumps({"verify_checks": checks}))
    assert process.returncode == 0, process.stdout
    checks["webapp"] = [dict(good, check="other", status=200)]
    process = environment.play("verify.yml", "-e", json.dumps({"verify_checks": checks}))
    assert process.returncode != 0
    assert [(row["check"], row["result"]) for row in table(process)] == [("page", "ok"), ("other", "FAIL")]
    assert "1 of 2 checks failed: see the end of the table." in process.stdout


def test_a_kind_that_does_not_exist(environment):
    checks = {"api": [{"check": "guess", "kind": "htp", "url": "x"}]}
    process = environment.play("verify.yml", "-e", json.dumps({"verify_checks": checks}))
    assert process.returncode != 0
    assert "The checks guess in verify_checks have a kind that does not exist: correct it." in process.stdout


def test_a_partial_release_is_a_warning_and_no_failure(environment, tmp_path):
    releases = {"check": "releases", "kind": "releases", "path": str(tmp_path / "ledger")}
    record = {"kind": "deploy", "result": "partial", "to": {"version": "v2", "commit": "b" * 40}, "message": "other stays on v1 (aaaaaaa)"}
    ledger.Ledger(releases["path"]).record(record)
    process = environment.play("verify.yml", "-e", json.dumps({"verify_checks": {"postgres": [releases]}}))
    assert process.returncode == 0, process.stdout
    assert [(row["check"], row["seen"], row["result"]) for row in table(process)][:1] == [("releases", "v2 (bbbbbbb) on some droplets only", "WARN")]
    assert "The last release, v2 (bbbbbbb), is in place on some droplets only: other stays on v1 (aaaaaaa)." in process.stdout
