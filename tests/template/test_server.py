"""The rendered server, parsed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path, PurePath
from typing import Any

import pytest
import yaml
from kit.commands import ask, output
from kit.template import QUESTIONS, Render
from packaging.requirements import Requirement
from private_pypi import reads
from private_pypi.answers import refusal
from private_pypi.web.errors import as_page
from private_pypi.web.render import environment

MODES = list(QUESTIONS["https"]["choices"].values())
ADDRESS = "${listen_address:+${listen_address}:}"
PUBLIC_PORTS = [f"{ADDRESS}80:80", f"{ADDRESS}443:443"]


CAPABILITIES = {
    # The caddy binary demands it.
    "gateway": ["NET_BIND_SERVICE"],
    "private_pypi": [],
    "web": [],
    "accounts": [],
    "account_commands": [],
    "keys": [],
    "ids": [],
    "attestations": [],
    # What it is there for, and the way into folders that are closed to others.
    "ownership": ["CHOWN", "DAC_OVERRIDE"],
}
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


def compose(folder: Path) -> dict[str, Any]:
    """Return the compose file as YAML has it, merges done and variables left as they are."""
    parsed = yaml.safe_load((folder / "docker-compose.pypi.yml").read_text())
    assert isinstance(parsed, dict)
    return parsed


def adapted(folder: Path) -> dict[str, Any]:
    """Return the configuration that Caddy makes of the Caddyfile."""
    command = ("caddy", "adapt", "--config", "gateway/Caddyfile", "--adapter", "caddyfile")
    parsed = json.loads(output(*command, cwd=folder))
    assert isinstance(parsed, dict)
    return parsed


@pytest.mark.parametrize("mode", MODES)
def test_every_service_is_confined(render: Render, mode: str) -> None:
    services = compose(render({"template": "server", "https": mode}))["services"]
    assert set(services) == set(CAPABILITIES)
    for name, service in services.items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service.get("cap_add", []) == CAPABILITIES[name]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert service["pids_limit"]
        # Its Caddy is told to reload by a signal to the first process.
        assert service.get("init", False) is (name != "gateway")
        user = "0:0" if name == "ownership" else "${PYPI_UID:-1000}:${PYPI_GID:-1000}"
        assert service["user"] == user
        assert "env_file" not in service
    for name in ("account_commands", "attestations", "ids", "ownership"):
        assert services[name]["profiles"] == [name]
    # Only a launch with an issuer asks for it.
    assert services["keys"]["profiles"] == ["trust"]
    for name in ("gateway", "private_pypi", "web", "accounts", "keys"):
        assert name == "keys" or "profiles" not in services[name]
        assert services[name]["restart"] == "always"
        assert services[name]["logging"]["options"]["max-size"]
    for name in ("gateway", "private_pypi"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("mode", MODES)
def test_only_the_gateway_is_reached_from_outside(render: Render, mode: str) -> None:
    model = compose(render({"template": "server", "https": mode}))
    published = {"none": ["127.0.0.1:${http_port:-8080}:80"], "traefik": []}
    services = model["services"]
    assert services["gateway"].get("ports", []) == published.get(mode, PUBLIC_PORTS)
    assert "ports" not in services["private_pypi"]
    for name in services.keys() - {"gateway", "keys", "ids", "attestations"}:
        assert services[name]["network_mode"] == "none"
        assert "networks" not in services[name]
    for name in ("keys", "ids", "attestations"):
        assert services[name]["networks"] == ["keys"]
        assert "ports" not in services[name]
    # One of its own, with a way out.
    assert model["networks"]["keys"] is None
    # Where another had the name of one of ours, DNS would lead there.
    assert services["gateway"].get("networks", []) == (
        ["traefik-network"] if mode == "traefik" else []
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_socket_of_private_pypi_lies_where_only_the_gateway_comes_beside_it(
    render: Render, mode: str
) -> None:
    folder = render({"template": "server", "https": mode})
    services = compose(folder)["services"]
    mounted = {
        name: [mount for mount in mounts(service) if mount[0] == "socket"]
        for name, service in services.items()
    }
    place = PurePath(services["private_pypi"]["environment"]["PYPI_SOCKET"])
    assert f"reverse_proxy unix/{place} " in (folder / "gateway/Caddyfile").read_text()
    assert {name: found for name, found in mounted.items() if found} == {
        "gateway": [("socket", str(place.parent), False)],
        "private_pypi": [("socket", str(place.parent), True)],
    }


@pytest.mark.parametrize("mode", MODES)
def test_nobody_but_the_account_commands_may_write_accounts(render: Render, mode: str) -> None:
    services = compose(render({"template": "server", "https": mode}))["services"]
    mounts = {
        name: [x for x in service.get("volumes", []) if x.startswith("./pypi_auth:")]
        for name, service in services.items()
    }
    assert mounts == {
        "keys": [],
        "ids": [],
        "attestations": [],
        "gateway": [],
        "private_pypi": ["./pypi_auth:/pypi/auth:ro"],
        "web": [],
        "accounts": ["./pypi_auth:/pypi/auth:ro"],
        "account_commands": ["./pypi_auth:/pypi/auth"],
        "ownership": ["./pypi_auth:/pypi_auth"],
    }
    # A new password is printed to the terminal: no log driver may keep it.
    assert services["account_commands"]["logging"] == {"driver": "none"}


@pytest.mark.parametrize("mode", MODES)
def test_nobody_with_a_network_may_write_what_the_gateway_takes_for_configuration(
    render: Render, mode: str
) -> None:
    folder = render({"template": "server", "https": mode})
    services = compose(folder)["services"]
    imported = re.findall(r"import (/\S+)/", (folder / "gateway/Caddyfile").read_text())
    configured = {"/etc/caddy", *imported}
    assert configured == {"/etc/caddy", "/accounts"}
    mounted = {name: mounts(service) for name, service in services.items()}
    sources = {source for source, target, _ in mounted["gateway"] if target in configured}
    assert sources == {"./gateway/live", "./gateway/accounts"}
    writers = {
        (name, source)
        for name, service_mounts in mounted.items()
        for source, _, writable in service_mounts
        if writable and any(PurePath(one).is_relative_to(source) for one in sources)
    }
    assert writers == {
        (name, "./gateway/accounts") for name in ("accounts", "account_commands", "ownership")
    }
    assert all(services[name]["network_mode"] == "none" for name, _ in writers)
    writable = {target for _, target, writable in mounted["private_pypi"] if writable}
    assert writable == {"/srv/pypi_data", "/srv/pypi_index", "/run/private_pypi"}


def mounts(service: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Return source, target and whether it may be written of each folder of a service."""
    found = [volume.split(":") for volume in service.get("volumes", [])]
    return [(source, target, mode != ["ro"]) for source, target, *mode in found]


