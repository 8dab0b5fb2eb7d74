# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import os

import pytest
from ansible_collections.litefarm.platform.plugins.action.image_build import pauses, telling_line
from ansible_collections.litefarm.platform.plugins.module_utils import _image_job as image_job

from tests.support.release import GitFolder

DIGEST = "sha256:" + "a" * 64
BASE = "registry.example.org:5000/litefarm/api@sha256:" + "b" * 64
RECIPE = "ARG BASE\nFROM ${BASE}\nRUN install\n"
DOCKERFILE = "FROM node:22.21 AS build\nRUN npm install\nfrom nginx:1.25\nCOPY --from=build /dist /srv\n"


class EngineError(Exception):
    """What the SDK raises."""


class FakeEngine:
    """Answers as the engine's API does, and keeps what it was given."""

    def __init__(self, build=None, push=None, pull=None, architecture="amd64", built_for="amd64"):
        self.api = self
        self._architecture, self._built_for = architecture, built_for
        self.built = self.pushed = self.pulled = None
        self._pull = pull or [{"status": "Image is up to date"}]
        self._build = build or [{"stream": "Step 1/2 : FROM node\n"}, {"stream": "\n"}, {"aux": {"ID": "sha256:1"}}]
        self._push = push or [{"status": "Pushing", "progressDetail": {"current": 1}, "id": "a"}, {"aux": {"Digest": DIGEST}}]

    def version(self):
        return {"Version": "28.0.0", "Arch": self._architecture}

    def inspect_image(self, image):
        assert image == self.built["tag"]
        return {"Architecture": self._built_for}

    def pull(self, reference, **more):
        assert self.built is None
        self.pulled = dict(more, reference=reference)
        return iter(self._pull)

    def build(self, path, dockerfile, **more):
        with open(dockerfile, encoding="utf-8") as stream:
            self.built = dict(more, path=path, text=stream.read())
        return iter(self._build)

    def push(self, name, **more):
        self.pushed = dict(more, name=name)
        return iter(self._push)


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    folder = GitFolder(tmp_path / "repo")
    for part in ("api", "webapp"):
        path = folder.path / "packages" / part
        path.mkdir(parents=True)
        (path / "prod.Dockerfile").write_text(DOCKERFILE)
        folder.git("add", "packages")
    folder.git("commit", "--quiet", "--message", "packages")
    folder.head = folder.git("rev-parse", "HEAD")
    return folder


def parameters(folder, **changes):
    return dict(
        {
            "repo": str(folder.path),
            "commit": folder.head,
            "version": "v1",
            "context": "packages",
            "dockerfile": "packages/webapp/prod.Dockerfile",
            "recipe": None,
            "base": "",
            "architecture": "amd64",
            "settings": {"VITE_ENV": "beta"},
            "settings_file": "packages/webapp/.env",
            "environment": {"PUPPETEER_SKIP_DOWNLOAD": 1},
            "ca_certificates": {},
            "registry_username": "litefarm",
            "registry_password": "correct-horse",
        },
        **changes,
    )


@pytest.fixture(name="job")
def fixture_job(tmp_path):
    job = image_job.Job(str(tmp_path / "cache"), "registry.example.org:5000/litefarm/webapp", "one")
    assert job.lock()
    job.prepare()
    return job


def run(job, folder, engine, **changes):
    return image_job.run(job, parameters(folder, **changes), engine, EngineError)


def state(job):
    os.close(job._lock)
    return job.progress(0)


def test_an_image_is_built_and_pushed(job, folder, tmp_path):
    engine = FakeEngine()
    assert run(job, folder, engine) == 0
    assert state(job)["result"]["digest"] == DIGEST
    assert engine.built["tag"] == "registry.example.org:5000/litefarm/webapp:one"
    assert engine.built["path"] == str(tmp_path / "cache" / "source" / "packages")
    assert engine.built["labels"] == {"org.opencontainers.image.revision": folder.head, "org.opencontainers.image.version": "v1"}
    assert engine.built["buildargs"] == {"PUPPETEER_SKIP_DOWNLOAD": "1"}
    assert (tmp_path / "cache/source/packages/webapp/.env").read_text() == 'VITE_ENV="beta"\n'
    assert engine.pushed["name"] == "registry.example.org:5000/litefarm/webapp" and engine.pushed["tag"] == "one"
    assert engine.pushed["auth_config"] == {"username": "litefarm", "password": "correct-horse"}


