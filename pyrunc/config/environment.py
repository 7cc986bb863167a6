"""The environment of the container's process: what config.json, the caller's protocols and /etc/passwd say."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.facts import Facts
    from ..options import Options
    from .types import Config

#: execvp(3): where the GNU C library looks without PATH.
DEFAULT_PATH = "/bin:/usr/bin"


class Environment:
    """process.env as execve(2) gets it: of two entries for a name the last counts, and HOME is always there."""

    def __init__(self, config: Config, options: Options) -> None:
        variables: dict[str, str] = {}
        for entry in config["process"].get("env", ()):
            variables[entry.partition("=")[0]] = entry
        # systemd's protocols, sd_notify(3) and sd_listen_fds(3), through the runtime
        if options.notify_socket:
            variables["NOTIFY_SOCKET"] = "NOTIFY_SOCKET=/run/notify/notify.sock"
        if options.listen_fds:
            variables["LISTEN_FDS"] = f"LISTEN_FDS={options.listen_fds}"
            variables["LISTEN_PID"] = "LISTEN_PID=1"
        self.needs_home = variables.get("HOME", "HOME=") == "HOME="
        if self.needs_home:
            variables.pop("HOME", None)
        self.entries = list(variables.values())
        self.path = variables.get("PATH", f"PATH={DEFAULT_PATH}").partition("=")[2]

    def complete(self, facts: Facts) -> list[str]:
        """The entries, once the container's /etc/passwd has been read."""
        return [*self.entries, f"HOME={facts.home or '/'}"] if self.needs_home else self.entries


def home_in(passwd: bytes, uid: int) -> str:
    """The home directory of the first entry with this uid in the text of a passwd(5) file, "" for none."""
    for line in passwd.split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= 6 and fields[2] == str(uid).encode():
            return fields[5].decode(errors="replace").replace("\0", "")
    return ""
