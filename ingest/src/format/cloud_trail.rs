//! AWS CloudTrail.
//!
//! | event | OCSF |
//! |---|---|
//! | `ConsoleLogin`, `UserAuthentication` | Authentication 3002.1: `user`, `is_mfa`; success by `responseElements.ConsoleLogin` |
//! | `AssumeRole…`, `SwitchRole`, `GetFederationToken` | Authentication 3002.7 (impersonate): `actor.user` becomes `user`, the role |
//! | `GetSessionToken` | Authentication 3002.1 |
//! | IAM's `CreateUser`, `DeleteUser`, `…LoginProfile`, `…AccessKey`, `…UserPolicy`, `…MFADevice`, `ChangePassword` | Account Change 3001: on `user` |
//! | `AddUserToGroup`, `RemoveUserFromGroup` | Group Management 3006.3, .4 |
//! | any other (also `StopLogging`: LA-05 looks for it here) | API Activity 6003 by `readOnly` and the operation's verb |
//!
//! The person: `actor.user.name` (`user` on sign-ins) is `userName`, of an assumed role its **session name**, of the account's
//! owner `root` with `type_id` 2; the role is `actor.user.uid_alt` (ARN) and `actor.session.issuer`. Also
//! `actor.user.{uid,credential_uid,account.uid}`, `actor.session.{is_mfa,created_time}`, `src_endpoint.ip` or `.svc_name` (a
//! service), `api.{operation,service.name}`, `api.request.data`, `cloud.{region,account.uid}`, `resources`, `status_code`;
//! under `unmapped` `identity_type`, `eventType`, `readOnly`, `additionalEventData` and what is left. In every class
//! `api.operation` is `metadata.event_code`.
//!
//! The native fields are the event's own. `docket.system` is `aws` unless configured.
//!
//! Envelopes that are taken off: the file of S3 (`{"Records":[…]}`, each an event), `LookupEvents` (`CloudTrailEvent` as JSON
//! text, one or a list), EventBridge (`detail`). CloudWatch's are a collector's ([`crate::format::collector`]).

use std::borrow::Cow;

use model::{Event, Object, Value};

use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::draft::Names;
use crate::format::draft::{self, ITEMS_MAX};
use crate::format::{Format, Input, Match, Quarantine};
use crate::json;
use crate::seek;

/// AWS CloudTrail.
pub static FORMAT: Format = Format {
    name: "cloud_trail",
    aliases: &["cloudtrail", "aws", "aws_cloudtrail"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    let found = |reason| Some(Match { score: 95, reason });
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    if records(input.text).is_some() {
        let about = input.text.get(..input.text.len().min(1 << 14)).unwrap_or(input.text);
        return (seek::contains(about, "\"eventSource\"") || seek::contains(about, "\"userIdentity\""))
            .then_some(())
            .and_then(|()| found("CloudTrail's file of records"));
    }
    let object = input.object().ok()?;
    let is_event = |o: Object<'_>| {
        let has = |name: &str| o.contains_key(name);
        has("eventName")
            && has("eventSource")
            && (has("awsRegion") || has("eventID") || has("userIdentity") && !has("acsRegion") && !has("eventRW"))
    };
    if is_event(object) {
        return found("the keys eventName, eventSource and awsRegion");
    }
    if object.contains_key("detail-type") && object.get("detail").and_then(Value::as_object).is_some_and(is_event) {
        return found("EventBridge with a CloudTrail event");
    }
    let looked_up = |v: &Value| v.get("CloudTrailEvent").is_some_and(Value::is_string);
    let several = object.get("Events").and_then(Value::as_array);
    if object.get("CloudTrailEvent").is_some_and(Value::is_string)
        || several.is_some_and(|e| e.first().is_some_and(looked_up))
    {
        return found("the key CloudTrailEvent");
    }
    None
}

