"""Lines of the sources, one function a shape, and the book that records are written into."""
import json
import random
import uuid
from datetime import timedelta, timezone

from people import ADDRESS, BASTION, iso

UTC = timezone.utc


class Record:
    """One record: topic, time, native line; `offset` is known when the book is closed."""

    def __init__(self, topic, t, payload, delay):
        self.topic, self.t, self.payload, self.arrival, self.offset = topic, t, payload, t + timedelta(seconds=delay), None


class Book:
    """All records, labels and decoys."""

    def __init__(self, seed):
        self.random, self.logons, self.records, self.expected, self.decoys, self.tickets, self.changes = random.Random(seed), {}, [], [], [], [], []

    def id(self):
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def add(self, topic, t, payload, delay=None):
        if not isinstance(payload, str):
            payload = json.dumps(payload, ensure_ascii=False)
        r = Record(topic, t, payload, self.random.uniform(0.3, 1.8) if delay is None else delay)
        self.records.append(r)
        return r

    def expect(self, clause, person, evidence, severity, why, account=None):
        self.expected.append(dict(clause=clause, employee_id=person.id if person else None, account=account or (person.login if person else None),
                                  evidence=evidence, severity=severity, why=why))

    def decoy(self, clause, person, evidence, why):
        self.decoys.append(dict(clause=clause, must_not_fire=True, employee_id=person.id if person else None, evidence=evidence, why=why))


def js_time(t):
    return t.strftime("%Y/%m/%d %H:%M:%S %z")


def js(b, category, t, body):
    body = dict(id=b.id(), org_id="00000000-0000-0000-0000-000000000002", **body) if "id" not in body else body
    return b.add("audit.jumpserver", t, f"<14>jumpserver: {category} - " + json.dumps(body, sort_keys=True, ensure_ascii=False))


def value(v):
    return dict(label=str(v), value=v)


def syslog3164(b, host, program, t, message, pid=None, pri=86):
    tag = f"{program}[{pid}]" if pid else program
    return b.add("audit.linux", t, f"<{pri}>{t.strftime('%b')} {t.day:2} {t.strftime('%H:%M:%S')} {host} {tag}: {message}")


def syslog5424(b, host, program, t, message, pid="-", pri=86, topic="audit.syslog"):
    return b.add(topic, t, f"<{pri}>1 {t.isoformat(timespec='microseconds')} {host} {program} {pid} - -  {message}")


def journal(b, host, program, t, message, pid=1, **more):
    body = dict(MESSAGE=message, _HOSTNAME=host, SYSLOG_IDENTIFIER=program, _PID=str(pid), PRIORITY="6", _TRANSPORT="syslog",
                __REALTIME_TIMESTAMP=str(int(t.timestamp() * 1e6)), _BOOT_ID="5d1c8c4f5c7c4a0db8c2b7a1f0e9d8c7")
    body.update(more)
    return b.add("audit.journal", t, body)


SERIAL = {}


def auditd(b, host, t, argv, auid=1001, person=None, exe=None):
    """The records SYSCALL, EXECVE and PROCTITLE of one program start."""
    n = SERIAL[host] = SERIAL.get(host, 41000) + 1
    head = f"node={host} type=%s msg=audit({t.timestamp():.3f}:{n}): "
    text = lambda a: f'"{a}"' if a.isascii() and not set(a) & set(' "\'') else a.encode().hex().upper()
    pid, exe = b.random.randrange(2000, 60000), exe or (argv[0] if argv[0].startswith("/") else "/usr/bin/" + argv[0])
    name = getattr(person, "login", person)
    enriched = f'\x1dARCH=x86_64 SYSCALL=execve AUID="{name}" UID="{name if auid == 990 else "root"}"' if person else ""
    lines = [head % "SYSCALL" + f"arch=c000003e syscall=59 success=yes exit=0 a0=55 a1=56 a2=57 a3=0 items=2 ppid=1990 pid={pid} auid={auid} uid=0 gid=0 "
             f'euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=7 comm={text(exe.rsplit("/", 1)[-1][:15])} exe={text(exe)} key="exec"' + enriched,
             head % "EXECVE" + f"argc={len(argv)} " + " ".join(f"a{i}={text(a)}" for i, a in enumerate(argv)),
             head % "PROCTITLE" + "proctitle=" + "\0".join(argv).encode().hex().upper()]
    return [b.add("audit.auditd", t, line, 0.5 + i / 10) for i, line in enumerate(lines)]


