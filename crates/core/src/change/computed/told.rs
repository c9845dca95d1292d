//! What a change by templates tells whoever looks at items before a run.

use super::Computed;
use crate::Item;
use crate::change::compute::Mode;
use crate::change::made::Made;
use crate::change::seam::Change as _;
use crate::change::seam::{Computing, Unsettled};
use crate::change::unmade::Unmade;
use crate::compute::{Source, is_same};

impl Computed {
    /// What a run would make of this item, which reads no more of it than it says.
    fn made_of_whole(&self, item: &Item) -> Result<Made, Unmade> {
        self.maker.make(&self.seen(item.clone().into()).read)
    }
}

impl Computing for Computed {
    fn mode(&self) -> Mode {
        self.mode
    }

    fn targets(&self) -> Vec<&str> {
        let targets = self.targets.iter();
        targets.map(|target| target.attribute.as_str()).collect()
    }

    fn sources(&self) -> Vec<Source> {
        let mut all: Vec<Source> = Vec::new();
        for source in self.maker.sources() {
            match all.iter_mut().find(|known| known.path == source.path) {
                Some(known) => known.required |= source.required,
                None => all.push(source),
            }
        }
        all
    }

    fn joined(&self) -> Vec<(&str, Vec<&str>)> {
        let joined = self.maker.templates().iter();
        let joined = joined.filter_map(|(target, template)| {
            let joined = template.as_ref().ok()?.joined()?;
            let of_top = joined.into_iter().map(|path| match path.names() {
                [name] => Some(name.as_str()),
                _ => None,
            });
            let of_top: Vec<&str> = of_top.collect::<Option<_>>()?;
            (of_top.len() > 1).then_some((target.as_str(), of_top))
        });
        joined.collect()
    }

    fn is_pending_whole(&self, item: &Item) -> bool {
        self.is_still_pending(item)
    }

    fn after(&self, item: &Item) -> Result<Item, Unmade> {
        let made = self.made_of_whole(item)?;
        let mut after = item.clone();
        after.retain(|name, _| !made.remove.contains(name));
        for (name, value) in made.set {
            // Of several targets those that are there keep their value.
            if self.mode != Mode::Missing || !after.contains_key(&name) {
                after.insert(name, value);
            }
        }
        Ok(after)
    }

    fn is_different(&self, item: &Item) -> bool {
        let is_told = match self.mode {
            Mode::Missing => !self.lacks_target(item),
            Mode::Replace | Mode::Converge => true,
        };
        is_told && self.has_sources(item) && self.maker.differs(item)
    }

    fn unsettled(&self, item: &Item) -> Option<Unsettled> {
        let made = self.made_of_whole(item).ok()?;
        let again = self.made_of_whole(&self.after(item).ok()?).ok();
        made.set.into_iter().find_map(|(target, first)| {
            let then = again.as_ref().and_then(|again| again.set.get(&target));
            let stays = then.is_some_and(|then| is_same(then, &first));
            let then = then.cloned();
            (!stays).then_some(Unsettled {
                target,
                first,
                then,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::table::{KeyAttribute, KeySchema, KeyType};
    use crate::{Item, Request, Value};

    /// DynamoDB would refuse such a request as a whole, and the run would end with it.
    #[test]
    fn values_that_no_item_can_hold_together_are_the_items_own_trouble() {
        let json = r#"{"table":"stuff","compute":{"a":"${c}a","b":"${c}b"}}"#;
        let spec = Request::from_json(json).unwrap().spec;
        let change = spec.change(&KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        });
        let make = |bytes: usize| {
            let item = Item::from([("c".to_owned(), Value::S("c".repeat(bytes)))]);
            change.make(&change.seen(item.into()))
        };
        assert!(make(199 * 1024).is_ok_and(|made| made.set.len() == 2));
        let why = make(250 * 1024).unwrap_err();
        assert_eq!(why, "what it gets has more than the 400 KB of an item");
    }

    #[test]
    fn failures_of_one_kind_differ_in_what_is_quoted_of_an_item() {
        let json = r#"{"table":"stuff","compute":{"a b":"${c|number}"}}"#;
        let spec = Request::from_json(json).unwrap().spec;
        let change = spec.change(&KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        });
        let computed = change.computing().unwrap();
        let failure = |c| {
            computed
                .after(&Item::from([("c".to_owned(), c)]))
                .unwrap_err()
        };
        let [one, other] = ["x", "y"].map(|text| failure(Value::S(text.into())));
        assert!(
            one.to_string()
                .starts_with(r#""a b" cannot be computed: number: "x""#),
            "{one}"
        );
        assert_ne!(one.to_string(), other.to_string());
        assert_eq!(one.kind(), other.kind());
        assert_ne!(one.kind(), failure(Value::Null(true)).kind());
    }
}