/// The list in `{"Records":[…]}`, where that is all.
fn records(text: &str) -> Option<&str> {
    let rest = text
        .trim()
        .strip_prefix('{')?
        .trim_start()
        .strip_prefix("\"Records\"")?;
    let list = rest.trim_start().strip_prefix(':')?.strip_suffix('}')?.trim();
    (list.starts_with('[') && list.ends_with(']')).then_some(list)
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let whole = &*input;
    if let Some(list) = records(whole.text) {
        // A file of an hour holds more keys than one object may, so that it is read record by record.
        let mut events = Vec::new();
        for (text, parsed) in json::parse_all(whole.arena, list)? {
            let mut part = Input::part(whole, text, parsed);
            let object = part.take_object()?;
            events.push(event(&mut part, object, Object::default())?);
        }
        return Ok(events);
    }
    let outer = input.take_object()?;
    if let Some(Value::Array(several)) = outer.get("Events") {
        let mut events = Vec::new();
        for one in *several {
            let Value::Object(one) = one else {
                return Err(Quarantine("cloud_trail_no_event"));
            };
            let (inner, around) = looked_up(input, *one)?;
            events.push(event(input, inner, around)?);
        }
        return Ok(events);
    }
    if outer.get("CloudTrailEvent").is_some_and(Value::is_string) {
        let (inner, around) = looked_up(input, outer)?;
        return Ok(vec![event(input, inner, around)?]);
    }
    if let (true, Some(Value::Object(inner))) = (outer.contains_key("detail-type"), outer.get("detail")) {
        let around = outer.without(input.arena, &["detail"]);
        return Ok(vec![event(input, *inner, around)?]);
    }
    Ok(vec![event(input, outer, Object::default())?])
}

/// The event that a lookup gave as text, and what stood around it.
fn looked_up<'a>(input: &mut Input<'a>, outer: Object<'a>) -> Result<(Object<'a>, Object<'a>), Quarantine> {
    match outer.get("CloudTrailEvent") {
        Some(Value::String(text)) => {
            let inner = input.adopt(json::parse(input.arena, text)?);
            Ok((inner, outer.without(input.arena, &["CloudTrailEvent"])))
        }
        _ => Err(Quarantine("cloud_trail_no_event")),
    }
}

/// Acts on accounts: the operation, and the activity of Account Change.
const ACCOUNT: &[(&str, u8)] = &[
    ("CreateUser", 1),
    ("DeleteUser", 6),
    ("CreateLoginProfile", 2),
    ("UpdateLoginProfile", 4),
    ("DeleteLoginProfile", 5),
    ("ChangePassword", 3),
    ("UpdateUser", 99),
    ("CreateAccessKey", 99),
    ("UpdateAccessKey", 99),
    ("DeleteAccessKey", 99),
    ("AttachUserPolicy", 7),
    ("PutUserPolicy", 7),
    ("DetachUserPolicy", 8),
    ("DeleteUserPolicy", 8),
    ("EnableMFADevice", 10),
    ("DeactivateMFADevice", 11),
];

fn kind(fields: Fields<'_>) -> (&'static Class, u8) {
    let name = fields.text("eventName").unwrap_or_default();
    let source = fields.text("eventSource").unwrap_or_default();
    let service = source.split('.').next().unwrap_or_default();
    match (service, &*name) {
        (_, "ConsoleLogin" | "UserAuthentication" | "CredentialVerification") | ("sts", "GetSessionToken") => {
            (&class::AUTHENTICATION, 1)
        }
        ("sts", "GetFederationToken") | ("signin", "SwitchRole") => (&class::AUTHENTICATION, 7),
        ("sts", name) if name.starts_with("AssumeRole") || name == "AssumeRoot" => (&class::AUTHENTICATION, 7),
        ("signin", _) => (&class::AUTHENTICATION, 99),
        ("iam", "AddUserToGroup") => (&class::GROUP_MANAGEMENT, 3),
        ("iam", "RemoveUserFromGroup") => (&class::GROUP_MANAGEMENT, 4),
        ("iam", name) => match ACCOUNT.iter().find(|(n, _)| *n == name) {
            Some((_, activity)) => (&class::ACCOUNT_CHANGE, *activity),
            None => (&class::API_ACTIVITY, verb(fields, name)),
        },
        (_, name) => (&class::API_ACTIVITY, verb(fields, name)),
    }
}

