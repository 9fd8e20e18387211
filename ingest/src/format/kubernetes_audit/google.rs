//! Google's audit log of a cluster.

use std::borrow::Cow;

use super::secrets::masked;
use super::*;

/// Google's audit log: `io.k8s.core.v1.pods.exec.create` on `core/v1/namespaces/NS/pods/NAME/exec`.
pub(super) fn google<'a>(input: &Input<'a>, mut object: Object<'a>) -> Event<'a> {
    let arena = input.arena;
    for body in ["request", "response"] {
        let payload = object.get("protoPayload").and_then(Value::as_object);
        if let Some((payload, there)) = payload.and_then(|p| Some((p, p.get(body)?)))
            && let Some(masked) = masked(arena, there)
        {
            object = object.with(arena, "protoPayload", payload.with(arena, body, masked).into());
        }
    }
    let fields = Fields(object);
    let payload = fields.object("protoPayload");
    let of = |name: &str| payload.and_then(|p| p.text(name));
    let method = of("methodName").unwrap_or_default();
    let verb = method.rsplit('.').next().unwrap_or_default();
    let name = of("resourceName")
        .or_else(|| of_first(payload, "authorizationInfo", "resource"))
        .unwrap_or_default();
    let subresource = method
        .rsplit('.')
        .nth(1)
        .filter(|s| CONNECTIONS.contains(s))
        .unwrap_or_default();
    let cluster = fields.text("resource.labels.cluster_name");
    let mut b = start(input, verb, subresource, cluster.as_deref());
    b.logsource("gcp", "", "gcp.audit");
    b.original_uid(&fields.text("insertId").unwrap_or_default());
    let times = ["timestamp", "receiveTimestamp"];
    draft::utc(&mut b, input, times.iter().find_map(|n| fields.value(n)));
    b.word("cloud.provider", "GCP");
    b.set_some(
        "cloud.project_uid",
        fields.text("resource.labels.project_id").as_deref(),
    );
    b.set_some("cloud.region", fields.text("resource.labels.location").as_deref());
    let who = of("authenticationInfo.principalEmail").or_else(|| of("authenticationInfo.authoritySelector"));
    b.set_some("actor.user.name", who.as_deref());
    draft::source(
        &mut b,
        of("requestMetadata.callerIp").or_else(|| of("requestMetadata.callerIP")),
    );
    b.set_some(
        "http_request.user_agent",
        of("requestMetadata.callerSuppliedUserAgent").as_deref(),
    );
    b.set("api.operation", if verb.is_empty() { "unknown" } else { verb });
    b.word("api.service.name", "k8s.io").metadata("event_code", &*method);
    b.set_some("api.request.uid", fields.text("operation.id").as_deref());
    b.set_some(
        "api.request.data",
        payload
            .and_then(|p| p.value("request"))
            .map(|v| draft::object(arena, *v)),
    );
    b.set_some(
        "api.response.data",
        payload
            .and_then(|p| p.value("response"))
            .map(|v| draft::object(arena, *v)),
    );
    if !name.is_empty() {
        let parts: Vec<&str> = name.split('/').collect();
        let namespace = parts
            .iter()
            .position(|p| *p == "namespaces")
            .and_then(|at| parts.get(at + 1));
        let (kind, own) = google_resource(&parts);
        let mut out = json!({"name": own, "uid": &*name, "type": kind});
        if let (Some(namespace), Some(out)) = (namespace, out.as_object_mut()) {
            out.insert("namespace".into(), (*namespace).into());
        }
        b.set("resources", json!([out]));
    }
    let granted = payload
        .and_then(|p| p.value("authorizationInfo"))
        .and_then(|a| a.as_array()?.first())
        .and_then(|a| a.get("granted"))
        .and_then(Value::as_bool);
    let code = payload.and_then(|p| draft::int32(p, "status.code"));
    b.success(code.is_none_or(|c| c == 0) && granted != Some(false));
    b.set_some("status_code", code.map(|c| c.to_string()));
    b.set_some("status_detail", of("status.message").as_deref());
    if let Some(granted) = granted {
        b.set(
            "actor.authorizations",
            json!([{"decision": if granted { "allow" } else { "forbid" }}]),
        );
    }
    draft::keep_rest(
        &mut b,
        object,
        const { &Names::new(&["timestamp", "receiveTimestamp", "insertId", "protoPayload"]) },
    );
    draft::complete(&mut b);
    b.native(object);
    b.finish()
}

fn of_first<'a>(payload: Option<Fields<'a>>, list: &str, name: &str) -> Option<Cow<'a, str>> {
    let first = payload?.value(list)?.as_array()?.first()?.as_object()?;
    Fields(first).text(name)
}

/// Kind and name in `core/v1/namespaces/NS/pods/NAME[/SUB]`, `rbac…/v1/clusterroles/NAME`.
fn google_resource(parts: &[&str]) -> (String, String) {
    let rest = match parts.iter().position(|p| *p == "namespaces") {
        Some(at) if parts.len() > at + 2 => &parts[at + 2..],
        _ => parts.get(2..).unwrap_or(&[]),
    };
    match rest {
        [] => ("unknown".into(), parts.join("/")),
        [kind] => ((*kind).into(), "*".into()),
        [kind, name] => ((*kind).into(), (*name).into()),
        [kind, name, sub, ..] => (format!("{kind}/{sub}"), (*name).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_google_is_named() {
        for (name, kind, own) in [
            ("core/v1/namespaces/default/pods/p/exec", "pods/exec", "p"),
            ("rbac.authorization.k8s.io/v1/clusterroles/r", "clusterroles", "r"),
            ("core/v1/namespaces/default/pods", "pods", "*"),
            ("core/v1/namespaces/x", "namespaces", "x"),
        ] {
            let parts: Vec<&str> = name.split('/').collect();
            assert_eq!(google_resource(&parts), (kind.to_owned(), own.to_owned()), "{name}");
        }
    }
}
