//! Two hundred thousand mixed events of 500 bytes or so, one in a hundred made of a rule.
//!
//! The mix is that of an operator's servers, cloud and web systems, with one event in six of Windows: each kind has the
//! fields that its rules ask for, values of which some repeat (hosts, users, programs) and some do not (command lines, ids).

use std::collections::BTreeMap;
use std::io::Write as _;

use detect::policy::{Policies, load};
use serde_json::{Map, Value, json};

use crate::generate::{self, Dice};
use crate::sets;

/// One event in so many is made of a rule.
const VIOLATION: usize = 100;

/// A kind of event: its share of a hundred, and its maker.
type Kind = (usize, fn(&mut Dice, usize) -> Value);

const KINDS: &[Kind] = &[
    (22, linux_process),
    (12, linux_auditd),
    (10, linux_sshd),
    (18, web),
    (10, cloudtrail),
    (5, azure),
    (3, okta),
    (4, github),
    (12, windows_process),
    (4, windows_security),
];

/// The events as NDJSON.
pub fn lines(count: usize) -> anyhow::Result<Vec<u8>> {
    let (_, files) = sets()?.pop().ok_or_else(|| anyhow::anyhow!("no rules"))?;
    let policies = load(&files, &BTreeMap::new()).policies;
    Ok(of(&policies, count))
}

/// Writes them to standard output.
pub fn write(count: usize) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(&lines(count)?)?)
}

fn of(policies: &Policies, count: usize) -> Vec<u8> {
    let mut dice = Dice(3);
    let mut made = generate::events(policies, 4, count / VIOLATION + 1).into_iter();
    let mut out = Vec::new();
    for n in 0..count {
        let at = format!("2026-05-04T{:02}:{:02}:{:02}.{:03}Z", n / 60_000 % 24, n / 1000 % 60, n / 20 % 60, n % 1000);
        let mut event = if n % VIOLATION == VIOLATION / 2 {
            let made = made.next().expect("one in so many");
            let mut fields = made.fields;
            fields.insert("EventRecordID".into(), json!(n));
            Value::Object(fields)
        } else {
            let mut at = dice.roll(100);
            let kind = KINDS.iter().find(|(share, _)| {
                let found = at < *share;
                at = at.saturating_sub(*share);
                found
            });
            (kind.expect("shares add up to a hundred").1)(&mut dice, n)
        };
        if let Value::Object(fields) = &mut event {
            let mut all = Map::new();
            all.insert("timestamp".into(), json!(at));
            all.append(fields);
            *fields = all;
        }
        serde_json::to_writer(&mut out, &event).expect("memory");
        out.push(b'\n');
    }
    out
}

fn host(dice: &mut Dice) -> String {
    format!("{}-{:03}.prod.example", dice.text(&["web", "db", "app", "bastion", "k8s"]), dice.roll(200))
}

fn user(dice: &mut Dice) -> &'static str {
    dice.text(&["root", "deploy", "www-data", "li.na", "zhang.wei", "postgres", "backup", "chen.jie", "nobody", "svc_ci"])
}

fn ip(dice: &mut Dice) -> String {
    format!("10.{}.{}.{}", dice.roll(60), dice.roll(200), dice.roll(250))
}

fn command(dice: &mut Dice, n: usize) -> (String, String) {
    let program = dice.text(&[
        "/usr/bin/ls", "/usr/bin/grep", "/usr/bin/python3", "/usr/sbin/cron", "/usr/bin/git", "/usr/bin/tar", "/usr/bin/rsync",
        "/usr/bin/systemctl", "/usr/bin/find", "/usr/bin/awk", "/usr/bin/node", "/usr/lib/jvm/bin/java", "/usr/bin/psql",
    ]);
    let line = match dice.roll(6) {
        0 => format!("{program} --config /etc/app/{:x}.conf --workers {}", n * 2_654_435_761 % 0xff_ffff, dice.roll(32)),
        1 => format!("{program} -la /var/lib/app/releases/{n}/current"),
        2 => format!("{program} -c import app; app.run(batch={n}, shard={})", dice.roll(64)),
        3 => format!("{program} status app-{}.service --no-pager", dice.roll(90)),
        4 => format!("{program} -Xmx{}m -jar /opt/app/lib/service-{}.jar --id={n}", 512 + dice.roll(4096), dice.roll(40)),
        _ => format!("{program} -czf /backup/{n}.tgz /srv/data/{}", dice.roll(500)),
    };
    (program.to_owned(), line)
}