fn verb(fields: Fields<'_>, name: &str) -> u8 {
    let starts = |verbs: &[&str]| verbs.iter().any(|v| name.starts_with(v));
    if fields.bool("readOnly") == Some(true) {
        2
    } else if starts(&["Create", "Run", "Put", "Add", "Allocate", "Import", "Register", "Copy"]) {
        1
    } else if starts(&[
        "Update",
        "Modify",
        "Attach",
        "Set",
        "Change",
        "Associate",
        "Authorize",
        "Enable",
        "Disable",
        "Replace",
        "Start",
        "Stop",
        "Reboot",
        "Tag",
    ]) {
        3
    } else if starts(&[
        "Delete",
        "Terminate",
        "Remove",
        "Detach",
        "Revoke",
        "Release",
        "Disassociate",
        "Deregister",
        "Untag",
    ]) {
        4
    } else if fields.value("readOnly").is_none()
        && starts(&["Describe", "Get", "List", "Head", "Lookup", "Search", "Query", "Scan"])
    {
        2
    } else {
        99
    }
}

/// Fields that have a home; the others go to `unmapped`.
static READ: Names = Names::new(&[
    "eventVersion",
    "userIdentity",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "requestID",
    "eventID",
    "resources",
    "tlsDetails",
    "vpcEndpointId",
]);

fn event<'a>(input: &mut Input<'a>, object: Object<'a>, envelope: Object<'a>) -> Result<Event<'a>, Quarantine> {
    let fields = Fields(object);
    // An insight tells of calls that are told by their own events: many at once.
    let insight = fields.object("insightDetails");
    let inner = |name: &str| insight.and_then(|i| i.text(name));
    let Some(name) = fields.text("eventName").or_else(|| inner("eventName")) else {
        return Err(Quarantine("cloud_trail_no_event_name"));
    };
    let (class, activity) = match insight {
        Some(_) => (&class::API_ACTIVITY, 99),
        None => kind(fields),
    };
    let mut b = EventBuilder::new(input, class, activity, "AWS", "CloudTrail");
    b.logsource("aws", "", "cloudtrail").system("aws");
    b.original_uid(&fields.text("eventID").unwrap_or_default());
    b.set_some("metadata.log_version", fields.text("eventVersion").as_deref());
    b.metadata("event_code", &*name);
    let time = fields.value("eventTime").or_else(|| envelope.get("time"));
    draft::utc(&mut b, input, time);
    if activity == 99 {
        b.set("activity_name", &*name);
    }
    b.word("cloud.provider", "AWS");
    b.set_some("cloud.region", fields.text("awsRegion").as_deref());
    let account = fields.first(&["recipientAccountId", "userIdentity.accountId"]);
    b.set_some("cloud.account.uid", account.as_deref());
    draft::source(&mut b, fields.text("sourceIPAddress"));
    b.set_some("src_endpoint.vpc_uid", fields.text("vpcEndpointId").as_deref());
    b.set_some("http_request.user_agent", fields.text("userAgent").as_deref());

    let code = fields.text("errorCode");
    let detail = fields.text("errorMessage");
    let console = fields.text("responseElements.ConsoleLogin");
    let success = match &console {
        Some(word) => word.eq_ignore_ascii_case("success"),
        None => code.is_none() && detail.is_none(),
    };
    if insight.is_none() || !success {
        b.success(success);
    }
    b.set_some("status_code", code.as_deref());
    b.set_some("status_detail", detail.as_deref());

    let request = fields.value("requestParameters");
    match class.uid {
        3001 => {
            identity(&mut b, fields, "actor.user");
            let own = || fields.text("userIdentity.userName");
            let user = fields.text("requestParameters.userName").or_else(own);
            b.set_some("user.name", user.as_deref());
            b.set_some("user.uid", fields.text("responseElements.user.userId").as_deref());
            policy(&mut b, fields);
        }
        3002 => authentication(&mut b, fields, activity),
        3006 => {
            identity(&mut b, fields, "actor.user");
            b.set_some("group.name", fields.text("requestParameters.groupName").as_deref());
            b.set_some("user.name", fields.text("requestParameters.userName").as_deref());
        }
        _ => {
            identity(&mut b, fields, "actor.user");
            api(&mut b, fields, &name);
            b.set_some("api.service.name", inner("eventSource").as_deref());
        }
    }
    if class.uid != 6003 {
        for (name, value) in [
            ("requestParameters", request),
            ("responseElements", fields.value("responseElements")),
        ] {
            b.unmapped_some(name, value.cloned());
        }
        b.set_some("unmapped.eventSource", fields.text("eventSource").as_deref());
    }
    session(&mut b, fields);
    resources(&mut b, fields);
    if let Some(tls) = fields.object("tlsDetails") {
        b.unmapped("tlsDetails", tls.0);
    }
    draft::keep_rest(&mut b, object, &READ);
    for (name, value) in envelope {
        b.unmapped(&format!("envelope.{name}"), value);
    }
    draft::complete(&mut b);
    b.native(object);
    Ok(b.finish())
}

