"""Violations and decoys of AU-19 … AU-26: dormant, emergency, hours, sessions, secrets, elevation, outsourced, reviews."""
import datetime as dt

from cloud_lines import actiontrail, aws_console, cloudtrail, okta_signin, web_login, webaudit
from company import at
from lines import auditd, bastionhost, execve, js_ftp, js_login, js_session, sshd, sudo, teleport, tp_session

S, MIN = dt.timedelta(seconds=1), dt.timedelta(minutes=1)


def last_seen(c, p, system, day):
    next(a for a in c.accounts if a["system"] == system and a["owner_employee_id"] == p["employee_id"])["last_logon_at"] = day


def dormant(cap):
    """AU-19"""
    c = cap.c
    p = c.take("clerk")
    last_seen(c, p, "crm", "2026-08-05T09:00:00+01:00")
    cap.expect("AU-19", p, p["login"], web_login(cap, p, at("07 09:30")), "Medium", "AU-19 Logic: first success after 63 days (web audit)")
    p = c.take("os_admin")
    last_seen(c, p, "aws", "2026-06-01T09:00:00+01:00")
    cap.expect("AU-19", p, p["login"], aws_console(cap, p["login"], at("07 10:30")), "Medium", "AU-19 Logic: first success after 128 days (CloudTrail)")
    last_seen(c, p, "jumpserver", "2026-07-01T09:00:00+01:00")
    cap.expect("AU-19", p, p["login"], js_login(cap, p, at("08 10:30")), "Medium", "AU-19 Logic: first success after 99 days (JumpServer)")
    p = c.take("os_admin")
    c.account("host:stg-app-01", "adm2-stage", p["employee_id"], "privileged", last_logon_at="2026-07-20T09:00:00+01:00")
    cap.expect("AU-19", p, "adm2-stage", sshd(cap, "stg-app-01", "adm2-stage", p["ip"], at("08 11:00")), "High", "AU-19 Severity: privileged wake-up after 80 days (sshd)")
    p = c.take("clerk")
    last_seen(c, p, "billing", "2026-06-01T09:00:00+01:00")
    cap.expect("AU-19", p, p["login"], [], "Low", "AU-19 Logic: no success for 60 d and state still active")
    p = c.take("clerk")
    last_seen(c, p, "crm", "2026-08-10T09:00:00+01:00")
    cap.decoy("AU-19", p, web_login(cap, p, at("07 09:30")), "AU-19 Logic: 58 days are fewer than 60")


def emergency(cap):
    """AU-20"""
    c = cap.c
    for name, system in (("breakglass-1", "host:*"), ("breakglass-2", "host:*"), ("breakglass-3", "host:*"), ("breakglass", "aws")):
        c.account(system, name, c.lead, "emergency", last_logon_at="2026-09-28T10:00:00+01:00")
    p = c.take("os_admin")
    scope = dict(assets=["web-01", "api-02", "app-04"], roles=["login"], accounts=["breakglass-1", "breakglass-2", "breakglass-3"])
    c.ticket("access", p["employee_id"], scope)
    s = js_session(cap, p, "web-01", "breakglass-1", at("06 10:00"), 30, ["uptime"])
    cap.expect("AU-20", None, "breakglass-1", s["all"], "Critical", "AU-20 Severity: Critical when the ticket is missing (sshd, JumpServer)")
    p = c.take("os_admin")
    c.ticket("access", p["employee_id"], scope)
    c.ticket("emergency", p["employee_id"], dict(assets=["api-02"], accounts=["breakglass-2"]), start=at("07 10:30"), end=at("07 18:00"))
    s = tp_session(cap, p, "api-02", "breakglass-2", at("07 10:00"), 300, ["uptime"])
    cap.expect("AU-20", None, "breakglass-2", s["all"], "High", "AU-20 Logic: every use; the session lasts 5 h, more than 4 (Teleport)")
    r = aws_console(cap, "breakglass", at("08 13:00"))
    cap.expect("AU-20", None, "breakglass", r, "Critical", "AU-20 Logic: use without an emergency ticket within 2 h (CloudTrail)")


