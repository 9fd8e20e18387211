"""Ordinary days: work that no clause forbids. Nothing here may give a finding."""
import datetime as dt

from cloud_lines import actiontrail, ali_console, aws_console, cloudtrail, github, gitlab, k8s, mariadb, nginx, okta_signin, pg_audit, pg_connect, postgres, web_login, webaudit
from company import at
from lines import auditd, bastionhost, js_session, sshd, sudo, syslog, tp_session, windows, win_logon

DAYS = (6, 7, 8, 9)
LOOK = ["uptime", "df -h", "free -m", "ps aux", "ss -ltnp", "journalctl -u nginx --since today", "tail -n 200 /var/log/nginx/error.log", "systemctl status nginx", "top -b -n 1", "ls -l /srv/app",
        "grep -c timeout /srv/app/log/app.log", "cat /etc/os-release", "ip addr", "last -n 20", "vmstat 1 5", "du -sh /srv/app/log"]


def work(cap):
    c = cap.c
    for post in (("os_admin", 5), ("dba", 2), ("net_admin", 1)):
        for _ in range(post[1]):
            admin(cap, c.take(post[0]))
    clerks = [c.take("clerk") for _ in range(7)]
    for p in clerks:
        clerk(cap, p)
    for p in [c.take("developer") for _ in range(3)]:
        developer(cap, p)
    machines(cap)
    applications(cap)
    cluster(cap)
    deploys(cap)
    on_call_night(cap)


def moment(cap, day, first, last):
    return at(f"{day:02} {first:02}:00") + dt.timedelta(seconds=cap.rnd.randint(0, (last - first) * 3600 - 1), milliseconds=cap.rnd.randint(1, 900))


def admin(cap, p):
    prod = [h["name"] for h in cap.c.host.values() if h["env"] == "prod" and h["log"] in ("linux", "linux5424", "journal", "auditd") and h["kind"] != "db"]
    hosts = [h for h in prod if h not in ("kms-01",)] if p["job_role"] == "os_admin" else ["crm-db-01", "port-db-01", "bill-db-01", "wms-db-01"]
    for day in DAYS:
        okta_signin(cap, p, moment(cap, day, 9, 10))
        if p["job_role"] == "net_admin":
            for hour in (10, 14):
                start = moment(cap, day, hour, hour + 2)
                okta_signin(cap, p, start - dt.timedelta(minutes=2))
                sid = cap.id().replace("-", "")
                bastionhost(cap, p, start, "login.CSLogin", "login", sid=sid)
                for i, command in enumerate(("show version", "show interface status", "show log | include LINK")):
                    bastionhost(cap, p, start + dt.timedelta(minutes=1 + i), "cmd.Command", command, cap.rnd.choice(["core-sw-01", "core-sw-02"]), sid)
            continue
        free = at(f"{day:02} 10:05")
        for n in range(5):
            start = free + dt.timedelta(minutes=cap.rnd.randint(3, 25), seconds=cap.rnd.randint(0, 59))
            minutes, host = cap.rnd.randint(8, 40), cap.rnd.choice(hosts)
            looks = cap.rnd.sample(LOOK, 6)
            if p["site"] == "porto" and n % 2 and p["job_role"] == "os_admin":
                tp_session(cap, p, host, p["adm"], start, minutes, looks)
            else:
                js_session(cap, p, host, p["adm"], start, minutes, looks, login=n == 0)
            if p["job_role"] == "os_admin" and cap.c.host[host]["log"] != "auditd":
                sudo(cap, host, p["adm"], cap.rnd.choice(["/usr/bin/ss -ltnp", "/usr/bin/journalctl -u nginx", "/usr/bin/systemctl status nginx"]), start + dt.timedelta(minutes=4))
            free = start + dt.timedelta(minutes=minutes + 15)
        if p["site"] == "lisboa" and p["job_role"] == "os_admin":
            t = moment(cap, day, 9, 10)
            ali_console(cap, p["login"], t)
            for name in ("DescribeInstances", "DescribeDisks"):
                actiontrail(cap, p["login"], t + dt.timedelta(minutes=3), name, "Ecs", rw="Read", request={"RegionId": "eu-central-1"})
            aws_console(cap, p["login"], t + dt.timedelta(minutes=8))
            cloudtrail(cap, p["login"], t + dt.timedelta(minutes=9), "DescribeInstances", "ec2", read=True)
            js_session(cap, p, "win-app-01", p["adm"], free, 9, protocol="rdp", login=False)


