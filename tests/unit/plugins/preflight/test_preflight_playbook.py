# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every bad input of the platform, as a person would meet it: one sentence from preflight, and nothing touched."""

from __future__ import annotations

import json
import platform

import pytest
import yaml
from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_rules import MACHINES
from ansible_collections.litefarm.platform.plugins.plugin_utils._vault_file import tls_certificate, tls_key

from tests.support.night import sample
from tests.support.playbooks import OF_NO_DROPLET, REPO, Environment, problems
from tests.support.release import FakeRegistry, GitFolder
from tests.support.storage import KEY_ID, SECRET, FakeStorage

DIGEST = "sha256:" + "a" * 64
APPLICATION_BUCKETS = ("litefarm-app-secret", "litefarmapp", "litefarm-beta-secret", "litefarmbeta")
BACKUP_KEY = {"vault_backup_access_key_id": KEY_ID, "vault_backup_secret_access_key": SECRET}


class EveryTag(dict):
    def get(self, key, default=None):
        return DIGEST


@pytest.fixture(name="storage", scope="module")
def fixture_storage(tmp_path_factory):
    """An object storage with the buckets of every environment."""
    with FakeStorage(tmp_path_factory.mktemp("storage")) as storage:
        storage.buckets = {name: {} for name in (*APPLICATION_BUCKETS, "litefarm-production-backups", "litefarm-beta-backups")}
        yield storage


@pytest.fixture(name="registry", scope="module")
def fixture_registry():
    """A registry that has every image."""
    with FakeRegistry("basic") as registry:
        registry.tags = EveryTag()
        yield registry


@pytest.fixture(name="world", scope="module")
def fixture_world(tmp_path_factory, storage, registry):
    """A registry that has every image, a repository, and an object storage."""
    return {
        **storage.variables(),
        "litefarm_registry": "%s/litefarm" % registry.address,
        "litefarm_repo": str(GitFolder(tmp_path_factory.mktemp("git") / "repo").path),
        "litefarm_version": "v1.0.0",
        "litefarm_architecture": MACHINES[platform.machine()],
        "vault_registry_password": "correct-horse",
    }


@pytest.fixture(name="secrets", scope="module")
def fixture_secrets(tmp_path_factory, world):
    """A vault, made once."""
    environment = Environment(tmp_path_factory.mktemp("secrets") / "inventory")
    environment.set(**world)
    process = environment.play("secrets.yml")
    assert process.returncode == 0, process.stdout
    return environment.vault.read_text()


@pytest.fixture(name="environment")
def fixture_environment(tmp_path, world, secrets):
    environment = Environment(tmp_path / "inventory")
    environment.set(**world)
    environment.vault.write_text(secrets)
    return environment


def memory_mb():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(file.readline().split()[1]) // 1024


def one_problem(process):
    assert process.returncode != 0, process.stdout
    found = problems(process)
    assert len(found) == 1, process.stdout
    return found[0]


@pytest.fixture(name="wrong", scope="module")
def fixture_wrong(tmp_path_factory, world, secrets):
    """One run in which nearly everything is wrong: each problem must be told, and none hides another."""
    environment = Environment(tmp_path_factory.mktemp("wrong") / "inventory")
    environment.vault.write_text(secrets)
    environment.set(
        **{
            **world,
            "litefarm_version": "v99",
            "litefarm_environment": "staging",
            "litefarm_contact_email": "nobody",
            "litefarm_imaginary_url": "http://image.litefarm.org",
            "litefarm_public_bucket": "Pictures",
            "litefarm_verify_farm_id": "17",
            "vault_redis_password_previos": "x" * 40,
            "postgres_database": "{{ nowhere }}",
            "postgres_max_connections": "many",
        }
    )
    environment.host(postgres_max_conections=50, litefarm_private_address="192.0.2.99", postgres_port=70000)
    environment.host("second", ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1, ansible_user="root", litefarm_private_address=None)
    hosts = environment.folder / "hosts.yml"
    text = hosts.read_text().replace("\nwebapp:\n", "\nunused:\n").replace("postgres:\n  hosts:\n", "postgres:\n  hosts:\n    second:\n")
    text = text.replace("export_scheduler:\n  hosts:\n", "export_scheduler:\n  hosts:\n    litefarmapp:\n")
    hosts.write_text(text.replace("litefarm:\n  hosts:\n", "litefarm:\n  hosts:\n    second:\n"))
    process = environment.play("preflight.yml", "-vvv", "-e", json.dumps({"postgres_cpus": -1, "vault_jwt_secret": "changeme" * 5}))
    return {"environment": environment, "process": process, "problems": problems(process)}


