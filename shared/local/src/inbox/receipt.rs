//! The right to finish one reception of a message.

use std::fmt;

/// Names a message and which reception of it this is. Once the message was received again, it is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    pub(super) id: i64,
    pub(super) receive_count: u32,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.id, self.receive_count)
    }
}
