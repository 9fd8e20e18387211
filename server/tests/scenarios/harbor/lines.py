"""The native lines of each source, and the capture that collects them. Every function adds records and returns them."""
import datetime as dt
import json
import random
import uuid

from company import JS, TP

UA = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36"
UA3 = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
UA2 = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"


class Capture:
    """Records with their time; labels refer to the records, offsets come when they are written in order of arrival."""

    def __init__(self, company, seed=20261005):
        self.c, self.rnd = company, random.Random(seed)
        self.records, self.expected, self.decoys, self.session_no = [], [], [], 400

    def id(self):
        return str(uuid.UUID(int=self.rnd.getrandbits(128), version=4))

    def add(self, source, t, payload, numbered=None, delay=None):
        r = dict(source=source, t=t, payload=payload, numbered=numbered, n=len(self.records),
                 ts=int(t.timestamp() * 1000) + (delay if delay is not None else self.rnd.randint(300, 2500)))
        self.records.append(r)
        return r

    def js(self, source, t, obj, **more):
        return self.add(source, t, json.dumps(obj, ensure_ascii=False, separators=(",", ":")), **more)

    def expect(self, clause, person, account, records, severity, why):
        self.expected.append((clause, person["employee_id"] if person else None, account, flat(records), severity, why))

    def decoy(self, clause, person, records, why):
        self.decoys.append((clause, person["employee_id"] if person else None, flat(records), why))


def flat(records):
    return [records] if isinstance(records, dict) else [x for r in records for x in flat(r)]


def utc(t, form="%Y-%m-%dT%H:%M:%SZ"):
    return t.astimezone(dt.timezone.utc).strftime(form)


