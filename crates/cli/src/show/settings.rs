//! The declaration of the settings as others read it: as JSON schema, and as the table in `docs/settings.md`.

use backfill_core::request::{Form, MAX_ONLY_SEGMENTS, SETTINGS, Setting};
use backfill_core::table::MAX_SEGMENTS;
use serde_json::{Value as Json, json};

/// Stands for the settings among the properties of a schema.
const MARKER: &str = "    \"settings\": true";

/// A schema with every setting as a property, in the order of their declaration.
pub fn into_schema(schema: &str) -> String {
    let properties: Vec<String> = SETTINGS
        .iter()
        .map(|setting| {
            let property = format!("{:#}", property(setting)).replace('\n', "\n    ");
            format!("    \"{}\": {property}", setting.name)
        })
        .collect();
    schema.replacen(MARKER, &properties.join(",\n"), 1)
}

fn property(setting: &Setting) -> Json {
    let mut property = match setting.form {
        Form::Number(least, most) | Form::Limit(least, most) | Form::Duration(least, most) => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        Form::Word(words) => json!({"enum": words}),
        Form::RunId => json!({"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,268}$"}),
        Form::Text | Form::Alarm | Form::Hours => json!({"type": "string"}),
        Form::Segments => json!({
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_ONLY_SEGMENTS,
            "items": {"type": "integer", "minimum": 0, "maximum": MAX_SEGMENTS - 1},
        }),
        Form::Switch => json!({"type": "boolean"}),
    };
    property["description"] = setting.help.into();
    property
}

#[cfg(test)]
mod tests {
    use indicatif::HumanCount;

    use super::*;

    #[test]
    fn the_schema_has_every_setting() {
        let schema = into_schema(include_str!("../../schema/spec.json"));
        let schema: Json = serde_json::from_str(&schema).unwrap();
        for setting in SETTINGS {
            let property = &schema["properties"][setting.name];
            assert_eq!(property["description"], setting.help, "{}", setting.name);
        }
        assert_eq!(schema["properties"].get("settings"), None);
    }

    fn row(setting: &Setting) -> String {
        let bounds = match setting.form {
            Form::Number(least, most) | Form::Limit(least, most) => {
                format!("{least} to {}", HumanCount(most))
            }
            Form::Duration(least, most) => format!("{least} to {most} s"),
            Form::Word(words) => format!("`{}`", words.join("` or `")),
            Form::Segments => format!("1 to {} segments", HumanCount(MAX_ONLY_SEGMENTS as u64)),
            Form::Text | Form::RunId => "text".into(),
            Form::Alarm => "name, ARN or `none`".into(),
            Form::Hours => "windows and a time zone, or `none`".into(),
            Form::Switch => String::new(),
        };
        let flag = setting
            .flag
            .map_or_else(String::new, |(flag, _)| format!("`--{flag}`"));
        let default = match setting.form {
            Form::Switch => "false",
            _ => setting.default.unwrap_or_default(),
        };
        let cells = [
            format!("`{}`", setting.name),
            flag,
            default.to_owned(),
            bounds,
            setting.help.to_owned(),
        ];
        let cell = |cell: String| match cell.as_str() {
            "" => " ".to_owned(),
            text => format!(" {text} "),
        };
        format!("|{}|", cells.map(cell).join("|"))
    }

    /// To renew the page after a change of the declaration: put the table of the message between its markers.
    #[test]
    fn the_table_of_settings_is_that_of_the_declaration() {
        let page = include_str!("../../../../docs/settings.md");
        let head = "| in the file | flag | default | bounds | meaning |\n|---|---|---|---|---|";
        let rows: Vec<String> = SETTINGS.iter().map(row).collect();
        let table = format!("{head}\n{}\n", rows.join("\n"));
        let (_, rest) = page.split_once("<!-- settings: begin -->\n").unwrap();
        let (found, _) = rest.split_once("<!-- settings: end -->").unwrap();
        assert!(
            found == table,
            "docs/settings.md has another table than:\n{table}"
        );
    }
}
