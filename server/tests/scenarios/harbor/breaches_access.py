"""Violations and decoys of AU-10 … AU-18: the way in, grants, duties, default, service and shared accounts."""
import datetime as dt

from cloud_lines import actiontrail, aws_console, cloudtrail, k8s, mariadb, okta, okta_user, pg_audit, pg_connect, web_login, webaudit
from company import EGRESS, JS, TP, at
from lines import js_login, js_operation, js_session, sshd, sshd_failed, sudo, syslog, tp_session, win_logon, windows

S, MIN = dt.timedelta(seconds=1), dt.timedelta(minutes=1)


def bastion_only(cap):
    """AU-10"""
    c = cap.c
    p = c.take("os_admin")
    cap.expect("AU-10", p, p["adm"], sshd(cap, "web-03", p["adm"], p["ip"], at("06 13:00")), "Critical", "AU-10 Logic: source is office, not bastion (sshd, interactive)")
    p = c.take("os_admin")
    cap.expect("AU-10", p, p["adm"], win_logon(cap, "win-file-01", p["adm"], p["ip"], at("06 13:10")), "Critical", "AU-10 Evidence: Windows 4624 type 10 from the office")
    p = c.take("dba")
    c.account("host:crm-db-01", p["adm"], p["employee_id"], "privileged")
    _, r = pg_connect(cap, "crm-db-01", p["adm"], "crm", p["ip"], "psql", at("06 13:20"))
    cap.expect("AU-10", p, p["adm"], r, "Critical", "AU-10 Evidence: PostgreSQL connect from the office")
    r = mariadb(cap, "bill-db-01", p["adm"], p["ip"], at("06 13:40"), 9911, 0, "CONNECT", "billing")
    cap.expect("AU-10", p, p["adm"], r, "Critical", "AU-10 Evidence: MariaDB CONNECT from the office")
    p = c.take("os_admin")
    cap.expect("AU-10", p, p["adm"], sshd(cap, "api-02", p["adm"], JS, at("07 13:00"), "password"), "High", "AU-10 Logic: bastion address but no bastion session explains the logon (RFC 5424)")
    cap.expect("AU-10", p, p["adm"], sshd(cap, "kms-01", p["adm"], TP, at("07 13:20")), "High", "AU-10 Logic: bastion address, no session (auditd USER_LOGIN)")
    p = c.take("os_admin")
    s = js_session(cap, p, "web-01", p["adm"], at("07 14:00"), 20, ["ssh app-04"])
    r = sshd(cap, "app-04", p["adm"], "10.100.16.11", at("07 14:02"))
    cap.expect("AU-10", p, p["adm"], [r, s["commands"]], "High", "AU-10 Logic: lateral hop, source zone prod, interactive shell")
    p = c.take("os_admin")
    s = js_session(cap, p, "api-01", p["adm"], at("08 13:00"), 20, ["uptime"], logon_at=at("08 13:01:03"))
    cap.expect("AU-10", p, p["adm"], s["host"], "High", "Identity resolution: the session began 63 s before the logon, the limit is 60 s")
    p = c.take("os_admin")
    s = js_session(cap, p, "api-01", p["adm"], at("08 15:00"), 20, ["uptime"], logon_at=at("08 15:00:58"))
    cap.decoy("AU-10", p, s["all"], "Identity resolution: the session began 58 s before the logon")
    p = c.take("os_admin")
    s = js_session(cap, p, "api-03", p["adm"], at("08 15:30"), 20, ["uptime"], logon_at=at("08 15:29:57"))
    cap.decoy("AU-10", p, s["all"], "Identity resolution: the session began 3 s after the logon")
    p = c.take("os_admin")
    cap.decoy("AU-10", p, sshd(cap, "mon-01", p["adm"], "10.110.9.14", at("08 16:00")), "AU-10 Logic: direct_login_allowed_from has the address")
    p = c.take("os_admin")
    cap.decoy("AU-10", p, sshd(cap, "test-app-01", p["adm"], p["ip"], at("08 16:10")), "AU-10 Logic: env test, bastion not required")
    cap.decoy("AU-10", None, sshd(cap, "web-04", "svc-mon", "10.100.22.11", at("08 16:20"), shell=False), "AU-10 FP: monitoring agent from its registered address")
    p = c.take("os_admin")
    text = syslog(cap, "web-02", at("08 16:30"), "berth-plan", 900, f"user note: Accepted password for {p['adm']} from {p['ip']} port 4000 ssh2")
    cap.decoy("AU-10", None, text, "AU-10 Evidence: the text of an application is no sshd logon")


