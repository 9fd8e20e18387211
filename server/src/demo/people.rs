//! Who works at Northquay, and on what.

/// A person.
#[derive(Debug)]
pub(super) struct Person {
    /// Employee id.
    pub id: &'static str,
    /// Full name.
    pub name: &'static str,
    /// The account in every system.
    pub login: &'static str,
    /// The post: `job_role` of the roster.
    pub role: &'static str,
    /// The last two parts of the desk's address, in `10.44.0.0/16`.
    pub desk: &'static str,
}

impl Person {
    /// The address that the person works from.
    pub(super) fn address(&self) -> String {
        format!("10.44.{}", self.desk)
    }

    /// As JumpServer writes a person.
    pub(super) fn display(&self) -> String {
        format!("{}({})", self.name, self.login)
    }

    /// The department.
    pub(super) fn dept(&self) -> &'static str {
        match self.role {
            "os_admin" | "dba" => "operations",
            "service_agent" => "customer-care",
            "billing_clerk" => "finance",
            "developer" => "engineering",
            "security_admin" | "auditor" => "security",
            _ => "management",
        }
    }
}

macro_rules! people {
    ($($id:literal $name:literal $login:literal $role:literal $desk:literal)*) => {
        &[$(Person { id: $id, name: $name, login: $login, role: $role, desk: $desk }),*]
    };
}

/// System administrators: through the bastion to the hosts.
pub(super) const ADMINS: &[Person] = people! {
    "N2011" "梁博" "liang.bo" "os_admin" "1.11"
    "N2012" "沈雅" "shen.ya" "os_admin" "1.12"
    "N2013" "罗成" "luo.cheng" "os_admin" "1.13"
    "N2014" "彭飞" "peng.fei" "os_admin" "1.14"
};

/// Database administrators: through the bastion to the databases.
pub(super) const DBAS: &[Person] = people! {
    "N2021" "顾思远" "gu.siyuan" "dba" "1.21"
    "N2022" "韩露" "han.lu" "dba" "1.22"
    "N2023" "邓凯" "deng.kai" "dba" "1.23"
};

/// Developers: through the bastion to the laboratory.
pub(super) const DEVELOPERS: &[Person] = people! {
    "N2031" "杜航" "du.hang" "developer" "2.31"
    "N2032" "叶舒" "ye.shu" "developer" "2.32"
};

/// Customer care: the CRM.
pub(super) const AGENTS: &[Person] = people! {
    "N2101" "唐静" "tang.jing" "service_agent" "3.101"
    "N2102" "冯悦" "feng.yue" "service_agent" "3.102"
    "N2103" "曹颖" "cao.ying" "service_agent" "3.103"
    "N2104" "潘宁" "pan.ning" "service_agent" "3.104"
    "N2105" "袁帆" "yuan.fan" "service_agent" "3.105"
    "N2106" "蒋楠" "jiang.nan" "service_agent" "3.106"
    "N2107" "余晴" "yu.qing" "service_agent" "3.107"
    "N2108" "程曦" "cheng.xi" "service_agent" "3.108"
    "N2109" "魏然" "wei.ran" "service_agent" "3.109"
    "N2110" "苏禾" "su.he" "service_agent" "3.110"
};

/// Finance: the billing system.
pub(super) const CLERKS: &[Person] = people! {
    "N2201" "卢青" "lu.qing" "billing_clerk" "2.201"
    "N2202" "钟毅" "zhong.yi" "billing_clerk" "2.202"
    "N2203" "汪澜" "wang.lan" "billing_clerk" "2.203"
};

/// Managers: supervisor and system owner of everybody and everything.
pub(super) const MANAGERS: &[Person] = people! {
    "N2001" "崔岩" "cui.yan" "manager" "1.201"
    "N2002" "任晓" "ren.xiao" "manager" "1.202"
};

/// Security.
pub(super) const SECURITY: &[Person] = people! {
    "N2003" "薛宁" "xue.ning" "security_admin" "1.203"
    "N2004" "白桦" "bai.hua" "auditor" "1.204"
};

/// Left on the second day, and her account was disabled in time.
pub(super) const LEFT_IN_ORDER: Person = Person {
    id: "N2041",
    name: "陶然",
    login: "tao.ran",
    role: "developer",
    desk: "2.41",
};

/// Left on the first day, and his account was forgotten.
pub(super) const LEFT_AND_FORGOTTEN: Person = Person {
    id: "N2042",
    name: "贺铭",
    login: "he.ming",
    role: "developer",
    desk: "2.42",
};

/// Everybody.
pub(super) fn everybody() -> impl Iterator<Item = &'static Person> {
    [ADMINS, DBAS, DEVELOPERS, AGENTS, CLERKS, MANAGERS, SECURITY]
        .into_iter()
        .flatten()
        .chain([&LEFT_IN_ORDER, &LEFT_AND_FORGOTTEN])
}

/// A machine.
#[derive(Debug)]
pub(super) struct Host {
    /// Its name.
    pub name: &'static str,
    /// Its address.
    pub address: &'static str,
    /// `prod` or `test`.
    pub env: &'static str,
    /// `host` or `db`.
    pub kind: &'static str,
    /// The levels of the data on it.
    pub levels: &'static [&'static str],
}

const fn host(
    name: &'static str,
    address: &'static str,
    env: &'static str,
    kind: &'static str,
    levels: &'static [&'static str],
) -> Host {
    Host {
        name,
        address,
        env,
        kind,
        levels,
    }
}

/// The web and application hosts.
pub(super) const WEB_HOSTS: &[Host] = &[
    host("portal-web-1", "10.70.1.21", "prod", "host", &["L2"]),
    host("crm-app-1", "10.70.1.31", "prod", "host", &["L2"]),
    host("bill-app-1", "10.70.1.41", "prod", "host", &["L2"]),
];

/// The databases.
pub(super) const DATABASES: &[Host] = &[
    host("crm-pg-1", "10.70.3.31", "prod", "db", &["L3", "L4"]),
    host("bill-pg-1", "10.70.3.41", "prod", "db", &["L4"]),
];

/// The laboratory.
pub(super) const LAB: Host = host("lab-1", "10.90.1.11", "test", "host", &["L1"]);

/// Every machine.
pub(super) fn every_host() -> impl Iterator<Item = &'static Host> {
    WEB_HOSTS.iter().chain(DATABASES).chain([&LAB])
}

/// The bastion's own addresses: a target sees one of these.
pub(super) const BASTIONS: &[&str] = &["10.30.0.11", "10.30.0.12"];
/// Where the backups come from.
pub(super) const BACKUP_SERVER: &str = "10.70.9.50";
/// Where the monitoring calls the cloud from.
pub(super) const MONITOR: &str = "10.70.9.60";
