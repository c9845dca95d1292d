//! A request as the input of an execution, from which the same request is read again.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::document::{Parts, Request, parse_strictly, typed_target};
use super::settings::RequestedSettings;
use crate::change::Mode;
use crate::{Item, Result};

/// A request as JSON.
#[derive(Serialize)]
struct Written<'a> {
    table: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    compute: BTreeMap<String, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_fingerprint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    names: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    values_typed: &'a Item,
    #[serde(flatten)]
    settings: &'a RequestedSettings,
}

/// The input that a schedule gives: a request under a name that makes it a verification.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToVerify<'a> {
    #[serde(borrow)]
    verify: &'a RawValue,
}

impl Request {
    /// Reads and checks the input of an execution: a request; or an object with nothing but `verify`, which is a request, and a dry run
    /// whatever it says of that. The template puts what a schedule is to verify under that name, so that no schedule can write.
    ///
    /// Errors: `InvalidInput`, which names the field.
    pub fn from_execution_input(json: &str) -> Result<Request> {
        #[derive(Deserialize)]
        struct Names {
            verify: Option<IgnoredAny>,
        }
        let names: Option<Names> = serde_json::from_str(json).ok();
        if names.and_then(|names| names.verify).is_none() {
            return Request::from_json(json);
        }
        let input: ToVerify = parse_strictly(json, "input")?;
        let mut parts = Parts::from_json(input.verify.get(), "verify")?;
        parts.settings.dry_run = true;
        parts.build()
    }

    /// The request as an execution input: JSON with `pending` and `update` in the place of a verb, and every value typed. What is
    /// computed stays as it is, and code is named with its version.
    pub fn to_json(&self) -> String {
        let spec = &self.spec;
        let nothing = Item::new();
        let plain = Written {
            table: &spec.table,
            compute: BTreeMap::new(),
            mode: None,
            language: None,
            code: None,
            code_fingerprint: None,
            pending: None,
            update: None,
            names: BTreeMap::new(),
            values_typed: &nothing,
            settings: &self.settings,
        };
        let out = match (&spec.compute, &spec.code) {
            (Some(compute), _) => {
                let (pending, names) = spec.given_beside(compute);
                let targets = compute.targets.iter();
                Written {
                    compute: targets
                        .map(|(name, template)| (typed_target(name), template.as_str()))
                        .collect(),
                    mode: Some(compute.mode),
                    language: Some(compute.language),
                    pending,
                    names,
                    values_typed: &spec.values,
                    ..plain
                }
            }
            (None, Some(code)) => Written {
                code: Some(&code.name),
                code_fingerprint: Some(&code.fingerprint),
                ..plain
            },
            (None, None) => Written {
                pending: Some(&spec.pending),
                update: Some(&spec.update),
                names: spec.names.clone(),
                values_typed: &spec.values,
                ..plain
            },
        };
        serde_json::to_string(&out).expect("a request is plain data")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::Parts;
    use crate::{Spec, Value};

    #[test]
    fn a_request_survives_the_way_through_an_execution_input() {
        let request = Request::from_json(
            r##"{"table":"stuff","pending":"attribute_not_exists(#t)","update":"SET #t = :v",
                "names":{"#t":"tags"},"values_typed":{":v":{"SS":["a"]}},"run_id":"r","total_segments":4,
                "max_concurrency":2,"time_box_seconds":5,"max_passes":1,"max_wcu":10,"max_rcu":20,"max_rejected":7,"writer":"update-item","fresh":true,
                "take_over":true,"take_over_from":"somebody","dry_run":true}"##,
        )
        .unwrap();
        assert_eq!(Request::from_json(&request.to_json()).unwrap(), request);
        // A dry run has no canary.
        let canary = r#"{"table":"stuff","set":{"a":1},"only_segments":[3,0]}"#;
        let canary = Request::from_json(canary).unwrap();
        assert_eq!(canary.settings.only_segments, Some(vec![3, 0]));
        assert_eq!(Request::from_json(&canary.to_json()).unwrap(), canary);
    }

