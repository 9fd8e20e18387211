//! The broker's ids of topics, which tell a topic from its namesake of before.
//!
//! librdkafka knows them (`rd_kafka_DescribeTopics`); `rdkafka` does not show them, so this file calls the C library
//! itself. It is the only unsafe code of Docket. Each pointer is owned by one guard below, and what librdkafka lends
//! is copied before its guard ends.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;

/// The ids of `topics`, waiting at most `timeout_ms`. A topic whose id the broker does not give (before Kafka 2.8)
/// or does not let us see is not in the answer.
///
/// # Errors
/// The broker did not answer in time.
pub fn fetch<C: ClientContext>(
    client: &Client<C>,
    topics: &[String],
    timeout_ms: u16,
) -> Result<HashMap<String, String>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics.iter().filter_map(|t| CString::new(t.as_str()).ok()).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let mut pointers: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
    let rk = client.native_ptr();

    // SAFETY: `rk` lives as long as `client`, which outlives this call. `pointers` holds `names.len()` strings that
    // end in NUL and outlive the call; librdkafka copies them. The guards destroy what the `_new` functions return
    // exactly once, the event before the queue. No pointer leaves this function.
    unsafe {
        let collection = Collection(c::rd_kafka_TopicCollection_of_topic_names(
            pointers.as_mut_ptr(),
            pointers.len(),
        ));
        let options = Options(c::rd_kafka_AdminOptions_new(
            rk,
            c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        ));
        let timeout = c_int::from(timeout_ms);
        c::rd_kafka_AdminOptions_set_request_timeout(options.0, timeout, ptr::null_mut(), 0);
        let queue = Queue(c::rd_kafka_queue_new(rk));
        c::rd_kafka_DescribeTopics(rk, collection.0, options.0, queue.0);
        let event = Event(c::rd_kafka_queue_poll(queue.0, timeout));
        if event.0.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let error = RDKafkaErrorCode::from(c::rd_kafka_event_error(event.0));
        if error != RDKafkaErrorCode::NoError {
            return Err(error);
        }
        Ok(read(&event))
    }
}

/// # Safety
/// `event` is not null.
unsafe fn read(event: &Event) -> HashMap<String, String> {
    let mut ids = HashMap::new();
    // SAFETY: the result and all below it belong to the event, which outlives this function; librdkafka returns null
    // for an event of another kind, and `count` descriptions, none of them null, for this one.
    unsafe {
        let result = c::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return ids;
        }
        let mut count = 0;
        let descriptions = c::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for i in 0..count {
            let description = *descriptions.add(i);
            let name = text(c::rd_kafka_TopicDescription_name(description));
            let uuid = c::rd_kafka_TopicDescription_topic_id(description);
            if uuid.is_null() {
                continue;
            }
            let zero =
                c::rd_kafka_Uuid_most_significant_bits(uuid) == 0 && c::rd_kafka_Uuid_least_significant_bits(uuid) == 0;
            if let (Some(name), Some(id), false) = (name, text(c::rd_kafka_Uuid_base64str(uuid)), zero) {
                ids.insert(name, id);
            }
        }
    }
    ids
}

/// # Safety
/// `at` is null or a string that ends in NUL.
unsafe fn text(at: *const c_char) -> Option<String> {
    if at.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned())
}

struct Collection(*mut c::rd_kafka_TopicCollection_t);
struct Options(*mut c::rd_kafka_AdminOptions_t);
struct Queue(*mut c::rd_kafka_queue_t);
struct Event(*mut c::rd_kafka_event_t);

impl Drop for Collection {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_TopicCollection_of_topic_names`, destroyed here only.
        unsafe { c::rd_kafka_TopicCollection_destroy(self.0) }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_AdminOptions_new`, destroyed here only.
        unsafe { c::rd_kafka_AdminOptions_destroy(self.0) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, destroyed here only.
        unsafe { c::rd_kafka_queue_destroy(self.0) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: returned by `rd_kafka_queue_poll`, destroyed here only.
            unsafe { c::rd_kafka_event_destroy(self.0) }
        }
    }
}
