# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings follow from the memory, only the declared ways in exist, and names cannot break out of the SQL."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess

import pytest
import yaml
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import Service
from ansible_collections.litefarm.platform.plugins.modules import container_service

from tests.unit.conftest import trusted

FACTS = {"memtotal_mb": 3915}


@pytest.fixture
def settings(render):
    def read(**overrides):
        text = render("postgres", "postgresql.conf.j2", **{"ansible_facts": FACTS, **overrides})
        return dict(line.split(" = ", 1) for line in text.splitlines() if line and not line.startswith("#"))

    return read


@pytest.mark.parametrize(
    ("memtotal", "memory"),
    [(400, 256), (967, 384), (1967, 768), (1976, 768), (3915, 1536), (3936, 1536), (7937, 3136)],
)
def test_the_share_of_memory_does_not_follow_every_kernel_update(evaluate, memtotal, memory):
    assert evaluate("postgres", "postgres_memory_mb", ansible_facts={"memtotal_mb": memtotal}) == memory


@pytest.mark.parametrize(
    ("memory", "shared", "cache", "work", "maintenance"),
    [(256, 64, 192, 4, 32), (1536, 384, 1152, 4, 96), (8192, 2048, 6144, 20, 512), (65536, 16384, 49152, 163, 1024)],
)
def test_settings_are_sized_from_memory(settings, memory, shared, cache, work, maintenance):
    found = settings(postgres_memory_mb=memory)
    assert found["shared_buffers"] == f"'{shared}MB'"
    assert found["effective_cache_size"] == f"'{cache}MB'"
    assert found["work_mem"] == f"'{work}MB'"
    assert found["maintenance_work_mem"] == f"'{maintenance}MB'"


def test_the_server_speaks_tls_and_scram_only(settings):
    found = settings()
    assert found["ssl"] == "on"
    assert found["ssl_min_protocol_version"] == "'TLSv1.2'"
    assert found["password_encryption"] == "'scram-sha-256'"


def test_values_of_statements_stay_out_of_the_log(settings):
    found = settings()
    assert found["log_parameter_max_length"] == "0"
    assert found["log_parameter_max_length_on_error"] == "0"


def test_own_settings_win_and_stand_once(render):
    text = render("postgres", "postgresql.conf.j2", ansible_facts=FACTS, postgres_settings={"work_mem": "64MB", "jit": False})
    assert re.findall(r"^work_mem = .*$", text, re.MULTILINE) == ["work_mem = '64MB'"]
    assert "\njit = off\n" in text


def test_only_the_application_comes_in_over_the_network_and_only_with_tls(render):
    text = render("postgres", "pg_hba.conf.j2", postgres_database="farm", postgres_user="farmer")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert lines == [["local", "all", "postgres", "peer"], ["hostssl", '"farm"', '"farmer"', "all", "scram-sha-256"]]


def test_no_password_and_no_verifier_is_in_the_sql(render):
    text = render("postgres", "database.sql.j2", ansible_facts=FACTS, postgres_password="geheim-geheim")
    assert "geheim" not in text
    assert "SCRAM-SHA-256$" not in text


def test_a_check_run_only_describes(render):
    described = render("postgres", "database.sql.j2", ansible_facts=FACTS, ansible_check_mode=True)
    done = render("postgres", "database.sql.j2", ansible_facts=FACTS)
    assert described.count("), NULL\n") == done.count("), statement\n") == done.count("\\gexec")
    assert "), statement\n" not in described


def test_a_name_cannot_end_its_literal(render):
    text = render("postgres", "database.sql.j2", ansible_facts=FACTS, postgres_user="o'brien\\")
    assert " E'o''brien\\\\'" in text
    assert "'o'brien" not in text


@pytest.mark.parametrize(("provider", "locale"), [("builtin", "C.UTF-8"), ("icu", "en-US")])
def test_the_database_is_made_with_the_declared_locale(render, provider, locale):
    text = render("postgres", "database.sql.j2", ansible_facts=FACTS, postgres_locale_provider=provider, postgres_locale=locale)
    assert f"LOCALE_PROVIDER {provider} {provider.upper()}_LOCALE %L" in text
    assert f"'{locale}')" in text


