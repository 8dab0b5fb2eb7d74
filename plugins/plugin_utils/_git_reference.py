# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which commit is meant by a tag, a branch or a commit of a git repository?"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile

FULL_COMMIT = re.compile(r"^[0-9a-f]{40}$")
SHORT_COMMIT = re.compile(r"^[0-9a-f]{7,39}$")


class GitError(Exception):
    """The repository could not be asked, or has no such reference; the message is meant for a person."""


def without_password(repository):
    """A URL may carry a login; messages must not."""
    return re.sub(r"(://)[^/@]*@", r"\1", repository)


def parse_references(listing):
    """Read the output of C(git ls-remote) into a dict of reference name to commit."""
    references = {}
    for line in listing.splitlines():
        commit, separator, name = line.partition("\t")
        if separator and FULL_COMMIT.match(commit):
            references[name] = commit
    return references


def commit_of(references, version):
    """The commit of a tag (an annotated one peeled to its commit), else of a branch, else of HEAD."""
    for name in ("refs/tags/%s^{}" % version, "refs/tags/%s" % version, "refs/heads/%s" % version):
        if name in references:
            return references[name]
    return references.get("HEAD") if version == "HEAD" else None


def completed(commits, beginning, repository):
    """The one commit that begins with these digits, or None."""
    found = sorted(commit for commit in commits if commit.startswith(beginning))
    if len(found) > 1:
        raise GitError("'%s' begins %d commits of %s (%s): more digits are needed" % (beginning, len(found), repository, ", ".join(found[:5])))
    return found[0] if found else None


class Repository:
    """A remote repository that is asked without a clone."""

    def __init__(self, url, ca_file=None, timeout=60):
        self.url = url
        self._timeout = timeout
        self._environment = dict(os.environ, LC_ALL="C", GIT_TERMINAL_PROMPT="0", GIT_ASKPASS="", SSH_ASKPASS="")
        self._environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        if ca_file:
            self._environment["GIT_SSL_CAINFO"] = ca_file

    def resolve(self, version):
        """Return the commit of a version: a tag, a branch, or a commit by at least seven digits.

        A full commit is returned as it is (see C(has_commit)).
        """
        if FULL_COMMIT.match(version):
            return version
        names = [version, "refs/tags/%s" % version, "refs/tags/%s^{}" % version, "refs/heads/%s" % version]
        references = parse_references(self._git(["ls-remote", "--quiet", "--", self.url] + names))
        commit = commit_of(references, version)
        if commit:
            return commit
        if SHORT_COMMIT.match(version.lower()):
            commit = completed(self._commits(), version.lower(), without_password(self.url))
            if commit:
                return commit
        raise GitError("there is no tag, branch or commit '%s' in %s" % (version, without_password(self.url)))

    def has_commit(self, commit):
        """Ask for one commit without any file of it."""
        with tempfile.TemporaryDirectory(prefix="litefarm-git-") as folder:
            self._git(["init", "--quiet", folder])
            try:
                self._git(["-C", folder, "fetch", "--quiet", "--depth", "1", "--filter=tree:0", "--", self.url, commit])
            except GitError as error:
                if "cannot be reached" in str(error):
                    raise
                return False
        return True

    def _commits(self):
        """All commits of branches and tags, without their files: a server completes no commit."""
        with tempfile.TemporaryDirectory(prefix="litefarm-git-") as folder:
            self._git(["init", "--quiet", "--bare", folder])
            everything = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
            self._git(["-C", folder, "fetch", "--quiet", "--filter=tree:0", "--", self.url, *everything])
            return self._git(["-C", folder, "rev-list", "--all"]).split()

    def _git(self, arguments):
        try:
            process = subprocess.run(
                ["git"] + arguments, env=self._environment, capture_output=True, text=True, timeout=self._timeout, check=False, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError as error:
            raise GitError("the program git is missing on the control node: install it") from error
        except subprocess.TimeoutExpired as error:
            raise GitError("the git repository %s cannot be reached (no answer in %d s)" % (without_password(self.url), self._timeout)) from error
        if process.returncode:
            if re.search(r"not our ref|couldn't find remote ref|unadvertised object", process.stderr):
                raise GitError("no such commit in %s" % without_password(self.url))
            reason = without_password(last_line(process.stderr))
            raise GitError("the git repository %s cannot be reached (%s)" % (without_password(self.url), reason))
        return process.stdout


def last_line(text):
    """The line in which git says why; its advice after it is of no use here."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "remote:", "error:"))]
    return (telling or lines or ["git gave no reason"])[0]
