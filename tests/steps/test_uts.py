"""Host name and domain name. From inside a container: tests/container/test_inside.py."""
from __future__ import annotations

from pyrunc.steps import uts

from .planned import config, done, plan, story


# config.md#hostname: "hostname (string, OPTIONAL) specifies the container's hostname as seen by processes running
# inside the container."
def test_both_names() -> None:
    wanted = config(hostname="box", domainname="example.test")
    assert story(plan(uts.all, wanted)) == [("uts.hostname", "hostname", "set hostname box"),
                                            ("uts.domainname", "domainname", "set domainname example.test")]
    assert done(uts.all, wanted) == [("sethostname", "box"), ("setdomainname", "example.test")]


def test_no_name_and_an_empty_one_ask_for_nothing() -> None:
    assert plan(uts.all, config()) == plan(uts.all, config(hostname="", domainname="")) == []
