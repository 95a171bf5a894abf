"""What the environment may say, and what it is told when it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from private_pypi.settings import MEBIBYTE, SettingError, Settings


def test_an_empty_environment_serves_the_folders_at_hand_on_this_machine_only() -> None:
    assert Settings.from_environment({}) == Settings(
        data=Path("pypi_data"),
        index=Path("pypi_index"),
        web=Path("pypi_web"),
        auth=Path("pypi_auth"),
        gateway=None,
        uses=None,
        socket=None,
        host="127.0.0.1",
        port=8080,
        redirect=True,
        mirror=False,
        private_prefixes=(),
        public_index=None,
        max_upload=512 * MEBIBYTE,
        name="Private index",
        url="http://127.0.0.1:8080/",
        keys=Path("pypi_keys"),
    )


def test_every_variable_is_read() -> None:
    environment = {
        "PYPI_DATA": "/pypi/data",
        "PYPI_INDEX": "/pypi/index",
        "PYPI_WEB": "/pypi/web",
        "PYPI_AUTH": "/pypi/auth",
        "PYPI_GATEWAY": "/pypi/gateway",
        "PYPI_USES": "/pypi/uses",
        "PYPI_SOCKET": "/run/index.sock",
        "PYPI_HOST": "0.0.0.0",
        "PYPI_PORT": "9000",
        "PYPI_UNKNOWN_PACKAGES": "mirror",
        "PYPI_PRIVATE_PREFIXES": "acme corp-tools",
        "PYPI_PUBLIC_INDEX": "http://mirror.example/simple/",
        "PYPI_MAX_UPLOAD_MB": "1",
        "PYPI_NAME": "Größe & <Co>",
        "PYPI_URL": "https://pypi.example/team",
        "PYPI_KEYS": "/pypi/keys",
    }

    assert Settings.from_environment(environment) == Settings(
        data=Path("/pypi/data"),
        index=Path("/pypi/index"),
        web=Path("/pypi/web"),
        auth=Path("/pypi/auth"),
        gateway=Path("/pypi/gateway"),
        uses=Path("/pypi/uses"),
        socket=Path("/run/index.sock"),
        host="0.0.0.0",
        port=9000,
        redirect=False,
        mirror=True,
        private_prefixes=("acme", "corp-tools"),
        public_index="http://mirror.example/simple/",
        max_upload=MEBIBYTE,
        name="Größe & <Co>",
        url="https://pypi.example/team/",
        keys=Path("/pypi/keys"),
    )


@pytest.mark.parametrize(
    "name",
    [
        "DATA",
        "INDEX",
        "WEB",
        "AUTH",
        "GATEWAY",
        "SOCKET",
        "HOST",
        "PRIVATE_PREFIXES",
        "PUBLIC_INDEX",
        "NAME",
        "URL",
    ],
)
def test_a_variable_that_is_set_but_empty_counts_as_not_set(name: str) -> None:
    assert Settings.from_environment({f"PYPI_{name}": ""}) == Settings.from_environment({})


@pytest.mark.parametrize(("name", "most"), [("PYPI_PORT", 65535), ("PYPI_MAX_UPLOAD_MB", 102400)])
def test_a_number_may_be_anything_from_one_to_the_most(name: str, most: int) -> None:
    for number in (1, most):
        Settings.from_environment({name: str(number)})


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "102401", "8080.0", "1e3", "0x50", " 80", "80\n", "²", "٣", "1_0", "9" * 5000],
)
@pytest.mark.parametrize(("name", "most"), [("PYPI_PORT", 65535), ("PYPI_MAX_UPLOAD_MB", 102400)])
def test_any_other_number_is_refused_with_its_name_its_value_and_the_range(
    name: str, most: int, text: str
) -> None:
    with pytest.raises(SettingError) as refusal:
        Settings.from_environment({name: text})

    assert str(refusal.value) == f"{name} is {text!r}: set a whole number from 1 to {most}"


@pytest.mark.parametrize("text", ["", "Redirect", "yes", "allow", "redirect ", "404"])
def test_an_unknown_way_with_unknown_packages_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(SettingError) as refusal:
        Settings.from_environment({"PYPI_UNKNOWN_PACKAGES": text})

    assert (
        str(refusal.value) == f"PYPI_UNKNOWN_PACKAGES is {text!r}: set redirect, mirror or refuse"
    )


@pytest.mark.parametrize("prefix", ["Acme", "acme-", "acme_x", "-", "acme*", "ac|me"])
def test_a_prefix_that_is_not_normalised_is_refused_with_the_prefix(prefix: str) -> None:
    with pytest.raises(SettingError, match=r"PYPI_PRIVATE_PREFIXES has .*: write prefixes norm"):
        Settings.from_environment({"PYPI_PRIVATE_PREFIXES": f"corp {prefix}"})


def test_without_a_url_the_address_is_the_url() -> None:
    environment = {"PYPI_HOST": "0.0.0.0", "PYPI_PORT": "9000"}

    assert Settings.from_environment(environment).url == "http://0.0.0.0:9000/"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://pypi.example", "https://pypi.example/"),
        ("https://pypi.example/", "https://pypi.example/"),
        ("https://pypi.example//", "https://pypi.example/"),
        ("http://192.168.0.1:8080/a/b", "http://192.168.0.1:8080/a/b/"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/"),
    ],
)
def test_a_url_has_one_slash_at_its_end(text: str, url: str) -> None:
    assert Settings.from_environment({"PYPI_URL": text}).url == url


@pytest.mark.parametrize(
    "text",
    [
        "pypi.example",
        "ftp://pypi.example/",
        "https://",
        "https://user:password@pypi.example/",
        "https://pypi.example/?a=b",
        "https://pypi.example/#a",
        "https://pypi.example/a b",
        "https://pypi.example/\n",
        "https://pypi.example/'$(id)",
        'https://pypi.example/"><script>',
        "https://größe.example/",
    ],
)
def test_a_url_that_could_not_stand_in_a_shell_line_is_refused_with_what_to_set(text: str) -> None:
    with pytest.raises(SettingError) as refusal:
        Settings.from_environment({"PYPI_URL": text})

    assert str(refusal.value) == (
        f"PYPI_URL is {text!r}: set the URL of the index, such as https://host/"
    )


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\x1b[2J", "safe\u202eexe", "a\udcffb"])
def test_a_name_that_no_page_can_show_is_refused(text: str) -> None:
    with pytest.raises(SettingError) as refusal:
        Settings.from_environment({"PYPI_NAME": text})

    assert str(refusal.value) == f"PYPI_NAME is {text!r}: set a name of printable characters"
