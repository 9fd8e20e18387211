//! The classes of OCSF 1.8.0 by name.

/// Finds a class by its uid or its name, letter case, `_`, `-` and a closing "activity" aside.
#[must_use]
pub fn find(text: &str) -> Option<u32> {
    let given = plain(text);
    if let Ok(uid) = given.parse() {
        return Some(uid);
    }
    CLASSES
        .iter()
        .find(|(_, name)| *name == given || name.strip_suffix(" activity") == Some(&given))
        .map(|(uid, _)| *uid)
}

/// The name of a class; `None` of one that OCSF 1.8.0 does not have.
#[must_use]
pub fn name(uid: u32) -> Option<&'static str> {
    CLASSES.iter().find(|(u, _)| *u == uid).map(|(_, name)| *name)
}

/// The names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().map(|(_, name)| *name)
}

/// A name as [`CLASSES`] has it.
pub(crate) fn plain(text: &str) -> String {
    text.trim().to_lowercase().replace(['_', '-'], " ")
}

/// Source: OCSF 1.8.0, captions, in lower case.
const CLASSES: &[(u32, &str)] = &[
    (0, "base event"),
    (1001, "file system activity"),
    (1002, "kernel extension activity"),
    (1003, "kernel activity"),
    (1004, "memory activity"),
    (1005, "module activity"),
    (1006, "scheduled job activity"),
    (1007, "process activity"),
    (1008, "event log activity"),
    (1009, "script activity"),
    (1010, "peripheral activity"),
    (2001, "security finding"),
    (2002, "vulnerability finding"),
    (2003, "compliance finding"),
    (2004, "detection finding"),
    (2005, "incident finding"),
    (2006, "data security finding"),
    (2007, "application security posture finding"),
    (2008, "iam analysis finding"),
    (3001, "account change"),
    (3002, "authentication"),
    (3003, "authorize session"),
    (3004, "entity management"),
    (3005, "user access management"),
    (3006, "group management"),
    (4001, "network activity"),
    (4002, "http activity"),
    (4003, "dns activity"),
    (4004, "dhcp activity"),
    (4005, "rdp activity"),
    (4006, "smb activity"),
    (4007, "ssh activity"),
    (4008, "ftp activity"),
    (4009, "email activity"),
    (4010, "network file activity"),
    (4011, "email file activity"),
    (4012, "email url activity"),
    (4013, "ntp activity"),
    (4014, "tunnel activity"),
    (5001, "device inventory info"),
    (5002, "device config state"),
    (5003, "user inventory info"),
    (5004, "operating system patch state"),
    (5006, "kernel object query"),
    (5007, "file query"),
    (5008, "folder query"),
    (5009, "admin group query"),
    (5010, "job query"),
    (5011, "module query"),
    (5012, "network connection query"),
    (5013, "networks query"),
    (5014, "peripheral device query"),
    (5015, "process query"),
    (5016, "service query"),
    (5017, "user session query"),
    (5018, "user query"),
    (5019, "device config state change"),
    (5020, "software inventory info"),
    (5021, "osint inventory info"),
    (5022, "startup item query"),
    (5023, "cloud resources inventory info"),
    (5040, "live evidence info"),
    (6001, "web resources activity"),
    (6002, "application lifecycle"),
    (6003, "api activity"),
    (6004, "web resource access activity"),
    (6005, "datastore activity"),
    (6006, "file hosting activity"),
    (6007, "scan activity"),
    (6008, "application error"),
    (7001, "remediation activity"),
    (7002, "file remediation activity"),
    (7003, "process remediation activity"),
    (7004, "network remediation activity"),
    (8001, "drone flights activity"),
    (8002, "airborne broadcast activity"),
    (201001, "registry key activity"),
    (201002, "registry value activity"),
    (201003, "windows resource activity"),
    (201004, "windows service activity"),
    (205004, "registry key query"),
    (205005, "registry value query"),
    (205019, "prefetch query"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_found_by_name_and_number() {
        for text in ["Authentication", "authentication", "3002"] {
            assert_eq!(find(text), Some(3002), "{text}");
        }
        assert_eq!(find("process_activity"), Some(1007));
        assert_eq!(find("process"), Some(1007));
        assert_eq!(find("base event"), Some(0));
        assert_eq!(find("nonsense"), None);
        assert_eq!(name(6005), Some("datastore activity"));
    }
}