@pytest.mark.parametrize(
    "sentence",
    [
        "The secret vault_jwt_secret in {inventory}/group_vars/litefarm/vault.yml is a placeholder: remove it with ansible-vault edit",
        "Nothing reads the variable postgres_max_conections in {inventory}/host_vars/litefarmapp.yml: rename it to postgres_max_connections if",
        "postgres_port in {inventory}/host_vars/litefarmapp.yml is 70000: set it to a number from 1 to 65535.",
        "postgres_cpus in option -e of the command line is -1: set it to a number from 0 to 256.",
        "postgres_max_connections in {inventory}/group_vars/litefarm/test.yml does not fit: ",
        "litefarm_contact_email in {inventory}/group_vars/litefarm/main.yml and {inventory}/group_vars/litefarm/test.yml is 'nobody', which is not",
        "value of litefarm_environment must be one of: production, beta, got: staging",
        "postgres_database in {inventory}/group_vars/litefarm/test.yml has no value ('nowhere' is undefined",
        "No droplet is in the group webapp, and every environment needs one: add one in the inventory's hosts.yml.",
        "The group postgres has litefarmapp and second, and it may have one droplet only, because two would not have the same data: remove",
        "The group export_scheduler has litefarm-imaginary and litefarmapp, and it may have one droplet only, because two would run its scheduled jobs",
        "litefarm_imaginary_url in {inventory}/group_vars/litefarm/main.yml and {inventory}/group_vars/litefarm/test.yml is 'http://image.litefarm.org', which",
        "is 'Pictures', which is not a bucket's name of 3 to 63 lower-case letters, digits and hyphens: correct it.",
        "is '17', which is not the id of a farm, a UUID in lower case: correct it.",
        "Nothing reads the variable vault_redis_password_previos in {inventory}/group_vars/litefarm/test.yml: rename it to vault_redis_password_previous",
        "litefarm_private_address of second is not set: put the address of the droplet's private network in the inventory's hosts.yml.",
        "litefarm_private_address of litefarmapp is 192.0.2.99 in {inventory}/host",
        "second cannot be reached at 127.0.0.1 (connect to host 127.0.0.1 port 1: Connection refused): try 'ssh -p 1 root@127.0.0.1', then correct",
        "There is no tag, branch or commit 'v99' in ",
    ],
)
def test_a_bad_input_is_one_clear_sentence(wrong, sentence):
    expected = sentence.format(inventory=wrong["environment"].folder)
    assert len([each for each in wrong["problems"] if expected in each]) == 1, "\n".join(wrong["problems"])


def test_no_problem_is_the_consequence_of_another(wrong):
    assert len(wrong["problems"]) == 19, "\n".join(wrong["problems"])


def test_nothing_is_touched_and_no_secret_is_shown(wrong):
    text = wrong["process"].stdout
    assert wrong["process"].returncode != 0
    assert "changed=0" in text and "changed=1" not in text
    assert "changemechangeme" not in text and "correct-horse" not in text


@pytest.mark.parametrize("name", sorted(path.parent.name for path in REPO.glob("inventories/*/hosts.yml")))
def test_the_real_inventories_are_valid(tmp_path, world, secrets, name):
    """The only test about what an operator writes: preflight accepts it, as far as that can be known without its droplets."""
    environment = Environment(tmp_path / "inventory", name, REPO / "inventories")
    environment.set(**{variable: value for variable, value in world.items() if variable != "litefarm_version"})
    environment.vault.write_text(secrets)
    for droplet in environment.droplets:
        environment.host(droplet, litefarm_private_address=None)
    process = environment.play("preflight.yml", "--check")
    assert [sentence for sentence in problems(process) if not OF_NO_DROPLET.search(sentence)] == [], process.stdout
    assert "Nothing was changed" in process.stdout, process.stdout


def test_the_fixed_inventory_has_no_problem(environment, world):
    # While a secret is rotated, the vault has its previous value, too.
    environment.set(**world, vault_redis_password_previous="k8Zr2LmXw0VtKc5JhYpB7NdFs3GaEu9T")
    assert problems(environment.play("preflight.yml", "--check")) == []


def test_a_host_name_that_leads_elsewhere_is_a_warning(environment, world):
    """Addresses as names, which need no DNS: one of the droplet, which is this machine, and one that it does not have."""
    environment.set(**world, litefarm_api_host_name="127.0.0.1", litefarm_app_host_name="127.0.0.77")
    process = environment.play("preflight.yml", "--check")
    assert problems(process) == []
    said = " ".join((process.stdout + process.stderr).split())
    assert said.count("127.0.0.77 leads to 127.0.0.77 (A), which is no address of litefarmapp (") == 1
    assert "127.0.0.1 leads to" not in said and "127.0.0.1 also" not in said