fn policy<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let policy = fields.first(&["requestParameters.policyArn", "requestParameters.policyName"]);
    b.set_some("unmapped.policy", policy.as_deref());
}

fn authentication<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, activity: u8) {
    b.set("is_remote", true);
    b.set_some("service.name", fields.text("eventSource").as_deref());
    let used = fields.text("additionalEventData.MFAUsed");
    let mfa = used.map(|u| u.eq_ignore_ascii_case("yes"));
    b.set_some(
        "is_mfa",
        mfa.or_else(|| fields.bool("userIdentity.sessionContext.attributes.mfaAuthenticated")),
    );
    if activity != 7 {
        identity(b, fields, "user");
        return;
    }
    b.set("account_switch_type_id", 2)
        .word("account_switch_type", "Impersonate");
    identity(b, fields, "actor.user");
    let request = |name: &str| fields.text_in("requestParameters", name);
    let role = request("roleArn").or_else(|| fields.text("additionalEventData.SwitchTo"));
    let session = request("roleSessionName");
    let role_name = role.as_deref().map(draft::file_name);
    let name = role_name.or(session.as_deref());
    let name = name.map(str::to_owned).or_else(|| request("name").map(Cow::into_owned));
    b.set_some("user.name", name);
    b.set_some(
        "user.uid",
        fields.text("responseElements.assumedRoleUser.assumedRoleId").as_deref(),
    );
    b.set_some("user.uid_alt", role.as_deref());
    b.set_some("unmapped.roleSessionName", session.as_deref());
    b.set_some(
        "user.credential_uid",
        fields.text("responseElements.credentials.accessKeyId").as_deref(),
    );
}

/// Who: the person's name, which of an assumed role is the session's.
fn identity<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, path: &'static str) {
    let of = |name: &str| fields.text_in("userIdentity", name);
    let kind = of("type").unwrap_or_default();
    let principal = of("principalId");
    let arn = of("arn");
    let session = || {
        let from_principal = principal.as_deref().and_then(|p| seek::cut(p, b':')).map(|(_, s)| s);
        let from_arn = || arn.as_deref().and_then(|a| a.rsplit_once('/')).map(|(_, s)| s);
        from_principal.or_else(from_arn).filter(|s| !s.is_empty())
    };
    let user = of("userName");
    let name: Option<Cow<'_, str>> = match &*kind {
        "AssumedRole" | "Role" | "FederatedUser" => session().map(Cow::Borrowed).or(user),
        "Root" => Some(Cow::Borrowed("root")),
        _ => user.or_else(|| of("invokedBy")).or_else(|| of("onBehalfOf.userId")),
    };
    let name = name.or_else(|| arn.as_deref().map(|a| Cow::Borrowed(draft::file_name(a))));
    b.set_some_in(path, "name", name.as_deref());
    b.set_some_in(path, "uid", principal.as_deref());
    b.set_some_in(path, "uid_alt", arn.as_deref());
    b.set_some_in(path, "credential_uid", of("accessKeyId").as_deref());
    b.set_some_in(path, "account.uid", of("accountId").as_deref());
    if !kind.is_empty() {
        let type_id = match &*kind {
            "Root" => 2,
            "IAMUser" | "IdentityCenterUser" | "SAMLUser" | "WebIdentityUser" => 1,
            "AWSService" => 4,
            _ => 99,
        };
        b.set_in(path, "type_id", type_id);
        if type_id == 99 {
            b.set_in(path, "type", &*kind);
        }
        b.unmapped("identity_type", &*kind);
    }
    b.set_some("actor.invoked_by", of("invokedBy").as_deref());
}

