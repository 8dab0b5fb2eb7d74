# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx is told; that nginx agrees is shown on a droplet."""

from __future__ import annotations

import json
import re

import pytest

SITES = {
    "proxy": {"name": "api", "host_names": ["api.example.org"], "kind": "proxy", "upstream": "api"},
    "static": {"name": "spa", "host_names": ["spa.example.org"], "kind": "static", "root": "/srv/spa"},
    "files": {"name": "pictures", "host_names": ["pictures.example.org"], "kind": "files", "root": "/srv/pictures"},
    "redirect": {"name": "www", "host_names": ["www.example.org", "example.org"], "kind": "redirect", "target": "https://app.example.org"},
}
TRIXIE = {"distribution_release": "trixie"}


@pytest.fixture
def site(role):
    """The configuration of one site, with options of its own and variables of the role."""

    def render_site(kind, variables=None, release="trixie", **options):
        entry = dict(SITES[kind], **options)
        variables = dict(variables or {}, ansible_facts={"distribution_release": release}, nginx_sites=[entry])
        nginx = role("nginx")
        merged = nginx.evaluate("nginx__site_files", **variables)[0]["vars"]["site"]
        return nginx.render("site.conf.j2", site=merged, **variables)

    return render_site


@pytest.fixture
def main(render):
    def render_main(sites=tuple(SITES.values()), release="trixie", **variables):
        return render("nginx", "nginx.conf.j2", nginx_sites=list(sites), ansible_facts={"distribution_release": release}, **variables)

    return render_main


def location(text, path):
    """The lines of one location, up to the brace that ends it; the last one, as HTTPS comes after HTTP."""
    head = "    location %s {" % path
    assert head in text, text
    return text.split(head)[-1].split("\n    }", 1)[0]


@pytest.mark.parametrize("kind", SITES)
def test_every_kind_answers_the_authority_and_sends_everybody_else_to_https(site, kind):
    text = site(kind)
    plain, secure = text.split("listen 443", 1)
    assert "root /var/www/litefarm-acme;" in location(plain, "^~ /.well-known/acme-challenge/")
    assert "return 308 https://$host$request_uri;" in location(plain, "/")
    assert "server_name %s;" % " ".join(SITES[kind]["host_names"]) in plain
    assert "/etc/litefarm/tls/%s/privkey.pem" % SITES[kind]["name"] in secure
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("kind", SITES)
def test_a_location_with_headers_of_its_own_keeps_the_common_ones(site, kind):
    for block in re.findall(r"    location [^\n]* \{\n(.*?)\n    \}", site(kind).split("listen 443")[1], re.DOTALL):
        if "add_header" in block:
            assert "Strict-Transport-Security" in block
            assert "X-Content-Type-Options" in block


def test_hsts_can_be_left_out_and_its_time_set(site):
    assert "Strict-Transport-Security \"" not in site("redirect", hsts=False)
    assert "max-age=60" in site("redirect", {"nginx_hsts_seconds": 60})


def test_a_proxy_is_limited_as_the_role_says_unless_the_site_says_otherwise(site):
    text = site("proxy")
    assert "zone=rate_api:10m rate=100r/s;" in text
    assert "limit_req zone=rate_api burst=200 nodelay;" in text
    assert "client_max_body_size 20m;" in text
    text = site("proxy", rate_per_second=0, body_max_mb=25, read_timeout=120)
    assert "limit_req" not in text
    assert "client_max_body_size 25m;" in text
    assert "proxy_read_timeout 120s;" in text


def test_only_what_nginx_makes_itself_becomes_503(site):
    text = site("proxy")
    assert "error_page 502 504 =503 $page_of_unavailable;" in text
    assert "proxy_intercept_errors" not in text
    for kind in ("html", "json"):
        block = location(text, "= /.unavailable.%s" % kind)
        assert "internal;" in block
        assert "add_header Retry-After 10 always;" in block
    body = re.search(r"return 503 '(\{.*\})\\n';", text).group(1)
    assert json.loads(body)["retry_after"] == 10


