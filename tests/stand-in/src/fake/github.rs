//! GitHub's REST API, as far as the connector asks it: pages by `Link`, `since` on issues and commits, and the limit
//! for too many requests at once, which is a 403.
//!
//! Traps: `abuse` (403 that asks for patience), `truncated` (a tree that GitHub cut short).

use base64::Engine;
use serde_json::{Value, json};

use super::{Api, Auth, Call, Endpoint, Paging};
use crate::http::Reply;

const REPOSITORIES: [&str; 2] = ["example/wiki", "example/site"];
const ISSUES: u64 = 130;

fn trap(call: &Call<'_>) -> Option<Reply> {
    if call.endpoint.name == "issues" && call.springs("abuse") {
        let body = json!({ "message": "You have exceeded a secondary rate limit. Please wait a few minutes.",
            "documentation_url": "https://docs.example.com" });
        return Some(Reply { status: 403, ..Reply::ok(body) }.header("retry-after", "1"));
    }
    (call.endpoint.name == "tree" && call.springs("truncated"))
        .then(|| Reply::ok(json!({ "sha": "t", "tree": [], "truncated": true })))
}

/// Minutes after the start of 2026.
fn at(minutes: u64) -> String {
    crate::http::rfc3339(1_767_225_600_000 + minutes as i64 * 60_000).replace(".000Z", "Z")
}

#[must_use]
pub fn api() -> Api {
    let refusal = || Reply { status: 401, ..Reply::ok(json!({ "message": "Bad credentials" })) };
    let link = Paging::Link { size: 100 };
    let bare = |name, path| Endpoint { items: None, ..Endpoint::listing(name, path, "") }.paged(link);
    let endpoints = vec![
        Endpoint::single("repository", "/repos/{owner}/{repo}"),
        bare("issues", "/repos/{owner}/{repo}/issues").since("since", "/updated_at"),
        bare("pulls", "/repos/{owner}/{repo}/pulls"),
        bare("commits", "/repos/{owner}/{repo}/commits").since("since", "/commit/committer/date"),
        bare("releases", "/repos/{owner}/{repo}/releases"),
        Endpoint::listing("tree", "/repos/{owner}/{repo}/git/trees/{reference}", "tree"),
        Endpoint::single("contents", "/repos/{owner}/{repo}/contents/{path*}"),
    ];
    let (mut repositories, mut issues, mut pulls, mut commits) = (vec![], vec![], vec![], vec![]);
    let (mut releases, mut tree, mut contents) = (vec![], vec![], vec![]);
    for (index, full_name) in (1u64..).zip(REPOSITORIES) {
        let (owner, repo) = full_name.split_once('/').unwrap_or_default();
        let of = json!({ "owner": owner, "repo": repo });
        let page = |rest: &str| format!("https://example.com/{full_name}/{rest}");
        repositories.push(json!({ "_of": of, "id": index, "node_id": format!("R{index}"), "name": repo,
            "full_name": full_name, "owner": { "login": owner, "id": 9, "type": "Organization" }, "private": false,
            "description": "Made up", "fork": false, "html_url": page(""), "default_branch": "main", "topics": ["wiki"],
            "language": null, "stargazers_count": 3, "forks_count": 1, "open_issues_count": 2, "archived": false,
            "created_at": at(0), "updated_at": at(9), "pushed_at": at(9), "mirror_url": null }));
        for number in 1..=ISSUES / index {
            // Every tenth is a pull request: GitHub lists those as issues, too.
            let is_pull = number % 10 == 0;
            let mut issue = json!({ "_of": of, "id": index * 1000 + number, "node_id": format!("I{number}"),
                "number": number, "title": format!("Issue {number}"), "body": null, "state": "open", "locked": false,
                "user": { "login": "someone", "id": 7, "type": "User" }, "labels": [{ "id": 1, "name": "docs" }],
                "assignees": [], "milestone": null, "comments": 0, "html_url": page("issues/1"),
                "created_at": at(number), "updated_at": at(number), "closed_at": null });
            if is_pull {
                issue["pull_request"] = json!({ "url": page("pull") });
            }
            issues.push(issue);
        }
        // The newest first, as they are asked for.
        for number in (1..=12u64).rev() {
            let login = json!({ "login": "someone", "id": 7, "type": "User" });
            pulls.push(json!({ "_of": of, "id": index * 1000 + number, "node_id": format!("P{number}"), "number": number,
                "title": format!("Change {number}"), "body": "Made up", "state": "closed", "draft": false, "user": login,
                "labels": [], "assignees": [], "html_url": page("pull/1"), "head": { "ref": "topic", "sha": "a1" },
                "base": { "ref": "main", "sha": "b1" }, "merge_commit_sha": null, "created_at": at(number),
                "updated_at": at(number * 2), "closed_at": at(number * 2), "merged_at": null }));
            let who = json!({ "name": "Some One", "email": "someone@example.com", "date": at(number) });
            commits.push(json!({ "_of": of, "sha": format!("{index}{number:039}"), "node_id": format!("C{number}"),
                "html_url": page("commit"), "author": null, "committer": null, "parents": [],
                "commit": { "message": format!("rate limit and abuse of {number}"), "author": who, "committer": who } }));
        }
        releases.push(json!({ "_of": of, "id": index, "node_id": "L1", "tag_name": "v1", "name": "One", "body": "First",
            "draft": false, "prerelease": false, "author": { "login": "someone", "id": 7, "type": "User" }, "assets": [],
            "target_commitish": "main", "html_url": page("releases/1"), "created_at": at(1), "published_at": at(2) }));
        let files =
            [("README.md", "# Read me"), ("docs/grüße & more.md", "It's {{ not }} a template\n"), ("run.sh", "true")];
        for (path, text) in files {
            let sha = format!("{index}-{path}");
            tree.push(
                json!({ "_of": of, "path": path, "mode": "100644", "type": "blob", "sha": sha, "size": text.len(),
                "url": page("blob") }),
            );
            // GitHub breaks the lines of what it encodes.
            let code = base64::engine::general_purpose::STANDARD.encode(text);
            let code: Vec<&str> = code.as_bytes().chunks(8).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            contents.push(json!({ "_of": { "owner": owner, "repo": repo, "path": path }, "type": "file",
                "name": path.rsplit('/').next(), "path": path, "sha": sha, "size": text.len(), "encoding": "base64",
                "content": code.join("\n") + "\n", "html_url": page("blob") }));
        }
        tree.push(
            json!({ "_of": of, "path": "docs", "mode": "040000", "type": "tree", "sha": "d", "url": page("tree") }),
        );
    }
    let rows = [("repository", repositories), ("issues", issues), ("pulls", pulls), ("commits", commits)].into_iter();
    let rows = rows.chain([("releases", releases), ("tree", tree), ("contents", contents)]).collect();
    Api { auth: Auth::Bearer, key: "github-key", refusal, per_second: None, endpoints, trap, rows }
}

/// An issue of the first repository as it looks after somebody touched it.
#[must_use]
pub fn touched(issue: &Value, minutes: u64) -> Value {
    let mut issue = issue.clone();
    issue["title"] = json!("Touched");
    issue["updated_at"] = json!(at(minutes));
    issue
}