def test_the_password_is_nowhere_on_disk(job, folder, tmp_path):
    run(job, folder, FakeEngine())
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or b"correct-horse" not in path.read_bytes()


def test_the_next_build_starts_from_a_clean_checkout(job, folder, tmp_path):
    run(job, folder, FakeEngine())
    (tmp_path / "cache/source/left-over").write_text("x")
    (tmp_path / "cache/source/.git/index.lock").write_text("")
    assert run(job, folder, FakeEngine(), settings={}) == 0
    assert not (tmp_path / "cache/source/left-over").exists()
    assert not (tmp_path / "cache/source/packages/webapp/.env").exists()


def test_every_stage_declares_the_environment():
    text = image_job.derived_dockerfile(DOCKERFILE, ["B", "A"], True)
    stage = "ARG A\nARG B\nCOPY litefarm-ca.pem /litefarm-ca.pem\n"
    assert text == "FROM node:22.21 AS build\n%sRUN npm install\nfrom nginx:1.25\n%sCOPY --from=build /dist /srv\n" % (stage, stage)


def test_what_is_declared_before_a_stage_stays_there():
    assert image_job.derived_dockerfile(RECIPE, ["A"], True) == "ARG BASE\nFROM ${BASE}\nARG A\nCOPY litefarm-ca.pem /litefarm-ca.pem\nRUN install\n"


def test_an_image_on_top_of_another_is_built_by_a_recipe(job, folder, tmp_path):
    engine = FakeEngine()
    changes = {"dockerfile": None, "recipe": RECIPE, "base": BASE, "context": ".", "settings": {}, "ca_certificates": {"one": "PEM"}}
    assert run(job, folder, engine, **changes) == 0
    assert engine.pulled["reference"] == BASE
    assert engine.pulled["auth_config"] == engine.pushed["auth_config"] == {"username": "litefarm", "password": "correct-horse"}
    assert engine.built["text"] == image_job.derived_dockerfile(RECIPE, ["NODE_EXTRA_CA_CERTS", "PUPPETEER_SKIP_DOWNLOAD"], True)
    assert engine.built["buildargs"] == {"BASE": BASE, "NODE_EXTRA_CA_CERTS": "/litefarm-ca.pem", "PUPPETEER_SKIP_DOWNLOAD": "1"}
    assert engine.built["labels"]["org.opencontainers.image.base.name"] == "registry.example.org:5000/litefarm/api"
    assert engine.built["labels"]["org.opencontainers.image.base.digest"] == "sha256:" + "b" * 64
    assert (tmp_path / "cache/source/litefarm-ca.pem").read_text() == "PEM\n"


def test_the_history_is_no_part_of_a_context(job, folder, tmp_path):
    (folder.path / ".dockerignore").write_text("node_modules")
    folder.git("add", ".dockerignore")
    folder.git("commit", "--quiet", "--message", "ignore")
    for _again in range(2):
        assert run(job, folder, FakeEngine(), commit=folder.git("rev-parse", "HEAD"), context=".") == 0
        assert (tmp_path / "cache/source/.dockerignore").read_text() == "node_modules\n.git\n"


def test_settings_are_read_back_as_they_are():
    assert image_job.settings_lines({"B": 'a"b', "A": "$HOME", "C": "x\ny"}) == 'A="\\$HOME"\nB="a\\"b"\nC="x\\ny"\n'


def test_authorities_reach_the_build(job, folder, tmp_path):
    engine = FakeEngine()
    assert run(job, folder, engine, ca_certificates={"one": "PEM"}) == 0
    assert engine.built["buildargs"]["NODE_EXTRA_CA_CERTS"] == "/litefarm-ca.pem"
    assert (tmp_path / "cache/source/packages/litefarm-ca.pem").read_text() == "PEM\n"


@pytest.mark.parametrize(
    ("changes", "engine", "reason"),
    [
        ({"commit": "0" * 40}, {}, "cannot be checked out: correct litefarm_version"),
        ({"repo": "/nowhere"}, {}, "the git repository cannot be reached from the builder: correct litefarm_repo"),
        ({"dockerfile": "packages/none"}, {}, "the repository has no packages/none at this commit"),
        ({}, {"build": [{"stream": "Step\n"}, {"error": "returned a non-zero code: 3"}]}, "the build failed: returned a non-zero code: 3"),
        ({"base": BASE}, {"pull": [{"error": "denied"}]}, "the registry does not hand out the image below this one: denied"),
        ({}, {"push": [{"error": "unauthorized"}]}, "the registry does not take the image: unauthorized"),
    ],
)
def test_a_failure_is_told(job, folder, changes, engine, reason):
    assert run(job, folder, FakeEngine(**engine), **changes) == 1
    assert reason in state(job)["result"]["error"]


