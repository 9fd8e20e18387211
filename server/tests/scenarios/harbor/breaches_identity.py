"""Violations and decoys of AU-01 … AU-09: persons, accounts, factors, failed logons. Each label names its sentence."""
import datetime as dt

from cloud_lines import actiontrail, ali_console, aws_console, cloudtrail, okta, okta_signin, okta_user, pg_audit, pg_connect, postgres, web_login, webaudit
from company import EGRESS, JS, at, iso
from lines import UA2, UA3, bastionhost, js_login, js_operation, js_session, sshd, sshd_failed, sudo, syslog, tp_login, tp_session, win_logon, windows

MIN = dt.timedelta(minutes=1)
SINGAPORE = ("Singapore", "Singapore", 1.3521, 103.8198)
PORTO = ("Porto", "Portugal", 41.1496, -8.611)


def one_person(cap):
    """AU-01"""
    c = cap.c
    p = c.take("clerk")
    r = [okta_signin(cap, p, at("06 09:10"), EGRESS["lisboa"]), okta_signin(cap, p, at("06 09:25"), EGRESS["porto"], UA2, PORTO)]
    cap.expect("AU-01", p, p["login"], r, "High", "AU-01 Logic: overlapping sessions, sites lisboa and porto differ (Okta)")
    p = c.take("os_admin")
    r = [js_login(cap, p, at("07 09:30"), "10.110.7.7"), js_login(cap, p, at("07 09:52"), "10.111.7.7")]
    cap.expect("AU-01", p, p["login"], r, "High", "AU-01 Logic: overlapping sessions, sites differ (JumpServer)")
    p = c.take("clerk")
    r = [web_login(cap, p, at("07 10:00"), ip="10.110.8.1", device="dev-a1"), web_login(cap, p, at("07 10:06"), ip="10.110.8.77", device="dev-b2", ua=UA3, session="s-2")]
    cap.expect("AU-01", p, p["login"], r, "High", "AU-01 Logic/FP: two devices inside 10 min, address and device differ inside one site (web audit)")
    p = c.take("developer")
    r = [okta_signin(cap, p, at("08 09:00")), okta_signin(cap, p, at("08 10:00"), "198.51.100.9", UA2, SINGAPORE)]
    cap.expect("AU-01", p, p["login"], r, "High", "AU-01 Logic: 11,800 km in one hour is faster than 900 km/h (Okta)")
    p = c.take("os_admin")
    r = [tp_login(cap, p, at("09 11:00"), "10.110.7.9"), tp_login(cap, p, at("09 11:20"), "10.119.4.4")]
    cap.expect("AU-01", p, p["login"], r, "High", "AU-01 Logic: overlapping sessions, zones office and vpn differ (Teleport)")
    p = c.take("os_admin")
    r = [js_login(cap, p, at("08 09:30"), "10.119.2.2"), js_login(cap, p, at("08 09:41"), "10.119.6.50")]
    cap.decoy("AU-01", p, r, "AU-01 FP: VPN re-connect changes the address, same device")
    p = c.take("clerk")
    r = [web_login(cap, p, at("09 10:00"), ip="10.110.8.5", device="dev-d1"), web_login(cap, p, at("09 10:04"), ip="10.110.8.5", device="dev-m1", ua=UA2, session="s-3")]
    cap.decoy("AU-01", p, r, "AU-01 FP: mobile plus desktop of one person at one site, same address")
    p = c.take("clerk")
    r = [web_login(cap, p, at("08 09:00"), ip="10.110.8.6"), webaudit(cap, p, at("08 11:50"), "crm", "logout", {"type": "session", "id": p["login"]}, ip="10.110.8.6"), web_login(cap, p, at("08 16:00"), ip="10.111.8.6", session="s-4")]
    cap.decoy("AU-01", p, r, "AU-01 Logic: the first session ended before the second began; Lisboa to Porto in four hours")
    p = c.take("os_admin")
    r = [js_login(cap, p, at("09 09:00"), "10.110.7.11"), js_login(cap, p, at("09 17:05"), "10.111.7.11")]
    cap.decoy("AU-01", p, r, "AU-01 Logic: a logon session without an end event ends after 8 h (8 h 5 min)")


