//! How long templates of records take to render: `cargo run --release -p teal-connect --example render_speed`.

use std::hint::black_box;
use std::time::Instant;

use teal_connect::interpolate::{Context, StreamSlice, Template};
use teal_connect::transform::Transformation;
use teal_connect::value::json;

#[allow(clippy::disallowed_methods)] // Time is what is measured.
fn measure(name: &str, mut run: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        (0..100_000).for_each(|_| run());
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / 1e5);
    }
    println!("{best:>8.0} ns  {name}");
}

fn main() {
    let record = json!({
        "id": 7, "name": "amber", "updated_at": "2024-05-06T07:08:09Z", "nested": {"x": "y"},
        "tags": ["a", "b", "c"], "amount": 12.5, "text": "some longer text that a record may have in it",
    });
    let config = json!({ "start_date": "2024-01-01", "name": "n" });
    let slice = StreamSlice::default();
    let now = "2026-11-25T10:20:30.5Z".parse().expect("a moment");
    let context = Context::new(now).with("config", &config).with("record", &record).with("stream_slice", &slice);
    for text in [
        "static",
        "{{ record['id'] }}",
        "{{ record.name }}",
        "{{ record['nested']['x'] ~ '-' ~ record['id'] }}",
        "{{ record['name'] }}-{{ record['id'] }}",
        "{{ record['updated_at'] >= config['start_date'] }}",
        "{{ 'a' in record['tags'] and record.get('amount', 0) > 10 }}",
        "{{ record['updated_at'].split('T')[0] }}",
        "{{ record['name'] | upper }}",
        "{{ format_datetime(record['updated_at'], '%Y-%m-%d') }}",
        "{{ now_utc().strftime('%Y-%m-%dT%H:%M:%SZ') }}",
        "{{ record['name'] | hash('md5') }}",
    ] {
        let template = Template::compile(text).expect("a template");
        measure(text, || {
            black_box(template.render(black_box(&context)).expect("a value"));
        });
        if text.contains(">=") {
            measure("the same as a condition", || {
                black_box(template.render_bool(black_box(&context)).expect("a value"));
            });
        }
    }
    let add = json!({ "type": "AddFields", "fields": [{ "path": ["new"], "value": "{{ record['id'] }}" }] });
    let add = Transformation::compile(&add).expect("a transformation");
    let mut target = record.clone();
    measure("AddFields of {{ record['id'] }}", || add.apply(black_box(&mut target), &context).expect("a record"));
}
