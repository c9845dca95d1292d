//! How the service's answers look, by its service model: `tools/service-model` takes `service-model.json` from botocore, and a
//! test of the faults holds it against the botocore that is installed.

use std::sync::LazyLock;

use serde_json::Value as Json;

/// The shapes of answers and errors.
pub struct ServiceModel(Json);

/// Those of DynamoDB.
pub fn model() -> &'static ServiceModel {
    static MODEL: LazyLock<ServiceModel> = LazyLock::new(|| {
        let json = serde_json::from_str(include_str!("service-model.json"));
        ServiceModel(json.expect("the service model is JSON"))
    });
    &MODEL
}

/// Errors that any operation may answer with, which the service model does not have: namespace, code, and the member that holds
/// the message, as they were captured (dynalite's and dynoxide's tests against the service).
const COMMON: [(&str, &str, Option<&str>); 8] = [
    (
        "com.amazon.coral.validate",
        "ValidationException",
        Some("message"),
    ),
    (
        "com.amazon.coral.service",
        "AccessDeniedException",
        Some("Message"),
    ),
    (
        "com.amazon.coral.service",
        "ExpiredTokenException",
        Some("message"),
    ),
    (
        "com.amazon.coral.service",
        "InvalidSignatureException",
        Some("message"),
    ),
    (
        "com.amazon.coral.service",
        "MissingAuthenticationTokenException",
        Some("message"),
    ),
    (
        "com.amazon.coral.service",
        "SerializationException",
        Some("Message"),
    ),
    (
        "com.amazon.coral.service",
        "UnknownOperationException",
        None,
    ),
    (
        "com.amazon.coral.service",
        "UnrecognizedClientException",
        Some("message"),
    ),
];

impl ServiceModel {
    fn shape(&self, name: &str) -> Option<&Json> {
        self.0["shapes"].get(name)
    }

    /// Member → its shape.
    fn members(&self, shape: &str) -> impl Iterator<Item = (&str, &str)> {
        let members = self
            .shape(shape)
            .and_then(|shape| shape["members"].as_object());
        let members = members.into_iter().flatten();
        members.filter_map(|(name, shape)| Some((name.as_str(), shape.as_str()?)))
    }

    /// The errors of an operation, throttling first of all; of one that reads or writes no item those that all have.
    fn errors(&self, operation: &str) -> Vec<&str> {
        let operation = match &self.0["operations"][operation] {
            Json::Null => &self.0["operations"]["Scan"],
            known => known,
        };
        let errors = operation["errors"].as_array().into_iter().flatten();
        errors.filter_map(Json::as_str).collect()
    }

    /// The errors by which an operation says that it was throttled.
    pub fn throttling_errors(&self, operation: &str) -> Vec<&str> {
        let mut errors = self.errors(operation);
        errors.retain(|error| self.reasons_member(error).is_some());
        errors
    }

    /// False if an error is one of the service's, but not of this operation.
    pub fn may_answer(&self, operation: &str, error: &str) -> bool {
        let known = self.shape(error).is_some();
        !known || self.errors(operation).contains(&error)
    }

    /// The member that holds the reasons for throttling: its case differs from error to error.
    pub fn reasons_member(&self, error: &str) -> Option<&str> {
        let mut members = self.members(error);
        Some(
            members
                .find(|(_, shape)| *shape == "ThrottlingReasonList")?
                .0,
        )
    }

    /// The member that holds the message, whose case differs as well.
    pub fn message_member(&self, error: &str) -> Option<&str> {
        if let Some((_, _, member)) = COMMON.iter().find(|(_, code, _)| *code == error) {
            return *member;
        }
        if self.shape(error).is_none() {
            return Some("message");
        }
        let mut members = self.members(error);
        Some(
            members
                .find(|(name, _)| name.eq_ignore_ascii_case("message"))?
                .0,
        )
    }

    /// What stands in `__type`: a namespace and the code.
    pub fn type_of(&self, error: &str) -> String {
        let common = COMMON.iter().find(|(_, code, _)| *code == error);
        let synthetic = self
            .shape(error)
            .is_some_and(|shape| shape["synthetic"] == true);
        let namespace = match common {
            Some((namespace, ..)) => namespace,
            None if synthetic => "com.amazon.coral.availability",
            None => "com.amazonaws.dynamodb.v20120810",
        };
        format!("{namespace}#{error}")
    }

    /// The HTTP status of an error: that of a fault of the service, or of the client.
    pub fn status_of(&self, error: &str) -> u16 {
        match self
            .shape(error)
            .is_some_and(|shape| shape["fault"] == true)
        {
            true => 500,
            false => 400,
        }
    }
}

#[cfg(test)]
impl ServiceModel {
    /// The shape of an operation's answer.
    pub fn output(&self, operation: &str) -> &str {
        self.0["operations"][operation]["output"]
            .as_str()
            .unwrap_or_default()
    }

    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.0["operations"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
    }

    pub fn has(&self, shape: &str) -> bool {
        self.shape(shape).is_some()
    }

    /// Whether a string is in one of the lists that only the documentation has.
    pub fn lists(&self, list: &str, word: &str) -> bool {
        self.0[list]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one == word)
    }

    /// What of a value does not fit a shape, each with the way to it.
    pub fn misfits(&self, shape: &str, value: &Json) -> Vec<String> {
        let kept = self
            .shape(shape)
            .unwrap_or_else(|| panic!("no shape {shape}"));
        let wrong = |what: &str| vec![format!("{shape}: {what}: {value}")];
        let of = |name: &str| kept[name].as_str().unwrap();
        match (kept["type"].as_str().unwrap(), value) {
            ("structure", Json::Object(members)) => {
                let mut misfits = Vec::new();
                for (name, value) in members {
                    match kept["members"].get(name).and_then(Json::as_str) {
                        Some(shape) => misfits.extend(self.misfits(shape, value)),
                        None => misfits.extend(wrong(&format!("no member {name}"))),
                    }
                }
                for name in kept["required"].as_array().into_iter().flatten() {
                    if !members.contains_key(name.as_str().unwrap()) {
                        misfits.extend(wrong(&format!("{name} is missing")));
                    }
                }
                misfits
            }
            ("list", Json::Array(members)) => {
                let members = members
                    .iter()
                    .flat_map(|value| self.misfits(of("member"), value));
                members.collect()
            }
            ("map", Json::Object(members)) => {
                let members = members
                    .values()
                    .flat_map(|value| self.misfits(of("value"), value));
                members.collect()
            }
            ("string", Json::String(text)) => match kept.get("enum") {
                Some(Json::Array(words)) if !words.contains(&Json::from(text.as_str())) => {
                    wrong("not one of the words")
                }
                _ => Vec::new(),
            },
            ("blob", Json::String(_)) | ("boolean", Json::Bool(_)) => Vec::new(),
            ("integer" | "long" | "double", Json::Number(_)) => Vec::new(),
            _ => wrong("another type"),
        }
    }
}
