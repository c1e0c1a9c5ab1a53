//! `teal switch` and `teal rollback`: moving the pointer by hand.

use serde_json::{Value as Json, json};

use super::Context;
use crate::args::{RollbackArgs, SwitchArgs};
use crate::exit::Exit;
use crate::render::run::counted;
use crate::render::{count, version};
use crate::session::Session;

pub async fn switch(cx: &Context, args: &SwitchArgs) -> anyhow::Result<Exit> {
    to(cx, "switch", &json!({ "version": args.version, "force": args.force })).await
}

pub async fn rollback(cx: &Context, args: &RollbackArgs) -> anyhow::Result<Exit> {
    to(cx, "rollback", &json!({ "version": args.version, "as_was": args.as_was })).await
}

async fn to(cx: &Context, action: &str, ask: &Json) -> anyhow::Result<Exit> {
    let session = Session::look(&cx.place).await?;
    if let Some(local) = &session.local {
        // A move that died with its process must not keep this one waiting for its lease.
        local.switch.repair_alone().await?;
    }
    let done = session.client.post(&[action], ask).await?;
    cx.output.result(&done, || moved(&done))?;
    Ok(Exit::Complete)
}

pub fn moved(moved: &Json) -> String {
    let changes = match (count(&moved["replayed"]), count(&moved["left_out"])) {
        (0, 0) => "no changes to replay".to_owned(),
        (n, 0) => format!("{} replayed", counted(n, "change")),
        (0, n) => format!("{} left out", counted(n, "change")),
        (n, m) => format!("{} replayed, {} left out", counted(n, "change"), counted(m, "change")),
    };
    let (to, from) = (version(&moved["to"]), version(&moved["from"]));
    format!("{to} is active, {from} kept for rollback; {changes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_says_what_is_active_and_what_it_left_out() {
        let told = |replayed: u64, left_out: u64| {
            moved(&json!({ "from": 2, "to": 3, "replayed": replayed, "left_out": left_out, "closed_ms": 4 }))
        };
        assert_eq!(told(0, 0), "v3 is active, v2 kept for rollback; no changes to replay");
        assert_eq!(told(1, 0), "v3 is active, v2 kept for rollback; 1 change replayed");
        assert_eq!(told(0, 1200), "v3 is active, v2 kept for rollback; 1,200 changes left out");
    }
}