def test_a_certificate_that_is_brought_in(environment, world):
    """As the runbook says: two files beside the variables, the key encrypted."""
    folder = environment.folder / "group_vars" / "litefarm"
    entry = {
        "certificate": "{{ lookup('ansible.builtin.file', inventory_dir ~ '/group_vars/litefarm/webapp.pem') }}",
        "key": "{{ lookup('ansible.builtin.unvault', inventory_dir ~ '/group_vars/litefarm/webapp.key') }}",
    }
    environment.set(**world, litefarm_app_host_name="app.example.org", nginx_imported_certificates={"webapp": entry})
    key = tls_key()
    (folder / "webapp.pem").write_text(tls_certificate(key, "other.example.org", 1))
    (folder / "webapp.key").write_text(key)
    process = environment.play("preflight.yml", "--check")
    found = problems(process)
    assert len(found) == 2, process.stdout
    assert "the entry webapp, is for other.example.org, and not for app.example.org: " in found[0]
    assert found[1].endswith("webapp.key is not encrypted: run ansible-vault encrypt %s." % (folder / "webapp.key"))
    (folder / "webapp.pem").write_text(tls_certificate(key, "app.example.org", 1))
    (folder / "webapp.key").write_text(environment.encrypted(key))
    process = environment.play("preflight.yml", "--check")
    assert problems(process) == []
    assert "PRIVATE KEY" not in process.stdout + process.stderr


def test_an_image_for_another_architecture(environment, world, registry, monkeypatch):
    own, other = world["litefarm_architecture"], {"amd64": "arm64", "arm64": "amd64"}[world["litefarm_architecture"]]
    monkeypatch.setattr(registry, "documents", {})
    registry.has("litefarm/api", "any", DIGEST, other)
    registry.has("litefarm/webapp", "any", DIGEST, other, own)
    sentence = one_problem(environment.play("preflight.yml"))
    assert sentence.startswith("The registry's %s/api:" % world["litefarm_registry"])
    assert sentence.endswith(" is for %s, and litefarm_architecture is %s: run playbooks/build.yml for this environment, which replaces it." % (other, own))


@pytest.mark.nightly
def test_droplets_of_another_architecture(environment, world):
    other = {"amd64": "arm64", "arm64": "amd64"}[world["litefarm_architecture"]]
    environment.set(**{**world, "litefarm_architecture": other})
    sentence = one_problem(environment.play("preflight.yml"))
    assert sentence.startswith("litefarm-imaginary and litefarmapp cannot run images for %s, the litefarm_architecture in %s" % (other, environment.folder))
    assert sentence.endswith(": set it to %s, and run playbooks/build.yml again." % world["litefarm_architecture"])
    environment.set(**{**world, "litefarm_architecture": "x86_64"})
    assert "value of litefarm_architecture must be one of: amd64, arm64, got: x86_64" in one_problem(environment.play("preflight.yml"))


@pytest.mark.parametrize("droplet", ["litefarmapp", "litefarm-imaginary"])
def test_a_run_on_one_droplet_is_about_that_one_only(environment, droplet):
    """The other one is out of reach and wrong, and still the first learns its address from the inventory."""
    (other,) = set(environment.droplets) - {droplet}
    environment.host(other, ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1, postgres_port=70000, redis_port=70000)
    environment.host(droplet, nginx_workr_processes=2)
    sentence = one_problem(environment.play("preflight.yml", "--limit", droplet))
    assert sentence.startswith("Nothing reads the variable nginx_workr_processes in %s/host_vars/%s.yml" % (environment.folder, droplet))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    sample(
        [
            ({"litefarm_private_bucket": "litefarm-none"}, "There is no bucket litefarm-none at {where}: run playbooks/storage.yml, or correct litefarm_private"),
            ({"vault_spaces_secret_access_key": SECRET[::-1]}, "The object storage {where} refuses the key vault_spaces_access_key_id in "),
            ({"litefarm_spaces_endpoint": "https://localhost:1"}, "The object storage localhost:1 cannot be reached (Connection refused): correct litefarm_spaces"),
            # What the check of secrets tells is not told again by the storage.
            ({"vault_spaces_access_key_id": "changeme" * 3}, "The secret vault_spaces_access_key_id in "),
        ],
        by_day=2,
    ),
)
def test_a_bucket_that_cannot_be_used(environment, world, changes, sentence):
    environment.set(**{**world, **changes})
    process = environment.play("preflight.yml", "-vvv")
    where = world["litefarm_spaces_endpoint"].removeprefix("https://")
    assert one_problem(process).startswith(sentence.format(where=where))
    assert SECRET not in process.stdout and SECRET[::-1] not in process.stdout