@pytest.mark.parametrize("mode", MODES)
def test_the_gateway_only_reads_what_private_pypi_writes(render: Render, mode: str) -> None:
    services = compose(render({"template": "server", "https": mode}))["services"]
    for folder in ("pypi_data", "pypi_index"):
        mount = f"./{folder}:/srv/{folder}"
        assert f"{mount}:ro" in services["gateway"]["volumes"]
        assert mount in services["private_pypi"]["volumes"]
        for name in ("accounts", "account_commands"):
            assert not any(folder in volume for volume in services[name]["volumes"])
    # The links in the one lead into the other.
    assert services["private_pypi"]["environment"]["PYPI_DATA"] == "/srv/pypi_data"
    assert services["private_pypi"]["environment"]["PYPI_INDEX"] == "/srv/pypi_index"


@pytest.mark.parametrize("mode", MODES)
def test_what_renders_texts_of_strangers_writes_their_pages_alone(
    render: Render, mode: str
) -> None:
    web = compose(render({"template": "server", "https": mode}))["services"]["web"]

    assert mounts(web) == [
        ("./pypi_data", "/srv/pypi_data", False),
        ("./pypi_index", "/srv/pypi_index", False),
        ("./pypi_web", "/srv/pypi_web", True),
    ]
    assert web["network_mode"] == "none"
    # Of a whole processor in contention it gets a ninth.
    assert web["cpu_shares"] == 128