def test_the_backup_script_is_a_script(render, tmp_path):
    script = tmp_path / "backup"
    script.write_text(render("postgres", "backup.sh.j2", ansible_facts=FACTS, postgres_database="it's"))
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False).stderr == ""


ENGINE = """#!/bin/bash
# What the script asks of the engine: the words after "nice -n 10" are the program. The first few it cannot begin.
if [[ ${NOT_BEGUN:-0} -gt 0 ]] && [[ $(wc -l < "$0.asked") -lt $NOT_BEGUN ]]; then
    echo "$*" >> "$0.asked"
    echo "OCI runtime exec failed: exec failed: unable to start container process: read init-p: connection reset by peer: unknown"
    exit 126
fi
while [[ $1 != nice ]]; do shift; done
case $4 in
    pg_dump) echo "dump"; [[ -z ${DUMP_SAYS:-} ]] || echo "$DUMP_SAYS" >&2; exit "${DUMP_STATUS:-0}" ;;
    pg_restore) cat > /dev/null; [[ $5 != --list || ${LIST_STATUS:-0} == 0 ]] && exit "${READ_STATUS:-0}"; exit 1 ;;
esac
"""


@pytest.fixture
def backup(render, tmp_path):
    """backup(**environment) runs the script against a stand-in of the engine and gives back what it did."""
    folder = tmp_path / "backups"
    folder.mkdir()
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    engine.with_name("docker.asked").touch()
    state = tmp_path / "state"
    state.mkdir()
    # How much room there is, where a test says so.
    disk = engine.with_name("df")
    disk.write_text('#!/bin/bash\nif [[ ${ROOM:-} ]]; then printf "Avail\\n%s\\n" "$ROOM"; else exec /bin/df "$@"; fi\n')
    disk.chmod(0o755)

    def run(keep_days=14, keep_minimum=2, **environment):
        script = tmp_path / "backup"
        script.write_text(
            render(
                "postgres",
                "backup.sh.j2",
                ansible_facts=FACTS,
                postgres__backups=str(folder),
                postgres__state=str(state),
                postgres_backup_keep_days=keep_days,
                postgres_backup_keep_minimum=keep_minimum,
            )
        )
        path = f"{engine.parent}:/usr/bin:/bin"
        return subprocess.run(["bash", str(script)], env={"PATH": path, **environment}, capture_output=True, text=True, check=False)

    run.folder = folder
    run.state = state
    run.record = lambda: json.loads((state / "backup-dump.json").read_text())
    return run


def dumps(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".dump")


def test_a_good_backup_has_its_name_and_is_on_record(backup):
    done = backup()
    assert done.returncode == 0, done.stderr
    (name,) = dumps(backup.folder)
    assert (backup.folder / name).read_text() == "dump\n"
    assert name in (backup.folder / "last-success").read_text()
    assert (backup.folder / name).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("wrong", [{"DUMP_STATUS": "1"}, {"LIST_STATUS": "1"}, {"READ_STATUS": "1"}])
def test_a_bad_backup_leaves_nothing_and_says_so(backup, wrong):
    done = backup(**wrong)
    assert done.returncode != 0
    assert "<3>the backup of database litefarm failed" in done.stderr
    assert sorted(path.name for path in backup.folder.iterdir()) == [".lock"]


@pytest.mark.parametrize("times", [1, 4])
def test_a_command_that_the_engine_could_not_begin_is_started_again(backup, times):
    done = backup(NOT_BEGUN=str(times))
    assert done.returncode == 0, done.stderr
    (name,) = dumps(backup.folder)
    assert (backup.folder / name).read_text() == "dump\n"


def test_a_command_that_the_engine_can_never_begin_is_a_failure(backup):
    assert backup(NOT_BEGUN="9").returncode == 126
    assert dumps(backup.folder) == []


def test_what_a_killed_backup_left_is_cleared_away(backup):
    (backup.folder / ".litefarm-20200101T000000Z.dump.part").write_text("half")
    assert backup().returncode == 0
    assert not list(backup.folder.glob(".*.part"))


def old(folder, days):
    path = folder / f"litefarm-20{50 - days:02d}0101T000000Z.dump"
    path.write_text("old")
    subprocess.run(["touch", "--date", f"{days} days ago 1 hour ago", str(path)], check=True)
    return path.name


