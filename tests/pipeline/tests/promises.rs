//! What the design promises, a file each, over the example system in memory.

mod full_run;