    /// What a schedule gives is a dry run, whatever stands in it: the text is put between the same braces by the template.
    #[test]
    fn what_is_to_be_verified_is_a_dry_run() {
        let scheduled =
            |given: &str| Request::from_execution_input(&format!(r#"{{"verify": {given}}}"#));
        for given in [
            r#"{"table":"stuff","set":{"a":1}}"#,
            r#"{"table":"stuff","set":{"a":1},"dry_run":false}"#,
            r#"{"table":"stuff","set":{"a":1},"dry_run":true,"max_rcu":50}"#,
            r#"{"table":"stuff","compute":{"b":"${a}"},"run_id":"nightly"}"#,
        ] {
            let request = scheduled(given).unwrap();
            assert!(request.settings.dry_run, "{given}");
        }
        assert_eq!(
            scheduled(r#"{"table":"stuff","set":{"a":1}}"#)
                .unwrap()
                .run_id(),
            "stuff-f74e9ba8-dry"
        );
        for (given, says) in [
            ("", "verify"),
            ("1", "verify: "),
            ("null", "verify: "),
            (r#""x""#, "verify: "),
            (r#"{"table":"stuff"}"#, "set"),
            (
                r#"{"table":"stuff","set":{"a":1},"max_wuc":5}"#,
                "max_wuc: ",
            ),
            // Nothing breaks out of the name.
            (
                r#"{},"table":"stuff","set":{"a":1}"#,
                "table: unknown field",
            ),
            (r#"1,"table":"stuff","set":{"a":1}"#, "table: unknown field"),
            (
                r#"null,"table":"stuff","set":{"a":1}"#,
                "verify: unknown field",
            ),
            (r#"{},"verify":{"table":"stuff","set":{"a":1}}"#, "verify"),
            (r#"{}},{"table":"stuff","set":{"a":1}"#, "verify"),
            (r#"{}}{"table":"stuff","set":{"a":1}"#, "verify"),
            (
                r#"{"table":"stuff","set":{"a":1},"only_segments":[0]}"#,
                "only_segments: ",
            ),
        ] {
            let error = scheduled(given).expect_err(given);
            assert!(error.kind().is_refusal(), "{given}: {error}");
            assert!(error.to_string().contains(says), "{given}: {error}");
        }
        for bad in [
            "[]",
            r#"[{"table":"stuff","set":{"a":1}}]"#,
            "1",
            "",
            r#"{"Verify":{}}"#,
        ] {
            Request::from_execution_input(bad).expect_err(bad);
        }
        // A spec file has no such field.
        let error =
            Request::from_json(r#"{"verify":{"table":"stuff","set":{"a":1}}}"#).unwrap_err();
        assert!(
            error.to_string().starts_with("verify: unknown field"),
            "{error}"
        );
    }

    /// Names of attributes: such as anybody has, and such as could be taken for something else.
    fn attribute() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,6}",
            Just("status".to_owned()),
            Just("a.b".to_owned()),
            Just("a[0]".to_owned()),
            Just("\"".to_owned()),
            any::<String>().prop_filter("a name", |name| !name.is_empty()),
        ]
    }

    proptest! {
        /// Whatever is to be computed, from whatever, in each mode: what a start sends is what was asked for.
        #[test]
        fn what_is_computed_survives_the_way_through_an_execution_input(
            targets in prop::collection::btree_map(attribute(), prop::collection::vec(attribute(), 1..4), 1..4),
            mode in 0..3_usize,
            named in attribute(),
        ) {
            let mode = Mode::named(Mode::NAMES[mode]).unwrap();
            let part = |name: &String| format!("${{{}}}", serde_json::Value::from(name.as_str()));
            let template = |names: &Vec<String>| names.iter().map(part).collect::<Vec<_>>().join("#");
            let templates = targets.iter().map(|(name, names)| (name.clone(), template(names)));
            let mut parts = Parts {
                table: Some("stuff".into()),
                compute: templates.collect(),
                top_level: targets.keys().cloned().collect(),
                mode: Some(mode),
                ..Parts::default()
            };
            if mode == Mode::Replace {
                parts.pending = Some("attribute_type(#x, :x) AND status = :x".into());
                parts.names = [("#x".to_owned(), named)].into();
                parts.values = [(":x".to_owned(), Value::S("S".into()))].into();
            }
            let reads_itself = targets.values().flatten().any(|name| targets.contains_key(name));
            match parts.build() {
                Ok(request) => {
                    prop_assert_eq!(&Request::from_json(&request.to_json()).unwrap(), &request);
                    let stored = serde_json::to_string(&request.spec).unwrap();
                    prop_assert_eq!(&serde_json::from_str::<Spec>(&stored).unwrap(), &request.spec);
                    let computed = request.spec.compute.as_ref().unwrap();
                    prop_assert!(computed.targets.keys().eq(targets.keys()));
                }
                Err(error) => prop_assert!(reads_itself && mode != Mode::Replace, "{}", error),
            }
        }
    }
}
