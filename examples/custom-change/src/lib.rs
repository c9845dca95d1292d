//! A change that no expression could say: the text of a user agent (`agent`) becomes a map (`device`) of browser, major version, and
//! whether it is a mobile one. `docs/CUSTOM.md` explains how to write one like it.

use backfill_core::change::{self, Code, Condition, Made};
use backfill_core::{Item, Result, Value};

/// Lets requests ask for the code of this crate.
///
/// Errors: `InvalidInput`, naming `code`.
pub fn register() -> Result<()> {
    change::register(UserAgent)
}

/// Parses user agents.
#[derive(Debug, Clone, Copy)]
pub struct UserAgent;

impl Code for UserAgent {
    fn name(&self) -> &str {
        "user-agent"
    }

    /// Another one whenever the code makes something else of the same item.
    fn fingerprint(&self) -> String {
        "1".into()
    }

    fn reads(&self) -> Vec<String> {
        vec!["agent".into()]
    }

    fn writes(&self) -> Vec<String> {
        vec!["device".into()]
    }

    fn pending(&self) -> Condition {
        "attribute_exists(agent) AND attribute_not_exists(device)".into()
    }

    fn change(&self, item: &Item) -> std::result::Result<Made, String> {
        let Some(Value::S(agent)) = item.get("agent") else {
            return Err("agent is no text".into());
        };
        let device = device(agent).ok_or("agent names no browser that is known")?;
        Ok(Made {
            set: [("device".to_owned(), Value::M(device))].into(),
            remove: Vec::new(),
        })
    }
}

/// What a user agent's text calls a browser, and its name. The first that is found counts: Edge and Opera say that they are Chrome, and
/// Chrome that it is Safari.
const BROWSERS: [(&str, &str); 8] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
];

/// Browser, major version and kind of device; `None` if the text names no browser that is known.
fn device(agent: &str) -> Option<Item> {
    let found = BROWSERS.iter().find_map(|(mark, name)| {
        let version = agent.split_once(mark)?.1;
        let end = version.find(|c: char| !c.is_ascii_digit());
        // No browser has a version of more than 9 digits, and what is none may have any number of them.
        let major = &version[..end.unwrap_or(version.len())];
        (1..=9).contains(&major.len()).then_some((*name, major))
    });
    let (browser, major) = found?;
    let is_mobile = ["Mobile", "Android", "iPhone"]
        .iter()
        .any(|word| agent.contains(word));
    let major = major.trim_start_matches('0');
    let major = if major.is_empty() { "0" } else { major };
    let entries = [
        ("browser", Value::S(browser.to_owned())),
        ("version", Value::N(major.to_owned())),
        ("mobile", Value::Bool(is_mobile)),
    ];
    let entries = entries.map(|(name, value)| (name.to_owned(), value));
    Some(entries.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                          Version/17.4 Mobile/15E148 Safari/604.1";
    const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 \
                        Safari/537.36 Edg/124.0.2478.51";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0";

    fn item(agent: &str) -> Item {
        [("agent".to_owned(), Value::S(agent.to_owned()))].into()
    }

    #[test]
    fn browser_version_and_kind_are_found() {
        for (agent, browser, version, mobile) in [
            (SAFARI, "Safari", "17", true),
            (EDGE, "Edge", "124", false),
            (FIREFOX, "Firefox", "125", false),
        ] {
            let made = UserAgent.change(&item(agent)).unwrap();
            let Value::M(device) = &made.set["device"] else {
                panic!("a map");
            };
            assert_eq!(device["browser"], Value::S(browser.into()));
            assert_eq!(device["version"], Value::N(version.into()));
            assert_eq!(device["mobile"], Value::Bool(mobile));
        }
        for nothing in ["", "curl/8.5.0", "Firefox/", "Chrome/1234567890"] {
            assert!(UserAgent.change(&item(nothing)).is_err(), "{nothing}");
        }
    }

    #[test]
    fn it_holds_what_is_asked_of_code() {
        let samples = [SAFARI, EDGE, FIREFOX, "curl/8.5.0"].map(item);
        backfill_testkit::code::hold(&UserAgent, &samples);
    }
}
