"""Lines of clouds, clusters, databases, web systems and identity providers."""
import datetime as dt
import json

from company import EGRESS, TZ
from lines import UA, ms, utc


def actiontrail(cap, account, t, name, service="Ram", ip=None, kind="ram-user", event="ApiCall", rw="Write", request=None, extra=None, error="", key=None):
    row = {"eventId": cap.id().upper(), "eventVersion": "1", "eventTime": utc(t), "eventType": event, "eventName": name, "eventRW": rw, "serviceName": service,
           "eventSource": f"{service.lower()}.aliyuncs.com", "acsRegion": "eu-central-1", "requestId": cap.id().upper(), "apiVersion": "2015-05-01",
           "userIdentity": {"type": kind, "accountId": "5566778899001122", "principalId": "20" + str(sum(account.encode()) * 7919), "userName": account},
           "sourceIpAddress": ip or EGRESS["lisboa"], "userAgent": "AlibabaCloud Console", "requestParameters": request or {}, "errorCode": error, "errorMessage": error}
    if key:
        row["userIdentity"]["accessKeyId"] = key
    if extra:
        row["additionalEventData"] = extra
    return cap.js("actiontrail", t, row)


def ali_console(cap, account, t, mfa="true", ip=None, root=False):
    extra = {("isMFAChecked" if root else "mfaChecked"): mfa, "loginAccount": account, "callbackUrl": "https://homenew.console.aliyun.com/"}
    return actiontrail(cap, account, t, "ConsoleSignin", "AasCustomer" if root else "AasSub", ip, "root-account" if root else "ram-user", "ConsoleSignin", "Write", None, extra)


def cloudtrail(cap, account, t, name, source="iam", ip=None, kind="IAMUser", request=None, response=None, extra=None, event="AwsApiCall", read=False, error=None, role=None):
    who = {"type": kind, "principalId": "AIDA" + account.upper().replace(".", "")[:12], "arn": f"arn:aws:iam::445566778899:user/{account}", "accountId": "445566778899", "userName": account}
    if kind == "Root":
        who = {"type": "Root", "principalId": "445566778899", "arn": "arn:aws:iam::445566778899:root", "accountId": "445566778899"}
    if kind == "AssumedRole":
        who = {"type": kind, "principalId": f"AROAHARBOR:{account}", "arn": f"arn:aws:sts::445566778899:assumed-role/{role}/{account}", "accountId": "445566778899",
               "sessionContext": {"sessionIssuer": {"type": "Role", "userName": role}, "attributes": {"mfaAuthenticated": "true", "creationDate": utc(t)}}}
    row = {"eventVersion": "1.09", "userIdentity": who, "eventTime": utc(t), "eventSource": f"{source}.amazonaws.com", "eventName": name, "awsRegion": "eu-west-1",
           "sourceIPAddress": ip or EGRESS["lisboa"], "userAgent": UA, "requestParameters": request, "responseElements": response, "eventID": cap.id(), "readOnly": read,
           "eventType": event, "managementEvent": True, "recipientAccountId": "445566778899", "eventCategory": "Management"}
    if extra:
        row["additionalEventData"] = extra
    if error:
        row.update(errorCode=error, errorMessage=error)
    return cap.js("cloudtrail", t, row)


def aws_console(cap, account, t, mfa="Yes", ip=None, ok=True, root=False):
    return cloudtrail(cap, account, t, "ConsoleLogin", "signin", ip, "Root" if root else "IAMUser", None, {"ConsoleLogin": "Success" if ok else "Failure"},
                      {"LoginTo": "https://console.aws.amazon.com/console/home", "MobileVersion": "No", "MFAUsed": mfa}, "AwsConsoleSignIn", error=None if ok else "Failed authentication")


