//! Packed bodies, character sets and errors; forms are compared with the reference elsewhere.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::*;

fn decoder(component: Value) -> Decoder {
    Decoder::compile(Some(&component)).unwrap()
}

fn decoded(component: Value, body: impl Into<Bytes>, headers: &HeaderMap) -> Result<Vec<Value>, DecodeError> {
    decoder(component).decode(&body.into(), headers)?.collect()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zip_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_body_that_is_not_json_is_an_error_and_no_body_is_an_empty_object() {
    let none = HeaderMap::new();
    let json = json!({ "type": "JsonDecoder" });
    for body in ["<html>", "{\"a\": 1", "{} {}", "NaN"] {
        assert!(matches!(decoded(json.clone(), body, &none), Err(DecodeError::Body { form: "JSON", .. })), "{body}");
    }
    for body in ["", " \n", "null", "[]", "{}"] {
        assert_eq!(decoded(json.clone(), body, &none).unwrap(), [json!({})], "{body}");
    }
    assert_eq!(decoded(json.clone(), "\u{feff}[1, 2]", &none).unwrap(), [json!(1), json!(2)]);
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain("{\"é\": 1}".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(decoded(json, utf16, &none).unwrap(), [json!({ "é": 1 })]);
}

#[test]
fn a_line_that_is_not_json_is_an_error_after_the_lines_before_it() {
    let mut values =
        decoder(json!({ "type": "JsonlDecoder" })).decode(&Bytes::from("{\"a\":1}\nx\n"), &HeaderMap::new()).unwrap();
    assert_eq!(values.next().unwrap().unwrap(), json!({ "a": 1 }));
    assert!(values.next().unwrap().unwrap_err().to_string().contains("line 2"));
}

#[test]
fn packed_bodies_are_unpacked_and_unpacked_ones_left_alone() {
    let component = json!({ "type": "GzipDecoder", "decoder": { "type": "JsonlDecoder" } });
    let none = HeaderMap::new();
    let twice = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    let lines = b"{\"a\":1}\n{\"a\":2}\n";
    for (body, headers) in
        [(lines.to_vec(), &none), (gzip(lines), &none), (gzip(&gzip(lines)), &twice), (gzip(lines), &twice)]
    {
        assert_eq!(decoded(component.clone(), body, headers).unwrap().len(), 2);
    }
    let two = [gzip(b"{\"a\":1}\n"), gzip(b"{\"a\":2}\n")].concat();
    assert_eq!(decoded(component.clone(), two, &none).unwrap().len(), 2, "members follow one another");
    assert!(decoded(component, gzip(lines)[..20].to_vec(), &none).is_err(), "cut off");
}

#[test]
fn the_files_of_an_archive_follow_one_another() {
    let component = json!({ "type": "ZipfileDecoder", "decoder": { "type": "CsvDecoder" } });
    let body = zip_of(&[("a.csv", "x,y\n1,2\n"), ("b.csv", "x\n3\n")]);
    let none = HeaderMap::new();
    assert_eq!(decoded(component.clone(), body, &none).unwrap(), [json!({ "x": "1", "y": "2" }), json!({ "x": "3" })]);
    assert!(decoded(component, "no archive", &none).unwrap_err().to_string().contains("zip archive"));
}

#[test]
fn encodings_are_those_of_the_component_the_header_or_the_body() {
    let none = HeaderMap::new();
    let csv = |encoding: &str| json!({ "type": "CsvDecoder", "encoding": encoding });
    assert_eq!(decoded(csv("latin-1"), b"a\n\xe9\n".to_vec(), &none).unwrap(), [json!({ "a": "é" })]);
    assert_eq!(decoded(csv("cp1252"), b"a\n\x80\n".to_vec(), &none).unwrap(), [json!({ "a": "€" })]);
    assert_eq!(decoded(csv("utf-8"), "\u{feff}a\n1\n", &none).unwrap(), [json!({ "a": "1" })]);
    assert!(decoded(csv("utf-8"), b"a\n\xe9\n".to_vec(), &none).is_err());
    assert!(Decoder::compile(Some(&csv("utf-7000"))).unwrap_err().to_string().contains("utf-7000"));
    let xml = json!({ "type": "XmlDecoder" });
    let declared = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>".to_vec();
    assert_eq!(decoded(xml.clone(), declared, &none).unwrap(), [json!({ "a": "é" })]);
    let header = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=latin1"))]);
    assert_eq!(decoded(xml, b"<a>\xe9</a>".to_vec(), &header).unwrap(), [json!({ "a": "é" })]);
}

#[test]
fn what_a_decoder_cannot_be_is_said_when_it_is_compiled() {
    for (component, part) in [
        (json!({ "type": "JsonItemsDecoder", "items_path": "" }), "items_path"),
        (json!({ "type": "CsvDecoder", "delimiter": "ab" }), "one ASCII character"),
        (json!({ "type": "CustomDecoder" }), "CustomDecoder"),
    ] {
        assert!(Decoder::compile(Some(&component)).unwrap_err().to_string().contains(part));
    }
    let deep = format!("{}{}", "<a>".repeat(5000), "</a>".repeat(5000));
    assert!(
        decoded(json!({ "type": "XmlDecoder" }), deep, &HeaderMap::new()).unwrap_err().to_string().contains("deep")
    );
}
