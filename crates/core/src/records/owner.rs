//! Who works for a run, told apart by kind and written as the same text on every way.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::printable;

/// Who works for a run: whoever started or resumed it last. On the wire and in records it is the text that
/// [`Owner`]'s `Display` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Owner {
    /// An execution of a state machine.
    Execution(ExecutionArn),
    /// A process of a host.
    Process(Process),
    /// Anybody else, by whatever name.
    Other(String),
}

/// The ARN of an execution: `arn:<partition>:states:<region>:<account>:execution:<state machine>:<name>` (service
/// authorization reference, Resource types defined by AWS Step Functions), or another ARN that an endpoint gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionArn(String);

impl ExecutionArn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ARN of the state machine whose execution it is; `None` if the ARN has another form.
    pub fn state_machine(&self) -> Option<String> {
        match self.0.split(':').collect::<Vec<_>>()[..] {
            [
                "arn",
                partition,
                "states",
                region,
                account,
                "execution",
                machine,
                _,
            ] => Some(format!(
                "arn:{partition}:states:{region}:{account}:stateMachine:{machine}"
            )),
            _ => None,
        }
    }
}

/// A process that drives a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The process's number on the host.
    pub id: u32,
    /// Whose process it is; `None` if that was not known, and in records of earlier versions. There is no space in it.
    pub user: Option<String>,
    /// A text that tells the host, its boot and its space of process numbers from others.
    pub host: String,
    /// When it took the run; milliseconds since 1970.
    pub since_ms: u64,
}

impl Process {
    /// Reads what `Display` writes, and nothing else: neither a number with a sign nor one with a leading zero.
    fn parse(text: &str) -> Option<Process> {
        let (who, rest) = text.strip_prefix("process ")?.split_once(" on ")?;
        let (id, user) = match who.split_once(" of ") {
            Some((id, user)) if !user.contains(' ') => (id, Some(user.to_owned())),
            Some(_) => return None,
            None => (who, None),
        };
        let (host, since_ms) = rest.rsplit_once(" since ")?;
        let process = Process {
            id: id.parse().ok()?,
            user,
            host: host.to_owned(),
            since_ms: since_ms.parse().ok()?,
        };
        (process.to_string() == text).then_some(process)
    }

    /// The name of the host alone, without its boot and its space of process numbers.
    fn host_name(&self) -> &str {
        let name = self.host.split_once(" boot ");
        name.map_or(&self.host, |(name, _)| name)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref();
        let of = user.map_or_else(String::new, |user| format!(" of {user}"));
        write!(
            f,
            "process {}{of} on {} since {}",
            self.id, self.host, self.since_ms
        )
    }
}

impl Owner {
    /// Who it is, for people: "ana@night-watch (pid 26601)", "execution stuff-1 of backfill", or the name. A program wants the
    /// whole text, that of `Display`.
    pub fn brief(&self) -> String {
        // Anybody may have written it.
        printable(&match self {
            Owner::Execution(arn) => match arn.0.split(':').collect::<Vec<_>>()[..] {
                ["arn", _, "states", _, _, "execution", machine, name] => {
                    format!("execution {name} of {machine}")
                }
                _ => arn.0.clone(),
            },
            Owner::Process(process) => {
                let user = process.user.as_ref();
                let user = user.map_or_else(String::new, |user| format!("{user}@"));
                format!("{user}{} (pid {})", process.host_name(), process.id)
            }
            Owner::Other(name) => name.clone(),
        })
    }

    /// [`Owner::brief`] of what may be an owner's text or any other name, such as the author of an event.
    pub fn brief_of(text: &str) -> String {
        Owner::from(text).brief()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Execution(arn) => f.write_str(&arn.0),
            Owner::Process(process) => process.fmt(f),
            Owner::Other(name) => f.write_str(name),
        }
    }
}

impl From<String> for Owner {
    fn from(text: String) -> Self {
        if text.starts_with("arn:") {
            return Owner::Execution(ExecutionArn(text));
        }
        match Process::parse(&text) {
            Some(process) => Owner::Process(process),
            None => Owner::Other(text),
        }
    }
}

impl From<&str> for Owner {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> String {
        owner.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_the_same_text_on_both_ways() {
        let execution = "arn:aws:states:eu-west-1:1:execution:backfill:stuff-1";
        for (text, is) in [
            (execution, "execution"),
            ("arn:odd", "execution"),
            ("process 7 on a boot b pid:[1] since 99", "process"),
            ("process 7 on a since b since 99", "process"),
            ("process 7 of ana on a boot b pid:[1] since 99", "process"),
            ("process 7 of ana b on a since 99", "other"),
            ("process 7 of  on a since 99", "process"),
            ("process 07 on a since 99", "other"),
            ("process +7 on a since 99", "other"),
            ("process 7 on a", "other"),
            ("process 7/.. on a since 9", "other"),
            ("somebody", "other"),
            ("", "other"),
        ] {
            let owner = Owner::from(text);
            let found = match &owner {
                Owner::Execution(_) => "execution",
                Owner::Process(_) => "process",
                Owner::Other(_) => "other",
            };
            assert_eq!(found, is, "{text}");
            assert_eq!(owner.to_string(), text);
            let json = serde_json::to_string(&owner).unwrap();
            assert_eq!(json, serde_json::to_string(text).unwrap());
            assert_eq!(serde_json::from_str::<Owner>(&json).unwrap(), owner);
        }
    }

    #[test]
    fn people_read_who_it_is_and_where() {
        for (text, brief) in [
            (
                "process 26601 of ana on night-watch boot 1234abcd pid:[4026531836] since 1795272638215",
                "ana@night-watch (pid 26601)",
            ),
            (
                "process 26601 on night-watch boot 1234abcd pid:[4026531836] since 1795272638215",
                "night-watch (pid 26601)",
            ),
            ("process 7 on a since 99", "a (pid 7)"),
            (
                "arn:aws:states:eu-west-1:1:execution:backfill:stuff-1-17",
                "execution stuff-1-17 of backfill",
            ),
            ("arn:odd", "arn:odd"),
            ("ana@night-watch", "ana@night-watch"),
            ("somebody", "somebody"),
            (
                "me\u{1b}[2J\u{202e}\nerror: x",
                "me\\u{1b}[2J\\u{202e}\\nerror: x",
            ),
        ] {
            assert_eq!(Owner::brief_of(text), brief);
        }
    }

    #[test]
    fn an_execution_tells_its_state_machine() {
        let machine = |arn: &str| match Owner::from(arn) {
            Owner::Execution(arn) => arn.state_machine(),
            _ => None,
        };
        let arn = "arn:aws-cn:states:cn-north-1:1:execution:a:b";
        let expected = "arn:aws-cn:states:cn-north-1:1:stateMachine:a";
        assert_eq!(machine(arn).as_deref(), Some(expected));
        for odd in [
            "arn:aws:states:r:1:express:a:b:c",
            "arn:",
            "arn:aws:lambda:r:1:execution:a:b",
        ] {
            assert_eq!(machine(odd), None, "{odd}");
        }
    }
}
