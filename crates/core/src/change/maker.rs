//! What gives the values of a change that reads items: templates, or code of a user.

use std::sync::Arc;

use super::code::Code;
use super::compute::Compute;
use super::made::Made;
use super::registered;
use super::spec::Spec;
use super::unmade::Unmade;
use crate::Value;
use crate::compute::{Failure, LANGUAGE, Path, Source, Template, is_same};
use crate::value::few::Attributes;

/// What makes of an item what is written to it.
#[derive(Debug)]
pub(super) enum Maker {
    /// Attribute, and what gives its value. An error says why nothing can be computed here.
    Templates(Vec<(String, Result<Template, String>)>),
    /// The attributes that it may write, and the code. An error says why this program does not have it.
    Code(Vec<String>, Result<Arc<dyn Code>, String>),
}

impl Maker {
    /// By templates.
    pub(super) fn of_templates(compute: &Compute) -> Maker {
        let targets = compute.targets.iter().map(|(attribute, text)| {
            let template = match compute.language {
                LANGUAGE => Template::parse(text),
                other => Err(format!(
                    "it is written in version {other} of the language, and this program knows version {LANGUAGE}"
                )),
            };
            (attribute.clone(), template)
        });
        Maker::Templates(targets.collect())
    }

    /// By the code that a spec names.
    pub(super) fn of_code(spec: &Spec) -> Maker {
        let code = match &spec.code {
            Some(coded) => coded.code().map_err(|error| error.to_string()),
            None => Err("no code is named".into()),
        };
        Maker::Code(spec.targets(), code)
    }

    /// The attributes that may be written.
    pub(super) fn targets(&self) -> Vec<String> {
        match self {
            Maker::Templates(targets) => targets.iter().map(|(name, _)| name.clone()).collect(),
            Maker::Code(targets, _) => targets.clone(),
        }
    }

    /// What is read of an item.
    pub(super) fn sources(&self) -> Vec<Source> {
        match self {
            Maker::Templates(targets) => {
                let templates = targets
                    .iter()
                    .filter_map(|(_, template)| template.as_ref().ok());
                templates.flat_map(Template::sources).cloned().collect()
            }
            Maker::Code(_, code) => {
                let reads = code.iter().flat_map(|code| code.reads());
                let sources = reads.map(|name| Source {
                    path: Path::attribute(&name),
                    required: false,
                });
                sources.collect()
            }
        }
    }

    /// The templates, each with its attribute: none if code makes the values.
    pub(super) fn templates(&self) -> &[(String, Result<Template, String>)] {
        match self {
            Maker::Templates(targets) => targets,
            Maker::Code(..) => &[],
        }
    }

    /// Makes what is written to an item.
    ///
    /// Errors: the first attribute that cannot be computed, and why.
    pub(super) fn make(&self, item: &dyn Attributes) -> Result<Made, Unmade> {
        let targets = match self {
            Maker::Templates(targets) => targets,
            Maker::Code(writes, code) => {
                let code = code.as_ref().map_err(Failure::of_the_whole);
                let made = code.and_then(|code| registered::make(&**code, writes, item));
                return made.map_err(|why| Unmade { target: None, why });
            }
        };
        let mut made = Made::default();
        for target in targets {
            made.set.insert(target.0.clone(), computed(target, item)?);
        }
        // One alone has been measured by its template.
        if made.set.len() > 1 {
            registered::check_together(&made).map_err(|why| Unmade {
                target: None,
                why: Failure::of_the_whole(why),
            })?;
        }
        Ok(made)
    }

    /// Whether an attribute has another value than this would make of its item. What cannot be made is another. Of templates nothing is
    /// put together for it: a verification asks of every item of a table.
    pub(super) fn differs(&self, item: &dyn Attributes) -> bool {
        let has = |(name, value): (&String, &Value)| {
            item.attribute(name).is_some_and(|now| is_same(now, value))
        };
        match self {
            Maker::Templates(targets) => targets.iter().any(|target| {
                let now = item.attribute(&target.0);
                now.is_none_or(|now| {
                    !computed(target, item).is_ok_and(|value| is_same(now, &value))
                })
            }),
            Maker::Code(..) => !self.make(item).is_ok_and(|made| {
                made.set.iter().all(has)
                    && made
                        .remove
                        .iter()
                        .all(|name| item.attribute(name).is_none())
            }),
        }
    }
}

/// The value that the template of an attribute gives.
fn computed(
    (attribute, template): &(String, Result<Template, String>),
    item: &dyn Attributes,
) -> Result<Value, Unmade> {
    let of_target = |why| Unmade {
        target: Some(attribute.clone()),
        why,
    };
    let of_whole = |reason| of_target(Failure::of_the_whole(reason));
    let template = template.as_ref();
    let template = template.map_err(|why| of_whole(why.clone()))?;
    // What it gives can be stored.
    template.evaluate(item).map_err(of_target)
}
