//! Conditions and updates as trees, by the grammar in the developer guide (Condition and filter expressions, operators, and
//! functions; Update expressions). DynamoDB stays the judge of what an expression may hold: what is read here may be refused there.

use std::collections::BTreeMap;

use super::expression::{MAX_DEPTH, SECTIONS, is_bare_name, tokens, words};
use crate::text::printable;
use crate::value::{Item, Value};

/// A way to a value of an item: the name of an attribute, and what leads further inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// The name of the attribute.
    pub attribute: String,
    /// The steps inside it, outermost first.
    pub steps: Vec<Step>,
}

/// A step into a map or a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// To the value of this name in a map.
    Name(String),
    /// To this member of a list, from 0.
    Index(usize),
}

impl Path {
    /// The value to which it leads, if there is one.
    pub fn get<'a>(&self, item: &'a Item) -> Option<&'a Value> {
        let mut value = item.get(&self.attribute)?;
        for step in &self.steps {
            value = match (step, value) {
                (Step::Name(name), Value::M(map)) => map.get(name)?,
                (Step::Index(index), Value::L(list)) => list.get(*index)?,
                _ => return None,
            };
        }
        Some(value)
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// All of these hold.
    All(Vec<Test>),
    /// One of these holds, or more.
    Any(Vec<Test>),
    /// This does not hold.
    Not(Box<Test>),
    /// `left = right`, and what else compares two values.
    Compare(Operand, Comparator, Operand),
    /// `value BETWEEN low AND high`.
    Between(Operand, Operand, Operand),
    /// `value IN (…)`.
    In(Operand, Vec<Operand>),
    /// `attribute_exists(path)`.
    Exists(Path),
    /// `attribute_type(value, :type)`.
    IsType(Operand, Operand),
    /// `begins_with(value, beginning)`.
    BeginsWith(Operand, Operand),
    /// `contains(value, part)`.
    Contains(Operand, Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a condition compares.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Path(Path),
    Value(Value),
    /// `size(value)`.
    Size(Box<Operand>),
}

/// An update expression, read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Update {
    /// `SET path = term`, in their order.
    pub set: Vec<(Path, Term)>,
    /// `REMOVE path`, in their order.
    pub remove: Vec<Path>,
    /// `ADD path value`, in their order. The value is a number or a set.
    pub add: Vec<(Path, Value)>,
    /// `DELETE path value`, in their order. The value is a set.
    pub delete: Vec<(Path, Value)>,
}

/// What `SET` sets a path to.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// The value of another path.
    Path(Path),
    /// A value of the request.
    Value(Value),
    /// The sum of two numbers.
    Plus(Box<Term>, Box<Term>),
    /// The first number less the second.
    Minus(Box<Term>, Box<Term>),
    /// The value of the path; the term if there is none.
    IfNotExists(Path, Box<Term>),
    /// The members of the first list, and those of the second behind them.
    ListAppend(Box<Term>, Box<Term>),
}

impl Update {
    /// Reads an update whose `#name`s and `:value`s are these. An error says, for a person, what is wrong where.
    pub fn new(
        update: &str,
        names: &BTreeMap<String, String>,
        values: &Item,
    ) -> Result<Update, String> {
        Parser::new(update, Some(names), values).read(Parser::update)
    }

    /// Refuses what is no update, with the reason for a person. Any placeholder will do for a name, and any for a value that is not
    /// among these.
    pub(super) fn check(update: &str, values: &Item) -> Result<(), String> {
        let parser = Parser::new(update, None, values);
        parser.read(Parser::update).map(drop)
    }
}

/// Reads a condition whose `#name`s and `:value`s are these. An error says, for a person, what is wrong where.
pub(super) fn condition(
    expression: &str,
    names: &BTreeMap<String, String>,
    values: &Item,
) -> Result<Test, String> {
    Parser::new(expression, Some(names), values).read(|parser| {
        let test = parser.any()?;
        match parser.peek() {
            "" => Ok(test),
            _ => Err("AND, OR or nothing more".into()),
        }
    })
}

/// An expression on its way through the grammar. An error says what is expected in the place of the next token.
struct Parser<'a> {
    expression: &'a str,
    tokens: Vec<&'a str>,
    at: usize,
    /// Parentheses that are open.
    depth: usize,
    /// What names mean; if that is not known, each stands for itself, and so may values that are missing.
    names: Option<&'a BTreeMap<String, String>>,
    values: &'a Item,
}

