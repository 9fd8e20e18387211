//! What Grafana's Elasticsearch data source asks, by the binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use harness::crm::{send, server};
use serde_json::{Value, json};

/// What Grafana's Elasticsearch data source (11.x) sends: its health check, a time series by term, a variable, logs.
#[test]
fn grafana_asks_as_of_an_elasticsearch() {
    let mut server = server();
    send(&server);
    let auditor = server.token("auditor", "grafana");
    let call = |method: &str, path: &str, body: &str| {
        let headers = [("Content-Type", "application/x-ndjson")];
        let (status, body) =
            harness::request(server.http, method, path, Some(&auditor), &headers, body.as_bytes()).unwrap();
        (
            status,
            serde_json::from_str::<Value>(&body).unwrap_or_else(|e| panic!("{body}: {e}")),
        )
    };
    let (status, root) = call("GET", "/", "");
    assert_eq!((status, root["version"]["number"].is_string()), (200, true));
    let (_, fields) = call("GET", "/crm/_field_caps?fields=*", "");
    assert_eq!(fields["fields"]["@timestamp"]["date"]["aggregatable"], true);
    let (_, mapping) = call("GET", "/crm/_mapping", "");
    assert_eq!(mapping["docket"]["mappings"]["properties"]["user"]["type"], "keyword");

    let (from, to) = (1_772_409_600_000i64, 1_772_495_999_999i64);
    let filter = json!({"bool": {"filter": [
        {"range": {"@timestamp": {"gte": from, "lte": to, "format": "epoch_millis"}}},
        {"query_string": {"analyze_wildcard": true, "query": "status:success"}}]}});
    let series = json!({"size": 0, "query": filter, "aggs": {"3": {"terms": {"field": "actor.keyword", "size": 10,
            "order": {"_count": "desc"}, "min_doc_count": 1}, "aggs": {"2": {"date_histogram": {"field": "@timestamp",
            "min_doc_count": 0, "extended_bounds": {"min": from, "max": to}, "format": "epoch_millis", "fixed_interval": "1h"},
            "aggs": {"1": {"cardinality": {"field": "object"}}}}}}}});
    let logs = json!({"size": 500, "query": filter, "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}},
        {"_doc": {"order": "desc"}}]});
    let wrong = json!({"size": 0, "query": filter, "aggs": {"1": {"derivative": {"buckets_path": "_count"}}}});
    let head = json!({"ignore_unavailable": true, "index": "crm", "search_type": "query_then_fetch"});
    let body = [&head, &series, &head, &logs, &head, &wrong]
        .map(Value::to_string)
        .join("\n")
        + "\n";
    let (status, answer) = call("POST", "/_msearch?max_concurrent_shard_requests=5", &body);
    assert_eq!(status, 200, "{answer}");
    let responses = answer["responses"].as_array().unwrap();
    let buckets = responses[0]["aggregations"]["3"]["buckets"].as_array().unwrap();
    let keys: Vec<&str> = buckets.iter().filter_map(|b| b["key"].as_str()).collect();
    assert_eq!(keys, ["desk", "li.na", "other"]);
    let times = buckets[0]["2"]["buckets"].as_array().unwrap();
    let some = times.iter().find(|b| b["doc_count"] == 1).unwrap();
    assert_eq!(
        (&some["key"], &some["1"]["value"]),
        (&json!(1_772_445_600_000i64), &json!(2))
    );
    assert_eq!(times[0]["key"], from);
    let hits = responses[1]["hits"]["hits"].as_array().unwrap();
    assert_eq!(
        (hits.len(), &responses[1]["hits"]["total"]),
        (3, &json!({"value": 3, "relation": "eq"}))
    );
    assert_eq!(hits[0]["_source"]["web_resources"][0]["name"], "customers?id=7");
    assert!(responses[2]["error"]["reason"].as_str().unwrap().contains("derivative"));
    let (_, count) = call(
        "POST",
        "/crm/_count",
        &json!({"query": {"bool": {"must_not": [{"term": {"status": "success"}}]}}}).to_string(),
    );
    assert_eq!(count["count"], 1);
    // Who may not read is told so.
    let token = server.token("shipper", "crm-2");
    let shipper = harness::request(server.http, "POST", "/_search", Some(&token), &[], b"{}").unwrap();
    assert_eq!(shipper.0, 403);
    server.stop();
}

