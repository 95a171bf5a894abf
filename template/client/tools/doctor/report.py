"""One line for each check: ok, warn, FAIL or skipped, its name, and a sentence."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

Outcome = tuple[str, str]
"""ok, warn, FAIL or skipped, and a sentence."""

Check = Callable[[], Outcome]


class CheckError(Exception):
    """What makes a check fail: one sentence that ends with what to do."""


class Report:
    """Prints the line of each check as soon as it is done."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def check(self, name: str, run: Check, *needed: str) -> None:
        """Run a check, or skip it if one of those that it needs did not pass."""
        self.check_all({name: run}, *needed)

    def check_all(self, checks: Mapping[str, Check], *needed: str) -> None:
        """Run checks at the same time, or skip them all."""
        for other in needed:
            if self._states[other] in ("FAIL", "skipped"):
                for name in checks:
                    self._print(name, ("skipped", f"needs {other}, see above."))
                return
        with ThreadPoolExecutor(4) as pool:
            running = {name: pool.submit(_outcome, run) for name, run in checks.items()}
            for name, outcome in running.items():
                self._print(name, outcome.result())

    def end(self) -> int:
        """Print how many checks failed; return the exit code."""
        states = list(self._states.values())
        failed, warned = states.count("FAIL"), states.count("warn")
        print(f"\n{failed} of {len(states)} checks failed, {warned} warned.")
        return 1 if failed else 0

    def _print(self, name: str, outcome: Outcome) -> None:
        self._states[name], text = outcome
        # What a server said must not steer the terminal.
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
        print(f"{outcome[0]:8}{name}: {text}", flush=True)


def _outcome(run: Check) -> Outcome:
    try:
        return run()
    except CheckError as error:
        return "FAIL", str(error)
    except Exception as error:
        # An answer that nobody thought of must not stop the other checks.
        kind = type(error).__name__
        return "FAIL", f"the check itself failed ({kind}): report that, please."
