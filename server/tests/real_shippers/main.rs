//! Shippers that other people wrote, each delivering 10,000 lines to the binary: rsyslog, syslog-ng, kcat, curl and
//! the OpenTelemetry SDK; undisturbed, across kills, and across restarts.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../harness/mod.rs"]
mod harness;

mod curl;
mod kcat;
mod lines;
mod opentelemetry;
mod rsyslog;
mod syslog_ng;
mod world;

use std::time::Duration;

use harness::await_some;
use lines::COUNT;
use world::{Way, World};

/// What an ack, or Kafka, stands behind.
const ACKNOWLEDGED: &[Way] = &[
    rsyslog::OMKAFKA,
    rsyslog::OMELASTICSEARCH,
    syslog_ng::KAFKA,
    kcat::KCAT,
    curl::NDJSON,
    curl::BULK,
    curl::HEC,
    opentelemetry::HTTP,
    opentelemetry::GRPC,
];
/// Syslog has no ack.
const SYSLOG: &[Way] = &[rsyslog::TCP, rsyslog::GNUTLS, rsyslog::OPENSSL, syslog_ng::TLS];
/// Between two hundreds of lines, where something is to happen in the middle.
const PACE: Duration = Duration::from_millis(30);

#[test]
fn every_line_arrives_once() {
    let Some(mut world) = World::start("once", &[SYSLOG, ACKNOWLEDGED]) else {
        return;
    };
    let mut shippers = world.shippers();
    world.ship(&mut shippers, 0..COUNT, Duration::ZERO, |_| {});
    for (source, arrived) in world.all_arrived() {
        let expected = (COUNT as u64, 0);
        assert_eq!((arrived.received(), arrived.repeated()), expected, "{source}");
        world.check_account(&source, &arrived);
    }
    world.stop();
}

#[test]
fn what_is_acknowledged_outlives_kills() {
    let Some(mut world) = World::start("kill", &[ACKNOWLEDGED]) else {
        return;
    };
    let mut shippers = world.shippers();
    world.ship(&mut shippers, 0..COUNT, PACE, |server| {
        for part in [3, 6] {
            await_some("a part of the lines", || {
                let durable = server.positions()?.0 as usize;
                (durable >= ACKNOWLEDGED.len() * COUNT * part / 10).then_some(())
            });
            server.kill();
            server.start();
        }
    });
    for (source, arrived) in world.all_arrived() {
        println!("{source}: {} lines came again after a kill", arrived.repeated());
        // All of these name their lines, by offset, batch or id: each counts once.
        world.check_account(&source, &arrived);
    }
    world.stop();
}

#[test]
fn a_graceful_restart_loses_nothing_that_was_handed_over() {
    let Some(mut world) = World::start("restart", &[SYSLOG]) else {
        return;
    };
    let mut shippers = world.shippers();
    let (before, unread) = (2000, 4000);
    world.ship(&mut shippers, 0..before, Duration::ZERO, |_| {});
    world.arrived_up_to(before);
    // The server stands still, so that what is handed over lies in the kernel's buffers, unread.
    world.signal("STOP");
    world.ship(&mut shippers, before..unread, Duration::ZERO, |_| {});
    world.handed_over(before..unread);
    world.signal("TERM");
    world.signal("CONT");
    assert_eq!(world.server.ended(), Some(0), "{}", world.server.log());
    world.server.start();
    world.ship(&mut shippers, unread..COUNT, Duration::ZERO, |_| {});
    for (source, arrived) in world.all_arrived() {
        assert_eq!(arrived.repeated(), 0, "{source}");
        world.check_account(&source, &arrived);
    }
    world.stop();
}

/// What is lost of lines that go by while the server ends is measured; what is offered after that is not lost.
#[test]
fn what_is_in_flight_when_the_server_ends() {
    let Some(mut world) = World::start("flight", &[SYSLOG]) else {
        return;
    };
    let mut shippers = world.shippers();
    for (end, lines) in [("TERM", 0..COUNT / 2), ("KILL", COUNT / 2..COUNT)] {
        let (flight, after) = (lines.start..lines.end - COUNT / 10, lines.end - COUNT / 10..lines.end);
        world.ship(&mut shippers, flight.clone(), PACE, |server| {
            await_some("a part of the lines", || {
                let durable = server.positions()?.0 as usize;
                (durable >= SYSLOG.len() * (lines.start + COUNT / 8)).then_some(())
            });
            match end {
                "TERM" => assert_eq!(server.stop(), Some(0), "{}", server.log()),
                _ => server.kill(),
            }
            server.start();
        });
        world.ship(&mut shippers, after.clone(), Duration::ZERO, |_| {});
        for source in world.sources() {
            let arrived = world.arrived_from(&source, after.clone());
            let lost = flight.clone().filter(|n| !arrived.0.contains_key(n)).count();
            let again = arrived.0.range(flight.clone()).filter(|(_, times)| **times > 1).count();
            println!("SIG{end}, {source}: {lost} lines lost, {again} came twice");
        }
    }
    world.stop();
}
