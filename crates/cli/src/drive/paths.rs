//! A name such as `a.b` in `--set`, on a table whose items have a map `a`: nobody has said which of the two is meant.

use backfill_core::change::expression::shown_name;
use backfill_core::table::TableDescription;
use backfill_core::{Error, ErrorKind, Item, Key, Request, Result, Spec, Value};
use backfill_dynamodb::Connection;

use crate::drive::described::Described;
use crate::drive::look::Looked;

/// Refuses a name that looks like a path if items of a sample have what the path leads into. Reads only, and nothing if no
/// name looks like one.
///
/// Errors: `InvalidInput`, which says how to write the one and the other; those of a scan.
pub async fn refuse_ambiguous(
    request: &Request,
    connection: &Connection,
    description: &TableDescription,
) -> Result<()> {
    for (verb, name, root) in request.spec.path_like() {
        let meant = Members::of(name, root);
        for kind in [meant, meant.other()] {
            let found = item_with(root, kind, request, connection, description).await?;
            if let Some(key) = found {
                return Err(match kind == meant {
                    true => ambiguous(verb, name, root, &request.spec, &key),
                    false => misled(verb, name, root, kind, &request.spec, &key),
                });
            }
        }
    }
    Ok(())
}

/// [`refuse_ambiguous`], if the table can be read: whoever may only start an execution goes on.
///
/// Errors: `InvalidInput`, and no other.
pub async fn refuse_if_seen(
    request: &Request,
    connection: &Connection,
    table: &Described<'_>,
) -> Result<()> {
    if request.spec.path_like().is_empty() {
        return Ok(());
    }
    let look = async { refuse_ambiguous(request, connection, table.get().await?).await };
    match look.await {
        Err(error) if error.kind() != ErrorKind::InvalidInput => {
            tracing::warn!(
                "cannot see whether a name is meant as a path: {}",
                error.report()
            );
            Ok(())
        }
        looked => looked,
    }
}

/// How the members of an attribute are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Members {
    /// By names, as those of a map.
    Named,
    /// By numbers, as those of a list.
    Numbered,
}

impl Members {
    /// Those that a name would lead to behind its root if it was a path.
    fn of(name: &str, root: &str) -> Members {
        match name[root.len()..].starts_with('[') {
            true => Members::Numbered,
            false => Members::Named,
        }
    }

    fn other(self) -> Members {
        match self {
            Members::Named => Members::Numbered,
            Members::Numbered => Members::Named,
        }
    }
}

/// The key of an item of which this attribute has members of this kind; `None` if the sample has none.
async fn item_with(
    root: &str,
    kind: Members,
    request: &Request,
    connection: &Connection,
    description: &TableDescription,
) -> Result<Option<Key>> {
    let text = |text: &str| Value::S(text.to_owned());
    let has_it = Spec {
        table: request.spec.table.clone(),
        pending: "attribute_type(#a, :type)".into(),
        // It is sent nowhere: what reads here cannot write.
        update: "REMOVE #a".into(),
        names: [("#a".to_owned(), root.to_owned())].into(),
        values: Item::from([(
            ":type".to_owned(),
            text(match kind {
                Members::Named => "M",
                Members::Numbered => "L",
            }),
        )]),
        compute: None,
        code: None,
    };
    let looked = Looked::at(&has_it, request, connection, description, 1).await?;
    Ok(looked.keys.into_iter().next())
}

fn ambiguous(verb: &str, name: &str, root: &str, spec: &Spec, key: &Key) -> Error {
    let inside = shown_name(name[root.len()..].trim_start_matches('.'));
    let quoted = shown_name(name);
    let root = shown_name(root);
    let (path, names) = as_path(name);
    let parent = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
    let named = as_named(verb, &quoted);
    let nested = match verb {
        "set" => format!(
            "--pending 'attribute_exists({parent}) AND attribute_not_exists({path})' --update 'SET {path} = :v'{names} \
             --value ':v=…'"
        ),
        "remove" => {
            format!("--pending 'attribute_exists({path})' --update 'REMOVE {path}'{names}")
        }
        _ => format!("it by --pending and --update with the path {path}{names}"),
    };
    Error::invalid(
        verb,
        format!(
            "{quoted} is the name of one attribute, but in table {} {root} has members of its own, as in item {key}; \
             for {inside} inside {root}, say {nested}; for an attribute that is called {quoted}, say {named}, or in a \
             spec file names with {{\"#n\":{quoted}}}, pending and update",
            spec.table
        ),
    )
}

/// How to say that an attribute is called like a path.
fn as_named(verb: &str, quoted: &str) -> String {
    match verb {
        "set" => format!("--set '{quoted}=…'"),
        "remove" => format!("--remove '{quoted}'"),
        verb => format!("--{verb} with {quoted} in its quotes"),
    }
}

/// As a path the name would lead nowhere: DynamoDB refuses an index into a map, and a name in a list.
fn misled(verb: &str, name: &str, root: &str, kind: Members, spec: &Spec, key: &Key) -> Error {
    let (quoted, root) = (shown_name(name), shown_name(root));
    let (is, has, example) = match kind {
        Members::Named => ("a map", "names", format!("{root}.NAME")),
        Members::Numbered => ("a list", "numbers", format!("{root}[0]")),
    };
    let named = as_named(verb, &quoted);
    Error::invalid(
        verb,
        format!(
            "{quoted} is the name of one attribute, but in table {} {root} is {is}, as in item {key}, whose members have {has}, as \
             in {example}; for one of these, give its path in --pending and --update; for an attribute that is called \
             {quoted}, say {named}, or in a spec file names with {{\"#n\":{quoted}}}, pending and update",
            spec.table
        ),
    )
}

/// A name as the path that it looks like, and the flags for those of its parts that an expression cannot hold as they are.
fn as_path(name: &str) -> (String, String) {
    let mut names = String::new();
    let parts = name.split('.').enumerate().map(|(nth, part)| {
        let (name, index) = part.split_at(part.find('[').unwrap_or(part.len()));
        if shown_name(name) == name {
            return part.to_owned();
        }
        names += &format!(" --name '#n{nth}={name}'");
        format!("#n{nth}{index}")
    });
    let path = parts.collect::<Vec<_>>().join(".");
    (path, names)
}

#[cfg(test)]
mod tests {
    use super::as_path;

    #[test]
    fn a_path_has_placeholders_for_what_no_expression_can_hold() {
        assert_eq!(as_path("a.b[0].c"), ("a.b[0].c".into(), String::new()));
        let (path, names) = as_path("my-map[1].b.a b");
        assert_eq!(path, "#n0[1].b.#n2");
        assert_eq!(names, " --name '#n0=my-map' --name '#n2=a b'");
    }
}
