//! Templates in a manifest: text with `{name}` for members of the source's config.

use serde_json::Value;
use teal::ports::connector::ConnectorConfig;

/// Fills `template` in, each value changed by `encode`. An error says what to write instead.
pub fn fill(template: &str, config: &ConnectorConfig, encode: impl Fn(&str) -> String) -> Result<String, String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let after = &rest[open + 1..];
        let close = after.find('}').ok_or_else(|| format!("'{{' without '}}' in '{template}'"))?;
        out.push_str(&encode(&member(&after[..close], config)?));
        rest = &after[close + 1..];
    }
    if rest.contains('}') {
        return Err(format!("'}}' without '{{' in '{template}'"));
    }
    out.push_str(rest);
    Ok(out)
}

fn member(name: &str, config: &ConnectorConfig) -> Result<String, String> {
    if config.secrets.contains_key(name) {
        return Err(format!("'{name}' is a secret, and URLs end up in logs; only 'auth' may use it"));
    }
    match config.plain.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(_) => Err(format!("'{name}' in the source's config must be a text or a number")),
        None => Err(format!("the source's config has no '{name}'; add it in teal.yaml")),
    }
}