def hours(cap):
    """AU-21"""
    c = cap.c
    p = c.take("os_admin")
    s = js_session(cap, p, "web-02", p["adm"], at("08 03:10"), 15, ["uptime"], ip="10.119.7.1")
    cap.expect("AU-21", p, None, s["all"], "Medium", "AU-21 Logic: 03:10, no change, not on call (JumpServer)")
    p = c.take("os_admin")
    s = tp_session(cap, p, "app-02", p["adm"], at("10 14:00"), 15, ["uptime"])
    cap.expect("AU-21", p, None, s["all"], "Medium", "AU-21 Logic: a Saturday (Teleport)")
    p = c.take("os_admin")
    s = js_session(cap, p, "web-02", p["adm"], at("05 11:00"), 15, ["uptime"])
    cap.expect("AU-21", p, None, s["all"], "Medium", "AU-21 Logic: a public holiday of the calendar (JumpServer)")
    p = c.take("os_admin")
    s = js_session(cap, p, "crm-db-01", "postgres", at("09 02:00"), 20, ["pg_dump crm > /var/tmp/c.sql"])
    cap.expect("AU-21", p, None, s["all"], "High", "AU-21 Severity: followed within 60 min by an export command (JumpServer)")
    p = c.take("os_admin")
    s = tp_session(cap, p, "app-02", p["adm"], at("07 15:10"), 15, ["uptime"], ip="203.0.113.8")
    cap.expect("AU-21", p, None, s["all"], "Medium", "AU-21 Logic: source zone internet, a country not on the list (Teleport)")
    p = c.take("os_admin")
    r = js_session(cap, p, "web-05", p["adm"], at("07 18:40"), 5, ["uptime"])
    cap.expect("AU-21", p, None, r["all"], "Medium", "AU-21 Logic: 18:40, ten minutes after the hours (JumpServer)")
    p = c.take("os_admin")
    s = js_session(cap, p, "web-05", p["adm"], at("08 18:20"), 8, ["uptime"])
    cap.decoy("AU-21", p, s["all"], "AU-21 Logic: 18:20 is inside the hours")
    p = c.take("os_admin")
    s = js_session(cap, p, "web-05", p["adm"], at("09 08:36"), 8, ["uptime"], ip="10.119.9.9")
    cap.decoy("AU-21", p, s["all"], "AU-21 Logic: 08:36 local is inside the hours (07:36 UTC is not: time zone of the site); VPN")


def sessions(cap):
    """AU-22"""
    c = cap.c
    p = c.take("os_admin")
    s = js_session(cap, p, "app-01", p["adm"], at("06 09:00"), 8 * 60 + 20, ["uptime", "df -h"])
    cap.expect("AU-22", p, None, s["all"], "Low", "AU-22 Logic: session open longer than 8 h (JumpServer)")
    p = c.take("os_admin")
    s = tp_session(cap, p, "app-02", p["adm"], at("06 09:00"), 8 * 60 + 30, ["uptime"])
    cap.expect("AU-22", p, None, s["all"], "Low", "AU-22 Logic: session open longer than 8 h (Teleport)")
    p = c.take("os_admin")
    s = js_session(cap, p, "app-05", p["adm"], at("07 10:00"), 30, ["uptime"], closed=False)
    cap.expect("AU-22", p, None, s["all"], "Low", "AU-22 Logic: no end event by 8 h (JumpServer)")
    owner, guest = c.take("os_admin"), c.take("developer")
    s = tp_session(cap, owner, "app-03", owner["adm"], at("07 11:00"), 30, ["uptime"])
    r = teleport(cap, at("07 11:10"), "session.join", "T2001I", guest["login"], ei=9, participants=[owner["login"], guest["login"]], mode="peer", **dict(s["where"], **{"addr.remote": guest["ip"] + ":5000"}))
    cap.expect("AU-22", guest, guest["login"], [r, s["all"]], "High", "AU-22 Severity: writable join without a right on the asset (Teleport session.join)")
    p = c.take("os_admin")
    s = js_session(cap, p, "app-06", p["adm"], at("07 09:00"), 7 * 60 + 50, ["uptime", "df -h"])
    cap.decoy("AU-22", p, s["all"], "AU-22 Text: 7 h 50 min are fewer than 8 h")


