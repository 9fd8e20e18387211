//! OCSF 1.8.0 as compiled, where it lies beside the checkout (`../shared/ocsf`): what an event must and may hold.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Map, Value};

/// What is wrong with one event at most: more is the same again.
const PROBLEMS_MAX: usize = 8;

/// The classes and objects of a compiled schema.
#[derive(Debug)]
pub struct Schema {
    classes: HashMap<u64, Shape>,
    objects: HashMap<String, Shape>,
}

#[derive(Debug)]
struct Shape {
    category: Option<u64>,
    attributes: HashMap<String, Attribute>,
    /// At least one of these (`false`), or just one (`true`).
    constraints: Vec<(bool, Vec<String>)>,
}

#[derive(Debug)]
struct Attribute {
    kind: Kind,
    array: bool,
    required: bool,
    profiles: Vec<String>,
    values: Option<HashSet<String>>,
    length_max: Option<usize>,
    range: Option<(i64, i64)>,
}

#[derive(Debug)]
enum Kind {
    Any,
    Text,
    Boolean,
    Integer,
    Float,
    Object(String),
}

impl Schema {
    /// The schema beside the checkout; read once.
    #[must_use]
    pub fn beside() -> Option<&'static Schema> {
        static SCHEMA: OnceLock<Option<Schema>> = OnceLock::new();
        SCHEMA
            .get_or_init(|| {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/ocsf/compiled-1.8.0.json");
                let Ok(bytes) = std::fs::read(path) else {
                    println!("skipped: ../shared/ocsf is not there, events are not held to the schema");
                    return None;
                };
                Some(Schema::read(
                    &serde_json::from_slice(&bytes).expect("the schema is JSON"),
                ))
            })
            .as_ref()
    }

    fn read(whole: &Value) -> Schema {
        let types = &whole["types"];
        let shapes = |what: &str| whole[what].as_object().expect("classes and objects").clone();
        Schema {
            classes: shapes("classes")
                .values()
                .map(|c| (c["uid"].as_u64().unwrap_or(0), shape(c, types)))
                .collect(),
            objects: shapes("objects")
                .iter()
                .map(|(name, o)| (name.clone(), shape(o, types)))
                .collect(),
        }
    }

    /// What is wrong with an event; empty where it is as the schema says.
    #[must_use]
    pub fn check(&self, event: &Map<String, Value>) -> Vec<String> {
        let mut wrong = Vec::new();
        let Some(class) = event
            .get("class_uid")
            .and_then(Value::as_u64)
            .and_then(|c| self.classes.get(&c))
        else {
            return vec!["class_uid".to_owned()];
        };
        if class.category.is_some() && event.get("category_uid").and_then(Value::as_u64) != class.category {
            wrong.push("category_uid".to_owned());
        }
        let profiles = event
            .get("metadata")
            .and_then(|m| m.get("profiles"))
            .and_then(Value::as_array);
        let profiles: Vec<&str> = profiles
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(last)
            .collect();
        self.object(event, class, "", &profiles, &mut wrong);
        wrong
    }

    fn object(
        &self,
        object: &Map<String, Value>,
        shape: &Shape,
        path: &str,
        profiles: &[&str],
        wrong: &mut Vec<String>,
    ) {
        let there = |name: &str| object.get(name).is_some_and(|v| !v.is_null());
        for (name, attribute) in &shape.attributes {
            let applies =
                attribute.profiles.is_empty() || attribute.profiles.iter().any(|p| profiles.contains(&p.as_str()));
            if attribute.required && applies && !there(name) {
                tell(wrong, || format!("{path}{name} is required"));
            }
        }
        for (just_one, names) in &shape.constraints {
            let count = names.iter().filter(|n| present(object, n)).count();
            if count < 1 || (*just_one && count != 1) {
                tell(wrong, || format!("{path}: {count} of {names:?}"));
            }
        }
        for (name, value) in object {
            let Some(attribute) = shape.attributes.get(name) else {
                tell(wrong, || format!("{path}{name} is no attribute"));
                continue;
            };
            match value {
                Value::Null => {}
                Value::Array(items) if attribute.array => {
                    for item in items {
                        self.value(item, attribute, &format!("{path}{name}"), profiles, wrong);
                    }
                }
                _ if attribute.array => tell(wrong, || format!("{path}{name} is no array")),
                value => self.value(value, attribute, &format!("{path}{name}"), profiles, wrong),
            }
        }
    }

    fn value(&self, value: &Value, attribute: &Attribute, path: &str, profiles: &[&str], wrong: &mut Vec<String>) {
        let fits = match &attribute.kind {
            Kind::Any => return,
            Kind::Text => value.is_string(),
            Kind::Boolean => value.is_boolean(),
            Kind::Integer => value.as_i64().is_some_and(|n| {
                let (least, most) = attribute.range.unwrap_or((i64::MIN, i64::MAX));
                (least..=most).contains(&n)
            }),
            Kind::Float => value.is_number(),
            Kind::Object(name) => {
                let Value::Object(inner) = value else {
                    return tell(wrong, || format!("{path} is no {name}"));
                };
                match self.objects.get(name) {
                    Some(shape) if !shape.attributes.is_empty() => {
                        self.object(inner, shape, &format!("{path}."), profiles, wrong);
                    }
                    _ => {}
                }
                true
            }
        };
        let short = match (value.as_str(), attribute.length_max) {
            (Some(text), Some(most)) => text.chars().count() <= most,
            _ => true,
        };
        let known = attribute.values.as_ref().is_none_or(|known| match value {
            Value::String(text) => known.contains(text),
            other => known.contains(&other.to_string()),
        });
        if !fits || !short || !known {
            tell(wrong, || format!("{path} is {value}, not {:?}", attribute.kind));
        }
    }
}