@pytest.mark.parametrize("mode", MODES)
def test_what_asks_the_issuers_has_nothing_to_lose(render: Render, mode: str) -> None:
    services = compose(render({"template": "server", "https": mode}))["services"]

    assert mounts(services["keys"]) == [
        ("./gateway/accounts/issuers", "/pypi/issuers", False),
        ("keys", "/pypi/keys", True),
    ]
    assert services["keys"]["environment"] == {
        "PYPI_KEYS": "/pypi/keys",
        "PYPI_ISSUERS": "/pypi/issuers",
    }
    assert services["keys"]["command"] == "trust fetch-keys --follow"
    assert services["keys"]["mem_limit"] == services["ids"]["mem_limit"] == "96m"
    # It sees nothing of this repository, and what it prints is in no log.
    assert mounts(services["ids"]) == []
    assert "environment" not in services["ids"]
    assert services["ids"]["logging"] == {"driver": "none"}
    seen = {
        name: [mount for mount in mounts(service) if mount[0] == "keys"]
        for name, service in services.items()
    }
    assert {name: found for name, found in seen.items() if found} == {
        "private_pypi": [("keys", "/pypi/keys", False)],
        "account_commands": [("keys", "/pypi/keys", False)],
        "keys": [("keys", "/pypi/keys", True)],
    }
    for name in ("private_pypi", "account_commands"):
        assert services[name]["environment"]["PYPI_KEYS"] == "/pypi/keys"