/// Its other questions: health, variables, orders of terms, raw documents page by page, filters, annotations; and what is
/// refused by name.
#[test]
fn what_grafana_asks_is_answered_or_refused_by_name() {
    let mut server = server();
    send(&server);
    let auditor = server.token("auditor", "grafana");
    let call = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [("Content-Type", "application/json")];
        let (status, body) =
            harness::request(server.http, method, path, Some(&auditor), &headers, body.as_bytes()).unwrap();
        (
            status,
            serde_json::from_str::<Value>(&body).unwrap_or_else(|e| panic!("{body}: {e}")),
        )
    };
    let ask = |body: Value| {
        let (status, answer) = call("POST", "/crm/_search", &body);
        assert_eq!(status, 200, "{body}: {answer}");
        answer
    };
    // Health.
    let (status, caps) = call("GET", "/crm/_field_caps?fields=@timestamp", &Value::Null);
    assert_eq!((status, caps["fields"].as_object().unwrap().len()), (200, 1));

    // {"find": "terms", "field": "actor", "query": "*"}, in every order that it can ask for.
    let terms = |order: Value, size: u64| {
        let inner = json!({"1": {"cardinality": {"field": "object"}}, "2": {"max": {"field": "time"}}});
        let answer = ask(
            json!({"size": 0, "aggs": {"v": {"terms": {"field": "actor.keyword", "size": size, "order": order,
            "min_doc_count": "1"}, "aggs": inner}}}),
        );
        let of = &answer["aggregations"]["v"];
        let keys = of["buckets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| b["key"].as_str().unwrap().to_owned());
        (keys.collect::<Vec<_>>(), of["sum_other_doc_count"].as_u64().unwrap())
    };
    assert_eq!(
        terms(json!({"_key": "asc"}), 500),
        (vec!["desk".into(), "li.na".into(), "other".into()], 0)
    );
    assert_eq!(
        terms(json!({"_key": "desc"}), 2),
        (vec!["other".into(), "li.na".into()], 2)
    );
    assert_eq!(terms(json!({"_count": "desc"}), 1), (vec!["desk".into()], 2));
    assert_eq!(terms(json!({"_count": "asc"}), 500).0.last().unwrap(), "desk");
    assert_eq!(terms(json!({"2": "desc"}), 500).0, ["other", "desk", "li.na"]);
    assert_eq!(terms(json!([{"1": "desc"}, {"_key": "asc"}]), 500).0[0], "desk");

    // Raw documents, page by page, as its Explore and log context do.
    let sort = json!([{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}]);
    let mut after = Value::Null;
    let mut seen = Vec::new();
    loop {
        let answer = ask(
            json!({"size": 3, "sort": sort, "search_after": after, "track_total_hits": true, "script_fields": {},
            "docvalue_fields": ["@timestamp"], "fields": [{"field": "*"}, {"field": "@timestamp", "format": "strict_date_optional_time_nanos"}],
            "highlight": {"fields": {"*": {}}, "fragment_size": 2147483647u32}, "_source": ["web_resources.name", "@timestamp"]}),
        );
        let hits = answer["hits"]["hits"].as_array().unwrap().clone();
        let Some(last) = hits.last() else { break };
        after = last["sort"].clone();
        for hit in &hits {
            assert_eq!(hit["_source"].as_object().unwrap().len(), 2, "{hit}");
            assert!(
                hit["fields"]["actor.user.name"].is_array() && hit["fields"]["@timestamp"][0].is_string(),
                "{hit}"
            );
            seen.push(hit["_source"]["web_resources"][0]["name"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(
        seen,
        [
            "customers?id=7",
            "reports/a-b.c",
            "reports/客户名单",
            "customers?id=1%20or%201"
        ]
    );
    let skipped = ask(json!({"size": 1, "from": 2, "sort": sort}));
    assert_eq!(
        skipped["hits"]["hits"][0]["fields"]["@timestamp"][0],
        1_772_445_600_000i64
    );
    let by_name = ask(json!({"size": 10, "sort": [{"actor": "asc"}], "_source": false, "fields": ["actor"]}));
    let names: Vec<&str> = by_name["hits"]["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["fields"]["actor"][0].as_str().unwrap())
        .collect();
    assert_eq!(names, ["desk", "desk", "li.na", "other"]);

    // The volume of logs by level: filters, each by time; days of a zone.
    let answer = ask(json!({"size": 0, "aggs": {"levels": {"filters": {"filters": {
        "fine": {"query_string": {"query": "status:success", "analyze_wildcard": true}},
        "failed": {"query_string": {"query": "status:failure", "analyze_wildcard": true}}}},
        "aggs": {"t": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d", "time_zone": "Asia/Shanghai", "min_doc_count": 0}}}}}}));
    let levels = &answer["aggregations"]["levels"]["buckets"];
    assert_eq!(
        (&levels["fine"]["doc_count"], &levels["failed"]["doc_count"]),
        (&json!(3), &json!(1))
    );
    // 2026-03-02 at +08:00 begins at 16:00 UTC of the day before.
    assert_eq!(levels["fine"]["t"]["buckets"][0]["key"], 1_772_380_800_000i64);

    // Percentiles and extended statistics, which its menu of metrics has: of 9:00, 10:00, 13:00 and 14:00.
    let hour = |n: i64| 1_772_409_600_000 + n * 3_600_000;
    let answer = ask(json!({"size": 0, "aggs": {
        "1": {"percentiles": {"field": "@timestamp", "percents": ["25", "50", "100"]}},
        "2": {"extended_stats": {"field": "@timestamp", "sigma": "1"}}}}));
    let of = &answer["aggregations"];
    let percentile = |p: &str| of["1"]["values"][p].as_f64().unwrap() as i64;
    assert_eq!(
        [percentile("25.0"), percentile("50.0"), percentile("100.0")],
        [hour(9) + 2_700_000, hour(11) + 1_800_000, hour(14)]
    );
    let deviation = of["2"]["std_deviation"].as_f64().unwrap();
    assert!((deviation - 4.25f64.sqrt() * 3_600_000.0).abs() < 1.0, "{of}");
    assert_eq!(of["2"]["count"], 4);
    let upper = of["2"]["std_deviation_bounds"]["upper"].as_f64().unwrap();
    assert!((upper - (hour(11) + 1_800_000) as f64 - deviation).abs() < 1.0, "{of}");

    // Annotations.
    let range = json!({"range": {"@timestamp": {"from": 1_772_441_999_000i64, "to": 1_772_449_200_000i64, "format": "epoch_millis"}}});
    let answer = ask(json!({"size": 10000, "query": {"bool": {"filter": [
        {"bool": {"should": [range], "minimum_should_match": 1}}, {"query_string": {"query": "*"}}]}}}));
    assert_eq!(answer["hits"]["total"]["value"], 2);

    // What is not understood is refused, and says what.
    for (body, named) in [
        (
            json!({"aggs": {"a": {"percentiles": {"field": "time", "percents": [101]}}}}),
            "percents",
        ),
        (json!({"aggs": {"a": {"percentiles": {"field": "host"}}}}), "host"),
        (
            json!({"aggs": {"a": {"median_absolute_deviation": {"field": "bytes"}}}}),
            "median_absolute_deviation",
        ),
        (
            json!({"aggs": {"a": {"terms": {"field": "actor", "include": "a.*"}}}}),
            "include",
        ),
        (
            json!({"aggs": {"a": {"terms": {"field": "actor", "order": {"nothing": "desc"}}}}}),
            "nothing",
        ),
        (
            json!({"aggs": {"a": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d", "time_zone": "Europe/Berlin"}}}}),
            "Europe/Berlin",
        ),
        (json!({"query": {"regexp": {"actor": "a.*"}}}), "regexp"),
        (json!({"sort": sort, "search_after": [5]}), "search_after"),
        (json!({"sort": [{"cmd": "asc"}]}), "cmd"),
        (json!({"runtime_mappings": {"a": {"type": "long"}}}), "runtime_mappings"),
        (json!({"from": 9_999, "size": 10}), "search_after"),
    ] {
        let (status, answer) = call("POST", "/_search", &body);
        let told = answer["error"].as_str().unwrap();
        assert!(status == 400 && told.contains(named), "{body}: {status} {told}");
    }
    server.stop();
}
