#!/usr/bin/env python3
"""Writes the scenario "quarry" into the folder given (default: beside this file), the same bytes on each run.

  generate.py [DIR]     capture.ndjson.zst, expected_findings.ndjson, decoys.ndjson, duplicates.json, reference/*.json
"""
import json
import os
import shutil
import subprocess
import sys

import ordinary
import people
import violations
import violations_late
from lines import Book


def write(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(r, ensure_ascii=False, sort_keys=True) + "\n" for r in rows)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    os.makedirs(os.path.join(out, "reference"), exist_ok=True)
    b = Book(20260907)
    ordinary.everything(b)
    violations.everything(b)
    violations_late.everything(b)
    for person, logons in b.logons.values():
        b.expect("AU-07", person, logons, "Medium", "Bastionhost does not tell the second factor: unknown, one per account and day (AU-07 Logic)")
    records = sorted(b.records, key=lambda r: r.arrival)
    repeats, capture = [], []
    for n, r in enumerate(records):
        r.offset = len(capture)
        row = dict(topic=r.topic, partition=0, offset=r.offset, tstype="create", ts=int(r.arrival.timestamp() * 1000), key=None, payload=r.payload)
        capture.append(row)
        if n % 97 == 41:
            repeats.append([len(capture), r.offset])
            capture.append(dict(row, offset=len(capture), ts=row["ts"] + 7))
    name = os.path.join(out, "capture.ndjson")
    write(name, capture)
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-q", "-15", "-f", "--rm", name], check=True)
    for file, rows in (("expected_findings", b.expected), ("decoys", b.decoys)):
        write(os.path.join(out, file + ".ndjson"), [dict(r, evidence=sorted(e.offset for e in r["evidence"])) for r in rows])
    with open(os.path.join(out, "duplicates.json"), "w") as f:
        json.dump(dict(duplicates=repeats), f)
    tables = people.tables()
    tables["approvals"] = people.standing_tickets() + b.tickets
    tables["change_calendar"] = b.changes
    tables["source_register"] = [dict(source=s, max_silence_s=604800, clock_tolerance_s=5) for s in sorted({r.topic[6:] for r in b.records})]
    for table, rows in tables.items():
        with open(os.path.join(out, "reference", table + ".json"), "w", encoding="utf-8") as f:
            json.dump(rows, f, ensure_ascii=False, indent=1)
    print(len(capture), "records,", len(b.expected), "expected,", len(b.decoys), "decoys")


main()
