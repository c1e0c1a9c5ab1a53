//! jq programs, compiled once.

#[derive(Debug)]
pub struct Program;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a jq program")]
pub struct JqError(String);

impl Program {
    /// Stand-in: knows brackets only.
    pub fn compile(text: &str) -> Result<Self, JqError> {
        let count = |c: char| text.matches(c).count();
        let even = count('{') == count('}') && count('(') == count(')') && count('[') == count(']');
        if even { Ok(Self) } else { Err(JqError(text.to_owned())) }
    }
}