fn linux_process(dice: &mut Dice, n: usize) -> Value {
    let (image, line) = command(dice, n);
    json!({
        "product": "linux", "category": "process_creation", "Computer": host(dice), "Image": image, "CommandLine": line,
        "ParentImage": dice.text(&["/usr/bin/bash", "/usr/lib/systemd/systemd", "/usr/sbin/sshd", "/usr/bin/sudo"]),
        "ParentCommandLine": dice.text(&["-bash", "/usr/lib/systemd/systemd --system --deserialize 22", "sshd: deploy [priv]", "sudo -u deploy bash"]),
        "User": user(dice), "LogonId": dice.roll(100_000), "ProcessId": 1000 + n % 60_000, "CurrentDirectory": "/srv/app/current",
        "IntegrityLevel": "none", "ProcessGuid": format!("{{{n:08x}-5d1c-4c6e-9f7a-{:012x}}}", n * 31), "Hashes": format!("SHA256={:064x}", n as u128 * 0x9e37_79b9_7f4a_7c15),
    })
}

fn linux_auditd(dice: &mut Dice, n: usize) -> Value {
    let (exe, line) = command(dice, n);
    let mut args = line.split(' ');
    json!({
        "product": "linux", "service": "auditd", "host": host(dice), "type": dice.text(&["EXECVE", "SYSCALL", "PATH", "USER_CMD", "CWD"]),
        "a0": args.next(), "a1": args.next(), "a2": args.next(), "a3": args.next(), "exe": exe, "comm": dice.text(&["ls", "grep", "python3", "cron", "git"]),
        "syscall": dice.text(&["execve", "openat", "connect"]), "success": "yes", "exit": 0, "uid": dice.roll(2000), "auid": dice.roll(2000), "euid": 0,
        "name": format!("/srv/data/{}/{n}.dat", dice.roll(300)), "nametype": "NORMAL", "key": dice.text(&["exec", "watch", "(null)"]), "tty": "(none)",
        "ses": dice.roll(90_000), "ppid": dice.roll(60_000), "pid": n % 60_000, "msg": format!("audit(1777860000.{:03}:{n})", n % 1000), "cwd": "/srv/app/current",
    })
}

fn linux_sshd(dice: &mut Dice, n: usize) -> Value {
    let from = ip(dice);
    json!({
        "product": "linux", "service": dice.text(&["sshd", "auth", "sudo", "cron", "syslog"]), "host": host(dice), "program": "sshd", "facility": "authpriv", "severity": "info",
        "pid": n % 60_000, "src_ip": from, "user": user(dice),
        "message": match dice.roll(4) {
            0 => format!("Accepted publickey for {} from {from} port {} ssh2: ED25519 SHA256:{:043x}", user(dice), 1024 + dice.roll(60_000), n),
            1 => format!("pam_unix(sshd:session): session opened for user {}(uid={}) by (uid=0)", user(dice), dice.roll(2000)),
            2 => format!("Disconnected from user {} {from} port {}; session {n} lasted {} seconds", user(dice), 1024 + dice.roll(60_000), dice.roll(9000)),
            _ => format!("(root) CMD (cd / && run-parts --report /etc/cron.hourly) job {n} of host {}", host(dice)),
        },
        "tags": ["prod", "linux", "auth"], "agent": {"name": "rsyslog", "version": "8.2312.0", "id": format!("{:016x}", dice.roll(200))},
    })
}

