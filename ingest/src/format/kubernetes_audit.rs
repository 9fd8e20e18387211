//! Kubernetes' audit events (`audit.k8s.io/v1`): API Activity 6003.
//!
//! | verb | activity |
//! |---|---|
//! | `get`, `list`, `watch`, `head`, `options` | 2 Read |
//! | `create`, `post` | 1 Create; of `pods/exec`, `pods/attach`, `pods/portforward`, `…/proxy` 99 `connect` |
//! | `update`, `patch`, `put`, `approve` | 3 Update |
//! | `delete`, `deletecollection` | 4 Delete |
//! | `connect`, `impersonate`, `bind`, `escalate`, `use` and any other | 99, the verb is the name |
//!
//! `actor.user.{name,uid,type_id,groups.name}` (service accounts type_id 4); of an impersonation the one who did it, and
//! `unmapped.impersonatedUser` whose rights were used. `src_endpoint.ip` is the first of `sourceIPs`, the proxies are
//! `.intermediate_ips`. `api.operation` is the verb, `resources.{type,name,namespace,uid}` the object (`type` with its
//! subresource: `pods/exec`), `api.request.data` and `api.response.{code,message,data}` the bodies, with the data of Secrets masked
//! here and in the native fields. `actor.authorizations.decision` is `allow` or `forbid`; under `unmapped`: `stage`, `level`,
//! `apiGroup`, `subresource`, `annotations`.
//!
//! Each request is told at several stages. `ResponseComplete`, `Panic`, and `ResponseStarted` of a watch or of an exec are the
//! request; the others are kept as events with the label `attempt.detail` and without a log source, so that no rule counts a
//! request twice. A repeated delivery is one of the same `auditID` and stage.
//!
//! Envelopes that are taken off: `EventList` (each item an event), Azure's `properties.log`, Google's audit log of `k8s.io`
//! (`protoPayload`; native fields as they are, log source gcp); objects as JSON text, as Simple Log Service has them. CloudWatch's
//! and others are a collector's.
//!
//! Log source: category application, product kubernetes, service audit. `docket.system` is `k8s:<cluster>` unless configured:
//! the cluster that the envelope names, or else the source's id.

mod google;
mod secrets;

use std::borrow::Cow;

use model::value::int_text;
use model::{Event, Map, Object, Value};
use serde_json::json;

use crate::builder::{EventBuilder, address};
use crate::class;
use crate::fields::Fields;
use crate::format::draft::{self, Names};
use crate::format::{Format, Input, Match, Quarantine};
use crate::json;
use crate::seek;
use google::google;
use secrets::masked;

