//! The template as CloudFormation reads it, for chosen parameters: enough of its functions for what the tests ask.

use std::collections::{BTreeMap, BTreeSet};

use backfill_e2e::command::root;
use backfill_rehearsal::definition::read_yaml;
use serde_json::{Map, Value as Json, json};

/// The template as it stands, short tags in their long form.
pub fn template() -> Json {
    let text = std::fs::read_to_string(root().join("template.yaml")).expect("the template");
    read_yaml(&text).expect("it is YAML")
}

/// The resources of this type, by their logical ids.
pub fn of_type<'a>(template: &'a Json, kind: &str) -> BTreeMap<&'a str, &'a Json> {
    let resources = template["Resources"].as_object().expect("resources");
    let found = resources.iter().filter(|(_, made)| made["Type"] == kind);
    found.map(|(id, made)| (id.as_str(), made)).collect()
}

/// Every object and array in a part of the template, itself included.
pub fn parts(part: &Json) -> Vec<&Json> {
    let below: Vec<&Json> = match part {
        Json::Object(fields) => fields.values().collect(),
        Json::Array(parts) => parts.iter().collect(),
        _ => Vec::new(),
    };
    let below = below.into_iter().flat_map(parts);
    std::iter::once(part).chain(below).collect()
}

/// Every name that a part of the template refers to, by Ref, GetAtt or inside a Sub, and by the conditions that it asks.
pub fn references(template: &Json, part: &Json) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in parts(part) {
        if let Some(name) = part["Ref"].as_str() {
            found.insert(name.to_owned());
        }
        if let Some(name) = part["Fn::GetAtt"].as_str() {
            found.insert(name.split('.').next().expect("a name").to_owned());
        }
        let text = part["Fn::Sub"].as_str().or(part["Fn::Sub"][0].as_str());
        for named in text.into_iter().flat_map(|text| text.split("${").skip(1)) {
            let name = named.split(['}', '.']).next().expect("a name");
            found.insert(name.to_owned());
        }
        let condition = part["Fn::If"][0].as_str().or(part["Condition"].as_str());
        if let Some(condition) = template["Conditions"].get(condition.unwrap_or_default()) {
            found.extend(references(template, condition));
        }
    }
    found
}

/// What a stack is deployed with.
pub struct Stack {
    template: Json,
    known: BTreeMap<String, Json>,
}

impl Stack {
    /// A stack of this name, in us-east-1, with these parameters in place of the defaults.
    pub fn new(name: &str, parameters: &[(&str, &str)]) -> Stack {
        let template = template();
        let mut known: BTreeMap<String, Json> = BTreeMap::new();
        for (parameter, declared) in template["Parameters"].as_object().expect("parameters") {
            let default = declared["Default"].as_str().map(String::from);
            let default = default.unwrap_or_else(|| declared["Default"].to_string());
            let given = parameters.iter().find(|(name, _)| name == parameter);
            let text = given.map_or(default, |(_, given)| (*given).to_owned());
            let value = match declared["Type"].as_str() {
                Some("CommaDelimitedList") => text.split(',').map(Json::from).collect(),
                _ => Json::from(text),
            };
            known.insert(parameter.clone(), value);
        }
        for (pseudo, value) in [
            ("AWS::StackName", name),
            ("AWS::Region", "us-east-1"),
            ("AWS::Partition", "aws"),
            ("AWS::AccountId", "123456789012"),
            ("AWS::URLSuffix", "amazonaws.com"),
        ] {
            known.insert(pseudo.into(), value.into());
        }
        Stack { template, known }
    }

    /// The same elsewhere: a value of a pseudo parameter.
    pub fn with(mut self, pseudo: &str, value: &str) -> Stack {
        self.known.insert(pseudo.into(), value.into());
        self
    }

    /// A part of the template, found by a JSON pointer, with everything put in. A reference to a resource stays its name.
    #[track_caller]
    pub fn at(&self, pointer: &str) -> Json {
        let part = self.template.pointer(pointer);
        self.value(part.unwrap_or_else(|| panic!("no {pointer}")))
            .unwrap_or_default()
    }

    /// What of this part is there: `None` for `AWS::NoValue`.
    fn value(&self, part: &Json) -> Option<Json> {
        let fields = match part {
            Json::Object(fields) => fields,
            Json::Array(parts) => {
                return Some(parts.iter().filter_map(|p| self.value(p)).collect());
            }
            _ => return Some(part.clone()),
        };
        let function = fields.iter().next().filter(|_| fields.len() == 1);
        Some(match function.map(|(name, of)| (name.as_str(), of)) {
            Some(("Ref", name)) => match name.as_str().expect("a name") {
                "AWS::NoValue" => return None,
                name => self.known.get(name).cloned().unwrap_or(json!(name)),
            },
            Some(("Fn::GetAtt", name)) => name.clone(),
            Some(("Fn::If", of)) => {
                let holds = self.holds(&json!({"Condition": of[0]}));
                return self.value(&of[if holds { 1 } else { 2 }]);
            }
            Some(("Fn::Join", of)) => {
                let parts = self.value(&of[1]).expect("a list");
                let parts: Vec<&str> = parts.as_array()?.iter().filter_map(Json::as_str).collect();
                json!(parts.join(of[0].as_str().expect("a delimiter")))
            }
            Some(("Fn::Sub", of)) => json!(self.text(of)),
            _ => {
                let fields = fields.iter();
                let there = fields.filter_map(|(name, of)| Some((name.clone(), self.value(of)?)));
                Json::Object(there.collect::<Map<_, _>>())
            }
        })
    }

    fn text(&self, sub: &Json) -> String {
        let template = sub.as_str().or(sub[0].as_str()).expect("a text");
        let mut pieces = template.split("${");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (name, rest) = piece.split_once('}').expect("a closed name");
            let own = sub[1].get(name).and_then(|value| self.value(value));
            match own.as_ref().or(self.known.get(name)) {
                Some(value) => text += value.as_str().expect("a text"),
                None => text += name,
            }
            text += rest;
        }
        text
    }

    fn holds(&self, condition: &Json) -> bool {
        let (name, of) = condition
            .as_object()
            .and_then(|fields| fields.iter().next())
            .expect("a condition");
        let list = of.as_array();
        match name.as_str() {
            "Condition" => self.holds(&self.template["Conditions"][of.as_str().expect("a name")]),
            "Fn::Equals" => self.value(&of[0]) == self.value(&of[1]),
            "Fn::Not" => !self.holds(&of[0]),
            "Fn::And" => list.expect("a list").iter().all(|part| self.holds(part)),
            other => panic!("{other}"),
        }
    }
}
