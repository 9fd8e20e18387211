//! Sigma's field names, filled from OCSF where the source has no field of that name.

/// The OCSF paths of a Sigma name, in the order in which they are asked. Case matters, as in Sigma.
#[must_use]
pub fn ocsf_paths(name: &str) -> &'static [&'static str] {
    TABLE
        .binary_search_by_key(&name, |(n, _)| n)
        .map_or(&[], |i| TABLE[i].1)
}

/// Sorted by name.
const TABLE: &[(&str, &[&str])] = &[
    ("CommandLine", &["process.cmd_line"]),
    ("Computer", &["device.hostname"]),
    ("ComputerName", &["device.hostname"]),
    ("CurrentDirectory", &["process.working_directory"]),
    ("DestinationHostname", &["dst_endpoint.hostname"]),
    ("DestinationIp", &["dst_endpoint.ip"]),
    ("DestinationPort", &["dst_endpoint.port"]),
    ("Image", &["process.file.path", "process.path", "process.name"]),
    (
        "ParentCommandLine",
        &["process.parent_process.cmd_line", "actor.process.cmd_line"],
    ),
    (
        "ParentImage",
        &[
            "process.parent_process.file.path",
            "actor.process.file.path",
            "process.parent_process.name",
        ],
    ),
    ("ParentProcessId", &["process.parent_process.pid", "actor.process.pid"]),
    ("ProcessId", &["process.pid"]),
    ("SourceHostname", &["src_endpoint.hostname"]),
    ("SourceIp", &["src_endpoint.ip"]),
    ("SourcePort", &["src_endpoint.port"]),
    ("TargetFilename", &["file.path"]),
    ("TargetUserName", &["user.name"]),
    ("User", &["actor.user.name", "user.name"]),
    ("c-ip", &["src_endpoint.ip"]),
    ("c-uri", &["http_request.url.url_string", "http_request.url.path"]),
    ("c-useragent", &["http_request.user_agent"]),
    ("cs-bytes", &["http_request.length"]),
    ("cs-host", &["http_request.url.hostname"]),
    ("cs-method", &["http_request.http_method"]),
    ("cs-referer", &["http_request.referrer"]),
    ("cs-uri", &["http_request.url.url_string", "http_request.url.path"]),
    ("cs-uri-query", &["http_request.url.query_string"]),
    ("cs-uri-stem", &["http_request.url.path"]),
    ("cs-user-agent", &["http_request.user_agent"]),
    ("cs-username", &["actor.user.name", "user.name"]),
    ("dst_ip", &["dst_endpoint.ip"]),
    ("dst_port", &["dst_endpoint.port"]),
    ("sc-bytes", &["http_response.length"]),
    ("sc-status", &["http_response.code"]),
    ("src_ip", &["src_endpoint.ip"]),
    ("src_port", &["src_endpoint.port"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.windows(2).all(|w| w[0].0 < w[1].0));
        assert_eq!(ocsf_paths("CommandLine"), ["process.cmd_line"]);
        assert!(ocsf_paths("commandline").is_empty());
    }
}