fn web(dice: &mut Dice, n: usize) -> Value {
    let path = format!("/{}/{}/{n}", dice.text(&["api/v2/orders", "static/js", "account/profile", "search", "img/products"]), dice.roll(5000));
    json!({
        "category": "webserver", "product": dice.text(&["apache", "nginx"]), "host": host(dice), "c-ip": ip(dice), "cs-username": user(dice), "cs-method": dice.text(&["GET", "GET", "GET", "POST", "PUT"]),
        "cs-uri": format!("{path}?page={}&sort=asc&q=item{n}", dice.roll(40)), "cs-uri-stem": path, "cs-uri-query": format!("page={}&sort=asc&q=item{n}", dice.roll(40)),
        "cs-host": dice.text(&["shop.example", "api.example", "intranet.example"]), "sc-status": *dice.pick(&[200, 200, 200, 304, 404, 302, 500]), "sc-bytes": dice.roll(90_000), "cs-bytes": dice.roll(4000), "time-taken": dice.roll(900),
        "cs-referer": "https://shop.example/", "cs-user-agent": dice.text(&[
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
            "okhttp/4.12.0",
        ]),
    })
}

fn cloudtrail(dice: &mut Dice, n: usize) -> Value {
    json!({
        "product": "aws", "service": "cloudtrail", "eventVersion": "1.11", "eventID": format!("{n:08x}-7b5c-4f8e-8f3e-{:012x}", n * 17),
        "eventSource": dice.text(&["s3.amazonaws.com", "ec2.amazonaws.com", "sts.amazonaws.com", "kms.amazonaws.com", "iam.amazonaws.com"]),
        "eventName": dice.text(&["GetObject", "DescribeInstances", "AssumeRole", "Decrypt", "ListBuckets", "GetCallerIdentity", "PutObject"]),
        "awsRegion": dice.text(&["ap-southeast-1", "eu-central-1"]), "sourceIPAddress": ip(dice), "userAgent": "aws-sdk-java/2.31.9 Linux/6.8", "readOnly": true,
        "userIdentity": {"type": dice.text(&["AssumedRole", "IAMUser"]), "arn": format!("arn:aws:sts::123456789012:assumed-role/app/{}", dice.roll(300)), "accountId": "123456789012", "sessionContext": {"attributes": {"mfaAuthenticated": "false"}}},
        "requestParameters": {"bucketName": format!("data-{}", dice.roll(40)), "key": format!("raw/{n}.parquet")}, "responseElements": null, "recipientAccountId": "123456789012",
    })
}

fn azure(dice: &mut Dice, n: usize) -> Value {
    json!({
        "product": "azure", "service": dice.text(&["signinlogs", "auditlogs", "activitylogs"]), "correlationId": format!("{n:08x}-1111-4222-8333-{:012x}", n * 13),
        "operationName": dice.text(&["Sign-in activity", "Update user", "MICROSOFT.COMPUTE/VIRTUALMACHINES/READ", "Add member to group"]), "ResultType": 0, "ResultDescription": "", "category": "SignInLogs",
        "properties": {"message": "Sign-in completed", "userPrincipalName": format!("{}@example.com", user(dice)), "appDisplayName": "Portal", "clientAppUsed": "Browser", "deviceDetail": {"operatingSystem": "Windows 11", "isCompliant": true}},
        "Location": "SG", "callerIpAddress": ip(dice), "Status": "Success", "riskState": "none", "riskLevelAggregated": "none", "conditionalAccessStatus": "success", "tenantId": "72f988bf-86f1-41af-91ab-2d7cd011db47",
    })
}