class Session:
    """A bastion session with the host's sshd lines beside it."""

    def __init__(self, b, kind, person, host, t, protocol="ssh", login=True, account=None):
        self.b, self.kind, self.p, self.host, self.id, self.pid = b, kind, person, host, b.id(), b.random.randrange(900, 60000)
        self.account, self.address, self.n, self.t, self.protocol = account or person.login, ADDRESS[host], 0, t, protocol
        self.port, self.all = b.random.randrange(30000, 60000), []
        if login:
            self.all.append(self.logon(t - timedelta(seconds=40)))
        self.opened(t)
        if protocol == "ssh":
            self.all.append(syslog3164(b, host, "sshd", t + timedelta(seconds=1), f"Accepted publickey for {self.account} from {BASTION[kind]} port {self.port} ssh2: ED25519 SHA256:k{person.id}", self.pid))

    def logon(self, t):
        b, p = self.b, self.p
        if self.kind == "jumpserver":
            return js(b, "login_log", t, dict(backend="Password", backend_display="Password", city="LAN", datetime=js_time(t), ip=p.ip, mfa=value(1), reason="",
                                              reason_display="", status=value(True), type=value("W"), user_agent=p.agent, username=f"{p.full}({p.login})"))
        if self.kind == "teleport":
            return teleport(b, t, "user.login", "T1000I", user=p.login, method="local", success=True, mfa_device=dict(mfa_device_name="key", mfa_device_type="WebAuthn"),
                            **{"addr.remote": f"{p.ip}:50122"})
        r = self.bastionhost("login.CSLogin", "login", t)
        b.logons.setdefault((p.login, t.date()), (p, []))[1].append(r)
        return r

    def bastionhost(self, event, content, t, result="success"):
        p = self.p
        return self.b.add("audit.bastionhost", t, dict(__topic__="bastionhost", __time__=str(int(t.timestamp())), owner_id="5555666677778888", region="cn-hangzhou",
                          instance_id="bastionhost-cn-q1", event_type=event, session_id=self.id, user_id=p.id[1:], user_name=p.login, user_client_ip=p.ip,
                          resource_address=self.address, resource_name=self.host, content=content, result=result))

    def opened(self, t, end=None):
        b, p = self.b, self.p
        if self.kind == "jumpserver":
            self.all.append(js(b, "host_session_log", end or t, dict(
                id=self.id, account=f"{self.account}({self.account})", account_id=b.id(), asset=f"{self.host}({self.address})", asset_id=b.id(), can_join=True,
                can_replay=bool(end), can_terminate=not end, command_amount=self.n, comment=None, date_end=js_time(end) if end else None, date_start=js_time(t),
                duration="0:00:00", error_reason=value(""), has_command=self.n > 0, has_replay=bool(end), is_finished=bool(end), is_locked=False, is_success=True,
                login_from="WT", org_id="00000000-0000-0000-0000-000000000002", protocol=self.protocol, remote_addr=p.ip, replay_size=4096 if end else 0,
                terminal="koko-q1", terminal_display="koko-q1", type=value("normal"), user=f"{p.full}({p.login})", user_id=p.id)))
        elif self.kind == "teleport":
            self.all.append(teleport(b, end or t, "session.end" if end else "session.start", "T2004I" if end else "T2000I", user=p.login, login=self.account,
                                     sid=self.id, proto="ssh", server_id=self.host, server_hostname=self.host, server_addr=f"{self.address}:3022",
                                     interactive=True, session_recording="node", participants=[p.login], **{"addr.remote": f"{p.ip}:50122"}))
        else:
            self.all.append(self.bastionhost("Session.session", json.dumps(dict(account=self.account, protocol="ssh", start_time=iso(t), end_time=iso(end) if end else None)), end or t))

    def run(self, t, command, risk=0):
        self.n += 1
        b, p = self.b, self.p
        if self.kind == "jumpserver":
            cut = command if len(command) < 128 else command[:62] + "..." + command[-62:]
            r = js(b, "session_command_log", t, dict(account=f"{self.account}({self.account})", asset=f"{self.host}({self.address})", input=cut, output="",
                                                     remote_addr=p.ip, risk_level=value(risk), session=self.id, timestamp=int(t.timestamp()),
                                                     timestamp_display=js_time(t), user=f"{p.full}({p.login})"))
        elif self.kind == "teleport":
            argv = command.split(" ")
            r = teleport(b, t, "session.command", "T4000I", user=p.login, login=self.account, sid=self.id, server_id=self.host, server_hostname=self.host,
                         program=argv[0], path="/usr/bin/" + argv[0] if "/" not in argv[0] else argv[0], argv=argv[1:], return_code=0, pid=3000 + self.n, ppid=2999, cgroup_id=77)
        else:
            r = self.bastionhost("cmd.Command.policy" if risk == 5 else "cmd.Command", command, t, "block" if risk == 5 else "success")
        self.all.append(r)
        return r

    def close(self, t):
        if self.protocol == "ssh":
            self.all.append(syslog3164(self.b, self.host, "sshd", t, f"Disconnected from user {self.account} {BASTION[self.kind]} port {self.port}", self.pid))
        self.opened(self.t, t + timedelta(seconds=1))

    def ftp(self, t, name, operate="download"):
        b, p = self.b, self.p
        if self.kind == "jumpserver":
            return js(b, "ftp_log", t, dict(account=f"{self.account}({self.account})", asset=f"{self.host}({self.address})", date_start=js_time(t), filename=name,
                                            has_file=False, is_success=True, operate=value(operate), remote_addr=p.ip, session=self.id, user=f"{p.full}({p.login})"))
        if self.kind == "teleport":
            return teleport(b, t, "scp", "T3004I" if operate == "download" else "T3005I", user=p.login, login=self.account, sid=self.id, action=operate, path=name,
                            server_id=self.host, server_hostname=self.host, **{"addr.remote": f"{p.ip}:50122"})
        return self.bastionhost("file.Download" if operate == "download" else "file.Upload", name, t)


