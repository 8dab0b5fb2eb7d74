# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API is told, in each of LiteFarm's two configurations."""

from __future__ import annotations

import pathlib
import urllib.parse

import pytest
import yaml

GIVEN = {
    "api_image": "registry/api@sha256:0",
    "api_database_password": "p/w@1:2",
    "api_database_ca_certificate": "CA",
    "api_jwt_secret": "1",
    "api_jwt_invite_secret": "2",
    "api_jwt_reset_secret": "3",
    "api_jwt_scheduler_secret": "4",
    "api_jwt_farm_secret": "5",
}


@pytest.fixture
def declared(declaration):
    return declaration("api", **GIVEN)


def test_production_checks_the_name_in_the_database_servers_certificate(declared):
    url = urllib.parse.urlsplit(declared("secret_env", api_database_host="postgres.example", api_database_port=6543)["DATABASE_URL"])
    assert (url.hostname, url.port, url.path) == ("postgres.example", 6543, "/litefarm")
    assert urllib.parse.unquote(url.password) == "p/w@1:2"
    query = dict(urllib.parse.parse_qsl(url.query))
    assert query == {"sslmode": "verify-full", "sslrootcert": "/etc/litefarm/postgres-ca.crt"}
    assert "/etc/litefarm/postgres-ca.crt" in [file["path"] for file in declared("config_files")]


def test_integration_gets_the_variables_that_it_reads(declared):
    given = {"api_node_env": "integration", "api_database_host": "postgres.example", "api_database_port": 6543}
    env, secret = declared("env", **given), declared("secret_env", **given)
    assert {key: env[key] for key in env if key.startswith(("DEV_", "PG", "NODE_ENV"))} == {
        "NODE_ENV": "integration",
        "DEV_DATABASE": "litefarm",
        "DEV_DATABASE_HOST": "postgres.example",
        "DEV_DATABASE_USER": "litefarm",
        "PGPORT": 6543,
    }
    assert secret["DEV_DATABASE_PASSWORD"] == "p/w@1:2"
    assert "DATABASE_URL" not in secret


def test_no_secret_is_in_the_plain_environment(declared):
    secrets = {key: f"geheim-{key}" for key in GIVEN if key.endswith(("secret", "password"))}
    secrets |= {f"api_{key}": f"geheim-{key}" for key in ("redis_password", "imaginary_token", "gmail_refresh_token", "spaces_secret_access_key")}
    for environment in ("production", "integration"):
        assert "geheim" not in str(declared("env", api_node_env=environment, **secrets))
        found = str(declared("secret_env", api_node_env=environment, **secrets))
        assert all(value in urllib.parse.unquote(found) for value in secrets.values())


def test_what_is_not_set_does_not_exist(declared):
    assert set(declared("env")) == {"NODE_ENV", "PORT"}
    assert not {"REDIS_PASSWORD", "SENTRY_DSN"} & set(declared("secret_env"))
    assert declared("extra_hosts") == {}


def test_optional_services_are_passed_on(declared):
    env = declared("env", api_redis_host="redis.example", api_imaginary_url="https://image.example", api_public_bucket="pictures")
    assert (env["REDIS_HOST"], env["REDIS_PORT"]) == ("redis.example", 6379)
    assert env["LOCAL_IMAGINARY"] == "https://image.example"
    assert env["PUBLIC_BUCKET_NAME"] == "pictures"


def test_own_variables_win(declared):
    assert declared("env", api_env={"TZ": "UTC", "PORT": "5001"})["PORT"] == "5001"
    assert declared("secret_env", api_secret_env={"GOOGLE_API_KEY": "k"})["GOOGLE_API_KEY"] == "k"


def test_the_database_has_its_name_inside_the_container(declared):
    hosts = declared("extra_hosts", api_database_host="postgres.example", api_database_address="10.0.0.2", api_extra_hosts={"a.example": "10.0.0.3"})
    assert hosts == {"postgres.example": "10.0.0.2", "a.example": "10.0.0.3"}


def test_extra_authorities_are_one_file_that_node_reads(declared):
    authorities = {"b": "-----B-----\n", "a": "-----A-----"}
    files = {file["path"]: file["content"] for file in declared("config_files", api_ca_certificates=authorities)}
    path = declared("env", api_ca_certificates=authorities)["NODE_EXTRA_CA_CERTS"]
    assert files[path] == "-----A-----\n-----B-----\n"
    assert "NODE_EXTRA_CA_CERTS" not in declared("env")
    assert pathlib.PurePath(path).is_absolute()


def test_migrations_run_from_the_new_image_and_never_with_its_shipped_command(declared, repo):
    task = yaml.safe_load((repo / "roles" / "api" / "tasks" / "main.yml").read_text())[0]["litefarm.platform.container_service"]
    assert task["command"] == ["node", "dist/app/src/server.js"]
    assert declared("state") == "present"
    (shot,) = declared("init_commands")
    assert "migrate:latest" in shot["command"] and shot["keep_output"]


@pytest.mark.parametrize(("state", "command"), [("pending", "migrate:list"), ("migrate", "migrate:latest")])
def test_commands_on_the_database_touch_no_container(declared, state, command):
    assert declared("state", api_state=state) == "run"
    (shot,) = declared("init_commands", api_state=state)
    assert shot["command"][-1] == command


def test_a_staged_release_finds_its_migrations_done(declared):
    assert declared("state", api_state="stage") == "stage"
    assert declared("init_commands", api_state="stage") == []


def test_a_migration_does_not_wait_for_a_table_for_long(declared):
    (shot,) = declared("init_commands", api_state="migrate", api_migration_lock_timeout=7)
    assert shot["env"] == {"PGOPTIONS": "-c lock_timeout=7s"}
