"""Looks for what keeps this repository from installing and publishing, and says what to do.

One line for each check: ok, warn, FAIL or skipped. Nothing is changed, nothing is stored on the
index, and no password is printed. The exit code is 1 if a check fails.
"""

from functools import partial

import tools.index

from ..settings import Settings
from . import here
from .index import TIMEOUT, Index
from .report import Report


def main(settings: Settings, _: list[str]) -> int:
    """Run the checks; return the exit code."""
    tools.index.TIMEOUT = TIMEOUT  # Somebody waits in front of the screen.
    report, account = Report(), here.Account(settings)
    there = Index(settings, account)

    report.check("python", partial(here.check_python, settings))
    report.check_all({tool.name: tool.check for tool in here.tools(settings)})
    if settings.cooldown_days and settings.manager == "poetry" and not settings.locked:
        report.check("pip", here.check_pip)
    report.check("file mode", here.check_mode)
    report.check("git-ignored", here.check_git)
    report.check("credentials", account.read)
    if settings.prefixes:
        report.check("prefixes", partial(here.check_prefixes, settings))

    report.check("DNS", there.resolve)
    if tools.index.proxy_of(settings.url):
        report.check("HTTP", there.answer)
    else:
        report.check("TCP", there.connect, "DNS")
        report.check("TLS", there.secure, "TCP")
        report.check("HTTP", there.answer, "TLS")
    report.check("clock", there.compare_clocks, "HTTP")
    report.check("account", there.log_in, "HTTP", "credentials")
    report.check("role", there.ask_for_role, "account")
    pins = here.pins()
    # A lock has names without end; of those, the private ones will do.
    projects = settings.packages if settings.locked else dict.fromkeys((*settings.packages, *pins))
    packages = {
        f"package {name}": partial(there.find, name, pins.get(name, "")) for name in projects
    }
    report.check_all(packages, "account")
    report.check("other packages", there.ask_for_unknown, "account")
    return report.end()
