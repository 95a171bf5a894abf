"""Takes the pictures of the pages for people in docs/images: run by `make screenshots`.

A server with a few made-up packages runs for it, and Debian's Chromium shows its pages, light and
dark.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Route

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))

from kit import chromium, people, wheel  # noqa: E402
from kit.server import Server  # noqa: E402
from kit.template import PASSWORD  # noqa: E402

IMAGES = ROOT / "docs" / "images"
URL = "https://pypi.example.com/"
PAGES = {"start": "", "project": "project/acme-billing/"}

DESCRIPTION = """\
# acme-billing

Invoices, credit notes and reminders, with the rules of the countries that Acme sells to.

```python
from acme_billing import Invoice

invoice = Invoice(customer="c-1042", currency="EUR")
invoice.add("Licence", net="1200.00")
invoice.send()
```

| country | rate | since |
|---|---|---|
| Austria | 20 % | 0.3 |
| Germany | 19 % | 0.1 |
"""


def packages() -> list[tuple[str, str, str, str]]:
    """Return name, version, summary and further metadata of each package."""
    return [
        ("acme-auth", "2.1.0", "Single sign-on for Acme's services", "Keywords: login,oidc\n"),
        ("acme-events", "1.4.2", "Publish and read Acme's event stream", ""),
        ("acme-ui", "3.0.1", "Components and colours of the design system", ""),
        ("acme-billing", "0.3.0", "Invoices that the tax office accepts", ""),
        (
            "acme-billing",
            "0.4.1",
            "Invoices that the tax office accepts",
            "Requires-Dist: acme-auth>=2\nRequires-Dist: pydantic<3,>=2.7\n"
            'Provides-Extra: pdf\nRequires-Dist: weasyprint; extra == "pdf"\n'
            "License-Expression: LicenseRef-Acme\n"
            "Author-email: Billing team <billing@example.com>\n"
            "Project-URL: Source, https://git.example.com/acme/billing\n"
            "Classifier: Programming Language :: Python :: 3\n"
            f"Description-Content-Type: text/markdown\n\n{DESCRIPTION}",
        ),
    ]


def fill(server: Server, folder: Path) -> None:
    """Publish every package, and wait until its page is there."""
    url = server.url().rstrip("/")
    for name, version, summary, more in packages():
        fields, _, description = more.partition("\n\n")
        fields = f"Summary: {summary}\nRequires-Python: >=3.11\n{fields.rstrip()}"
        path = wheel.described(folder, name, version, f"{fields.rstrip()}\n", description)
        people.publish(url, path)
    people.wait_for(url, *{name for name, *_ in packages()})
    people.wait_for_text(url, "/", "0.4.1")


def take(browser: Browser, server: Server) -> None:
    """Take each picture, in both schemes, as if the server had a name."""

    def forward(route: Route) -> None:
        path = route.request.url.removeprefix(URL)
        answer = route.fetch(url=f"{server.url()}{path}", headers=people.ALICE)
        route.fulfill(response=answer)

    for scheme in ("light", "dark"):
        context = browser.new_context(
            color_scheme="light" if scheme == "light" else "dark",
            viewport={"width": 1200, "height": 800},
        )
        context.route(f"{URL}**", forward)
        page = context.new_page()
        for name, path in PAGES.items():
            page.goto(f"{URL}{path}", wait_until="networkidle")
            page.screenshot(path=IMAGES / f"{name}-{scheme}.png")
        context.close()


def main() -> None:
    """Take all pictures anew."""
    IMAGES.mkdir(exist_ok=True)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as folder:
        server = Server(ROOT / "template" / "server", Path(folder) / "s", PYPI_NAME="acme-pypi")
        server.user("add", "alice", "--role", "publisher", password=PASSWORD)
        with server, chromium.running() as browser:
            fill(server, Path(folder))
            take(browser, server)


if __name__ == "__main__":
    main()