def secrets(cap):
    """AU-23"""
    c = cap.c
    p = c.take("os_admin")
    for i, (command, why) in enumerate((("cat /etc/shadow", "reads /etc/shadow"), ("echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 x' >> /home/svc-deploy/.ssh/authorized_keys", "echo >> authorized_keys of another account"),
                                        ("mysql -h bill-db-01 -u root -pS3cr3tPort -e status", "password on the command line (mysql -p)"), ("sshpass -p Harb0r!2026 ssh app-01 uptime", "sshpass -p"),
                                        ("curl -u deploy:Xy7-qq81 https://repo.harbor.example/x", "curl -u user:pass"), ("ssh-copy-id -i .ssh/id_ed25519 svc-mon@app-02", "ssh-copy-id"),
                                        ("export API_SECRET_KEY=9f8e7d6c5b4a", "export *_SECRET*"))):
        s = js_session(cap, p, "web-06", p["adm"], at("06 09:20") + dt.timedelta(minutes=40 * i), 12, [command], login=i == 0)
        cap.expect("AU-23", p, None, s["commands"], "High", f"AU-23 Logic: {why} (JumpServer)")
    p = c.take("os_admin")
    s = js_session(cap, p, "kms-01", p["adm"], at("07 15:00"), 20)
    r = execve(cap, "kms-01", p["adm"], ["cp", "/etc/shadow", "/home/x/s"], at("07 15:03"))
    cap.expect("AU-23", p, None, r, "High", "AU-23 Logic: cp /etc/shadow (auditd EXECVE); L4 asset")
    r = execve(cap, "kms-01", p["adm"], ["scp", "/etc/shadow", "mon-01:/home/x/"], at("07 15:06"))
    cap.expect("AU-23", p, None, r, "High", "AU-23 Logic: scp /etc/shadow (auditd EXECVE); L4 asset")
    p = c.take("os_admin")
    s = js_session(cap, p, "app-06", p["adm"], at("07 16:00"), 20)
    r = sudo(cap, "app-06", p["adm"], "/usr/bin/cat /etc/shadow", at("07 16:04"))
    cap.expect("AU-23", p, None, r, "High", "AU-23 Logic: cat /etc/shadow (sudo COMMAND)")
    p = c.take("os_admin")
    s = tp_session(cap, p, "app-04", p["adm"], at("07 17:00"), 20, ["cat /etc/shadow"])
    cap.expect("AU-23", p, None, s["commands"], "High", "AU-23 Logic: cat /etc/shadow (Teleport session.command)")
    p = c.take("net_admin")
    okta_signin(cap, p, at("08 10:30"))
    r = bastionhost(cap, p, at("08 10:33"), "cmd.Command", "sshpass -p Kd83hf ssh core-sw-02")
    cap.expect("AU-23", p, None, r, "High", "AU-23 Logic: sshpass -p (Bastionhost cmd.Command)")
    p, q = c.take("os_admin"), c.take("developer")
    r = cloudtrail(cap, p["login"], at("08 11:00"), "CreateAccessKey", request={"userName": q["login"]}, response={"accessKey": {"accessKeyId": "AKIAHARBOR1", "status": "Active", "userName": q["login"]}})
    cap.expect("AU-23", p, p["login"], r, "High", "AU-23 Logic: access key created for another user (CloudTrail)")
    r = actiontrail(cap, p["login"], at("08 11:20"), "CreateAccessKey", request={"UserName": q["login"]})
    cap.expect("AU-23", p, p["login"], r, "High", "AU-23 Logic: access key created for another user (ActionTrail)")
    q = c.take("os_admin")
    s = js_session(cap, q, "web-06", q["adm"], at("08 09:20"), 20, ["cat .ssh/known_hosts", "mysql -h bill-db-01 -u root -p -e status", "grep -c shadow /srv/app/notes.txt", "echo done"])
    cap.decoy("AU-23", q, s["all"], "AU-23 Logic: no credential store, no secret on the command line")
    cap.c.change(["app-05"], ["config"], [cap.c.lead], at("08 16:00"), at("08 17:00"), "standard")
    r = sshd(cap, "app-05", "svc-deploy", "10.100.22.13", at("08 16:10"), shell=False) + [sudo(cap, "app-05", "svc-deploy", "/usr/bin/tee -a /home/svc-mon/.ssh/authorized_keys", at("08 16:10:05"))]
    cap.decoy("AU-23", None, r, "AU-23 FP: configuration management under its service account in a window")