fn tell(wrong: &mut Vec<String>, what: impl FnOnce() -> String) {
    if wrong.len() < PROBLEMS_MAX {
        wrong.push(what());
    }
}

fn last(profile: &str) -> &str {
    profile.rsplit('/').next().unwrap_or(profile)
}

fn present(object: &Map<String, Value>, dotted: &str) -> bool {
    let mut names = dotted.split('.');
    let first = names.next().and_then(|n| object.get(n));
    let found = first.and_then(|value| names.try_fold(value, |value, name| value.get(name)));
    found.is_some_and(|v| !v.is_null())
}

fn shape(spec: &Value, types: &Value) -> Shape {
    let attributes = spec["attributes"].as_object().into_iter().flatten();
    let constraints = spec["constraints"].as_object().into_iter().flatten();
    let texts = |v: &Value| -> Vec<String> {
        let texts = v.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    Shape {
        category: spec["category_uid"].as_u64(),
        attributes: attributes
            .map(|(name, a)| {
                let given = a["type"].as_str().unwrap_or("json_t");
                let kind = &types[given];
                let base = kind["type"].as_str().unwrap_or(given);
                let kind_of = match base {
                    "object_t" => Kind::Object(a["object_type"].as_str().unwrap_or("object").to_owned()),
                    "string_t" => Kind::Text,
                    "boolean_t" => Kind::Boolean,
                    "integer_t" | "long_t" => Kind::Integer,
                    "float_t" => Kind::Float,
                    _ => Kind::Any,
                };
                let range = kind["range"].as_array().map(|r| {
                    let bound = |n: usize, or: i64| r.get(n).and_then(Value::as_i64).unwrap_or(or);
                    (bound(0, i64::MIN), bound(1, i64::MAX))
                });
                let attribute = Attribute {
                    kind: kind_of,
                    array: a["is_array"].as_bool().unwrap_or(false),
                    required: a["requirement"] == "required",
                    profiles: texts(&a["profiles"]).iter().map(|p| last(p).to_owned()).collect(),
                    values: a["enum"].as_object().map(|e| e.keys().cloned().collect()),
                    length_max: kind["max_len"].as_u64().and_then(|n| usize::try_from(n).ok()),
                    range,
                };
                (name.clone(), attribute)
            })
            .collect(),
        constraints: constraints
            .map(|(kind, names)| (kind == "just_one", texts(names)))
            .collect(),
    }
}