fn session<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let Some(context) = fields.object("userIdentity.sessionContext") else {
        return;
    };
    b.set_some("actor.session.is_mfa", context.bool("attributes.mfaAuthenticated"));
    b.set_some(
        "actor.session.issuer",
        context
            .first(&["sessionIssuer.arn", "sessionIssuer.userName"])
            .as_deref(),
    );
    let created = context.text("attributes.creationDate");
    let created = created.and_then(|t| model::Millis::parse(&t).ok()).map(|t| t.0);
    b.set_some("actor.session.created_time", created);
}

fn api<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, name: &str) {
    let arena = b.arena();
    b.set("api.operation", name);
    b.set_some("api.service.name", fields.text("eventSource").as_deref());
    b.set_some("api.version", fields.text("apiVersion").as_deref());
    b.set_some("api.request.uid", fields.text("requestID").as_deref());
    b.set_some(
        "api.request.data",
        fields.value("requestParameters").map(|v| draft::object(arena, *v)),
    );
    b.set_some(
        "api.response.data",
        fields.value("responseElements").map(|v| draft::object(arena, *v)),
    );
    b.set_some("api.response.error", fields.text("errorCode").as_deref());
    b.set_some("api.response.error_message", fields.text("errorMessage").as_deref());
}

/// What a call is about, by the names that the services give it in the request: few calls have `resources` of their own.
const NAMED: &[(&str, &str)] = &[
    ("bucketName", "bucket"),
    ("instanceId", "instance"),
    ("dBInstanceIdentifier", "db_instance"),
    ("dBClusterIdentifier", "db_cluster"),
    ("clusterName", "cluster"),
    ("functionName", "function"),
    ("tableName", "table"),
    ("groupId", "security_group"),
    ("volumeId", "volume"),
    ("snapshotId", "snapshot"),
    ("dBSnapshotIdentifier", "snapshot"),
    ("snapshotIdentifier", "snapshot"),
    ("sourceDBSnapshotIdentifier", "snapshot"),
    ("targetDBSnapshotIdentifier", "snapshot"),
    ("sourceDBInstanceIdentifier", "db_instance"),
    ("targetDBInstanceIdentifier", "db_instance"),
    ("fileSystemId", "file_system"),
];

fn resources<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let keep = b.keep();
    let own = fields.value("resources").and_then(Value::as_array).unwrap_or_default();
    let own = own.iter().filter_map(Value::as_object).filter_map(|resource| {
        let resource = Fields(resource);
        let arn = resource.first(&["ARN", "arn", "ARNPrefix"])?;
        let uid = ("uid", keep.text(&arn).into());
        let object = match resource.text("type") {
            Some(kind) => keep.arena.object(&[uid, ("type", keep.text(&kind).into())]),
            None => keep.arena.object(&[uid]),
        };
        Some(Value::Object(object))
    });
    let object = |name: &str, kind: &'static str| {
        Value::Object(
            keep.arena
                .object(&[("name", keep.text(name).into()), ("type", keep.text(kind).into())]),
        )
    };
    let named = NAMED
        .iter()
        .filter_map(|(key, kind)| Some(object(&fields.text_in("requestParameters", key)?, kind)));
    let instances = fields
        .value("requestParameters.instancesSet.items")
        .and_then(Value::as_array)
        .unwrap_or_default();
    let instances = instances
        .iter()
        .filter_map(|i| Some(object(i.get("instanceId")?.as_str()?, "instance")));
    let found: Vec<Value<'_>> = own.chain(named).chain(instances).take(ITEMS_MAX).collect();
    if found.is_empty() {
        return;
    }
    let found = keep.arena.list_of(found.into_iter());
    if b.class_uid() == 6003 {
        b.set("resources", found);
    } else {
        b.unmapped("resources", found);
    }
}
