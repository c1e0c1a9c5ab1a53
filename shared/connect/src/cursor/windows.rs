//! The windows that a sync reads: what lies between the intervals that were read, cut into steps.

use super::{Cursor, Intervals, Kind, Point};
use crate::failure::Failure;

/// How many windows a sync may have: beyond, the step is a mistake.
const MOST: usize = 1_000_000;

pub type Window = (Point, Option<Point>);

impl Cursor {
    /// What is left to read, up to `end`, oldest first. `end` is `None` for a window that is open.
    pub fn windows(&self, intervals: &Intervals, end: Option<&Point>) -> Result<Vec<Window>, Failure> {
        let mut out = Vec::new();
        let Some((first, last)) = intervals.read.first().zip(intervals.read.last()) else { return Ok(out) };
        let Some(end) = end else {
            out.push((last.end.clone(), None));
            return Ok(out);
        };
        if intervals.origin < first.start {
            self.cut(&intervals.origin, &intervals.origin, &first.start, false, &mut out)?;
        }
        for pair in intervals.read.windows(2) {
            let lower = match self.granularity() {
                Some(granularity) => pair[0].end.add(granularity)?,
                None => pair[0].end.clone(),
            };
            self.cut(&intervals.origin, &lower, &pair[1].start, false, &mut out)?;
        }
        let lower = match self.lookback() {
            Some(lookback) => last.end.sub(lookback)?,
            None => last.end.clone(),
        };
        self.cut(&intervals.origin, &lower, end, true, &mut out)?;
        Ok(out)
    }

    fn cut(
        &self,
        origin: &Point,
        lower: &Point,
        upper: &Point,
        is_end: bool,
        out: &mut Vec<Window>,
    ) -> Result<(), Failure> {
        let Kind::Datetime(moments) = &self.kind else { return Ok(()) };
        if lower > upper || (lower == upper && moments.granularity.is_none()) || upper < origin {
            return Ok(());
        }
        let up = |point: &Point| moments.clamp.as_ref().map_or_else(|| Ok(point.clone()), |clamp| clamp.up(point));
        let lower = up(lower.max(origin))?;
        if lower > *upper || (lower == *upper && (self.compares_strictly || !is_end)) {
            return Ok(());
        }
        // A window before another one ends a grain short of it.
        let short = |point: Point| match &moments.granularity {
            Some(granularity) => point.sub(granularity),
            None => Ok(point),
        };
        let Some(step) = moments.step.filter(|step| lower.add(step).is_ok_and(|next| next < *upper)) else {
            let ends_open = is_end && moments.granularity.is_some();
            let upper = if ends_open { upper.clone() } else { up(upper)? };
            let upper = if is_end { upper } else { short(upper)? };
            out.push((lower, Some(upper)));
            return Ok(());
        };
        let mut from = lower;
        loop {
            if out.len() >= MOST {
                return Err(Failure::config(format!("the step cuts the time to read into more than {MOST} windows")));
            }
            let to = from.add(&step).map_or_else(|_| upper.clone(), |next| next.min(upper.clone()));
            let clamped = if to == *upper { to.clone() } else { up(&to)? };
            let is_last = to >= *upper || clamped == *upper;
            let start = up(&from)?;
            if start >= clamped {
                break;
            }
            let end = if is_end && is_last { clamped.clone() } else { short(clamped.clone())? };
            out.push((start, Some(end)));
            if is_last {
                break;
            }
            from = clamped;
        }
        Ok(())
    }
}
