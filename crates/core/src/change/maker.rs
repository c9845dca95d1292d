//! What gives the values of a change that reads items: templates, or code of a user.

use std::sync::Arc;

use super::code::Code;
use super::compute::Compute;
use super::computing::Unmade;
use super::made::Made;
use super::registered;
use super::spec::{Spec, check_value};
use crate::Item;
use crate::compute::{Failure, LANGUAGE, Path, Source, Template};

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
    pub(super) fn make(&self, item: &Item) -> Result<Made, Unmade> {
        let unmade = |target: Option<&String>, why| Unmade {
            target: target.cloned(),
            why,
        };
        let of_whole = |reason| Failure {
            function: None,
            reason,
            missing: None,
        };
        let targets = match self {
            Maker::Templates(targets) => targets,
            Maker::Code(writes, code) => {
                let code = code.as_ref().map_err(String::clone);
                let made = code.and_then(|code| registered::make(&**code, writes, item));
                return made.map_err(|why| unmade(None, of_whole(why)));
            }
        };
        let mut made = Made::default();
        for (attribute, template) in targets {
            let of_target = |why| unmade(Some(attribute), why);
            let template = template.as_ref();
            let template = template.map_err(|why| of_target(of_whole(why.clone())))?;
            let value = template.evaluate(item).map_err(of_target)?;
            check_value(&value).map_err(|why| of_target(of_whole(why)))?;
            made.set.insert(attribute.clone(), value);
        }
        Ok(made)
    }
}