def elevation(cap):
    """AU-24"""
    c = cap.c
    p = c.take("os_admin")
    s = js_session(cap, p, "web-01", p["adm"], at("07 09:00"), 30, ["sudo -l"])
    r = [sudo(cap, "web-01", p["adm"], "/usr/sbin/visudo -c", at("07 09:02") + 8 * i * MIN, refusal="command not allowed") for i in range(3)]
    cap.expect("AU-24", p, p["adm"], r, "Medium", "AU-24 Logic: 3 refusals in 30 min (sudo)")
    p = c.take("os_admin")
    s = js_session(cap, p, "web-03", p["adm"], at("07 09:40"), 30, [])
    r = sudo(cap, "web-03", p["adm"], "/usr/bin/id", at("07 09:42"), refusal="3 incorrect password attempts")
    cap.expect("AU-24", p, p["adm"], r, "Low", "AU-24 FP: a single refusal is Low (sudo)")
    for host, minute, command, why in (("web-04", "00", "/bin/bash", "a root shell"), ("api-01", "10", "/usr/bin/vi /etc/hosts", "a shell escape (vi)"), ("mon-01", "20", "/usr/bin/find / -name x -exec sh {} +", "a shell escape (find -exec)"),
                                       ("k8s-01", "30", "/usr/bin/python3 -c import os", "a shell escape (python -c)"), ("bak-01", "40", "/bin/su -", "su -")):
        p = c.take("os_admin")
        s = js_session(cap, p, host, p["adm"], at(f"07 10:{minute}"), 8, [])
        r = sudo(cap, host, p["adm"], command, at(f"07 10:{minute}:50"))
        cap.expect("AU-24", p, p["adm"], r, "High", f"AU-24 Logic: COMMAND is {why} on prod with no open change ({c.host[host]['log']})")
    p = c.take("os_admin")
    s = js_session(cap, p, "kms-01", p["adm"], at("07 11:20"), 8, [])
    r = sudo(cap, "kms-01", p["adm"], "/bin/bash -i", at("07 11:21"))
    cap.expect("AU-24", p, p["adm"], r, "High", "AU-24 Evidence: auditd USER_CMD of a shell without a change")
    p = c.take("os_admin")
    s = js_session(cap, p, "web-05", p["adm"], at("07 12:00"), 8, ["sudo visudo"])
    r = [sudo(cap, "web-05", p["adm"], "/usr/sbin/visudo", at("07 12:01")), s["commands"]]
    cap.expect("AU-24", p, None, r, "High", "AU-24 Logic: visudo")
    s = js_session(cap, p, "web-05", p["adm"], at("07 12:30"), 8, ["echo 'ops ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/ops"])
    cap.expect("AU-24", p, None, s["commands"], "High", "AU-24 Logic: write to sudoers.d (JumpServer)")
    p = c.take("developer")
    r = cloudtrail(cap, p["login"], at("07 13:00"), "AssumeRole", "sts", request={"roleArn": "arn:aws:iam::445566778899:role/OrgAdmin", "roleSessionName": p["login"]})
    cap.expect("AU-24", p, p["login"], r, "Medium", "AU-24 Logic: role assumption by a person whose post the role_matrix does not list for it (CloudTrail AssumeRole)")
    p = c.take("os_admin")
    s = js_session(cap, p, "web-06", p["adm"], at("08 10:30"), 20, [])
    r = [sudo(cap, "web-06", p["adm"], x, at("08 10:32") + i * MIN) for i, x in enumerate(("/usr/bin/ss -ltnp", "/usr/bin/journalctl -u bash-report", "/usr/bin/find /var/log -name *.gz"))]
    cap.decoy("AU-24", p, [r, s["all"]], "AU-24 Logic: neither shell nor shell escape nor refusal")


