"""spec: what it writes is a config that pyrunc takes."""
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pyrunc.cli.main import main
from pyrunc.config.check import check
from pyrunc.config.load import load
from pyrunc.config.schema import Schemas


@pytest.mark.parametrize("flags", [[], ["--rootless"]])
def test_it_is_valid(tmp_path: Path, flags: list[str]) -> None:
    assert main(["spec", "--bundle", str(tmp_path), *flags]) == 0
    text = (tmp_path / "config.json").read_text()
    assert text.startswith('{\n\t"ociVersion": "1.3.0",\n\t"process": {\n\t\t"terminal": true,')
    Schemas().validator("config.json").validate(json.loads(text))
    check(load(str(tmp_path)), start=True)


def test_rootless_asks_for_nothing_only_root_can_give(tmp_path: Path) -> None:
    main(["spec", "--bundle", str(tmp_path), "--rootless"])
    config = json.loads((tmp_path / "config.json").read_text())
    kinds = {entry["type"] for entry in config["linux"]["namespaces"]}
    assert "user" in kinds and "network" not in kinds and "resources" not in config["linux"]
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    options = [option for mount in config["mounts"] for option in mount.get("options", ())]
    assert not any(option.startswith(("gid=", "uid=")) for option in options) and "rbind" in options


def test_a_file_that_is_there_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text("mine")
    assert main(["spec"]) == 1
    assert "File config.json exists. Remove it first" in capfd.readouterr().err
    assert (tmp_path / "config.json").read_text() == "mine"
    assert main(["spec", "--config", "other.json"]) == 0 and (tmp_path / "other.json").exists()
