//! OCSF classes that only Windows events have.

use crate::class::Class;

/// SMB Activity 4006.
pub(super) static SMB_ACTIVITY: Class = Class {
    uid: 4006,
    category_uid: 4,
    name: "SMB Activity",
    actor_by_profile: true,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "File Supersede"),
        (2, "File Open"),
        (3, "File Create"),
        (4, "File Open If"),
        (5, "File Overwrite"),
        (6, "File Overwrite If"),
        (99, "Other"),
    ],
};

/// Network File Activity 4010.
pub(super) static NETWORK_FILE_ACTIVITY: Class = Class {
    uid: 4010,
    category_uid: 4,
    name: "Network File Activity",
    actor_by_profile: false,
    device_by_profile: true,
    activities: &[
        (0, "Unknown"),
        (1, "Upload"),
        (2, "Download"),
        (3, "Update"),
        (4, "Delete"),
        (5, "Rename"),
        (14, "Open"),
        (99, "Other"),
    ],
};

/// Windows Service Activity 201004.
pub(super) static WINDOWS_SERVICE_ACTIVITY: Class = Class {
    uid: 201_004,
    category_uid: 1,
    name: "Windows Service Activity",
    actor_by_profile: false,
    device_by_profile: false,
    activities: &[
        (0, "Unknown"),
        (1, "Create"),
        (2, "Reconfigure"),
        (3, "Start"),
        (4, "Stop"),
        (7, "Delete"),
        (99, "Other"),
    ],
};
