"""AppArmor and SELinux labels. AppArmor is enforced in the guest (tests/container/test_properties.py); SELinux needs a
kernel booted with it, so here stands what is written, and that it is read back."""
from __future__ import annotations

import errno
import posix

import pytest

from pyrunc.errors import ConfigError
from pyrunc.host import Host
from pyrunc.kernel.recorder import Recorder
from pyrunc.steps import lsm

from .planned import applied, config, facts, plan, story

BOTH = Host(apparmor=True, selinux=True)
ON_PROCFS = 0x01 | 0x02 | 0x08
NEW, OLD = "thread-self/attr/apparmor/exec", "thread-self/attr/exec"


def opened(path: str, flags: int) -> tuple[object, ...]:
    return ("open_in_root", facts().proc_fd, path, flags, 0, ON_PROCFS)


# config.md#linux-process: "apparmorProfile (string, OPTIONAL) specifies the name of the AppArmor profile for the
# process."
def test_apparmor_is_noted_by_descriptor_and_read_back() -> None:
    [step] = plan(lsm.exec_labels, config(process={"apparmorProfile": "acme"}), host=BOTH)
    assert story([step]) == [("lsm.apparmor", "process.apparmorProfile", "set AppArmor profile acme for the program")]
    assert applied(step, Recorder(files={NEW: "acme (enforce)\n"})) == [
        opened(NEW, posix.O_WRONLY), ("write", 100, b"exec acme"), opened(NEW, posix.O_RDONLY), ("read", 101, 4096)]


def test_apparmor_of_an_older_kernel() -> None:
    [step] = plan(lsm.exec_labels, config(process={"apparmorProfile": "acme"}), host=BOTH)
    calls = applied(step, Recorder(modes={NEW: None}, files={OLD: "acme (enforce)\n"}))
    assert calls[1:3] == [opened(OLD, posix.O_WRONLY), ("write", 101, b"exec acme")]


# CVE-2019-16884: a label that went into some other file confines nothing.
@pytest.mark.parametrize("noted", ["", "unconfined\n", "other (enforce)\n"])
def test_apparmor_that_did_not_arrive_is_an_error(noted: str) -> None:
    [step] = plan(lsm.exec_labels, config(process={"apparmorProfile": "acme"}), host=BOTH)
    with pytest.raises(OSError, match="attr/apparmor/exec says") as caught:
        step.apply(Recorder(files={NEW: noted}), facts())
    assert caught.value.errno == errno.EPERM


def test_apparmor_stack_in_the_kernels_order() -> None:
    [step] = plan(lsm.exec_labels, config(process={"apparmorProfile": "b//&a"}), host=BOTH)
    assert applied(step, Recorder(files={NEW: "a//&b (enforce)\n"}))


# config.md#linux-process: "selinuxLabel (string, OPTIONAL) specifies the SELinux label for the process."
@pytest.mark.spec("config.md#linux-process", "selinuxLabel")
def test_selinux_is_noted_by_descriptor_and_read_back() -> None:
    label = "system_u:system_r:svirt_lxc_net_t:s0:c124,c675"
    [step] = plan(lsm.exec_labels, config(process={"selinuxLabel": label}), host=BOTH)
    assert story([step]) == [("lsm.selinux", "process.selinuxLabel", f"set SELinux label {label} for the program")]
    assert applied(step, Recorder(files={OLD: label + "\0"})) == [
        opened(OLD, posix.O_WRONLY), ("write", 100, label.encode()), opened(OLD, posix.O_RDONLY), ("read", 101, 4096)]
    with pytest.raises(OSError, match="attr/exec says ''"):
        step.apply(Recorder(files={OLD: ""}), facts())


# runtime.md#create: "If the runtime cannot apply a property as specified in the configuration, it MUST generate an
# error and a new container MUST NOT be created."
@pytest.mark.parametrize("key, fault",
                         [("apparmorProfile", "AppArmor is not enabled"), ("selinuxLabel", "selinux is disabled")])
def test_a_label_that_this_host_cannot_apply(key: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as caught:
        plan(lsm.exec_labels, config(process={key: "x"}))
    assert caught.value.where == f"process.{key}"


def test_no_label() -> None:
    assert plan(lsm.exec_labels, config(), host=BOTH) == plan(lsm.exec_labels, config(process=None), host=BOTH) == []
