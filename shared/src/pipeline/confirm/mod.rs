//! A full run that finds what readers have already writes no row: it confirms the generation that is there.
//!
//! ```text
//! transform   each page is compared with what readers see; one that says the same is held back
//! switch      all pages are held, and together they are the whole generation:  it is confirmed
//!             anything else:                                                  the held pages are applied after all
//! ```
//!
//! A confirmed generation *is* its new listing plus the log, like any other; only that its rows don't know yet that they
//! were stated again. Whoever has a change that is older than the listing writes it down first, row by row, and merges
//! then. So the cost of a full run is paid when somebody needs it, which is seldom, and the state is the same (P5).
//!
//! Always holds: a generation is confirmed while its gates are closed, after it was compared whole, and before anybody
//! knows of the new listing. A change that is older is refused by the generation itself, whatever its writer knew.

mod held;
mod write_down;

pub use held::{Comparing, Held, Sum, are_left, are_to_be_applied, send_again, sum, to_be_applied};
pub use write_down::WriteDown;
