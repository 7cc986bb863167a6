"""Kernel parameters. Which ones are allowed: tests/config; from inside a container: tests/container/test_inside.py."""
from __future__ import annotations

import posix

import pytest

from pyrunc.engine.facts import Facts
from pyrunc.kernel.linux import Kernel
from pyrunc.kernel.recorder import Recorder
from pyrunc.steps import sysctl

from .planned import applied, config, facts, plan, story


# config-linux.md#sysctl: "sysctl (object, OPTIONAL) allows kernel parameters to be modified at runtime for the
# container."
def test_each_parameter_is_a_step_with_its_place() -> None:
    steps = plan(sysctl.all, config(linux={"sysctl": {"net.ipv4.ip_forward": "1", "kernel/msgmax": "9999"}}))
    assert story(steps) == [
        ("sysctl.set", 'linux.sysctl["net.ipv4.ip_forward"]', "set net.ipv4.ip_forward = 1"),
        ("sysctl.set", 'linux.sysctl["kernel/msgmax"]', "set kernel/msgmax = 9999")]
    assert plan(sysctl.all, config()) == []


@pytest.mark.parametrize("key, path", [
    ("net.ipv4.ip_forward", "sys/net/ipv4/ip_forward"), ("net/ipv4/ip_forward", "sys/net/ipv4/ip_forward"),
    ("net.ipv4.conf.eth0/1.rp_filter", "sys/net/ipv4/conf/eth0.1/rp_filter"),
    ("net/ipv4/conf/eth0.1/rp_filter", "sys/net/ipv4/conf/eth0.1/rp_filter")])
def test_the_file_is_opened_below_the_own_procfs_without_any_link(key: str, path: str) -> None:
    [step] = plan(sysctl.all, config(linux={"sysctl": {key: "1"}}))
    assert applied(step) == [("open_in_root", facts().proc_fd, path, posix.O_WRONLY, 0, 0x0F), ("write", 100, b"1")]


def test_the_descriptor_is_closed_also_when_the_value_is_refused() -> None:
    [step] = plan(sysctl.all, config(linux={"sysctl": {"kernel.msgmax": "x"}}))
    kernel = Recorder(errors={"write": [22]})
    with pytest.raises(OSError, match="Invalid argument"):
        step.apply(kernel, facts())
    assert kernel.fds == {}


def test_a_parameter_of_the_kernel_is_written_and_put_back() -> None:
    """With the real kernel: domainname of a new uts namespace, below a procfs that is mounted nowhere."""
    from tests.forked import forked

    def act() -> str:
        kernel, known = Kernel(), Facts()
        filesystem = kernel.fsopen("proc")
        kernel.fsconfig(filesystem, 6)               # FSCONFIG_CMD_CREATE
        known.proc_fd = kernel.fsmount(filesystem, 0)
        [step] = plan(sysctl.all, config(linux={"sysctl": {"kernel.domainname": "example.test"}}))
        step.apply(kernel, known)
        return posix.uname().nodename + " " + open("/proc/sys/kernel/domainname").read()
    assert forked(act, 0x04000000 | 0x00020000).split()[1] == "example.test"
