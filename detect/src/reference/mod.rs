//! Reference tables, row conditions, lookups, working time, identity resolution.

mod calendar;
mod cell;
mod condition;
mod csv;
mod difference;
mod given;
mod has;
mod host;
mod identity;
mod index;
mod lookup;
mod people;
mod period;
mod placeholders;
mod registers;
mod schema;
mod table;

pub use calendar::{CalendarError, WorkCalendar};
pub use cell::{each_value, moment, scalar, value_at};
pub(crate) use condition::key_texts;
pub use condition::{Aliases, Bound, EventValues, Item, Items, Scope, holds, resolve, resolve_moment};
pub use difference::{Difference, difference};
pub use given::{Form, Given, read};
pub use host::Hosts;
pub use identity::person_of;
pub use index::Index;
pub(crate) use index::{combinations, key};
pub use lookup::{EventRow, EventTables, Found, Gap, Lookups, NoEventTables, Verdict};
pub(crate) use lookup::{key_values, reference_rows};
pub use people::{OwnedAccount, accounts_of, names_of_people, people_named};
pub use placeholders::placeholders;
pub use registers::{SCHEMAS, schema};
pub use schema::{Column, Kind, PROBLEMS_MAX, Problem, Schema, nearest};
pub use table::{Fault, Table, TableError, Tables};