def registered(cap):
    """AU-02"""
    c = cap.c
    p = c.take("os_admin")
    r = js_session(cap, p, "web-02", "oracle", at("06 11:00"), 6)
    cap.expect("AU-02", None, "oracle", r["host"][0], "High", "AU-02 Logic: (host, account) is missing from the register (sshd)")
    cap.expect("AU-11", p, p["login"], r["all"], "High", "AU-11 Logic: logon to an asset; no access row has account oracle")
    r = [okta(cap, "m.ghost@partner.example", at("06 12:00"), "user.session.start", EGRESS["lisboa"])]
    cap.expect("AU-02", None, "m.ghost@partner.example", r, "High", "AU-02 Logic: account missing from the register (Okta)")
    _, r = pg_connect(cap, "port-db-01", "report_tmp", "port", "10.100.17.13", "report", at("06 12:30"))
    cap.expect("AU-02", None, "report_tmp", r, "High", "AU-02 Logic: database account missing from the register (PostgreSQL)")
    p = c.take("clerk")
    next(a for a in c.accounts if a["system"] == "crm" and a["account"] == p["login"])["state"] = "disabled"
    r = web_login(cap, p, at("07 09:00"))
    cap.expect("AU-02", p, p["login"], r, "High", "AU-02 Logic: state != active (web audit)")
    c.account("jumpserver", "ops-tools", None)
    fake = dict(c.take("os_admin"), login="ops-tools", name="Ops Tools")
    r = js_login(cap, fake, at("07 13:00"))
    cap.expect("AU-02", None, "ops-tools", r, "High", "AU-02 Logic: the owner is empty (JumpServer)")
    r = win_logon(cap, "win-app-01", "kiosk", JS, at("08 11:01"))
    cap.expect("AU-02", None, "kiosk", r, "High", "AU-02 Logic: account missing from the register (Windows 4624)")
    cap.expect("AU-10", None, "kiosk", r, "High", "AU-10 Logic: bastion address, no session explains the logon (Windows)")
    p = c.take("clerk")
    c.accounts.remove(next(a for a in c.accounts if a["system"] == "wms" and a["account"] == p["login"]))
    c.account("wms", p["login"], p["employee_id"], valid_from="2026-10-08T10:20:00+01:00")
    cap.decoy("AU-02", p, web_login(cap, p, at("08 10:00"), "wms"), "AU-02 FP: the register lags 20 min, one sync is 30 min")
    p = c.take("clerk")
    c.accounts.remove(next(a for a in c.accounts if a["system"] == "wms" and a["account"] == p["login"]))
    c.account("wms", p["login"], p["employee_id"], valid_from="2026-10-08T10:45:00+01:00")
    cap.expect("AU-02", p, p["login"], web_login(cap, p, at("08 10:00"), "wms"), "High", "AU-02 FP: still missing after the sync of 30 min (registered 45 min later)")


