"""The company of the scenario: people, hosts, accounts, tickets, network. All names are invented.

A port operator in Portugal: two sites (lisboa, porto), Europe/Lisbon (UTC+1 in October), a holiday on Monday
2026-10-05, working days Tuesday to Friday, a weekend. `build()` gives a Company that the other modules read and
into which the breaches put the reference rows that they need."""
import datetime as dt
import ipaddress

TZ = dt.timezone(dt.timedelta(hours=1))
GIVEN = ("Ana Bruno Carla Diogo Elsa Filipe Graca Hugo Ines Joao Katia Luis Marta Nuno Olga Pedro Rita Sergio Teresa "
         "Vasco Alda Bento Clara Duarte Eva Fausto Gil Helena Ivo Julia Leonor Mario Nadia Otilia Paulo Raquel Simao "
         "Tania Ugo Vera Xavier Zelia Artur Beatriz Celia Dinis Emilia Fabio Gloria Henrique Irene Jorge Lidia Manuel "
         "Noemia Oscar Patricia Rui Sara Tomas Urbano Violeta").split()
FAMILY = "Almeida Barros Costa Dias Esteves Faria Gomes Horta Lopes Matos Neves Pires".split()
POSTS = ([("manager", "staff")] * 3 + [("security_admin", "staff")] * 2 + [("auditor", "staff")] * 2
         + [("user_admin", "staff")] * 2 + [("os_admin", "staff")] * 112 + [("dba", "staff")] * 14
         + [("net_admin", "staff")] * 4 + [("developer", "staff")] * 26 + [("releaser", "staff")] * 2
         + [("clerk", "staff")] * 28 + [("os_admin", "outsourced")] * 5)
ALLOWED = {"manager": ["user"], "security_admin": ["security_admin", "login"], "auditor": ["auditor"],
           "user_admin": ["user_admin", "login"], "os_admin": ["login", "sudo", "os_admin", "root"],
           "dba": ["login", "dba", "db_read", "postgres"], "net_admin": ["login", "net_admin", "sudo"],
           "developer": ["login", "developer", "view"], "releaser": ["login", "releaser"], "clerk": ["user", "clerk"]}
# (name, address, env, kind, levels, source of its host log)
HOSTS = ([(f"web-{n:02}", f"10.100.16.{10 + n}", "prod", "host", ["L2"], "linux") for n in range(1, 7)]
         + [(f"app-{n:02}", f"10.100.17.{10 + n}", "prod", "app", ["L2"], "linux") for n in range(1, 7)]
         + [(f"api-{n:02}", f"10.100.18.{10 + n}", "prod", "host", ["L2"], "linux5424") for n in range(1, 4)]
         + [(f"k8s-{n:02}", f"10.100.19.{10 + n}", "prod", "host", ["L2"], "linux5424") for n in range(1, 4)]
         + [("crm-db-01", "10.100.20.11", "prod", "db", ["L3", "L4"], "auditd"),
            ("port-db-01", "10.100.20.12", "prod", "db", ["L3"], "auditd"),
            ("bill-db-01", "10.100.20.13", "prod", "db", ["L4"], "journal"),
            ("wms-db-01", "10.100.20.14", "prod", "db", ["L3"], "journal"),
            ("kms-01", "10.100.21.11", "prod", "app", ["L4"], "auditd"),
            ("mon-01", "10.100.22.11", "prod", "host", ["L2"], "journal"),
            ("bak-01", "10.100.22.12", "prod", "storage", ["L2"], "journal"),
            ("ci-01", "10.100.22.13", "prod", "host", ["L2"], "journal"),
            ("core-sw-01", "10.100.0.1", "prod", "network", ["L2"], None),
            ("core-sw-02", "10.100.0.2", "prod", "network", ["L2"], None),
            ("win-dc-01", "10.100.23.11", "prod", "host", ["L2"], "windows"),
            ("win-app-01", "10.100.23.12", "prod", "app", ["L2"], "windows"),
            ("win-file-01", "10.100.23.13", "prod", "storage", ["L2"], "windows"),
            ("stg-app-01", "10.102.1.11", "staging", "host", ["L1"], "linux"),
            ("test-app-01", "10.103.1.11", "test", "host", ["L1"], "linux"),
            ("test-db-01", "10.103.1.12", "test", "db", ["L1"], "journal"),
            ("mail-01", "10.110.250.10", "office", "app", ["L2"], None)])
WEB = ["crm", "billing", "wms", "track", "hr", "portal"]
JS, TP, AB = "10.100.5.10", "10.100.5.20", "10.100.5.30"          # JumpServer, Teleport, Bastionhost
EGRESS = {"lisboa": "194.65.3.10", "porto": "194.65.4.10"}
NET = [("10.110.0.0/16", "office", "lisboa", "PT"), ("10.111.0.0/16", "office", "porto", "PT"),
       ("194.65.3.0/24", "office", "lisboa", "PT"), ("194.65.4.0/24", "office", "porto", "PT"),
       ("10.119.0.0/16", "vpn", "", "PT"), ("10.100.5.0/24", "bastion", "lisboa", "PT"),
       ("10.100.0.0/24", "prod", "lisboa", "PT"), ("10.100.16.0/20", "prod", "lisboa", "PT"),
       ("10.102.0.0/16", "staging", "lisboa", "PT"), ("10.103.0.0/16", "test", "lisboa", "PT"),
       ("192.168.77.0/24", "partner", "", "PT"), ("203.0.113.0/24", "internet", "", "RU"),
       ("198.51.100.0/24", "internet", "", "SG")]


