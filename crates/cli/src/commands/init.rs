//! `backfill init`: asks what is to be done, and writes a spec file.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use backfill_core::change::check_table_name;
use backfill_core::{Error, ErrorKind, Request, Result, Value};
use clap::Args;
use serde_json::json;

use crate::args::typed_name;
use crate::ending::Ending;
use crate::show::print;

#[derive(Args)]
pub struct InitArgs {
    /// Write the spec here; a file that is there already is left alone.
    #[arg(long, value_name = "FILE", default_value = "spec.json")]
    out: PathBuf,
}

/// What can be done, as it is asked for and as a field of the spec.
const VERBS: [&str; 6] = ["set", "remove", "rename", "copy", "append", "add"];

/// Runs the command.
pub fn init(args: &InitArgs) -> Result<Ending> {
    if !(std::io::stdin().is_terminal() && print::is_terminal()) {
        return Err(Error::invalid(
            "init",
            "there is no terminal to ask on; give plan and run the flags themselves, such as --table orders --set \
             currency='\"EUR\"' --max-wcu 500, or write a spec file by backfill schema spec",
        ));
    }
    if args.out.exists() {
        let why = format!("{} is there already; name another file", args.out.display());
        return Err(Error::invalid("out", why));
    }
    let fields = match asked()? {
        Some(fields) => fields,
        None => {
            print::say("nothing was written");
            return Ok(Ending::Stopped);
        }
    };
    let lines: Vec<String> = fields
        .iter()
        .map(|(field, json)| format!("  \"{field}\": {json}"))
        .collect();
    let text = format!("{{\n{}\n}}\n", lines.join(",\n"));
    let written = File::create_new(&args.out).and_then(|mut out| out.write_all(text.as_bytes()));
    written.map_err(|error| {
        let why = format!("cannot write {}: {error}", args.out.display());
        Error::invalid("out", why)
    })?;
    let path = args.out.display();
    print::say(&format!(
        "written to {path}; see what it would do: backfill plan --spec {path}"
    ));
    Ok(Ending::Succeeded)
}

/// The five questions: the fields of the spec, each with its JSON as it was typed, so that numbers keep their digits. `None` if the
/// input ends before the last.
fn asked() -> Result<Option<Vec<(String, String)>>> {
    let table = answer("1/5 Which table?", |table| {
        check_table_name(table).map(|()| table.to_owned())
    })?;
    let Some(table) = table else {
        return Ok(None);
    };
    let what = "2/5 What is to be done: set, remove, rename, copy, append or add?";
    let verb = answer(what, |verb| match VERBS.contains(&verb) {
        true => Ok(verb.to_owned()),
        false => Err(format!("{verb:?} is none of them")),
    })?;
    let Some(verb) = verb else {
        return Ok(None);
    };
    let name = answer("3/5 Which attribute?", |name| match name {
        "" => Err("an attribute needs a name".into()),
        name => Ok(typed_name(name)?.name),
    })?;
    let Some(name) = name else {
        return Ok(None);
    };
    let change = answer(fourth(&verb), |answer| change(&verb, &name, answer))?;
    let Some(change) = change else {
        return Ok(None);
    };
    let most = "5/5 Write units per second at most? (nothing: no limit)";
    let limit = answer(most, |units| match (units, units.parse::<u32>()) {
        ("", _) => Ok(None),
        (_, Ok(limit)) if limit > 0 => Ok(Some(limit)),
        _ => Err(format!("expected a number such as 500, got {units:?}")),
    })?;
    let Some(limit) = limit else {
        return Ok(None);
    };
    let mut fields = vec![
        ("table".to_owned(), json!(table).to_string()),
        (verb, change),
    ];
    fields.extend(limit.map(|units| ("max_wcu".to_owned(), units.to_string())));
    Ok(Some(fields))
}

/// The fourth question, which is about the verb.
fn fourth(verb: &str) -> &'static str {
    match verb {
        "remove" => "4/5 Sure that nothing reads it any more? (yes)",
        "rename" => "4/5 Which name does it get?",
        "copy" => "4/5 To which attribute?",
        _ => "4/5 Which value, as JSON: 1, \"text\", true, [..], {..}?",
    }
}

/// The JSON of the verb's field, checked as a run would check it.
fn change(verb: &str, name: &str, answer: &str) -> std::result::Result<String, String> {
    let change = match verb {
        "remove" if answer == "yes" => json!([name]).to_string(),
        "remove" => return Err("only yes goes on; ctrl-C leaves it".into()),
        "rename" | "copy" => json!({name: typed_name(answer)?.name}).to_string(),
        _ => {
            Value::from_plain_json(answer)?;
            format!("{{{}: {answer}}}", json!(name))
        }
    };
    match Request::from_json(&format!("{{\"table\": \"any\", \"{verb}\": {change}}}")) {
        Ok(_) => Ok(change),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks until the answer is good; `None` if the input ends.
fn answer<T>(
    question: &str,
    read: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<Option<T>> {
    loop {
        print::ask(&format!("{question} "));
        let mut line = String::new();
        let length = std::io::stdin()
            .read_line(&mut line)
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot ask").with_source(error))?;
        if length == 0 {
            return Ok(None);
        }
        match read(line.trim()) {
            Ok(answer) => return Ok(Some(answer)),
            Err(why) => print::say(&format!("  {why}")),
        }
    }
}
