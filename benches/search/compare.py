#!/usr/bin/env python3
"""The same records and questions on Docket and on ClickHouse (chdb, in process), one after the other; prints Markdown.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install chdb
    cargo build --release -p benches --bin search
    /tmp/venv/bin/python benches/search/compare.py --dir /tmp/search-bench

Needs about 4 GB below --dir for two million records, and removes them at the end (--keep leaves them).
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

TABLE = """
CREATE TABLE t (
  time Int64 CODEC(Delta, ZSTD(1)), class UInt32, source LowCardinality(String), user LowCardinality(String),
  actor LowCardinality(String), src LowCardinality(String), host LowCardinality(String), session String,
  status LowCardinality(String), method LowCardinality(String), code LowCardinality(String),
  cmd String CODEC(ZSTD(1)), url String CODEC(ZSTD(1)), msg String CODEC(ZSTD(1)), raw String CODEC(ZSTD(1)),
  INDEX i_session session TYPE bloom_filter GRANULARITY 1{indexes}
) ENGINE = MergeTree ORDER BY time
"""


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def size(folder):
    return sum(os.path.getsize(os.path.join(at, f)) for at, _, files in os.walk(folder) for f in files)


def docket(binary, *args):
    out = subprocess.run([binary, *args], check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out)


def clickhouse(folder, rounds):
    from chdb import session

    os.makedirs(folder + "/clickhouse", exist_ok=True)
    db = session.Session(folder + "/clickhouse")
    ask = lambda sql: str(db.query(sql, "JSONCompactEachRow"))
    version = ask("SELECT version()").strip()
    for setting in ("allow_experimental_full_text_index", "enable_full_text_index"):
        try:
            ask(f"SET {setting} = 1")
        except Exception as error:
            print(f"{setting}: {str(error)[:80]}", file=sys.stderr)
    # What Docket has as text.
    index = ",\n  INDEX i_{0} {0} TYPE text(tokenizer = 'splitByNonAlpha')"
    text = "".join(index.format(column) for column in ("raw", "cmd", "url", "msg"))
    try:
        ask(TABLE.format(indexes=text))
    except Exception as error:
        print(f"text index: {str(error)[:300]}", file=sys.stderr)
        text = text.replace("'", "")
        ask(TABLE.format(indexes=text))
    began, used = time.time(), cpu()
    ask(f"INSERT INTO t SELECT * FROM file('{folder}/rows.ndjson', JSONEachRow)")
    while int(json.loads(ask("SELECT count() FROM system.merges").strip() or "[0]")[0]):
        time.sleep(0.2)
    indexing = {"cpu_s": cpu() - used, "wall_s": time.time() - began, "bytes": None}
    parts = json.loads(ask("SELECT count(), sum(rows), sum(bytes_on_disk) FROM system.parts WHERE table = 't' AND active").strip())
    indexing["bytes"], indexing["parts"], indexing["rows"] = int(parts[2]), int(parts[0]), int(parts[1])
    answers = []
    for question in json.load(open(folder + "/questions.json")):
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            answer = ask(question["sql"])
            times.append((time.perf_counter() - began) * 1e3)
        hits = json.loads(ask(f"SELECT count() FROM t WHERE {question['where']}").strip())[0]
        answers.append({"name": question["name"], "p50_ms": statistics.median(times), "rows": answer.count("\n"), "hits": int(hits)})
    db.close()
    return version, indexing, answers


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--dir", required=True)
    args.add_argument("--records", type=int, default=2_000_000)
    args.add_argument("--rounds", type=int, default=21)
    args.add_argument("--binary", default="target/release/search")
    args.add_argument("--keep", action="store_true")
    args.add_argument("--reuse", action="store_true", help="the records and the index of an earlier run")
    args = args.parse_args()
    folder, sizes = os.path.abspath(args.dir), os.path.join(args.dir, "made.json")
    if not args.reuse:
        made = docket(args.binary, "make", "--dir", folder, "--records", str(args.records))
        json.dump(made, open(sizes, "w"))
    made = json.load(open(sizes))
    load = os.getloadavg()
    # The same rows that ClickHouse is given, then the ledger's records.
    of_rows = docket(args.binary, "index", "--rows", "--dir", folder)
    shutil.rmtree(folder + "/index-of-rows")
    kept = os.path.join(args.dir, "indexed.json")
    if not (args.reuse and os.path.exists(kept)):
        json.dump(docket(args.binary, "index", "--dir", folder), open(kept, "w"))
    indexed = json.load(open(kept))
    asked = docket(args.binary, "ask", "--dir", folder, "--rounds", str(args.rounds))
    shutil.rmtree(folder + "/clickhouse", ignore_errors=True)
    version, indexing, answers = clickhouse(folder, args.rounds)
    questions = json.load(open(folder + "/questions.json"))

    raw = made["raw_bytes"]
    print(f"{made['records']} records ({raw} bytes), {made['events']} events; ClickHouse {version} (chdb); load {load[0]:.1f}\n")
    print("| question | Docket, p50 ms | ClickHouse, p50 ms | ratio | asked | shown | that fit, of the same rows |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for question, ours, theirs, fit in zip(questions, asked["questions"], answers, of_rows["hits"]):
        ratio = theirs["p50_ms"] / ours["p50_ms"]
        print(
            f"| {question['name']} | {ours['p50_ms']:.2f} | {theirs['p50_ms']:.1f} | {ratio:.1f} | ≥ {question['at_least']} "
            f"| {ours['found']} / {theirs['rows']} rows | {fit} / {theirs['hits']} |"
        )
    both = indexed["index_bytes"] + made["ledger_bytes"]
    print("\n| cost | Docket | ClickHouse | asked |")
    print("|---|---:|---:|---|")
    if not of_rows["events"] == made["events"] == indexing["rows"]:
        sys.exit(f"not the same rows: {of_rows['events']}, {made['events']}, {indexing['rows']}")
    ratio = of_rows["cpu_s"] / indexing["cpu_s"]
    print(f"| the same rows of JSON: parsed, indexed, merged, CPU s | {of_rows['cpu_s']:.1f} (parsing {of_rows['read_cpu_s']:.1f}) "
          f"| {indexing['cpu_s']:.1f} | ≤ 1.3 times: {ratio:.2f} |")
    ratio = indexed["index_cpu_s"] / indexing["cpu_s"]
    print(f"| the ledger's events, indexed and merged, CPU s | {indexed['index_cpu_s']:.1f} | | {ratio:.2f} |")
    whole = indexed["index_cpu_s"] + indexed["read_cpu_s"]
    print(f"| with the reading of the ledger and normalization, CPU s | {whole:.1f} | | {whole / indexing['cpu_s']:.2f} |")
    print(f"| index of the same rows, bytes | {of_rows['index_bytes']} | {indexing['bytes']} | |")
    print(f"| on disk, bytes | {both} (index {indexed['index_bytes']}, ledger {made['ledger_bytes']}) | {indexing['bytes']} | ≤ 0.60 of raw: {both / raw:.2f} |")
    print(f"| peak RSS while indexing, MiB | {max(indexed['peak_mib'], of_rows['peak_mib']):.0f} | | ≤ 1024 |")
    print(f"\nIndex: {indexed['splits']} splits, {indexed['hot_events']} events hot in {indexed['hot_segments']} segments; indexed in {indexed['wall_s']:.0f} s. ClickHouse: {indexing['parts']} parts.")
    if not args.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
