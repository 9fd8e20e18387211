//! The labelled scenario with the records of one source told by another product or in another way: the same is found.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use harness::scenario::{is_found, retold};
use harness::shared;
use jiff::civil::DateTime;
use jiff::{Timestamp, Zoned};
use regex::Regex;
use serde_json::{Value, json};

/// Tells the records of one topic otherwise; `None` leaves one as it is. Who has an account in the one `system` has it in the other, too.
fn told(topic: &str, as_topic: &str, system: Option<(&str, &str)>, tell: impl Fn(&str) -> Option<String>) {
    let Some(scenario) = shared("data/scenario") else {
        return;
    };
    let registered = |text: &str| {
        let mut rows: Vec<Value> = serde_json::from_str(text).unwrap();
        let (one, other) = system.unwrap_or_default();
        let mut more: Vec<Value> = rows.iter().filter(|row| row["system"] == one).cloned().collect();
        more.iter_mut().for_each(|row| row["system"] = other.into());
        rows.append(&mut more);
        serde_json::to_string(&rows).unwrap()
    };
    let scored = retold(
        &scenario,
        |record| {
            if record["topic"] == format!("audit.{topic}").as_str()
                && let Some(payload) = tell(record["payload"].as_str().unwrap())
            {
                record["payload"] = payload.into();
                record["topic"] = format!("audit.{as_topic}").into();
            }
        },
        |file, text| match file {
            "account_registry.json" => registered(text),
            "source_register.json" => text.replace(&format!("\"{topic}\""), &format!("\"{as_topic}\"")),
            _ => text.to_owned(),
        },
    );
    is_found(scored, as_topic);
}

/// A line of a host: priority, time of day, host, program, process and message.
fn line(payload: &str) -> Option<(u8, DateTime, String, String, String, String)> {
    let form = Regex::new(r"(?s)^<(\d+)>(\w{3} [ \d]\d [\d:]{8}) (\S+) ([^\s:\[]+)(?:\[(\d+)\])?: (.*)$").unwrap();
    let parts = form.captures(payload)?;
    let time = DateTime::strptime("%Y %b %e %H:%M:%S", format!("2026 {}", &parts[2])).unwrap();
    let text = |n: usize| parts.get(n).map_or("", |p| p.as_str()).to_owned();
    Some((parts[1].parse().unwrap(), time, text(3), text(4), text(5), text(6)))
}

fn zoned(time: DateTime) -> Zoned {
    time.in_tz("Asia/Shanghai").unwrap()
}

#[test]
fn hosts_that_write_rfc_5424() {
    told("linux", "linux", None, |payload| {
        let (pri, time, host, program, pid, message) = line(payload)?;
        let pid = if pid.is_empty() { "-" } else { &pid };
        Some(format!("<{pri}>1 {}+08:00 {host} {program} {pid} - - {message}", time))
    });
}

#[test]
fn hosts_that_say_their_domain() {
    told("linux", "linux", None, |payload| {
        let (_, _, host, ..) = line(payload)?;
        Some(payload.replacen(&format!(" {host} "), &format!(" {host}.prod.example.com "), 1))
    });
}

#[test]
fn hosts_that_ship_their_journal() {
    told("linux", "linux", None, |payload| {
        let (pri, time, host, program, pid, message) = line(payload)?;
        let micros = zoned(time).timestamp().as_microsecond();
        let mut entry = json!({
            "__REALTIME_TIMESTAMP": micros.to_string(), "_HOSTNAME": host, "SYSLOG_IDENTIFIER": program,
            "PRIORITY": (pri % 8).to_string(), "SYSLOG_FACILITY": (pri / 8).to_string(), "MESSAGE": message,
        });
        if !pid.is_empty() {
            entry["_PID"] = pid.into();
        }
        Some(entry.to_string())
    });
}

#[test]
fn hosts_whose_lines_a_collector_wraps() {
    told("linux", "linux", None, |payload| {
        let (_, _, host, ..) = line(payload)?;
        let (_, text) = payload.split_once('>')?;
        let entry = json!({
            "@timestamp": "2026-03-06T00:00:00.000Z", "message": text, "host": {"name": host},
            "log": {"file": {"path": "/var/log/auth.log"}}, "agent": {"type": "filebeat"}, "ecs": {"version": "8.0.0"},
        });
        Some(entry.to_string())
    });
}

#[test]
fn a_web_server_that_writes_combined_lines() {
    told("nginx", "nginx", None, |payload| {
        let o: Value = serde_json::from_str(payload).unwrap();
        let text = |name: &str| o[name].as_str().filter(|t| !t.is_empty()).unwrap_or("-").to_owned();
        let time: Timestamp = text("time").parse().unwrap();
        let time = time
            .in_tz("Asia/Shanghai")
            .unwrap()
            .strftime("%d/%b/%Y:%H:%M:%S %z")
            .to_string();
        Some(format!(
            r#"{} - {} [{time}] "{} {} HTTP/1.1" {} {} "{}" "{}""#,
            text("remote_addr"),
            text("user"),
            text("method"),
            text("uri"),
            o["status"],
            o["bytes"],
            text("ref"),
            text("ua"),
        ))
    });
}