def at(text, month=10):
    """`06 14:30:10` → that moment of October 2026 at the sites' time."""
    day, clock = text.split()
    parts = [int(x) for x in clock.split(":")] + [0]
    return dt.datetime(2026, month, int(day), parts[0], parts[1], parts[2], tzinfo=TZ)


def iso(t):
    return t.isoformat() if t else None


class Company:
    def __init__(self):
        self.roster, self.accounts, self.approvals, self.changes, self.gaps = [], [], [], [], []
        self.on_call, self.by_post, self.tickets = [], {}, 0
        self.host = {h[0]: dict(name=h[0], ip=h[1], env=h[2], kind=h[3], levels=h[4], log=h[5]) for h in HOSTS}
        self.used = set()

    def take(self, post, employment="staff"):
        """A person of that post whom no breach has used yet."""
        for p in self.by_post[post, employment]:
            if p["employee_id"] not in self.used:
                self.used.add(p["employee_id"])
                return p
        raise LookupError(f"no {post} left")

    def account(self, system, name, owner, kind="personal", **more):
        row = dict(system=system, account=name, owner_employee_id=owner, kind=kind, state="active", created_ticket="REQ-0",
                   mfa_required=system in ("jumpserver", "teleport", "bastionhost", "aliyun", "aws"),
                   last_logon_at="2026-10-02T16:30:00+01:00")
        row.update(more)
        self.accounts.append(row)
        return row

    def ticket(self, kind, beneficiary, scope, start=None, end=None, requester=None, without=(), approvers=None, **more):
        """An approved ticket by the three capacities (or those that are left)."""
        self.tickets += 1
        who = approvers or {"supervisor": self.boss, "system_owner": self.owner, "security_admin": self.guard}
        row = dict(ticket_id=f"HB-{self.tickets:04}", kind=kind, requester=requester or beneficiary, beneficiary=beneficiary,
                   scope=scope, valid_from=iso(start or at("01 08:00", 9)), valid_to=iso(end or at("15 08:00", 11)),
                   approvals=[dict(approver=a, capacity=c, decision="approved", at=iso((start or at("01 08:00", 9)) - dt.timedelta(hours=3)))
                              for c, a in who.items() if c not in without])
        row.update(more)
        self.approvals.append(row)
        return row

    def change(self, assets, operations, implementers, start, end, level="normal", **more):
        day = dt.timedelta(hours=20)
        steps = [(s, by, start - day * k) for s, by, k in (("request", self.boss, 4), ("assess", self.owner, 3), ("approve", self.guard, 2), ("test", self.boss, 1))]
        steps += [("implement", implementers[0], start), ("review", self.guard, end + dt.timedelta(hours=2))]
        row = dict(change_id=f"CH-{len(self.changes) + 1:04}", level=level, assets=assets, operations=operations, implementers=implementers,
                   window_start=iso(start), window_end=iso(end), steps=[dict(step=s, by=b, at=iso(t)) for s, b, t in steps],
                   reviewers=[self.guard, self.owner], rollback_plan=True)
        row.update(more)
        self.changes.append(row)
        return row

    def tables(self):
        assets = [dict(asset_id=f"H{n:03}", names=[h["name"]], addresses=[h["ip"]], env=h["env"], kind=h["kind"], system_owner=self.owner,
                       data_levels=h["levels"], bastion_required=h["env"] == "prod",
                       direct_login_allowed_from=["10.110.9.0/24"] if h["name"] == "mon-01" else ([] if h["env"] == "prod" else ["10.110.0.0/16", "10.111.0.0/16", "10.119.0.0/16"]))
                  for n, h in enumerate(self.host.values(), 1)]
        sources = [dict(source=s, system=s, transport=t, max_silence_s=172800, owner=self.guard, clock_tolerance_s=5)
                   for s, t in (("jumpserver", "syslog"), ("teleport", "file"), ("bastionhost", "sls"), ("linux", "syslog"), ("auditd", "file"),
                                ("journal", "file"), ("windows", "winlogbeat"), ("actiontrail", "sls"), ("cloudtrail", "s3"), ("k8s", "webhook"),
                                ("postgres", "filebeat"), ("mariadb", "file"), ("nginx", "file"), ("access", "file"), ("webaudit", "http"),
                                ("okta", "api"), ("github", "stream"), ("gitlab", "file"))]
        catalogue = [dict(pattern="customer", level="L3", personal_data="general", bulk_rows=200), dict(pattern="customer_list", level="L3", bulk_rows=500),
                     dict(pattern="order", level="L2"), dict(pattern="shipment", level="L2"), dict(pattern="crm-db-01", level="L4"), dict(pattern="bill-db-01", level="L4")]
        return dict(hr_roster=self.roster, account_registry=self.accounts, approvals=self.approvals, change_calendar=self.changes,
                    asset_register=assets, network_zones=[dict(cidr=c, zone=z, site=s, country=k) for c, z, s, k in NET],
                    role_matrix=[dict(job_role=r, roles=a) for r, a in ALLOWED.items()]
                    + [dict(incompatible_pairs=[["os_admin", "dba"], ["os_admin", "auditor"], ["dba", "auditor"],
                                                ["developer", "releaser"], ["user_admin", "security_admin"]])],
                    review_register=[dict(system="crm", scope="all", owner=self.owner)],
                    data_catalogue=catalogue, source_register=sources, command_catalogue=[],
                    work_calendar=dict(tz="Europe/Lisbon", hours=["08:30", "18:30"], working_days=[f"2026-10-{d:02}" for d in (1, 2, 6, 7, 8, 9, 12, 13, 14, 15, 16)],
                                       holidays=["2026-10-05"], on_call=self.on_call))


