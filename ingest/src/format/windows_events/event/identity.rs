//! Logons, accounts, groups and rights.

use super::{LOGON_TYPES, Maker, reason, words};
use crate::builder::EventBuilder;
use crate::class;
use crate::seek;

impl<'a> Maker<'a, '_> {
    pub(super) fn logon(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::AUTHENTICATION, activity);
        let id = self.entry.id;
        self.target(&mut b);
        // Kerberos and NTLM name the account otherwise.
        if self.get("TargetUserName").is_none()
            && let Some(name) = self.get("LogonAccount").or_else(|| self.get("UserName"))
        {
            b.set("user.name", &*name);
        }
        if !matches!(id, 4634 | 4647) {
            self.actor(&mut b);
        }
        self.source(
            &mut b,
            "IpAddress",
            "IpPort",
            if id == 4776 { "Workstation" } else { "WorkstationName" },
        );
        b.set_some("session.uid", self.get("TargetLogonId").as_deref());
        b.set("service.name", self.get("ServiceName").as_deref().unwrap_or("Windows"));
        // With other credentials one goes elsewhere.
        let elsewhere = self
            .get("TargetServerName")
            .filter(|s| id == 4648 && !s.eq_ignore_ascii_case("localhost"));
        match elsewhere {
            Some(server) => drop(b.host("dst_endpoint", &server)),
            None if self.entry.computer.is_empty() => {}
            None => drop(b.host("dst_endpoint", &self.entry.computer)),
        }
        if let Some(kind) = self.get("LogonType").and_then(|t| t.parse::<u8>().ok()) {
            let (kind, name) = LOGON_TYPES
                .iter()
                .find(|(n, _)| *n == kind)
                .copied()
                .unwrap_or((99, "Other"));
            b.set("logon_type_id", kind).set("logon_type", name);
            b.set("is_remote", matches!(kind, 3 | 8 | 10 | 12));
        }
        let (protocol, name) = match (id, self.get("AuthenticationPackageName").as_deref()) {
            (4768..=4771, _) => (2, "Kerberos"),
            (4776, _) => (1, "NTLM"),
            (_, Some("Kerberos")) => (2, "Kerberos"),
            (_, Some(p)) if p.starts_with("NTLM") || p.starts_with("MICROSOFT_AUTHENTICATION") => (1, "NTLM"),
            (_, Some(_)) => (99, "Other"),
            (_, None) => (0, ""),
        };
        if protocol != 0 {
            b.set("auth_protocol_id", protocol).set("auth_protocol", name);
        }
        if id == 4648 {
            b.set("account_switch_type_id", 2)
                .word("account_switch_type", "Impersonate");
        }
        let code = self
            .get("SubStatus")
            .or_else(|| self.get("Status"))
            .filter(|c| !matches!(c.to_ascii_lowercase().as_str(), "0x0" | "0x00000000"));
        let success = id != 4625 && id != 4771 && code.is_none() && !self.failed();
        b.success(success);
        if !success && let Some(code) = &code {
            b.set("status_code", &**code)
                .set_some("status_detail", reason(id, code));
        }
        b
    }

    pub(super) fn privileges(&self) -> EventBuilder<'a> {
        let mut b = self.event(&class::AUTHORIZE_SESSION, 1);
        self.user(&mut b, "user", "Subject");
        if !b.has("user") {
            b.word("user.name", "-");
        }
        b.set_some("session.uid", self.get("SubjectLogonId").as_deref());
        b.set("privileges", words(self.get("PrivilegeList").as_deref()));
        if !b.has("privileges") {
            // The class wants to know what was given.
            b.set("privileges", serde_json::json!(["-"]));
        }
        b.success(true);
        b
    }

    pub(super) fn account(&self, activity: u8, name: &str) -> EventBuilder<'a> {
        let mut b = self.event(&class::ACCOUNT_CHANGE, activity);
        b.set("activity_name", name);
        self.actor(&mut b);
        self.target(&mut b);
        if let (Some(old), Some(new)) = (self.get("OldTargetUserName"), self.get("NewTargetUserName")) {
            b.set("user.name", &*old).set("user_result.name", &*new);
        }
        // Of a locked account: from where the attempts came.
        if self.entry.id == 4740
            && let Some(computer) = self.get("TargetDomainName")
        {
            b.set("src_endpoint.hostname", computer.trim_start_matches('\\'));
        }
        self.outcome(&mut b);
        b
    }

    pub(super) fn group(&self, activity: u8, name: &str) -> EventBuilder<'a> {
        let mut b = self.event(&class::GROUP_MANAGEMENT, activity);
        b.set("activity_name", name);
        self.actor(&mut b);
        b.set("group.name", self.get("TargetUserName").as_deref().unwrap_or("-"));
        b.set_some("group.uid", self.get("TargetSid").as_deref());
        b.set_some("group.domain", self.get("TargetDomainName").as_deref());
        if let Some(member) = self.get("MemberName") {
            // `CN=Li Na,OU=…`
            let name = member
                .strip_prefix("CN=")
                .and_then(|m| m.split(',').next())
                .unwrap_or(&member);
            b.set("user.name", name);
        }
        b.set_some("user.uid", self.get("MemberSid").as_deref());
        self.outcome(&mut b);
        b
    }

    pub(super) fn right(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::USER_ACCESS, activity);
        let given = self
            .get("PrivilegeList")
            .or_else(|| self.get("EnabledPrivilegeList"))
            .or_else(|| self.get("AccessGranted"))
            .or_else(|| self.get("AccessRemoved"));
        let mut privileges = words(given.as_deref());
        if privileges.is_empty() {
            privileges.push("-".to_owned());
        }
        b.set("privileges", privileges);
        self.target(&mut b);
        self.actor(&mut b);
        self.outcome(&mut b);
        b
    }

    pub(super) fn desktop(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::RDP_ACTIVITY, activity);
        let name = self
            .get("AccountName")
            .or_else(|| self.get("User"))
            .or_else(|| self.get("Param1"));
        let domain = self.get("AccountDomain").or_else(|| self.get("Param2"));
        // `CORP\li.na`
        let (domain, name) = match name.as_deref() {
            Some(name) => match seek::cut(name, b'\\') {
                Some((domain, name)) => (Some(domain), Some(name)),
                None => (domain.as_deref(), Some(name)),
            },
            None => (None, None),
        };
        b.set_some("actor.user.name", name)
            .set_some("actor.user.domain", domain);
        b.set_some(
            "actor.session.uid",
            self.get("LogonID").or_else(|| self.get("SessionID")).as_deref(),
        );
        for place in ["ClientAddress", "Address", "Param3"] {
            if let Some(place) = self.get(place)
                && !b.has("src_endpoint")
            {
                b.host("src_endpoint", &place);
            }
        }
        b.set_some("src_endpoint.name", self.get("ClientName").as_deref());
        if !b.has("src_endpoint") {
            b.word("src_endpoint.name", "-");
        }
        if !self.entry.computer.is_empty() {
            b.host("dst_endpoint", &self.entry.computer);
        }
        self.outcome(&mut b);
        b
    }
}