fn okta(dice: &mut Dice, n: usize) -> Value {
    json!({
        "product": "okta", "service": "okta", "eventtype": dice.text(&["user.session.start", "user.authentication.sso", "policy.evaluate_sign_on"]), "uuid": format!("{n:08x}-2222-4333-8444-{:012x}", n * 11),
        "displayMessage": "User single sign on to app", "severity": "INFO", "actor": {"alternateId": format!("{}@example.com", user(dice)), "displayName": "Li Na", "type": "User"},
        "client": {"ipAddress": ip(dice), "zone": "office", "userAgent": {"browser": "CHROME", "os": "Windows 11", "rawUserAgent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/137.0.0.0"}},
        "outcome": {"result": "SUCCESS", "reason": null}, "securityContext": {"isProxy": false, "asNumber": 4657}, "debugContext": {"debugData": {"requestUri": "/app/sso/saml", "dtHash": format!("{n:032x}")}},
    })
}

fn github(dice: &mut Dice, n: usize) -> Value {
    json!({
        "product": "github", "service": "audit", "action": dice.text(&["repo.download_zip", "git.clone", "git.push", "pull_request.merge", "workflows.completed_workflow_run"]), "actor": user(dice), "actor_ip": ip(dice),
        "org": "example", "repo": format!("example/service-{}", dice.roll(200)), "_document_id": format!("{n:022x}"), "user_agent": "git/2.45.2", "business": "example", "created_at": 1_777_860_000_000_u64 + n as u64,
        "visibility": "private", "actor_location": {"country_code": "SG"}, "programmatic_access_type": "GitHub App server-to-server token", "workflow_run_id": n, "head_branch": "main", "conclusion": "success", "event": "push",
    })
}

fn windows_process(dice: &mut Dice, n: usize) -> Value {
    let image = dice.text(&[
        "C:\\Windows\\System32\\svchost.exe", "C:\\Windows\\System32\\conhost.exe", "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
        "C:\\Windows\\System32\\backgroundTaskHost.exe", "C:\\Program Files\\Microsoft Office\\root\\Office16\\OUTLOOK.EXE", "C:\\Windows\\explorer.exe", "C:\\Windows\\System32\\SearchProtocolHost.exe",
    ]);
    json!({
        "product": "windows", "category": "process_creation", "EventID": 1, "Computer": host(dice), "Image": image, "OriginalFileName": image.rsplit('\\').next(),
        "CommandLine": format!("\"{image}\" --type=renderer --field-trial-handle={n},i,{} --lang=en-US", dice.roll(1 << 30)), "Company": "Microsoft Corporation", "Product": "Microsoft Windows Operating System", "Description": "Host Process",
        "ParentImage": dice.text(&["C:\\Windows\\System32\\services.exe", "C:\\Windows\\explorer.exe", "C:\\Windows\\System32\\svchost.exe"]), "ParentCommandLine": "C:\\Windows\\system32\\svchost.exe -k DcomLaunch -p",
        "User": "NT AUTHORITY\\SYSTEM", "IntegrityLevel": "System", "LogonId": "0x3e7", "CurrentDirectory": "C:\\Windows\\system32\\", "ProcessId": n % 60_000, "Hashes": format!("MD5={:032x},IMPHASH={:032x}", n, n / 7),
    })
}

fn windows_security(dice: &mut Dice, n: usize) -> Value {
    json!({
        "product": "windows", "service": "security", "EventID": *dice.pick(&[4624, 4634, 4672, 4688, 5156]), "Computer": host(dice), "Channel": "Security", "Provider_Name": "Microsoft-Windows-Security-Auditing",
        "SubjectUserName": format!("{}$", host(dice)), "SubjectUserSid": "S-1-5-18", "TargetUserName": user(dice), "TargetDomainName": "EXAMPLE", "LogonType": *dice.pick(&[2, 3, 5, 10]), "IpAddress": ip(dice), "IpPort": dice.roll(60_000),
        "LogonProcessName": "Kerberos", "AuthenticationPackageName": "Negotiate", "WorkstationName": "-", "LogonGuid": format!("{{{n:08x}-0000-0000-0000-000000000000}}"), "ProcessName": "C:\\Windows\\System32\\lsass.exe", "KeyLength": 0, "ElevatedToken": "%%1842",
    })
}