def created(cap):
    """AU-03"""
    c = cap.c
    p = c.take("os_admin")
    s = js_session(cap, p, "web-03", p["adm"], at("06 14:00"), 12, ["sudo useradd -m -s /bin/bash temp01"])
    t = at("06 14:04")
    r = [sudo(cap, "web-03", p["adm"], "/usr/sbin/useradd -m -s /bin/bash temp01", t),
         syslog(cap, "web-03", t + dt.timedelta(seconds=1), "useradd", 7171, "new user: name=temp01, UID=1207, GID=1207, home=/home/temp01, shell=/bin/bash, from=/dev/pts/0")]
    cap.expect("AU-03", p, None, [r, s["commands"]], "Critical", "AU-03 Logic: no approvals row kind=account; outside the provisioning service account (useradd)")
    p = c.take("os_admin")
    s = js_session(cap, p, "win-dc-01", p["adm"], at("06 14:30"), 12, protocol="rdp")
    r = windows(cap, "win-dc-01", 4720, at("06 14:35"), TargetUserName="scanner2", TargetDomainName="HARBOR", TargetSid="S-1-5-21-3012-4411-9022-4410", SubjectUserName=p["adm"], SubjectUserSid="S-1-5-21-3012-4411-9022-1301", SubjectDomainName="HARBOR", SamAccountName="scanner2", UserAccountControl="%%2080")
    cap.expect("AU-03", p, p["adm"], r, "Critical", "AU-03 Evidence: Windows 4720 without approvals row")
    p = c.take("dba")
    c.account("host:port-db-01", p["adm"], p["employee_id"], "privileged")
    s = js_session(cap, p, "port-db-01", p["adm"], at("06 15:30"), 15, ["CREATE ROLE etl LOGIN"], protocol="postgresql", logon=False)
    pid, q = pg_connect(cap, "port-db-01", p["adm"], "port", JS, "psql", at("06 15:30:02"))
    r = pg_audit(cap, "port-db-01", p["adm"], "port", JS, "psql", at("06 15:31"), pid, "ROLE", "CREATE ROLE", "CREATE ROLE etl LOGIN PASSWORD <REDACTED>")
    cap.expect("AU-03", p, p["adm"], [r, s["commands"]], "Critical", "AU-03 Evidence: CREATE ROLE without approvals row (pgaudit)")
    p = c.take("os_admin")
    r = cloudtrail(cap, p["login"], at("07 11:00"), "CreateUser", request={"userName": "backup-ops"}, response={"user": {"userName": "backup-ops"}})
    cap.expect("AU-03", p, p["login"], r, "Critical", "AU-03 Evidence: IAM CreateUser without approvals row")
    r = actiontrail(cap, p["login"], at("07 11:30"), "CreateUser", request={"UserName": "dev-tmp"})
    cap.expect("AU-03", p, p["login"], r, "Critical", "AU-03 Evidence: RAM CreateUser without approvals row")
    p = c.take("os_admin")
    r = okta(cap, p["login"], at("07 12:00"), "user.lifecycle.create", EGRESS["lisboa"], target=[okta_user("z.extern@harbor.example")])
    cap.expect("AU-03", p, p["login"], r, "Critical", "AU-03 Evidence: Okta user.lifecycle.create without approvals row")
    r = js_operation(cap, p, at("07 12:30"), "create", "User", "z.extern(z.extern)", [("Username", "", "z.extern")])
    cap.expect("AU-03", p, p["login"], r, "Critical", "AU-03 Evidence: JumpServer operation_log create User without approvals row")
    c.ticket("account", c.lead, dict(systems=["aws"], accounts=["late-user"]), start=at("01 08:00"), end=at("06 18:00"))
    p = c.take("os_admin")
    r = cloudtrail(cap, p["login"], at("06 18:01"), "CreateUser", request={"userName": "late-user"}, response={"user": {"userName": "late-user"}})
    cap.expect("AU-03", p, p["login"], r, "Critical", "AU-03 Logic: the row is not valid at event time (1 min after its end)")
    c.ticket("account", c.lead, dict(systems=["sso"], accounts=["half.done@harbor.example"]), without=("system_owner",))
    r = okta(cap, "svc-provision", at("08 10:00"), "user.lifecycle.create", EGRESS["lisboa"], target=[okta_user("half.done@harbor.example")])
    cap.expect("AU-03", None, "svc-provision", r, "High", "AU-03 Logic: the system owner did not approve")
    c.ticket("account", c.lead, dict(systems=["sso"], accounts=["new.person@harbor.example"]))
    r = okta(cap, "svc-provision", at("08 10:10"), "user.lifecycle.create", EGRESS["lisboa"], target=[okta_user("new.person@harbor.example")])
    cap.decoy("AU-03", None, r, "AU-03 Logic: approved row names the new account, provisioning service")
    c.ticket("account", c.lead, dict(systems=["aws"], accounts=["just-in-time"]), start=at("01 08:00"), end=at("06 18:00"))
    r = cloudtrail(cap, "svc-provision", at("06 17:59"), "CreateUser", request={"userName": "just-in-time"}, response={"user": {"userName": "just-in-time"}})
    cap.decoy("AU-03", None, r, "AU-03 Logic: one minute before the row's end")
    q = c.take("os_admin")
    c.change(["app-06"], ["install", "config"], [q["employee_id"]], at("08 14:00"), at("08 16:00"))
    s = js_session(cap, q, "app-06", q["adm"], at("08 14:05"), 20, ["sudo apt-get install -y postfix"])
    r = [sudo(cap, "app-06", q["adm"], "/usr/bin/apt-get install -y postfix", at("08 14:06")),
         syslog(cap, "app-06", at("08 14:06:20"), "useradd", 7300, "new user: name=postfix, UID=114, GID=120, home=/var/spool/postfix, shell=/usr/sbin/nologin, from=none")]
    cap.decoy("AU-03", q, [r, s["all"]], "AU-03 FP: package install, nologin, an open change with operation install")