#[test]
fn a_cloud_of_another_vendor() {
    told("actiontrail", "cloudtrail", Some(("aliyun", "aws")), |payload| {
        let o: Value = serde_json::from_str(payload).unwrap();
        let (user, account) = (&o["userIdentity"], o["userIdentity"]["accountId"].as_str()?);
        let name = user["userName"].as_str()?;
        let mut event = json!({
            "eventVersion": "1.08", "eventTime": o["eventTime"], "awsRegion": "cn-north-1", "sourceIPAddress": o["sourceIpAddress"],
            "userAgent": o["userAgent"], "eventID": o["eventId"], "recipientAccountId": account, "eventType": "AwsApiCall",
        });
        event["userIdentity"] = match user["type"].as_str()? {
            "root-account" => {
                json!({"type": "Root", "accountId": account, "arn": format!("arn:aws:iam::{account}:root")})
            }
            "ram-user" => json!({"type": "IAMUser", "accountId": account, "userName": name}),
            _ => {
                json!({"type": "AssumedRole", "accountId": account, "arn": format!("arn:aws:sts::{account}:assumed-role/{name}/s"),
                "sessionContext": {"sessionIssuer": {"type": "Role", "userName": name}}})
            }
        };
        let (service, called) = match o["eventName"].as_str()? {
            "ConsoleSignin" => {
                let more = &o["additionalEventData"];
                let checked = more["mfaChecked"].as_str().or(more["isMFAChecked"].as_str());
                event["eventType"] = "AwsConsoleSignIn".into();
                event["responseElements"] = json!({"ConsoleLogin": "Success"});
                event["additionalEventData"] = json!({"MFAUsed": if checked == Some("true") { "Yes" } else { "No" }});
                ("signin.amazonaws.com", "ConsoleLogin")
            }
            "AttachPolicyToUser" => {
                let policy = "arn:aws:iam::aws:policy/AdministratorAccess";
                event["requestParameters"] =
                    json!({"userName": o["requestParameters"]["UserName"], "policyArn": policy});
                ("iam.amazonaws.com", "AttachUserPolicy")
            }
            other => ("ec2.amazonaws.com", other),
        };
        event["eventSource"] = service.into();
        event["eventName"] = called.into();
        Some(event.to_string())
    });
}

/// `name(login)` and the like.
fn in_brackets(text: &str) -> (&str, &str) {
    let inner = text.strip_suffix(')').and_then(|t| t.rsplit_once('('));
    inner.unwrap_or((text, text))
}

fn utc(text: &Value) -> String {
    let time = Zoned::strptime("%Y/%m/%d %H:%M:%S %z", text.as_str().unwrap()).unwrap();
    time.timestamp().to_string()
}

#[test]
fn a_bastion_of_another_vendor() {
    // One grant is still told by the first: Teleport has no like of it.
    let as_teleport = |payload: &str| -> Option<String> {
        let (kind, object) = payload.strip_prefix("<14>jumpserver: ")?.split_once(" - ")?;
        let o: Value = serde_json::from_str(object).ok()?;
        let mut event = json!({"cluster_name": "prod", "ei": 0, "uid": o["id"]});
        if kind == "login_log" {
            let ok = o["status"]["value"] == true;
            event["event"] = "user.login".into();
            event["code"] = if ok { "T1000I" } else { "T1000W" }.into();
            event["time"] = utc(&o["datetime"]).into();
            event["user"] = in_brackets(o["username"].as_str()?).1.into();
            event["success"] = ok.into();
            event["method"] = "local".into();
            event["addr.remote"] = format!("{}:52311", o["ip"].as_str()?).into();
            if !ok {
                event["error"] = o["reason"].clone();
            }
            if o["mfa"]["value"] == 1 {
                event["mfa_device"] = json!({"mfa_device_name": "otp", "mfa_device_type": "TOTP"});
            }
            return Some(event.to_string());
        }
        let (host, address) = in_brackets(o["asset"].as_str()?);
        event["user"] = in_brackets(o["user"].as_str()?).1.into();
        event["login"] = in_brackets(o["account"].as_str()?).1.into();
        event["sid"] = o.get("session").unwrap_or(&o["id"]).clone();
        event["server_hostname"] = host.into();
        event["server_addr"] = format!("{address}:22").into();
        event["addr.remote"] = format!("{}:40122", o["remote_addr"].as_str()?).into();
        let (name, code, time) = match kind {
            "host_session_log" if o["is_finished"] == true => {
                event["uid"] = format!("{}-end", o["id"].as_str()?).into();
                event["session_start"] = utc(&o["date_start"]).into();
                event["session_stop"] = utc(&o["date_end"]).into();
                ("session.end", "T2004I", utc(&o["date_end"]))
            }
            "host_session_log" => ("session.start", "T2000I", utc(&o["date_start"])),
            "session_command_log" => {
                event["command"] = o["input"].clone();
                let at = Timestamp::from_second(o["timestamp"].as_i64()?).unwrap();
                ("exec", "T3002I", at.to_string())
            }
            "ftp_log" => {
                event["action"] = o["operate"]["value"].clone();
                event["path"] = o["filename"].clone();
                let code = if o["operate"]["value"] == "download" {
                    "T3004I"
                } else {
                    "T3005I"
                };
                ("scp", code, utc(&o["date_start"]))
            }
            _ => return None,
        };
        (event["event"], event["code"], event["time"]) = (name.into(), code.into(), time.into());
        Some(event.to_string())
    };
    told("jumpserver", "teleport", Some(("jumpserver", "teleport")), as_teleport);
}
