# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two networks: the internet as droplets see it, and DigitalOcean's private one, which leads nowhere else."""

from __future__ import annotations

import docker
from docker.types import IPAMConfig, IPAMPool

from .errors import LabError
from .host import uplink_mtu
from .settings import Settings

PUBLIC, PRIVATE = "public", "private"


def ensure(client: docker.DockerClient, settings: Settings) -> None:
    for kind, subnet in ((PUBLIC, settings.public), (PRIVATE, settings.private)):
        name = settings.name(kind)
        existing = client.networks.list(filters={"name": f"^{name}$"})
        if existing:
            found = [pool["Subnet"] for pool in existing[0].attrs["IPAM"]["Config"]]
            if found != [str(subnet)]:
                raise LabError(f"Network {name} is {', '.join(found)}, not {subnet}: run `python -m lab down` first.")
            continue
        # Fixed addresses are in the lower half, whatever else joins the network gets one from the upper half.
        pool = IPAMPool(subnet=str(subnet), gateway=str(subnet[1]), iprange=f"{subnet[128]}/25")
        try:
            client.networks.create(
                name,
                driver="bridge",
                ipam=IPAMConfig(pool_configs=[pool]),
                internal=kind == PRIVATE,
                labels=settings.labels,
                options={"com.docker.network.driver.mtu": str(uplink_mtu())},
            )
        except docker.errors.APIError as error:
            variable = "LITEFARM_LAB_NET" if kind == PUBLIC else "LITEFARM_LAB_PRIVATE_NET"
            raise LabError(
                f"Network {subnet} cannot be made ({error.explanation}). Choose another one: {variable}=10.x.y.0/24."
            ) from error


def remove(client: docker.DockerClient, settings: Settings) -> None:
    for network in client.networks.list(filters={"label": f"litefarm.lab={settings.lab}"}):
        network.reload()
        for member in network.attrs["Containers"]:
            network.disconnect(member, force=True)
        network.remove()
