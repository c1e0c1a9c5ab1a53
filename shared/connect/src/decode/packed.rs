//! gzip, zip and zlib, up to a bound.

use std::io::{Cursor, Read};

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;

use super::{DecodeError, Decoded, Decoder};

/// Bytes that one body, or one file in it, may unpack to.
const MAX_UNPACKED: u64 = 1 << 30;

fn all(form: &'static str, packed: impl Read) -> Result<Bytes, DecodeError> {
    let mut unpacked = Vec::new();
    packed
        .take(MAX_UNPACKED + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| DecodeError::Body { form, why: error.to_string() })?;
    if unpacked.len() as u64 > MAX_UNPACKED { Err(DecodeError::TooLarge(MAX_UNPACKED)) } else { Ok(unpacked.into()) }
}

fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b])
}

/// What isn't packed stays as it is. A body that was packed for its way too, and says so, is unpacked twice.
pub(super) fn gunzip(body: &Bytes, headers: &HeaderMap) -> Result<Bytes, DecodeError> {
    let mut body = body.clone();
    let layers = if headers.get(http::header::CONTENT_ENCODING).is_some_and(|e| e == "gzip") { 2 } else { 1 };
    for _ in 0..layers {
        if is_gzip(&body) {
            body = all("gzip", MultiGzDecoder::new(&body[..]))?;
        }
    }
    Ok(body)
}

/// The values of every file, in the order of the archive.
pub(super) fn unzip(body: &Bytes, inner: &Decoder) -> Result<Decoded, DecodeError> {
    let wrong = |error: zip::result::ZipError| DecodeError::Body { form: "zip archive", why: error.to_string() };
    let mut archive = zip::ZipArchive::new(Cursor::new(body.clone())).map_err(wrong)?;
    let inner = inner.clone();
    let mut index = 0;
    let mut current: Option<Decoded> = None;
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            if let Some(value) = current.as_mut().and_then(Iterator::next) {
                return Some(value);
            }
            if index >= archive.len() {
                return None;
            }
            index += 1;
            let file = archive.by_index(index - 1).map_err(wrong);
            let values = file.and_then(|file| all("zip archive", file));
            match values.and_then(|body| inner.decode(&body, &HeaderMap::new())) {
                Ok(values) => current = Some(values),
                Err(error) => {
                    current = None;
                    index = archive.len();
                    return Some(Err(error));
                }
            }
        }
    })))
}

/// gzip or zlib if it is one of them, without the null bytes if it is neither.
pub(crate) fn inflate_leniently(body: &Bytes) -> Result<Bytes, DecodeError> {
    let unpacked = if is_gzip(body) {
        all("gzip", MultiGzDecoder::new(&body[..])).ok()
    } else if body.first().is_some_and(|byte| byte & 0x0f == 8) {
        all("zlib", ZlibDecoder::new(&body[..])).ok()
    } else {
        None
    };
    Ok(unpacked.unwrap_or_else(|| body.iter().copied().filter(|byte| *byte != 0).collect::<Vec<u8>>().into()))
}
