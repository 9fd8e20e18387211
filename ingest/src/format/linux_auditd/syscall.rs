//! The names of system calls that policies speak of, by architecture.

const X86_64: &str = "c000003e";
const I386: &str = "40000003";
const AARCH64: &str = "c00000b7";

/// Number on x86-64, i386, aarch64 (-1: none there), and name.
type Call = (i16, i16, i16, &'static str);

const CALLS: &[Call] = &[
    (0, 3, 63, "read"),
    (1, 4, 64, "write"),
    (2, 5, -1, "open"),
    (9, 90, 222, "mmap"),
    (10, 125, 226, "mprotect"),
    (16, 54, 29, "ioctl"),
    (21, 33, -1, "access"),
    (41, 359, 198, "socket"),
    (42, 362, 203, "connect"),
    (43, -1, 202, "accept"),
    (44, 369, 206, "sendto"),
    (45, 371, 207, "recvfrom"),
    (49, 361, 200, "bind"),
    (50, 363, 201, "listen"),
    (54, 366, 208, "setsockopt"),
    (56, 120, 220, "clone"),
    (57, 2, -1, "fork"),
    (58, 190, -1, "vfork"),
    (59, 11, 221, "execve"),
    (62, 37, 129, "kill"),
    (76, 92, 45, "truncate"),
    (77, 93, 46, "ftruncate"),
    (80, 12, 49, "chdir"),
    (82, 38, -1, "rename"),
    (83, 39, -1, "mkdir"),
    (84, 40, -1, "rmdir"),
    (85, 8, -1, "creat"),
    (86, 9, -1, "link"),
    (87, 10, -1, "unlink"),
    (88, 83, -1, "symlink"),
    (90, 15, -1, "chmod"),
    (91, 94, 52, "fchmod"),
    (92, 182, -1, "chown"),
    (93, 95, 55, "fchown"),
    (94, 16, -1, "lchown"),
    (101, 26, 117, "ptrace"),
    (103, 103, 116, "syslog"),
    (105, 23, 146, "setuid"),
    (106, 46, 144, "setgid"),
    (113, 70, 145, "setreuid"),
    (117, 164, 147, "setresuid"),
    (132, 30, -1, "utime"),
    (133, 14, -1, "mknod"),
    (135, 136, 92, "personality"),
    (155, 217, 41, "pivot_root"),
    (159, 124, 171, "adjtimex"),
    (161, 61, 51, "chroot"),
    (164, 79, 170, "settimeofday"),
    (165, 21, 40, "mount"),
    (166, 52, 39, "umount2"),
    (167, 87, 224, "swapon"),
    (169, 88, 142, "reboot"),
    (170, 74, 161, "sethostname"),
    (171, 121, 162, "setdomainname"),
    (175, 128, 105, "init_module"),
    (176, 129, 106, "delete_module"),
    (188, 226, 5, "setxattr"),
    (189, 227, 6, "lsetxattr"),
    (190, 228, 7, "fsetxattr"),
    (197, 235, 14, "removexattr"),
    (227, 264, 112, "clock_settime"),
    (235, 271, -1, "utimes"),
    (246, 283, 104, "kexec_load"),
    (257, 295, 56, "openat"),
    (258, 296, 34, "mkdirat"),
    (259, 297, 33, "mknodat"),
    (260, 298, 54, "fchownat"),
    (263, 301, 35, "unlinkat"),
    (264, 302, 38, "renameat"),
    (265, 303, 37, "linkat"),
    (266, 304, 36, "symlinkat"),
    (268, 306, 53, "fchmodat"),
    (269, 307, 48, "faccessat"),
    (272, 310, 97, "unshare"),
    (280, 320, 88, "utimensat"),
    (288, 364, 242, "accept4"),
    (303, 341, 264, "name_to_handle_at"),
    (304, 342, 265, "open_by_handle_at"),
    (308, 346, 268, "setns"),
    (313, 350, 273, "finit_module"),
    (316, 353, 276, "renameat2"),
    (319, 356, 279, "memfd_create"),
    (320, -1, 294, "kexec_file_load"),
    (321, 357, 280, "bpf"),
    (322, 358, 281, "execveat"),
    (437, 437, 437, "openat2"),
    (439, 439, 439, "faccessat2"),
    (452, 452, 452, "fchmodat2"),
];

/// The name of a call; `arch` and `number` as auditd writes them.
pub(super) fn name(arch: &str, number: &str) -> Option<&'static str> {
    let number: i16 = number.parse().ok().filter(|n| *n >= 0)?;
    let of: fn(&Call) -> i16 = match arch.trim_start_matches("0x") {
        X86_64 | "x86_64" => |call| call.0,
        I386 | "i386" => |call| call.1,
        AARCH64 | "aarch64" => |call| call.2,
        _ => return None,
    };
    CALLS.iter().find(|call| of(call) == number).map(|(.., name)| *name)
}

/// What a call does to the files that it names, as OCSF's activity of File System Activity; nothing of other calls.
pub(super) fn file_activity(call: &str) -> Option<u8> {
    Some(match call {
        "open" | "openat" | "openat2" | "open_by_handle_at" => 14,
        "creat" | "mkdir" | "mkdirat" | "mknod" | "mknodat" | "link" | "linkat" | "symlink" | "symlinkat" => 1,
        "read" => 2,
        "write" | "truncate" | "ftruncate" => 3,
        "unlink" | "unlinkat" | "rmdir" => 4,
        "rename" | "renameat" | "renameat2" => 5,
        "setxattr" | "lsetxattr" | "fsetxattr" | "removexattr" | "utime" | "utimes" | "utimensat" => 6,
        "chmod" | "fchmod" | "fchmodat" | "fchmodat2" | "chown" | "fchown" | "fchownat" | "lchown" => 7,
        "access" | "faccessat" | "faccessat2" => 8,
        "mount" => 12,
        "umount2" => 13,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_another_call_on_another_machine() {
        assert_eq!(name("c000003e", "59"), Some("execve"));
        assert_eq!(name("40000003", "11"), Some("execve"));
        assert_eq!(name("0xc00000b7", "221"), Some("execve"));
        assert_eq!(name("c000003e", "-1"), None);
        assert_eq!(name("", "59"), None);
    }
}