def test_event_streams_are_not_buffered_and_may_be_silent(site):
    block = location(site("proxy", event_paths=["/events"]), "/events")
    assert "proxy_buffering off;" in block
    assert "proxy_read_timeout 1h;" in block
    assert "proxy_buffering" not in site("proxy")


def test_the_allowed_origin_of_a_service_can_be_replaced(site):
    text = site("proxy", cors_origin="https://app.example.org")
    assert "proxy_hide_header Access-Control-Allow-Origin;" in text
    assert 'add_header Access-Control-Allow-Origin "https://app.example.org" always;' in location(text, "/")
    assert "Access-Control" not in site("proxy")


def test_a_site_with_keys_in_its_queries_writes_no_requests_into_the_error_log(site):
    assert "error_log /var/log/nginx/error.log emerg;" in site("proxy", secret_queries=True)
    assert "error_log" not in site("proxy")


def test_a_single_page_application_gets_the_cache_rules_of_the_webapp(site):
    text = site("static")
    assert "max-age=0, must-revalidate" in location(text, "/")
    assert "try_files $uri /index.html;" in location(text, "/")
    assets = location(text, "~ ^/(assets/|workbox-)")
    assert "max-age=31536000, immutable" in assets
    assert "try_files $uri =404;" in assets
    assert text.index(r"\.map$") < text.index("^/(assets/")


def test_files_are_read_only_and_never_listed(site):
    block = location(site("files"), "/")
    assert "limit_except GET" in block
    assert "autoindex off;" in site("files")
    assert "disable_symlinks on" in site("files")


def test_a_redirect_keeps_path_and_method(site):
    assert "return 308 https://app.example.org$request_uri;" in location(site("redirect"), "/")


def test_every_upstream_exists_without_a_release(main):
    text = main([SITES["proxy"], dict(SITES["proxy"], name="second"), dict(SITES["proxy"], name="webapp", upstream="webapp")])
    assert re.findall(r"upstream (\w+) \{", text) == ["api", "webapp"]
    assert "server 127.0.0.1:9 down;" in text
    # A pattern, because a missing file is an error without one; and one that matches no half-written file.
    assert "include /etc/nginx/upstreams.d/api.con[f];" in text


def test_unknown_names_get_no_answer(main):
    text = main()
    assert "ssl_reject_handshake on;" in text
    assert "return 444;" in text
    assert "placeholder/fullchain.pem" in main(release="jammy")


def test_http2_is_spelled_as_each_nginx_knows_it(main, site):
    assert "http2 on;" in site("proxy")
    assert "listen 443 ssl http2;" in site("proxy", release="bookworm")
    assert "listen 443 ssl default_server http2;" in main(release="noble")
    assert "http2" not in main()


def test_ipv6_can_be_left_out(main, site):
    assert "listen [::]:443 ssl;" in site("proxy")
    assert "[::]" not in site("proxy", {"nginx_ipv6": False}) + main(nginx_ipv6=False)


def test_what_a_client_says_about_itself_is_overwritten(main):
    text = main()
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text
    assert "$proxy_add_x_forwarded_for" not in text
    assert "underscores_in_headers on;" in text


def test_the_access_log_is_json_without_query_strings(main):
    text = main()
    line = "".join(re.findall(r"'(.*?)'", text.split("log_format json", 1)[1].split(";\n", 1)[0]))
    fields = json.loads(re.sub(r'(?<!")\$\w+(?!")', "0", line))
    assert fields["path"] == "$path_of_request"
    assert not re.search(r"\$(request_uri|request|args|query_string|http_referer)\b", line)


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, "https://acme-v02.api.letsencrypt.org/directory"),
        ({"nginx_acme_staging": True}, "https://acme-staging-v02.api.letsencrypt.org/directory"),
        ({"nginx_acme_directory": "https://acme.example.org/dir"}, "https://acme.example.org/dir"),
    ],
)
def test_certificates_come_from_the_declared_authority(evaluate, variables, wanted):
    settings = evaluate("nginx", "nginx__certificates", nginx_sites=list(SITES.values()), ansible_facts=TRIXIE, **variables)
    assert settings["directory"] == wanted
    assert settings["sites"]["www"] == ["www.example.org", "example.org"]
