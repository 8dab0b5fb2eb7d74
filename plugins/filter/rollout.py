# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for playbooks/vars/rollout.yml: what a release has to know of all droplets at once."""

from __future__ import annotations

# How Knex refuses a version of the application that is older than the database.
OLDER_THAN_DATABASE = "migration directory is corrupt"
OLDER_THAN_DATABASE_MEANS = (
    "the database has had migrations that this version does not know (see above): release a version that knows them, or go back with "
    "playbooks/rollback.yml, which leaves the database alone"
)


def unfit_droplets(droplets, services, taking_part):
    """Names of the droplets that preflight has seen, and that failed since, or have a service and have been lost since.

    Args:
        droplets: variables of every droplet of the environment.
        services: services of the application, which are names of groups.
        taking_part: droplets of the run.
    """

    def lost(droplet):
        return set(services) & set(droplet["group_names"]) and droplet["inventory_hostname"] not in taking_part

    return [each["inventory_hostname"] for each in droplets if "litefarm_preflight" in each and ("litefarm_unfit" in each or lost(each))]


def releases_left(releases, last_images):
    """Those releases which serve, although the environment ran another one last: a run that was killed has left them.

    Args:
        releases: what container_service returned as the release of each service; empty for one that was not asked.
        last_images: service to its image in the last release that ended well; a service that had none is not there.
    """
    return [each for each in releases if each.get("phase") == "current" and last_images.get(each["name"], each["image"]) != each["image"]]


def failure_reasons(droplets):
    """Why a release failed: the first line of what each droplet of the run says, and the names of those that say nothing any more.

    Args:
        droplets: variables of every droplet of the run.
    """
    reasons = []
    for droplet in droplets:
        failure = droplet.get("ansible_failed_result") or {}
        if failure:
            reasons.append(_reason(failure))
        elif "rollout_failed" not in droplet:
            reasons.append("%s could not be reached" % droplet["inventory_hostname"])
    return list(dict.fromkeys(reasons))


def _reason(failure):
    if any(OLDER_THAN_DATABASE in line for line in failure.get("log") or []):
        return OLDER_THAN_DATABASE_MEANS
    return str(failure.get("stderr") or failure.get("msg") or "it failed").partition("\n")[0]


class FilterModule:
    def filters(self):
        return {
            "failure_reasons": failure_reasons,
            "releases_left": releases_left,
            "unfit_droplets": unfit_droplets,
        }
