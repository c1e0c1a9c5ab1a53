//! Bytes to UTF-8 by the name of an encoding, a header, or what the bytes say themselves.

use bytes::Bytes;
use encoding_rs::Encoding;
use http::HeaderMap;

use super::DecodeError;

enum Charset {
    Utf8,
    Latin1,
    Other(&'static Encoding),
}

/// Names as Python knows them.
fn find(name: &str) -> Option<Charset> {
    let name = name.trim().trim_matches(['"', '\'']).to_ascii_lowercase().replace('_', "-");
    Some(match name.as_str() {
        "utf-8" | "utf8" | "u8" | "utf-8-sig" | "ascii" | "us-ascii" => Charset::Utf8,
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" => Charset::Latin1,
        name => {
            let page =
                name.strip_prefix("cp").filter(|page| page.starts_with("125")).map(|page| format!("windows-{page}"));
            Charset::Other(Encoding::for_label(page.as_deref().unwrap_or(name).as_bytes())?)
        }
    })
}

pub(super) fn known(name: &str) -> bool {
    find(name).is_some()
}

/// The text as UTF-8, without a byte order mark.
pub(super) fn to_utf8(body: &Bytes, name: &str) -> Result<Bytes, DecodeError> {
    let wrong = |why: String| DecodeError::Body { form: "text", why };
    let charset = find(name).ok_or_else(|| wrong(format!("its encoding '{name}' is not known")))?;
    match charset {
        Charset::Utf8 => match std::str::from_utf8(body) {
            Ok(text) if text.starts_with('\u{feff}') => Ok(body.slice(3..)),
            Ok(_) => Ok(body.clone()),
            Err(error) => Err(wrong(format!("byte {} is not {name}", error.valid_up_to()))),
        },
        Charset::Latin1 => Ok(encoding_rs::mem::decode_latin1(body).into_owned().into()),
        Charset::Other(encoding) => {
            let (text, _, malformed) = encoding.decode(body);
            if malformed { Err(wrong(format!("it is not {name}"))) } else { Ok(text.into_owned().into()) }
        }
    }
}

fn in_header(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?;
    kind.split(';').skip(1).find_map(|part| part.trim().strip_prefix("charset=")).filter(|name| known(name))
}

/// JSON: UTF-8, or UTF-16 by its mark or the header.
pub(super) fn utf8(body: &Bytes, headers: &HeaderMap) -> Result<Bytes, DecodeError> {
    match Encoding::for_bom(body) {
        Some((encoding, _)) => to_utf8(body, encoding.name()),
        None if std::str::from_utf8(body).is_ok() => Ok(body.clone()),
        None => to_utf8(body, in_header(headers).unwrap_or("utf-8")),
    }
}

/// XML: by its mark, the header, or its own declaration.
pub(super) fn of_xml(body: &Bytes, headers: &HeaderMap) -> Result<Bytes, DecodeError> {
    let declared = || {
        let start = std::str::from_utf8(body.get(..body.len().min(200)).unwrap_or_default());
        let start = start.unwrap_or_else(|e| std::str::from_utf8(&body[..e.valid_up_to()]).unwrap_or_default());
        let declaration = start.trim_start().strip_prefix("<?xml")?.split_once("?>")?.0;
        let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next()?;
        value[1..].split_once(quote).map(|(name, _)| name).filter(|name| known(name))
    };
    match Encoding::for_bom(body) {
        Some((encoding, _)) => to_utf8(body, encoding.name()),
        None => to_utf8(body, in_header(headers).or_else(declared).unwrap_or("utf-8")),
    }
}

/// By the header, else UTF-8.
pub(crate) fn by_header(body: &Bytes, headers: &HeaderMap) -> Result<Bytes, DecodeError> {
    to_utf8(body, in_header(headers).unwrap_or("utf-8"))
}
