"""Import this before pypiserver: it keeps quiet what fails a test run, on Python 3.10 to 3.12."""

from __future__ import annotations

import sys
import warnings

with warnings.catch_warnings():
    # pypiserver's bottle imports cgi, which is deprecated, ...
    warnings.simplefilter("ignore")
    import pypiserver  # noqa: F401

# ... and leaves a finder behind about which Python warns at every later import.
sys.meta_path[:] = [x for x in sys.meta_path if type(x).__name__ != "_ImportRedirect"]
