//! Waiting for a long answer: how far it is, on standard error; and Ctrl-C, which stops the question at the server.

use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use crate::exit::{CANCELLED, failure};

/// Before this nobody is told anything, and then as often.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// How whoever waits is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Not at all.
    Nothing,
    /// In one line of the terminal, again and again.
    Line,
    /// Line by line.
    Lines,
}

impl Telling {
    /// Where standard error is a terminal; elsewhere where it is asked for.
    pub fn new(asked: bool) -> Telling {
        match (std::io::stderr().is_terminal(), asked) {
            (true, _) => Telling::Line,
            (false, true) => Telling::Lines,
            (false, false) => Telling::Nothing,
        }
    }
}

/// Waits for `answer` to the question `id`; `also` is told before how far it is.
///
/// # Errors
/// The answer's; interrupted, exit code 130, with what was looked through by then.
pub async fn wait<T>(
    client: &Client,
    id: &str,
    telling: Telling,
    also: impl Fn() -> String,
    answer: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let path = format!("/api/v1/queries/{id}");
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut told = false;
    tokio::pin!(answer);
    loop {
        tokio::select! {
            done = &mut answer => {
                if told && telling == Telling::Line {
                    eprint!("\r\x1b[K");
                }
                return done;
            }
            _ = tokio::signal::ctrl_c() => {
                let reached = client.delete(&path).await;
                let so_far = match &reached {
                    Ok(question) => so_far(question),
                    // It was answered at this very moment, or the server is gone.
                    Err(error) => format!("{error:#}"),
                };
                let line = if told && telling == Telling::Line { "\r\x1b[K" } else { "" };
                eprint!("{line}");
                return Err(failure(CANCELLED, format!("interrupted, and the question stopped: {so_far}")));
            }
            _ = ticks.tick(), if telling != Telling::Nothing => {
                // A question that is not recorded yet, or answered by now, has no progress.
                let Ok(question) = client.get(&path, &[]).await else { continue };
                told = true;
                match telling {
                    Telling::Line => eprint!("\r\x1b[K{}{}", also(), so_far(&question)),
                    _ => eprintln!("{}{}", also(), so_far(&question)),
                }
            }
        }
    }
}

fn so_far(question: &Value) -> String {
    let mut out = format!(
        "{} of {} events looked through",
        question["looked_through"], question["of"]
    );
    if let Some(read) = question["read_from_ledger"].as_u64().filter(|n| *n > 0) {
        out.push_str(&format!(", {read} records read from the ledger"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_said_how_far_a_question_is() {
        let question = |read| json!({"looked_through": 3, "of": 9, "read_from_ledger": read});
        assert_eq!(so_far(&question(0)), "3 of 9 events looked through");
        assert_eq!(
            so_far(&question(7)),
            "3 of 9 events looked through, 7 records read from the ledger"
        );
    }
}