/// Kubernetes audit.
pub static FORMAT: Format = Format {
    name: "kubernetes_audit",
    aliases: &["k8s", "k8s_audit", "kubernetes", "kube_audit"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let found = |score, reason| Some(Match { score, reason });
    if is_event(object) {
        return found(95, "apiVersion audit.k8s.io");
    }
    let fields = Fields(object);
    if fields.text("kind").as_deref() == Some("EventList") && object.contains_key("items") {
        return found(90, "a list of Kubernetes audit events");
    }
    if azure(fields).is_some() {
        return found(95, "Azure's envelope of a Kubernetes audit event");
    }
    if is_google(fields) {
        return found(95, "Google's audit log of k8s.io");
    }
    // Without apiVersion it could be an event of the API, which has no verb.
    let has = |name: &str| object.contains_key(name);
    if fields.text("kind").as_deref() == Some("Event") && (has("verb") || has("requestURI") || has("auditID")) {
        return found(85, "kind Event with a verb");
    }
    if has("verb") && fields.object("objectRef").is_some() {
        return found(80, "the keys verb and objectRef");
    }
    None
}

fn is_event(object: Object<'_>) -> bool {
    Fields(object)
        .text("apiVersion")
        .is_some_and(|v| v.starts_with("audit.k8s.io/"))
        && Fields(object).text("kind").as_deref() != Some("EventList")
}

/// The audit event as JSON text in Azure's diagnostic log.
fn azure(fields: Fields<'_>) -> Option<&str> {
    let log = fields.value("properties.log")?.as_str()?;
    let category = fields.text("category").or_else(|| fields.text("Category"))?;
    (category.starts_with("kube-audit") && log.trim_start().starts_with('{')).then_some(log)
}

fn is_google(fields: Fields<'_>) -> bool {
    fields.object("protoPayload").is_some_and(|p| {
        p.text("serviceName").as_deref() == Some("k8s.io")
            || p.text("methodName").is_some_and(|m| m.starts_with("io.k8s."))
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let fields = Fields(object);
    if fields.text("kind").as_deref() == Some("EventList") {
        let Some(Value::Array(items)) = object.get("items") else {
            return Err(Quarantine("kubernetes_no_items"));
        };
        let mut events = Vec::with_capacity(items.len());
        for item in *items {
            let Value::Object(item) = item else {
                return Err(Quarantine("kubernetes_no_items"));
            };
            let text = item.to_string();
            let part = Input::of_text(input, &text);
            events.push(event(&part, *item, None)?);
        }
        return Ok(events);
    }
    if let Some(log) = azure(fields) {
        let log = input.keep().text(log);
        let cluster = fields
            .first(&["resourceId", "resourceID"])
            .map(|r| draft::file_name(&r).to_owned());
        let inner = input.adopt(json::parse(input.arena, log)?);
        return Ok(vec![event(input, inner, cluster)?]);
    }
    if is_google(fields) {
        return Ok(vec![google(input, object)]);
    }
    let cluster = fields.first(&["clusterName", "cluster_name", "cluster_id", "cluster"]);
    let cluster = cluster.map(Cow::into_owned);
    Ok(vec![event(input, object, cluster)?])
}

fn activity(verb: &str, subresource: &str) -> u8 {
    match verb {
        "create" | "get" | "connect" if CONNECTIONS.contains(&subresource) => 99,
        "get" | "list" | "watch" | "head" | "options" => 2,
        "create" | "post" => 1,
        "update" | "patch" | "put" | "approve" => 3,
        "delete" | "deletecollection" => 4,
        _ => 99,
    }
}

/// Subresources that are a connection to what runs.
const CONNECTIONS: &[&str] = &["exec", "attach", "portforward", "proxy"];

/// Fields that may come as JSON text.
const TEXTS: &[&str] = &[
    "user",
    "impersonatedUser",
    "sourceIPs",
    "objectRef",
    "responseStatus",
    "requestObject",
    "responseObject",
    "annotations",
];

static READ: Names = Names::new(&[
    "kind",
    "apiVersion",
    "auditID",
    "verb",
    "requestURI",
    "user",
    "sourceIPs",
    "userAgent",
    "objectRef",
    "responseStatus",
    "requestObject",
    "responseObject",
    "requestReceivedTimestamp",
    "stageTimestamp",
]);

fn start<'a>(input: &Input<'a>, verb: &str, subresource: &str, cluster: Option<&str>) -> EventBuilder<'a> {
    let activity = activity(verb, subresource);
    let mut b = EventBuilder::new(input, &class::API_ACTIVITY, activity, "Kubernetes", "Kubernetes");
    if CONNECTIONS.contains(&subresource) {
        b.word("activity_name", "connect");
    } else if activity == 99 {
        b.set("activity_name", if verb.is_empty() { "Other" } else { verb });
    }
    let cluster = cluster.filter(|c| !c.is_empty()).unwrap_or(&input.record.source);
    if cluster.is_empty() {
        b.system("k8s");
    } else {
        b.system_of("k8s:", cluster);
    }
    b
}

fn event<'a>(input: &Input<'a>, mut object: Object<'a>, cluster: Option<String>) -> Result<Event<'a>, Quarantine> {
    let arena = input.arena;
    // Log services flatten an event, so that its objects come as JSON text.
    for name in TEXTS {
        if let Some(Value::String(text)) = object.get(name)
            && text.starts_with(['{', '['])
            && let Ok(read) = serde_json::from_str::<serde_json::Value>(text)
            && (read.is_object() || read.is_array())
        {
            object = object.with(arena, name, arena.value(&read));
        }
    }
    for body in ["requestObject", "responseObject"] {
        if let Some(there) = object.get(body)
            && let Some(masked) = masked(arena, there)
        {
            object = object.with(arena, body, masked);
        }
    }
    let fields = Fields(object);
    let Some(verb) = fields
        .first(&["verb", "requestURI", "auditID", "stage", "user.username"])
        .map(|_| fields.text("verb").unwrap_or_default())
    else {
        return Err(Quarantine("kubernetes_no_verb"));
    };
    let target = fields.object("objectRef");
    let of = |name: &str| target.and_then(|t| t.text(name));
    let subresource = of("subresource").unwrap_or_default();
    let mut b = start(input, &verb, &subresource, cluster.as_deref());
    let stage = fields.text("stage").unwrap_or_default();
    let lasting = verb == "watch" || CONNECTIONS.contains(&&*subresource);
    if matches!(&*stage, "" | "ResponseComplete" | "Panic") || (stage == "ResponseStarted" && lasting) {
        b.logsource("kubernetes", "application", "audit");
    } else {
        b.label("attempt.detail");
    }
    if let Some(id) = fields.text("auditID") {
        let uid = Value::String(arena.concat(&[&id, "/", &stage]));
        b.metadata("original_event_uid", uid);
        b.set("api.request.uid", &*id);
    }
    b.set_some("metadata.log_version", fields.text("apiVersion").as_deref());
    let times = ["requestReceivedTimestamp", "stageTimestamp", "timestamp"];
    let time = times.iter().find_map(|n| fields.value(n));
    draft::utc(&mut b, input, time);

    if let Some(user) = fields.object("user") {
        actor(&mut b, user);
    }
    let mut addresses = draft::scalars(fields.value("sourceIPs"));
    if let Some(first) = addresses.next() {
        draft::source(&mut b, Some(first));
        let proxies: Vec<_> = addresses.filter_map(|p| address(&p).0).collect();
        b.set("src_endpoint.intermediate_ips", proxies);
    }
    b.set_some("http_request.user_agent", fields.text("userAgent").as_deref());
    if let Some(uri) = fields.text("requestURI") {
        let (path, query) = seek::cut(&uri, b'?').unwrap_or((&uri, ""));
        b.set("http_request.url.path", if path.is_empty() { "/" } else { path })
            .set("http_request.url.query_string", query);
    }

    b.set("api.operation", if verb.is_empty() { "unknown" } else { &*verb });
    b.set_some("api.version", of("apiVersion").as_deref());
    b.set_some("api.group.name", of("apiGroup").as_deref());
    b.word("api.service.name", "kube-apiserver");
    if let Some(target) = target {
        resource(&mut b, target, &subresource);
    }
    b.set_some(
        "api.request.data",
        fields.value("requestObject").map(|v| draft::object(arena, *v)),
    );
    b.set_some(
        "api.response.data",
        fields.value("responseObject").map(|v| draft::object(arena, *v)),
    );
    status(&mut b, fields, &stage);
    if let Some(decision) = fields.text("annotations.authorization.k8s.io/decision") {
        let decision = ("decision", input.keep().text(&decision).into());
        b.set("actor.authorizations", arena.list(&[arena.object(&[decision]).into()]));
    }
    b.set_some("unmapped.subresource", of("subresource").as_deref());
    b.set_some("unmapped.apiGroup", of("apiGroup").as_deref());
    draft::keep_rest(&mut b, object, &READ);
    draft::complete(&mut b);
    b.native(object);
    Ok(b.finish())
}

fn actor<'a>(b: &mut EventBuilder<'a>, user: Fields<'a>) {
    let name = user.text("username").unwrap_or_default();
    b.set("actor.user.name", &*name);
    b.set_some("actor.user.uid", user.text("uid").as_deref());
    let type_id = if name.starts_with("system:serviceaccount:") {
        4
    } else if name.starts_with("system:") {
        3
    } else {
        1
    };
    if b.has("actor.user") {
        b.set("actor.user.type_id", type_id);
    }
    if b.has("actor.user") {
        let keep = b.keep();
        let group = |g: Cow<'_, str>| Value::Object(keep.arena.object(&[("name", keep.text(&g).into())]));
        let groups = draft::scalars(user.value("groups")).map(group);
        b.set("actor.user.groups", keep.arena.list_of(groups));
    }
    b.set_some("unmapped.user_extra", user.value("extra").cloned());
}

