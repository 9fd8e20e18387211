"""A week of ordinary work: nothing here breaks a clause of the three specifications."""
from datetime import timedelta

import lines as L
from people import ADDRESS, BY, DAYS, HOSTS, OWNER, PEOPLE, SYSTEMS, at, change, ticket

LOOK = ["df -h", "uptime", "systemctl status nginx", "tail -n 50 /opt/desk/log/app.log", "free -m", "ps aux", "ls -la /opt/desk", "journalctl -u desk --since today",
        "ip addr", "cat /etc/os-release", "vmstat 1 3", "top -b -n 1", "ss -tln", "grep -c ERROR /opt/desk/log/app.log", "du -sh /opt", "nginx -t"]
GROUP = {"jumpserver": ["desk-app-%02d" % n for n in range(1, 7)], "teleport": ["fleet-node-%02d" % n for n in range(1, 6)],
         "bastionhost": ["mail-relay-%02d" % n for n in range(1, 5)]}


def minutes(n):
    return timedelta(minutes=n)


def everything(b):
    for n, day in enumerate(DAYS):
        case_workers(b, day[5:])
        operators(b, day[5:], n)
        databases(b, day[5:])
        machines(b, day[5:])
        office(b, day[5:])
    weekend(b)
    approved(b)


def case_workers(b, day):
    """Each case worker views, queries and updates customers that a case names; a list is masked."""
    r = b.random
    for p in BY["case_worker"]:
        t = at(day, "08:50:00") + timedelta(seconds=r.randrange(900))
        okay = r.randrange(24, 34)
        for n in range(okay):
            t += timedelta(seconds=r.randrange(500, 1000))
            kind = r.choice(["view"] * 5 + ["query"] * 4 + ["update"] * 2 + ["list"])
            if kind == "list":
                L.web(b, t, p, "query", "customer_list", f"q-{r.randrange(9999)}", level="L2", ticket=False, object=dict(count=20), masked=True)
            else:
                L.web(b, t, p, kind, "customer", r.randrange(100000, 999999), combined=False)


def operators(b, day, n):
    """Bastion sessions by day; the target's sshd lines stand beside each."""
    r = b.random
    people = BY["os_admin"] + BY["releaser"]
    for i, p in enumerate(people):
        kind = ["jumpserver", "teleport", "bastionhost"][i % 3]
        t = at(day, "09:10:00") + minutes(7 * i)
        for turn in range(2):
            s = L.Session(b, kind, p, GROUP[kind][(i + turn + n) % len(GROUP[kind])], t, login=turn == 0)
            for _ in range(r.randrange(5, 10)):
                t += timedelta(seconds=r.randrange(25, 180))
                s.run(t, r.choice(LOOK))
            s.close(t + minutes(2))
            t += minutes(r.randrange(90, 150))


def databases(b, day):
    """Applications' connections, DBAs on tables that hold nothing of customers, a nightly dump by the backup account."""
    r = b.random
    for n in range(20):
        t = at(day, "08:00:00") + minutes(30 * n)
        L.pg_connect(b, t, "desk_app", ADDRESS["desk-app-01"], pid=900 + n)
        L.pg(b, t + timedelta(seconds=3), "desk_app", ADDRESS["desk-app-01"], "READ", "SELECT", "public.customer", f"select id, name, city from customer where id = {r.randrange(9999)}", 1, app="desk", pid=900 + n)
        L.pg(b, t + timedelta(seconds=9), "desk_app", ADDRESS["desk-app-01"], "WRITE", "UPDATE", "public.customer", f"update customer set seen = now() where id = {r.randrange(9999)}", 1, app="desk", pid=900 + n)
        L.maria(b, t, "loan_app", ADDRESS["desk-app-02"], "QUERY", f"select id, state from borrower where id = {r.randrange(9999)}", connection=300 + n)
        L.mongo(b, t, "track_app", ADDRESS["desk-app-03"], "find", "track.parcels", dict(find="parcels", filter=dict(_id=r.randrange(9999)), limit=1))
    dba = BY["dba"]
    for n, p in enumerate(dba):
        t = at(day, "10:30:00") + minutes(40 * n)
        bastion = "10.143.0.10"
        L.pg(b, t, p.login, bastion, "READ", "SELECT", "public.job_queue", "select state, count(*) from job_queue group by 1", 4)
        L.pg(b, t + minutes(1), p.login, bastion, "READ", "SELECT", "", "explain select * from customer where city = 'graz'", 0)
        L.pg(b, t + minutes(2), p.login, bastion, "READ", "SELECT", "public.customer", "select count(*) from customer", 1)
        L.maria(b, t, p.login, bastion, "QUERY", "select state, count(*) from rate_cache group by state", connection=400 + n)
        L.maria(b, t + minutes(1), p.login, bastion, "QUERY", "show processlist", connection=400 + n)
    for host in ("desk-pg-01", "loan-my-01"):
        t = at(day, "01:30:00")
        L.syslog3164(b, host, "CRON", t, "(backup) CMD (/usr/local/bin/nightly-dump)", 4100)
    L.auditd(b, "desk-pg-01", at(day, "01:30:05"), ["pg_dump", "-Fc", "-f", "/backup/desk.dump", "desk"], auid=990, person="backup", exe="/usr/bin/pg_dump")


