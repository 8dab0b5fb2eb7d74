# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the export scheduler is told, and what its image is made of."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

GIVEN = {
    "export_scheduler_image": "registry/export-scheduler@sha256:0",
    "export_scheduler_redis_host": "redis.example",
    "export_scheduler_redis_password": "geheim-1",
    "export_scheduler_api_url": "https://api.example",
    "export_scheduler_jwt_scheduler_secret": "geheim-2",
    "export_scheduler_spaces_access_key_id": "geheim-3",
    "export_scheduler_spaces_secret_access_key": "geheim-4",
}


@pytest.fixture
def tasks(repo):
    return yaml.safe_load((repo / "roles" / "export_scheduler" / "tasks" / "main.yml").read_text())


@pytest.fixture
def declared(declaration):
    return declaration("export_scheduler", **GIVEN)


def test_the_jobs_get_what_they_read(declared):
    env = declared("env", export_scheduler_private_bucket="documents", export_scheduler_node_env="integration")
    assert (env["REDIS_HOST"], env["REDIS_PORT"], env["API_URL"]) == ("redis.example", 6379, "https://api.example")
    assert (env["NODE_ENV"], env["PRIVATE_BUCKET_NAME"], env["AWS_DEFAULT_REGION"], env["HOME"]) == ("integration", "documents", "nyc3", "/tmp")
    assert env["EXPORT_WD"] in [mount["target"] for mount in declared("mounts")]
    assert declared("secret_env") == {
        "REDIS_PASSWORD": "geheim-1",
        "JWT_SCHEDULER_SECRET": "geheim-2",
        "AWS_ACCESS_KEY_ID": "geheim-3",
        "AWS_SECRET_ACCESS_KEY": "geheim-4",
    }
    assert "geheim" not in str(env)


def test_what_is_not_set_does_not_exist(declared):
    assert not {"PRIVATE_BUCKET_NAME", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} & set(declared("env"))
    assert not {"SENTRY_DSN", "SURVEY_USER", "GMAIL_REFRESH_TOKEN"} & set(declared("secret_env"))


def test_optional_secrets_and_own_variables_are_passed_on(declared):
    secret = declared("secret_env", export_scheduler_survey_token="t", export_scheduler_gmail_client_id="g", export_scheduler_secret_env={"X": "y"})
    assert (secret["SURVEY_TOKEN"], secret["GMAIL_API_CLIENT_ID"], secret["X"]) == ("t", "g", "y")
    assert declared("env", export_scheduler_env={"TZ": "UTC", "HOME": "/srv/exports"})["HOME"] == "/srv/exports"


def test_extra_authorities_are_one_file_for_node_and_for_aws(declared):
    given = {"export_scheduler_ca_certificates": {"b": "-----B-----\n", "a": "-----A-----"}}
    files = {file["path"]: file["content"] for file in declared("config_files", **given)}
    env = declared("env", **given)
    assert env["NODE_EXTRA_CA_CERTS"] == env["AWS_CA_BUNDLE"]
    assert files[env["AWS_CA_BUNDLE"]] == "-----A-----\n-----B-----\n"


def test_it_never_runs_twice_and_its_gate_does_not_need_the_api(tasks, repo, declared):
    service = tasks[-1]["litefarm.platform.container_service"]
    assert service["update"] == "recreate"
    assert "ports" not in service
    (probe,) = declared("probes", export_scheduler_min_connections=7)
    assert (probe["kind"], probe["command"][0], probe["command"][2:]) == ("exec", "node", [7])
    (file,) = [file for file in declared("config_files") if file["path"] == probe["command"][1]]
    assert file["content"] == (repo / "roles" / "export_scheduler" / "files" / "probe.js").read_text()


def test_left_overs_are_removed_by_age_and_the_folders_stay(render, tmp_path):
    text = render("export_scheduler", "tmpfiles.conf.j2", export_scheduler_keep_hours=48)
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert lines == [
        ["d", "/srv/litefarm/exports", "0700", "1000", "1000", "-"],
        ["d", "/srv/litefarm/exports/temp", "0700", "1000", "1000", "48h"],
    ]


@pytest.fixture
def recipe(repo):
    return (repo / "playbooks" / "files" / "export_scheduler.Dockerfile").read_text()


def test_the_image_is_built_on_the_apis_image(recipe):
    assert recipe.index("ARG BASE") < recipe.index("FROM ")
    assert {line.split()[1] for line in recipe.splitlines() if line.startswith("FROM ")} == {"${BASE}"}
    assert re.search(r"install -y --no-install-recommends .*\bawscli\b.*\bzip\b", recipe)


@pytest.fixture
def copy_names(recipe, tmp_path):
    """copy_names("en", …) runs the recipe's command on a webapp that has these languages; the ones that were copied."""
    command = re.search(r"^RUN (set -eu;.*?[^\\])$", recipe, re.MULTILINE | re.DOTALL)[1].replace("\\\n", "")
    source, target = tmp_path / "locales", tmp_path / "names"

    def run(*languages):
        for language in languages:
            (source / language).mkdir(parents=True)
            (source / language / "crop.json").write_text(language)
        script = command.replace("/locales/", f"{source}/").replace("/names/", f"{target}/")
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        return done, {path.parent.name: path.read_text() for path in target.glob("*/crop.json")}

    return run


def test_names_of_crops_are_copied_for_the_languages_that_are_there(copy_names):
    done, copied = copy_names("en", "pt", "km", "xx")
    assert done.returncode == 0, done.stderr
    assert copied == {"en": "en", "pt": "pt", "km": "km"}


def test_a_webapp_without_names_of_crops_is_an_error_that_says_so(copy_names):
    done, _copied = copy_names("pt")
    assert done.returncode == 1
    assert "en/crop.json is missing" in done.stderr