def clerk(cap, p):
    """Customer service: every page has its access line and its audit event."""
    for day in DAYS:
        t = at(f"{day:02} 08:40") + dt.timedelta(seconds=cap.rnd.randint(0, 600))
        okta_signin(cap, p, t)
        for system in ("crm", "wms"):
            web_login(cap, p, t + dt.timedelta(minutes=2), system)
        for _ in range(55):
            t = moment(cap, day, 9, 18)
            rid = cap.id().replace("-", "")
            if cap.rnd.random() < 0.6:
                action, path, obj, system = cap.rnd.choice([("query", "query", "customer", "crm"), ("view", "view", "customer", "crm"), ("update", "update", "customer", "crm")])
                oid, case = str(cap.rnd.randint(100000, 999999)), f"CS-{cap.rnd.randint(1000, 9999)}"
                nginx(cap, p["login"], p["ip"], system, "POST" if action == "update" else "GET", f"/{obj}/{path}?id={oid}", t, rid)
                webaudit(cap, p, t, system, action, {"type": obj, "id": oid, "count": 1, "level": "L3", "personal": "general"}, request_id=rid,
                         ticket={"type": "case", "id": case, "assignee": p["employee_id"], "state": "open"})
            else:
                system, obj = cap.rnd.choice([("wms", "order"), ("track", "shipment"), ("billing", "tariff")])
                oid = str(cap.rnd.randint(100000, 999999))
                nginx(cap, p["login"], p["ip"], system, "GET", f"/{obj}/{oid}", t, rid, combined=system == "track")
                webaudit(cap, p, t, system, "view", {"type": obj, "id": oid, "count": 1, "level": "L2", "personal": "none"}, request_id=rid)
        webaudit(cap, p, at(f"{day:02} 18:05"), "crm", "logout", {"type": "session", "id": p["login"]})


def developer(cap, p):
    for day in DAYS:
        okta_signin(cap, p, moment(cap, day, 9, 10))
        for _ in range(5):
            github(cap, p["login"], moment(cap, day, 10, 18), cap.rnd.choice(["pull_request.create", "git.push", "git.fetch", "issue_comment.update"]), repo="harbor-port/berth-plan",
                   transport_protocol_name="ssh")
        gitlab(cap, p, moment(cap, day, 10, 18), event_name="merge_request_approved_by_user", custom_message="Approved merge request")


def machines(cap):
    """Backups, monitoring, crons: the same machines from the same addresses, day and night, holiday too."""
    t, stop = at("05 00:00"), at("11 23:59")
    n = 0
    while t < stop:
        n += 1
        for host in ("web-01", "app-02", "bill-db-01"):
            syslog(cap, host, t + dt.timedelta(minutes=17), "CRON", 3000 + n, "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)")
        host = ("app-01", "app-03", "api-01", "wms-db-01", "web-02", "crm-db-01")[n % 6]
        sshd(cap, host, "svc-mon", "10.100.22.11", t + dt.timedelta(minutes=5, seconds=n % 50), end=t + dt.timedelta(minutes=5, seconds=58), shell=False)
        host = ("port-db-01", "bill-db-01", "web-04", "app-05")[n % 4]
        sshd(cap, host, "svc-backup", "10.100.22.12", t + dt.timedelta(minutes=35), end=t + dt.timedelta(minutes=41), shell=False)
        actiontrail(cap, "svc-inventory", t + dt.timedelta(minutes=8), "DescribeInstances", "Ecs", "194.65.3.20", rw="Read", request={"RegionId": "eu-central-1"}, key="LTAI5tInventory")
        cloudtrail(cap, "svc-inventory", t + dt.timedelta(minutes=9), "DescribeInstances", "ec2", "194.65.3.20", read=True)
        win_logon(cap, ("win-dc-01", "win-app-01", "win-file-01")[n % 3], "WIN-APP-01$", "10.100.23.12", t + dt.timedelta(minutes=21), kind="3", sid="S-1-5-18")
        t += dt.timedelta(hours=1)