fn resource<'a>(b: &mut EventBuilder<'a>, target: Fields<'a>, subresource: &str) {
    let keep = b.keep();
    let mut out = Map::new();
    if let Some(kind) = target.text("resource") {
        let kind = if subresource.is_empty() {
            keep.text(&kind)
        } else {
            keep.arena.concat(&[&kind, "/", subresource])
        };
        out.insert("type", kind);
    }
    for (name, from) in [
        ("name", "name"),
        ("uid", "uid"),
        ("namespace", "namespace"),
        ("version", "resourceVersion"),
    ] {
        if let Some(text) = target.text(from) {
            out.insert(name, keep.text(&text));
        }
    }
    if out.is_empty() {
        return;
    }
    // A list has no name; the schema demands one.
    if !out.contains_key("name") && !out.contains_key("uid") {
        out.insert("name", "*");
    }
    b.set("resources", vec![out]);
}

fn status<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, stage: &str) {
    let code = draft::int32(fields, "responseStatus.code");
    if let Some(code) = code {
        b.success(code < 400);
        b.set("status_code", int_text(code.into(), &mut [0; 20]));
        b.set("api.response.code", code);
        b.set_some("api.response.message", fields.text("responseStatus.message").as_deref());
        b.set_some("api.response.error", fields.text("responseStatus.reason").as_deref());
    } else if stage == "Panic" {
        b.success(false);
    } else if let Some(decision) = fields.text("annotations.authorization.k8s.io/decision") {
        b.success(decision == "allow");
    }
    let detail = [
        "responseStatus.message",
        "responseStatus.reason",
        "annotations.authorization.k8s.io/reason",
    ];
    b.set_some("status_detail", fields.first(&detail).as_deref());
}
