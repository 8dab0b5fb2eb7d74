# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx is told; that nginx agrees is shown on a droplet."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

SITES = {
    "proxy": {"name": "api", "host_names": ["api.example.org"], "kind": "proxy", "upstream": "api"},
    "files": {"name": "pictures", "host_names": ["pictures.example.org"], "kind": "files", "root": "/srv/pictures"},
    "keyed": {
        "name": "images",
        "host_names": ["images.example.org", "other.example.org"],
        "kind": "files",
        "root": "/srv/images",
        "upstream": "imaginary",
        "proxy_paths": ["/thumbnail", "/resize"],
        "keyed": True,
    },
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


@pytest.fixture
def keys(role):
    """The file with the keys of a site."""

    def render_keys(nginx_keys, **options):
        variables = {"nginx_sites": [dict(SITES["keyed"], **options)], "nginx_keys": nginx_keys, "ansible_facts": TRIXIE}
        (entry,) = role("nginx").evaluate("nginx__key_files", **variables)
        return role("nginx").render(entry["template"], **{**variables, **entry["vars"]})

    return render_keys


def patterns(text):
    """Name of the key by pattern, as nginx reads them: quoted, with a tilde that says that they are patterns."""
    return dict(re.findall(r'^    "~(\^.*\$)" (\w+);$', text, re.MULTILINE))


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
    assert "Strict-Transport-Security \"" not in site("files", hsts=False)
    assert "max-age=60" in site("files", {"nginx_hsts_seconds": 60})


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
    assert "add_header Access-Control-Allow-Origin $origin_api always;" in location(text, "/")
    assert 'map $http_origin $origin_api {\n    default "https://app.example.org";\n' in text
    assert "    include /etc/nginx/former_names.d/*.origins;\n}" in text
    assert "Access-Control" not in site("proxy")


@pytest.mark.parametrize("kind", ["proxy", "keyed"])
def test_the_replaced_origin_is_on_answers_to_every_method_and_on_errors_of_every_maker(site, kind):
    text = site(kind, cors_origin="https://app.example.org")
    allowed = f"$origin_{SITES[kind]['name']}"
    assert mapped(text, f"$http_origin {allowed}", "https://elsewhere.example.org") == "https://app.example.org"
    server = re.sub(r"    location [^\n]* \{\n.*?\n    \}\n", "", text.split("listen 443")[1], flags=re.DOTALL)
    # For the whole server, so that no location and no method, OPTIONS for example, goes without.
    for name in ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"):
        assert "    proxy_hide_header %s;" % name in server
    for block in re.findall(r"    location [^\n]* \{\n(.*?)\n    \}", text.split("listen 443")[1], re.DOTALL):
        if "proxy_pass" in block or "/.unavailable" in block or "return 401 '" in block or "return 503" in block:
            # "always", because without it errors such as 413 and 429 would have none.
            assert f"add_header Access-Control-Allow-Origin {allowed} always;" in block
            assert "add_header Access-Control-Allow-Credentials true always;" in block
            assert "OPTIONS" not in block


def test_a_site_with_keys_in_its_queries_writes_no_requests_into_the_error_log(site):
    assert "error_log /var/log/nginx/error.log emerg;" in site("proxy", secret_queries=True)
    assert "error_log" not in site("proxy")


def test_a_key_sent_to_the_unencrypted_port_is_not_logged_either(site):
    for part in site("keyed", secret_queries=False).split("listen 443"):
        assert "error_log /var/log/nginx/error.log emerg;" in part


@pytest.mark.parametrize("kind", ["files", "keyed"])
def test_files_are_read_only_and_never_listed(site, kind):
    block = location(site(kind), "/")
    assert "limit_except GET {" in block
    assert "autoindex off;" in site("files")
    assert "disable_symlinks on" in site("files")


def test_files_may_be_kept_for_a_day_and_errors_not_at_all(site):
    # Without "always" nginx adds it to successful answers alone.
    assert 'add_header Cache-Control "public, max-age=86400";' in location(site("files"), "/")
    assert "max-age=60" in location(site("files", {"nginx_files_max_age_seconds": 60}), "/")
    assert "max-age=5" in location(site("files", {"nginx_files_max_age_seconds": 60}, files_max_age_seconds=5), "/")


def test_the_folder_of_the_files_is_there_before_the_first_file(evaluate):
    sites = [SITES["files"], dict(SITES["files"], name="second"), SITES["proxy"]]
    files = evaluate("nginx", "nginx__site_files", nginx_sites=sites, ansible_facts=TRIXIE)
    assert [entry for entry in files if "state" in entry] == [{"dest": "/srv/pictures", "state": "directory"}]


def test_files_pass_nothing_on_unless_told(site):
    assert not re.search("proxy_|limit_req|error_page", site("files"))


def test_paths_of_a_service_are_passed_on_as_a_proxy_would(site):
    passed = location(site("keyed", keyed=False), "= /thumbnail").split("}", 1)[1]
    proxied = location(site("proxy"), "/")
    assert passed.replace("rate_images", "rate_api").replace("http://imaginary", "http://api").split() == proxied.split()
    for line in ("proxy_hide_header X-Powered-By;", "error_page 502 504 =503 $page_of_unavailable;", "rate=100r/s;"):
        assert line in site("keyed")


def test_paths_of_a_service_take_questions_and_uploads_only(site):
    for path in ("/thumbnail", "/resize"):
        assert "limit_except GET POST {" in location(site("keyed"), "= %s" % path)


@pytest.mark.parametrize(("kind", "paths"), [("keyed", ["= /thumbnail", "= /resize"]), ("proxy", ["/", "/events"])])
def test_everything_that_a_keyed_site_passes_on_needs_a_key(site, kind, paths):
    text = site(kind, keyed=True, **({"event_paths": ["/events"]} if kind == "proxy" else {}))
    for path in paths:
        assert "auth_request /.key;" in location(text, path)
        assert "limit_req " in location(text, path)
    assert text.count("proxy_pass") == text.count("auth_request") == len(paths)
    assert "internal;" in location(text, "= /.key")
    assert 'if ($key_name = "") {\n            return 401;' in text


def test_who_has_no_key_is_told_so_and_files_are_for_everybody(site):
    text = site("keyed")
    assert "auth_request" not in location(text, "/")
    assert "error_page 401 /.unauthorized.json;" in text
    block = location(text, "= /.unauthorized.json")
    assert "internal;" in block
    assert json.loads(re.search(r"return 401 '(\{.*\})\\n';", block).group(1))["error"] == "unauthorized"
    # A service's own 401 passes.
    assert "proxy_intercept_errors" not in text
    assert "401" not in site("keyed", keyed=False)


def test_the_key_is_not_passed_on(main, site):
    assert "proxy_pass http://imaginary$uri_without_key;" in location(site("keyed"), "= /thumbnail")
    assert "proxy_set_header API-Key $api_key_for_service;" in main()
    # In a location it would take the place of all the others.
    assert "proxy_set_header" not in site("keyed")


@pytest.mark.parametrize(
    ("uri", "key", "passed"),
    [
        ("/thumbnail?width=3", None, None),
        ("/thumbnail?key=K", "K", "/thumbnail?"),
        ("/thumbnail?key=K&width=3", "K", "/thumbnail?width=3"),
        ("/thumbnail?width=3&key=K", "K", "/thumbnail?width=3&"),
        ("/thumbnail?width=3&key=K&type=webp", "K", "/thumbnail?width=3&type=webp"),
        ("/thumbnail?monkey=1&key=K&key=other", "K", "/thumbnail?monkey=1&key=other"),
        ("/thumbnail?monkey=K", None, None),
        ("/thumbnail?KEY=K", None, None),
        ("/key=K", None, None),
    ],
)
def test_the_key_of_a_query_is_found_and_cut_out(main, uri, key, passed):
    given, rest = (
        re.search(pattern.replace("(?<", "(?P<"), uri)
        for pattern in re.findall(r'"~(.*)" \$(?:given_key|before_key\$after_key);', main())
    )
    assert (given and given["given_key"]) == key
    assert (rest and rest["before_key"] + rest["after_key"]) == passed


def test_the_header_is_asked_before_the_query_and_each_site_knows_its_own_keys(main):
    text = main()
    assert re.search(r'map \$http_api_key \$key_of_request \{\s+default \$http_api_key;\s+"" \$key_in_query;\s+\}', text)
    assert re.search(r'map \$server_name \$key_name \{\s+default "";\s+images.example.org \$key_name_images;\s+\}', text)
    assert re.search(r'map \$server_name \$key_name \{\s+default "";\s+\}', main([SITES["proxy"], dict(SITES["keyed"], keyed=False)]))
    assert "include /etc/nginx/keys.d/*.conf;" in text


def test_current_and_previous_keys_have_one_name_and_missing_ones_do_not_count(keys):
    images = {"production": ["current-current-1", "previous-previou"], "beta": ["", "beta-beta-beta-1", None]}
    text = keys({"images": images, "api": {"x": ["y" * 16]}})
    assert "map $key_of_request $key_name_images {" in text
    assert 'default "";' in text
    found = patterns(text)
    assert {name: sum(bool(re.search(pattern, name)) for pattern in found) for name in ("current-current-1", "y" * 16, "")} == {
        "current-current-1": 1,
        "y" * 16: 0,
        "": 0,
    }
    assert sorted(found.values()) == ["beta", "production", "production"]


def test_a_key_is_compared_letter_by_letter(keys):
    key = "Abc.def_ghi~jkl-MNOP"
    ((pattern, _name),) = patterns(keys({"images": {"production": [key]}})).items()
    assert re.search(pattern, key)
    for wrong in (key.lower(), key.replace(".", "x"), key + "x", "x" + key, key[:-1]):
        assert not re.search(pattern, wrong)


@pytest.mark.parametrize("nginx_keys", [{}, {"other": {"x": ["y" * 16]}}, {"images": {}}, {"images": {"beta": ["", ""]}}])
def test_a_keyed_site_without_keys_refuses_everybody(keys, nginx_keys):
    text = keys(nginx_keys)
    assert "map $key_of_request $key_name_images {" in text
    assert patterns(text) == {}
    assert text.count(";") == 1


@pytest.mark.parametrize(
    "wrong",
    ["too-short-a-key", "x" * 201, "sixteen letters!", 'quote"quote"quote', "a-newline-at-end\n", "dollar$dollar$dollar"],
)
def test_a_wrong_key_is_refused_and_not_printed(keys, wrong):
    with pytest.raises(AnsibleError) as caught:
        keys({"images": {"production": ["current-current-1", wrong]}})
    assert "nginx_keys.images.production: a key consists of 16 to 200" in str(caught.value)
    assert wrong.strip() not in str(caught.value)
    assert "current-current-1" not in str(caught.value)


def test_a_key_in_place_of_a_name_is_refused_and_not_printed(keys):
    with pytest.raises(AnsibleError) as caught:
        keys({"images": {"a-secret-of-letters.and.dots": ["production-production"]}})
    assert "nginx_keys.images: the names of keys" in str(caught.value)
    assert "a-secret" not in str(caught.value)


def test_keys_are_for_root_alone_and_go_with_their_site(evaluate, repo):
    variables = {"nginx_sites": list(SITES.values()), "ansible_facts": TRIXIE}
    (entry,) = evaluate("nginx", "nginx__key_files", **variables)
    assert entry["dest"] == "/etc/nginx/keys.d/images.conf"
    assert "mode" not in entry
    assert {"dest": "/etc/nginx/keys.d", "state": "directory", "mode": "0700"} in evaluate("nginx", "nginx__files", **variables)
    tasks = yaml.safe_load((repo / "roles/nginx/tasks/main.yml").read_text())
    (call,) = (task["litefarm.platform.config_files"] for task in tasks if "litefarm.platform.config_files" in task)
    assert call["secret_files"] == "{{ nginx__key_files + nginx__imported_files }}"
    assert "nginx__key_files" not in call["files"]
    assert {"path": "/etc/nginx/keys.d"} in call["exclusive"]


@pytest.fixture
def refusals(repo):
    """What the argument spec of the role says about variables."""
    spec = yaml.safe_load((repo / "roles/nginx/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    return lambda **variables: ArgumentSpecValidator(spec).validate(variables).error_messages


@pytest.mark.parametrize("kind", SITES)
@pytest.mark.parametrize("options", [{}, {"keyed": False, "files_max_age_seconds": 0}])
def test_what_makes_sense_is_accepted(refusals, kind, options):
    site = dict(SITES[kind], **options)
    assert refusals(nginx_sites=[site], nginx_keys={"images": {"production": ["k" * 16, ""]}}) == []


@pytest.mark.parametrize("options", [{"proxy_paths": ["/thumbnail"]}, {"keyed": True}])
def test_paths_and_keys_need_a_service_behind_them(refusals, options):
    assert "upstream" in " ".join(refusals(nginx_sites=[dict(SITES["files"], **options)]))


@pytest.mark.parametrize("kind", ["proxy", "files"])
def test_a_path_is_redirected_and_the_others_are_not(site, kind):
    former = {"from": "/old", "to": "https://example.org/new?a=1&b=%20#part", "status": 308}
    text = site(kind, redirects=[former, {"from": "/older", "to": "/new"}])
    assert text.split("listen 443")[0] == site(kind).split("listen 443")[0]
    for path, answer in (("= /old", '308 "https://example.org/new?a=1&b=%20#part"'), ("= /older", '301 "/new"')):
        assert "return %s;" % answer in location(text, path)
        assert "Strict-Transport-Security" in location(text, path)
        start = text.index("    location %s {" % path)
        text = text[:start] + text[text.index("    }\n", start) + len("    }\n") :]
    assert text == site(kind)


@pytest.mark.parametrize(
    ("redirect", "words"),
    [
        *(({"from": path, "to": "/new"}, "from") for path in ("old", "", "/a b", "/a;b", "/a{", "/a}", "/a$uri", "/a?b=1")),
        *(({"from": path, "to": "/new"}, "from") for path in ('/a"', "/a#b", "/a%20b", "/a\n", "/é")),
        *(({"from": "/old", "to": to}, "to") for to in ("new", "", "http://example.org/", "//example.org/", "ftp://example.org/", "https:///new")),
        *(({"from": "/old", "to": "https://example.org" + to}, "to") for to in (" x", ";", "/$uri", '/"', "/'", "/{", "/}", "/\\", "/\n", "@other.org", ".")),
    ],
)
def test_a_redirect_that_nginx_would_read_otherwise_is_refused(site, redirect, words):
    with pytest.raises(AnsibleError, match=r"nginx_sites, the entry named api: redirects\[\]\.%s " % words):
        site("proxy", redirects=[redirect])


def test_an_internal_site_has_no_redirects(role):
    entry = dict(INTERNAL_SITE, redirects=[{"from": "/old", "to": "/new"}])
    nginx = role("nginx")
    variables = dict(INTERNAL, nginx_sites=[entry], ansible_facts=TRIXIE)
    (made,) = nginx.evaluate("nginx__site_files", **variables)
    with pytest.raises(AnsibleError, match="the entry named api_internal: redirects"):
        nginx.render("site.conf.j2", **{**variables, **made["vars"]})


@pytest.mark.parametrize(
    ("redirect", "refused"),
    [
        ({"from": "/old", "to": "/new"}, ""),
        ({"from": "/old", "to": "/new", "status": 302}, ""),
        ({"from": "/old", "to": "/new", "status": 200}, "status"),
        ({"from": "/old"}, "to"),
        ({"to": "/new"}, "from"),
        ({"from": "/old", "to": "/new", "code": 301}, "code"),
    ],
)
def test_the_form_of_a_redirect_is_checked_before_anything_is_touched(refusals, redirect, refused):
    told = " ".join(refusals(nginx_sites=[dict(SITES["proxy"], redirects=[redirect])]))
    assert refused in told if refused else not told


@pytest.mark.parametrize("kind", ["static", "redirect"])
def test_kinds_that_are_gone_are_refused(refusals, kind):
    assert "one of: proxy, internal, files" in " ".join(refusals(nginx_sites=[dict(SITES["files"], kind=kind)]))


def test_every_upstream_exists_without_a_release(main):
    text = main([SITES["proxy"], dict(SITES["proxy"], name="second"), dict(SITES["proxy"], name="webapp", upstream="webapp")])
    assert re.findall(r"upstream (\w+) \{", text) == ["api", "webapp"]
    assert re.findall(r"upstream (\w+) \{", main()) == ["api", "imaginary"]
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
    assert fields["key"] == "$key_name"
    assert not re.search(r"\$(request_uri|request|args|query_string|http_referer|http_api_key|key_of_request)\b", line)


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
    assert settings["sites"]["images"] == ["images.example.org", "other.example.org"]


EDGE = {"servers": ["192.0.2.10:8090", "192.0.2.13:8090"], "upstream": ""}
INTERNAL = {
    "nginx_internal_address": "192.0.2.10",
    "nginx_internal_port": 8090,
    "nginx_internal_clients": ["192.0.2.10"],
}
INTERNAL_SITE = {"name": "api_internal", "host_names": ["api.example.org"], "kind": "internal", "upstream": "api", "event_paths": ["/events"]}


def balanced(**options):
    return {**{key: value for key, value in SITES["proxy"].items() if key != "upstream"}, "servers": EDGE["servers"], **options}


def block(text, head):
    """What is between the braces of a block of nginx.conf."""
    return text.split(head + " {\n", 1)[1].split("\n    }\n", 1)[0]


def test_servers_are_asked_in_turn_and_one_that_failed_is_left_out_by_all_workers(main):
    text = block(main([balanced()]), "upstream api_servers")
    assert re.findall(r"server (.*);", text) == [f"{server} max_fails=1 fail_timeout=5s" for server in EDGE["servers"]]
    assert "zone api_servers 64k;" in text
    # A POST on a connection that a reloading nginx closes could not be repeated.
    assert "keepalive " not in re.sub("#.*", "", text)
    assert "least_conn" not in text
    assert "upstream api {" not in main([balanced()])


def test_requests_are_repeated_elsewhere_only_where_that_is_harmless(site):
    text = site("proxy", **EDGE)
    assert "proxy_next_upstream error timeout http_502;" in text
    assert "proxy_next_upstream_timeout 10s;" in text
    # A service's own 503 would take every droplet out, one after the other.
    assert "http_503" not in text
    assert "non_idempotent" not in text
    assert "proxy_connect_timeout 2s;" in text
    assert "proxy_pass http://api_servers;" in location(text, "/")
    assert "proxy_next_upstream" not in site("proxy")


def test_a_slow_request_is_given_up_over_there_first(site):
    assert "proxy_read_timeout 65s;" in site("proxy", **EDGE)
    assert "proxy_read_timeout 60s;" in site("proxy")
    assert "proxy_intercept_errors on;" in site("proxy", **EDGE)


def test_a_file_that_one_droplet_does_not_have_yet_is_looked_for_on_the_others(site):
    text = site("proxy", search_paths=["/assets/"], **EDGE)
    assert "http_404" in location(text, "/assets/")
    assert "http_404" not in location(text, "/")
    assert "/assets/" not in site("proxy", search_paths=["/assets/"])


def test_an_internal_site_is_plain_and_private_and_adds_nothing(role):
    nginx = role("nginx")
    variables = dict(INTERNAL, nginx_sites=[INTERNAL_SITE], ansible_facts=TRIXIE)
    (entry,) = nginx.evaluate("nginx__site_files", **variables)
    text = nginx.render("site.conf.j2", **{**variables, **entry["vars"]})
    assert re.findall(r"listen (.*);", text) == ["192.0.2.10:8090"]
    for word in ("ssl", "limit_req", "add_header", "error_page", "acme-challenge"):
        assert word not in text
    assert "set_real_ip_from 192.0.2.10;" in text
    assert "real_ip_header X-Real-IP;" in text


def test_an_internal_site_sets_every_header_that_nginx_conf_does(role, main):
    nginx = role("nginx")
    variables = dict(INTERNAL, nginx_sites=[INTERNAL_SITE], ansible_facts=TRIXIE)
    (entry,) = nginx.evaluate("nginx__site_files", **variables)
    names = [re.findall(r"proxy_set_header (\S+) ", text) for text in (main(), nginx.render("site.conf.j2", **{**variables, **entry["vars"]}))]
    assert names[0]
    assert names[0] == names[1]


def test_only_load_balancers_are_believed(main):
    text = main([INTERNAL_SITE], **INTERNAL)
    assert block(text, "geo $realip_remote_addr $from_edge").split() == ["default", '"";', "192.0.2.10", "yes;"]
    for name, own in (("proto", "$scheme"), ("host", "$host"), ("port", "$server_port")):
        assert block(text, f"map $from_edge $forwarded_{name}").split() == ["default", own + ";", "yes", f"$http_x_forwarded_{name};"]
    assert "$from_edge" not in main()


def test_an_unknown_name_gets_no_answer_on_the_internal_port_either(main):
    assert "listen 192.0.2.10:8090 default_server;" in main([INTERNAL_SITE], **INTERNAL)
    assert "8090" not in main()


def test_nobody_asks_for_a_certificate_of_an_internal_site(evaluate):
    sites = [balanced(), INTERNAL_SITE]
    assert evaluate("nginx", "nginx__certificates.sites", nginx_sites=sites, ansible_facts=TRIXIE) == {"api": ["api.example.org"]}


def test_streams_to_a_service_of_the_droplet_have_an_address_and_connections_of_their_own(site, main):
    text = site("proxy", event_paths=["/events"])
    assert "proxy_bind 127.0.0.2;" in location(text, "/events")
    assert "proxy_pass http://api_events;" in location(text, "/events")
    assert "proxy_bind" not in location(text, "/")
    events = block(main([dict(SITES["proxy"], event_paths=["/events"])]), "upstream api_events")
    assert "include /etc/nginx/upstreams.d/api.con[f];" in events
    # Kept connections are found by where they go: one from the other address would be taken.
    assert "keepalive" not in events
    assert "api_events" not in main()


def test_streams_to_other_droplets_leave_with_the_address_that_reaches_them(site):
    text = site("proxy", event_paths=["/events"], **EDGE)
    assert "proxy_pass http://api_servers;" in location(text, "/events")
    assert "proxy_bind" not in text


def test_maintenance_closes_what_is_passed_on_and_not_the_path_of_health(site):
    text = site("proxy", maintenance=True, event_paths=["/events"])
    for path, reconnect in (("/", ""), ("/events", "$reconnect_api")):
        assert "if (-f /var/lib/litefarm/maintenance/page.html) {\n            rewrite ^ %s/.maintenance last;" % reconnect in location(text, path)
    health = location(text, "= /.well-known/litefarm-health")
    assert "-f " not in health
    assert "proxy_pass http://api/;" in health
    assert "-f " not in text.split("listen 443")[0]
    assert "maintenance" not in site("proxy")


def test_maintenance_says_when_to_come_back_and_leaves_a_503_of_the_service_alone(site, main):
    text = site("proxy", maintenance=True, cors_origin="https://app.example.org")
    pages = location(text, "^~ /.maintenance/")
    assert "internal;" in pages
    assert "add_header Retry-After 300 always;" in pages
    assert "Access-Control-Allow-Origin" in pages
    # Said in one location alone.
    assert text.count("error_page 503") == location(text, "= /.maintenance").count("error_page 503") == 1
    assert '"~text/html" /.maintenance/page.html;' in block(main([dict(SITES["proxy"], maintenance=True)]), "map $http_accept $page_of_maintenance")


CORS = {"cors_origin": "https://app.example.org"}


def mapped(text, head, value):
    """What one of nginx's maps makes of a value."""
    found = None
    for key, result in re.findall(r'^ +(\S+) (.*);$', text.split("map " + head + " {\n", 1)[1].split("\n}", 1)[0], re.MULTILINE):
        key, result = key.strip('"'), result.strip('"')
        if key == "default":
            default = result
        elif found is None and (re.search(key[1:], value) if key.startswith("~") else key == value):
            found = result
    return default if found is None else found


@pytest.mark.parametrize("options", [{}, EDGE, {"maintenance": True}, {"keyed": True}])
def test_nginx_answers_preflights_itself_whatever_the_service_or_a_maintenance_says(site, options):
    text = site("proxy", **CORS, **options)
    question = '"$request_method:$http_access_control_request_method" $preflight_api'
    assert [mapped(text, question, value) for value in ("OPTIONS:GET", "OPTIONS:", "GET:", "GET:POST", "POST:")] == ["yes", "", "", "", ""]
    secure = text.split("listen 443")[1]
    # Of the server: before locations, and so before maintenance, limits of rates and keys.
    assert "    if ($preflight_api) {\n        rewrite ^ /.preflight last;\n    }\n" in secure.split("    location ", 1)[0]
    block = location(text, "= /.preflight")
    assert "internal;" in block
    assert "return 204;" in block
    assert "add_header Access-Control-Allow-Origin $origin_api always;" in block
    assert mapped(text, "$http_origin $origin_api", "") == "https://app.example.org"
    # As the service: whichever headers are asked for, farm_id and user_id among them.
    assert "add_header Access-Control-Allow-Headers $http_access_control_request_headers always;" in block
    methods = re.search(r'add_header Access-Control-Allow-Methods "(.*)" always;', block)[1].split(", ")
    assert sorted(methods) == ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]
    for word in ("limit_req", "auth_request", "proxy_pass", "-f "):
        assert word not in block
    for kind in SITES:
        assert "preflight" not in site(kind)


@pytest.mark.parametrize("kind", ["proxy", "keyed"])
def test_a_page_of_the_allowed_origin_may_read_when_to_come_back(site, kind):
    name = SITES[kind]["name"]
    text = site(kind, maintenance=kind == "proxy", **CORS)
    server = re.sub(r"    location [^\n]* \{\n.*?\n    \}\n", "", text.split("listen 443")[1], flags=re.DOTALL)
    # Also where no location is found, as with headers that are too large.
    for part in [server, *re.findall(r"    location [^\n]* \{\n(.*?)\n    \}", text.split("listen 443")[1], re.DOTALL)]:
        if "add_header" in part:
            for line in (f"Allow-Origin $origin_{name}", f"Expose-Headers $exposed_{name}"):
                assert part.count(f"add_header Access-Control-{line} always;") == 1
    # A service may expose headers of its own; the browser gets one list.
    assert "    proxy_hide_header Access-Control-Expose-Headers;" in server
    exposed = f"$upstream_http_access_control_expose_headers $exposed_{name}"
    assert mapped(text, exposed, "") == "Retry-After"
    assert mapped(text, exposed, "X-Total") == "$upstream_http_access_control_expose_headers, Retry-After"


def test_a_429_of_nginx_says_when_to_come_back_and_one_of_the_service_is_left_alone(site):
    text = site("proxy", **CORS)
    assert "add_header Retry-After $limited_api always;" in location(text, "/")
    limited = '"$status:$upstream_status" $limited_api'
    assert [mapped(text, limited, value) for value in ("429:", "429:429", "200:200", "503:", "413:")] == ["1", "", "", "", ""]
    assert "limited" not in site("proxy", rate_per_second=0, **CORS)


@pytest.mark.parametrize("options", [{}, EDGE])
def test_an_event_stream_is_told_to_come_back_by_an_answer_after_which_browsers_do(site, options):
    text = site("proxy", {"nginx_retry_after": 7}, maintenance=True, event_paths=["/events"], **CORS, **options)
    accepted = "$http_accept $reconnect_api"
    assert [mapped(text, accepted, value) for value in ("text/event-stream", "*/*", "text/html", "")] == ["/.reconnect", "", "", ""]
    block = location(text, "/events")
    # The equals sign alone: the status is that of the page.
    assert "error_page 502 504 = $reconnect_api$page_of_unavailable;" in block
    assert "error_page 429 = $reconnect_api/.limited.json;" in block
    assert "rewrite ^ $reconnect_api/.maintenance last;" in block
    answer = location(text, "^~ /.reconnect/")
    for line in ("internal;", "default_type text/event-stream;", 'return 200 "retry: 7000\\n\\n";', "add_header Cache-Control no-store always;"):
        assert line in answer
    # For programs that ask for the path without being browsers.
    limited = location(text, "= /.limited.json")
    assert "add_header Retry-After 1 always;" in limited
    assert json.loads(re.search(r"return 429 '(\{.*\})\\n';", limited)[1])["retry_after"] == 1
    # Other paths answer errors as before, whatever a program accepts.
    assert "$reconnect_api" not in location(text, "/")
    assert "reconnect" not in site("proxy", **CORS)


def test_an_event_stream_without_a_limit_of_rates_has_no_answer_to_it(site):
    text = site("proxy", event_paths=["/events"], rate_per_second=0)
    assert "limited" not in text
    assert "error_page 502 504 = $reconnect_api$page_of_unavailable;" in location(text, "/events")


def test_an_internal_site_leaves_all_that_to_the_nginx_before_it(role):
    nginx = role("nginx")
    variables = dict(INTERNAL, nginx_sites=[dict(INTERNAL_SITE, **CORS)], ansible_facts=TRIXIE)
    (entry,) = nginx.evaluate("nginx__site_files", **variables)
    text = nginx.render("site.conf.j2", **{**variables, **entry["vars"]})
    for word in ("Access-Control", "preflight", "reconnect", "limited"):
        assert word not in text


@pytest.mark.parametrize(
    ("entry", "refused"),
    [
        (balanced(), False),
        (INTERNAL_SITE, False),
        (balanced(upstream="api"), True),
        ({key: value for key, value in SITES["proxy"].items() if key != "upstream"}, True),
        ({key: value for key, value in INTERNAL_SITE.items() if key != "upstream"}, True),
        (dict(SITES["files"], maintenance=True), True),
    ],
)
def test_a_site_has_one_kind_of_service_behind_it(refusals, entry, refused):
    assert bool(refusals(nginx_sites=[entry])) == refused


QUEUES = [{"upstream": "api", "concurrency": 3, "port": 15010, "large_bodies_only": True}, {"upstream": "imaginary", "concurrency": 4, "port": 15098}]


@pytest.fixture
def haproxy(render):
    def render_haproxy(sites=tuple(SITES.values()), **variables):
        return render("nginx", "haproxy.cfg.j2", **{"nginx_sites": list(sites), "nginx_queues": QUEUES, "ansible_facts": TRIXIE, **variables})

    return render_haproxy


def section(text, head):
    """The lines of a section of HAProxy's configuration."""
    assert f"\n{head}\n" in text, text
    return [line.strip() for line in text.split(f"\n{head}\n")[1].split("\n\n")[0].splitlines()]


def passes(block):
    return re.findall(r"proxy_pass http://([^;]*);", block)


def test_uploads_wait_for_their_turn_and_other_requests_go_straight_to_the_service(site):
    text = site("proxy", {"nginx_queues": QUEUES}, event_paths=["/events"], maintenance=True)
    straight = location(text, "/")
    assert passes(straight) == ["api"]
    assert straight.index("/.maintenance last") < straight.index("if ($has_large_body) {\n            rewrite ^ /.queue last;")
    turn = location(text, "= /.queue")
    # With the query, and as the client has written it.
    assert passes(turn) == ["api_queue$request_uri"]
    assert "internal;" in turn
    assert "limit_req zone=rate_api" in turn
    assert "/.maintenance" not in turn
    assert passes(location(text, "/events")) == ["api_events"]
    assert passes(location(text, "= /.well-known/litefarm-health")) == ["api/"]


@pytest.mark.parametrize(
    ("request_", "waits"),
    [("POST:99999", False), ("POST:100000", True), ("PUT:19000000", True), ("POST:", True), ("GET:", False), ("POST:0", False)],
)
def test_what_is_an_upload(main, request_, waits):
    patterns_ = re.findall(r'^\s+"~(.*)" yes;$', block(main(nginx_queues=QUEUES), 'map "$request_method:$content_length" $has_large_body'), re.MULTILINE)
    assert len(patterns_) == 2
    assert any(re.search(pattern, request_) for pattern in patterns_) == waits


def test_every_picture_waits_for_its_turn(site):
    text = site("keyed", {"nginx_queues": QUEUES})
    for path in ("/thumbnail", "/resize"):
        turn = location(text, f"= {path}")
        assert passes(turn) == ["imaginary_queue$uri_without_key"]
        assert "auth_request /.key;" in turn
    assert "proxy_pass" not in location(text, "/")
    assert "/.queue" not in text


def test_all_requests_of_a_proxy_may_have_to_wait(site):
    turn = location(site("proxy", {"nginx_queues": [{"upstream": "api", "concurrency": 1, "port": 15010}]}), "/")
    assert passes(turn) == ["api_queue"]
    assert "$has_large_body" not in turn


def test_waiting_is_no_reason_for_nginx_to_give_up(site, main, haproxy):
    turn = location(site("keyed", {"nginx_queues": QUEUES}, read_timeout=90), "= /thumbnail")
    assert "proxy_read_timeout 125s;" in turn
    assert "proxy_send_timeout 125s;" in turn
    sites = [dict(SITES["keyed"], read_timeout=90), SITES["proxy"]]
    assert "proxy_read_timeout 90s;" in main(sites, nginx_queues=QUEUES)
    defaults = section(haproxy(sites), "defaults")
    assert {"timeout queue 30s", "timeout server 95s", "timeout client 130s"} <= set(defaults)
    assert "proxy_read_timeout 95s;" in site("proxy", queue_timeout=30, **EDGE)


@pytest.mark.parametrize("options", [{}, {"kind": "internal"}])
def test_an_upload_that_another_droplet_passes_on_waits_in_the_same_queue(role, options):
    nginx = role("nginx")
    variables = dict(INTERNAL, nginx_sites=[dict(INTERNAL_SITE, **options)], nginx_queues=QUEUES, ansible_facts=TRIXIE)
    (entry,) = nginx.evaluate("nginx__site_files", **variables)
    text = nginx.render("site.conf.j2", **{**variables, **entry["vars"]})
    assert passes(location(text, "= /.queue")) == ["api_queue$request_uri"]
    # A 502 has the load balancer ask another droplet.
    assert "proxy_intercept_errors" not in text
    assert "add_header" not in text


def test_what_has_waited_goes_to_the_release_that_serves(main):
    text = main(nginx_queues=QUEUES)
    server = text.split("listen 127.0.0.1:15010;")[1].split("\n    }\n")[0]
    assert passes(server) == ["api"]
    # The headers of the nginx before it, and no body on disk for a second time.
    assert re.findall(r"proxy_set_header (.*);", server) == ["Host $http_host", 'Connection ""']
    assert "proxy_request_buffering off;" in server
    queue = block(text, "upstream api_queue")
    assert "server unix:/run/haproxy/litefarm-api.sock max_fails=0;" in queue
    assert "server 127.0.0.1:15010 backup;" in queue
    assert "keepalive" not in re.sub(r"#.*", "", queue)


def test_haproxy_bounds_what_a_service_works_on_and_gives_turns_by_caller(main, haproxy):
    text = haproxy()
    assert section(text, "listen api")[-1] == "server nginx 127.0.0.1:15010 maxconn 3"
    front = section(text, "listen imaginary")
    assert front[-1] == "server nginx 127.0.0.1:15098 maxconn 4"
    assert "bind unix@/run/haproxy/litefarm-imaginary.sock mode 660 group www-data" in front
    rules = [line for line in front if line.startswith("http-request")]
    assert rules == [
        "http-request return status 503 default-errorfiles if { fe_conn gt 104 }",
        "http-request track-sc0 req.hdr(X-Queue-Caller)",
        "http-request set-priority-class sc_conn_cur(0)",
        "http-request del-header X-Queue-Caller",
    ]
    # All connections that are not refused at once fit.
    assert int(re.search(r"^    maxconn (\d+)$", text, re.MULTILINE)[1]) > 103 + 104
    assert "proxy_set_header X-Queue-Caller $queue_caller;" in main(nginx_queues=QUEUES)


def test_what_a_full_queue_answers(haproxy):
    (error,) = [line for line in section(haproxy(nginx_retry_after=7), "defaults") if line.startswith("http-error status 503 ")]
    assert "hdr Retry-After 7 " in error
    assert json.loads(re.search(r"string '(.*)'$", error)[1]) == {"error": "busy", "message": "This service has too much to do just now.", "retry_after": 7}


def test_haproxy_logs_neither_paths_nor_queries(haproxy):
    (line,) = [line for line in section(haproxy(), "defaults") if line.startswith("log-format")]
    assert not re.search(r"%(HP|HQ|HU|HPO|r|hr|hrl)\b|%\[", line)


@pytest.mark.parametrize("queues", [[], [{"upstream": "elsewhere", "concurrency": 1, "port": 15010}]])
def test_without_a_queue_there_is_no_haproxy_and_no_detour(evaluate, site, main, queues):
    variables = {"nginx_sites": list(SITES.values()), "nginx_queues": queues, "ansible_facts": TRIXIE}
    assert "haproxy" not in evaluate("nginx", "nginx__packages", **variables)
    assert evaluate("nginx", "nginx__queue_files", **variables) == evaluate("nginx", "nginx__queue_units", **variables) == []
    assert site("proxy", {"nginx_queues": queues}) == site("proxy")
    assert main(nginx_queues=queues) == main()


def test_haproxy_is_asked_about_its_configuration_before_it_is_reloaded(evaluate):
    variables = {"nginx_sites": list(SITES.values()), "nginx_queues": QUEUES, "ansible_facts": TRIXIE}
    assert "haproxy" in evaluate("nginx", "nginx__packages", **variables)
    assert evaluate("nginx", "nginx__validate_queues", **variables)[-1].startswith("haproxy -c -q -f /etc/haproxy/haproxy.cfg && ")
    (unit,) = evaluate("nginx", "nginx__queue_units", **variables)
    assert (unit["name"], unit["on_change"], unit["only_for"]) == ("haproxy.service", "reload", ["/etc/haproxy/*"])


def test_internal_headers_are_complete_with_queues_too(role, main):
    nginx = role("nginx")
    variables = dict(INTERNAL, nginx_sites=[INTERNAL_SITE], nginx_queues=QUEUES, ansible_facts=TRIXIE)
    (entry,) = nginx.evaluate("nginx__site_files", **variables)
    inside = re.findall(r"proxy_set_header (\S+) ", nginx.render("site.conf.j2", **{**variables, **entry["vars"]}))
    whole = re.findall(r"proxy_set_header (\S+) ", main(nginx_queues=QUEUES).split("upstream api {")[0])
    assert inside == whole
    assert "X-Queue-Caller" in inside


def test_queues_are_checked_before_anything_is_touched(refusals):
    assert refusals(nginx_queues=QUEUES) == []
    assert refusals(nginx_queues=[{"upstream": "api"}]) != []


def test_an_imported_certificate_is_one_file_with_its_key_on_the_droplets_of_its_site(evaluate):
    imported = {"api": {"certificate": "CERTIFICATE\n\n", "key": "KEY"}, "elsewhere": {"certificate": "C", "key": "K"}}
    (file,) = evaluate("nginx", "nginx__imported_files", nginx_sites=list(SITES.values()), nginx_imported_certificates=imported, ansible_facts=TRIXIE)
    assert (file["dest"], file["content"]) == ("/etc/litefarm/nginx/imported/api.pem", "CERTIFICATE\nKEY\n")
    # The mode is that of files with secrets.
    assert "mode" not in file


def test_a_former_name_is_served_by_its_site_and_unknown_to_the_droplets_behind(site, main, role):
    include = "include /etc/nginx/former_names.d/api.con[f];"
    # Behind the names of the site, of which nginx takes the first one for its own.
    assert re.findall(r"server_name api.example.org;\n(?: +#.*\n)* +(include .*)", site("proxy")) == [include, include]
    text = main()
    assert block(text, "map $host $host_of_site").split() == ["default", "$host;", "include", "/etc/nginx/former_names.d/*.hosts;"]
    assert "proxy_set_header Host $host_of_site;" in text
    nginx = role("nginx")
    variables = dict(INTERNAL, nginx_sites=[INTERNAL_SITE], ansible_facts=TRIXIE)
    (entry,) = nginx.evaluate("nginx__site_files", **variables)
    assert "former" not in nginx.render("site.conf.j2", **{**variables, **entry["vars"]})