def applications(cap):
    t, stop, n = at("05 00:00"), at("11 23:59"), 0
    while t < stop:
        n += 1
        ip = ("10.100.17.11", "10.100.17.12")[n % 2]
        for host, user, database, place, sql, table in (("crm-db-01", "crm_app", "crm", ip, "SELECT id, status FROM ticket WHERE id = $1", "public.ticket"),
                                                        ("port-db-01", "port_app", "port", "10.100.17.13", "SELECT berth, eta FROM call WHERE vessel = $1", "public.call")):
            pid, _ = pg_connect(cap, host, user, database, place, user.replace("_", "-"), t)
            for i in range(3):
                pg_audit(cap, host, user, database, place, user.replace("_", "-"), t + dt.timedelta(seconds=4 + i), pid, "READ", "SELECT", sql, table, i + 1)
            postgres(cap, host, t + dt.timedelta(seconds=20), pid, user, database, place, user.replace("_", "-"), f"disconnection: session time: 0:00:20.000 user={user} database={database} host={place} port=50{n:03}")
        for host, user, database, place in (("bill-db-01", "bill_app", "billing", "10.100.17.14"), ("wms-db-01", "wms_app", "wms", "10.100.17.15")):
            when, con = t + dt.timedelta(minutes=11), 5000 + n
            mariadb(cap, host, user, place, when, con, 0, "CONNECT", database)
            mariadb(cap, host, user, place, when + dt.timedelta(seconds=1), con, n * 4 + 1, "READ", database, "tariff", "")
            mariadb(cap, host, user, place, when + dt.timedelta(seconds=1), con, n * 4 + 1, "QUERY", database, "'SELECT rate FROM tariff WHERE id=17'")
            mariadb(cap, host, user, place, when + dt.timedelta(seconds=9), con, 0, "DISCONNECT", database)
        t += dt.timedelta(hours=1)


def cluster(cap):
    for n in range(7 * 48):
        t = at("05 00:00") + dt.timedelta(minutes=30 * n, seconds=7)
        k8s(cap, "system:kube-controller-manager", t, "update", "leases", "kube-controller-manager", "kube-system", group="coordination.k8s.io")
        k8s(cap, "system:serviceaccount:monitoring:prometheus", t + dt.timedelta(seconds=4), "list", "pods", namespace="port", ip="10.100.19.12", agent="Prometheus/3.0")
    cap.c.account("k8s", "system:serviceaccount:monitoring:prometheus", cap.c.lead, "service", registered_sources=["10.100.19.12"], mfa_required=False)
    cap.c.account("k8s", "system:kube-controller-manager", cap.c.lead, "service", registered_sources=["10.100.19.11"], mfa_required=False)


def deploys(cap):
    """The pipeline releases in windows of standard changes, from its own address."""
    for day, hosts in ((6, ["app-01", "app-02"]), (7, ["web-01"]), (8, ["app-03", "app-04"]), (9, ["web-02"])):
        start = at(f"{day:02} 15:00")
        row = cap.c.change(hosts, ["install", "config", "restart", "deploy"], ["svc-deploy"], start, start + dt.timedelta(hours=1), "standard")
        for i, host in enumerate(hosts):
            t = start + dt.timedelta(minutes=10 + 5 * i)
            sshd(cap, host, "svc-deploy", "10.100.22.13", t, end=t + dt.timedelta(minutes=2), shell=False)
            syslog(cap, host, t + dt.timedelta(seconds=20), "berth-plan", 811, f"release 2026.41.{day} started, {row['change_id']}")


def on_call_night(cap):
    """One administrator is on call at night and looks at an alarm; another works in an approved window."""
    c = cap.c
    p = c.take("os_admin")
    c.on_call.append(dict(employee_id=p["employee_id"], **{"from": "2026-10-07T18:30:00+01:00", "to": "2026-10-08T08:30:00+01:00"}))
    r = js_session(cap, p, "web-05", p["adm"], at("07 23:10"), 15, ["uptime", "df -h", "systemctl status nginx"], ip="10.119.3.7")
    cap.decoy("AU-21", p, r["all"], "AU-21 Logic: on-call duty; from the VPN")
    q = c.take("os_admin")
    c.change(["web-06"], ["install", "config", "restart", "privilege"], [q["employee_id"]], at("08 20:00"), at("08 22:00"))
    r = js_session(cap, q, "web-06", q["adm"], at("08 20:15"), 30, ["df -h", "systemctl status nginx"])
    root = sudo(cap, "web-06", q["adm"], "/bin/bash", at("08 20:20"))
    cap.decoy("AU-21", q, r["all"], "AU-21 Logic: an open change window covers person and asset")
    cap.decoy("AU-24", q, root, "AU-24 Logic: a shell on prod with an open change for that asset and person")
