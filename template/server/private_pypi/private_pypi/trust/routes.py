"""What the gateway lets through of CI jobs, which have no account: to private_pypi, and only this.

Anybody may send these requests. So the gateway waits until all of a request to mint has arrived,
within a size and a time, before private_pypi learns of it; and it asks private_pypi whether a
password works before it passes on anything of an upload. It hands over few of both at a time.
"""

from __future__ import annotations

LOGIN = "__token__"
"""The user name of every minted password, as at PyPI. No account can have it."""

AUDIENCE, MINT, BURN = "/_/oidc/audience", "/_/oidc/mint-token", "/_/oidc/burn-token"

PASSWORD = "/_/oidc/password"
"""Of which the gateway asks, before it passes an upload on, whether the password works."""

MOST_BYTES = 2**14
"""Of a request to mint or to burn. The tokens of GitHub and GitLab have two thousand."""
SECONDS = 10
"""For such a request to arrive."""
AT_ONCE = 4
"""Such requests that private_pypi gets at a time, of 40 that it answers, and as many that ask
whether a password works: the next ones wait at the gateway, where they cost little."""

PUBLISHES_ALONE = "A minted password publishes and does nothing else: install with an account."


def lines(login: str) -> list[str]:
    """Return lines for the Caddyfile, before those that ask for an account.

    Args:
        login: a regular expression for `Authorization` headers with the user name LOGIN.
    """
    few = ["\t\ttransport http {", f"\t\t\tmax_conns_per_host {AT_ONCE}", "\t\t}"]
    return [
        "# Trusted publishing: CI jobs have no account. See private_pypi/trust/routes.py.",
        "@audience {",
        "\tmethod GET HEAD",
        f"\tpath {AUDIENCE}",
        "}",
        "route @audience {",
        "\timport hang_up",
        "\timport private_pypi {",
        f"\t\trewrite {AUDIENCE}?",
        "\t\theader_up -*",
        *few,
        "\t}",
        "}",
        "@mint {",
        "\tmethod POST",
        f"\tpath_regexp minted ^({MINT}|{BURN})$",
        "}",
        "route @mint {",
        "\theader Connection close",
        # A size that is announced is refused at once; request_body sees what others send too much.
        '\t@large expression `{header.Content-Length} != ""'
        f" && int({{header.Content-Length}}) > {MOST_BYTES}`",
        "\terror @large 413",
        "\trequest_body {",
        f"\t\tmax_size {MOST_BYTES // 2**10}KiB",
        "\t}",
        "\ttimeouts {",
        f"\t\tread_timeout {SECONDS}s",
        "\t}",
        "\timport private_pypi {",
        f"\t\trequest_buffers {MOST_BYTES // 2**10}KiB",
        "\t\trewrite {re.minted.1}?",
        "\t\theader_up -*",
        *few,
        "\t}",
        "}",
        "@minted {",
        f'\tvars_regexp {{header.Authorization}} "{login}"',
        "}",
        "route @minted {",
        "\t@upload {",
        "\t\tmethod POST",
        "\t\tpath /",
        "\t}",
        "\troute @upload {",
        "\t\ttimeouts {",
        "\t\t\tread_timeout 1m 1000",
        "\t\t}",
        "\t\timport private_pypi {",
        "\t\t\tmethod GET",
        f"\t\t\trewrite {PASSWORD}?",
        "\t\t\theader_up -*",
        "\t\t\theader_up Authorization {header.Authorization}",
        *(f"\t{line}" for line in few),
        "\t\t\t@works status 204",
        "\t\t\thandle_response @works {",
        "\t\t\t\tlog_name access",
        "\t\t\t}",
        "\t\t\t@refused status 401",
        "\t\t\thandle_response @refused {",
        "\t\t\t\tlog_name strangers refused",
        "\t\t\t\timport hang_up",
        "\t\t\t\tcopy_response",
        "\t\t\t}",
        "\t\t}",
        "\t\timport private_pypi",
        "\t}",
        "\timport hang_up",
        f'\trespond "{PUBLISHES_ALONE}" 403',
        "}",
    ]