impl<'a> Parser<'a> {
    fn new(
        expression: &'a str,
        names: Option<&'a BTreeMap<String, String>>,
        values: &'a Item,
    ) -> Self {
        Parser {
            expression,
            tokens: words(expression),
            at: 0,
            depth: 0,
            names,
            values,
        }
    }

    fn read<T>(mut self, rule: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        rule(&mut self).map_err(|expected| {
            let places = tokens(self.expression);
            let begin = places
                .get(self.at.saturating_sub(3))
                .map_or(0, |place| place.start);
            match places.get(self.at) {
                Some(place) => format!(
                    "expected {expected}, got {} in {}",
                    printable(&self.expression[place.clone()]),
                    printable(&self.expression[begin..place.end])
                ),
                None => format!(
                    "expected {expected} behind {}",
                    printable(&self.expression[begin..])
                ),
            }
        })
    }

    /// The next token; none at the end.
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn take(&mut self, mark: &str) -> bool {
        let found = self.peek() == mark;
        self.at += usize::from(found);
        found
    }

    /// Takes the next token if it is this keyword, in any case of letters.
    fn take_word(&mut self, keyword: &str) -> bool {
        let found = self.peek().eq_ignore_ascii_case(keyword);
        self.at += usize::from(found);
        found
    }

    /// Takes the next two tokens if they open a call of this function, whose name is case-sensitive.
    fn take_call(&mut self, function: &str) -> bool {
        let found = self.peek() == function && self.tokens.get(self.at + 1) == Some(&"(");
        self.at += 2 * usize::from(found);
        found
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        match self.take(mark) {
            true => Ok(()),
            false => Err(mark.to_owned()),
        }
    }

    /// What stands inside a function or parentheses.
    fn nested<T>(&mut self, rule: fn(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth == MAX_DEPTH {
            return Err(format!(
                "no more than {MAX_DEPTH} parentheses in one another"
            ));
        }
        self.depth += 1;
        let found = rule(self)?;
        self.depth -= 1;
        Ok(found)
    }

    /// A path: `name.#placeholder[1]`.
    fn path(&mut self) -> Result<Path, String> {
        let path = Path {
            attribute: self.name()?,
            steps: Vec::new(),
        };
        self.steps(path)
    }

    /// A path with the steps that follow.
    fn steps(&mut self, mut path: Path) -> Result<Path, String> {
        loop {
            if self.take(".") {
                path.steps.push(Step::Name(self.name()?));
            } else if self.take("[") {
                // DynamoDB reads no number that begins with a 0 and has more digits, nor does `parse` one with a sign here: a
                // sign is a token of its own.
                let index = self.peek();
                let is_plain = index == "0" || !index.starts_with('0');
                match index.parse() {
                    Ok(index) if is_plain => path.steps.push(Step::Index(index)),
                    _ => return Err("the number of a member".into()),
                }
                self.at += 1;
                self.expect("]")?;
            } else {
                return Ok(path);
            }
        }
    }

    fn name(&mut self) -> Result<String, String> {
        let token = self.peek();
        let is_placeholder = token.starts_with('#') && token.len() > 1;
        if !is_bare_name(token) && !is_placeholder {
            return Err("the name of an attribute, or a #n for one".into());
        }
        let name = match self.names {
            Some(names) if is_placeholder => names
                .get(token)
                .ok_or("a #n for a name that `names` defines")?,
            _ => token,
        };
        self.at += 1;
        Ok(name.to_owned())
    }

    /// The value of a placeholder; `None` if the next token is none.
    fn value(&mut self) -> Result<Option<Value>, String> {
        let token = self.peek();
        if !token.starts_with(':') || token.len() == 1 {
            return Ok(None);
        }
        let value = match (self.values.get(token), self.names) {
            (Some(value), _) => value.clone(),
            (None, None) => Value::Null(true),
            (None, Some(_)) => return Err("a :v for a value that `values` defines".into()),
        };
        self.at += 1;
        Ok(Some(value))
    }
}

/// Conditions.
impl Parser<'_> {
    /// `a OR b OR …`.
    fn any(&mut self) -> Result<Test, String> {
        let mut tests = vec![self.all()?];
        while self.take_word("OR") {
            tests.push(self.all()?);
        }
        Ok(one_or(tests, Test::Any))
    }

