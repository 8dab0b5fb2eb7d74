# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operators with a checkout each: anna has released a newer version, berta's inventory still says the older one and she has no vault.

The tests build on each other, and each leaves the environment in working order.
"""

from __future__ import annotations

import json
import re
import shlex

import pytest

from tests.support import lab, second
from tests.support.deployment import containers, history, leftovers, running, variables
from tests.support.night import sample

SITE, DEPLOY, PREFLIGHT, SECRETS, ROTATE, ROLLBACK, MAINTENANCE, STATUS, VERIFY = (
    "site.yml", *(f"playbooks/{name}.yml" for name in ("deploy", "preflight", "secrets", "rotate", "rollback", "maintenance", "status", "verify"))
)  # fmt: skip
ANNA = {"USER": "anna", "SUDO_USER": ""}
# What the lab's inventory says, and with it both checkouts.
OLDER, NEWER = "v1.0.0", "v1.1.0"
APP, API = "app.litefarm.org", "api.app.litefarm.org"


def words(run):
    """The output without its line breaks."""
    return " ".join(run.output.split())


def state():
    """What a refused run must leave as it was: containers, history, lock, and the vaults of both checkouts."""
    vaults = [path.read_bytes() if path.exists() else None for path in (second.vault(checkout=lab.PROJECT), second.vault())]
    return containers(), history(1000), leftovers(), vaults


def refused(before, run, *expected):
    """A run that has ended with a sentence, and has changed nothing."""
    assert run.status != 0 and "Nothing was changed" in words(run), run.reasons
    for each in expected:
        assert re.search(each, words(run)), f"{each}\n{run.reasons}"
    assert run.changes == set(), run.reasons
    assert state() == before


@pytest.fixture(scope="module", autouse=True)
def checkouts(built):
    """Anna releases the newer version with her checkout; berta clones the repository."""
    built(NEWER.lstrip("v"), "behaviour=ok")
    run = lab.playbook(DEPLOY, *variables(litefarm_version=NEWER, force=True), env=ANNA)
    assert run.status == 0, run.reasons
    second.clone()


class TestWithoutTheVault:
    """B2: a fresh clone has no vault.yml."""

    @pytest.mark.parametrize("name", sample([SITE, SECRETS, PREFLIGHT], by_day=2))
    def test_no_playbook_makes_another_one_or_uses_none(self, name):
        before = state()
        refused(before, second.playbook(name), "already run with secrets that are not those of", "get the team's vault.yml from its repository, and make no new one")
        assert not second.vault().exists()

    def test_a_rotation_is_refused(self):
        refused(state(), second.playbook(ROTATE, "-e", "secret=jwt_secret"), "already run with secrets that are not those of", "get the team's vault.yml")
        assert not second.vault().exists()

    def test_status_needs_none(self):
        run = second.playbook(STATUS)
        assert run.status == 0 and NEWER in run.output, run.reasons


@pytest.mark.parametrize("name", sample([SITE, PREFLIGHT, DEPLOY]))
def test_a_decrypted_vault_is_refused(name):
    """B3"""
    second.vault().write_text("---\n" + json.dumps(lab.vault("production")))
    try:
        refused(state(), second.playbook(name), r"holds secrets in plain text \(vault_\w+ and \d+ more\)", r"ansible-vault encrypt \S+/vault\.yml")
    finally:
        second.vault().unlink()


@pytest.fixture
def pulled():
    """Berta has the team's vault now."""
    second.pull_vault()


@pytest.mark.usefixtures("pulled")
class TestOlderCheckout:
    """B1: berta has not pulled since anna's release."""

    @pytest.mark.parametrize("name", sample([SITE, DEPLOY]))
    def test_it_does_not_take_the_environment_back(self, name):
        before = state()
        record = [each for each in history(1000) if each["result"] == "ok"][-1]
        refused(
            before,
            second.playbook(name),
            rf"{NEWER} \(\w{{7}}\) has run since {record['time']} \({record['kind']} by anna\), and {OLDER} \(\w{{7}}\) is an older release",
            "get the team's newest checkout",
            f"set litefarm_version to {NEWER}",
            f"playbooks/rollback.yml -e litefarm_to={OLDER}",
            "-e litefarm_force=true",
        )

    def test_a_rotation_keeps_the_release_that_runs(self, ask):
        old, images = lab.vault("production"), running()
        run = second.playbook(ROTATE, "-e", "secret=jwt_secret")
        assert run.status == 0, run.reasons
        second.push_vault()
        assert lab.vault("production")["vault_jwt_secret"] != old["vault_jwt_secret"]
        assert running() == images
        assert json.loads(ask(API, "/version").text)["version"] == NEWER.lstrip("v")
        (record,) = history(1)
        assert (record["kind"], record["result"], record["who"], record["to"]["version"]) == ("site", "ok", second.OPERATOR, NEWER)

    def test_force_goes_on(self):
        before = state()
        run = second.playbook(DEPLOY, "--check", "-e", "force=true")
        assert run.status == 0 and re.search(rf"deploy: {NEWER} \(\w{{7}}\) -> {OLDER} \(\w{{7}}\)", run.output), run.reasons
        assert state() == before


