"""Why a download failed, in one line."""

import zipfile
from http.client import HTTPException

import requests

from recsys.data.sources import transfer
from recsys.errors import DownloadError, first_line, named_line

MAX_REASON = 200  # characters


def reason_of(problem: Exception) -> str:
    """Return one line that says why a download failed.

    Parts of it may come from the server, so it is shortened, and characters that are not printable are replaced.
    """
    reason = "".join(character if character.isprintable() else "?" for character in _description(problem))
    return reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}..."


def _description(problem: Exception) -> str:
    if isinstance(problem, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(problem):
            return "its certificate was refused (expired, or not trusted on this machine)"
        return "no secure connection; it may not be an https server"
    if isinstance(problem, requests.exceptions.ProxyError):
        return "the proxy refuses, or cannot be reached; check HTTPS_PROXY and HTTP_PROXY"
    if isinstance(problem, requests.exceptions.ConnectTimeout):
        return f"no connection within {transfer.TIMEOUT[0]} seconds"
    if isinstance(problem, requests.exceptions.ReadTimeout) or "Read timed out" in str(problem):
        return f"no data for {transfer.TIMEOUT[1]:g} seconds"
    if isinstance(problem, requests.exceptions.ConnectionError):
        if _is_malformed(problem):
            return "the response is not valid HTTP"
        return "cannot be reached (no network, or the server is down)"
    if isinstance(problem, requests.exceptions.ChunkedEncodingError):
        return "the connection was interrupted"
    if isinstance(problem, requests.exceptions.HTTPError) and problem.response is not None:
        return f"the server answered {problem.response.status_code} {problem.response.reason}"
    if isinstance(problem, DownloadError | OSError | zipfile.BadZipFile):
        return first_line(problem)
    return f"cannot be read ({named_line(problem)})"


def _is_malformed(problem: requests.exceptions.ConnectionError) -> bool:
    """Return whether a server answered, but not in HTTP; urllib3 keeps the error of http.client as an argument."""
    cause = problem.args[0].args[-1] if problem.args and getattr(problem.args[0], "args", ()) else None
    return isinstance(cause, HTTPException) and not isinstance(cause, OSError)