def approvals(cap):
    """AU-11, AU-12"""
    c = cap.c
    p = c.take("os_admin")

    def permission(actor, name, person, host, t, expiry):
        return js_operation(cap, actor, t, "create", "Asset permission", name, [("Name", "", name), ("Users", "", f"{person['name']}({person['login']})"), ("Assets", "", f"{host}({c.host[host]['ip']})"), ("Date expired", "", expiry)])

    new = c.take("developer")
    r = permission(p, "perm-dev", new, "web-05", at("06 14:10"), "2026-10-30 18:00:00")
    cap.expect("AU-11", p, p["login"], r, "High", "AU-11 Logic: grant without an approvals row (JumpServer Asset permission)")
    r = cloudtrail(cap, p["login"], at("06 14:30"), "AttachUserPolicy", request={"userName": new["login"], "policyArn": "arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"})
    cap.expect("AU-11", p, p["login"], r, "High", "AU-11 Evidence: cloud policy attach without row (CloudTrail)")
    r = actiontrail(cap, p["login"], at("06 14:40"), "AttachPolicyToUser", request={"UserName": new["login"], "PolicyName": "AliyunECSReadOnlyAccess", "PolicyType": "System"})
    cap.expect("AU-11", p, p["login"], r, "High", "AU-11 Evidence: cloud policy attach without row (ActionTrail)")
    r = okta(cap, p["login"], at("06 14:50"), "group.user_membership.add", EGRESS["lisboa"], target=[okta_user(new["login"]), {"id": "00g1", "type": "UserGroup", "displayName": "vpn-users"}])
    cap.expect("AU-11", p, p["login"], r, "High", "AU-11 Evidence: group membership for the VPN without row (Okta)")
    s = js_session(cap, new, "web-05", "root", at("07 11:00"), 10, ["uptime"])
    cap.expect("AU-11", new, new["login"], s["all"], "High", "AU-11 Logic: logon to an asset without a covering row (JumpServer)")
    dev = c.take("developer")
    c.account("host:*", "dev-" + dev["login"].split(".")[0], dev["employee_id"])
    s = tp_session(cap, dev, "app-06", "dev-" + dev["login"].split(".")[0], at("07 11:30"), 10, ["uptime"])
    cap.expect("AU-11", dev, None, s["all"], "High", "AU-11 Logic: logon to an asset without a covering row (Teleport)")
    scope = lambda host: dict(assets=[host], roles=["login"], accounts=["root"])
    for day, host, why, more in ((8, "web-03", "the security administrator did not approve", dict(without=("security_admin",))),
                                 (8, "web-04", "one person approved in two capacities", dict(approvers={"supervisor": c.boss, "system_owner": c.boss, "security_admin": c.guard}))):
        dev = c.take("developer")
        c.ticket("access", dev["employee_id"], scope(host), **more)
        s = js_session(cap, dev, host, "root", at(f"{day:02} 11:30"), 8, ["uptime"])
        cap.expect("AU-11", dev, dev["login"], s["all"], "High", "AU-11 Logic: " + why)
    dev = c.take("developer")
    c.ticket("access", dev["employee_id"], scope("web-06"))
    s = js_session(cap, dev, "web-06", "root", at("08 12:00"), 8, ["uptime"])
    cap.decoy("AU-11", dev, s["all"], "AU-11 Logic: three different approvers, one for each capacity")
    dev = c.take("developer")
    c.ticket("access", dev["employee_id"], dict(systems=["aws"], roles=["AmazonEC2ReadOnlyAccess"], accounts=[dev["login"]]))
    r = cloudtrail(cap, "svc-provision", at("08 12:30"), "AttachUserPolicy", request={"userName": dev["login"], "policyArn": "arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"})
    cap.decoy("AU-11", None, r, "AU-11 FP: provisioning account executing an approved ticket")

    # AU-12
    dev = c.take("developer")
    c.ticket("access", dev["employee_id"], scope("web-05"))
    r = permission(p, "perm-long", dev, "web-05", at("07 14:00"), "2027-01-30 18:00:00")
    cap.expect("AU-12", p, p["login"], r, "Medium", "AU-12 Logic: date_expired 115 days ahead (JumpServer)")
    r = permission(p, "perm-ok", dev, "web-05", at("07 14:20"), "2027-01-04 12:00:00")
    cap.decoy("AU-12", p, r, "AU-12 Logic: 89 days ahead")
    q = c.take("os_admin")
    s = js_session(cap, q, "web-05", q["adm"], at("07 15:00"), 10, ["sudo chage -E -1 contractor"])
    r = sudo(cap, "web-05", q["adm"], "/usr/bin/chage -E -1 contractor", at("07 15:01"))
    cap.expect("AU-12", q, None, [r, s["commands"]], "Medium", "AU-12 Logic: account expiry set to never (sudo)")
    dev = c.take("developer")
    c.ticket("access", dev["employee_id"], scope("app-01"), start=at("01 08:00"), end=at("06 12:00"))
    s = js_session(cap, dev, "app-01", "root", at("06 15:00"), 8, ["uptime"])
    cap.expect("AU-12", dev, dev["login"], s["all"], "High", "AU-12 Logic: use of the right three hours after valid_to (JumpServer)")
    cap.expect("AU-12", dev, None, [], "Medium", "AU-12 Logic: valid_to passed, no revoke within 24 h")
    s = tp_session(cap, dev, "app-01", "root", at("06 16:00"), 8, ["uptime"])
    cap.expect("AU-12", dev, None, s["all"], "High", "AU-12 Logic: use of the right after valid_to (Teleport)")
    dev = c.take("developer")
    c.ticket("access", dev["employee_id"], scope("app-02"), start=at("01 08:00"), end=at("06 12:00"))
    c.ticket("access", dev["employee_id"], scope("app-02"), start=at("05 08:00"), end=at("30 12:00"))
    s = js_session(cap, dev, "app-02", "root", at("06 16:00"), 8, ["uptime"])
    cap.decoy("AU-12", dev, s["all"], "AU-12 FP: renewed ticket with overlapping validity")