def leavers(cap):
    """AU-04"""
    c = cap.c

    def leave(p, when):
        row = next(r for r in c.roster if r["employee_id"] == p["employee_id"])
        row.update(end_at=iso(when), status="active")

    p = c.take("os_admin")
    leave(p, at("06 18:00"))
    r = web_login(cap, p, at("07 09:00"), "portal", ok=False)
    cap.expect("AU-04", p, p["login"], r, "High", "AU-04 Logic: an attempt after end_at (web audit)")
    r = aws_console(cap, p["login"], at("07 10:00"))
    cap.expect("AU-04", p, p["login"], r, "Critical", "AU-04 Logic: a success after end_at is Critical (CloudTrail)")
    r = js_login(cap, p, at("08 09:00"), ok=False)
    cap.expect("AU-04", p, p["login"], r, "High", "AU-04 Logic: an attempt after end_at (JumpServer)")
    cap.expect("AU-04", p, None, [], "High", "AU-04 Logic: no disable, delete or lock by end_at + 1 h")
    p = c.take("clerk")
    leave(p, at("07 18:00"))
    keep = [a for a in c.accounts if a["owner_employee_id"] == p["employee_id"] and a["system"] != "sso"]
    c.accounts = [a for a in c.accounts if a not in keep]
    r = okta(cap, "svc-provision", at("07 18:58"), "user.lifecycle.deactivate", EGRESS["lisboa"], target=[okta_user(p["login"])])
    before = okta_signin(cap, p, at("07 17:55"))
    cap.decoy("AU-04", p, [r, before], "AU-04 Logic: disabled 58 min after end_at; logon 5 min before end_at")
    p = c.take("clerk")
    leave(p, at("07 18:00"))
    keep = [a for a in c.accounts if a["owner_employee_id"] == p["employee_id"] and a["system"] != "sso"]
    c.accounts = [a for a in c.accounts if a not in keep]
    okta(cap, "svc-provision", at("07 19:05"), "user.lifecycle.deactivate", EGRESS["lisboa"], target=[okta_user(p["login"])])
    cap.expect("AU-04", p, None, [], "High", "AU-04 Severity: late disabling, 65 min after end_at")


