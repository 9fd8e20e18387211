//! The OCSF 1.8.0 classes that our formats write.

/// An OCSF class.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    /// `class_uid`.
    pub uid: u32,
    /// `category_uid`.
    pub category_uid: u32,
    /// `class_name`: the schema's caption.
    pub name: &'static str,
    /// `actor` belongs to the profile `host` here, and not to the class.
    pub actor_by_profile: bool,
    /// `device` belongs to the profile `host` here, and not to the class.
    pub device_by_profile: bool,
    /// `activity_id` and `activity_name`.
    pub activities: &'static [(u8, &'static str)],
}

impl Class {
    /// Whether it has `src_endpoint`.
    #[must_use]
    pub fn has_source(&self) -> bool {
        self.category_uid >= 3 && self.uid != APPLICATION_LIFECYCLE.uid || self.uid == EVENT_LOG_ACTIVITY.uid
    }

    /// The caption of an activity; `Unknown` of one that the class does not have.
    #[must_use]
    pub fn activity_name(&self, activity: u8) -> &'static str {
        self.activities
            .iter()
            .find(|(id, _)| *id == activity)
            .map_or("Unknown", |(_, name)| name)
    }
}

/// Base Event 0.
pub static BASE_EVENT: Class = Class {
    uid: 0,
    category_uid: 0,
    name: "Base Event",
    actor_by_profile: true,
    device_by_profile: true,
    activities: &[(0, "Unknown"), (99, "Other")],
};

/// File System Activity 1001.
pub static FILE_ACTIVITY: Class = Class {
    uid: 1001,
    category_uid: 1,
    name: "File System Activity",
    actor_by_profile: false,
    device_by_profile: false,
    activities: &[
        (0, "Unknown"),
        (1, "Create"),
        (2, "Read"),
        (3, "Update"),
        (4, "Delete"),
        (5, "Rename"),
        (6, "Set Attributes"),
        (7, "Set Security"),
        (8, "Get Attributes"),
        (9, "Get Security"),
        (10, "Encrypt"),
        (11, "Decrypt"),
        (12, "Mount"),
        (13, "Unmount"),
        (14, "Open"),
        (99, "Other"),
    ],
};

/// Scheduled Job Activity 1006.
pub static SCHEDULED_JOB_ACTIVITY: Class = Class {
    uid: 1006,
    category_uid: 1,
    name: "Scheduled Job Activity",
    actor_by_profile: false,
    device_by_profile: false,
    activities: &[
        (0, "Unknown"),
        (1, "Create"),
        (2, "Update"),
        (3, "Delete"),
        (4, "Enable"),
        (5, "Disable"),
        (6, "Start"),
        (99, "Other"),
    ],
};

/// Process Activity 1007.
pub static PROCESS_ACTIVITY: Class = Class {
    uid: 1007,
    category_uid: 1,
    name: "Process Activity",
    actor_by_profile: false,
    device_by_profile: false,
    activities: &[
        (0, "Unknown"),
        (1, "Launch"),
        (2, "Terminate"),
        (3, "Open"),
        (4, "Inject"),
        (5, "Set User ID"),
        (99, "Other"),
    ],
};

/// Event Log Activity 1008.
pub static EVENT_LOG_ACTIVITY: Class = Class {
    uid: 1008,
    category_uid: 1,
    name: "Event Log Activity",
    actor_by_profile: false,
    device_by_profile: false,
    activities: &[
        (0, "Unknown"),
        (1, "Clear"),
        (2, "Delete"),
        (3, "Export"),
        (4, "Archive"),
        (5, "Rotate"),
        (6, "Start"),
        (7, "Stop"),
        (8, "Restart"),
        (9, "Enable"),
        (10, "Disable"),
        (99, "Other"),
    ],
};

/// Script Activity 1009.
pub static SCRIPT_ACTIVITY: Class = Class {
    uid: 1009,
    category_uid: 1,
    name: "Script Activity",
    actor_by_profile: false,
    device_by_profile: false,
    activities: &[(0, "Unknown"), (1, "Execute"), (99, "Other")],
};

/// Account Change 3001.
pub static ACCOUNT_CHANGE: Class = Class {
    uid: 3001,
    category_uid: 3,
    name: "Account Change",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Create"),
        (2, "Enable"),
        (3, "Password Change"),
        (4, "Password Reset"),
        (5, "Disable"),
        (6, "Delete"),
        (7, "Attach Policy"),
        (8, "Detach Policy"),
        (9, "Lock"),
        (10, "MFA Factor Enable"),
        (11, "MFA Factor Disable"),
        (12, "Unlock"),
        (99, "Other"),
    ],
};

/// Authentication 3002.
pub static AUTHENTICATION: Class = Class {
    uid: 3002,
    category_uid: 3,
    name: "Authentication",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Logon"),
        (2, "Logoff"),
        (3, "Authentication Ticket"),
        (4, "Service Ticket Request"),
        (5, "Service Ticket Renew"),
        (6, "Preauth"),
        (7, "Account Switch"),
        (99, "Other"),
    ],
};

/// Authorize Session 3003.
pub static AUTHORIZE_SESSION: Class = Class {
    uid: 3003,
    category_uid: 3,
    name: "Authorize Session",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Assign Privileges"),
        (2, "Assign Groups"),
        (99, "Other"),
    ],
};