def test_a_busy_storage_is_asked_again(environment, storage, monkeypatch):
    busy, well = [(503, b""), (429, b""), (503, b"")], storage.answer
    monkeypatch.setattr(storage, "answer", lambda *request: busy.pop() if busy else well(*request))
    assert problems(environment.play("preflight.yml")) == []
    assert busy == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    sample(
        [
            ({"litefarm_backup_bucket": "litefarm-none"}, "There is no bucket litefarm-none at {where}: run playbooks/storage.yml, or correct litefarm_backup_bucket"),
            ({"litefarm_backup_bucket": "Backups"}, "litefarm_backup_bucket in {vars}/test.yml is 'Backups', which is not a bucket's name of 3 to 63"),
            # A key of the backup bucket's own is asked with and named, and the application's buckets are asked for with the other one.
            (
                {**BACKUP_KEY, "vault_backup_access_key_id": "DO00UNKNOWNKEYNOBODYHAS"},
                "The object storage {where} does not know the key vault_backup_access_key_id in {vars}/test.yml: put in a key that exists",
            ),
            (
                {**BACKUP_KEY, "vault_backup_secret_access_key": SECRET[::-1]},
                "The object storage {where} refuses the key vault_backup_access_key_id in {vars}/test.yml, because vault_backup_secret_access_key in ",
            ),
            (
                {"vault_backup_access_key_id": KEY_ID},
                "The secrets vault_backup_access_key_id and vault_backup_secret_access_key belong together, and vault_backup_secret_access_key is missing in ",
            ),
            ({**BACKUP_KEY, "vault_backup_access_key_id": "short"}, "The secret vault_backup_access_key_id in {vars}/vault.yml is too short"),
        ],
        by_day=2,
    ),
)
def test_a_backup_bucket_that_cannot_be_used(environment, world, changes, sentence):
    environment.set(**{**world, **changes})
    process = environment.play("preflight.yml", "-vvv")
    where = world["litefarm_spaces_endpoint"].removeprefix("https://")
    assert one_problem(process).startswith(sentence.format(where=where, vars=environment.folder / "group_vars" / "litefarm"))
    assert SECRET not in process.stdout and SECRET[::-1] not in process.stdout


def test_somebody_else_s_backup_bucket(environment, storage, monkeypatch):
    monkeypatch.setattr(storage, "foreign", {"litefarm-production-backups"})
    assert "does not let the key vault_spaces_access_key_id in " in one_problem(environment.play("preflight.yml"))


def test_a_backup_bucket_with_a_key_of_its_own_is_no_problem(environment, world):
    environment.set(**world, **BACKUP_KEY)
    assert problems(environment.play("preflight.yml")) == []


@pytest.mark.parametrize(
    ("options", "asked"),
    sample(
        [
            ((), {"litefarm-app-secret", "litefarmapp", "litefarm-production-backups"}),
            # Both copy their files to it; the first droplet archives the database as well.
            (("--limit", "litefarmapp"), {"litefarm-app-secret", "litefarmapp", "litefarm-production-backups"}),
            (("--limit", "litefarm-imaginary"), {"litefarm-app-secret", "litefarmapp", "litefarm-production-backups"}),
        ]
    ),
)
def test_every_droplet_with_data_needs_the_backup_bucket(environment, storage, options, asked):
    storage.seen.clear()
    assert problems(environment.play("preflight.yml", *options)) == []
    assert {request.split("/")[1] for request in storage.seen} == asked


@pytest.fixture(name="go_back")
def fixture_go_back(environment, tmp_path):
    """Runs the preflight of rollback.yml for a release of the history."""
    plays = yaml.safe_load((REPO / "playbooks" / "rollback.yml").read_text())
    (preflight,) = [play for play in plays if play.get("ansible.builtin.import_playbook") == "preflight.yml"]
    preflight["ansible.builtin.import_playbook"] = str(REPO / "playbooks" / "preflight.yml")
    images = {service: "registry.example.org/litefarm/%s@%s" % (service, DIGEST) for service in ("api", "export_scheduler", "webapp")}
    recorded = {"record": {"to": {"version": "v0.9.0", "commit": "0" * 40}, "images": images}}
    choose = {"hosts": "litefarm", "gather_facts": False, "tasks": [{"ansible.builtin.set_fact": {"litefarm_recorded": recorded}}]}
    path = tmp_path / "preflight_of_rollback.yml"
    path.write_text(yaml.safe_dump([choose, preflight]))
    return lambda *options: environment.play(str(path), *options)