def ms(t):
    return utc(t, "%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (t.microsecond // 1000)


# ---- hosts -------------------------------------------------------------------------------------------------------

def syslog(cap, host, t, tag, pid, msg, source=None):
    """A line of a host, in the form of that host's shipper."""
    form = source or cap.c.host[host]["log"]
    program = f"{tag}[{pid}]" if pid else tag
    if form == "linux5424":
        return cap.add("linux", t, f"<86>1 {t.strftime('%Y-%m-%dT%H:%M:%S.%f')}+01:00 {host} {tag} {pid or '-'} - -  {msg}")
    if form == "journal":
        us = str(int(t.timestamp() * 1e6))
        return cap.js("journal", t, {"__REALTIME_TIMESTAMP": us, "__MONOTONIC_TIMESTAMP": us[4:], "_BOOT_ID": "5b1c0d9e" * 4, "PRIORITY": "6", "SYSLOG_FACILITY": "10",
                                     "_HOSTNAME": host, "SYSLOG_IDENTIFIER": tag, "_PID": str(pid or 900), "_TRANSPORT": "syslog", "_UID": "0", "MESSAGE": msg})
    stamp = f"{t.strftime('%b')} {t.day:2d} {t.strftime('%H:%M:%S')}"
    return cap.add("linux", t, f"<86>{stamp} {host} {program}: {msg}")


def auditd(cap, host, t, kind, body):
    """One audit record; the serial is filled in when the capture is written, so that a host's serials have no gap."""
    return cap.add("auditd", t, f"node={host} type={kind} msg=audit({int(t.timestamp())}.{t.microsecond // 1000:03}:@SERIAL@): {body}", numbered=host)


def sshd(cap, host, account, ip, t, method="publickey", end=None, shell=True):
    """A successful logon at a host; the first record is the logon itself."""
    pid, port = cap.rnd.randint(2000, 60000), cap.rnd.randint(30000, 60000)
    if cap.c.host[host]["log"] == "auditd":
        cap.session_no += 1
        who = f"pid={pid} uid=0 auid={uid_of(account)} ses={cap.session_no}"
        out = [auditd(cap, host, t, "USER_LOGIN", f"{who} msg='op=login acct=\"{account}\" exe=\"/usr/sbin/sshd\" hostname={ip} addr={ip} terminal={'/dev/pts/0' if shell else 'ssh'} res=success'")]
        if end:
            out.append(auditd(cap, host, end, "USER_LOGOUT", f"{who} msg='op=login acct=\"{account}\" exe=\"/usr/sbin/sshd\" hostname={ip} addr={ip} terminal=ssh res=success'"))
        return out
    key = " ssh2: ED25519 SHA256:" + cap.id().replace("-", "")[:22] if method == "publickey" else " ssh2"
    uid = uid_of(account)
    out = [syslog(cap, host, t, "sshd", pid, f"Accepted {method} for {account} from {ip} port {port}{key}"),
           syslog(cap, host, t + dt.timedelta(milliseconds=90), "sshd", pid, f"pam_unix(sshd:session): session opened for user {account}(uid={uid}) by (uid=0)")]
    if shell:
        out.append(syslog(cap, host, t + dt.timedelta(milliseconds=200), "sshd", pid, f"Starting session: shell on pts/0 for {account} from {ip} port {port} id 0"))
    if end:
        out += [syslog(cap, host, end, "sshd", pid, f"pam_unix(sshd:session): session closed for user {account}")]
    return out


def uid_of(account):
    return 0 if account == "root" else 1000 + sum(account.encode()) % 900


def sshd_failed(cap, host, account, ip, t, noisy=False):
    pid, port = cap.rnd.randint(2000, 60000), cap.rnd.randint(30000, 60000)
    out = []
    if noisy:
        out.append(syslog(cap, host, t, "sshd", pid, f"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={ip}  user={account}"))
        out.append(syslog(cap, host, t + dt.timedelta(seconds=1), "sshd", pid, f"error: PAM: Authentication failure for {account} from {ip}"))
    out.append(syslog(cap, host, t + dt.timedelta(seconds=1), "sshd", pid, f"Failed {'keyboard-interactive/pam' if noisy else 'password'} for {account} from {ip} port {port} ssh2"))
    return out


def sudo(cap, host, account, command, t, target="root", refusal=None):
    if cap.c.host[host]["log"] == "auditd":
        cmd = command.encode().hex().upper() if " " in command else f'"{command}"'
        return auditd(cap, host, t, "USER_CMD", f"pid={cap.rnd.randint(2000, 60000)} uid={uid_of(account)} auid={uid_of(account)} ses={cap.session_no} "
                      f"msg='cwd=\"/home/{account}\" cmd={cmd} exe=\"/usr/bin/sudo\" terminal=pts/0 res={'failed' if refusal else 'success'}'\x1dUID=\"{account}\" AUID=\"{account}\"")
    reason = f"{refusal} ; " if refusal else ""
    return syslog(cap, host, t, "sudo", 0, f"{account:>8} : {reason}TTY=pts/0 ; PWD=/home/{account} ; USER={target} ; COMMAND={command}")


def execve(cap, host, account, argv, t, euid=0):
    """auditd's SYSCALL, EXECVE and PROCTITLE of one command: one event of three records."""
    pid, stamp = cap.rnd.randint(2000, 60000), t
    hexed = lambda a: a.encode().hex().upper() if any(x in a for x in ' "') else f'"{a}"'
    first = (f"arch=c000003e syscall=59 success=yes exit=0 a0=55d0 a1=55d1 a2=55d2 a3=0 items=2 ppid={pid - 7} pid={pid} auid={uid_of(account)} uid={euid} gid={euid} "
             f"euid={euid} suid={euid} fsuid={euid} egid={euid} sgid={euid} fsgid={euid} tty=pts0 ses={cap.session_no} comm=\"{argv[0].split('/')[-1]}\" exe=\"/usr/bin/{argv[0].split('/')[-1]}\" "
             f"key=\"cmd\"\x1dARCH=x86_64 SYSCALL=execve AUID=\"{account}\" UID=\"{'root' if euid == 0 else account}\"")
    args = " ".join(f"a{i}={hexed(a)}" for i, a in enumerate(argv))
    group = f"{host}#{cap.id()}"
    out = []
    for kind, body in (("SYSCALL", first), ("EXECVE", f"argc={len(argv)} {args}"), ("PROCTITLE", "proctitle=" + "\0".join(argv).encode().hex().upper())):
        r = cap.add("auditd", stamp, f"node={host} type={kind} msg=audit({int(t.timestamp())}.{t.microsecond // 1000:03}:@SERIAL@): {body}", numbered=group, delay=700)
        out.append(r)
    return out


def windows(cap, host, event, t, **data):
    row = {"EventID": event, "Channel": "Security", "Hostname": f"{host}.harbor.example", "SourceName": "Microsoft-Windows-Security-Auditing", "@timestamp": ms(t),
           "EventTime": t.strftime("%Y-%m-%d %H:%M:%S"), "Severity": "INFO", "EventType": "AUDIT_FAILURE" if event == 4625 else "AUDIT_SUCCESS", "RecordNumber": "@SERIAL@"}
    row.update(data)
    return cap.js("windows", t, row, numbered=host)


def win_logon(cap, host, account, ip, t, kind="10", sid=None, ok=True):
    sid = sid or f"S-1-5-21-3012-4411-9022-{1100 + uid_of(account)}"
    more = {} if ok else dict(Status="0xc000006d", SubStatus="0xc000006a", FailureReason="%%2313")
    return windows(cap, host, 4624 if ok else 4625, t, TargetUserName=account, TargetDomainName="HARBOR", TargetUserSid=sid, TargetLogonId=hex(cap.rnd.getrandbits(28)),
                   LogonType=kind, IpAddress=ip, IpPort=str(cap.rnd.randint(40000, 60000)), WorkstationName=host.upper(), LogonProcessName="User32 ", AuthenticationPackageName="Negotiate",
                   SubjectUserName="-", SubjectUserSid="S-1-0-0", **more)


# ---- bastions ------------------------------------------------------------------------------------------------------

def jumpserver(cap, t, category, obj, **more):
    return cap.add("jumpserver", t, f"<14>jumpserver: {category} - " + json.dumps(obj, ensure_ascii=False, sort_keys=True), **more)


def js_time(t):
    return t.strftime("%Y/%m/%d %H:%M:%S +0100")


def js_name(p):
    return f"{p['name']}({p['login']})"


def js_login(cap, p, t, ip=None, mfa=1, ok=True, backend="Password", ua=UA, reason="password_failed"):
    return jumpserver(cap, t, "login_log", dict(
        backend=backend, backend_display=backend, city="LAN", datetime=js_time(t), id=cap.id(), ip=ip or p["ip"], mfa={"label": "", "value": mfa if ok else 2},
        reason="" if ok else reason, reason_display="", status={"label": "", "value": ok}, type={"label": "Web", "value": "W"}, user_agent=ua,
        username=js_name(p) if ok else p["login"]))


def js_session(cap, p, host, account, start, minutes=12, commands=(), ip=None, login=True, protocol="ssh", logon_at=None, logon=True, closed=True, account_name=None):
    """A JumpServer session with what the target says of it. Returns dict of record lists: all, open, commands, host."""
    h, sid, out = cap.c.host[host], cap.id(), []
    base = dict(id=sid, user=js_name(p), asset=f"{host}({h['ip']})", account=f"{account}({account})", protocol=protocol, remote_addr=ip or p["ip"], login_from="WT", is_success=True,
                has_replay=False, has_command=bool(commands), date_start=js_time(start), org_id="00000000-0000-0000-0000-000000000002", type={"label": "Normal", "value": "normal"}, user_id=p["employee_id"])
    if login:
        out.append(js_login(cap, p, start - dt.timedelta(minutes=3), ip))
    opened = jumpserver(cap, start, "host_session_log", dict(base, is_finished=False, date_end=None, duration=0, command_amount=0))
    end = start + dt.timedelta(minutes=minutes)
    logons = []
    if logon and h["log"] == "windows":
        logons = [win_logon(cap, host, account, JS, logon_at or start + dt.timedelta(seconds=2))]
    elif logon and h["log"]:
        logons = sshd(cap, host, account, JS, logon_at or start + dt.timedelta(seconds=2), "password", end)
    ran = [js_command(cap, p, host, account, sid, c, start + dt.timedelta(seconds=40 + i * max(20, (minutes * 60 - 80) // (len(commands) + 1))), ip=ip) for i, c in enumerate(commands)]
    close = [jumpserver(cap, end, "host_session_log", dict(base, is_finished=True, has_replay=True, date_end=js_time(end), duration=minutes * 60.0, command_amount=len(commands)))] if closed else []
    return dict(all=out + [opened] + logons + ran + close, login=out, open=[opened], host=logons, commands=ran, close=close, id=sid, end=end)


def js_command(cap, p, host, account, sid, command, t, risk=0, ip=None):
    return jumpserver(cap, t, "session_command_log", dict(
        account=f"{account}({account})", asset=f"{host}({cap.c.host[host]['ip']})", id=cap.id(), input=command, org_id="00000000-0000-0000-0000-000000000002", output="",
        remote_addr=ip or p["ip"], risk_level={"label": "", "value": risk}, session=sid, timestamp=int(t.timestamp()), timestamp_display=js_time(t), user=js_name(p)))


def js_operation(cap, p, t, action, resource_type, resource, diff, ip=None):
    return jumpserver(cap, t, "operation_log", dict(
        id=cap.id(), user=js_name(p), action={"label": action, "value": action}, resource_type=resource_type, resource=resource, remote_addr=ip or p["ip"], datetime=js_time(t),
        org_id="00000000-0000-0000-0000-000000000002", diff=[dict(field=f, before=b, after=a) for f, b, a in diff]))


def js_ftp(cap, p, host, account, sid, operate, filename, t):
    return jumpserver(cap, t, "ftp_log", dict(id=cap.id(), user=js_name(p), remote_addr=p["ip"], asset=f"{host}({cap.c.host[host]['ip']})", account=f"{account}({account})", operate={"label": operate, "value": operate},
                                              filename=filename, date_start=js_time(t), is_success=True, has_file=True, session=sid, org_id="00000000-0000-0000-0000-000000000002"))


def teleport(cap, t, event, code, user, **more):
    return cap.js("teleport", t, dict(dict(event=event, code=code, time=ms(t), uid=cap.id(), cluster_name="tp.harbor.example", user=user, ei=more.pop("ei", 0)), **more))


def tp_login(cap, p, t, ip=None, mfa=True, ok=True, user=None):
    more = dict(mfa_device=dict(mfa_device_name="yubikey", mfa_device_type="WebAuthn", mfa_device_uuid=cap.id())) if mfa and ok else {}
    return teleport(cap, t, "user.login", "T1000I" if ok else "T1000W", user or p["login"], method="local", success=ok, **{"addr.remote": f"{ip or p['ip']}:52{cap.rnd.randint(100, 999)}"}, **more)


def tp_session(cap, p, host, login, start, minutes=10, commands=(), sign_in=True, ip=None, logon=True):
    h, sid = cap.c.host[host], cap.id()
    where = {"server_id": cap.id(), "server_hostname": host, "server_addr": h["ip"] + ":3022", "addr.remote": f"{ip or p['ip']}:53{cap.rnd.randint(100, 999)}", "sid": sid, "login": login, "namespace": "default", "proto": "ssh"}
    out = [tp_login(cap, p, start - dt.timedelta(minutes=2), ip)] if sign_in else []
    opened = teleport(cap, start, "session.start", "T2000I", p["login"], interactive=True, session_recording="node", initial_command=[""], **where)
    logons = sshd(cap, host, login, TP, start + dt.timedelta(seconds=2), "publickey", start + dt.timedelta(minutes=minutes)) if logon else []
    ran = [teleport(cap, start + dt.timedelta(seconds=30 + 25 * i), "session.command", "T4000I", p["login"], ei=1 + i, program=c.split()[0], path="/usr/bin/" + c.split()[0], argv=c.split()[1:],
                    return_code=0, pid=4000 + i, ppid=3990, cgroup_id=77, **where) for i, c in enumerate(commands)]
    end = start + dt.timedelta(minutes=minutes)
    close = [teleport(cap, end, "session.end", "T2004I", p["login"], ei=1 + len(commands), interactive=True, participants=[p["login"]], session_start=ms(start), session_stop=ms(end), **where)]
    return dict(all=out + [opened] + logons + ran + close, login=out, open=[opened], host=logons, commands=ran, close=close, id=sid, where=where)


def bastionhost(cap, p, t, event, content, host="core-sw-01", sid=None, result="success"):
    h = cap.c.host[host]
    return cap.js("bastionhost", t, {"__topic__": "bastionhost", "__time__": str(int(t.timestamp())), "owner_id": "5566778899001122", "region": "eu-central-1", "instance_id": "bastionhost-eu-h4rb0r01",
                                     "event_type": event, "session_id": sid or cap.id().replace("-", ""), "user_id": str(int(p["employee_id"][2:])), "user_name": p["login"], "user_client_ip": p["ip"],
                                     "resource_address": h["ip"], "resource_name": host, "content": content, "result": result})
