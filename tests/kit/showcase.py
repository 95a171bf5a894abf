"""Projects that have something of all that the pages for people can show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit import people, wheel
from kit.gateway import Gateway, behind_gateway
from kit.server import Server
from kit.template import PASSWORD

LONG = "-".join(["a-name-that-is-much-longer-than-any-phone-is-wide"] * 2)
"""The name of a project."""
FILE = "show_lib-1.2.0-py3-none-any.whl"
REASON = "It deletes the cache: take 1.2.0"
"""Why show-lib 1.1.0 is yanked, and all of yanked-lib."""
SIGNATURE = b"-----BEGIN PGP SIGNATURE-----\n\naGVsbG8=\n-----END PGP SIGNATURE-----\n"

FIELDS = """\
Summary: Shows everything that a page can show
Keywords: billing,invoices
Author-email: Ada Lovelace <ada@example.org>
Maintainer: Grace Hopper
License-Expression: Apache-2.0
Classifier: Development Status :: 4 - Beta
Classifier: Programming Language :: Python :: 3
Project-URL: Documentation, https://docs.example.org/show
Project-URL: Source, https://code.example.org/show
Requires-Python: >=3.9
Requires-Dist: Held_Dep>=1
Requires-Dist: elsewhere[fast]<3; python_version >= "3.9"
Requires-Dist: held-dep>=2; extra == "docs"
Provides-Extra: docs
Description-Content-Type: text/markdown
"""
MARKDOWN = f"""\
# Show

It *shows* things, see [its site](https://docs.example.org/) and [below](#usage).

| {" | ".join(f"column {n}" for n in range(12))} |
|{"---|" * 12}
| {" | ".join("anunbreakablevalue" for _ in range(12))} |

## Usage

```python
def show(everything="{"x" * 300}"):  # Not wrapped.
    return [1, None, everything]
```

{"w" * 300}

- one
    - two
1. first

> quoted `code`

![a picture of it](https://elsewhere.example/picture.png)
"""
RST = """\
Show
====

.. code-block:: python

    print("shown")

.. list-table::
   :header-rows: 1

   * - a
     - b
   * - 1
     - 2
"""

PAGES = (
    "",
    "projects.html",
    *("project/show-lib/", "project/held-dep/", "project/rst-lib/", "project/plain-lib/"),
    *("project/yanked-lib/", "project/removed-lib/", f"project/{LONG}/"),
)
"""All kinds of pages, by path from the root."""
HELD = ("held-dep", "plain-lib", "rst-lib", "show-lib", "yanked-lib", LONG)
"""The projects that are served."""


@dataclass(frozen=True)
class Running:
    """An index that has all of them, by its gateway and by itself."""

    server: Server
    gateway: Gateway

    def urls(self) -> dict[str, str]:
        """Return the URL of each of the two programs, without a slash at its end."""
        return {"gateway": self.gateway.url, "private_pypi": self.server.url().rstrip("/")}


@contextmanager
def running(rendered: Path, folder: Path, **settings: str) -> Iterator[Running]:
    """Run an index that has all of them; alice publishes, bob installs.

    Args:
        rendered: the repository that it is run from.
        settings: of the server, as variables of its environment.
    """
    server, gateway = behind_gateway(rendered, folder / "s", **settings)
    for name, role in (("alice", "publisher"), ("bob", "reader")):
        server.user("add", name, "--role", role, password=PASSWORD)
    with server, gateway:
        fill(server, gateway.url, folder)
        yield Running(server, gateway)
    assert "Traceback" not in server.log.read_text()


def fill(server: Server, url: str, folder: Path) -> None:
    """Publish all of them as alice, and wait until the pages show it.

    Args:
        server: that runs; alice has an account.
        url: of it or its gateway.
        folder: for the files, which are made anew.
    """
    old = "Summary: It was worse\n"
    for path in (
        wheel.described(folder, "show-lib", "0.9.0", old),
        wheel.described(folder, "show-lib", "1.1.0", old),
        wheel.described(folder, "held-dep", "1.0", ""),
        wheel.described(folder, "yanked-lib", "1.0", "Summary: It was withdrawn\n"),
        wheel.described(folder, "removed-lib", "1.0", "Summary: It was here\n"),
        wheel.described(folder, LONG, "1.0", f"Summary: {'s' * 300}\nAuthor: {'a' * 200}\n"),
        wheel.described(
            folder, "plain-lib", "1.0", "Description-Content-Type: text/plain\n", "p" * 999
        ),
        wheel.described(folder, "rst-lib", "1.0", "Description-Content-Type: text/x-rst\n", RST),
        wheel.build_sdist(folder, "show-lib", "1.2.0", origin="us"),
    ):
        people.publish(url, path)
    signed = wheel.described(folder, "show-lib", "1.2.0", FIELDS, MARKDOWN)
    people.publish(url, signed, SIGNATURE)
    server.run("yank", "--reason", REASON, "--", "show-lib", "1.1.0")
    server.run("yank", "--reason", REASON, "--", "yanked-lib", "1.0")
    server.run("remove", "--yes", "--", "removed-lib", "1.0")
    people.wait_for(url, *HELD)
    for name in ("show-lib", "yanked-lib"):
        people.wait_for_text(url, f"/project/{name}/", REASON)
    people.wait_for_text(url, "/project/show-lib/", "signature")
    people.wait_for_text(url, "/project/removed-lib/", "Nothing of this project is served")