def teleport(b, t, event, code, **more):
    return b.add("audit.teleport", t, dict(event=event, code=code, time=t.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), uid=b.id(),
                                           ei=b.random.randrange(900), cluster_name="quarry", namespace="default", **more))


def web(b, t, p, action, kind, oid, level="L3", system="desk", nginx=True, ticket=True, agent=None, combined=False, audit=True, scheme="https", **more):
    """An access line and the audit event of one request; returns [nginx, audit]."""
    req, out = "%032x" % b.random.getrandbits(128), []
    if nginx:
        uri, method = f"/{kind}/{action}?id={oid}", "GET" if action in ("query", "view", "export", "unmask") else "POST"
        size, agent = b.random.randrange(700, 9000), agent or p.agent
        if combined:
            out.append(b.add("audit.nginxold", t, f'{p.ip} - {p.login} [{t.strftime("%d/%b/%Y:%H:%M:%S %z")}] "{method} {uri} HTTP/1.1" 200 {size} "-" "{agent}"'))
        else:
            out.append(b.add("audit.nginx", t, dict(time=iso(t), remote_addr=p.ip, xff="", user=p.login, method=method, uri=uri, status=200, bytes=size, rt=0.034,
                                                    ua=agent, ref="", host=f"{system}.quarry.example", req_id=req, scheme=scheme)))
    if audit:
        if ticket is True:
            ticket = dict(type="case", id=f"QCS-{b.random.randrange(10000, 99999)}", assignee=p.id, state="open")
        body = dict(event_id=b.id(), time=t.isoformat(timespec="milliseconds"), system=system, module=kind,
                    actor=dict(account=p.login, employee_id=p.id, name=p.full, dept=p.role), session_id=f"w-{p.id}-{t.day}", request_id=req,
                    source=dict(ip=p.ip, user_agent=agent or p.agent), action=action,
                    object=dict(type=kind, id=str(oid), count=1, level=level, personal="sensitive" if level == "L4" else "general" if level == "L3" else "none"),
                    result="success", masked=action != "unmask")
        if ticket:
            body["ticket"] = ticket
        body["object"].update(more.pop("object", {}))
        body.update(more)
        out.append(b.add("audit.webaudit", t, body))
    return out


def actiontrail(b, t, user, name, service, params, rw="Write", ip="10.141.4.20", kind="ram-user", mfa="true"):
    return b.add("audit.actiontrail", t, dict(
        eventId=b.id().upper(), eventVersion="1", eventTime=t.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), eventType="ApiCall", eventName=name, eventRW=rw,
        serviceName=service, eventSource=f"{service.lower()}.aliyuncs.com", acsRegion="cn-hangzhou", requestId=b.id().upper(), apiVersion="2014-05-26",
        userIdentity=dict(type=kind, accountId="5555666677778888", principalId="2099", userName=user, sessionContext=dict(attributes=dict(mfaAuthenticated=mfa))),
        sourceIpAddress=ip, userAgent="AlibabaCloud Console", requestParameters=params, errorCode="", errorMessage=""))


def cloudtrail(b, t, user, name, service, params, read=False, ip="10.141.4.20"):
    return b.add("audit.cloudtrail", t, dict(
        eventVersion="1.09", userIdentity=dict(type="IAMUser", principalId="AIDAQ" + user[:5].upper(), arn=f"arn:aws:iam::555566667777:user/{user}", accountId="555566667777",
                                              userName=user, sessionContext=dict(attributes=dict(mfaAuthenticated="true"))),
        eventTime=t.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), eventSource=f"{service}.amazonaws.com", eventName=name, awsRegion="eu-central-1", sourceIPAddress=ip,
        userAgent="aws-cli/2.27", requestParameters=params, responseElements=None, requestID=b.id(), eventID=b.id(), readOnly=read, eventType="AwsApiCall",
        managementEvent=True, recipientAccountId="555566667777", eventCategory="Management"))