    /// `a AND b AND …`, which binds tighter than `OR`.
    fn all(&mut self) -> Result<Test, String> {
        let mut tests = vec![self.negated()?];
        while self.take_word("AND") {
            tests.push(self.negated()?);
        }
        Ok(one_or(tests, Test::All))
    }

    /// `NOT a`, which binds tighter than `AND`.
    fn negated(&mut self) -> Result<Test, String> {
        let mut is_negated = false;
        while self.take_word("NOT") {
            is_negated = !is_negated;
        }
        let test = self.test()?;
        Ok(match is_negated {
            true => Test::Not(Box::new(test)),
            false => test,
        })
    }

    fn test(&mut self) -> Result<Test, String> {
        if self.peek() == "(" && !self.opens_operand() {
            self.at += 1;
            let test = self.nested(Self::any)?;
            self.expect(")")?;
            return Ok(test);
        }
        let test = if self.take_call("attribute_exists") {
            Test::Exists(self.grouped_path()?)
        } else if self.take_call("attribute_not_exists") {
            Test::Not(Box::new(Test::Exists(self.grouped_path()?)))
        } else if self.take_call("attribute_type") {
            let (value, kind) = self.two_operands()?;
            Test::IsType(value, kind)
        } else if self.take_call("begins_with") {
            let (value, beginning) = self.two_operands()?;
            Test::BeginsWith(value, beginning)
        } else if self.take_call("contains") {
            let (value, part) = self.two_operands()?;
            Test::Contains(value, part)
        } else {
            return self.comparison();
        };
        self.expect(")")?;
        Ok(test)
    }

    fn two_operands(&mut self) -> Result<(Operand, Operand), String> {
        let first = self.operand()?;
        self.expect(",")?;
        Ok((first, self.operand()?))
    }

    fn comparison(&mut self) -> Result<Test, String> {
        let left = self.operand()?;
        if self.take_word("BETWEEN") {
            let low = self.operand()?;
            if !self.take_word("AND") {
                return Err("AND and the upper bound of BETWEEN".into());
            }
            return Ok(Test::Between(left, low, self.operand()?));
        }
        if self.take_word("IN") {
            self.expect("(")?;
            let mut list = vec![self.operand()?];
            while self.take(",") {
                list.push(self.operand()?);
            }
            self.expect(")")?;
            return Ok(Test::In(left, list));
        }
        let comparator = match self.peek() {
            "=" => Comparator::Equal,
            "<>" => Comparator::Unequal,
            "<" => Comparator::Less,
            "<=" => Comparator::LessOrEqual,
            ">" => Comparator::Greater,
            ">=" => Comparator::GreaterOrEqual,
            _ => return Err("=, <>, <, <=, >, >=, BETWEEN or IN".into()),
        };
        self.at += 1;
        Ok(Test::Compare(left, comparator, self.operand()?))
    }

