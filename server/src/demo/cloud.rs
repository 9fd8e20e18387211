//! The cloud account: ActionTrail.

use model::Millis;
use serde_json::{Value, json};

use super::people::{ADMINS, MONITOR, Person};
use super::tape::{Day, HOUR, MINUTE, SECOND, Tape};

/// The cloud account's number.
const ACCOUNT: &str = "5550001112223334";

struct Call<'a> {
    kind: &'a str,
    name: &'a str,
    service: &'a str,
    source: &'a str,
    identity: Value,
    address: &'a str,
    agent: &'a str,
    more: Value,
}

fn log(tape: &mut Tape, at: Millis, call: Call<'_>) {
    let time = jiff::Timestamp::from_second(at.0.div_euclid(1_000)).unwrap_or_default();
    let write = call.kind == "ConsoleSignin";
    let mut record = json!({
        "eventId": tape.uuid().to_uppercase(), "eventVersion": "1", "eventTime": time.to_string(),
        "eventType": call.kind, "eventName": call.name, "eventRW": if write { "Write" } else { "Read" },
        "serviceName": call.service, "eventSource": call.source, "acsRegion": "cn-shanghai",
        "requestId": tape.uuid().to_uppercase(), "apiVersion": "2014-05-26", "userIdentity": call.identity,
        "sourceIpAddress": call.address, "userAgent": call.agent,
        "requestParameters": if write { json!({}) } else { json!({"RegionId": "cn-shanghai", "PageSize": 50}) },
        "errorCode": "", "errorMessage": "",
    });
    if !call.more.is_null() {
        record["additionalEventData"] = call.more;
    }
    tape.write(at, "actiontrail", record.to_string());
}

fn ram_user(person: &Person) -> Value {
    let principal = format!("27{:0>15}", &person.id[1..]);
    json!({"type": "ram-user", "accountId": ACCOUNT, "principalId": principal, "userName": person.login})
}

/// A person signs in at the console.
pub(super) fn sign_in(tape: &mut Tape, at: Millis, person: &Person, second_factor: bool) {
    let call = Call {
        kind: "ConsoleSignin",
        name: "ConsoleSignin",
        service: "AasSub",
        source: "signin.aliyun.com",
        identity: ram_user(person),
        address: &person.address(),
        agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/141.0.0.0",
        more: json!({"mfaChecked": second_factor.to_string(), "loginAccount": person.login}),
    };
    log(tape, at, call);
}

/// Somebody signs in as the account's root, with its second factor.
pub(super) fn root_sign_in(tape: &mut Tape, at: Millis, address: &str) {
    let call = Call {
        kind: "ConsoleSignin",
        name: "ConsoleSignin",
        service: "AasCustomer",
        source: "signin.aliyun.com",
        identity: json!({"type": "root-account", "accountId": ACCOUNT, "principalId": ACCOUNT, "userName": "root"}),
        address,
        agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/141.0.0.0",
        more: json!({"isMFAChecked": "true"}),
    };
    log(tape, at, call);
}

/// A person looks at something in the console.
fn look(tape: &mut Tape, at: Millis, person: &Person) {
    let (name, service, source) = *tape.pick(&[
        ("DescribeInstances", "Ecs", "ecs.aliyuncs.com"),
        ("DescribeDisks", "Ecs", "ecs.aliyuncs.com"),
        ("DescribeDBInstances", "Rds", "rds.aliyuncs.com"),
        ("DescribeLoadBalancers", "Slb", "slb.aliyuncs.com"),
    ]);
    let address = person.address();
    let agent = "AlibabaCloud Console";
    let identity = ram_user(person);
    log(
        tape,
        at,
        Call {
            kind: "ApiCall",
            name,
            service,
            source,
            identity,
            address: &address,
            agent,
            more: Value::Null,
        },
    );
}

/// A day of the cloud account.
pub(super) fn ordinary_day(tape: &mut Tape, day: Day, start: Millis) {
    for n in 0..24 * 6 {
        let at = day.at(0, 4 + n * 10) + tape.between(0, 2 * SECOND);
        if at >= start {
            let identity = json!({
                "type": "assumed-role", "accountId": ACCOUNT, "principalId": "3900000000000101:probe",
                "userName": "monitor:probe",
            });
            let (name, service, source) = ("DescribeInstances", "Ecs", "ecs.aliyuncs.com");
            let (address, agent, more) = (MONITOR, "AlibabaCloud (Linux; x86_64) Java/17 probe/2.3", Value::Null);
            log(
                tape,
                at,
                Call {
                    kind: "ApiCall",
                    name,
                    service,
                    source,
                    identity,
                    address,
                    agent,
                    more,
                },
            );
        }
    }
    if !day.is_working() {
        return;
    }
    for person in ADMINS {
        let at = day.at(9, 30) + tape.between(0, HOUR);
        if at < start {
            continue;
        }
        sign_in(tape, at, person, true);
        let mut now = at;
        for _ in 0..tape.between(3, 9) {
            now = now + tape.between(5 * SECOND, 4 * MINUTE);
            look(tape, now, person);
        }
    }
}
