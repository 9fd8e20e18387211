//! What Elasticsearch says of a field's numbers beyond their least, greatest and sum.

use search::Numbers;
use serde_json::{Value, json};

use crate::api::ApiError;

/// A number, which Grafana writes as text too.
pub fn decimal(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    number.filter(|n| n.is_finite())
}

/// Which of a hundred are asked for.
pub fn percents(asked: &Value) -> Result<Vec<f64>, ApiError> {
    let given = match asked {
        Value::Null => return Ok(vec![1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0]),
        given => given.as_array().map(Vec::as_slice).unwrap_or_default(),
    };
    let read = |p: &Value| decimal(p).filter(|n| (0.0..=100.0).contains(n));
    let wrong = || ApiError::bad_request("percentiles: give 1 to 100 `percents` from 0 to 100".into());
    let percents: Option<Vec<f64>> = given.iter().map(read).collect();
    percents.filter(|p| (1..=100).contains(&p.len())).ok_or_else(wrong)
}

/// The answer of `extended_stats`; bounds are so many deviations from the mean.
pub fn extended(sigma: f64, numbers: &Numbers) -> Value {
    let (count, sum) = (numbers.count(), numbers.sum_of(|n| n));
    let mean = (count > 0).then(|| sum / count as f64);
    let squares = mean.map(|mean| numbers.sum_of(|n| (n - mean) * (n - mean)));
    let of_all = squares.map(|s| s / count as f64);
    let of_sample = squares.filter(|_| count > 1).map(|s| s / (count - 1) as f64);
    let bounds = |variance: Option<f64>, sign: f64| Some(mean? + sign * sigma * variance?.sqrt());
    json!({
        "count": count, "sum": sum, "avg": mean,
        "min": numbers.0.first().map(|(n, _)| n), "max": numbers.0.last().map(|(n, _)| n),
        "sum_of_squares": mean.map(|_| numbers.sum_of(|n| n * n)),
        "variance": of_all, "variance_population": of_all, "variance_sampling": of_sample,
        "std_deviation": of_all.map(f64::sqrt), "std_deviation_population": of_all.map(f64::sqrt),
        "std_deviation_sampling": of_sample.map(f64::sqrt),
        "std_deviation_bounds": {
            "upper": bounds(of_all, 1.0), "lower": bounds(of_all, -1.0),
            "upper_population": bounds(of_all, 1.0), "lower_population": bounds(of_all, -1.0),
            "upper_sampling": bounds(of_sample, 1.0), "lower_sampling": bounds(of_sample, -1.0),
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_of_all_or_of_a_sample() {
        let told = extended(2.0, &Numbers(vec![(2.0, 1), (4.0, 3), (5.0, 2), (7.0, 1), (9.0, 1)]));
        assert_eq!(
            (&told["count"], &told["avg"], &told["sum_of_squares"]),
            (&json!(8), &json!(5.0), &json!(232.0))
        );
        assert_eq!((&told["variance"], &told["std_deviation"]), (&json!(4.0), &json!(2.0)));
        assert_eq!(told["std_deviation_bounds"]["upper"], 9.0);
        assert_eq!(told["variance_sampling"], 32.0 / 7.0);
        let none = extended(2.0, &Numbers::default());
        assert!(none["avg"].is_null() && none["std_deviation"].is_null() && none["count"] == 0);
    }

    #[test]
    fn percents_are_read_or_refused() {
        assert_eq!(percents(&Value::Null).unwrap().len(), 7);
        assert_eq!(percents(&json!(["25", 99.9])).unwrap(), [25.0, 99.9]);
        for wrong in [json!([]), json!([101]), json!(["x"]), json!(50)] {
            assert!(percents(&wrong).is_err(), "{wrong}");
        }
    }
}