def test_going_back_needs_no_object_storage(environment, storage, world, go_back):
    storage.seen.clear()
    assert problems(go_back()) == []
    assert storage.seen == []
    environment.set(**{**world, "litefarm_spaces_endpoint": "https://localhost:1"})
    assert problems(go_back()) == []


def test_going_back_needs_nothing_that_it_does_not_use(environment, world, go_back):
    """Neither repository and registry, nor secrets and variables of what stays as it is, nor a droplet that a new one would have to be."""
    nowhere = {"litefarm_version": 3.1, "litefarm_repo": "/nowhere", "litefarm_registry": "127.0.0.1:1/litefarm", "litefarm_contact_email": "nobody"}
    environment.set(**{**world, **nowhere, "vault_registry_password": "", "postgres_cpus": -1, "nginx_workr_processes": 2, "litefarm_force": True})
    unused = ("vault_postgres_tls_key", "vault_redis_admin_password", "vault_imaginary_token_beta", "vault_backup_encryption_key")
    environment.edit_vault(lambda secrets: [secrets.pop(name) for name in unused])
    environment.host(postgres_new_database=None)
    requirements = yaml.safe_load((REPO / "playbooks" / "vars" / "preflight.yml").read_text())["preflight_requirements"]
    requirements.update(needed_groups=["nowhere"], distributions={"Debian": ["99"]}, memory_mb=99999999, disk_free_mb=0)
    process = go_back("-e", json.dumps({"preflight_requirements": requirements}))
    assert problems(process) == []
    assert "which is not supported" not in process.stdout and "MB of memory, and its services" not in process.stdout


@pytest.mark.parametrize("name", sample(["vault_jwt_secret", "vault_redis_password", "vault_imaginary_token"]))
def test_going_back_needs_the_secrets_of_its_services(environment, go_back, name):
    environment.edit_vault(lambda secrets: secrets.pop(name))
    assert one_problem(go_back()) == "The secret %s is missing in %s: run playbooks/secrets.yml, which creates what is missing." % (name, environment.vault)


def test_going_back_needs_the_variables_of_its_services(environment, world, go_back):
    environment.set(**world, api_memory_mb=1, litefarm_imaginary_url="http://image.litefarm.org")
    found = problems(go_back())
    assert len(found) == 2 and "api_memory_mb in " in " ".join(found) and "litefarm_imaginary_url in " in " ".join(found), found