def k8s(cap, user, t, verb, resource, name=None, namespace=None, ip="10.100.19.11", code=200, group="", body=None, sub=None, note=None, agent="kube-controller-manager/v1.31.0"):
    uri = f"/apis/{group or 'core'}/v1/" + (f"namespaces/{namespace}/" if namespace else "") + resource + (f"/{name}" if name else "")
    ref = {"resource": resource, "apiVersion": "v1"}
    ref.update({k: v for k, v in (("namespace", namespace), ("name", name), ("apiGroup", group), ("subresource", sub)) if v})
    row = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse" if body else "Metadata", "auditID": cap.id(), "stage": "ResponseComplete", "requestURI": uri, "verb": verb,
           "user": {"username": user, "groups": ["system:authenticated"]}, "sourceIPs": [ip], "userAgent": agent, "objectRef": ref, "responseStatus": {"metadata": {}, "code": code},
           "requestReceivedTimestamp": utc(t, "%Y-%m-%dT%H:%M:%S.%fZ"), "stageTimestamp": utc(t, "%Y-%m-%dT%H:%M:%S.%fZ"),
           "annotations": dict({"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""}, **(note or {}))}
    if body:
        row["requestObject"] = body
    return cap.js("k8s", t, row)


def postgres(cap, host, t, pid, user, database, ip, app, msg, level="LOG"):
    line = f"{utc(t, '%Y-%m-%d %H:%M:%S.')}{t.microsecond // 1000:03} UTC [{pid}] {user}@{database} {ip} {app} {level}:  {msg}"
    return cap.js("postgres", t, {"@timestamp": ms(t), "message": line, "host": {"name": host}, "log": {"file": {"path": "/var/log/postgresql/postgresql.log"}, "offset": cap.rnd.randint(10 ** 5, 10 ** 8)}, "agent": {"type": "filebeat"}})


def pg_connect(cap, host, user, database, ip, app, t):
    pid = cap.rnd.randint(1000, 30000)
    return pid, [postgres(cap, host, t, pid, user, database, ip, app, f'connection authenticated: identity="{user}" method=scram-sha-256 (/etc/postgresql/15/main/pg_hba.conf:97)'),
                 postgres(cap, host, t, pid, user, database, ip, app, f"connection authorized: user={user} database={database} application_name={app} SSL enabled (protocol=TLSv1.3, cipher=TLS_AES_256_GCM_SHA384, bits=256)")]


def pg_audit(cap, host, user, database, ip, app, t, pid, kind, command, statement, table="", n=1, rows=1):
    quoted = '"' + statement.replace('"', '""') + '"'
    return postgres(cap, host, t, pid, user, database, ip, app, f"AUDIT: SESSION,{n},1,{kind},{command},{'TABLE' if table else ''},{table},{quoted},<none>,{rows}")


def mariadb(cap, host, user, ip, t, connection, query, operation, database="", obj="", code="0"):
    return cap.add("mariadb", t, f"{t.astimezone(TZ).strftime('%Y%m%d %H:%M:%S')},{host},{user},{ip},{connection},{query},{operation},{database},{obj},{code}")


def nginx(cap, user, ip, host, method, uri, t, request_id, status=200, combined=False):
    size = cap.rnd.randint(300, 9000)
    if combined:
        return cap.add("access", t, f'{ip} - {user or "-"} [{t.strftime("%d/%b/%Y:%H:%M:%S")} +0100] "{method} {uri} HTTP/1.1" {status} {size} "-" "{UA}"')
    return cap.add("nginx", t, json.dumps({"time": t.strftime("%Y-%m-%dT%H:%M:%S+01:00"), "remote_addr": ip, "xff": "", "user": user or "", "method": method, "uri": uri, "status": status, "bytes": size,
                                          "rt": 0.021, "ua": UA, "ref": "", "host": f"{host}.harbor.example", "req_id": request_id, "scheme": "https"}))


def webaudit(cap, p, t, system, action, obj, ip=None, account=None, result="success", request_id=None, ticket=None, device=None, ua=UA, session=None, **more):
    row = {"event_id": cap.id(), "time": t.strftime("%Y-%m-%dT%H:%M:%S.") + f"{t.microsecond // 1000:03}+01:00", "system": system, "module": obj.get("type", "session"),
           "actor": {"account": account or p["login"], "employee_id": p["employee_id"], "name": p["name"], "dept": p["dept"]}, "session_id": session or "s-" + (account or p["login"]),
           "request_id": request_id or cap.id().replace("-", ""), "source": {"ip": ip or p["ip"], "device_id": device or "dev-" + p["employee_id"], "user_agent": ua}, "action": action, "object": obj,
           "result": result, "masked": True}
    if ticket:
        row["ticket"] = ticket
    row.update(more)
    return cap.js("webaudit", t, row)


def web_login(cap, p, t, system="crm", **more):
    ok = more.pop("ok", True)
    if not ok:
        more.update(result="failure", reason="bad_password", error_code="401")
    return webaudit(cap, p, t, system, "login" if ok else "login_failed", {"type": "session", "id": more.get("account") or p["login"]}, **more)


def okta(cap, login, t, event, ip, result="SUCCESS", target=None, ua=UA, place=None, reason=None, debug=None, actor_type="User", session=None):
    city, country, lat, lon = place or ("Lisboa", "Portugal", 38.7223, -9.1393)
    row = {"uuid": cap.id(), "published": ms(t), "eventType": event, "version": "0", "severity": "INFO", "displayMessage": event.replace(".", " "),
           "actor": {"id": "00u" + str(sum(login.encode()) * 31), "type": actor_type, "alternateId": login, "displayName": login.split("@")[0]},
           "client": {"ipAddress": ip, "userAgent": {"rawUserAgent": ua, "os": "Windows 10", "browser": "CHROME"}, "zone": "null", "device": "Computer",
                      "geographicalContext": {"city": city, "country": country, "geolocation": {"lat": lat, "lon": lon}}},
           "authenticationContext": {"externalSessionId": session or "102" + cap.id()[:8], "authenticationStep": 0}, "outcome": {"result": result, "reason": reason}, "target": target or [],
           "securityContext": {}, "transaction": {"id": cap.id(), "type": "WEB", "detail": {}}, "debugContext": {"debugData": debug or {}}}
    return cap.js("okta", t, row)


def okta_user(login, name=None):
    return {"id": "00u" + str(sum(login.encode()) * 31), "type": "User", "alternateId": login, "displayName": name or login}


def okta_signin(cap, p, t, ip=None, ua=UA, place=None, mfa=True):
    ip = ip or EGRESS[p["site"]]
    place = place or (None if p["site"] == "lisboa" else ("Porto", "Portugal", 41.1496, -8.611))
    session = "102" + cap.id()[:8]
    out = [okta(cap, p["login"], t, "user.session.start", ip, ua=ua, place=place, session=session)]
    if mfa:
        out.append(okta(cap, p["login"], t + dt.timedelta(seconds=6), "user.authentication.auth_via_mfa", ip, ua=ua, place=place, debug={"factor": "OKTA_VERIFY_PUSH"}, session=session))
    return out


def github(cap, actor, t, action, ip=None, **more):
    stamp = int(t.timestamp() * 1000)
    return cap.js("github", t, dict({"@timestamp": stamp, "created_at": stamp, "_document_id": cap.id().replace("-", "")[:22], "action": action, "actor": actor, "actor_id": sum(actor.encode()),
                                     "actor_ip": ip or EGRESS["lisboa"], "org": "harbor-port", "org_id": 88112, "operation_type": "modify"}, **more))


def gitlab(cap, p, t, ip=None, **more):
    return cap.js("gitlab", t, dict({"severity": "INFO", "time": ms(t), "correlation_id": cap.id(), "author_id": int(p["employee_id"][2:]), "author_name": p["login"], "entity_id": 2, "entity_type": "Project",
                                     "entity_path": "port/berth-plan", "ip_address": ip or p["ip"], "target_id": 2, "target_type": "Project", "target_details": "port/berth-plan"}, **more))