def outsourced(cap):
    """AU-25"""
    c = cap.c
    p = c.take("os_admin", "outsourced")
    s = js_session(cap, p, "web-01", p["adm"], at("06 10:00"), 20, ["uptime"])
    r = js_ftp(cap, p, "web-01", p["adm"], s["id"], "download", "/srv/app/log/app.log", at("06 10:08"))
    cap.expect("AU-25", p, p["login"], r, "High", "AU-25 Logic: file download by an outsourced person (JumpServer ftp_log)")
    s = tp_session(cap, p, "app-01", p["adm"], at("06 11:00"), 20, ["uptime"])
    r = teleport(cap, at("06 11:05"), "scp", "T3004I", p["login"], action="download", path="/srv/app/log/app.log", len=4096, **s["where"])
    cap.expect("AU-25", p, None, r, "High", "AU-25 Logic: file download by an outsourced person (Teleport scp)")
    p = c.take("os_admin", "outsourced")
    r = sshd(cap, "web-06", p["adm"], "10.119.20.2", at("06 12:00"))
    cap.expect("AU-25", p, p["adm"], r, "High", "AU-25 Logic: logon not through the bastion (sshd)")
    cap.expect("AU-10", p, p["adm"], r, "Critical", "AU-10 Logic: source is vpn, not bastion (sshd, interactive)")
    p = c.take("os_admin", "outsourced")
    r = cloudtrail(cap, "svc-provision", at("07 13:00"), "AttachUserPolicy", request={"userName": p["login"], "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"})
    cap.expect("AU-25", None, None, r, "High", "AU-25 Logic: grant of an admin role to an outsourced person (CloudTrail)")
    cap.expect("AU-13", None, None, r, "High", "AU-13 Evidence: AttachUserPolicy AdministratorAccess")
    p = c.take("os_admin", "outsourced")
    sponsor = c.take("os_admin")
    sick = next(x for x in c.roster if x["employee_id"] == sponsor["employee_id"])
    sick["status"] = "on_leave"
    next(x for x in c.roster if x["employee_id"] == p["employee_id"])["manager_id"] = sponsor["employee_id"]
    s = js_session(cap, p, "web-02", p["adm"], at("08 10:00"), 10, ["uptime"])
    cap.expect("AU-25", p, None, s["all"], "High", "AU-25 Logic: session while the sponsor is not on duty (JumpServer)")
    p = c.take("os_admin", "outsourced")
    s = js_session(cap, p, "web-03", p["adm"], at("08 11:00"), 20, ["uptime"])
    r = js_ftp(cap, p, "web-03", p["adm"], s["id"], "upload", "/srv/app/in/patch.tgz", at("08 11:08"))
    cap.decoy("AU-25", p, [r, s["all"]], "AU-25 Logic: an upload is no download; bastion, listed asset, sponsor on duty")


def reviews(cap):
    """AU-26: the review tool sends the web audit contract."""
    c = cap.c
    p = c.take("os_admin")
    r = webaudit(cap, p, at("07 14:00"), "portal", "review_decide", {"type": "access_review", "id": p["login"], "count": 1, "level": "L2", "personal": "none"}, decision="keep", target_system="portal")
    cap.expect("AU-26", None, None, [], "Medium", "AU-26 Logic: no signed review of a system by quarter end + 10 d (2026-10-10)")
    cap.expect("AU-26", p, p["login"], r, "Medium", "AU-26 Logic: the reviewer reviews his own account (web audit)")


def all_of_them(cap):
    for part in (dormant, emergency, hours, sessions, secrets, elevation, outsourced, reviews):
        part(cap)
