# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# LiteFarm's export scheduler is the API's image and three things more: the programs aws and zip, and the webapp's names of
# crops. The build context is the repository at the commit that the API's image was made from.
ARG BASE

FROM ${BASE} AS names
USER root
COPY packages/webapp/public/locales/ /locales/
# The languages that the scheduler knows, as far as the webapp knows them too.
RUN set -eu; \
    for language in en es pt fr de hi pa ml km; do \
        [ -f "/locales/$language/crop.json" ] || continue; \
        install -D -m 0644 "/locales/$language/crop.json" "/names/$language/crop.json"; \
    done; \
    [ -f /names/en/crop.json ] || { echo "packages/webapp/public/locales/en/crop.json is missing" >&2; exit 1; }

FROM ${BASE}
USER root
RUN apt-get update \
    && apt-get install -y --no-install-recommends awscli ca-certificates zip \
    && rm -rf /var/lib/apt/lists/* \
    && { aws --version || { echo "the program aws does not run" >&2; exit 1; }; } \
    && { zip -v > /dev/null || { echo "the program zip does not run" >&2; exit 1; }; }
WORKDIR /usr/src/app
COPY --from=names /names/ src/jobs/locales/
CMD ["node", "src/jobs/index.js"]