def movers(cap):
    """AU-05"""
    c = cap.c

    def move(p, when, post):
        row = next(r for r in c.roster if r["employee_id"] == p["employee_id"])
        c.roster.append(dict(row, job_role=post, valid_from=iso(when), status="transferred" if post == "gone" else "active"))
        row["valid_to"] = iso(when)

    p = c.take("dba")
    move(p, at("06 09:00"), "developer")
    s = js_session(cap, p, "wms-db-01", p["adm"], at("08 10:00"), 15, ["mysql -e 'show processlist'"])
    cap.expect("AU-05", p, None, s["all"], "High", "AU-05 Logic: use of a role of the former post (dba) after t + 1 working day; privileged account (JumpServer)")
    cap.expect("AU-05", p, None, [], "Medium", "AU-05 Logic: no revoke of dba by t + 1 working day")
    p = c.take("os_admin")
    move(p, at("06 09:00"), "clerk")
    s = tp_session(cap, p, "app-05", p["adm"], at("08 11:00"), 10, ["uptime"])
    cap.expect("AU-05", p, None, s["all"], "High", "AU-05 Logic: use after the deadline (Teleport)")
    p = c.take("os_admin")
    move(p, at("06 09:00"), "clerk")
    c.ticket("exception", p["employee_id"], dict(roles=["os_admin", "sudo", "login", "root"], operations=["hand-over"]), start=at("06 08:00"), end=at("16 08:00"))
    s = js_session(cap, p, "app-05", p["adm"], at("08 14:00"), 10, ["uptime"])
    cap.decoy("AU-05", p, s["all"], "AU-05 FP: hand-over exception with an end date inside 10 working days")
    p = c.take("os_admin")
    move(p, at("07 09:00"), "clerk")
    s = js_session(cap, p, "app-05", p["adm"], at("07 15:00"), 10, ["uptime"])
    cap.decoy("AU-05", p, s["all"], "AU-05 Logic: use before the deadline of one working day")


def passwords(cap):
    """AU-06"""
    c = cap.c
    p = c.take("os_admin")
    s = js_session(cap, p, "web-04", p["adm"], at("07 14:00"), 20, ["sudo passwd -d svc-mon", "sudo chage -M 99999 " + p["adm"]])
    r = [sudo(cap, "web-04", p["adm"], "/usr/bin/passwd -d svc-mon", at("07 14:01")), sudo(cap, "web-04", p["adm"], f"/usr/bin/chage -M 99999 {p['adm']}", at("07 14:07"))]
    cap.expect("AU-06", p, None, [r[0], s["commands"][0]], "High", "AU-06 Logic: passwd -d (sudo, JumpServer)")
    cap.expect("AU-06", p, None, [r[1], s["commands"][1]], "High", "AU-06 Logic: chage -M 99999 (sudo, JumpServer)")
    p = c.take("os_admin")
    s = js_session(cap, p, "win-dc-01", p["adm"], at("07 15:00"), 20, protocol="rdp")
    base = dict(SubjectUserName=p["adm"], SubjectUserSid="S-1-5-21-3012-4411-9022-1302", SubjectDomainName="HARBOR", TargetDomainName="HARBOR")
    r = windows(cap, "win-dc-01", 4738, at("07 15:05"), TargetUserName="adm-old", UserAccountControl="\r\n\t\t%%2089", **base)
    cap.expect("AU-06", p, p["adm"], r, "High", "AU-06 Logic: password never expires set (Windows 4738 %%2089)")
    r = windows(cap, "win-dc-01", 4739, at("07 15:09"), DomainPolicyChanged="Password Policy", MinPasswordLength="6", PasswordHistoryLength="0", DomainName="HARBOR", **base)
    cap.expect("AU-06", p, p["adm"], r, "High", "AU-06 Logic: min length 6 below 12, history 0 below 5 (Windows 4739)")
    p = c.take("os_admin")
    r = cloudtrail(cap, p["login"], at("08 11:00"), "UpdateAccountPasswordPolicy", request={"minimumPasswordLength": 8, "requireSymbols": False, "requireNumbers": False, "passwordReusePrevention": 1, "maxPasswordAge": 365})
    cap.expect("AU-06", p, p["login"], r, "High", "AU-06 Logic: min length, history and age below the policy (CloudTrail)")
    r = actiontrail(cap, p["login"], at("08 11:10"), "SetPasswordPolicy", request={"MinimumPasswordLength": 8, "MaxPasswordAge": 0, "PasswordReusePrevention": 0})
    cap.expect("AU-06", p, p["login"], r, "High", "AU-06 Logic: min length and age below the policy (ActionTrail)")
    q = c.take("os_admin")
    c.change(["aws"], ["config"], [q["employee_id"]], at("08 12:00"), at("08 13:00"))
    r = cloudtrail(cap, q["login"], at("08 12:10"), "UpdateAccountPasswordPolicy", request={"minimumPasswordLength": 14, "requireSymbols": True, "requireNumbers": True, "requireUppercaseCharacters": True, "requireLowercaseCharacters": True, "passwordReusePrevention": 12, "maxPasswordAge": 90})
    cap.decoy("AU-06", q, r, "AU-06 Text: 14 characters, 12 remembered, 90 days are not weaker")
    q = c.take("os_admin")
    c.change(["web-04"], ["config"], [q["employee_id"]], at("08 14:00"), at("08 16:00"))
    s = js_session(cap, q, "web-04", q["adm"], at("08 14:10"), 12, ["sudo chage -M 90 " + q["adm"]])
    r = sudo(cap, "web-04", q["adm"], f"/usr/bin/chage -M 90 {q['adm']}", at("08 14:11"))
    cap.decoy("AU-06", q, [r, s["all"]], "AU-06 Text: 90 days is the policy")


