//! All sources together, in order of receipt.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::Millis;

use super::people::{ADMINS, LEFT_AND_FORGOTTEN, LEFT_IN_ORDER, SECURITY, WEB_HOSTS};
use super::reference::{account_name, has_new_account, left_and_forgotten_at, left_in_order_at};
use super::tape::{Day, MINUTE, Record, SECOND, Tape};
use super::{bastion, cloud, hosts, violations, web};

/// Mixed into the seed of the violations, so that with or without them the ordinary records are the same.
const VIOLATIONS: u64 = 0x5649_4f4c;

/// The records of Northquay: when each was received, its source (`jumpserver`, `linux`, `nginx`, `webaudit`,
/// `actiontrail`) and its line, in order of receipt, from `start` on without end.
pub struct Traffic {
    seed: u64,
    start: Millis,
    violate: bool,
    // The first day that is not made yet; no record of it was received before its midnight.
    next_day: Day,
    waiting: BinaryHeap<Reverse<Record>>,
}

impl Traffic {
    /// The traffic from `start` on.
    #[must_use]
    pub fn new(seed: u64, start: Millis) -> Traffic {
        Traffic {
            seed,
            start,
            violate: true,
            next_day: Day::of(start),
            waiting: BinaryHeap::new(),
        }
    }

    /// The same without the violations (of those, one is something left undone: here it is done).
    #[must_use]
    pub fn ordinary_only(self) -> Traffic {
        Traffic { violate: false, ..self }
    }

    fn make_day(&mut self) {
        let (day, start) = (self.next_day, self.start);
        let mut tape = Tape::new(self.seed, day.0.unsigned_abs());
        hosts::background(&mut tape, day, start);
        cloud::ordinary_day(&mut tape, day, start);
        bastion::ordinary_day(&mut tape, day, start);
        web::ordinary_day(&mut tape, day, start);
        planned_change(&mut tape, day, start);
        leavers(&mut tape, day, start, self.violate);
        self.waiting.extend(tape.records().into_iter().map(Reverse));
        if self.violate {
            let mut tape = Tape::new(self.seed ^ VIOLATIONS, day.0.unsigned_abs());
            violations::of_day(&mut tape, day, start);
            self.waiting.extend(tape.records().into_iter().map(Reverse));
        }
        self.next_day = day.next();
    }
}

impl Iterator for Traffic {
    type Item = (Millis, &'static str, String);

    fn next(&mut self) -> Option<Self::Item> {
        // A day that is still to be made may hold the next record.
        while self
            .waiting
            .peek()
            .is_none_or(|Reverse((at, ..))| *at >= self.next_day.at(0, 0))
        {
            self.make_day();
        }
        self.waiting.pop().map(|Reverse(record)| record)
    }
}

/// Each working day one administrator changes one host, as the change calendar has it.
fn planned_change(tape: &mut Tape, day: Day, start: Millis) {
    let begin = day.at(17, 6) + tape.between(0, 4 * MINUTE);
    if !day.is_working() || begin < start {
        return;
    }
    let (person, host) = (day.turn(ADMINS), day.turn(WEB_HOSTS));
    let mut session = bastion::open(tape, begin, person, host, person.login);
    let steps = [
        "/usr/bin/apt-get install -y --only-upgrade nginx",
        "/usr/bin/cp /srv/release/nginx.conf /etc/nginx/nginx.conf",
        "/usr/sbin/nginx -t",
        "/usr/bin/systemctl reload nginx",
    ];
    let mut now = begin + 30 * SECOND;
    for step in steps {
        now = now + tape.between(30 * SECOND, 4 * MINUTE);
        session.sudo(tape, now, step);
    }
    if has_new_account(day) {
        now = now + MINUTE;
        session.useradd(tape, now, &account_name(day), "/usr/sbin/nologin");
    }
    session.close(tape, now + MINUTE);
}

/// A leaver's account is disabled a quarter of an hour after the last day; the other's is forgotten where `violate`.
fn leavers(tape: &mut Tape, day: Day, start: Millis, violate: bool) {
    let in_order = (left_in_order_at(start), &LEFT_IN_ORDER);
    let forgotten = (left_and_forgotten_at(start), &LEFT_AND_FORGOTTEN);
    for (left, who) in [Some(in_order), (!violate).then_some(forgotten)].into_iter().flatten() {
        let at = left + 15 * MINUTE;
        if Day::of(at) == day {
            bastion::disable(tape, at, &SECURITY[0], who);
        }
    }
}