/// Entity Management 3004.
pub static ENTITY_MANAGEMENT: Class = Class {
    uid: 3004,
    category_uid: 3,
    name: "Entity Management",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Create"),
        (2, "Read"),
        (3, "Update"),
        (4, "Delete"),
        (5, "Move"),
        (6, "Enroll"),
        (7, "Unenroll"),
        (8, "Enable"),
        (9, "Disable"),
        (10, "Activate"),
        (11, "Deactivate"),
        (12, "Suspend"),
        (13, "Resume"),
        (99, "Other"),
    ],
};

/// User Access Management 3005.
pub static USER_ACCESS: Class = Class {
    uid: 3005,
    category_uid: 3,
    name: "User Access Management",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Assign Privileges"),
        (2, "Revoke Privileges"),
        (99, "Other"),
    ],
};

/// Group Management 3006.
pub static GROUP_MANAGEMENT: Class = Class {
    uid: 3006,
    category_uid: 3,
    name: "Group Management",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Assign Privileges"),
        (2, "Revoke Privileges"),
        (3, "Add User"),
        (4, "Remove User"),
        (5, "Delete"),
        (6, "Create"),
        (7, "Add Subgroup"),
        (8, "Remove Subgroup"),
        (99, "Other"),
    ],
};

/// Network Activity 4001.
pub static NETWORK_ACTIVITY: Class = Class {
    uid: 4001,
    category_uid: 4,
    name: "Network Activity",
    actor_by_profile: true,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Open"),
        (2, "Close"),
        (3, "Reset"),
        (4, "Fail"),
        (5, "Refuse"),
        (6, "Traffic"),
        (7, "Listen"),
        (99, "Other"),
    ],
};

/// HTTP Activity 4002.
pub static HTTP_ACTIVITY: Class = Class {
    uid: 4002,
    category_uid: 4,
    name: "HTTP Activity",
    actor_by_profile: true,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Connect"),
        (2, "Delete"),
        (3, "Get"),
        (4, "Head"),
        (5, "Options"),
        (6, "Post"),
        (7, "Put"),
        (8, "Trace"),
        (9, "Patch"),
        (99, "Other"),
    ],
};

/// RDP Activity 4005.
pub static RDP_ACTIVITY: Class = Class {
    uid: 4005,
    category_uid: 4,
    name: "RDP Activity",
    actor_by_profile: true,
    device_by_profile: false,
    activities: &[
        (0, "Unknown"),
        (1, "Initial Request"),
        (2, "Initial Response"),
        (3, "Connect Request"),
        (4, "Connect Response"),
        (5, "TLS Handshake"),
        (6, "Traffic"),
        (7, "Disconnect"),
        (8, "Reconnect"),
        (99, "Other"),
    ],
};

/// SSH Activity 4007.
pub static SSH_ACTIVITY: Class = Class {
    uid: 4007,
    category_uid: 4,
    name: "SSH Activity",
    actor_by_profile: true,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Open"),
        (2, "Close"),
        (3, "Reset"),
        (4, "Fail"),
        (5, "Refuse"),
        (6, "Traffic"),
        (7, "Listen"),
        (99, "Other"),
    ],
};

/// Web Resources Activity 6001.
pub static WEB_RESOURCES_ACTIVITY: Class = Class {
    uid: 6001,
    category_uid: 6,
    name: "Web Resources Activity",
    actor_by_profile: true,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Create"),
        (2, "Read"),
        (3, "Update"),
        (4, "Delete"),
        (5, "Search"),
        (6, "Import"),
        (7, "Export"),
        (8, "Share"),
        (99, "Other"),
    ],
};

/// Application Lifecycle 6002.
pub static APPLICATION_LIFECYCLE: Class = Class {
    uid: 6002,
    category_uid: 6,
    name: "Application Lifecycle",
    actor_by_profile: true,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Install"),
        (2, "Remove"),
        (3, "Start"),
        (4, "Stop"),
        (5, "Restart"),
        (6, "Enable"),
        (7, "Disable"),
        (8, "Update"),
        (99, "Other"),
    ],
};

/// API Activity 6003.
pub static API_ACTIVITY: Class = Class {
    uid: 6003,
    category_uid: 6,
    name: "API Activity",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Create"),
        (2, "Read"),
        (3, "Update"),
        (4, "Delete"),
        (99, "Other"),
    ],
};

/// Datastore Activity 6005.
pub static DATASTORE_ACTIVITY: Class = Class {
    uid: 6005,
    category_uid: 6,
    name: "Datastore Activity",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Read"),
        (2, "Update"),
        (3, "Connect"),
        (4, "Query"),
        (5, "Write"),
        (6, "Create"),
        (7, "Delete"),
        (8, "List"),
        (9, "Encrypt"),
        (10, "Decrypt"),
        (99, "Other"),
    ],
};

/// File Hosting Activity 6006.
pub static FILE_HOSTING: Class = Class {
    uid: 6006,
    category_uid: 6,
    name: "File Hosting Activity",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Upload"),
        (2, "Download"),
        (3, "Update"),
        (4, "Delete"),
        (5, "Rename"),
        (6, "Copy"),
        (7, "Move"),
        (8, "Restore"),
        (9, "Preview"),
        (10, "Lock"),
        (11, "Unlock"),
        (12, "Share"),
        (13, "Unshare"),
        (14, "Open"),
        (15, "Sync"),
        (16, "Unsync"),
        (17, "Access Check"),
        (99, "Other"),
    ],
};