    /// Whether the parenthesis here is that of an operand, not of a condition: behind its end stands what goes on an operand.
    fn opens_operand(&self) -> bool {
        let mut depth = 0_usize;
        let mut rest = self.tokens[self.at..].iter();
        let end = rest.find(|token| {
            match **token {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        });
        let next = rest.next().copied().unwrap_or_default();
        let marks = ["=", "<>", "<", "<=", ">", ">=", "BETWEEN", "IN", ".", "["];
        end.is_some() && marks.iter().any(|mark| mark.eq_ignore_ascii_case(next))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if self.take("(") {
            let operand = self.nested(Self::operand)?;
            self.expect(")")?;
            return match operand {
                Operand::Path(path) => self.steps(path).map(Operand::Path),
                other => Ok(other),
            };
        }
        if let Some(value) = self.value()? {
            return Ok(Operand::Value(value));
        }
        if self.take_call("size") {
            let operand = self.nested(Self::operand)?;
            self.expect(")")?;
            return Ok(Operand::Size(Box::new(operand)));
        }
        // What is wrong inside a path is said as it is.
        let before = self.at;
        self.path().map(Operand::Path).map_err(|why| {
            let is_begun = self.at > before || self.peek().starts_with('#');
            match is_begun {
                true => why,
                false => "a value, such as :v, an attribute, or a function".into(),
            }
        })
    }

    /// A path, which may stand in parentheses.
    fn grouped_path(&mut self) -> Result<Path, String> {
        if self.take("(") {
            let path = self.nested(Self::grouped_path)?;
            self.expect(")")?;
            return self.steps(path);
        }
        self.path()
    }
}

/// The only one, or what they make together.
fn one_or(mut tests: Vec<Test>, together: fn(Vec<Test>) -> Test) -> Test {
    match tests.len() {
        1 => tests.remove(0),
        _ => together(tests),
    }
}

/// Updates.
impl Parser<'_> {
    fn update(&mut self) -> Result<Update, String> {
        let mut update = Update::default();
        let mut seen: Vec<String> = Vec::new();
        while self.at < self.tokens.len() {
            let clause = self.peek().to_ascii_uppercase();
            if !SECTIONS.contains(&clause.as_str()) {
                let more = if seen.is_empty() {
                    ""
                } else {
                    "a comma and one more, or "
                };
                return Err(format!("{more}SET, REMOVE, ADD or DELETE"));
            }
            if seen.contains(&clause) {
                return Err(format!(
                    "one {clause} alone, with commas between what it is about"
                ));
            }
            self.at += 1;
            loop {
                self.action(&clause, &mut update)?;
                if !self.take(",") {
                    break;
                }
            }
            seen.push(clause);
        }
        match seen.is_empty() {
            true => Err("SET, REMOVE, ADD or DELETE".into()),
            false => Ok(update),
        }
    }

    fn action(&mut self, clause: &str, update: &mut Update) -> Result<(), String> {
        let path = self.path()?;
        match clause {
            "SET" => {
                self.expect("=")?;
                update.set.push((path, self.term()?));
            }
            "ADD" => update.add.push((path, self.operand_of(clause)?)),
            "DELETE" => update.delete.push((path, self.operand_of(clause)?)),
            _ => update.remove.push(path),
        }
        Ok(())
    }

    /// An operand, or two with `+` or `-` between them.
    fn term(&mut self) -> Result<Term, String> {
        let mut term = self.operand_of_term()?;
        if self.take("+") {
            term = Term::Plus(Box::new(term), Box::new(self.operand_of_term()?));
        } else if self.take("-") {
            term = Term::Minus(Box::new(term), Box::new(self.operand_of_term()?));
        }
        match self.peek() {
            "+" | "-" => Err("one + or - alone (more need parentheses)".into()),
            _ => Ok(term),
        }
    }

    fn operand_of_term(&mut self) -> Result<Term, String> {
        if self.take("(") {
            let term = self.nested(Self::term)?;
            self.expect(")")?;
            return Ok(term);
        }
        if let Some(value) = self.value()? {
            return Ok(Term::Value(value));
        }
        let term = if self.take_call("if_not_exists") {
            let path = self.path()?;
            self.expect(",")?;
            Term::IfNotExists(path, Box::new(self.nested(Self::term)?))
        } else if self.take_call("list_append") {
            let first = self.nested(Self::term)?;
            self.expect(",")?;
            Term::ListAppend(Box::new(first), Box::new(self.nested(Self::term)?))
        } else {
            return self
                .path()
                .map(Term::Path)
                .map_err(|_| "a value, such as :v, an attribute, or a function".into());
        };
        self.expect(")")?;
        Ok(term)
    }

    /// What `ADD` adds and `DELETE` takes away.
    fn operand_of(&mut self, clause: &str) -> Result<Value, String> {
        let is_good = |value: &Value| match value {
            Value::Ss(_) | Value::Ns(_) | Value::Bs(_) => true,
            Value::N(_) => clause == "ADD",
            _ => false,
        };
        let is_bad = |value: &Value| !is_good(value);
        let is_known_as_bad = self.values.get(self.peek()).is_some_and(is_bad);
        let value = match is_known_as_bad {
            true => None,
            false => self.value()?,
        };
        value.ok_or_else(|| {
            match clause {
                "ADD" => "a placeholder for a number or a set",
                _ => "a placeholder for a set",
            }
            .into()
        })
    }
}