@pytest.mark.nightly
def test_no_boto3(environment, tmp_path, monkeypatch):
    (tmp_path / "without" / "botocore").mkdir(parents=True)
    (tmp_path / "without" / "botocore" / "__init__.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    sentence = "The object storage cannot be asked without boto3 for Python: install it beside Ansible, as requirements.txt does (pip install boto3)."
    assert one_problem(environment.play("preflight.yml")) == sentence


@pytest.mark.nightly
def test_beta_has_no_problem(tmp_path, world, secrets):
    environment = Environment(tmp_path / "inventory", "beta")
    environment.set(**world)
    environment.vault.write_text(secrets)
    assert problems(environment.play("preflight.yml")) == []
    # Beta has no droplet that makes pictures smaller.
    environment.set(**world, litefarm_imaginary_url=None)
    assert one_problem(environment.play("preflight.yml")).startswith("litefarm_imaginary_url is not set, and the platform needs it (Where pictures are made")


def test_missing_secrets(environment):
    environment.vault.unlink()
    sentence = one_problem(environment.play("preflight.yml"))
    assert sentence.startswith("The secrets vault_postgres_password, ")
    assert sentence.endswith("are missing in %s: run playbooks/secrets.yml, which creates what is missing." % environment.vault)


def test_an_environment_that_is_older_than_its_backups(environment):
    environment.edit_vault(lambda secrets: secrets.pop("vault_backup_encryption_key"))
    sentence = one_problem(environment.play("preflight.yml"))
    assert sentence == "The secret vault_backup_encryption_key is missing in %s: run playbooks/secrets.yml, which creates what is missing." % environment.vault


@pytest.mark.parametrize(
    ("value", "sentence"),
    sample(
        [
            ("vault_jwt_secret", "The secrets vault_jwt_secret and vault_backup_encryption_key in {vault} are equal: remove one, and playbooks/secrets.yml"),
            ("", "The secret vault_backup_encryption_key in {vault} is too short (12 characters, at least 32 are needed): remove it with ansible-vault edit"),
        ]
    ),
)
def test_a_backup_key_that_is_none(environment, value, sentence):
    environment.edit_vault(lambda secrets: secrets.update(vault_backup_encryption_key=secrets[value] if value else "short-enough"))
    assert one_problem(environment.play("preflight.yml")).startswith(sentence.format(vault=environment.vault))


def with_old_groups(environment):
    """Gives an inventory the groups' names from before 0.1.0."""
    hosts = environment.folder / "hosts.yml"
    text = hosts.read_text()
    for old, new in (("edge", "load_balancer"), ("images", "image_files")):
        assert text.count("\n%s:\n" % new) == 1
        text = text.replace("\n%s:\n" % new, "\n%s:\n" % old)
    hosts.write_text(text)
    return hosts


def test_old_groups_are_refused_with_their_new_names_and_nothing_else_is_told(environment):
    """Production's own group edge has no droplet, and its variables concern none either: they would be ignored in silence."""
    hosts = with_old_groups(environment)
    for name in ("edge.yml", "images/sizes.yml"):
        path = environment.folder / "group_vars" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("nginx_worker_connections: 2048\n")
    told = "The group %s in %s/%s and %s is called %s now: rename it there."
    folder = environment.folder
    assert problems(environment.play("preflight.yml")) == [
        told % ("edge", folder, "group_vars/edge.yml", hosts, "load_balancer"),
        told % ("images", folder, "group_vars/images/sizes.yml", hosts, "image_files"),
    ]


@pytest.mark.parametrize(("name", "group", "new"), sample([("images/sizes.yml", "images", "image_files"), ("edge.yml", "edge", "load_balancer")]))
def test_variables_of_a_group_that_has_its_new_name_already_are_not_forgotten(environment, name, group, new):
    path = environment.folder / "group_vars" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("nginx_worker_connections: 2048\n")
    sentence = one_problem(environment.play("preflight.yml"))
    assert sentence == "The group %s in %s is called %s now: rename it there." % (group, path, new)


def test_old_variables_are_refused_with_their_new_names_wherever_they_are(environment, world):
    environment.set(**world, api_healthy_after=5, litefarm_images_site_base={"name": "images"}, litefarm_edge_sites=[])
    environment.host(webapp_healthy_after=2)
    environment.host("litefarm-imaginary", imaginary_healthy_after=2)
    scheduler = environment.folder / "group_vars" / "export_scheduler.yml"
    scheduler.write_text("export_scheduler_healthy_after: 1\n")
    folder = environment.folder
    common = folder / "group_vars" / "litefarm" / "test.yml"
    told = "The variable %s in %s is called %s now: rename it there."
    assert set(problems(environment.play("preflight.yml"))) == {
        told % ("api_healthy_after", common, "api_success_threshold"),
        told % ("litefarm_edge_sites", common, "litefarm_load_balancer_sites"),
        told % ("litefarm_images_site_base", common, "litefarm_image_files_site_base"),
        told % ("webapp_healthy_after", folder / "host_vars" / "litefarmapp.yml", "webapp_success_threshold"),
        told % ("imaginary_healthy_after", folder / "host_vars" / "litefarm-imaginary.yml", "imaginary_success_threshold"),
        "litefarm-imaginary: " + told % ("export_scheduler_healthy_after", scheduler, "export_scheduler_success_threshold"),
    }


@pytest.mark.parametrize(("old", "new"), sample([("litefarm_images", "litefarm_container_images"), ("api_healthy_after", "api_success_threshold")]))
def test_an_old_variable_of_the_command_line_is_refused_with_its_new_name(environment, old, new):
    process = environment.play("preflight.yml", "-e", json.dumps({old: 3}))
    told = "playbooks/preflight.yml reads no variable %s, which option -e gives: write %s if that is meant, or leave it out." % (old, new)
    assert process.returncode != 0 and told in " ".join((process.stdout + process.stderr).split())
    # An expression of the inventory that reads it makes it known to this check, and not to the next one.
    environment.host(nginx_body_max_mb="{{ %s | default(3) }}" % old)
    sentence = "The variable %s in option -e of the command line is called %s now: rename it there." % (old, new)
    assert sentence in problems(environment.play("preflight.yml", "-e", json.dumps({old: 3})))


def test_a_variable_of_the_command_line_in_an_inventory_is_refused(environment, world):
    environment.set(**world, litefarm_force=True, force=True)
    place = environment.folder / "group_vars" / "litefarm" / "test.yml"
    told = "litefarm_force in %s has no effect there: remove it, and give it with option -e to the run that needs it." % place
    assert one_problem(environment.play("preflight.yml")) == told


@pytest.mark.parametrize(("given", "lost"), sample([({}, True), ({"new_database": True}, False), ({"litefarm_new_database": "true"}, False)], by_day=2))
def test_only_the_command_line_allows_a_new_database(environment, given, lost):
    """An inventory that says new_database would allow it for ever."""
    environment.host(postgres_new_database=None, new_database=True)
    process = environment.play("preflight.yml", "-e", json.dumps(given))
    assert ("litefarmapp has no database in /srv/litefarm/postgres" in " ".join(problems(process))) == lost, process.stdout
    assert lost or problems(process) == []


@pytest.mark.parametrize("given", sample(['{"new_database": false}', '{"litefarm_new_database": false}', '{"postgres_new_database": "no"}']))
def test_a_droplet_that_has_lost_its_database(environment, given):
    sentence = one_problem(environment.play("preflight.yml", "-e", given))
    told = "litefarmapp has no database in /srv/litefarm/postgres: mount the volume that has it, or bring it back with playbooks/restore.yml (docs"
    assert sentence.startswith(told)


def test_why_ssh_has_ended_is_told_also_where_ansible_has_missed_it(environment, tmp_path):
    """Ansible says that data could not be sent, and not what ssh said, if ssh has closed its input and not yet ended."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nexec 0<&-\nsleep 0.3\necho 'ssh: connect to host 127.0.0.1 port 1: Connection refused' >&2\nexit 255\n")
    ssh.chmod(0o755)
    environment.host(ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1, ansible_user="root", ansible_ssh_executable=str(ssh))
    found = one_problem(environment.play("preflight.yml"))
    assert found.startswith("litefarmapp cannot be reached at 127.0.0.1 (connect to host 127.0.0.1 port 1: Connection refused): try"), found


def test_two_environments_in_one_run(environment, tmp_path):
    other = Environment(tmp_path / "other", "beta")
    found = problems(environment.play("preflight.yml", inventories=[other.folder]))
    assert found[0].startswith("Droplets of two inventories are in one run (")


def test_an_unsupported_distribution_a_small_droplet_and_no_registry(environment):
    requirements = {
        "everywhere": ["base"],
        "needed_groups": [],
        "single_groups": {},
        "distributions": {"Debian": ["99"]},
        "memory_mb": 99999999,
        "disk_free_mb": 99999999999,
    }
    variables = json.dumps({"preflight_requirements": requirements, "litefarm_registry": "127.0.0.1:1/litefarm"})
    process = environment.play("preflight.yml", "-e", variables)
    assert process.returncode != 0
    for words in (
        *(
            "%s %s" % (droplet, words)
            for droplet in environment.droplets
            for words in ("runs ", "has %d MB of memory, and its services need at least 99999999 MB" % memory_mb())
        ),
        "which is not supported: rebuild the droplet with one of Debian 99.",
        "MB free below /, and a release",
        "The registry 127.0.0.1:1 cannot be reached (Connection refused): correct litefarm_registry in option -e of the command line.",
    ):
        assert words in process.stdout


def test_a_refused_login_is_told_without_the_password(environment, world):
    environment.set(**{**world, "vault_registry_password": "wr0ng-Passw0rt"})
    process = environment.play("preflight.yml", "-vvv")
    assert "refuses the login of 'litefarm': correct vault_registry_password in the vault" in one_problem(process)
    assert "wr0ng-Passw0rt" not in process.stdout


@pytest.mark.parametrize(
    ("text", "read"),
    sample(
        [
            ("3.10", "the number 3.1"),
            ("0123456", "the number 42798"),
            ("1234567", "the number 1234567"),
            ("1.0e+5", "the number 100000.0"),
            ("12:30", "the number 750"),
            ("2026-01-01", "a date"),
            ("true", "true"),
        ]
    ),
)
def test_a_version_that_yaml_does_not_read_as_text_is_refused(environment, text, read):
    """Tags 3.1 and 3.10 may both be there, and commits may consist of digits."""
    (environment.folder / "group_vars" / "litefarm" / "version.yml").write_text("litefarm_version: %s\n" % text)
    sentence = one_problem(environment.play("preflight.yml"))
    assert sentence.startswith("litefarm_version in ") and "version.yml is read as %s and not as text, which may have changed it: put it in quotes" % read in sentence


@pytest.mark.nightly
def test_a_number_of_the_command_line_or_in_another_text_is_refused(environment, world):
    expected = "litefarm_version in option -e of the command line is read as the number 3.1 and not as text"
    assert one_problem(environment.play("preflight.yml", "-e", '{"litefarm_version": 3.10}')).startswith(expected)
    process = environment.play("build.yml", "-e", '{"litefarm_version": 3.10}')
    assert process.returncode != 0 and expected in " ".join(process.stdout.split()), process.stdout
    environment.set(**world, postgres_database=17, base_deploy_keys=[1.10])
    found = problems(environment.play("preflight.yml", "-e", "litefarm_version=3.10"))
    assert "There is no tag, branch or commit '3.10' in " in " ".join(found)
    assert len([each for each in found if " is read as the number 17 and not as text" in each]) == 1, found


@pytest.mark.parametrize(
    ("options", "sentence"),
    sample(
        [
            ({"api": {"redirects": [{"from": "old", "to": "/new"}]}}, "the entry named api: redirects[].from is 'old': set it to a path that begins with /"),
            ({"api": {"redirects": [{"from": "/old", "to": "/$uri"}]}}, "the entry named api: redirects[].to is '/$uri': set it to a URL with https://"),
            ({"api": {"body_max": 50}}, "nginx_sites in {group_vars} does not fit: nginx_sites.body_max. Supported parameters include: "),
            ({"apis": {}}, "litefarm_site_options in {vars}/main.yml and {vars}/test.yml does not fit: litefarm_site_options.apis. Supported"),
        ],
        by_day=2,
    ),
)
def test_an_option_of_a_site_that_is_wrong_is_told_before_anything_is_touched(environment, world, options, sentence):
    environment.set(**world, litefarm_site_options=options)
    expected = sentence.format(group_vars="playbooks/group_vars/all.yml", vars=environment.folder / "group_vars" / "litefarm")
    assert expected in one_problem(environment.play("preflight.yml"))


@pytest.mark.nightly
def test_what_further_settings_of_the_api_replace_is_a_warning(environment, world):
    environment.set(**world, api_secret_env={"JWT_SECRET": "{{ vault_redis_password }}"}, api_env={"TZ": "UTC"})
    process = environment.play("preflight.yml")
    assert problems(process) == []
    told = " ".join((process.stdout + process.stderr).split())
    vars_folder = environment.folder / "group_vars" / "litefarm"
    assert "api_secret_env in %s/test.yml replaces JWT_SECRET of the role: remove what is not meant." % vars_folder in told
    assert "api_env" not in told
    environment.host(api_secret_env={"ENSEMBLE_USERNAME": "litefarm"})
    process = environment.play("preflight.yml")
    told = " ".join((process.stdout + process.stderr).split())
    assert "api_secret_env is set in %s/test.yml and " % vars_folder in told and "host_vars/litefarmapp.yml, and a droplet gets the entries of one" in told
    assert "JWT_SECRET" not in told


def tasks_of(value):
    """Every task of a file, also those in blocks."""
    for each in value if isinstance(value, list) else []:
        if isinstance(each, dict):
            yield each
            for inner in ("tasks", "block", "rescue", "always"):
                yield from tasks_of(each.get(inner))


def test_what_playbooks_register_is_no_variable_that_nothing_reads():
    """Each of them is told to preflight, which knows the other playbooks' results in a run of several of them."""
    folder = REPO / "playbooks"
    given = {name for path in folder.glob("vars/*.yml") for name in yaml.safe_load(path.read_text())}
    for path in [*folder.glob("*.yml"), *folder.glob("tasks/*.yml"), *folder.glob("rollout_steps/*.yml")]:
        for task in tasks_of(yaml.safe_load(path.read_text())):
            given |= {task["register"]} if "register" in task else set()
            given |= set(task.get("ansible.builtin.set_fact") or {})
    declared = yaml.safe_load((folder / "vars" / "preflight.yml").read_text())["preflight_playbook_variables"]
    ours = {name for name in given if name.startswith("litefarm_")}
    assert len(ours) > 8 and ours == {name for name in declared if name.startswith("litefarm_")}


@pytest.mark.nightly
def test_a_database_elsewhere_needs_no_droplet_and_the_history_needs_one(environment, world):
    hosts = yaml.safe_load((environment.folder / "hosts.yml").read_text())
    hosts["postgres"]["hosts"] = {}
    (environment.folder / "hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False))
    environment.set(**world, litefarm_database_address="192.0.2.99")
    assert problems(environment.play("preflight.yml")) == []
    environment.set(**world, litefarm_database_address="192.0.2.99", litefarm_history_host="nowhere")
    (sentence,) = problems(environment.play("preflight.yml"))
    file = environment.folder / "group_vars" / "litefarm" / "test.yml"
    assert sentence == "litefarm_history_host in %s is 'nowhere', which is not the name of a droplet in the inventory's hosts.yml: correct it." % file
