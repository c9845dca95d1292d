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
        if let Some(key) = item_with(root, request, connection, description).await? {
            return Err(ambiguous(verb, name, root, &request.spec, &key));
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

/// The key of an item of which this attribute is a map or a list; `None` if the sample has none.
async fn item_with(
    root: &str,
    request: &Request,
    connection: &Connection,
    description: &TableDescription,
) -> Result<Option<Key>> {
    let text = |text: &str| Value::S(text.to_owned());
    let has_it = Spec {
        table: request.spec.table.clone(),
        pending: "attribute_type(#a, :map) OR attribute_type(#a, :list)".into(),
        // It is sent nowhere: what reads here cannot write.
        update: "REMOVE #a".into(),
        names: [("#a".to_owned(), root.to_owned())].into(),
        values: Item::from([
            (":map".to_owned(), text("M")),
            (":list".to_owned(), text("L")),
        ]),
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
    let (nested, named) = match verb {
        "set" => (
            format!(
                "--pending 'attribute_exists({parent}) AND attribute_not_exists({path})' --update 'SET {path} = :v'{names} \
                 --value ':v=…'"
            ),
            format!("--set '{quoted}=…'"),
        ),
        "remove" => (
            format!("--pending 'attribute_exists({path})' --update 'REMOVE {path}'{names}"),
            format!("--remove '{quoted}'"),
        ),
        verb => (
            format!("it by --pending and --update with the path {path}{names}"),
            format!("--{verb} with {quoted} in its quotes"),
        ),
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
