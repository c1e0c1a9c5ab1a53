//! Paths into JSON, compiled once: `profile.displayName`, `tags[]`, `media[0].url`, `^.id`, `$.id`.
//!
//! A path starts at the item that a row is made from. `^` goes up to the item that it was found in, `^^`
//! two up, `$` is the whole record. `.name` takes a member, `["any name"]` one with any characters, `[3]`
//! an element, `[]` every element (only where a list is wanted).

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub base: Base,
    pub steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The item itself.
    Item,
    /// So many items up.
    Up(usize),
    Record,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(String),
    Element(usize),
    Every,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a path")]
pub struct PathError(String);

impl Path {
    /// Stand-in: members, elements and bases, without quoted names.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let path = Self::read(text)?;
        if path.steps.contains(&Step::Every) { Err(PathError(text.to_owned())) } else { Ok(path) }
    }

    fn read(text: &str) -> Result<Self, PathError> {
        let wrong = || PathError(text.to_owned());
        let ups = text.chars().take_while(|c| *c == '^').count();
        let (base, rest) = match text.strip_prefix('$') {
            Some(rest) => (Base::Record, rest),
            None if ups > 0 => (Base::Up(ups), &text[ups..]),
            None => (Base::Item, text),
        };
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        let mut steps = Vec::new();
        for part in rest.split('.').filter(|_| !rest.is_empty()) {
            let (name, brackets) = part.split_at(part.find('[').unwrap_or(part.len()));
            if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c)) {
                steps.push(Step::Member(name.to_owned()));
            } else if !name.is_empty() || brackets.is_empty() {
                return Err(wrong());
            }
            for inside in brackets.split_inclusive(']') {
                match inside.strip_prefix('[').and_then(|i| i.strip_suffix(']')).ok_or_else(wrong)? {
                    "" => steps.push(Step::Every),
                    n => steps.push(Step::Element(n.parse().map_err(|_| wrong())?)),
                }
            }
        }
        Ok(Self { base, steps })
    }

    pub fn parse_each(text: &str) -> Result<Vec<Self>, PathError> {
        let whole = Self::read(text)?;
        let mut out = Vec::new();
        let mut steps = Vec::new();
        for step in whole.steps {
            let ends = step == Step::Every;
            steps.push(step);
            if ends {
                out.push(Self { base: Base::Item, steps: std::mem::take(&mut steps) });
            }
        }
        if !steps.is_empty() {
            out.push(Self { base: Base::Item, steps });
        }
        Ok(out)
    }
}
