//! YouTube's Data API: page tokens, a key that is wrong with status 400, and a daily quota whose end is a 403.
//!
//! Traps: `quota` (403 quotaExceeded), `no-playlist` (404 for a playlist that is gone).

use serde_json::{Value, json};

use super::{Api, Auth, Call, Endpoint, Paging};
use crate::http::Reply;

fn problem(status: u16, reason: &str, message: &str) -> Reply {
    let error = json!({ "code": status, "message": message,
        "errors": [{ "message": message, "domain": "youtube.quota", "reason": reason }] });
    Reply { status, ..Reply::ok(json!({ "error": error })) }
}

fn trap(call: &Call<'_>) -> Option<Reply> {
    match call.endpoint.name {
        "token" => {
            Some(Reply::ok(json!({ "access_token": "youtube-key", "expires_in": 3599, "token_type": "Bearer" })))
        }
        "playlistItems" if call.springs("quota") => {
            Some(problem(403, "quotaExceeded", "The request cannot be completed because you have exceeded your quota."))
        }
        "playlistItems" if call.springs("no-playlist") => {
            Some(problem(404, "playlistNotFound", "The playlist cannot be found."))
        }
        _ => None,
    }
}

/// `id` is a list with commas.
fn is_named(call: &Call<'_>, row: &Value) -> bool {
    call.get("id").is_none_or(|ids| ids.split(',').any(|id| row["id"] == id))
}

fn at(hours: u64) -> String {
    crate::http::rfc3339(1_767_225_600_000 + hours as i64 * 3_600_000).replace(".000Z", "Z")
}

/// A video in a playlist; `videos` has it, too.
#[must_use]
pub fn upload(channel: &str, playlist: &str, number: u64, hours: u64) -> Value {
    let id = format!("{channel}-v{number}");
    json!({ "_of": { "playlistId": playlist }, "kind": "youtube#playlistItem", "etag": "e", "id": format!("{playlist}.{id}"),
        "snippet": { "publishedAt": at(hours), "channelId": channel, "title": format!("Episode {number}"),
            "description": "Made up", "playlistId": playlist, "position": 0,
            "resourceId": { "kind": "youtube#video", "videoId": id } },
        "contentDetails": { "videoId": id, "videoPublishedAt": at(hours) } })
}

#[must_use]
pub fn api() -> Api {
    let refusal = || problem(400, "badRequest", "API key not valid. Please pass a valid API key.");
    let pages = Paging::Token { token: "pageToken", next: "nextPageToken", limit: "maxResults", size: 50, more: None };
    let listing = |name, path| Endpoint::listing(name, path, "items").paged(pages);
    let endpoints = vec![
        Endpoint { is_open: true, method: http::Method::POST, ..Endpoint::listing("token", "/token", "") },
        Endpoint { shows: is_named, ..listing("channels", "/youtube/v3/channels") },
        listing("playlists", "/youtube/v3/playlists"),
        listing("playlistItems", "/youtube/v3/playlistItems"),
        Endpoint { shows: is_named, ..listing("videos", "/youtube/v3/videos") },
        listing("captions", "/youtube/v3/captions"),
    ];
    let (mut channels, mut playlists, mut items, mut videos, mut captions) = (vec![], vec![], vec![], vec![], vec![]);
    for (channel, count) in [("UCimagine", 61u64), ("UCother", 2)] {
        let uploads = channel.replace("UC", "UU");
        channels.push(json!({ "kind": "youtube#channel", "etag": "e", "id": channel,
            "snippet": { "title": channel, "publishedAt": at(0) },
            "contentDetails": { "relatedPlaylists": { "likes": "", "uploads": uploads } },
            "statistics": { "viewCount": "1000", "videoCount": count.to_string() } }));
        let series = channel.replace("UC", "PL");
        playlists.push(json!({ "_of": { "channelId": channel }, "kind": "youtube#playlist", "etag": "e", "id": series,
            "snippet": { "publishedAt": at(1), "channelId": channel, "title": "Season 1" },
            "contentDetails": { "itemCount": 2 } }));
        // The newest first.
        for number in (1..=count).rev() {
            let video = upload(channel, &uploads, number, number * 24);
            videos.push(json!({ "kind": "youtube#video", "etag": "e", "id": video["contentDetails"]["videoId"],
                "snippet": video["snippet"], "contentDetails": { "duration": "PT24M", "caption": "true" },
                "status": { "privacyStatus": "public" }, "statistics": { "viewCount": "17" } }));
            if number <= 2 {
                items.push(upload(channel, &series, number, number * 24));
                captions.push(
                    json!({ "_of": { "videoId": video["contentDetails"]["videoId"] }, "kind": "youtube#caption",
                    "etag": "e", "id": format!("cap-{channel}-{number}"), "snippet": {
                        "videoId": video["contentDetails"]["videoId"], "lastUpdated": at(number * 24 + 1),
                        "trackKind": "asr", "language": "en", "name": "", "isDraft": false } }),
                );
            }
            items.push(video);
        }
    }
    let rows = [("channels", channels), ("playlists", playlists), ("playlistItems", items)].into_iter();
    let rows = rows.chain([("videos", videos), ("captions", captions)]).collect();
    Api { auth: Auth::Query("key"), key: "youtube-key", refusal, per_second: None, endpoints, trap, rows }
}
