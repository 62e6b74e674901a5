"""Who runs a command."""

import getpass


def login_name() -> str:
    """The login name; "unknown" where there is none, as in a container that runs under a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