def test_old_backups_go_and_young_ones_stay(backup):
    kept, gone = old(backup.folder, 10), old(backup.folder, 20)
    assert backup(keep_minimum=1).returncode == 0
    assert kept in dumps(backup.folder)
    assert gone not in dumps(backup.folder)


def test_the_newest_stay_however_old_they_are(backup):
    names = [old(backup.folder, days) for days in (20, 30, 40)]
    assert backup(keep_minimum=3).returncode == 0
    assert set(dumps(backup.folder)) & set(names) == set(names[:2])


def test_a_failed_backup_removes_no_old_one(backup):
    names = [old(backup.folder, days) for days in (20, 30, 40)]
    assert backup(keep_minimum=1, DUMP_STATUS="1").returncode != 0
    assert dumps(backup.folder) == sorted(names)


def test_on_a_full_disk_old_backups_go_first(backup):
    names = [old(backup.folder, days) for days in (20, 30, 40)]
    # The dump is of 3 bytes, and there might be room for one that is twice as large.
    assert backup(keep_minimum=1, DUMP_STATUS="1", ROOM="6").returncode != 0
    assert dumps(backup.folder) == sorted(names)
    assert backup(keep_minimum=1, DUMP_STATUS="1", ROOM="5").returncode != 0
    assert dumps(backup.folder) == names[:1]


@pytest.mark.parametrize("keep_minimum", [0, 1])
def test_the_last_good_backup_is_never_removed_for_another_one(backup, keep_minimum):
    name = old(backup.folder, 400)
    for _again in range(2):
        assert backup(keep_days=0, keep_minimum=keep_minimum, DUMP_STATUS="1", ROOM="0").returncode != 0
        assert dumps(backup.folder) == [name]


def test_the_last_good_backup_stays_where_its_name_is_not_the_newest(backup):
    """The database was called otherwise before."""
    (backup.folder / old(backup.folder, 30)).rename(backup.folder / "zoo-20200101T000000Z.dump")
    name = old(backup.folder, 20)
    (backup.folder / "last-success").write_text(f"2026-11-01T02:30:00Z {name} 3\n")
    assert backup(keep_minimum=1, DUMP_STATUS="1", ROOM="0").returncode != 0
    assert name in dumps(backup.folder)


def test_young_backups_stay_on_a_full_disk_too(backup):
    names = [old(backup.folder, days) for days in (1, 2, 13)]
    backup(keep_minimum=1, DUMP_STATUS="1", ROOM="0")
    assert dumps(backup.folder) == sorted(names)


def test_the_result_of_a_backup_is_on_record(backup):
    assert backup().returncode == 0
    good = backup.record()
    assert (good["result"], good["message"], good["last_ok"] <= good["time"] <= good["last_ok"] + 60) == ("ok", "", True)
    said = 'pg_dump: error: "a\\b"\nwrite /dev/stdout: no space left on device'
    assert said in backup(DUMP_STATUS="1", DUMP_SAYS=said).stderr
    bad = backup.record()
    assert (bad["result"], bad["message"], bad["last_ok"]) == ("failed", said.replace("\n", " "), good["last_ok"])
    assert backup().returncode == 0 and backup.record()["result"] == "ok"
    assert sorted(path.name for path in backup.state.iterdir()) == ["backup-dump.json"]


@pytest.mark.parametrize("wrong", [{"DUMP_STATUS": "7"}, {"READ_STATUS": "7"}])
def test_a_failure_without_words_and_without_a_good_one(backup, wrong):
    assert backup(**wrong).returncode == 7
    assert {**backup.record(), "time": 0} == {"time": 0, "result": "failed", "message": "exit status 7", "last_ok": None}


def test_a_record_without_room_is_empty(backup):
    assert backup().returncode == 0
    (backup.state / "backup-dump.json.part").symlink_to("/dev/full")
    assert backup(DUMP_STATUS="1").returncode == 1
    assert (backup.state / "backup-dump.json").read_text() == ""


