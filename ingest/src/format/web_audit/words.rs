//! The words of the application audit event, and what senders write instead.

use crate::class::{self, Class};

pub(super) const EVENT_ID: &[&str] = &["event_id", "eventId", "id", "事件ID", "事件编号"];
pub(super) const TIME: &[&str] = &["time", "timestamp", "@timestamp", "datetime", "时间", "操作时间"];
pub(super) const SYSTEM: &[&str] = &["system", "app", "系统"];
pub(super) const MODULE: &[&str] = &["module", "模块"];
pub(super) const ACCOUNT: &[&str] = &[
    "actor",
    "user",
    "username",
    "account",
    "operator",
    "用户",
    "账号",
    "操作人",
    "用户名",
];
pub(super) const SOURCE: &[&str] = &[
    "source.ip",
    "src_ip",
    "source_ip",
    "client_ip",
    "ip",
    "来源IP",
    "来源ip",
    "源IP",
];
pub(super) const ACTION: &[&str] = &["action", "操作", "动作", "操作类型"];
pub(super) const OBJECT: &[&str] = &["object", "对象"];
pub(super) const RESULT: &[&str] = &["result", "结果", "outcome", "操作结果"];
pub(super) const NAMES: &[&[&str]] = &[EVENT_ID, TIME, SYSTEM, MODULE, ACCOUNT, SOURCE, ACTION, RESULT];
/// Fields that are read whole above; others are kept in `unmapped`.
pub(super) const READ: &[&str] = &[
    "actor",
    "source",
    "session_id",
    "request_id",
    "trace_id",
    "object",
    "error_code",
    "reason",
    "before",
    "after",
    "ticket",
    "masked",
    "bytes",
    "rows",
    "file",
    "sign",
    "employee_id",
    "dept",
    "user_agent",
    "on_behalf_of",
];

pub(super) type Known = (&'static str, &'static [&'static str], &'static Class, u8);
/// The contract's actions, what senders write instead, class and activity.
pub(super) static ACTIONS: &[Known] = &[
    (
        "login",
        &["logon", "sign_in", "signin", "登录", "登陆"],
        &class::AUTHENTICATION,
        1,
    ),
    (
        "login_failed",
        &["login_failure", "logon_failed", "登录失败"],
        &class::AUTHENTICATION,
        1,
    ),
    (
        "logout",
        &["logoff", "sign_out", "signout", "登出", "退出", "注销"],
        &class::AUTHENTICATION,
        2,
    ),
    (
        "query",
        &["search", "list", "查询", "搜索"],
        &class::WEB_RESOURCES_ACTIVITY,
        5,
    ),
    (
        "view",
        &["read", "get", "detail", "查看", "浏览"],
        &class::WEB_RESOURCES_ACTIVITY,
        2,
    ),
    (
        "unmask",
        &["reveal", "脱敏查看", "查看明文"],
        &class::WEB_RESOURCES_ACTIVITY,
        2,
    ),
    ("export", &["导出"], &class::WEB_RESOURCES_ACTIVITY, 7),
    ("download", &["下载"], &class::WEB_RESOURCES_ACTIVITY, 7),
    ("print", &["打印"], &class::WEB_RESOURCES_ACTIVITY, 99),
    (
        "create",
        &["add", "insert", "新增", "创建", "添加"],
        &class::WEB_RESOURCES_ACTIVITY,
        1,
    ),
    (
        "update",
        &["modify", "edit", "修改", "更新", "编辑"],
        &class::WEB_RESOURCES_ACTIVITY,
        3,
    ),
    ("delete", &["remove", "删除"], &class::WEB_RESOURCES_ACTIVITY, 4),
    (
        "batch_update",
        &["批量修改", "批量更新"],
        &class::WEB_RESOURCES_ACTIVITY,
        3,
    ),
    ("import", &["upload", "导入", "上传"], &class::WEB_RESOURCES_ACTIVITY, 6),
    (
        "approve",
        &["审批通过", "批准", "同意"],
        &class::WEB_RESOURCES_ACTIVITY,
        99,
    ),
    ("reject", &["驳回", "拒绝"], &class::WEB_RESOURCES_ACTIVITY, 99),
    ("grant", &["authorize", "授权"], &class::USER_ACCESS, 1),
    ("revoke", &["撤销授权", "回收权限", "取消授权"], &class::USER_ACCESS, 2),
    (
        "reset_password",
        &["password_reset", "重置密码"],
        &class::ACCOUNT_CHANGE,
        4,
    ),
    (
        "impersonate",
        &["代操作", "模拟登录"],
        &class::WEB_RESOURCES_ACTIVITY,
        99,
    ),
    ("override", &[], &class::WEB_RESOURCES_ACTIVITY, 99),
    (
        "config_change",
        &["config", "configure", "配置变更", "修改配置"],
        &class::ENTITY_MANAGEMENT,
        3,
    ),
    ("share", &["分享", "共享"], &class::WEB_RESOURCES_ACTIVITY, 8),
];
