"""The folder and the mount that the container's notify socket comes by. What is said on it:
tests/container/test_notify.py."""
from __future__ import annotations

from pyrunc import plan
from pyrunc.host import Host
from pyrunc.options import Options
from pyrunc.request import Request
from pyrunc.steps import sd_notify
from tests.bundles import minimal

from .planned import applied, facts
from .planned import plan as planned

MOUNT = {"destination": "/run/notify", "source": "/state/c1/notify", "options": ["bind", "nosuid", "noexec", "nodev",
                                                                              "ro"]}


def test_a_folder_that_everybody_may_search() -> None:
    [folder] = planned(sd_notify.folder, minimal(), notify_socket="/run/systemd/notify")
    known = facts()
    known.state_fd = 9
    assert [call[:3] for call in applied(folder, known=known)] == [
        ("mkdir", "notify", 0o755), ("open", "notify", 0o600000), ("chmod", 100, 0o755)]
    assert planned(sd_notify.folder, minimal()) == []


def test_the_mount_comes_last_and_once() -> None:
    options = Options(id="c1", root="/state", bundle="/bundle", notify_socket="/run/systemd/notify")
    config = minimal()
    want = sd_notify.mounted(Request(config, options, Host()))      # type: ignore[arg-type]
    mounted = want.config
    assert mounted["mounts"] == [*config["mounts"], MOUNT] and "/run/notify" not in str(config)
    assert sd_notify.mounted(want) is want                     # the plan of a saved config is the same plan
    steps = [step.describe() for step in plan.create(config, options, Host())]      # type: ignore[arg-type]
    assert "open /state/c1/notify: bind,nosuid,noexec,nodev,ro" in steps
    assert steps == [step.describe() for step in plan.create(mounted, options, Host())]


def test_without_a_socket_the_config_stays_as_it_is() -> None:
    config = minimal()
    want = Request(config, Options(id="c1"), Host())           # type: ignore[arg-type]
    assert sd_notify.mounted(want) is want