def least(cap):
    """AU-13"""
    c = cap.c
    p, dev = c.take("os_admin"), c.take("developer")
    c.account("host:*", dev["login"], dev["employee_id"])
    s = js_session(cap, p, "app-03", p["adm"], at("06 17:00"), 15, [f"sudo usermod -aG sudo {dev['login']}"])
    r = [sudo(cap, "app-03", p["adm"], f"/usr/sbin/usermod -aG sudo {dev['login']}", at("06 17:01")), syslog(cap, "app-03", at("06 17:01:01"), "usermod", 733, f"add '{dev['login']}' to group 'sudo'")]
    cap.expect("AU-13", p, None, [r, s["commands"]], "High", "AU-13 Evidence: usermod -aG sudo (syslog, JumpServer)")
    s = js_session(cap, p, "app-04", p["adm"], at("06 17:30"), 15, ["sudo useradd -o -u 0 -g 0 sysop"])
    r = [sudo(cap, "app-04", p["adm"], "/usr/sbin/useradd -o -u 0 -g 0 sysop", at("06 17:31")), syslog(cap, "app-04", at("06 17:31:01"), "useradd", 734, "new user: name=sysop, UID=0, GID=0, home=/home/sysop, shell=/bin/sh, from=/dev/pts/0")]
    cap.expect("AU-13", p, None, [r, s["commands"]], "High", "AU-13 Logic: uid 0 given to a second account")
    p = c.take("os_admin")
    who = dict(SubjectUserName=p["adm"], SubjectUserSid="S-1-5-21-3012-4411-9022-1303", SubjectDomainName="HARBOR")
    s = js_session(cap, p, "win-dc-01", p["adm"], at("07 16:00"), 15, protocol="rdp")
    r = windows(cap, "win-dc-01", 4728, at("07 16:05"), MemberName="CN=" + dev["login"] + ",OU=Build,DC=harbor,DC=example", MemberSid="S-1-5-21-3012-4411-9022-1399", TargetUserName="Domain Admins", TargetDomainName="HARBOR", TargetSid="S-1-5-21-3012-4411-9022-512", **who)
    cap.expect("AU-13", p, p["adm"], r, "High", "AU-13 Logic: broad right Domain Admins (Windows 4728)")
    r = windows(cap, "win-dc-01", 4732, at("07 16:08"), MemberName="-", MemberSid="S-1-5-21-3012-4411-9022-1400", TargetUserName="Administrators", TargetDomainName="Builtin", TargetSid="S-1-5-32-544", **who)
    cap.expect("AU-13", p, p["adm"], r, "High", "AU-13 Logic: broad right Administrators (Windows 4732)")
    p, dev = c.take("os_admin"), c.take("developer")
    r = cloudtrail(cap, p["login"], at("07 16:30"), "AttachUserPolicy", request={"userName": dev["login"], "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"})
    cap.expect("AU-13", p, p["login"], r, "High", "AU-13 Evidence: CloudTrail AttachUserPolicy AdministratorAccess")
    cap.expect("AU-11", p, p["login"], r, "High", "AU-11 Logic: grant without row")
    r = cloudtrail(cap, p["login"], at("07 16:33"), "PutUserPolicy", request={"userName": dev["login"], "policyName": "x", "policyDocument": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'})
    cap.expect("AU-13", p, p["login"], r, "High", "AU-13 Text: broad rights (*), an inline policy with Action * (CloudTrail)")
    r = actiontrail(cap, p["login"], at("07 16:40"), "AttachPolicyToUser", request={"UserName": dev["login"], "PolicyName": "AdministratorAccess", "PolicyType": "System"})
    cap.expect("AU-13", p, p["login"], r, "High", "AU-13 Evidence: ActionTrail AttachPolicyToUser AdministratorAccess")
    p = c.take("os_admin")
    body = {"kind": "ClusterRoleBinding", "metadata": {"name": "ops-all"}, "subjects": [{"kind": "User", "name": p["login"]}], "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}}
    r = k8s(cap, p["login"], at("08 11:00"), "create", "clusterrolebindings", "ops-all", ip="10.100.5.20", code=201, group="rbac.authorization.k8s.io", body=body, agent="kubectl/v1.31.0")
    cap.expect("AU-13", p, p["login"], r, "High", "AU-13 Evidence: clusterrolebinding with cluster-admin (Kubernetes)")
    r = okta(cap, p["login"], at("08 11:30"), "user.account.privilege.grant", EGRESS["lisboa"], target=[okta_user(dev["login"])], debug={"privilegeGranted": "Super administrator"})
    cap.expect("AU-13", p, p["login"], r, "High", "AU-13 Logic: super administrator is a broad right (Okta)")
    p = c.take("dba")
    c.account("host:port-db-01", p["adm"], p["employee_id"], "privileged")
    c.account("host:wms-db-01", p["adm"], p["employee_id"], "privileged")
    s = js_session(cap, p, "port-db-01", p["adm"], at("08 12:00"), 15, [], protocol="postgresql", logon=False)
    pid, _ = pg_connect(cap, "port-db-01", p["adm"], "port", JS, "psql", at("08 12:00:02"))
    r = pg_audit(cap, "port-db-01", p["adm"], "port", JS, "psql", at("08 12:03"), pid, "ROLE", "ALTER ROLE", "ALTER ROLE etl SUPERUSER")
    cap.expect("AU-13", p, p["adm"], r, "High", "AU-13 Evidence: ALTER ROLE … SUPERUSER (pgaudit ROLE)")
    s = js_session(cap, p, "wms-db-01", p["adm"], at("08 13:00"), 15, [], protocol="mariadb", logon=False)
    mariadb(cap, "wms-db-01", p["adm"], JS, at("08 13:00:02"), 9920, 0, "CONNECT", "wms")
    r = mariadb(cap, "wms-db-01", p["adm"], JS, at("08 13:02"), 9920, 991, "QUERY", "wms", "'GRANT ALL PRIVILEGES ON *.* TO `etl`@`%`'")
    cap.expect("AU-13", p, p["adm"], r, "High", "AU-13 Evidence: GRANT ALL on *.* (MariaDB)")
    dev = c.take("developer")
    c.ticket("privilege", dev["employee_id"], dict(systems=["aws"], roles=["AmazonS3ReadOnlyAccess", "developer"], accounts=[dev["login"]]))
    r = cloudtrail(cap, "svc-provision", at("08 14:00"), "AttachUserPolicy", request={"userName": dev["login"], "policyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"})
    cap.decoy("AU-13", None, r, "AU-13 Logic: a read-only policy is not broad")


def duties(cap):
    """AU-14, AU-15"""
    c = cap.c
    p = c.take("os_admin")
    c.account("host:port-db-01", p["adm"], p["employee_id"], "privileged")
    s = js_session(cap, p, "port-db-01", p["adm"], at("06 11:00"), 15, ["sudo systemctl stop pgbouncer"])
    d = js_session(cap, p, "port-db-01", p["adm"], at("06 15:00"), 15, [], protocol="postgresql", logon=False, login=False)
    pid, _ = pg_connect(cap, "port-db-01", p["adm"], "port", JS, "psql", at("06 15:00:02"))
    r = pg_audit(cap, "port-db-01", p["adm"], "port", JS, "psql", at("06 15:02"), pid, "DDL", "ALTER TABLE", "ALTER TABLE berth ADD COLUMN x int", "public.berth")
    cap.expect("AU-14", p, None, [s["commands"], r], "High", "AU-14 Logic: a host change and DDL on one system within 24 h (JumpServer, pgaudit)")
    p = c.take("os_admin")
    c.ticket("access", p["employee_id"], dict(assets=["web-01"], roles=["login"], accounts=["root"]), approvers={"supervisor": p["employee_id"], "system_owner": c.owner, "security_admin": c.guard})
    cap.expect("AU-14", p, None, [], "High", "AU-14 Logic: approver = beneficiary in an approvals row")
    p = c.take("os_admin")
    row = c.change(["web-03"], ["config"], [p["employee_id"]], at("09 20:00"), at("09 21:00"))
    next(x for x in row["steps"] if x["step"] == "approve")["by"] = p["employee_id"]
    cap.expect("AU-14", p, None, [], "High", "AU-14 Logic: approver = implementer in a change row")
    p, admin = c.take("os_admin"), c.take("os_admin")
    r = okta(cap, admin["login"], at("07 10:00"), "group.user_membership.add", EGRESS["lisboa"], target=[okta_user(p["login"]), {"id": "00g7", "type": "UserGroup", "displayName": "auditor"}])
    cap.expect("AU-14", p, None, r, "High", "AU-14 Logic: after the grant the person holds os_admin and auditor (Okta)")
    cap.expect("AU-11", admin, admin["login"], r, "High", "AU-11 Logic: grant without row")
    p = c.take("os_admin")
    c.account("host:crm-db-01", p["adm"], p["employee_id"], "privileged")
    s = js_session(cap, p, "crm-db-01", p["adm"], at("08 10:00"), 15, ["df -h", "systemctl status postgresql"])
    cap.decoy("AU-14", p, s["all"], "AU-14 Logic: looking is neither duty")
    # AU-15
    p = c.take("os_admin")
    c.account("crm", p["adm"], p["employee_id"], "privileged")
    r = [web_login(cap, p, at("07 11:00"), "crm", account=p["adm"]), webaudit(cap, p, at("07 11:03"), "crm", "update", {"type": "order", "id": "5512", "count": 1, "level": "L2", "personal": "none"}, account=p["adm"])]
    cap.expect("AU-15", p, p["adm"], r, "Medium", "AU-15 Logic: business action by a privileged account (web audit)")
    p = c.take("os_admin")
    c.account("sso", p["adm"], p["employee_id"], "privileged")
    r = okta(cap, p["adm"], at("07 12:00"), "user.authentication.sso", EGRESS["lisboa"], target=[{"id": "0oa1", "type": "AppInstance", "alternateId": "Microsoft 365 Mail", "displayName": "Microsoft 365 Mail"}])
    cap.expect("AU-15", p, p["adm"], r, "Medium", "AU-15 Text: a privileged account never for mail (Okta)")
    p = c.take("clerk")
    c.account("host:web-01", p["login"], p["employee_id"])
    r = sudo(cap, "web-01", p["login"], "/bin/bash", at("07 13:00"))
    cap.expect("AU-15", p, p["login"], r, "Medium", "AU-15 Logic: sudo root shell by an account of kind personal without a privileged role")
    cap.expect("AU-24", p, p["login"], r, "High", "AU-24 Logic: root shell on prod without a change")
    p = c.take("os_admin")
    s = js_session(cap, p, "app-05", p["adm"], at("09 10:00"), 10, ["uptime"])
    cap.decoy("AU-15", p, s["all"], "AU-15 Logic: a session through the bastion is not by itself administration; privileged account on a host")


def defaults(cap):
    """AU-16, AU-17, AU-18"""
    c = cap.c
    p = c.take("os_admin")
    r = sshd(cap, "web-04", "root", p["ip"], at("06 12:00"))
    cap.expect("AU-16", None, "root", r, "High", "AU-16 Logic: remote logon with a default account (sshd)")
    cap.expect("AU-10", None, "root", r, "Critical", "AU-10 Logic: root from the office to prod, interactive")
    r = win_logon(cap, "win-app-01", "Administrator", p["ip"], at("06 12:10"), sid="S-1-5-21-3012-4411-9022-500")
    cap.expect("AU-16", None, "Administrator", r, "High", "AU-16 Logic: SID ending -500, logon type 10 (Windows)")
    cap.expect("AU-10", None, "Administrator", r, "Critical", "AU-10 Logic: RDP from the office")
    r = win_logon(cap, "win-app-01", "hafenmeister", p["ip"], at("06 12:20"), sid="S-1-5-21-3012-4411-9022-500")
    cap.expect("AU-16", None, "hafenmeister", r, "High", "AU-16 Logic: renamed Administrator, SID ending -500 (Windows)")
    _, r = pg_connect(cap, "crm-db-01", "postgres", "crm", p["ip"], "psql", at("06 12:30"))
    cap.expect("AU-16", None, "postgres", r, "High", "AU-16 Logic: postgres logs on remotely (PostgreSQL)")
    cap.expect("AU-10", None, "postgres", r, "Critical", "AU-10 Evidence: PostgreSQL connect from the office")
    r = sshd_failed(cap, "web-01", "root", "10.110.99.4", at("07 12:40"))
    cap.expect("AU-16", None, "root", r, "Low", "AU-16 Logic: an attempt from outside the bastion zone, Low (sshd)")
    p = c.take("os_admin")
    s = tp_session(cap, p, "app-03", "root", at("08 10:30"), 10, ["uptime"])
    cap.decoy("AU-16", p, s["all"], "AU-16 FP: bastion target account root with a named bastion user (Teleport)")
    s = js_session(cap, p, "app-03", "root", at("08 11:30"), 10, ["uptime"])
    cap.decoy("AU-16", p, s["all"], "AU-16 FP: bastion target account root with a named bastion user (JumpServer)")
    # AU-17
    c.account("jumpserver", "svc-report", c.lead, "service", registered_sources=["10.100.22.13"], mfa_required=False)
    fake = dict(p, login="svc-report", name="Report", ip=p["ip"])
    r = js_login(cap, fake, at("07 10:10"))
    cap.expect("AU-17", None, "svc-report", r, "High", "AU-17 Evidence: service account as bastion user (JumpServer)")
    r = sshd(cap, "web-02", "svc-deploy", "10.100.17.16", at("07 10:20"), shell=False)
    cap.expect("AU-17", None, "svc-deploy", r, "High", "AU-17 Logic: source not in its registered addresses (sshd)")
    r = win_logon(cap, "win-app-01", "svc-backup", "10.100.22.12", at("07 10:30"), "10")
    cap.expect("AU-17", None, "svc-backup", r, "High", "AU-17 Logic: interactive logon type 10 of a service account (Windows)")
    _, r = pg_connect(cap, "crm-db-01", "crm_app", "crm", "10.100.17.11", "psql", at("07 10:40"))
    cap.expect("AU-17", None, "crm_app", r, "High", "AU-17 Logic: psql client application_name of a service account (PostgreSQL)")
    r = mariadb(cap, "bill-db-01", "bill_app", "10.100.17.16", at("07 10:50"), 9930, 0, "CONNECT", "billing")
    cap.expect("AU-17", None, "bill_app", r, "High", "AU-17 Logic: source not in its registered addresses (MariaDB)")
    r = cloudtrail(cap, "svc-inventory", at("07 10:55"), "DescribeInstances", "ec2", "203.0.113.50", read=True)
    # a service account's API call from outside is no logon (3002): not labelled as AU-17, but it belongs to the story
    r2 = aws_console(cap, "svc-inventory", at("07 10:58"), "Yes", "203.0.113.50")
    cap.expect("AU-17", None, "svc-inventory", [r, r2], "High", "AU-17 Logic: interactive console logon of a service account from an unregistered address (CloudTrail)")
    cap.decoy("AU-17", None, sshd(cap, "app-05", "svc-backup", "10.100.22.12", at("08 09:10"), shell=False), "AU-17 Logic: registered address, no shell")
    c.ticket("exception", c.lead, dict(systems=["host:web-05"], assets=["web-05"], accounts=["svc-mon"], operations=["debug"]), start=at("09 09:00"), end=at("09 12:00"))
    cap.decoy("AU-17", None, sshd(cap, "web-05", "svc-mon", "10.100.22.11", at("09 10:40")), "AU-17 FP: debugging with an exception ticket")
    p = c.take("dba")
    c.account("host:port-db-01", p["login"], p["employee_id"])
    who = c.roster[[x["employee_id"] for x in c.roster].index(p["employee_id"])]
    who["job_role"] = "clerk"
    s = js_session(cap, p, "port-db-01", p["login"], at("09 13:00"), 10, [], protocol="postgresql", logon=False)
    pid, _ = pg_connect(cap, "port-db-01", p["login"], "port", JS, "psql", at("09 13:00:02"))
    r = pg_audit(cap, "port-db-01", p["login"], "port", JS, "psql", at("09 13:03"), pid, "ROLE", "GRANT", "GRANT SELECT ON berth TO etl")
    cap.expect("AU-15", p, p["login"], [r, s["all"]], "Medium", "AU-15 Logic: administration (GRANT) by an account of kind personal without a privileged role (pgaudit)")
    # AU-18
    p, q = c.take("os_admin"), c.take("os_admin")
    c.account("host:*", "oper-shift", c.lead, "shared_approved")
    r = [js_session(cap, p, "api-02", "oper-shift", at("07 15:00"), 40, ["uptime"])["all"], js_session(cap, q, "api-02", "oper-shift", at("07 15:20"), 40, ["uptime"])["all"]]
    cap.expect("AU-18", None, None, r, "High", "AU-18 Logic: two persons in overlapping sessions for 20 min (JumpServer)")
    p, q = c.take("os_admin"), c.take("os_admin")
    r = [tp_session(cap, p, "api-03", "oper-shift", at("08 17:00"), 30, ["uptime"])["all"], tp_session(cap, q, "api-03", "oper-shift", at("08 17:18"), 30, ["uptime"])["all"]]
    cap.expect("AU-18", None, None, r, "High", "AU-18 Logic/FP: overlap of 12 min, more than the 10 of a hand-over (Teleport)")
    r = sshd(cap, "mon-01", "oper-shift", "10.110.9.20", at("08 11:40"))
    cap.expect("AU-18", None, "oper-shift", r, "High", "AU-18 Logic: no overlapping checkout or bastion session (journal)")
    p, q = c.take("os_admin"), c.take("os_admin")
    r = [js_session(cap, p, "app-04", "oper-shift", at("09 15:00"), 29, ["uptime"])["all"], js_session(cap, q, "app-04", "oper-shift", at("09 15:20"), 30, ["uptime"])["all"]]
    cap.decoy("AU-18", None, r, "AU-18 FP: shift hand-over, overlap of 9 min")


def all_of_them(cap):
    for part in (bastion_only, approvals, least, duties, defaults):
        part(cap)