@pytest.mark.docker
@pytest.mark.parametrize("mode", MODES)
def test_compose_accepts_the_file_and_starts_four_services(render: Render, mode: str) -> None:
    folder = render({"template": "server", "https": mode, "pypi_url": "pypi.acme.test"})
    command = ["docker", "compose", "--file", "docker-compose.pypi.yml"]
    command += ["--env-file", ".pypi.env", "config", "--format", "json"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    assert done.stderr == b""
    model = json.loads(done.stdout)
    assert set(model["services"]) == {"gateway", "private_pypi", "web", "accounts"}
    assert model["services"]["web"]["environment"]["PYPI_URL"] == "https://pypi.acme.test"
    expected = {"GOGC": "400", "GOMEMLIMIT": "768MiB"}
    if mode != "none":
        expected["pypi_url"] = "pypi.acme.test"
    if mode == "letsencrypt":
        expected["acme_directory"] = LETS_ENCRYPT
    if mode == "traefik":
        expected["proxy_address"] = "private_ranges"
    assert model["services"]["gateway"]["environment"] == expected


def test_traefik_finds_what_it_expects(render: Render) -> None:
    answers = {
        "template": "server",
        "project_name": "acme-pypi",
        "https": "traefik",
        "pypi_url": "pypi.acme.test",
        "traefik_network": "edge",
        "traefik_certresolver": "acme",
    }
    model = compose(render(answers))
    gateway = model["services"]["gateway"]
    assert model["networks"]["edge"] == {"external": True}
    assert gateway["networks"] == ["edge"]
    rule = "Host(`${pypi_url:-pypi.acme.test}`)"
    redirect = "acme-pypi-https-redirect"
    assert gateway["labels"] == {
        "traefik.enable": "true",
        "traefik.docker.network": "edge",
        "traefik.http.services.acme-pypi.loadbalancer.server.port": "80",
        "traefik.http.routers.acme-pypi-http.entrypoints": "http",
        "traefik.http.routers.acme-pypi-http.rule": rule,
        "traefik.http.routers.acme-pypi-http.middlewares": redirect,
        f"traefik.http.middlewares.{redirect}.redirectscheme.scheme": "https",
        f"traefik.http.middlewares.{redirect}.redirectscheme.permanent": "true",
        "traefik.http.routers.acme-pypi-https.entrypoints": "https",
        "traefik.http.routers.acme-pypi-https.rule": rule,
        "traefik.http.routers.acme-pypi-https.service": "acme-pypi",
        "traefik.http.routers.acme-pypi-https.tls": "true",
        "traefik.http.routers.acme-pypi-https.tls.certresolver": "acme",
    }


@pytest.mark.parametrize("mode", MODES)
def test_caddy_serves_https_exactly_where_it_is_its_job(render: Render, mode: str) -> None:
    config = adapted(render({"template": "server", "https": mode}))
    assert config["admin"] == {"disabled": True, "config": {"persist": False}}
    servers = config["apps"]["http"]["servers"].values()
    listens = {address for server in servers for address in server["listen"]}
    plain = mode in ("none", "traefik")
    assert listens == {"127.0.0.1:2020", ":80", *([] if plain else [":443"])}
    for server in servers:
        if plain:
            assert server["automatic_https"] == {"disable": True}


def test_the_gateway_takes_the_mail_address_of_the_answers(render: Render) -> None:
    folder = render({"template": "server", "letsencrypt_email": "ops@acme.test"})
    policies = adapted(folder)["apps"]["tls"]["automation"]["policies"]
    assert {issuer["email"] for policy in policies for issuer in policy["issuers"]} == {
        "ops@acme.test"
    }


@pytest.mark.docker
@pytest.mark.parametrize(
    ("setting", "asked"),
    [
        ("", LETS_ENCRYPT),
        # As who comments it out halfway.
        ("acme_directory=\n", LETS_ENCRYPT),
        ("acme_directory=https://acme.test:14000/dir\n", "https://acme.test:14000/dir"),
    ],
)
def test_pypi_env_says_who_is_asked_for_a_certificate(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, asked: str
) -> None:
    folder = render({"template": "server", "letsencrypt_email": "ops@acme.test"})
    (tmp_path / ".pypi.env").write_text(f"pypi_url=pypi.acme.test\n{setting}")
    set_up_gateway(folder, tmp_path / ".pypi.env", monkeypatch)
    policies = adapted(folder)["apps"]["tls"]["automation"]["policies"]
    # Caddy's default also asks ZeroSSL, which nobody chose.
    assert [issuer["ca"] for policy in policies for issuer in policy["issuers"]] == [asked]


@pytest.mark.docker
@pytest.mark.parametrize(
    ("setting", "believed"),
    [
        ("", None),
        ("proxy_address=\n", None),
        ("proxy_address=172.20.0.2\n", ["172.20.0.2"]),
        ('proxy_address="172.20.0.2 fd00::/64"\n', ["172.20.0.2", "fd00::/64"]),
    ],
)
def test_pypi_env_says_which_proxy_is_believed(
    render: Render,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    believed: list[str] | None,
) -> None:
    folder = render({"template": "server", "https": "traefik"})
    (tmp_path / ".pypi.env").write_text(f"pypi_url=pypi.acme.test\n{setting}")
    set_up_gateway(folder, tmp_path / ".pypi.env", monkeypatch)
    for server in adapted(folder)["apps"]["http"]["servers"].values():
        proxies = server["trusted_proxies"]
        assert proxies["source"] == "static"
        if believed:
            assert proxies["ranges"] == believed
        else:
            assert "10.0.0.0/8" in proxies["ranges"]


def set_up_gateway(folder: Path, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Caddy the environment that Compose makes of a .pypi.env."""
    command = ["docker", "compose", "--file", "docker-compose.pypi.yml"]
    command += ["--env-file", str(settings), "config", "--format", "json"]
    model = json.loads(output(*command, cwd=folder))
    for name, value in model["services"]["gateway"]["environment"].items():
        monkeypatch.setenv(name, value)


def test_a_certificate_of_ones_own_is_never_replaced_by_another(render: Render) -> None:
    config = adapted(render({"template": "server", "https": "certificate"}))
    assert config["apps"]["tls"]["certificates"] == {
        "load_files": [
            {
                "certificate": "/data/certs/pair.pem",
                "key": "/data/certs/pair.pem",
                "tags": ["cert0"],
            }
        ]
    }
    for server in config["apps"]["http"]["servers"].values():
        if server["listen"] == [":443"]:
            assert server["automatic_https"]["disable_certificates"]


@pytest.mark.parametrize("mode", MODES)
def test_only_a_public_index_promises_tls_for_a_year(render: Render, mode: str) -> None:
    text = json.dumps(adapted(render({"template": "server", "https": mode})))
    promised = '"set": {"Strict-Transport-Security": ["max-age=31536000"]}' in text
    assert promised is (mode in ("letsencrypt", "certificate", "traefik"))
    assert text.count("Strict-Transport-Security") == promised


def test_every_request_passes_basic_auth_but_the_health_check(render: Render) -> None:
    servers = adapted(render({"template": "server", "https": "none"}))["apps"]["http"]["servers"]
    (site,) = (server for server in servers.values() if server["listen"] == [":80"])
    for_the_log, asking, for_browsers, health, rest = site["routes"]
    assert {handler["handler"] for handler in for_browsers["handle"]} == {"headers"}
    assert [handler["handler"] for handler in asking["handle"]] == ["headers"]
    assert [handler["handler"] for handler in for_the_log["handle"]] == ["log_append"]
    assert health["match"] == [{"path": ["/health"]}]
    assert "match" not in rest
    assert rest["handle"][0]["routes"][0]["handle"][0]["handler"] == "authentication"


def test_pages_for_people_are_the_same_with_and_without_a_gateway(render: Render) -> None:
    caddyfile = (render({"template": "server"}) / "gateway/Caddyfile").read_text()

    (paths,) = re.findall(r"@for_people {[^}]*path_regexp (\S+)\n", caddyfile)
    assert paths == f"^{reads.FOR_PEOPLE.pattern}$"
    assert f'>Content-Security-Policy "{reads.POLICY}"' in caddyfile


def test_the_page_of_an_error_is_the_same_with_and_without_a_gateway(render: Render) -> None:
    folder = render({"template": "server"})
    values = {"status": "STATUS", "title": "TITLE", "sentence": "SENTENCE", "root": "ROOT"}
    expected = environment().get_template("error.html").render(values)
    answer = as_page(refusal(404, "Nothing."), {"PATH_INFO": "/"})

    (handler,) = [one for one in answers_of(adapted(folder)) if "<!doctype html>" in one["body"]]

    shown = handler["body"]
    for placeholder, name in (
        ("{http.error.status_code}", "STATUS"),
        ("{http.error.status_text}", "TITLE"),
        ("{sentence}", "SENTENCE"),
        ("{start}", "ROOT"),
    ):
        shown = shown.replace(placeholder, name)
    assert shown.split() == expected.split()
    (style,) = re.findall("<style>(.*?)</style>", shown, re.DOTALL)
    assert f"<style>{style}</style>" in b"".join(answer.body).decode()
    policy = dict(answer.headers)["Content-Security-Policy"]
    assert f'Content-Security-Policy "{policy}"' in (folder / "gateway/Caddyfile").read_text()


def answers_of(part: Any) -> list[dict[str, Any]]:
    """Return each handler within a part of Caddy's configuration that answers with a text."""
    if isinstance(part, list):
        return [found for one in part for found in answers_of(one)]
    if not isinstance(part, dict):
        return []
    own = [part] if part.get("handler") == "static_response" and "body" in part else []
    return own + answers_of(list(part.values()))


def test_images_and_requirements_are_pinned(render: Render) -> None:
    folder = render({"template": "server"})
    images = re.findall(r"^FROM (\S+)", (folder / "private_pypi/Dockerfile").read_text(), re.M)
    images.append(compose(folder)["services"]["gateway"]["image"])
    assert len(images) == 4
    for image in images:
        assert re.fullmatch(r"(python:3\.13\.\d+-slim-\w+|caddy:\d+\.\d+\.\d+-alpine)", image)
    for name in ("requirements", "requirements-attestations"):
        text = (folder / f"private_pypi/{name}.txt").read_text().replace("\\\n", "")
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        pinned = {Requirement(line.split(" --hash")[0]).name for line in lines}
        asked = (folder / f"private_pypi/{name}.in").read_text().splitlines()
        assert pinned > {Requirement(line).name for line in asked if not line.startswith("#")}
        for line in lines:
            assert "==" in line
            assert "--hash=sha256:" in line


def test_caddy_under_test_is_the_caddy_that_is_shipped(render: Render) -> None:
    image = compose(render({"template": "server"}))["services"]["gateway"]["image"]
    version = output("caddy", "version").split()[0]
    assert version == f"v{image.split(':')[1].removesuffix('-alpine')}"


@pytest.mark.parametrize(("choice", "path"), [("github", ".github"), ("gitlab", ".gitlab-ci.yml")])
def test_ci_is_rendered_where_it_was_asked_for(render: Render, choice: str, path: str) -> None:
    for ci in QUESTIONS["ci"]["choices"].values():
        folder = render({"template": "server", "ci": ci})
        assert (folder / path).exists() is (ci == choice)


@pytest.mark.parametrize("mode", MODES)
def test_only_a_server_with_an_authority_prints_its_certificate(render: Render, mode: str) -> None:
    folder = render({"template": "server", "https": mode})
    assert ("pypi-ca" in output("make", cwd=folder)) is (mode == "internal")
    assert (folder / "scripts/ca.sh").exists() is (mode == "internal")


def test_the_checkers_find_nothing(render: Render) -> None:
    folder = render({"template": "server", "ci": "github"})
    output("hadolint", "private_pypi/Dockerfile", cwd=folder)
    output("shellcheck", "scripts/launch.sh", cwd=folder)
    internal = render({"template": "server", "https": "internal"})
    output("shellcheck", "scripts/ca.sh", cwd=internal)
    output("zizmor", "--offline", "--quiet", ".github", cwd=folder)
    workflow = ".github/workflows/check.yml"
    output("actionlint", workflow, cwd=folder)
    output("check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow, cwd=folder)
    output(
        *("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"),
        cwd=folder,
    )
    gitlab = render({"template": "server", "ci": "gitlab"})
    output("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", ".gitlab-ci.yml", cwd=gitlab)
    output("check-jsonschema", "--builtin-schema", "vendor.renovate", "renovate.json", cwd=gitlab)


@pytest.mark.parametrize("mode", MODES)
def test_compose_lint_finds_nothing_that_has_no_reason(render: Render, mode: str) -> None:
    folder = render({"template": "server", "https": mode})
    lint = ("compose-lint", "check", "--strict-config", "--fail-on", "low")
    output(*lint, "docker-compose.pypi.yml", cwd=folder)


def test_no_exception_of_compose_lint_outlives_its_cause(render: Render, tmp_path: Path) -> None:
    folder = render({"template": "server"})
    reasons = yaml.safe_load((folder / ".compose-lint.yml").read_text())["rules"]
    shutil.copy(folder / "docker-compose.pypi.yml", tmp_path)
    command = ("compose-lint", "check", "--quiet", "docker-compose.pypi.yml")
    done = ask(*command, cwd=tmp_path)
    assert set(re.findall(r"CL-\d{4}", done.stdout)) == set(reasons)


@pytest.mark.parametrize("mode", MODES)
def test_the_readme_names_only_targets_and_files_that_exist(render: Render, mode: str) -> None:
    folder = render({"template": "server", "https": mode})
    readme = (folder / "README.md").read_text()
    makefile = (folder / "Makefile").read_text()
    for target in set(re.findall(r"make ((?:pypi|template)-[a-z-]+)", readme)):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"^\| `([^`]+/|\.pypi\.env)` \|", readme, re.M):
        assert (folder / path).exists(), path