def build():
    c = Company()
    office = {"lisboa": ipaddress.ip_address("10.110.4.20"), "porto": ipaddress.ip_address("10.111.4.20")}
    for n, (post, employment) in enumerate(POSTS):
        login = f"{GIVEN[n % len(GIVEN)]}.{FAMILY[(n * 7 + n // len(GIVEN)) % len(FAMILY)]}".lower()
        site = "porto" if n % 3 == 2 else "lisboa"
        p = dict(employee_id=f"HB{2000 + n * 3}", name=login.replace(".", " ").title(), logins=[login], email=f"{login}@harbor.example",
                 dept={"clerk": "service", "developer": "build"}.get(post, "ops"), job_role=post, employment=employment, status="active",
                 start_at="2021-03-01", end_at=None if employment == "staff" else "2027-06-30T18:00:00+01:00", manager_id=f"HB{2000 + 3 * (n % 3)}")
        c.roster.append(p)
        office[site] += 1
        c.by_post.setdefault((post, employment), []).append(dict(p, login=login, adm="adm-" + login.replace(".", "")[:9] + str(n), site=site, ip=str(office[site])))
    people = [p for group in c.by_post.values() for p in group]
    c.people, c.boss, c.owner = people, people[0]["employee_id"], people[1]["employee_id"]
    c.guard, c.lead = people[3]["employee_id"], people[9]["employee_id"]
    c.used |= {p["employee_id"] for p in people[:5]} | {c.lead}
    assets = [h["name"] for h in c.host.values() if h["env"] == "prod"]
    for p in people:
        me, login = p["employee_id"], p["login"]
        for system in ["sso", "portal", "github", "gitlab"] + (WEB[:4] if p["job_role"] == "clerk" else []):
            c.account(system, login, me)
        if p["job_role"] in ("os_admin", "dba", "net_admin", "security_admin", "user_admin", "developer", "releaser"):
            for system in ("jumpserver", "teleport", "bastionhost", "aliyun", "aws", "k8s"):
                c.account(system, login, me)
        if p["job_role"] in ("os_admin", "dba", "net_admin"):
            own = p["employment"] == "staff"
            c.account("host:*", p["adm"], me, "privileged" if own else "personal")
            c.ticket("access", me, dict(assets=assets, roles=["login"] + ([p["job_role"]] if own else []) + (["sudo"] if own and p["job_role"] != "dba" else []),
                                        accounts=[p["adm"], "root", "postgres", "admin", "oper-shift", "Administrator"]))
    for name in ("root", "postgres", "Administrator", "mysql"):
        c.account("host:*", name, c.lead, "default")
    c.account("host:core-sw-01", "admin", c.lead, "default")
    c.account("host:core-sw-02", "admin", c.lead, "default")
    for name, system, place in (("svc-backup", "host:*", ["10.100.22.12"]), ("svc-deploy", "host:*", ["10.100.22.13"]), ("svc-mon", "host:*", ["10.100.22.11"]),
                                ("crm_app", "host:crm-db-01", ["10.100.17.11", "10.100.17.12"]), ("port_app", "host:port-db-01", ["10.100.17.13"]),
                                ("bill_app", "host:bill-db-01", ["10.100.17.14"]), ("wms_app", "host:wms-db-01", ["10.100.17.15"]),
                                ("svc-provision", "sso", ["10.100.22.13", "194.65.3.10"]), ("svc-provision", "aws", ["10.100.22.13", "194.65.3.10"]), ("svc-provision", "jumpserver", ["10.100.22.13"]),
                                ("svc-provision", "host:*", ["10.100.22.13"]), ("svc-inventory", "aws", ["194.65.3.20"]), ("svc-inventory", "aliyun", ["194.65.3.20"])):
        c.account(system, name, c.lead, "service", registered_sources=place, mfa_required=False)
    return c