def machines(b, day):
    """Controllers, monitors, cloud reads, jobs, Windows services, time service."""
    r = b.random
    for n in range(96):
        t = at(day, "00:04:00") + minutes(15 * n)
        L.kube(b, t, "system:serviceaccount:kube-system:deployment-controller", "update", "replicasets", "web", f"shop-{r.randrange(9)}")
        L.kube(b, t + timedelta(seconds=20), "system:serviceaccount:kube-system:node-controller", "list", "nodes", "", "")
        host = HOSTS[n % 15][0]
        L.syslog3164(b, host, "CRON", t + timedelta(seconds=2), "(root) CMD (/usr/lib/sysstat/sa1 1 1)", 5000 + n, 78)
        L.syslog5424(b, "core-rt-01", "chronyd", t + timedelta(seconds=4), "Selected source 10.142.9.1", 711, 30)
        L.journal(b, "vault-01", "systemd", t + timedelta(seconds=6), "Started session-cleanup.service - clean up of sessions.")
    for n in range(24):
        t = at(day, "00:05:00") + minutes(60 * n)
        L.actiontrail(b, t, "monitor", "DescribeInstances", "Ecs", dict(RegionId="cn-hangzhou"), "Read", ADDRESS["desk-app-06"], "assumed-role")
        L.cloudtrail(b, t + minutes(1), "monitor", "DescribeInstances", "ec2", dict(maxResults=100), True, ADDRESS["desk-app-06"])
        L.auditd(b, HOSTS[n % 15][0], t + minutes(2), ["/usr/bin/df", "-P", "/opt"], auid=4294967295)
        L.auditd(b, "desk-pg-01", t + minutes(4), ["/usr/sbin/logrotate", "/etc/logrotate.conf"], auid=4294967295)
        L.windows(b, "win-fin-01", t, 4624, TargetUserName="SYSTEM", TargetDomainName="NT AUTHORITY", TargetUserSid="S-1-5-18", LogonType="5", IpAddress="-",
                  SubjectUserName="WIN-FIN-01$", TargetLogonId="0x3e7", ProcessName="C:\\Windows\\System32\\services.exe")
        L.windows(b, "win-fin-02", t + minutes(1), 4688, SubjectUserName="WIN-FIN-02$", NewProcessName="C:\\Windows\\System32\\svchost.exe", CommandLine="svchost.exe -k netsvcs",
                  NewProcessId="0x5a4", ProcessId="0x2e0")


def office(b, day):
    """Sign-ins at the identity provider, pushes and clones of own repositories."""
    for n, p in enumerate(PEOPLE):
        L.okta(b, at(day, "08:35:00") + minutes(n / 3), p)
        L.okta(b, at(day, "18:20:00") + minutes(n / 3), p, "user.session.end")
    for n, p in enumerate(BY["developer"]):
        for k in range(3):
            L.github(b, at(day, "10:00:00") + minutes(n * 11 + k * 70), p, "git.push" if k else "git.clone", f"service-{(n + k) % 4}", transport_protocol_name="ssh")


def weekend(b):
    for day in ("09-12", "09-13"):
        machines(b, day)


def approved(b):
    """Approved exports and downloads, changes in their windows, a restore test, with their rows."""
    exporter = BY["analyst"][0]
    for n in range(5):
        t = at(DAYS[n][5:], "16:30:00")
        b.tickets.append(ticket(f"QDR-{n:03}", "data_export", exporter, dict(objects=["customer_list"], fields=["name", "city"]), t - minutes(600), t + minutes(120), row_limit=300))
        got = L.web(b, t, exporter, "export", "customer_list", f"q-9{n}", ticket=dict(type="data_export", id=f"QDR-{n:03}"), object=dict(count=300, fields=["name", "city"]), rows=300, masked=True)
        if n == 0:
            b.decoy("DS-03", exporter, got, "row limit exactly reached: 300 rows of 300 (DS-03 Logic: rows > row_limit)")
            b.decoy("DS-04", exporter, got, "exported columns are the approved fields (DS-04 Logic)")
    p = BY["os_admin"][0]
    start = at("09-08", "20:00:00")
    b.changes.append(change("QCH-100", ["desk-app-04"], [p], start, start + minutes(60)))
    s = L.Session(b, "jumpserver", p, "desk-app-04", start + minutes(1))
    evidence = [s.run(start + minutes(4), "apt-get install -y desk-web=5.2.1"), s.run(start + minutes(9), "vi /etc/nginx/conf.d/desk.conf"),
                s.run(start + minutes(20), "systemctl restart nginx"), s.run(start + minutes(59), "systemctl reload nginx")]
    s.close(start + minutes(60))
    b.decoy("DS-07", p, evidence, "QCH-100 covers asset, person, operation and window (DS-07 Logic)")
    b.decoy("DS-08", p, evidence, "the last command one minute before window_end (DS-08 Logic)")
    p = BY["os_admin"][1]
    start = at("09-09", "14:00:00")
    b.changes.append(change("QCH-101", ["fleet-node-02"], [p], start, start + minutes(120), level="standard", template="T-patch"))
    s = L.Session(b, "teleport", p, "fleet-node-02", start + minutes(2), login=False)
    evidence = [s.run(start + minutes(5), "dnf -y update openssl"), s.run(start + minutes(8), "systemctl restart fleetd")]
    s.close(start + minutes(15))
    b.decoy("DS-07", p, evidence, "standard pre-approved change QCH-101 (DS-07 FP)")
    b.decoy("DS-24", p, evidence, "approved software, a change is open (DS-24 Text)")
    assert OWNER and SYSTEMS
