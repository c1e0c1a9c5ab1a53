//! The manifest that ships lists the source that it was written for, page by page, over HTTP.

use teal::ports::upstream::{HeaderValue, Request};
use teal_stand_in::{Blue, BlueOptions, Fault, FaultRule, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn send(request: &Request) -> Response {
    let (address, path) = request.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut head = format!("{} /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", request.method);
    for (name, value) in &request.headers {
        let value = match value {
            HeaderValue::Plain(value) => value,
            HeaderValue::Secret(secret) => secret.expose(),
        };
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    response(status, &headers, body)
}

/// Lists a stream to its end; also gives the reasons for which a page was asked again.
async fn list(listing: &mut Listing, mut at_page: impl FnMut(usize)) -> (Vec<u64>, Option<Value>, Vec<String>) {
    let (mut again, mut pages) = (Vec::new(), 0);
    let cursor = loop {
        match listing.step() {
            Step::Ask(request) => {
                let answer = send(&request).await;
                listing.session.answer(listing.now, answer).unwrap();
            }
            Step::Page { next: Next::End { cursor }, .. } | Step::End { cursor } => break cursor,
            Step::Page { .. } => {
                pages += 1;
                at_page(pages);
            }
            Step::Wait { wait, why } => {
                again.push(format!("{why:?}"));
                listing.now = listing.now.plus(wait);
            }
            other => panic!("{other:?}"),
        }
        assert!(again.len() < 10, "{again:?}");
    };
    let ids = listing.records.iter().map(|record| record["id"].as_u64().unwrap()).collect();
    (ids, cursor, again)
}

#[tokio::test]
async fn a_record_that_is_deleted_while_its_listing_runs_takes_no_other_with_it() {
    let blue = Blue::start(BlueOptions { talents: 250, key: KEY.to_owned(), ..BlueOptions::default() }).await.unwrap();
    let connector = ManifestConnectors.compile(MANIFEST, &config(&blue.url())).unwrap();
    let mut talents = Listing::of(connector, "talents", Mode::Full, None);
    let (seen, ..) = list(&mut talents, |page| {
        if page == 1 {
            blue.delete(Kind::Talents, &[5, 6]);
        }
    })
    .await;
    let missed: Vec<u64> = blue.ids(Kind::Talents).into_iter().filter(|id| !seen.contains(id)).collect();
    assert!(missed.is_empty(), "never listed: {missed:?}");
}

#[tokio::test]
async fn every_stream_is_listed_whole_and_then_only_what_changed() {
    let blue = Blue::start(BlueOptions { talents: 250, boards: 120, key: KEY.to_owned(), ..BlueOptions::default() });
    let blue = blue.await.unwrap();
    let connector = ManifestConnectors.compile(MANIFEST, &config(&blue.url())).unwrap();
    for fault in [Fault::EmptyPage, Fault::Status(502), Fault::InvalidJson, Fault::ErrorInside] {
        blue.fault(FaultRule::page("talents", 2, fault.clone()));
        blue.fault(FaultRule::page("boards", 2, fault));
    }
    for (stream, kind, spoiled) in
        [("talents", Kind::Talents, 4), ("boards", Kind::Boards, 4), ("media_tags", Kind::MediaTags, 0)]
    {
        let mut full = Listing::of(connector.clone(), stream, Mode::Full, None);
        let (ids, cursor, again) = list(&mut full, |_| ()).await;
        assert_eq!(ids, blue.ids(kind), "{stream}");
        assert_eq!(again.len(), spoiled, "{again:?}");
        blue.edit(kind, &[7, 40]);
        let mut incremental = Listing::of(connector.clone(), stream, Mode::Incremental, cursor.as_ref());
        let (changed, ..) = list(&mut incremental, |_| ()).await;
        assert!(changed.contains(&7) && changed.contains(&40), "{stream}: {changed:?}");
    }
    assert_eq!(blue.counts().pages_served_again(), 0);
}