def test_a_backup_beside_another_one_says_nothing_of_it(backup):
    with (backup.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another backup is running" in backup().stderr
    assert list(backup.state.iterdir()) == []


@pytest.fixture
def declared(repo):
    """The role's declaration of its container, not evaluated."""
    tasks = yaml.safe_load((repo / "roles" / "postgres" / "tasks" / "main.yml").read_text())
    return next(task["litefarm.platform.container_service"] for task in tasks if "litefarm.platform.container_service" in task)


@pytest.fixture
def sql_command(repo):
    """What brings role and database to what is declared, not evaluated."""
    (command,) = yaml.safe_load((repo / "roles" / "postgres" / "vars" / "main.yml").read_text())["postgres__reconcile"]
    return command


def test_the_role_and_its_database_are_named_before_there_is_a_server(sql_command, role):
    """What a check run says on a fresh droplet is made of this name."""
    command = sql_command
    names = {"postgres_user": "farmer", "postgres_database": "farm"}
    assert role("postgres").evaluate(command["name"], **names) == "role farmer and database farm"


def test_the_server_is_asked_with_the_sql_and_prints_nothing_around_its_answers(sql_command, role, render):
    command = sql_command
    program, *options = command["command"]
    assert program == "psql" and {"--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--file=-"} <= set(options)
    variables = {"ansible_facts": FACTS, "ansible_check_mode": True}
    assert role("postgres").evaluate(command["stdin"], **variables).strip() == render("postgres", "database.sql.j2", **variables).strip()


@pytest.fixture
def create_cluster(declared, role, tmp_path):
    """create_cluster() runs the init command of the role in a data folder, with an initdb that fills the folder that it is given."""
    shot = next(shot for shot in declared["init_commands"] if shot["name"] == "cluster")
    *shell, lookup = shot["command"]
    command = [*shell, role("postgres").evaluate(lookup)]
    data, program, server = tmp_path / "data", tmp_path / "bin" / "initdb", tmp_path / "bin" / "postgres"
    data.mkdir()
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfolder=${1#--pgdata=}\nmkdir "$folder" && echo 17 > "$folder/PG_VERSION" && exit "${INITDB_STATUS:-0}"\n')
    server.write_text('#!/bin/sh\necho "postgres (PostgreSQL) ${SERVER:-17.6 (Debian 17.6-1.pgdg13+1)}"\n')
    for file in (program, server):
        file.chmod(0o755)

    def run(new=True, **environment):
        script = command[-1].replace("/var/lib/postgresql/data", str(data))
        path = f"{program.parent}:/usr/bin:/bin"
        given = {name: role("postgres").evaluate(value, postgres_new_database=new) for name, value in shot.get("env", {}).items()}
        done = subprocess.run([*command[:-1], script], env={"PATH": path, **given, **environment}, capture_output=True, text=True, check=False)
        run.told = done.stderr
        return done.returncode

    run.data = data
    return run


def test_a_cluster_is_created_once_and_in_one_step(create_cluster):
    assert create_cluster() == 0
    (create_cluster.data / "pgdata" / "table").write_text("a row")
    assert create_cluster() == 0
    assert [path.name for path in create_cluster.data.iterdir()] == ["pgdata"]
    assert (create_cluster.data / "pgdata" / "table").read_text() == "a row"


@pytest.mark.parametrize("content", [[], ["lost+found"], ["pgdata"], ["pgdata.new"]])
def test_an_empty_folder_becomes_a_database_only_when_that_is_asked_for(create_cluster, content):
    """A lost droplet, a volume that is not mounted, one that is new, and what a killed run left."""
    for name in content:
        (create_cluster.data / name).mkdir()
    assert create_cluster(new=False) == 1
    assert "litefarmapp has no database in /srv/litefarm/postgres: mount the volume" in create_cluster.told
    assert '(docs/operations.md, "Restore the database"), on a new droplet with playbooks/recover.yml' in create_cluster.told
    assert "-e litefarm_new_database=true" in create_cluster.told
    assert sorted(path.name for path in create_cluster.data.iterdir()) == content
    assert create_cluster(new="true") == 0
    assert (create_cluster.data / "pgdata" / "PG_VERSION").exists()


@pytest.mark.parametrize("new", [True, False])
def test_a_database_that_is_there_stays_as_it_is(create_cluster, new):
    assert create_cluster() == 0
    (create_cluster.data / "pgdata" / "table").write_text("a row")
    assert create_cluster(new=new) == 0
    assert (create_cluster.data / "pgdata" / "table").read_text() == "a row"


@pytest.mark.parametrize("server", ["17.6 (Debian 17.6-1.pgdg13+1)", "17.0", "17rc1"])
def test_another_minor_version_of_the_server_takes_the_data(create_cluster, server):
    assert create_cluster() == 0
    assert create_cluster(new=False, SERVER=server) == 0


@pytest.mark.parametrize(("server", "major"), [("18.1 (Debian 18.1-1.pgdg13+2)", "18"), ("16.10", "16"), ("18beta1", "18"), ("170.1", "170"), ("1.7", "1")])
@pytest.mark.parametrize("new", [True, False])
def test_another_major_version_is_refused_while_the_old_server_still_runs(create_cluster, server, major, new):
    assert create_cluster() == 0
    (create_cluster.data / "pgdata" / "table").write_text("a row")
    assert create_cluster(new=new, SERVER=server) == 1
    assert create_cluster.told == (
        f"postgres_image is postgres:17, which is PostgreSQL {major}, and the database in /srv/litefarm/postgres is of PostgreSQL 17, "
        "which only that major version reads: set postgres_image to it in the inventory.\n"
    )
    assert (create_cluster.data / "pgdata" / "table").read_text() == "a row"


def test_the_page_that_the_refusals_name_has_the_heading(repo, role):
    for sentence in ("postgres__no_cluster", "postgres__no_database"):
        assert '(docs/operations.md, "Restore the database")' in role("postgres").evaluate(sentence)
    assert "## Restore the database\n" in (repo / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(("new", "guarded"), [(False, True), ("false", True), (True, False), ("true", False)])
def test_a_server_without_the_database_gets_one_only_when_that_is_asked_for(render, new, guarded, check_mode):
    text = render("postgres", "database.sql.j2", ansible_facts=FACTS, postgres_new_database=new, ansible_check_mode=check_mode)
    assert ("has no database litefarm with tables in it" in text) == guarded
    # Before anything is changed, the role too.
    assert not guarded or text.index("RAISE EXCEPTION") < text.index("CREATE ROLE")


# What the release of an environment without an archive is called: another one would restart every database.
SPEC = "908681b556d07fb0c61fc99fa162bcd1"


@pytest.mark.parametrize("new", [False, True])
def test_no_running_server_is_replaced_by_the_wish_for_a_new_database(spec, new):
    assert spec(postgres_new_database=new) == SPEC


def test_the_image_cannot_create_a_database_by_itself(declared):
    """Its entry point does, when the data folder is empty and it is given a password."""
    assert set(declared["env"]) == {"PGDATA"} and "secret_env" not in declared


@pytest.fixture
def spec(declared, role):
    """spec(**variables): the hash by which a droplet knows the container that the role declares."""
    module = yaml.safe_load(container_service.DOCUMENTATION)["options"]

    def completed(value, options):
        return {name: value.get(name, option.get("default")) for name, option in options.items()}

    def calculate(**overrides):
        variables = {"ansible_facts": FACTS, "postgres_tls_certificate": "certificate", "postgres_tls_key": "key", **overrides}
        params = completed(role("postgres").templar(**variables).template(trusted(declared)), module)
        for name in ("config_files", "secret_files", "mounts", "ports"):
            params[name] = [completed(part, module[name]["suboptions"]) for part in params[name]]
        return Service(params).spec("sha256:" + "0" * 64)

    return calculate


def test_half_a_cluster_is_never_taken_for_one(create_cluster):
    assert create_cluster(INITDB_STATUS="1") != 0
    assert not (create_cluster.data / "pgdata").exists()
    assert create_cluster() == 0
    assert [path.name for path in create_cluster.data.iterdir()] == ["pgdata"]


def test_a_folder_that_is_no_cluster_is_left_alone(create_cluster):
    (create_cluster.data / "pgdata").mkdir()
    (create_cluster.data / "pgdata" / "mine").write_text("precious")
    assert create_cluster() != 0
    assert (create_cluster.data / "pgdata" / "mine").read_text() == "precious"
