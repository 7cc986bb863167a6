"""What engines count on and the specification leaves open: the profile `engines`."""
from __future__ import annotations

import json

from ..harness.trial import Trial
from ..model import Fails, case

NONE = "no-such-container"


@case("runtime.md#query-state", profile="engines", demand="the words for a container that is not there")
def words_for_no_container(t: Trial) -> None:
    """state and delete of no container say “does not exist”, which Podman and containerd look for"""
    for command in ("state", "delete"):
        said = t.error(command, NONE).stderr
        t.true("does not exist" in said, f"{command} says {said.strip()[-200:]!r}")


@case("runtime.md#delete", profile="engines", demand="delete --force of no container is no error")
def forced_delete_of_no_container(t: Trial) -> None:
    """delete --force of no container ends with 0: engines repeat it"""
    t.runtime.ok("delete", "--force", NONE)


@case("runtime.md#delete", profile="engines", demand="delete --force ends a running container")
def forced_delete(t: Trial) -> None:
    """delete --force ends a running container and deletes it"""
    made = t.running()
    t.runtime.ok("delete", "--force", made.id)
    t.equal(made.wait(), 137, "exit code of the program")
    t.error("state", made.id)


@case("runtime.md#delete", profile="engines", demand="delete of a created container kills and deletes it")
def delete_of_a_created_container(t: Trial) -> None:
    """delete without --force of a container that was not started ends with 0: containerd's shim does so"""
    made = t.create()
    made.delete()
    t.equal(made.wait(), 137, "exit code of the process that waited for start")
    t.error("state", made.id)


@case("runtime.md#state", profile="engines", demand="list --format json has the state of each container")
def list_as_json(t: Trial) -> None:
    """list --format json is a list with id, status, pid and bundle of each container"""
    made = t.create()
    said = t.runtime.ok("list", "--format", "json").stdout
    try:
        found = {entry["id"]: entry for entry in json.loads(said)}
    except (ValueError, TypeError, KeyError) as error:
        raise Fails(f"list prints {said[:300]!r}") from error
    entry = found.get(made.id) or {}
    t.equal((entry.get("status"), entry.get("pid")), ("created", made.pid), "status and pid")


@case("runtime.md#errors", profile="engines", demand="--log and --log-format json: one record with level and msg")
def log_as_json(t: Trial) -> None:
    """An error is the last record of the log: a line of JSON with level error and the words in msg"""
    log = t.place / "log"
    t.error("--log", log, "--log-format", "json", "create", "--bundle", t.bundle(process={"args": ["/no/such"]}),
            t.new_id())
    lines = log.read_text().splitlines() if log.exists() else []
    try:
        record = json.loads(lines[-1])
    except (ValueError, IndexError) as error:
        raise Fails(f"the log is {lines!r}") from error
    t.equal(record.get("level"), "error", "level")
    t.true("/no/such" in record.get("msg", ""), f"msg is {record.get('msg')!r}")
