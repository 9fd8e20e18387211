//! The JSON Schema of the `docket:` key: for editors. The reader itself decides; a test holds the two together.

/// JSON Schema (2020-12) of what stands under `docket:`.
pub const SCHEMA: &str = include_str!("../docket.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::super::{
        absence, condition, delay, extension, lookup, novelty, portion, sequence, silence, table, usual,
    };
    use super::SCHEMA;
    use crate::policy::load_text;

    fn schema() -> Value {
        serde_json::from_str(SCHEMA).unwrap()
    }

    fn words(at: &Value) -> BTreeSet<&str> {
        match at {
            Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
            Value::Object(properties) => properties.keys().map(String::as_str).collect(),
            _ => BTreeSet::new(),
        }
    }

    #[test]
    fn the_schema_has_the_readers_words() {
        let schema = schema();
        let at = |path: &str| schema.pointer(path).unwrap_or_else(|| panic!("{path}"));
        for (path, reader) in [
            ("/properties", extension::KEYS),
            ("/properties/controls/properties", extension::FRAMEWORKS),
            ("/properties/dedup/properties", extension::DEDUP_KEYS),
            ("/$defs/raise/properties", extension::RAISE_KEYS),
            ("/$defs/calendar/oneOf/1/properties", extension::CALENDAR_KEYS),
            ("/$defs/lookup/properties", lookup::LOOKUP_KEYS),
            ("/$defs/each/properties", lookup::EACH_KEYS),
            ("/$defs/lookup/properties/pick/enum", lookup::PICKS),
            ("/$defs/absence/oneOf/0/properties", absence::ABSENCE_KEYS),
            ("/$defs/absence/oneOf/1/properties", silence::SILENCE_KEYS),
            (
                "/$defs/absence/oneOf/1/properties/learn/properties",
                silence::LEARN_KEYS,
            ),
            ("/$defs/delay/properties", delay::DELAY_KEYS),
            ("/$defs/usual/properties", usual::USUAL_KEYS),
            ("/$defs/share/properties", usual::SHARE_KEYS),
            ("/$defs/delay/properties/of/enum", delay::OF),
            ("/$defs/anew/properties", silence::ANEW_KEYS),
            ("/$defs/first_seen/properties", novelty::FIRST_SEEN_KEYS),
            ("/$defs/rare/properties", novelty::RARE_KEYS),
            ("/$defs/portion/properties", portion::PORTION_KEYS),
            ("/$defs/sequence/properties", sequence::SEQUENCE_KEYS),
            ("/$defs/table/properties", table::TABLE_KEYS),
            ("/$defs/column/oneOf/1/properties", table::COLUMN_KEYS),
            ("/$defs/column/oneOf/1/properties/take/enum", table::TAKES),
        ] {
            assert_eq!(words(at(path)), reader.iter().copied().collect(), "{path}");
        }
        let names = at("/$defs/condition/propertyNames/pattern").as_str().unwrap();
        let names = regex::Regex::new(names).unwrap();
        for modifier in condition::TEST_MODIFIERS.iter().filter(|m| **m != "distinct") {
            assert!(names.is_match(&format!("a.b|{modifier}")), "{modifier}");
        }
        assert!(names.is_match("a|has|distinct") && !names.is_match("a|hsa") && !names.is_match("a|distinct"));
    }

    /// As much of JSON Schema as the schema uses.
    fn fits(schema: &Value, at: &Value, value: &Value) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {value}"));
        for (word, want) in at.as_object().unwrap() {
            match word.as_str() {
                "$ref" => {
                    let path = want.as_str().unwrap().trim_start_matches('#');
                    fits(schema, schema.pointer(path).unwrap(), value)?;
                }
                "type" => {
                    let is = |t: &str| match t {
                        "object" => value.is_object(),
                        "array" => value.is_array(),
                        "string" => value.is_string(),
                        "number" => value.is_number(),
                        "integer" => value.is_i64(),
                        "boolean" => value.is_boolean(),
                        "null" => value.is_null(),
                        other => panic!("{other}"),
                    };
                    let types: BTreeSet<&str> = want.as_str().into_iter().chain(words(want)).collect();
                    if !types.into_iter().any(is) {
                        return wrong("type");
                    }
                }
                "enum" if !want.as_array().unwrap().contains(value) => return wrong("enum"),
                "minimum" if value.as_i64() < want.as_i64() => return wrong("minimum"),
                "maximum" if value.as_i64() > want.as_i64() => return wrong("maximum"),
                "const" if want != value => return wrong("const"),
                "pattern" => {
                    let pattern = regex::Regex::new(want.as_str().unwrap()).unwrap();
                    if value.as_str().is_some_and(|v| !pattern.is_match(v)) {
                        return wrong("pattern");
                    }
                }
                "properties" => {
                    for (key, item) in value.as_object().into_iter().flatten() {
                        match want.get(key) {
                            Some(property) => fits(schema, property, item)?,
                            None if at.get("additionalProperties") == Some(&json!(false)) => return wrong(key),
                            None => {}
                        }
                    }
                }
                "additionalProperties" if want.is_object() => {
                    value
                        .as_object()
                        .into_iter()
                        .flatten()
                        .try_for_each(|(_, v)| fits(schema, want, v))?;
                }
                "propertyNames" => {
                    let keys = value.as_object().into_iter().flatten();
                    keys.into_iter().try_for_each(|(k, _)| fits(schema, want, &json!(k)))?;
                }
                "required" if words(want).iter().any(|key| value.get(key).is_none()) => return wrong("required"),
                "items" => value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .try_for_each(|v| fits(schema, want, v))?,
                "oneOf" => {
                    let fit = want.as_array().unwrap().iter();
                    let (fit, not): (Vec<_>, Vec<_>) = fit.map(|one| fits(schema, one, value)).partition(Result::is_ok);
                    if fit.len() != 1 {
                        return Err(format!("oneOf: {not:?}"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A document's `docket:` as JSON, by the reader's own YAML.
    fn docket(text: &str) -> Value {
        fn json_of(node: &crate::yaml::Node) -> Value {
            use crate::yaml::Kind;
            match &node.kind {
                Kind::Map(items) => items.iter().map(|(k, v)| (k.text.clone(), json_of(v))).collect(),
                Kind::List(items) => items.iter().map(json_of).collect(),
                Kind::Bool(b) => json!(b),
                Kind::Null => Value::Null,
                Kind::Number(n, _) => serde_json::from_str(&n.to_string()).unwrap(),
                Kind::Text(text) => json!(text),
            }
        }
        let document = crate::yaml::documents(text).into_iter().next().unwrap();
        let node = crate::yaml::parse(&document, &"t.yml".into()).unwrap();
        json_of(node.get("docket").unwrap())
    }

    #[test]
    fn the_schema_and_the_reader_agree() {
        let head = "title: t\nname: n\nlogsource: {product: ocsf, category: authentication}\ndetection: {s: {a: 1}, condition: s}\nlevel: low\ndocket: ";
        let schema = schema();
        for (docket_text, good) in [
            ("{clauses: [AU-1], wait: 30s, silent: true}", true),
            ("{clause: [AU-1]}", false),
            ("{wait: soon}", false),
            ("{dedup: {by: [$event.a], window: 1h}}", true),
            ("{dedup: {by: [a], window: 1h}}", false),
            ("{dedup: {by: [$event.a]}}", false),
            ("{calendar: outside}", true),
            ("{calendar: {side: outside, site: $event.site}}", true),
            ("{calendar: {sides: outside}}", false),
            ("{calendar: late}", false),
            (
                "{lookup: [{table: t, as: x, key: {a: $event.a}, where: {\"b|has|distinct\": {c: [{d: 1}]}}, pick: last}]}",
                true,
            ),
            ("{lookup: [{table: t, pick: latest}]}", false),
            ("{lookup: [{table: t, where: {\"b|hsa\": 1}}]}", false),
            ("{lookup: [{tabel: t}]}", false),
            (
                "{first_seen: {key: [$event.a], value: [$event.b], within: 90d, warm_up: 14d, keep: 400d}}",
                true,
            ),
            ("{first_seen: {key: [$event.a], within: 60d}}", true),
            ("{first_seen: {key: [$event.a], days: 2, within: 60d}}", false),
            ("{first_seen: {value: [$event.a], within: 60d}}", false),
            (
                "{rare: {key: [$event.a], value: [$event.b], within: 30d, days: 3}}",
                true,
            ),
            ("{rare: {key: [$event.a], within: 30d}}", false),
            (
                "{rare: {key: [$event.a], value: [$event.b], within: 30d, days: 0}}",
                false,
            ),
            (
                "{table: {key: [a], columns: {a: $event.a, b: {value: $event.time, take: last, when: {\"$event.a\": 2}}}, keep: 1d}}",
                true,
            ),
            ("{table: {columns: {b: {value: $event.time, take: newest}}}}", false),
            ("{severity: [{level: high, when: {\"$event.a|gt\": 5}}]}", true),
            ("{severity: [{level: high}]}", false),
            ("{kind: detections}", false),
            ("{controls: {iso: [\"8.2\"]}}", true),
            ("{controls: {isoo: [\"8.2\"]}}", false),
        ] {
            let text = format!("{head}{docket_text}\n");
            let loaded = load_text(&text);
            let errors: Vec<String> = loaded
                .errors
                .iter()
                .filter(|e| !e.is_lint())
                .map(ToString::to_string)
                .collect();
            assert_eq!(errors.is_empty(), good, "{docket_text}: {errors:?}");
            let fit = fits(&schema, &schema, &docket(&text));
            assert_eq!(fit.is_ok(), good, "{docket_text}: {fit:?}");
        }
    }

    #[test]
    fn our_own_policies_fit_the_schema() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
        let (schema, mut n) = (schema(), 0);
        for folder in std::fs::read_dir(root)
            .unwrap()
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.is_dir())
        {
            for file in std::fs::read_dir(folder).unwrap().filter_map(|e| Some(e.ok()?.path())) {
                let name = file.to_string_lossy().into_owned();
                if !crate::policy::SourceFile::is_policy(&name) {
                    continue;
                }
                let text = std::fs::read_to_string(&file).unwrap();
                for document in crate::yaml::documents(&text)
                    .iter()
                    .filter(|d| d.text.contains("\ndocket:"))
                {
                    let fit = fits(&schema, &schema, &docket(document.text));
                    assert_eq!(fit, Ok(()), "{name}");
                    n += 1;
                }
            }
        }
        assert!(n > 20, "{n}");
    }
}
