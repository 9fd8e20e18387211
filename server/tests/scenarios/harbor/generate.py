#!/usr/bin/env python3
"""Writes the scenario: capture.ndjson, expected_findings.ndjson, decoys.ndjson, duplicates.json, reference/*.json.

  generate.py [FOLDER]      (default: this folder; the capture is compressed with zstd when that program is there)
"""
import json
import os
import shutil
import subprocess
import sys

import breaches_access
import breaches_conduct
import breaches_identity
import company
import lines
import ordinary


def number(records):
    """Serials of auditd and Windows: without a gap for each host, in the order of arrival; one event's records share theirs."""
    serial, events = {}, {}
    for r in records:
        key = r["numbered"]
        if not key:
            continue
        host = key.split("#")[0]
        if "#" in key and key in events:
            n = events[key]
        else:
            n = serial[host] = serial.get(host, 41000 + 1000 * len(serial)) + 1
            events[key] = n
        r["payload"] = r["payload"].replace('"@SERIAL@"', str(n)).replace("@SERIAL@", str(n))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    cap = lines.Capture(company.build())
    ordinary.work(cap)
    for module in (breaches_identity, breaches_access, breaches_conduct):
        module.all_of_them(cap)
    records = sorted(cap.records, key=lambda r: (r["ts"], r["n"]))
    number(records)
    repeats, out = [], []
    for n, r in enumerate(records):
        r["offset"] = len(out)
        out.append(r)
        if n % 400 == 399 and r["source"] in ("jumpserver", "webaudit", "actiontrail", "cloudtrail", "okta"):
            repeats.append([len(out), r["offset"]])
            out.append(dict(r, ts=r["ts"] + 1))
    path = os.path.join(folder, "capture.ndjson")
    with open(path, "w", encoding="utf-8") as f:
        for n, r in enumerate(out):
            f.write(json.dumps(dict(topic="audit." + r["source"], partition=0, offset=n, tstype="create", ts=r["ts"], key=None, payload=r["payload"]), ensure_ascii=False) + "\n")
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-q", "-f", "-19", "--rm", path], check=True)
    person = lambda e: e or None
    with open(os.path.join(folder, "expected_findings.ndjson"), "w", encoding="utf-8") as f:
        for clause, who, account, evidence, severity, why in cap.expected:
            f.write(json.dumps(dict(clause=clause, employee_id=person(who), account=account, evidence=sorted(r["offset"] for r in evidence), severity=severity, why=why), ensure_ascii=False) + "\n")
    with open(os.path.join(folder, "decoys.ndjson"), "w", encoding="utf-8") as f:
        for clause, who, evidence, why in cap.decoys:
            f.write(json.dumps(dict(clause=clause, must_not_fire=True, employee_id=person(who), evidence=sorted(r["offset"] for r in evidence), why=why), ensure_ascii=False) + "\n")
    with open(os.path.join(folder, "duplicates.json"), "w") as f:
        f.write(json.dumps(dict(duplicates=repeats)) + "\n")
    os.makedirs(os.path.join(folder, "reference"), exist_ok=True)
    for name, rows in cap.c.tables().items():
        with open(os.path.join(folder, "reference", name + ".json"), "w", encoding="utf-8") as f:
            json.dump(rows, f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")
    print(f"{len(out)} records, {len(cap.expected)} expected findings, {len(cap.decoys)} decoys, {len(cap.c.people)} people, {len(cap.c.host)} hosts")


if __name__ == "__main__":
    main()
