"""Read the file of a W&B run that was recorded offline: a LevelDB log of protobuf records."""

import json
import struct
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 32_768  # bytes; the file and each part of a record have a header
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4  # how much of a record a part is


def records(file: Path) -> list[Any]:
    """Return all records of a .wandb file."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, found, parts = file.read_bytes(), HEADER, [], b""
    assert data[:4] == b":W&B"
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:  # padding
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + HEADER])
        parts += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (FULL, LAST):
            found.append(Record.FromString(parts))
            parts = b""
    return found


def offline_run(folder: Path) -> dict[str, Any]:
    """Return what the .wandb files of a run folder contain, in the order in which they were written.

    Returns:
        "ids", "names", "groups", "projects" (one for each file); "tags", "config", "summary"; "history", a list with
        a dict for each logged point; "exit_codes".
    """
    content: dict[str, Any] = {"tags": [], "config": {}, "summary": {}, "history": [], "exit_codes": []}
    content |= {"ids": [], "names": [], "groups": [], "projects": []}
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for record in records(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = record.run
                content["ids"].append(run.run_id)
                content["names"].append(run.display_name)
                content["groups"].append(run.run_group)
                content["projects"].append(run.project)
                content["tags"] = list(run.tags)
                content["config"] |= {item.key: json.loads(item.value_json) for item in run.config.update}
            elif kind == "summary":
                content["summary"] |= values(record.summary.update)
            elif kind == "history":
                content["history"].append(values(record.history.item))
            elif kind == "exit":
                content["exit_codes"].append(record.exit.exit_code)
    return content


def values(items: Any) -> dict[str, Any]:
    """Return the values of a record by name; the parts of a nested name are joined by dots."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