def test_an_engine_of_another_architecture_is_asked_for_the_droplets(job, folder):
    engine = FakeEngine(architecture="arm64")
    assert run(job, folder, engine, base=BASE) == 0
    assert engine.built["platform"] == engine.pulled["platform"] == "linux/amd64"


@pytest.mark.parametrize("wanted", ["amd64", ""])
def test_an_engine_of_the_same_architecture_is_asked_for_none(job, folder, wanted):
    engine = FakeEngine(built_for="amd64" if wanted else "arm64")
    assert run(job, folder, engine, base=BASE, architecture=wanted) == 0
    assert engine.built["platform"] is None and engine.pulled["platform"] is None


def test_an_image_for_another_architecture_is_not_pushed(job, folder):
    engine = FakeEngine(architecture="arm64", built_for="arm64")
    assert run(job, folder, engine) == 1
    assert engine.pushed is None
    assert state(job)["result"]["error"] == (
        "the image is for arm64, and litefarm_architecture is amd64: look for --platform in its Dockerfile, or build on a host of amd64"
    )


def test_a_builder_without_emulation_is_told(job, folder):
    answers = [{"stream": "exec /bin/sh: exec format error\n"}, {"error": "The command '/bin/sh -c npm install' returned a non-zero code: 255"}]
    assert run(job, folder, FakeEngine(build=answers, architecture="arm64")) == 1
    assert state(job)["result"]["error"] == (
        "the build failed: The command '/bin/sh -c npm install' returned a non-zero code: 255; the builder cannot run programs of linux/amd64: "
        "install QEMU's binfmt support on it, or put a host of that architecture in the group builder"
    )


def test_what_the_engine_refuses_is_told_in_its_words(job, folder):
    class Refusing(FakeEngine):
        def pull(self, reference, **more):
            error = EngineError("404 Client Error for http+docker://localhost/v1.41/images/create")
            error.explanation = "manifest unknown"
            raise error

    assert run(job, folder, Refusing(), base=BASE) == 1
    assert state(job)["result"]["error"] == "manifest unknown"


def test_one_build_at_a_time(job, tmp_path):
    other = image_job.Job(str(tmp_path / "cache"), "registry.example.org:5000/litefarm/api", "one")
    assert not other.lock() and not other.is_current()
    again = image_job.Job(str(tmp_path / "cache"), "registry.example.org:5000/litefarm/webapp", "one")
    assert not again.lock() and again.is_current()
    assert again.progress(0)["running"]


def test_a_build_that_vanished_is_told(job):
    os.close(job._lock)
    assert "ended from outside" in job.progress(0)["result"]["error"]


@pytest.mark.parametrize("content", [b"", bytes(40), b'{"image": "re', b"null"])
def test_a_damaged_result_is_told(job, content):
    with open(job.state, "wb") as file:
        file.write(content)
    assert job.progress(0)["result"]["error"] == "the result of the build in %s cannot be read: run build.yml again" % job.state


def test_progress_is_whole_lines(job, tmp_path):
    reader = image_job.Job(str(tmp_path / "cache"), "registry.example.org:5000/litefarm/webapp", "one")
    with open(job.log, "w", encoding="utf-8") as log:
        log.write("one\ntwo\nthr")
    progress = reader.progress(0)
    assert (progress["lines"], progress["position"]) == (["one", "two"], 8)
    with open(job.log, "a", encoding="utf-8") as log:
        log.write("ee\n")
    assert reader.progress(8)["lines"] == ["three"]


def test_a_step_says_more_than_its_output():
    assert telling_line(["Step 3/9 : RUN npm install", "added 1 package", " ---> 123"]) == "Step 3/9 : RUN npm install"
    assert telling_line(["added 1 package", " ---> Running in 123"]) == "added 1 package"
    assert telling_line([]) == ""


def test_the_log_is_read_by_its_owner_only(tmp_path):
    job = image_job.Job(str(tmp_path / "cache"), "name", "tag")
    job.lock()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_a_short_build_is_not_waited_for_long_and_a_long_one_not_asked_for_often():
    assert list(itertools.islice(pauses(), 7)) == [0.5, 1, 2, 4, 5, 5, 5]