def factors(cap):
    """AU-07, AU-08"""
    c = cap.c
    p = c.take("os_admin")
    cap.expect("AU-07", p, p["login"], js_login(cap, p, at("06 09:40"), mfa=0), "High", "AU-07 Logic: JumpServer success with mfa.value 0")
    cap.expect("AU-07", p, p["login"], ali_console(cap, p["login"], at("06 10:40"), "false"), "High", "AU-07 Evidence: ConsoleSignin mfaChecked false")
    cap.expect("AU-07", p, p["login"], aws_console(cap, p["login"], at("06 11:40"), "No"), "High", "AU-07 Evidence: CloudTrail MFAUsed No")
    p = c.take("os_admin")
    cap.expect("AU-07", p, p["login"], js_login(cap, p, at("06 09:45"), mfa=2), "Medium", "AU-07 Logic: mfa.value 2 = unknown, Medium")
    cap.expect("AU-07", p, p["login"], tp_login(cap, p, at("06 10:45"), mfa=False), "Medium", "AU-07 Logic: a source without the field = unknown (Teleport without mfa_device)")
    p = c.take("net_admin")
    cap.expect("AU-07", p, p["login"], bastionhost(cap, p, at("07 10:40"), "login.CSLogin", "login"), "Medium", "AU-07 Logic: Bastionhost has no field, no IdP event before: unknown")
    root = aws_console(cap, "root", at("07 16:00"), "No", root=True)
    cap.expect("AU-07", None, "root", root, "Critical", "AU-07 Severity: Critical for root (CloudTrail)")
    cap.expect("AU-16", None, "root", root, "Critical", "AU-16 Severity: Critical for cloud root (CloudTrail userIdentity.type Root)")
    root = ali_console(cap, "root", at("07 16:30"), "false", root=True)
    cap.expect("AU-07", None, "root", root, "Critical", "AU-07 Severity: Critical for root (ActionTrail isMFAChecked false)")
    cap.expect("AU-16", None, "root", root, "Critical", "AU-16 Evidence: ActionTrail root-account")
    p = c.take("os_admin")
    cap.decoy("AU-07", p, aws_console(cap, p["login"], at("08 09:40"), "No", ok=False), "AU-07 Logic: status_id=1 only")
    idp = okta_signin(cap, p, at("08 10:00"))
    r = js_login(cap, p, at("08 10:03"), mfa=0, backend="SSO")
    cap.decoy("AU-07", p, [idp, r], "AU-07 FP: SSO checked the second factor 3 min before")
    p = c.take("os_admin")
    idp = okta_signin(cap, p, at("08 10:00"))
    r = js_login(cap, p, at("08 10:07"), mfa=0, backend="SSO")
    cap.expect("AU-07", p, p["login"], r, "High", "AU-07 FP: the IdP event is 7 min before, more than 5")

    help_desk = c.take("user_admin")
    p = c.take("os_admin")
    r = okta(cap, help_desk["login"], at("06 15:00"), "user.mfa.factor.deactivate", EGRESS["lisboa"], target=[okta_user(p["login"])], debug={"factor": "OKTA_VERIFY_PUSH"})
    cap.expect("AU-08", help_desk, help_desk["login"], r, "High", "AU-08 Logic: activity 11 without approvals row (Okta)")
    r = js_operation(cap, help_desk, at("06 15:30"), "update", "User", js_who(p), [("MFA", "Enabled", "Disabled")])
    cap.expect("AU-08", help_desk, help_desk["login"], r, "High", "AU-08 Evidence: JumpServer diff field MFA, no row")
    r = cloudtrail(cap, p["login"], at("06 16:00"), "DeactivateMFADevice", request={"userName": p["login"], "serialNumber": f"arn:aws:iam::445566778899:mfa/{p['login']}"})
    cap.expect("AU-08", p, p["login"], r, "High", "AU-08 Evidence: CloudTrail DeactivateMFADevice without row")
    r = actiontrail(cap, p["login"], at("06 16:20"), "UnbindMFADevice", request={"UserName": p["login"]})
    cap.expect("AU-08", p, p["login"], r, "High", "AU-08 Evidence: ActionTrail UnbindMFADevice without row")
    p = c.take("developer")
    okta_signin(cap, p, at("06 09:20"))
    reset = okta(cap, help_desk["login"], at("07 15:00"), "user.mfa.factor.reset_all", EGRESS["lisboa"], target=[okta_user(p["login"])])
    r = okta_signin(cap, p, at("08 14:00"), "203.0.113.40", UA2)
    cap.expect("AU-08", p, p["login"], [reset, r], "High", "AU-08 Logic: reset, then within 24 h a logon from a new device and zone")
    p = c.take("developer")
    c.ticket("account", p["employee_id"], dict(systems=["sso"], accounts=[p["login"]], operations=["mfa_reset"]))
    before = okta_signin(cap, p, at("06 09:20"))
    r = [before, okta(cap, help_desk["login"], at("08 15:00"), "user.mfa.factor.reset_all", EGRESS["lisboa"], target=[okta_user(p["login"])]), okta_signin(cap, p, at("08 15:30"))]
    cap.decoy("AU-08", help_desk, r, "AU-08 FP: phone replaced, ticket present; next logon from the known zone and device")


