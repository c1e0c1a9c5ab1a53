//! Who is asking, as far as a stage needs to know.
//!
//! Owns no token and no check of one: a host identifies callers (`trigger::callers`, IAM, a token file) and
//! hands the stages the result.

use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads entities and the status.
    Reader,
    /// Reads, and changes what is read: resync, rollback, pause.
    Admin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is, for the audit: a token's name, a JWT's subject, a role's ARN.
    pub subject: String,
    pub roles: BTreeSet<Role>,
    /// Whose data it may see; `-` where accounts are not used.
    pub tenant: String,
}

impl Caller {
    pub fn new(subject: impl Into<String>, roles: impl IntoIterator<Item = Role>) -> Self {
        Self { subject: subject.into(), roles: roles.into_iter().collect(), tenant: "-".to_owned() }
    }

    /// Whether it may do what `role` may. An admin may all that a reader may.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_reads_too_and_a_reader_administers_nothing() {
        assert!(Caller::new("ada", [Role::Admin]).is(Role::Reader));
        assert!(!Caller::new("bob", [Role::Reader]).is(Role::Admin));
        assert!(!Caller::new("eve", []).is(Role::Reader));
    }
}