def kube(b, t, user, verb, resource, namespace, name, ip="10.142.2.11", code=200, **more):
    stamp = t.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return b.add("audit.k8s", t, dict(
        kind="Event", apiVersion="audit.k8s.io/v1", level="Metadata", auditID=b.id(), stage="ResponseComplete", requestURI=f"/api/v1/namespaces/{namespace}/{resource}/{name}",
        verb=verb, user=dict(username=user, groups=["system:authenticated"]), sourceIPs=[ip], userAgent="kubectl/v1.33.0" if "." in user else "kube-controller-manager/v1.33.0",
        objectRef=dict(resource=resource, namespace=namespace, name=name, apiVersion="v1"), responseStatus=dict(metadata={}, code=code),
        requestReceivedTimestamp=stamp, stageTimestamp=stamp, annotations={"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""}, **more))


STATEMENT = [0]


def pg(b, t, user, client, kind, command, table, sql, rows=0, database="desk", host="desk-pg-01", app="psql", pid=700):
    STATEMENT[0] += 1
    text = sql.replace('"', '""')
    stamp = t.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.") + "%03d UTC" % (t.microsecond // 1000)
    relation = f"TABLE,{table}" if table else ","
    return syslog5424(b, host, "postgres", t, f'{stamp} [{pid}] {user}@{database} {client} {app} LOG:  AUDIT: SESSION,{STATEMENT[0]},1,{kind},{command},{relation},"{text}",<none>,{rows}',
                      pid, 134, "audit.postgres")


def pg_connect(b, t, user, client, ssl=True, database="desk", host="desk-pg-01", pid=700):
    stamp = t.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.") + "%03d UTC" % (t.microsecond // 1000)
    tail = " SSL enabled (protocol=TLSv1.3, cipher=TLS_AES_256_GCM_SHA384, bits=256)" if ssl else ""
    return syslog5424(b, host, "postgres", t, f"{stamp} [{pid}] {user}@{database} {client} [unknown] LOG:  connection authorized: user={user} database={database} application_name=app{tail}", pid, 134, "audit.postgres")


def maria(b, t, user, client, operation, obj, database="loan", connection=88, code=0, host="loan-my-01"):
    STATEMENT[0] += 1
    if operation == "QUERY":
        obj = "'" + obj.replace("'", "\\'") + "'"
    return b.add("audit.mariadb", t, f"{t.strftime('%Y%m%d %H:%M:%S')},{host},{user},{client},{connection},{STATEMENT[0]},{operation},{database},{obj},{code}")


def mongo(b, t, user, client, command, ns, args, atype="authCheck", result=0):
    return b.add("audit.mongodb", t, dict(atype=atype, ts={"$date": t.isoformat(timespec="milliseconds")}, uuid={"$binary": b.id()[:22] + "==", "$type": "04"},
                                          local=dict(ip=ADDRESS["track-mongo-01"], port=27017), remote=dict(ip=client, port=40122), users=[dict(user=user, db="admin")],
                                          roles=[dict(role="readWrite", db="track")], param=dict(command=command, ns=ns, args=args) if command else args, result=result))


WIN = {}


def windows(b, host, t, event, **data):
    WIN[host] = WIN.get(host, 9000) + 1
    stamp = t.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return b.add("audit.windows", t, {"EventID": event, "Channel": data.pop("Channel", "Security"), "Hostname": host, "@timestamp": stamp,
                                      "SourceName": "Microsoft-Windows-Security-Auditing", "RecordNumber": WIN[host], "Severity": "INFO", **data})


def github(b, t, p, action, repo, **more):
    return b.add("audit.github", t, {"action": action, "actor": p.login, "actor_ip": p.ip, "@timestamp": int(t.timestamp() * 1000), "created_at": int(t.timestamp() * 1000),
                                     "_document_id": b.id(), "org": "quarry", "repo": f"quarry/{repo}", **more})


def okta(b, t, p, event="user.session.start"):
    if event == "user.session.start":
        okta(b, t + timedelta(seconds=3), p, "user.authentication.auth_via_mfa")
    return b.add("audit.okta", t, dict(uuid=b.id(), published=t.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), eventType=event, version="0",
                                       severity="INFO", displayMessage=event, actor=dict(id="00u" + p.id, type="User", alternateId=p.login, displayName=p.full),
                                       client=dict(ipAddress=p.ip, userAgent=dict(rawUserAgent=p.agent), zone="null"), outcome=dict(result="SUCCESS"), target=[],
                                       authenticationContext=dict(externalSessionId=f"o-{p.id}-{t.day}", credentialType="OTP", authenticationStep=0),
                                       debugContext=dict(debugData=dict(factor="OKTA_VERIFY_PUSH"))))
