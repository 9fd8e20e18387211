"""People, hosts and the reference tables of the operator "quarry"."""
from datetime import datetime, timedelta, timezone

TZ = timezone(timedelta(hours=8))
DAYS = ["2026-09-07", "2026-09-08", "2026-09-09", "2026-09-10", "2026-09-11"]


def at(day, clock):
    """A time of the scenario: at("09-08", "10:15:00")."""
    return datetime.fromisoformat(f"2026-{day}T{clock}").replace(tzinfo=TZ)


def iso(t):
    return t.isoformat(timespec="seconds")


ROLES = (["os_admin"] * 8 + ["dba"] * 4 + ["case_worker"] * 16 + ["analyst"] * 3 + ["developer"] * 5
         + ["releaser"] * 2 + ["manager"] * 4 + ["security_admin"] * 2 + ["auditor"] * 1 + ["duty_manager"] * 1)
FIRST = "mia leo ida tom eva jan lea max nora finn ella hugo anna paul lena emil clara oskar greta felix ruth karl vera otto".split()
LAST = "novak berg sommer keller lindt arnold brandt fuchs".split()


class Person:
    """One employee: login, employee id, workplace address."""

    def __init__(self, n, role):
        first, last = FIRST[n % len(FIRST)], LAST[(n * 5 + n // len(FIRST)) % len(LAST)]
        self.login, self.full = f"{first}.{last}", f"{first.title()} {last.title()}"
        self.id, self.role = f"Q{2001 + n * 3}", role
        self.ip = f"10.141.{4 + n % 2}.{20 + n}"
        self.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"


PEOPLE = [Person(n, r) for n, r in enumerate(ROLES)]
BY = {}
for _p in PEOPLE:
    BY.setdefault(_p.role, []).append(_p)
MANAGER, OWNER, OWNER2, BOSS = BY["manager"]
SEC = BY["security_admin"]
LEAVER = BY["case_worker"][15]

# name, address, environment, kind, levels
HOSTS = []
for _i in range(1, 7):
    HOSTS.append((f"desk-app-{_i:02}", f"10.142.1.{10 + _i}", "prod", "host", ["L2"]))
for _i in range(1, 6):
    HOSTS.append((f"fleet-node-{_i:02}", f"10.142.2.{10 + _i}", "prod", "host", ["L2"]))
for _i in range(1, 5):
    HOSTS.append((f"mail-relay-{_i:02}", f"10.142.4.{10 + _i}", "prod", "host", ["L2"]))
HOSTS += [("desk-pg-01", "10.142.3.21", "prod", "db", ["L3"]), ("loan-my-01", "10.142.3.22", "prod", "db", ["L4"]),
          ("track-mongo-01", "10.142.3.23", "prod", "db", ["L3"]), ("core-rt-01", "10.142.9.2", "prod", "network", ["L2"]),
          ("win-fin-01", "10.142.5.31", "prod", "host", ["L2"]), ("win-fin-02", "10.142.5.32", "prod", "host", ["L2"]),
          ("desk-test-01", "10.160.1.11", "test", "host", ["L1"]), ("desk-test-02", "10.160.1.12", "test", "host", ["L1"]),
          ("loan-test-01", "10.160.1.13", "test", "db", ["L1"]), ("build-01", "10.160.2.5", "dev", "host", ["L1"]),
          ("vault-01", "10.142.6.2", "prod", "host", ["L4"]), ("quarry-customer-files", "", "prod", "storage", ["L3"]),
          ("quarry-logs-old", "", "prod", "storage", ["L2"]), ("i-01", "", "prod", "host", ["L2"]), ("rm-q1", "", "prod", "db", ["L2"]), ("k8s:k8s", "", "prod", "app", ["L2"])]
ADDRESS = {h[0]: h[1] for h in HOSTS}
SYSTEMS = ["desk", "loan", "track", "helpq", "billing", "people"]
BASTION = {"jumpserver": "10.143.0.10", "teleport": "10.143.0.11", "bastionhost": "10.143.0.12"}


def three_approvals(t, more=()):
    rows = [(MANAGER.id, "supervisor"), (OWNER.id, "system_owner"), (OWNER2.id, "data_owner"), (SEC[0].id, "security_admin")]
    return [dict(approver=a, capacity=c, decision="approved", at=iso(t)) for a, c in rows + list(more)]


def ticket(number, kind, person, scope, begin, end, **more):
    return dict(ticket_id=number, kind=kind, requester=person.id, beneficiary=person.id, scope=scope, valid_from=iso(begin),
                valid_to=iso(end), approvals=three_approvals(begin - timedelta(hours=5)), **more)


def change(number, assets, people, start, end, level="normal", operations=("install", "config", "ddl", "restart"), skip=(), **more):
    """A change row; `skip` names the steps that it lacks, `reviewers` may be replaced."""
    steps = [("request", BOSS.id, start - timedelta(hours=72)), ("assess", MANAGER.id, start - timedelta(hours=60)),
             ("approve", OWNER.id, start - timedelta(hours=48)), ("test", BOSS.id, start - timedelta(hours=24)),
             ("implement", people[0].id, start), ("review", OWNER2.id, end + timedelta(hours=15))]
    row = dict(change_id=number, level=level, assets=list(assets), operations=list(operations), implementers=[p.id for p in people],
               window_start=iso(start), window_end=iso(end), reviewers=[OWNER.id, OWNER2.id], rollback_plan="restore the package list and files",
               steps=[dict(step=s, by=b, at=iso(t)) for s, b, t in steps if s not in skip])
    row.update(more)
    return row


def tables():
    """The reference tables without the tickets and changes that scenes add."""
    roster = []
    for p in PEOPLE:
        boss = BOSS if p.role == "manager" else MANAGER
        roster.append(dict(employee_id=p.id, name=p.full, logins=[p.login], email=f"{p.login}@quarry.example", dept=p.role, manager_id=boss.id,
                           job_role=p.role, employment="staff", status="active", start_at="2021-04-01",
                           end_at="2026-09-25T18:00:00+08:00" if p is LEAVER else None))
    accounts, last = [], "2026-09-04T17:00:00+08:00"

    def account(system, name, owner, kind, **more):
        accounts.append(dict(system=system, account=name, owner_employee_id=owner.id, kind=kind, state="active",
                             created_ticket="AC-1", mfa_required=kind != "service", last_logon_at=last, **more))
    for p in PEOPLE:
        for system in ["sso", "okta", "vpn", "github"] + SYSTEMS:
            account(system, p.login, p, "personal")
        if p.role in ("os_admin", "dba", "releaser", "developer", "duty_manager"):
            for system in ("jumpserver", "teleport", "bastionhost", "aliyun", "aws", "k8s:k8s"):
                account(system, p.login, p, "personal")
            account("host:*", p.login, p, "privileged" if p.role in ("os_admin", "dba") else "personal")
        if p.role in ("dba", "analyst"):
            for system in ("postgresql", "mariadb", "mongodb"):
                account(system, p.login, p, "privileged" if p.role == "dba" else "personal")
            for host in ("desk-pg-01", "loan-my-01", "track-mongo-01"):
                account(f"host:{host}", p.login, p, "privileged" if p.role == "dba" else "personal")
    for name in ("backup", "desk_app", "loan_app", "track_app", "monitor", "retention", "masking"):
        for system in ("host:*", "postgresql", "mariadb", "mongodb", "aliyun", "aws"):
            account(system, name, OWNER, "service", registered_sources=["10.142.0.0/16"])
    for host in ADDRESS:
        account(f"host:{host}", "root", OWNER, "default", registered_sources=[])
    assets = [dict(asset_id=f"QA{n:03}", names=[h[0]], addresses=[h[1]] if h[1] else [], env=h[2], kind=h[3], system_owner=OWNER.id, data_levels=h[4],
                   bastion_required=h[2] == "prod", direct_login_allowed_from=["10.142.0.0/16"] if h[3] == "db" else [])
              for n, h in enumerate(HOSTS)]
    zones = [("10.141.4.0/24", "office", "graz"), ("10.141.5.0/24", "office", "graz"), ("10.143.0.0/24", "bastion", "graz"),
             ("10.142.0.0/16", "prod", "graz"), ("10.160.0.0/16", "test", "graz"), ("172.25.0.0/16", "vpn", "")]
    catalogue = [dict(pattern="customer", level="L3", personal_data="general", bulk_rows=200),
                 dict(pattern="customer_list", level="L3", personal_data="general", bulk_rows=500),
                 dict(pattern="loan_file", level="L4", personal_data="sensitive", bulk_rows=50),
                 dict(pattern="desk.public.customer", level="L3", personal_data="general", bulk_rows=200),
                 dict(pattern="loan.borrower", level="L4", personal_data="sensitive", bulk_rows=50),
                 dict(pattern="track.parcels", level="L3", personal_data="general", bulk_rows=200),
                 dict(pattern="desk.public.job_queue", level="L2", personal_data="none"), dict(pattern="loan.rate_cache", level="L2", personal_data="none"),
                 dict(pattern="quarry-customer-files", level="L3", personal_data="general"), dict(pattern="quarry-www", level="L1", personal_data="none"),
                 dict(pattern="/customer/*", level="L3", personal_data="general"), dict(pattern="/customer_list/*", level="L3", personal_data="general"),
                 dict(pattern="/loan_file/*", level="L4", personal_data="sensitive")]
    return dict(hr_roster=roster, account_registry=accounts, asset_register=assets, data_catalogue=catalogue,
                network_zones=[dict(cidr=c, zone=z, site=s) for c, z, s in zones],
                role_matrix=dict(incompatible_pairs=[["os_admin", "dba"], ["os_admin", "auditor"], ["dba", "auditor"], ["developer", "releaser"]]),
                work_calendar=dict(tz="Asia/Shanghai", hours=["08:30", "19:00"], working_days=DAYS))


def standing_tickets():
    """Rights to log on, standing approvals and requests of the ordinary week."""
    begin, end = datetime(2026, 8, 1, tzinfo=TZ), datetime(2026, 10, 25, tzinfo=TZ)
    rows = []
    for n, p in enumerate(q for q in PEOPLE if q.role in ("os_admin", "dba", "releaser", "developer", "duty_manager", "analyst")):
        rows.append(ticket(f"QAC-{n + 1:04}", "access", p, dict(assets=list(ADDRESS), systems=["jumpserver", "teleport", "bastionhost", "k8s:k8s"],
                                                                roles=["login"], accounts=[p.login]), begin, end))
    rows.append(ticket("QDR-STANDING", "data_export", OWNER, dict(assets=["desk-pg-01", "loan-my-01"], accounts=["backup"]), begin, end))
    return rows