def js_who(p):
    return f"{p['name']}({p['login']})"


def guessing(cap):
    """AU-09"""
    c = cap.c
    p = c.take("clerk")
    r = [web_login(cap, p, at("06 10:00") + i * MIN, ok=False) for i in range(5)]
    cap.expect("AU-09", p, p["login"], r, "Medium", "AU-09 Logic: 5 failures in 15 min (web audit)")
    p = c.take("clerk")
    r = [web_login(cap, p, at("06 11:00") + i * MIN, ok=False) for i in range(5)] + [web_login(cap, p, at("06 11:08"))]
    cap.expect("AU-09", p, p["login"], r, "High", "AU-09 Logic: 5 failures then success in 15 min (web audit)")
    p = c.take("os_admin")
    r = [js_login(cap, p, at("07 10:00") + i * MIN, ok=False) for i in range(6)] + [js_login(cap, p, at("07 10:09"))]
    cap.expect("AU-09", p, p["login"], r, "High", "AU-09 Logic: failures then success (JumpServer)")
    p = c.take("os_admin")
    r = [sshd_failed(cap, "test-app-01", p["adm"], p["ip"], at("07 11:00") + i * MIN) for i in range(5)] + [sshd(cap, "test-app-01", p["adm"], p["ip"], at("07 11:08"), "password")]
    cap.expect("AU-09", p, p["adm"], r, "Critical", "AU-09 Severity: the success is privileged (sshd)")
    r = [win_logon(cap, "win-file-01", "adm-old", "10.110.9.4", at("07 12:00") + i * 2 * MIN, "3", ok=False) for i in range(5)]
    cap.expect("AU-09", None, "adm-old", r, "Medium", "AU-09 Logic: 5 failures in 15 min (Windows 4625)")
    r = [postgres(cap, "crm-db-01", at("07 13:00") + i * MIN, 9000 + i, "crm_app", "crm", "10.100.17.12", "[unknown]", 'password authentication failed for user "crm_app"', "FATAL") for i in range(5)]
    cap.expect("AU-09", None, "crm_app", r, "Medium", "AU-09 Logic: 5 failures in 15 min (PostgreSQL)")
    people = c.people[20:30]
    r = [okta(cap, q["login"], at("10 13:00") + i * MIN, "user.session.start", "203.0.113.77", "FAILURE", reason="INVALID_CREDENTIALS") for i, q in enumerate(people)]
    cap.expect("AU-09", None, None, r, "High", "AU-09 Logic: one source, 10 distinct accounts in 15 min (Okta)")
    r = [sshd_failed(cap, "stg-app-01", name, "203.0.113.90", at("10 15:00") + i * MIN) for i, name in enumerate(["git", "test", "ubuntu", "ftp", "nagios", "deploy", "www", "jenkins", "minio", "guest"])]
    cap.expect("AU-09", None, None, r, "High", "AU-09 Logic: one source, 10 distinct accounts in 15 min (sshd)")
    p = c.take("developer")
    r = [okta(cap, p["login"], at("11 13:00") + i * 2 * MIN, "user.session.start", f"203.0.113.{120 + i % 5}", "FAILURE", reason="INVALID_CREDENTIALS") for i in range(20)]
    cap.expect("AU-09", p, p["login"], r, "High", "AU-09 Logic: 20 failures from 5 sources in 60 min (Okta)")
    p = c.take("clerk")
    r = [web_login(cap, p, at("08 10:00") + i * MIN, ok=False) for i in range(4)] + [web_login(cap, p, at("08 10:06"))]
    cap.decoy("AU-09", p, r, "AU-09 Logic: 4 failures are fewer than 5")
    p = c.take("clerk")
    r = [web_login(cap, p, at("08 11:00") + i * 4 * MIN, ok=False) for i in range(5)]
    cap.decoy("AU-09", p, r, "AU-09 Logic: 5 failures over 16 min, never 5 in 15")
    p = c.take("os_admin")
    r = [sshd_failed(cap, "test-app-01", p["adm"], p["ip"], at("08 12:00") + i * MIN, noisy=True) for i in range(4)]
    cap.decoy("AU-09", p, r, "AU-09 FP: several lines per attempt, one per connection pid: 4 attempts")
    r = [sshd_failed(cap, "stg-app-01", name, "203.0.113.91", at("11 15:00") + i * MIN) for i, name in enumerate(["git", "test", "ubuntu", "ftp", "nagios", "deploy", "www", "jenkins", "minio"])]
    cap.decoy("AU-09", None, r, "AU-09 Logic: 9 accounts are fewer than 10")


def all_of_them(cap):
    for part in (one_person, registered, created, leavers, movers, passwords, factors, guessing):
        part(cap)
