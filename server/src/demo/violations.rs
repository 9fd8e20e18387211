//! What should not have happened: each story a function, with the clauses that it breaks.

use model::Millis;

use super::bastion::{self, Risk};
use super::people::{ADMINS, AGENTS, DATABASES, DBAS, DEVELOPERS, Host, LEFT_AND_FORGOTTEN, Person, WEB_HOSTS};
use super::reference::left_and_forgotten_at;
use super::tape::{DAY, Day, HOUR, MINUTE, SECOND, Tape};
use super::{cloud, hosts, web};

type Story = fn(&mut Tape, Millis, Turn);

/// How often the stories were told before; other people play the parts each time.
#[derive(Clone, Copy)]
pub(super) struct Turn(i64);

impl Turn {
    fn one<T>(self, items: &'static [T], shift: i64) -> &'static T {
        &items[(self.0 + shift).rem_euclid(items.len() as i64) as usize]
    }
}

/// The stories are told again after this.
const ROUND: i64 = 3 * DAY;

/// When each is told, from the start of a round. Those that need a time of day follow in [`of_day`].
const STORIES: &[(i64, Story)] = &[
    (3 * MINUTE, root_straight_from_a_desk),
    (14 * MINUTE, an_export_that_nobody_approved),
    (95 * MINUTE, the_traces_are_wiped),
    (5 * HOUR, the_console_without_a_second_factor),
    (8 * HOUR + 20 * MINUTE, an_account_that_nobody_knows),
    (11 * HOUR + 5 * MINUTE, guessed_until_it_opened),
    (20 * HOUR + 40 * MINUTE, an_account_for_later),
    (26 * HOUR + 10 * MINUTE, a_database_removed_by_hand),
    (32 * HOUR + 30 * MINUTE, a_dump_carried_out),
    (43 * HOUR + 15 * MINUTE, a_change_that_nobody_planned),
    (51 * HOUR, an_export_beyond_its_limit),
    (57 * HOUR + 30 * MINUTE, one_desk_many_names),
    (62 * HOUR, the_cloud_root_at_work),
    (67 * HOUR + 45 * MINUTE, refused_then_disguised),
];

/// The stories that begin on a day.
pub(super) fn of_day(tape: &mut Tape, day: Day, start: Millis) {
    let (from, to) = (day.at(0, 0), day.next().at(0, 0));
    let begins = |at: Millis| from.max(start) <= at && at < to;
    let first = (from - start).div_euclid(ROUND).max(0);
    for round in first..=(to - start).div_euclid(ROUND).max(0) {
        for (after, story) in STORIES {
            let at = start + round * ROUND + *after;
            if begins(at) {
                story(tape, at, Turn(round));
            }
        }
    }
    let turn = Turn((from - start).div_euclid(ROUND).max(0));
    let night = day.at(2, 20) + (day.0 % 7) * 6 * MINUTE;
    // A database at night every third night, and never on the first.
    if (day.0 - Day::of(start).0).rem_euclid(3) == 1 && begins(night) {
        at_two_in_the_night(tape, night, turn);
    }
    if let Some(plan) = overrun(day, start).filter(|p| begins(p.from)) {
        past_the_end_of_the_window(tape, &plan);
    }
    let left = left_and_forgotten_at(start);
    if begins(left + 22 * HOUR) {
        the_leaver_comes_back(tape, left + 22 * HOUR);
    }
}

/// A change that will not end in its window.
pub(super) struct Overrun {
    pub person: &'static Person,
    pub host: &'static Host,
    pub from: Millis,
    pub to: Millis,
}

/// The overrun of a day: on every third working day after the first.
pub(super) fn overrun(day: Day, start: Millis) -> Option<Overrun> {
    let since = day.0 - Day::of(start).0;
    let due = day.is_working() && since > 0 && (since % 3 == 1 || !Day(day.0 - 1).is_working());
    due.then(|| Overrun {
        // Neither the person nor the host of the day's planned change.
        person: Day(day.0 + 1).turn(ADMINS),
        host: Day(day.0 + 1).turn(WEB_HOSTS),
        from: day.at(14, 0),
        to: day.at(14, 45),
    })
}

/// AU-10, AU-16: root logs on to a production host from a desk, past the bastion.
fn root_straight_from_a_desk(tape: &mut Tape, at: Millis, turn: Turn) {
    let (who, host) = (turn.one(DEVELOPERS, 0), turn.one(WEB_HOSTS, 1));
    let logon = hosts::accepted(tape, at, host, "password", "root", &who.address());
    hosts::left(tape, at + 7 * MINUTE, host, &logon);
}

/// DS-03: customers are exported without a request.
fn an_export_that_nobody_approved(tape: &mut Tape, at: Millis, turn: Turn) {
    let rows = tape.between(1_200, 2_400);
    web::export(
        tape,
        at,
        &web::CRM,
        turn.one(AGENTS, 3),
        rows,
        &["name", "mobile", "address"],
        None,
    );
}

/// LA-05: the shell's history is cleared, a log removed, logging stopped.
fn the_traces_are_wiped(tape: &mut Tape, at: Millis, turn: Turn) {
    let (who, host) = (turn.one(ADMINS, 2), turn.one(WEB_HOSTS, 0));
    bastion::login(tape, at, who, None);
    let mut session = bastion::open(tape, at + 40 * SECOND, who, host, who.login);
    session.command(tape, at + 70 * SECOND, "history -c", Risk::Accept);
    session.sudo(tape, at + 90 * SECOND, "/usr/bin/rm -f /var/log/auth.log.1");
    session.sudo(tape, at + 115 * SECOND, "/usr/bin/systemctl stop rsyslog");
    session.close(tape, at + 4 * MINUTE);
}

/// AU-07: a console sign-in with a password alone.
fn the_console_without_a_second_factor(tape: &mut Tape, at: Millis, turn: Turn) {
    cloud::sign_in(tape, at, turn.one(ADMINS, 1), false);
}

/// AU-02: an account logs on that is in no register.
fn an_account_that_nobody_knows(tape: &mut Tape, at: Millis, turn: Turn) {
    let (who, host) = (turn.one(ADMINS, 3), turn.one(WEB_HOSTS, 2));
    let mut session = bastion::open(tape, at, who, host, "tester");
    session.command(tape, at + 30 * SECOND, "id", Risk::Accept);
    session.close(tape, at + 4 * MINUTE);
}

/// AU-09: six wrong passwords and a right one.
fn guessed_until_it_opened(tape: &mut Tape, at: Millis, turn: Turn) {
    let who = turn.one(DBAS, 0);
    for n in 0..6 {
        let at = at + n * 70 * SECOND + tape.between(0, 20 * SECOND);
        bastion::login(tape, at, who, Some("password_failed"));
    }
    bastion::login(tape, at + 9 * MINUTE, who, None);
}

/// AU-03: an account with a shell and no request.
fn an_account_for_later(tape: &mut Tape, at: Millis, turn: Turn) {
    let (who, host) = (turn.one(ADMINS, 0), turn.one(WEB_HOSTS, 1));
    let mut session = bastion::open(tape, at, who, host, who.login);
    session.useradd(tape, at + MINUTE, &format!("svc-sync{}", turn.0 + 1), "/bin/bash");
    session.close(tape, at + 3 * MINUTE);
}

/// DS-11: a database's files are removed; the bastion only warned.
fn a_database_removed_by_hand(tape: &mut Tape, at: Millis, turn: Turn) {
    let mut session = bastion::open(tape, at, turn.one(DBAS, 1), turn.one(DATABASES, 0), "postgres");
    session.command(tape, at + 40 * SECOND, "rm -rf /data/pg/archive_2024", Risk::Warning);
    session.close(tape, at + 2 * MINUTE);
}

/// DS-05, DS-03: a table is dumped, packed, and downloaded.
fn a_dump_carried_out(tape: &mut Tape, at: Millis, turn: Turn) {
    let mut session = bastion::open(tape, at, turn.one(DBAS, 2), &DATABASES[1], "postgres");
    session.command(
        tape,
        at + 30 * SECOND,
        "pg_dump -t payment billing > /tmp/p.sql",
        Risk::Accept,
    );
    session.command(tape, at + 4 * MINUTE, "gzip /tmp/p.sql", Risk::Accept);
    session.transfer(tape, at + 6 * MINUTE, "download", "/tmp/p.sql.gz");
    session.close(tape, at + 7 * MINUTE);
}

/// DS-07: configuration is changed and a service restarted, and no change record says so.
fn a_change_that_nobody_planned(tape: &mut Tape, at: Millis, turn: Turn) {
    let (who, host) = (turn.one(ADMINS, 1), turn.one(WEB_HOSTS, 0));
    let mut session = bastion::open(tape, at, who, host, who.login);
    session.sudo(tape, at + MINUTE, "/usr/bin/cp /tmp/nginx.conf /etc/nginx/nginx.conf");
    session.sudo(tape, at + 2 * MINUTE, "/usr/bin/systemctl restart nginx");
    session.close(tape, at + 4 * MINUTE);
}

/// DS-03: far more rows than the request allows.
fn an_export_beyond_its_limit(tape: &mut Tape, at: Millis, _: Turn) {
    let day = Day::of(at);
    let (rows, ticket) = (tape.between(6_000, 9_000), super::reference::export_ticket(day));
    web::export(
        tape,
        at,
        &web::CRM,
        day.turn(AGENTS),
        rows,
        &["name", "city"],
        Some(&ticket),
    );
}

/// AU-09: one address tries a password on twelve accounts.
fn one_desk_many_names(tape: &mut Tape, at: Millis, turn: Turn) {
    let desk = turn.one(DEVELOPERS, 1).address();
    for (n, who) in ADMINS
        .iter()
        .chain(DBAS)
        .chain(DEVELOPERS)
        .chain(&AGENTS[..3])
        .enumerate()
    {
        let at = at + n as i64 * 40 * SECOND + tape.between(0, 9 * SECOND);
        bastion::login_from(tape, at, who, &desk, Some("password_failed"));
    }
}

/// AU-16: the cloud account's root signs in.
fn the_cloud_root_at_work(tape: &mut Tape, at: Millis, _: Turn) {
    cloud::root_sign_in(tape, at, "10.44.1.201");
}

/// DS-11: the bastion refuses a command, and it comes again in base64.
fn refused_then_disguised(tape: &mut Tape, at: Millis, turn: Turn) {
    let mut session = bastion::open(tape, at, turn.one(DBAS, 0), turn.one(DATABASES, 1), "postgres");
    session.command(tape, at + 40 * SECOND, "rm -rf /data/pg/base", Risk::Reject);
    session.command(
        tape,
        at + 3 * MINUTE,
        "echo cm0gLXJmIC9kYXRhL3BnL2Jhc2UK | base64 -d | sh",
        Risk::Accept,
    );
    session.close(tape, at + 5 * MINUTE);
}

/// AU-21: a database at night, without a change and off duty.
fn at_two_in_the_night(tape: &mut Tape, at: Millis, turn: Turn) {
    let who = turn.one(DBAS, 1);
    bastion::login(tape, at, who, None);
    let mut session = bastion::open(tape, at + MINUTE, who, &DATABASES[1], "postgres");
    session.command(tape, at + 2 * MINUTE, "psql -l", Risk::Accept);
    session.command(
        tape,
        at + 3 * MINUTE,
        "psql -c \"select count(*) from payment\" billing",
        Risk::Accept,
    );
    session.close(tape, at + 12 * MINUTE);
}

/// DS-08: a planned change goes on for forty minutes after its window.
fn past_the_end_of_the_window(tape: &mut Tape, plan: &Overrun) {
    let Overrun { person, host, from, to } = *plan;
    let mut session = bastion::open(tape, from + 5 * MINUTE, person, host, person.login);
    session.sudo(
        tape,
        from + 9 * MINUTE,
        "/usr/bin/apt-get install -y --only-upgrade openssl",
    );
    session.sudo(tape, to + 22 * MINUTE, "/usr/bin/systemctl restart nginx");
    session.sudo(
        tape,
        to + 40 * MINUTE,
        "/usr/bin/cp /srv/release/tls.conf /etc/nginx/conf.d/tls.conf",
    );
    session.close(tape, to + 43 * MINUTE);
}

/// AU-04: his employment ended yesterday, his account did not. (That it was not disabled is a violation before this.)
fn the_leaver_comes_back(tape: &mut Tape, at: Millis) {
    bastion::login(tape, at, &LEFT_AND_FORGOTTEN, Some("password_failed"));
    bastion::login(tape, at + 40 * SECOND, &LEFT_AND_FORGOTTEN, None);
}