@pytest.mark.usefixtures("pulled")
class TestExtraVariables:
    def test_a_name_that_nothing_reads_is_refused(self):
        """B4"""
        refused(state(), second.playbook(DEPLOY, "-e", "version=v1.4.0"), "playbooks/deploy.yml reads no variable version", "write litefarm_version if that is meant")

    @pytest.mark.parametrize("name", sample([DEPLOY, SITE]))
    def test_a_version_that_is_a_number_is_refused(self, name):
        """B5"""
        refused(state(), second.playbook(name, "-e", '{"litefarm_version": 3.10}'), "litefarm_version in option -e of the command line is read as the number 3.1 and not as text", "quotes")


def documented():
    """The arguments of the commands in docs/operations.md that close the environment and open it, as a shell understands them."""
    lines = (lab.PROJECT / "docs" / "operations.md").read_text().splitlines()
    commands = [line.strip() for line in lines if line.startswith("    ansible-playbook playbooks/maintenance.yml")]
    return [shlex.split(command, comments=True)[1:] for command in dict.fromkeys(commands)]


def in_header():
    """The same of the playbook's own header, with its optional message."""
    text = (lab.PROJECT / "playbooks" / "maintenance.yml").read_text()
    return shlex.split(re.search(r"^# ansible-playbook (playbooks/maintenance\.yml .*)$", text, re.MULTILINE)[1].replace("[", "").replace("]", ""))


class TestMaintenance:
    """B6"""

    SENTENCE = "We are back at 14:00 UTC."

    def test_a_message_that_lost_its_quotes_is_refused(self, ask):
        run = lab.playbook(MAINTENANCE, "-e", "state=on", "-e", f"message={self.SENTENCE}")
        refused(state(), run, "belong to no variable: 'are back at 14:00 UTC.'", "two pairs of quotes")
        assert ask(API).status == 200

    def test_users_read_the_whole_sentence_and_operators_are_told(self, ask):
        closing = [in_header(), *(each for each in documented() if "litefarm_state=off" not in each)]
        opening = next(each for each in documented() if "litefarm_state=off" in each)
        try:
            for number, arguments in enumerate(closing):
                run = lab.playbook(*arguments)
                assert run.status == 0 and (run.total("changed") == 0) == (number > 0), run.reasons
            assert ask(APP).status == ask(API).status == 503
            assert f"<p>{self.SENTENCE}</p>" in ask(APP, headers={"Accept": "text/html"}).text
            assert json.loads(ask(API).text)["message"] == self.SENTENCE
            status, verify = second.playbook(STATUS), second.playbook(VERIFY)
        finally:
            opened = lab.playbook(*opening)
        assert opened.status == 0 and ask(API).status == ask(APP).status == 200, opened.reasons
        assert status.status == 0 and self.SENTENCE in words(status), status.reasons
        assert verify.status != 0 and re.search(rf"Maintenance is .*{self.SENTENCE}.*end it with playbooks/maintenance\.yml -e litefarm_state=off", words(verify)), verify.reasons
        assert "Nothing else failed." in words(verify), verify.reasons


@pytest.mark.usefixtures("pulled")
def test_a_rollback_by_name_is_the_way_back(ask):
    """The other way on of B1, for real. It leaves what the inventory says, with which others test on."""
    run = second.playbook(ROLLBACK, "-e", f"to={OLDER}")
    assert run.status == 0, run.reasons
    assert json.loads(ask(API, "/version").text)["version"] == OLDER.lstrip("v")
    (record,) = history(1)
    assert (record["kind"], record["result"], record["who"], record["to"]["version"]) == ("rollback", "ok", second.OPERATOR, OLDER)
    assert leftovers() == []
