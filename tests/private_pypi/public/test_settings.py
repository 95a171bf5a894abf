"""What the environment may say to the mirror."""

from __future__ import annotations

from pathlib import Path

import pytest
from private_pypi.public.settings import PublicSettings
from private_pypi.settings import SettingError
from pypiserver.config import DEFAULTS


def test_an_empty_environment_mirrors_what_pypiserver_redirects_to_for_this_machine_only() -> None:
    assert PublicSettings.from_environment({}) == PublicSettings(
        data=Path("public_data"),
        policy=Path("public_policy.toml"),
        socket=None,
        host="127.0.0.1",
        port=8081,
        index=DEFAULTS.FALLBACK_URL,
        max_bytes=20 * 2**30,
    )


def test_every_variable_is_read() -> None:
    environment = {
        "PUBLIC_DATA": "/public/data",
        "PUBLIC_POLICY": "/policy/public_policy.toml",
        "PYPI_SOCKET": "/run/public/public.sock",
        "PUBLIC_HOST": "0.0.0.0",
        "PUBLIC_PORT": "9001",
        "public_index": "https://mirror.example/root/pypi/+simple".replace("+", "%2B"),
        "public_max_gb": "100000",
    }

    assert PublicSettings.from_environment(environment) == PublicSettings(
        data=Path("/public/data"),
        policy=Path("/policy/public_policy.toml"),
        socket=Path("/run/public/public.sock"),
        host="0.0.0.0",
        port=9001,
        index="https://mirror.example/root/pypi/%2Bsimple/",
        max_bytes=100_000 * 2**30,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_PORT", "0"),
        ("PUBLIC_PORT", "65536"),
        ("public_max_gb", "0"),
        ("public_max_gb", "1.5"),
        ("public_max_gb", "100001"),
        ("public_index", "ftp://mirror.example/simple/"),
        ("public_index", "https://user:secret@mirror.example/simple/"),
        ("public_index", "https://mirror.example/simple/?a=b"),
        ("public_index", "https://mirror.example/simple/\n"),
    ],
)
def test_a_value_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} .*: set ") as raised:
        PublicSettings.from_environment({name: value})

    assert "secret" not in str(raised.value)
