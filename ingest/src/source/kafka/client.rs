//! What consumer and producer share: options, librdkafka's logs, and its statistics.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError as Error, KafkaResult};
use rdkafka::{ClientConfig, ClientContext, Statistics, TopicPartitionList};

use super::KafkaError;
use super::health::HealthBoard;

/// librdkafka's configuration: the operator's options, then ours, which the operator may not set.
pub fn config(
    bootstrap: &str,
    options: &BTreeMap<String, String>,
    ours: &[(&str, &str)],
) -> Result<ClientConfig, KafkaError> {
    let mut config = ClientConfig::new();
    // What the operator may choose otherwise. librdkafka waits up to 10 s before it tries a broker again: too long for
    // alerts that are due within seconds.
    for (option, value) in [
        ("client.id", "docket"),
        ("reconnect.backoff.max.ms", "1000"),
        ("socket.keepalive.enable", "true"),
    ] {
        config.set(option, value);
    }
    for (option, value) in options {
        let reserved =
            ours.iter().any(|(o, _)| o == option) || ["bootstrap.servers", "metadata.broker.list"].contains(&&**option);
        if reserved {
            return Err(KafkaError::Reserved { option: option.clone() });
        }
        config.set(option, value);
    }
    config.set("bootstrap.servers", bootstrap);
    for (option, value) in ours {
        config.set(*option, *value);
    }
    // Once a second: broker states and high watermarks, for health.
    config.set("statistics.interval.ms", "1000");
    config.set_log_level(RDKafkaLogLevel::Info);
    Ok(config)
}

/// The error of making a client, in our words.
pub fn refused(error: Error) -> KafkaError {
    match error {
        Error::ClientConfig(_, reason, option, value) => {
            let secret = ["password", "secret", "key", "config"]
                .iter()
                .any(|s| option.contains(s));
            KafkaError::Option {
                value: if secret { "…".to_owned() } else { value },
                option,
                reason,
            }
        }
        other => KafkaError::Client(other.to_string()),
    }
}

/// Takes librdkafka's logs to `tracing` and its statistics to the health board.
pub struct Context {
    pub health: Arc<HealthBoard>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        // Its own errors are ours to recover from: what cannot be, we report ourselves.
        match level {
            Emerg | Alert | Critical | Error | Warning => {
                tracing::warn!(target: "librdkafka", facility, message, "librdkafka warns.");
            }
            Notice | Info => tracing::info!(target: "librdkafka", facility, message, "librdkafka informs."),
            Debug => tracing::debug!(target: "librdkafka", facility, message, "librdkafka debugs."),
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.health.take_statistics(&statistics);
    }

    fn error(&self, error: Error, reason: &str) {
        tracing::warn!(%error, reason, "Kafka is in trouble; librdkafka keeps trying.");
        self.health.take_error(&error, reason);
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            // Nothing depends on what the broker keeps.
            tracing::debug!(%error, "Positions not shown to the broker.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_of_ours_is_not_the_operators() {
        let options = BTreeMap::from([("enable.auto.commit".to_owned(), "true".to_owned())]);
        let error = config("b:9092", &options, &[("enable.auto.commit", "false")]).expect_err("reserved");
        assert!(error.to_string().contains("`enable.auto.commit`"), "{error}");
    }

    #[test]
    fn a_wrong_option_is_named_and_a_secret_is_not_shown() {
        for (option, value, wanted) in [
            ("security.protokoll", "ssl", "security.protokoll"),
            ("security.protocol", "quantum", "quantum"),
        ] {
            let options = BTreeMap::from([(option.to_owned(), value.to_owned())]);
            let config = config("b:9092", &options, &[]).expect("not ours");
            let error = refused(config.create_native_config().map(|_| ()).expect_err("wrong"));
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}
