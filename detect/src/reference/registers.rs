//! The tables that the specifications name, each with its schema.

use super::schema::{Column, Kind, Schema};

use Kind::{Any, Bool, Moment, Mostly, Network, Number, Object, OneOf, Text};

const fn col(name: &'static str, kind: Kind) -> Column {
    Column::new(name, kind)
}

const fn person(name: &'static str) -> Column {
    Column::new(name, Text).of("hr_roster", "employee_id")
}

const LEVELS: Kind = OneOf(&["L1", "L2", "L3", "L4"]);

/// The schema of a table; `None` for one that policies of the operator's own read.
#[must_use]
pub fn schema(table: &str) -> Option<&'static Schema> {
    SCHEMAS.iter().find(|s| s.table == table)
}

/// All of them.
pub const SCHEMAS: &[Schema] = &[
    Schema {
        table: "hr_roster",
        about: "who works here, at what post, and until when",
        key: &["employee_id"],
        unique: true,
        columns: &[
            col("employee_id", Text).must(),
            col("name", Text),
            col("logins", Text).list(),
            col("email", Text),
            col("dept", Text),
            person("manager_id"),
            col("job_role", Text),
            col(
                "employment",
                OneOf(&["staff", "outsourced", "intern", "guest", "contractor"]),
            ),
            col("status", OneOf(&["active", "on_leave", "transferred", "terminated"])).must(),
            col("start_at", Moment),
            col("end_at", Moment),
            person("sponsor_id"),
            person("deputy_id").list(),
            col("site", Text),
        ],
        spans: &[("start_at", "end_at")],
    },
    Schema {
        table: "account_registry",
        about: "which account of which system is whose, and of what kind",
        key: &["system", "account"],
        unique: true,
        columns: &[
            col("system", Text).must(),
            col("account", Text).must(),
            person("owner_employee_id"),
            col(
                "kind",
                OneOf(&[
                    "personal",
                    "privileged",
                    "service",
                    "shared_approved",
                    "emergency",
                    "default",
                    "system",
                ]),
            )
            .must(),
            col(
                "state",
                OneOf(&[
                    "active",
                    "disabled",
                    "locked",
                    "suspended",
                    "expired",
                    "removed",
                    "deleted",
                ]),
            )
            .must(),
            col("created_ticket", Text),
            col("created", Moment),
            col("expires_at", Moment),
            col("mfa_required", Bool),
            col("password", OneOf(&["used", "none"])),
            col("password_changed_at", Moment),
            col("registered_sources", Text).list(),
            col("last_logon_at", Moment),
        ],
        spans: &[],
    },
    Schema {
        table: "approvals",
        about: "tickets: what was asked for, for whom, how long, and who approved it",
        key: &["ticket_id"],
        unique: false,
        columns: &[
            col("ticket_id", Text).must(),
            col(
                "kind",
                OneOf(&[
                    "account",
                    "access",
                    "privilege",
                    "data_access",
                    "data_export",
                    "exception",
                    "emergency",
                ]),
            )
            .must(),
            person("requester"),
            person("beneficiary").list(),
            col(
                "scope",
                Object(&[
                    col("systems", Text).list(),
                    col("assets", Text).list(),
                    col("roles", Text).list(),
                    col("accounts", Text).list(),
                    col("account", Text).list(),
                    col("objects", Text).list(),
                    col("fields", Text).list(),
                    col("paths", Text).list(),
                    col("operations", Text).list(),
                    col("scope", Text).list(),
                ]),
            ),
            col("row_limit", Number),
            col("single_use", Bool),
            col("valid_from", Moment).must(),
            col("valid_to", Moment).must(),
            col(
                "approvals",
                Object(&[
                    person("approver").must(),
                    col(
                        "capacity",
                        OneOf(&[
                            "supervisor",
                            "system_owner",
                            "data_owner",
                            "security_admin",
                            "privacy_officer",
                        ]),
                    )
                    .must(),
                    col("decision", OneOf(&["approved", "rejected"])).must(),
                    col("at", Moment).must(),
                ]),
            )
            .list(),
        ],
        spans: &[],
    },
    Schema {
        table: "change_calendar",
        about: "changes: on what, by whom, when, and how they were decided",
        key: &["change_id"],
        unique: false,
        columns: &[
            col("change_id", Text).must(),
            col("level", OneOf(&["standard", "normal", "important", "emergency"])).must(),
            col("assets", Text).list(),
            col("operations", Text).list(),
            person("implementers").list(),
            col("team", Text),
            col("template", Text),
            col("window_start", Moment).must(),
            col("window_end", Moment).must(),
            col(
                "steps",
                Object(&[
                    col(
                        "step",
                        Mostly(&["request", "assess", "approve", "test", "implement", "review", "extend"]),
                    )
                    .must(),
                    person("by"),
                    col("at", Moment),
                ]),
            )
            .list(),
            person("reviewers").list(),
            col("rollback_plan", Any),
        ],
        spans: &[("window_start", "window_end")],
    },
    Schema {
        table: "asset_register",
        about: "hosts, databases, network devices and applications, and what they hold",
        key: &["asset_id"],
        unique: true,
        columns: &[
            col("asset_id", Text).must(),
            col("names", Text).list().must(),
            col("addresses", Network).list(),
            col("env", OneOf(&["prod", "staging", "test", "dev", "office", "dr"])).must(),
            col("kind", Mostly(&["host", "db", "network", "app", "storage"])),
            person("system_owner"),
            col("data_levels", LEVELS).list(),
            col("bastion_required", Bool),
            col("direct_login_allowed_from", Network).list(),
        ],
        spans: &[],
    },
    Schema {
        table: "network_zones",
        about: "which network is what, and where",
        key: &["cidr"],
        unique: true,
        columns: &[
            col("cidr", Network).must(),
            col(
                "zone",
                Mostly(&[
                    "bastion", "office", "vpn", "prod", "dmz", "partner", "internet", "test", "dev",
                ]),
            )
            .must(),
            col("site", Text),
            col("country", Text),
        ],
        spans: &[],
    },
    Schema {
        table: "role_matrix",
        about: "which rights a post may have, and which duties exclude one another",
        key: &["job_role"],
        unique: false,
        columns: &[
            col("job_role", Text),
            col("roles", Text).list(),
            col("incompatible_pairs", Any),
        ],
        spans: &[],
    },
    Schema {
        table: "data_catalogue",
        about: "data objects, how sensitive they are, and how many rows are many",
        key: &["pattern"],
        unique: true,
        columns: &[
            col("pattern", Text).must(),
            col("level", LEVELS).must(),
            col("personal_data", OneOf(&["none", "general", "sensitive"])),
            person("owner"),
            col("bulk_rows", Number),
            col("bulk_bytes", Number),
        ],
        spans: &[],
    },
    Schema {
        table: "work_calendar",
        about: "when people work, by site, and who is on call",
        key: &["site", "date"],
        unique: false,
        columns: &[
            col("tz", Text),
            col("timezone", Text),
            col("hours", Text).list(),
            col("working_days", Moment).list(),
            col("date", Moment),
            col("working_day", Bool),
            col("site", Text).list(),
            col(
                "on_call",
                Object(&[
                    person("employee_id").must(),
                    col("from", Moment).must(),
                    col("to", Moment).must(),
                ]),
            )
            .list(),
        ],
        spans: &[],
    },
    Schema {
        table: "command_catalogue",
        about: "commands, by what they do",
        key: &["pattern_id"],
        unique: true,
        columns: &[
            col("pattern_id", Text).must(),
            col("pattern", Text),
            col(
                "class",
                OneOf(&[
                    "destructive",
                    "credential",
                    "log_tamper",
                    "data_export",
                    "network_tunnel",
                    "privilege",
                    "install",
                    "recon",
                ]),
            )
            .must(),
            col("level", Text),
        ],
        spans: &[],
    },
    Schema {
        table: "source_register",
        about: "log sources, what they should send, and how often",
        key: &["source"],
        unique: true,
        columns: &[
            col("source", Text).must(),
            col("system", Text),
            col("transport", Text),
            col("assets", Text).list(),
            col("expected_classes", Text).list(),
            col("expected_per_hour", Number),
            col("max_silence_s", Number),
            col("max_delay_s", Number),
            col("clock_tolerance_s", Number),
            col("covers_from", Moment),
            col("critical", Bool),
            col("site", Text),
            col("speaks", OneOf(&["working_hours", "always"])),
            person("owner"),
        ],
        spans: &[],
    },
    Schema {
        table: "review_register",
        about: "systems whose rights are reviewed",
        key: &["system", "scope"],
        unique: true,
        columns: &[
            col("system", Text).must(),
            col("scope", OneOf(&["all", "privileged", "emergency"])).must(),
            person("owner"),
            col("since", Moment),
        ],
        spans: &[],
    },
    Schema {
        table: "exceptions",
        about: "what is not told of whom, for how long, and who answers for it",
        key: &["policy", "account", "person", "asset"],
        unique: false,
        columns: &[
            col("policy", Text).must(),
            col("account", Text).list(),
            person("person").list(),
            col("asset", Text).list(),
            person("owner").must(),
            col("reason", Text).must(),
            person("approved_by"),
            person("author"),
            col("valid_from", Moment).must(),
            col("valid_to", Moment).must(),
        ],
        spans: &[],
    },
    Schema {
        table: "placeholders",
        about: "what `%name%` stands for in Sigma rules",
        key: &["name"],
        unique: false,
        columns: &[col("name", Text).must(), col("value", Text).list().must()],
        spans: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_of_columns_and_a_reference_leads_to_one() {
        for schema in SCHEMAS {
            for key in schema.key {
                assert!(schema.columns.iter().any(|c| c.name == *key), "{} {key}", schema.table);
            }
            for (table, column) in schema.columns.iter().filter_map(|c| c.of) {
                let other = super::schema(table).unwrap();
                assert!(other.columns.iter().any(|c| c.name == column), "{table}.{column}");
            }
        }
    }
}
