//! Northquay, an operator that does not exist: its people at work, and a handful of violations a day.
//!
//! [`Traffic`] is what its bastion, hosts, web systems and cloud account log, in order of receipt, from a moment on and
//! without end; [`reference`] is what its registers say. The same seed and start make the same records. The ordinary
//! traffic keeps every clause of the specifications; [`violations`] has one function for each story that does not.

mod bastion;
mod cloud;
mod hosts;
mod people;
mod reference;
mod tape;
mod traffic;
mod violations;
mod web;

#[cfg(test)]
mod noise;
#[cfg(test)]
mod tests;

pub use reference::reference;
pub use traffic::Traffic;

/// The zone of Northquay's clocks; its syslog lines do not name it.
pub const TIME_ZONE: &str = "Asia/Shanghai";
